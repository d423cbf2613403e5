"""A bucket per caller, as one would explain it: so many calls in it, filling as time passes."""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction


class PlainRates:
    """Knows every caller for ever. A clock that went back takes back what had been filled since, to none at least."""

    def __init__(self, count: int, per_ns: int, burst: int) -> None:
        self.per_call_ns = Fraction(per_ns, count)
        self.burst = burst
        self.calls: dict[Hashable, Fraction] = {}
        self.at_ns: dict[Hashable, int] = {}

    def held(self, caller: Hashable, now_ns: int) -> Fraction:
        """Calls in the bucket."""
        passed = now_ns - self.at_ns.get(caller, now_ns)
        return max(
            Fraction(0),
            min(
                Fraction(self.burst), self.calls.get(caller, Fraction(self.burst)) + passed / self.per_call_ns
            ),
        )

    def take(self, caller: Hashable, now_ns: int) -> tuple[bool, Fraction, int, Fraction]:
        """Whether a call passes, seconds until one does, whole calls left, seconds until the bucket is full."""
        held = self.held(caller, now_ns)
        passes = held >= 1
        wait = Fraction(0) if passes else (1 - held) * self.per_call_ns
        held -= passes
        self.calls[caller], self.at_ns[caller] = held, now_ns
        return passes, wait / 10**9, int(held), (self.burst - held) * self.per_call_ns / 10**9
