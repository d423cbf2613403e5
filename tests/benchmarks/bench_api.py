"""The market-data API beside what is usual: pull beside a bare aiohttp handler, push beside a FastAPI broadcaster.

Run: uv run python tests/benchmarks/bench_api.py [--quick]

Servers are children on one core, the load is this process on the other (picows, raw sockets; uvloop), the same for each
side. All take turns within a run, and medians of the turns' ratios are compared. `api_served.py` is the API over a
small market that moves twenty times a second; it moves on while the bare handler is measured (1 % of the core).

get_tick    `GET /v1/tick/{symbol}` by 16 keep-alive connections, each asking again once it is answered, beside a bare
            handler (`web.Application`, `add_get`) that answers the same bytes. Every answer is checked for its status
            and how it begins, the last of each connection is read. vs_bare_cpu compares the servers' processor time for
            each answer, which other programs on the machine disturb less than they do the rates.
push        500 listeners that follow ticks and candles. msgs_per_s: what reaches them of as many symbols as come
            through best (the numbers tried and what came are in `offered`; a listener that is behind is spared old
            ticks, so these are messages that came, not that were due). Beside it a broadcaster by FastAPI on uvicorn,
            with `json.dumps` and `send_text` for each listener in an `asyncio.gather`, which sends the API's own
            messages, ten ticks to a candle, without a pause. p50_ms, p99_ms: from a one-second candle's `ts_ms`, when
            it was made (whole ms), until a listener has it, while each listener also gets 20 ticks a second; both
            clocks are this machine's. usual_p99_ms is the broadcaster's with candles alone.
limited_ok  an address that asks beyond its limit gets 429 with Retry-After, one beside it is served throughout, and the
            first is served again after that time.

What is left out: TLS, compression, networks. The last line is one JSON object; the exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil
import uvloop

from tests.benchmarks.api_clients import Listeners, Pulled, ask, pull

HERE = Path(__file__).resolve().parent
CONNECTIONS, LISTENERS = 16, 500
UNLIMITED, LIMITED = 1_000_000, 50
SYMBOL, PATH = "B00-USDT", "/v1/tick/B00-USDT"
OFFERED = {False: (4, 12, 24, 48), True: (12, 48)}  # symbols that move
DUE = 20 + 2  # messages a second of each: ticks and candles
TICKS_TO_A_CANDLE = 10
PULL_S, PULL_ROUNDS = {False: 3.0, True: 0.8}, {False: 7, True: 3}
PUSH_S, PUSH_ROUNDS = {False: 4.0, True: 1.2}, {False: 5, True: 2}
CANDLES_S, USUAL_CANDLES_S = {False: 30.0, True: 6.0}, {False: 8.0, True: 3.0}
SETTLE_S = 0.5
QUICK_BY_S = 36.0  # later than this a quick run takes no further turn
ADDRESSES = "127.0.0.2", "127.0.0.3"  # who asks too much, and a neighbour
BARS = {"vs_bare_aiohttp": 0.6, "vs_fastapi_json_gather": 3.0, "p99_ms": 50.0}
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
STARTED = time.monotonic()


def note(text: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


class Child:
    """A server in a process of its own, on the servers' core."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if len(CORES) > 1:
            os.sched_setaffinity(self._process.pid, CORES[:1])
        self._cpu = psutil.Process(self._process.pid)
        self.port = 0

    async def started(self) -> None:
        """It serves."""
        self.port = int(await self.told() or 0)
        if not self.port:
            raise SystemExit(f"{self._process.args} did not start")

    async def told(self) -> str:
        """The next line it prints."""
        assert self._process.stdout is not None
        return (await asyncio.to_thread(self._process.stdout.readline)).strip()

    def order(self, **what: Any) -> None:
        """Tell it what to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(what)}\n")
        self._process.stdin.flush()

    async def move(self, symbols: int) -> None:
        """So many symbols move from now on."""
        self.order(symbols=symbols)
        assert await self.told() == "ok"

    @property
    def cpu_s(self) -> float:
        """Its processor time so far."""
        return float(sum(self._cpu.cpu_times()[:2]))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# --- pull ----------------------------------------------------------------------------------------------------


async def pulled(child: Child, seconds: float, begins: bytes) -> tuple[Pulled, float]:
    """One turn, checked, and the server's processor time for each answer in us."""
    spent = child.cpu_s
    found = await pull(child.port, PATH, CONNECTIONS, seconds, begins)
    cpu_us = (child.cpu_s - spent) / found.answered * 1e6
    assert not found.strange, f"{len(found.strange)} answers are not as they should be: {found.strange[0]!r}"
    for body in found.bodies:
        tick = json.loads(body)
        assert tick["symbol"] == SYMBOL, tick
        assert float(tick["bid"]) < float(tick["ask"]), tick
    return found, cpu_us


