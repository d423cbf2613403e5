"""Counts by second: what came, what was matched, what went wrong."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.telemetry.ring import Ring

LONGEST_S: Final = 4 * 3_600  # the longest window of a page
# More than that: the first step of a chart begins up to 119 s before its window, and a page that is paused exports all
# it shows, as long as that is for up to two minutes.
SECONDS_KEPT: Final = LONGEST_S + 120 + 120
COUNT: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second, wall clock
        ("messages", np.int64),  # frames received from outside
        ("orders", np.int64),  # commands matched by the built-in exchange
        ("events", np.int64),  # what its matching engine put out
        ("rejects", np.int64),  # of those, commands refused
        ("trades", np.int64),
        ("size_bytes", np.int64),
        ("gaps", np.int64),
        ("malformed", np.int64),
        ("skipped", np.int64),  # orders due but given up, to keep up
    ]
)
COUNTERS: Final = tuple(name for name in COUNT.names or () if name != "ts_ns")


class SourceCounters:
    """Counts of one source: the running second, totals since start, and one row a second for four hours."""

    def __init__(self, source: str) -> None:
        self.ring = Ring(f"counters {source}", COUNT, SECONDS_KEPT)
        self.totals = dict.fromkeys(COUNTERS, 0)
        self._running = dict.fromkeys(COUNTERS, 0)

    def add(self, **counts: int) -> None:
        """Add to the running second by counter name."""
        for name, count in counts.items():
            self._running[name] += count

    def close(self, second_ns: int) -> None:
        """Publish the running second as that of `second_ns` and begin the next."""
        self.ring.publish_one((second_ns, *(self._running[name] for name in COUNTERS)))
        for name in COUNTERS:
            self.totals[name] += self._running[name]
            self._running[name] = 0
