"""How much of a venue's limit a limiter uses, and what it is refused, beside ccxt, aiolimiter and pyrate-limiter.

Run: uv run python tests/benchmarks/bench_limits.py [--quick]

All meet the project's own local venue over real sockets: Binance spot's rules, its windows of a minute shortened to
6 s (fixed, by the venue's clock), the one of five minutes to 30 s. Each contender has a process and an address of
its own, so a state of its own at the venue, and the same saturating load of mixed weights (`limits_client.py`). The
figures are the venue's: utilisation of the windows after the one a contender begins in, refusals and
bans from the start.

- plain: one program alone on its address. utilisation = weight served / limit; refused = 429s, 418s and 403s. A
  venue bans who goes on after ten refusals, for two minutes at first: a contender that is banned is at 0 from there.
- neighbour: the same with a slow network and a neighbour (`limits_server.py`). Every call takes 0 to 200 ms to the
  venue and its answer 0 to 200 ms back, evenly drawn each, so that calls overtake each other. The neighbour takes a
  third of the limit, in calls of 2, 4, 5 and 25 at Poisson times, and shows only in the headers; it goes on whatever
  happens. utilisation_of_rest = weight served to the contender / (limit less what the neighbour was served);
  bans = how often the address was banned. neighbour_refused_pct is what the contender made the neighbour suffer.
- acquire_ns: an uncontended `await gate.acquire(...)` with its permit, median over batches; the venue's real rules.
- sustained: a limit of 1,250 calls a second, saturated, calls of weight 1. The limiter's share is the CPU time
  inside its code (asking, queueing, answers with their headers, waking) of one core; the share of what the client
  took altogether, HTTP included, is beside it. What reading the clock costs is taken off both.

The last line is one JSON object; the exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from engine.limits.desk import LimitDesk
from engine.limits.rules import load

HERE = Path(__file__).resolve().parent
WINDOW_S = 6
LIMIT = 6_000
CONTENDERS = ("ours", "ccxt", "ccxt_window", "aiolimiter", "pyrate")
WORKERS = 60
SIZES = (2, 4, 5, 25)
PLAIN = {name: f"127.0.1.{at + 1}" for at, name in enumerate(CONTENDERS)}
SLOW = {name: f"127.0.2.{at + 1}" for at, name in enumerate(CONTENDERS)}
BARS = {
    "utilisation": 0.98,
    "refused": 0,
    "acquire_ns": 3_000,
    "calls_per_s": 1_200,
    "limiter_share_of_cpu": 0.10,
    "utilisation_of_rest": 0.90,
    "refused_pct": 0.1,
    "bans": 0,
}


class Venue:
    """The enforcing server in a child process."""

    def __init__(self, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "limits_server.py"), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the venue did not start"

    def record(self) -> dict[str, Any]:
        """What was served and refused, by address and window; bans by address."""
        with urllib.request.urlopen(f"{self.url}/record", timeout=10) as answer:
            return json.load(answer)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)


def client(**options: Any) -> subprocess.Popen[str]:
    """A contender, started."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "limits_client.py"), json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    )


def contest(venue: Venue, places: list[tuple[str, str]], windows: int) -> None:
    """Contenders at their addresses, all at once, for the window that each begins in and `windows` more."""
    seconds = WINDOW_S * (windows + 1) + 0.5
    running = [
        client(
            contender=name, address=address, url=venue.url, seconds=seconds, seed=7, workers=WORKERS,
            window_s=WINDOW_S, limit=LIMIT,
        )
        for name, address in places
    ]  # fmt: skip
    for process in running:
        statuses = json.loads(process.communicate(timeout=seconds + 30)[0])["statuses"]
        assert set(statuses) <= {"200", "429", "418", "403"}, statuses


def counted(rows: dict[str, dict[str, int]], windows: int) -> tuple[int, int]:
    """The windows that count: all after the one in which a contender's process was up and made its first call."""
    first = min(int(at) for at, row in rows.items() if row["served"] or refusals(row)) + 1
    return first, first + windows


def total(rows: dict[str, dict[str, int]], first: int, last: int) -> dict[str, int]:
    """The sum of some windows."""
    chosen = [row for at, row in rows.items() if first <= int(at) < last]
    return {key: sum(row[key] for row in chosen) for key in next(iter(rows.values()))}


def refusals(sums: dict[str, int]) -> int:
    """Answers that say too many."""
    return sums["429"] + sums["418"] + sums["403"]


def plain(rows: dict[str, dict[str, int]], bans: int, first: int, last: int) -> dict[str, float]:
    """Figures of one contender alone."""
    return {
        "utilisation": round(total(rows, first, last)["weight"] / (LIMIT * (last - first)), 4),
        "refused": refusals(total(rows, 0, last + 1)),
        "bans": bans,
    }


def beside(rows: dict[str, dict[str, int]], bans: int, first: int, last: int) -> dict[str, float]:
    """Figures of one contender with a neighbour."""
    sums, ever = total(rows, first, last), total(rows, 0, last + 1)
    neighbours = ever["foreign_refused"] * sum(SIZES) / len(SIZES)
    return {
        "utilisation_of_rest": round(sums["weight"] / (LIMIT * (last - first) - sums["foreign"]), 4),
        "refused_pct": round(100 * refusals(ever) / max(refusals(ever) + ever["served"], 1), 3),
        "bans": bans,
        "neighbour_refused_pct": round(100 * neighbours / max(neighbours + ever["foreign"], 1), 2),
    }


