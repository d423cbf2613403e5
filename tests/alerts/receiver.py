"""A webhook on this machine that keeps what arrives, and answers what a test tells it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` gives the status, or None to hang up without an answer; `headers` go with it."""

    url: str = ""
    answer: Callable[[Received], int | None] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Received] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0
    gate: asyncio.Event | None = None  # answers wait for it

    def arrivals(self) -> Counter[str]:
        """How often each delivery came."""
        return Counter(one.headers["Venuescope-Delivery"] for one in self.got)

    async def take(self, request: web.Request) -> web.StreamResponse:
        one = Received(request.path, dict(request.headers), await request.read())
        self.got.append(one)
        self.news.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way -= 1
        status = self.answer(one)
        if status is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver at a port of the system's choice."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
