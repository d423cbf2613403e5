from __future__ import annotations

import numpy as np
import pytest

from engine.market.batches import BBO, CANDLE, FUNDING, LEVEL, TRADE, Batch, Kind, Source
from engine.market.candles import SECOND_NS
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState

SOURCE = Source("binance_spot", "replay")
BTC = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 3)
Levels = list[tuple[int, int]]


def depth(kind: Kind, bids: Levels, asks: Levels, first: int, last: int, when_ns: int = 0) -> Batch:
    rows = np.array(bids + asks, LEVEL)
    return Batch(kind, SOURCE, "BTC-USDT", rows, len(bids), first, last, -1, when_ns, when_ns + 5)


def quote(sequence: int, *top: int) -> Batch:
    return Batch(Kind.QUOTES, SOURCE, "BTC-USDT", np.array([(0, 9, sequence, *top)], BBO))


def trade(when_ns: int, price: int, size: int) -> Batch:
    return Batch(
        Kind.TRADES, SOURCE, "BTC-USDT", np.array([(when_ns, when_ns + 5, 1, price, size, 1)], TRADE)
    )


def synced() -> SymbolState:
    state = SymbolState(SOURCE, BTC, Rule.BINANCE_SPOT)
    assert state.on_batch(depth(Kind.DELTA, [(100, 2)], [], 9, 12, 70)) is Outcome.BUFFERED
    assert state.wants_snapshot
    snapshot = depth(Kind.SNAPSHOT, [(100, 1), (99, 1)], [(101, 1), (102, 1)], 0, 10)
    assert state.on_batch(snapshot) is Outcome.APPLIED
    return state


def test_waiting_deltas_are_applied_after_the_snapshot() -> None:
    state = synced()
    assert state.state is BookState.SYNCED
    assert state.book.bbo() == (100, 2, 101, 1)
    assert not state.wants_snapshot
    assert (state.first_event_ns, state.last_event_ns) == (70, 70)


def test_a_gap_leaves_the_book_as_it_was_and_stale() -> None:
    state = synced()
    assert state.on_batch(depth(Kind.DELTA, [(100, 9)], [], 20, 21)) is Outcome.GAP
    assert state.book.bbo() == (100, 2, 101, 1)
    assert (state.state, state.sync.gaps, state.wants_snapshot) == (BookState.STALE, 1, True)
    again = depth(Kind.SNAPSHOT, [(100, 7)], [(101, 7)], 0, 25)
    assert state.on_batch(again) is Outcome.APPLIED
    assert state.book.bbo() == (100, 7, 101, 7)
    assert state.sync.resyncs == 1


def test_a_crossed_book_goes_stale() -> None:
    state = synced()
    assert state.on_batch(depth(Kind.DELTA, [(101, 5)], [], 13, 13)) is Outcome.CROSSED
    assert (state.state, state.crossings, state.wants_snapshot) == (BookState.STALE, 1, True)


def test_a_crossed_snapshot_goes_stale() -> None:
    state = SymbolState(SOURCE, BTC, Rule.BINANCE_SPOT)
    assert state.on_batch(depth(Kind.SNAPSHOT, [(101, 1)], [(101, 1)], 0, 10)) is Outcome.CROSSED
    assert state.state is BookState.STALE


def test_every_applied_delta_is_checked_once() -> None:
    state = synced()
    state.on_batch(quote(12, 100, 2, 101, 1))
    state.on_batch(depth(Kind.DELTA, [(100, 3)], [], 13, 14))
    state.on_batch(quote(14, 100, 4, 101, 1))
    state.on_batch(depth(Kind.DELTA, [(100, 5)], [], 15, 15))
    state.on_batch(quote(16, 100, 5, 101, 1))
    settled = state.settle()
    assert settled.checked + state.check.unchecked == state.sync.counts.applied == 3


def test_trades_and_quotes_are_noted() -> None:
    state = synced()
    assert state.on_batch(trade(5 * SECOND_NS, 100, 7)) is Outcome.NOTED
    assert len(state.closed) == 0
    state.on_batch(trade(6 * SECOND_NS, 101, 1))
    assert state.closed["ts_open_ns"].tolist() == [5 * SECOND_NS]
    assert state.last_trade is not None
    assert state.last_trade["price"].tolist() == [101]
    assert state.trades == 2
    state.on_batch(quote(12, 100, 2, 101, 1))
    assert state.quote is not None
    assert state.quote["bid_size"].tolist() == [2]
    assert state.last_event_ns == 6 * SECOND_NS
    assert state.last_recv_ns == 6 * SECOND_NS + 5


def test_a_broken_stream_makes_the_book_stale() -> None:
    state = synced()
    state.disconnected()
    assert state.state is BookState.STALE
    assert state.book.bbo() == (100, 2, 101, 1)


