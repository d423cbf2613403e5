"""Compiled recording into log-linear histograms; `histogram.py` has the layout and the reading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

SUB_BITS = 6
LINEAR = 2 << SUB_BITS  # below this each value has a bucket of its own
BUCKETS = LINEAR + 34 * (1 << SUB_BITS)  # the last octave ends at 2^41 ns, 36 minutes


@njit(nogil=True, cache=True)
def record(
    counts: npt.NDArray[np.int64], values: npt.NDArray[np.int64], offset: int
) -> tuple[np.int64, np.int64, np.int64]:
    """Count `values - offset` into `counts` (BUCKETS,); -> (sum, least, greatest) of what was counted.

    Negative differences count as 0, those past the last octave in the last bucket. About 1 ns a value.
    """
    total = np.int64(0)
    least = np.int64(1) << 62
    greatest = np.int64(0)
    for value in values:
        v = value - offset
        if v < 0:
            v = np.int64(0)
        total += v
        if v < least:
            least = v
        if v > greatest:
            greatest = v
        if v < LINEAR:
            counts[v] += 1
            continue
        shift = 0
        rest = v >> SUB_BITS
        while rest > 1:
            rest >>= 1
            shift += 1
        index = LINEAR + (shift - 1) * (1 << SUB_BITS) + (v >> shift) - (1 << SUB_BITS)
        counts[min(index, BUCKETS - 1)] += 1
    return total, least, greatest


def warm_up() -> None:
    """Compile for the one signature in use."""
    record(np.zeros(BUCKETS, np.int64), np.array([1, 1000], np.int64), 0)
