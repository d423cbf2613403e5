"""Messages a second through the matching engine on the public benchmark, and its latency at a million a second.

    uv run python tests/benchmarks/bench_matching.py [--quick] [--nightly]

The workload is that of `tests/reference/public_workload.py`: five scenarios of 1,996,097 messages in one book, with a
published hash of what an engine must report. The reports of each timed run in batches are written and hashed; runs on
a prefix are compared event by event. Timed is all from the first message until the last event row has been copied out
of the engine into one array set aside before; making the workload and the report text is not. One thread's CPU
seconds count; for two threads and latency it is the clock on the wall. Runs are interleaved, medians shown.

- batch: 256 messages a call, accounting off. risk: the same with 1,000 accounts, as SPOT and as LINEAR: deposits,
  reserves, fees, price bands, limits on open orders and positions, self-trade prevention.
- single: one call for each message, on a prefix.
- vs_plain: batches with risk against `matching_plain.PlainEngine`, the same accounting and answer, on a prefix.
- vs_best_peer: batches against the fastest of three books from PyPI, on a prefix; they neither check risk nor ack.
- latency_at_1m: one message is due each microsecond; whatever is due (at most 256) goes into one call, and a message's
  latency ends when its events are copied, so waiting counts. Scenario normal, the garbage collector off.
- two_threads: two engines in two threads against one in one.
- entry_overhead_ns: a call of `OrderEntry` less `run` of a row that is there, its events copied; placing and canceling.
- wide, long: `wide_flow`, at prices of 1 and of 10 million ticks; 100 million orders through one book (--quick 2
  million, --nightly a billion).
- replay: stopped at half, restored from its snapshot, the rest gives the same events and state.

No command log is written ("command_log": "off"). The last line is one JSON object; 1 is returned when a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import app
from engine import kernels, settings

CACHE = kernels.activate(settings.load().cache_dir / "numba", app.KERNEL_MODULES)

from engine.market.batches import BUY, Rows
from engine.matching import layout
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.entry import OrderEntry
from engine.matching.layout import Words
from engine.matching.orders import (
    CANCEL,
    COMMAND,
    EVENT,
    EXPIRE_BOTH,
    LIMIT,
    LINEAR,
    SPOT,
    TRADED,
    UNACCOUNTED,
    Matrix,
    as_matrix,
    as_rows,
)
from tests.benchmarks.matching_peers import PEERS, Answer, Peer, install
from tests.benchmarks.wide_flow import OPEN, WideFlow
from tests.matching import edge_cases
from tests.reference import public_workload
from tests.reference.matching_plain import PlainEngine
from tests.reference.public_workload import ORDERS, SCENARIOS

MODULES: Final = tuple(name for name in app.KERNEL_MODULES if name.startswith("engine.matching"))
SYMBOL: Final = "PUBLIC"
BATCH: Final = 256
THREAD_BATCH: Final = 4_096  # taking the interpreter's lock back costs a thread some microseconds
ACCOUNTS: Final = 1_000
ROOM: Final = 1 << 16  # orders; 41,788 rest at the most
EVENTS: Final = 2_300_000  # 2,211,931 at the most
MODES: Final = {"off": UNACCOUNTED, "spot": SPOT, "linear": LINEAR}
INTERVAL_NS: Final = 1_000
WIDE_TICKS: Final = {"1m_ticks": 1_000_000, "10m_ticks": 10_000_000}
WIDE_BLOCK: Final = 1 << 17
ENTRY_PAIRS: Final = 1_000  # orders placed and canceled by turns, for one measurement of many
ENTRY_RUNS: Final = 101
BARS: Final = {"vs_plain_worst": 25.0, "vs_best_peer": 15.0}
P99_BAR_US: Final = 15.0
HEADLINES: Final = (  # come first in the JSON
    *("hashes_ok", "edge_cases_ok", "batch_worst_mps", "batch_risk_worst_mps", "single_call_mps"),
    *("vs_plain_worst", "vs_best_peer", "latency_at_1m", "replay_identical", "two_threads_ratio"),
)
QUIET_BARS: Final = {"batch_worst_mps": 20.0, "single_call_mps": 1.2}  # said, not required: neighbours count


@dataclass(frozen=True)
class Size:
    """How much of everything a run does."""

    runs: int
    plain_prefix: int
    peer_prefix: int
    single_prefix: int
    latency_runs: int
    latency_messages: int
    wide_commands: int
    long_orders: int


QUICK: Final = Size(3, 30_000, 30_000, 200_000, 3, 1_000_000, 2_000_000, 2_000_000)
FULL: Final = Size(7, 100_000, 100_000, 2_000_000, 5, 2_000_000, 10_000_000, 100_000_000)
NIGHTLY: Final = Size(7, 100_000, 100_000, 2_000_000, 5, 2_000_000, 10_000_000, 1_000_000_000)


@dataclass
class Figures:
    """What is printed last; `faults` are wrong answers and missed bars."""

    values: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def require(self, holds: bool, otherwise: str) -> bool:
        if not holds:
            self.faults.append(otherwise)
            print(f"WRONG: {otherwise}", flush=True)
        return holds


def build(accounting: int = UNACCOUNTED, kind: Any = MatchingEngine) -> tuple[Any, int]:
    """An engine for one scenario, its accounts funded, and the sequence that the next command gets."""
    engine = kind([BookSpec(SYMBOL, "BASE", "QUOTE", accounting, 1_000, 10)], ACCOUNTS + 1, ROOM)
    if accounting == UNACCOUNTED:
        return engine, 0
    setup = public_workload.account_commands(ACCOUNTS, len(engine.assets))
    engine.submit(setup)
    return engine, len(setup)


def commands_for(scenario: str, accounting: int) -> Rows:
    """The scenario's commands; with accounting, self-trade prevention looks at each maker and never finds its own."""
    rows = public_workload.messages(scenario)
    if accounting == UNACCOUNTED:
        return public_workload.as_commands(rows)
    return public_workload.as_commands(rows, ACCOUNTS, EXPIRE_BOTH)


