"""One WebSocket connection to a venue, kept: opened, subscribed, watched, replaced before it is cut, opened again.

A `Stream` is the place a connection has in a market, over all its reconnects and rotations; `connection` has the one
socket. What to say and when, how long to wait and whether silence is too long is decided by `conversation`, `backoff`
and `pulse`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Final, Protocol

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from engine.errors import LimitError
from engine.telemetry.board import StreamState, StreamView
from feeds.backoff import Backoff
from feeds.connection import RESUME_BELOW, SECOND_NS, Connection, End, Permit, reason_of
from feeds.connection import Timing as Timing
from feeds.conversation import Happened
from feeds.dialect import Dialect
from feeds.inbox import MOST_FRAMES, Inbox
from feeds.overlap import Seam
from feeds.pulse import Pulse

ROTATE_SHARE: Final = 0.05  # of the time to the rotation, at most so much earlier: not all at once
HELD_MOST: Final = MOST_FRAMES // 2  # by a replacement: there must be room behind what came before


class Listener(Protocol):
    """Who owns the stream. Called on the loop; must not block."""

    def arrived(self) -> None:
        """Frames wait in the stream's inbox."""

    def subscribed(self, stream: Stream, topics: tuple[str, ...]) -> None:
        """From here on the venue sends these."""

    def refused(self, stream: Stream, topic: str, text: str) -> None:
        """The venue does not send this one; the others are not touched by it."""

    def broken(self, stream: Stream, reason: str) -> None:
        """What comes next does not follow what came before."""

    def overlapping(self, stream: Stream, begins: bool) -> None:
        """While a replacement takes over, what it brings may have come before; until what it held is decoded."""

    def changed(self, stream: Stream) -> None:
        """The stream's state is another."""


