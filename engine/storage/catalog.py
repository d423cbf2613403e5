"""The read side of the store: what there is, as of one moment, from any process, while the journal is written.

All answers to one question come from one read transaction, so that what moves from the journal into the archive
meanwhile is seen in one of them, exactly once. What is read is copied and the database let go at once: a reader that
stays keeps the write-ahead log from being emptied. A folder that holds no store yet is an empty one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import apsw
import orjson

from engine.errors import BadDataFolder, BlockDamaged, StorageError
from engine.storage.names import RecordKind
from engine.storage.records import FILLED, NOT_RECORDED, OPEN, PARTLY_FILLED, Block, Stream, decode
from engine.storage.schema import NAME, VERSION, FileRow, migrate, stream_of, value, version
from engine.storage.views import GapView, SpanView

MAX_NS: Final = 2**63 - 1
SPANS_MAX: Final = 5_000
GAPS_MAX: Final = 1_000
BUSY_MS: Final = 5_000  # only another program, or a writer that is opening, keeps a reader waiting
STATES: Final[dict[int, Literal["open", "filled", "partly filled", "not recorded"]]] = {
    OPEN: "open",
    FILLED: "filled",
    PARTLY_FILLED: "partly filled",
    NOT_RECORDED: "not recorded",
}

Kinds = RecordKind | Sequence[RecordKind] | None


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One block of the journal, as it lies there. Times are those of `times_of`, ends included."""

    first_seq: int
    last_seq: int
    kind: RecordKind
    stream_id: int
    stream: Stream
    rows: int
    first_ns: int
    last_ns: int
    payload: bytes = field(repr=False)

    def block(self) -> Block:
        """Its rows. BlockDamaged when they are not as they were written."""
        rows, heap = decode(self.kind, self.payload)
        block = Block(self.kind, self.stream, rows, heap)
        if len(rows) != self.rows or (block.first_seq, block.last_seq) != (self.first_seq, self.last_seq):
            raise BlockDamaged(self.kind, "it is not the block that was written in its place")
        return block


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there was at one moment. Blocks and files that overlap what was asked for are here whole."""

    files: list[FileRow]  # by first_ns, first_seq; of states "here" and "damaged"
    blocks: list[BlockRow]  # by first_seq
    damaged: list[tuple[int, str]]  # (first_seq, reason) of blocks that are left out
    next_seq: int  # what is below it can be here, nothing else

    def decoded(self) -> tuple[list[Block], list[tuple[int, str]]]:
        """(blocks that can be read, (first_seq, reason) of all that cannot)."""
        good: list[Block] = []
        damaged = list(self.damaged)
        for row in self.blocks:
            try:
                good.append(row.block())
            except BlockDamaged as error:
                damaged.append((row.first_seq, error.reason))
        return good, damaged


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is."""

    blocks: int
    block_rows: int
    block_bytes: int
    files: int
    file_rows: int
    file_bytes: int
    first_ns: int  # 0 = there is nothing
    last_ns: int
    next_seq: int


def open_reader(folder: Path) -> apsw.Connection:
    """A connection that cannot write, to the store of this folder; to an empty one where there is none.

    BadDataFolder when it is damaged, another version's or another program's, StorageError when it cannot be read now.
    Close it soon.
    """
    path = folder / NAME
    if not path.exists():
        return _empty(folder)
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError as error:
        raise BadDataFolder(str(folder), f"has a {NAME} that cannot be opened", "let it be read") from error
    try:
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("mmap_size", 0)
        found = version(connection, str(folder))
        if 0 < found < VERSION:
            remedy = "start Venuescope on it once, which brings it up to date"
            raise BadDataFolder(str(folder), "was written by an older Venuescope", remedy)
    except BaseException as error:
        connection.close()
        if isinstance(error, apsw.Error):
            raise _said(folder, error) from error
        raise
    if found == 0:  # it is being made
        connection.close()
        return _empty(folder)
    return connection


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[apsw.Connection]:
    """A connection inside one read transaction: all it reads is of one moment.

    BadDataFolder where it is damaged, StorageError where another program holds it or the disk refuses.
    """
    connection = open_reader(folder)
    try:
        connection.execute("BEGIN")
        yield connection
    except (apsw.CorruptError, apsw.BusyError, apsw.IOError) as error:
        raise _said(folder, error) from error
    finally:
        connection.close()  # ends the transaction


