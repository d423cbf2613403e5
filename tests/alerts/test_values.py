"""What rules are held against: exact prices of books that are in step, counts of a minute, p99 of ten seconds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.rules import parse
from engine.alerts.values import Values, price_of
from engine.telemetry.board import VenueView
from tests.alerts.market import SECOND, START, Market


def texts(market: Market, values: Values, said: str) -> dict[str, str | None]:
    values.begin(market.now_ns)
    return {key: found.text if found else None for key, found in values.of(parse(said)).items()}


@pytest.fixture
def market() -> Market:
    """With no source yet."""
    return Market()


@pytest.fixture
def values(market: Market) -> Values:
    return Values(market.telemetry)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("bid", "70000.00"),
        ("ask", "70000.01"),
        ("mid", "70000.005"),
        ("last", "69999.99"),
        ("spread", "0.001 bp"),
    ],
)
def test_prices_are_exact_text(market: Market, values: Values, said: str, text: str) -> None:
    key = market.source("binance_spot")
    market.book(key, 7_000_000, 7_000_001, last=6_999_999)
    assert texts(market, values, f"BTC/USDT {said} above 1") == {key: text}


@given(st.integers(1, 10**15), st.integers(0, 10**6), st.integers(0, 10))
def test_mid_and_spread_are_exact(bid: int, wide: int, decimals: int) -> None:
    book = Market().book("x:live", bid, bid + wide, decimals=decimals)
    mid, spread = price_of("mid", book), price_of("spread_bp", book)
    assert mid is not None
    assert spread is not None
    exact = Fraction(2 * bid + wide, 2)
    assert Fraction(mid.top, mid.bottom) == exact / 10**decimals == Fraction(mid.text)
    assert Fraction(spread.top, spread.bottom) == Fraction(wide) / exact * 10_000


def test_an_empty_side_gives_only_what_the_other_says(market: Market, values: Values) -> None:
    key = market.source("binance_spot")
    market.book(key, 100, None)
    found = {
        m: texts(market, values, f"BTC/USDT {m} above 1")[key]
        for m in ("bid", "ask", "mid", "spread", "last")
    }
    assert found == {"bid": "1.00", "ask": None, "mid": None, "spread": None, "last": None}


@pytest.mark.parametrize("state", ["EMPTY", "BUFFERING", "STALE"])
def test_a_book_that_is_not_in_step_gives_no_price(market: Market, values: Values, state: str) -> None:
    key = market.source("binance_spot")
    market.book(key, 100, 101, last=100, state=state)
    for metric in ("bid", "ask", "mid", "last", "spread"):
        assert texts(market, values, f"BTC/USDT {metric} above 1") == {key: None}


@pytest.mark.parametrize("state", ["loading", "stale", "reconnecting", "ended", "error"])
def test_a_source_that_is_not_of_now_gives_no_price(market: Market, values: Values, state: str) -> None:
    key = market.source("binance_spot", state=state)
    market.book(key, 100, 101)
    assert texts(market, values, "BTC/USDT mid above 1") == {key: None}


def test_each_venue_is_its_own_and_replays_are_left_out(market: Market, values: Values) -> None:
    for venue, run, price in (
        ("binance_spot", "live", 100),
        ("builtin", "sim", 200),
        ("bybit_spot", "replay", 300),
    ):
        market.book(market.source(venue, run), price, price)
    assert texts(market, values, "BTC/USDT bid above 1") == {
        "binance_spot:live": "1.00",
        "builtin:sim": "2.00",
    }
    assert texts(market, values, "BTC/USDT bid on builtin above 1") == {"builtin:sim": "2.00"}
    assert texts(market, values, "BTC/USDT bid on bybit_spot above 1") == {}
    assert texts(market, values, "staleness on bybit_spot above 1") == {}
    assert texts(market, values, "ETH/USDT bid above 1") == {}


def test_staleness_is_since_the_newest_event_else_since_opening(market: Market, values: Values) -> None:
    key, never = market.source("binance_spot"), market.source("bybit_spot", state="loading")
    over = market.source("okx_spot", state="ended")
    board = market.telemetry.board
    board.sources = tuple(replace(s, newest_ns=0) if s.source.key == never else s for s in board.sources)
    market.now_ns += 7 * SECOND + SECOND // 2
    assert texts(market, values, "staleness above 1") == {key: "7.5 s", never: "7.5 s", over: None}


def test_gaps_and_throttled_calls_are_counted_over_the_newest_minute(market: Market, values: Values) -> None:
    key = market.source("binance_spot")
    counter, limit = market.telemetry.counter(key), market.telemetry.limit("bybit")
    for second in range(120):
        counter.add(gaps=1)
        counter.close(START + second * SECOND)
        limit.publish_one((START + second * SECOND, 5, 2, 0, 0))
    market.now_ns = START + 120 * SECOND
    assert texts(market, values, "gaps above 1") == {key: "60 per minute"}
    assert texts(market, values, "throttled calls above 1") == {"bybit": "120 per minute"}
    market.now_ns += 30 * SECOND
    assert texts(market, values, "gaps above 1") == {key: "30 per minute"}
    market.now_ns += 60 * SECOND
    assert texts(market, values, "gaps above 1") == {key: "0 per minute"}


def test_throttling_of_a_market_is_that_of_the_budget_it_spends(market: Market, values: Values) -> None:
    market.telemetry.limit("bybit").publish_one((START, 5, 2, 0, 0))
    market.telemetry.board.venues = (
        VenueView(
            "bybit_linear", "Bybit", "live", "", 0, 0, None, None, (), (), (), (), 0, 0, 0, limits="bybit"
        ),
    )
    assert texts(market, values, "throttled calls on bybit_linear above 1") == {"bybit": "2 per minute"}


def test_p99_is_of_all_samples_of_ten_seconds(market: Market, values: Values) -> None:
    key = market.source("binance_spot")
    stage = market.telemetry.stage(key, "receive")
    said = "p99 of receive on binance_spot above 1 ms"
    assert texts(market, values, said) == {key: None}
    for second in range(30):
        # One in fifty is slow in the last ten seconds, in the second before all were: it is no longer counted.
        slow = 500 if second == 19 else 10 if second > 19 and second % 2 else 0
        samples = np.full(1_000, 1_000_000, np.int64)
        samples[:slow] = 80_000_000
        stage.record(START + second * SECOND, samples)
        stage.advance(START + (second + 1) * SECOND)
        market.now_ns = START + (second + 1) * SECOND
        values.begin(market.now_ns)
        values.of(parse(said))
    found = values.of(parse(said))[key]
    assert found is not None
    assert found.top / found.bottom == pytest.approx(1, rel=0.01)  # 50 in 10,000 are slow
    late = Values(market.telemetry)  # the same, read at once
    late.begin(market.now_ns)
    assert late.of(parse(said))[key] == found
    market.now_ns += 20 * SECOND
    assert texts(market, values, said) == {key: None}


def test_latencies_of_replays_are_left_out(market: Market, values: Values) -> None:
    for key in ("binance_spot:replay", "engine"):
        market.telemetry.stage(key, "loop").record_one(START, 5_000_000)
        market.telemetry.stage(key, "loop").advance(START + SECOND)
    market.now_ns = START + 2 * SECOND
    assert texts(market, values, "p99 of loop above 1") == {"engine": "5 ms"}


def test_p99_without_a_stage_is_of_the_main_one_of_each_source(market: Market, values: Values) -> None:
    market.source("builtin", "sim")
    market.source("binance_spot")
    for key, name in (
        ("builtin:sim", "ack"),
        ("builtin:sim", "match"),
        ("binance_spot:live", "receive"),
        ("binance_spot:live", "decode"),
        ("engine", "loop"),
    ):
        stage = market.telemetry.stage(key, name)
        stage.record_one(START, 5_000_000 if name in ("ack", "receive") else 1_000_000)
        stage.advance(START + SECOND)
    market.now_ns = START + 2 * SECOND
    both = {"builtin:sim": "5 ms", "binance_spot:live": "5 ms"}
    assert texts(market, values, "p99 on any venue above 1") == both
    assert texts(market, values, "p99 on builtin above 1") == {"builtin:sim": "5 ms"}
    assert texts(market, values, "p99 of match on builtin above 1") == {"builtin:sim": "1 ms"}