def run_words(engine: MatchingEngine) -> Words:
    """The words that a run's events are written to, from its first on.

    Copied flat, the number of rows taken from the header, 256 messages' events take 0.5 us; as structured rows
    (`event_rows`) making the views and copying field by field takes 4 to 10 us.
    """
    return engine.memory[engine.memory[layout.H_EVENTS_AT] :]


def drive(engine: MatchingEngine, commands: Matrix, batch: int, kept: Words | None) -> int:
    """Match all, `batch` a call, each call's events copied to `kept`: the number of words."""
    at, count, last = 0, 0, len(commands)
    run, memory, words = engine.run, engine.memory, run_words(engine)
    while at < last:
        at += run(commands, at, min(at + batch, last))
        if kept is not None:
            size = int(memory[layout.T_EVENTS]) * layout.EVENT_WORDS
            kept[count : count + size] = words[:size]
            count += size
    return count


def drive_singly(engine: MatchingEngine, commands: Matrix, kept: Words) -> int:
    """Match all, each message by a call of its own; the events gather in the engine and are copied every 256."""
    count, last = 0, len(commands)
    begin, match, memory, words = engine.begin, engine.match, engine.memory, run_words(engine)
    for at in range(0, last, BATCH):
        begin()
        for one in range(at, min(at + BATCH, last)):
            match(commands, one, one + 1)
        size = int(memory[layout.T_EVENTS]) * layout.EVENT_WORDS
        kept[count : count + size] = words[:size]
        count += size
    return count


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this thread, and the result, the collector held off as in `timeit`."""
    gc.collect()
    gc.disable()
    started = time.thread_time()
    result = work()
    took = time.thread_time() - started
    gc.enable()
    return took, result


def mps(messages: float, seconds: float) -> float:
    """Millions a second, for the reader."""
    return round(messages / seconds / 1e6, 3)


def trades_of(events: Rows) -> list[tuple[int, int, int, int]]:
    """Taker's id, maker's id, price and lots of each trade, in order."""
    rows = events[events["kind"] == TRADED]
    columns = (rows[name].tolist() for name in ("order_id", "maker_id", "price_ticks", "lots"))
    return list(zip(*columns, strict=True))


def book_of(engine: Any) -> tuple[int, ...]:
    """Best bid and ask, lots open on each side, number of orders."""
    sides = engine.top(SYMBOL, ROOM)
    best = (int(side["price_ticks"][0]) if len(side) else 0 for side in sides)
    return (*best, *(int(side["lots"].sum()) for side in sides), engine.live(SYMBOL))


class Benchmark:
    """The measurements, one method each; figures gather in `figures`."""

    def __init__(self, size: Size, peers: list[Peer], figures: Figures) -> None:
        self.size, self.peers, self.figures = size, peers, figures
        self.kept = np.zeros(EVENTS * layout.EVENT_WORDS, np.int64)
        self.kept[:] = 0  # touch every page before anything is timed

    def scenarios(self) -> None:
        """Batches without and with risk, one call a message, the plain engine and the peers, on all five."""
        table = {scenario: self.scenario(scenario) for scenario in SCENARIOS}
        values = self.figures.values
        values["hashes_ok"] = sum(row.pop("hashes_ok") for row in table.values())
        for key, name in (
            ("batch_mps", "batch_worst_mps"),
            ("risk_mps", "batch_risk_worst_mps"),
            ("single_mps", "single_call_mps"),
            ("vs_plain", "vs_plain_worst"),
            ("vs_best_peer", "vs_best_peer"),
        ):
            found = [row[key] for row in table.values() if row[key] is not None]
            values[name] = min(found) if found else None
        values["scenarios"] = table

    def scenario(self, scenario: str) -> dict[str, Any]:
        """One scenario's row."""
        accounted = commands_for(scenario, SPOT)
        commands = {"off": commands_for(scenario, UNACCOUNTED), "spot": accounted, "linear": accounted}
        count = len(commands["off"])
        given = public_workload.messages(scenario)[: self.size.peer_prefix].tolist()
        took: dict[str, list[float]] = {name: [] for name in (*MODES, *(peer.package for peer in self.peers))}
        right = True
        answers = {}
        for _ in range(self.size.runs):
            for mode in MODES:
                seconds, agrees = self.batches(scenario, mode, commands[mode])
                took[mode].append(seconds / count)
                right &= agrees
            for peer in self.peers:
                seconds, answers[peer.package] = cpu_seconds(lambda: peer.drive(given))  # noqa: B023
                took[peer.package].append(seconds / len(given))
        batch, spot, linear = (mps(1, median(took[mode])) for mode in MODES)
        row: dict[str, Any] = {
            "hashes_ok": int(right),
            "batch_mps": batch,
            "risk_mps": min(spot, linear),
            "spot_mps": spot,
            "linear_mps": linear,
            "single_mps": self.singly(scenario, commands["off"]),
        }
        row |= self.plain(scenario, commands, {"spot": spot, "linear": linear})
        row |= self.rivals(scenario, commands["off"], took, answers)
        print(f"{scenario}: {row}", flush=True)
        return row

    def batches(self, scenario: str, mode: str, commands: Rows) -> tuple[float, bool]:
        """Seconds of one run, and whether its reports have the published hash."""
        engine, first = build(MODES[mode])
        matrix = as_matrix(commands)
        seconds, count = cpu_seconds(lambda: drive(engine, matrix, BATCH, self.kept))
        events = self.kept[:count].view(EVENT)
        found, _ = public_workload.report_sha256(events, commands, first)
        right = found == SCENARIOS[scenario].report_sha256
        return seconds, self.figures.require(right, f"{scenario}, {mode}: reports hash to {found}")

    def reference(self, mode: str, commands: Rows) -> tuple[Rows, Any]:
        """The events of a prefix and the engine after it, by the way that gives the published hashes."""
        engine, _ = build(MODES[mode])
        kept = np.zeros((2 * len(commands) + 1) * layout.EVENT_WORDS, np.int64)
        count = drive(engine, as_matrix(commands), BATCH, kept)
        return kept[:count].view(EVENT), engine

    def singly(self, scenario: str, commands: Rows) -> float:
        """Millions of messages a second, each by a call of its own."""
        prefix = commands[: self.size.single_prefix]
        expected = self.reference("off", prefix)[0].view(np.int64)
        took = []
        for _ in range(3):
            engine, _ = build()
            matrix = as_matrix(prefix)
            seconds, count = cpu_seconds(lambda: drive_singly(engine, matrix, self.kept))  # noqa: B023
            took.append(seconds)
            same = np.array_equal(self.kept[:count], expected)
            self.figures.require(same, f"{scenario}: single calls gave other events than batches")
        return mps(len(prefix), median(took))

    def plain(self, scenario: str, commands: dict[str, Rows], ours: dict[str, float]) -> dict[str, Any]:
        """The plain engine's speed with risk on, and how many times ours is; the worse of two accountings."""
        row: dict[str, Any] = {}
        for mode in ("spot", "linear"):
            prefix = commands[mode][: self.size.plain_prefix]
            expected, _ = self.reference(mode, prefix)
            engine, _ = build(MODES[mode], PlainEngine)
            seconds, events = cpu_seconds(lambda: engine.submit(prefix).rows)  # noqa: B023
            same = np.array_equal(as_matrix(events), as_matrix(expected))
            self.figures.require(same, f"{scenario}, {mode}: the plain engine gave other events")
            row[f"plain_{mode}_mps"] = mps(len(prefix), seconds)
            row[f"vs_plain_{mode}"] = round(ours[mode] * seconds * 1e6 / len(prefix), 2)
        row["vs_plain"] = min(row["vs_plain_spot"], row["vs_plain_linear"])
        return row

    def rivals(
        self,
        scenario: str,
        commands: Rows,
        took: dict[str, list[float]],
        answers: dict[str, Callable[[], Answer]],
    ) -> dict[str, Any]:
        """Each peer's speed and whether it answered right, and how many times the fastest's ours is.

        `took` has seconds a message. None without peers.
        """
        events, engine = self.reference("off", commands[: self.size.peer_prefix])
        trades, book = trades_of(events), book_of(engine)
        peers = {}
        for package, answer in answers.items():
            found = answer()
            same = found.trades in (None, trades) and found.book in (None, book)
            if not same:
                print(f"{scenario}: {package} gives another answer than the published one", flush=True)
            peers[package] = {"mps": mps(1, median(took[package])), "answer_ok": same}
        # Of each round, so that a change of the machine's pace between rounds doesn't count.
        fastest = [min(each) for each in zip(*(took[package] for package in peers), strict=True)]
        ratios = [theirs / ours for ours, theirs in zip(took["off"], fastest, strict=False)]
        return {"vs_best_peer": round(median(ratios), 2) if ratios else None, "peers": peers}

    def edge_cases(self) -> None:
        found = {case.name: edge_cases.differences(case, build()[0]) for case in edge_cases.load()}
        for name, faults in found.items():
            self.figures.require(not faults, f"{name}: {'; '.join(faults)}")
        self.figures.values["edge_cases_ok"] = sum(not faults for faults in found.values())

    def latency(self) -> None:
        """Percentiles of the time from a message's planned arrival until its events are out."""
        commands = commands_for("normal", UNACCOUNTED)[: self.size.latency_messages]
        expected = self.reference("off", commands)[0].view(np.int64)
        matrix = as_matrix(commands)
        warm, _ = build()
        open_loop(warm, matrix[:300_000], self.kept)
        found = []
        for _ in range(self.size.latency_runs):
            engine, _ = build()
            latency_ns, count, calls = open_loop(engine, matrix, self.kept)
            same = np.array_equal(self.kept[:count], expected)
            self.figures.require(same, "the open loop gave other events than batches")
            found.append([*np.percentile(latency_ns, [50, 99, 99.9, 100]) / 1e3, len(matrix) / calls])
        p50, p99, p999, most, per_call = (round(float(value), 2) for value in np.median(found, axis=0))
        self.figures.values["latency_at_1m"] = {
            "p50_us": p50,
            "p99_us": p99,
            "p999_us": p999,
            "max_us": most,
            "messages_per_call": per_call,
            "seconds": round(len(matrix) * INTERVAL_NS / 1e9, 2),
            "runs": self.size.latency_runs,
        }
        print(f"latency at 1 M/s: {self.figures.values['latency_at_1m']}", flush=True)

    def threads(self) -> None:
        """How much more two engines in two threads match than one in one."""
        matrix = as_matrix(commands_for("normal", UNACCOUNTED))
        ratios, one_mps = [], []
        for _ in range(self.size.runs):
            one = together([build()[0]], matrix)
            two = together([build()[0], build()[0]], matrix)
            ratios.append(2 * one / two)
            one_mps.append(len(matrix) / one / 1e6)
        self.figures.values["two_threads_ratio"] = round(median(ratios), 2)
        self.figures.values["two_threads"] = {"batch": THREAD_BATCH, "one_mps": round(median(one_mps), 3)}
        print(f"two threads: {median(ratios):.2f} times one", flush=True)

    def entry(self) -> None:
        """What one order at a time costs from Python, beyond the kernel."""
        engine, _ = build()
        entry = OrderEntry(engine)
        rows = np.zeros(2, COMMAND)
        rows["kind"], rows["side"], rows["order_id"] = (LIMIT, CANCEL), BUY, 7
        rows["price_ticks"], rows["lots"] = 100, 5
        place, cancel = as_matrix(rows)[:1].copy(), as_matrix(rows)[1:].copy()

        def call() -> None:
            for _ in range(ENTRY_PAIRS):
                entry.limit(SYMBOL, BUY, 100, 5, order_id=7, account=0)
                entry.cancel(SYMBOL, 7)

        def run() -> None:
            for _ in range(ENTRY_PAIRS):
                engine.run(place, 0, 1)
                engine.run(cancel, 0, 1)

        events = [entry.limit(SYMBOL, BUY, 100, 5, order_id=7, account=0), entry.cancel(SYMBOL, 7)]
        wanted = build()[0].submit(rows).rows
        same = np.array_equal(np.concatenate(events), wanted)
        self.figures.require(same, "calls of OrderEntry gave other events than rows")
        took = [cpu_seconds(call)[0] - cpu_seconds(run)[0] for _ in range(ENTRY_RUNS)]
        self.figures.values["entry_overhead_ns"] = round(median(took) / 2 / ENTRY_PAIRS * 1e9)
        print(f"a call of OrderEntry: {self.figures.values['entry_overhead_ns']} ns on top", flush=True)

    def wide(self) -> None:
        """Uniform placement: speed, and the plain engine's events on a prefix."""
        for name, ticks in WIDE_TICKS.items():
            prefix = as_rows(WideFlow(ticks).block(self.size.plain_prefix), COMMAND)
            expected = as_matrix(build(kind=PlainEngine)[0].submit(prefix).rows)
            same = np.array_equal(as_matrix(self.reference("off", prefix)[0]), expected)
            self.figures.require(same, f"wide, {name}: the plain engine gives other events")
            engine, _ = build()
            flow = WideFlow(ticks)
            drive(engine, flow.block(WIDE_BLOCK), BATCH, None)  # fills the book
            took = 0.0
            block = flow.block(WIDE_BLOCK)
            blocks = -(-self.size.wide_commands // len(block))
            for _ in range(blocks):
                took += cpu_seconds(lambda: drive(engine, block, BATCH, self.kept))[0]  # noqa: B023
                flow.fill(block)
            bids, asks = engine.top(SYMBOL, OPEN)
            spread = int(bids["price_ticks"][0] - bids["price_ticks"][-1])
            self.figures.values[f"wide_{name}_mps"] = mps(blocks * len(block), took)
            self.figures.values[f"wide_{name}_levels"] = len(bids) + len(asks)
            print(
                f"wide, {name}: {mps(blocks * len(block), took)} M/s, bids over {spread:,} ticks", flush=True
            )

    def long(self) -> None:
        """Very many orders through one book: speed of the first and last tenth, memory at their ends."""
        engine, _ = build()
        flow = WideFlow(WIDE_TICKS["1m_ticks"])
        block = flow.block(WIDE_BLOCK)
        process = psutil.Process()
        drive(engine, block, BATCH, None)
        tenths: list[list[float]] = []  # seconds, commands, resident bytes after
        per_tenth = self.size.long_orders // 10
        for _ in range(10):
            until, seconds, commands = flow.placed + per_tenth, 0.0, 0
            while flow.placed < until:
                flow.fill(block)
                seconds += cpu_seconds(lambda: drive(engine, block, BATCH, None))[0]
                commands += len(block)
            tenths.append([seconds, commands, process.memory_info().rss])
        first, last = tenths[0], tenths[-1]
        self.figures.require(engine.live(SYMBOL) <= OPEN, f"long: {engine.live(SYMBOL)} orders are open")
        self.figures.values["long"] = {
            "orders": flow.placed,
            "commands": int(sum(commands for _, commands, _ in tenths)),
            "mps_first_tenth": mps(int(first[1]), first[0]),
            "mps_last_tenth": mps(int(last[1]), last[0]),
            "rss_mb_first_tenth": round(first[2] / 1e6, 1),
            "rss_mb_last_tenth": round(last[2] / 1e6, 1),
        }
        print(f"long: {self.figures.values['long']}", flush=True)

    def replay(self) -> None:
        """Whether a restored engine goes on as the one that was never stopped."""
        identical = True
        for mode in MODES:
            commands = commands_for("normal", MODES[mode])
            half = len(commands) // 2
            engine, _ = build(MODES[mode])
            drive(engine, as_matrix(commands[:half]), BATCH, None)
            began = time.perf_counter()
            data = engine.snapshot()
            saved = time.perf_counter()
            restored = MatchingEngine.restore(data)
            loaded = time.perf_counter()
            hashes, pictures = [], []
            for each in (engine, restored):
                count = drive(each, as_matrix(commands[half:]), BATCH, self.kept)
                hashes.append(hashlib.sha256(self.kept[:count]).hexdigest())
                pictures.append(each.picture())
            identical &= hashes[0] == hashes[1] and pictures[0] == pictures[1]
            self.figures.values["snapshot"] = {
                "bytes": len(data),
                "save_ms": round((saved - began) * 1e3, 2),
                "restore_ms": round((loaded - saved) * 1e3, 2),
            }
        self.figures.require(identical, "a restored engine went another way")
        self.figures.values["replay_identical"] = identical


def open_loop(engine: MatchingEngine, commands: Matrix, kept: Words) -> tuple[Any, int, int]:
    """Nanoseconds each message took from its planned arrival, the events copied to `kept`, and the calls made."""
    total = len(commands)
    ended = np.empty(total, np.int64)
    upto = np.empty(total, np.int64)
    clock = time.perf_counter_ns
    run, memory, words = engine.run, engine.memory, run_words(engine)
    done = count = calls = 0
    gc.collect()
    gc.disable()
    start = clock() + INTERVAL_NS  # when the first is due
    while done < total:
        due = (clock() - start) // INTERVAL_NS + 1
        if due > done:
            done += run(commands, done, min(due, done + BATCH, total))
            size = int(memory[layout.T_EVENTS]) * layout.EVENT_WORDS
            kept[count : count + size] = words[:size]
            count += size
            ended[calls] = clock()
            upto[calls] = done
            calls += 1
    gc.enable()
    per_call = np.diff(upto[:calls], prepend=0)
    planned = start + np.arange(total) * INTERVAL_NS
    return np.repeat(ended[:calls], per_call) - planned, count, calls


def together(engines: list[MatchingEngine], commands: Matrix) -> float:
    """Seconds on the wall until each engine, in a thread of its own, has matched all."""
    barrier = threading.Barrier(len(engines) + 1)

    def work(engine: MatchingEngine) -> None:
        barrier.wait()
        drive(engine, commands, THREAD_BATCH, None)

    workers = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - started


def load_seconds(directory: str) -> float:
    """What a fresh process needs until the matching kernels run, with this compile cache."""
    done = subprocess.run(
        [sys.executable, "-c", f"from engine import kernels; print(kernels.load({MODULES!r}).total_s)"],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": directory},
        capture_output=True,
        text=True,
        check=True,
    )
    return round(float(done.stdout), 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: within 45 seconds")
    parser.add_argument("--nightly", action="store_true", help="a billion orders in the long run")
    chosen = parser.parse_args()
    size = QUICK if chosen.quick else NIGHTLY if chosen.nightly else FULL
    loaded = kernels.load(MODULES)
    gc.collect()
    gc.freeze()  # what is imported need not be looked at before each run
    figures = Figures(dict.fromkeys(HEADLINES))
    values = figures.values
    with tempfile.TemporaryDirectory() as directory:
        absent = {peer.package: install(peer, Path(directory)) for peer in PEERS}
        benchmark = Benchmark(size, [peer for peer in PEERS if absent[peer.package] is None], figures)
        benchmark.edge_cases()
        benchmark.scenarios()
        benchmark.latency()
        benchmark.threads()
        benchmark.entry()
        benchmark.replay()
        benchmark.wide()
        benchmark.long()
    values["peers_absent"] = {package: why for package, why in absent.items() if why}
    if chosen.quick:  # no time for another compilation
        cold = round(loaded.total_s, 2) if loaded.compiled else None
    else:
        with tempfile.TemporaryDirectory() as directory:
            cold = load_seconds(directory)
    values["compile_s"] = {"cold": cold, "cached": load_seconds(str(CACHE))}
    values["command_log"] = "off"
    for name, bar in BARS.items():
        if values[name] is not None:
            figures.require(values[name] >= bar, f"{name} is {values[name]}, the bar {bar}")
    p99 = values["latency_at_1m"]["p99_us"]
    figures.require(p99 <= P99_BAR_US, f"p99 is {p99} us at a million a second, the bar {P99_BAR_US}")
    for name, bar in QUIET_BARS.items():
        print(f"{name}: {values[name]}, on a quiet machine at least {bar}")
    values["conditions"] = {
        "messages": len(public_workload.draws(ORDERS).order),
        **size.__dict__,
        "batch": BATCH,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "numba")},
    }
    values["faults"] = figures.faults
    print(json.dumps(values))
    return 1 if figures.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
