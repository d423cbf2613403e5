"""For tests of live markets: a light sink that keeps every book, and the whole machinery against the local venue."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.errors import BadFrame
from engine.exchange.server import LocalVenue
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.limits.rules import Rules
from engine.market import state
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from engine.telemetry.board import VenueView
from feeds.connection import Timing
from feeds.live import LiveVenues
from feeds.venues import DIALECTS, binance

QUICK = Timing(
    open_s=2.0,
    answer_s=2.0,
    close_s=0.3,
    quiet_s=0.2,
    meet_s=2.0,
    snapshot_s=1.0,
    refused_s=1.0,
    rotate_gap_s=0.2,
    healthy_s=5.0,
    backoff_s=0.05,
    most_bytes=4 << 20,
    settle_s=0.3,
)


@dataclass
class Shelf:
    """One open source's books, and what was said of it."""

    states: dict[str, SymbolState]
    rule: Rule
    bad: list[BadFrame] = field(default_factory=list)
    interrupted: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    missed: list[tuple[tuple[str, ...], str]] = field(default_factory=list)  # trades alone
    conditions: list[tuple[bool, str]] = field(default_factory=list)
    wrong: list[tuple[str, Outcome]] = field(default_factory=list)  # gaps and crossed books, as they came
    trades: dict[str, list[int]] = field(default_factory=dict)  # ids, as they came
    snapshots: list[str] = field(default_factory=list)  # symbols, as they were loaded
    minutes: dict[str, int] = field(default_factory=dict)
    funding: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    frames: int = 0


