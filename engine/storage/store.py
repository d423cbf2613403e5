"""The store as the engine has it: journal, recorder, archive, retention, exports, and what pages see of them.

On the engine's loop; whatever waits for the disk does so in a thread or in another process. Nothing is written before
something is to be recorded: a folder without a store stays without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from engine.errors import BadCommand, StorageError, StoreLocked, UserError
from engine.market.batches import Source
from engine.runtime import HEALTHY_AFTER_S, backoff_s, every
from engine.storage import catalog
from engine.storage.jobs import Jobs
from engine.storage.journal import Journal
from engine.storage.names import USUAL
from engine.storage.pens import Hole
from engine.storage.recorder import FETCHABLE, FETCHED_SAYS, Recorder
from engine.storage.refetch import Backfill, Refetch
from engine.storage.schema import NAME
from engine.storage.telemetry_records import Tail
from engine.storage.views import GapView, PreviewView, RecordingView, SpanView, StorageView, StoreState
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

if TYPE_CHECKING:
    from engine.storage.archiver import Archiver

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.05
CARE_S: Final = 1.0
LOOK_S: Final = 0.25  # how soon it is seen that the journal has ended
REOPEN_FIRST_S: Final = 1.0
REOPEN_MAX_S: Final = 8.0
LOST_MOST: Final = 4_096

Note = Callable[[Level, str, str, str], None]  # (level, source or "", what, text) into the event log


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where and how what is recorded is kept."""

    folder: Path
    uri: str = ""  # of the archive; "" = in the folder
    snapshot_s: int = 10
    snapshot_depth: int = 500
    record: tuple[str, ...] = ()  # venues recorded from the start
    what: tuple[str, ...] = USUAL
    symbols: tuple[str, ...] = ()  # of them; () = all
    days: int = 0
    budget_bytes: int = 0


