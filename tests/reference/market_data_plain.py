"""L3 rows from events, one event at a time with dicts: the slow twin of `engine.matching.market_data.OrderFeed`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.matching import orders as o
from engine.matching.market_data import ADD, DELETE, EXECUTE, REDUCE

OWN_MATCHING = (o.TRADED, o.PREVENTED, o.CANCELED, o.REFRESHED)  # what may follow an order's entry


class PlainOrderFeed:
    """Of an engine that was empty at first."""

    def __init__(self) -> None:
        self.displayed: dict[int, tuple[int, int, int]] = {}  # side, price and lots, by order id
        self.numbers: Counter[int] = Counter()

    def on_events(self, events: Any) -> list[tuple[int, ...]]:
        self.rows: list[tuple[int, ...]] = []
        entering: Any = None
        for event in events:
            own = event["kind"] in OWN_MATCHING and entering and event["sequence"] == entering["sequence"]
            if entering and not own:
                self.add(entering, entering["maker_remaining_lots"])
                entering = None
            self.on_event(event)
            if event["kind"] in (o.ACCEPTED, o.REPLACED, o.TRIGGERED) and event["remaining_lots"]:
                entering = event
        if entering:
            self.add(entering, entering["maker_remaining_lots"])
        return self.rows

    def on_event(self, event: Any) -> None:
        kind, order_id, maker_id = (int(event[name]) for name in ("kind", "order_id", "maker_id"))
        if kind == o.TRADED:
            trade = int(event["price_ticks"]), int(event["trade_id"]), int(event["flags"])
            if event["flags"] & o.IN_AUCTION:
                self.take(event, order_id, int(event["lots"]), EXECUTE, trade)
            self.take(event, maker_id, int(event["lots"]), EXECUTE, trade)
        elif kind == o.PREVENTED:
            self.take(event, maker_id, int(event["lots"]), REDUCE)
        elif kind == o.REFRESHED:
            self.add(event, event["lots"])
        elif kind == o.AMENDED:
            self.take(
                event, order_id, self.displayed[order_id][2] - int(event["maker_remaining_lots"]), REDUCE
            )
        elif kind == o.REPLACED:
            self.take(event, maker_id, self.displayed[maker_id][2], REDUCE)
        elif kind == o.CANCELED and order_id in self.displayed:
            self.take(event, order_id, self.displayed[order_id][2], REDUCE)

    def add(self, event: Any, lots: int) -> None:
        side, price = int(event["side"]), int(event["price_ticks"])
        self.displayed[int(event["order_id"])] = side, price, int(lots)
        self.tell(event, ADD, int(event["order_id"]), side, price, int(lots), int(lots))

    def take(
        self, event: Any, order_id: int, lots: int, kind: int, trade: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        side, price, before = self.displayed.pop(order_id)
        left = before - lots
        if left:
            self.displayed[order_id] = side, price, left
        if lots:
            self.tell(
                event,
                DELETE if kind == REDUCE and not left else kind,
                order_id,
                side,
                price,
                lots,
                left,
                *trade,
            )

    def tell(
        self, event: Any, kind: int, order_id: int, side: int, price: int, lots: int, left: int,
        trade_price: int = 0, trade: int = 0, flags: int = 0,
    ) -> None:  # fmt: skip
        symbol = int(event["symbol"])
        self.numbers[symbol] += 1
        head = kind, side, flags, symbol, self.numbers[symbol], int(event["sequence"])
        self.rows.append((*head, order_id, price, lots, left, trade_price, trade))
