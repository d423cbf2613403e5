"""What tests of the local venue share: running one, asking it, reading its frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from engine.exchange.server import LocalVenue

WITHIN_S = 8.0
Test = Callable[[LocalVenue, aiohttp.ClientSession], Awaitable[None]]


def with_venue(test: Test, **settings: Any) -> None:
    """Run `test` with a venue of its own, three symbols a market unless told otherwise."""

    async def run() -> None:
        async with asyncio.timeout(WITHIN_S):
            venue = LocalVenue(**({"symbols": 3, "levels": 50} | settings))
            async with venue, aiohttp.ClientSession(venue.url) as session:
                await test(venue, session)

    asyncio.run(run())


async def get(session: aiohttp.ClientSession, path: str, **arguments: Any) -> Any:
    """The decoded body of a good answer."""
    async with session.get(path, params=arguments) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return msgspec.json.decode(body)


async def messages(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """The next texts, decoded."""
    return [msgspec.json.decode(await socket.receive_str()) for _ in range(count)]


async def order(session: aiohttp.ClientSession, **fault: Any) -> Any:
    """Order a fault by POST; its number, or how many it hit."""
    async with session.post("/faults", json=fault) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["id"]
