"""Exports as processes of their own: started, watched, canceled and forgotten from the engine's loop.

A job runs the same command line a user has (`app.py export ... --job ID`), since Python work of that size would stop
the loop, and a forked process would inherit threads and the open journal. State and progress lie in a cache of JSON in
the store's `jobs/`, the files in `exports/`; both are for this user alone. Of a job, this side writes everything but
the progress, which its process writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import diskcache
import msgspec
import structlog

from engine.durable_files import DRAFT
from engine.errors import BadCommand
from engine.storage.export_request import MAX_NS, Canceled, ExportRequest, file_name
from engine.storage.names import RecordKind
from engine.storage.schema import NAME
from engine.storage.views import JobState, JobView

__all__ = ["ExportRequest", "JobReport", "Jobs"]

AT_ONCE: Final = 2
WAITING_MOST: Final = 20
NAME_MOST: Final = 128
KEPT_MOST: Final = 50
KEPT_BYTES: Final = 10 * 10**9
KEPT_NS: Final = 7 * 86_400 * 1_000_000_000
LOOK_S: Final = 0.5
REPORT_S: Final = 0.25
GRACE_S: Final = 5.0  # for a process to notice that it is canceled
TAIL_BYTES: Final = 4_096
ENDED: Final = "the program ended"
_ROOT: Final = Path(__file__).resolve().parents[2]
_CACHE: Final = "jobs"
_EXPORTS: Final = "exports"
_ID: Final = re.compile(r"[0-9a-f]{12}")
# Of the cache: the disk, or a value in it that is damaged (json's errors are ValueErrors).
_TROUBLE: Final = (OSError, sqlite3.Error, diskcache.Timeout, zlib.error, ValueError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What a job's process says of itself."""

    rows: int
    total: int
    size_bytes: int = 0
    detail: str = ""


