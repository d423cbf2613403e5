from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.market.batches import CANDLE, TRADE, Rows
from engine.market.candles import INTERVALS_NS, SECOND_NS, CandleBuilder, notional, rescale_candles, roll_up
from engine.market.metrics import vwap
from tests.reference.candles_plain import PlainCandle, PlainCandles, plain_roll_up

START_NS = 1_700_000_000 * SECOND_NS

# (step in tenths of a second, back as well as forth; price; size)
trades = st.lists(
    st.tuples(st.integers(-8, 40), st.integers(1, 2**52), st.integers(1, 2**50)), min_size=1, max_size=60
)


def rows_of(steps: list[tuple[int, int, int]]) -> Rows:
    rows = np.zeros(len(steps), TRADE)
    when = START_NS
    for row, (step, price, size) in zip(rows, steps, strict=True):
        when += step * SECOND_NS // 10
        row["ts_event_ns"], row["price"], row["size"] = when, price, size
    return rows


def as_plain(rows: Rows) -> list[PlainCandle]:
    return [
        PlainCandle(
            *(int(row[name]) for name in ("ts_open_ns", "open", "high", "low", "close", "volume")),
            notional(row.reshape(1)),
            int(row["trades"]),
        )
        for row in rows
    ]


@settings(deadline=None)
@given(trades, st.integers(1, 7), st.lists(st.integers(0, 5), max_size=3))
def test_candles_agree_with_the_plain_twin(steps, chunk: int, advances: list[int]) -> None:
    rows = rows_of(steps)
    fast, plain = CandleBuilder(), PlainCandles(SECOND_NS)
    closed: list[PlainCandle] = []
    expected: list[PlainCandle] = []
    for first in range(0, len(rows), chunk):
        part = rows[first : first + chunk]
        closed += as_plain(fast.on_trades(part))
        for row in part:
            expected += plain.on_trade(int(row["ts_event_ns"]), int(row["price"]), int(row["size"]))
        if advances and first % 3 == 0:
            now_ns = int(part["ts_event_ns"][-1]) + advances[0] * SECOND_NS // 2
            closed += as_plain(fast.advance(now_ns))
            expected += plain.advance(now_ns)
    assert closed == expected
    running = fast.running()
    assert (as_plain(running) if running is not None else []) == ([plain.running] if plain.running else [])
    assert fast.late == plain.late


@given(trades, st.sampled_from(list(INTERVALS_NS.values())))
def test_roll_up_agrees_with_the_plain_twin(steps, interval_ns: int) -> None:
    builder = CandleBuilder()
    rows = rows_of([(abs(step) * 37, price, size) for step, price, size in steps])
    assume(
        sum(int(row["price"]) * int(row["size"]) for row in rows) < 1 << 103
    )  # as far as two words are exact
    seconds = np.concatenate((builder.on_trades(rows), builder.running()))
    longer = roll_up(seconds, interval_ns)
    assert as_plain(longer) == plain_roll_up(as_plain(seconds), interval_ns)
    assert notional(longer) == notional(seconds) == sum(int(row["price"]) * int(row["size"]) for row in rows)


def test_a_second_without_trades_has_no_candle() -> None:
    builder = CandleBuilder()
    closed = builder.on_trades(rows_of([(0, 10, 1), (30, 12, 1), (10, 11, 1)]))
    assert ((closed["ts_open_ns"] - START_NS) // SECOND_NS).tolist() == [0, 3]


def test_the_clock_closes_the_running_second() -> None:
    builder = CandleBuilder()
    assert builder.running() is None
    builder.on_trades(rows_of([(3, 10, 1), (4, 12, 2)]))
    assert len(builder.advance(START_NS + SECOND_NS - 1)) == 0
    closed = builder.advance(START_NS + SECOND_NS)
    assert closed[["open", "high", "low", "close", "volume", "trades"]].tolist() == [(10, 12, 10, 12, 3, 2)]
    assert builder.running() is None
    assert len(builder.advance(START_NS + 9 * SECOND_NS)) == 0


def test_late_trades_are_counted_and_not_merged() -> None:
    builder = CandleBuilder()
    builder.on_trades(rows_of([(20, 10, 1), (-15, 99, 1)]))
    assert builder.late == 1
    closed = builder.advance(START_NS + 3 * SECOND_NS)
    assert closed["high"].tolist() == [10]
    builder.on_trades(rows_of([(25, 99, 1)]))  # its second has been closed by the clock
    assert builder.late == 2
    assert builder.running() is None


def test_the_receive_time_serves_where_the_venue_gives_none() -> None:
    rows = rows_of([(0, 10, 1)])
    rows["ts_recv_ns"], rows["ts_event_ns"] = START_NS + 5 * SECOND_NS, 0
    builder = CandleBuilder()
    builder.on_trades(rows)
    running = builder.running()
    assert running is not None
    assert running["ts_open_ns"].tolist() == [START_NS + 5 * SECOND_NS]


def test_more_candles_than_one_call_closes_come_out_whole() -> None:
    rows = rows_of([(10, 5, 1)] * 2000)
    closed = CandleBuilder().on_trades(rows)
    assert len(closed) == 1999
    assert np.all(np.diff(closed["ts_open_ns"]) == SECOND_NS)


def test_roll_up_takes_the_last_of_a_repeated_second() -> None:
    rows = np.zeros(2, CANDLE)
    rows["ts_open_ns"], rows["volume"] = START_NS, [3, 5]
    assert roll_up(rows, 60 * SECOND_NS)["volume"].tolist() == [5]


def test_roll_up_of_nothing_is_nothing_and_disorder_is_refused() -> None:
    assert len(roll_up(np.empty(0, CANDLE), SECOND_NS)) == 0
    rows = np.zeros(2, CANDLE)
    rows["ts_open_ns"] = [SECOND_NS, 0]
    with pytest.raises(ValueError, match="oldest first"):
        roll_up(rows, SECOND_NS)


def test_an_hour_at_full_rate_keeps_its_notional() -> None:
    rows = np.zeros(3600, CANDLE)
    rows["ts_open_ns"] = np.arange(3600) * SECOND_NS
    rows["notional_high"], rows["notional_low"] = 2**50, 2**40 - 1
    assert notional(roll_up(rows, 3600 * SECOND_NS)) == 3600 * (2**90 + 2**40 - 1)


@given(st.integers(0, 6), st.integers(0, 6))
def test_rescaled_candles_are_exact(price_places: int, size_places: int) -> None:
    builder = CandleBuilder()
    builder.on_trades(rows_of([(0, 123_456, 789), (1, 123_450, 3)]))
    before = builder.running()
    assert before is not None
    after = rescale_candles(before, 10**price_places, 10**size_places)
    assert notional(after) == notional(before) * 10 ** (price_places + size_places)
    assert vwap(after) == pytest.approx(vwap(before) * 10**price_places)


def test_vwap_is_of_all_trades_and_none_without_any() -> None:
    builder = CandleBuilder()
    builder.on_trades(rows_of([(0, 10, 1), (1, 20, 3)]))
    assert vwap(builder.running()) == 17.5
    assert vwap(np.empty(0, CANDLE)) is None
