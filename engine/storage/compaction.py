"""Blocks of the journal become files of the archive, and many small files a few: plans, and the child that does it.

    python -m engine.storage.compaction FOLDER      one JSON line in (Request), one out for each Step, then it ends

The child writes files and nothing else: each step it tells is one transaction of the process that has the journal,
after which the files count and what they replace does not. Until then they are leftovers, which a later start finds
and takes away (see `engine.storage.sweeping`). It stops after the running step once its standard input is closed,
and may be killed at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import apsw
import msgspec

from engine.durable_files import lock_folder, make_folder
from engine.errors import BlockDamaged
from engine.storage import catalog
from engine.storage.dates import date_text
from engine.storage.names import RecordKind
from engine.storage.records import Stream
from engine.storage.schema import FileRow
from engine.storage.steps import FOLDER, GroupKey, Request, Spoilt, Step, Told

if TYPE_CHECKING:
    import pyarrow as pa

TAKE_ROWS: Final = 1_000_000  # at most in a file,
TAKE_BYTES: Final = 64 << 20  # of about as much in memory; the process takes some five times that
ENOUGH_BYTES: Final = 1 << 20  # a stream with as much goes after one wait, else
WAITS: Final = 10  # after so many, for files of a few rows are many files
SMALL_ROWS: Final = TAKE_ROWS // 2  # two small files always fit into one,
SMALL_BYTES: Final = 4 << 20  # which takes some 12 times as much memory
SMALL_FILES: Final = 24  # of a stream and kind that the running day may have
LOCK_WAIT_S: Final = 30.0  # for the child of a process that was killed, which ends after its running step
NICE: Final = 5
BUSY: Final = 75  # exit code: another child is at work


class Group(msgspec.Struct, frozen=True):
    """Blocks of one kind and stream that lie in the journal."""

    kind: str
    stream: int
    blocks: int
    rows: int
    size_bytes: int

    @property
    def key(self) -> GroupKey:
        """What it is of."""
        return self.kind, self.stream


_KINDS: Final = frozenset(RecordKind)
Tell = Callable[[Told], None]
Passed = Callable[[str], None]


def groups(connection: apsw.Connection, skip: Sequence[int] = ()) -> list[Group]:
    """What waits in the journal, the most first; without the damaged blocks of `skip`."""
    rows = connection.execute(
        "SELECT kind, stream, count(*), sum(rows), sum(length(payload)) AS size FROM blocks"
        " WHERE first_seq NOT IN (SELECT value FROM json_each(?)) GROUP BY kind, stream ORDER BY size DESC",
        (msgspec.json.encode(list(skip)).decode(),),
    )
    return [Group(*cast("tuple[Any, ...]", row)) for row in rows]


def due(
    waiting: Sequence[Group], waited_s: Mapping[GroupKey, float], every_s: float, at_bytes: int
) -> list[Group]:
    """Which of them become files now, the most first.

    All that have some size once together they have `at_bytes`; else those that have waited `every_s`, and longer
    where they have little.
    """
    if sum(group.size_bytes for group in waiting) >= at_bytes:
        least = min(ENOUGH_BYTES, at_bytes) // 16
        return [group for group in waiting if group.size_bytes >= least] or list(waiting)
    return [
        group
        for group in waiting
        if waited_s.get(group.key, 0.0) >= every_s * (1 if group.size_bytes >= ENOUGH_BYTES else WAITS)
    ]


def merges(files: Sequence[FileRow], today: str) -> list[list[FileRow]]:
    """Which files become one: small ones of the same stream, kind and date, two and more, in the order of `seq`.

    Those of the running day once they are many; those of other days always.
    """
    of_folders: dict[tuple[int, str, str], list[FileRow]] = {}
    for file in files:
        if file.state == "here" and file.rows < SMALL_ROWS and file.size_bytes < SMALL_BYTES:
            of_folders.setdefault((file.stream_id, file.kind, file.date), []).append(file)
    found: list[list[FileRow]] = []
    for (_, _, date), small in of_folders.items():
        if len(small) < 2 or (date >= today and len(small) <= SMALL_FILES):
            continue
        run: list[FileRow] = []
        for file in sorted(small, key=lambda file: file.first_seq):
            size_bytes = sum(each.size_bytes for each in run) + file.size_bytes
            if run and (
                sum(each.rows for each in run) + file.rows > TAKE_ROWS or size_bytes > 2 * SMALL_BYTES
            ):
                found.append(run)
                run = []
            run.append(file)
        found.append(run)
    return [run for run in found if len(run) > 1]


def work(
    folder: Path, request: Request, tell: Tell, stopped: Callable[[], bool], passed: Passed | None = None
) -> None:
    """Do what is asked, step by step, until it is done or `stopped`. `passed`: see `archive.write_file`."""
    # Arrow comes with the first call, so that the application can import the plans without it.
    from engine.storage import sweeping

    root = folder / FOLDER
    make_folder(root)
    if request.sweep:
        sweeping.sweep(folder, tell, stopped)
    failure: Exception | None = None
    for group in request.groups:
        if stopped():
            return
        try:
            for step in _compacted(folder, group, request.skip, tell, passed):
                tell(Told(step=step))
                if stopped():
                    return
        except OSError:  # the disk, or a parent that is gone
            raise
        except Exception as error:  # noqa: BLE001  what is wrong with one stream must not keep the others waiting
            failure = failure or error
    if failure is not None:
        raise failure
    if not request.merge or stopped():
        return
    with catalog.reading(folder) as connection:
        runs = merges(catalog.all_files(connection), request.today)
    for run in runs:
        if stopped():
            return
        merged = _merged(root, run, tell, passed)
        if merged is not None:
            tell(Told(step=merged))


def main(arguments: Sequence[str] | None = None, passed: Passed | None = None) -> int:
    """The exit code of the child; `passed` is for tests that end it at a point."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICE)
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    lock = _lock(Path(folder), stop)
    if lock is None:
        print("another process compacts this archive", file=sys.stderr)
        return BUSY
    try:
        work(Path(folder), request, _print, stop.is_set, passed)
        _print(Told())
    except BrokenPipeError:  # the parent is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _compacted(
    folder: Path, group: GroupKey, skip: Sequence[int], tell: Tell, passed: Passed | None
) -> Iterator[Step]:
    """The steps that empty the journal of this kind and stream; each has a file for each date of its blocks."""
    from engine.storage.archive import write_file

    blocks = _blocks(folder, group, skip)
    tables: dict[int, list[pa.Table]] = {}
    good: list[int] = []
    in_rows = in_bytes = 0
    with contextlib.closing(catalog.open_reader(folder)) as connection:
        stream = catalog.streams(connection).get(group[1])
        if stream is None or group[0] not in _KINDS:
            for first_seq, _ in blocks:
                tell(Told(spoilt=Spoilt("", "what stream or kind it is of cannot be read", first_seq)))
            return
        kind = RecordKind(group[0])
        taken = {cast(str, path) for (path,) in connection.execute("SELECT path FROM files")}

        def step() -> Step:
            files = [
                write_file(
                    folder / FOLDER,
                    kind,
                    stream,
                    date_text(day),
                    in_order(tables.pop(day)),
                    taken=taken,
                    step=passed,
                )
                for day in sorted(tables)
            ]
            return Step(group[1], files, blocks=list(good))

        for first_seq, count in blocks:
            if good and (in_rows + count > TAKE_ROWS or in_bytes >= TAKE_BYTES):
                yield step()
                good, in_rows, in_bytes = [], 0, 0
            try:
                parts = tables_of_block(connection, kind, group[1], stream, first_seq)
            except Exception as error:  # noqa: BLE001  whatever is wrong with one block must not stop the others
                reason = (
                    error.reason if isinstance(error, BlockDamaged) else f"{error or type(error).__name__}"
                )
                tell(Told(spoilt=Spoilt("", reason, first_seq)))
                continue
            if not parts:
                continue
            good.append(first_seq)
            in_rows += count
            for day, table in parts.items():
                in_bytes += table.nbytes
                tables.setdefault(day, []).append(table)
        if good:
            yield step()


