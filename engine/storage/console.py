"""What a recording without a page says on the console: a line a second, what went wrong, and a sum at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import Final

from engine.storage.views import StorageView
from engine.telemetry.board import Board
from engine.telemetry.hub import Telemetry

SILENT_S: Final = 60.0  # a venue that connects says something by then, and goes on saying it
RESTARTS_MOST: Final = 5  # of its source's task, within
RESTARTS_S: Final = 300.0

MEGA: Final = 1e6


async def follow(
    telemetry: Telemetry, venue: str, symbols: tuple[str, ...], seconds: float, stop: asyncio.Event
) -> int:
    """Tell how the recording of a venue goes until `stop` is set or so many seconds of it are over (0 = no end).

    -> 0, or 1 when nothing can be recorded, which was said then. `sum_up` says what is on the disk.
    """
    told = telemetry.events.written
    ready = began = 0.0
    state = detail = ""
    watch = Watch(venue)
    while not stop.is_set():
        for event in telemetry.events.since(told):
            told = event.number
            if event.level != "info":
                print(f"{event.level}: {event.text}", file=sys.stderr, flush=True)
        engine, store = telemetry.board.engine, telemetry.board.storage
        # Once it has begun the store goes on by itself, whatever happens to the disk.
        if engine.state == "failed" or (not began and store.state in ("failed", "read only")):
            print(f"venuescope: {engine.detail or store.detail}", file=sys.stderr)
            return 1
        if engine.state != state:
            state, ready = engine.state, time.monotonic()
        if state == "compiling" and engine.detail != detail:
            detail = engine.detail
            print(detail, file=sys.stderr, flush=True)
        recording = next((view for view in store.recordings if view.venue == venue), None)
        if recording is not None and recording.rows:
            missing = _missing(store, venue, symbols)
            if missing:
                print(f"venuescope: {venue} does not follow {missing}", file=sys.stderr)
                return 1
            began = began or time.monotonic()
            print(_line(store, venue, time.monotonic() - began), flush=True)
        elif not began and state == "running" and time.monotonic() - ready > SILENT_S:
            print(f"venuescope: nothing came of {venue} within {SILENT_S:.0f} s", file=sys.stderr)
            return 1
        dead = watch.look(telemetry.board, time.monotonic()) if state == "running" else ""
        if dead:
            print(f"venuescope: nothing arrives of {venue}: {dead}", file=sys.stderr)
            return 1
        if seconds and began and time.monotonic() - began >= seconds:
            break
        try:
            async with asyncio.timeout(1.0):
                await stop.wait()
        except TimeoutError:
            continue
    return 0


class Watch:
    """Whether anything still arrives of a venue. One that is being connected again is waited for. Pure."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._newest_ns = -1
        self._since_s = 0.0
        self._restarts = 0
        self._restarted_s: deque[float] = deque(maxlen=RESTARTS_MOST)

    def look(self, board: Board, now_s: float) -> str:
        """Why nothing will arrive any more; "" while it may."""
        source = next((one for one in board.sources if one.source.venue == self._venue), None)
        named = "built-in exchange" if self._venue == "builtin" else "live venues"
        task = next((each for each in board.tasks if each.name == named), None)
        if task is not None:
            if task.state == "failed":
                return task.error
            self._restarted_s.extend([now_s] * min(task.restarts - self._restarts, RESTARTS_MOST))
            self._restarts = task.restarts
            if len(self._restarted_s) == RESTARTS_MOST and now_s - self._restarted_s[0] <= RESTARTS_S:
                return task.error
        newest_ns = source.newest_ns if source is not None else 0
        if newest_ns != self._newest_ns or (source is not None and source.state == "reconnecting"):
            self._newest_ns, self._since_s = newest_ns, now_s
        if now_s - self._since_s <= SILENT_S:
            return ""
        why = (task.error if task is not None else "") or (source.detail if source is not None else "")
        return f"for {SILENT_S:.0f} s" + (f"; {why}" if why else "")


def sum_up(written: int, given_up: int, ended: bool) -> int:
    """Say how many rows are on the disk, once the engine has stopped; the exit code, 0 when there are some.

    `given_up` were not kept. When the engine has not `ended` in time, what was on its way then may be missing.
    """
    lost = f"; {given_up:,} rows were given up" if given_up else ""
    if not ended:
        lost += "; what was not on the disk yet is lost: the engine did not end in time"
    if not written:
        print(f"venuescope: nothing was recorded{lost}", file=sys.stderr)
        return 1
    print(f"{written:,} rows recorded{lost}; the History page has them: uv run app.py", flush=True)
    return 0 if ended else 1


def _line(store: StorageView, venue: str, elapsed_s: float) -> str:
    """One second of it."""
    recording = next(view for view in store.recordings if view.venue == venue)
    journal = store.journal
    waiting = journal.pending_rows if journal is not None else 0
    commit_ms = journal.commit_p99_ns / 1e6 if journal is not None else 0.0
    # Those of this session; before it others recorded, or nobody.
    gaps = sum(gap.venue == venue and gap.from_ns >= recording.since_ns for gap in store.gaps)
    given_up = sum(rows for _, rows in journal.shed) if journal is not None else 0
    lost = f"  GIVEN UP {given_up:,}: {store.detail}" if given_up else ""
    return (
        f"{elapsed_s:6.0f} s  {venue}  {recording.rows:>12,} rows  {recording.size_bytes / MEGA:>9.1f} MB"
        f"  {recording.rows_per_s:>9,.0f} rows/s  {waiting:>6,} not on the disk yet"
        f"  commit p99 {commit_ms:5.1f} ms  gaps {gaps}{lost}"
    )


def _missing(store: StorageView, venue: str, symbols: tuple[str, ...]) -> str:
    """The first symbol asked for that the venue does not follow, by universal name; "" when all are there."""
    followed = next((names for name, names in store.recordable if name == venue), None)
    if followed is None or venue != "builtin":  # live markets say themselves what they do not list
        return ""
    plain = {name.upper().replace("-", "") for name in followed}
    return next((name for name in symbols if name.upper().replace("-", "") not in plain), "")


class Progress:
    """How far a long command is, on one line of a terminal; nothing where the output goes elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._newest_s = 0.0

    def at(self, done: int, total: int) -> None:
        """So much of so much; drawn at most five times a second."""
        now_s = time.monotonic()
        if self._shown and now_s - self._newest_s >= 0.2:
            self._newest_s = now_s
            print(f"\r{done / max(total, 1):6.1%}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shown and self._newest_s:
            print("\r        \r", end="", file=sys.stderr, flush=True)
