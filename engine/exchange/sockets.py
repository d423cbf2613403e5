"""The venue's WebSocket side: handshakes, clients' messages, keep-alive, planned and ordered ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from engine.exchange.connection import Connection
from engine.exchange.dialects.sessions import Reaction
from engine.exchange.enforcement import Enforcement
from engine.exchange.faults import INSTANT_KINDS, Fault, Faults
from engine.exchange.hub import Hub
from engine.exchange.limit_windows import MessageRate
from engine.websocket_frames import frame

MAX_MESSAGE: Final = 1 << 16  # bytes of one message from a client
MAX_CONNECTIONS: Final = 2_000
CLOSE_WITHIN_S: Final = 2.0
SHUTDOWN_S: Final = 10.0
STOP_WITHIN_S: Final = 0.5
CARE_EVERY_NS: Final = 500_000_000
SHOWN_CONNECTIONS: Final = 200
_REFUSE: Final = frozenset({"refuse"})


class Sockets:
    """All WebSocket clients of all budgets. One loop."""

    def __init__(self, hubs: Mapping[str, Hub], faults: Faults, wall: Callable[[], int]) -> None:
        self._hubs = hubs
        self._faults = faults
        self._wall = wall
        self._last_id = 0
        self._cared_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._rules: dict[str, Enforcement] = {}
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in hubs}

    def statistics(self, budget: str) -> dict[str, Any]:
        """Counters of one budget, and a row for each open connection."""
        hub, counts = self._hubs[budget], self._counts[budget]
        now_ns = time.monotonic_ns()
        rows = [
            {
                "id": each.id,
                "market": each.opening.market,
                "age_s": (now_ns - each.opened_ns) / 1e9,
                "streams": len(each.names),
                "frames": each.sent.frames,
                "bytes": each.sent.bytes,
                "conflated": each.sent.conflated,
                "messages": each.messages,
            }
            for each in list(hub.connections.values())[:SHOWN_CONNECTIONS]
        ]
        return {
            "open": len(hub.connections),
            "opened": counts["opened"],
            "refused": counts["refused"],
            "cut_slow": counts["slow"],
            "cut_messages": counts["messages"],
            "cut_age": counts["age"],
            "cut_silent": counts["silent"],
            "frames": counts["frames"] + sum(each.sent.frames for each in hub.connections.values()),
            "bytes": counts["bytes"] + sum(each.sent.bytes for each in hub.connections.values()),
            "conflated": counts["conflated"] + sum(each.sent.conflated for each in hub.connections.values()),
            "connections": rows,
        }

    async def serve(
        self, hub: Hub, enforcement: Enforcement, request: web.BaseRequest, path: str, query: str
    ) -> web.StreamResponse:
        """One client from handshake to end."""
        counts = self._counts[hub.budget]
        opening = hub.streams.opening(path, query)
        if opening is None:
            return web.Response(status=404, text="there is no stream here")
        if sum(len(each.connections) for each in self._hubs.values()) >= MAX_CONNECTIONS:
            counts["refused"] += 1
            return web.Response(status=503, text="too many connections")
        now_ns = time.monotonic_ns()
        transport = request.transport
        if transport is None:
            return web.Response(status=503)
        if self._faults.take(now_ns, _REFUSE, hub.budget, opening.market) is not None:
            counts["refused"] += 1
            transport.abort()
            return web.Response(status=503)
        socket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=MAX_MESSAGE, timeout=CLOSE_WITHIN_S
        )
        await socket.prepare(request)
        self._last_id += 1
        counts["opened"] += 1
        connection = Connection(
            id=f"{hub.budget}-{self._last_id}",
            budget=hub.budget,
            address=request.remote or "",
            opening=opening,
            transport=transport,
            rate=MessageRate(enforcement.rules.messages_per_s),
            opened_ns=now_ns,
            heard_ns=now_ns,
            pinged_ns=now_ns,
            ponged_ns=now_ns,
        )
        self._rules[hub.budget] = enforcement
        self._sockets[connection.id] = socket
        hub.connections[connection.id] = connection
        try:
            await self._talk(hub, enforcement, connection, socket)
        finally:
            hub.drop(connection)
            self._sockets.pop(connection.id, None)
            counts.update(
                frames=connection.sent.frames,
                bytes=connection.sent.bytes,
                conflated=connection.sent.conflated,
                slow=int(connection.slow),
            )
        return socket

    def flush(self, monotonic_ns: int) -> None:
        """Send what waits, and care for keep-alive and age now and then."""
        if monotonic_ns - self._cared_ns > CARE_EVERY_NS:
            self._cared_ns = monotonic_ns
            self._care(monotonic_ns)
        for hub in self._hubs.values():
            for connection in list(hub.dirty):
                connection.flush()
                if not connection.waiting:
                    del hub.dirty[connection]

    def carry_out(self, fault: Fault) -> int | None:
        """Do a fault that happens at once: how many it hit. None for one that has to wait."""
        if fault.kind not in INSTANT_KINDS:
            return None
        fault.check()
        hit = 0
        for name, hub in self._hubs.items():
            if fault.kind == "restart":
                hit += hub.restart(fault.market, fault.symbol) if fault.budget in ("", name) else 0
                continue
            for connection in list(hub.connections.values()):
                symbols = tuple(
                    each
                    for topic in connection.names.values()
                    if topic is not None
                    for each in (
                        topic.symbol,
                        hub.markets[connection.opening.market].listings[topic.symbol].instrument.symbol,
                    )
                )
                matches = fault.matches(name, connection.opening.market, symbols, connection.id)
                if matches and (not fault.count or hit < fault.count):
                    hit += 1
                    self._end(hub, connection, fault)
        self._faults.note(fault, hit)
        return hit

    async def stop(self) -> None:
        """Close every connection; those that do not answer are broken off."""
        connections = [each for hub in self._hubs.values() for each in hub.connections.values()]
        closing = [asyncio.ensure_future(_closed(socket)) for socket in self._sockets.values()]
        if closing:
            await asyncio.wait(closing, timeout=STOP_WITHIN_S)
        for connection in connections:
            connection.abort()
        for task in (*closing, *self._tasks):
            task.cancel()

    async def _talk(
        self, hub: Hub, enforcement: Enforcement, connection: Connection, socket: web.WebSocketResponse
    ) -> None:
        now_ns = self._wall()
        if len(connection.opening.streams) > enforcement.rules.streams_per_connection:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many streams")
            return
        for name in connection.opening.streams:
            hub.subscribe(connection, name, now_ns)
        while not socket.closed:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            monotonic_ns = time.monotonic_ns()
            connection.heard_ns = monotonic_ns
            connection.messages += 1
            if not connection.rate.admit(monotonic_ns):
                enforcement.cut_for_messages()
                self._counts[hub.budget]["messages"] += 1
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
                return
            if message.type is WSMsgType.PING:
                connection.push(frame(message.data, 10))
                hub.dirty[connection] = None
            elif message.type is WSMsgType.PONG:
                connection.ponged_ns = monotonic_ns
            elif message.type is WSMsgType.TEXT:
                reaction = hub.streams.on_message(
                    message.data, connection.opening, connection.names, connection.id
                )
                if reaction.cut:
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reaction.cut.encode())
                    return
                if reaction.delay_s:
                    loop = asyncio.get_running_loop()
                    loop.call_later(reaction.delay_s, self._react, hub, connection, reaction)
                else:
                    self._react(hub, connection, reaction)

    def _react(self, hub: Hub, connection: Connection, reaction: Reaction) -> None:
        """Reply, then change the client's streams."""
        if connection.id not in hub.connections:
            return
        if reaction.combined is not None:
            connection.opening = replace(connection.opening, combined=reaction.combined)
        if reaction.reply:
            hub.say(connection, reaction.reply)
        now_ns = self._wall()
        for name in reaction.unsubscribe:
            hub.unsubscribe(connection, name)
        for name in reaction.subscribe:
            hub.subscribe(connection, name, now_ns)

    def _care(self, now_ns: int) -> None:
        """Ping, and cut who is too old or too quiet."""
        for hub in self._hubs.values():
            if hub.budget not in self._rules:
                continue
            rules = self._rules[hub.budget].rules
            for connection in list(hub.connections.values()):
                if (
                    rules.connection_lasts_s
                    and now_ns - connection.opened_ns > rules.connection_lasts_s * 1e9
                ):
                    self._counts[hub.budget]["age"] += 1
                    self._close(connection)
                elif (
                    rules.ping_every_s
                    and now_ns - connection.ponged_ns > rules.pong_within_s * 1e9 + (rules.ping_every_s * 1e9)
                ) or (rules.silence_s and now_ns - connection.heard_ns > rules.silence_s * 1e9):
                    self._counts[hub.budget]["silent"] += 1
                    self._close(connection)
                elif rules.ping_every_s and now_ns - connection.pinged_ns > rules.ping_every_s * 1e9:
                    connection.ping(now_ns)
                    hub.dirty[connection] = None

    def _end(self, hub: Hub, connection: Connection, fault: Fault) -> None:
        if fault.kind == "close":
            connection.abort()
        elif fault.kind == "cut":
            self._close(connection)
        else:
            text = hub.streams.shutdown(self._wall())
            if text:
                hub.say(connection, text)
            loop = asyncio.get_running_loop()
            loop.call_later(fault.delay_s or SHUTDOWN_S, self._close, connection)

    def _close(self, connection: Connection) -> None:
        """Close in an orderly way, without waiting for it."""
        socket = self._sockets.get(connection.id)
        if socket is None:
            return
        connection.flush()
        task = asyncio.ensure_future(_closed(socket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _closed(socket: web.WebSocketResponse) -> None:
    await socket.close(code=WSCloseCode.GOING_AWAY, message=b"")