def _blocks(folder: Path, group: GroupKey, skip: Sequence[int]) -> list[tuple[int, int]]:
    """(first_seq, rows) of what the journal has of this kind and stream."""
    with catalog.reading(folder) as connection:
        rows = connection.execute(
            "SELECT first_seq, rows FROM blocks WHERE kind = ? AND stream = ? ORDER BY first_seq", group
        )
        return [cast("tuple[int, int]", row) for row in rows if row[0] not in skip]


def _merged(root: Path, run: Sequence[FileRow], tell: Tell, passed: Passed | None) -> Step | None:
    """The step that makes these files one; without those that cannot be read. None when fewer than two can."""
    from engine.storage.archive import read_file, write_file

    tables: list[pa.Table] = []
    good: list[FileRow] = []
    for file in run:
        try:
            tables.append(read_file(root / file.path))
            good.append(file)
        except BlockDamaged as error:
            tell(Told(spoilt=Spoilt(file.path, error.reason, file=file.id)))
    if len(good) < 2:
        return None
    first = good[0]
    taken = {file.path for file in run}
    written = write_file(
        root, first.kind, first.stream, first.date, in_order(tables), taken=taken, step=passed
    )
    return Step(first.stream_id, [written], merged=[file.id for file in good])


def tables_of_block(
    connection: apsw.Connection, kind: RecordKind, stream_id: int, stream: Stream, first_seq: int
) -> dict[int, pa.Table]:
    """A block of the journal by day since 1970; {} when it is not there any more. BlockDamaged when it is."""
    import numpy as np

    from engine.storage.archive import dates_of
    from engine.storage.arrow import to_table
    from engine.storage.records import selected

    try:
        found = connection.execute(
            "SELECT last_seq, rows, first_ns, last_ns, payload FROM blocks"
            " WHERE first_seq = ? AND kind = ? AND stream = ?",
            (first_seq, kind.value, stream_id),
        ).fetchone()
    except apsw.CorruptError as error:
        raise BlockDamaged("journal.db", f"the database is damaged there ({error})") from None
    if found is None:
        return {}
    last_seq, rows, first_ns, last_ns, payload = cast("tuple[int, int, int, int, bytes]", found)
    places = (first_seq, last_seq, kind, stream_id, stream, rows, first_ns, last_ns)
    block = catalog.BlockRow(*places, payload).block()
    days = dates_of(kind, block.rows)
    if days[0] == days[-1] and (days == days[0]).all():
        return {int(days[0]): to_table(block)}
    return {int(day): to_table(selected(block, days == day)) for day in np.unique(days)}


def in_order(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all, ascending by `seq`; of rows that share theirs, in their order."""
    import numpy as np
    import pyarrow as pa

    table = pa.concat_tables(tables).unify_dictionaries()
    sequences = table["seq"].to_numpy()
    if (np.diff(sequences) < 0).any():
        table = table.take(np.argsort(sequences, kind="stable"))
    return table


def _lock(folder: Path, stop: threading.Event) -> int | None:
    """What keeps other children away while it is open; None when one does not end."""
    make_folder(folder / FOLDER)
    until = time.monotonic() + LOCK_WAIT_S
    while not stop.is_set() and time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            return lock_folder(folder / FOLDER)
        stop.wait(0.1)
    return None


def _wait_for_end(stop: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 4_096):
            pass
    stop.set()


def _print(told: Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
