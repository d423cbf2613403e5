"""The journal: what is put becomes durable within moments, whatever the disk does nothing is waited for, and what had
to be given up is counted and said.

The loop puts drafts; a thread of the journal's own packs all that waits, writes it in one transaction and so
acknowledges it. A full disk, or another program that holds the database, is no failure: what waits is held up to a
limit, then the least wanted is given up first, and the thread tries until it works again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import apsw
import structlog

from engine.durable_files import lock_folder, make_folder
from engine.errors import StorageError, StoreFailed, StoreLocked
from engine.group_commit import GroupCommit
from engine.storage.journal_pending import Draft, Pending, Waiting, merged
from engine.storage.journal_spans import Key
from engine.storage.journal_writer import Refusal, Writer
from engine.storage.names import RecordKind
from engine.storage.records import Block
from engine.storage.views import JournalView

__all__ = ["Draft", "Journal", "OnShed"]
log = structlog.get_logger(__name__)

PACE_S: Final = 0.05
BEGUN_BY: Final = 0.9  # of the pace: threads wake up late
PENDING_BYTES: Final = 128 << 20
BATCH_BYTES: Final = 32 << 20  # one transaction at most
PROBE_BYTES: Final = 256 << 10  # the first one after the disk was full
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 2.0
LOCKED_LIMIT_S: Final = 30.0
ALIVE_S: Final = 1.0
STRETCH_S: Final = 1.0  # nothing given up for so long: the stretch is over
COMMITS_KEPT: Final = 1_000
DISK_FULL: Final = "the disk is full"
LOCKED: Final = "another program holds the database"
NUMBERS_TAKEN: Final = "their numbers are taken"
TOO_SLOW: Final = "more came than the disk could take"

T = TypeVar("T")
# venue, symbol, kind, from_ns, to_ns, rows, reason
OnShed = Callable[[str, str, RecordKind, int, int, int, str], None]
State = Literal["ready", "full", "failed"]


class Journal:
    """The store's one writer; made by `open`. `put` and `alive` are the loop's, all else may be called by any thread.

    `next_seq` is the number of the next record: whoever makes records adds to it, before they are put. `on_shed` is
    called by the journal's thread, once for each stretch of one kind of one stream that was given up, when it is over.
    """

    def __init__(
        self, folder: Path, lock: int, writer: Writer, pace_s: float, limit: int, wall: Callable[[], int]
    ):
        self.folder = folder
        self.next_seq = writer.next_seq
        self.on_shed: OnShed | None = None
        self.state: State = "ready"
        self.detail = ""
        self.written = 0  # rows, since it was opened
        self._folder_lock, self._writer, self._wall = lock, writer, wall
        self._guard = threading.Lock()
        self._pending = Pending(limit)
        self._ticket = 0  # of the newest put, change or mark: what the thread goes by
        self._put_ns = wall()
        self._first_seq = self._put_seq = self._durable_seq = self.next_seq
        self._alive: dict[Key, int] = {}
        self._alive_s = 0.0
        self._changes: deque[tuple[Callable[[apsw.Connection], Any], Future[Any]]] = deque()
        self._closing = threading.Event()
        self._ended = False
        self._obstacle = TOO_SLOW  # why something is given up, if it must be
        # What is being written cannot be given up any more: the most of what waits can.
        self._batch_bytes = self._batch_max = min(BATCH_BYTES, limit // 4)
        self._commits = self._newest_ns = 0
        self._took_ns: deque[int] = deque(maxlen=COMMITS_KEPT)
        self._second = (0, 0, 0)  # the running one, rows in it, rows in the one before
        self._commit = GroupCommit(self._sync, 0, pace_s * BEGUN_BY)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        pace_s: float = PACE_S,
        pending_limit_bytes: int = PENDING_BYTES,
        wall: Callable[[], int] = time.time_ns,
    ) -> Journal:
        """The journal of this folder, which is made where it does not exist. Waits for the disk.

        StoreLocked when another one is open, in any process; BadDataFolder when the database is damaged, foreign or a
        newer Venuescope's; StoreFailed when it cannot be opened now.
        """
        try:
            make_folder(folder)
            lock = lock_folder(folder)
        except BlockingIOError as error:
            raise StoreLocked(str(folder)) from error
        except OSError as error:
            raise StoreFailed(str(folder), error.strerror or str(error)) from error
        try:
            return cls(folder, lock, Writer(folder), pace_s, pending_limit_bytes, wall)
        except BaseException:
            os.close(lock)
            raise

    def put(self, drafts: Sequence[Draft]) -> None:
        """They are written with the next transaction, at most `pace_s` from now. Never waits; what cannot is counted.

        Drafts of one kind and stream come in the order of their numbers; all numbers are below `next_seq`.
        """
        if not drafts:
            return
        now_ns, now_s = self._wall(), time.monotonic()
        with self._guard:
            # What came since the last put, as far as that says anything.
            from_ns = min(now_ns, max(self._put_ns, now_ns - 10**9))
            self._put_ns, self._put_seq = now_ns, self.next_seq
            self._ticket += 1
            if self._ended:
                self._pending.refuse(drafts, from_ns, now_ns, self.detail, now_s)
                return
            # Of another journal's numbers: what they name is on the disk already.
            foreign = [draft for draft in drafts if draft.first_seq < self._first_seq]
            if foreign:
                self._pending.refuse(foreign, from_ns, now_ns, NUMBERS_TAKEN, now_s)
                drafts = [draft for draft in drafts if draft.first_seq >= self._first_seq]
            self._pending.put(drafts, self._ticket, from_ns, now_ns)
            self._pending.give_up_excess(self._obstacle, now_s)
            self._commit.advance(self._ticket, 0)

    def alive(self, marks: Iterable[tuple[str, str, str, int]]) -> None:
        """(venue, symbol, what, now_ns) that were recorded up to now, though nothing may have come: spans go on.

        On the disk about once a second.
        """
        with self._guard:
            for venue, symbol, what, now_ns in marks:
                self._alive[venue, symbol, what] = now_ns
            if self._ended:
                self._alive.clear()
            elif self._alive and time.monotonic() - self._alive_s >= ALIVE_S:
                self._alive_s = time.monotonic()
                self._ticket += 1
                self._commit.advance(self._ticket, 0)

    async def durable(self, seq: int) -> None:
        """Returns once all that was put of numbers below `seq` is on the disk, or was given up; the loop stays free.

        StoreFailed when the journal ends before.
        """
        try:
            if self._behind(seq):
                await self._commit.reached(self._ticket)
        except StorageError as error:
            raise self._reason() from error

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Whether all that was put of numbers below `seq` is on the disk, or given up, in this time; StoreFailed."""
        try:
            if not self._behind(seq) or self._commit.wait(self._ticket, timeout_s):
                return True
        except StorageError as error:
            raise self._reason() from error
        if self._ended:
            raise self._reason()
        return False

    def transact(self, change: Callable[[apsw.Connection], T]) -> Future[T]:
        """What `change` returns, once what it did is on the disk; what it raises, and nothing of it is done.

        It is called on the journal's thread, in a transaction of its own, and holds commits up as long as it takes;
        on a full disk perhaps twice. StoreFailed when the disk is full or the journal has ended: try again later.
        """
        future: Future[T] = Future()
        with self._guard:
            if not self._ended:
                self._changes.append((change, future))
                self._ticket += 1
                self._commit.advance(self._ticket, 0)
                self._commit.hurry()
                return future
        future.set_exception(self._reason())
        return future

    def abandon(self, change: Callable[[apsw.Connection], T]) -> Future[T]:
        """`transact`; nothing that was put before is written any more, nor counted as given up."""

        def abandoning(connection: apsw.Connection) -> T:
            # On the journal's thread nothing is being written meanwhile: all of it waits.
            with self._guard:
                while taken := self._pending.take(self._pending.size_bytes):
                    self._pending.done(taken)
            return change(connection)

        return self.transact(abandoning)

    def view(self) -> JournalView:
        """How it stands. Cheap."""
        second = int(time.monotonic())
        with self._guard:
            took = list(self._took_ns)
        took.sort()
        with self._guard:
            pending, writer = self._pending, self._writer
            running, rows, before = self._second
            return JournalView(
                rows=writer.rows,
                blocks=writer.blocks,
                size_bytes=writer.size_bytes,
                durable_seq=self._durable_seq,
                pending_rows=pending.rows,
                pending_bytes=pending.size_bytes,
                pending_limit_bytes=pending.limit_bytes,
                commits=self._commits,
                commit_p50_ns=took[len(took) // 2] if took else 0,
                commit_p99_ns=took[len(took) * 99 // 100] if took else 0,
                rows_per_s=float({0: before, 1: rows}.get(second - running, 0)),
                newest_ns=self._newest_ns,
                shed=tuple((kind.value, count) for kind, count in pending.shed.items() if count),
                sqlite=apsw.sqlite_lib_version(),
                wal_bytes=writer.wal_bytes,
                held_up=writer.held_up,
            )

    def close(self) -> bool:
        """What waits is on the disk, the database closed, the lock released; False when that takes too long.

        What a full disk refuses to take is lost, and counted.
        """
        self._closing.set()
        if not self._commit.close():
            return False
        self._end("it was closed")
        return True

    @property
    def ended(self) -> bool:
        """Whether nothing more is written: it was closed, or failed for good."""
        return self._ended

    def tell_given_up(self) -> None:
        """What was given up and not told is told now; of a journal that has ended."""
        self._report_stretches(time.monotonic())

    def _behind(self, seq: int) -> bool:
        return self._durable_seq < min(seq, self._put_seq)

    def _reason(self) -> StoreFailed:
        return StoreFailed(str(self._writer.path), self.detail or "it was closed")

    # From here on, the journal's thread.

    def _sync(self) -> None:
        """All that waits is on the disk; returns only then, unless the journal fails or is closed."""
        try:
            self._write_pending()
            self._make_changes()
            self._writer.tidy()
            self._report_stretches(time.monotonic() - STRETCH_S)
        except Exception as error:
            log.exception("the journal ends")
            self.state = "failed"
            self._end(error.reason if isinstance(error, StoreFailed) else str(error))
            raise self._reason() from error

    def _write_pending(self) -> None:
        with self._guard:
            newest, alive = self._ticket, self._alive
            self._alive = {}
        wait_s, refused_s = RETRY_FIRST_S, 0.0
        while True:
            with self._guard:
                oldest = self._pending.oldest_ticket()
                taken = (
                    self._pending.take(self._batch_bytes) if oldest is not None and oldest <= newest else []
                )
                next_seq = self._put_seq
            # Where all that waited was given up, the disk is tried with nothing: whether it takes what comes next.
            if not taken and not alive and self.state == "ready" and not self.detail:
                self._settle(0, 0)
                return
            blocks = self._packed(taken)
            began_ns = time.perf_counter_ns()
            try:
                self._writer.write(merged(blocks), alive, next_seq)
            except Exception as error:
                refusal = self._writer.refusal(error)
                if refusal is not None:
                    refused_s = refused_s or time.monotonic()
                    self._refused(refusal, time.monotonic() - refused_s)
                elif self._without_twins(error, taken):
                    continue
                with self._guard:
                    self._pending.put_back(taken)
                    self._pending.give_up_excess(self._obstacle, time.monotonic())
                if refusal is None:
                    raise
                self._condense()
                if self._closing.wait(wait_s):
                    raise StoreFailed(str(self._writer.path), self.detail) from error
                wait_s = min(2 * wait_s, RETRY_MAX_S)
                self._make_changes()  # among them may be what makes room
                continue
            with self._guard:
                self._pending.done(taken)
            self._settle(sum(len(block.rows) for block in blocks), time.perf_counter_ns() - began_ns)
            wait_s, refused_s, alive = RETRY_FIRST_S, 0.0, {}
            self._batch_bytes = min(2 * self._batch_bytes, self._batch_max)
            if self.state != "ready" or self.detail:
                self.state, self.detail, self._obstacle = "ready", "", TOO_SLOW
                self._report_stretches(time.monotonic())

    def _packed(self, taken: list[Waiting]) -> list[Block]:
        """Their blocks; what cannot be packed is given up, counted and said, and taken out of the list."""
        blocks = []
        for waiting in list(taken):
            if waiting.pack is not None:
                try:
                    waiting.blocks = [waiting.pack()]
                except Exception as error:
                    log.exception("records cannot be packed", kind=waiting.kind.value)
                    taken.remove(waiting)
                    with self._guard:
                        self._pending.give_up(waiting, f"they could not be packed: {error}", time.monotonic())
                    continue
                waiting.pack = None  # and what it held
            blocks.extend(waiting.blocks)
        return blocks

    def _condense(self) -> None:
        """What waits for a disk that refuses holds little more memory than its rows."""
        while not self._closing.is_set():
            with self._guard:
                loose = self._pending.take_loose()
            if not loose:
                return
            blocks = merged(self._packed(loose))
            with self._guard:
                self._pending.keep(loose, blocks)

    def _without_twins(self, error: Exception, taken: list[Waiting]) -> bool:
        """Whether it was about records whose numbers others on the disk have: they are given up, the rest waits."""
        if not isinstance(error, apsw.ConstraintError):
            return False
        twins = [each for each in taken if any(self._writer.has(block.first_seq) for block in each.blocks)]
        if not twins:
            return False
        log.error("records with the numbers of others", count=len(twins), first_seq=twins[0].first_seq)
        lost = set(map(id, twins))
        with self._guard:
            for waiting in twins:
                self._pending.give_up(waiting, NUMBERS_TAKEN, time.monotonic())
            self._pending.put_back([each for each in taken if id(each) not in lost])
        return True

    def _refused(self, refusal: Refusal, since_s: float) -> None:
        if refusal == "full":
            self._obstacle = DISK_FULL
            self.state, self.detail = "full", f"{DISK_FULL}; what comes waits until there is room"
            self._batch_bytes = min(PROBE_BYTES, self._batch_max)
        else:
            self._obstacle = LOCKED
            self.state = "ready" if since_s < LOCKED_LIMIT_S else "failed"
            self.detail = f"{LOCKED}; what comes waits until it lets go"

    def _settle(self, rows: int, took_ns: int) -> None:
        """A transaction is done; 0 ns: there was nothing to write, or all was given up."""
        with self._guard:
            below, put_seq = self._pending.lowest_seq(), self._put_seq
        self._durable_seq = max(self._durable_seq, put_seq if below is None else min(below, put_seq))
        if not took_ns:
            return
        second = int(time.monotonic())
        with self._guard:
            running, running_rows, _ = self._second
            if second == running:
                self._second = (running, running_rows + rows, self._second[2])
            else:
                self._second = (second, rows, running_rows if second == running + 1 else 0)
            self._commits += 1
            self.written += rows
            self._took_ns.append(took_ns)
            self._newest_ns = self._wall()

    def _make_changes(self) -> None:
        while True:
            with self._guard:
                if not self._changes:
                    return
                change, future = self._changes.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                found = self._writer.change(change)
            except Exception as error:
                refusal = self._writer.refusal(error)
                if refusal is not None:
                    reason = DISK_FULL if refusal == "full" else LOCKED
                    future.set_exception(StoreFailed(str(self._writer.path), reason))
                    continue
                future.set_exception(error)
                if isinstance(error, (apsw.IOError, apsw.CorruptError, apsw.NotADBError)):
                    raise  # what is on the disk is not known any more
            else:
                future.set_result(found)

    def _report_stretches(self, before_s: float) -> None:
        with self._guard:
            ended = self._pending.ended_stretches(before_s)
        for (venue, symbol, kind), stretch in ended.items():
            log.warning(
                "records were given up", venue=venue, symbol=symbol, kind=kind.value, rows=stretch.rows
            )
            if self.on_shed is None:
                continue
            try:
                self.on_shed(
                    venue, symbol, kind, stretch.from_ns, stretch.to_ns, stretch.rows, stretch.reason
                )
            except Exception:  # what waits is on the disk; only this report is lost
                log.exception("nobody could be told of given up records")

    def _end(self, reason: str) -> None:
        """Nothing more is taken; the database is closed and the lock released."""
        with self._guard:
            if self._ended:
                return
            self._ended = True
            self.detail = self.detail or reason
            changes, self._changes = self._changes, deque()
        given_up = True
        while given_up:
            with self._guard:
                given_up = self._pending.give_up_some(self.detail)
        for _, future in changes:
            if future.set_running_or_notify_cancel():
                future.set_exception(self._reason())
        try:
            self._writer.close()
        except apsw.Error:
            log.exception("the journal's database could not be closed in order")
        finally:
            os.close(self._folder_lock)
        self._report_stretches(time.monotonic())
