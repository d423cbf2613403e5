"""The journal's database: its tables, how an older one becomes a newer one, and the changes others make in it.

All that writes here takes the journal's connection inside a transaction (`Journal.transact`): it raises before it has
changed anything, or the transaction is rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast

import apsw
import orjson

from engine.errors import BadDataFolder, StorageError
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage.names import WHAT, RecordKind
from engine.storage.records import Stream

NAME: Final = "journal.db"
APPLICATION_ID: Final = 0x5653_4A4C  # "VSJL", in the file's header

# Applied forward, each in one transaction; `PRAGMA user_version` counts them. What has been released is never changed:
# the next version is another entry.
MIGRATIONS: Final[tuple[str, ...]] = (
    # Blocks have no index by time: they are few, since they soon become files, and it would double what a commit of
    # small blocks writes. The payload is last, so that the other columns are read without it. Spans are found by what
    # does not change: each commit makes some of them longer.
    """
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, revision INT NOT NULL, body TEXT NOT NULL,
        UNIQUE (venue, symbol, revision, body)
    ) STRICT;
    CREATE TABLE blocks (
        first_seq INTEGER PRIMARY KEY, last_seq INT NOT NULL, kind TEXT NOT NULL, stream INT NOT NULL,
        rows INT NOT NULL, first_ns INT NOT NULL, last_ns INT NOT NULL, payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, stream INT NOT NULL, date TEXT NOT NULL,
        first_seq INT NOT NULL, last_seq INT NOT NULL, rows INT NOT NULL, size_bytes INT NOT NULL,
        first_ns INT NOT NULL, last_ns INT NOT NULL, sha256 TEXT NOT NULL, added_ns INT NOT NULL,
        uploaded_ns INT NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'here', detail TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX files_by_time ON files (stream, kind, first_ns);
    CREATE TABLE spans (
        id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, what TEXT NOT NULL, from_ns INT NOT NULL,
        to_ns INT NOT NULL, rows INT NOT NULL, size_bytes INT NOT NULL, session INT NOT NULL
    ) STRICT;
    CREATE INDEX spans_by_key ON spans (venue, symbol, what);
    CREATE TABLE gaps (
        id INTEGER PRIMARY KEY, first_seq INT NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL, what TEXT NOT NULL,
        from_ns INT NOT NULL, to_ns INT NOT NULL, reason TEXT NOT NULL, state INT NOT NULL, filled INT NOT NULL,
        UNIQUE (venue, symbol, what, from_ns)
    ) STRICT;
    CREATE TABLE "values" (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
    """,
)
VERSION: Final = len(MIGRATIONS)

_FIRST_OF_FILES: Final = (
    "SELECT min(first_ns) FROM files WHERE kind IN (SELECT value FROM json_each(?))"
    " AND stream IN (SELECT id FROM streams WHERE venue = ? AND symbol = ?)"
)
_FIRST_OF_BLOCKS: Final = _FIRST_OF_FILES.replace("files", "blocks")

FileState = Literal["here", "damaged", "deleting"]
# To which of WHAT a kind belongs; gaps belong to none.
WHAT_OF: Final = {kind: what for what, kinds in WHAT.items() for kind in kinds}


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of the archive, as the manifest has it. Times are those of `times_of`, ends included."""

    path: str  # below the archive's root, with "/"
    kind: RecordKind
    stream_id: int
    stream: Stream
    date: str  # "2026-11-20", UTC
    first_seq: int
    last_seq: int
    rows: int
    size_bytes: int
    first_ns: int
    last_ns: int
    sha256: str
    added_ns: int
    uploaded_ns: int = 0  # 0 = not yet
    state: FileState = "here"
    detail: str = ""
    id: int = 0  # 0 = not in the manifest yet


def begin(connection: apsw.Connection) -> None:
    """A transaction that may write is open."""
    connection.execute("BEGIN IMMEDIATE")


def rollback(connection: apsw.Connection) -> None:
    """No transaction is open; a full disk has ended it already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def version(connection: apsw.Connection, folder: str, known: int = VERSION) -> int:
    """The database's version, 0 for an empty one. BadDataFolder when it is newer than `known`, or another program's."""
    found = cast(int, connection.pragma("user_version"))
    tables = cast(int, connection.execute("SELECT count(*) FROM sqlite_schema").get)
    if (tables or found) and connection.pragma("application_id") != APPLICATION_ID:
        raise BadDataFolder(folder, f"has a {NAME} that another program made", "give it another name")
    if found > known:
        raise BadDataFolder(
            folder,
            f"was written by a newer Venuescope (version {found} of the journal; this one knows {known})",
            "start the newer one",
        )
    return found


def migrate(connection: apsw.Connection, folder: str, migrations: Sequence[str] = MIGRATIONS) -> int:
    """The version it had; it has the newest now. One that fails leaves the database as the one before made it."""
    had = version(connection, folder, len(migrations))
    for place in range(had, len(migrations)):
        begin(connection)
        try:
            connection.execute(migrations[place])
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", place + 1)
            connection.execute("COMMIT")
        except BaseException:
            rollback(connection)
            raise
    return had


def body_of(stream: Stream) -> str:
    """A stream as JSON; equal streams have equal texts."""
    plain = {
        "venue": stream.venue,
        "symbol": stream.symbol,
        "instrument": None if stream.instrument is None else asdict(stream.instrument),
        "rule": None if stream.rule is None else stream.rule.value,
        "label": stream.label,
    }
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()


def stream_of(body: str) -> Stream:
    """The stream of `body_of`. ValueError, KeyError or TypeError when it is none."""
    plain = orjson.loads(body)
    instrument, rule = plain["instrument"], plain["rule"]
    return Stream(
        plain["venue"],
        plain["symbol"],
        None if instrument is None else Instrument(**instrument),
        None if rule is None else Rule(rule),
        plain["label"],
    )


def stream_id(connection: apsw.Connection, stream: Stream) -> int:
    """Its number; a new stream gets one."""
    key = (stream.venue, stream.symbol, revision_of(stream), body_of(stream))
    find = "SELECT id FROM streams WHERE venue = ? AND symbol = ? AND revision = ? AND body = ?"
    found = connection.execute(find, key).get
    if found is None:
        connection.execute("INSERT INTO streams (venue, symbol, revision, body) VALUES (?, ?, ?, ?)", key)
        found = connection.last_insert_rowid()
    return cast(int, found)


def revision_of(stream: Stream) -> int:
    """The revision of the units its records are in."""
    return 0 if stream.instrument is None else stream.instrument.revision


def value(connection: apsw.Connection, name: str, default: Any = None) -> Any:
    """What is kept under the name: a number, a text, bytes or None."""
    found = connection.execute('SELECT value FROM "values" WHERE name = ?', (name,)).fetchone()
    return default if found is None else found[0]


def put_value(connection: apsw.Connection, name: str, new: int | float | str | bytes | None) -> None:
    """Keep it under the name, in the place of what was."""
    connection.execute('INSERT OR REPLACE INTO "values" (name, value) VALUES (?, ?)', (name, new))


def add_files_and_drop_blocks(
    connection: apsw.Connection, files: Sequence[FileRow], first_seqs: Sequence[int]
) -> list[int]:
    """The new files' ids; together they have taken the place of exactly those blocks, which are of one kind and stream.

    StorageError, and nothing is changed, when one of the blocks is gone, of another kind or stream, or when the files
    have another number of rows.
    """
    kind, stream = files[0].kind, files[0].stream_id
    find = "SELECT rows, length(payload) FROM blocks WHERE first_seq = ? AND kind = ? AND stream = ?"
    found = [connection.execute(find, (seq, kind, stream)).fetchone() for seq in first_seqs]
    there = [cast("tuple[int, int]", row) for row in found if row is not None]
    named = f"{files[0].path} cannot take the place of {len(first_seqs)} blocks"
    if len(there) != len(first_seqs) or len(set(first_seqs)) != len(first_seqs):
        raise StorageError(f"{named}: {len(there)} of them are in the journal")
    rows = sum(row[0] for row in there)
    if rows != sum(file.rows for file in files):
        raise StorageError(f"{named}: they have {rows:,} rows, it has {sum(file.rows for file in files):,}")
    ids = [add_file(connection, file) for file in files]
    connection.executemany("DELETE FROM blocks WHERE first_seq = ?", [(seq,) for seq in first_seqs])
    smaller = sum(row[1] for row in there) - sum(file.size_bytes for file in files)
    _shrink_newest_span(connection, files[-1], smaller)
    return ids


def add_file(connection: apsw.Connection, file: FileRow) -> int:
    """The id of the file, which is in the manifest now. Of a path that is there already, apsw.ConstraintError."""
    connection.execute(
        "INSERT INTO files (path, kind, stream, date, first_seq, last_seq, rows, size_bytes, first_ns, last_ns, sha256,"
        " added_ns, uploaded_ns, state, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(file.path, file.kind, file.stream_id, file.date, file.first_seq, file.last_seq, file.rows),
            *(file.size_bytes, file.first_ns, file.last_ns, file.sha256, file.added_ns, file.uploaded_ns),
            *(file.state, file.detail),
        ),
    )
    return connection.last_insert_rowid()


def mark_file(
    connection: apsw.Connection,
    file_id: int,
    *,
    state: FileState | None = None,
    detail: str | None = None,
    uploaded_ns: int | None = None,
) -> bool:
    """Whether the file is in the manifest; what is given of it has changed."""
    connection.execute(
        "UPDATE files SET state = coalesce(?, state), detail = coalesce(?, detail),"
        " uploaded_ns = coalesce(?, uploaded_ns) WHERE id = ?",
        (state, detail, uploaded_ns, file_id),
    )
    return connection.changes() > 0


def drop_file(connection: apsw.Connection, file_id: int, *, moved: bool = False) -> bool:
    """Whether the file was in the manifest; it is not any more.

    Spans and gaps older than all that is left of its venue's symbol go with it, unless its rows have `moved` to
    another file.
    """
    find = "SELECT venue, symbol, kind, last_ns FROM files JOIN streams ON streams.id = files.stream WHERE files.id = ?"
    found = cast("tuple[str, str, str, int] | None", connection.execute(find, (file_id,)).fetchone())
    if found is None:
        return False
    connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
    what = WHAT_OF.get(RecordKind(found[2]))
    if what is not None and not moved:
        _forget(connection, found[0], found[1], what, found[3])
    return True


def _shrink_newest_span(connection: apsw.Connection, file: FileRow, smaller: int) -> None:
    """Files are smaller than the blocks were; the sizes of spans are estimates, and the newest one takes it all."""
    connection.execute(
        "UPDATE spans SET size_bytes = max(0, size_bytes - ?) WHERE id = (SELECT id FROM spans WHERE venue = ?"
        " AND symbol = ? AND what = ? AND from_ns <= ? ORDER BY from_ns DESC LIMIT 1)",
        (smaller, file.stream.venue, file.stream.symbol, WHAT_OF.get(file.kind, ""), file.last_ns),
    )


def _forget(connection: apsw.Connection, venue: str, symbol: str, what: str, deleted_ns: int) -> None:
    """Spans and gaps claim nothing any more that is older than the first record left."""
    left = None
    for find in (_FIRST_OF_FILES, _FIRST_OF_BLOCKS):  # blocks are newer than files
        if left is None:
            left = connection.execute(find, (orjson.dumps(WHAT[what]).decode(), venue, symbol)).get
    first_ns = deleted_ns + 1 if left is None else cast(int, left)
    key = (venue, symbol, what, first_ns)
    connection.execute("DELETE FROM spans WHERE venue = ? AND symbol = ? AND what = ? AND to_ns < ?", key)
    connection.execute(
        "UPDATE spans SET rows = CAST(1.0 * rows * (to_ns - ?4) / (to_ns - from_ns) AS INT),"
        " size_bytes = CAST(1.0 * size_bytes * (to_ns - ?4) / (to_ns - from_ns) AS INT), from_ns = ?4"
        " WHERE venue = ?1 AND symbol = ?2 AND what = ?3 AND from_ns < ?4",
        key,
    )
    connection.execute(
        "DELETE FROM gaps WHERE venue = ? AND to_ns < (SELECT coalesce(min(from_ns), ?) FROM spans WHERE venue = ?)",
        (venue, first_ns, venue),
    )