def test_a_revision_rescales_everything_exactly() -> None:
    state = SymbolState(SOURCE, BTC, Rule.BINANCE_SPOT)
    state.on_batch(depth(Kind.DELTA, [(100, 2)], [], 9, 12))
    state.on_batch(trade(5 * SECOND_NS, 100, 7))
    state.on_batch(quote(12, 100, 2, 101, 1))
    finer = BTC.with_decimals(3, 5)
    state.revise(finer)
    assert state.instrument is finer
    state.on_batch(depth(Kind.SNAPSHOT, [(1000, 100)], [(1010, 100)], 0, 10))
    assert state.book.bbo() == (1000, 200, 1010, 100)
    state.revise(finer.with_decimals(4, 5))
    assert state.book.bbo() == (10_000, 200, 10_100, 100)
    running = state.candles.running()
    assert running is not None
    assert running[["close", "volume"]].tolist() == [(10_000, 700)]
    assert state.settle() == (1, 1)
    with pytest.raises(ValueError, match="take decimals away"):
        state.revise(BTC)


def test_an_older_snapshot_is_dropped() -> None:
    state = synced()
    assert state.on_batch(depth(Kind.SNAPSHOT, [(1, 1)], [(2, 1)], 0, 5)) is Outcome.STALE
    assert state.book.bbo() == (100, 2, 101, 1)


def candle(open_ns: int, price: int, size: int) -> Batch:
    rows = np.array([(open_ns, price, price, price, price, size, 0, price * size, 1)], CANDLE)
    return Batch(Kind.CANDLES, SOURCE, "BTC-USDT", rows, interval_ns=60 * SECOND_NS)


def funding(when_ns: int, rate_e12: int, mark: int) -> Batch:
    rows = np.array([(when_ns, when_ns + 5, rate_e12, 0, 28_800, mark)], FUNDING)
    return Batch(Kind.FUNDING, SOURCE, "BTC-USDT", rows)


def test_the_venue_s_own_candles_are_kept_apart_from_ours() -> None:
    state = synced()
    before = (state.last_event_ns, state.last_recv_ns)
    assert state.on_batch(candle(60 * SECOND_NS, 100, 7)) is Outcome.NOTED
    assert state.on_batch(candle(120 * SECOND_NS, 101, 8)) is Outcome.NOTED
    assert state.venue_candles is not None
    assert state.venue_candles.rows["ts_open_ns"].tolist() == [120 * SECOND_NS]
    assert state.venue_candles.interval_ns == 60 * SECOND_NS
    assert state.candles.running() is None
    assert (state.last_event_ns, state.last_recv_ns) == before


def test_the_newest_funding_is_kept() -> None:
    state = synced()
    assert state.on_batch(funding(90, 100, 1000)) is Outcome.NOTED
    state.on_batch(funding(80, 200, 1001))
    assert state.funding is not None
    assert state.funding["rate_e12"].tolist() == [100]
    state.on_batch(funding(91, 300, 1002))
    assert state.funding["rate_e12"].tolist() == [300]
    assert state.quote is None
    assert state.last_event_ns == 70


def test_a_revision_rescales_candles_and_funding_of_the_venue() -> None:
    state = SymbolState(SOURCE, BTC, Rule.BYBIT)
    given, paid = candle(0, 100, 7), funding(90, 100, 1000)
    state.on_batch(given)
    state.on_batch(paid)
    state.revise(BTC.with_decimals(3, 5))
    assert state.venue_candles is not None
    assert state.funding is not None
    assert state.venue_candles.rows[["close", "volume", "notional_low"]].tolist() == [(1000, 700, 700_000)]
    assert state.funding[["rate_e12", "mark_price"]].tolist() == [(100, 10_000)]
    assert given.rows["close"].tolist() == [100]
    assert paid.rows["mark_price"].tolist() == [1000]


def test_a_streamed_snapshot_replaces_the_book_though_its_number_is_lower() -> None:
    state = SymbolState(SOURCE, BTC, Rule.BYBIT)
    state.on_batch(depth(Kind.SNAPSHOT, [(100, 1), (99, 1)], [(101, 1)], 0, 500))
    assert state.on_batch(depth(Kind.DELTA, [(100, 2)], [], 501, 501)) is Outcome.APPLIED
    assert state.on_batch(depth(Kind.SNAPSHOT, [(90, 4)], [(95, 5)], 0, 1)) is Outcome.APPLIED
    assert (state.book.bbo(), state.state) == ((90, 4, 95, 5), BookState.SYNCED)
    assert state.on_batch(depth(Kind.DELTA, [(90, 3)], [], 2, 2)) is Outcome.APPLIED


def test_a_book_without_numbered_quotes_is_not_checked_by_them() -> None:
    state = SymbolState(SOURCE, BTC, Rule.BYBIT)
    state.on_batch(depth(Kind.SNAPSHOT, [(100, 1)], [(101, 1)], 0, 1))
    state.on_batch(quote(0, 99, 1, 101, 1))
    state.on_batch(depth(Kind.DELTA, [(100, 2)], [], 2, 2))
    assert state.settle() == (0, 0)
    assert (state.check.pending, state.check.unchecked) == (0, 0)
