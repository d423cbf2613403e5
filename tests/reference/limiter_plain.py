"""A limiter and a server, obviously right and slow: every call is kept, every sum is made anew."""

from __future__ import annotations

from dataclasses import dataclass, field

INFINITE = 1 << 62


@dataclass
class PlainCall:
    """A call as the plain limiter keeps it."""

    number: int
    weight: int
    priority: int
    free_at: int = INFINITE  # INFINITE: waiting or in flight
    sent: bool = False


@dataclass
class PlainLimiter:
    """One window. A call is in it from sending until one window after its answer."""

    limit: int
    hold: int  # window and guard
    grain: int
    lost_hold: int
    reserve: float = 0.0
    calls: list[PlainCall] = field(default_factory=list)

    def room(self, priority: int) -> int:
        """Units that calls of a priority may fill."""
        return self.limit - (int(self.limit * self.reserve) if priority >= 2 else 0)

    def used(self, now: int) -> int:
        """Units of calls sent and not free yet."""
        return sum(call.weight for call in self.calls if call.sent and call.free_at > now)

    def pump(self, now: int) -> list[int]:
        """Numbers of the calls that go now: by priority, then arrival; the first that doesn't fit ends it."""
        gone = []
        for call in sorted((c for c in self.calls if not c.sent), key=lambda c: (c.priority, c.number)):
            if self.used(now) + call.weight > self.room(call.priority):
                break
            call.sent = True
            gone.append(call.number)
        return gone

    def answered(self, number: int, now: int, *, lost: bool = False) -> None:
        """It is free one window on, rounded up to the grain."""
        raw = now + (self.lost_hold if lost else 0) + self.hold
        self._call(number).free_at = raw // self.grain * self.grain + self.grain

    def gone(self, number: int) -> None:
        """Cancelled, or never sent."""
        self.calls.remove(self._call(number))

    def _call(self, number: int) -> PlainCall:
        return next(call for call in self.calls if call.number == number)


def fullest_sliding(arrivals: list[tuple[int, int]], window: int) -> int:
    """The most that any stretch of a window's length holds: half open, so one that begins at each arrival."""
    return max(
        (sum(weight for at, weight in arrivals if begin <= at < begin + window) for begin, _ in arrivals),
        default=0,
    )


def fullest_fixed(arrivals: list[tuple[int, int]], window: int, phase: int) -> int:
    """The most that any of a server's fixed windows holds, when one begins at `phase`."""
    sums: dict[int, int] = {}
    for at, weight in arrivals:
        sums[(at - phase) // window] = sums.get((at - phase) // window, 0) + weight
    return max(sums.values(), default=0)
