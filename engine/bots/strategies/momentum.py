"""Momentum: buys what rises, sells what falls, and goes flat when neither is the case."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.bots.strategies.base import Action, Cancel, Nanos, Place, Strategy, View

WINDOW_NS: Final = 5_000_000_000
MAX_PRICES: Final = 1_000
ENTER_PPM: Final = 50  # of the price, over the window
EXIT_PPM: Final = 10
MAX_UNITS: Final = 10


class Momentum(Strategy):
    """Compares the mid with that of five seconds ago; holds at most 10 usual orders either way, and takes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._mids: deque[tuple[Nanos, float]] = deque(maxlen=MAX_PRICES)

    def decide(self, view: View, now_ns: Nanos) -> Sequence[Action]:
        """One order that takes, towards the position that the move calls for."""
        mids = self._mids
        mids.append((now_ns, view.mid_ticks))
        while len(mids) > 1 and mids[1][0] <= now_ns - WINDOW_NS:
            mids.popleft()
        if view.orders:  # left behind by a lost connection; it places none that stays
            return [Cancel(each) for each in view.orders]
        then_ns, then = mids[0]
        if now_ns - then_ns < WINDOW_NS // 2:
            return []
        moved_ppm = (view.mid_ticks - then) / then * 1e6
        limit, unit, held = MAX_UNITS * view.unit_lots, view.unit_lots, view.position_lots
        if moved_ppm > ENTER_PPM and held + unit <= limit:
            return [Place("buy", unit, view.ask_ticks, "ioc")]
        if moved_ppm < -ENTER_PPM and held - unit >= -limit:
            return [Place("sell", unit, view.bid_ticks, "ioc")]
        if abs(moved_ppm) < EXIT_PPM and abs(held) >= unit:
            if held > 0:
                return [Place("sell", unit, view.bid_ticks, "ioc")]
            return [Place("buy", unit, view.ask_ticks, "ioc")]
        return []
