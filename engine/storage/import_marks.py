"""What the journal's database knows of imports: one that is under way, and the files that were taken over.

Nothing else is written while one is under way. So at the next opening all from its first number on is its own, and is
taken away before anything is written, or made a file of.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol, cast

import apsw
import orjson

from engine.errors import BadImport
from engine.storage import schema
from engine.storage.names import RecordKind

OPEN: Final = "import"  # while one is under way: where its records begin, and its session
DONE: Final = "imported "  # and a file's digest: its name, when, and the numbers and streams of its records


class File(Protocol):
    """A file by what is in it."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def begin(connection: apsw.Connection, files: Sequence[File], next_seq: int) -> None:
    """One is under way from this number on. BadImport when something is left of an earlier one of such a file."""
    for file in files:
        before = cast("str | None", schema.value(connection, DONE + file.sha256))
        if before is None:
            continue
        known = orjson.loads(before)
        if _is_left(connection, known["first_seq"], known["last_seq"], known["streams"]):
            raise BadImport(file.name, f"it was imported already, as {known['name']} on {known['at']}")
        _forget(connection, DONE + file.sha256)
    session = cast(int, schema.value(connection, "session", 0)) + 1
    schema.put_value(connection, OPEN, f"{next_seq} {session}")


def finish(connection: apsw.Connection, files: Sequence[File]) -> None:
    """The one under way is complete. BadImport when nothing was recorded by it."""
    first_seq, _ = map(int, cast(str, schema.value(connection, OPEN)).split())
    rows, last_seq, streams = cast(
        "tuple[int, int, str]",
        connection.execute(
            "SELECT coalesce(sum(rows), 0), coalesce(max(last_seq), 0), json_group_array(DISTINCT stream)"
            " FROM blocks WHERE first_seq >= ? AND kind <> ?",
            (first_seq, RecordKind.GAPS.value),
        ).fetchone(),
    )
    if not rows:
        raise BadImport(files[0].name if files else "", "there is nothing in it of what was asked for")
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for file in files:
        body = {
            "name": file.name,
            "at": at,
            "first_seq": first_seq,
            "last_seq": last_seq,
            "streams": orjson.loads(streams),
        }
        schema.put_value(connection, DONE + file.sha256, orjson.dumps(body).decode())
    _forget(connection, OPEN)


def roll_back(connection: apsw.Connection) -> int:
    """How many records of an import that was broken off were taken away.

    To be called before anything else is written: all from the import's first number on is its own then. Where another
    session has written, as an older Venuescope let it, nothing is taken away.
    """
    mark = cast("str | None", schema.value(connection, OPEN))
    if mark is None:
        return 0
    first_seq, session = map(int, mark.split())
    _forget(connection, OPEN)
    if cast(int, schema.value(connection, "session", 0)) > session:
        return 0
    find = "SELECT coalesce(sum(rows), 0) FROM blocks WHERE first_seq >= ?"
    rows = cast(int, connection.execute(find, (first_seq,)).get)
    connection.execute("DELETE FROM blocks WHERE first_seq >= ?", (first_seq,))
    connection.execute("DELETE FROM gaps WHERE first_seq >= ?", (first_seq,))
    connection.execute("DELETE FROM spans WHERE session = ?", (session,))
    return rows


def _is_left(connection: apsw.Connection, first_seq: int, last_seq: int, streams: Sequence[int]) -> bool:
    """Whether there are still records of such streams and numbers, or others between which they may be."""
    key = (first_seq, last_seq, orjson.dumps(list(streams)).decode())
    there = " WHERE last_seq >= ?1 AND first_seq <= ?2 AND stream IN (SELECT value FROM json_each(?3))"
    return any(
        connection.execute(f"SELECT 1 FROM {found} LIMIT 1", key).get is not None  # noqa: S608  constants
        for found in (f"blocks{there}", f"files{there} AND state <> 'deleting'")
    )


def _forget(connection: apsw.Connection, name: str) -> None:
    connection.execute('DELETE FROM "values" WHERE name = ?', (name,))
