"""The command log: what went into the engine, so that the engine can be made again after a crash.

Its one writer, the sequencer, appends a batch, submits it to the engine, and lets the answers go out when the mode
allows; now and then it takes a snapshot, so that recovery stays short:

    sequence = log.append(rows)            # LogFull: nothing was taken, refuse the commands
    events = engine.submit(rows)
    if log.acks_wait:
        await log.durable(sequence)
    ...
    await log.durable(log.sequence)        # so that rotating has little left to sync
    sequence, data = log.rotate(), engine.snapshot()
    await asyncio.to_thread(log.write_snapshot, sequence, data)

A snapshot of the new engine, before its first command, keeps the engine's make-up together with its commands.
What the files hold is said in `frames.py`; `recovery.py` reads them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from engine import durable_files
from engine.errors import LogDamaged, LogFailed, LogFull
from engine.group_commit import GroupCommit
from engine.market.batches import Rows
from engine.matching import frames
from engine.matching.orders import COMMAND

Mode = Literal["off", "async", "sync"]
State = Literal["open", "failed", "closed"]

PACE_S: Final = {"sync": 0.0, "async": 1.0}
BACKLOG_BYTES: Final = 1 << 26  # some 800,000 commands
SNAPSHOTS_KEPT: Final = 2


@dataclass(frozen=True, slots=True)
class LogView:
    """A command log as the health page shows it. Counts are since it was opened."""

    mode: Mode
    state: State
    sequence: int = 0
    durable_sequence: int = 0
    backlog_bytes: int = 0  # written and not known to be durable
    backlog_peak_bytes: int = 0
    backlog_limit_bytes: int = 0
    appends: int = 0
    refused: int = 0  # appends, because the backlog was full
    syncs: int = 0
    snapshots: int = 0
    torn_bytes: int = 0  # cut off the end when it was opened
    written_bytes: int = 0  # of commands and their frames


class CommandLog:
    """Appends commands to files in `folder`, which it has for itself while it is open.

    `mode`: "off" touches no file. "async" writes at once and syncs about once a second: a killed process loses
    nothing, a power cut the last second. "sync" syncs at once, and acknowledgements wait for it.

    A log goes on where it ended, and `sequence`, if given, must be there: the recovered engine's `commands_taken`.
    A torn end is cut off. LogDamaged when the files can't be gone on with, LogFailed when the system refuses.

    One thread appends, rotates and closes. After a failed write or sync the state is "failed" for good and nothing
    is taken any more: only opening it anew tells what the files hold.
    """

    def __init__(
        self,
        folder: Path,
        mode: Mode,
        sequence: int | None = None,
        *,
        backlog_limit_bytes: int = BACKLOG_BYTES,
    ) -> None:
        if backlog_limit_bytes > BACKLOG_BYTES:
            raise ValueError(f"at most {BACKLOG_BYTES:,} bytes may wait for the disk")
        self.folder, self.mode = folder, mode
        self.sequence = sequence or 0
        self._limit_bytes = backlog_limit_bytes
        self._peak_bytes = self._written_bytes = self._torn_bytes = 0
        self._appends = self._refused = self._snapshots = 0
        self._failure: LogFailed | None = None
        self._closed = False
        self._commit: GroupCommit | None = None
        if mode != "off":
            with contextlib.ExitStack() as undo:
                try:
                    durable_files.make_folder(folder)
                    self._lock = durable_files.lock_folder(folder)
                    undo.callback(os.close, self._lock)
                    self._open(sequence)
                except BlockingIOError as error:
                    raise LogFailed(str(folder), "another process uses it") from error
                except OSError as error:
                    raise LogFailed(str(folder), _reason(error)) from error
                undo.pop_all()
            self._commit = GroupCommit(self._sync, self.sequence, PACE_S[mode])

    @property
    def acks_wait(self) -> bool:
        """Whether a command may be acknowledged only once it is durable."""
        return self.mode == "sync"

    @property
    def durable_sequence(self) -> int:
        """Every command below it survives a power cut. In mode off none does: 0."""
        return self._commit.durable if self._commit else 0

    @property
    def state(self) -> State:
        """Whether it takes commands."""
        if self._failure or (self._commit and self._commit.failure):
            return "failed"
        return "closed" if self._closed else "open"

    def view(self) -> LogView:
        """All that there is to show."""
        return LogView(
            self.mode,
            self.state,
            self.sequence,
            self.durable_sequence,
            self._commit.backlog_bytes if self._commit else 0,
            self._peak_bytes,
            self._limit_bytes,
            self._appends,
            self._refused,
            self._commit.syncs if self._commit else 0,
            self._snapshots,
            self._torn_bytes,
            self._written_bytes,
        )

    def append(self, rows: Rows) -> int:
        """Write COMMAND rows; -> the sequence after the last. Doesn't wait until the disk has them.

        LogFull when too much waits for the disk: nothing was written. LogFailed when they can't be written, now or
        any more. Either way the engine must not get them.
        """
        assert rows.dtype == COMMAND
        if self._commit is None or not len(rows):
            self.sequence += len(rows)
            return self.sequence
        self._check()
        backlog_bytes = self._commit.backlog_bytes
        if backlog_bytes and backlog_bytes + rows.nbytes > self._limit_bytes:
            self._refused += 1
            self._commit.hurry()
            raise LogFull(backlog_bytes, self._limit_bytes)
        rows = np.ascontiguousarray(rows)
        for at in range(0, len(rows), frames.MAX_ROWS):
            part = rows[at : at + frames.MAX_ROWS]
            data = frames.frame(part, self.sequence)
            self._write(data)
            self.sequence += len(part)
            self._commit.advance(self.sequence, len(data))
        self._appends += 1
        backlog_bytes += rows.nbytes
        self._peak_bytes = max(self._peak_bytes, backlog_bytes)
        if backlog_bytes > self._limit_bytes // 2:
            self._commit.hurry()
        return self.sequence

    def wait(self, sequence: int, timeout_s: float) -> bool:
        """Whether every command below `sequence` is durable, after at most `timeout_s`; the sync comes at once.

        LogFailed when it can't be known any more. Blocks, so not for a loop's thread. Not in mode off.
        """
        assert self._commit, "in mode off nothing becomes durable"
        return self._commit.wait(sequence, timeout_s)

    async def durable(self, sequence: int) -> None:
        """Returns once every command below `sequence` is durable; otherwise as `wait`."""
        assert self._commit, "in mode off nothing becomes durable"
        await self._commit.reached(sequence)

    def rotate(self) -> int:
        """Begin a new segment; -> its first sequence, to write the engine's snapshot of this moment with.

        Waits for a sync, so that only the last segment's end can be torn. LogFailed as `append`.
        """
        if self._commit is not None:
            self._check()
            if self.sequence > self._first:
                with self._commit.paused():
                    self._sync()
                    before = self._file
                    try:
                        self._begin(self.sequence)
                    except OSError as error:
                        raise self._fail(error) from error
                    os.close(before)
        return self.sequence

    def write_snapshot(self, sequence: int, data: bytes) -> None:
        """Keep `data`, the engine's snapshot at `sequence`, which `rotate` gave. For a worker thread.

        Once it is durable, what recovery has no more need of is deleted. LogFailed when it can't be written: the
        log itself goes on, and what there was before is kept.
        """
        if self.mode == "off":
            return
        assert frames.segment_path(self.folder, sequence).exists(), (
            "a snapshot is taken where a segment begins"
        )
        path = frames.snapshot_path(self.folder, sequence)
        try:
            durable_files.write_whole(path, (frames.snapshot_header(data, sequence), data))
            self._snapshots += 1
            _delete_superseded(self.folder)
        except OSError as error:
            raise LogFailed(str(path), _reason(error)) from error

    def close(self) -> None:
        """Make everything durable and leave the folder to others. LogFailed when that can't be done, or not in time."""
        if self._commit is not None and not self._closed:
            if not self._commit.close():
                raise LogFailed(str(self._path), "the disk doesn't answer")
            os.close(self._file)
            os.close(self._lock)
        self._closed = True
        if self._commit is not None and self._commit.failure is not None:
            raise self._commit.failure

    def _open(self, sequence: int | None) -> None:
        """Go on with the last segment, or begin the first. Nothing is changed before all of it has been read."""
        found = frames.segments(self.folder)
        if not found:
            if sequence or frames.snapshots(self.folder):
                raise LogDamaged(str(self.folder), 0, "the commands are missing")
            self._begin(0)
            return
        first, path = found[-1]
        reader = frames.SegmentReader(path, first)
        for _ in reader:
            pass
        if sequence is not None and sequence != reader.sequence:
            reason = f"command {reader.sequence:,} is next, but the engine has taken {sequence:,}"
            raise LogDamaged(str(path), reader.end, reason)
        for draft in self.folder.glob("snapshot-*" + durable_files.DRAFT):
            draft.unlink()
        file = durable_files.open_append(path)
        try:
            if reader.torn_bytes:
                os.ftruncate(file, reader.end)
            durable_files.sync_file(file)  # a killed process may not have: what was read counts as durable
            durable_files.sync_folder(self.folder)
        except BaseException:
            os.close(file)
            raise
        self.sequence, self._torn_bytes = reader.sequence, reader.torn_bytes
        self._first, self._path, self._end, self._file = first, path, reader.end, file

    def _begin(self, sequence: int) -> None:
        """Append to a new segment from now on."""
        path = frames.segment_path(self.folder, sequence)
        file = durable_files.open_append(path, new=True)
        try:
            durable_files.sync_folder(self.folder)
        except BaseException:
            os.close(file)
            raise
        self._first, self._path, self._end, self._file = sequence, path, 0, file

    def _write(self, data: bytes) -> None:
        try:
            durable_files.write_all(self._file, data)
        except OSError as error:
            with contextlib.suppress(
                OSError
            ):  # else whoever opens the log next cuts off the part that was written
                os.ftruncate(self._file, self._end)
            raise self._fail(error) from error
        self._end += len(data)
        self._written_bytes += len(data)

    def _sync(self) -> None:
        try:
            durable_files.sync_file(self._file)
        except OSError as error:
            raise self._fail(error) from error

    def _fail(self, error: OSError) -> LogFailed:
        self._failure = self._failure or LogFailed(str(self._path), _reason(error))
        return self._failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # it would grow with each append that is refused
        if self._closed:
            raise LogFailed(str(self._path), "it is closed")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _delete_superseded(folder: Path) -> None:
    """Delete what comes before the last snapshots that can be read: older ones, and commands that all of them have."""
    readable = 0
    for oldest, path in reversed(frames.snapshots(folder)):
        with contextlib.suppress(LogDamaged):
            frames.read_snapshot(path, oldest)
            readable += 1
        if readable == SNAPSHOTS_KEPT:
            break
    else:
        return
    for sequence, path in frames.snapshots(folder):
        if sequence < oldest:
            path.unlink(missing_ok=True)
    found = frames.segments(folder)
    for (_, path), (following, _) in itertools.pairwise(found):
        if following <= oldest:
            path.unlink(missing_ok=True)
