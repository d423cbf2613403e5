"""Trades that are missing by their numbers, where a venue numbers a symbol's trades one after another. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from engine.market.batches import Rows

LATE_NS: Final = 3 * 10**9  # while one connection takes another's place, trades can come out of order
MOST: Final = 8  # jumps that wait; from then on the newest one grows


@dataclass(slots=True)
class Jump:
    """Where numbers are missing: between two trades that came, and when they did."""

    from_ns: int
    to_ns: int
    after_id: int
    before_id: int
    count: int  # of them

    @property
    def reason(self) -> str:
        """What is missing, as a sentence."""
        first, last = self.after_id + 1, self.before_id - 1
        which = f"number {first} is" if first == last else f"numbers {first} to {last} are"
        return f"{'' if self.count == last - first + 1 else 'some of '}trade {which} missing"


@dataclass(slots=True)
class TradeNumbers:
    """What is known of one symbol's."""

    newest_id: int = 0
    newest_ns: int = 0  # when it came
    follows: bool = False  # the next one should be numbered next
    jumps: list[Jump] = field(default_factory=list)  # oldest first

    def interrupted(self) -> None:
        """Trades were missed, and that is known: the next number says nothing."""
        self.follows = False

    def take(self, rows: Rows, dense: bool) -> None:
        """Trades that came, by number and receive time; `dense`: whether a number that is missing means something."""
        numbers = rows["trade_id"]
        first, last = int(numbers[0]), int(numbers[-1])
        if dense:
            for jump in self.jumps:  # what was only late
                jump.count -= int(((numbers > jump.after_id) & (numbers < jump.before_id)).sum())
            before = self.newest_id if self.follows else first - 1
            if last - before != len(numbers):
                self._look(rows)
            # Numbers that come again, or begin anew, say nothing of the next one.
            self.follows = before < first <= last
        self.newest_id, self.newest_ns = last, int(rows["ts_recv_ns"][-1])

    def missing(self, now_ns: int) -> list[Jump]:
        """Those that by now are more than late; each is told once."""
        found = []
        while self.jumps and now_ns - self.jumps[0].to_ns >= LATE_NS:
            found.append(self.jumps.pop(0))
        return [jump for jump in found if jump.count > 0]

    def _look(self, rows: Rows) -> None:
        """Note what is missing in a batch or before it, as one jump."""
        numbers, times = rows["trade_id"].tolist(), rows["ts_recv_ns"].tolist()
        if self.follows:
            numbers, times = [self.newest_id, *numbers], [self.newest_ns, *times]
        highest = list(accumulate(numbers, max))
        steps = [k for k in range(1, len(numbers)) if numbers[k] > highest[k - 1] + 1]
        if not steps:
            return
        first, last = steps[0], steps[-1]
        count = sum(numbers[k] - highest[k - 1] - 1 for k in steps)
        ends = (times[first - 1], max(times[first - 1], times[last]))
        if len(self.jumps) < MOST:
            self.jumps.append(Jump(*ends, highest[first - 1], numbers[last], count))
        else:
            jump = self.jumps[-1]
            jump.to_ns, jump.before_id, jump.count = ends[1], numbers[last], jump.count + count
