"""The sockets that take orders, at both doors: beside everything else on the exchange's port (aiohttp), and on one of
their own (picows), which serves nothing else and is faster. Paths, protocols and rules are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import WSMsgType as AioType
from aiohttp import web
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from engine import guard
from engine.exchange.clients import MAX_QUEUE, Client, Clients, budget_of
from engine.exchange.entry import Link, Session
from engine.exchange.faults import Fault
from engine.exchange.stages import Stages
from engine.websocket_frames import BINARY, TEXT, frame

MAX_MESSAGE: Final = 1 << 16  # bytes
CLOSE_WITHIN_S: Final = 2.0
HANDSHAKE_S: Final = 5.0
MAX_REASON: Final = 120  # bytes a close frame says
TEXT_FRAME: Final = WSMsgType.TEXT  # looking them up there takes as long as using them
BINARY_FRAME: Final = WSMsgType.BINARY
now_ns: Final = time.perf_counter_ns

MakeSession = Callable[[str, str, Link, int], Session | None]  # path, query, link, now_ns


class Refusal(NamedTuple):
    """The answer to a handshake that is not let in; where it is `broken`, there is none if that can be done."""

    status: int
    body: bytes
    content_type: str = "text/plain"
    headers: Mapping[str, str] = {}
    broken: bool = False


Admit = Callable[[str, str], Refusal | None]  # budget, address; None: let in


class OrderSockets:
    """Opens sessions for both doors. One loop."""

    def __init__(
        self,
        clients: Clients,
        sessions: MakeSession,
        dialect_of: Callable[[str], str],
        stages: Stages,
        wall: Callable[[], int],
        admit: Admit = lambda _budget, _address: None,
    ) -> None:
        """`sessions` makes a session for a whole path ("/native"), `dialect_of` names its dialect, "" for none.

        `admit` is asked of every handshake at either door: limits of connects, bans, faults.
        """
        self.clients: Final = clients
        self.stages: Final = stages
        self.wall: Final = wall
        self.now_ns = wall()  # when the first message of this turn of the loop came
        self._sessions, self._dialect_of, self._admit = sessions, dialect_of, admit
        self._server: asyncio.Server | None = None
        self._address = ""  # of the port of its own

    def takes(self, path: str) -> bool:
        """Whether the path is one of an order socket."""
        return bool(self._dialect_of(path))

    def begin(self, client: Client, path: str, query: str) -> bool:
        """Give a client that has connected its session; False when there is none after all."""
        session = self._sessions(path, query, client, self.wall())
        if session is None:
            return False
        client.session = session
        self.clients.add(client)
        return True

    def carry_out(self, fault: Fault, done: int = 0) -> int:
        """Disconnect those whom a fault of the kinds close and cut names; how many. Others are none of ours.

        `done` of its count it has hit elsewhere.
        """
        if fault.kind not in ("close", "cut"):
            return 0
        hit = 0
        for client in list(self.clients.all.values()):
            if fault.count and done + hit >= fault.count:
                break
            if fault.matches(client.budget, "", (), client.id, client.label):
                hit += 1
                if fault.kind == "cut":
                    client.close(1001, "")
                else:
                    client.abort()
        return hit

    def refusal(self, path: str, address: str) -> Refusal | None:
        """Why a client may not open a session at this path, counted; None when it may."""
        found = self._admit(budget_of(self._dialect_of(path)), address)
        if found is None and self.clients.is_full:
            found = Refusal(503, b"too many clients")
        if found is not None:
            self.clients.refused += 1
        return found

    # --- the exchange's port -----------------------------------------------------------------------------

    async def serve(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        """One client from handshake to end."""
        refused = self.refusal(path, request.remote or "")
        if refused is not None:
            if refused.broken and request.transport is not None:
                request.transport.abort()
            return web.Response(
                status=refused.status,
                body=refused.body,
                content_type=refused.content_type,
                headers=refused.headers,
            )
        socket = web.WebSocketResponse(
            autoping=True, compress=False, max_msg_size=MAX_MESSAGE, timeout=CLOSE_WITHIN_S
        )
        await socket.prepare(request)
        if request.transport is None:
            return socket
        client = _AioClient(self, self._dialect_of(path), request.remote or "", socket, request.transport)
        if not self.begin(client, path, query):
            await socket.close()
            return socket
        session = client.session
        assert session is not None
        stages = self.stages
        try:
            while True:
                message = await socket.receive()
                if client.ended:  # what it has sent since is nobody's
                    break
                started = time.perf_counter_ns()
                if not stages.is_pending:
                    self.now_ns = self.wall()
                if message.type is AioType.TEXT:
                    client.messages += 1
                    session.on_text(message.data.encode(), self.now_ns)
                elif message.type is AioType.BINARY:
                    client.messages += 1
                    session.on_binary(message.data, self.now_ns)
                else:
                    break
                if stages.is_pending:
                    stages.decoded(started)
        finally:
            client.gone()
        await client.closed()
        return socket

    # --- the port of its own -----------------------------------------------------------------------------

    async def listen(self, host: str, port: int) -> int:
        """Begin to serve order sockets alone; the port. OSError when it is taken."""
        self._server = await ws_create_server(
            self._upgrade,
            host,
            port,
            websocket_handshake_timeout=HANDSHAKE_S,
            max_frame_size=MAX_MESSAGE,
            read_buffer_init_size=2_048,  # an order is some 150 bytes; it grows for those who send more
            backlog=1_024,
        )
        self._address, bound = self._server.sockets[0].getsockname()[:2]
        return int(bound)

    async def stop(self) -> None:
        """Disconnect everyone and give the port back."""
        if self._server is not None:
            self._server.close()
        self.clients.end_all("the exchange stops")
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._server.wait_closed()
            self._server = None

    def _upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        foreign = guard.refusal(request.headers.get("Host"), request.headers.get("Origin"))
        if foreign is not None:
            return _answered(Refusal(403, foreign.encode()))
        path, _, query = request.path.decode("latin-1").partition("?")
        if not self.takes(path):
            return _answered(Refusal(404, b"order sockets alone are served here"))
        # Who asks is not told here; at a loopback address it is this machine, by the same address.
        refused = self.refusal(path, self._address)
        if refused is not None:
            return _answered(refused)
        return _Door(self, self._dialect_of(path), path, query)


def _answered(refused: Refusal) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": refused.content_type, **refused.headers}
    response = WSUpgradeResponse.create_error_response(refused.status, refused.body, headers)
    return WSUpgradeResponseWithListener(response, None)


class _AioClient(Client):
    """A client at the exchange's port."""

    __slots__ = ("_closing", "_socket", "_transport")

    def __init__(
        self,
        sockets: OrderSockets,
        dialect: str,
        address: str,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
    ) -> None:
        super().__init__(sockets.clients, dialect, address, sockets.wall())
        self._socket, self._transport = socket, transport
        self._closing: asyncio.Task[bool] | None = None

    @property
    def queued(self) -> int:
        """Bytes in the transport, and those held back."""
        return self._transport.get_write_buffer_size() + self.held_bytes

    def write_text(self, message: bytes) -> None:
        """Straight into the transport: nobody waits. One that has ended takes nothing, and is not asked to."""
        if not self._transport.is_closing():
            self._transport.write(frame(message, TEXT))

    def write_binary(self, message: bytes) -> None:
        """Straight into the transport."""
        if not self._transport.is_closing():
            self._transport.write(frame(message, BINARY))

    def write_close(self, code: int, reason: str) -> None:
        """With a closing handshake, not waited for here."""
        if self._transport.is_closing() or self._socket.closed:
            return
        said = reason.encode()[:MAX_REASON]
        # Not drained: a client that does not read would never be told.
        self._closing = asyncio.ensure_future(self._socket.close(code=code, message=said, drain=False))
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.abort)

    async def closed(self) -> None:
        """Returns when a closing handshake that was begun has ended, soon in any case."""
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=CLOSE_WITHIN_S)

    def break_off(self) -> None:
        """The client sees 1006."""
        self._transport.abort()


