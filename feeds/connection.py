"""One socket to a venue, from its opening to its end: a thin shell over `websockets`.

Frames are taken from the library as it parses them, before its own buffer, stamped with the time their bytes came,
and put into a bounded inbox: reading never stops for a slow decoder, and memory stays bounded all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from socket import gaierror
from typing import Any, Final, Literal, Protocol, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.protocol import State as SocketState

from feeds.conversation import Conversation, Happened
from feeds.dialect import Dialect
from feeds.inbox import Inbox
from feeds.pulse import Pulse

SECOND_NS: Final = 1_000_000_000
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
    snapshot_s: float = 5.0  # for the snapshot that comes with a subscription; then it is asked for
    refused_s: float = 60.0  # before a topic that was refused is asked for again
    healthy_s: float = 30.0
    meet_s: float = (
        5.0  # the most a replacement waits for what it began with to come over the old connection too
    )
    rotate_gap_s: float = 30.0  # between two rotations, at least
    backoff_s: float = 0.5
    settle_s: float = 2.0  # after a hole's end before it is filled: a venue's database lags its stream
    most_bytes: int = 4 << 20  # of one frame


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
        self.witness: Callable[[bytes], None] | None = None  # sees each frame too
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

    def hurry(self) -> None:
        """What waits in the system's buffers is wanted now."""
        if self._paused is not None:
            self._resume()
        elif self._socket is not None and not self._socket.transport.is_closing():
            self._socket.transport.resume_reading()

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
            if self.witness is not None:
                self.witness(frame)

    def _tally(self, recv_ns: int) -> None:
        if self._fresh_frames:
            self.frames += self._fresh_frames
            self.pulse.beat(time.monotonic_ns(), self._fresh_frames)
        if self._fresh_bytes:
            self._on_frames(recv_ns, self._fresh_frames, self._fresh_bytes)
            self._fresh_frames = self._fresh_bytes = 0
        if self._may_pause and self._socket is not None and len(self.inbox) > PAUSE_ABOVE:
            self._pause()


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
