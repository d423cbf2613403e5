"""The sockets that take orders, at both doors: beside everything else on the exchange's port (aiohttp), and on one of
their own (picows), which serves nothing else and is faster. Paths, protocols and rules are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

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
from engine.exchange.clients import MAX_QUEUE, Client, Clients
from engine.exchange.entry import Link, Session
from engine.exchange.faults import Fault
from engine.exchange.stages import Stages
from engine.exchange.wire import BINARY, TEXT, frame

MAX_MESSAGE: Final = 1 << 16  # bytes
CLOSE_WITHIN_S: Final = 2.0
HANDSHAKE_S: Final = 5.0
TEXT_FRAME: Final = WSMsgType.TEXT  # looking them up there takes as long as using them
BINARY_FRAME: Final = WSMsgType.BINARY
now_ns: Final = time.perf_counter_ns

MakeSession = Callable[[str, str, Link, int], Session | None]  # path, query, link, now_ns


class OrderSockets:
    """Opens sessions for both doors. One loop."""

    def __init__(
        self,
        clients: Clients,
        sessions: MakeSession,
        dialect_of: Callable[[str], str],
        stages: Stages,
        wall: Callable[[], int],
    ) -> None:
        """`sessions` makes a session for a whole path ("/native"), `dialect_of` names its dialect, "" for none."""
        self.clients: Final = clients
        self.stages: Final = stages
        self.wall: Final = wall
        self.now_ns = wall()  # when the first message of this turn of the loop came
        self._sessions, self._dialect_of = sessions, dialect_of
        self._server: asyncio.Server | None = None

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

    def carry_out(self, fault: Fault) -> int:
        """Disconnect those whom a fault of the kinds close and cut names; how many. Others are none of ours."""
        if fault.kind not in ("close", "cut"):
            return 0
        hit = 0
        for client in list(self.clients.all.values()):
            if fault.matches(client.budget, "", (), client.id, client.label) and (
                not fault.count or hit < fault.count
            ):
                hit += 1
                if fault.kind == "cut":
                    client.close(1001, "")
                client.abort()
        return hit

    # --- the exchange's port -----------------------------------------------------------------------------

    async def serve(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        """One client from handshake to end."""
        if self.clients.is_full:
            self.clients.refused += 1
            return web.Response(status=503, text="too many clients")
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
            while not socket.closed:
                message = await socket.receive()
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
        return int(self._server.sockets[0].getsockname()[1])

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
            return _refused(403, foreign)
        path, _, query = request.path.decode("latin-1").partition("?")
        if not self.takes(path):
            return _refused(404, "order sockets alone are served here")
        if self.clients.is_full:
            self.clients.refused += 1
            return _refused(503, "too many clients")
        return _Door(self, self._dialect_of(path), path, query)


def _refused(status: int, text: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, text.encode()), None)


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
        """Bytes in the transport."""
        return self._transport.get_write_buffer_size()

    def write_text(self, message: bytes) -> None:
        """Straight into the transport: nobody waits."""
        self._transport.write(frame(message, TEXT))

    def write_binary(self, message: bytes) -> None:
        """Straight into the transport."""
        self._transport.write(frame(message, BINARY))

    def close(self, code: int, reason: str) -> None:
        """With a closing handshake, not waited for."""
        if self._closing is None and not self._socket.closed:
            self._closing = asyncio.ensure_future(
                self._socket.close(code=code, message=reason.encode()[:120])
            )

    def abort(self) -> None:
        """Break it off soon: what says why should still leave."""
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.abort)
        self.gone()


class _PicowsClient(Client):
    """A client at the port of order sockets."""

    __slots__ = ("_size", "_transport", "_write")

    def __init__(self, sockets: OrderSockets, dialect: str, transport: WSTransport) -> None:
        peer = transport.underlying_transport.get_extra_info("peername")
        super().__init__(sockets.clients, dialect, peer[0] if peer else "", sockets.wall())
        self._transport = transport
        self._write = transport.send
        self._size = transport.underlying_transport.get_write_buffer_size

    @property
    def queued(self) -> int:
        """Bytes in the transport."""
        return self._size()

    def ack(self, message: bytes) -> None:
        """As `Client.ack`, in one step: it is on every order's way."""
        if self.in_flight:
            self.in_flight -= 1
        if self.ended or ((faults := self._clients.faults) is not None and faults(self)):
            return
        self.sent_bytes += len(message)
        self._write(TEXT_FRAME, message)
        if self._size() > MAX_QUEUE:
            self._cut()

    def write_text(self, message: bytes) -> None:
        """Straight to the socket."""
        self._write(TEXT_FRAME, message)

    def write_binary(self, message: bytes) -> None:
        """Straight to the socket."""
        self._write(BINARY_FRAME, message)

    def close(self, code: int, reason: str) -> None:
        """With a close frame."""
        self._transport.send_close(WSCloseCode(code), reason.encode()[:120])
        self._transport.disconnect()

    def abort(self) -> None:
        """Break it off soon: the close frame should still leave."""
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.disconnect, False)
        self.gone()


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