class _PicowsClient(Client):
    """A client at the port of order sockets."""

    __slots__ = ("_is_closing", "_send", "_size", "_transport")

    def __init__(self, sockets: OrderSockets, dialect: str, transport: WSTransport) -> None:
        peer = transport.underlying_transport.get_extra_info("peername")
        super().__init__(sockets.clients, dialect, peer[0] if peer else "", sockets.wall())
        self._transport = transport
        self._send = transport.send
        self._size = transport.underlying_transport.get_write_buffer_size
        self._is_closing = transport.underlying_transport.is_closing

    @property
    def queued(self) -> int:
        """Bytes in the transport, and those held back."""
        return self._size() + self.held_bytes

    def ack(self, message: bytes) -> None:
        """As `Client.ack`, in one step: it is on every order's way."""
        if self.in_flight:
            self.in_flight -= 1
        if self.ended or (self._clients.faults is not None and self.meets_fault(message, is_text=True)):
            return
        self.sent_bytes += len(message)
        try:
            self._send(TEXT_FRAME, message)
            if self._size() > MAX_QUEUE:
                self._cut()
        except Exception as error:  # noqa: BLE001 - it alone is to suffer
            self.failed(error)

    def write_text(self, message: bytes) -> None:
        """Straight to the socket. One that has ended takes nothing, and is not asked to."""
        if not self._is_closing():
            self._send(TEXT_FRAME, message)

    def write_binary(self, message: bytes) -> None:
        """Straight to the socket."""
        if not self._is_closing():
            self._send(BINARY_FRAME, message)

    def write_close(self, code: int, reason: str) -> None:
        """With a close frame."""
        if self._is_closing():
            return
        self._transport.send_close(WSCloseCode(code), reason.encode()[:MAX_REASON])
        self._transport.disconnect()
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.disconnect, False)

    def break_off(self) -> None:
        """The client sees 1006."""
        self._transport.disconnect(False)


