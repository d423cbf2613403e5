"""The market-data API alone, over a small simulated market, for `bench_api.py`.

`python api_served.py RATE` serves with that limit of requests a second, on a free port of 127.0.0.1, printed first,
until its standard input ends. What it shows comes by an intake as any venue's data does: twenty times a second each
symbol that moves has a change of its book and two trades, and the views are published as the engine publishes them.
`{"symbols": 8}` on its standard input says how many move; one does at first.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from app import GARBAGE, KERNEL_MODULES
from engine import kernels

kernels.activate(ROOT / ".venuescope" / "numba", KERNEL_MODULES)

import numpy as np
import uvloop

from engine.access.door import Door
from engine.access.keys import KeyRing
from engine.access.tokens import Tokens
from engine.api import market_routes
from engine.api.ohlc import OhlcHistory
from engine.api.options import ApiOptions
from engine.api.push.push import Push
from engine.api.reading import Markets
from engine.api.server import ApiServer
from engine.clock import SteadyClock
from engine.intake import Intake
from engine.market.batches import BUY, LEVEL, SELL, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.telemetry.hub import Telemetry

SOURCE: Final = Source("binance_spot", "live")
SYMBOLS: Final = 48
LEVELS: Final = 50
TURN_S: Final = 0.05  # as often as the engine publishes
PRICE: Final = 6_500_000


class Market:
    """Symbols whose books and trades move by a seeded walk."""

    def __init__(self, intake: Intake, clock: SteadyClock) -> None:
        self.moving = 1
        self._intake, self._clock = intake, clock
        self._chance = np.random.default_rng(7)
        self._instruments = [
            Instrument(SOURCE.venue, f"B{at:02}-USDT", f"B{at:02}", "USDT", 2, 5) for at in range(SYMBOLS)
        ]
        self._trades = 0
        self._sequences: dict[str, int] = {}
        intake.open_source(SOURCE, "Bench", self._instruments, Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
        for each in self._instruments:
            bids = [(PRICE - 1 - at, 1_000 + at) for at in range(LEVELS)]
            asks = [(PRICE + 1 + at, 1_000 + at) for at in range(LEVELS)]
            self._levels(each.symbol, Kind.SNAPSHOT, [*bids, *asks], LEVELS)
        intake.publish()

    async def run(self) -> None:
        """Move for ever."""
        due = time.monotonic()
        while True:
            self._turn()
            self._intake.publish()
            due = max(due + TURN_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _turn(self) -> None:
        now_ns = self._clock()
        steps = self._chance.integers(1, 5_000, (self.moving, 4))
        for each, (bid, ask, bought, sold) in zip(self._instruments, steps.tolist(), strict=False):
            self._levels(each.symbol, Kind.DELTA, [(PRICE - 1, bid), (PRICE + 1, ask)], 1)
            self._trades += 2
            rows = np.array(
                [
                    (now_ns, now_ns, self._trades - 1, PRICE + 1, bought, BUY),
                    (now_ns, now_ns, self._trades, PRICE - 1, sold, SELL),
                ],
                TRADE,
            )
            self._intake.on_batch(Batch(Kind.TRADES, SOURCE, each.symbol, rows))

    def _levels(self, symbol: str, kind: Kind, levels: list[tuple[int, int]], bids: int) -> None:
        at = self._sequences[symbol] = self._sequences.get(symbol, 0) + 1
        now_ns = self._clock()
        rows = np.array(levels, LEVEL)
        times = {"ts_event_ns": now_ns, "ts_recv_ns": now_ns}
        self._intake.on_batch(Batch(kind, SOURCE, symbol, rows, bids, at, at, **times))


def build(rate: int, folder: Path) -> tuple[ApiServer, Push, Market]:
    """The API over a new market."""
    clock = SteadyClock()
    telemetry = Telemetry(clock())
    intake = Intake(telemetry, clock)
    market = Market(intake, clock)
    markets = Markets(telemetry, intake, clock)
    keys = KeyRing(folder)
    door = Door(keys, Tokens(lambda: b"s" * 32, keys), demanded=False, rate=rate, connections=2_000)
    push = Push(markets, telemetry, clock, door)
    options = ApiOptions(port=0, rate=rate, connections=2_000, config_dir=folder, data_dir=folder)
    server = ApiServer(
        options, market_routes.routes(markets, OhlcHistory(None)), door, push, clock, lambda *_: None
    )
    return server, push, market


async def serve(rate: int) -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="api-") as folder:
        server, push, market = build(rate, Path(folder))
        loop = asyncio.get_running_loop()

        def read() -> None:
            for line in sys.stdin:
                market.moving = json.loads(line)["symbols"]
                print("ok", flush=True)
            loop.call_soon_threadsafe(done.set)

        done = asyncio.Event()
        threading.Thread(target=read, daemon=True).start()
        tasks = [asyncio.create_task(each) for each in (server.run(), push.run(), market.run())]
        while not server.url and not any(each.done() for each in tasks):
            await asyncio.sleep(0.01)
        print(server.url.rpartition(":")[2], flush=True)
        await asyncio.wait([*tasks, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
        for each in tasks:
            if each.done() and not each.cancelled():
                each.result()  # what ended it is told


if __name__ == "__main__":
    gc.set_threshold(*GARBAGE)
    uvloop.run(serve(int(sys.argv[1])))