class JobReport:
    """The progress callback of a job's process: at most four reports a second; raises Canceled when it is to end."""

    def __init__(self, folder: Path, job: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cache, self._job, self._monotonic = _opened(folder), job, monotonic
        self._parent = os.getppid()
        self._next_s = 0.0

    def __call__(self, rows: int, total: int) -> None:
        """So far."""
        now_s = self._monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + REPORT_S
        self._put(Report(rows, total))
        # Whoever asked for it is gone: nobody would take the file.
        if os.getppid() != self._parent or self._cache.get(f"cancel:{self._job}", retry=True):
            raise Canceled

    def end(self, rows: int, size_bytes: int, detail: str) -> None:
        """It is done."""
        self._put(Report(rows, rows, size_bytes, detail))

    def close(self) -> None:
        """The cache is closed."""
        self._cache.close()

    def _put(self, report: Report) -> None:
        self._cache.set(f"report:{self._job}", asdict(report), retry=True)


class Jobs:
    """The exports of one store. Everything but `path_of` belongs to the loop that `run` runs on."""

    def __init__(
        self,
        folder: Path,
        *,
        command: Sequence[str] = (sys.executable, str(_ROOT / "app.py"), "export"),
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder, self._command, self._wall = folder, tuple(command), wall
        self._jobs: dict[str, JobView] = {}  # oldest first
        self._shown: tuple[JobView, ...] = ()
        self._unsaved: set[str] = set()
        self._forgotten: dict[str, str] = {}  # id -> name of its file
        self._canceled: dict[str, asyncio.Event] = {}  # of what runs
        self._wake = asyncio.Event()
        self._trouble = ""
        self._loaded = False

    # --- commands ----------------------------------------------------------------------------------------

    def start(self, request: ExportRequest) -> str:
        """The new job's id; it runs when its turn comes. BadCommand when too many wait, or nothing was recorded."""
        if not (self._folder / NAME).exists():
            raise BadCommand("nothing has been recorded yet")
        for text in (request.venue, request.symbol):
            if len(text) > NAME_MOST or not text.isprintable():
                raise BadCommand(f"{text[:NAME_MOST]!r} is no name of a venue or symbol")
        if len(self._in_state("waiting")) >= WAITING_MOST:
            raise BadCommand(f"{WAITING_MOST} exports wait already: wait for one of them, or cancel it")
        job = secrets.token_hex(6)
        view = JobView(
            id=job,
            name=self._free_name(request),
            kind=str(request.kind),
            venue=request.venue,
            symbol=request.symbol,
            from_ns=request.from_ns,
            to_ns=request.to_ns,
            form=request.form,
            state="waiting",
            detail="",
            rows=0,
            total=0,
            size_bytes=0,
            started_ns=self._wall(),
            ended_ns=0,
        )
        self._show(view)
        return job

    def cancel(self, job: str) -> None:
        """It ends soon, and leaves no file. BadCommand when there is none, or it has ended."""
        view = self._known(job)
        if view.state == "waiting":
            self._show(replace(view, state="canceled", ended_ns=self._wall()))
        elif job in self._canceled:
            self._canceled[job].set()
            self._wake.set()
        else:
            raise BadCommand(f"the export {view.name} has ended already")

    def forget(self, job: str) -> None:
        """It is in no list any more, and its file is deleted. BadCommand when there is none, or it has not ended."""
        view = self._known(job)
        if view.state in ("waiting", "running"):
            raise BadCommand(f"the export {view.name} has not ended: cancel it first")
        self._drop(view)

    def views(self) -> tuple[JobView, ...]:
        """Newest first. Cost: none."""
        return self._shown

    def path_of(self, job: str) -> Path | None:
        """The finished file; None when there is none. From any thread."""
        view = next((view for view in self._shown if view.id == job), None)
        if view is None or view.state != "done":
            return None
        path = self._folder / _EXPORTS / view.name
        return path if path.is_file() else None

    # --- on the loop -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; what runs then is ended."""
        if not self._loaded and (self._folder / _CACHE).is_dir():
            self._take_up(await asyncio.to_thread(self._load))
        self._loaded = True
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for view in self._in_state("waiting")[: AT_ONCE - len(self._canceled)]:
                        self._canceled[view.id] = asyncio.Event()
                        self._show(replace(view, state="running"))
                        group.create_task(self._work(view.id), name=f"export {view.name}")
                    self._expire()
                    await self._exchange()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S if self._canceled else None):
                            await self._wake.wait()
                    self._wake.clear()
        finally:
            for view in self._in_state("running"):
                self._end(view.id, "failed", ENDED)
            await self._exchange()

    async def _work(self, job: str) -> None:
        """One job, from its process's start to its end."""
        view, canceled = self._jobs[job], self._canceled[job]
        out = self._folder / _EXPORTS / view.name
        try:
            await asyncio.to_thread(_make_private, out.parent)
            process = await asyncio.create_subprocess_exec(
                *(*self._command, *self._arguments(view, out)),
                cwd=_ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            self._end(job, "failed", f"it could not be started: {error}")
            return
        try:
            said = await _last_words(process, canceled)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await asyncio.to_thread(_sweep, out.parent, f"{out.name}.*{DRAFT}")
        report = await asyncio.to_thread(self._report, job)
        self._apply(job, report)
        if process.returncode == 0 and out.is_file():
            self._end(job, "done", report.detail if report else "")
        elif canceled.is_set():
            self._end(job, "canceled", "")
        else:
            self._end(job, "failed", said or _how(process.returncode))

    def _arguments(self, view: JobView, out: Path) -> list[str]:
        arguments = [
            "--store",
            str(self._folder),
            "--job",
            view.id,
            "--kind",
            view.kind,
            "--format",
            view.form,
        ]
        arguments += ["--out", str(out)]
        for flag, text in (("--venue", view.venue), ("--symbol", view.symbol)):
            if text:
                arguments.append(f"{flag}={text}")  # one that begins with `-` is no flag
        if view.from_ns > 0:
            arguments.append(f"--from={view.from_ns:019d}")
        if view.to_ns < MAX_NS:
            arguments.append(f"--to={view.to_ns:019d}")
        return arguments

    def _end(self, job: str, state: JobState, detail: str) -> None:
        self._canceled.pop(job, None)
        self._show(replace(self._jobs[job], state=state, detail=detail, ended_ns=self._wall()))

    async def _exchange(self) -> None:
        """What changed is in the cache, and what the processes report is shown."""
        saved = {job: asdict(self._jobs[job]) for job in self._unsaved if job in self._jobs}
        forgotten, running = dict(self._forgotten), tuple(self._canceled)
        canceled = [job for job in running if self._canceled[job].is_set()]
        if not (saved or forgotten or running):
            return
        self._unsaved.clear()
        try:
            found = await asyncio.to_thread(self._write_and_read, saved, forgotten, canceled, running)
        except _TROUBLE as error:  # a full disk: the jobs go on, and it is tried again with the next change
            self._unsaved |= set(saved)
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the list of exports cannot be kept", reason=self._trouble)
            return
        self._trouble = ""
        for job in forgotten:
            del self._forgotten[job]
        for job, report in found.items():
            if job in self._canceled:
                self._apply(job, report)

    def _apply(self, job: str, report: Report | None) -> None:
        if report is not None:
            view = self._jobs[job]
            seen = replace(view, rows=report.rows, total=report.total, size_bytes=report.size_bytes)
            if seen != view:
                self._show(seen, wake=False)

    def _show(self, view: JobView, *, wake: bool = True) -> None:
        self._jobs[view.id] = view
        self._unsaved.add(view.id)
        self._shown = tuple(reversed(self._jobs.values()))[:KEPT_MOST]
        if wake:
            self._wake.set()

    def _drop(self, view: JobView) -> None:
        del self._jobs[view.id]
        self._forgotten[view.id] = view.name
        self._shown = tuple(reversed(self._jobs.values()))[:KEPT_MOST]
        self._wake.set()

    def _expire(self) -> None:
        """Of what has ended, the newest is kept: so many, so long, and so much."""
        kept, size_bytes = 0, 0
        for view in reversed(tuple(self._jobs.values())):
            kept, size_bytes = kept + 1, size_bytes + view.size_bytes
            old = kept > KEPT_MOST or size_bytes > KEPT_BYTES or self._wall() - view.ended_ns > KEPT_NS
            if view.ended_ns and old:
                self._drop(view)

    def _known(self, job: str) -> JobView:
        if job not in self._jobs:
            raise BadCommand("there is no such export any more")
        return self._jobs[job]

    def _in_state(self, state: JobState) -> list[JobView]:
        return [view for view in self._jobs.values() if view.state == state]

    def _free_name(self, request: ExportRequest) -> str:
        name = Path(file_name(request))
        taken = {view.name for view in self._jobs.values()} | set(self._forgotten.values())
        names = (f"{name.stem}{f'-{n}' if n > 1 else ''}{name.suffix}" for n in range(1, 10_000))
        return next(one for one in names if one not in taken and not (self._folder / _EXPORTS / one).exists())

    def _take_up(self, found: Sequence[JobView]) -> None:
        """The jobs of the run before, in front of those asked for since; what was under way then is not now."""
        since, self._jobs = self._jobs, {}
        for view in found:
            if view.state in ("waiting", "running"):
                view = replace(view, state="failed", detail=ENDED, ended_ns=self._wall())
            self._show(view)
        for view in since.values():
            self._show(view)

    # --- in a thread -------------------------------------------------------------------------------------

    def _load(self) -> list[JobView]:
        _sweep(self._folder / _EXPORTS, f"*{DRAFT}")
        try:
            with contextlib.closing(_opened(self._folder)) as cache:
                keys = [key for key in cache.iterkeys() if str(key).startswith("job:")]
                found = [_view(cache.get(key, retry=True)) for key in keys]
        except _TROUBLE as error:
            aside = self._folder / f"{_CACHE}-damaged-{self._wall()}"
            log.error("the list of exports cannot be read", reason=str(error), moved_to=str(aside))
            with contextlib.suppress(OSError):  # then the same is said at the next change
                os.replace(self._folder / _CACHE, aside)
            return []
        return sorted((view for view in found if view is not None), key=lambda view: view.started_ns)

    def _write_and_read(
        self,
        saved: Mapping[str, Mapping[str, Any]],
        forgotten: Mapping[str, str],
        canceled: Sequence[str],
        running: Sequence[str],
    ) -> dict[str, Report | None]:
        for name in forgotten.values():
            (self._folder / _EXPORTS / name).unlink(missing_ok=True)
        with contextlib.closing(_opened(self._folder)) as cache:
            for job, fields in saved.items():
                cache.set(f"job:{job}", fields, retry=True)
            for job in canceled:
                cache.set(f"cancel:{job}", 1, retry=True)
            for job in forgotten:
                for part in ("job", "cancel", "report"):
                    cache.delete(f"{part}:{job}", retry=True)
            return {job: _reported(cache, job) for job in running}

    def _report(self, job: str) -> Report | None:
        try:
            with contextlib.closing(_opened(self._folder)) as cache:
                return _reported(cache, job)
        except _TROUBLE as error:  # how it ended is known without it
            log.warning("what an export reports cannot be read", reason=str(error))
            return None


async def _last_words(process: asyncio.subprocess.Process, canceled: asyncio.Event) -> str:
    """The last line of what it says, when it has ended. One that is canceled has so long to end by itself."""
    assert process.stderr is not None
    listening = asyncio.create_task(_tail(process.stderr))
    ended = asyncio.create_task(process.wait())
    stop = asyncio.create_task(canceled.wait())
    try:
        await asyncio.wait((ended, stop), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await asyncio.wait((ended,), timeout=GRACE_S)
        if not ended.done():
            process.kill()
        await ended
        lines = (await listening).splitlines()
    finally:
        for task in (listening, ended, stop):
            task.cancel()
        await asyncio.gather(listening, ended, stop, return_exceptions=True)
    return lines[-1].removeprefix("venuescope: ")[:500] if lines else ""


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while piece := await stream.read(TAIL_BYTES):
        kept = (kept + piece)[-TAIL_BYTES:]
    return kept.decode(errors="replace").strip()


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with {code}"
    return f"its process was ended by signal {-code}"


def _opened(folder: Path) -> Any:
    """The cache; only this user may look into it, and nothing in it is ever thrown out by itself."""
    _make_private(folder / _CACHE)
    return diskcache.Cache(str(folder / _CACHE), disk=diskcache.JSONDisk, eviction_policy="none", timeout=5)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sweep(folder: Path, pattern: str) -> None:
    """Drafts that nobody finishes are gone."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # it takes space, and does no other harm
            path.unlink(missing_ok=True)


def _reported(cache: Any, job: str) -> Report | None:
    fields = cache.get(f"report:{job}", retry=True)
    try:
        return msgspec.convert(fields, Report) if fields else None
    except msgspec.ValidationError:
        return None  # of another version


def _view(fields: Any) -> JobView | None:
    """A job as it was kept; None when it is none of this version's, or would name a file that is not ours."""
    try:
        view = msgspec.convert(fields, JobView)
    except msgspec.ValidationError:
        return None
    plain = Path(view.name).name == view.name and view.kind in set(RecordKind)
    return view if plain and _ID.fullmatch(view.id) else None
