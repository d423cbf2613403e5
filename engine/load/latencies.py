"""How long answers took: a log-linear histogram of fixed size in plain NumPy.

The layout is that of `engine.telemetry.histogram` (64 buckets an octave, so a bucket's middle is at most 0.8 % from
any value in it), but nothing here is compiled: a load generator starts at once and brings no Numba with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

SUB_BITS: Final = 6
LINEAR: Final = 2 << SUB_BITS  # below this each nanosecond has a bucket of its own
OCTAVES: Final = 34
BUCKETS: Final = LINEAR + (OCTAVES << SUB_BITS)  # the last octave ends at 2^41 ns, 36 minutes


def buckets_of(values_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The bucket of each value: negatives in 0, too large in the last."""
    values = values_ns.clip(0, (1 << (SUB_BITS + 1 + OCTAVES)) - 1)
    # frexp gives the bit length exactly: these values are far below 2^53.
    shift = (np.frexp(values.astype(np.float64))[1] - SUB_BITS - 1).clip(0).astype(np.int64)
    octave = LINEAR + ((shift - 1) << SUB_BITS) + (values >> shift) - (1 << SUB_BITS)
    return np.where(values < LINEAR, values, octave)


def _middles() -> npt.NDArray[np.int64]:
    index = np.arange(LINEAR, BUCKETS) - LINEAR
    shift = (index >> SUB_BITS) + 1
    lower = ((1 << SUB_BITS) + (index & ((1 << SUB_BITS) - 1))) << shift
    return np.concatenate((np.arange(LINEAR), lower + (1 << shift) // 2)).astype(np.int64)


_MIDDLE_NS: Final = _middles()


class Latencies:
    """Counts of one stretch of time. Sum, count and maximum are exact, percentiles within 0.8 %."""

    def __init__(self) -> None:
        self.count = self.sum_ns = self.greatest_ns = 0
        self._counts = np.zeros(BUCKETS, np.int64)

    def record(self, values_ns: Sequence[int]) -> None:
        """Count these; about 30 ns a value."""
        if not values_ns:
            return
        values = np.asarray(values_ns, np.int64)
        self._counts += np.bincount(buckets_of(values), minlength=BUCKETS)
        self.count += len(values)
        self.sum_ns += int(values.clip(0).sum())
        self.greatest_ns = max(self.greatest_ns, int(values.max()))

    def add(self, other: Latencies) -> None:
        """Count what another has counted."""
        self._counts += other._counts
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.greatest_ns = max(self.greatest_ns, other.greatest_ns)

    @property
    def mean_ms(self) -> float:
        """The mean in milliseconds, NaN when nothing was counted."""
        return self.sum_ns / self.count / 1e6 if self.count else float("nan")

    @property
    def greatest_ms(self) -> float:
        """The greatest in milliseconds, NaN when nothing was counted."""
        return self.greatest_ns / 1e6 if self.count else float("nan")

    def percentile_ms(self, share: float) -> float:
        """The least value in ms with at least this share (0 to 1) at or below it, NaN when nothing was counted."""
        if not self.count:
            return float("nan")
        cumulative = np.cumsum(self._counts)
        rank = max(1, int(np.ceil(share * self.count - 1e-9)))
        found = int(_MIDDLE_NS[np.searchsorted(cumulative, rank)])
        return min(found, self.greatest_ns) / 1e6
