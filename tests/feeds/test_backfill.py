"""Holes filled afterwards: by a made-up tape without sockets, and where streams of the local venue were cut."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadCommand, Unreachable
from engine.exchange.dialects.bybit import execution_id
from engine.exchange.faults import Fault
from engine.limits import rules
from engine.market.batches import CANDLE, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.venues import Filled
from feeds import backfill
from feeds.backfill import CANDLES_MOST, GONE, LATE, NO_BOOKS, Backfill, Hole, interval_of
from feeds.dialect import Call
from feeds.rest import Answer
from feeds.venues import DIALECTS
from feeds.venues.bybit_rows import trade_id_of
from tests.feeds.live_desk import Scene, scene

S = 1_000_000_000
MS = 1_000_000
START = 1_790_000_000 * S
NOW = START + 7_000 * S
LIMITS = rules.load()


def instrument_of(key: str) -> Instrument:
    return Instrument(key, "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")


@dataclass
class Trade:
    number: int
    time_ms: int
    price: int = 12_345
    size: int = 678
    sold: bool = False

    @property
    def row(self) -> tuple[int, ...]:
        return self.time_ms * MS, NOW, self.number, self.price, self.size, -1 if self.sold else 1


@dataclass
class Offset:
    offset_ns: int | None = None


@dataclass
class Tape:
    """A venue's trades, and the client that asks for them. `forgotten` of the oldest are not there any more."""

    key: str
    trades: list[Trade]
    forgotten: int = 0
    lag: int = 0  # of the newest, so many come only after `late` calls
    late: int = 0
    fails_at: int = 0  # the call that brings no answer
    asked: list[Call] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    offset: Offset = field(default_factory=Offset)

    def __post_init__(self) -> None:
        self.dialect = DIALECTS[self.key]
        self.venue = self.key

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await asyncio.sleep(0)

    async def fetch(self, call: Call, **_: object) -> Answer:
        self.asked.append(call)
        if len(self.asked) == self.fails_at:
            raise Unreachable(self.key, call.endpoint, "no answer within 10 s")
        await asyncio.sleep(0)
        there = self.trades[self.forgotten :]
        if self.lag and len(self.asked) <= self.late:
            there = there[: -self.lag]
        return Answer(self.body(call, there), 200, {}, NOW, NOW)

    def body(self, call: Call, there: list[Trade]) -> bytes:
        asked: dict[str, Any] = dict(call.arguments)
        if call.path == "/v5/market/recent-trade":
            newest = there[::-1][: asked["limit"]]
            rows: list[Any] = [
                {
                    "execId": str(one.number),
                    "symbol": "BTCUSDT",
                    "price": f"{one.price / 100:.2f}",
                    "size": f"{one.size / 1000:.3f}",
                    "side": "Sell" if one.sold else "Buy",
                    "time": str(one.time_ms),
                }
                for one in newest
            ]
            return json.dumps({"retCode": 0, "result": {"list": rows}}).encode()
        if "startTime" in asked:
            there = [one for one in there if one.time_ms >= asked["startTime"]]
        there = [one for one in there if one.number >= asked.get("fromId", 0)][: asked["limit"]]
        if call.path.endswith("historicalTrades"):
            return json.dumps(
                [
                    {
                        "id": one.number,
                        "price": f"{one.price / 100:.8f}",
                        "qty": f"{one.size / 1000:.8f}",
                        "time": one.time_ms,
                        "isBuyerMaker": one.sold,
                    }
                    for one in there
                ]
            ).encode()
        return json.dumps(
            [
                {
                    "a": one.number,
                    "p": f"{one.price / 100:.2f}",
                    "q": f"{one.size / 1000:.3f}",
                    "f": one.number,
                    "l": one.number,
                    "T": one.time_ms,
                    "m": one.sold,
                }
                for one in there
            ]
        ).encode()

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ns: int, end_ns: int, source: Source
    ) -> Batch:
        step = interval_s * S
        rows = np.zeros(len(range(start_ns, end_ns, step)), CANDLE)
        rows["ts_open_ns"] = np.arange(start_ns, end_ns, step)
        return Batch(Kind.CANDLES, source, instrument.symbol, rows, interval_ns=step)


