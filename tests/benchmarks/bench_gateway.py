"""What the exchange's order entry carries, from another process: beside bare servers, and on a schedule.

The load is this process (uvloop, picows): one order a frame, nothing batched, latency from when an order was due.
Orders are limit IOC at the best prices, one in four of them at the other side's, where it trades if it is in time. The
application runs as a user starts it, with its simulator at the default 5,000 orders/s. Load and server share the
machine's cores.

`echo`: 500 clients, each sending its next order at the answer to the last, against the fastest of three bare servers
(websockets, aiohttp, picows) that answer a frame of the size of the exchange's answer; the same client code, the same
frames. Echo and exchange take turns, and medians are compared. `busy`: the exchange again, with its simulator at
50,000 orders/s and a browser on the Overview page, over the echo before and after it. `open`: a schedule. `knee`: the
highest offered rate whose p99 is at most 50 ms with nothing lost, by doubling and bisection. `cancel_place`: 200
clients place an order, cancel it, and so on; `pairs_500` the same with 500, its requests counted like orders.

`echo_cpu_us` and `order_cpu_us` are the servers' processor time for each order (the exchange's with its simulator and
all else it does), which other programs on the machine disturb less than they do the rates.

Every answer must come to who asked, once. Of some clients the last order is looked up and compared with its answer, and
orders left in the book must be open there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec
import psutil
import uvloop

from engine.bots import keys
from engine.bots.client import NativeClient
from engine.load import frames
from engine.load.clients import Load, Result
from engine.load.stress import Gateway
from tests.benchmarks.gateway_processes import Exchange, application, echo, overview, until_served

CLIENTS, PAIR_CLIENTS = 500, 200
SERVERS = ("websockets", "aiohttp", "picows")
RATE, BUSY_RATE = 5_000, 50_000
OPEN_RATES = (6_000, 20_000)
WARM_S = {False: 0.7, True: 0.3}
CLOSED_S, ROUNDS = {False: 3.0, True: 1.0}, {False: 5, True: 3}
OPEN_S = {False: 10.0, True: 2.0}
PAIR_S = {False: 6.0, True: 1.5}
HISTORY_S = {False: 900, True: 60}
BUSY_WARM_S = {False: 10.0, True: 1.0}
QUICK_BUSY_BY_S = 27.0  # later than this a quick run leaves `busy` out
KNEE_FROM, KNEE_MAX, KNEE_S, KNEE_P99_MS, KNEE_STEPS = 10_000, 100_000, 3.0, 50.0, 3
TRIAL_S = 0.6
LOOKED_UP = 20
STARTED = time.monotonic()


def sound(result: Result, what: str) -> Result:
    """The result, when every order was sent, and answered once to who asked."""
    if not result.sound or result.refused:
        raise SystemExit(
            f"{what}: lost {result.lost}, not sent {result.unsent}, strange {result.strange}, "
            f"rejected {frames.described(result.refused, result.sentences) or 0}"
        )
    return result


def latencies(result: Result) -> dict[str, float]:
    """The figures of a run on a schedule."""
    waits = result.latencies
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
    return {
        "avg_ms": round(waits.mean_ms, 2),
        **{name: round(waits.percentile_ms(share), 2) for name, share in shares.items()},
        "max_ms": round(waits.greatest_ms, 2),
        "achieved_rps": round(result.rate),
        "rejected": sum(result.refused.values()),
        "lost": result.lost + result.unsent,
    }


class Turn(NamedTuple):
    """One closed run."""

    rate: float
    cpu_us: float  # of the server's processor time for each order, whatever else it does included
    client_cpu: float  # of this process, in cores


async def closed(load: Load, pid: int, quick: bool, what: str) -> Turn:
    """One closed run against the server of that process id, warm."""
    await load.closed(WARM_S[quick])
    server = psutil.Process(pid)
    before = sum(server.cpu_times()[:2])
    result = sound(await load.closed(CLOSED_S[quick]), what)
    spent = sum(server.cpu_times()[:2]) - before
    return Turn(result.rate, spent / result.answered * 1e6, result.cpu)


def note(text: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


async def echo_servers(size: int, orders: frames.Orders) -> dict[str, int]:
    """Round trips a second of each bare server: the best of two runs, in turns, since a machine is rarely idle."""
    found: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        loads = {name: await stack.enter_async_context(echo(name, size, orders, CLIENTS)) for name in SERVERS}
        for name in (*SERVERS, *SERVERS):
            result = sound(await loads[name][0].closed(TRIAL_S), f"echo {name}")
            found[name] = max(found.get(name, 0), round(result.rate))
            note(f"echo {name}: {result.rate:,.0f}/s, this process {result.cpu:.0%} of a core")
    return found


async def look_up(exchange: Exchange, load: Load, accounts: Sequence[keys.Key], count: int) -> None:
    """The last order of some clients, as the exchange knows it, is what it answered."""
    at = keys.address(exchange.url)
    for client in load.clients[:: max(1, len(load.clients) // count)][:count]:
        account = accounts[client.at]
        said = msgspec.json.decode(client.last)
        async with NativeClient(at.socket(), account.api_key, account.secret) as asking:
            answer = await asking.request("orders", order_id=int(said["order_id"]))
        assert answer.ok, answer.error
        (order,) = answer.orders
        assert order.status == said["status"], (order, said)
        assert float(order.filled) == float(said["filled"]), (order, said)


async def look_up_resting(exchange: Exchange, result: Result, accounts: Sequence[keys.Key]) -> None:
    """What was left in the book is open there, and the only order of its account."""
    assert result.resting, "no client left an order"
    at = keys.address(exchange.url)
    for client, order_id in result.resting:
        account = accounts[client]
        async with NativeClient(at.socket(), account.api_key, account.secret) as asking:
            answer = await asking.request("orders")
            assert [each.order_id for each in answer.orders] == [int(order_id)], (answer, order_id)
            assert (await asking.cancel(int(order_id))).ok


async def knee(load: Load) -> int:
    """The highest rate offered with a p99 of at most 50 ms and nothing lost; 0 when there is none."""

    async def holds(rate: int) -> bool:
        result = await load.open(rate, KNEE_S)
        p99 = result.latencies.percentile_ms(0.99)
        note(f"offered {rate:,}/s: p99 {p99:.1f} ms, achieved {result.rate:,.0f}/s")
        await asyncio.sleep(0.5)
        return result.sound and not result.refused and p99 <= KNEE_P99_MS

    good, bad, rate = 0, 0, KNEE_FROM
    while not bad and rate <= KNEE_MAX:
        if await holds(rate):
            good, rate = rate, rate * 2
        else:
            bad = rate
    if not bad:
        bad = KNEE_MAX
    for _ in range(KNEE_STEPS):
        if bad - good < 1_000:
            break
        middle = (good + bad) // 2
        good, bad = (middle, bad) if await holds(middle) else (good, middle)
    return good


async def calm(quick: bool) -> tuple[dict[str, Any], frames.Orders]:
    """Everything but `busy`, and the orders that were sent last."""
    found: dict[str, Any] = {}
    with application(RATE, HISTORY_S[quick]) as exchange:
        await until_served(exchange)
        note("the application serves")
        gateway = Gateway(exchange.url, order_port=exchange.order_port)
        load = await gateway.load(CLIENTS)
        gc.freeze()
        try:
            await load.closed(CLOSED_S[True])
            size = round(median(len(each.last) for each in load.clients))
            servers = await echo_servers(size, load.orders)
            name = max(servers, key=lambda each: servers[each])
            ours, theirs, pairs = [], [], []
            async with echo(name, size, load.orders, CLIENTS) as (bare, pid):
                for _ in range(ROUNDS[quick]):
                    if not quick:
                        run = sound(await load.place_and_cancel(CLOSED_S[quick], sample=0), "pairs")
                        pairs.append(run.rate)
                    theirs.append(await closed(bare, pid, quick, "echo"))
                    ours.append(await closed(load, exchange.pid, quick, "exchange"))
                    note(f"echo {theirs[-1].rate:,.0f}/s, exchange {ours[-1].rate:,.0f}/s")
            await look_up(exchange, load, gateway.keys, LOOKED_UP)
            found |= {
                "echo_rps": round(median(each.rate for each in theirs)),
                "echo_server": name,
                "closed_500_rps": round(median(each.rate for each in ours)),
                "echo_cpu_us": round(median(each.cpu_us for each in theirs), 1),
                "order_cpu_us": round(median(each.cpu_us for each in ours), 1),
                "open": {},
            }
            found["vs_echo"] = round(found["closed_500_rps"] / found["echo_rps"], 3)
            found["pairs_500_rps"] = round(median(pairs)) if pairs else None
            for rate in OPEN_RATES:
                await asyncio.sleep(0.5)
                run = await load.open(rate, OPEN_S[quick])  # what is lost is told, not the end
                assert not run.strange, run.strange
                found["open"][str(rate)] = latencies(run)
                note(f"open {rate:,}/s: {found['open'][str(rate)]}")
            found["knee_rps"] = None if quick else await knee(load)
        finally:
            await gateway.close()
        found["cancel_place_200"] = await place_and_cancel(exchange, PAIR_S[quick])
        found |= {
            "echo_servers": servers,
            "ack_bytes": size,
            "order_bytes": len(load.orders.near[0].numbered(frames.FIRST_ID)),
            "client_cpu": round(median(each.client_cpu for each in ours), 2),
        }
    return found, load.orders


async def place_and_cancel(exchange: Exchange, seconds: float) -> dict[str, Any]:
    """200 clients place an order, cancel it, and so on."""
    gateway = Gateway(exchange.url, order_port=exchange.order_port)
    load = await gateway.load(PAIR_CLIENTS, account="pairs")
    try:
        await load.place_and_cancel(WARM_S[True], sample=0)
        result = sound(await load.place_and_cancel(seconds), "place and cancel")
    finally:
        await gateway.close()
    await look_up_resting(exchange, result, gateway.keys)
    return {
        "acked": result.acked,
        "lost": result.lost,
        "rps": round(result.rate),
        "p50_ms": round(result.latencies.percentile_ms(0.5), 2),
        "p99_ms": round(result.latencies.percentile_ms(0.99), 2),
    }


async def busy(quick: bool, name: str, size: int, orders: frames.Orders) -> dict[str, Any]:
    """The exchange with its simulator at 50,000 orders/s and a browser on the Overview page; the echo around it."""
    rates, echoes = [], []
    async with echo(name, size, orders, CLIENTS) as (bare, pid):
        echoes.append((await closed(bare, pid, quick, "echo")).rate)
        with application(BUSY_RATE, HISTORY_S[quick]) as exchange:
            await until_served(exchange)
            async with overview(exchange):
                gateway = Gateway(exchange.url, order_port=exchange.order_port)
                load = await gateway.load(CLIENTS)
                try:
                    await asyncio.sleep(BUSY_WARM_S[quick])
                    for _ in range(1 if quick else ROUNDS[quick]):
                        rates.append((await closed(load, exchange.pid, quick, "busy")).rate)
                        note(f"busy: {rates[-1]:,.0f}/s")
                    await look_up(exchange, load, gateway.keys, LOOKED_UP)
                finally:
                    await gateway.close()
        echoes.append((await closed(bare, pid, quick, "echo")).rate)
    return {
        "busy_rps": round(median(rates)),
        "busy_echo_rps": round(median(echoes)),
        "busy_vs_echo": round(median(rates) / median(echoes), 3),
    }


async def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run."""
    found, orders = await calm(quick)
    found |= {"busy_rps": None, "busy_echo_rps": None, "busy_vs_echo": None}
    if not quick or time.monotonic() - STARTED < QUICK_BUSY_BY_S:
        found |= await busy(quick, found["echo_server"], found["ack_bytes"], orders)
    return found | {
        "seconds": round(time.monotonic() - STARTED, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{each: version(each) for each in ("aiohttp", "picows", "uvloop", "websockets")},
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="end within 45 s: no knee, and busy only if there is time"
    )
    chosen = parser.parse_args()
    gc.disable()  # what is measured is the server's pauses, not this process's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(chosen.quick))
    for name, value in found.items():
        print(f"{name:>18}  {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
