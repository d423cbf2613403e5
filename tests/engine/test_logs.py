"""What the log says, and that nothing secret is in it."""

from __future__ import annotations

import io
import json
import logging
import string
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from engine import logs

FORMS = ("console", "json")
WORD = string.ascii_letters + string.digits + "-_"


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], _ = handlers, root.setLevel(level)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    structlog.configure(**before)


def written(form: str, say: Callable[[Any], object], level: str = "debug") -> str:
    stream = io.StringIO()
    logs.configure(level, form, stream)
    say(structlog.get_logger("test"))
    return stream.getvalue()


def words(least: int = 8) -> st.SearchStrategy[str]:
    return st.text(WORD, min_size=least, max_size=60)


# Where a secret may stand in text: what is around it is part of the form it has.
TEXTS: dict[str, Callable[[str], str]] = {
    "own key": lambda s: f"vsk_3f2a_{s}",
    "jwt": lambda s: f"eyJhbGciOi.{s}.{s}",
    "cut jwt": lambda s: f"eyJ{s}",
    "url": lambda s: f"https://user:{s}@host.example/path",
    "url without a user": lambda s: f"wss://{s}@host.example",
    "url with at": lambda s: f"https://u:{s}@{s}@host/",
    "telegram": lambda s: f"https://api.telegram.org/bot123456:{s}/sendMessage",
    "telegram escaped": lambda s: f"/bot123456%3A{s}/sendMessage",
    "signature": lambda s: f"GET /api/v3/order?symbol=BTCUSDT&signature={s}&timestamp=1",
    "listenKey": lambda s: f"wss://stream/ws?listenKey={s}",
    "token": lambda s: f"/login?token={s}",
    "token last": lambda s: f"/ws?a=1&access_token={s}#x",
    "escaped query": lambda s: f"redirect=%2Flogin%3Ftoken%3D{s}",
    "header": lambda s: f"Authorization: Bearer {s}",
    "basic": lambda s: f"Authorization: Basic {s}==",
    "bearer alone": lambda s: f"sent Bearer {s} to it",
    "api key header": lambda s: f"X-MBX-APIKEY: {s}\r\nHost: x",
    "own header": lambda s: f"X-Api-Key: {s}",
    "cookie": lambda s: f"Cookie: a=1; venuescope={s}; b={s}",
    "set-cookie": lambda s: f"Set-Cookie: session={s}; HttpOnly",
    "repr": lambda s: repr({"secret": s, "n": 1}),
    "repr of bytes": lambda s: repr({"password": s.encode()}),
    "repr of a list": lambda s: repr({"tokens": [s, s]}),
    "repr of headers": lambda s: repr({"Cookie": f"x={s}"}),
    "json": lambda s: json.dumps({"apiKey": s}),
    "json in json": lambda s: json.dumps(json.dumps({"api_secret": s})),
    "prose": lambda s: f"the password is wrong, password: {s}",
    "with punctuation": lambda s: f"passphrase={s},;&!{s} next",
    "quoted quote": lambda s: f'secret="a\\"{s}"',
}


class Rude:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Rude(secret={self.secret!r})"


def fail(text: str) -> None:
    try:
        raise KeyError("inner") from ValueError(text)
    except KeyError:
        raise RuntimeError(text) from None


def by_exception(text: str) -> Callable[[Any], None]:
    def say(log: Any) -> None:
        try:
            fail(text)
        except RuntimeError as error:
            log.error("failed", exc_info=error)

    return say


def by_stdlib(text: str) -> Callable[[Any], None]:
    def say(log: Any) -> None:
        try:
            fail(text)
        except RuntimeError:
            logging.getLogger("aiohttp.server").exception("Error handling %s", text)

    return say


def by_context(text: str) -> Callable[[Any], None]:
    def say(log: Any) -> None:
        with structlog.contextvars.bound_contextvars(request_id=text):
            log.warning("said")

    return say