def tape(key: str, count: int, *, step_ms: int = 10, first: int = 5_000, **more: Any) -> Tape:
    trades = [
        Trade(first + at, START // MS + at * step_ms, 10_000 + at % 97, 1 + at % 5, at % 3 == 0)
        for at in range(count)
    ]
    return Tape(key, trades, **more)


def backfill_of(venue: Tape, now_ns: int = NOW) -> Backfill:
    limits = LIMITS.venues[venue.dialect.limits]
    return Backfill(  # type: ignore[arg-type]
        venue, Source(venue.key, "live"), limits, wall=lambda: now_ns, sleep=venue.sleep
    )


def filled(venue: Tape, hole: Hole, now_ns: int = NOW) -> Filled:
    return asyncio.run(backfill_of(venue, now_ns).fill(instrument_of(venue.key), hole))


def numbers(rows: Any) -> list[int]:
    return rows["trade_id"].tolist()


BY_NUMBER = pytest.mark.parametrize("key", ["binance_spot", "binance_usdm", "binance_coinm"])


@BY_NUMBER
def test_between_two_known_trades_each_is_fetched_once_over_as_many_calls_as_it_takes(key: str) -> None:
    venue = tape(key, 3_500)
    after, before = venue.trades[100], venue.trades[3_300]
    # The times of a hole are when it was noticed; numbers go before them.
    found = filled(venue, Hole(START + 20 * S, START + 21 * S, after.number, before.number))
    assert found.trades.dtype == TRADE
    assert found.trades.tolist() == [one.row for one in venue.trades[101:3_300]]
    assert found.complete
    assert found.detail.startswith("all 3,199 trades; ")
    assert len(venue.asked) == 4
    assert {call.path.rpartition("/")[2] for call in venue.asked} == {
        "historicalTrades" if key == "binance_spot" else "aggTrades"
    }


@BY_NUMBER
def test_without_known_trades_their_times_tell(key: str) -> None:
    venue = tape(key, 400)
    hole = Hole(START + 995 * MS, START + 2_000 * MS)
    found = filled(venue, hole)
    assert found.trades.tolist() == [
        one.row for one in venue.trades if 995 <= one.time_ms - START // MS < 2_000
    ]
    assert found.complete
    assert venue.asked[0].arguments["startTime"] == START // MS + 995


def test_a_hole_in_which_nothing_traded_is_whole() -> None:
    venue = tape("binance_spot", 10)
    last = venue.trades[-1]
    for hole in (
        Hole(START + S, START + 2 * S),
        Hole(START + S, START + 2 * S, last.number),
        Hole(START, START + 2 * S, venue.trades[3].number, venue.trades[4].number),
    ):
        found = filled(venue, hole)
        assert (len(found.trades), found.complete) == (0, True)
        assert found.detail.startswith("0 trades; ")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_hole_of_any_tape_is_filled_as_by_hand(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(0, 40), min_size=3, max_size=120))
    jumps = data.draw(st.booleans())  # numbers of aggregates jump
    trades, number, at_ms = [], 900, START // MS
    for gap in gaps:
        number += 1 + (gap % 7 if jumps else 0)
        at_ms += gap
        trades.append(Trade(number, at_ms))
    venue = Tape("binance_usdm", trades)
    venue.dialect = _FewAtOnce(venue.dialect)  # type: ignore[assignment]
    low = data.draw(st.integers(0, len(trades) - 2))
    high = data.draw(st.integers(low + 1, len(trades) - 1))
    knows_low, knows_high = data.draw(st.booleans()), data.draw(st.booleans())
    hole = Hole(
        trades[low].time_ms * MS + 1,
        trades[high].time_ms * MS + 2,
        trades[low].number if knows_low else 0,
        trades[high].number if knows_high else 0,
    )
    expected = [
        one.row
        for one in trades
        if (one.number > hole.after_id if knows_low else one.time_ms * MS >= hole.from_ns)
        and (one.number < hole.before_id if knows_high else one.time_ms * MS < hole.to_ns)
    ]
    found = filled(venue, hole)
    assert found.trades.tolist() == expected
    # Where numbers jump, nobody can tell what was before the first that is found by its time; nor where none is.
    later = any(one.time_ms * MS >= hole.from_ns for one in trades)
    assert found.complete or (not knows_low and (jumps or not later))


class _FewAtOnce:
    """A dialect that asks for five trades at a time."""

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def trades_call(self, instrument: Instrument, first_id: int) -> Call:
        call = self._dialect.trades_call(instrument, first_id)
        return replace(call, arguments={**call.arguments, "limit": 5})


def test_what_the_venue_has_forgotten_makes_a_hole_partly_filled() -> None:
    venue = tape("binance_spot", 200, forgotten=50)
    found = filled(venue, Hole(START, START + S, venue.trades[20].number, venue.trades[90].number))
    assert numbers(found.trades) == [one.number for one in venue.trades[50:90]]
    assert not found.complete
    assert GONE in found.detail


