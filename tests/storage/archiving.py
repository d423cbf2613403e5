"""An archiver over a real journal, for tests, and rounds of killing one that works as fast as it can."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from engine.storage import catalog, manifest
from engine.storage.archiver import Archiver
from engine.storage.journal import Draft, Journal
from engine.storage.names import RecordKind
from engine.storage.records import Block
from engine.storage.steps import FOLDER
from tests.storage import killed_writer
from tests.storage.drawn import NOON_NS

WITHIN_S = 60.0


class Store:
    """A journal and its archiver; `now_ns` is their clock."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.root = folder, folder / FOLDER
        self.now_ns = NOON_NS
        self.notes: list[tuple[str, str, str]] = []
        self.journal = Journal.open(folder, pace_s=0.005, wall=lambda: self.now_ns)
        usual = {"every_s": 0.05, "at_bytes": 1 << 30, "grace_s": 0.0, "steady": lambda: self.now_ns}
        options = {**usual, **options}
        self.archiver = Archiver(
            folder,
            self.journal,
            wall=lambda: self.now_ns,
            note=lambda *note: self.notes.append(note),
            **options,
        )

    def put(self, *blocks: Block) -> None:
        for block in blocks:
            self.journal.next_seq = max(self.journal.next_seq, block.last_seq + 1)
            places = (block.kind, block.stream, len(block.rows), block.size_bytes, block.first_seq)
            self.journal.put([Draft(*places, lambda it=block: it)])
            assert self.journal.wait_durable(block.last_seq + 1, WITHIN_S)

    def as_they_came(self) -> None:
        """Every file was added when its records came, not all of them now."""
        change = "UPDATE files SET added_ns = last_ns"
        self.journal.transact(lambda connection: connection.execute(change).fetchall()).result(WITHIN_S)

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()
        )

    def seqs(self, kind: RecordKind = RecordKind.TRADES) -> list[int]:
        parts = killed_writer.rows_in(self.folder)[kind]
        return sorted(seq for rows, _ in parts for seq in rows["seq"].tolist())


@contextlib.asynccontextmanager
async def running(folder: Path, *, sweep: bool = False, **options: Any) -> AsyncIterator[Store]:
    """A store whose archiver runs; without `sweep` it does not look for leftovers first, which takes a process."""
    store = Store(folder, **options)
    store.archiver._sweep = sweep
    task = asyncio.create_task(store.archiver.run())
    try:
        yield store
        assert not task.done(), task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(store.journal.close)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


def leaving(store: Store) -> int:
    """How many files no query sees any more and are not deleted yet."""
    with catalog.reading(store.folder) as reader:
        return len(manifest.leaving(reader))


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder; one that goes meanwhile is not among them."""
    found = {}
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def killed_rounds(
    folder: Path,
    rounds: int,
    longest_s: float,
    uri: str = "",
    there: Callable[[], dict[str, bytes]] | None = None,
) -> None:
    """Nothing is lost, doubled or left over, however often a writer is killed while it uploads to `uri`."""
    dice = random.Random(os.urandom(8).hex())
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["tests.storage.killed_writer", "engine.storage.sweeping"])
    store = folder / "store"
    uri, there = uri or str(folder / "there"), there or (lambda: contents(folder / "there"))
    acknowledged: set[int] = set()
    for _ in range(rounds):
        ours, theirs = spawn.Pipe(duplex=False)
        writer = spawn.Process(target=killed_writer.write, args=(store, uri, theirs))
        writer.start()
        theirs.close()
        acknowledged.add(ours.recv())  # it is under way
        end = time.monotonic() + dice.uniform(0, longest_s)
        while (left := end - time.monotonic()) > 0:
            if ours.poll(left):
                acknowledged.add(ours.recv())
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(WITHIN_S)
        assert writer.exitcode == -signal.SIGKILL
        with contextlib.suppress(EOFError):
            while True:
                acknowledged.add(ours.recv())
        ours.close()
        killed_writer.check(store, acknowledged)
    asyncio.run(_calm(store, uri, there, acknowledged))


async def _calm(
    folder: Path, uri: str, there: Callable[[], dict[str, bytes]], acknowledged: set[int]
) -> None:
    """Left in peace, the archive comes to an end: nothing is left over, here or there, and nothing is missing."""
    store_files = folder / FOLDER
    async with running(folder, uri=uri, every_s=0.1, sweep=True) as store:
        await store.archiver.compact_now()
        await until(lambda: not store.archiver._sweep and store.archiver.view().waiting == 0)
        await until(lambda: leaving(store) == 0 and there() == contents(store_files))
        assert store.archiver.view().damaged == ()
        assert store.journal.view().blocks == 0
        names = {file.path for file in catalog.snapshot(folder).files}
        assert names == set(contents(store_files))
    killed_writer.check(folder, acknowledged)
