"""Processes that write a journal until they are killed, for `test_kill.py`.

Reads one job a line, as JSON, and forks a process for it, so that the modules are loaded once. A writing process says
{"pid": n}, {"first": n} once its journal is open, and {"acked": n} whenever all numbers below n are acknowledged; after
it {"ended": status}.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Final

import apsw
import numpy as np
import pyarrow  # noqa: F401  before the fork: it takes long

from engine.storage import catalog
from engine.storage.journal import Journal
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block
from engine.storage.schema import mark_file
from tests.storage.drawn import NOON_NS, STREAM, WHOLE
from tests.storage.journals import draft_of, file_of, replace_blocks

KINDS: Final = (RecordKind.TRADES, RecordKind.QUOTES, RecordKind.EVENTS)
PACE_S: Final = 0.002


def known_block(kind: RecordKind, seq: int, count: int) -> Block:
    """Records of which each is what its number says."""
    rows = np.zeros(count, DTYPES[kind])
    rows["seq"] = seq + np.arange(count)
    heap = b""
    if kind is RecordKind.EVENTS:
        rows["ts_ns"] = NOON_NS + rows["seq"]
        rows["at"], rows["length"] = np.arange(count) * 16, 16
        heap = b"".join(b"%016d" % number for number in rows["seq"].tolist())
    else:
        rows["ts_event_ns"] = NOON_NS + rows["seq"]
        rows["price" if kind is RecordKind.TRADES else "bid_price"] = rows["seq"] * 7_919
    return Block(kind, WHOLE if kind is RecordKind.EVENTS else STREAM, rows, heap)


def is_known(block: Block) -> bool:
    """Whether each of its records is what its number says."""
    rows = block.rows
    if block.kind is RecordKind.EVENTS:
        texts = [block.heap[at : at + 16] for at in rows["at"].tolist()]
        return texts == [b"%016d" % number for number in rows["seq"].tolist()]
    prices = rows["price" if block.kind is RecordKind.TRADES else "bid_price"]
    return bool(
        (prices == rows["seq"] * 7_919).all() and (rows["ts_event_ns"] == NOON_NS + rows["seq"]).all()
    )


def write(folder: Path, seed: int) -> None:
    """Put records, wait for some of them, turn old blocks into files; for ever."""
    choice = random.Random(seed)
    journal = Journal.open(folder, pace_s=PACE_S)
    say(first=journal.next_seq)
    while True:
        drafts = []
        for _ in range(choice.randint(1, 4)):
            kind, count = choice.choice(KINDS), choice.randint(1, 300)
            drafts.append(draft_of(known_block(kind, journal.next_seq, count)))
            journal.next_seq += count
        journal.put(drafts)
        if choice.random() < 0.4:
            journal.wait_durable(journal.next_seq, 10.0)
        if choice.random() < 0.1:
            archive(journal, folder, choice.choice(KINDS))
        say(acked=journal.view().durable_seq)


def archive(journal: Journal, folder: Path, kind: RecordKind) -> None:
    """The oldest blocks of a kind are a file of the manifest now, which says what numbers it has."""
    rows = catalog.snapshot(folder, kind).blocks[:4]
    if not rows:
        return
    numbers = [number for row in rows for number in row.block().rows["seq"].tolist()]

    def change(connection: apsw.Connection) -> None:
        file = file_of(rows, f"{kind}/{numbers[0]}.parquet")
        added = replace_blocks(connection, file, [row.first_seq for row in rows])
        mark_file(connection, added, detail=json.dumps(numbers))

    journal.transact(change).result(10.0)


def say(**said: int) -> None:
    """One line, whole or not at all."""
    os.write(1, json.dumps(said).encode() + b"\n")


def main() -> None:
    """Serve jobs until the input ends."""
    say(ready=1)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            write(Path(job["folder"]), job["seed"])
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(ended=status)


if __name__ == "__main__":
    main()
