"""Whether a connection's data has stopped, judged by its own pace. Pure: times are a steady clock's nanoseconds."""

from __future__ import annotations

from typing import Final

SECOND_NS: Final = 1_000_000_000
FOLD_NS: Final = 5 * SECOND_NS  # over which the pace is measured
FORGET: Final = 0.5  # weight of what was before, at each fold
EXPECTED: Final = (
    12.0  # frames that would have come meanwhile: none of them by chance once in e**12 = 160,000
)
QUIET_LONGEST_S: Final = 60.0
FIRST_TIMES: Final = 3.0  # as long for the very first data, whose pace nobody knows


class Pulse:
    """How long a connection may be silent before it counts as dead.

    `silent_after_s` for one that moves (two frames a second and more); longer for one that is slow by nature, so that
    an illiquid market is not reconnected for ever; a minute at most.
    """

    def __init__(self, silent_after_s: float) -> None:
        self._silent_after_s = silent_after_s
        self._rate: float | None = None  # frames a second; None until it was measured
        self._folded_ns = 0  # since when frames are counted; 0 = not yet
        self._newest_ns = 0
        self._frames = 0

    @property
    def limit_s(self) -> float:
        """Seconds of silence that are borne now."""
        if self._rate is None:
            return FIRST_TIMES * self._silent_after_s
        slow_s = EXPECTED / self._rate if self._rate > 0 else QUIET_LONGEST_S
        return max(self._silent_after_s, min(slow_s, QUIET_LONGEST_S))

    def copy(self) -> Pulse:
        """Another that expects the same pace."""
        other = Pulse(self._silent_after_s)
        other._rate = self._rate
        return other

    def start(self, now_ns: int) -> None:
        """A connection begins to be asked for data; the pace it had before still counts."""
        self._newest_ns, self._folded_ns = now_ns, 0

    def beat(self, now_ns: int, frames: int) -> None:
        """Data came."""
        self._newest_ns = now_ns
        if not self._folded_ns:  # what went before is the time to subscribe, not the market's pace
            self._folded_ns, self._frames = now_ns, 0
            return
        self._frames += frames
        passed_ns = now_ns - self._folded_ns
        if passed_ns >= FOLD_NS or (self._rate is None and passed_ns >= SECOND_NS):
            rate = self._frames * SECOND_NS / passed_ns
            self._rate = rate if self._rate is None else FORGET * self._rate + (1 - FORGET) * rate
            self._folded_ns, self._frames = now_ns, 0

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until the silence is too long, should it go on; 0 = it is."""
        return max(0, self._newest_ns + round(self.limit_s * SECOND_NS) - now_ns)
