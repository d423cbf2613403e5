"""The limits file: the packaged one is valid and says what venues publish; a bad one is refused by its key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BadLimits
from engine.exchange.venue_rules import RULES as VENUES_OWN
from engine.limits import rules
from engine.telemetry.hub import LIMITS

PACKAGED = json.loads(rules.PACKAGED.read_text(encoding="utf-8"))
README = (rules.PACKAGED.parent / "README.md").read_text(encoding="utf-8")


def weight(venue: str, endpoint: str, arguments: dict[str, Any]) -> int:
    """What the packaged file says a call weighs."""
    costs = dict(rules.load().venues[venue].costs(endpoint))
    return costs["weight"].of(arguments)


@pytest.mark.parametrize(
    ("venue", "endpoint", "arguments", "expected"),
    [
        ("binance_spot", "GET /api/v3/depth", {"limit": 100}, 5),
        ("binance_spot", "GET /api/v3/depth", {"limit": "101"}, 25),
        ("binance_spot", "GET /api/v3/depth", {"limit": 1_000}, 50),
        ("binance_spot", "GET /api/v3/depth", {"limit": 5_000}, 250),
        ("binance_spot", "GET /api/v3/depth", {"limit": 9_999}, 250),
        ("binance_spot", "GET /api/v3/depth", {"limit": "all"}, 250),
        ("binance_spot", "GET /api/v3/depth", {}, 5),
        ("binance_spot", "GET /api/v3/ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("binance_spot", "GET /api/v3/ticker/24hr", {}, 80),
        ("binance_spot", "GET /api/v3/ticker/24hr", {"symbol": ""}, 80),
        ("binance_spot", "GET /api/v3/exchangeInfo", {}, 20),
        ("binance_usdm", "GET /fapi/v1/klines", {"limit": 99}, 1),
        ("binance_usdm", "GET /fapi/v1/klines", {"limit": 100}, 2),
        ("binance_usdm", "GET /fapi/v1/klines", {"limit": 1_500}, 10),
        ("binance_usdm", "GET /fapi/v1/premiumIndex", {}, 10),
        ("binance_coinm", "GET /dapi/v1/depth", {"limit": 1_000}, 20),
    ],
)
def test_weights_are_those_the_venues_publish(
    venue: str, endpoint: str, arguments: dict[str, Any], expected: int
) -> None:
    assert weight(venue, endpoint, arguments) == expected


def test_no_call_is_counted_lighter_than_the_local_venue_counts_it() -> None:
    """The local venue was written from the same pages by another hand."""
    for venue, own in rules.load().venues.items():
        if venue == "bybit":
            continue
        for endpoint in own.endpoints:
            if endpoint == rules.CONNECT:
                continue
            for arguments in (
                {},
                {"limit": "5"},
                {"limit": "100"},
                {"limit": "499"},
                {"limit": "1000"},
                {"symbol": "X"},
            ):
                theirs = VENUES_OWN[venue].weigh(endpoint, arguments)
                assert weight(venue, endpoint, dict(arguments)) >= theirs, (endpoint, arguments)


def test_windows_are_those_the_local_venue_enforces() -> None:
    for venue, enforced in VENUES_OWN.items():
        ours = rules.load().venues[venue].windows
        for window in enforced.windows:
            if window.kind in ("REQUEST_WEIGHT", "RAW_REQUESTS", "CONNECTIONS") and not window.endpoints:
                assert any(
                    (each.window_ns, each.limit) == (window.interval_s * 10**9, window.limit) for each in ours
                ), (venue, window)


def test_bybits_orders_count_by_category() -> None:
    costs = dict(rules.load().venues["bybit"].costs("POST /v5/order/create"))
    assert (costs["create"].of({"category": "spot"}), costs["create_spot"].of({"category": "spot"})) == (0, 1)
    assert (costs["create"].of({"category": "linear"}), costs["create_spot"].of({"category": "linear"})) == (
        1,
        0,
    )
    assert costs["requests"].of({}) == 1


WINDOW = "bybit.windows[0]"
DEPTH = 'binance_spot.endpoints["GET /api/v3/depth"].weight'
STEPS = ["binance_spot", "endpoints", "GET /api/v3/depth", "weight", "steps"]
BAD: list[tuple[list[Any], Any, str, str]] = [
    (["bybit", "windows", 0, "limit"], 0, f"{WINDOW}.limit", "from 1 to"),
    (["bybit", "windows", 0, "limit"], -5, f"{WINDOW}.limit", "from 1 to"),
    (["bybit", "windows", 0, "limit"], "600", f"{WINDOW}.limit", "the text '600'"),
    (["bybit", "windows", 0, "limit"], 1.5, f"{WINDOW}.limit", "a whole number"),
    (["bybit", "windows", 0, "limit"], True, f"{WINDOW}.limit", "not true"),
    (["bybit", "windows", 0, "limit"], None, f"{WINDOW}.limit", "not null"),
    (["bybit", "windows", 0, "limit"], 10**30, f"{WINDOW}.limit", "from 1 to"),
    (["bybit", "windows", 0, "window_s"], 0, f"{WINDOW}.window_s", "from 0.001"),
    (["bybit", "windows", 0, "window_s"], float("nan"), f"{WINDOW}.window_s", "a number"),
    (["bybit", "windows", 0, "scope"], "world", f"{WINDOW}.scope", "ip, account, order, connect"),
    (["bybit", "windows", 0, "server"], ["fixed"], f"{WINDOW}.server", "fixed, sliding"),
    (["bybit", "windows", 0, "share"], 1.1, f"{WINDOW}.share", "from 0.0 to 1.0"),
    (["bybit", "windows", 0, "share"], 0.0001, f"{WINDOW}.share", "nothing of a limit of 600 is left"),
    (["bybit", "windows", 0, "colour"], 1, f"{WINDOW}.colour", "no such key"),
    (["bybit", "windows", 0, "counts"], "used", f"{WINDOW}.counts", "without a header"),
    (["bybit", "windows", 1, "label"], "Requests, 5 s", "bybit.windows[1].label", "another window"),
    (["bybit", "windows"], [], "bybit.windows", "at least one"),
    (["bybit", "windows"], {}, "bybit.windows", "a list, not an object"),
    (["bybit", "label"], "", "bybit.label", "a text"),
    (["bybit", "reserve"], 0.95, "bybit.reserve", "from 0.0 to 0.9"),
    (["bybit", "queue"], 0, "bybit.queue", "from 1 to"),
    (["bybit", "guard_ms"], -1, "bybit.guard_ms", "from 0 to"),
    (["bybit", "stops_s", "500"], 1, "bybit.stops_s.500", "429, 418, 403"),
    (["bybit", "codes", "ten"], "ip", "bybit.codes.ten", "a whole number"),
    (["bybit", "codes", "10006"], "all", "bybit.codes.10006", "one of"),
    (["bybit", "each"], {"wieght": 1}, "bybit.each.wieght", "no window counts it"),
    (["bybit", "default"], {}, None, ""),  # what each call costs is enough
    (["binance_usdm", "default"], {}, "binance_usdm.default", "must cost something"),
    (["bybit", "endpoints", "get /x"], {}, 'bybit.endpoints["get /x"]', "a method and a path"),
    (["bybit", "extra"], 1, "bybit.extra", "no such key"),
    (["binance_spot", "endpoints", "GET /api/v3/depth", "weight"], -1, DEPTH, "from 0 to"),
    ([*STEPS], [], f"{DEPTH}.steps", "at least one"),
    ([*STEPS, 1], [5, 1], f"{DEPTH}.steps[1][0]", "upwards"),
    ([*STEPS, 1], [5], f"{DEPTH}.steps[1]", "two numbers"),
    (["binance_spot", "endpoints", "GET /api/v3/depth", "weight", "present"], 1, DEPTH, "beside"),
    (["bybit"], 5, "bybit", "an object"),
    (["bybit", "reserve"], 10**400, "bybit.reserve", "a number, not inf"),
    (["bybit", "guard_ms"], -(10**400), "bybit.guard_ms", "a number, not -inf"),
    (["bybit", "windows", 0, "window_s"], 10**400, f"{WINDOW}.window_s", "a number, not inf"),
    (["bybit", "windows", 0, "limit"], 10**400, f"{WINDOW}.limit", "a whole number, not inf"),
    (["bybit", "windows", 0, "limit"], 10**17, f"{WINDOW}.limit", "from 1 to"),
    (
        ["binance_spot", "endpoints", "GET /api/v3/exchangeInfo", "weight"], 5_701,
        'binance_spot.endpoints["GET /api/v3/exchangeInfo"].weight', "more than Weight, 1 min leaves to a call (5,700)",
    ),
    (
        ["binance_spot", "windows", 0, "limit"], 84,
        'binance_spot.endpoints["GET /api/v3/depth"].weight', "more than Weight, 1 min leaves",
    ),
    (["bybit", "codes", "9" * 5_001], "ip", f"bybit.codes.{'9' * 60}", "a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "key", "reason"), BAD)
def test_a_bad_value_is_refused_by_the_path_of_its_key(
    place: list[Any], value: Any, key: str | None, reason: str
) -> None:
    document = copy.deepcopy(PACKAGED)
    at = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    if key is None:
        rules.parse(json.dumps(document))
        return
    with pytest.raises(BadLimits) as caught:
        rules.parse(json.dumps(document), "mine.json")
    assert caught.value.key == key
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"rate limits in mine.json: {key}: ")


@pytest.mark.parametrize("key", ["reserve", "guard_ms", "queue"])
def test_a_number_of_thousands_of_digits_is_refused_by_its_key(key: str) -> None:
    document = copy.deepcopy(PACKAGED)
    document["bybit"][key] = "@"
    with pytest.raises(BadLimits) as caught:
        rules.parse(json.dumps(document).replace('"@"', "1" + "0" * 5_000))
    assert caught.value.key == f"bybit.{key}"


def test_an_argument_beyond_reason_costs_the_most() -> None:
    (_, cost), *_ = [
        pair for pair in rules.load().venues["binance_spot"].costs("GET /api/v3/depth") if pair[0] == "weight"
    ]
    assert cost.of({"limit": 10**400}) == cost.most


@pytest.mark.parametrize("key", ["label", "scope", "unit", "limit", "window_s", "server"])
def test_a_missing_key_is_named(key: str) -> None:
    document = copy.deepcopy(PACKAGED)
    del document["bybit"]["windows"][0][key]
    with pytest.raises(BadLimits, match="it is missing") as caught:
        rules.parse(json.dumps(document))
    assert caught.value.key == f"bybit.windows[0].{key}"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "{}", '{"a": 1, "a": 2}', "[" * 100_000, "\x00"])
def test_what_is_no_limits_file_is_refused(text: str) -> None:
    with pytest.raises(BadLimits):
        rules.parse(text)


def test_as_many_venues_as_are_counted_by_second_may_be_named_and_no_more() -> None:
    named = {f"venue{number}": PACKAGED["bybit"] for number in range(LIMITS + 1)}
    with pytest.raises(BadLimits, match="33 venues, more than 32"):
        rules.parse(json.dumps(named))
    named.popitem()
    assert len(rules.parse(json.dumps(named)).venues) == LIMITS


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLimits, match="it cannot be read"):
        rules.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadLimits, match="not UTF-8"):
        rules.load(tmp_path / "binary.json")


def test_a_users_copy_is_read(tmp_path: Path) -> None:
    mine = {"bybit": copy.deepcopy(PACKAGED["bybit"])}
    mine["bybit"]["windows"][0]["share"] = 0.5
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    found = rules.load(tmp_path / "mine.json")
    assert list(found.venues) == ["bybit"]
    assert found.venues["bybit"].windows[0].share == 0.5


def test_every_key_is_described() -> None:
    for key in rules._WINDOW_KEYS | rules._VENUE_KEYS | rules._COST_KEYS:
        assert f"`{key}`" in README, key
