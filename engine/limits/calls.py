"""What was called, per endpoint: counts, and latencies in a small log-linear table (within 6 %)."""

from __future__ import annotations

from typing import Final

SUB_BITS: Final = 3  # buckets an octave: 8, so a bucket's middle is at most 1/16 from any value in it
BUCKETS: Final = 48 << SUB_BITS  # up to 2^48 us


def bucket_of(value_us: int) -> int:
    """The bucket of a whole number of microseconds; negatives in 0, too large in the last."""
    if value_us < 1 << SUB_BITS:
        return max(0, value_us)
    shift = value_us.bit_length() - SUB_BITS - 1
    return min(((shift + 1) << SUB_BITS) + (value_us >> shift) - (1 << SUB_BITS), BUCKETS - 1)


def middle_of(bucket: int) -> int:
    """The middle of a bucket, in microseconds."""
    if bucket < 1 << SUB_BITS:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    lower = ((1 << SUB_BITS) + (bucket & ((1 << SUB_BITS) - 1))) << shift
    return lower + (1 << shift) // 2


class EndpointCounts:
    """One endpoint since the start."""

    __slots__ = (
        "_counts", "answers", "calls", "endpoint", "max_ns", "refused", "status", "sum_ns", "throttled", "waiting",
        "weight",
    )  # fmt: skip

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.calls = self.throttled = self.waiting = self.refused = self.weight = 0
        self.answers = self.sum_ns = self.max_ns = self.status = 0
        self._counts: list[int] = []  # made with the first answer

    def answered(self, status: int, took_ns: int) -> None:
        """An answer came, so long after the call was sent."""
        if not self._counts:
            self._counts = [0] * BUCKETS
        self.status = status
        self.answers += 1
        self.sum_ns += took_ns
        if took_ns > self.max_ns:
            self.max_ns = took_ns
        self._counts[bucket_of(took_ns // 1_000)] += 1

    @property
    def mean_ns(self) -> int:
        """Mean latency; 0 before the first answer."""
        return self.sum_ns // self.answers if self.answers else 0

    @property
    def p99_ns(self) -> int:
        """The latency that 99 % of answers did not exceed, within 6 %; 0 before the first answer."""
        rank = -(-self.answers * 99 // 100)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(middle_of(bucket) * 1_000, self.max_ns)
        return 0
