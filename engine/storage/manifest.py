"""What the archiver asks of the manifest, and changes in it.

Asking takes a reader's connection; what changes takes the journal's (`Journal.transact`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import apsw
import orjson

from engine.errors import StorageError
from engine.storage import catalog
from engine.storage.compaction import SMALL_BYTES, SMALL_FILES, SMALL_ROWS
from engine.storage.dates import DAY_NS
from engine.storage.names import RecordKind
from engine.storage.retention import Day, Deletion, Running
from engine.storage.schema import FileRow, add_file, add_files_and_drop_blocks, mark_file, put_value, value
from engine.storage.steps import Sending, Step

# `uploaded_ns` of a merged file that is certainly not at the other place any more. 0 does not say so: it may have been
# sent just before we were killed.
WITHDRAWN: Final = -1
MERGED: Final = "merged into "  # and the path: the detail of a file whose rows have moved
DAMAGED_MAX: Final = 50
# From the beginning of its date: a file that is added later, as after an import, is late.
IN_TIME_S: Final = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that no query sees any more."""

    id: int
    path: str
    size_bytes: int
    moved: bool  # its rows are in another file
    elsewhere: bool  # it may lie at the other place


@dataclass(frozen=True, slots=True)
class Summary:
    """The manifest in numbers, without files that are leaving."""

    files: int
    rows: int
    size_bytes: int
    newest_ns: int
    waiting: int  # not uploaded
    added_bytes: int  # since the time asked for
    added_from_ns: int  # the first of those; 0 = none
    older: bool  # there are files from before that
    newest_date: str  # "" = there is nothing
    damaged: tuple[tuple[str, str], ...]


def commit(connection: apsw.Connection, step: Step, now_ns: int) -> None:
    """The step's files count, and what they replace does not. StorageError when that is not as it was."""
    stream = catalog.streams(connection).get(step.stream)
    if stream is None:
        raise StorageError(f"the journal has no stream {step.stream}")
    rows = [
        FileRow(
            file.path, RecordKind(file.kind), step.stream, stream, file.date, file.first_seq, file.last_seq,
            file.rows, file.size_bytes, file.first_ns, file.last_ns, file.sha256, now_ns,
        )
        for file in step.files
    ]  # fmt: skip
    if step.blocks:
        add_files_and_drop_blocks(connection, rows, step.blocks)
        return
    (new,) = rows
    counted = added_ns = 0
    for number in step.merged:
        find = (
            "SELECT path, rows, added_ns FROM files WHERE id = ? AND state = 'here' AND stream = ? AND kind = ?"
            " AND date = ?"
        )
        found = connection.execute(find, (number, step.stream, new.kind.value, new.date)).fetchone()
        if found is None:
            raise StorageError(f"{new.path} cannot take the place of a file that is gone")
        path, count, was_added_ns = cast("tuple[str, int, int]", found)
        counted, added_ns = counted + count, max(added_ns, was_added_ns)
        mark_file(connection, number, state="deleting", detail=MERGED + new.path)
        connection.execute("UPDATE files SET detail = ? WHERE detail = ?", (MERGED + new.path, MERGED + path))
    if counted != new.rows:
        raise StorageError(f"{new.path} has {new.rows:,} rows, those it stands for have {counted:,}")
    add_file(connection, replace(new, added_ns=added_ns))  # it is as old as what it is made of


def give_up(connection: apsw.Connection, deletion: Deletion, *, remote: bool) -> int:
    """How many files leave, if none of them has to wait to be uploaded by now; damaged ones stay."""
    connection.execute(
        "UPDATE files SET state = 'deleting', detail = ?2 WHERE state = 'here' AND date = ?3"
        " AND stream IN (SELECT id FROM streams WHERE venue = ?4)"
        " AND (?5 = '[]' OR id IN (SELECT value FROM json_each(?5)))"
        " AND NOT EXISTS (SELECT 1 FROM files JOIN streams ON streams.id = files.stream WHERE date = ?3"
        " AND venue = ?4 AND state = 'here' AND ?5 = '[]' AND ?1 AND uploaded_ns = 0)",
        (int(remote), deletion.why, deletion.date, deletion.venue, str(list(deletion.ids))),
    )
    return connection.changes()


def rows_of(connection: apsw.Connection, deletion: Deletion) -> int:
    """How many rows `give_up` would have leave."""
    found = connection.execute(
        "SELECT coalesce(sum(rows), 0) FROM files JOIN streams ON streams.id = files.stream WHERE state = 'here'"
        " AND date = ?1 AND venue = ?2 AND (?3 = '[]' OR files.id IN (SELECT value FROM json_each(?3)))",
        (deletion.date, deletion.venue, str(list(deletion.ids))),
    ).fetchone()
    return 0 if found is None else cast(int, found[0])


def mark_damaged(connection: apsw.Connection, file: int, reason: str) -> bool:
    """Whether the file was whole; from now on it is skipped, and kept."""
    change = "UPDATE files SET state = 'damaged', detail = ? WHERE id = ? AND state = 'here'"
    connection.execute(change, (reason, file))
    return connection.changes() > 0


def mark_whole(connection: apsw.Connection, file: int, detail: str = "") -> bool:
    """Whether the file was damaged; from now on it is read again."""
    change = "UPDATE files SET state = 'here', detail = ? WHERE id = ? AND state = 'damaged'"
    connection.execute(change, (detail, file))
    return connection.changes() > 0


