"""The archive at work: blocks become files, files go to another place too, and the oldest of them are given up.

Files are written, and sent, by processes of their own; what they did counts once the journal has it in a transaction.
So they may be killed at any time, and so may we: what is left over is found at the next start. Whatever fails is said,
and tried again for ever; nothing here is in a hurry, since blocks wait in the journal and files on this disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

import apsw

from engine.durable_files import sync_folder
from engine.errors import BadCommand, BadSetting, StorageError, StoreFailed
from engine.storage import catalog, compaction, manifest, retention, schema
from engine.storage.children import Child, child
from engine.storage.dates import DAY_NS, date_text, end_ns
from engine.storage.journal import Journal
from engine.storage.steps import FOLDER, GroupKey, Request, Sending, Sent, Spoilt, Told
from engine.storage.upload import AT_ONCE, checked, is_folder, shown
from engine.storage.views import ArchiveView, DeletionView, PreviewView, RetentionView

COMPACT: Final = ("-m", "engine.storage.compaction")
UPLOAD: Final = ("-m", "engine.storage.upload")
EVERY_S: Final = 60.0
AT_BYTES: Final = 64 << 20
LOOK_S: Final = 2.0  # at what waits
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 300.0
ANSWER_S: Final = 600.0  # for one file to be sent and read back
BATCH_FILES: Final = 256
GRACE_S: Final = 60.0  # a reader may be about to open a file that it has just been told of
SHOWN_DELETIONS: Final = 20
STRANGERS_MAX: Final = 1_000
MAX_DAYS: Final = 36_500
MAX_BYTES: Final = 1 << 60

T = TypeVar("T")
Note = Callable[[Literal["info", "warn", "error"], str, str], None]
Part = Literal["compacting", "uploading", "deleting"]


class Archiver:
    """One for each open journal; `run` is a supervised task. All methods are the loop's, and none blocks it.

    `days` and `budget_bytes` hold until `set_retention` has been called once; then what it was given, in this store.
    `note` is told (level, what, text) of what a user should know.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        *,
        uri: str = "",
        days: int = 0,
        budget_bytes: int = 0,
        every_s: float = EVERY_S,
        at_bytes: int = AT_BYTES,
        grace_s: float = GRACE_S,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = time.monotonic_ns,
        note: Note = lambda level, what, text: None,  # noqa: ARG005
        compact: Sequence[str] = COMPACT,
        upload: Sequence[str] = UPLOAD,
    ) -> None:
        self._folder, self._journal, self._wall, self._note = folder, journal, wall, note
        self._steady, self._age = steady, retention.AgeClock()
        self._root = folder / FOLDER
        self._every_s, self._at_bytes, self._grace_s = every_s, at_bytes, grace_s
        self._compact_command, self._upload_command = compact, upload
        self._days, self._budget_bytes = days, budget_bytes
        self._uri, self._bad_uri = uri, ""
        try:
            if checked(uri) and is_folder(uri) and not uri.startswith("file:"):
                place = Path(uri).expanduser().absolute()
                self._uri = "" if place == self._root.absolute() else str(place)
        except BadSetting as error:
            self._bad_uri = str(error)
        self._turn = asyncio.Lock()  # one compacting process at a time
        self._new_files, self._look = asyncio.Event(), asyncio.Event()
        self._sweep = True
        self._since: dict[GroupKey, float] = {}  # when what waits was first seen
        self._bad_blocks: dict[int, str] = {}
        self._strangers: dict[str, str] = {}  # path -> reason
        self._leaving_since: dict[int, float] = {}
        self._under_way: set[int] = set()  # ids of files that are being sent
        self._busy: set[Part] = set()
        self._trouble: dict[Part, str] = {}
        self._summary = manifest.Summary(0, 0, 0, 0, 0, 0, 0, False, "", ())
        self._next: list[retention.Deletion] = []
        self._free_bytes = self._deleted_bytes = 0

    async def run(self) -> None:
        """Compacts, uploads and deletes until cancelled; what a process has begun then is given up at once."""
        await self._persist(self._open, "deleting")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._compact_due, "compacting", LOOK_S), name="compacting")
            group.create_task(self._forever(self._delete_due, "deleting", self._every_s), name="deleting")
            if self._bad_uri:
                self._trouble["uploading"] = self._bad_uri
                self._note("error", "archive", self._bad_uri)
            elif self._uri:
                group.create_task(self._forever(self._send_waiting, "uploading", LOOK_S), name="uploading")

    async def compact_now(self) -> None:
        """Everything that was in the journal is in files now. StorageError when that failed."""
        async with self._turn:
            waiting = await self._ask(lambda reader: compaction.groups(reader, list(self._bad_blocks)))
            await self._compact([group.key for group in waiting])

    async def set_retention(self, days: int, budget_bytes: int) -> None:
        """Keep so many days, and at most so much; 0 = no bound. What is over it goes at the next look, in a minute.

        BadCommand for other numbers, StoreFailed when it cannot be kept now; then all is as it was.
        """
        _check(days, budget_bytes)

        def change(connection: apsw.Connection) -> None:
            schema.put_value(connection, "retention_days", days)
            schema.put_value(connection, "budget_bytes", budget_bytes)

        await self._transact(change)
        self._days, self._budget_bytes = days, budget_bytes
        await self._plan()

    async def preview(self, days: int, budget_bytes: int) -> PreviewView:
        """What goes at once where so much is kept, by the plan that deletes. BadCommand for other numbers."""
        _check(days, budget_bytes)
        other, now_ns = self._journal_bytes(), self._believed_ns()

        def going(reader: apsw.Connection) -> list[tuple[str, str, int, int]]:
            return [
                (each.date, each.venue, each.size_bytes, manifest.rows_of(reader, each))
                for each in self._planned(reader, days, budget_bytes, other, now_ns)
                if each.due_ns <= now_ns and not each.held
            ]

        found = await self._ask(going)
        return PreviewView(tuple(found), sum(each[2] for each in found), sum(each[3] for each in found))

    async def report(self, path: str, reason: str) -> None:
        """A reader found this file of the archive damaged: it is marked so, shown, and kept."""
        file = await self._ask(lambda reader: manifest.file_at(reader, path))
        if file:
            await self._mark_damaged(file, path, reason)
            await self._summarise()

    def view(self) -> ArchiveView:
        """How the archive stands. Cheap."""
        known = self._summary
        blocks = [(f"journal.db, block {seq}", reason) for seq, reason in self._bad_blocks.items()]
        state: Literal["idle", "compacting", "uploading", "failing"] = "idle"
        if self._trouble:
            state = "failing"
        elif "compacting" in self._busy:
            state = "compacting"
        elif "uploading" in self._busy:
            state = "uploading"
        return ArchiveView(
            files=known.files,
            rows=known.rows,
            size_bytes=known.size_bytes,
            uri=shown(self._uri) or str(self._root),
            remote=bool(self._uri),
            waiting=known.waiting if self._uri else 0,
            state=state,
            detail="; ".join(self._trouble.values()),
            newest_ns=known.newest_ns,
            damaged=(*known.damaged, *self._strangers.items(), *blocks)[: manifest.DAMAGED_MAX],
        )

    def retention_view(self) -> RetentionView:
        """What is kept, and what goes. Cheap."""
        now_ns, known = self._wall(), self._summary
        over_ns = retention.RATE_OVER_NS if known.older else now_ns - known.added_from_ns
        used = known.size_bytes + self._journal_bytes()
        return RetentionView(
            days=self._days,
            budget_bytes=self._budget_bytes,
            used_bytes=used,
            free_bytes=self._free_bytes,
            full_ns=retention.full_ns(used, self._budget_bytes, known.added_bytes, over_ns, now_ns),
            next=tuple(
                DeletionView(
                    each.date, each.venue, each.files, each.size_bytes, each.due_ns,
                    each.why + (f", once {each.held:,} files of it are uploaded" if each.held else ""),
                )
                for each in self._next[:SHOWN_DELETIONS]
            ),
            deleted_bytes=self._deleted_bytes,
        )  # fmt: skip

    # --- compacting ----------------------------------------------------------------------------------------

    async def _compact_due(self) -> None:
        async with self._turn:
            waiting, merges = await self._ask(
                lambda reader: (
                    compaction.groups(reader, list(self._bad_blocks)),
                    manifest.has_merges(reader, self._today()),
                )
            )
            now_s = asyncio.get_running_loop().time()
            self._since = {group.key: self._since.get(group.key, now_s) for group in waiting}
            waited_s = {key: now_s - since_s for key, since_s in self._since.items()}
            due = compaction.due(waiting, waited_s, self._every_s, self._at_bytes)
            if due or merges or self._sweep:
                await self._compact([group.key for group in due])

    async def _compact(self, keys: Sequence[GroupKey]) -> None:
        request = Request(list(keys), self._today(), list(self._bad_blocks), sweep=self._sweep)
        sweep, self._sweep = self._sweep, True  # until it has all gone well
        found: dict[str, str] = {}
        async with (
            self._at_work("compacting"),
            self._child(self._compact_command, str(self._folder)) as worker,
        ):
            await worker.tell(request)
            while (told := await worker.hear(Told)) != Told():
                if (step := told.step) is not None:
                    await self._transact(
                        lambda connection, step=step: manifest.commit(connection, step, self._wall())
                    )
                    self._new_files.set()
                if told.spoilt is not None:
                    await self._spoilt(told.spoilt, found)
        self._sweep = False
        for key in keys:
            self._since.pop(key, None)
        if sweep:
            self._strangers = found
        await self._summarise()

    async def _spoilt(self, spoilt: Spoilt, strangers: dict[str, str]) -> None:
        """Remember it, say it once, and have no query stumble over it again."""
        if spoilt.first_seq:
            if spoilt.first_seq not in self._bad_blocks:
                self._bad_blocks[spoilt.first_seq] = spoilt.reason
                self._note(
                    "error",
                    "archive",
                    f"block {spoilt.first_seq} of the journal stays there: {spoilt.reason}",
                )
        elif spoilt.file:
            await self._mark_damaged(spoilt.file, spoilt.path, spoilt.reason, mended=spoilt.mended)
        else:
            if len(strangers) < STRANGERS_MAX:
                strangers[spoilt.path] = spoilt.reason
            if spoilt.path not in self._strangers:
                self._note("warn", "archive", f"{spoilt.path} is left alone: {spoilt.reason}")

    async def _mark_damaged(self, file: int, path: str, reason: str, *, mended: bool = False) -> None:
        change = manifest.mark_whole if mended else manifest.mark_damaged
        if not await self._transact(lambda connection: change(connection, file, reason)):
            return  # it is leaving anyway
        if mended:
            self._note("info", "archive", f"{path} is whole again")
        else:
            self._note("error", "archive", f"{path} is skipped: {reason}")

    # --- uploading -----------------------------------------------------------------------------------------

    async def _send_waiting(self) -> None:
        self._new_files.clear()
        waiting = await self._ask(lambda reader: manifest.sendings(reader, BATCH_FILES))
        if not waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new_files.wait(), self._every_s)
            return
        async with self._at_work("uploading"):
            self._under_way = {sending.file for sending in waiting}
            try:
                async with self._child(self._upload_command, str(self._folder), self._uri) as worker:
                    await self._send(worker, waiting)
            finally:
                self._under_way = set()
                await self._summarise()

    async def _send(self, worker: Child, waiting: Sequence[Sending]) -> None:
        """All of it is there. StorageError with the first reason why not."""
        left, sent, failure = deque(waiting), dict[int, Sending](), ""
        while sent or (left and not failure):
            while left and not failure and len(sent) < AT_ONCE:
                sending = left.popleft()
                sent[sending.file] = sending
                await worker.tell(sending)
            try:
                answer = await asyncio.wait_for(worker.hear(Sent), ANSWER_S)
            except TimeoutError:
                raise StorageError(f"{shown(self._uri)} has not answered for {ANSWER_S:.0f} s") from None
            sending = sent.pop(answer.file)
            if answer.damaged:
                await self._mark_damaged(sending.file, sending.path, answer.error)
            elif answer.error:
                failure = failure or answer.error
            else:
                await self._transact(lambda connection, sending=sending: self._mark_sent(connection, sending))
        if failure:
            raise StorageError(failure)

    def _mark_sent(self, connection: apsw.Connection, sending: Sending) -> None:
        uploaded_ns = manifest.WITHDRAWN if sending.delete else self._wall()
        schema.mark_file(connection, sending.file, uploaded_ns=uploaded_ns)

    # --- deleting ------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        def opened(connection: apsw.Connection) -> tuple[int, int]:
            if self._uri and not self._bad_uri:
                manifest.forget_uploads(connection, self._uri)
            days = schema.value(connection, "retention_days", self._days)
            return days, schema.value(connection, "budget_bytes", self._budget_bytes)

        self._days, self._budget_bytes = await self._transact(opened)
        await self._summarise()

    async def _delete_due(self) -> None:
        """What is due leaves, and what has left long enough ago is deleted."""
        await self._plan()
        now_ns, remote = self._believed_ns(), bool(self._uri)
        for deletion in self._next:
            if deletion.due_ns > now_ns or deletion.held:
                continue
            gone = await self._give_up(deletion, remote)
            if gone:
                self._deleted_bytes += deletion.size_bytes
                text = f"{gone:,} files of {deletion.venue or 'the engine'} of {deletion.date} go: {deletion.why}"
                self._note("info", "retention", text)
        now_s = asyncio.get_running_loop().time()
        leaving = await self._ask(manifest.leaving)
        self._leaving_since = {file.id: self._leaving_since.get(file.id, now_s) for file in leaving}
        over = [file for file in leaving if now_s - self._leaving_since[file.id] >= self._grace_s]
        if over:
            async with self._turn:  # a sweeping process must not see files come and go
                await asyncio.to_thread(self._unlink, [file.path for file in over])
            await self._transact(lambda connection: self._drop(connection, over))
        await self._plan()

    async def _give_up(self, deletion: retention.Deletion, remote: bool) -> int:
        """How many files leave."""

        def change(connection: apsw.Connection) -> int:
            return manifest.give_up(connection, deletion, remote=remote)

        try:
            return cast(int, await self._transact(change))
        except StoreFailed:
            # On a full disk the journal cannot even note what leaves: one file less, and it can.
            path = await self._ask(lambda reader: manifest.first_of(reader, deletion))
            if not path:
                raise
            await asyncio.to_thread(self._unlink, [path])
            return cast(int, await self._transact(change))

    def _drop(self, connection: apsw.Connection, files: Sequence[manifest.Leaving]) -> None:
        for file in files:
            # What may lie elsewhere too is deleted there first, once its rows are there in another file.
            if not (self._uri and file.moved and (file.elsewhere or file.id in self._under_way)):
                schema.drop_file(connection, file.id, moved=file.moved)

    def _unlink(self, paths: Sequence[str]) -> None:
        for path in paths:
            file = self._root / path
            file.unlink(missing_ok=True)
            for folder in list(file.parents)[:4]:  # venue, pair, date, kind
                try:
                    folder.rmdir()
                except OSError:  # others lie there, or it is gone
                    break
                sync_folder(folder.parent)

    async def _plan(self) -> None:
        """What goes next, and how much there is."""
        other, now_ns = self._journal_bytes(), self._believed_ns()
        days, budget_bytes = self._days, self._budget_bytes
        self._next = await self._ask(lambda reader: self._planned(reader, days, budget_bytes, other, now_ns))
        await self._summarise()

    def _planned(
        self, reader: apsw.Connection, days: int, budget_bytes: int, other_bytes: int, now_ns: int
    ) -> list[retention.Deletion]:
        """The plan of a rule, of the files as `reader` finds them; off the loop."""
        remote, today = bool(self._uri), date_text(now_ns // DAY_NS)
        kept = manifest.days(reader, remote=remote)
        past = sum(day.size_bytes for day in kept if day.date < today and not day.held)
        used = other_bytes + sum(day.size_bytes for day in kept)
        running: list[retention.Running] = []
        if budget_bytes and used - past > budget_bytes:
            running = manifest.running(reader, today, remote=remote)
        return retention.plan(kept, days, budget_bytes, now_ns, other_bytes, running)

    # --- all of them ---------------------------------------------------------------------------------------

    async def _forever(self, work: Callable[[], Awaitable[None]], part: Part, every_s: float) -> None:
        while True:
            await self._persist(work, part)
            await asyncio.sleep(min(every_s, self._every_s))

    async def _persist(self, work: Callable[[], Awaitable[None]], part: Part) -> None:
        """It has been done; until then it is tried again and again, ever more seldom."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  the outer edge of each part of the archive
                reason = str(error) or type(error).__name__
                again = datetime.fromtimestamp(self._wall() / 1e9 + wait_s, UTC)
                if part not in self._trouble:
                    self._note("warn", "archive", f"{part} fails: {reason}")
                self._trouble[part] = f"{reason}; tried again at {again:%H:%M:%S} UTC"
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
                continue
            if self._trouble.pop(part, None) is not None:
                self._note("info", "archive", f"{part} works again")
            return

    async def _summarise(self) -> None:
        since_ns = self._wall() - retention.RATE_OVER_NS
        self._summary = await self._ask(lambda reader: manifest.summary(reader, since_ns))
        with contextlib.suppress(OSError):
            self._free_bytes = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free

    @contextlib.asynccontextmanager
    async def _at_work(self, part: Part) -> AsyncIterator[None]:
        self._busy.add(part)
        try:
            yield
        finally:
            self._busy.discard(part)

    def _child(
        self, command: Sequence[str], *arguments: str
    ) -> contextlib.AbstractAsyncContextManager[Child]:
        name = "the uploading process" if command is self._upload_command else "the compacting process"
        return child((*command, *arguments), name)

    async def _ask(self, question: Callable[[apsw.Connection], T]) -> T:
        def answer() -> T:
            with catalog.reading(self._folder) as reader:
                return question(reader)

        return await asyncio.to_thread(answer)

    async def _transact(self, change: Callable[..., Any]) -> Any:
        return await asyncio.wrap_future(self._journal.transact(change))

    def _journal_bytes(self) -> int:
        return self._journal.view().size_bytes

    def _believed_ns(self) -> int:
        newest = self._summary.newest_date
        return self._age.now_ns(self._wall(), end_ns(newest) if newest else 0, self._steady())

    def _today(self) -> str:
        return date_text(self._wall() // DAY_NS)


def _check(days: int, budget_bytes: int) -> None:
    """BadCommand where these are no bounds of what is kept."""
    if not 0 <= days <= MAX_DAYS:
        raise BadCommand(f"what is recorded can be kept for 0 (for ever) to {MAX_DAYS:,} days, not {days:,}")
    if not 0 <= budget_bytes <= MAX_BYTES:
        raise BadCommand(f"the disk budget must be 0 (none) or more, not {budget_bytes:,} bytes")