async def measure_pull(ours: Child, bare: Child, quick: bool) -> dict[str, Any]:
    """Answers a second of both, in turns."""
    (body,) = (await pull(ours.port, PATH, 1, 0.05, b"{")).bodies
    begins = body[: body.index(b'"sequence"')]
    bare.order(body=body.decode())
    assert await bare.told() == "ok"
    turns: dict[str, list[tuple[Pulled, float]]] = {"bare": [], "ours": []}
    sides = [("bare", bare), ("ours", ours)]
    for _, child in sides:
        await pulled(child, PULL_S[True], begins)
    for at in range(PULL_ROUNDS[quick]):
        for name, child in sides if at % 2 else reversed(sides):
            turns[name].append(await pulled(child, PULL_S[quick], begins))
        note(f"pull: bare {turns['bare'][-1][0].rps:,.0f}/s, ours {turns['ours'][-1][0].rps:,.0f}/s")
    pairs = zip(turns["ours"], turns["bare"], strict=True)
    return {
        "rps": round(median(each.rps for each, _ in turns["ours"])),
        "vs_bare_aiohttp": round(median(a.rps / b.rps for (a, _), (b, _) in pairs), 3),
        "bare_rps": round(median(each.rps for each, _ in turns["bare"])),
        "cpu_us": round(median(cpu for _, cpu in turns["ours"]), 1),
        "bare_cpu_us": round(median(cpu for _, cpu in turns["bare"]), 1),
        "vs_bare_cpu": round(
            median(b / a for (_, a), (_, b) in zip(turns["ours"], turns["bare"], strict=True)), 3
        ),
        "client_cpu": round(max(each.cpu for side in turns.values() for each, _ in side), 2),
        "bytes": len(body),
    }


# --- push ----------------------------------------------------------------------------------------------------


def followed(symbols: int) -> list[dict[str, Any]]:
    """Subscriptions to ticks and candles of so many symbols."""
    return [
        {"op": "subscribe", "channel": channel, "symbol": f"B{at:02}-USDT"}
        for at in range(symbols)
        for channel in ("ticks", "candles")
    ]


