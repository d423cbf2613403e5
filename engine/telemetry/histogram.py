"""Log-linear latency histograms: fixed memory, recorded in batch, percentiles within 1 %.

The bucket layout is HdrHistogram's idea with 6 sub-bits: below 128 ns one bucket a nanosecond, above that
64 buckets an octave. A bucket's midpoint is at most 1/128 = 0.78 % from any value in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows
from engine.telemetry import histogram_kernel
from engine.telemetry.histogram_kernel import BUCKETS, LINEAR, SUB_BITS

Counts = npt.NDArray[np.int64]
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)


def bucket_of(value: int) -> int:
    """The bucket of a value in nanoseconds; negatives in 0, too large in the last. The plain twin of `record`."""
    if value < LINEAR:
        return max(0, value)
    shift = value.bit_length() - SUB_BITS - 1
    return min(LINEAR + (shift - 1) * (1 << SUB_BITS) + (value >> shift) - (1 << SUB_BITS), BUCKETS - 1)


def _midpoints() -> npt.NDArray[np.int64]:
    index = np.arange(LINEAR, BUCKETS) - LINEAR
    shift = (index >> SUB_BITS) + 1
    lower = ((1 << SUB_BITS) + (index & ((1 << SUB_BITS) - 1))) << shift
    return np.concatenate((np.arange(LINEAR), lower + (1 << shift) // 2)).astype(np.int64)


MIDPOINT_NS: Final = _midpoints()


def quantiles(counts: Counts, wanted: Sequence[float], greatest: int) -> list[int]:
    """Values in ns at the quantiles wanted: the least value with at least that share at or below it.

    `counts` is (BUCKETS,), not empty; `greatest`, the exact maximum, bounds the answer. Cost: one cumulative sum.
    """
    cumulative = np.cumsum(counts)
    ranks = np.ceil(np.asarray(wanted) * cumulative[-1] - 1e-9).clip(1)
    found = MIDPOINT_NS[np.searchsorted(cumulative, ranks)]
    return [min(int(v), greatest) for v in found]


class Histogram:
    """Counts of one stage over one stretch of time."""

    __slots__ = ("count", "counts", "greatest_ns", "least_ns", "sum_ns")

    def __init__(self) -> None:
        self.counts: Counts = np.zeros(BUCKETS, np.int64)
        self.count = 0
        self.sum_ns = 0
        self.least_ns = 1 << 62
        self.greatest_ns = 0

    def record(self, values_ns: npt.NDArray[np.int64], offset_ns: int = 0) -> None:
        """Count `values_ns - offset_ns`, an int64 array of any length; about 1 ns a value."""
        if len(values_ns) == 0:
            return
        total, least, greatest = histogram_kernel.record(self.counts, values_ns, offset_ns)
        self._widen(len(values_ns), int(total), int(least), int(greatest))

    def record_one(self, value_ns: int) -> None:
        """Count one value without touching compiled code: usable while kernels are being built."""
        value = max(0, value_ns)
        self.counts[bucket_of(value)] += 1
        self._widen(1, value, value, value)

    def add(self, other: Histogram) -> None:
        """Merge another histogram into this one; exact, since buckets are the same."""
        self.counts += other.counts
        self._widen(other.count, other.sum_ns, other.least_ns, other.greatest_ns)

    def take(self, counts: Counts, parts: Rows) -> None:
        """Merge what was counted elsewhere: counts by bucket, and rows with the `sum`, `least` and `greatest` of what
        is in them.
        """
        count = int(counts.sum())
        if count:
            self.counts += counts
            least, greatest = int(parts["least"].min()), int(parts["greatest"].max())
            self._widen(count, int(parts["sum"].sum()), least, greatest)

    def clear(self) -> None:
        """Forget everything, keep the memory."""
        self.counts[:] = 0
        self.count = self.sum_ns = self.greatest_ns = 0
        self.least_ns = 1 << 62

    def _widen(self, count: int, total: int, least: int, greatest: int) -> None:
        self.count += count
        self.sum_ns += total
        self.least_ns = min(self.least_ns, least)
        self.greatest_ns = max(self.greatest_ns, greatest)
