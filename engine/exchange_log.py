"""The built-in exchange over restarts: whose state a folder holds, the log of its commands, its snapshots.

    exchange.json                     which exchange this is
    commands-*.log, snapshot-*.bin    see `engine/matching/frames.py`

Whatever waits for the disk does so on a worker thread: the exchange stands still meanwhile, the loop does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np

from engine import durable_files
from engine.errors import BadDataFolder, LogDamaged, LogFailed, LogFull, StorageError
from engine.flow.simulator import ACCOUNTS, books, new_engine
from engine.market.batches import Rows
from engine.matching import frames
from engine.matching.engine import SNAPSHOT_VERSION, MatchingEngine
from engine.matching.log import CommandLog, LogView
from engine.matching.recovery import Recovered, recover
from engine.telemetry.events import Level

NAME: Final = "exchange.json"
SNAPSHOT_EVERY_BYTES: Final = 160_000_000  # some 2,000,000 commands: 1.5 s to take them again
SNAPSHOT_TRIES: Final = 2  # that fail in a row; without a snapshot nothing of the log can be deleted
FINAL: Final = (
    StorageError,
    BadDataFolder,
)  # what a running exchange ends with: another try enlarges no disk

Note = Callable[[Level, str], None]
Result = TypeVar("Result")


class ExchangeLog:
    """What the built-in exchange needs to go on after a restart, in `folder`, which it has for itself while open.

    `check` and `view` are for anyone, the rest for the task that runs the exchange. After LogFailed it can only be
    closed, and opened again.
    """

    def __init__(self, folder: Path, mode: Literal["async", "sync"], seed: int) -> None:
        self.folder, self.mode = folder, mode
        self._make_up = {
            "versions": [SNAPSHOT_VERSION, frames.VERSION, frames.LAYOUT],
            "seed": seed,
            "accounts": ACCOUNTS,
            "books": [asdict(book) for book in books()],
        }
        self._note: Note = lambda _level, _text: None
        self._log: CommandLog | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._taken: list[Rows] = []
        self._saving: asyncio.Future[LogFailed | None] | None = None
        self._saved_bytes = self._failed_tries = 0

    def check(self) -> None:
        """BadDataFolder when the folder cannot be read, or holds another exchange. Changes nothing."""
        try:
            text = (self.folder / NAME).read_text(encoding="utf-8")
        except FileNotFoundError:
            if frames.snapshots(self.folder) or any(
                path.stat().st_size for _, path in frames.segments(self.folder)
            ):
                reason = f"holds the commands of an exchange, but not its {NAME}"
                raise BadDataFolder(str(self.folder), reason, "put that file back") from None
            return
        except (OSError, UnicodeDecodeError) as error:
            reason = f"has an {NAME} that cannot be read ({error})"
            raise BadDataFolder(str(self.folder), reason, "make it readable") from error
        difference = _difference(text, self._make_up)
        if difference is not None:
            raise BadDataFolder(str(self.folder), *difference)

    def view(self) -> LogView:
        """The log's condition."""
        return self._log.view() if self._log else LogView(self.mode, "closed")

    async def open(self, note: Note) -> MatchingEngine:
        """The engine as it was left, or a new one. `note` is told, on the loop, what a user should know.

        BadDataFolder as `check`; LogDamaged or LogFailed when the commands can't be read or gone on with.
        """
        self._thread = ThreadPoolExecutor(1, "command log")
        self._note, self._log = note, None
        self._taken.clear()
        self._saved_bytes = self._failed_tries = 0
        note("info", f"opening the command log, mode {self.mode}, in {self.folder}")
        started = time.monotonic()
        recovered = await self._run(self._open)
        torn_bytes = self._opened.view().torn_bytes
        if recovered.sequence:
            took_s = time.monotonic() - started
            text = f"the exchange goes on after {recovered.sequence:,} commands"
            note("info", f"{text}; {recovered.replayed:,} were taken again, in {took_s:.1f} s")
        if torn_bytes:
            note("warn", f"{torn_bytes:,} bytes of a command cut short were dropped from the log's end")
        for sentence in recovered.unusable:
            note("warn", f"a snapshot could not be used: {sentence}")
        return recovered.engine

    def take(self, rows: Rows) -> None:
        """Hold a copy of what the engine took, for `write`. Not while that runs."""
        self._taken.append(rows.copy())

    async def write(self) -> None:
        """Returns when what was taken may be told: it is written, and in mode sync it is durable."""
        log = self._opened
        if self._taken:
            rows = self._taken[0] if len(self._taken) == 1 else np.concatenate(self._taken)
            self._taken.clear()
            await self._append(log, rows)
        if log.acks_wait:
            await log.durable(log.sequence)

    async def save(self, engine: MatchingEngine, *, at_once: bool = False) -> None:
        """Take a snapshot, when one is due, of what `write` has written. It reaches the disk while trading goes on.

        Waits for the one before, so what lies on the disk stays bounded. LogFailed when they fail in a row.
        """
        log = self._opened
        if not at_once and log.view().written_bytes - self._saved_bytes < SNAPSHOT_EVERY_BYTES:
            return
        if self._saving is not None:
            await asyncio.wait([self._saving])
            error = self._saving.result()
            self._failed_tries = self._failed_tries + 1 if error else 0
            if error and self._failed_tries >= SNAPSHOT_TRIES:
                raise error
        self._saved_bytes = log.view().written_bytes
        sequence, data = await self._run(lambda: (log.rotate(), engine.snapshot()))
        self._saving = asyncio.get_running_loop().run_in_executor(None, _write_snapshot, log, sequence, data)
        self._saving.add_done_callback(self._note_failed)

    async def close(self) -> None:
        """Make all durable and leave the folder to others. What goes wrong is noted, not raised."""
        if self._saving is not None:
            await asyncio.wait([self._saving])
            self._saving = None
        if self._thread is None:
            return
        error = await self._run(self._close)  # after what the thread still does
        if error is not None:
            self._note("error", str(error))
        self._thread.shutdown(wait=False)
        self._thread = None

    @property
    def _opened(self) -> CommandLog:
        assert self._log is not None, "not open"
        return self._log

    async def _run(self, work: Callable[..., Result], *given: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    async def _append(self, log: CommandLog, rows: Rows) -> None:
        while True:
            try:
                await self._run(log.append, rows)
                return
            except LogFull:  # the exchange goes at the disk's pace
                await log.durable(log.durable_sequence + 1)

    def _note_failed(self, saving: asyncio.Future[LogFailed | None]) -> None:
        error = saving.result()
        if error is not None:
            self._note("warn", f"no snapshot of the exchange was written: {error}")

    def _open(self) -> Recovered[MatchingEngine]:
        """Recover the engine; from then on the folder is ours."""
        self.check()
        try:
            log = CommandLog(self.folder, self.mode)
            try:
                path = self.folder / NAME
                if not path.exists():
                    durable_files.write_whole(path, (json.dumps(self._make_up, indent=1).encode(),))
                recovered = recover(self.folder, lambda: new_engine())
                assert recovered.sequence == log.sequence
            except BaseException:
                with contextlib.suppress(LogFailed):
                    log.close()
                raise
        except LogDamaged as error:
            reason = f"{error.reason}; restore it, or move {self.folder} away to begin anew"
            raise LogDamaged(error.path, error.offset, reason) from error
        except OSError as error:
            raise LogFailed(str(self.folder), error.strerror or str(error)) from error
        self._log = log
        return recovered

    def _close(self) -> LogFailed | None:
        """What goes wrong now, if anything does."""
        if self._log is None:
            return None
        known = self._log.state == "failed"
        try:
            self._log.close()
        except LogFailed as error:
            return None if known else error
        return None


def _write_snapshot(log: CommandLog, sequence: int, data: bytes) -> LogFailed | None:
    """Why it could not be written, if it could not."""
    try:
        log.write_snapshot(sequence, data)
    except LogFailed as error:
        return error
    return None


def _difference(text: str, make_up: dict[str, Any]) -> tuple[str, str] | None:
    """What is said of a folder whose exchange is not the one of this make-up, and what to do."""
    try:
        held = json.loads(text)
        versions, seed = held["versions"], held["seed"]
        symbols = [book["symbol"] for book in held["books"]]
    except (ValueError, KeyError, TypeError):
        return f"has an {NAME} that is damaged", "restore that file"
    if versions != make_up["versions"]:
        return "holds an exchange that another version of this program kept", "start that version"
    if held.get("accounts") != make_up["accounts"]:
        return "holds an exchange with another number of accounts", "start the version that kept it"
    if seed != make_up["seed"]:
        return f"holds an exchange with seed {seed}, not {make_up['seed']}", f"start with seed {seed}"
    wanted = [book["symbol"] for book in make_up["books"]]
    if symbols != wanted:
        reason = f"holds an exchange of {', '.join(symbols)}, not of {', '.join(wanted)}"
        return reason, "start the version that trades these"
    if held["books"] != make_up["books"]:
        return "holds an exchange of other units", "start the version that trades in these"
    return None
