"""One window of a limit: what own calls take of it, exact over any stretch of its length.

A unit becomes free one window after the *answer* came back, not after sending. An earlier call reached the venue
no later than its answer came, and a later call reaches it no earlier than it is sent, so two calls that share a
stretch of a window's length at the venue are always counted together here, however the network delays or reorders
them, and wherever the venue's own windows begin. A guard on top covers the granularity of clocks.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from engine.limits.foreign import NEVER, Follower
from engine.limits.rules import WindowRule

Nanos = int

GRAIN_BITS: Final = 12  # releases are rounded up to a 4,096th of the window: so many entries at most


class Window:
    """One window of one account or address. `now` never goes back (the limiter sees to it)."""

    __slots__ = (
        "_grain",
        "_log",
        "account",
        "answered",
        "flying",
        "follower",
        "hold",
        "limit",
        "next_free",
        "own_limit",
        "reserve",
        "rooms",
        "rule",
        "shared_rooms",
        "waiting",
    )  # fmt: skip

    def __init__(self, rule: WindowRule, account: str, guard_ns: Nanos, reserve: float) -> None:
        self.rule, self.account, self.reserve = rule, account, reserve
        self._grain = max(1, rule.window_ns >> GRAIN_BITS)
        self.hold = rule.window_ns + guard_ns
        self._log: deque[list[int]] = deque()  # [free at, units], ascending
        self.next_free = NEVER
        self.flying = 0  # units of calls in flight
        self.answered = 0  # units of calls answered or lost that are not free yet
        self.waiting = 0  # units of calls that wait
        self.follower = (
            Follower(rule.limit, rule.window_ns, guard_ns, fixed=rule.server == "fixed")
            if rule.header
            else None
        )
        self.limit = self.own_limit = 0
        self.rooms = self.shared_rooms = (0, 0, 0, 0)
        self.adopt(rule.limit)

    @property
    def used(self) -> int:
        """Units that own calls hold."""
        return self.flying + self.answered

    @property
    def reported(self) -> bool:
        """Whether answers tell how full it is."""
        return self.follower is not None and not self.follower.deaf

    def adopt(self, limit: int) -> None:
        """The venue's own figure for the limit."""
        self.limit = limit
        self.own_limit = max(1, int(limit * self.rule.share))
        less = self.own_limit - int(self.own_limit * self.reserve)
        self.rooms = (self.own_limit, self.own_limit, less, less)  # by priority
        less = limit - int(limit * self.reserve)
        self.shared_rooms = (limit, limit, less, less)
        if self.follower is not None:
            self.follower.limit = limit
            self.follower.calm_until = 0

    def fits(self, cost: int, priority: int, now: Nanos) -> bool:
        """Whether a call may be sent now."""
        if now >= self.next_free:
            self.release(now)
        if self.flying + self.answered + cost > self.rooms[priority]:
            return False
        follower = self.follower
        if follower is None:
            return True
        if (
            now < follower.calm_until
            and follower.committed + self.flying + cost <= self.shared_rooms[priority]
        ):
            return True
        if follower.deaf:
            return True
        hard, soft = follower.room(now, self.flying, self.answered, self.shared_rooms[priority])
        return cost <= soft or (self.flying == 0 and cost <= hard)

    def give_back(self, cost: int) -> None:
        """It was not sent after all."""
        self.flying -= cost

    def settle(self, cost: int, now: Nanos) -> None:
        """It was answered."""
        self.flying -= cost
        self.answered += cost
        free = (now + self.hold) // self._grain * self._grain + self._grain
        log = self._log
        if not log:
            log.append([free, cost])
            self.next_free = free
            return
        last = log[-1]
        if last[0] == free:  # the same grain
            last[1] += cost
        elif last[0] < free:
            log.append([free, cost])
        else:  # behind a lost call
            self._insert(free, cost)

    def lose(self, cost: int, now: Nanos, within: Nanos) -> None:
        """No answer came; it may reach the venue until `within` from now."""
        self.flying -= cost
        self.answered += cost
        self._insert((now + within + self.hold) // self._grain * self._grain + self._grain, cost)

    def release(self, now: Nanos) -> None:
        """Free what is one window old."""
        log = self._log
        while log and log[0][0] <= now:
            self.answered -= log.popleft()[1]
        self.next_free = log[0][0] if log else NEVER

    def when(self, cost: int, priority: int, now: Nanos) -> Nanos:
        """When a call may fit by time alone; NEVER = not before an answer comes. Cost: entries to be freed."""
        excess = self.flying + self.answered + cost - self.rooms[priority]
        if excess <= 0:
            return now if self.follower is None or self.follower.deaf else self.follower.relief(now)
        for free, units in self._log:
            excess -= units
            if excess <= 0:
                return free
        return NEVER

    def full(self, cost: int, priority: int) -> bool:
        """Whether own units alone are in the way of a call."""
        return self.flying + self.answered + cost > self.rooms[priority]

    def holdings(self, now: Nanos, within: Nanos, most: int) -> list[tuple[Nanos, int]]:
        """What own calls hold, as (free at, units), in at most `most` pieces and one for calls in flight, which may
        reach the venue until `within` from now. A piece of many is free with the last of them.
        """
        self.release(now)
        log = list(self._log)
        size = -(-len(log) // most) or 1
        pieces = [log[at : at + size] for at in range(0, len(log), size)]
        held = [(piece[-1][0], sum(units for _, units in piece)) for piece in pieces]
        if self.flying:
            held.append((now + within + self.hold, self.flying))
        return held

    def keep(self, units: int, free: Nanos) -> None:
        """An earlier run spent so many, which are free then."""
        self.answered += units
        self._insert(free // self._grain * self._grain + self._grain, units)

    def clear_at(self) -> Nanos:
        """When all that is used now is free again; 0 = nothing is used, or that is not known yet."""
        return self._log[-1][0] if self._log else 0

    def _insert(self, free: Nanos, cost: int) -> None:
        log = self._log
        at = len(log)
        while at and log[at - 1][0] > free:
            at -= 1
        if at and log[at - 1][0] == free:
            log[at - 1][1] += cost
        else:
            log.insert(at, [free, cost])
            self.next_free = log[0][0]
