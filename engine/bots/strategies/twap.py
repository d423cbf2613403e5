"""TWAP: works a large order in equal slices over a minute, so that the average price is the market's of that time.

What a slice does not get is added to the next. When the whole is done, but for a rest too small to be an order, it
turns around and works the same size back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.bots.strategies.base import Action, Cancel, Lots, Nanos, Place, Side, Strategy, View

DURATION_NS: Final = 60_000_000_000
SLICES: Final = 60
WHOLE_UNITS: Final = 60


def slices(whole: Lots, count: int) -> list[Lots]:
    """`whole` in `count` parts that differ by at most one and sum to it exactly."""
    return [whole * (at + 1) // count - whole * at // count for at in range(count)]


class Twap(Strategy):
    """Odd seeds begin by buying, even ones by selling."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.side: Side = "buy" if seed % 2 else "sell"
        self._parts: list[Lots] = []
        self._started_ns: Nanos = 0
        self._from_lots: Lots = 0

    def decide(self, view: View, now_ns: Nanos) -> Sequence[Action]:
        """The lots that are due by now and not done, as one order that takes."""
        if view.orders:  # left behind by a lost connection; it places none that stays
            return [Cancel(each) for each in view.orders]
        if not self._parts:
            self._parts = slices(WHOLE_UNITS * view.unit_lots, SLICES)
            self._started_ns, self._from_lots = now_ns, view.position_lots
        moved = view.position_lots - self._from_lots
        done = moved if self.side == "buy" else -moved
        whole = sum(self._parts)
        if whole - done < view.least_lots:
            self.side = "sell" if self.side == "buy" else "buy"
            self._parts = []
            return []
        begun = min(SLICES, (now_ns - self._started_ns) * SLICES // DURATION_NS + 1)
        due = sum(self._parts[:begun]) - done
        if due < view.least_lots:
            return []
        return [Place(self.side, due, view.ask_ticks if self.side == "buy" else view.bid_ticks, "ioc")]
