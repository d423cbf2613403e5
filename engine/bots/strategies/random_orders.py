"""Noise: limit orders around the touch and now and then one that takes, either side as likely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.bots.strategies.base import Action, Cancel, Nanos, Place, Side, Strategy, View

TAKING: Final = 0.3  # share of orders that cross the spread
REACH_TICKS: Final = 20  # how far from the touch the others rest
MAX_OPEN: Final = 10
MAX_UNITS: Final = 50  # of usual orders, either way: beyond, it only trades back


class RandomOrders(Strategy):
    """Places one order at each turn; of more than 10 open ones it cancels the oldest."""

    def decide(self, view: View, now_ns: Nanos) -> Sequence[Action]:
        """One order, and a cancel when too many are open."""
        del now_ns
        random = self.random
        actions: list[Action] = []
        if len(view.orders) >= MAX_OPEN:
            actions.append(Cancel(next(iter(view.orders))))
        side: Side = "buy" if random.random() < 0.5 else "sell"
        lots = view.unit_lots * random.randint(1, 3)
        limit = MAX_UNITS * view.unit_lots
        if view.position_lots + view.open_lots("buy") + lots > limit:
            side = "sell"
        elif view.position_lots - view.open_lots("sell") - lots < -limit:
            side = "buy"
        if random.random() < TAKING:
            price = view.ask_ticks if side == "buy" else view.bid_ticks
            return [*actions, Place(side, lots, price, "ioc")]
        away = random.randint(0, REACH_TICKS)
        price = view.bid_ticks - away if side == "buy" else view.ask_ticks + away
        return [*actions, Place(side, lots, max(1, price))]
