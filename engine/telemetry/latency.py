"""Latency by source and stage: one histogram a second, kept as summary rows and sparse bucket rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows
from engine.telemetry.histogram import QUANTILES, Histogram, quantiles
from engine.telemetry.histogram_kernel import BUCKETS
from engine.telemetry.latency_rows import BUCKET as BUCKET
from engine.telemetry.latency_rows import SUMMARY as SUMMARY
from engine.telemetry.ring import Ring

SECOND_NS: Final = 1_000_000_000
LONG_STEP_S: Final = 10


class StageLatency:
    """One stage of one source: the running second, then rings of 1 s rows (15 min) and 10 s rows (4 h).

    Summary rows draw percentile lines; bucket rows (only those not empty) merge exactly over any window.
    Written by the engine's thread alone. Samples older than the running second are counted into it: a
    histogram row is closed once.
    """

    def __init__(self, source: str, stage: str) -> None:
        self.source, self.stage = source, stage
        self.seconds = Ring(f"latency 1 s {source} {stage}", SUMMARY, 1_024)
        self.long = Ring(f"latency 10 s {source} {stage}", SUMMARY, 1_440)
        self.buckets = Ring(f"latency buckets {source} {stage}", BUCKET, 65_536)
        self._second, self._long = Histogram(), Histogram()
        self._second_ns = self._long_ns = 0
        self._offset_ns = 0

    @property
    def rings(self) -> tuple[Ring, Ring, Ring]:
        """All rings of this stage, for the memory budget and the health page."""
        return self.seconds, self.long, self.buckets

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
        self.seconds.publish(seconds)
        steps = seconds["ts_ns"] // (LONG_STEP_S * SECOND_NS)
        starts = np.flatnonzero(np.append(True, steps[1:] != steps[:-1])).tolist()
        bucket_steps = buckets["ts_ns"] // (LONG_STEP_S * SECOND_NS)
        for first, end in zip(starts, [*starts[1:], len(seconds)], strict=True):
            part, step = seconds[first:end], steps[first]
            low, high = np.searchsorted(bucket_steps, (step, step + 1)).tolist()
            self._begin_long(int(step) * LONG_STEP_S * SECOND_NS)
            self._offset_ns = int(part["offset_ns"][-1])
            self._long.take(merge(buckets[low:high]), part)

    def _close(self) -> None:
        hist, ts = self._second, self._second_ns
        self.seconds.publish_one(self._summary(hist, ts))
        used = np.flatnonzero(hist.counts)
        rows = np.empty(len(used), BUCKET)
        rows["ts_ns"], rows["bucket"], rows["count"] = ts, used, hist.counts[used]
        self.buckets.publish(rows)
        self._begin_long(ts - ts % (LONG_STEP_S * SECOND_NS))
        self._long.add(hist)
        hist.clear()

    def _begin_long(self, step_ns: int) -> None:
        if step_ns == self._long_ns:
            return
        if self._long.count:
            self.long.publish_one(self._summary(self._long, self._long_ns))
            self._long.clear()
        self._long_ns = step_ns

    def _summary(self, hist: Histogram, ts_ns: int) -> tuple[int, ...]:
        found = quantiles(hist.counts, QUANTILES, hist.greatest_ns)
        return (ts_ns, hist.count, *found, hist.least_ns, hist.greatest_ns, hist.sum_ns, self._offset_ns)


def merge(rows: Rows) -> npt.NDArray[np.int64]:
    """Counts by bucket, (BUCKETS,) int64, of BUCKET rows; exact. About 5 ns a row."""
    return np.bincount(rows["bucket"], weights=rows["count"], minlength=BUCKETS).astype(np.int64)


@lru_cache(maxsize=128)
def counts_since(
    stage: StageLatency, start_ns: int, buckets_end: int, seconds_end: int
) -> tuple[npt.NDArray[np.int64], int]:
    """(counts by bucket since `start_ns`, by the clock of the stage's rows; greatest value in ns): of what was in its
    rings when their heads were `buckets_end` and `seconds_end`. Kept until a second closes, so not to be written to.
    """
    rows = stage.buckets.since(0, buckets_end).rows
    rows = rows[rows["ts_ns"] >= start_ns]
    summary = stage.seconds.last(stage.seconds.capacity, seconds_end).rows
    greatest = summary["greatest"][summary["ts_ns"] >= start_ns]
    return merge(rows), int(greatest.max()) if len(greatest) else 0
