"""The order desk in plain Python: one command at a time, and every order's state read from all events so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.matching.engine import MatchingEngine
from engine.matching.orders import (
    ACCEPTED,
    AMEND,
    AMENDED,
    ARMED,
    BY_CANCEL_ALL,
    CANCELED,
    COMMAND,
    DUPLICATE_ID,
    NO_REASON,
    PREVENTED,
    REJECTED,
    REPLACE,
    REPLACED,
    SELF_TRADE,
    TOO_MANY_ORDERS,
    TRADED,
    TRIGGERED,
    UNKNOWN_ID,
)

OPEN = ("armed", "new", "partially_filled")


class State(NamedTuple):
    """What an order is by all that happened to it."""

    status: str
    lots: int
    open_lots: int
    filled_lots: int
    filled_notional: int
    price_ticks: int
    reason: int


class PlainDesk:
    """Takes the same commands as `engine.exchange.desk.Desk`, each at once."""

    def __init__(self, engine: MatchingEngine, max_open: int) -> None:
        self.engine, self.max_open = engine, max_open
        self.events: list[Any] = []
        self.asked: dict[int, Any] = {}  # orders that the engine took, by id

    def submit(self, rows: Any) -> list[Any]:
        """The events of these commands, remembered."""
        events = list(self.engine.submit(rows).rows)
        self.events += events
        return events

    def refusal(self, order: Any) -> int:
        """Why the desk itself refuses an order, 0 = it does not."""
        mine = [
            each
            for each in self.asked.values()
            if each.account == order.account and self.is_open(each.order_id)
        ]
        if order.client_id and any(each.client_id == order.client_id for each in mine):
            return DUPLICATE_ID
        if sum(each.symbol == order.symbol for each in mine) >= self.max_open:
            return TOO_MANY_ORDERS
        return 0

    def place(self, order: Any, row: Any) -> int:
        """The reason it was refused with, 0 = it was taken."""
        reason = self.refusal(order)
        if not reason:
            self.asked[order.order_id] = order
            reason = _reason(self.submit(row))
            if reason:
                del self.asked[order.order_id]
        return reason

    def change(self, account: int, order_id: int, row: Any, sent: bool) -> int:
        """Cancel, amend or replace: the reason it was refused with. Not `sent`: the desk knew of no such open order."""
        known = self.asked.get(order_id)
        if sent:
            return _reason(self.submit(row))
        assert known is None or known.account != account or not self.is_open(order_id)
        return UNKNOWN_ID

    def amend(self, account: int, order_id: int, symbol: int, price: int, lots: int, total: bool) -> int:
        """Change price and what is open, by what the order is now: the reason it was refused with."""
        if order_id not in self.asked:  # it was refused meanwhile
            return _reason(self.submit(self._change(REPLACE, account, order_id, symbol, price, lots)))
        state = self.state(order_id)
        left = max(0, lots - state.filled_lots) if total else lots
        lowers = price == state.price_ticks and left < state.open_lots
        kind = AMEND if lowers else REPLACE
        return _reason(self.submit(self._change(kind, account, order_id, symbol, price, left)))

    @staticmethod
    def _change(kind: int, account: int, order_id: int, symbol: int, price: int, lots: int) -> Any:
        rows = np.zeros(1, COMMAND)
        rows["kind"], rows["symbol"], rows["account"], rows["order_id"] = kind, symbol, account, order_id
        rows["price_ticks"], rows["lots"] = price, lots
        return rows

    def is_open(self, order_id: int) -> bool:
        """Whether it can still trade."""
        return order_id in self.asked and self.state(order_id).status in OPEN

    def state(self, order_id: int) -> State:
        """All events from the first, every time."""
        asked = self.asked[order_id]
        status, lots, left, filled, notional = "pending", asked.lots, 0, 0, 0
        price, reason = asked.price_ticks, 0
        for event in self.events:
            kind, is_maker = event["kind"], event["maker_id"] == order_id
            if event["order_id"] != order_id and not (is_maker and kind in (TRADED, PREVENTED)):
                continue
            remaining = int(
                event["maker_remaining_lots"] if is_maker and kind != REPLACED else event["remaining_lots"]
            )
            if kind == TRADED:
                filled += int(event["lots"])
                notional += int(event["price_ticks"]) * int(event["lots"])
                left, status = remaining, "partially_filled" if remaining else "filled"
            elif kind == PREVENTED:
                left = remaining
                if not remaining:
                    status, reason = "expired", SELF_TRADE
            elif kind == ACCEPTED:
                status, left = "new", lots
            elif kind == ARMED:
                status, left = "armed", lots
            elif kind == TRIGGERED:
                status = "new"
            elif kind == CANCELED:
                reason, left = int(event["reason"]), 0
                status = "canceled" if reason in (NO_REASON, BY_CANCEL_ALL) else "expired"
            elif kind == REPLACED:
                left, price = int(event["lots"]), int(event["price_ticks"])
                lots = filled + left
            elif kind == AMENDED:
                left = remaining
                lots = filled + left
        return State(status, lots, left if status in OPEN else 0, filled, notional, price, reason)


def _reason(events: Sequence[Any]) -> int:
    return int(events[-1]["reason"]) if events and events[-1]["kind"] == REJECTED else 0
