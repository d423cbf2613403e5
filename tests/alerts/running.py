"""Alerts that run on a market a test writes by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from engine.alerts.alerts import Alerts
from engine.alerts.post import Post
from engine.alerts.rules import parse
from engine.alerts.views import FiringView
from engine.sealing import Sealer
from tests.alerts.market import Market

PATIENCE_S = 10.0
ABOVE = "BTC/USDT mid on any venue above 700 for 0.5 s"


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, as pytest calls it."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@dataclass
class Running:
    """Running alerts; `look` passes a quarter of a second of the market's time, and judges once."""

    alerts: Alerts
    market: Market
    told: list[tuple[str, int]] = field(default_factory=list)  # events, with the firing's number
    notes: list[tuple[str, str, str, str]] = field(default_factory=list)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.alerts.look(self.market.wait(0.25))

    async def add(self, text: str, *webhooks: str) -> str:
        return await self.alerts.add(parse(text), webhooks)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for what happens on other threads and sockets; the market's time stands still."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    folder: Path, market: Market, post: Post | None = None, until: str = "running"
) -> AsyncIterator[Running]:
    """Alerts over `folder`, once their view is in this state; they end like the program's do."""
    rig: Running

    def on_event(what: str, firing: FiringView) -> None:
        rig.told.append((what, firing.id))

    alerts = Alerts(
        folder,
        Sealer(folder / "config"),
        market.telemetry,
        market.clock,
        lambda *note: rig.notes.append(note),
        post,
        on_event,
    )
    rig = Running(alerts, market)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    task = asyncio.create_task(alerts.run())
    try:
        await rig.until(lambda: alerts.view.state == until or task.done())
        if task.done():
            task.result()
        yield rig
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
