"""Arguments of calls: what becomes a value, and what is said of what does not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.arguments import body_of, values_of
from engine.api.models import NewSymbol
from engine.api.problems import Problem
from engine.api.route import Parameter, Route

NOW = 1_800_000_000 * 10**9


def route(*parameters: Parameter, body: object = None) -> Route:
    return Route("GET", "/x/{name}", "read", "Market", "", lambda call: call, None, parameters, body)


NAME = Parameter("name", "path", "text", "A name")
ALL = route(
    NAME,
    Parameter("limit", "query", "whole", "How many", default=7, least=1, most=50),
    Parameter("side", "query", "choice", "Which", default="buy", choices=("buy", "sell")),
    Parameter("interval", "query", "choice", "How long", default="1s", choices=("1s", "1m")),
    Parameter("from", "query", "moment", "Since"),
    Parameter("quote", "query", "decimal", "How much"),
    Parameter("tz", "query", "zone", "Where"),
)


def value(name: str, query: str) -> object:
    return values_of(ALL, {"name": "a"}, query, NOW)[name]


def refused(query: str, path: str = "a", checked: Route = ALL) -> Problem:
    with pytest.raises(Problem) as caught:
        values_of(checked, {"name": path}, query, NOW)
    return caught.value


def test_what_is_absent_is_the_default() -> None:
    assert values_of(ALL, {"name": "BTC/USDT"}, "", NOW) == {
        "name": "BTC/USDT",
        "limit": 7,
        "side": "buy",
        "interval": "1s",
        "from": None,
        "quote": None,
        "tz": None,
    }


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("limit=50", "limit", 50),
        ("side=sell&limit=1", "side", "sell"),
        ("from=1799999999123", "from", 1_799_999_999_123_000_000),
        ("from=0", "from", 0),
        ("from=now", "from", NOW),
        ("from=10m", "from", NOW - 600 * 10**9),
        ("from=10m%20ago", "from", NOW - 600 * 10**9),
        ("from=2027-01-15T08:00:00Z", "from", NOW),
        ("from=2027-01-15T09%3A00%3A00%2B01:00", "from", NOW),
        ("quote=100.250", "quote", "100.250"),
        ("&&limit=3&", "limit", 3),
    ],
)
def test_texts_become_values(query: str, name: str, expected: object) -> None:
    assert value(name, query) == expected


def test_a_zone_is_named() -> None:
    assert str(value("tz", "tz=Europe/Berlin")) == "Europe/Berlin"
    assert str(value("tz", "tz=utc")) == "UTC"


@pytest.mark.parametrize(
    ("query", "argument", "sentence"),
    [
        ("limit=0", "limit", "limit cannot be '0': give a whole number from 1 to 50"),
        ("limit=51", "limit", "from 1 to 50"),
        ("limit=1.5", "limit", "whole number"),
        ("limit=", "limit", "cannot be ''"),
        ("limit", "limit", "cannot be ''"),
        ("limit=%D9%A3", "limit", "whole number"),  # an Arabic three
        ("side=BUY", "side", "give one of buy, sell"),
        ("from=soon", "from", "ISO 8601"),
        ("from=-1", "from", "from 1970"),
        ("from=99999999999999", "from", "to 2262"),
        ("from=1969-01-01", "from", "from 1970"),
        ("from=9999-12-31", "from", "2262|ISO"),
        ("quote=-1", "quote", "decimal number above 0"),
        ("quote=1e3", "quote", "decimal number"),
        ("quote=nan", "quote", "decimal number above 0"),
        ("tz=Mars/Base", "tz", "Europe/Berlin"),
        ("tz=../../etc/passwd", "tz", "time zone"),
        ("tz=/etc/localtime", "tz", "time zone"),
        ("tz=Europe", "tz", "time zone"),
        ("tz=%00", "tz", "time zone"),
        ("limit=1&limit=1", "limit", "given twice"),
        ("page=2", "page", "no argument 'page'; there are limit, side, interval, from, quote, tz"),
        ("name=b", "name", "no argument 'name'"),
    ],
)
def test_what_has_no_value_is_refused_by_name(query: str, argument: str, sentence: str) -> None:
    problem = refused(query)
    assert problem.code == "bad_argument"
    assert problem.more["argument"] == argument
    assert any(part in problem.detail for part in sentence.split("|"))


def test_a_bad_interval_has_its_own_code() -> None:
    problem = refused("interval=7m")
    assert (problem.code, problem.detail) == (
        "bad_interval",
        "interval cannot be '7m': give one of 1s, 1m",
    )


def test_what_is_required_must_be_there() -> None:
    needing = route(NAME, Parameter("quote", "query", "decimal", "An amount", required=True, example="5"))
    for query in ("", "&"):
        problem = refused(query, checked=needing)
        assert problem.detail == "quote is missing, as quote=5: An amount"


def test_a_path_that_takes_none_says_so() -> None:
    assert "this path takes none" in refused("a=1", checked=route(NAME)).detail


@pytest.mark.parametrize("text", ["", "a\n", "\x00", "x" * 121, "\udcff"])
def test_texts_are_printable_and_bounded(text: str) -> None:
    assert refused("", path=text).code == "bad_argument"


@pytest.mark.parametrize("query", ["limit=%ff", "x" * 5_000, "%ff=1"])
def test_broken_queries_are_refused(query: str) -> None:
    assert refused(query).code == "bad_argument"


@given(st.text(max_size=60), st.text(max_size=40))
def test_whatever_comes_is_a_value_or_a_problem_that_can_be_told(query: str, path: str) -> None:
    found: Problem | None = None
    try:
        values_of(ALL, {"name": path}, query, NOW)
    except Problem as problem:
        found = problem
    assert found is None or found.status == 400
    if found is not None:
        assert msgspec.json.encode({"detail": found.detail, **found.more})


# --- bodies -----------------------------------------------------------------------------------------------------

POST = route(NAME, body=NewSymbol)


def test_a_body_is_json_or_msgpack() -> None:
    wanted = NewSymbol(symbol="a", venue="b")
    assert body_of(POST, b'{"symbol": "a", "venue": "b"}', "Application/JSON; charset=utf-8") == wanted
    assert body_of(POST, msgspec.msgpack.encode(wanted), "application/msgpack") == wanted
    assert body_of(ALL, b"whatever", "text/plain") is None


@pytest.mark.parametrize(
    ("data", "kind", "code", "sentence"),
    [
        (b"symbol=a", "application/x-www-form-urlencoded", "unsupported_media", "application/json"),
        (b'{"symbol": "a", "venue": "b"}', "", "unsupported_media", "not none"),
        (b"", "", "bad_body", "symbol is missing: send {"),
        (b"{", "application/json", "bad_body", "no JSON"),
        (b'{"symbol": "\xff", "venue": "b"}', "application/json", "bad_body", "body"),
        (b"[" * 50_000, "application/json", "bad_body", "send an object"),
        (b"\xc1", "application/msgpack", "bad_body", "no msgpack"),
        (b'{"venue": "a"}', "application/json", "bad_body", "symbol is missing"),
        (
            b'{"symbol": 1, "venue": "b"}',
            "application/json",
            "bad_body",
            "symbol is text, not a whole number",
        ),
        (b'{"symbol": "", "venue": "b"}', "application/json", "bad_body", "symbol has at least 1 character"),
        (b'{"symbol": "a", "venue": "b", "x": 1}', "application/json", "bad_body", "no field 'x'"),
    ],
)
def test_a_body_that_is_not_as_described_is_refused(data: bytes, kind: str, code: str, sentence: str) -> None:
    with pytest.raises(Problem) as caught:
        body_of(POST, data, kind)
    assert caught.value.code == code
    assert sentence in caught.value.detail
