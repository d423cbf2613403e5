"""Two readings of the venues' limits, written apart: the limiter's file, and the venue's rules here. They must agree.

What the exchange enforces from the file is the first of them, put into the venue's windows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadLimits
from engine.exchange.dialects.binance import ROOTS
from engine.exchange.enforcement import Enforcement
from engine.exchange.file_rules import SPOT, per_second, rules_from
from engine.exchange.limit_windows import Rules, Window
from engine.exchange.venue_rules import RULES
from engine.limits import rules as limiter_rules

S = 1_000_000_000
NOON = 1_800_000_000 * S
FILE = limiter_rules.load()
LIMITER = FILE.venues
ENFORCED: Mapping[str, Rules] = {
    key: rules_from(FILE, key, assumed=SPOT if key == "bybit" else {}) for key in RULES
}
# What the file cannot say, since a cost depends on one argument alone, or what it takes to be dearer to be safe.
DEARER = {
    "GET /api/v3/ticker/24hr",
    "POST /api/v3/order/test",
    "GET /api/v3/myTrades",
}
# Private endpoints of the futures, that no local venue serves: written down once.
UNSERVED = ("/fapi/v1/", "/fapi/v3/", "/dapi/v1/")
SERVED_FUTURES = (
    "ping", "time", "exchangeInfo", "depth", "trades", "aggTrades", "klines", "ticker/24hr", "ticker/price",
    "ticker/bookTicker", "premiumIndex", "fundingRate", "fundingInfo",
)  # fmt: skip


def endpoints(key: str) -> list[str]:
    """All of the file's that the second reading knows too."""
    root = ROOTS.get(key, "")
    return [
        each
        for each in LIMITER[key].endpoints
        if each != "CONNECT"
        and (
            not each.split(" ")[1].startswith(UNSERVED) or each.removeprefix(f"GET {root}/") in SERVED_FUTURES
        )
    ]


CALLS = [(key, endpoint) for key in sorted(RULES) for endpoint in endpoints(key)]
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.just("BTCUSDT"),
        "limit": st.integers(1, 6_000).map(str),
        "category": st.sampled_from(["spot", "linear", "inverse"]),
        "orderId": st.just("1"),
        "symbols": st.just('["BTCUSDT","ETHUSDT"]'),
    },
)


def of_weight(rules: Rules, endpoint: str, arguments: Mapping[str, str]) -> int:
    return rules.weigh(endpoint, arguments)


@settings(max_examples=400)
@given(call=st.sampled_from(CALLS), arguments=ARGUMENTS)
def test_both_give_every_call_the_same_weight(call: tuple[str, str], arguments: dict[str, str]) -> None:
    key, endpoint = call
    theirs, ours = (of_weight(each[key], endpoint, arguments) for each in (ENFORCED, RULES))
    if endpoint in DEARER:
        assert theirs >= ours, (endpoint, arguments)
    else:
        assert theirs == ours, (endpoint, arguments)
    if key != "bybit":
        assert theirs == dict(LIMITER[key].costs(endpoint))["weight"].of(arguments)


def test_every_endpoint_was_compared() -> None:
    assert (
        len([endpoint for key, endpoint in CALLS if key == "binance_spot"])
        == len(LIMITER["binance_spot"].endpoints) - 1
    )
    assert len([endpoint for key, endpoint in CALLS if key == "bybit"]) == len(LIMITER["bybit"].endpoints) - 1
    assert len(CALLS) > 60


def facts(window: Window) -> tuple[str, float, int, bool, bool]:
    return window.kind, window.interval_s, window.limit, window.sliding, window.by_account


@pytest.mark.parametrize("key", sorted(RULES))
def test_both_have_the_same_windows(key: str) -> None:
    ours = {facts(each) for each in RULES[key].windows}
    theirs = {facts(each) for each in ENFORCED[key].windows}
    assert ours == theirs


