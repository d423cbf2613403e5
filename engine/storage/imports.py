"""A capture of somebody else's into the store: whole or not at all, and once.

While it is taken over, the store says so; whoever opens the journal next and finds that, undoes what a broken import
left (`engine.storage.import_marks`).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from engine.errors import BadSetting, StorageError, StoreFailed
from engine.intake import Intake
from engine.market.sink import Sink
from engine.storage.import_marks import File, begin, finish, roll_back
from engine.storage.journal import Journal
from engine.storage.recorder import Recorder
from engine.telemetry.hub import Telemetry

__all__ = ["IMPORTED", "Inlet", "ended_well", "taking_over"]
log = structlog.get_logger(__name__)

IMPORTED: Final = ("trades", "book", "candles", "funding", "raw")  # what a capture can have
WAITING_BYTES: Final = 32 << 20
STALLED_S: Final = 30.0  # nothing of what waits has come to the disk for so long
UNDONE_S: Final = 60.0
LOOK_S: Final = 0.005
BROKEN_OFF: Final = 130  # as a shell has it for Ctrl-C


class Inlet:
    """A store that is written by a command: `sink` takes what is to be recorded, `flush` puts it on its way."""

    def __init__(self, journal: Journal, what: Sequence[str], stalled_s: float = STALLED_S) -> None:
        self._journal, self._stalled_s = journal, stalled_s
        self._recorder = Recorder(time.time_ns, always=tuple(what))
        self._recorder.use(journal)
        self._intake = Intake(Telemetry(time.time_ns()))
        self._intake.tap = self._recorder

    @property
    def sink(self) -> Sink:
        """What feeds deliver to."""
        return self._intake

    def flush(self) -> None:
        """Put what has come; waits while the disk is behind. StorageError when it does not follow."""
        self._journal.put(self._recorder.flush())
        self._wait(lambda: self._journal.view().pending_bytes <= WAITING_BYTES)

    def end(self) -> None:
        """All of it is on the disk. StorageError when it cannot be, or something of it was lost."""
        self.flush()
        self._wait(lambda: self._journal.wait_durable(self._journal.next_seq, LOOK_S))

    def _wait(self, done: Callable[[], bool]) -> None:
        """Until it is so, as long as anything comes to the disk."""
        commits, since_s = -1, time.monotonic()
        while True:
            over = done()
            view = self._journal.view()
            if view.shed or self._journal.state == "failed":
                lost = ", ".join(f"{count:,} {kind}" for kind, count in view.shed)
                reason = self._journal.detail or "they cannot be written"
                raise StoreFailed(str(self._journal.folder), f"{reason} (lost: {lost})" if lost else reason)
            if over:
                return
            if view.commits != commits:
                commits, since_s = view.commits, time.monotonic()
            elif time.monotonic() - since_s > self._stalled_s:
                reason = self._journal.detail or "the disk does not answer"
                raise StoreFailed(str(self._journal.folder), reason)
            time.sleep(LOOK_S)


@contextlib.contextmanager
def taking_over(
    folder: Path, files: Sequence[File], what: Sequence[str], *, stalled_s: float = STALLED_S
) -> Iterator[Inlet]:
    """An inlet; what went in is kept if the block ends well, else nothing is. SIGTERM and SIGHUP break it off too.

    BadImport when one of the files was imported before, or nothing went in; StoreLocked while another process writes
    to the store; StorageError when the disk does not take it all.
    """
    for name in what:
        if name not in IMPORTED:
            raise BadSetting("what", name, f"choose of {', '.join(IMPORTED)}")
    with _broken_off_by_signals():
        journal = Journal.open(folder)
        try:
            journal.transact(lambda connection: begin(connection, files, journal.next_seq)).result()
            try:
                inlet = Inlet(journal, what, stalled_s)
                yield inlet
                inlet.end()
                journal.transact(lambda connection: finish(connection, files)).result()
            except BaseException:
                try:
                    journal.abandon(roll_back).result(UNDONE_S)
                except (StorageError, TimeoutError) as error:
                    log.warning("what was imported is taken away at the next start", reason=str(error))
                raise
        finally:
            journal.close()


@contextlib.contextmanager
def ended_well() -> Iterator[None]:
    """One sentence and an exit code (SystemExit) where an import does not end well."""
    try:
        yield
    except StorageError as error:
        print(f"venuescope: nothing was imported: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print("venuescope: the import was broken off; nothing of it was kept", file=sys.stderr)
        raise SystemExit(BROKEN_OFF) from None


@contextlib.contextmanager
def _broken_off_by_signals() -> Iterator[None]:
    """What would end the process raises KeyboardInterrupt, as Ctrl-C does; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {
        number: signal.signal(number, interrupt) for number in (getattr(signal, name) for name in names)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
