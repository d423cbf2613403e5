"""The store as the engine has it: journal, recorder, archive, retention, exports, and what pages see of them.

On the engine's loop; whatever waits for the disk does so in a thread or in another process. Nothing is written before
something is to be recorded: a folder without a store stays without one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from engine.errors import BadCommand, StorageError, StoreLocked, UserError
from engine.market.batches import Source
from engine.runtime import every
from engine.storage import catalog
from engine.storage.jobs import Jobs
from engine.storage.journal import Journal
from engine.storage.names import USUAL
from engine.storage.recorder import FETCHABLE, FETCHED_SAYS, Hole, Recorder
from engine.storage.refetch import Backfill, Refetch
from engine.storage.schema import NAME
from engine.storage.telemetry_records import Tail
from engine.storage.views import GapView, RecordingView, SpanView, StorageView, StoreState
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

if TYPE_CHECKING:
    from engine.storage.archiver import Archiver

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.05
CARE_S: Final = 1.0

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
        self._opened = asyncio.Event()
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

    # --- on the loop -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; what has come by then is on the disk on the way out."""
        try:
            if self.recorder.wanted or (self.folder / NAME).exists():
                await self._try_open()
            async with asyncio.TaskGroup() as group:
                group.create_task(every(FLUSH_S, self._flush))
                group.create_task(every(CARE_S, self._care))
                group.create_task(self._archive())
                group.create_task(self._refetch.run())
                group.create_task(self.jobs.run())
        finally:
            await self._close()

    async def _close(self) -> None:
        journal, self.journal = self.journal, None
        self._opened.clear()
        if journal is not None:
            journal.put(self.recorder.flush())
            if not await asyncio.to_thread(journal.close):
                log.error("the journal did not close in time", folder=str(self.folder))

    async def _ensure(self) -> None:
        """The journal is open. BadCommand with the reason when it cannot be."""
        if self.journal is None:
            await self._try_open()
        if self.journal is None or self._state == "failed":
            raise BadCommand(self._detail or "the store is not open")

    async def _try_open(self) -> None:
        async with self._opening:
            if self.journal is not None:
                return
            self._state, self._detail = "opening", ""
            try:
                journal = await asyncio.to_thread(Journal.open, self.folder, wall=self._wall)
            except StoreLocked as error:
                self._state, self._detail = "read only", str(error)
                self._note("warn", "", "store", str(error))
                return
            except (UserError, StorageError, OSError) as error:
                self._state, self._detail = "failed", str(error)
                self._note("error", "", "store", f"nothing can be recorded: {error}")
                return
            loop = asyncio.get_running_loop()

            def shed(*lost: Any) -> None:  # from the journal's thread
                with contextlib.suppress(RuntimeError):  # a loop that has ended records no more
                    loop.call_soon_threadsafe(self.recorder.shed, *lost)

            journal.on_shed = shed
            from engine.storage.archiver import Archiver  # pyarrow: only where there is something to archive

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
            self._state, self._detail = "ready", ""
            self._opened.set()

    async def _archive(self) -> None:
        while True:
            await self._opened.wait()
            assert self.archiver is not None
            await self.archiver.run()

    def _flush(self) -> None:
        journal = self.journal
        if journal is not None:
            drafts = self.recorder.flush()
            if drafts:
                journal.put(drafts)

    async def _care(self) -> None:
        """Once a second: telemetry into the journal, marks of life, what pages see."""
        now_ns = self._wall()
        self.recorder.second()
        journal = self.journal
        if journal is not None:
            self._record_telemetry()
            marks = self.recorder.alive(now_ns)
            if marks:
                journal.alive(marks)
            if journal.state != "ready" or self._state == "full":
                self._follow(journal)
        if journal is not None or self._state == "read only":
            await self._read(journal)
        self._show()

    def _follow(self, journal: Journal) -> None:
        """The journal's own state, told once each time it changes."""
        self._state, self._detail = journal.state, journal.detail
        if self._told != journal.state:
            self._told = journal.state
            level: Level = "info" if journal.state == "ready" else "error"
            text = journal.detail or "the journal goes on"
            self._note(level, "", "store", text)
            log.log(40 if level == "error" else 20, "the store", state=journal.state, detail=text)

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


def _spans_and_gaps(folder: Path) -> tuple[tuple[SpanView, ...], int, tuple[GapView, ...]]:
    with catalog.reading(folder) as connection:
        spans, left_out = catalog.spans(connection)
        return tuple(spans), left_out, tuple(catalog.gaps(connection))
