"""The one connection that writes to the journal's database: opening, transactions, and emptying the write-ahead log.

Everything here waits for the disk, and is called by one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar, cast

import apsw
import structlog

from engine.errors import BadDataFolder, StoreFailed
from engine.storage.import_marks import roll_back
from engine.storage.journal_pending import Packed
from engine.storage.journal_spans import Key, Spans
from engine.storage.names import RecordKind
from engine.storage.records import NOT_RECORDED, OPEN, Block, Stream, encode
from engine.storage.schema import NAME, WHAT_OF, begin, migrate, put_value, rollback, stream_id, value
from engine.storage.schema import version as schema_version

log = structlog.get_logger(__name__)

T = TypeVar("T")
Refusal = Literal["full", "locked"]

SAFE_SQLITE: Final = (3, 51, 3)  # older ones can damage a database when a checkpoint meets a write
PAGE_BYTES: Final = 8_192
CACHE_KB: Final = 16_384
OPENING_BUSY_MS: Final = 5_000
BUSY_MS: Final = 200
CHECKED_WHOLE_BYTES: Final = (
    256 << 20
)  # at opening; of a larger one only the small tables: blocks have checksums
SMALL_TABLES: Final = ("streams", "files", "spans", "gaps", "values")
# The write-ahead log: emptied into the database from the first size on, between transactions, without waiting for
# anybody. Readers that follow one another without a pause can keep it from being begun anew: from the second on they
# are waited for a moment.
CHECKPOINT_BYTES: Final = 8 << 20
LARGE_BYTES: Final = 64 << 20
KEPT_BYTES: Final = 16 << 20  # of its file, when it is begun anew
RESTART_BUSY_MS: Final = 100
RESTART_EVERY_S: Final = 2.0
FREE_BYTES: Final = (
    64 << 20
)  # unused pages of the database from which on it is made smaller, if that is most of it
VACUUM_PAGES: Final = 512  # at a time
# Bytes on the disk that are given free when a change is refused because it is full.
RESERVE_NAME: Final = "reserve"
RESERVE_BYTES: Final = 512 << 10
RESERVE_FROM_BYTES: Final = 2 << 20  # free
RESERVE_EVERY_S: Final = 10.0
FULL_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM_BYTES: Final = 1 << 18


class Writer:
    """`spans` grow with what is written; `rows` and `blocks` are those in the journal. Closed by `close`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._connection = _opened(folder)
        self._reserve = folder / RESERVE_NAME
        self._errno = 0
        self._undo_import()
        self._streams: dict[Stream, int] = {}
        last = cast(int, self._connection.execute("SELECT coalesce(max(id), 0) FROM spans").get)
        self._spans = Spans(last + 1)
        self.next_seq = max(cast(int, value(self._connection, "next_seq", 1)), self._above_all())
        self._session = cast(int, value(self._connection, "session", 0)) + 1
        self._session_kept = False
        self._connection.set_wal_hook(self._note_pages)
        self._wal_pages = self._emptied_pages = 0
        self._restart_s = 0.0
        self._keep_reserve()
        self.held_up = 0  # times readers kept the write-ahead log from being begun anew
        self.rows = self.blocks = self.size_bytes = self.wal_bytes = 0
        self.count()
        self.measure()

    def write(self, blocks: Sequence[Packed], alive: Mapping[Key, int], next_seq: int) -> None:
        """All of it is on the disk, or, when this raises, nothing is."""
        spans = self._spans.draft()
        streams: dict[Stream, int] = {}
        rows: list[tuple[int | str | bytes, ...]] = []
        with self._transaction() as connection:
            for packed in blocks:
                block = packed.block
                stream = self._streams.get(block.stream) or streams.get(block.stream)
                if stream is None:
                    stream = streams[block.stream] = stream_id(connection, block.stream)
                payload = encode(block.rows, block.heap)
                ends = (block.first_seq, block.last_seq)
                rows.append((*ends, block.kind.value, stream, len(block.rows), *block.times_ns, payload))
                next_seq = max(next_seq, ends[1] + 1)
                if block.kind is RecordKind.GAPS:
                    _write_gaps(connection, block, spans)
                else:
                    key = (block.stream.venue, block.stream.symbol, WHAT_OF[block.kind])
                    spans.add(key, packed.first_ns, packed.last_ns, len(block.rows), len(payload))
            for key, now_ns in alive.items():
                spans.alive(key, now_ns)
            connection.executemany(
                "INSERT INTO blocks (first_seq, last_seq, kind, stream, rows, first_ns, last_ns, payload)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            _write_spans(connection, spans, self._session)
            if not self._session_kept:
                put_value(connection, "session", self._session)
            if next_seq != self.next_seq:
                put_value(connection, "next_seq", next_seq)
        self._spans, self.next_seq, self._session_kept = spans, next_seq, True
        self._streams |= streams
        self.blocks += len(blocks)
        self.rows += sum(len(packed.block.rows) for packed in blocks)

    def has(self, first_seq: int) -> bool:
        """Whether a block begins with this number."""
        found = self._connection.execute("SELECT 1 FROM blocks WHERE first_seq = ?", (first_seq,)).get
        return found is not None

    def change(self, change: Callable[[apsw.Connection], T]) -> T:
        """What it returns, once what it did is on the disk; what it raises, and nothing is done.

        It may be called twice: on a full disk there is room kept for a small one, such as deletes what makes room.
        """
        try:
            found = self._changed(change)
        except apsw.Error as error:
            if self.refusal(error) != "full" or not self._reserve.exists():
                raise
            self._reserve.unlink()
            found = self._changed(change)
        self.count()
        return found

    def refusal(self, error: Exception) -> Refusal | None:
        """Why the disk refused, where trying again can help; None: it cannot, or this is no matter of the disk."""
        if isinstance(error, apsw.FullError):
            return "full"
        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            return "locked"
        if isinstance(error, (apsw.IOError, apsw.CantOpenError)) and (
            self._errno in FULL_ERRORS or shutil.disk_usage(self._folder).free < NO_ROOM_BYTES
        ):
            return "full"
        return None

    def tidy(self) -> None:
        """The write-ahead log is not larger than it must be, nor the database than it need be, as far as is quick."""
        wal_bytes = self._wal_pages * PAGE_BYTES
        if wal_bytes >= LARGE_BYTES and time.monotonic() - self._restart_s >= RESTART_EVERY_S:
            self._restart_s = time.monotonic()
            self._restart_log()
        elif (self._wal_pages - self._emptied_pages) * PAGE_BYTES >= CHECKPOINT_BYTES:
            self._empty_log()
            self._emptied_pages = self._wal_pages
            self._give_pages_back()
        if time.monotonic() - self._reserve_s >= RESERVE_EVERY_S:
            self._keep_reserve()
        self.measure()

    def count(self) -> None:
        """`rows` and `blocks` are as the database has them."""
        found = self._connection.execute("SELECT count(*), coalesce(sum(rows), 0) FROM blocks").fetchone()
        self.blocks, self.rows = cast("tuple[int, int]", found)

    def measure(self) -> None:
        """`size_bytes` and `wal_bytes` are as the files have them."""
        sizes = []
        for path in (self.path, self.path.with_name(NAME + "-wal")):
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:  # the log, before the first transaction
                sizes.append(0)
        self.size_bytes, self.wal_bytes = sum(sizes), sizes[1]

    def close(self) -> None:
        """The database is closed, its write-ahead log emptied unless readers need it."""
        try:
            self._empty_log(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.close()

    def _undo_import(self) -> None:
        """What an import left that was broken off is gone, before anything is written behind it. StoreFailed."""
        try:
            rows = self.change(roll_back)
        except apsw.Error as error:
            reason = f"what a broken import left cannot be taken away: {error}"
            self._connection.close(True)
            raise StoreFailed(str(self.path), reason) from error
        if rows:
            log.warning("an import was broken off: what it left is taken away", rows=rows)

    def _changed(self, change: Callable[[apsw.Connection], T]) -> T:
        with self._transaction() as connection:
            return change(connection)

    def _keep_reserve(self) -> None:
        """A file that a change on a full disk may take the place of."""
        self._reserve_s = time.monotonic()
        with contextlib.suppress(OSError):  # then there is none
            if not self._reserve.exists() and shutil.disk_usage(self._folder).free >= RESERVE_FROM_BYTES:
                self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # zeros might take no room

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        try:
            begin(self._connection)
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            self._errno = self._connection.system_errno
            rollback(self._connection)
            raise

    def _empty_log(self, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE) -> bool:
        """Whether it could be done: not when readers are in the way, or the database has no room to grow."""
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            self._errno = self._connection.system_errno
            if self.refusal(error) is None:
                raise
            return False
        return True

    def _restart_log(self) -> None:
        self._connection.set_busy_timeout(RESTART_BUSY_MS)
        if self._empty_log(apsw.SQLITE_CHECKPOINT_TRUNCATE):
            self._wal_pages = self._emptied_pages = 0
        else:
            self.held_up += 1
        self._connection.set_busy_timeout(BUSY_MS)

    def _give_pages_back(self) -> None:
        """A burst leaves a large database of unused pages."""
        unused = cast(int, self._connection.pragma("freelist_count"))
        if unused * PAGE_BYTES < FREE_BYTES or 2 * unused < cast(int, self._connection.pragma("page_count")):
            return
        try:
            self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        except apsw.Error as error:
            self._errno = self._connection.system_errno
            if self.refusal(error) is None:
                raise

    def _note_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._wal_pages:  # it was begun anew
            self._emptied_pages = 0
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _above_all(self) -> int:
        """The first number above all that is there: `next_seq` is kept, but nothing may ever get a number twice."""
        last = 0
        for find in ("SELECT max(last_seq) FROM blocks", "SELECT max(last_seq) FROM files"):
            last = max(last, cast("int | None", self._connection.execute(find).get) or 0)
        return last + 1


def _opened(folder: Path) -> apsw.Connection:
    """The writing connection, the database brought up to date. BadDataFolder, StoreFailed."""
    path = folder / NAME
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SAFE_SQLITE:
        raise StoreFailed(str(path), f"SQLite {apsw.sqlite_lib_version()} may damage it; 3.51.3 does not")
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(OPENING_BUSY_MS)
        # Before anything in a newer one, or in a foreign one, is changed.
        _configure(connection, new=schema_version(connection, str(folder)) == 0)
        migrate(connection, str(folder))
        _check(connection, folder)
        connection.set_busy_timeout(BUSY_MS)
        return connection
    except apsw.Error as error:
        if connection is not None:
            connection.close(True)
        if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
            raise _damaged(folder, str(error)) from error
        raise StoreFailed(str(path), str(error)) from error
    except BaseException:
        if connection is not None:
            connection.close(True)
        raise


def _configure(connection: apsw.Connection, new: bool) -> None:
    if new:
        connection.pragma("page_size", PAGE_BYTES)
        connection.pragma("auto_vacuum", 2)  # INCREMENTAL
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("fullfsync", 1)  # macOS: its fsync leaves data in the drive's cache
    connection.pragma("checkpoint_fullfsync", 1)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("journal_size_limit", KEPT_BYTES)
    connection.pragma("cache_size", -CACHE_KB)
    connection.pragma("mmap_size", 0)
    connection.pragma("trusted_schema", 0)
    connection.pragma("cell_size_check", 1)


def _check(connection: apsw.Connection, folder: Path) -> None:
    """BadDataFolder when the database is damaged, as far as a quick look tells."""
    if (folder / NAME).stat().st_size <= CHECKED_WHOLE_BYTES:
        found = [cast(str, connection.pragma("quick_check", 1))]
    else:
        found = [cast(str, connection.pragma("quick_check", table)) for table in SMALL_TABLES]
    for said in found:
        if said != "ok":
            raise _damaged(folder, said.splitlines()[-1])


def _damaged(folder: Path, reason: str) -> BadDataFolder:
    return BadDataFolder(str(folder), f"has a damaged {NAME} ({reason})", "restore it from a copy")


def _write_spans(connection: apsw.Connection, spans: Spans, session: int) -> None:
    connection.executemany(
        "INSERT INTO spans (id, venue, symbol, what, from_ns, to_ns, rows, size_bytes, session)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET from_ns = min(from_ns, excluded.from_ns),"
        " to_ns = max(to_ns, excluded.to_ns), rows = rows + excluded.rows,"
        " size_bytes = size_bytes + excluded.size_bytes",
        [
            (span, *change.key, change.from_ns, change.to_ns, change.rows, change.size_bytes, session)
            for span, change in spans.changes.items()
        ],
    )


def _write_gaps(connection: apsw.Connection, block: Block, spans: Spans) -> None:
    """What pages read of gaps, so that they need not decode blocks. A later record of the same gap replaces it."""
    for row in block.rows:
        at, what = int(row["at"]), row["what"].decode()
        from_ns, to_ns, state = int(row["from_ns"]), int(row["to_ns"]), int(row["state"])
        reason = block.heap[at : at + int(row["length"])].decode("utf-8", "replace")
        connection.execute(
            "INSERT INTO gaps (first_seq, venue, symbol, what, from_ns, to_ns, reason, state, filled)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (venue, symbol, what, from_ns) DO UPDATE SET"
            " to_ns = excluded.to_ns, state = excluded.state, filled = excluded.filled,"
            " reason = iif(excluded.reason = '', reason, excluded.reason)",
            (
                *(int(row["seq"]), block.stream.venue, block.stream.symbol, what),
                *(from_ns, to_ns, reason, state, int(row["filled"])),
            ),
        )
        if state in (OPEN, NOT_RECORDED):
            spans.hole(block.stream.venue, block.stream.symbol, what, to_ns)
