"""One contender of `bench_limits.py`: saturating calls through one limiter, from one address, over real sockets.

A child process: python limits_client.py '{"contender": "ours", ...}' runs until its time is over and prints one line
of JSON. The load is the same for all: as many workers as never leave the limiter idle, each with the next call of one
seeded sequence of mixed weights. A rival is configured with the venue's limit and window and each call's weight, and
its caller does what a careful user's does: after a 429 or 418 nothing is sent for Retry-After.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import aiohttp

from engine.limits.gate import Gate, Permit
from engine.limits.limiter import Limiter
from engine.limits.rules import Header, VenueRules, load

SYMBOL = {"symbol": "BTCUSDT"}
KLINES = {**SYMBOL, "interval": "1m", "limit": "10"}
# (path, arguments, weight, how often): what a connector of many symbols asks for; 15 on average
CALLS: tuple[tuple[str, dict[str, str], int, int], ...] = (
    ("/api/v3/klines", KLINES, 2, 4),
    ("/api/v3/depth", {**SYMBOL, "limit": "100"}, 5, 4),
    ("/api/v3/aggTrades", {**SYMBOL, "limit": "10"}, 4, 2),
    ("/api/v3/depth", {**SYMBOL, "limit": "500"}, 25, 3),
    ("/api/v3/depth", {**SYMBOL, "limit": "1000"}, 50, 2),
    ("/api/v3/trades", {**SYMBOL, "limit": "10"}, 25, 2),
    ("/api/v3/ticker/24hr", SYMBOL, 2, 1),
)
LIGHT = ("/api/v3/time", {}, 1, 1)
Acquire = Callable[[str, Mapping[str, str], int], Awaitable[Permit | None]]


def shortened(window_s: int, limit: int, raw_limit: int = 61_000) -> VenueRules:
    """The packaged rules with Binance spot's windows of the address a tenth as long.

    The reserve is 0: all calls here have one priority, and nobody comes to use it.
    """
    spot = load().venues["binance_spot"]
    weight, raw, *others = spot.windows
    header = Header(f"X-MBX-USED-WEIGHT-{window_s}S", "used")
    windows = (
        replace(weight, window_ns=window_s * 10**9, limit=limit, header=header),
        replace(raw, window_ns=window_s * 5 * 10**9, limit=raw_limit),
        *others,
    )
    return replace(spot, windows=windows, reserve=0.0)


def ours(options: dict[str, Any]) -> Acquire:
    """The project's gate."""
    gate = Gate(Limiter(shortened(options["window_s"], options["limit"])))

    async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> Permit:
        return await gate.acquire(endpoint, arguments)

    return acquire