class _Door(WSListener):
    """One connection at the port of order sockets."""

    def __init__(self, sockets: OrderSockets, dialect: str, path: str, query: str) -> None:
        self._sockets, self._dialect, self._path, self._query = sockets, dialect, path, query
        self._client: _PicowsClient | None = None
        self._parts: list[bytes] = []  # of a message in several frames
        self._parts_bytes = 0
        self._is_text = True
        self._is_within = False  # such a message

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin the session."""
        client = _PicowsClient(self._sockets, self._dialect, transport)
        if self._sockets.begin(client, self._path, self._query):
            self._client = client
        else:
            transport.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame: nearly always a whole message."""
        client = self._client
        if client is None or client.session is None or client.ended:
            return
        started = now_ns()
        kind = frame.msg_type
        if kind is TEXT_FRAME and frame.fin and not self._is_within:  # nearly always
            sockets = self._sockets
            stages = sockets.stages
            if not stages.is_pending:
                sockets.now_ns = sockets.wall()
            client.messages += 1
            client.session.on_text(frame.get_payload_as_bytes(), sockets.now_ns)
            if stages.is_pending:
                stages.decoded(started)
            return
        self._on_other(transport, client, client.session, frame, started)

    def _on_other(
        self, transport: WSTransport, client: _PicowsClient, session: Session, frame: WSFrame, started: int
    ) -> None:
        """Anything but a text message in one frame."""
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            said_none = code == WSCloseCode.NO_INFO  # which may not be sent
            transport.send_close(WSCloseCode.OK if said_none else code, frame.get_close_message())
            transport.disconnect()
            client.gone()  # now: it is told nothing after that
            return
        if kind is WSMsgType.PING or kind is WSMsgType.PONG:
            return
        data = frame.get_payload_as_bytes()
        is_text = kind is WSMsgType.TEXT
        if not frame.fin or self._is_within or kind is WSMsgType.CONTINUATION:
            if (kind is WSMsgType.CONTINUATION) is not self._is_within:
                client.close(1002, "frames of a message are out of order")
                return
            if not self._is_within:
                self._parts, self._parts_bytes, self._is_text = [], 0, is_text
            self._is_within = not frame.fin
            self._parts.append(data)
            self._parts_bytes += len(data)
            if self._parts_bytes > MAX_MESSAGE:
                client.close(1009, f"longer than {MAX_MESSAGE:,} bytes")
                return
            if not frame.fin:
                return
            data, is_text = b"".join(self._parts), self._is_text
            self._parts, self._parts_bytes = [], 0
        sockets = self._sockets
        stages = sockets.stages
        if not stages.is_pending:
            sockets.now_ns = sockets.wall()
        client.messages += 1
        if is_text:
            session.on_text(data, sockets.now_ns)
        else:
            session.on_binary(data, sockets.now_ns)
        if stages.is_pending:
            stages.decoded(started)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        """It has ended."""
        if self._client is not None:
            self._client.gone()