class Books:
    """A sink that keeps books and notes, without rings."""

    def __init__(self) -> None:
        self.open: dict[str, Shelf] = {}
        self.closed: list[tuple[str, str]] = []
        self.fails_once: set[str] = set()  # symbols whose next batch raises
        self.keeps_raw = False
        self.raw: list[tuple[str, bytes, int]] = []  # path, frame, when it came
        self.batches: list[Batch] | None = None  # all that came, where they are kept

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        states = {one.symbol: SymbolState(source, one, rule, 2_000) for one in instruments}
        self.open[source.venue] = Shelf(states, rule)

    def revise(self, source: Source, instrument: Instrument) -> None:
        self.open[source.venue].states[instrument.symbol].revise(instrument)

    def add_symbol(self, source: Source, instrument: Instrument) -> None:
        shelf = self.open[source.venue]
        shelf.states[instrument.symbol] = SymbolState(source, instrument, shelf.rule, 2_000)

    def remove_symbol(self, source: Source, symbol: str) -> None:
        del self.open[source.venue].states[symbol]

    def on_batch(self, batch: Batch) -> Outcome:
        if batch.symbol in self.fails_once:
            self.fails_once.remove(batch.symbol)
            raise RuntimeError("a fault of our own")
        if self.batches is not None:
            self.batches.append(batch)
        shelf = self.open[batch.source.venue]
        if batch.kind is Kind.CANDLES:
            shelf.minutes[batch.symbol] = shelf.minutes.get(batch.symbol, 0) + len(batch.rows)
        elif batch.kind is Kind.FUNDING:
            shelf.funding[batch.symbol] = shelf.funding.get(batch.symbol, 0) + len(batch.rows)
        elif batch.kind is Kind.TRADES:
            shelf.trades.setdefault(batch.symbol, []).extend(batch.rows["trade_id"].tolist())
        outcome = shelf.states[batch.symbol].on_batch(batch)
        if outcome in (Outcome.GAP, Outcome.CROSSED):
            shelf.wrong.append((batch.symbol, outcome))
        if batch.kind is Kind.SNAPSHOT and outcome is Outcome.APPLIED:
            shelf.snapshots.append(batch.symbol)
        return outcome

    def wants_snapshot(self, source: Source) -> list[str]:
        return [symbol for symbol, one in self.open[source.venue].states.items() if one.wants_snapshot]

    def interrupted(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        shelf = self.open[source.venue]
        for symbol in symbols:
            shelf.states[symbol].disconnected()
        shelf.interrupted.append((tuple(symbols), reason))

    def missed(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        if symbols:
            self.open[source.venue].missed.append((tuple(symbols), reason))

    def condition(self, source: Source, up: bool, detail: str) -> None:
        self.open[source.venue].conditions.append((up, detail))

    def on_dropped(self, source: Source, frames: int) -> None:
        self.open[source.venue].dropped += frames

    def on_frames(self, source: Source, frames: int, size_bytes: int, decode_ns: np.ndarray) -> None:
        assert len(decode_ns) == frames
        self.open[source.venue].frames += frames

    def wants_raw(self, source: Source) -> bool:
        return self.keeps_raw

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        self.raw += [(path, *each) for each in zip(frames, recv_ns, strict=True)]

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        self.open[source.venue].bad.append(error)

    def close_source(self, source: Source, reason: str) -> None:
        del self.open[source.venue]
        self.closed.append((source.venue, reason))

    def synced(self, venue: str, symbols: int) -> bool:
        """Whether so many books of a market are there, and all right."""
        shelf = self.open.get(venue)
        return (
            shelf is not None
            and len(shelf.states) == symbols
            and all(one.state is BookState.SYNCED for one in shelf.states.values())
        )


@dataclass
class Scene:
    """The local venue, the live markets against it, and what they bring."""

    venue: LocalVenue
    live: LiveVenues
    books: Books
    notes: list[tuple[str, ...]]
    desk: LimitDesk
    running: asyncio.Task[None]

    def view(self, key: str) -> VenueView:
        return next(view for view in self.live.views(time.time_ns()) if view.venue == key)

    async def until(self, condition: Callable[[], object], within_s: float = 8.0) -> None:
        """Wait for it; what is to be seen is said when it does not come about."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert not self.running.done(), self.running
            if time.monotonic() > deadline:
                streams = [
                    (one.name, one.state, one.reason, one.reconnects, one.rotations)
                    for v in self.on()
                    for one in v.streams
                ]
                raise AssertionError(f"it did not come about: {streams} {self.notes[-5:]}")
            await asyncio.sleep(0.01)

    def on(self) -> list[VenueView]:
        """Markets that are connected."""
        return [view for view in self.live.views(time.time_ns()) if view.state != "off"]

    def agrees(self, key: str, symbol: str, levels: int = 20) -> bool:
        """Whether the best levels of a book are the venue's own at this moment."""
        book = self.books.open[key].states[symbol]
        served = next(budget.markets[key] for budget in self.venue.budgets.values() if key in budget.markets)
        snapshot = served.snapshot(book.instrument.native, levels, time.time_ns())
        bids, asks = book.book.top(levels)
        listed, units = served.listings[book.instrument.native].instrument, book.instrument
        # The venue's units may be finer than its tick needs; ours are what the tick needs.
        prices = 10 ** (listed.price_decimals - units.price_decimals)
        sizes = 10 ** (listed.size_decimals - units.size_decimals)
        own = [[(price * prices, size * sizes) for price, size in side.tolist()] for side in (bids, asks)]
        return own == [[tuple(level[:2]) for level in side] for side in (snapshot.bids, snapshot.asks)]

    async def all_agree(self, key: str) -> None:
        """Hold the venue's market still until every book of it equals the venue's.

        It is let go in between: what the venue had not sent yet when it was held comes with its next change.
        """
        served = next(budget.markets[key] for budget in self.venue.budgets.values() if key in budget.markets)
        market: Any = served.market
        moves = market.advance

        async def held(within_s: float) -> None:
            market.advance = lambda _: []
            try:
                await self.until(
                    lambda: all(self.agrees(key, one) for one in self.books.open[key].states), within_s
                )
            finally:
                market.advance = moves

        for _ in range(5):
            with contextlib.suppress(AssertionError):
                return await held(2.0)
            await asyncio.sleep(0.3)
        await held(8.0)


def shortened(window_s: float) -> Rules:
    """The packaged limits with the minute of Binance's weights so short; the weights and limits are the real ones."""
    packaged = rules.load()
    venues = {}
    for name, venue in packaged.venues.items():
        windows = tuple(
            replace(one, window_ns=round(window_s * 1e9)) if one.unit == "weight" else one
            for one in venue.windows
        )
        venues[name] = replace(venue, windows=windows)
    return replace(packaged, venues=venues)


@contextlib.asynccontextmanager
async def scene(
    follow: Mapping[str, Sequence[str]],
    *,
    limits: Rules | None = None,
    base: str = "",
    timing: Timing = QUICK,
    keeps_raw: bool = False,
    **venue: Any,
) -> AsyncIterator[Scene]:
    """Everything running and connected to the markets of `follow`; all is closed and no task left behind."""
    state.warm_up()  # a kernel compiled while the loop waits would look like a venue that stalls
    binance.warm_up()
    before = asyncio.all_tasks()
    async with LocalVenue(**{"seed": 7, "symbols": 20, "levels": 200, "rate": 20.0} | venue) as local:
        desk = LimitDesk(limits or rules.load())
        notes: list[tuple[str, ...]] = []
        live = LiveVenues(
            DIALECTS.values(),
            desk,
            base=base or local.url,
            symbols=follow,
            random=random.Random(5),
            note=lambda *said: notes.append(said),
            timing=timing,
        )
        books = Books()
        books.keeps_raw = keeps_raw
        books.batches = [] if keeps_raw else None
        for key in follow:
            live.connect(key)
        running = asyncio.create_task(live.run(books))
        try:
            yield Scene(local, live, books, notes, desk, running)
        finally:
            started = time.monotonic()
            running.cancel()
            await asyncio.wait([running])
            took_s = time.monotonic() - started
        assert took_s < 2.5
        assert not books.open
    for _ in range(200):
        left = asyncio.all_tasks() - before
        if not left:
            break
        await asyncio.sleep(0.01)
    assert not left, left