def snapshot(
    folder: Path,
    kind: Kinds = None,
    venue: str | None = None,
    symbol: str | None = None,
    from_ns: int = 0,
    to_ns: int = MAX_NS,
) -> Snapshot:
    """The files and blocks that may have rows with from_ns <= `times_of` < to_ns. None = of all.

    Each row that was acknowledged is in exactly one of them, or in a damaged block. BadDataFolder where more of the
    database is damaged than blocks. Cost: the payloads are copied, which is at most about what the archive waits for
    before it takes blocks, unless it fails.
    """
    with reading(folder) as connection:
        blocks, damaged = blocks_between(connection, kind, venue, symbol, from_ns, to_ns)
        files = files_between(connection, kind, venue, symbol, from_ns, to_ns)
        return Snapshot(files, blocks, damaged, cast(int, value(connection, "next_seq", 1)))


def streams(connection: apsw.Connection) -> dict[int, Stream]:
    """Every stream that anything was recorded of, by its number; what is unreadable is left out."""
    found: dict[int, Stream] = {}
    for number, body in connection.execute("SELECT id, body FROM streams"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found[cast(int, number)] = stream_of(cast(str, body))
    return found


def blocks_between(
    connection: apsw.Connection,
    kind: Kinds = None,
    venue: str | None = None,
    symbol: str | None = None,
    from_ns: int = 0,
    to_ns: int = MAX_NS,
) -> tuple[list[BlockRow], list[tuple[int, str]]]:
    """(blocks by first_seq, (first_seq, reason) of damaged ones) that overlap [from_ns, to_ns)."""
    known = streams(connection)
    found: list[BlockRow] = []
    damaged: list[tuple[int, str]] = []
    rows = connection.execute(_BLOCKS, _asked(kind, venue, symbol, from_ns, to_ns))
    try:
        for row in rows:
            first_seq, last_seq, text, stream, count, first_ns, last_ns, payload = cast(
                "tuple[Any, ...]", row
            )
            if stream in known and text in _KINDS:
                places = (first_seq, last_seq, _KINDS[text], stream, known[stream], count, first_ns, last_ns)
                found.append(BlockRow(*places, payload))
            else:
                damaged.append((first_seq, "what stream or kind it is of cannot be read"))
    except apsw.CorruptError as error:
        damaged.append((found[-1].first_seq + 1 if found else 0, f"the database is damaged here ({error})"))
    return found, damaged


def files_between(
    connection: apsw.Connection,
    kind: Kinds = None,
    venue: str | None = None,
    symbol: str | None = None,
    from_ns: int = 0,
    to_ns: int = MAX_NS,
) -> list[FileRow]:
    """The files of states "here" and "damaged" that overlap [from_ns, to_ns), by first_ns, then first_seq."""
    return _files(connection, _FILES_ASKED, _asked(kind, venue, symbol, from_ns, to_ns))


def all_files(connection: apsw.Connection) -> list[FileRow]:
    """The whole manifest, by first_ns, then first_seq."""
    return _files(connection, _FILES, ())


def spans(connection: apsw.Connection, limit: int = SPANS_MAX) -> tuple[list[SpanView], int]:
    """(the newest spans, by venue, symbol, what, time; how many are left out)."""
    rows = connection.execute(
        "SELECT venue, symbol, what, from_ns, to_ns, rows, size_bytes FROM"
        " (SELECT * FROM spans ORDER BY to_ns DESC LIMIT ?) ORDER BY venue, symbol, what, from_ns",
        (limit,),
    )
    found = [SpanView(*cast("tuple[Any, ...]", row)) for row in rows]
    return found, max(0, cast(int, connection.execute("SELECT count(*) FROM spans").get) - limit)


def gaps(connection: apsw.Connection, limit: int = GAPS_MAX) -> list[GapView]:
    """The newest gaps, oldest first."""
    rows = connection.execute(
        "SELECT venue, symbol, what, from_ns, to_ns, reason, state, filled, id FROM"
        " (SELECT * FROM gaps ORDER BY from_ns DESC LIMIT ?) ORDER BY from_ns, venue, symbol, what",
        (limit,),
    )
    found = []
    for row in rows:
        venue, symbol, what, from_ns, to_ns, reason, state, filled, number = cast("tuple[Any, ...]", row)
        said = STATES.get(state, "open")
        found.append(GapView(venue, symbol, what, from_ns, to_ns, reason, said, filled, number))
    return found


def totals(connection: apsw.Connection) -> Totals:
    """How much there is in the journal and in the archive's files that are not being deleted."""
    blocks = cast(
        "tuple[int, int, int, int, int]",
        connection.execute(
            "SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(length(payload)), 0), coalesce(min(first_ns), 0),"
            " coalesce(max(last_ns), 0) FROM blocks"
        ).fetchone(),
    )
    archived = cast(
        "tuple[int, int, int, int, int]",
        connection.execute(
            "SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(size_bytes), 0), coalesce(min(first_ns), 0),"
            " coalesce(max(last_ns), 0) FROM files WHERE state <> 'deleting'"
        ).fetchone(),
    )
    there = [part for part in (blocks, archived) if part[0]]
    return Totals(
        *blocks[:3],
        *archived[:3],
        min((part[3] for part in there), default=0),
        max((part[4] for part in there), default=0),
        cast(int, value(connection, "next_seq", 1)),
    )


_KINDS: Final = {kind.value: kind for kind in RecordKind}
_ASKED: Final = (
    " (?1 IS NULL OR kind IN (SELECT value FROM json_each(?1)))"
    " AND ((?2 IS NULL AND ?3 IS NULL) OR stream IN (SELECT id FROM streams"
    " WHERE (?2 IS NULL OR venue = ?2) AND (?3 IS NULL OR symbol = ?3)))"
    " AND first_ns < ?5 AND last_ns >= ?4"
)
_BLOCKS: Final = (
    "SELECT first_seq, last_seq, kind, stream, rows, first_ns, last_ns, payload FROM blocks"  # noqa: S608  constants
    f" WHERE {_ASKED} ORDER BY first_seq"
)
_FILE: Final = (
    "SELECT path, kind, stream, date, first_seq, last_seq, rows, size_bytes, first_ns, last_ns, sha256, added_ns,"
    " uploaded_ns, state, detail, id FROM files"
)
_FILES: Final = f"{_FILE} ORDER BY first_ns, first_seq"
_FILES_ASKED: Final = f"{_FILE} WHERE state <> 'deleting' AND {_ASKED} ORDER BY first_ns, first_seq"


def _files(connection: apsw.Connection, query: str, values: tuple[Any, ...]) -> list[FileRow]:
    known = streams(connection)
    found = []
    for row in connection.execute(query, values):
        path, kind, stream, *rest = cast("tuple[Any, ...]", row)
        if kind in _KINDS:
            found.append(FileRow(path, _KINDS[kind], stream, known.get(stream, Stream("")), *rest))
    return found


def _asked(kind: Kinds, venue: str | None, symbol: str | None, from_ns: int, to_ns: int) -> tuple[Any, ...]:
    kinds = [kind] if isinstance(kind, RecordKind) else kind
    return (
        None if kinds is None else orjson.dumps(list(kinds)).decode(),
        *(venue, symbol),
        *(min(max(ns, -MAX_NS), MAX_NS) for ns in (from_ns, to_ns)),
    )


def _said(folder: Path, error: apsw.Error) -> BadDataFolder | StorageError:
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
        return BadDataFolder(str(folder), f"has a damaged {NAME} ({error})", "restore it from a copy")
    return StorageError(f"{folder / NAME} cannot be read now: {error}")


def _empty(folder: Path) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection, str(folder))
    return connection