def test_what_was_before_the_oldest_trade_is_not_taken_for_nothing() -> None:
    venue = tape("binance_spot", 200, forgotten=50)
    found = filled(venue, Hole(START, START + S))
    assert numbers(found.trades) == [one.number for one in venue.trades[50:100]]
    assert not found.complete
    assert GONE in found.detail
    young = tape("binance_spot", 20, first=0)  # a symbol's first trade has number 0
    assert filled(young, Hole(START, START + S)).complete


def test_trades_the_venue_has_only_later_are_waited_for() -> None:
    venue = tape("binance_spot", 100, lag=10, late=2)
    found = filled(venue, Hole(START, START + S, venue.trades[20].number, venue.trades[95].number))
    assert numbers(found.trades) == [one.number for one in venue.trades[21:95]]
    assert found.complete
    never = tape("binance_spot", 100, lag=10, late=99)
    found = filled(never, Hole(START, START + S, never.trades[20].number, never.trades[95].number))
    assert numbers(found.trades) == [one.number for one in never.trades[21:90]]
    assert not found.complete
    assert LATE in found.detail
    assert len(never.asked) < 8


def test_a_venue_that_fails_leaves_what_came_before_and_says_why() -> None:
    venue = tape("binance_usdm", 3_000, fails_at=3)
    found = filled(venue, Hole(START, START + 30 * S, venue.trades[0].number, venue.trades[2_900].number))
    assert numbers(found.trades) == [one.number for one in venue.trades[1:1_999]]
    assert not found.complete
    assert "no answer within 10 s" in found.detail
    assert len(found.candles) == 1


def test_of_a_long_hole_only_candles_are_fetched() -> None:
    venue = tape("binance_spot", 100)
    found = filled(venue, Hole(START + 1, START + 3_601 * S))
    assert (len(found.trades), found.complete, venue.asked) == (0, False, [])
    assert found.interval_ns == S
    assert len(found.candles) == 3_601
    assert "trades are not fetched of more than 60 min" in found.detail
    assert found.detail.endswith(NO_BOOKS)


def test_a_flood_of_trades_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "TRADES_MOST", 2_500)
    venue = tape("binance_spot", 9_000)
    found = filled(venue, Hole(START, START + 90 * S, venue.trades[0].number, venue.trades[-1].number))
    assert 2_500 <= len(found.trades) < 3_500
    assert not found.complete


def test_candles_cover_the_holes_edges_and_only_closed_ones_come() -> None:
    venue = tape("bybit_spot", 10)
    edge = START // (60 * S) * 60 * S
    found = filled(venue, Hole(edge + 90 * S, edge + 150 * S))
    assert found.candles["ts_open_ns"].tolist() == [edge + 60 * S, edge + 120 * S]
    running = filled(venue, Hole(edge + 90 * S, edge + 150 * S), now_ns=edge + 160 * S)
    assert running.candles["ts_open_ns"].tolist() == [edge + 60 * S]
    assert "still runs" in running.detail
    assert filled(venue, Hole(edge + 130 * S, edge + 150 * S), now_ns=edge + 160 * S).candles.size == 0


def test_the_interval_is_the_finest_that_a_few_calls_can_cover() -> None:
    offered = DIALECTS["binance_spot"].candle_intervals_s
    assert interval_of(offered, 10 * S) == 1
    assert interval_of(offered, CANDLES_MOST * S) == 1
    assert interval_of(offered, CANDLES_MOST * S + 1) == 60
    assert interval_of(offered, 100 * 365 * 86_400 * S) == 86_400
    assert interval_of(DIALECTS["bybit_spot"].candle_intervals_s, 1) == 60


@pytest.mark.parametrize("knows", [False, True])
def test_the_newest_trades_fill_a_fresh_hole(knows: bool) -> None:
    venue = tape("bybit_spot", 200)
    ids = (venue.trades[150].number, venue.trades[190].number) if knows else (0, 0)
    hole = Hole(venue.trades[150].time_ms * MS + 1, venue.trades[190].time_ms * MS, *ids)
    found = filled(venue, hole)
    assert found.trades.tolist() == [one.row for one in venue.trades[151:190]]
    assert found.complete
    assert len(venue.asked) == 1


@pytest.mark.parametrize("knows", [False, True])
def test_where_the_newest_do_not_reach_back_a_hole_is_partly_filled(knows: bool) -> None:
    venue = tape("bybit_spot", 200)
    ids = (venue.trades[100].number, venue.trades[190].number) if knows else (0, 0)
    hole = Hole(venue.trades[100].time_ms * MS + 1, venue.trades[190].time_ms * MS, *ids)
    found = filled(venue, hole)
    assert numbers(found.trades) == [one.number for one in venue.trades[140:190]]
    assert not found.complete
    assert "only the newest 60 are to be had" in found.detail


