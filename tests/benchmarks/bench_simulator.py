"""Orders a second the simulator makes and matches flat out, in one thread.

    uv run python tests/benchmarks/bench_simulator.py [--quick]

In the timed path: order flow and matching in chunks of 64, events, changed levels. Not in it: market-data
batches. "With dashboard": the same process runs the whole application (its own simulator at the default rate)
and headless Chromium has the Overview page open at 4 Hz; it must go on painting while it is measured.
The answer is checked first: on a prefix of the same stream the compiled book's events and its final state
must be those of the plain Python book, and the books of two runs with the same seed must hash alike. Then
the machine is timed in short rounds: alone, with the dashboard open, alone again; the median round of each
counts, so that a neighbour's load does not decide. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app
from engine import kernels, settings

CHOSEN = settings.load()
kernels.activate(CHOSEN.cache_dir / "numba", app.KERNEL_MODULES)

from dashboards import server
from engine.flow import kernel as flow_kernel
from engine.flow.simulator import Simulator
from engine.market.batches import Rows
from engine.matching import kernel as matching_kernel
from engine.matching.engine import MatchingEngine
from engine.matching.orders import COMMAND, DEPOSIT, LIMIT, as_rows
from tests.benchmarks.served import free_port
from tests.browser.chromium import browser
from tests.reference.matching_plain import PlainEngine

SEED = 20_240_927
RATE = 1_000_000.0
ORDERS = 49_152  # per call: some 5 ms, so that taking the interpreter's lock back is a small part of it
PREFIX = 60_000


class FlatOut:
    """A simulator asked for the next orders as soon as it has matched the last ones."""

    def __init__(self) -> None:
        self.simulator = Simulator(SEED, RATE, orders_per_turn=ORDERS)
        self._start_ns = 1_700_000_000 * 1_000_000_000
        self._arrivals = np.linspace(0.0, float(ORDERS), flow_kernel.SLOTS + 1)
        self._slot_ns = int(ORDERS / RATE * 1e9) // flow_kernel.SLOTS

    def run(self) -> int:
        """Orders matched by one call of the kernel."""
        simulator = self.simulator
        simulator.engine.begin()
        taken = simulator._advance(0, ORDERS, self._start_ns, self._slot_ns, self._arrivals, 0)
        self._start_ns += self._slot_ns * flow_kernel.SLOTS
        return taken


def paid_in(engine: MatchingEngine) -> Rows:
    """Commands that give each account what it has, reserves included."""
    balances = [
        (account, asset, sum(engine.balance(account, asset)))
        for account in range(engine.accounts)
        for asset in range(len(engine.assets))
    ]
    rows = np.zeros(len(balances), COMMAND)
    rows["kind"] = DEPOSIT
    rows["account"], rows["symbol"], rows["lots"] = zip(*balances, strict=True)
    return rows[rows["lots"] > 0]


def open_orders(engine: MatchingEngine) -> Rows:
    """Commands that place the orders that rest, in the order in which they joined their levels."""
    parts = []
    for at, (_, *_, resting, _) in enumerate(engine.picture()["symbols"]):
        rows = np.zeros(len(resting), COMMAND)
        rows["kind"], rows["symbol"] = LIMIT, at
        for name, column in (("side", 0), ("price_ticks", 1), ("order_id", 2), ("account", 3), ("lots", 5)):
            rows[name] = [order[column] for order in resting]
        parts.append(rows)
    return np.concatenate(parts)


def check() -> None:
    """Raise unless the compiled book does to a prefix of the stream what the plain one does."""
    flat = FlatOut()
    engine = flat.simulator.engine
    plain = PlainEngine(engine.books, engine.accounts, engine.orders_per_symbol)
    setup = np.concatenate([paid_in(engine), open_orders(engine)])
    plain.submit(setup)  # the twin starts from the filled books
    first, before = engine.commands_taken, len(setup)
    matched = 0
    while matched < PREFIX:
        taken = flat.run()
        rows = plain.submit(as_rows(flat.simulator.commands[:taken], COMMAND)).rows
        rows["sequence"] += first - before
        mine = engine.event_rows().copy()
        for each in (rows, mine):
            each["trade_id"] = 0  # those of the filling are missing
        if mine.tolist() != rows.tolist():
            raise AssertionError("the compiled and the plain book gave different events")
        matched += taken
    for ours, theirs in zip(engine.picture()["symbols"], plain.picture()["symbols"], strict=True):
        if [order[:-1] for order in ours[6]] != [order[:-1] for order in theirs[6]]:
            raise AssertionError(f"the compiled and the plain book of {ours[0]} differ")
    again = FlatOut()
    while again.simulator._numbers[-1, flow_kernel.N_ID] < flat.simulator._numbers[-1, flow_kernel.N_ID]:
        again.run()
    if again.simulator.engine.state_hash() != engine.state_hash():
        raise AssertionError("the same seed gave two markets")


def rate(flat: FlatOut, seconds: float) -> float:
    """Orders a second over at least `seconds`."""
    matched = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        matched += flat.run()
    return matched / elapsed


@contextmanager
def dashboard_open() -> Iterator[None]:
    """The application in this process, and its Overview page open in headless Chromium, painting."""
    port = free_port()
    application = app.build(CHOSEN)
    application.engine.start()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()
    sock = server.listen("127.0.0.1", port)
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(application.wsgi, sock, stop))
    )
    thread.start()
    try:
        with browser(1440, 900) as driver:
            driver.get(f"http://127.0.0.1:{port}/?hz=4")
            while not driver.execute_script("return window.venuescope ? window.venuescope.painted : 0") > 8:
                time.sleep(0.1)
            before, since = driver.execute_script("return window.venuescope.painted"), time.monotonic()
            yield
            painted = driver.execute_script("return window.venuescope.painted") - before
            hertz = painted / (time.monotonic() - since)
            print(f"the page painted {hertz:.1f} times a second meanwhile")
            if hertz < 1:
                raise SystemExit("the page stood still while the simulator was measured")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        application.engine.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    quick = parser.parse_args().quick
    rounds, seconds = (7, 0.3) if quick else (15, 1.0)

    matching_kernel.warm_up()
    flow_kernel.warm_up()
    check()
    print(f"checked: {PREFIX:,} orders give the same events and books as the plain engine")

    flat = FlatOut()
    rate(flat, 0.3)
    alone = [rate(flat, seconds) for _ in range(rounds)]
    with dashboard_open():
        beside = [rate(flat, seconds) for _ in range(rounds)]
    alone += [rate(flat, seconds) for _ in range(rounds)]
    figures: dict[str, float] = {}
    for name, measured in (("orders_per_s_alone", alone), ("orders_per_s_with_dashboard", beside)):
        figures[name] = round(statistics.median(measured))
        print(
            f"{name}: median {figures[name]:,} of {len(measured)} rounds of {seconds} s, "
            f"{min(measured):,.0f} to {max(measured):,.0f}"
        )
    figures["ratio"] = round(figures["orders_per_s_with_dashboard"] / figures["orders_per_s_alone"], 3)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"Python {platform.python_version()}, numba {version('numba')}, numpy {version('numpy')}, "
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f}"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
