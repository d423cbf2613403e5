"""The API's server at a free port, over a market made by hand, with the real door and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from engine.access.door import Door
from engine.access.identity import Identity
from engine.access.keys import KeyRing
from engine.access.tokens import Tokens
from engine.api.metrics import Metrics
from engine.api.options import ApiOptions
from engine.api.program_routes import routes as program_routes
from engine.api.route import Route
from engine.api.server import ApiServer
from engine.market.batches import Source
from engine.telemetry.board import EngineView
from engine.telemetry.events import Level
from tests.engine.markets import Desk

LIVE = Source("binance_spot", "live")


class FakePush:
    """Says who was let in to a WebSocket."""

    async def serve(
        self, request: web.BaseRequest, identity: Identity | None, address: str
    ) -> web.StreamResponse:
        return web.json_response({"identity": identity.name if identity else None, "address": address})


def market() -> Desk:
    """A live source with a book and a trade, of an engine that runs."""
    desk = Desk(LIVE).snapshot([(10_000, 5), (9_900, 7)], [(10_100, 2), (10_200, 4)]).trade(10_050).at(0.5)
    desk.trade(10_060).at(1.5)
    desk.telemetry.board.engine = EngineView(state="running")
    return desk


class Served:
    """A server that serves, what it is made of, and a session of a client."""

    def __init__(
        self,
        folder: Path,
        routes: Sequence[Route],
        desk: Desk,
        options: ApiOptions,
        push: Any = None,
        access: Callable[[Served], Sequence[Route]] = lambda _: (),
    ) -> None:
        self.desk = desk
        self.keys = KeyRing(folder)
        self.tokens = Tokens(lambda: b"secret of the tests, 32 bytes ok", self.keys)
        self.door = Door(
            self.keys,
            self.tokens,
            demanded=options.demanded,
            rate=options.rate,
            connections=options.connections,
        )
        self.notes: list[tuple[Level, str, str, str]] = []
        self.metrics = Metrics(desk.telemetry, lambda: self.server.view())
        own = program_routes(desk.telemetry, lambda: desk.now, self.metrics)
        self.server = ApiServer(
            options,
            [*own, *routes, *access(self)],
            self.door,
            push or FakePush(),
            lambda: desk.now,
            lambda *note: self.notes.append(note),
        )
        self.session: aiohttp.ClientSession

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.server.url.rpartition("/")[2].partition(":")
        return host, int(port)

    async def ask(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any, Any]:
        """Status, headers and body of a call; JSON is decoded."""
        async with self.session.request(method, self.server.url + path, **options) as answer:
            decoded = "json" in answer.content_type and method != "HEAD"
            return (
                answer.status,
                answer.headers,
                await (answer.json(content_type=None) if decoded else answer.read()),
            )

    async def raw(self, sent: bytes) -> bytes:
        """All that comes back for bytes sent as they are, until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(sent)
        await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    folder: Path,
    routes: Sequence[Route] = (),
    *,
    desk: Desk | None = None,
    push: Any = None,
    access: Callable[[Served], Sequence[Route]] = lambda _: (),
    **options: Any,
) -> AsyncIterator[Served]:
    """A server that serves `routes` and the program's own."""
    settings = {"port": 0, "rate": 10_000, **options}
    served = Served(folder, routes, desk or market(), ApiOptions(**settings), push, access)
    task = asyncio.create_task(served.server.run())
    async with asyncio.timeout(5):
        while not served.server.url:
            await asyncio.sleep(0)
    try:
        async with aiohttp.ClientSession() as served.session:
            yield served
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