def test_trades_behind_the_hole_are_not_taken_for_its_own() -> None:
    venue = tape("bybit_spot", 200)
    hole = Hole(START, venue.trades[199].time_ms * MS, venue.trades[20].number, venue.trades[30].number)
    found = filled(venue, hole)
    assert (len(found.trades), found.complete) == (0, False)


@pytest.mark.parametrize(
    ("key", "weight", "window_s", "limit"),
    [("binance_spot", 25, 60, 6_000), ("binance_usdm", 20, 60, 2_400), ("binance_coinm", 20, 60, 2_400)],
)
def test_no_more_than_a_share_of_the_limits_is_taken(
    key: str, weight: int, window_s: int, limit: int
) -> None:
    venue = tape(key, 5_500)
    filled(venue, Hole(START, START + 55 * S, venue.trades[0].number, venue.trades[-1].number))
    assert len(venue.asked) == 6
    assert len(venue.slept) == 5
    assert all(delay_s >= weight * window_s / (limit * backfill.SHARE) for delay_s in venue.slept)


def test_what_is_fresh_is_asked_for_a_little_later() -> None:
    venue = tape("binance_spot", 10)
    filled(venue, Hole(START, START + S), now_ns=START + S)
    assert venue.slept[0] == pytest.approx(2.0)
    later = tape("binance_spot", 10)
    filled(later, Hole(START, START + S + 300 * MS), now_ns=START + S + 400 * MS)
    assert later.slept[0] == pytest.approx(2.6)  # the second has to be over, for its candle


def test_holes_are_filled_one_after_the_other_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfill, "WAITING_MOST", 3)
    venue = tape("binance_spot", 100)
    instrument = instrument_of(venue.key)

    async def run() -> list[Filled]:
        fills = backfill_of(venue)
        holes = [
            Hole(START, START + S, venue.trades[at].number, venue.trades[at + 5].number) for at in (1, 20, 40)
        ]
        tasks = [asyncio.create_task(fills.fill(instrument, hole)) for hole in holes]
        await asyncio.sleep(0)
        with pytest.raises(BadCommand, match="3 holes wait to be filled already"):
            await fills.fill(instrument, holes[0])
        tasks[1].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        return [one for one in done if isinstance(one, Filled)]

    first, last = asyncio.run(run())
    assert numbers(first.trades)[0] == venue.trades[2].number
    assert numbers(last.trades)[0] == venue.trades[41].number
    asked = [call.arguments["fromId"] for call in venue.asked]
    assert asked == [venue.trades[1].number, venue.trades[40].number]


def test_a_market_that_closes_gives_up_what_waits() -> None:
    venue = tape("binance_spot", 100)

    async def run() -> None:
        fills = backfill_of(venue)
        task = asyncio.create_task(fills.fill(instrument_of(venue.key), Hole(START, START + S)))
        await asyncio.sleep(0)
        fills.close()
        with pytest.raises(BadCommand, match="Binance spot was disconnected before the hole was filled"):
            await task

    asyncio.run(run())


@pytest.mark.parametrize("hole", [Hole(0, START), Hole(START, START), Hole(NOW + S, NOW + 2 * S)])
def test_what_is_no_hole_is_refused(hole: Hole) -> None:
    with pytest.raises(BadCommand, match="begins before it ends"):
        filled(tape("binance_spot", 10), hole)


# --- against the local venue ------------------------------------------------------------------------------


def play(act: Callable[[Scene], Coroutine[Any, Any, None]], follow: dict[str, Sequence[str]]) -> None:
    async def run() -> None:
        async with scene(follow) as stage:
            for key, symbols in follow.items():
                await stage.until(lambda key=key, symbols=symbols: stage.books.synced(key, len(symbols)))
            await act(stage)

    asyncio.run(run())


def traded(stage: Scene, key: str, native: str) -> list[int]:
    """The numbers of what the venue knows to have traded, as its stream tells them."""
    served = next(budget.markets[key] for budget in stage.venue.budgets.values() if key in budget.markets)
    trades = served.trades(native, 1_000, time.time_ns())
    if key.startswith("bybit"):
        return [trade_id_of(execution_id(served.listings[native], each)) for each in trades]
    return [each.trade_id for each in trades]


