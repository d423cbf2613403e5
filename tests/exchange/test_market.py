"""The random market's books and the history behind them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.history import History
from engine.exchange.listings import MARKETS, MAX_SYMBOLS, listings
from engine.exchange.past import aligned
from engine.exchange.random_market import RandomMarket
from engine.exchange.served import ServedMarket

S = 1_000_000_000
START = 1_795_000_000 * S
KEYS = st.sampled_from(sorted(MARKETS))


@settings(max_examples=25)
@given(key=KEYS, seed=st.integers(0, 1 << 32), waits=st.lists(st.integers(1, 3_000), min_size=1, max_size=60))
def test_changes_lead_from_one_snapshot_to_the_next(key: str, seed: int, waits: list[int]) -> None:
    market = RandomMarket(key, listings(key, 2), seed, rate=100, levels=30)
    names = [each.native for each in market.listings]
    for name in names:
        market.activate(name, START)
    books = {name: market.snapshot(name, 10_000) for name in names}
    sides = {name: (dict(book.bids), dict(book.asks)) for name, book in books.items()}
    updates = {name: book.last_update for name, book in books.items()}
    now = START
    for wait in waits:
        now += wait * 1_000_000
        for change in market.advance(now):
            assert change.previous_update == updates[change.symbol]
            assert change.previous_update < change.first_update <= change.last_update
            if MARKETS[key] == "spot":
                assert change.first_update == change.previous_update + 1
            updates[change.symbol] = change.last_update
            for side, levels in zip(sides[change.symbol], (change.bids, change.asks), strict=True):
                for price, size in levels:
                    side.pop(price, None)
                    if size:
                        side[price] = size
            bids, asks = sides[change.symbol]
            assert max(bids) < min(asks)
            assert change.quote == (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
            book = market.snapshot(change.symbol, 10_000)
            assert (dict(book.bids), dict(book.asks)) == (bids, asks)
            assert book.last_update == market.last_update(change.symbol) == change.last_update
            assert [price for price, _ in book.bids] == sorted(bids, reverse=True)
            assert [price for price, _ in book.asks] == sorted(asks)


def test_prices_and_sizes_keep_to_tick_and_lot() -> None:
    for key in MARKETS:
        market = RandomMarket(key, listings(key, 20), rate=50, levels=20)
        for listing in market.listings:
            market.activate(listing.native, START)
        for at in range(1, 40):
            for change in market.advance(START + at * S // 50):
                instrument = next(x for x in market.listings if x.native == change.symbol).instrument
                for price, size in (*change.bids, *change.asks):
                    assert price > 0
                    assert price % instrument.tick_size == 0 == size % instrument.lot_size
                for trade in change.trades:
                    assert trade.size > 0


def test_the_same_seed_gives_the_same_market_and_another_another() -> None:
    def run(seed: int) -> list[object]:
        market = RandomMarket("binance_usdm", listings("binance_usdm", 3), seed, levels=20)
        for listing in market.listings:
            market.activate(listing.native, START)
        return [change for at in range(1, 50) for change in market.advance(START + at * S // 10)]

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_a_clock_set_back_does_not_stop_the_market() -> None:
    market = RandomMarket("binance_spot", listings("binance_spot", 1), rate=10, levels=20)
    market.activate("BTCUSDT", START)
    assert [len(market.advance(START + at * S // 10)) for at in range(2, 6)] == [1] * 4
    earlier = START - 3_600 * S
    moves = [len(market.advance(earlier + at * S // 100)) for at in range(100)]
    assert 8 <= sum(moves) <= 12


def test_every_market_lists_two_hundred_symbols_with_names_of_their_own() -> None:
    for key in MARKETS:
        all_of_it = listings(key, MAX_SYMBOLS)
        assert (
            len({each.native for each in all_of_it})
            == len({each.instrument.symbol for each in all_of_it})
            == 200
        )
    with pytest.raises(ValueError, match="1 to 200"):
        listings("bybit_spot", 201)
    with pytest.raises(ValueError, match="there is no market 'okx'"):
        listings("okx", 1)


@given(
    at=st.lists(st.integers(1_400_000_000, 1_900_000_000), min_size=1, max_size=20), seed=st.integers(0, 99)
)
def test_one_price_and_many_prices_agree(at: list[int], seed: int) -> None:
    history = History(listings("binance_spot", 1)[0], seed)
    many = history.prices(np.array(at, float))
    assert [round(history.price(each)) for each in at] == pytest.approx(np.round(many).tolist(), abs=1)


@settings(max_examples=30)
@given(
    key=KEYS,
    interval=st.sampled_from([60, 300, 3_600, 86_400, 604_800]),
    back=st.integers(0, 3_000),
    most=st.integers(1, 300),
    whole=st.booleans(),
)
def test_candles_of_the_past_are_complete_ordered_and_always_the_same(
    key: str, interval: int, back: int, most: int, whole: bool
) -> None:
    market = ServedMarket(RandomMarket(key, listings(key, 1), levels=5), seed=3)
    name = next(iter(market.listings))
    start = aligned(START // S, interval) - back * interval
    rows = market.candles(name, interval, start, None, most, START)
    listed = market.listings[name].listed_s
    opens = [row.open_s for row in rows]
    expected = range(start, min(start + most * interval, START // S + 1), interval)
    assert opens == [each for each in expected if each >= listed] or start < listed
    for row in rows:
        assert row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
        assert row.open_s == aligned(row.open_s, interval)
    for before, after in itertools.pairwise(rows):
        assert before.close == after.open
    again = ServedMarket(RandomMarket(key, listings(key, 1), levels=5), seed=3)
    if whole:
        again.touch(name, START)
    closed = [row for row in rows if row.open_s + interval <= START // S]
    assert [row for row in again.candles(name, interval, start, None, most, START) if row in closed] == closed


def test_trades_make_the_running_candle() -> None:
    market = ServedMarket(RandomMarket("binance_spot", listings("binance_spot", 1), rate=50, levels=20))
    start = START // (60 * S) * 60 * S
    before = market.follow("BTCUSDT", 60, start)
    assert before.volume == 0
    trades = [
        trade
        for at in range(1, 200)
        for change in market.advance(start + at * S // 50)
        for trade in change.trades
    ]
    assert trades
    now = start + 5 * S
    candle = market.candles("BTCUSDT", 60, None, None, 1, now)[0]
    assert candle == market.follow("BTCUSDT", 60, now)
    prices = [each.price for each in trades]
    assert candle.volume == sum(each.size for each in trades)
    assert candle.notional == sum(each.size * each.price for each in trades)
    assert candle.taker_volume == sum(each.size for each in trades if not each.buyer_is_maker)
    assert (candle.first_trade, candle.last_trade) == (trades[0].trade_id, trades[-1].trade_id)
    assert candle.close == prices[-1]
    assert candle.high >= max(prices) >= min(prices) >= candle.low
    assert market.trades("BTCUSDT", 2, now) == trades[-2:]


def test_funding_is_paid_every_eight_hours_and_its_history_does_not_change() -> None:
    market = ServedMarket(RandomMarket("bybit_linear", listings("bybit_linear", 1), levels=5))
    rows = market.funding_history("BTCUSDT", None, None, 50, START)
    times = [paid for paid, _ in rows]
    assert len(rows) == 50
    assert times == list(range(times[0], START // S + 1, 8 * 3_600))
    assert market.funding_history("BTCUSDT", times[10], None, 5, START) == rows[10:15]
    assert market.funding("BTCUSDT", START).next_s == times[-1] + 8 * 3_600
