"""Push over WebSocket: handshakes, what listeners say, the turn that brings them their messages, and keep-alive."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from aiohttp import HttpVersion11, WSMsgType, web
from multidict import CIMultiDict

from engine.access.identity import Identity
from engine.alerts.views import FiringView
from engine.api.problems import Problem
from engine.api.push import deflate
from engine.api.push.encodings import Message, form_of
from engine.api.push.hub import Hub
from engine.api.push.listener import Listener
from engine.api.push.market_readers import Reading
from engine.api.push.messages import Envelope
from engine.api.push.protocol import CHANNELS, FORMATS, MESSAGE_MOST, Asked, Refused, parse
from engine.telemetry.hub import Telemetry
from engine.websocket_frames import PONG, frame

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
TURN_NS: Final = 10 * MS_NS
SLICE_NS: Final = MS_NS  # the loop is given back after this long; sending follows in the same round
SLICE_LISTENERS: Final = 48  # so many writes at most, since their system calls come on top
LISTENERS_MOST: Final = 2_000
MESSAGE_CUT: Final = 4 * MESSAGE_MOST  # a message above it is not even read
AUTHENTICATE_S: Final = 5.0
CLOSE_WITHIN_S: Final = 2.0
SLOW_CLOSE_WITHIN_S: Final = 20.0  # why it is cut comes behind what it has not read: it may be a while
PING_EVERY_NS: Final = 15 * SECOND_NS
SILENT_NS: Final = 45 * SECOND_NS
HEARTBEAT_S: Final = 5
IGNORED_MOST: Final = 200
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_ENDED: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Gate(Protocol):
    """Who may listen; `engine.access.door.Door` is one."""

    def identify_text(self, credential: str, address: str, now_ns: int) -> Identity:
        """Whose key or token it is; Problem when nobody's."""
        ...

    def still_good(self, identity: Identity, now_ns: int) -> bool:
        """Whether what it came in with has been neither revoked nor expired."""
        ...

    def connect(self, identity: Identity | None, address: str) -> bool:
        """Count one more connection; False when there are too many."""
        ...

    def disconnect(self, identity: Identity | None, address: str) -> None:
        """It has ended."""
        ...


@dataclass(frozen=True, slots=True)
class PushView:
    """Push as it stands. Counts are since the start."""

    listeners: int
    topics: int  # also those that nobody follows any more, for a minute
    subscriptions: int
    opened: int
    messages: int  # sent
    bytes: int
    conflated: int  # messages left out for slow listeners
    cut_slow: int
    cut_silent: int
    cut_access: int  # not authenticated, expired, revoked
    cut_messages: int  # too many
    refused: int  # connections
    errors: int  # error answers
    kept_bytes: int  # for listeners that come back, about
    longest_slice_ns: int  # that the loop was held, in the newest whole second


