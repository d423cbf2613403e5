"""The local venue as `bench_limits.py` needs it: a window of 6 s, a slow network, and a neighbour behind each address.

A child process: python limits_server.py '{"window_s": 6, ...}' prints its address, and serves until its input ends.
The venue, its limits and its answers are the project's own (`engine.exchange`). Here are added, per client address:

- a record of what was served and refused in each of the venue's windows, at `GET /record`;
- for the addresses in `slow`, a network: every call is held up to `jitter_ms` on its way to the venue (before it is
  counted), and every answer up to `jitter_ms` on its way back, each drawn evenly from 0 and by itself, so that calls
  and answers overtake each other;
- for the same addresses, a neighbour: calls of `sizes` weight, drawn evenly, at exponential intervals that average
  `neighbour` of the limit in all. It counts for itself with nothing: it neither looks at headers nor stops.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from aiohttp import web

from engine.exchange.enforcement import NO_ARGUMENTS, SECOND_NS, Enforcement, Rules, Verdict
from engine.exchange.server import LocalVenue
from engine.exchange.venue_rules import BINANCE_SPOT

BUDGET = "binance_spot"


class Recording(Enforcement):
    """Enforcement that remembers, for each address and window, what was served and refused."""

    def __init__(self, rules: Rules, window_s: int) -> None:
        super().__init__(rules)
        self._window_ns = window_s * SECOND_NS
        self.record: dict[str, dict[int, dict[str, int]]] = {}

    def _row(self, address: str, now_ns: int) -> dict[str, int]:
        rows = self.record.setdefault(address, {})
        empty = {"served": 0, "weight": 0, "429": 0, "418": 0, "403": 0, "foreign": 0, "foreign_refused": 0}
        return rows.setdefault(now_ns // self._window_ns, empty)

    def bans(self) -> dict[str, int]:
        """Of each address, how often it was banned."""
        return {address: client.bans for address, client in self._addresses.items()}

    def request(
        self,
        now_ns: int,
        address: str,
        endpoint: str,
        arguments: Mapping[str, str] = NO_ARGUMENTS,
        *,
        account: str = "",
    ) -> Verdict:
        """As the venue's, recorded."""
        verdict = super().request(now_ns, address, endpoint, arguments, account=account)
        row = self._row(address, now_ns)
        if verdict.served:
            row["served"] += 1
            row["weight"] += self.rules.weigh(endpoint, arguments)
        else:
            row[str(verdict.status)] += 1
        return verdict

    def consume(self, now_ns: int, address: str, weight: int) -> bool:
        """As the venue's, recorded."""
        served = super().consume(now_ns, address, weight)
        row = self._row(address, now_ns)
        row["foreign" if served else "foreign_refused"] += weight if served else 1
        return served


class BenchVenue(LocalVenue):
    """The local venue behind a slow network."""

    def __init__(self, options: dict[str, Any]) -> None:
        window_s, limit = options["window_s"], options["limit"]
        rules = BINANCE_SPOT.with_window("REQUEST_WEIGHT", window_s, limit)
        rules = rules.with_window("RAW_REQUESTS", window_s * 5, options.get("raw_limit", 61_000))
        super().__init__(seed=1, rate=1.0, symbols=5, levels=20, rules={BUDGET: rules})
        self.recording = Recording(rules, window_s)
        budget = self.budgets[BUDGET]
        budget.enforcement = self.recording  # type: ignore[misc]
        self._slow = frozenset(options.get("slow", ()))
        self._jitter_s = options.get("jitter_ms", 0) / 1_000
        self._options = options
        self._random = random.Random(options.get("seed", 1))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/record":
            return web.json_response({"windows": self.recording.record, "bans": self.recording.bans()})
        if request.remote not in self._slow:
            return await super()._handle(request)
        await asyncio.sleep(self._random.random() * self._jitter_s)
        answer = await super()._handle(request)
        await asyncio.sleep(self._random.random() * self._jitter_s)
        return answer

    async def neighbour(self, address: str, seed: int) -> None:
        """Take weight at Poisson times, until cancelled."""
        chance = random.Random(seed)
        sizes = self._options["sizes"]
        a_second = self._options["neighbour"] * self._options["limit"] / self._options["window_s"]
        interval_s = sum(sizes) / len(sizes) / a_second
        due = time.monotonic()
        while True:
            due += chance.expovariate(1 / interval_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.consume(BUDGET, address, chance.choice(sizes))


async def serve(options: dict[str, Any]) -> None:
    """Until standard input ends."""
    venue = BenchVenue(options)
    print(await venue.start(0), flush=True)
    tasks = [asyncio.create_task(venue.neighbour(at, n)) for n, at in enumerate(options.get("slow", ()))]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await venue.stop()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(json.loads(sys.argv[1])))
