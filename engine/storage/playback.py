"""Plays a recorded stretch into a sink, by the way all data takes: paced, paused, stepped through, sought in.

    Reader (a thread) -> Events -> Player (when) -> Delivery (what) -> Sink

The same stretch gives the same events in the same order at any speed: `hash` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from engine.errors import BadCommand, BadQuery, sentence_of
from engine.market.batches import Source
from engine.market.sink import Sink
from engine.pacing import SECOND_NS, TURN_NS, Player
from engine.storage.delivery import Delivery
from engine.storage.reader import Reader
from engine.storage.stretch import Stretch, find
from engine.storage.timeline import Events

PAST_NS: Final = 900 * SECOND_NS  # what is played before the moment asked for, so that charts have a past
MOST_TURN: Final = 4_096  # events; a turn ends by the clock

State = Literal["waiting", "opening", "seeking", "playing", "paused", "ended", "failed"]
FindStretch = Callable[[], Stretch]


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a stretch that was played through."""

    events: int
    hash: str
    seconds: float
    lost: tuple[str, ...]  # what could not be read


class Playback:
    """One recorded stretch of a venue. BadQuery, from `check` or `run`, when nothing of it is there.

    With `at_ns` it begins at most a quarter of an hour before, and plays up to there as fast as it goes. Moments
    further back than where it began, and those far ahead, are sought by beginning anew in the same way. `events` and
    `hash` count from where it began. Everything but `check` belongs to one loop; it may be run again.
    """

    recorded: Final = True

    def __init__(
        self,
        folder: Path,
        venue: str,
        symbols: Sequence[str],
        from_ns: int,
        to_ns: int,
        *,
        at_ns: int = 0,
        speed: float = 1.0,
        paused: bool = False,
        wall: Callable[[], int] = time.time_ns,
        chunk_rows: int | None = None,
    ) -> None:
        self.source = Source(venue, "replay")
        self.opened = False  # whether the sink shows its source
        self.from_ns, self.to_ns = from_ns, to_ns
        self._find: FindStretch = partial(find, folder, venue, symbols, from_ns, to_ns)
        self._stretch: Stretch | None = None
        self._wall = wall
        self._chunk_rows = chunk_rows
        self._player = Player(speed, paused, wall, MOST_TURN)
        self._delivery: Delivery | None = None
        self._reader: Reader | None = None
        self._goal_ns = at_ns  # 0 = the beginning
        self._begun_ns = from_ns
        self._state: Literal["waiting", "opening", "running", "ended", "failed"] = "waiting"
        self._again = self._closed = False

    async def check(self) -> None:
        """Look the stretch up; BadQuery when nothing of it is there, or the moment to begin at is not in it."""
        if self._goal_ns and not self.from_ns <= self._goal_ns <= self.to_ns:
            asked, first, last = (
                f"{datetime.fromtimestamp(ns / SECOND_NS, UTC):%Y-%m-%d %H:%M:%S}"
                for ns in (self._goal_ns, self.from_ns, self.to_ns)
            )
            raise BadQuery("at", f"{asked} is not in the stretch, which is from {first} to {last} UTC")
        self._stretch = await asyncio.to_thread(self._find)

    # --- what is shown -----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The venue and the stretch, as words."""
        begin, end = (datetime.fromtimestamp(ns / SECOND_NS, UTC) for ns in (self.from_ns, self.to_ns))
        until = end.strftime("%H:%M:%S" if begin.date() == end.date() else "%Y-%m-%d %H:%M:%S")
        return f"{self.source.venue}, {begin:%Y-%m-%d %H:%M:%S} to {until} UTC"

    @property
    def speed_label(self) -> str:
        """`1x`, `10x`, `max`."""
        return self._player.speed_label

    @property
    def state(self) -> State:
        """What it does now."""
        return self._player.mode if self._state == "running" else self._state

    @property
    def detail(self) -> str:
        """What there is to say of it: a hole that was leapt over, and what could not be read."""
        said = [self._player.note_at(self.at_ns)] if self._state == "running" else []
        lost = self._reader.lost if self._reader is not None else []
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            said.append(f"skipped what cannot be read: {lost[0]}{more}")
        return "; ".join(filter(None, said))

    @property
    def at_ns(self) -> int:
        """Its clock, now."""
        return self.now_ns(self._wall())

    @property
    def progress(self) -> float:
        """How far its clock is through the stretch, 0.0 to 1.0."""
        if self._state == "ended":
            return 1.0
        return min(1.0, max(0.0, (self.at_ns - self.from_ns) / (self.to_ns - self.from_ns)))

    @property
    def events(self) -> int:
        """Events told since it began."""
        return self._delivery.events if self._delivery is not None else 0

    @property
    def hash(self) -> str:
        """Of those events; "" before the first run."""
        return self._delivery.hash if self._delivery is not None else ""

    @property
    def next_hole_ns(self) -> int:
        """Where the next hole in a book begins, by its clock; 0 = there is none ahead."""
        at_ns = self.at_ns
        holes = self._reader.holes if self._reader is not None else ()
        return next((ns for ns in holes if max(at_ns, self.from_ns) < ns < self.to_ns), 0)

    def now_ns(self, wall_ns: int) -> int:
        """The source's own clock: the time of what is played."""
        if self._state in ("waiting", "opening"):
            return self._goal_ns or self.from_ns
        if self._state == "ended":
            return self.to_ns
        if self._state == "failed":
            return self._player.played_ns
        return min(max(self._player.now_ns(wall_ns), self._begun_ns), self.to_ns)

    # --- orders ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop after what is due by now."""
        self._player.pause()

    def resume(self) -> None:
        """Go on."""
        self._player.resume()

    def step(self, by: Literal["event", "second"]) -> None:
        """Pause, and play the next event, or up to the next whole second."""
        if by == "event":
            self._player.step()
        else:
            self._player.step_second()

    def set_speed(self, speed: float) -> None:
        """Another speed from here on; ValueError when it is not above 0."""
        self._player.set_speed(speed)

    def seek(self, at_ns: int) -> None:
        """Go to a moment of the stretch, and be as before there. One that has ended goes there when it is run again,
        and stands there: fast, it would be over at once.

        BadCommand when the moment is not in the stretch.
        """
        if not self.from_ns <= at_ns <= self.to_ns:
            raise BadCommand("that moment is not in the stretch that is replayed")
        ahead_ns = at_ns - self._player.played_ns
        if self._state == "running" and not self._again and 0 <= ahead_ns <= PAST_NS:
            self._player.seek(at_ns)
            return
        self._goal_ns = at_ns
        if self._state in ("ended", "failed"):
            self._player.pause()
        if self._state == "running":
            self._again = True
            self._player.give_up()

    def close(self) -> None:
        """End it: `run` returns, and the source is closed for good."""
        self._closed = True
        self._player.give_up()

    # --- playing -----------------------------------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Play to the end and return.

        The source is closed on the way out: "ended", "stopped" (cancelled), "closed", or the sentence of what failed.
        """
        self._closed, reason = False, "stopped"
        try:
            while True:
                self._state, self._again = "opening", False
                chunks = await self._open()
                if chunks is None:
                    break
                self._begin(sink)
                if await self._play(chunks):
                    break
            self._state = reason = "ended"
        except Exception as error:
            self._state = "failed"
            reason = sentence_of(error)
            raise
        finally:
            if self.opened:
                sink.close_source(self.source, "closed" if self._closed else reason)
                self.opened = not self._closed

    async def _open(self) -> Iterator[Events] | None:
        """The chunks of what is to be played now; None when it was closed meanwhile."""
        if self._stretch is None:
            await self.check()
        assert self._stretch is not None
        rows = {} if self._chunk_rows is None else {"chunk_rows": self._chunk_rows}
        while True:
            goal_ns = self._goal_ns
            self._begun_ns = max(self.from_ns, goal_ns - PAST_NS)
            reader = await asyncio.to_thread(Reader, self._stretch, self._begun_ns, **rows)
            if self._closed:
                return None
            if goal_ns == self._goal_ns:  # nobody sought meanwhile
                self._reader = reader
                return reader.chunks()

    def _begin(self, sink: Sink) -> None:
        assert self._stretch is not None
        assert self._reader is not None
        instruments = self._reader.instruments
        self._player.begin(self._begun_ns, self._goal_ns or self.from_ns)
        self._goal_ns = 0
        self._state = "running"
        label = f"{self._stretch.label} replay"
        units = list(instruments.values())
        sink.open_source(self.source, label, units, self._stretch.rule, self.now_ns)
        self.opened = True
        self._delivery = Delivery(sink, self.source, instruments)

    async def _play(self, chunks: Iterator[Events]) -> bool:
        """Whether it was played to the end, or closed; False when it is to begin anew."""
        assert self._delivery is not None
        delivery = self._delivery
        coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
        try:
            while (events := await coming) is not None:
                # The next chunk is read while this one is played.
                coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
                if not await self._player.play(
                    events.due_ns, partial(_deliver, delivery, events), events.stops
                ):
                    return not self._again
            # The stretch has its own end, at which nothing happens.
            await self._player.play(np.array([self.to_ns]), lambda _first, end: end)
        finally:
            coming.cancel()  # the thread ends by itself; what it reads is not wanted any more, nor why it failed
            coming.add_done_callback(lambda task: task.cancelled() or task.exception())
        return not self._again


def play_all(
    folder: Path,
    venue: str,
    symbols: Sequence[str],
    from_ns: int,
    to_ns: int,
    sink: Sink,
    *,
    chunk_rows: int | None = None,
) -> Played:
    """A stretch played through at once, as fast as it goes, on this thread. BadQuery when nothing of it is there."""
    started = time.perf_counter()
    stretch = find(folder, venue, symbols, from_ns, to_ns)
    return play_stretch(stretch, sink, started, chunk_rows=chunk_rows)


def play_stretch(
    stretch: Stretch, sink: Sink, started: float | None = None, *, chunk_rows: int | None = None
) -> Played:
    """The same of a stretch that was found."""
    began = time.perf_counter() if started is None else started
    reader = Reader(stretch) if chunk_rows is None else Reader(stretch, chunk_rows=chunk_rows)
    source = Source(stretch.venue, "replay")
    clock_ns = stretch.from_ns
    instruments = reader.instruments
    sink.open_source(
        source, f"{stretch.label} replay", list(instruments.values()), stretch.rule, lambda _: clock_ns
    )
    delivery = Delivery(sink, source, instruments)
    for events in reader.chunks():
        delivery.deliver(events, 0, len(events))
        if len(events):
            clock_ns = max(clock_ns, int(events.due_ns[-1]))
    sink.close_source(source, "ended")
    return Played(delivery.events, delivery.hash, time.perf_counter() - began, tuple(reader.lost))


def _deliver(delivery: Delivery, events: Events, first: int, end: int) -> int:
    """One turn: it ends by the clock, whatever the events cost the sink."""
    return delivery.deliver(events, first, end, time.perf_counter_ns() + TURN_NS)
