"""Every live market that can be connected: what is wanted of each, and one supervised task for each that is on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from engine.errors import BadCommand
from engine.limits.desk import LimitDesk
from engine.market.sink import Sink
from engine.telemetry.board import PollView, VenueView
from engine.venues import Filled, Note
from feeds.backfill import Hole
from feeds.backoff import Backoff
from feeds.connection import Timing
from feeds.dialect import Dialect
from feeds.live_market import MOST_SYMBOLS, LiveMarket, sentence_of
from feeds.polls import DEFAULTS, LONGEST_S, calls_of

SECOND_NS: Final = 1_000_000_000
STOP_WITHIN_S: Final = 4.0
NAME_MOST: Final = 40  # characters of a symbol


@dataclass(slots=True)
class _Place:
    """One market: what is wanted of it, and what serves that now."""

    dialect: Dialect
    symbols: list[str]
    intervals: dict[str, int]
    wanted: bool = False
    market: LiveMarket | None = None
    tasks: list[asyncio.Task[None]] = field(
        default_factory=list
    )  # the newest serves, or waits for those that close
    fault: str = ""  # of our own: why its task ended
    next_try_ns: int = 0
    since_ns: int = 0


def _silent(*_: str) -> None:
    """No event log."""


class LiveVenues:
    """Live markets over their dialects; implements `engine.venues.Venues`.

    `symbols` and `polls` are what to follow and how often to fetch, by market; a market that is not in `symbols`
    follows its dialect's default ones. `base` is a local venue's address, "" the venues' own. Commands may come
    before `run`; all of it belongs to one loop.
    """

    def __init__(
        self,
        dialects: Iterable[Dialect],
        desk: LimitDesk,
        *,
        base: str = "",
        symbols: Mapping[str, Sequence[str]] | None = None,
        polls: Mapping[str, Mapping[str, int]] | None = None,
        wall: Callable[[], int] = time.time_ns,
        random: Random | None = None,
        note: Note = _silent,
        timing: Timing | None = None,
    ) -> None:
        self._desk, self._base = desk, base
        self._wall, self._note, self._timing = wall, note, timing
        self._random = random or Random()  # noqa: S311  jitter
        self._sink: Sink | None = None
        followed, fetched = symbols or {}, polls or {}
        self._places = {
            dialect.key: _Place(
                dialect,
                list(followed.get(dialect.key, dialect.default_symbols)),
                dict(fetched.get(dialect.key, {})),
                since_ns=wall(),
            )
            for dialect in dialects
        }

    async def run(self, sink: Sink) -> None:
        """Serve until cancelled; all connections are closed on the way out."""
        self._sink = sink
        try:
            for place in self._places.values():
                if place.wanted:
                    self._start(place)
            await asyncio.Event().wait()
        finally:
            self._sink = None
            running = [task for place in self._places.values() for task in place.tasks]
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=STOP_WITHIN_S)

    def connect(self, venue: str) -> None:
        """Connect a market; nothing when it is on."""
        place = self._place(venue)
        if place.wanted:
            return
        place.wanted = True
        place.since_ns = self._wall()
        if self._sink is not None:
            self._start(place)

    def disconnect(self, venue: str) -> None:
        """Close a market's connections and forget its data; nothing when it is off."""
        place = self._place(venue)
        if not place.wanted:
            return
        place.wanted = False
        place.since_ns, place.next_try_ns, place.fault = self._wall(), 0, ""
        place.market = None
        for task in place.tasks:
            task.cancel()

    def add_symbol(self, venue: str, symbol: str) -> None:
        """Follow one more symbol. One of a market that is off is looked up when it is connected."""
        place = self._place(venue)
        if not 1 <= len(symbol.strip()) <= NAME_MOST:
            raise BadCommand(f"a symbol has 1 to {NAME_MOST} characters")
        if place.market is not None and place.market.is_open:
            place.symbols.append(place.market.add(symbol))
            return
        name = symbol.strip().upper()
        if name in (known.upper() for known in place.symbols):
            raise BadCommand(f"{place.dialect.label} already follows {name}")
        if len(place.symbols) >= MOST_SYMBOLS:
            raise BadCommand(f"{place.dialect.label} follows {MOST_SYMBOLS} symbols, the most it may")
        place.symbols.append(name)

    def remove_symbol(self, venue: str, symbol: str) -> None:
        """Stop following a symbol."""
        place = self._place(venue)
        names = {symbol.strip().upper()}
        native = place.market.native_of(symbol) if place.market is not None and place.market.is_open else ""
        if place.market is not None and native:
            names |= {place.market.remove(symbol).upper(), native.upper()}
        elif not names & {known.upper() for known in place.symbols}:
            raise BadCommand(f"{place.dialect.label} does not follow {symbol.strip()[:NAME_MOST]!r}")
        place.symbols = [known for known in place.symbols if known.upper() not in names]

    def set_poll(self, venue: str, endpoint: str, interval_s: int) -> None:
        """Fetch an endpoint each `interval_s` seconds, 0 = never."""
        place = self._place(venue)
        if place.market is not None:
            place.market.set_poll(endpoint, interval_s)
        elif endpoint not in calls_of(place.dialect):
            known = ", ".join(calls_of(place.dialect))
            raise BadCommand(
                f"{place.dialect.label} has no {endpoint!r} to fetch at an interval; it has {known}"
            )
        elif not 0 <= interval_s <= LONGEST_S:
            raise BadCommand(
                f"{endpoint} can be fetched each 1 to {LONGEST_S:,} s or never (0), not {interval_s}"
            )
        place.intervals[endpoint] = interval_s

    async def backfill(
        self, venue: str, symbol: str, from_ns: int, to_ns: int, *, after_id: int = 0, before_id: int = 0
    ) -> Filled:
        """Fetch what a hole has left out, as far as the venue still has it."""
        place = self._place(venue)
        if place.market is None:
            raise BadCommand(f"{place.dialect.label} is not connected")
        return await place.market.backfill(symbol, Hole(from_ns, to_ns, after_id, before_id))

    def views(self, now_ns: int) -> tuple[VenueView, ...]:
        """Every market, connected or not, in the order of the dialects."""
        return tuple(
            place.market.view(now_ns) if place.market is not None else _view(place)
            for place in self._places.values()
        )

    def _place(self, venue: str) -> _Place:
        place = self._places.get(venue)
        if place is None:
            raise BadCommand(f"there is no market {venue[:NAME_MOST]!r}; there are {', '.join(self._places)}")
        return place

    def _start(self, place: _Place) -> None:
        # One that was cancelled while it waited is done at once, and those it waited for may not be.
        closing = [task for task in place.tasks if not task.done()]
        task = asyncio.create_task(self._keep(place, closing), name=f"live {place.dialect.key}")
        place.tasks = [*closing, task]

    async def _keep(self, place: _Place, closing: list[asyncio.Task[None]]) -> None:
        """Serve a market until it is disconnected; a fault of our own starts it anew, after a while."""
        if closing:
            await asyncio.wait(closing)  # those of the same name
        backoff = Backoff()
        while self._sink is not None:
            place.next_try_ns, place.since_ns = 0, self._wall()
            started_s = time.monotonic()
            market: LiveMarket | None = None
            try:
                market = place.market = self._market(place, self._sink)
                await market.run()
            except Exception as error:  # noqa: BLE001  the market's outer edge: the others go on
                place.fault = sentence_of(error)
                self._note("error", place.dialect.key, "failed", f"{place.dialect.label}: {place.fault}")
            finally:
                if place.market is market:
                    place.market = None
            if time.monotonic() - started_s > 60:
                backoff = Backoff()
            backoff.failed()
            delay_s = max(1.0, backoff.delay_s(self._random.random()))
            place.next_try_ns = self._wall() + round(delay_s * SECOND_NS)
            await asyncio.sleep(delay_s)

    def _market(self, place: _Place, sink: Sink) -> LiveMarket:
        return LiveMarket(
            place.dialect,
            self._desk.gate(place.dialect.limits),
            sink,
            symbols=lambda: place.symbols,
            intervals=place.intervals,
            base=self._base,
            wall=self._wall,
            random=self._random,
            note=self._note,
            timing=self._timing,
        )


def _view(place: _Place) -> VenueView:
    """A market that is off, or about to be tried again."""
    polls = tuple(
        PollView(name, call.endpoint, place.intervals.get(name, DEFAULTS[name]), 0, 0, "", 0, 0)
        for name, call in calls_of(place.dialect).items()
    )
    return VenueView(
        venue=place.dialect.key,
        label=place.dialect.label,
        state="off" if not place.wanted else "reconnecting" if place.fault else "connecting",
        detail=place.fault if place.wanted else "",
        since_ns=place.since_ns,
        next_try_ns=place.next_try_ns,
        offset_ns=None,
        round_trip_ns=None,
        symbols=(),
        listed=(),
        streams=(),
        polls=polls,
        snapshots_waiting=0,
        snapshots_done=0,
        snapshots_failed=0,
        limits=place.dialect.limits,
    )
