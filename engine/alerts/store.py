"""Alerts on the disk: one small SQLite database, and the pen that writes to it without holding the loop.

What `Pen.put` was given is on the disk, in order, once its future is done: all that waits goes in one transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, cast

import apsw
import orjson

from engine.alerts.records import DeliveryRecord, FiringRecord, Kept, Record, RuleRecord, WebhookRecord
from engine.durable_files import make_folder, sync_folder
from engine.errors import StorageError

NAME: Final = "alerts.sqlite"
APPLICATION: Final = 0x56534131  # "VSA1": tells this file from any other database
VERSION: Final = 1
WAITING_MOST: Final = 20_000  # changes that wait for the disk

Step = tuple[str, tuple[Any, ...]]

_SCHEMA: Final = """
CREATE TABLE rules (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, webhooks TEXT NOT NULL, enabled INTEGER NOT NULL,
    created_ns INTEGER NOT NULL, fired INTEGER NOT NULL, fired_ns INTEGER NOT NULL) STRICT;
CREATE TABLE firings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
    symbol TEXT NOT NULL, value TEXT NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,
    acknowledged_ns INTEGER NOT NULL) STRICT;
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY, firing INTEGER NOT NULL, webhook TEXT NOT NULL, created_ns INTEGER NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, next_ns INTEGER NOT NULL, detail TEXT NOT NULL,
    delivered_ns INTEGER NOT NULL) STRICT;
CREATE INDEX deliveries_of ON deliveries (firing);
CREATE TABLE webhooks (
    name TEXT PRIMARY KEY, template TEXT NOT NULL, host TEXT NOT NULL, sealed TEXT NOT NULL,
    created_ns INTEGER NOT NULL, delivered INTEGER NOT NULL, failed INTEGER NOT NULL, detail TEXT NOT NULL) STRICT;
"""


class AlertsUnusable(StorageError):
    """The alerts' database cannot be used. Nothing of it was changed or moved."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def save(record: Record) -> Step:
    """Keep a record as it stands now, in place of what was kept of it."""
    match record:
        case RuleRecord():
            row: tuple[Any, ...] = (
                record.id, record.text, orjson.dumps(record.webhooks).decode(), int(record.enabled),
                record.created_ns, record.fired, record.fired_ns,
            )  # fmt: skip
            table = "rules"
        case FiringRecord():
            row = (
                record.id, record.rule, record.text, record.source, record.symbol, record.value,
                record.started_ns, record.ended_ns, record.acknowledged_ns,
            )  # fmt: skip
            table = "firings"
        case DeliveryRecord():
            row = (
                record.id, record.firing, record.webhook, record.created_ns, record.state, record.attempts,
                record.next_ns, record.detail, record.delivered_ns,
            )  # fmt: skip
            table = "deliveries"
        case WebhookRecord():
            row = (
                record.name, record.template, record.host, record.sealed, record.created_ns, record.delivered,
                record.failed, record.detail,
            )  # fmt: skip
            table = "webhooks"
    marks = ", ".join("?" * len(row))
    return f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row  # noqa: S608  the table is one of four above


def drop(record: Record) -> tuple[Step, ...]:
    """Forget a record; of a firing its deliveries too."""
    match record:
        case RuleRecord():
            return (("DELETE FROM rules WHERE id = ?", (record.id,)),)
        case FiringRecord():
            return (
                ("DELETE FROM deliveries WHERE firing = ?", (record.id,)),
                ("DELETE FROM firings WHERE id = ?", (record.id,)),
            )
        case DeliveryRecord():
            return (("DELETE FROM deliveries WHERE id = ?", (record.id,)),)
        case WebhookRecord():
            return (("DELETE FROM webhooks WHERE name = ?", (record.name,)),)


