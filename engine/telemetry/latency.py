"""Latency by source and stage: one histogram a second, kept as summary rows and sparse bucket rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows
from engine.telemetry.histogram import QUANTILES, Counts, Histogram, quantiles
from engine.telemetry.histogram_kernel import BUCKETS, LINEAR, SUB_BITS
from engine.telemetry.latency_rows import BUCKET as BUCKET
from engine.telemetry.latency_rows import STEP_BUCKET
from engine.telemetry.latency_rows import SUMMARY as SUMMARY
from engine.telemetry.ring import Ring

SECOND_NS: Final = 1_000_000_000
LONG_STEP_S: Final = 10
LONG_ROWS: Final = 1_456  # four hours and two minutes of a pause
SHORT_STEPS_S: Final = (
    2,
    5,
)  # of percentile lines over 5 and 15 minutes: a second may hold too few samples for a tail
SHORT_ROWS: Final = 256
COARSE_S: Final = 30
COARSE_ROWS: Final = 98_304
EIGHTH_ROWS: Final = 81_920  # 15 minutes of 91 rows a second
EIGHTHS: Final = 8  # parts of an octave: the finest rows a picture of latencies has
FIRST_NS: Final = 8  # what is below is one row


def _eighths() -> npt.NDArray[np.int64]:
    bucket = np.arange(BUCKETS)
    octave = 1 << np.log2(bucket.clip(FIRST_NS, LINEAR - 1)).astype(np.int64)  # of buckets of one nanosecond
    size = np.where(bucket < LINEAR, octave // EIGHTHS, (1 << SUB_BITS) // EIGHTHS)
    return np.where(bucket < FIRST_NS, 0, bucket - bucket % size)


EIGHTH_OF: Final = _eighths()  # first bucket of the eighth of an octave that each bucket is in


class Steps:
    """Summary rows of whole steps of some seconds: each published with its last second, or with the next after it."""

    def __init__(self, name: str, step_s: int) -> None:
        self.ring = Ring(name, SUMMARY, SHORT_ROWS)
        self.size_ns = step_s * SECOND_NS
        self._running, self._step_ns, self._offset_ns = Histogram(), 0, 0

    def begin(self, at_ns: int) -> Histogram:
        """What counts the step that holds `at_ns`, once the one before is published."""
        step_ns = at_ns - at_ns % self.size_ns
        if step_ns != self._step_ns:
            self._publish()
            self._step_ns = step_ns
        return self._running

    def end(self, second_ns: int, offset_ns: int) -> None:
        """Nothing up to the end of this second comes any more."""
        self._offset_ns = offset_ns
        if second_ns + SECOND_NS == self._step_ns + self.size_ns:
            self._publish()

    def take(self, seconds: Rows, buckets: Rows) -> None:
        """Count what was recorded: SUMMARY rows of seconds and their BUCKET rows; of old ones that would be
        overwritten, nothing.
        """
        last_ns = int(seconds["ts_ns"][-1])
        oldest_ns = last_ns - last_ns % self.size_ns - self.ring.capacity * self.size_ns
        seconds = seconds[seconds["ts_ns"] >= oldest_ns]
        at, bucket_at = seconds["ts_ns"] // self.size_ns, buckets["ts_ns"] // self.size_ns
        starts = np.flatnonzero(np.append(True, at[1:] != at[:-1])).tolist()
        for first, end in zip(starts, [*starts[1:], len(seconds)], strict=True):
            part = seconds[first:end]
            low, high = np.searchsorted(bucket_at, (at[first], at[first] + 1)).tolist()
            self.begin(int(part["ts_ns"][0])).take(merge(buckets[low:high]), part)
            self.end(int(part["ts_ns"][-1]), int(part["offset_ns"][-1]))

    def _publish(self) -> None:
        if self._running.count:
            self.ring.publish_one(summary(self._running, self._step_ns, self._offset_ns))
            self._running.clear()


class StageLatency:
    """One stage of one source: the running second, then rings of rows of 1 s (15 min), 2 s, 5 s and 10 s (4 h).

    Summary rows draw percentile lines; bucket rows (only those not empty) merge exactly over any window: of each
    second for 15 minutes (less where a second fills more than 70 buckets: two minutes of 530), and of each 30 s for
    four hours (less where 30 s fill more than 204; never less than 20 minutes). Seconds are kept by eighths of octaves
    as well: a busy stage fills some 60 of those, so that 15 minutes can be drawn whole. Written by the engine's thread
    alone. Samples older than the running second are counted into it: a histogram row is closed once.

    3.11 MB a stage: 90 kB, 128 kB and twice 23 kB of summaries, 1.05 MB of the buckets of seconds, 0.82 MB of their
    eighths of octaves, 0.98 MB of the buckets of 30 s; pages that were never written are not taken from the system.
    """

    def __init__(self, source: str, stage: str) -> None:
        self.source, self.stage = source, stage
        self.seconds = Ring(f"latency 1 s {source} {stage}", SUMMARY, 1_024)
        self.long = Ring(f"latency 10 s {source} {stage}", SUMMARY, LONG_ROWS)
        self._steps = tuple(Steps(f"latency {step} s {source} {stage}", step) for step in SHORT_STEPS_S)
        self.buckets = Ring(f"latency buckets {source} {stage}", BUCKET, 65_536)
        self.eighths = Ring(f"latency eighths {source} {stage}", STEP_BUCKET, EIGHTH_ROWS)
        self.coarse = Ring(f"latency buckets, {COARSE_S} s, {source} {stage}", STEP_BUCKET, COARSE_ROWS)
        self._second, self._long = Histogram(), Histogram()
        self._coarse = np.zeros(BUCKETS, np.int64)
        self._second_ns = self._long_ns = self._coarse_ns = 0
        self._offset_ns = 0

    @property
    def rings(self) -> tuple[Ring, ...]:
        """All rings of this stage, for the memory budget and the health page."""
        return self.seconds, *self.short.values(), self.long, self.buckets, self.eighths, self.coarse

    @property
    def short(self) -> dict[int, Ring]:
        """Rings of summary rows by their seconds: of 2 s over 8 minutes, of 5 s over 21."""
        return dict(zip(SHORT_STEPS_S, (steps.ring for steps in self._steps), strict=True))

    def record(self, at_ns: int, values_ns: npt.NDArray[np.int64], offset_ns: int = 0) -> None:
        """Count `values_ns - offset_ns` in the second of `at_ns` (the source's clock)."""
        self.advance(at_ns)
        self._offset_ns = offset_ns
        self._second.record(values_ns, offset_ns)

    def record_one(self, at_ns: int, value_ns: int) -> None:
        """As `record` for one value, without compiled code."""
        self.advance(at_ns)
        self._second.record_one(value_ns)

    def advance(self, now_ns: int) -> None:
        """Close the running second if the source's clock has left it."""
        second = now_ns - now_ns % SECOND_NS
        if second <= self._second_ns:
            return
        if self._second.count:
            self._close()
        self._second_ns = second

    def publish_closed(self, seconds: Rows, buckets: Rows) -> None:
        """Take seconds that were closed elsewhere and recorded: SUMMARY rows of one second each, and the BUCKET rows
        of those seconds, both oldest first. For a stage that measures nothing itself. Seconds that are not newer than
        what is held are left out. Cost: 15 us for each 10 s, and two copies; no compiled code.
        """
        held = self.seconds.last(1).rows
        if len(held):
            seconds = seconds[seconds["ts_ns"] > held["ts_ns"][0]]
            buckets = buckets[buckets["ts_ns"] > held["ts_ns"][0]]
        if not len(seconds):
            return
        self.buckets.publish(buckets)
        self.eighths.publish(eighths(buckets))
        self.seconds.publish(seconds)
        for short in self._steps:
            short.take(seconds, buckets)
        steps = seconds["ts_ns"] // (LONG_STEP_S * SECOND_NS)
        starts = np.flatnonzero(np.append(True, steps[1:] != steps[:-1])).tolist()
        bucket_steps = buckets["ts_ns"] // (LONG_STEP_S * SECOND_NS)
        for first, end in zip(starts, [*starts[1:], len(seconds)], strict=True):
            part, step = seconds[first:end], steps[first]
            low, high = np.searchsorted(bucket_steps, (step, step + 1)).tolist()
            self._begin_long(int(step) * LONG_STEP_S * SECOND_NS)
            self._offset_ns = int(part["offset_ns"][-1])
            counts = merge(buckets[low:high])
            self._long.take(counts, part)
            self._add_coarse(int(step) * LONG_STEP_S * SECOND_NS, counts)

    def _close(self) -> None:
        hist, ts = self._second, self._second_ns
        self.seconds.publish_one(summary(hist, ts, self._offset_ns))
        used = np.flatnonzero(hist.counts)
        rows = np.empty(len(used), BUCKET)
        rows["ts_ns"], rows["bucket"], rows["count"] = ts, used, hist.counts[used]
        self.buckets.publish(rows)
        self.eighths.publish(eighths(rows))
        for short in self._steps:
            short.begin(ts).add(hist)
            short.end(ts, self._offset_ns)
        self._begin_long(ts - ts % (LONG_STEP_S * SECOND_NS))
        self._long.add(hist)
        self._add_coarse(ts, hist.counts)
        hist.clear()

    def _begin_long(self, step_ns: int) -> None:
        if step_ns == self._long_ns:
            return
        if self._long.count:
            self.long.publish_one(summary(self._long, self._long_ns, self._offset_ns))
            self._long.clear()
        self._long_ns = step_ns

    def _add_coarse(self, at_ns: int, counts: Counts) -> None:
        """Add what was counted from `at_ns` on to the 30 s that holds it, once those before are published."""
        step_ns = at_ns - at_ns % (COARSE_S * SECOND_NS)
        if step_ns != self._coarse_ns:
            used = np.flatnonzero(self._coarse)
            rows = np.empty(len(used), STEP_BUCKET)
            rows["second"], rows["bucket"] = self._coarse_ns // SECOND_NS, used
            rows["count"] = self._coarse[used]
            self.coarse.publish(rows)
            self._coarse[:] = 0
            self._coarse_ns = step_ns
        self._coarse += counts


def summary(hist: Histogram, ts_ns: int, offset_ns: int) -> tuple[int, ...]:
    """A SUMMARY row of a histogram that is not empty."""
    found = quantiles(hist.counts, QUANTILES, hist.greatest_ns)
    return (ts_ns, hist.count, *found, hist.least_ns, hist.greatest_ns, hist.sum_ns, offset_ns)


def merge(rows: Rows) -> npt.NDArray[np.int64]:
    """Counts by bucket, (BUCKETS,) int64, of BUCKET rows; exact. About 5 ns a row."""
    return np.bincount(rows["bucket"], weights=rows["count"], minlength=BUCKETS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Held:
    """BUCKET rows of a stage, oldest first: of 30 s each, then of seconds."""

    rows: Rows
    fine: int  # how many of them, at the end, are of seconds
    oldest_ns: int  # start of the oldest step that is held whole; 0 while none was overwritten
    lost: bool  # whether rows after the cursors were overwritten


def held(
    stage: StageLatency, since: tuple[int, int] = (0, 0), until: tuple[int | None, int | None] = (None, None)
) -> Held:
    """Rows from the cursors `since` to the cursors `until`, each of (seconds, 30 s): each 30 s that is over and the
    seconds after the last of those, so that nothing is told twice nor missing.

    Of a step that was overwritten in part there is nothing. Cost: a copy, 0.7 ms for all there may be.
    """
    fine = stage.buckets.since(since[0], until[0])
    rows, oldest_ns = whole(fine.rows, fine.lost)
    steps = stage.coarse.since(since[1], until[1])
    newest = stage.coarse.last(1, until[1]).rows
    end_ns = (int(newest["second"][0]) + COARSE_S) * SECOND_NS if len(newest) else 0
    rows = rows[rows["ts_ns"] >= end_ns]
    if fine.lost and oldest_ns > end_ns:  # 30 s that filled the ring of seconds: what is before is not all
        return Held(rows, len(rows), oldest_ns, True)
    before, oldest_ns = whole(expanded(steps.rows), steps.lost)
    return Held(np.concatenate((before, rows)), len(rows), oldest_ns, steps.lost > 0)


def held_seconds(stage: StageLatency, since: int = 0, until: int | None = None) -> Held:
    """Rows of seconds by eighths of octaves, each named by its first bucket, from a cursor of `eighths` to another.

    Of a second that was overwritten in part there is nothing. Cost: a copy, 0.3 ms for all.
    """
    fine = stage.eighths.since(since, until)
    rows, oldest_ns = whole(expanded(fine.rows), fine.lost)
    return Held(rows, len(rows), oldest_ns, fine.lost > 0)


def reaches(stage: StageLatency, start_ns: int, buckets_end: int) -> bool:
    """Whether the buckets of all seconds from `start_ns` on are held, as of the cursor `buckets_end`. Cost: 5 us."""
    first = buckets_end - stage.buckets.capacity
    if first <= 0:
        return True
    oldest = stage.buckets.since(first, first + 1).rows
    return len(oldest) > 0 and int(oldest["ts_ns"][0]) < start_ns  # of the oldest second some may be gone


def eighths(rows: Rows) -> Rows:
    """BUCKET rows, ordered by time and bucket, as STEP_BUCKET rows of eighths of octaves; counts are exact."""
    found_at, bucket = rows["ts_ns"] // SECOND_NS, EIGHTH_OF[rows["bucket"]]
    starts = np.flatnonzero(np.append(len(rows) > 0, (np.diff(found_at) != 0) | (np.diff(bucket) != 0)))
    found = np.empty(len(starts), STEP_BUCKET)
    found["second"], found["bucket"] = found_at[starts], bucket[starts]
    if len(rows):
        found["count"] = np.add.reduceat(rows["count"].astype(np.int64), starts)
    return found


def expanded(rows: Rows) -> Rows:
    """STEP_BUCKET rows as BUCKET rows."""
    found = np.empty(len(rows), BUCKET)
    found["ts_ns"] = rows["second"].astype(np.int64) * SECOND_NS
    found["bucket"], found["count"] = rows["bucket"], rows["count"]
    return found


def whole(rows: Rows, lost: int) -> tuple[Rows, int]:
    """(rows without the oldest time where some of it may be `lost`, start of the oldest left; 0 if none is lost)."""
    if not lost or not len(rows):
        return rows, 0
    rows = rows[rows["ts_ns"] > rows["ts_ns"][0]]
    return rows, int(rows["ts_ns"][0]) if len(rows) else 0


@lru_cache(maxsize=128)
def counts_since(
    stage: StageLatency,
    start_ns: int,
    buckets_end: int,
    seconds_end: int,
    coarse_end: int | None = None,
    long_end: int | None = None,
) -> tuple[npt.NDArray[np.int64], int]:
    """(counts by bucket since `start_ns`, by the clock of the stage's rows; greatest value in ns): of what was in its
    rings when their heads were `buckets_end` and `seconds_end`, and of the 30 s and 10 s before those where their heads
    are given; `start_ns` is then a multiple of 30 s. Kept until a second closes, so not to be written to.
    """
    coarse = coarse_end is not None
    told = held(stage, until=(buckets_end, coarse_end)) if coarse else stage.buckets.since(0, buckets_end)
    rows = told.rows
    rows = rows[rows["ts_ns"] >= start_ns]
    greatest = 0
    for ring, end in ((stage.seconds, seconds_end), *(((stage.long, long_end),) if coarse else ())):
        summary = ring.last(ring.capacity, end).rows
        inside = summary["greatest"][summary["ts_ns"] >= start_ns]
        greatest = max(greatest, int(inside.max()) if len(inside) else 0)
    return merge(rows), greatest
