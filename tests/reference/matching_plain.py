"""A price-time book in plain Python: short and obviously right, the twin of `engine.matching`."""

from __future__ import annotations

from collections.abc import Iterable

from engine.market.batches import BUY, SELL
from engine.matching.orders import (
    ACCEPTED,
    BAD_ID,
    BAD_KIND,
    BAD_LOTS,
    BAD_SIDE,
    BAD_TIME_IN_FORCE,
    BOOK_FULL,
    CANCEL,
    CANCELED,
    DONE,
    DUPLICATE_ID,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MAX_LOTS,
    NOT_OWNER,
    PRICE_OUT_OF_RANGE,
    REJECTED,
    TRADED,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
)

Row = tuple[int, ...]
WIDTH = 1 << 18


class PlainBook:
    """One symbol: price -> orders of that price, oldest first; an order is [id, owner, lots]."""

    def __init__(self, centre_ticks: int) -> None:
        self.low = max(1, centre_ticks - WIDTH // 2)
        self.sides: dict[int, dict[int, list[list[int]]]] = {BUY: {}, SELL: {}}
        self.sequence = 0

    def live(self) -> int:
        return sum(len(queue) for side in self.sides.values() for queue in side.values())

    def levels(self, side: int) -> list[tuple[int, int]]:
        """(price, lots), best first."""
        prices = sorted(self.sides[side], reverse=side == BUY)
        return [(price, sum(lots for _, _, lots in self.sides[side][price])) for price in prices]

    def resting(self) -> list[Row]:
        return [
            (side, price, order_id, owner, lots)
            for side in (BUY, SELL)
            for price, _ in self.levels(side)
            for order_id, owner, lots in self.sides[side][price]
        ]


class PlainEngine:
    """Same commands, same events, same books as `engine.matching.engine.MatchingEngine`."""

    def __init__(self, centres: list[int], orders_per_symbol: int) -> None:
        self.books = [PlainBook(centre) for centre in centres]
        self.orders_per_symbol = orders_per_symbol
        self.open: dict[int, tuple[int, int, int]] = {}  # id -> symbol, side, price

    def submit(self, commands: Iterable[Row]) -> tuple[list[Row], dict[tuple[int, int, int], int]]:
        """Rows of EVENT, and {(symbol, side, price): lots} of every level touched."""
        self.events: list[Row] = []
        self.changed: dict[tuple[int, int, int], int] = {}
        for number, command in enumerate(commands):
            kind, symbol, side, tif, order_id, owner, price, lots, _ = command
            reason = self.refusal(command)
            if reason:
                head = (REJECTED, number, symbol, side, order_id, owner, price)
                self.events.append((*head, lots, lots, 0, 0, reason))
            elif kind == CANCEL:
                self.cancel(number, symbol, order_id, owner)
            else:
                self.place(number, kind, symbol, side, tif, order_id, owner, price, lots)
        return self.events, self.changed

    def refusal(self, command: Row) -> int:
        kind, symbol, side, tif, order_id, owner, price, lots, _ = command
        if not 0 <= symbol < len(self.books):
            return UNKNOWN_SYMBOL
        book = self.books[symbol]
        if kind == CANCEL:
            if order_id <= 0:
                return BAD_ID
            if order_id not in self.open or self.open[order_id][0] != symbol:
                return UNKNOWN_ID
            _, own_side, own_price = self.open[order_id]
            owners = [o for i, o, _ in book.sides[own_side][own_price] if i == order_id]
            return 0 if owners == [owner] else NOT_OWNER
        if kind not in (LIMIT, MARKET):
            return BAD_KIND
        if side not in (BUY, SELL):
            return BAD_SIDE
        if tif not in (GTC, IOC):
            return BAD_TIME_IN_FORCE
        if order_id <= 0:
            return BAD_ID
        if not 0 < lots <= MAX_LOTS:
            return BAD_LOTS
        if kind == LIMIT and not book.low <= price < book.low + WIDTH:
            return PRICE_OUT_OF_RANGE
        if order_id in self.open:
            return DUPLICATE_ID
        if kind == LIMIT and tif == GTC and book.live() == self.orders_per_symbol:
            return BOOK_FULL
        return 0

    def touch(self, symbol: int, side: int, price: int) -> None:
        book = self.books[symbol]
        book.sequence += 1
        queue = book.sides[side].get(price, [])
        self.changed[symbol, side, price] = sum(lots for _, _, lots in queue)
        if not queue:
            book.sides[side].pop(price, None)

    def cancel(self, number: int, symbol: int, order_id: int, owner: int) -> None:
        _, side, price = self.open.pop(order_id)
        queue = self.books[symbol].sides[side][price]
        (order,) = [order for order in queue if order[0] == order_id]
        queue.remove(order)
        self.events.append((CANCELED, number, symbol, side, order_id, owner, price, order[2], 0, 0, 0, 0))
        self.touch(symbol, side, price)

    def place(
        self,
        number: int,
        kind: int,
        symbol: int,
        side: int,
        tif: int,
        order_id: int,
        owner: int,
        price: int,
        lots: int,
    ) -> None:
        book = self.books[symbol]
        shown = 0 if kind == MARKET else price
        head = (number, symbol, side, order_id, owner)
        self.events.append((ACCEPTED, *head, shown, lots, lots, 0, 0, 0))
        for best, _ in book.levels(-side):
            if not lots or (kind == LIMIT and (best - price) * side > 0):
                break
            queue = book.sides[-side][best]
            while queue and lots:
                maker = queue[0]
                traded = min(lots, maker[2])
                lots -= traded
                maker[2] -= traded
                self.events.append((TRADED, *head, best, traded, lots, maker[0], maker[1], 0))
                if not maker[2]:
                    queue.pop(0)
                    del self.open[maker[0]]
                    self.events.append((DONE, number, symbol, -side, maker[0], maker[1], best, 0, 0, 0, 0, 0))
                self.touch(symbol, -side, best)
        if not lots:
            self.events.append((DONE, *head, shown, 0, 0, 0, 0, 0))
        elif kind == MARKET or tif == IOC:
            self.events.append((CANCELED, *head, shown, lots, 0, 0, 0, 0))
        else:
            book.sides[side].setdefault(price, []).append([order_id, owner, lots])
            self.open[order_id] = (symbol, side, price)
            self.touch(symbol, side, price)
