"""What `bench_gateway.py` measures, each in a process of its own: the application, bare echo servers, a browser."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.load.clients import Load
from engine.load.frames import Orders
from tests.benchmarks.bench_dashboard import wait_for_content
from tests.benchmarks.served import ROOT, answers, free_port, served

ECHO = Path(__file__).resolve().parent / "gateway_echo.py"
START_S = 90.0


class Exchange(NamedTuple):
    """Where a running application is."""

    dashboard: str
    url: str
    order_port: int
    pid: int


@contextmanager
def application(rate: int, history_s: int) -> Iterator[Exchange]:
    """The application as a user starts it, with folders of its own but for the compiled kernels."""
    port, exchange_port, order_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        environment = {
            "VENUESCOPE_PORT": str(port),
            "VENUESCOPE_EXCHANGE_PORT": str(exchange_port),
            "VENUESCOPE_ORDER_PORT": str(order_port),
            "VENUESCOPE_RATE": str(rate),
            "VENUESCOPE_HISTORY_S": str(history_s),
            "VENUESCOPE_CACHE_DIR": str(ROOT / ".venuescope"),
            "VENUESCOPE_DATA_DIR": f"{folder}/data",
            "VENUESCOPE_CONFIG_DIR": f"{folder}/config",
        }
        with served(["app.py"], port, **environment) as process:
            urls = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{exchange_port}"
            yield Exchange(*urls, order_port, process.pid)


async def until_served(exchange: Exchange) -> None:
    """Returns once orders are taken; SystemExit when that takes too long."""
    for _ in range(round(START_S / 0.05)):
        if answers(exchange.order_port):
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"the exchange took no orders within {START_S:g} s")


@asynccontextmanager
async def echo(name: str, size: int, orders: Orders, clients: int) -> AsyncIterator[tuple[Load, int]]:
    """Clients connected to a bare server that answers with frames of `size` bytes; its process id."""
    child = subprocess.Popen(
        [sys.executable, str(ECHO), name, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        port = int(await asyncio.to_thread(child.stdout.readline))
        load = Load(f"ws://127.0.0.1:{port}/native", orders)
        await load.connect([None] * clients)
        try:
            yield load, child.pid
        finally:
            await load.close()
    finally:
        child.kill()
        child.wait()


@asynccontextmanager
async def overview(exchange: Exchange) -> AsyncIterator[None]:
    """A headless Chromium that shows the Overview page, painted."""
    from tests.browser.chromium import browser

    opened = browser(1440, 900)
    driver = await asyncio.to_thread(opened.__enter__)
    try:
        await asyncio.to_thread(driver.get, f"{exchange.dashboard}/")
        await asyncio.to_thread(wait_for_content, driver)
        yield
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)
