"""Connections to the web server: how many there may be, and how long a request may take to arrive.

Connections are taken here rather than by Hypercorn's own listener, so that they are counted before anything is said
on them, TLS included. Where an address holds the most it may, or all do together, the one that has waited longest
without a whole request makes room: who drips keeps out nobody but himself. Answers may take as long as they like.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any, Final

import structlog
from hypercorn.app_wrappers import WSGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from engine.access.rates import Connections, caller_of

PER_ADDRESS = 256
IN_ALL = 1_024
ARRIVAL_S = 15.0  # from the end of a request's head to the end of its body
RETRY_S = 1.0  # after the system had no room for one more
TELL_EVERY_S = 60.0

_log: Final = structlog.get_logger(__name__)


class _Left(Exception):
    """The client went before its request was whole."""


class _Connection:
    """One client's, with the application that answers it."""

    def __init__(self, caller: str, app: WSGIWrapper) -> None:
        self.caller: Final = caller
        self.answering = 0  # whole requests under way
        self.transport: asyncio.Transport | None = None
        self.greeting: asyncio.Task[None] | None = None  # where there is no transport yet
        self.dropped = False
        self._app = app

    def drop(self) -> None:
        """End it, whatever was sent."""
        self.dropped = True
        if self.transport is not None:
            self.transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    async def __call__(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        """Answer a request that arrives whole and in time: 408 when it does not, nothing when its sender left."""
        if scope["type"] != "http":
            await self._app(scope, receive, send, sync_spawn, call_soon)
            return
        latest_s = asyncio.get_running_loop().time() + ARRIVAL_S
        whole = late = False

        async def receive_in_time() -> Any:
            nonlocal whole, late
            try:
                async with asyncio.timeout_at(latest_s):
                    message = await receive()
            except TimeoutError:
                late = True
                raise
            if message["type"] == "http.disconnect":
                raise _Left
            if not message.get("more_body"):
                whole = True
                self.answering += 1
            return message

        try:
            await self._app(scope, receive_in_time, send, sync_spawn, call_soon)
        except _Left:
            return
        except TimeoutError:
            if not late:
                raise
            await send({"type": "http.response.start", "status": 408, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.answering -= whole


class Front:
    """Takes the connections of a listening socket, and has Hypercorn talk on them. `most` are held in all."""

    def __init__(self, app: WSGIWrapper, config: Config, most: int = IN_ALL) -> None:
        self.dropped = 0  # made room for others
        self.refused = 0  # there was no room
        self._app, self._config = app, config
        self._most = most
        self._context = WorkerContext(None)
        self._tls: ssl.SSLContext | None = config.create_ssl_context() if config.ssl_enabled else None
        self._open: dict[_Connection, None] = {}  # the longest open first
        self._held = Connections(PER_ADDRESS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[str, float] = {}

    async def run(self, sock: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then close the socket; requests under way get the graceful time to end."""
        sock.setblocking(False)
        taking = asyncio.create_task(self._take_all(sock))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                taking.result()
        finally:
            taking.cancel()
            stopping.cancel()
            await asyncio.gather(taking, stopping, return_exceptions=True)
            sock.close()
            await self._end()

    async def _end(self) -> None:
        await self._context.terminated.set()
        tasks = set(self._tasks)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._config.graceful_timeout)
        for connection in list(self._open):
            connection.drop()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._config.shutdown_timeout)

    async def _take_all(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(sock)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._tell("no more connections can be taken", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._take(client, caller_of(address[0]))
            await asyncio.sleep(0)  # a flood of them is always ready: others have their turn

    def _take(self, client: socket.socket, caller: str) -> None:
        if not self._makes_room(caller):
            self.refused += 1
            self._tell("connections are refused", address=caller, refused=self.refused)
            client.close()
            return
        connection = _Connection(caller, self._app)
        self._held.open(caller)
        self._open[connection] = None
        task = asyncio.create_task(self._talk(connection, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._forget(connection))

    def _makes_room(self, caller: str) -> bool:
        """Whether there is room for one more of this caller, if need be for one that has sent no whole request."""
        own = self._held.held(caller) >= self._held.most
        if not own and len(self._open) < self._most:
            return True
        for each in self._open:
            if not each.answering and (each.caller == caller or not own):
                self.dropped += 1
                self._tell("connections that wait are dropped", address=each.caller, dropped=self.dropped)
                self._forget(each)
                each.drop()
                return True
        return False

    def _forget(self, connection: _Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._held.close(connection.caller)

    async def _talk(self, connection: _Connection, client: socket.socket) -> None:
        """Talk on one connection until it ends, whoever ends it."""
        if connection.dropped:  # before this began
            client.close()
            return
        loop = asyncio.get_running_loop()
        connection.greeting = asyncio.current_task()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        patience_s = self._config.ssl_handshake_timeout if self._tls is not None else None
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, client, ssl=self._tls, ssl_handshake_timeout=patience_s
            )
        except OSError:  # it left, or does not speak TLS
            return
        connection.transport = transport
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await TCPServer(connection, loop, self._config, self._context, {}, reader, writer)
        except OSError:  # the network failed it
            pass
        except Exception:  # noqa: BLE001  it is nobody's but this connection's
            _log.exception("a connection of the dashboard failed")
        finally:
            transport.abort()

    def _tell(self, what: str, **more: object) -> None:
        """Log it, once a minute: it may come a thousand times a second."""
        now_s = time.monotonic()
        if now_s - self._told.get(what, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told[what] = now_s
            _log.warning(what, **more)
