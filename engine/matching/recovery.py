"""Making the engine again from its last snapshot and the commands after it, as `log.py` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

import numpy as np

from engine.errors import LogDamaged, VenuescopeError
from engine.market.batches import Rows
from engine.matching import frames

if TYPE_CHECKING:
    from engine.matching.engine import Events

BATCH_ROWS: Final = 4_096


class Recoverable(Protocol):
    """What recovery needs of an engine."""

    @property
    def commands_taken(self) -> int:
        """The next command's sequence."""

    def submit(self, rows: Rows, /) -> Events:
        """Take commands; -> what they did."""

    @classmethod
    def restore(cls, data: bytes, /) -> Self:
        """The engine whose `snapshot()` this is."""


EngineT = TypeVar("EngineT", bound=Recoverable)


@dataclass(frozen=True, slots=True)
class Recovered(Generic[EngineT]):
    """An engine that has taken every command the files hold."""

    engine: EngineT
    sequence: int  # of the next command
    snapshot_sequence: int  # where the replay began; 0 without a snapshot
    replayed: int
    dropped_bytes: int  # what is left of a frame whose writing was cut short
    unusable: tuple[str, ...]  # newer snapshots that could not be used, and why


def recover(
    folder: Path, make_engine: Callable[[], EngineT], on_events: Callable[[Events], None] | None = None
) -> Recovered[EngineT]:
    """The engine as it was, from the newest snapshot that can be used and the commands after it.

    Reads the files and changes nothing. `make_engine` gives the engine before its first command; it is used where
    there is no snapshot. `on_events` gets what the replayed commands do, as they do it. LogDamaged, with file and
    offset, when commands are damaged or missing. At most BATCH_ROWS and a frame's rows are held at a time.
    """
    engine, start, unusable = _newest(folder, make_engine)
    commands = _Commands(folder, start, unusable)
    replayed = 0
    for rows in _batches(commands):
        events = engine.submit(rows)
        replayed += len(rows)
        if on_events is not None:
            on_events(events)
    assert engine.commands_taken == start + replayed
    return Recovered(engine, start + replayed, start, replayed, commands.torn_bytes, unusable)


def _newest(folder: Path, make_engine: Callable[[], EngineT]) -> tuple[EngineT, int, tuple[str, ...]]:
    """The engine to begin with, its sequence, and what is wrong with the snapshots passed over."""
    fresh = make_engine()
    unusable: list[str] = []
    for sequence, path in reversed(frames.snapshots(folder)):
        try:
            engine = fresh.restore(frames.read_snapshot(path, sequence))
            if engine.commands_taken != sequence:
                raise LogDamaged(str(path), 0, f"its engine has taken {engine.commands_taken:,} commands")
        except VenuescopeError as error:
            unusable.append(f"{path.name}: {error}")
            continue
        return engine, sequence, tuple(unusable)
    return fresh, 0, tuple(unusable)


class _Commands:
    """The commands from `start` on, frame by frame, out of as many segments as there are."""

    def __init__(self, folder: Path, start: int, unusable: tuple[str, ...]) -> None:
        self.torn_bytes = 0
        self._folder, self._start, self._unusable = folder, start, unusable

    def __iter__(self) -> Iterator[Rows]:
        # A snapshot is only taken where a segment begins, and that segment is there before it.
        found = [
            (sequence, path) for sequence, path in frames.segments(self._folder) if sequence >= self._start
        ]
        if not found and (self._start or self._unusable):
            raise self._missing(self._folder, 0, "the commands are missing")
        at, path, end = self._start, self._folder, 0
        for sequence, segment in found:
            if sequence != at:
                raise self._missing(path, end, f"commands {at:,} to {sequence - 1:,} are missing")
            if self.torn_bytes:
                raise LogDamaged(
                    str(path), end, "a frame is cut short, but the commands go on in the next file"
                )
            reader = frames.SegmentReader(segment, sequence)
            yield from reader
            at, path, end, self.torn_bytes = reader.sequence, segment, reader.end, reader.torn_bytes

    def _missing(self, path: Path, offset: int, reason: str) -> LogDamaged:
        return LogDamaged(str(path), offset, "; ".join((reason, *self._unusable)))


def _batches(parts: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows in order, in fewer and larger arrays: the log may have a frame for each command."""
    waiting: list[Rows] = []
    count = 0
    for rows in parts:
        waiting.append(rows)
        count += len(rows)
        if count >= BATCH_ROWS:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
