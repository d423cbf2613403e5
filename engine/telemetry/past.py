"""What is shown of a replayed source by its own clock: counts by second, and what was said then."""

from __future__ import annotations

from typing import Final

from engine.market.batches import Rows
from engine.telemetry.counters import SourceCounters
from engine.telemetry.events import EventLog
from engine.telemetry.ring import Ring

SECOND_NS: Final = 1_000_000_000
SILENCE_S: Final = 60  # seconds without data that count as seconds of nothing; more is a hole
LATE_NS: Final = 3 * SECOND_NS  # a recorded second comes this long after its end, at most
LATENCY: Final = "latency"
COUNTERS: Final = "counters"
EVENTS: Final = "events"


class Past:
    """Counts and events of one replayed source, at its own times. Written by the engine's thread alone.

    Counts are made of what is played until recorded ones come; then the recorded ones are shown and no others, since
    both would count the same trades. Events are recorded ones only: what is said of a replay itself is of now.
    `recorded` has what came out of the records so far, of "latency", "counters", "events".
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.events = EventLog()
        self.recorded: frozenset[str] = frozenset()
        self.closed_ns = 0  # the source's clock: seconds that begin before this are complete in `counts`
        self._counters = SourceCounters(f"{source}, its own seconds")

    @property
    def counts(self) -> Ring:
        """COUNT rows, one a second of the source's clock."""
        return self._counters.ring

    def add(self, counts: dict[str, int]) -> None:
        """Add what was played to the running second, by counter name."""
        if COUNTERS not in self.recorded:
            self._counters.add(**counts)

    def close(self, second_ns: int, next_ns: int) -> None:
        """The second of `second_ns` is over and that of `next_ns` has begun. Silence between them counts as such,
        unless it is too long to be told from a hole.
        """
        if COUNTERS in self.recorded:
            return
        self._counters.close(second_ns)
        if next_ns - second_ns <= SILENCE_S * SECOND_NS:
            for silent_ns in range(second_ns + SECOND_NS, next_ns, SECOND_NS):
                self._counters.close(silent_ns)
        self.closed_ns = max(self.closed_ns, next_ns)

    def advance(self, now_ns: int) -> None:
        """The source's clock stands at `now_ns`: a recorded second that has not come by now was not recorded."""
        if COUNTERS in self.recorded:
            self.closed_ns = max(self.closed_ns, now_ns - now_ns % SECOND_NS - LATE_NS)

    def take_counts(self, rows: Rows) -> None:
        """Publish recorded COUNT rows, oldest first; those that came before are left out."""
        if COUNTERS not in self.recorded:
            self._counters = SourceCounters(f"{self.source}, its own seconds")
            self.recorded |= {COUNTERS}
            self.closed_ns = 0
        newest = self.counts.last(1).rows
        if len(newest):
            rows = rows[rows["ts_ns"] > newest["ts_ns"][0]]
        if len(rows):
            self.counts.publish(rows)
            self.closed_ns = max(self.closed_ns, int(rows["ts_ns"][-1]) + SECOND_NS)
