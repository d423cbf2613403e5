"""A server of the native protocol with a login, a greeting and pushes, that a test makes misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve

SECRET = "the secret"
HELLO: dict[str, Any] = {
    "op": "hello",
    "version": 1,
    "time_ns": 1,
    "symbols": [{"symbol": "BTC-USDT", "tick": "0.1", "lot": "0.00001", "min_notional": "5"}],
}

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class Fake:
    """`answer` makes the fields of an answer; None: there is none."""

    def __init__(self) -> None:
        self.hello = HELLO
        self.requests: list[dict[str, Any]] = []
        self.connections: list[ServerConnection] = []
        self.answer: Answer = lambda request: {"ok": True}
        self.url = ""

    async def push(self, **message: Any) -> None:
        """To the newest client."""
        await self.connections[-1].send(msgspec.json.encode(message), text=True)

    def cut(self) -> None:
        """Break the newest connection."""
        self.connections[-1].transport.abort()

    def of(self, op: str) -> list[dict[str, Any]]:
        """Requests of a kind."""
        return [each for each in self.requests if each["op"] == op]

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        await connection.send(msgspec.json.encode(self.hello), text=True)
        async for frame in connection:
            request = msgspec.json.decode(frame)
            self.requests.append(request)
            fields = self._login(request) if request["op"] == "login" else self.answer(request)
            if fields is not None:
                said = {"op": request["op"], "id": request["id"], **fields}
                await connection.send(msgspec.json.encode(said), text=True)

    @staticmethod
    def _login(request: dict[str, Any]) -> dict[str, Any]:
        payload = f"login{request['ts_ms']}{request['key']}".encode()
        if request["key"] == "nobody":
            return {"ok": False, "code": 202, "error": "key: there is no such key"}
        if hmac.new(SECRET.encode(), payload, hashlib.sha256).hexdigest() != request["sign"]:
            return {"ok": False, "code": 203, "error": "sign: it is not that of this key"}
        return {"ok": True, "account": "main"}


@contextlib.asynccontextmanager
async def fake_exchange() -> AsyncIterator[Fake]:
    """Served on a free port as long as the block lasts."""
    fake = Fake()
    async with serve(fake.handle, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/native"
        try:
            yield fake
        finally:
            for connection in fake.connections:
                connection.transport.abort()
            await asyncio.sleep(0)