def messages_of(kept: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What the broadcaster sends: ticks and a candle as the API itself said them."""
    said = [each for one in kept for each in one]
    ticks = [each for each in said if each["type"] == "tick"]
    candle = next(each for each in said if each["type"] == "candle")
    assert ticks, "no ticks came"
    return [*(ticks[at % len(ticks)] for at in range(TICKS_TO_A_CANDLE)), candle]


def check(kept: list[list[dict[str, Any]]]) -> int:
    """How many final candles were seen: each second's once, in order, by all who were looked at."""
    seen = 0
    for one in kept:
        finals = [
            each["candle"]["ts_ms"] for each in one if each["type"] == "candle" and each["candle"]["final"]
        ]
        assert finals == list(range(finals[0], finals[-1] + 1, 1_000)), finals
        ticks = [each["seq"] for each in one if each["type"] == "tick"]
        assert ticks == sorted(set(ticks)), "ticks came twice or in disorder"
        seen += len(finals)
    return seen


async def measure_push(ours: Child, usual: Child, quick: bool) -> dict[str, Any]:
    """Messages a second of both, in turns; how late candles are."""
    sides = {
        "ours": Listeners(f"ws://127.0.0.1:{ours.port}/v1/ws?format=json", LISTENERS),
        "usual": Listeners(f"ws://127.0.0.1:{usual.port}/v1/ws", LISTENERS),
    }
    for each in sides.values():
        await each.connect()
    note(f"{LISTENERS} listeners at each")
    gc.freeze()
    try:
        late, messages = await candles_of_ours(ours, sides["ours"], quick)
        note(f"candles: {late}")
        usual.order(messages=messages[-1:], every_s=1.0, seconds=USUAL_CANDLES_S[quick])
        usual_late = await sides["usual"].time_candles(USUAL_CANDLES_S[quick] + SETTLE_S)
        assert json.loads(await usual.told())["listeners"] == LISTENERS
        note(f"candles of the usual one: {usual_late}")
        flow = await measure_flow(ours, usual, sides, messages, quick)
    finally:
        for each in sides.values():
            each.close()
    rates = flow.pop("rates")
    return {
        "listeners": LISTENERS,
        "msgs_per_s": round(median(ours_rate for ours_rate, _ in rates)),
        **late,
        "vs_fastapi_json_gather": round(median(a / b for a, b in rates), 2),
        "fastapi_msgs_per_s": round(median(b for _, b in rates)),
        "usual_p50_ms": usual_late["p50_ms"],
        "usual_p99_ms": usual_late["p99_ms"],
        **flow,
    }


async def candles_of_ours(
    ours: Child, listeners: Listeners, quick: bool
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """How late candles come while 20 ticks a second do, and messages for the broadcaster."""
    await ours.move(1)
    listeners.say(followed(1))
    await asyncio.sleep(2.0)
    listeners.keep()
    late = await listeners.time_candles(CANDLES_S[quick])
    kept = listeners.kept()
    finals = check(kept)
    assert finals >= len(kept) * (CANDLES_S[quick] - 2), "final candles are missing"
    return late, messages_of(kept)


async def measure_flow(
    ours: Child, usual: Child, sides: dict[str, Listeners], messages: list[dict[str, Any]], quick: bool
) -> dict[str, Any]:
    """Messages a second, in turns, of ours with the number of symbols that comes through best."""
    seconds, offered = PUSH_S[quick], {}
    listeners = sides["ours"]
    busy: list[float] = []

    async def turn_of_ours(symbols: int) -> float:
        await ours.move(symbols)
        await asyncio.sleep(SETTLE_S)
        rate, cpu = await listeners.count_for(seconds)
        await ours.move(0)
        await asyncio.sleep(SETTLE_S)
        busy.append(cpu)
        return rate

    async def turn_of_usual() -> float:
        usual.order(messages=messages, seconds=seconds + SETTLE_S)
        await asyncio.sleep(SETTLE_S / 2)
        rate, cpu = await sides["usual"].count_for(seconds)
        assert json.loads(await usual.told())["listeners"] == LISTENERS
        busy.append(cpu)
        return rate

    subscribed = 1
    for symbols in OFFERED[quick]:
        listeners.say(followed(symbols)[2 * subscribed :])
        subscribed = symbols
        offered[symbols] = round(await turn_of_ours(symbols))
        note(f"push: {symbols} symbols, {offered[symbols]:,}/s came, this process {busy[-1]:.0%} of a core")
        if offered[symbols] < 0.8 * DUE * symbols * LISTENERS:
            break  # more would have listeners cut off for being slow
    assert not listeners.cut, Counter(listeners.cut)
    best = max(offered, key=lambda each: offered[each])
    rates = []
    for _ in range(PUSH_ROUNDS[quick]):
        theirs = await turn_of_usual()
        rates.append((await turn_of_ours(best), theirs))
        note(f"push: ours {rates[-1][0]:,.0f}/s, usual {theirs:,.0f}/s")
        if quick and time.monotonic() - STARTED > QUICK_BY_S:
            break
    assert not listeners.cut, Counter(listeners.cut)
    assert not sides["usual"].cut, Counter(sides["usual"].cut)
    return {"rates": rates, "symbols": best, "offered": offered, "client_cpu": round(max(busy), 2)}


# --- limits --------------------------------------------------------------------------------------------------


async def measure_limits(child: Child) -> bool:
    """Whether who asks too much is told so, and nobody else suffers."""
    greedy, neighbour = await asyncio.gather(
        ask(child.port, PATH, ADDRESSES[0], LIMITED * 6),
        ask(child.port, PATH, ADDRESSES[1], LIMITED // 2, pause_s=0.02),
    )
    statuses = Counter(status for status, _ in greedy)
    waits = [float(headers.get("retry-after", "0")) for status, headers in greedy if status == 429]
    beside = Counter(status for status, _ in neighbour)
    note(f"limits: {dict(statuses)}, Retry-After {waits[:1]}, beside it {dict(beside)}")
    await asyncio.sleep(math.ceil(max(waits, default=0.0)))
    ((after, _),) = await ask(child.port, PATH, ADDRESSES[0], 1)
    return set(statuses) == {200, 429} and min(waits) > 0 and set(beside) == {200} and after == 200


# --- all -----------------------------------------------------------------------------------------------------


async def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run."""
    ours, bare = Child("api_served.py", str(UNLIMITED)), Child("api_rivals.py", "bare")
    usual, limited = Child("api_rivals.py", "fastapi"), Child("api_served.py", str(LIMITED))
    children = ours, bare, usual, limited
    try:
        for each in children:
            await each.started()
        note("all serve")
        limited_ok = await measure_limits(limited)
        limited.close()
        found: dict[str, Any] = {
            "get_tick": await measure_pull(ours, bare, quick),
            "push": await measure_push(ours, usual, quick),
            "limited_ok": limited_ok,
        }
    finally:
        for each in children:
            each.close()
    return {
        **found,
        "seconds": round(time.monotonic() - STARTED, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{
            each: version(each)
            for each in ("aiohttp", "fastapi", "uvicorn", "websockets", "picows", "uvloop")
        },
    }


def missed(found: dict[str, Any]) -> list[str]:
    """The bars that are not met."""
    figures = found["get_tick"] | found["push"]
    less = [name for name in ("vs_bare_aiohttp", "vs_fastapi_json_gather") if figures[name] < BARS[name]]
    return [
        *less,
        *(["p99_ms"] if figures["p99_ms"] > BARS["p99_ms"] else []),
        *([] if found["limited_ok"] else ["limited_ok"]),
    ]


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="end within 45 s")
    chosen = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4_096)), hard))
    if len(CORES) > 1:
        os.sched_setaffinity(0, CORES[1:2])
    gc.disable()  # what is measured is the servers' pauses, not this process's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(chosen.quick))
    for name, value in found.items():
        print(f"{name:>12}  {value}")
    below = missed(found)
    if below:
        print(f"below the bar: {', '.join(below)}")
    print(json.dumps(found))
    raise SystemExit(bool(below))


if __name__ == "__main__":
    main()
