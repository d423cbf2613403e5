"""Processes that trade until they are killed, for `test_crash.py`.

Reads one job a line, as JSON, and forks a process for it, so that the kernels are loaded once. A trading process
prints {"pid": n}, and {"acked": n} whenever all commands below n may be acknowledged; after it {"ended": status}.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.market.batches import Rows
from engine.matching.engine import MatchingEngine
from engine.matching.log import CommandLog
from engine.matching.recovery import recover
from tests.matching.streams import ACCOUNTS, BOOKS, FUNDS, random_stream, rows

ROOM: Final = 64
BLOCK_ROWS: Final = 500
BLOCK_NS: Final = BLOCK_ROWS * 5  # longer than a block lasts: time goes on from one to the next
CALLS: Final = ("open", "write", "fdatasync", "fsync", "replace", "unlink", "close")


def make_engine() -> MatchingEngine:
    """The engine before its first command."""
    return MatchingEngine(BOOKS, ACCOUNTS, ROOM)


def commands(seed: int) -> Iterator[Rows]:
    """The blocks of one endless stream."""
    yield rows(FUNDS)
    for at in itertools.count():
        block = rows(random_stream(seed * 10_000 + at, BLOCK_ROWS))
        for name in ("ts_ns", "expire_ns"):
            block[name] += at * BLOCK_NS
        yield block


def between(seed: int, first: int, end: int) -> Rows:
    """The commands `first` to `end` - 1 of the stream."""
    blocks, have = [], 0
    for block in commands(seed):
        blocks.append(block)
        have += len(block)
        if have >= end:
            return np.concatenate(blocks)[first:end]
    raise AssertionError


def batches(seed: int, first: int, choice: random.Random) -> Iterator[Rows]:
    """The stream from `first` on in batches of 1 to 40 commands."""
    behind = 0
    for block in commands(seed):
        at = max(first - behind, 0)
        while at < len(block):
            size = choice.randint(1, 40)
            yield block[at : at + size]
            at += size
        behind += len(block)


def tell(**what: int) -> None:
    """One line, in one write."""
    os.write(1, json.dumps(what).encode() + b"\n")


def trade(folder: Path, seed: int, choice: random.Random, snapshot_every: int) -> None:
    """Recover and trade on, for ever. Snapshots are written beside, as an exchange would."""
    recovered = recover(folder, make_engine)
    engine, log = recovered.engine, CommandLog(folder, "sync", recovered.sequence)
    writing = threading.Thread()
    for count, batch in enumerate(batches(seed, recovered.sequence, choice)):
        sequence = log.append(batch)
        engine.submit(batch)
        if snapshot_every and count % snapshot_every == 0 and not writing.is_alive():
            writing = threading.Thread(target=log.write_snapshot, args=(log.rotate(), engine.snapshot()))
            writing.start()
        if choice.random() < 0.5:
            assert log.wait(sequence, 10)
            tell(acked=sequence)


def save(folder: Path, seed: int, choice: random.Random, die_at: int) -> None:
    """Trade for three snapshots, and die at the call of this number that the third one makes of the system."""
    recovered = recover(folder, make_engine)
    engine, log = recovered.engine, CommandLog(folder, "sync", recovered.sequence)
    stream = batches(seed, recovered.sequence, choice)
    for snapshot in range(3):
        for batch in itertools.islice(stream, 5):
            log.append(batch)
            engine.submit(batch)
        assert log.wait(log.sequence, 10)
        tell(acked=log.sequence)
        if snapshot == 2:
            die_at_call(die_at)
        log.write_snapshot(log.rotate(), engine.snapshot())


def die_at_call(number: int) -> None:
    """From now on count what is asked of the system, and die before the call of this number; a write is half done."""
    left = itertools.count(number, -1)

    def deadly(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def dies(*given: Any, **named: Any) -> Any:
            if next(left) == 0:
                if name == "write":
                    call(given[0], given[1][: len(given[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return dies

    for name in CALLS:
        setattr(os, name, deadly(name, getattr(os, name)))


def main() -> None:
    """Take jobs until there are no more."""
    engine = make_engine()
    engine.submit(between(0, 0, BLOCK_ROWS))
    engine.restore(engine.snapshot())
    tell(ready=1)
    for line in sys.stdin:
        job = json.loads(line)
        folder, seed, choice = Path(job["folder"]), job["seed"], random.Random(job["choice"])
        pid = os.fork()
        if not pid:
            status = 1
            try:
                tell(pid=os.getpid())
                if "die_at" in job:
                    save(folder, seed, choice, job["die_at"])
                else:
                    trade(folder, seed, choice, job["snapshot_every"])
                status = 0
            finally:
                sys.excepthook(*sys.exc_info()) if status else None
                os._exit(status)
        tell(ended=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
