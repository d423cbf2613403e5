"""The matching engine's books and trades as the built-in exchange serves them: the engine's own, to the last number."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.connection import Connection
from engine.exchange.dialects.binance_streams import BinanceStreams
from engine.exchange.dialects.sessions import Opening
from engine.exchange.faults import Faults
from engine.exchange.hub import Hub
from engine.exchange.limit_windows import MessageRate
from engine.exchange.market import Trade, aggregated
from engine.exchange.past import Candle, aligned
from engine.exchange.recorded_past import KEPT_ROWS, RecordedPast
from engine.exchange.served import ServedMarket
from engine.exchange.traded_market import TradedMarket, recorded_past, traded_markets
from engine.flow.simulator import SOURCE, Simulator, Turn, books
from engine.flow.symbols import SYMBOLS
from engine.market.batches import BUY, SELL, TRADE, Batch, Kind
from engine.matching.engine import MatchingEngine
from engine.matching.orders import COMMAND, DEPOSIT, E_HEAD, E_ID, LIMIT, TRADED, as_matrix

S = 1_000_000_000
MINUTE = 29_916_666  # since 1970
START = MINUTE * 60 * S
SMALL = [replace(each, resting_orders=500) for each in SYMBOLS]
NAMES = [each.instrument.native for each in SMALL]


def made(seed: int = 3, rate: float = 20_000.0) -> tuple[Simulator, dict[str, TradedMarket]]:
    simulator = Simulator(seed, rate, SMALL)
    return simulator, traded_markets(simulator.engine, SMALL)


def test_changes_lead_from_one_snapshot_to_the_next_in_the_engines_own_numbers() -> None:
    simulator, markets = made()
    for market in markets.values():
        market.on_turn(simulator.turn(START))
        for name in NAMES:
            market.activate(name, START)
            market.activate(name, START)
    turns = random.Random(1)
    books = {(key, name): markets[key].snapshot(name, 100_000) for key in markets for name in NAMES}
    sides = {at: (dict(book.bids), dict(book.asks)) for at, book in books.items()}
    updates = {at: book.last_update for at, book in books.items()}
    traded = 0
    for at in range(1, 80):
        turn = simulator.turn(START + at * S // 200)
        for market in markets.values():
            market.on_turn(turn)
        if turns.random() < 0.5:
            continue  # several turns make one change
        for key, market in markets.items():
            for change in market.advance(START + at * S // 200):
                place = key, change.symbol
                assert change.first_update == change.previous_update + 1 == updates[place] + 1
                updates[place] = change.last_update
                for side, levels in zip(sides[place], (change.bids, change.asks), strict=True):
                    for price, size in levels:
                        side.pop(price, None)
                        if size:
                            side[price] = size
                bids, asks = sides[place]
                book = market.snapshot(change.symbol, 100_000)
                assert (bids, asks) == (dict(book.bids), dict(book.asks))
                assert [price for price, _ in book.bids] == sorted(bids, reverse=True)
                universal = next(x.instrument.symbol for x in SMALL if x.instrument.native == change.symbol)
                assert book.last_update == change.last_update == simulator.engine.update_number(universal)
                assert book.last_update == market.last_update(change.symbol)
                assert change.quote == (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
                numbers = [each.trade_id for each in change.trades]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
                traded += len(numbers)
            assert market.advance(0) == []
    assert traded > 100
    with pytest.raises(KeyError):
        markets["bybit_spot"].activate("NOPE", START)


def test_commands_matched_between_turns_are_in_the_snapshot_at_once_and_in_the_next_change() -> None:
    simulator, markets = made(rate=0.0)
    market = markets["binance_spot"]
    market.on_turn(simulator.turn(START))
    market.activate("BTCUSDT", START)
    before = market.snapshot("BTCUSDT", 5)
    rows = np.zeros(2, COMMAND)
    rows["kind"], rows["account"], rows["lots"] = (DEPOSIT, LIMIT), 20, (10**15, 777)
    rows["symbol"] = simulator.engine.assets.index("USDT"), simulator.engine.index("BTC-USDT")
    rows["side"], rows["price_ticks"], rows["order_id"] = BUY, before.bids[0][0] + 1, 1 << 50
    simulator.match(as_matrix(rows), 2)
    now = market.snapshot("BTCUSDT", 5)
    assert now.bids[0] == (before.bids[0][0] + 1, 777)
    assert now.last_update == before.last_update + 1 == market.last_update("BTCUSDT")
    assert market.advance(0) == []
    market.on_turn(simulator.turn(START + S // 100))
    (change,) = market.advance(0)
    assert (change.first_update, change.last_update) == (now.last_update, now.last_update)
    assert (change.bids, change.asks, change.trades) == ([now.bids[0]], [], [])
    assert change.quote[:2] == now.bids[0]


def test_a_symbol_is_gathered_only_while_somebody_follows_it() -> None:
    simulator, markets = made()
    served = ServedMarket(markets["binance_spot"])
    now = START

    def turned() -> list[str]:
        nonlocal now
        now += S // 100
        markets["binance_spot"].on_turn(simulator.turn(now))
        return [change.symbol for change in served.advance(now)]

    turned()
    # Calls are answered without it.
    assert served.snapshot("BTCUSDT", 5, now).bids
    served.trades("BTCUSDT", 5, now)
    served.follow("BTCUSDT", 60, now)
    assert served.last_update("BTCUSDT", now)
    assert turned() == []
    hub = Hub("binance_spot", {"binance_spot": served}, BinanceStreams(served), Faults())
    transport: Any = None
    one, two = (
        Connection(name, "binance_spot", "a", Opening("binance_spot"), transport, MessageRate(5), 0)
        for name in "ab"
    )
    hub.subscribe(one, "btcusdt@trade", now)
    hub.subscribe(two, "btcusdt@depth@100ms", now)
    assert turned() == ["BTCUSDT"]
    hub.drop(one)
    assert turned() == ["BTCUSDT"]
    hub.drop(two)
    assert turned() == []
    hub.subscribe(two, "btcusdt@depth@100ms", now)
    before = served.last_update("BTCUSDT", now)
    turned_again = simulator.turn(now + S // 100)
    markets["binance_spot"].on_turn(turned_again)
    (change,) = served.advance(now)
    assert change.first_update == before + 1


def test_trades_know_their_takers_and_fills_of_one_make_one_aggregate() -> None:
    simulator, markets = made(rate=50_000.0)
    market = markets["binance_spot"]
    market.on_turn(simulator.turn(START))
    market.activate("BTCUSDT", START)
    index = simulator.engine.index("BTC-USDT")
    takers: list[int] = []
    trades: list[Trade] = []
    for at in range(1, 60):
        turn = simulator.turn(START + at * S // 200)
        words = simulator.engine.event_words()
        takers += [
            row[E_ID] for row in words.tolist() if row[E_HEAD] & 0xFF == TRADED and row[E_HEAD] >> 32 == index
        ]
        for each in markets.values():
            each.on_turn(turn)
        trades += [trade for change in market.advance(0) for trade in change.trades]
    assert [each.taker for each in trades] == takers
    kept = market.past.trades("BTCUSDT", 1_000)
    assert kept == trades[-len(kept) :]
    assert len(kept) == min(1_000, len(trades))
    groups = aggregated(trades)
    assert len(groups) < len(trades)
    assert sum(each.size for each in groups) == sum(each.size for each in trades)
    assert [first.last_id + 1 for first in groups[:-1]] == [later.first_id for later in groups[1:]]
    by_number = {each.trade_id: each for each in trades}
    for group in groups:
        parts = [by_number[number] for number in range(group.first_id, group.last_id + 1)]
        assert len({(each.taker, each.price, each.buyer_is_maker) for each in parts}) == 1
    for before, after in itertools.pairwise(groups):
        a, b = by_number[before.last_id], by_number[after.first_id]
        assert (a.taker, a.price) != (b.taker, b.price)


def test_trades_without_a_known_taker_stay_alone() -> None:
    alone = [Trade(at, START, 100, 5, buyer_is_maker=True) for at in range(1, 4)]
    assert [(each.first_id, each.last_id, each.size) for each in aggregated(alone)] == [
        (1, 1, 5),
        (2, 2, 5),
        (3, 3, 5),
    ]


def traded(number: int, ts_ns: int, price: int, size: int, side: int) -> tuple[int, ...]:
    return ts_ns, ts_ns, number, price, size, side


def batch(rows: list[tuple[int, ...]]) -> Batch:
    return Batch(Kind.TRADES, SOURCE, "BTC-USDT", np.array(rows, TRADE))


def plain(rows: list[tuple[int, ...]], open_s: int, interval_s: int, close: int) -> Candle:
    """One candle from all trades there ever were."""
    candle = Candle(open_s, interval_s, *(close,) * 4, 0, 0, 0, 0, 0)
    for ts_ns, _, number, price, size, side in rows:
        if open_s * S <= ts_ns < (open_s + interval_s) * S:
            candle.fold(Trade(number, ts_ns, price, size, side == SELL))
    return candle


ROWS = st.lists(
    st.tuples(st.integers(0, 200 * S), st.integers(1, 50), st.integers(1, 9), st.sampled_from([BUY, SELL])),
    min_size=1,
    max_size=60,
)
ENGINE = MatchingEngine(books(SMALL))


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    cuts=st.sets(st.integers(1, 59)),
    interval_s=st.sampled_from([1, 60, 180, 300, 900, 3_600, 86_400, 604_800]),
    asks=st.booleans(),
)
def test_candles_of_every_length_are_what_traded(
    rows: list[tuple[int, int, int, int]], cuts: set[int], interval_s: int, asks: bool
) -> None:
    past = recorded_past(ENGINE, SMALL)
    now, all_rows = START, []
    for number, (wait, price, size, side) in enumerate(rows, 1):
        now += wait
        all_rows.append(traded(number, now, price, size, side))
    at = 0
    for end in [*sorted(each for each in cuts if each < len(rows)), len(rows)]:
        past.on_past(batch(all_rows[at:end]))
        at = end
        if asks:
            past.trades("BTCUSDT", 1)
    first = past.begins_s("BTCUSDT", interval_s)
    assert first == aligned(all_rows[0][0] // S, interval_s)
    last = max(aligned(now // S, interval_s), first)
    last = min(last, first + 400 * interval_s)
    found = past.candles("BTCUSDT", interval_s, first, last, now)
    close = all_rows[0][3]
    expected = []
    for open_s in range(first, last + 1, interval_s):
        expected.append(plain(all_rows, open_s, interval_s, close))
        close = expected[-1].close
    assert found == expected
    running = past.follow("BTCUSDT", interval_s, now)
    assert running == plain(all_rows, aligned(now // S, interval_s), interval_s, 0)
    assert [each.trade_id for each in past.trades("BTCUSDT", 7)] == [row[2] for row in all_rows[-7:]]
    day = past.day("BTCUSDT", now)
    assert (day.volume, day.trades) == (sum(row[4] for row in all_rows), len(all_rows))
    assert day.notional == sum(row[3] * row[4] for row in all_rows)
    assert (day.open, day.last) == (all_rows[0][3], all_rows[-1][3])
    assert (day.high, day.low) == (max(row[3] for row in all_rows), min(row[3] for row in all_rows))


@pytest.mark.parametrize("sizes", [(500,), (7, 900, 64, 3), (70_000, 1, 40_000)])
def test_the_newest_trades_are_kept_and_found_by_number_and_time(sizes: tuple[int, ...]) -> None:
    past = recorded_past(ENGINE, SMALL)
    count = 0
    while count < KEPT_ROWS + 300:
        for size in sizes:
            rows = np.zeros(size, TRADE)
            rows["trade_id"] = np.arange(count + 1, count + size + 1)
            rows["ts_event_ns"] = START + rows["trade_id"] * 1_000
            rows["price"] = rows["size"] = 1
            past.on_past(Batch(Kind.TRADES, SOURCE, "BTC-USDT", rows))
            count += size
        assert [each.trade_id for each in past.trades("BTCUSDT", 3)] == [count - 2, count - 1, count]
    kept = [each.trade_id for each in past.trades("BTCUSDT", 1 << 20)]
    assert kept == list(range(count - KEPT_ROWS + 1, count + 1))

    def found(first_id: int, after_us: int, most: int) -> list[int]:
        start_ns = START + after_us * 1_000
        return [each.trade_id for each in past.trades_from("BTCUSDT", first_id, start_ns, most)]

    assert found(count - 5, 0, 3) == [count - 5, count - 4, count - 3]
    assert found(0, count - 1, 9) == [count - 1, count]
    assert found(count - 1, count - 5, 9) == [count - 1, count]
    assert found(0, 0, 1) == [kept[0]]
    assert found(count + 1, 0, 9) == []


def test_what_is_kept_is_bounded_and_a_candle_that_is_half_forgotten_is_not_told() -> None:
    past = recorded_past(ENGINE, SMALL)
    days = 9 * 1_440
    for minute in range(days):
        past.on_past(batch([traded(minute + 1, START + minute * 60 * S, 100, 1, BUY)]))
    now = START + days * 60 * S
    assert past.begins_s("BTCUSDT", 60) >= now // S - 7 * 86_400 - 120
    assert past.begins_s("BTCUSDT", 86_400) % 86_400 == 0
    first = past.begins_s("BTCUSDT", 86_400)
    (whole, *_) = past.candles("BTCUSDT", 86_400, first, first, now)
    assert whole.trades == 1_440
    day = past.day("BTCUSDT", now)
    assert day.trades in (1_439, 1_440)
    assert past.day("BTCUSDT", now + 90_000 * S).trades == 0
    assert past.day("BTCUSDT", now + 90_000 * S).last == 100


def test_before_anything_traded_there_are_prices_and_no_candles() -> None:
    simulator, markets = made(rate=0.0)
    served = ServedMarket(markets["bybit_spot"])
    now = START + 5 * S
    markets["bybit_spot"].on_turn(simulator.turn(now))
    # Filling the books may have traded, but before the exchange was open.
    assert served.candles("BTCUSDT", 60, None, None, 10, now) == []
    assert served.trades("BTCUSDT", 10, now) == []
    day, quote = served.day("BTCUSDT", now), served.quote("BTCUSDT", now)
    assert quote.bid <= day.last <= quote.ask
    assert day.last == day.open == day.high == day.low
    assert served.last_trade("BTCUSDT", now).size == 0
    assert served.follow("BTCUSDT", 60, now).close == day.last
    assert served.newest_closed("BTCUSDT", 60, now) is None


def test_its_past_is_the_simulators_history_and_goes_on_with_its_turns() -> None:
    simulator, markets = made()
    rows: list[Any] = []
    for each in simulator.warm_up_history(150, START):
        if each.symbol == "BTC-USDT" and each.kind is Kind.TRADES:
            rows += each.rows.tolist()
        markets["binance_spot"].on_past(each)
    before = len(rows)
    now = START
    for at in range(1, 300):
        now = START + at * S // 50
        turn: Turn = simulator.turn(now)
        rows += [
            row
            for each in turn.batches
            if each.symbol == "BTC-USDT" and each.kind is Kind.TRADES
            for row in each.rows.tolist()
        ]
        for market in markets.values():
            market.on_turn(turn)
    assert 0 < before < len(rows)
    for market in markets.values():
        served = ServedMarket(market)
        for interval_s in (1, 60):
            candles = served.candles("BTCUSDT", interval_s, None, None, 1_000, now)
            assert sum(each.trades for each in candles) == len(rows)
            assert candles[0].open_s == rows[0][0] // S // interval_s * interval_s
            for candle in candles:
                assert candle.trades == 0 or candle == plain(rows, candle.open_s, interval_s, 0)
        assert served.candles("BTCUSDT", 60, 0, None, 2, now) == candles[:2]
        assert served.day("BTCUSDT", now).trades == len(rows)
        assert [each.trade_id for each in served.trades("BTCUSDT", 1_000, now)] == [
            row[2] for row in rows[-1_000:]
        ]


def test_a_turn_told_by_two_markets_counts_once() -> None:
    simulator, markets = made()
    assert markets["binance_spot"].past is markets["bybit_spot"].past
    past: RecordedPast = markets["bybit_spot"].past
    first = simulator.turn(START)
    later = simulator.turn(START + S // 20)
    assert later.trades
    for turn in (first, later):
        for market in (*markets.values(), *markets.values()):
            market.on_turn(turn)
    assert sum(past.day(name, START + S).trades for name in NAMES) == first.trades + later.trades