class Stream:
    """A market's connection to one path of the venue, held for as long as `run` runs.

    `want`, `drop` and `renew` say what it should carry, at any time. Everything that goes wrong is counted, told to
    the listener and tried again with backoff; nothing is raised.
    """

    def __init__(
        self,
        name: str,
        url: str,
        dialect: Dialect,
        acquire: Callable[[], Awaitable[Permit]],
        listener: Listener,
        *,
        wall: Callable[[], int] = time.time_ns,
        random: Random | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.name, self.url = name, url
        self.inbox = Inbox()
        self.state: StreamState = "connecting"
        self.reason = ""
        self.next_try_ns = 0
        self.reconnects = self.rotations = self.stalls = self.oversized = 0
        self._dialect, self._acquire, self._listener = dialect, acquire, listener
        self._wall = wall
        self._random = random or Random()  # noqa: S311  jitter
        self._timing = timing or Timing()
        self._topics: dict[str, None] = {}
        self._current: Connection | None = None
        self._next: Connection | None = None  # that is to take over
        self._rotate = asyncio.Event()
        self._backoff = Backoff(self._timing.backoff_s, healthy_after_s=self._timing.healthy_s)
        self._pulse = Pulse(dialect.streams.silent_after_s)
        self._closing: set[asyncio.Task[None]] = set()
        self._overlaps = False
        self._overlap_until: int | None = None  # so many frames gone from the inbox; None: not known yet
        self._rotated_s = time.monotonic() - self._timing.rotate_gap_s
        self._since_ns = wall()
        self._newest_ns = 0
        self._frames = self._bytes = 0
        self._second = self._in_second = self._in_last = 0

    @property
    def topics(self) -> tuple[str, ...]:
        """What it should carry."""
        return tuple(self._topics)

    @property
    def ready(self) -> bool:
        """Whether it is connected and what it was to carry at first, if anything, has been answered for."""
        if self.state != "open" or self._current is None:
            return False
        return self._current.answered or not self._topics

    @property
    def settled(self) -> bool:
        """Whether it is connected and every topic has been answered for."""
        return self.state == "open" and self._current is not None and self._current.talk.settled

    def want(self, topics: Iterable[str]) -> None:
        """Carry these too."""
        new = [topic for topic in topics if topic not in self._topics]
        self._topics.update(dict.fromkeys(new))
        for connection in (self._current, self._next):
            if connection is not None and new:
                connection.talk.want(new)
                connection.nudge()

    def drop(self, topics: Iterable[str]) -> None:
        """Carry these no more."""
        gone = [topic for topic in topics if self._topics.pop(topic, "") is None]
        for connection in (self._current, self._next):
            if connection is not None and gone:
                connection.talk.drop(gone)
                connection.nudge()

    def take(self, most: int) -> tuple[list[bytes], list[int]]:
        """At most so many of the frames that wait, oldest first, and when they came."""
        taken = self.inbox.take(most)
        if self._current is not None and len(self.inbox) < RESUME_BELOW:
            self._current.relieved()
        return taken

    def decoded(self) -> None:
        """All that was taken is decoded, too."""
        if self._overlap_until is not None and self.inbox.gone >= self._overlap_until:
            self._overlap(False)

    def renew(self, topics: Iterable[str]) -> bool:
        """Have the venue send these from their snapshot again; False when there is no connection to ask."""
        if self.state != "open" or self._current is None:
            return False
        self._current.talk.renew(topics)
        self._current.nudge()
        return True

    def view(self, now_ns: int) -> StreamView:
        """The stream as it stands at a wall time."""
        second = now_ns // SECOND_NS
        rate = (
            self._in_second if second == self._second + 1 else self._in_last if second == self._second else 0
        )
        return StreamView(
            name=self.name,
            state=self.state,
            since_ns=self._since_ns,
            newest_ns=self._newest_ns,
            subscriptions=len(self._current.talk.confirmed) if self._current is not None else 0,
            frames=self._frames,
            frames_per_s=float(rate),
            size_bytes=self._bytes,
            dropped=self.inbox.dropped,
            reconnects=self.reconnects,
            rotations=self.rotations,
            stalls=self.stalls,
            next_try_ns=self.next_try_ns,
            reason=self.reason,
        )

    async def run(self) -> None:
        """Keep the connection until cancelled; closes it on the way out, within two seconds."""
        try:
            while True:
                self._enter("connecting")
                end = await self._once()
                self._current = None
                self._backoff.failed()
                self.reason = end
                delay_s = self._backoff.delay_s(self._random.random())
                self.next_try_ns = self._wall() + round(delay_s * SECOND_NS)
                self._enter("backing off")
                self.reconnects += 1
                await asyncio.sleep(delay_s)
                self.next_try_ns = 0
        finally:
            current, self._current = self._current, None
            if current is not None:
                self._leave(current)
            self.inbox.clear()
            self._overlap(False)
            self._enter("closed")
            if self._closing:
                await asyncio.wait(self._closing, timeout=3 * self._timing.close_s)

    async def _once(self) -> str:
        """Open a connection and keep it, or its replacements, until one breaks; why it did."""
        self._rotate.clear()
        try:
            connection = await self._opened(self.inbox)
        except (OSError, InvalidHandshake, LimitError, ConnectionClosed) as error:
            return reason_of(error, self.url)
        self._current = connection
        self._enter("open")
        while True:
            serving = asyncio.create_task(connection.serve(), name=f"{self.name} serve")
            try:
                replacement = await self._replaced(serving)
            except BaseException:
                serving.cancel()
                await asyncio.wait([serving])
                raise
            if replacement is None:
                end = serving.result()
                self._leave(connection)
                self.stalls += end.kind == "stalled"
                self.oversized += end.kind == "too big"
                self._listener.broken(self, end.reason)
                self._overlap(False)
                return end.reason
            serving.cancel()
            await asyncio.wait([serving])
            connection = replacement

    async def _replaced(self, serving: asyncio.Task[End]) -> Connection | None:
        """The connection that took over; None when the present one ended first."""
        rotate_after_s = self._dialect.streams.rotate_after_s
        planned_s = rotate_after_s * (1 - ROTATE_SHARE * self._random.random()) if rotate_after_s else None
        asked = asyncio.create_task(self._rotate.wait())
        try:
            await asyncio.wait({serving, asked}, timeout=planned_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        # A venue that gives notice to each new connection must not cost the budget of connects.
        early_s = self._rotated_s + self._timing.rotate_gap_s - time.monotonic()
        if early_s > 0:
            await asyncio.wait({serving}, timeout=early_s)
        backoff = Backoff(self._timing.backoff_s)
        while not serving.done():
            taking_over = asyncio.create_task(self._take_over(serving), name=f"{self.name} rotate")
            try:
                await asyncio.wait({serving, taking_over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not taking_over.done():
                    taking_over.cancel()
                    await asyncio.wait([taking_over])
            replacement = None if taking_over.cancelled() else taking_over.result()
            if replacement is not None:
                return replacement
            backoff.failed()
            delay_s = backoff.delay_s(self._random.random())
            await asyncio.wait({serving}, timeout=delay_s)
        return None

    async def _take_over(self, before: asyncio.Task[End]) -> Connection | None:
        """Open a second connection, subscribed and delivering into an inbox of its own, and let it be the stream's.

        None when it could not be had, or when the present one, served by `before`, ended too early: then nothing is
        left of it. Between its being ready and its being the stream's there is no await: nothing can come between.
        """
        connection: Connection | None = None
        seam = Seam()
        ready = False
        self._overlap(True)
        try:
            connection = self._next = await self._opened(Inbox())
            # What was wanted or dropped while it was being opened; from here on it hears of both.
            connection.talk.want(self._topics)
            connection.talk.drop([topic for topic in connection.talk.topics if topic not in self._topics])
            ready = await self._is_ready(connection, seam, before)
        except (OSError, InvalidHandshake, LimitError, ConnectionClosed):
            pass
        finally:
            self._next = None
            if self._current is not None:
                self._current.witness = None
            if connection is not None:
                connection.witness = None
                if not ready:
                    self._leave(connection)
            if not ready:
                self._end_overlap()
        if not ready or connection is None:
            return None
        self._switch(connection)
        return connection

    async def _is_ready(self, connection: Connection, seam: Seam, before: asyncio.Task[End]) -> bool:
        """Whether it delivers, and nothing lies between what came before and what it brings."""
        serving = asyncio.create_task(connection.serve(), name=f"{self.name} prepare")
        try:
            async with asyncio.timeout(self._timing.open_s + self._timing.answer_s):
                await self._until_delivering(connection, serving)
            await self._until_met(connection, serving, seam, before)
            lives = not serving.done()
        finally:
            serving.cancel()
            await asyncio.wait([serving])
        return lives and (seam.met or not before.done())

    async def _until_met(
        self, connection: Connection, serving: asyncio.Task[End], seam: Seam, before: asyncio.Task[End]
    ) -> None:
        """Read the present connection on until it has brought what the new one brings; it may lag.

        For some seconds at most: of a quiet market nothing may come, and the venue may not send to all the same.
        """
        if self._current is None:
            return
        self._current.witness, connection.witness = seam.earlier, seam.later
        self._current.hurry()
        until = time.monotonic() + self._timing.meet_s
        while not (seam.met or serving.done() or before.done()) and time.monotonic() < until:
            if len(connection.inbox) > HELD_MOST:
                return
            await asyncio.sleep(0.02)

    async def _until_delivering(self, connection: Connection, serving: asyncio.Task[End]) -> None:
        settling = asyncio.create_task(connection.settled())
        try:
            await asyncio.wait({serving, settling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settling.cancel()
        until = time.monotonic() + self._timing.quiet_s
        while not connection.frames and not serving.done() and time.monotonic() < until:
            await asyncio.sleep(0.02)

    def _switch(self, replacement: Connection) -> None:
        """Let the replacement be the connection, in one step: what it held comes right behind what came before."""
        before, self._current = self._current, replacement
        self._pulse = replacement.pulse
        if before is not None:
            self._leave(before)
        self.inbox.pour(replacement.inbox)
        replacement.inbox = self.inbox
        # What one of the two was refused and the other was not.
        replacement.talk.want(self._topics)
        replacement.talk.drop([topic for topic in replacement.talk.topics if topic not in self._topics])
        self.rotations += 1
        self._rotated_s = time.monotonic()
        self._rotate.clear()
        if replacement.leaving:
            self._rotate.set()
        self._end_overlap()
        self._listener.arrived()
        self._enter("open")

    async def _opened(self, inbox: Inbox) -> Connection:
        connection = Connection(
            self.url,
            self._dialect,
            inbox,
            self._pulse if inbox is self.inbox else self._pulse.copy(),
            on_frames=self._count,
            on_happened=self._happened,
            wall=self._wall,
            timing=self._timing,
        )
        connection.talk.want(self._topics)
        await connection.open(self._acquire)
        return connection

    def _leave(self, connection: Connection) -> None:
        connection.muted = True
        task = asyncio.create_task(connection.close(), name=f"{self.name} close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _happened(self, connection: Connection, happened: Happened) -> None:
        if happened.kind == "shutdown":
            connection.leaving = True
            if connection is self._current:
                self._rotate.set()
        elif happened.kind == "refused":
            for topic in happened.topics:
                self._topics.pop(topic, None)
                self._listener.refused(self, topic, happened.text)
        elif happened.kind == "subscribed" and connection is self._current:
            self._listener.subscribed(self, happened.topics)
        if connection is self._current and connection.talk.settled:
            self._listener.changed(self)

    def _count(self, recv_ns: int, frames: int, size_bytes: int) -> None:
        self._bytes += size_bytes
        if not frames:
            return
        self._frames += frames
        self._newest_ns = recv_ns
        second = recv_ns // SECOND_NS
        if second != self._second:
            self._in_last = self._in_second if second == self._second + 1 else 0
            self._second, self._in_second = second, 0
        self._in_second += frames
        self._backoff.healthy(time.monotonic_ns())
        self._listener.arrived()

    def _end_overlap(self) -> None:
        """Behind what waits now: that is still to be compared."""
        self._overlap_until = self.inbox.gone + len(self.inbox)
        self.decoded()

    def _overlap(self, begins: bool) -> None:
        self._overlap_until = None
        if begins != self._overlaps:
            self._overlaps = begins
            self._listener.overlapping(self, begins)

    def _enter(self, state: StreamState) -> None:
        if state != self.state:
            self.state, self._since_ns = state, self._wall()
        self._listener.changed(self)
