"""What is recorded: how fast it reaches the disk, what that costs the loop, and how fast it comes back.

Run: uv run python tests/benchmarks/bench_storage.py [--quick] [--folder PATH]

append      trades in batches of 100 through the recorder into the journal, until the last is durable. Beside SQLite
            with a row of a table for each trade, by executemany, of the same library, journal mode (WAL) and
            synchronous=FULL. Both get the same structured rows, 10,000 a commit, and the next 10,000 when those are
            durable; in turns, medians, all read back. append_rows_per_s is ours without that wait.
sustained   200,000 rows/s (half trades, half book changes of 20 levels) on a schedule for 20 s into the store of an
            asyncio loop, which meanwhile writes the journal and compacts it into Parquet; the loop's lag is measured
            by a task that wants to run each 10 ms. It kept up if at the end what waits is on the disk within a second.
            Every row is then asked for by number in archive and journal together: lost_rows counts those that are not
            there exactly once, and those of a process that is killed (SIGKILL) in the middle of the same.
query       one of 150 partitions (kind, day, pair) of a million trades, by `query`, median.
csv         a million trades by `export`, beside pandas' to_csv of the same columns (prices and sizes as float64, which
            it writes faster than text); both files are read back and compared.
replay      the built-in exchange at 5,000 orders/s for some minutes, recorded by the recorder, compacted, and played
            as fast as it goes into an intake: seconds of it a second, twice, with the same hash. bytes_per_row is what
            its archive takes.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from app import KERNEL_MODULES
from engine import kernels

kernels.activate(ROOT / ".venuescope" / "numba", KERNEL_MODULES)

import apsw
import numpy as np
import uvloop

from engine.flow.simulator import Simulator
from engine.intake import Intake
from engine.market.batches import LEVEL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.runtime import watch_lag
from engine.storage import catalog
from engine.storage.journal import Journal
from engine.storage.names import RecordKind
from engine.storage.query import query
from engine.storage.recorder import Recorder
from engine.storage.store import Store, StoreOptions
from engine.telemetry.hub import Telemetry
from tests.benchmarks.bench_feed import cpu_name
from tests.benchmarks.stored import DAY_NS, compact_all, fill_archive, fill_trades

SOURCE = Source("builtin", "sim")
UNIT = Instrument("builtin", "BTC-USDT", "BTC", "USDT", 2, 5, native="BTCUSDT")
START_NS = 1_763_640_000 * 10**9
BATCH = 100
LEVELS = 20
RATE = 200_000
A_COMMIT = 10_000  # as many as come in 50 ms at that rate


def trade_rows(count: int, first: int = 1, at_ns: int = START_NS, seed: int = 7) -> Rows:
    """A seeded walk of trades, 50 us apart."""
    random = np.random.default_rng([seed, first])
    rows = np.zeros(count, TRADE)
    rows["trade_id"] = np.arange(first, first + count)
    rows["ts_event_ns"] = at_ns + np.arange(count) * 50_000
    rows["ts_recv_ns"] = rows["ts_event_ns"] + random.integers(1_000_000, 9_000_000, count)
    rows["price"] = 6_000_000 + np.cumsum(random.integers(-5, 6, count))
    rows["size"] = random.integers(1, 500_000, count)
    rows["aggressor"] = random.choice([-1, 1], count)
    return rows


def change(sequence: int, random: np.random.Generator, now_ns: int) -> Batch:
    """One change of a book."""
    rows = np.empty(LEVELS, LEVEL)
    half = LEVELS // 2
    rows["price"][:half] = 6_000_000 - random.integers(1, 500, half)
    rows["price"][half:] = 6_000_000 + random.integers(1, 500, half)
    rows["size"] = random.integers(0, 500_000, LEVELS)
    return Batch(Kind.DELTA, SOURCE, "BTC-USDT", rows, half, sequence, sequence, -1, now_ns, now_ns)


class Desk:
    """A recorder that is told of batches as the intake tells it, without an intake."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        recorder.opened(SOURCE, "Built-in exchange", (UNIT,), Rule.BINANCE_SPOT)
        self._state = Intake(Telemetry(START_NS))
        self._state.open_source(SOURCE, "Built-in exchange", (UNIT,), Rule.BINANCE_SPOT, lambda ns: ns)
        self._symbol = self._state._desks[SOURCE].markets["BTC-USDT"].state

    def take(self, batch: Batch) -> None:
        """As `Intake.on_batch` does last."""
        from engine.market.sequencing import Outcome

        self.recorder.on_batch(batch, Outcome.APPLIED, self._symbol)


