"""The event log: connects, gaps, restarts, errors, as sentences with a time and a level."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One entry; `number` counts from 1 and never repeats in a process. `source` is "" for the engine itself."""

    number: int
    ts_ns: int
    level: Level
    source: str
    what: str
    text: str


class EventLog:
    """The newest `capacity` events. Written by the engine's thread, read by any."""

    def __init__(self, capacity: int = 1_000) -> None:
        self.capacity = capacity
        self._events: deque[Event] = deque(maxlen=capacity)
        self.written = 0
        self.newest_ns = 0  # time of the newest event, 0 = none

    def add(self, ts_ns: int, level: Level, source: str, what: str, text: str) -> None:
        """Append one event; the oldest goes when the log is full."""
        self.written += 1
        self._events.append(Event(self.written, ts_ns, level, source, what, text))
        self.newest_ns = ts_ns

    def since(self, number: int) -> list[Event]:
        """Events numbered above `number`, oldest first."""
        # A deque cannot be iterated while it is appended to; copying it is atomic under the GIL.
        return [event for event in self._events.copy() if event.number > number]
