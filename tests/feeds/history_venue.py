"""A little venue that serves candles in Bybit's form, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.limits import rules
from engine.limits.desk import LimitDesk
from feeds import history
from feeds.history import Say
from feeds.venues.bybit import DIALECTS

SPOT = DIALECTS[0]
MINUTE_MS = 60_000
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS + 5_000
SYMBOLS = ("BTC-USDT", "ETH-USDT")


def candle(start_ms: int) -> list[str]:
    """Any candle, the same each time it is asked for."""
    price = 100 + start_ms // MINUTE_MS % 50
    return [str(start_ms), f"{price}.5", f"{price + 1}.0", f"{price}.0", f"{price}.1", "2.5", "250.25"]


class CandleVenue:
    """`asked` has (symbol, start, end) of each kline call, ms; `answer` may take its place."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.holes: set[int] = set()  # starts without a candle
        self.delay_s = 0.0
        self.answer: Callable[[str, int], web.Response | None] = lambda symbol, start: None
        self.on_asked = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        if name == "time":
            return self._good({"timeNano": str(NOW_MS * 10**6)})
        if name == "instruments-info":
            return self._good({"list": [self._listed(symbol) for symbol in SYMBOLS]})
        symbol, query = request.query["symbol"], request.query
        start, end = int(query["start"]), int(query["end"])
        self.asked.append((symbol, start, end))
        self.on_asked.set()
        await asyncio.sleep(self.delay_s)
        given = self.answer(symbol, start)
        if given is not None:
            return given
        rows = [
            candle(at)
            for at in range(-(-start // MINUTE_MS) * MINUTE_MS, end + 1, MINUTE_MS)
            if at not in self.holes and at < NOW_MS
        ]
        return self._good({"list": rows[: int(query["limit"])][::-1]})

    def _good(self, result: Any) -> web.Response:
        return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": NOW_MS})

    def _listed(self, symbol: str) -> dict[str, Any]:
        base, quote = symbol.split("-")
        return {
            "symbol": base + quote,
            "status": "Trading",
            "baseCoin": base,
            "quoteCoin": quote,
            "priceFilter": {"tickSize": "0.1"},
            "lotSizeFilter": {"basePrecision": "0.1"},
        }

    @asynccontextmanager
    async def serving(self):
        """The address."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def download(
    folder: Path, base: str, *, say: Say, symbols=SYMBOLS, start="1d", window_s=5.0, **options: Any
) -> int:
    """`history.main` for this venue, by its clock, where the limit's window is as long as said."""
    document = json.loads(rules.PACKAGED.read_text())
    document["bybit"]["windows"][0]["window_s"] = window_s
    desk = LimitDesk(rules.parse(json.dumps(document)))
    ahead_ns = NOW_MS * 10**6 - time.time_ns()
    try:
        return await history.main(
            SPOT,
            desk,
            symbols,
            start=start,
            folder=folder,
            base=base,
            say=say,
            wall=lambda: time.time_ns() + ahead_ns,
            **options,
        )
    finally:
        desk.close()