# --- append -----------------------------------------------------------------------------------------------------


def append(folder: Path, rows: Rows, a_commit: int) -> float:
    """Seconds until all rows are durable; with `a_commit`, so many at a time and none before the last are."""
    journal = Journal.open(folder)
    recorder = Recorder(time.time_ns, keyframe_s=3_600)
    desk = Desk(recorder)
    recorder.use(journal)
    recorder.start("builtin", (), ("trades",))
    batches = [
        Batch(Kind.TRADES, SOURCE, "BTC-USDT", rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)
    ]
    at_once = (a_commit or 10_000) // BATCH
    started = time.perf_counter()
    for at in range(0, len(batches), at_once):
        for batch in batches[at : at + at_once]:
            desk.take(batch)
        journal.put(recorder.flush())
        if a_commit:
            assert journal.wait_durable(journal.next_seq, 60)
        while journal.view().pending_bytes > 64 << 20:
            time.sleep(0.001)
    assert journal.wait_durable(journal.next_seq, 60)
    took = time.perf_counter() - started
    assert journal.close()
    found = query(folder, RecordKind.TRADES, order="seq")
    for name in rows.dtype.names or ():
        assert np.array_equal(found[name].to_numpy(), rows[name])
    return took


def row_inserts(folder: Path, rows: Rows, a_commit: int) -> float:
    """Seconds until the same rows are durable, one row of a table each."""
    folder.mkdir()
    connection = apsw.Connection(str(folder / "rows.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    names = rows.dtype.names or ()
    connection.execute(
        f"CREATE TABLE trades (seq INTEGER PRIMARY KEY, {', '.join(f'{name} INTEGER' for name in names)})"
    )
    insert = f"INSERT INTO trades ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
    started = time.perf_counter()
    for at in range(0, len(rows), a_commit):
        with connection:
            connection.executemany(insert, rows[at : at + a_commit].tolist())
    took = time.perf_counter() - started
    sums = connection.execute("SELECT count(*), sum(price), max(seq) FROM trades").fetchone()
    assert sums == (len(rows), int(rows["price"].sum()), len(rows))
    connection.close()
    return took


def measure_append(folder: Path, count: int, repeats: int) -> dict[str, float]:
    """Rows a second of both."""
    rows = trade_rows(count)
    ours, theirs, flat_out = [], [], []
    for at in range(repeats):
        ours.append(append(folder / f"ours {at}", rows, A_COMMIT))
        theirs.append(row_inserts(folder / f"theirs {at}", rows, A_COMMIT))
        flat_out.append(append(folder / f"flat out {at}", rows, 0))
        speeds = (f"{count / took[-1]:,.0f}" for took in (ours, theirs, flat_out))
        print(
            "append, {:,} rows a commit: {} rows/s; row inserts {}; ours flat out {}".format(
                A_COMMIT, *speeds
            )
        )
    return {
        "append_rows_per_s": round(count / median(flat_out)),
        "append_by_10k_rows_per_s": round(count / median(ours)),
        "row_inserts_rows_per_s": round(count / median(theirs)),
        "vs_row_inserts": round(median(b / a for a, b in zip(ours, theirs, strict=True)), 2),
    }


# --- sustained --------------------------------------------------------------------------------------------------


@dataclass
class Sustained:
    """What a paced run came to."""

    rows: int = 0
    changes: int = 0
    lags_ns: list[int] | None = None
    kept_up: bool = False
    most_waiting: int = 0
    compacted: int = 0


async def pace(
    store: Store, desk: Desk, seconds: float, acked: Callable[[int, int], None] | None = None
) -> Sustained:
    """RATE rows a second for so long."""
    random = np.random.default_rng(5)
    made = [trade_rows(BATCH, 1 + at * BATCH) for at in range(50)]
    changes = [change(at, random, START_NS) for at in range(500)]
    lags: list[int] = []
    result = Sustained(lags_ns=lags)
    watching = asyncio.ensure_future(watch_lag(0.01, lags.append))
    journal = store.journal
    assert journal is not None
    started = time.monotonic()
    trades = sent_changes = 0
    while (elapsed := time.monotonic() - started) < seconds:
        due = int(elapsed * RATE / 2)
        while trades < due:
            rows = made[(trades // BATCH) % 50].copy()
            now_ns = time.time_ns()
            rows["trade_id"] = np.arange(trades, trades + BATCH)
            rows["ts_event_ns"] = rows["ts_recv_ns"] = now_ns
            desk.take(Batch(Kind.TRADES, SOURCE, "BTC-USDT", rows))
            trades += BATCH
            for _ in range(BATCH // LEVELS):
                model = changes[sent_changes % 500]
                desk.take(
                    Batch(Kind.DELTA, SOURCE, "BTC-USDT", model.rows, model.bids, sent_changes, sent_changes, -1,
                          now_ns, now_ns)
                )  # fmt: skip
                sent_changes += 1
        result.most_waiting = max(result.most_waiting, journal.view().pending_rows)
        if acked is not None:
            acked(journal.view().durable_seq, journal.next_seq)
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.06)
    try:
        async with asyncio.timeout(1.0):
            await journal.durable(journal.next_seq)
        result.kept_up = True
    except TimeoutError:
        result.kept_up = False
    watching.cancel()
    result.rows, result.changes = trades, sent_changes
    result.kept_up = result.kept_up and trades >= 0.995 * seconds * RATE / 2
    return result


async def open_store(folder: Path) -> tuple[Store, Desk, asyncio.Task[None]]:
    """A store that runs and records what it is told."""
    telemetry = Telemetry(time.time_ns())
    store = Store(
        StoreOptions(folder, record=("builtin",), what=("trades", "book"), snapshot_s=3_600),
        telemetry,
        time.time_ns,
        lambda *said: print("store:", *said, file=sys.stderr),
    )
    desk = Desk(store.recorder)
    running = asyncio.ensure_future(store.run())
    while store.journal is None:
        await asyncio.sleep(0.01)
        assert not running.done(), running.exception()
    return store, desk, running


async def compact_often(store: Store) -> None:
    """As after an hour of it: there is always something to compact."""
    while True:
        await asyncio.sleep(3)
        if store.archiver is not None:
            await store.archiver.compact_now()


async def sustain(folder: Path, seconds: float) -> Sustained:
    """A paced run into a new store, with its compaction."""
    store, desk, running = await open_store(folder)
    compacting = asyncio.ensure_future(compact_often(store))
    result = await pace(store, desk, seconds)
    compacting.cancel()
    assert store.archiver is not None
    result.compacted = store.archiver.view().rows
    running.cancel()
    await asyncio.gather(running, compacting, return_exceptions=True)
    return result


def lost(folder: Path, trades: int, changes: int) -> int:
    """How many of the first so many trades and changes are not there exactly once."""
    ids = query(folder, RecordKind.TRADES, columns=["trade_id"], order="seq")["trade_id"].to_numpy()
    found = np.bincount(ids, minlength=trades)
    table = query(folder, RecordKind.DELTAS, columns=["last_sequence"], order="seq")
    levels = np.bincount(table["last_sequence"].to_numpy(), minlength=changes)
    return int((found[:trades] != 1).sum() + (levels[:changes] != LEVELS).sum())


def killed(folder: Path, after_s: float) -> int:
    """Acknowledged rows that a killed process lost."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(folder)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()  # it has begun
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    said = [line.split() for line in child.stdout.read().splitlines() if line.count(" ") == 1]
    child.wait()
    acked = max(int(durable) for durable, _ in said)
    seqs = []
    for kind in (RecordKind.TRADES, RecordKind.DELTAS):
        table = query(folder, kind, columns=["seq"], order="seq")
        seqs.append(np.unique(table["seq"].to_numpy()))
        if kind is RecordKind.TRADES and len(seqs[0]) != len(table):
            return len(table) - len(seqs[0])
    with_both = np.concatenate(seqs)
    snapshots = query(folder, RecordKind.SNAPSHOTS, columns=["seq"])["seq"].to_numpy()
    gaps = query(folder, RecordKind.GAPS, columns=["seq"])["seq"].to_numpy()
    have = np.unique(np.concatenate((with_both, snapshots, gaps)))
    return int(acked - 1 - (have < acked).sum())


async def child(folder: Path) -> None:
    """Record until killed; print what is acknowledged."""
    store, desk, _ = await open_store(folder)
    print("begun", flush=True)
    await pace(store, desk, 60.0, lambda durable, next_seq: print(durable, next_seq, flush=True))


# --- query ------------------------------------------------------------------------------------------------------


def measure_query(folder: Path, rows: int) -> float:
    """ms for one of 150 partitions."""
    fill_archive(folder, trade_rows(rows), 15, 10)
    took = []
    for at in range(25):
        symbol, day = f"C{at % 15:02}-USDT", at % 10
        start = START_NS // DAY_NS * DAY_NS + day * DAY_NS
        began = time.perf_counter()
        found = query(
            folder, RecordKind.TRADES, venue="builtin", symbol=symbol, from_ns=start, to_ns=start + DAY_NS
        )
        took.append((time.perf_counter() - began) * 1e3)
        assert len(found) == rows // 150
        assert set(found["symbol"].to_pylist()) == {symbol}
    return round(median(took), 1)


# --- csv --------------------------------------------------------------------------------------------------------


def measure_csv(folder: Path, count: int, repeats: int) -> dict[str, float]:
    """Seconds of ours and pandas'."""
    import pandas as pd

    from engine.storage.export import export
    from engine.storage.export_request import ExportRequest

    fill_trades(folder, trade_rows(count), UNIT)
    request = ExportRequest(RecordKind.TRADES, "builtin", "BTC-USDT", 0, 1 << 62, "csv")
    out, theirs = folder / "ours.csv", folder / "theirs.csv"
    frame: Any = None
    ours_s, theirs_s = [], []
    export(folder, replace(request, to_ns=START_NS + 10**9), out)  # libraries are loaded
    for _ in range(repeats):
        out.unlink(missing_ok=True)
        began = time.perf_counter()
        export(folder, request, out, lambda rows, total: None)
        ours_s.append(time.perf_counter() - began)
        if frame is None:
            frame = pd.read_csv(out)
            for name in frame.columns:
                if name.startswith("time"):
                    frame[name] = pd.to_datetime(frame[name])
        began = time.perf_counter()
        frame.to_csv(theirs, index=False)
        theirs_s.append(time.perf_counter() - began)
        print(f"csv: {count:,} rows in {ours_s[-1]:.2f} s; pandas {theirs_s[-1]:.2f} s")
    again = pd.read_csv(theirs)
    assert len(again) == count
    assert (again["price"] == frame["price"]).all()
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = trade_rows(count)
    assert len(rows) == count
    for at in range(0, count, max(1, count // 1_000)):
        assert round(float(rows[at]["price"]) * 100) == expected["price"][at]
    return {
        "csv_1m_s": round(median(ours_s) * 1_000_000 / count, 3),
        "csv_vs_pandas": round(median(b / a for a, b in zip(ours_s, theirs_s, strict=True)), 2),
    }


# --- replay -----------------------------------------------------------------------------------------------------


def record_simulated(folder: Path, seconds: int) -> int:
    """The built-in exchange at 5,000 orders/s for so long, recorded; -> rows."""
    simulator = Simulator(20_240_808, 5_000)
    journal = Journal.open(folder)
    now = [START_NS]
    intake = Intake(Telemetry(START_NS), lambda: now[0])
    recorder = Recorder(lambda: now[0])
    intake.tap = recorder
    recorder.use(journal)
    recorder.start("builtin")
    intake.open_source(SOURCE, "Built-in exchange", simulator.instruments, Rule.BINANCE_SPOT, lambda ns: ns)
    rows = 0
    for turn in range(seconds * 100):
        now[0] = START_NS + turn * 10_000_000
        for batch in simulator.turn(now[0]).batches:
            intake.on_batch(batch)
        for symbol in intake.wants_snapshot(SOURCE):
            intake.on_batch(simulator.snapshot(symbol, 1_000))
        if turn % 5 == 0:
            intake.publish()
            drafts = recorder.flush()
            rows += sum(draft.rows for draft in drafts)
            journal.put(drafts)
            while journal.view().pending_bytes > 32 << 20:
                time.sleep(0.005)
    drafts = recorder.flush()
    journal.put(drafts)
    assert journal.wait_durable(journal.next_seq, 60)
    assert journal.close()
    return rows + sum(draft.rows for draft in drafts)


def measure_replay(folder: Path, seconds: int) -> dict[str, Any]:
    """How many seconds of it a second are played, and what a row takes in the archive."""

    from engine.storage.playback import play_all

    record_simulated(folder, seconds)
    compact_all(folder)
    with catalog.reading(folder) as connection:
        files = catalog.all_files(connection)
    speeds, hashes = [], set()
    end = START_NS + seconds * 10**9
    for _ in range(2):
        intake = Intake(Telemetry(START_NS))
        gc.collect()
        played = play_all(folder, "builtin", (), START_NS, end, intake)
        speeds.append(seconds / played.seconds)
        hashes.add(played.hash)
        assert played.events > 0
        assert not played.lost
        print(f"replay: {seconds} s, {played.events:,} events in {played.seconds:.2f} s")
    assert len(hashes) == 1, hashes
    rows = sum(file.rows for file in files)
    kinds: dict[str, list[int]] = {}
    for file in files:
        kind = kinds.setdefault(file.kind, [0, 0])
        kind[0] += file.rows
        kind[1] += file.size_bytes
    for kind, (count, size) in sorted(kinds.items()):
        print(f"archive: {kind:<10} {count:>10,} rows  {size / count:7.1f} bytes/row")
    return {
        "replay_speed_x": round(median(speeds), 1),
        "bytes_per_row": round(sum(file.size_bytes for file in files) / rows, 2),
        "archived_rows": rows,
    }


def steps(quick: bool, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Each measurement, in a folder of its own."""

    def sustained() -> dict[str, Any]:
        seconds = 8.0 if quick else 20.0
        result = uvloop.run(sustain(folder / "sustained", seconds))
        lags_ms = np.percentile(np.array(result.lags_ns), (50, 99, 100)) / 1e6
        missing = lost(folder / "sustained", result.rows, result.changes)
        print(
            f"sustained: {result.rows + result.changes * LEVELS:,} rows in {seconds:.0f} s, at most "
            f"{result.most_waiting:,} waiting, {result.compacted:,} compacted meanwhile; lag p50 {lags_ms[0]:.2f} "
            f"p99 {lags_ms[1]:.2f} max {lags_ms[2]:.1f} ms; {missing} not there once"
        )
        missing += killed(folder / "killed", 2.5 if quick else 6.0)
        return {
            "sustained_200k": {
                "kept_up": result.kept_up,
                "loop_lag_p99_ms": round(float(lags_ms[1]), 2),
                "loop_lag_max_ms": round(float(lags_ms[2]), 1),
                "compacted_rows": result.compacted,
            },
            "lost_rows": missing,
        }

    yield "append", lambda: measure_append(folder, 500_000 if quick else 2_000_000, 3)
    yield "sustained", sustained
    yield (
        "query",
        lambda: {"query_partition_ms": measure_query(folder / "query", 150_000 if quick else 1_050_000)},
    )
    yield "csv", lambda: measure_csv(folder / "csv", 200_000 if quick else 1_000_000, 1 if quick else 3)
    yield "replay", lambda: measure_replay(folder / "replay", 30 if quick else 300)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    parser.add_argument("--only", default="")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        uvloop.run(child(given.child))
        return
    print(
        f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"SQLite {apsw.sqlite_lib_version()}, pyarrow {version('pyarrow')}, pandas {version('pandas')}"
    )
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    found: dict[str, Any] = {}
    try:
        for name, measure in steps(given.quick, folder):
            if not given.only or name in given.only.split(","):
                began = time.monotonic()
                found |= measure()
                print(f"-- {name}: {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