def first_of(connection: apsw.Connection, deletion: Deletion) -> str:
    """The path of the oldest file of a deletion; "" = none is left."""
    found = connection.execute(
        "SELECT path FROM files JOIN streams ON streams.id = files.stream WHERE state = 'here' AND date = ?1"
        " AND venue = ?2 AND (?3 = '[]' OR files.id IN (SELECT value FROM json_each(?3)))"
        " ORDER BY first_seq LIMIT 1",
        (deletion.date, deletion.venue, str(list(deletion.ids))),
    ).fetchone()
    return "" if found is None else cast(str, found[0])


def forget_uploads(connection: apsw.Connection, uri: str) -> None:
    """Whatever was uploaded to another place than this is not uploaded."""
    if value(connection, "archive_uri", "") != uri:
        connection.execute("UPDATE files SET uploaded_ns = 0")
        put_value(connection, "archive_uri", uri)


def file_at(connection: apsw.Connection, path: str) -> int:
    """The id of the file of this path; 0 = there is none."""
    found = connection.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
    return 0 if found is None else cast(int, found[0])


def leaving(connection: apsw.Connection) -> list[Leaving]:
    """Files that are to be deleted."""
    rows = connection.execute(
        "SELECT id, path, size_bytes, detail, uploaded_ns FROM files WHERE state = 'deleting' ORDER BY id"
    )
    return [
        Leaving(number, path, size_bytes, detail.startswith(MERGED), uploaded_ns != WITHDRAWN)
        for number, path, size_bytes, detail, uploaded_ns in cast("Iterable[tuple[Any, ...]]", rows)
    ]


def sendings(connection: apsw.Connection, limit: int) -> list[Sending]:
    """What is to be sent next, the oldest first; then what is to be deleted there, since another file has its rows."""
    rows = connection.execute(
        "SELECT id, path, size_bytes, sha256, 0 FROM files WHERE state = 'here' AND uploaded_ns = 0"
        " UNION ALL SELECT old.id, old.path, old.size_bytes, old.sha256, 1 FROM files AS old"
        " LEFT JOIN files AS new ON new.path = substr(old.detail, length(?1) + 1)"
        " WHERE old.state = 'deleting' AND old.uploaded_ns <> ?3 AND old.detail GLOB ?1 || '*'"
        " AND coalesce(new.uploaded_ns, 1) > 0 ORDER BY 5, 1 LIMIT ?2",
        (MERGED, limit, WITHDRAWN),
    )
    return [
        Sending(number, path, size_bytes, sha256, bool(delete))
        for number, path, size_bytes, sha256, delete in cast("Iterable[tuple[Any, ...]]", rows)
    ]


def days(connection: apsw.Connection, *, remote: bool) -> list[Day]:
    """The files by date and venue, those of a date that were added long after it by the day they were added.

    Damaged ones, which stay, are not among them.
    """
    found = connection.execute(
        "SELECT date, venue, count(*), sum(size_bytes), sum(?1 AND uploaded_ns = 0), max(added_ns),"
        " json_group_array(files.id), iif(added_ns / 1000000000 >= unixepoch(date) + ?2, added_ns / ?3, 0) AS late"
        " FROM files JOIN streams ON streams.id = files.stream WHERE state = 'here' GROUP BY date, venue, late",
        (int(remote), IN_TIME_S, DAY_NS),
    ).fetchall()
    rows = cast("list[tuple[Any, ...]]", found)
    parts = Counter(row[:2] for row in rows)
    return [
        Day(
            date, venue, files, size_bytes, held,
            added_ns if late else 0, tuple(orjson.loads(ids)) if parts[date, venue] > 1 else (),
        )
        for date, venue, files, size_bytes, held, added_ns, ids, late in rows
    ]  # fmt: skip


def running(connection: apsw.Connection, today: str, *, remote: bool) -> list[Running]:
    """The files of today and later that may go."""
    rows = connection.execute(
        "SELECT files.id, date, venue, first_seq, size_bytes FROM files JOIN streams ON streams.id = files.stream"
        " WHERE state = 'here' AND date >= ?2 AND NOT (?1 AND uploaded_ns = 0)",
        (int(remote), today),
    )
    return [Running(*cast("tuple[Any, ...]", row)) for row in rows]


def has_merges(connection: apsw.Connection, today: str) -> bool:
    """Whether `compaction.merges` would find something."""
    found = connection.execute(
        "SELECT 1 FROM files WHERE state = 'here' AND rows < ? AND size_bytes < ? GROUP BY stream, kind, date"
        " HAVING count(*) > CASE WHEN date < ? THEN 1 ELSE ? END LIMIT 1",
        (SMALL_ROWS, SMALL_BYTES, today, SMALL_FILES),
    ).fetchone()
    return found is not None


def summary(connection: apsw.Connection, since_ns: int) -> Summary:
    """The manifest as it stands."""
    totals = connection.execute(
        "SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(size_bytes), 0), coalesce(max(added_ns), 0),"
        " coalesce(sum(uploaded_ns = 0 AND state = 'here'), 0),"
        " coalesce(sum(size_bytes) FILTER (WHERE added_ns >= ?1), 0),"
        " coalesce(min(added_ns) FILTER (WHERE added_ns >= ?1), 0), coalesce(min(added_ns) < ?1, 0),"
        " coalesce(max(date), '')"
        " FROM files WHERE state <> 'deleting'",
        (since_ns,),
    ).fetchone()
    damaged = connection.execute(
        "SELECT path, detail FROM files WHERE state = 'damaged' ORDER BY id LIMIT ?", (DAMAGED_MAX,)
    ).fetchall()
    files, rows, size_bytes, newest_ns, waiting, added, added_ns, older, newest = cast(
        "tuple[Any, ...]", totals
    )
    told = tuple(cast("list[tuple[str, str]]", damaged))
    return Summary(files, rows, size_bytes, newest_ns, waiting, added, added_ns, bool(older), newest, told)
