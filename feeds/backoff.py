"""How long to wait before trying again: exponential, full jitter, bounded. Pure: time and chance are arguments."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
CAP_S: Final = 30.0
HEALTHY_AFTER_S: Final = 30.0
MOST_DOUBLINGS: Final = 30  # far past any cap: keeps the power small


class Backoff:
    """Counts failures in a row; says how long to wait after the newest.

    A connection that opens and breaks at once is no success, so only data that kept coming for
    `healthy_after_s` forgets the failures. Full jitter (anything from 0 to the bound) spreads what broke
    together.
    """

    def __init__(
        self, first_s: float = FIRST_S, cap_s: float = CAP_S, healthy_after_s: float = HEALTHY_AFTER_S
    ) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"the first delay must be above 0 s and at most {cap_s} s, not {first_s}")
        self.failures = 0  # in a row
        self._first_s, self._cap_s = first_s, cap_s
        self._healthy_after_ns = round(healthy_after_s * 1e9)
        self._healthy_since_ns: int | None = None

    @property
    def bound_s(self) -> float:
        """The longest the next wait can be: doubles with each failure up to the cap; 0.0 without one."""
        if not self.failures:
            return 0.0
        return float(min(self._cap_s, self._first_s * 2 ** min(self.failures - 1, MOST_DOUBLINGS)))

    def delay_s(self, random: float) -> float:
        """Seconds to wait before the next try; `random` in [0, 1) picks from 0 to `bound_s`."""
        return random * self.bound_s

    def failed(self) -> None:
        """Note one more failure; what was healthy until now no longer counts."""
        self.failures += 1
        self._healthy_since_ns = None

    def healthy(self, now_ns: int) -> None:
        """Note that good data came at `now_ns`, on a clock that never goes back."""
        if self._healthy_since_ns is None:
            self._healthy_since_ns = now_ns
        elif self.failures and now_ns - self._healthy_since_ns >= self._healthy_after_ns:
            self.failures = 0