def ccxt_throttler() -> Any:
    """The class, from its file: importing the package loads a hundred exchanges."""
    package = importlib.util.find_spec("ccxt")
    assert package is not None
    assert package.origin is not None
    place = Path(package.origin).parent / "async_support" / "base" / "throttler.py"
    spec = importlib.util.spec_from_file_location("ccxt_throttler", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Throttler


def ccxt_bucket(options: dict[str, Any]) -> Acquire:
    """ccxt's throttler as its exchanges come: a leaky bucket."""
    throttler = ccxt_throttler()(
        {"refillRate": options["limit"] / options["window_s"] / 1_000, "delay": 0.001}
    )

    async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> None:
        await throttler(weight)

    return acquire


def ccxt_window(options: dict[str, Any]) -> Acquire:
    """ccxt's throttler with its other algorithm: a rolling window."""
    window_ms = options["window_s"] * 1_000.0
    throttler = ccxt_throttler()(
        {"algorithm": "rollingWindow", "windowSize": window_ms, "rateLimit": window_ms / options["limit"]}
    )

    async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> None:
        await throttler(weight)

    return acquire


def aiolimiter(options: dict[str, Any]) -> Acquire:
    """aiolimiter's leaky bucket."""
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(options["limit"], options["window_s"])

    async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> None:
        await limiter.acquire(weight)

    return acquire


def pyrate(options: dict[str, Any]) -> Acquire:
    """pyrate-limiter's sliding log in memory."""
    from pyrate_limiter import InMemoryBucket, Limiter, Rate

    limiter = Limiter(InMemoryBucket([Rate(options["limit"], options["window_s"] * 1_000)]))

    async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> None:
        await limiter.try_acquire_async("binance", weight)

    return acquire


CONTENDERS: dict[str, Callable[[dict[str, Any]], Acquire]] = {
    "ours": ours,
    "ccxt": ccxt_bucket,
    "ccxt_window": ccxt_window,
    "aiolimiter": aiolimiter,
    "pyrate": pyrate,
}


class Load:
    """Workers that call as fast as the limiter lets them."""

    def __init__(self, options: dict[str, Any], acquire: Acquire, session: aiohttp.ClientSession) -> None:
        self._acquire, self._session = acquire, session
        self._base = f"{options['url']}/binance_spot"
        self._until = time.monotonic() + options["seconds"]
        self._paused_until = 0.0
        chance = random.Random(options["seed"])
        pool = [LIGHT] if options.get("light") else [call for call in CALLS for _ in range(call[3])]
        self._next = iter(lambda: chance.choice(pool), None)
        self.statuses: dict[str, int] = {}

    async def run(self, workers: int) -> None:
        """Until the time is over."""
        tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        await asyncio.sleep(self._until - time.monotonic())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            path, arguments, weight, _ = next(self._next)
            permit = await self._acquire(f"GET {path}", arguments, weight)
            while permit is None and (left := self._paused_until - time.monotonic()) > 0:
                await asyncio.sleep(left)
            try:
                async with self._session.get(self._base + path, params=arguments) as answer:
                    await answer.read()
            except aiohttp.ClientError:
                self._count("failed")
                if permit is not None:
                    permit.lost()
                continue
            if permit is not None:
                permit.answered(answer.status, answer.headers)
            elif answer.status in (429, 418):
                wait_s = float(answer.headers.get("Retry-After", "1"))
                self._paused_until = max(self._paused_until, time.monotonic() + wait_s)
            self._count(str(answer.status))

    def _count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Clocked:
    """A gate whose own CPU time is measured: everything it does is counted, the waiting is not.

    Reading the clock costs more than some of what is measured; that cost, measured first, is taken off.
    """

    def __init__(self, gate: Gate) -> None:
        readings = 20_000
        started = time.thread_time_ns()
        for _ in range(readings):
            time.thread_time_ns()
        self._reading_ns = (time.thread_time_ns() - started) / readings
        self.spent_ns = 0.0
        self.readings_ns = 0.0  # what reading the clock took in all
        self._depth = 0
        limiter = gate.limiter
        for owner, names in (
            (limiter, ("take", "enqueue", "cancel")),
            (gate, ("on_answer", "_pump", "_arm")),
        ):
            for name in names:
                setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            if self._depth:
                return work(*arguments)
            self._depth = 1
            started = time.thread_time_ns()
            try:
                return work(*arguments)
            finally:
                self.spent_ns += time.thread_time_ns() - started - self._reading_ns
                self.readings_ns += 2 * self._reading_ns
                self._depth = 0

        return timed


async def main(options: dict[str, Any]) -> None:
    """Print what came of it."""
    connector = aiohttp.TCPConnector(limit=0, local_addr=(options["address"], 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        if not options.get("light"):
            load = Load(options, CONTENDERS[options["contender"]](options), session)
            await load.run(options["workers"])
            print(json.dumps({"statuses": load.statuses}))
            return
        rules = shortened(options["window_s"], options["limit"], raw_limit=10**8)
        gate = Gate(Limiter(rules))
        clocked = Clocked(gate)

        async def acquire(endpoint: str, arguments: Mapping[str, str], weight: int) -> Permit:
            return await gate.acquire(endpoint, arguments)

        load = Load(options, acquire, session)
        cpu, wall = time.process_time(), time.monotonic()
        await load.run(options["workers"])
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        cpu -= clocked.readings_ns / 1e9
        limiter_s = clocked.spent_ns / 1e9
        print(json.dumps({"statuses": load.statuses, "limiter_s": limiter_s, "cpu_s": cpu, "wall_s": wall}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(json.loads(sys.argv[1])))
