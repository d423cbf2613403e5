"""Where an order's time goes: stamps of each stage, gathered cheaply and recorded in batches.

socket   from the first message of a turn of the loop to this one: others were read before it
decode   reading it, checking it, queueing its command
wait     from there until the batch is matched
match    the batch in the engine
encode   the answer made and written, an average of its batch
ack      all of it, from the first message of the turn
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from engine.telemetry.hub import Telemetry

SOURCE: Final = "exchange"
STAGES: Final = ("socket", "decode", "wait", "match", "encode", "ack")
MOST: Final = 200_000  # messages between two records; the stages of more are not kept


class Stages:
    """Stamps of monotonic nanoseconds (`time.perf_counter_ns`). One thread."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.is_pending = False  # commands wait to be matched: set by who queues them
        self._clock = clock
        self._began: list[int] = []  # of each message, oldest first
        self._queued: list[int] = []
        self._taken = 0  # of these, those up to the batch that was matched last
        # Of each batch: messages up to its end, when matching began and ended, when all was told, commands.
        self._batches: list[tuple[int, int, int, int, int]] = []

    def decoded(self, started: int) -> None:
        """A message that came at `started` has been taken, and commands wait."""
        self._began.append(started)
        self._queued.append(self._clock())

    def taken(self) -> None:
        """All commands that wait are matched now. Messages that come from here on belong to the next batch, even if
        this one is told much later.
        """
        self.is_pending = False
        self._taken = len(self._began)

    def drained(self, began: int, matched: int, commands: int) -> None:
        """The batch that was `taken` last was matched from `began` to `matched`, and all is answered now."""
        count = self._taken
        if count > MOST:
            last = self._batches[-1][0] if self._batches else 0
            del self._began[last:count], self._queued[last:count]
            self._taken = last
            return
        self._batches.append((count, began, matched, self._clock(), max(commands, 1)))

    def record(self, telemetry: Telemetry, now_ns: int) -> None:
        """Move what was gathered into the histograms, in the second of `now_ns`. Some 0.1 us a message."""
        if not self._batches:
            return
        ends, began, matched, told, commands = np.array(self._batches, np.int64).T
        count = int(ends[-1])
        starts = np.array(self._began[:count], np.int64)
        queued = np.array(self._queued[:count], np.int64)
        del self._began[:count], self._queued[:count]
        self._taken -= count
        self._batches.clear()
        sizes = np.diff(ends, prepend=0)
        used = sizes > 0
        ends, sizes = ends[used], sizes[used]
        if not len(ends):
            return
        began, matched, told, commands = (
            np.repeat(each[used], sizes) for each in (began, matched, told, commands)
        )
        first = np.repeat(starts[ends - sizes], sizes)
        for stage, values in (
            ("socket", starts - first),
            ("decode", queued - starts),
            ("wait", np.maximum(began - queued, 0)),
            ("match", matched - began),
            ("encode", (told - matched) // commands),
            ("ack", told - first),
        ):
            telemetry.stage(SOURCE, stage).record(now_ns, values)