class Push:
    """All listeners. One loop: the engine's. `clock` is wall time, ns."""

    def __init__(self, markets: Reading, telemetry: Telemetry, clock: Callable[[], int], door: Gate) -> None:
        self._hub = Hub(markets)
        self._telemetry = telemetry
        self._clock = clock
        self._door = door
        self._deflater = deflate.Deflater()
        self._listeners: dict[int, Listener] = {}
        self._wake = asyncio.Event()
        self._second = 0
        self._counts = dict.fromkeys(
            ("opened", "slow", "silent", "access", "messages", "refused", "errors"), 0
        )
        self._sent = [0, 0, 0]  # messages, bytes, conflated of listeners that have ended
        self._longest_ns = self._longest_before_ns = 0

    def view(self) -> PushView:
        """Counters as they stand."""
        listeners = self._listeners.values()
        counts = self._counts
        return PushView(
            listeners=len(listeners),
            topics=len(self._hub.topics),
            subscriptions=sum(len(each.topics) for each in listeners),
            opened=counts["opened"],
            messages=self._sent[0] + sum(each.counts.messages for each in listeners),
            bytes=self._sent[1] + sum(each.counts.bytes for each in listeners),
            conflated=self._sent[2] + sum(each.counts.conflated for each in listeners),
            cut_slow=counts["slow"],
            cut_silent=counts["silent"],
            cut_access=counts["access"],
            cut_messages=counts["messages"],
            refused=counts["refused"],
            errors=counts["errors"],
            kept_bytes=sum(each.kept_bytes for each in self._hub.topics.values()),
            longest_slice_ns=self._longest_before_ns,
        )

    def on_alert(self, what: Literal["fired", "ended", "acknowledged"], firing: FiringView) -> None:
        """Tell those who follow alerts, with the next turn. For the loop's thread."""
        self._hub.on_alert(what, firing)

    # --- one listener ------------------------------------------------------------------------------------

    async def serve(
        self, request: web.BaseRequest, identity: Identity | None, address: str
    ) -> web.StreamResponse:
        """One listener from handshake to end. `identity` None: it says with its first message who it is, within 5 s.

        Problem bad_argument, bad_request, upgrade_required or too_many_connections before the handshake.
        """
        transport = request.transport
        form = self._format(request)
        if transport is None:
            raise ConnectionResetError("the listener has gone")
        if len(self._listeners) >= LISTENERS_MOST or not self._door.connect(identity, address):
            self._counts["refused"] += 1
            raise Problem(
                "too_many_connections", "too many connections: close some, or wait", retry_after_s=5.0
            )
        listener: Listener | None = None
        try:
            extensions = deflate.agreed(",".join(request.headers.getall("Sec-WebSocket-Extensions", ())))
            socket = await _handshake(request, extensions)
            now_ns = time.monotonic_ns()
            self._counts["opened"] += 1
            listener = Listener(
                number=self._counts["opened"],
                address=address,
                transport=transport,
                form=form_of(form, bool(extensions)),
                deflater=self._deflater,
                opened_ns=now_ns,
                identity=identity,
                counted=identity,
                heard_ns=now_ns,
                pinged_ns=now_ns,
            )
            self._listeners[listener.number] = listener
            try:
                await self._talk(listener, socket)
            finally:
                self._forget(listener)
        finally:
            self._door.disconnect(listener.counted if listener is not None else identity, address)
        return socket

    def _format(self, request: web.BaseRequest) -> str:
        form = request.query.get("format", FORMATS[0])
        if form not in FORMATS:
            raise Problem("bad_argument", f"format is one of {', '.join(FORMATS)}")
        _check_handshake(request)
        return form

    async def _talk(self, listener: Listener, socket: web.WebSocketResponse[Literal[False]]) -> None:
        self._say(
            listener,
            Envelope(
                type="welcome",
                epoch=self._telemetry.epoch,
                channels=list(CHANNELS),
                ts_ms=self._clock() // MS_NS,
            ),
        )
        while True:
            try:
                async with asyncio.timeout(self._patience_s(listener)):
                    message = await socket.receive()
            except TimeoutError:
                if listener.identity is None:
                    self._refuse(listener, Refused(None, "unauthenticated", "nobody said who is listening"))
                    self._counts["access"] += 1
                    self._end(listener, 1008, f"no key or token within {AUTHENTICATE_S:.0f} s")
                continue
            if message.type in _ENDED:
                if message.type is WSMsgType.CLOSE:
                    listener.end(1000, "as you wish")
                return
            listener.heard_ns = time.monotonic_ns()
            if listener.ended or message.type is WSMsgType.PONG:
                continue
            if not listener.admit(listener.heard_ns):
                self._too_many(listener)
            elif message.type is WSMsgType.PING:
                listener.pong(frame(message.data, PONG))
                self._wake_for(listener)
            elif message.type is WSMsgType.TEXT:
                self._hear(listener, message.data)
            else:
                self._refuse(listener, Refused(None, "binary", "operations are JSON text in every format"))

    def _patience_s(self, listener: Listener) -> float | None:
        """How long to wait for a message; None: as long as it takes."""
        if listener.identity is not None or listener.ended:
            return None
        return max(0.0, AUTHENTICATE_S - (time.monotonic_ns() - listener.opened_ns) / 1e9)

    def _hear(self, listener: Listener, data: bytes) -> None:
        asked = parse(data)
        refused: Refused | None
        if isinstance(asked, Refused):
            refused = asked
        elif asked.op == "auth":
            refused = self._authenticate(listener, asked)
        elif listener.identity is None:
            refused = Refused(
                asked.id, "unauthenticated", 'say who you are first: {"op": "auth", "token": ".."}'
            )
        else:
            refused = self._hub.carry_out(listener, asked, self._clock())
            self._wake.set()
        if refused is not None:
            self._refuse(listener, refused)

    def _authenticate(self, listener: Listener, asked: Asked) -> Refused | None:
        """Take a key or token, also a fresh one before the old one expires."""
        now_ns = self._clock()
        door, address = self._door, listener.address
        try:
            identity = door.identify_text(asked.token, address, now_ns)
        except Problem as problem:
            return Refused(asked.id, problem.code, problem.detail)
        before = listener.counted
        if before is None or before.key != identity.key:
            door.disconnect(before, address)
            if not door.connect(identity, address):
                door.connect(before, address)
                return Refused(
                    asked.id, "too_many_connections", "this key holds too many connections: close some"
                )
            listener.counted = identity
        listener.identity = identity
        self._say(listener, Envelope(type="authenticated", id=asked.id, ts_ms=now_ns // MS_NS))
        return None

    def _too_many(self, listener: Listener) -> None:
        if listener.ignored == 1:
            self._refuse(
                listener, Refused(None, "too_many_messages", "messages come too fast: some are ignored")
            )
        elif listener.ignored > IGNORED_MOST:
            self._counts["messages"] += 1
            self._end(listener, 1008, "too many messages")

    def _refuse(self, listener: Listener, refused: Refused) -> None:
        self._counts["errors"] += 1
        self._say(
            listener,
            Envelope(
                type="error",
                id=refused.id,
                code=refused.code,
                detail=refused.detail,
                ts_ms=self._clock() // MS_NS,
            ),
        )

    def _say(self, listener: Listener, envelope: Envelope) -> None:
        self._hub.say(listener, envelope)
        self._wake.set()

    def _wake_for(self, listener: Listener) -> None:
        self._hub.dirty[listener] = None
        self._wake.set()

    def _end(self, listener: Listener, code: int, reason: str) -> None:
        """Close in an orderly way without waiting for it."""
        listener.end(code, reason)
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, listener.transport.abort)

    def _forget(self, listener: Listener) -> None:
        del self._listeners[listener.number]
        self._hub.drop(listener, self._clock())
        counts = listener.counts
        for at, count in enumerate((counts.messages, counts.bytes, counts.conflated)):
            self._sent[at] += count
        # aiohttp would say goodbye once more on a transport that is open.
        listener.transport.close()

    # --- all of them -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn until cancelled; then say goodbye to all. Sleeps while nobody listens."""
        try:
            while True:
                if not self._listeners and not self._hub.topics:
                    self._wake.clear()
                    await self._wake.wait()
                await self.turn()
                await asyncio.sleep((TURN_NS - self._clock() % TURN_NS) / 1e9)
        finally:
            for listener in list(self._listeners.values()):
                self._end(listener, 1001, "the program is stopping")

    async def turn(self) -> None:
        """Read every topic that is followed, then send what waits; by slices, so that nothing else waits long."""
        now_ns = self._clock()
        began = time.monotonic_ns()
        for topic in list(self._hub.topics.values()):
            self._hub.turn(topic, now_ns)
            began = await self._breathe(began)
        if now_ns // SECOND_NS != self._second:
            self._second = now_ns // SECOND_NS
            self._longest_before_ns, self._longest_ns = self._longest_ns, 0
            self._care(now_ns)
        for at, listener in enumerate(list(self._hub.dirty)):
            if listener.flush(began, now_ns):
                self._hub.dirty.pop(listener, None)
                if listener.slow:
                    self._cut_slow(listener)
            began = await self._breathe(began, at % SLICE_LISTENERS == SLICE_LISTENERS - 1)

    async def _breathe(self, began: int, now: bool = False) -> int:
        """Give the loop back when the slice that `began` is over; when the slice begins that runs then."""
        passed = time.monotonic_ns() - began
        if passed < SLICE_NS and not now:
            return began
        self._longest_ns = max(self._longest_ns, passed)
        await asyncio.sleep(0)
        return time.monotonic_ns()

    def _cut_slow(self, listener: Listener) -> None:
        listener.slow = False
        self._counts["slow"] += 1
        asyncio.get_running_loop().call_later(SLOW_CLOSE_WITHIN_S, listener.transport.abort)

    def _care(self, now_ns: int) -> None:
        """Once a second: heartbeats, pings, and the end of who is silent or may not listen any more."""
        monotonic_ns = time.monotonic_ns()
        beat = Message(Envelope(type="heartbeat", ts_ms=now_ns // MS_NS))
        beats = self._second % HEARTBEAT_S == 0
        good: dict[Identity, bool] = {}
        for listener in list(self._listeners.values()):
            if listener.ended:
                continue
            identity = listener.identity
            if identity is not None and identity not in good:
                good[identity] = self._door.still_good(identity, now_ns)
            if identity is not None and not good[identity]:
                expired = identity.expires_ns and now_ns >= identity.expires_ns
                reason = "the token has expired" if expired else "the key was revoked"
                self._refuse(listener, Refused(None, "expired" if expired else "bad_credentials", reason))
                self._counts["access"] += 1
                self._end(listener, 1008, reason)
            elif monotonic_ns - listener.heard_ns > SILENT_NS:
                self._counts["silent"] += 1
                self._end(listener, 1011, f"nothing was heard of you for {SILENT_NS // SECOND_NS} s")
            else:
                if monotonic_ns - listener.pinged_ns > PING_EVERY_NS:
                    listener.ping(monotonic_ns)
                    self._hub.dirty[listener] = None
                if beats:
                    self._hub.push(listener, beat)


def _check_handshake(request: web.BaseRequest) -> None:
    """Problem where the request does not open a WebSocket as RFC 6455 (4.2.1) has it."""
    headers = request.headers
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        raise Problem("bad_argument", "this path speaks WebSocket: connect to it with ws:// or wss://")
    if request.version != HttpVersion11:
        raise Problem("bad_request", "a WebSocket begins with HTTP/1.1")
    if "upgrade" not in (
        each.strip().lower() for each in ",".join(headers.getall("Connection", ())).split(",")
    ):
        raise Problem("bad_request", "a WebSocket's handshake says Connection: Upgrade")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        raise Problem("upgrade_required", "a WebSocket's handshake says Sec-WebSocket-Version: 13")
    if not _KEY.fullmatch(headers.get("Sec-WebSocket-Key", "").strip()):
        raise Problem("bad_request", "a WebSocket's handshake has a Sec-WebSocket-Key: 16 bytes in base64")


async def _handshake(request: web.BaseRequest, extensions: str) -> web.WebSocketResponse[Literal[False]]:
    """The listener's socket after the handshake, with the extensions that we chose of those it offers.

    aiohttp answers what a request offers: it is shown a request that offers what we want to answer.
    """
    headers = CIMultiDict(request.headers)
    headers.popall("Sec-WebSocket-Extensions", None)
    headers.popall("Sec-WebSocket-Protocol", None)
    if extensions:
        headers["Sec-WebSocket-Extensions"] = extensions
    socket: web.WebSocketResponse[Literal[False]] = web.WebSocketResponse(
        autoping=False,
        autoclose=False,
        compress=bool(extensions),
        max_msg_size=MESSAGE_CUT,
        timeout=CLOSE_WITHIN_S,
        decode_text=False,
    )
    await socket.prepare(request.clone(headers=headers))
    return socket
