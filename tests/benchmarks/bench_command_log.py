"""Commands a second into the command log, how fast they come back, and how long an acknowledgement waits for the disk.

Run: uv run python tests/benchmarks/bench_command_log.py [--quick] [--folder PATH]

Throughput: batches of 256 commands as fast as they are taken, until the last is durable (in mode "async" that is a
sync a second and one at the end; "off" writes nothing). "one by one" waits for each batch before the next, with a
quarter of the commands. The rival, also one by one, is SQLite as a journal: WAL, synchronous=FULL, each batch a blob in
a transaction of its own. All that is written is read back and compared. Wall time counts, repeats are
interleaved, medians are shown.

Latency: 200 batches a second, brought to an asyncio loop on a schedule and each waited for there, as a gateway does;
from the moment it was due, so stalls count. "disk" is a write and an fdatasync of the same bytes at the same pace,
timed alone, in turns with it: the median acknowledgement may take at most 2 ms longer than that. "beside snapshots"
is the same while snapshots of 40 MB are written back to back. The engine itself is left out. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from engine import durable_files
from engine.errors import LogFull
from engine.market.batches import Rows
from engine.matching import frames
from engine.matching.log import CommandLog, Mode
from engine.matching.orders import COMMAND
from tests.benchmarks.bench_feed import cpu_name

BATCH = 256
RATE = 200  # batches a second
WINDOW_S = 2
SNAPSHOT_BYTES = 40 << 20
BAR_MS = 2.0


def pipelined(folder: Path, rows: Rows, mode: Mode) -> None:
    """All batches, waiting only where the log takes no more, and for the last."""
    log = CommandLog(folder, mode)
    for at in range(0, len(rows), BATCH):
        while True:
            try:
                log.append(rows[at : at + BATCH])
                break
            except LogFull:
                log.wait(log.sequence, 60)
    log.close()


def one_by_one(folder: Path, rows: Rows) -> None:
    """Each batch durable before the next."""
    log = CommandLog(folder, "sync")
    for at in range(0, len(rows), BATCH):
        assert log.wait(log.append(rows[at : at + BATCH]), 60)
    log.close()


def sqlite(folder: Path, rows: Rows) -> None:
    """The same in SQLite."""
    folder.mkdir()
    database = sqlite3.connect(folder / "log.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE batch (sequence INTEGER PRIMARY KEY, commands BLOB)")
    for at in range(0, len(rows), BATCH):
        database.execute("INSERT INTO batch VALUES (?, ?)", (at, rows[at : at + BATCH].data))
    database.close()


def read_back(folder: Path) -> tuple[int, int]:
    """How many commands are there, and their checksum."""
    count = crc = 0
    if (folder / "log.sqlite").exists():
        database = sqlite3.connect(folder / "log.sqlite")
        for (blob,) in database.execute("SELECT commands FROM batch ORDER BY sequence"):
            count, crc = count + len(blob) // COMMAND.itemsize, zlib.crc32(blob, crc)
        database.close()
        return count, crc
    for sequence, path in frames.segments(folder):
        for rows in frames.SegmentReader(path, sequence):
            count, crc = count + len(rows), zlib.crc32(rows.data, crc)
    return count, crc


def throughput(root: Path, rows: Rows, repeats: int) -> dict[str, float]:
    """Commands a second of each way, and of reading them back."""
    fewer = rows[: len(rows) // 4]
    ways: dict[str, tuple[Callable[[Path, Rows], None], Rows]] = {
        "off": (lambda folder, rows: pipelined(folder, rows, "off"), rows),
        "async": (lambda folder, rows: pipelined(folder, rows, "async"), rows),
        "sync": (lambda folder, rows: pipelined(folder, rows, "sync"), rows),
        "sync_one_by_one": (one_by_one, fewer),
        "sqlite_one_by_one": (sqlite, fewer),
    }
    rates: dict[str, list[float]] = {name: [] for name in [*ways, "read"]}
    for repeat in range(repeats + 1):  # the first warms up
        for name, (way, whole) in ways.items():
            given = whole if repeat else whole[: 20 * BATCH]
            with tempfile.TemporaryDirectory(dir=root) as parent:
                folder = Path(parent) / name
                seconds = timed(lambda: way(folder, given))  # noqa: B023
                if name != "off":
                    reading = timed(lambda: check(folder, given))  # noqa: B023
            if repeat:
                rates[name].append(len(given) / seconds)
            if repeat and name == "sync":
                rates["read"].append(len(given) / reading)
    return {name: median(found) for name, found in rates.items()}


def timed(work: Callable[[], None]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def check(folder: Path, rows: Rows) -> None:
    """What was written is there."""
    assert read_back(folder) == (len(rows), zlib.crc32(rows.data)), f"{folder.name}: not what was written"


def schedule() -> Iterator[float]:
    """When each batch of a window is due; comes back then. For a thread: loops round their timers to milliseconds."""
    start = time.perf_counter() + 0.01
    for n in range(WINDOW_S * RATE):
        due = start + n / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        yield due


async def acknowledged(log: CommandLog, rows: Rows) -> list[float]:
    """Milliseconds from when each batch was due until the loop knew it to be durable."""
    loop = asyncio.get_running_loop()
    waits: list[float] = []

    async def take(due: float) -> None:
        await log.durable(log.append(rows))
        waits.append((time.perf_counter() - due) * 1e3)

    async with asyncio.TaskGroup() as group:

        def send() -> None:
            for due in schedule():
                loop.call_soon_threadsafe(lambda due=due: group.create_task(take(due)))

        await asyncio.to_thread(send)
    return waits


def bare(file: int, rows: Rows) -> list[float]:
    """Milliseconds of each write and fdatasync."""
    waits: list[float] = []
    for _ in schedule():
        begun = time.perf_counter()
        os.write(file, rows.data)
        durable_files.sync_file(file)
        waits.append((time.perf_counter() - begun) * 1e3)
    return waits


def with_snapshots(log: CommandLog, rows: Rows) -> list[float]:
    """Acknowledgements while a thread writes snapshots without a pause."""
    data, sequence = os.urandom(SNAPSHOT_BYTES), log.rotate()
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            log.write_snapshot(sequence, data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return uvloop.run(acknowledged(log, rows))
    finally:
        done.set()
        writer.join()


def latency(root: Path, rows: Rows, windows: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of wait, all windows together."""
    waits: dict[str, list[float]] = {"ack": [], "disk": [], "ack_beside_snapshots": []}
    with tempfile.TemporaryDirectory(dir=root) as parent:
        log = CommandLog(Path(parent) / "log", "sync")
        file = durable_files.open_append(Path(parent) / "bare", new=True)
        for _ in range(windows):
            waits["disk"] += bare(file, rows)
            waits["ack"] += uvloop.run(acknowledged(log, rows))
        for _ in range(max(1, windows // 2)):
            waits["ack_beside_snapshots"] += with_snapshots(log, rows)
        os.close(file)
        log.close()
    return waits


def main() -> int:
    """Print the figures; 1 when the bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venuescope", help="on the disk to measure")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    batches, repeats, windows = (2_000, 3, 3) if given.quick else (8_000, 7, 10)
    rows = np.frombuffer(np.random.default_rng(5).bytes(batches * BATCH * COMMAND.itemsize), COMMAND)

    rates = throughput(given.folder, rows, repeats)
    for name, rate in rates.items():
        print(f"{name:20} {rate:14,.0f} commands/s", flush=True)
    figures: dict[str, object] = {f"{name}_commands_per_s": round(rate) for name, rate in rates.items()}
    figures["sync_vs_sqlite"] = round(rates["sync_one_by_one"] / rates["sqlite_one_by_one"], 2)

    median_ms = {}
    for name, waits in latency(given.folder, rows[:BATCH], windows).items():
        quantiles = [round(float(value), 3) for value in np.percentile(waits, (50, 99, 99.9, 100))]
        median_ms[name] = quantiles[0]
        figures[f"{name}_ms"] = dict(zip(("p50", "p99", "p99.9", "max"), quantiles, strict=True))
        print(f"{name:20} {figures[f'{name}_ms']} of {len(waits):,}", flush=True)
    added_ms = median_ms["ack"] - median_ms["disk"]
    figures["added_p50_ms"], figures["bar_ms"] = round(added_ms, 3), BAR_MS
    figures["conditions"] = {
        "batch": BATCH,
        "command_bytes": COMMAND.itemsize,
        "batches": batches,
        "repeats": repeats,
        "offered_batches_per_s": RATE,
        "snapshot_bytes": SNAPSHOT_BYTES,
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in ("numpy", "uvloop")},
    }
    print(json.dumps(figures))
    return 0 if added_ms <= BAR_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
