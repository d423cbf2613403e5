"""A capture of somebody else's into the store: whole or not at all, and once.

While it is taken over, the store says so; whoever opens the journal next and finds that, undoes what a broken import
left. Nothing else can have been written meanwhile, for the journal has one writer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

import apsw
import orjson

from engine.errors import BadImport
from engine.intake import Intake
from engine.market.sink import Sink
from engine.storage import schema
from engine.storage.journal import Journal
from engine.storage.recorder import Recorder
from engine.telemetry.hub import Telemetry

OPEN: Final = "import"  # while one is under way: where its records begin, and its session
DONE: Final = "imported "  # and a file's digest: its name, and when
WAITING_BYTES: Final = 32 << 20


class File(Protocol):
    """A file by what is in it."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Inlet:
    """A store that is written by a command: `sink` takes what is to be recorded, `flush` puts it on its way."""

    def __init__(self, journal: Journal, what: Sequence[str]) -> None:
        self._journal = journal
        self._recorder = Recorder(time.time_ns, always=tuple(what))
        self._recorder.use(journal)
        self._intake = Intake(Telemetry(time.time_ns()))
        self._intake.tap = self._recorder

    @property
    def sink(self) -> Sink:
        """What feeds deliver to."""
        return self._intake

    def flush(self) -> None:
        """Put what has come; waits while the disk is behind."""
        self._journal.put(self._recorder.flush())
        while self._journal.view().pending_bytes > WAITING_BYTES and self._journal.state != "failed":
            time.sleep(0.005)


@contextlib.contextmanager
def taking_over(folder: Path, files: Sequence[File], what: Sequence[str]) -> Iterator[Inlet]:
    """An inlet; what went in is kept if the block ends well, else nothing is.

    BadImport when one of the files was imported before; StoreLocked while another process writes to the store.
    """
    journal = Journal.open(folder)
    try:
        journal.transact(roll_back).result()
        journal.transact(lambda connection: _begin(connection, files, journal.next_seq)).result()
        inlet = Inlet(journal, what)
        try:
            yield inlet
        except BaseException:
            journal.wait_durable(journal.next_seq, 60)
            journal.transact(roll_back).result()
            raise
        inlet.flush()
        journal.wait_durable(journal.next_seq, 600)
        journal.transact(lambda connection: _finish(connection, files)).result()
    finally:
        journal.close()


def roll_back(connection: apsw.Connection) -> int:
    """How many records of an import that was broken off were taken away; for `Journal.transact`."""
    mark = cast("str | None", schema.value(connection, OPEN))
    if mark is None:
        return 0
    first_seq, session = map(int, mark.split())
    rows = connection.execute(
        "SELECT coalesce(sum(rows), 0) FROM blocks WHERE first_seq >= ?", (first_seq,)
    ).get
    connection.execute("DELETE FROM blocks WHERE first_seq >= ?", (first_seq,))
    connection.execute("DELETE FROM gaps WHERE first_seq >= ?", (first_seq,))
    connection.execute("DELETE FROM spans WHERE session = ?", (session,))
    connection.execute('DELETE FROM "values" WHERE name = ?', (OPEN,))
    return cast(int, rows)


def _begin(connection: apsw.Connection, files: Sequence[File], next_seq: int) -> None:
    for file in files:
        before = cast("str | None", schema.value(connection, DONE + file.sha256))
        if before is not None:
            known = orjson.loads(before)
            raise BadImport(file.name, f"it was imported already, as {known['name']} on {known['at']}")
    session = cast(int, schema.value(connection, "session", 0)) + 1
    schema.put_value(connection, OPEN, f"{next_seq} {session}")


def _finish(connection: apsw.Connection, files: Sequence[File]) -> None:
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for file in files:
        body = orjson.dumps({"name": file.name, "at": at}).decode()
        schema.put_value(connection, DONE + file.sha256, body)
    connection.execute('DELETE FROM "values" WHERE name = ?', (OPEN,))