@settings(max_examples=200)
@given(
    call=st.sampled_from([endpoint for key, endpoint in CALLS if key == "bybit"]),
    category=st.sampled_from([{}, {"category": "spot"}, {"category": "linear"}]),
)
def test_a_users_call_has_the_same_limit_in_both(call: str, category: dict[str, str]) -> None:
    headers = [
        Enforcement(each["bybit"]).request(NOON, "a", call, category, account="one").headers
        for each in (RULES, ENFORCED)
    ]
    assert headers[0] == headers[1]


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(
        st.tuples(st.sampled_from(CALLS), st.integers(0, S // 20), st.sampled_from(["1", "2"]), ARGUMENTS),
        min_size=1,
        max_size=80,
    ),
    divide=st.integers(1, 200),
)
def test_both_serve_and_refuse_the_same_calls(
    calls: list[tuple[tuple[str, str], int, str, dict[str, str]]], divide: int
) -> None:
    """With limits cut to a part, so that they are passed."""

    def cut(rules: Rules) -> Rules:
        windows = tuple(replace(each, limit=max(1, each.limit // divide)) for each in rules.windows)
        return replace(rules, windows=windows)

    pairs = {key: (Enforcement(cut(RULES[key])), Enforcement(cut(ENFORCED[key]))) for key in RULES}
    now = NOON
    for (key, endpoint), wait, account, arguments in calls:
        if endpoint in DEARER or endpoint.endswith(("order/realtime", "order/history")):
            continue
        now += wait
        orders = int(endpoint.startswith("POST") and "order" in endpoint and key != "bybit")
        ours, theirs = (each.request(now, "a", endpoint, arguments, account=account) for each in pairs[key])
        assert ours == theirs
        if orders and ours.served:
            ours, theirs = (each.place(now, "a", account, orders) for each in pairs[key])
            assert ours == theirs


def edited(budget: str, **changes: Any) -> limiter_rules.Rules:
    document = json.loads(limiter_rules.PACKAGED.read_text())
    document[budget] |= changes
    return limiter_rules.parse(json.dumps(document))


def test_who_edits_the_file_changes_what_is_enforced() -> None:
    windows: list[dict[str, Any]] = [
        {
            "label": "Weight, 0.5 s", "scope": "ip", "unit": "weight", "limit": 10, "window_s": 0.5,
            "server": "fixed", "type": "REQUEST_WEIGHT",
        },
        {"label": "Orders, 1 s", "scope": "order", "unit": "orders", "limit": 2, "window_s": 1, "server": "fixed"},
        {"label": "Pings, 1 min", "scope": "ip", "unit": "pings", "limit": 3, "window_s": 60, "server": "sliding"},
        {"label": "Connects", "scope": "connect", "unit": "connects", "limit": 2, "window_s": 300, "server": "sliding"},
    ]  # fmt: skip
    limits = edited(
        "binance_spot",
        windows=windows,
        each={},
        default={"weight": 2},
        endpoints={
            "GET /api/v3/ping": {"weight": 0, "pings": 1},
            "GET /api/v3/depth": {"weight": {"by": "limit", "steps": [[5, 1], [10, 9]], "absent": 4}},
            "CONNECT": {"connects": 1},
        },
    )
    enforcement = Enforcement(rules_from(limits, "binance_spot"))

    def weight(at_ns: int, endpoint: str, **arguments: str) -> str:
        return enforcement.request(NOON + at_ns, "a", endpoint, arguments).headers["X-MBX-USED-WEIGHT-1S"]

    assert [weight(0, "GET /api/v3/depth", limit=each) for each in ("5", "6")] == ["1", "10"]
    assert enforcement.request(NOON, "a", "GET /api/v3/time").status == 429
    assert weight(S // 2, "GET /api/v3/depth") == "4"
    pings = [enforcement.request(NOON + S, "a", "GET /api/v3/ping").served for _ in range(4)]
    assert pings == [True, True, True, False]
    orders = [enforcement.place(NOON + 2 * S, "b", "one") for _ in range(3)]
    assert [each.code for each in orders] == [0, 0, -1015]
    assert enforcement.order_headers(NOON + 2 * S, "one")["X-MBX-ORDER-COUNT-1S"] == "2"
    assert [enforcement.connect(NOON + 3 * S, "c").served for _ in range(3)] == [True, True, False]


def test_an_accounts_limits_are_counted_by_the_dialect_or_here() -> None:
    assert per_second(FILE) == {
        "/v5/order/create": 20, "/v5/order/cancel": 20, "/v5/order/amend": 10, "/v5/order/realtime": 50,
        "/v5/order/history": 50, "/v5/position/list": 50, "/v5/account/wallet-balance": 50,
    }  # fmt: skip
    assert per_second(FILE, assumed={"category": "linear"})["/v5/order/create"] == 10
    assert not any(each.by_account for each in rules_from(FILE, "bybit", accounts=False).windows)


def test_a_file_without_a_budget_is_refused() -> None:
    short = limiter_rules.Rules("mine.json", {"bybit": LIMITER["bybit"]})
    with pytest.raises(BadLimits, match=r"mine\.json.*binance_spot"):
        rules_from(short, "binance_spot")
