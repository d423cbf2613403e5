"""Which books need a snapshot, and when each may be fetched: one queue for a market, a few at a time. Pure.

A shared disconnect leaves every book of a market without its snapshot at once. They wait here, each symbol once, and
go out a few at a time; how fast is up to the market's limits. What fails waits longer each time. Times are a steady
clock's nanoseconds, chance is in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from feeds.backoff import Backoff

SECOND_NS: Final = 1_000_000_000
AT_ONCE: Final = 2
JITTER_S: Final = 0.05
FIRST_DELAY_S: Final = 0.25
LONGEST_DELAY_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to fetch one snapshot. Void once its symbol was forgotten."""

    symbol: str
    number: int


class SnapshotQueue:
    """Symbols that wait for a snapshot, those whose time comes first first."""

    def __init__(self, at_once: int = AT_ONCE, jitter_s: float = JITTER_S) -> None:
        self.fetched = self.failures = 0
        self._at_once, self._jitter_ns = at_once, round(jitter_s * SECOND_NS)
        self._ready_ns: dict[str, int] = {}  # when each that waits may go
        self._fetching: dict[str, int] = {}  # the number of its ticket
        self._backoffs: dict[str, Backoff] = {}
        self._number = 0

    def __len__(self) -> int:
        """Symbols that have no snapshot yet, those being fetched included."""
        return len(self._ready_ns) + len(self._fetching)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ready_ns or symbol in self._fetching

    def want(self, symbol: str, now_ns: int, chance: float) -> bool:
        """Queue a symbol; False when it is there already."""
        if symbol in self:
            return False
        self._ready_ns[symbol] = now_ns + round(chance * self._jitter_ns)
        return True

    def start(self, now_ns: int) -> Ticket | None:
        """The next symbol to fetch; None when none may be fetched now."""
        if len(self._fetching) >= self._at_once or not self._ready_ns:
            return None
        symbol = min(self._ready_ns, key=self._ready_ns.__getitem__)
        if self._ready_ns[symbol] > now_ns:
            return None
        del self._ready_ns[symbol]
        self._number += 1
        self._fetching[symbol] = self._number
        return Ticket(symbol, self._number)

    def wait_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until `start` gives one; None when it takes something else than time."""
        if len(self._fetching) >= self._at_once or not self._ready_ns:
            return None
        return max(0, min(self._ready_ns.values()) - now_ns)

    def is_valid(self, ticket: Ticket) -> bool:
        """Whether what was fetched for it may still be used."""
        return self._fetching.get(ticket.symbol) == ticket.number

    def done(self, ticket: Ticket) -> None:
        """The book is right again."""
        if self.is_valid(ticket):
            del self._fetching[ticket.symbol]
            self._backoffs.pop(ticket.symbol, None)
            self.fetched += 1

    def failed(self, ticket: Ticket, now_ns: int, chance: float) -> None:
        """It was not fetched, or did not help: again, later each time."""
        if not self.is_valid(ticket):
            return
        del self._fetching[ticket.symbol]
        self.failures += 1
        backoff = self._backoffs.setdefault(ticket.symbol, Backoff(FIRST_DELAY_S, LONGEST_DELAY_S))
        backoff.failed()
        # Half of it at least: a snapshot too old for the stream is too old for a while.
        delay_s = (backoff.bound_s + backoff.delay_s(chance)) / 2
        self._ready_ns[ticket.symbol] = now_ns + round(delay_s * SECOND_NS)

    def forget(self, symbol: str) -> None:
        """The symbol needs none: its stream broke, or it is followed no more. What is under way for it is void."""
        self._ready_ns.pop(symbol, None)
        self._fetching.pop(symbol, None)
        self._backoffs.pop(symbol, None)
