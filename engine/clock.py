"""The process's clock: wall time that never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

STEP_NS: Final = 500_000_000  # a difference beyond this is a step of the system's clock, not its discipline


class SteadyClock:
    """Nanoseconds UTC: the wall clock at first, then carried on by the monotonic one. Safe from any thread.

    Rings, candles and ages need time that only grows. When the system's clock is set forward (or the machine
    slept), this one follows; when it is set back, this one goes on from where it was, and `behind_ns` says how
    far the system's clock is behind it.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def __call__(self) -> int:
        """Now. Never less than an earlier answer, but for a race of microseconds while it follows a step."""
        steady = self._monotonic_ns() + self._offset_ns
        ahead = self._wall_ns() - steady
        if ahead > STEP_NS:
            self._offset_ns += ahead
            return steady + ahead
        return steady

    @property
    def behind_ns(self) -> int:
        """How far the system's clock is behind this one after it was set back; 0 when it is not."""
        behind = self._monotonic_ns() + self._offset_ns - self._wall_ns()
        return behind if behind > STEP_NS else 0
