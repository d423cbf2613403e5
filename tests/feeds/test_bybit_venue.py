"""Bybit's dialect against the local venue: every call, every topic, and a book that survives the venue's faults."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace

import pytest
import websockets

from engine.errors import BadFrame
from engine.exchange.faults import Fault
from engine.exchange.server import LocalVenue
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState
from engine.market.state import SymbolState
from feeds.frames import join
from feeds.rest import RestClient
from feeds.venues.bybit import DIALECTS, BybitDialect

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
EVERY_MARKET = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.key)


async def followed(client: RestClient) -> Instrument:
    """The market's first default symbol."""
    listing = await client.instruments()
    return next(one for one in listing.instruments if one.symbol == client.dialect.default_symbols[0])


@EVERY_MARKET
def test_every_call_is_answered_and_understood(dialect: BybitDialect) -> None:
    async def run() -> None:
        desk = LimitDesk(rules.load())
        async with LocalVenue(symbols=5) as venue:
            client = RestClient(dialect, desk.gate("bybit"), base=venue.url)
            source = Source(dialect.key, "live")
            try:
                instrument = await followed(client)
                offset_ns, round_trip_ns = await client.measure_offset()
                assert abs(offset_ns) < SECOND_NS
                assert round_trip_ns > 0
                now_ns = time.time_ns()
                end_ns = now_ns // MINUTE_NS * MINUTE_NS
                batch = await client.candles(instrument, 60, end_ns - 1500 * MINUTE_NS, end_ns, source)
                assert batch.rows["ts_open_ns"].tolist() == list(
                    range(end_ns - 1500 * MINUTE_NS, end_ns, MINUTE_NS)
                )
                assert (batch.rows["high"] >= batch.rows["low"]).all()
                call = dialect.funding_call(instrument)
                assert (call is None) == (dialect.key == "bybit_spot")
                if call is not None:
                    answer = await client.fetch(call)
                    running = dialect.parse_funding(instrument, answer.body, source, answer.recv_ns).rows
                    assert running["next_ns"][0] > now_ns
                    past = dialect.funding_history_call(
                        instrument, now_ns - 5 * 86_400 * SECOND_NS, now_ns, 200
                    )
                    assert past is not None
                    answer = await client.fetch(past)
                    paid = dialect.parse_funding_history(instrument, answer.body, source, answer.recv_ns).rows
                    assert len(paid) > 3
                    assert (paid["ts_event_ns"][1:] > paid["ts_event_ns"][:-1]).all()
            finally:
                await client.close()
                desk.close()

    asyncio.run(run())


class Follower:
    """One subscription, renewed when the book asks for it; remembers what its book was at each number."""

    def __init__(
        self, dialect: BybitDialect, instrument: Instrument, base: str, book_only: bool = False
    ) -> None:
        self.dialect, self.base = dialect, base
        (self.wanted,) = dialect.topics(instrument)
        if book_only:
            self.wanted = replace(self.wanted, topics=self.wanted.book)
        source = Source(dialect.key, "live")
        self.decoder = dialect.decoder(source, [instrument])
        self.state = SymbolState(source, instrument, dialect.rule)
        self.kinds: set[Kind] = set()
        self.controls: list[str] = []
        self.books: OrderedDict[int, tuple] = OrderedDict()
        self.bad = self.again = 0

    async def run(self) -> None:
        address = self.dialect.endpoints(self.base).stream + self.wanted.path
        async with websockets.connect(address, max_size=1 << 22) as socket:
            await socket.send(self.dialect.subscribe(self.wanted.topics, "1"))
            keep_alive = self.dialect.streams.keep_alive
            assert keep_alive is not None
            await socket.send(keep_alive.text)
            asked = False
            async for frame in socket:
                data = frame.encode() if isinstance(frame, str) else frame
                control = self.dialect.control(data)
                if control is not None:
                    self.controls.append(control.kind)
                    if control.request == "2":  # only now: both at once would be a second subscription
                        await socket.send(self.dialect.subscribe(self.wanted.book, "3"))
                    continue
                for item in self.decoder.decode(join([data], [time.time_ns()])):
                    self.take(item)
                if self.state.state is BookState.SYNCED:
                    asked = False
                elif self.state.wants_snapshot and not asked:
                    asked = True
                    self.again += 1
                    await socket.send(self.dialect.unsubscribe(self.wanted.book, "2"))

    def take(self, item: Batch | Instrument | BadFrame) -> None:
        if isinstance(item, BadFrame):
            self.bad += 1
        elif isinstance(item, Instrument):
            self.state.revise(item)
        else:
            self.kinds.add(item.kind)
            self.state.on_batch(item)
            if item.kind in (Kind.DELTA, Kind.SNAPSHOT) and self.state.state is BookState.SYNCED:
                bids, asks = self.state.book.top(200)
                self.books[self.state.sync.sequence] = (bids.tolist(), asks.tolist())
                if len(self.books) > 500:
                    self.books.popitem(last=False)


async def until(condition) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


@EVERY_MARKET
def test_every_topic_is_served_and_understood(dialect: BybitDialect) -> None:
    async def run() -> None:
        desk = LimitDesk(rules.load())
        async with LocalVenue(symbols=5, rate=50) as venue:
            client = RestClient(dialect, desk.gate("bybit"), base=venue.url)
            follower = Follower(dialect, await followed(client), venue.url)
            task = asyncio.create_task(follower.run())
            expected = {Kind.SNAPSHOT, Kind.DELTA, Kind.QUOTES, Kind.TRADES}
            if dialect.key != "bybit_spot":
                expected.add(Kind.FUNDING)
            await until(lambda: follower.kinds >= expected or task.done())
            assert follower.kinds - {Kind.CANDLES} == expected
            assert set(follower.controls) == {"ack", "pong"}
            assert (follower.bad, follower.decoder.ignored) == (0, {})
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()
            desk.close()

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["drop", "duplicate", "reorder", "malformed", "restart"])
def test_the_book_survives_the_venue_s_faults(kind: str) -> None:
    dialect = DIALECTS[1]

    async def run() -> None:
        desk = LimitDesk(rules.load())
        async with LocalVenue(symbols=5, rate=50) as venue:
            client = RestClient(dialect, desk.gate("bybit"), base=venue.url)
            instrument = await followed(client)
            follower = Follower(dialect, instrument, venue.url, book_only=True)
            task = asyncio.create_task(follower.run())
            await until(lambda: follower.state.sync.counts.applied > 5)
            counts = follower.state.sync.counts
            happened = {
                "duplicate": lambda: counts.stale,
                "restart": lambda: counts.snapshots > 1,
            }.get(kind, lambda: counts.gaps)
            venue.inject(Fault(kind=kind, budget="bybit", market=dialect.key))  # type: ignore[arg-type]
            await until(happened)
            await until(lambda: follower.state.state is BookState.SYNCED)
            applied = counts.applied
            await until(lambda: counts.applied > applied + 5)
            # Another subscriber's first book is what ours was at that number.
            second = Follower(dialect, instrument, venue.url, book_only=True)
            other = asyncio.create_task(second.run())
            await until(lambda: second.books)
            number, book = next(iter(second.books.items()))
            await until(lambda: max(follower.books) >= number)
            assert follower.books[number] == book
            assert follower.again == counts.gaps == (kind in ("drop", "reorder", "malformed"))
            assert follower.bad == (kind == "malformed")
            for one in (task, other):
                one.cancel()
            await asyncio.gather(task, other, return_exceptions=True)
            await client.close()
            desk.close()

    asyncio.run(run())
