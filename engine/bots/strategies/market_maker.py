"""Market making: a bid and an ask around a price that leans against the inventory.

The more it holds, the lower both quotes lie, so that selling becomes likelier than buying (the idea of Avellaneda and
Stoikov, 2008, with a lean that is linear in the inventory in place of their fitted one).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.bots.strategies.base import Action, Cancel, Nanos, OpenOrder, Place, Side, Strategy, Ticks, View

HALF_SPREAD_PPM: Final = 20  # of the price, at least a tick
LEAN_PPM: Final = 40  # of the price, at the most inventory
MAX_UNITS: Final = 20  # of usual orders: the most inventory either way
MOVED_SHARE: Final = 0.25  # of the half spread: a quote that is off by less stays


class MarketMaker(Strategy):
    """Quotes one usual order a side, never across its own or the market's other side, inventory within 20 of them."""

    def decide(self, view: View, now_ns: Nanos) -> Sequence[Action]:
        """Cancels of what has moved away, and quotes where there are none.

        A side whose quote is being canceled is quoted anew at the next turn: what is open never doubles.
        """
        del now_ns
        bid, ask = self.quotes(view)
        half = self._half_spread(view)
        return [*self._side(view, "buy", bid, half), *self._side(view, "sell", ask, half)]

    def quotes(self, view: View) -> tuple[Ticks, Ticks]:
        """Where it wants to buy and sell: bid < ask, neither reaching the market's other side."""
        limit = MAX_UNITS * view.unit_lots
        lean = -view.mid_ticks * LEAN_PPM / 1e6 * max(-1.0, min(1.0, view.position_lots / limit))
        half = self._half_spread(view)
        bid = min(round(view.mid_ticks + lean - half), view.ask_ticks - 1)
        ask = max(round(view.mid_ticks + lean + half), view.bid_ticks + 1, bid + 1)
        return max(1, bid), max(2, ask)

    def _side(self, view: View, side: Side, price: Ticks, half: float) -> list[Action]:
        mine = [each for each in view.orders.values() if each.side == side]
        held = view.position_lots if side == "buy" else -view.position_lots
        room = MAX_UNITS * view.unit_lots - held
        if not mine:
            # a quote across one's own on the other side waits until that one is gone
            if room < view.unit_lots or self._crosses(view, side, price):
                return []
            return [Place(side, view.unit_lots, price, post_only=True)]
        stale = [
            each for each in mine if room < each.lots or abs(each.price_ticks - price) > half * MOVED_SHARE
        ]
        return [Cancel(each.order_id) for each in (*stale, *_more_than_one(mine, stale))]

    @staticmethod
    def _crosses(view: View, side: Side, price: Ticks) -> bool:
        return any(
            price >= each.price_ticks if side == "buy" else price <= each.price_ticks
            for each in view.orders.values()
            if each.side != side
        )

    @staticmethod
    def _half_spread(view: View) -> float:
        return max(1.0, view.mid_ticks * HALF_SPREAD_PPM / 1e6)


def _more_than_one(mine: Sequence[OpenOrder], stale: Sequence[OpenOrder]) -> list[OpenOrder]:
    return [each for each in mine if each not in stale][1:]
