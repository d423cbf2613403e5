"""A server of the native protocol's order entry, as small as can be, that does to orders what a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from engine.load.frames import Listing, Orders, orders_at

LISTING = Listing("BTC-USDT", "0.1", "0.00001", "5")
Said = dict[str, object]
Take = Callable[["Fake", ServerConnection, Said], Awaitable[None]]


def orders() -> Orders:
    return orders_at(LISTING, "104238.7", "104238.8")


async def accept(fake: Fake, connection: ServerConnection, request: Said) -> None:
    """Answer like the exchange."""
    fake.order_ids += 1
    await fake.answer(connection, request, order_id=request.get("order_id", fake.order_ids))


class Fake:
    """What came in, and how it is answered."""

    def __init__(self, take: Take = accept) -> None:
        self.take = take
        self.requests: list[Said] = []
        self.logins: list[Said] = []
        self.connections: list[ServerConnection] = []
        self.order_ids = 10
        self.url = ""

    async def answer(self, connection: ServerConnection, request: Said, **fields: object) -> None:
        said = {"op": request["op"], "id": request["id"], "ok": True, **fields}
        await connection.send(msgspec.json.encode(said), text=True)

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for frame in connection:
            request = msgspec.json.decode(frame)
            if request["op"] == "login":
                self.logins.append(request)
                ok = request["key"] != "wrong"
                await self.answer(
                    connection, request, ok=ok, **({} if ok else {"code": 202, "error": "no such key"})
                )
            else:
                self.requests.append(request)
                await self.take(self, connection, request)


@contextlib.asynccontextmanager
async def fake_exchange(take: Take = accept) -> AsyncIterator[Fake]:
    """Served on a free port as long as the block lasts."""
    fake = Fake(take)
    async with serve(fake.handle, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/native"
        try:
            yield fake
        finally:
            for connection in fake.connections:
                connection.transport.abort()
            await asyncio.sleep(0)
