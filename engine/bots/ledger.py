"""A robot's own books: open orders, position and money, from answers and account events. Pure.

An answer and the events of the same order may come in either order, and after a lost connection some are told twice:
a trade counts once, and an order that has ended stays ended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar, cast

from engine.bots.strategies.base import OpenOrder, Side
from engine.bots.wire import FillState, Message, OrderState, Symbol, atoms

OPEN: Final = frozenset({"pending", "armed", "new", "partially_filled"})
KEPT: Final = 4_096  # ended orders and counted trades that are remembered
T = TypeVar("T")


class Ledger:
    """What one robot has done in one symbol. Money in atoms of 10^-8, position in lots before fees."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol: Final = symbol
        self.orders: dict[int, OpenOrder] = {}
        self.position_lots = 0
        self.fills = 0
        self.turnover_atoms = 0  # of the quote, either way
        self.cash_atoms = 0  # of the quote since it began, fees taken off
        self.base_atoms = 0  # of the base since it began, fees taken off
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._counted: OrderedDict[tuple[int, int], None] = OrderedDict()

    def profit_atoms(self, mid_ticks: float) -> int:
        """What it would have won or lost if it sold or bought back everything at this price, fees included."""
        worth = self.base_atoms / self.symbol.atoms_per_lot * mid_ticks * self.symbol.atoms_per_tick_lot
        return self.cash_atoms + round(worth)

    def on_placed(self, answer: Message, side: Side, price_ticks: int, lots: int, now_ns: int) -> None:
        """An order of the robot was taken in."""
        if answer.status in OPEN and answer.order_id not in self._ended:
            known = self.orders.get(answer.order_id)
            placed_ns = known.placed_ns if known else now_ns
            left = known.lots if known else lots - self.symbol.lots(answer.filled or "0")
            self.orders[answer.order_id] = OpenOrder(answer.order_id, side, price_ticks, left, placed_ns)

    def on_canceled(self, order_id: int) -> None:
        """The exchange has said that it is canceled, or that there is no such open order."""
        self._end(order_id)

    def on_event(self, event: Message) -> None:
        """One message of the account channel; those of other symbols are passed over."""
        if event.symbol != self.symbol.name:
            return
        if event.type == "trade":
            self._trade(event)
        if event.status not in OPEN:
            self._end(event.order_id)
            return
        known = self.orders.get(event.order_id)
        if known is not None and event.open:
            self.orders[event.order_id] = known._replace(lots=self.symbol.lots(event.open))

    def resync(self, orders: Sequence[OrderState], fills: Sequence[FillState], now_ns: int) -> None:
        """After a lost connection: what is open now, and the account's last trades."""
        for fill in fills:
            if fill.symbol == self.symbol.name:
                self._trade(fill)
        found = {each.order_id: each for each in orders if each.symbol == self.symbol.name}
        for order_id in [each for each in self.orders if each not in found]:
            self._end(order_id)
        for order_id, each in found.items():
            known = self.orders.get(order_id)
            price = self.symbol.ticks(each.price) if each.price else 0
            placed_ns = known.placed_ns if known else now_ns
            left = self.symbol.lots(each.open)
            self.orders[order_id] = OpenOrder(order_id, cast(Side, each.side), price, left, placed_ns)

    def _trade(self, trade: Message | FillState) -> None:
        mark = (trade.trade_id, trade.order_id)
        if mark in self._counted:
            return
        _remember(self._counted, mark)
        symbol = self.symbol
        price, lots = symbol.ticks(trade.price), symbol.lots(trade.size)
        sign = 1 if trade.side == "buy" else -1
        notional = price * lots * symbol.atoms_per_tick_lot
        self.fills += 1
        self.turnover_atoms += notional
        self.position_lots += sign * lots
        self.base_atoms += sign * lots * symbol.atoms_per_lot
        self.cash_atoms -= sign * notional
        fee = atoms(trade.fee)
        if trade.fee_asset == symbol.quote:
            self.cash_atoms -= fee
        elif trade.fee_asset == symbol.base:
            self.base_atoms -= fee

    def _end(self, order_id: int) -> None:
        self.orders.pop(order_id, None)
        _remember(self._ended, order_id)


def _remember(kept: OrderedDict[T, None], mark: T) -> None:
    kept[mark] = None
    if len(kept) > KEPT:
        kept.popitem(last=False)
