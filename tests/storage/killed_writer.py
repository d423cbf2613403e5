"""A process that records, compacts and uploads as fast as it can until it is killed, and what it must have left.

Its records follow from their numbers alone, so that whoever looks afterwards knows what each must be. In one of
several turns its compacting or its uploading process kills itself, at a point chosen at random.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from engine.storage import archiver, catalog, compaction, upload
from engine.storage.archive import read_file
from engine.storage.archiver import Archiver
from engine.storage.arrow import from_table
from engine.storage.journal import Draft, Journal
from engine.storage.names import RecordKind
from engine.storage.records import Block
from engine.storage.steps import FOLDER
from tests.storage.drawn import NOON_NS, drawn_block

ROUND: Final = 100  # numbers of one put
COUNTS: Final = {RecordKind.TRADES: 40, RecordKind.DELTAS: 40, RecordKind.SNAPSHOTS: 5, RecordKind.RAW: 10}
MIDNIGHT_NS: Final = NOON_NS + 12 * 3_600 * 10**9
COMPACT: Final = ("-c", "from tests.storage.killed_writer import killed_now_and_then as main; main()")
UPLOAD: Final = ("-c", "from tests.storage.killed_writer import upload_killed_now_and_then as main; main()")


def blocks_of(base: int) -> list[Block]:
    """What is put with the numbers from `base` to below `base + ROUND`: some of it over midnight."""
    found, seq = [], base
    for kind, count in COUNTS.items():
        at_ns = MIDNIGHT_NS - 20_000_000 if base // ROUND % 3 else NOON_NS
        found.append(drawn_block(kind, count, seq=seq, at_ns=at_ns))
        seq += count
    return found


def killed_now_and_then() -> None:
    """The compacting process, which may end at each point it passes."""
    random = np.random.default_rng()

    def passed(point: str) -> None:
        if random.random() < 0.03:
            compaction.os.kill(compaction.os.getpid(), compaction.signal.SIGKILL)

    sys.exit(compaction.main(passed=passed))


def upload_killed_now_and_then() -> None:
    """The uploading process, which may end before it sends a file, and before it says that it did."""
    random = np.random.default_rng()
    real = upload.Place._write

    def write_or_end(place: upload.Place, path: str, data: bytes) -> None:
        for step in (lambda: None, lambda: real(place, path, data)):
            step()
            if random.random() < 0.03:
                compaction.os.kill(compaction.os.getpid(), compaction.signal.SIGKILL)

    upload.Place._write = write_or_end
    sys.exit(upload.main())


def write(folder: Path, uri: str, acknowledged: Connection) -> None:
    """Record until killed; each number acknowledged is told."""
    asyncio.run(_write(folder, uri, acknowledged))


async def _write(folder: Path, uri: str, acknowledged: Connection) -> None:
    archiver.RETRY_FIRST_S, archiver.RETRY_MAX_S, archiver.LOOK_S = 0.01, 0.05, 0.02
    journal = Journal.open(folder, pace_s=0.01)
    wall = journal._wall
    work = Archiver(
        folder,
        journal,
        uri=uri,
        every_s=0.1,
        at_bytes=20_000,
        grace_s=0.2,
        wall=wall,
        compact=COMPACT,
        upload=UPLOAD,
    )
    running = asyncio.create_task(work.run())
    base = -(-(journal.next_seq - 1) // ROUND) * ROUND + 1
    while not running.done():
        journal.next_seq = base + ROUND
        journal.put(
            [
                Draft(
                    block.kind,
                    block.stream,
                    len(block.rows),
                    block.size_bytes,
                    block.first_seq,
                    lambda it=block: it,
                )
                for block in blocks_of(base)
            ]
        )
        await journal.durable(base + ROUND)
        acknowledged.send(base)
        base += ROUND
        await asyncio.sleep(0.005)
    running.result()


def rows_in(folder: Path) -> dict[RecordKind, list[tuple[np.ndarray, bytes]]]:
    """(rows, heap) of each file and block of the store, by kind. Raises where one is damaged."""
    found: dict[RecordKind, list[tuple[np.ndarray, bytes]]] = {kind: [] for kind in RecordKind}
    snapshot = catalog.snapshot(folder)
    blocks, damaged = snapshot.decoded()
    assert not damaged
    for block in blocks:
        found[block.kind].append((block.rows, block.heap))
    for file in snapshot.files:
        assert file.state == "here", file
        found[file.kind].append(from_table(file.kind, read_file(folder / FOLDER / file.path)))
    return found


def check(folder: Path, acknowledged: set[int]) -> int:
    """How many rows there are: each acknowledged one exactly once, none twice, each as it was made."""
    total = 0
    for kind, parts in rows_in(folder).items():
        if kind not in COUNTS:
            assert not parts, kind
            continue
        seen: dict[int, bytes] = {}
        for rows, heap in parts:
            for number, data in _as_bytes(kind, rows, heap):
                assert number not in seen, f"{kind} {number} is there twice"
                seen[number] = data
        total += len(seen)
        expected: dict[int, bytes] = {}
        for base in {(number - 1) // ROUND * ROUND + 1 for number in seen} | acknowledged:
            expected |= _expected(kind, base)
        assert seen == expected, f"{kind}: {len(expected) - len(seen)} rows are missing or differ"
    return total


@functools.cache
def _expected(kind: RecordKind, base: int) -> dict[int, bytes]:
    (block,) = (block for block in blocks_of(base) if block.kind is kind)
    return dict(_as_bytes(kind, block.rows, block.heap))


def _as_bytes(kind: RecordKind, rows: np.ndarray, heap: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, all that the record is) of each row."""
    sizes, numbers = _sizes(kind, rows), rows["seq"].tolist()
    starts = rows["at"].tolist() if sizes is not None else []
    rows = rows.copy()
    if sizes is not None:
        rows["at"] = 0
    data, size = rows.tobytes(), rows.itemsize
    for place, number in enumerate(numbers):
        rest = b"" if sizes is None else heap[starts[place] : starts[place] + sizes[place]]
        yield number, data[place * size : (place + 1) * size] + rest


def _sizes(kind: RecordKind, rows: np.ndarray) -> list[int] | None:
    if kind is RecordKind.SNAPSHOTS:
        return (16 * (rows["bids"] + rows["asks"])).tolist()
    return rows["length"].tolist() if kind is RecordKind.RAW else None