def acquire_ns(batches: int) -> float:
    """Of `await gate.acquire(...)` when everything fits; median of batches."""

    async def run() -> float:
        took = []
        for _ in range(batches):
            gate = LimitDesk(load()).gate("binance_spot")
            (await gate.acquire("GET /api/v3/time")).answered(200, {"X-MBX-USED-WEIGHT-1M": "1"})
            permits = []
            gc.collect()
            gc.disable()
            started = time.thread_time_ns()  # neighbours on a shared machine don't count
            for _ in range(500):
                permits.append(await gate.acquire("GET /api/v3/time"))  # noqa: PERF401  as a caller would
            took.append((time.thread_time_ns() - started) / 500)
            gc.enable()
            for permit in permits:
                permit.unsent()
        return median(took)

    return asyncio.run(run())


def sustained(seconds: int) -> dict[str, float]:
    """1,250 calls a second allowed, saturated."""
    venue = Venue(window_s=1, limit=1_250, raw_limit=10**8)
    said = client(
        contender="ours", address="127.0.0.1", url=venue.url, seconds=seconds, seed=7, workers=64,
        window_s=1, limit=1_250, light=True,
    ).communicate(timeout=seconds + 30)[0]  # fmt: skip
    venue.close()
    found = json.loads(said)
    return {
        "calls_per_s": round(found["statuses"].get("200", 0) / found["wall_s"]),
        "refused": sum(count for status, count in found["statuses"].items() if status != "200"),
        "limiter_share_of_cpu": round(found["limiter_s"] / found["wall_s"], 4),
        "limiter_share_of_client": round(found["limiter_s"] / found["cpu_s"], 4),
        "limiter_us_per_call": round(1e6 * found["limiter_s"] / max(sum(found["statuses"].values()), 1), 1),
        "cpu_s": round(found["cpu_s"], 2),
    }


def missed(figures: dict[str, Any]) -> list[str]:
    """The bars that are not reached."""
    own, beside_us = figures["ours"], figures["neighbour"]["ours"]
    found = [
        name
        for name, good in (
            ("utilisation", own["utilisation"] >= BARS["utilisation"]),
            ("refused", own["refused"] <= BARS["refused"]),
            ("acquire_ns", figures["acquire_ns"] <= BARS["acquire_ns"]),
            ("calls_per_s", figures["sustained"]["calls_per_s"] >= BARS["calls_per_s"]),
            ("sustained refused", figures["sustained"]["refused"] == 0),
            ("share", figures["sustained"]["limiter_share_of_cpu"] < BARS["limiter_share_of_cpu"]),
            ("utilisation_of_rest", beside_us["utilisation_of_rest"] >= BARS["utilisation_of_rest"]),
            ("refused_pct", beside_us["refused_pct"] <= BARS["refused_pct"]),
            ("bans", beside_us["bans"] <= BARS["bans"]),
        )
        if not good
    ]
    for name in CONTENDERS[1:]:
        rival = figures[name]
        if rival["utilisation"] > own["utilisation"] and rival["refused"] < own["refused"]:
            found.append(f"{name} is better on both")
    return found


def main() -> int:
    """Print the figures; 1 when a bar is missed."""
    quick = "--quick" in sys.argv[1:]
    windows = 3 if quick else 8
    figures: dict[str, Any] = {"acquire_ns": round(acquire_ns(10 if quick else 60))}
    print(f"acquire: {figures['acquire_ns']} ns", flush=True)
    venue = Venue(
        window_s=WINDOW_S,
        limit=LIMIT,
        slow=list(SLOW.values()),
        jitter_ms=200,
        neighbour=1 / 3,
        sizes=SIZES,
        seed=3,
    )
    try:
        if quick:  # both scenarios at once
            contest(venue, [*PLAIN.items(), *SLOW.items()], windows)
        else:
            for places in (PLAIN, SLOW):
                contest(venue, [*places.items()], windows)
        record = venue.record()
    finally:
        venue.close()
    for name, address in PLAIN.items():
        rows, bans = record["windows"][address], record["bans"][address]
        figures[name] = plain(rows, bans, *counted(rows, windows))
        print(f"{name}: {figures[name]}", flush=True)
    figures["neighbour"] = {}
    for name, address in SLOW.items():
        rows, bans = record["windows"][address], record["bans"][address]
        figures["neighbour"][name] = beside(rows, bans, *counted(rows, windows))
        print(f"{name} beside a neighbour: {figures['neighbour'][name]}", flush=True)
    figures["sustained"] = sustained(3 if quick else 15)
    print(f"sustained: {figures['sustained']}", flush=True)
    figures["missed"] = missed(figures)
    figures["conditions"] = {
        "window_s": WINDOW_S,
        "windows": windows,
        "jitter_ms_each_way": 200,
        "python": platform.python_version(),
        **{
            package: version(package)
            for package in ("aiohttp", "ccxt", "aiolimiter", "pyrate-limiter", "uvloop")
        },
    }
    print(json.dumps(figures))
    return 1 if figures["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
