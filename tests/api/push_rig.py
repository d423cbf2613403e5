"""Push over a real loopback server, above a market made by hand whose clock moves when told to."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from engine.access.identity import Identity
from engine.api.problems import Problem
from engine.api.push import market_pb2
from engine.api.push.push import Push
from engine.api.reading import Markets
from engine.market.batches import Source
from tests.engine.markets import Desk

LIVE = Source("binance_spot", "live")
CANDLES = {"op": "subscribe", "channel": "candles", "symbol": "BTC-USDT"}


def on_a_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run it on the kind of loop that the engine has."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


class FakeDoor:
    """Lets in who brings a known token, until it is revoked or its time is over."""

    def __init__(self) -> None:
        self.tokens: dict[str, Identity] = {}
        self.revoked: set[str] = set()
        self.holders: dict[str, int] = {}  # connections by key
        self.most = self.most_of_a_key = 10_000

    @property
    def connected(self) -> int:
        return sum(self.holders.values())

    def identify_text(self, credential: str, address: str, now_ns: int) -> Identity:
        if credential not in self.tokens:
            raise Problem("bad_credentials", "there is no such key")
        return self.tokens[credential]

    def still_good(self, identity: Identity, now_ns: int) -> bool:
        expired = identity.expires_ns and now_ns >= identity.expires_ns
        return identity.key not in self.revoked and not expired

    def connect(self, identity: Identity | None, address: str) -> bool:
        key = identity.key if identity is not None else ""
        if self.connected >= self.most or (key and self.holders.get(key, 0) >= self.most_of_a_key):
            return False
        self.holders[key] = self.holders.get(key, 0) + 1
        return True

    def disconnect(self, identity: Identity | None, address: str) -> None:
        self.holders[identity.key if identity is not None else ""] -= 1


class Served:
    """Push at `url`, its door, and the market behind it. Times are those of the market's clock."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.door = FakeDoor()
        markets = Markets(desk.telemetry, desk.intake, lambda: desk.now)
        self.push = Push(markets, desk.telemetry, lambda: desk.now, self.door)
        self.identity: Identity | None = Identity("127.0.0.1", "admin")
        self.port = 0
        self.problems: list[Problem] = []
        self.send_buffer = 0  # bytes of the kernel, where not its own default

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.send_buffer and request.transport is not None:
            raw = request.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
        try:
            return await self.push.serve(request, self.identity, request.remote or "")
        except Problem as problem:
            self.problems.append(problem)
            return web.json_response({"code": problem.code}, status=problem.status)

    async def turn(self, seconds: float | None = None) -> None:
        """One turn, at a moment after the start where that is said."""
        if seconds is not None:
            self.desk.at(seconds)
        await self.push.turn()


@asynccontextmanager
async def serving(desk: Desk | None = None, *, running: bool = False) -> AsyncIterator[Served]:
    """Push is served; it turns when told to, or by itself where `running`."""
    served = Served(desk or Desk(LIVE).snapshot([(10_000, 5), (9_900, 7)], [(10_100, 2)]).at(0.0))
    runner = web.ServerRunner(web.Server(served.handle, handler_cancellation=False), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    served.port = runner.addresses[0][1]
    task = asyncio.create_task(served.push.run()) if running else None
    try:
        yield served
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await runner.cleanup()


class Client:
    """A listener: `ask` and `get` in turn; the server turns in between where it does not by itself."""

    def __init__(
        self, served: Served, link: aiohttp.ClientWebSocketResponse, decode: Callable[[Any], Any]
    ) -> None:
        self.served, self.link, self._decode = served, link, decode
        self.beats: list[dict[str, Any]] = []  # heartbeats: they come in between

    async def send(self, **asked: Any) -> None:
        await self.link.send_str(json.dumps(asked))

    async def get(self, *, turning: bool = True) -> dict[str, Any]:
        """The next message. {"type": "closed", "code", "reason"} when the connection has ended."""
        waiting = asyncio.ensure_future(self.link.receive(timeout=10))
        while turning and not waiting.done():
            await self.served.push.turn()
            await asyncio.wait({waiting}, timeout=0.002)
        message = await waiting
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            found: dict[str, Any] = self._decode(message.data)
            if found["type"] != "heartbeat":
                return found
            self.beats.append(found)
            return await self.get(turning=turning)
        return {"type": "closed", "code": self.link.close_code, "reason": message.extra}

    async def until(self, kind: str, *, turning: bool = True) -> dict[str, Any]:
        """The next message of a type; others before it are passed over, but not the end."""
        while True:
            found = await self.get(turning=turning)
            if found["type"] == kind:
                return found
            assert found["type"] != "closed", found


def decode_json(data: str) -> Any:
    return json.loads(data)


def plain(envelope: Any) -> dict[str, Any]:
    """An Envelope of Protocol Buffers as the other formats have it."""
    found: dict[str, Any] = _plain(envelope)
    for name in ("id_number", "id_text"):
        if name in found:
            found["id"] = found.pop(name)
    for side in ("bids", "asks"):
        if "book" in found:
            levels = found["book"].get(side, [])
            found["book"][side] = [[level["price"], level["size"]] for level in levels]
    return found


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        nested = field.message_type is not None
        if field.is_repeated:
            if len(value):
                found[field.name] = [_plain(each) for each in value] if nested else list(value)
        elif field.has_presence:
            if message.HasField(field.name):
                found[field.name] = _plain(value) if nested else value
            elif message.DESCRIPTOR.name != "Envelope":
                found[field.name] = None
        else:
            found[field.name] = value
    return found


def decode_protobuf(data: bytes) -> Any:
    return plain(market_pb2.Envelope.FromString(data))


@asynccontextmanager
async def listening(
    served: Served,
    form: str = "json",
    compress: int = 0,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """A listener that has been welcomed."""
    decode = {"json": decode_json, "msgpack": msgspec.msgpack.decode, "protobuf": decode_protobuf}[form]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{served.url}?format={form}", compress=compress, headers=headers) as link,
    ):
        client = Client(served, link, decode)
        assert (await client.get())["type"] == "welcome"
        yield client
