"""How often a caller may call: one budget each for requests, connections and failed logins. Pure; time is an argument.

A bucket holds `burst` calls and fills at `count` per `per_ns`. It is kept as one whole number, the moment it is full
again (GCRA), in units of 1/count ns, so that no rate is rounded. The table is bounded: the caller seen least recently
is forgotten first, and has a full bucket when it comes again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

SECOND_NS: Final = 1_000_000_000
CALLERS: Final = 10_000
ADDRESS_CHARACTERS: Final = 64


@lru_cache(4_096)
def caller_of(address: str) -> str:
    """What an address is counted as: an IPv4 address itself, of IPv6 its /64, for a site has at least that many.

    An IPv4 address mapped into IPv6 is the IPv4 one. What is no address is counted as it stands, cut short.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:ADDRESS_CHARACTERS]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64" if not found.is_loopback else str(found)


class Verdict(NamedTuple):
    """Whether a call may pass, and what its sender is told of the budget."""

    ok: bool
    retry_after_s: float  # 0 when it passes
    limit: int  # calls a full bucket holds
    remaining: int
    reset_s: float  # until the bucket is full again


class Rates:
    """One bucket per caller. `burst` defaults to `count`."""

    def __init__(self, count: int, per_ns: int = SECOND_NS, burst: int = 0, callers: int = CALLERS) -> None:
        assert count > 0 < per_ns
        self.count: Final = count
        self.per_ns: Final = per_ns
        self.burst: Final = burst or count
        self.callers: Final = callers
        self.forgotten = 0  # callers that made room for others
        self._size = self.burst * per_ns  # of a bucket, in 1/count ns, as all that is kept
        self._room = self._size - per_ns  # what may be missing for a call to pass
        self._second = count * SECOND_NS
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()

    def __len__(self) -> int:
        """Callers known."""
        return len(self._full_at)

    def look(self, caller: Hashable, now_ns: int) -> Verdict:
        """What `take` would say, spending nothing; `remaining` before the call."""
        missing = self._missing(caller, now_ns * self.count)
        return self._told(missing <= self._room, missing)

    def take(self, caller: Hashable, now_ns: int) -> Verdict:
        """Spend one call if the bucket holds one; a refused call costs nothing."""
        now = now_ns * self.count
        missing = self._missing(caller, now)
        passes = missing <= self._room
        if passes:
            missing += self.per_ns
        self._full_at[caller] = now + missing
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self.callers:
            self._full_at.popitem(last=False)
            self.forgotten += 1
        return self._told(passes, missing)

    def _missing(self, caller: Hashable, now: int) -> int:
        """What the bucket lacks, in 1/count ns. A clock that went back makes it empty at most, never worse."""
        missing = self._full_at.get(caller, now) - now
        return 0 if missing < 0 else min(missing, self._size)

    def _told(self, passes: bool, missing: int) -> Verdict:
        wait_s = 0.0 if passes else (missing - self._room) / self._second
        remaining = (self._size - missing) // self.per_ns
        return Verdict(passes, wait_s, self.burst, remaining, missing / self._second)


class Connections:
    """How many each caller holds, at most `most`. Bounded by what is open: who holds none is not known."""

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self._held: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Callers that hold one or more."""
        return len(self._held)

    def held(self, caller: Hashable) -> int:
        """How many it holds."""
        return self._held.get(caller, 0)

    def open(self, *callers: Hashable) -> bool:
        """Count one more for each of them, or for none when one of them holds the most already."""
        if any(self.held(caller) >= self.most for caller in callers):
            return False
        for caller in callers:
            self._held[caller] = self.held(caller) + 1
        return True

    def close(self, *callers: Hashable) -> None:
        """Count one less for each of them."""
        for caller in callers:
            left = self._held[caller] - 1
            if left:
                self._held[caller] = left
            else:
                del self._held[caller]
