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
MOST: Final = 200_000  # samples between two records; more are not kept


class Stages:
    """Stamps of monotonic nanoseconds (`time.perf_counter_ns`). One thread."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._first = 0  # of the messages that wait for the next drain
        self._samples: dict[str, list[int]] = {name: [] for name in STAGES}
        self._socket, self._decode = self._samples["socket"], self._samples["decode"]
        self._wait, self._match = self._samples["wait"], self._samples["match"]
        self._encode, self._ack = self._samples["encode"], self._samples["ack"]
        self._queued: list[int] = []

    def decoded(self, started: int) -> None:
        """A message that came at `started` has been taken."""
        now = self._clock()
        first = self._first
        if not first:
            self._first = first = started
        if len(self._queued) < MOST:
            self._socket.append(started - first)
            self._decode.append(now - started)
            self._queued.append(now)

    def drained(self, began: int, matched: int, commands: int) -> None:
        """The batch of those messages was matched from `began` to `matched`, and all is answered now."""
        now = self._clock()
        first, queued = self._first, self._queued
        self._first, self._queued = 0, []
        if not first or not queued or len(self._ack) > MOST:
            return
        self._wait += [began - each for each in queued]
        self._match += [matched - began] * len(queued)
        self._encode += [(now - matched) // max(commands, 1)] * len(queued)
        self._ack += [now - first] * len(queued)

    def record(self, telemetry: Telemetry, now_ns: int) -> None:
        """Move all samples into the histograms, in the second of `now_ns`."""
        for name, samples in self._samples.items():
            if samples:
                telemetry.stage(SOURCE, name).record(now_ns, np.array(samples, np.int64))
                samples.clear()
