"""One WebSocket connection to a venue, kept: opened, subscribed, watched, replaced before it is cut, opened again.

`Connection` is one socket from its opening to its end; `Stream` is the place it has in a market, over all its
reconnects and rotations. What to say and when, how long to wait and whether silence is too long is decided by
`conversation`, `backoff` and `pulse`; here are only the socket and the clock.

Frames are taken from the library as it parses them, before its own buffer, stamped with the time their bytes came,
and put into a bounded inbox: reading never stops for a slow decoder, and memory stays bounded all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from socket import gaierror
from typing import Any, Final, Literal, Protocol, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.protocol import State as SocketState

from engine.errors import LimitError
from engine.telemetry.board import StreamState, StreamView
from feeds.backoff import Backoff
from feeds.conversation import Conversation, Happened
from feeds.dialect import Dialect
from feeds.inbox import Inbox
from feeds.pulse import Pulse

SECOND_NS: Final = 1_000_000_000
ROTATE_SHARE: Final = 0.05  # of the time to the rotation, at most so much earlier: not all at once
PAUSE_ABOVE: Final = 4_096  # frames that wait: leave more to the system's buffers, for a moment
RESUME_BELOW: Final = 1_024
PAUSE_MOST_S: Final = 0.25  # then reading goes on, whatever it costs: a slow reader must not block the socket
LOOKS: Final = 6  # at the pulse, in the time a stream that moves may be silent
DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

Ending = Literal["closed", "stalled", "too big", "unanswered"]


class Permit(Protocol):
    """The right to open one connection now (`engine.limits.gate.Permit`)."""

    def answered(self, status: int, headers: Mapping[str, str], code: int = 0) -> None: ...
    def lost(self) -> None: ...
    def unsent(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take; tests shorten it."""

    open_s: float = 10.0
    answer_s: float = 10.0  # to a subscription
    close_s: float = 1.0
    send_s: float = 5.0
    quiet_s: float = (
        3.0  # a replacement that is subscribed and still has no data is taken for good after this
    )
    healthy_s: float = 30.0
    rotate_gap_s: float = 30.0  # between two rotations, at least
    backoff_s: float = 0.5
    most_bytes: int = 4 << 20  # of one frame


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
        """While a replacement takes over, what it brings may have come before."""

    def changed(self, stream: Stream) -> None:
        """The stream's state is another."""


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended."""

    kind: Ending
    reason: str


class Tap(ClientConnection):
    """A client connection that hands each message on as it is parsed, instead of buffering it for `recv`."""

    take: Callable[[bytes, int], None]
    tally: Callable[[int], None]
    ended: Callable[[], None]
    wall: Callable[[], int]
    _recv_ns = 0
    _parts: list[bytes]

    def data_received(self, data: bytes) -> None:
        """Bytes came; every message they complete came now."""
        self._recv_ns = self.wall()
        super().data_received(data)
        self.tally(self._recv_ns)

    def process_event(self, event: Event) -> None:
        """Messages go on; the handshake's answer and pongs to the library."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA:
            super().process_event(event)
            return
        if event.fin and event.opcode is not Opcode.CONT:
            self.take(bytes(event.data), self._recv_ns)
            return
        # The library has checked the order of fragments and the size of all together.
        if event.opcode is not Opcode.CONT:
            self._parts = []
        self._parts.append(bytes(event.data))
        if event.fin:
            self.take(b"".join(self._parts), self._recv_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self.ended()


class Connection:
    """One socket. `open`, then `serve` until it ends; `close` at any time."""

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        inbox: Inbox,
        pulse: Pulse,
        *,
        on_frames: Callable[[int, int, int], None],
        on_happened: Callable[[Connection, Happened], None],
        wall: Callable[[], int],
        timing: Timing,
    ) -> None:
        self.inbox = inbox
        self.frames = 0
        self.muted = False  # replaced: what still comes is not wanted
        self.answered = False  # every topic has been, once
        self.leaving = False  # the venue said that it will close it
        self.pulse = pulse
        self._url, self._dialect = url, dialect
        self._on_frames, self._on_happened = on_frames, on_happened
        self._wall, self._timing = wall, timing
        self._nudged = asyncio.Event()
        self._settled = asyncio.Event()
        self._socket: Tap | None = None
        self._fresh_frames = self._fresh_bytes = 0
        self._paused: asyncio.TimerHandle | None = None
        self._may_pause = True
        self.talk = Conversation(
            dialect.streams, dialect.subscribe, dialect.unsubscribe, time.monotonic_ns(), timing.answer_s
        )

    async def open(self, acquire: Callable[[], Awaitable[Permit]]) -> None:
        """Connect, within the venue's budget of connects. OSError, InvalidHandshake, TimeoutError or LimitError."""
        permit = await acquire()
        settle: Callable[[], None] = permit.lost
        try:
            self._socket = cast(
                Tap,
                await connect(
                    self._url,
                    create_connection=cast(Any, self._made),
                    compression=None,  # costs more than it saves: Binance has none, and others need not
                    proxy=True if self._url.startswith("wss:") else None,
                    open_timeout=self._timing.open_s,
                    close_timeout=self._timing.close_s,
                    ping_interval=None,  # data tells whether the connection lives; a venue's pings are answered
                    max_size=self._timing.most_bytes,
                    max_queue=None,  # nothing is ever in it
                ),
            )
            settle = lambda: permit.answered(101, {})  # noqa: E731
        except InvalidStatus as error:
            status, headers = error.response.status_code, error.response.headers
            settle = lambda: permit.answered(status, headers)  # noqa: E731
            raise
        except OSError as error:
            if _never_left(error):
                settle = permit.unsent
            raise
        finally:
            settle()

    async def serve(self) -> End:
        """Say what is to be said until the connection ends; how it did."""
        socket = self._socket
        assert socket is not None
        self.pulse.start(time.monotonic_ns())
        look_ns = round(self._dialect.streams.silent_after_s * SECOND_NS / LOOKS)
        try:
            while socket.state is SocketState.OPEN:
                self._nudged.clear()
                now_ns = time.monotonic_ns()
                text = self.talk.next_message(now_ns)
                if text is not None:
                    async with asyncio.timeout(self._timing.send_s):
                        await socket.send(text)
                    continue
                if self.talk.overdue(now_ns):
                    return End(
                        "unanswered", f"no answer to a subscription within {self._timing.answer_s:g} s"
                    )
                silent_ns = self.pulse.wait_ns(now_ns) if self.talk.topics else None
                if silent_ns == 0:
                    return End("stalled", f"no data for {self.pulse.limit_s:.3g} s")
                # The limit falls as the pace becomes known, and data wakes nobody here: look again now and then.
                if silent_ns is not None:
                    silent_ns = min(silent_ns, look_ns)
                waits = [wait for wait in (silent_ns, self.talk.wait_ns(now_ns)) if wait is not None]
                with contextlib.suppress(TimeoutError):
                    # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the event.
                    async with asyncio.timeout(max(min(waits) / SECOND_NS, 0.001) if waits else None):
                        await self._nudged.wait()
        except (ConnectionClosed, TimeoutError):
            pass
        return _end_of(socket)

    async def close(self) -> None:
        """Say goodbye and leave, within `close_s` and a little."""
        socket = self._socket
        if socket is None:
            return
        if self._paused is not None:
            self._resume()  # the venue's goodbye stands behind what was not read
        try:
            async with asyncio.timeout(2 * self._timing.close_s):
                await socket.close()
        except TimeoutError:
            pass
        finally:
            socket.transport.abort()

    def nudge(self) -> None:
        """Something new is to be said."""
        self._nudged.set()

    def relieved(self) -> None:
        """Few frames wait any more: read on, if reading was paused."""
        self._may_pause = True
        if self._paused is not None:
            self._resume()

    async def settled(self) -> None:
        """Wait until every topic has been answered for."""
        while not self.talk.settled:
            self._settled.clear()
            await self._settled.wait()

    def _pause(self) -> None:
        """A burst: libuv hands on megabytes in one turn, and the decoder has a millisecond of each."""
        assert self._socket is not None
        self._may_pause = False
        self._socket.transport.pause_reading()
        self._paused = asyncio.get_running_loop().call_later(PAUSE_MOST_S, self._resume)

    def _resume(self) -> None:
        assert self._socket is not None
        assert self._paused is not None
        self._paused.cancel()
        self._paused = None
        if not self._socket.transport.is_closing():
            self._socket.transport.resume_reading()

    def _made(self, *args: Any, **options: Any) -> Tap:
        socket = Tap(*args, **options)
        socket.take, socket.tally, socket.ended, socket.wall = self._take, self._tally, self.nudge, self._wall
        return socket

    def _take(self, frame: bytes, recv_ns: int) -> None:
        self._fresh_bytes += len(frame)
        control = self._dialect.control(frame)
        if control is not None:
            happened = self.talk.on_control(control)
            self.answered = self.answered or self.talk.settled
            self._settled.set()
            self.nudge()
            if happened is not None and not self.muted:
                self._on_happened(self, happened)
        elif not self.muted:
            self._fresh_frames += 1
            self.inbox.put(frame, recv_ns)

    def _tally(self, recv_ns: int) -> None:
        if self._fresh_frames:
            self.frames += self._fresh_frames
            self.pulse.beat(time.monotonic_ns(), self._fresh_frames)
        if self._fresh_bytes:
            self._on_frames(recv_ns, self._fresh_frames, self._fresh_bytes)
            self._fresh_frames = self._fresh_bytes = 0
        if self._may_pause and self._socket is not None and len(self.inbox) > PAUSE_ABOVE:
            self._pause()


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
        self._rotate = asyncio.Event()
        self._backoff = Backoff(self._timing.backoff_s, healthy_after_s=self._timing.healthy_s)
        self._pulse = Pulse(dialect.streams.silent_after_s)
        self._closing: set[asyncio.Task[None]] = set()
        self._overlaps = False
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
        """Whether it is connected and what it was to carry at first has been answered for."""
        return self.state == "open" and self._current is not None and self._current.answered

    @property
    def settled(self) -> bool:
        """Whether it is connected and every topic has been answered for."""
        return self.state == "open" and self._current is not None and self._current.talk.settled

    def want(self, topics: Iterable[str]) -> None:
        """Carry these too."""
        new = [topic for topic in topics if topic not in self._topics]
        self._topics.update(dict.fromkeys(new))
        if self._current is not None and new:
            self._current.talk.want(new)
            self._current.nudge()

    def drop(self, topics: Iterable[str]) -> None:
        """Carry these no more."""
        gone = [topic for topic in topics if self._topics.pop(topic, "") is None]
        if self._current is not None and gone:
            self._current.talk.drop(gone)
            self._current.nudge()

    def take(self, most: int) -> tuple[list[bytes], list[int]]:
        """At most so many of the frames that wait, oldest first, and when they came."""
        taken = self.inbox.take(most)
        if self._current is not None and len(self.inbox) < RESUME_BELOW:
            self._current.relieved()
        return taken

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
            taking_over = asyncio.create_task(self._prepared(), name=f"{self.name} rotate")
            try:
                await asyncio.wait({serving, taking_over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not taking_over.done():
                    taking_over.cancel()
                    await asyncio.wait([taking_over])
            replacement = None if taking_over.cancelled() else taking_over.result()
            if replacement is not None:
                return self._switched(replacement)
            backoff.failed()
            delay_s = backoff.delay_s(self._random.random())
            await asyncio.wait({serving}, timeout=delay_s)
        return None

    async def _prepared(self) -> Connection | None:
        """A second connection, subscribed and delivering into an inbox of its own; None when it could not be had."""
        connection: Connection | None = None
        serving: asyncio.Task[End] | None = None
        self._overlap(True)
        kept = False
        try:
            connection = await self._opened(Inbox())
            serving = asyncio.create_task(connection.serve(), name=f"{self.name} prepare")
            async with asyncio.timeout(self._timing.open_s + self._timing.answer_s):
                await self._until_delivering(connection, serving)
            kept = not serving.done()
        except (OSError, InvalidHandshake, LimitError, ConnectionClosed):
            pass
        finally:
            if serving is not None:
                serving.cancel()
                await asyncio.wait([serving])
            if not kept:
                self._overlap(False)
                if connection is not None:
                    self._leave(connection)
        return connection if kept else None

    async def _until_delivering(self, connection: Connection, serving: asyncio.Task[End]) -> None:
        settling = asyncio.create_task(connection.settled())
        try:
            await asyncio.wait({serving, settling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settling.cancel()
        until = time.monotonic() + self._timing.quiet_s
        while not connection.frames and not serving.done() and time.monotonic() < until:
            await asyncio.sleep(0.02)

    def _switched(self, replacement: Connection) -> Connection:
        """Let the replacement be the connection, in one step: what it held comes right behind what came before."""
        before, self._current = self._current, replacement
        self._pulse = replacement.pulse
        if before is not None:
            self._leave(before)
        self.inbox.pour(replacement.inbox)
        replacement.inbox = self.inbox
        # What was wanted or dropped while it was being prepared.
        replacement.talk.want(self._topics)
        replacement.talk.drop([topic for topic in replacement.talk.topics if topic not in self._topics])
        self.rotations += 1
        self._rotated_s = time.monotonic()
        self._rotate.clear()
        if replacement.leaving:
            self._rotate.set()
        self._listener.arrived()
        self._overlap(False)
        self._enter("open")
        return replacement

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

    def _overlap(self, begins: bool) -> None:
        if begins != self._overlaps:
            self._overlaps = begins
            self._listener.overlapping(self, begins)

    def _enter(self, state: StreamState) -> None:
        if state != self.state:
            self.state, self._since_ns = state, self._wall()
        self._listener.changed(self)


def reason_of(error: BaseException, url: str) -> str:
    """Why a connection could not be opened, in a few words that name the place."""
    place = urlsplit(url)
    host = place.hostname or url
    where = f"{host}:{place.port}" if place.port else host
    if isinstance(error, InvalidStatus):
        return f"{where} refused the connection: HTTP {error.response.status_code}"
    if isinstance(error, InvalidHandshake):
        return f"{where} does not speak WebSocket: {error}"
    if isinstance(error, TimeoutError):
        return f"no answer from {where}"
    if isinstance(error, OSError):
        text = str(error)
        if type(error).__name__ == "gaierror":
            return f"cannot resolve {host}"
        if (
            isinstance(error, ConnectionRefusedError)
            or "Connect call failed" in text
            or "refused" in text.lower()
        ):
            return f"connection refused by {where}"
        return f"no connection to {where}: {error.strerror or text}"
    return str(error) or type(error).__name__


def _never_left(error: OSError) -> bool:
    """Whether nothing can have reached the venue. Of a host with several addresses asyncio says all in one text."""
    return isinstance(error, gaierror | ConnectionRefusedError) or "Connect call failed" in str(error)


def _end_of(socket: Tap) -> End:
    """How a connection that is closed, or closing, came to it."""
    fault = socket.protocol.parser_exc
    if isinstance(fault, PayloadTooBig):
        return End("too big", "a frame above the size allowed")
    if fault is not None and not isinstance(fault, EOFError):
        return End("closed", f"the venue broke the protocol: {fault}")
    received = socket.protocol.close_rcvd
    if received is not None:
        return End("closed", f"closed by the venue: {received}")
    return End("closed", "connection lost")