class Store:
    """One store a process. Commands and `run` belong to the engine's loop; `view` is replaced whole."""

    def __init__(
        self,
        options: StoreOptions,
        telemetry: Telemetry,
        wall: Callable[[], int],
        note: Note,
        backfill: Backfill | None = None,
    ) -> None:
        self.options = options
        self.folder = options.folder
        self.recorder = Recorder(
            wall,
            keyframe_s=options.snapshot_s,
            depth=options.snapshot_depth,
            on_hole=lambda hole: self._refetch.on_hole(hole),
        )
        self._refetch = Refetch(options.folder, self.recorder, backfill, self._settle, note)
        self.journal: Journal | None = None
        self.archiver: Archiver | None = None
        self.jobs = Jobs(options.folder)
        self.view = StorageView(folder=str(options.folder))
        self._telemetry, self._wall, self._note = telemetry, wall, note
        self._state: StoreState = "off"
        self._detail = ""
        self._opening = asyncio.Lock()
        self._opened, self._ended = asyncio.Event(), asyncio.Event()  # the journal
        self._written = self._given_up = 0  # rows, by journals that have ended
        self._lost: deque[tuple[Any, ...]] = deque(
            maxlen=LOST_MOST
        )  # what they gave up, for the next one to say
        self.failures: Counter[str] = Counter()  # by part
        self._tails: dict[str, Tail] = {}  # by source
        self._read_of = (-1, -1)
        self._spans: tuple[SpanView, ...] = ()
        self._left_out = 0
        self._gaps: tuple[GapView, ...] = ()
        self._version = 0
        self._open_before = False
        self._told = ""
        for venue in options.record:
            self.recorder.start(venue, options.symbols, options.what)

    # --- commands ----------------------------------------------------------------------------------------

    async def record(self, venue: str, symbols: tuple[str, ...], what: tuple[str, ...]) -> None:
        """Record a venue. BadCommand when it cannot be."""
        await self._ensure()
        self.recorder.start(venue, symbols, what)
        self._note("info", "", "record", f"recording {venue}: {', '.join(what)}")

    def stop(self, venue: str) -> None:
        """Record a venue no more."""
        self.recorder.stop(venue)
        self._note("info", "", "record", f"{venue} is recorded no more")

    async def retain(self, days: int, budget_bytes: int) -> None:
        """Keep so many days, and at most so much; 0 = no bound."""
        await self._ensure()
        assert self.archiver is not None
        await self.archiver.set_retention(days, budget_bytes)

    async def preview(self, days: int, budget_bytes: int) -> PreviewView:
        """What keeping so much would delete at once. BadCommand where no store is open: asking makes none."""
        if self.archiver is None:
            raise BadCommand("no store is open here, so nothing would be deleted")
        return await self.archiver.preview(days, budget_bytes)

    def fill(self, number: int) -> None:
        """Fetch again what the venue still has of a gap, by `GapView.id`. BadCommand when there is nothing to fetch."""
        gap = next((gap for gap in self._gaps if gap.id == number), None)
        if gap is None:
            raise BadCommand("there is no such hole any more")
        if not gap.symbol or gap.what not in FETCHABLE:
            raise BadCommand(f"{gap.what} cannot be fetched again")
        if gap.state == "filled":
            raise BadCommand("the hole is filled already")
        hole = Hole(
            *(self._fetched_of(gap.venue), gap.symbol, gap.from_ns, gap.to_ns),
            gap.reason.partition(FETCHED_SAYS)[0],
            what=gap.what,
            state=next(state for state, said in catalog.STATES.items() if said == gap.state),
            filled=gap.filled,
        )
        self._refetch.ask(hole)

    def fill_between(self, venue: str, symbol: str, from_ns: int, to_ns: int) -> None:
        """Fetch again what the venue still has of a stretch and is not kept."""
        self._refetch.ask(Hole(self._fetched_of(venue), symbol, from_ns, to_ns, "", what=""))

    def _fetched_of(self, venue: str) -> Source:
        if not self._refetch.possible or venue == "builtin":
            raise BadCommand(f"nothing can be fetched again of {venue}")
        if self.journal is None:
            raise BadCommand(self._detail or "the store is not open")
        return Source(venue, "live")

    @property
    def written(self) -> int:
        """Rows that are on the disk since the start."""
        return self._written + (self.journal.written if self.journal is not None else 0)

    @property
    def given_up(self) -> int:
        """Rows that came and were not kept, since the start."""
        return self._given_up + (_given_up(self.journal) if self.journal is not None else 0)

    # --- on the loop -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; what has come by then is on the disk on the way out."""
        try:
            async with asyncio.TaskGroup() as group:
                for part, work in (
                    ("the journal", self._keep_open),
                    ("recording", partial(every, FLUSH_S, self._flush)),
                    ("the store", partial(every, CARE_S, self._care)),
                    ("the archive", self._archive),
                    ("the backfill", self._refetch.run),
                    ("the exports", self.jobs.run),
                ):
                    group.create_task(self._persist(part, work))
        finally:
            await self._close()

    async def _persist(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """One part, served until cancelled: when it fails, that is told, it is begun again, and the others go on."""
        failures = 0  # in a row
        while True:
            began = time.monotonic()
            try:
                await work()
            except Exception as error:
                if time.monotonic() - began > HEALTHY_AFTER_S:
                    failures = 0
                failures += 1
                self.failures[part] += 1
                log.exception("a part of the store failed", part=part)
                if failures == 1:
                    text = f"{part} failed and is begun again: {type(error).__name__}: {error}"
                    self._note("error", "", "store", text)
                await asyncio.sleep(backoff_s(failures))
            else:
                return

    async def _keep_open(self) -> None:
        """The journal is open while something is to be recorded or read; where it cannot be, it is tried again."""
        wait_s, next_s = REOPEN_FIRST_S, 0.0
        while True:
            if self.journal is not None and self.journal.ended:
                await self._lay_down(self.journal)
                next_s = time.monotonic() + wait_s
            if self.journal is not None:
                wait_s = REOPEN_FIRST_S
            elif (self.recorder.wanted or (self.folder / NAME).exists()) and time.monotonic() >= next_s:
                await self._try_open()
                next_s = time.monotonic() + wait_s
                wait_s = min(2 * wait_s, REOPEN_MAX_S)
            await asyncio.sleep(LOOK_S)

    async def _close(self) -> None:
        journal, self.journal = self.journal, None
        self._opened.clear()
        if journal is not None:
            journal.put(self.recorder.release())
            if not await asyncio.to_thread(journal.close):
                log.error("the journal did not close in time", folder=str(self.folder))
            self._written += journal.written
            self._given_up += _given_up(journal)

    async def _lay_down(self, journal: Journal) -> None:
        """A journal that failed is let go of; what it could not write is told by the next one."""
        async with self._opening:
            if self.journal is not journal:
                return
            self.journal = None
            self._opened.clear()
            self._ended.set()
            self._state, self._detail = "failed", journal.detail
            self._tell("error", "failed", f"the journal has ended: {journal.detail}")
            journal.put(self.recorder.release())  # it counts what is lost
            journal.tell_given_up()
            await asyncio.to_thread(journal.close)
            self._written += journal.written
            self._given_up += _given_up(journal)

    async def _ensure(self) -> None:
        """The journal is open. BadCommand with the reason when it cannot be."""
        if self.journal is not None and self.journal.ended:
            await self._lay_down(self.journal)
        if self.journal is None:
            await self._try_open()
        if self.journal is None or self._state == "failed":
            raise BadCommand(self._detail or "the store is not open")

    async def _try_open(self) -> None:
        async with self._opening:
            if self.journal is not None:
                return
            if self._state == "off":
                self._state = "opening"
            try:
                journal = await self._open_journal()
            except StoreLocked as error:
                self._state, self._detail = "read only", str(error)
                self._tell("warn", str(error), str(error))
                return
            except (UserError, StorageError, OSError) as error:
                self._state, self._detail = "failed", str(error)
                self._tell("error", str(error), f"nothing can be recorded: {error}")
                return
            try:
                self._begin(journal)
            except BaseException:
                self.journal = None
                await asyncio.to_thread(journal.close)
                raise

    def _begin(self, journal: Journal) -> None:
        """There is a journal: what is wanted is recorded, and its archive kept."""
        from engine.storage.archiver import Archiver  # pyarrow: only where there is something to archive

        loop = asyncio.get_running_loop()

        def shed(*lost: Any) -> None:  # from the journal's thread
            with contextlib.suppress(RuntimeError):  # a loop that has ended records no more
                loop.call_soon_threadsafe(self._shed, *lost)

        journal.on_shed = shed
        self.archiver = Archiver(
            self.folder,
            journal,
            uri=self.options.uri,
            days=self.options.days,
            budget_bytes=self.options.budget_bytes,
            wall=self._wall,
            note=lambda level, what, text: self._note(level, "", what, text),
        )
        self.journal = journal
        self.recorder.use(journal)
        while self._lost:
            self.recorder.shed(*self._lost.popleft())
        self._state, self._detail, self._read_of = "ready", "", (-1, -1)
        if self._told:
            self._tell("info", "", "recording can go on")
        self._ended.clear()
        self._opened.set()

    async def _open_journal(self) -> Journal:
        """As `Journal.open`; one that is open when this is cancelled is closed again."""
        opening = asyncio.create_task(asyncio.to_thread(_opened, self.folder, self._wall))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # nobody waits for it any more
                await asyncio.to_thread((await opening).close)
            raise

    def _shed(self, *lost: Any) -> None:
        if self.journal is None or self.journal.ended:
            self._lost.append(lost)
        else:
            self.recorder.shed(*lost)

    async def _archive(self) -> None:
        """The archive is served while there is a journal."""
        while True:
            await self._opened.wait()
            assert self.archiver is not None
            serving = asyncio.create_task(self.archiver.run())
            ended = asyncio.create_task(self._ended.wait())
            try:
                await asyncio.wait((serving, ended), return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()
            finally:
                serving.cancel()
                ended.cancel()
                await asyncio.gather(serving, ended, return_exceptions=True)

    def _flush(self) -> None:
        journal = self.journal
        if journal is not None and not journal.ended:
            drafts = self.recorder.flush()
            if drafts:
                journal.put(drafts)

    async def _care(self) -> None:
        """Once a second: telemetry into the journal, marks of life, what pages see."""
        now_ns = self._wall()
        self.recorder.second()
        journal = self.journal
        if journal is not None and not journal.ended:
            self._record_telemetry()
            marks = self.recorder.alive(now_ns)
            if marks:
                journal.alive(marks)
            if (journal.state, journal.detail) != (self._state, self._detail):
                self._follow(journal)
        if journal is not None or self._state == "read only":
            await self._read(journal)
        self._show()

    def _follow(self, journal: Journal) -> None:
        """The journal's own state, told each time it changes."""
        before = self._state
        self._state, self._detail = journal.state, journal.detail
        if journal.state != before:
            level: Level = "info" if journal.state == "ready" else "error"
            self._tell(level, journal.state, journal.detail or "the journal goes on")

    def _tell(self, level: Level, key: str, text: str) -> None:
        """Said once, until there is something else to say."""
        if key != self._told:
            self._told = key
            self._note(level, "", "store", text)
            log.log({"info": 20, "warn": 30, "error": 40}[level], "the store", state=self._state, detail=text)

    def _record_telemetry(self) -> None:
        """What the last second measured, of every source that is recorded as a whole."""
        followed: dict[str, Tail] = {}
        for source, stream, kinds in self.recorder.recorded():
            tail = self._tails.get(source.key) or Tail(self._telemetry, stream, source.key)
            followed[source.key] = tail
            self.recorder.take_blocks(source.venue, partial(tail.blocks, kinds))
        self._tails = followed

    async def _settle(self) -> None:
        """All that was recorded so far is on the disk. StorageError when it never will be."""
        await self._opened.wait()
        if self.journal is not None:
            self._flush()
            await self.journal.durable(self.journal.next_seq)

    async def _read(self, journal: Journal | None) -> None:
        """Spans and gaps as they stand on the disk, where something was committed since."""
        moment = (journal.view().commits if journal is not None else self._wall(), 0)
        if moment == self._read_of:
            return
        try:
            spans, left_out, gaps = await asyncio.to_thread(_spans_and_gaps, self.folder)
        except (UserError, StorageError, OSError) as error:
            self._detail = str(error)
            return
        self._read_of = moment
        if (spans, gaps) != (self._spans, self._gaps):
            self._version += 1
        self._spans, self._left_out, self._gaps = spans, left_out, gaps

    def _show(self) -> None:
        journal, archiver = self.journal, self.archiver
        now_ns = self._wall()
        open_now = tuple(
            GapView(venue, symbol, what, from_ns, max(from_ns, now_ns), reason, "open", 0)
            for venue, symbol, what, from_ns, reason in self.recorder.open_holes()
        )
        if open_now or self._open_before:  # they end now
            self._version += 1
        self._open_before = bool(open_now)
        self.view = StorageView(
            state=self._state,
            detail=self._detail,
            folder=str(self.folder),
            journal=journal.view() if journal is not None else None,
            archive=archiver.view() if archiver is not None else None,
            retention=archiver.retention_view() if archiver is not None else None,
            recordings=self._recordings(),
            recordable=self.recorder.recordable,
            spans=self._spans,
            spans_left_out=self._left_out,
            gaps=(*self._gaps, *open_now),
            jobs=self.jobs.views(),
            version=self._version,
        )

    def _recordings(self) -> tuple[RecordingView, ...]:
        open_now = {venue for venue, _ in self.recorder.recordable}
        found = []
        for venue, wanted in self.recorder.wanted.items():
            taken = self.recorder.taken[venue]
            state, detail = ("recording", "") if venue in open_now else ("waiting", "it is not connected")
            if self._state not in ("ready", "full"):
                state, detail = "waiting", self._detail
            found.append(
                RecordingView(
                    venue=venue,
                    symbols=tuple(sorted(wanted.symbols)),
                    what=wanted.what,
                    since_ns=wanted.since_ns,
                    rows=taken.rows,
                    rows_per_s=taken.rate,
                    size_bytes=taken.size_bytes,
                    state="recording" if state == "recording" else "waiting",
                    detail=detail,
                )
            )
        return tuple(found)


def _given_up(journal: Journal) -> int:
    return sum(rows for _, rows in journal.view().shed)


def _opened(folder: Path, wall: Callable[[], int]) -> Journal:
    import engine.storage.archiver  # noqa: F401  pyarrow: loading it must not hold up the loop

    return Journal.open(folder, wall=wall)


def _spans_and_gaps(folder: Path) -> tuple[tuple[SpanView, ...], int, tuple[GapView, ...]]:
    with catalog.reading(folder) as connection:
        spans, left_out = catalog.spans(connection)
        return tuple(spans), left_out, tuple(catalog.gaps(connection))