def test_a_stream_that_was_cut_leaves_no_hole_once_it_is_filled() -> None:
    follow = {
        key: ("BTC-USD-PERP",) if key in ("binance_coinm", "bybit_inverse") else (spot,)
        for key, spot in (
            ("binance_spot", "BTC-USDT"),
            ("binance_usdm", "BTC-USDT-PERP"),
            ("binance_coinm", ""),
            ("bybit_spot", "BTC-USDT"),
            ("bybit_linear", "BTC-USDT-PERP"),
            ("bybit_inverse", ""),
        )
    }

    async def act(stage: Scene) -> None:
        shelves = stage.books.open
        ids = {key: shelves[key].trades.setdefault(symbols[0], []) for key, symbols in follow.items()}
        await stage.until(lambda: all(len(one) > 5 for one in ids.values()))
        stage.venue.inject(Fault(kind="refuse", duration_s=1.0))
        stage.venue.inject(Fault(kind="close"))
        # USD-M has its trades on a connection of their own.
        await stage.until(
            lambda: all(len(one.interrupted) > (key == "binance_usdm") for key, one in shelves.items())
        )
        broke_ns = time.time_ns()
        heard = {key: len(one) for key, one in ids.items()}
        await stage.until(lambda: all(len(one) > heard[key] + 3 for key, one in ids.items()))
        back_ns = time.time_ns()

        async def check(key: str) -> None:
            symbol, before = follow[key][0], heard[key]
            after_id, before_id = ids[key][before - 1], ids[key][before]
            found = await stage.live.backfill(
                key, symbol, broke_ns, back_ns, after_id=after_id, before_id=before_id
            )
            native = found.instrument.native
            whole = ids[key][:before] + numbers(found.trades) + ids[key][before:]
            known = traded(stage, key, native)
            first = known.index(whole[0])
            assert whole == known[first : first + len(whole)], key
            assert len(found.trades) > 0
            assert found.complete
            assert found.detail.startswith(f"all {len(found.trades)} trade")
            assert found.instrument.symbol == symbol
            assert (found.trades["ts_recv_ns"] >= back_ns).all()
            if key == "binance_spot":
                assert found.interval_ns == S
                opened = list(range(broke_ns // S * S, back_ns, S))
                assert found.candles["ts_open_ns"].tolist() == opened

        await asyncio.gather(*map(check, follow))

    play(act, follow)


def test_a_stream_of_trades_alone_that_breaks_is_told_and_touches_no_book() -> None:
    key, symbol = "binance_usdm", "BTC-USDT-PERP"

    async def act(stage: Scene) -> None:
        shelf = stage.books.open[key]
        ids = shelf.trades.setdefault(symbol, [])
        await stage.until(lambda: len(ids) > 5)
        connections = stage.venue.statistics()["budgets"][key]["sockets"]["connections"]
        (trades,) = (each["id"] for each in connections if each["streams"] == 3)
        stage.venue.inject(Fault(kind="refuse", duration_s=0.6))
        stage.venue.inject(Fault(kind="close", connection=trades))
        await stage.until(lambda: shelf.missed)
        assert shelf.missed == [((symbol,), "market 1: connection lost")]
        before, broke_ns = len(ids), time.time_ns()
        await stage.until(lambda: len(ids) > before)
        found = await stage.live.backfill(
            key, symbol, broke_ns, broke_ns, after_id=ids[before - 1], before_id=ids[before]
        )
        assert found.complete
        assert ids[:before] + numbers(found.trades) + ids[before:] == list(range(ids[0], ids[-1] + 1))
        assert stage.books.synced(key, 1)
        assert (len(shelf.snapshots), [symbols for symbols, _ in shelf.interrupted if symbols]) == (1, [])

    play(act, {key: (symbol,)})


def test_what_cannot_be_filled_is_one_sentence() -> None:
    async def act(stage: Scene) -> None:
        now_ns = time.time_ns()
        for venue, symbol, says in (
            ("binance_spot", "NOPE-USDT", "lists no 'NOPE-USDT'"),
            ("binance_usdm", "BTC-USDT-PERP", "Binance USD-M is not connected"),
            ("mtgox", "BTC-USD", "there is no market 'mtgox'"),
        ):
            with pytest.raises(BadCommand, match=says):
                await stage.live.backfill(venue, symbol, now_ns - S, now_ns)
        # One that is listed and not followed has a past as well.
        found = await stage.live.backfill("binance_spot", "ETHUSDT", now_ns - 20 * S, now_ns)
        assert found.instrument.symbol == "ETH-USDT"
        assert len(found.trades) > 10

    play(act, {"binance_spot": ("BTC-USDT",)})