def by_warning(text: str) -> Callable[[Any], None]:
    def say(log: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn(text, stacklevel=1)

    return say


# Ways in which that text comes into a line.
WAYS: dict[str, Callable[[str], Callable[[Any], object]]] = {
    "event": lambda text: lambda log: log.info(text),
    "argument": lambda text: lambda log: log.info("said %s", text),
    "value": lambda text: lambda log: log.info("said", what=text),
    "deep value": lambda text: lambda log: log.info("said", what={"a": [{"b": (text, 1)}]}),
    "too deep": lambda text: lambda log: log.info("said", what=[[[[[[[[[text]]]]]]]]]),
    "key": lambda text: lambda log: log.info("said", what={text: 1}),
    "bytes": lambda text: lambda log: log.info("said", what=text.encode()),
    "an exception as value": lambda text: lambda log: log.info("said", error=OSError(text)),
    "exception": by_exception,
    "stdlib": by_stdlib,
    "context": by_context,
    "warning": by_warning,
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=words(),
    where=st.sampled_from(sorted(TEXTS)),
    way=st.sampled_from(sorted(WAYS)),
    form=st.sampled_from(FORMS),
    before=st.text(max_size=20),
    after=st.sampled_from(["", " ", " and more", "\n", '"', ")"]),
)
@example("A" * 8, "json in json", "deep value", "json", "\ud800", "")
def test_a_secret_in_text_is_never_written(
    secret: str, where: str, way: str, form: str, before: str, after: str
) -> None:
    assume(secret.lower() not in (before + after).lower())
    text = f"{before}{TEXTS[where](secret)}{after}"
    # What a line says anyway ("timestamp") is no secret.
    assume(secret not in written(form, WAYS[way](f"{before}{TEXTS[where]('Zq7Zq7Zq7')}{after}")))
    if way == "bytes":
        assume(text.isascii())
    said = written(form, WAYS[way](text))
    assert said, "nothing was written"
    assert secret not in said


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=8, max_size=40),
    key=st.sampled_from(
        ["secret", "password", "api_key", "apiKey", "token", "Authorization", "signature", "Cookie", "listenKey",
         "X-MBX-APIKEY", "client_secret", "access-token", "passphrase", "private_key"]
    ),
    form=st.sampled_from(FORMS),
    deep=st.booleans(),
)  # fmt: skip
def test_what_stands_under_a_secret_key_is_never_written(
    secret: str, key: str, form: str, deep: bool
) -> None:
    def said_with(secret: str) -> str:
        values: dict[str, Any] = {"headers": {key: secret}} if deep else {key: secret}
        return written(form, lambda log: log.info("said", **values, more=[Rude(secret)]))

    assume(secret not in said_with("Zq7Zq7Zq7"))
    said = said_with(secret)
    assert secret not in said
    assert key in said
    assert logs.HIDDEN in said


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_secret_stays(form: str) -> None:
    said = written(
        form,
        lambda log: log.info("order sent", url="https://host/a?symbol=BTCUSDT&b=1", tokens=5, key="price"),
    )
    assert "https://host/a?symbol=BTCUSDT&b=1" in said
    assert logs.HIDDEN not in said


def test_a_line_of_json_is_one_object_with_a_structured_exception() -> None:
    said = written("json", by_exception("broke\nin two lines"))
    (line,) = said.splitlines()
    told = json.loads(line)
    assert list(told)[:3] == ["timestamp", "level", "event"]
    assert told["timestamp"].endswith("Z")
    assert (told["level"], told["event"]) == ("error", "failed")
    (error,) = told["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("RuntimeError", "broke\nin two lines")
    assert [frame["name"] for frame in error["frames"]] == ["say", "fail"]
    assert "locals" not in error["frames"][0]


def test_lines_of_other_libraries_have_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    root = logging.getLogger()
    root.handlers[:] = [
        each for each in root.handlers if isinstance(each, logs.Foreign)
    ]  # not the test runner's
    logging.getLogger("aiohttp.server").error("cannot %s", "serve")
    logging.getLogger("hypercorn.error").info("not heard: below a warning")
    logging.getLogger("x").warning("arguments that do not fit %d", "text")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["level"], each["event"], each["logger"]) for each in told] == [
        ("error", "cannot serve", "aiohttp.server"),
        ("warning", "arguments that do not fit %d", "x"),
    ]


def test_a_bound_request_id_is_in_every_line_of_the_request() -> None:
    def say(log: Any) -> None:
        with structlog.contextvars.bound_contextvars(request_id="r-1"):
            log.info("in it")
            logging.getLogger("asyncio").warning("in it too")
        log.info("after")

    told = [json.loads(line) for line in written("json", say).splitlines()]
    assert [each.get("request_id") for each in told] == ["r-1", "r-1", None]


def test_below_the_level_nothing_is_made_of_the_arguments() -> None:
    class Costly:
        def __repr__(self) -> str:
            raise AssertionError("it was made into text")

    assert written("json", lambda log: log.debug("said", what=Costly()), "info") == ""


def test_a_console_line_stays_one_line_and_obeys_nothing() -> None:
    said = written("console", lambda log: log.info("evil\x1b[2J\nfake line", what="a\nb", ok="plain"))
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "ok=plain" in said


def test_values_are_bounded_and_always_told() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    def say(log: Any) -> None:
        log.info("x" * 50_000, many=list(range(1_000)), what=Broken(), n=2**70, f=float("nan"))

    said = json.loads(written("json", say))
    assert len(said["event"]) < 17_000
    assert len(said["many"]) == 100
    assert "cannot be shown" in said["what"]
    assert said["n"] == str(2**70)
    assert said["f"] == "nan"


def test_what_cannot_be_written_is_counted() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    lines = logs.configure("info", "console", Full())
    structlog.get_logger("x").info("one")
    logging.getLogger("y").warning("two")
    assert lines.lost == 2


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        "://",
        "a:",
        "token ",
        '"',
        "eyJ.",
        "bearer ",
        "api_key\\",
        "cookie:",
        "&a",
        "token=&",
        "token=[",
    ],
)
def test_redaction_is_linear_in_what_a_stranger_sends(text: str) -> None:
    assert len(logs.redacted(text * (logs.TEXT_MOST // len(text)))) <= 4 * logs.TEXT_MOST
