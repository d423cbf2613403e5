"""Journals for tests: drafts of drawn blocks, and what is in one afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from engine.storage import catalog
from engine.storage.journal import Draft, Journal
from engine.storage.names import RecordKind
from engine.storage.records import Block, Stream
from engine.storage.schema import FileRow, add_files_and_drop_blocks
from tests.storage.drawn import NOON_NS, drawn_block

WAIT_S = 20.0


def draft_of(block: Block) -> Draft:
    """As the recorder would hand it over."""
    return Draft(block.kind, block.stream, len(block.rows), block.size_bytes, block.first_seq, lambda: block)


def put(
    journal: Journal,
    kind: RecordKind = RecordKind.TRADES,
    count: int = 5,
    *,
    at_ns: int = NOON_NS,
    stream: Stream | None = None,
) -> Block:
    """The block of so many drawn records that was put, with the next numbers."""
    block = drawn_block(kind, count, seq=journal.next_seq, at_ns=at_ns, stream=stream)
    journal.next_seq += count
    journal.put([draft_of(block)])
    return block


def written(journal: Journal) -> None:
    """Returns once all that was put is on the disk."""
    assert journal.wait_durable(journal.next_seq, WAIT_S)


def gap_block(
    seq: int, from_ns: int, to_ns: int, *, what: str = "all", state: int = 0, filled: int = 0, stream: Stream
) -> Block:
    """One gap, as the recorder writes it."""
    block = drawn_block(RecordKind.GAPS, 1, seq=seq, stream=stream)
    block.rows["from_ns"], block.rows["to_ns"], block.rows["what"] = from_ns, to_ns, what.encode()
    block.rows["state"], block.rows["filled"] = state, filled
    block.rows["at"], block.rows["length"] = 0, 12
    return Block(RecordKind.GAPS, stream, block.rows, b"disconnected")


def seqs_in(folder: Path, kind: RecordKind | None = None) -> list[int]:
    """Every number in the blocks of the journal, by block."""
    good, damaged = catalog.snapshot(folder, kind).decoded()
    assert not damaged
    return [seq for block in good for seq in block.rows["seq"].tolist()]


def file_of(
    rows: list[catalog.BlockRow], path: str = "kind=trades/1-2.parquet", size_bytes: int = 100
) -> FileRow:
    """The manifest's row of a file with the rows of these blocks."""
    first = rows[0]
    return FileRow(
        path,
        first.kind,
        first.stream_id,
        first.stream,
        "2025-11-20",
        min(row.first_seq for row in rows),
        max(row.last_seq for row in rows),
        sum(row.rows for row in rows),
        size_bytes,
        min(row.first_ns for row in rows),
        max(row.last_ns for row in rows),
        "00",
        NOON_NS,
    )


def replace_blocks(connection: apsw.Connection, file: FileRow, first_seqs: list[int]) -> int:
    """The file's id; it has taken the place of these blocks."""
    (number,) = add_files_and_drop_blocks(connection, [file], first_seqs)
    return number


@contextmanager
def held_back(journal: Journal) -> Iterator[None]:
    """The journal's thread is busy with a change meanwhile, as it is when the disk takes long."""
    reached, leave = threading.Event(), threading.Event()

    def wait(_connection: apsw.Connection) -> None:
        reached.set()
        assert leave.wait(WAIT_S)

    future = journal.transact(wait)
    assert reached.wait(WAIT_S)
    try:
        yield
    finally:
        leave.set()
        future.result(WAIT_S)


def until(condition: Callable[[], Any], what: str) -> None:
    """Returns once it is true: looked at often, for a while."""
    moment = threading.Event()
    for _ in range(int(WAIT_S / 0.005)):
        if condition():
            return
        moment.wait(0.005)
    raise AssertionError(f"not within {WAIT_S} s: {what}")


def same_rows(blocks: list[Block], others: list[Block]) -> bool:
    """Whether the rows of both, each with what the heap has for it, are the same, by kind, stream and number."""
    return _plain(blocks) == _plain(others)


def _plain(blocks: list[Block]) -> list[tuple[str, str, int, bytes, bytes]]:
    found = []
    for block in blocks:
        names = [name for name in block.rows.dtype.names or () if name != "at"]
        for place, row in enumerate(block.rows):
            heap = b""
            if "at" in (block.rows.dtype.names or ()):
                ends = np.append(block.rows["at"], len(block.heap))
                heap = block.heap[int(ends[place]) : int(ends[place + 1])]
            fields = repr([row[name].item() for name in names]).encode()
            found.append((block.kind.value, repr(block.stream), int(row["seq"]), fields, heap))
    return sorted(found)