class Database:
    """The open database; its file is made with the first change, since most who start the program have no rule.

    Every call waits for the disk, and comes from one thread at a time. AlertsUnusable where a file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._connection: apsw.Connection | None = None
        if self.path.exists():
            self._open()

    def _open(self) -> apsw.Connection:
        """The connection; AlertsUnusable says why there is none."""
        try:
            make_folder(self.path.parent)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                sync_folder(self.path.parent)
            connection = apsw.Connection(str(self.path), apsw.SQLITE_OPEN_READWRITE)
        except (OSError, apsw.Error) as error:
            raise AlertsUnusable(str(self.path), f"cannot be opened: {error}") from error
        try:
            self._begin(connection)
        except apsw.BusyError as error:
            connection.close()
            raise AlertsUnusable(
                str(self.path), "is used by another Venuescope: stop it, then this goes on"
            ) from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            connection.close()
            raise AlertsUnusable(str(self.path), _damaged(str(error))) from error
        except apsw.Error as error:
            connection.close()
            raise AlertsUnusable(str(self.path), f"cannot be used: {error}") from error
        except AlertsUnusable:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _begin(self, connection: apsw.Connection) -> None:
        run = connection.execute
        connection.set_busy_timeout(0)
        run("PRAGMA locking_mode = EXCLUSIVE")  # two programs would each deliver every alert
        application, version = run("PRAGMA application_id").get, run("PRAGMA user_version").get
        if (application, version) != (0, 0) and application != APPLICATION:
            raise AlertsUnusable(str(self.path), "is another program's database: move it elsewhere")
        if cast(int, version) > VERSION:
            raise AlertsUnusable(str(self.path), "was written by a newer Venuescope: start that one")
        run("PRAGMA journal_mode = WAL").get  # noqa: B018  the answer has to be read
        run("PRAGMA synchronous = FULL")
        found = run("PRAGMA quick_check(1)").get
        if found != "ok":
            raise AlertsUnusable(str(self.path), _damaged(str(found)))
        run("BEGIN IMMEDIATE")
        if version == 0:
            run(_SCHEMA)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
        run("COMMIT")

    def load(self) -> Kept:
        """All that is kept. AlertsUnusable where it cannot be read."""
        if self._connection is None:
            return Kept()
        try:
            return self._load(self._connection)
        except (apsw.Error, ValueError, TypeError) as error:
            raise AlertsUnusable(str(self.path), _damaged(str(error))) from error

    @staticmethod
    def _load(connection: apsw.Connection) -> Kept:
        run = connection.execute
        kept = Kept()
        for id_, text, webhooks, enabled, *rest in run("SELECT * FROM rules ORDER BY created_ns, id"):
            names = tuple(str(name) for name in orjson.loads(cast(str, webhooks)))
            kept.rules.append(
                RuleRecord(cast(str, id_), cast(str, text), names, bool(enabled), *cast(Any, rest))
            )
        firings = {}
        for row in run("SELECT * FROM firings ORDER BY id"):
            firing = FiringRecord(*cast(Any, row))
            firings[firing.id] = firing
        for row in run("SELECT * FROM deliveries ORDER BY created_ns, id"):
            delivery = DeliveryRecord(*cast(Any, row))
            if delivery.firing in firings:
                firings[delivery.firing].deliveries.append(delivery)
        kept.firings = list(firings.values())
        kept.webhooks = [
            WebhookRecord(*cast(Any, row)) for row in run("SELECT * FROM webhooks ORDER BY created_ns, name")
        ]
        used = run("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'firings'").get
        kept.next_firing = cast(int, used) + 1
        return kept

    def apply(self, steps: list[Step]) -> None:
        """All of it is on the disk, or, when this raises AlertsUnusable, nothing is."""
        run = (self._connection or self._open()).execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for statement, row in steps:
                    run(statement, row)
                run("COMMIT")
            except BaseException:
                with contextlib.suppress(apsw.Error):  # SQLite may have rolled back by itself
                    run("ROLLBACK")
                raise
        except apsw.CorruptError as error:
            raise AlertsUnusable(str(self.path), _damaged(str(error))) from error
        except apsw.Error as error:
            raise AlertsUnusable(str(self.path), f"cannot be written: {error}") from error

    def close(self) -> None:
        """Give it back; what was applied stays."""
        if self._connection is not None:
            self._connection.close()


class Pen:
    """Writes to the database on a thread of its own, everything that waits at once.

    After a failure nothing more is taken: `failure` says why, and `on_failure` is called once.
    """

    def __init__(self, database: Database, on_failure: Callable[[AlertsUnusable], None]) -> None:
        self._database, self._on_failure = database, on_failure
        self._thread = ThreadPoolExecutor(1, "alerts")
        self._steps: list[Step] = []
        self._done: asyncio.Future[None] | None = None  # of those that wait
        self._writing: asyncio.Task[None] | None = None
        self.failure: AlertsUnusable | None = None

    def put(self, *steps: Step) -> asyncio.Future[None]:
        """Done once these steps, and all before them, are on the disk; else it has AlertsUnusable."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        done = self._done
        shown = asyncio.shield(done)  # who is cancelled while he waits must not undo it for the others
        shown.add_done_callback(_seen)
        if self.failure is None and len(self._steps) + len(steps) > WAITING_MOST:
            self._fail(
                AlertsUnusable(str(self._database.path), "cannot be written fast enough: the disk hangs")
            )
        if self.failure is not None:
            self._done = None
            done.set_exception(self.failure.with_traceback(None))
            return shown
        self._steps += steps
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        return shown

    async def close(self) -> None:
        """Write what waits, then give the thread and the database back."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._done is not None and self.failure is None:
            steps, self._steps = self._steps, []
            done, self._done = self._done, None
            try:
                await loop.run_in_executor(self._thread, self._database.apply, steps)
            except AlertsUnusable as error:
                done.set_exception(error)
                self._fail(error)
            else:
                done.set_result(None)
        self._writing = None

    def _fail(self, error: AlertsUnusable) -> None:
        self.failure = error
        self._steps = []
        if self._done is not None and not self._done.done():
            self._done.set_exception(error.with_traceback(None))
            self._done = None
        self._on_failure(error)


def _seen(done: asyncio.Future[None]) -> None:
    """Nobody has to wait for a change: a failure is told through `on_failure`."""
    if not done.cancelled():
        done.exception()


def _damaged(reason: str) -> str:
    return f"is damaged ({reason}): move it elsewhere to begin anew, or put a copy in its place"
