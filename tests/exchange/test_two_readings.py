"""The venue's limits here and the limiter's file were written apart: where they meet they must say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.dialects.binance import ROOTS
from engine.exchange.venue_rules import RULES
from engine.limits import rules as limiter_rules

LIMITER = limiter_rules.load().venues
CALLS = {
    key: [
        f"GET {root}/{name}"
        for name in (
            "ping", "time", "exchangeInfo", "depth", "trades", "aggTrades", "klines", "ticker/24hr",
            "ticker/price", "ticker/bookTicker",
            *(() if key == "binance_spot" else ("premiumIndex", "fundingRate", "fundingInfo")),
        )
    ]
    for key, root in ROOTS.items()
}  # fmt: skip
ARGUMENTS = st.fixed_dictionaries(
    {}, optional={"symbol": st.just("BTCUSDT"), "limit": st.integers(1, 6_000).map(str)}
)


@given(key=st.sampled_from(sorted(ROOTS)), at=st.integers(0, 12), arguments=ARGUMENTS)
def test_both_give_every_call_the_same_weight(key: str, at: int, arguments: dict[str, str]) -> None:
    endpoint = CALLS[key][at % len(CALLS[key])]
    theirs = dict(LIMITER[key].costs(endpoint))
    assert theirs["weight"].of(arguments) == RULES[key].weigh(endpoint, arguments), (endpoint, arguments)


@pytest.mark.parametrize("key", sorted(RULES))
def test_both_have_the_same_windows(key: str) -> None:
    theirs = {
        (window.type or window.unit, window.window_ns // 1_000_000_000, window.limit)
        for window in LIMITER[key].windows
    }
    names = {"CONNECTIONS": "connects", "ENDPOINT": "funding"}
    if key == "bybit":
        names["RAW_REQUESTS"] = "requests"
    for window in RULES[key].windows:
        assert (names.get(window.kind, window.kind), window.interval_s, window.limit) in theirs
