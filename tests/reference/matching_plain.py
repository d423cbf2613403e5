"""The matching engine in plain Python: short and obviously right, the twin of `engine.matching`.

`engine/matching/RULES.md` says why anything here is as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from bisect import bisect_left, insort
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.market.batches import BUY, SELL
from engine.matching import orders as o
from engine.matching.engine import Bbo, BookSpec, Events

Command = namedtuple("Command", o.COMMAND.names)
Event = dict[str, int]
Faults = Iterator[tuple[bool, int]]  # whether something is wrong, and its reason; asked until the first is

NO_EVENT = dict.fromkeys(o.EVENT.names, 0)
WAITING = (o.STOP, o.STOP_LIMIT, o.TAKE_PROFIT, o.TAKE_PROFIT_LIMIT, o.TRAILING_STOP)
PRICED = (o.LIMIT, o.STOP_LIMIT, o.TAKE_PROFIT_LIMIT)
TIMES_IN_FORCE = dict.fromkeys(WAITING, (o.GTC, o.IOC, o.GTD))
TIMES_IN_FORCE |= dict.fromkeys(PRICED, (o.GTC, o.IOC, o.FOK, o.GTD)) | {o.MARKET: (o.GTC, o.IOC)}
MILLION = 1_000_000
RANGES = {
    o.TICK_STEP: (1, 1 << 40),
    o.LOT_STEP: (1, 1 << 40),
    o.MIN_NOTIONAL: (0, 1 << 60),
    o.BAND_UP_PPM: (0, 4 * MILLION),
    o.BAND_DOWN_PPM: (0, MILLION),
    o.MAX_OPEN_ORDERS: (1, 1 << 40),
    o.MAX_POSITION_LOTS: (1, 1 << 40),
    o.MAKER_PPM: (-100_000, 100_000),
    o.TAKER_PPM: (-100_000, 100_000),
}


@dataclass(slots=True, eq=False)
class Order:
    """An order has ended when it has no lots left."""

    order_id: int
    side: int
    kind: int
    account: int
    price: int  # its limit, 0 without one
    lots: int
    time_in_force: int
    self_trade: int
    post_only: int
    display: int
    expire: int
    sequence: int
    book: Book
    trigger: int = 0
    distance: int = 0
    extreme: int = 0
    shown: int = 0
    partner: Order | None = None

    def hidden_parts(self) -> int:
        return -(-(self.lots - self.shown) // self.display) if self.display else 0

    def upwards(self) -> bool:
        """Whether a rising market triggers it."""
        return (self.side == BUY) != (self.kind in (o.TAKE_PROFIT, o.TAKE_PROFIT_LIMIT))

    def is_due(self) -> bool:
        last = self.book.last
        return last > 0 < self.trigger and (last >= self.trigger if self.upwards() else last <= self.trigger)

    def picture(self) -> tuple[int, ...]:
        partner = self.partner.order_id if self.partner else 0
        a, more = self, (self.expire, partner, self.sequence)
        if self.order_id in self.book.waiting:
            row = (a.order_id, a.side, a.kind, a.account, a.price, a.lots, a.trigger, a.distance, a.extreme)
            return (*row, a.time_in_force, a.self_trade, *more)
        row = (a.side, a.price, a.order_id, a.account, a.shown, a.lots, a.time_in_force, a.self_trade)
        return (*row, a.post_only, a.display, *more)


@dataclass(slots=True)
class Level:
    orders: OrderedDict[int, Order] = field(default_factory=OrderedDict)  # by id, first in the queue first
    shown: int = 0


class Side:
    """The levels of bids or of asks. Ranks are prices times the side, sorted: the best is the last."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.ranks: list[int] = []
        self.levels: dict[int, Level] = {}

    def best(self) -> int:
        """The best price, 0 without one."""
        return self.ranks[-1] * self.side if self.ranks else 0

    def prices(self) -> list[int]:
        """Best first."""
        return [rank * self.side for rank in reversed(self.ranks)]

    def first(self) -> Order:
        return next(iter(self.levels[self.best()].orders.values()))

    def orders(self) -> list[Order]:
        return [order for price in self.prices() for order in self.levels[price].orders.values()]

    def level(self, price: int) -> Level:
        """The level at a price, made if need be."""
        if price not in self.levels:
            self.levels[price] = Level()
            insort(self.ranks, price * self.side)
        return self.levels[price]

    def drop(self, price: int) -> None:
        del self.levels[price]
        del self.ranks[bisect_left(self.ranks, price * self.side)]


class Book:
    """One symbol."""

    def __init__(self, index: int, spec: BookSpec, assets: Sequence[str]) -> None:
        self.index, self.spec = index, spec
        self.base, self.quote = (assets.index(n) if n in assets else -1 for n in (spec.base, spec.quote))
        self.sides = {BUY: Side(BUY), SELL: Side(SELL)}
        self.waiting: dict[int, Order] = {}
        self.phase = o.CONTINUOUS
        self.last = self.updates = self.trades = self.live = self.hidden_parts = 0
        self.parameters = [1, 1, 0, 0, 0, 1 << 40, 1 << 40, 0, 0]

    def meets(self, side: int, price: int) -> bool:
        """Whether the other side's best price is within an order's limit; 0 is no limit."""
        best = self.sides[-side].best()
        return best > 0 and (not price or side * (price - best) >= 0)


class Holding:
    """An account in a symbol."""

    def __init__(self) -> None:
        self.open_orders = self.position = self.cash = 0
        self.open_lots = {BUY: 0, SELL: 0}

    def picture(self) -> tuple[int, ...]:
        return (self.open_orders, self.open_lots[BUY], self.open_lots[SELL], self.position, self.cash)


class PlainEngine:
    """Same commands, same events, same state as `engine.matching.engine.MatchingEngine`."""

    def __init__(
        self, books: Sequence[BookSpec], accounts: int = 64, orders_per_symbol: int = 1 << 14
    ) -> None:
        accounted = [spec for spec in books if spec.accounting != o.UNACCOUNTED]
        self.symbols = tuple(spec.symbol for spec in books)
        self.assets = tuple(dict.fromkeys(name for spec in accounted for name in (spec.base, spec.quote)))
        self.books = [Book(index, spec, self.assets) for index, spec in enumerate(books)]
        self.accounts, self.room = accounts, orders_per_symbol
        self.open: dict[int, Order] = {}
        self.expiries: list[tuple[int, int, Order]] = []
        self.free: dict[tuple[int, int], int] = defaultdict(int)  # by account and asset
        self.reserved: dict[tuple[int, int], int] = defaultdict(int)
        self.holdings: dict[tuple[int, int], Holding] = defaultdict(Holding)  # by account and symbol
        self.fees = [0] * len(self.assets)
        self.supply = [0] * len(self.assets)
        self.sequence = self.now = 0

    def submit(self, rows: Any) -> Events:
        self.events: list[Event] = []
        self.changed: dict[tuple[int, int, int], int] = {}
        for row in rows.tolist():
            self.process(Command(*row))
            self.sequence += 1
        changed = [(*level, lots) for level, lots in self.changed.items()]
        events = [tuple(event.values()) for event in self.events]
        return Events(np.array(events, o.EVENT), np.array(changed, o.LEVEL_CHANGE))

    def book(self, symbol: str) -> Book:
        return self.books[self.symbols.index(symbol)]

    def top(self, symbol: str, n: int) -> tuple[Any, Any]:
        bids, asks = (
            np.array([(price, side.levels[price].shown) for price in side.prices()[:n]], o.LEVEL_TICKS)
            for side in self.book(symbol).sides.values()
        )
        return bids, asks

    def bbo(self, symbol: str) -> Bbo:
        bids, asks = self.top(symbol, 1)
        return Bbo(*(bids.tolist() or [(0, 0)])[0], *(asks.tolist() or [(0, 0)])[0])

    def update_number(self, symbol: str) -> int:
        return self.book(symbol).updates

    def live(self, symbol: str) -> int:
        return self.book(symbol).live

    def state_hash(self) -> str:
        return hashlib.sha256(repr(self.picture()).encode()).hexdigest()

    def picture(self) -> dict[str, Any]:
        """Everything that decides later events but the clock and the command counter."""
        symbols = []
        for book in self.books:
            resting = [order.picture() for side in book.sides.values() for order in side.orders()]
            waiting = [
                order.picture() for order in sorted(book.waiting.values(), key=lambda order: order.sequence)
            ]
            head = (book.spec.symbol, book.phase, book.last, book.updates, book.trades)
            symbols.append((*head, tuple(book.parameters), resting, waiting))
        owned = sorted({*self.free, *self.reserved})
        balances = {key: (self.free[key], self.reserved[key]) for key in owned}
        accounts = {key: holding.picture() for key, holding in sorted(self.holdings.items())}
        return {
            "symbols": symbols,
            "balances": {key: row for key, row in balances.items() if any(row)},
            "accounts": {key: row for key, row in accounts.items() if any(row)},
            "fees": list(self.fees),
            "supply": list(self.supply),
        }

    # What comes out.

    def tell(self, kind: int, symbol: int, account: int, **fields: int) -> Event:
        head = {"kind": kind, "symbol": symbol, "account": account, "sequence": self.sequence}
        self.events.append(NO_EVENT | head | fields)
        return self.events[-1]

    def tell_of(self, kind: int, order: Order, price: int, lots: int, **more: int) -> Event:
        head = {"side": order.side, "order_id": order.order_id, "price_ticks": price, "lots": lots}
        return self.tell(kind, order.book.index, order.account, **head, **more)

    def tell_both(self, kind: int, order: Order, maker: Order, price: int, lots: int, **more: int) -> None:
        other = {
            "maker_id": maker.order_id,
            "maker_account": maker.account,
            "maker_remaining_lots": maker.lots,
        }
        self.tell_of(kind, order, price, lots, remaining_lots=order.lots, **other, **more)

    def touch(self, order: Order) -> None:
        """What the order's level displays has changed."""
        book = order.book
        book.updates += 1
        self.changed[book.index, order.side, order.price] = book.sides[order.side].levels[order.price].shown

    # Commands.

    def process(self, c: Any) -> None:
        self.now = max(self.now, min(c.ts_ns, o.MAX_TS_NS))
        while self.expiries and self.expiries[0][0] <= self.now:
            order = heapq.heappop(self.expiries)[2]
            if order.lots:
                self.cancel(order, o.EXPIRED)
        if c.kind == o.TIME:
            return
        faults, act = self.ACTIONS.get(c.kind, (PlainEngine.unknown_faults, PlainEngine.place))
        reason = next((reason for wrong, reason in faults(self, c) if wrong), o.NO_REASON)
        if reason:
            echo = {"side": c.side, "order_id": c.order_id, "price_ticks": c.price_ticks, "lots": c.lots}
            self.tell(o.REJECTED, c.symbol, c.account, **echo, reason=reason)
        else:
            act(self, c)

    def unknown_faults(self, c: Any) -> Faults:
        yield True, o.BAD_KIND

    def party_faults(self, c: Any) -> Faults:
        yield not 0 <= c.symbol < len(self.books), o.UNKNOWN_SYMBOL
        yield not 0 <= c.account < self.accounts, o.UNKNOWN_ACCOUNT

    def place_faults(self, c: Any) -> Faults:
        yield from self.party_faults(c)
        order = self.order_of(c)
        book, waits, priced = order.book, c.kind in WAITING, c.kind in PRICED
        rests = c.kind == o.LIMIT and c.time_in_force in (o.GTC, o.GTD)
        step = book.parameters[o.TICK_STEP]
        yield c.order_id <= 0, o.BAD_ID
        yield c.side not in (BUY, SELL), o.BAD_SIDE
        yield c.time_in_force not in TIMES_IN_FORCE[c.kind], o.BAD_TIME_IN_FORCE
        yield not o.NONE <= c.self_trade <= o.DECREMENT, o.BAD_SELF_TRADE
        yield c.flags != 0 and not (rests and c.flags == o.POST_ONLY), o.BAD_FLAGS
        yield from self.lots_faults(c)
        yield from self.price_faults(c, priced)
        yield c.display_lots != 0 and not (rests and 0 < c.display_lots <= c.lots), o.BAD_DISPLAY
        yield order.display > 0 and c.lots > o.MAX_ICEBERG_PARTS * order.display, o.BAD_DISPLAY
        yield waits and not 0 < c.trigger_ticks <= o.MAX_PRICE_TICKS, o.BAD_TRIGGER
        yield waits and c.kind != o.TRAILING_STOP and c.trigger_ticks % step > 0, o.BAD_TRIGGER
        yield c.time_in_force == o.GTD and c.expire_ns <= self.now, o.BAD_EXPIRY
        yield from self.size_faults(c, priced)
        yield book.phase in (o.HALTED, o.CLOSED), o.WRONG_PHASE
        yield book.phase == o.AUCTION and not (rests or waits), o.WRONG_PHASE
        yield c.kind == o.LIMIT and self.outside_band(c), o.OUTSIDE_BAND
        yield priced and c.price_ticks * c.lots < book.parameters[o.MIN_NOTIONAL], o.NOTIONAL_TOO_SMALL
        yield c.order_id in self.open, o.DUPLICATE_ID
        if c.link_id:
            partner = self.open.get(c.link_id)
            yield not (rests or waits) or partner is None or partner.partner is not None, o.BAD_LINK
            yield (partner.account, partner.book) != (c.account, book), o.BAD_LINK
        yield waits and c.kind != o.TRAILING_STOP and order.is_due(), o.WOULD_TRIGGER
        yield c.flags == o.POST_ONLY and self.would_take(order, c.price_ticks), o.WOULD_TAKE
        if book.spec.accounting and (rests or waits):
            count = self.holdings[c.account, c.symbol].open_orders
            yield count >= book.parameters[o.MAX_OPEN_ORDERS], o.TOO_MANY_ORDERS
        yield from self.funds_faults(order)
        yield (rests or waits) and book.live == self.room, o.BOOK_FULL
        yield book.hidden_parts + order.hidden_parts() > self.room, o.BOOK_FULL
        if c.kind == o.TRAILING_STOP:
            trailing = [other for other in book.waiting.values() if other.kind == o.TRAILING_STOP]
            yield len(trailing) == o.MAX_TRAILING, o.BOOK_FULL

    def lots_faults(self, c: Any) -> Faults:
        yield not 0 < c.lots <= o.MAX_LOTS, o.BAD_LOTS
        yield c.lots % self.books[c.symbol].parameters[o.LOT_STEP] > 0, o.OFF_LOT

    def price_faults(self, c: Any, priced: bool = True) -> Faults:
        yield priced and not 0 < c.price_ticks <= o.MAX_PRICE_TICKS, o.BAD_PRICE
        yield priced and c.price_ticks % self.books[c.symbol].parameters[o.TICK_STEP] > 0, o.OFF_TICK

    def size_faults(self, c: Any, priced: bool = True) -> Faults:
        spec = self.books[c.symbol].spec
        notional = c.price_ticks * c.lots * spec.notional_atoms
        yield priced and notional > o.MAX_ATOMS, o.NOTIONAL_TOO_LARGE
        yield c.lots * spec.lot_atoms > o.MAX_ATOMS, o.NOTIONAL_TOO_LARGE

    def outside_band(self, c: Any) -> bool:
        book = self.books[c.symbol]
        last, up, down = book.last, book.parameters[o.BAND_UP_PPM], book.parameters[o.BAND_DOWN_PPM]
        above = up > 0 and c.price_ticks > last + last * up // MILLION
        below = down > 0 and c.price_ticks < last - last * down // MILLION
        return last > 0 and (above or below)

    def would_take(self, order: Order, price: int) -> bool:
        return order.book.phase == o.CONTINUOUS and order.book.meets(order.side, price)

    def funds_faults(self, order: Order) -> Faults:
        book = order.book
        if book.spec.accounting == o.LINEAR:
            own = self.holdings[order.account, book.index]
            most = order.side * own.position + own.open_lots[order.side] + order.lots
            yield most > book.parameters[o.MAX_POSITION_LOTS], o.POSITION_LIMIT
        if book.spec.accounting == o.SPOT:
            asset, atoms = self.reserve(order, order.lots)
            yield atoms > self.free[order.account, asset], o.INSUFFICIENT_FUNDS

    def order_of(self, c: Any) -> Order:
        display = c.display_lots if c.display_lots < c.lots else 0
        return Order(
            *(c.order_id, c.side, c.kind, c.account, c.price_ticks if c.kind in PRICED else 0, c.lots),
            *(c.time_in_force, c.self_trade, c.flags, display),
            *(c.expire_ns if c.time_in_force == o.GTD else 0, self.sequence, self.books[c.symbol]),
            trigger=c.trigger_ticks if c.kind in WAITING else 0,
            shown=display,
        )

    def place(self, c: Any) -> None:
        order = self.order_of(c)
        if c.link_id:
            order.partner = self.open[c.link_id]
            order.partner.partner = order
        if c.kind in WAITING:
            self.arm(order)
        else:
            self.enter(o.ACCEPTED, order)

    def named_faults(self, c: Any) -> Faults:
        """Of commands that name an open order."""
        yield from self.party_faults(c)
        yield c.order_id <= 0 or (c.kind == o.REPLACE and c.link_id < 0), o.BAD_ID
        order = self.open.get(c.order_id)
        yield order is None or order.book.index != c.symbol, o.UNKNOWN_ID
        yield order.account != c.account, o.NOT_OWNER
        yield c.kind != o.CANCEL and c.order_id in order.book.waiting, o.NOT_RESTING

    def replace_faults(self, c: Any) -> Faults:
        yield from self.named_faults(c)
        order = self.open[c.order_id]
        book = order.book
        yield c.side not in (0, order.side), o.BAD_SIDE
        yield from self.lots_faults(c)
        yield from self.price_faults(c)
        yield order.display > 0 and c.lots > o.MAX_ICEBERG_PARTS * order.display, o.BAD_DISPLAY
        yield from self.size_faults(c)
        yield book.phase in (o.HALTED, o.CLOSED), o.WRONG_PHASE
        yield self.outside_band(c), o.OUTSIDE_BAND
        yield c.price_ticks * c.lots < book.parameters[o.MIN_NOTIONAL], o.NOTIONAL_TOO_SMALL
        yield c.link_id not in (0, c.order_id) and c.link_id in self.open, o.DUPLICATE_ID
        yield order.post_only > 0 and self.would_take(order, c.price_ticks), o.WOULD_TAKE
        renewed = dataclasses.replace(
            order, price=c.price_ticks, lots=c.lots, shown=min(order.display, c.lots)
        )
        self.hold(order, -order.lots)  # as if the order were not there
        reason = next((reason for wrong, reason in self.funds_faults(renewed) if wrong), o.NO_REASON)
        self.hold(order, order.lots)
        yield reason > 0, reason
        parts = book.hidden_parts - order.hidden_parts() + renewed.hidden_parts()
        yield parts > self.room, o.BOOK_FULL

    def replace(self, c: Any) -> None:
        order = self.open[c.order_id]
        self.leave(order)
        order.order_id, order.price, order.lots = c.link_id or c.order_id, c.price_ticks, c.lots
        self.enter(o.REPLACED, order, maker_id=c.order_id)

    def amend_faults(self, c: Any) -> Faults:
        yield from self.named_faults(c)
        yield not 0 < c.lots < self.open[c.order_id].lots, o.BAD_LOTS
        yield from self.lots_faults(c)

    def amend(self, c: Any) -> None:
        order = self.open[c.order_id]
        level, off = order.book.sides[order.side].levels[order.price], order.lots - c.lots
        self.hold(order, -off)
        order.book.hidden_parts -= order.hidden_parts()
        level.shown -= order.shown
        order.lots, order.shown = c.lots, min(order.shown, c.lots)
        level.shown += order.shown
        order.book.hidden_parts += order.hidden_parts()
        self.touch(order)
        rest = {"remaining_lots": order.lots, "maker_remaining_lots": order.shown}
        self.tell_of(o.AMENDED, order, order.price, off, **rest)

    def cancel_one(self, c: Any) -> None:
        self.cancel(self.open[c.order_id], o.NO_REASON)

    def cancel_all(self, c: Any) -> None:
        own = [a for a in self.open.values() if (a.account, a.book.index) == (c.account, c.symbol)]
        for order in sorted(own, key=lambda order: order.sequence):
            if order.lots:
                self.cancel(order, o.BY_CANCEL_ALL)
        self.tell(o.ALL_CANCELED, c.symbol, c.account, lots=len(own))

    def phase_faults(self, c: Any) -> Faults:
        yield not 0 <= c.symbol < len(self.books), o.UNKNOWN_SYMBOL
        yield not o.CONTINUOUS <= c.parameter <= o.CLOSED, o.BAD_VALUE
        yield c.parameter == self.books[c.symbol].phase, o.WRONG_PHASE

    def set_phase(self, c: Any) -> None:
        book = self.books[c.symbol]
        before, book.phase = book.phase, c.parameter
        uncrosses = c.parameter == o.CONTINUOUS or (before, c.parameter) == (o.AUCTION, o.CLOSED)
        price, lots = self.auction_price(book) if uncrosses else (0, 0)
        self.tell(o.PHASE_CHANGED, c.symbol, 0, flags=c.parameter, price_ticks=price, lots=lots)
        if price:
            self.uncross(book, price)
        if c.parameter == o.CONTINUOUS:
            self.trigger(book)

    def configure_faults(self, c: Any) -> Faults:
        yield not 0 <= c.symbol < len(self.books), o.UNKNOWN_SYMBOL
        yield c.parameter not in RANGES, o.BAD_PARAMETER
        least, most = RANGES[c.parameter]
        if c.parameter in (o.MAKER_PPM, o.TAKER_PPM) and self.books[c.symbol].spec.accounting == o.SPOT:
            least = 0
        yield not least <= c.lots <= most, o.BAD_VALUE

    def configure(self, c: Any) -> None:
        self.books[c.symbol].parameters[c.parameter] = c.lots
        self.tell(o.CONFIGURED, c.symbol, 0, flags=c.parameter, lots=c.lots)

    def transfer_faults(self, c: Any) -> Faults:
        yield not 0 <= c.symbol < len(self.assets), o.UNKNOWN_ASSET
        yield not 0 <= c.account < self.accounts, o.UNKNOWN_ACCOUNT
        yield not 0 < c.lots <= o.MAX_ATOMS, o.BAD_LOTS
        yield c.kind == o.DEPOSIT and self.supply[c.symbol] + c.lots > o.MAX_SUPPLY, o.BAD_LOTS
        yield c.kind == o.WITHDRAW and c.lots > self.free[c.account, c.symbol], o.INSUFFICIENT_FUNDS

    def transfer(self, c: Any) -> None:
        atoms = c.lots if c.kind == o.DEPOSIT else -c.lots
        self.free[c.account, c.symbol] += atoms
        self.supply[c.symbol] += atoms
        kind, free = o.DEPOSITED if atoms > 0 else o.WITHDRAWN, self.free[c.account, c.symbol]
        self.tell(kind, c.symbol, c.account, lots=c.lots, remaining_lots=free)

    ACTIONS = dict.fromkeys((o.LIMIT, o.MARKET, *WAITING), (place_faults, place))
    ACTIONS |= {o.CANCEL: (named_faults, cancel_one), o.REPLACE: (replace_faults, replace)}
    ACTIONS |= {o.AMEND: (amend_faults, amend), o.CANCEL_ALL: (party_faults, cancel_all)}
    ACTIONS |= {o.PHASE: (phase_faults, set_phase), o.CONFIGURE: (configure_faults, configure)}
    ACTIONS |= dict.fromkeys((o.DEPOSIT, o.WITHDRAW), (transfer_faults, transfer))

    # Money.

    def reserve(self, order: Order, lots: int) -> tuple[int, int]:
        """Asset and atoms that `lots` of an order reserve, in a spot symbol: none for a market buy."""
        book, spec = order.book, order.book.spec
        if order.side == SELL:
            return book.base, lots * spec.lot_atoms
        return book.quote, lots * order.price * spec.notional_atoms

    def hold(self, order: Order, lots: int, orders: int = 0) -> None:
        """Count so many more open lots and orders of the account, and reserve what the lots need."""
        book = order.book
        if book.spec.accounting:
            holding = self.holdings[order.account, book.index]
            holding.open_orders += orders
            holding.open_lots[order.side] += lots
        if book.spec.accounting == o.SPOT:
            asset, atoms = self.reserve(order, lots)
            self.free[order.account, asset] -= atoms
            self.reserved[order.account, asset] += atoms

    def settle(self, order: Order, price: int, lots: int, rate: int) -> int:
        """Book one side of a trade, out of what is free: its fee."""
        book, ppm = order.book, order.book.parameters[rate]
        base, quote = lots * book.spec.lot_atoms, lots * price * book.spec.notional_atoms
        if book.spec.accounting == o.LINEAR:
            fee = quote * ppm // MILLION
            holding = self.holdings[order.account, book.index]
            holding.position += order.side * lots
            holding.cash -= order.side * quote + fee
            self.fees[book.quote] += fee
            return fee
        if book.spec.accounting == o.SPOT:
            received, atoms = (book.base, base) if order.side == BUY else (book.quote, quote)
            fee = atoms * ppm // MILLION
            self.free[order.account, book.base] += order.side * base
            self.free[order.account, book.quote] -= order.side * quote
            self.free[order.account, received] -= fee
            self.fees[received] += fee
            return fee
        return 0

    # Orders coming and going.

    def open_order(self, order: Order) -> None:
        self.open[order.order_id] = order
        order.book.live += 1
        self.hold(order, order.lots, 1)
        if order.expire:
            heapq.heappush(self.expiries, (order.expire, order.sequence, order))

    def rest(self, order: Order) -> None:
        """Join the back of its level."""
        level = order.book.sides[order.side].level(order.price)
        order.shown = min(order.display or order.lots, order.lots)
        order.book.hidden_parts += order.hidden_parts()
        level.orders[order.order_id] = order
        level.shown += order.shown
        self.open_order(order)
        self.touch(order)

    def arm(self, order: Order) -> None:
        """Wait for its trigger."""
        if order.kind == o.TRAILING_STOP:
            order.distance, order.trigger = order.trigger, 0
            self.trail(order)
        order.book.waiting[order.order_id] = order
        self.open_order(order)
        self.tell_of(o.ARMED, order, order.trigger, order.lots)

    def leave(self, order: Order) -> None:
        """Neither rest nor wait any longer; what was reserved is free."""
        book = order.book
        del self.open[order.order_id]
        book.live -= 1
        self.hold(order, -order.lots, -1)
        if order.order_id in book.waiting:
            del book.waiting[order.order_id]
            return
        level = book.sides[order.side].levels[order.price]
        del level.orders[order.order_id]
        level.shown -= order.shown
        book.hidden_parts -= order.hidden_parts()
        if order.shown:  # else its last trade has told
            self.touch(order)
        if not level.orders:
            book.sides[order.side].drop(order.price)

    def cancel(self, order: Order, reason: int) -> None:
        self.tell_of(o.CANCELED, order, order.price, order.lots, reason=reason)
        self.leave(order)
        order.lots = 0
        self.cancel_partner(order)

    def cancel_partner(self, order: Order) -> None:
        partner = order.partner
        if partner and partner.lots:
            order.partner = partner.partner = None
            self.cancel(partner, o.PARTNER)

    def drop(self, taker: Order, reason: int) -> None:
        """Cancel what is left of an order that is not in the book."""
        self.tell_of(o.CANCELED, taker, taker.price, taker.lots, reason=reason)
        taker.lots = 0

    # Matching.

    def enter(self, kind: int, order: Order, **more: int) -> None:
        """Match an order, rest or cancel what is left, and activate what its trades triggered."""
        trades = order.book.trades
        self.activate(kind, order, **more)
        if order.book.trades > trades:
            self.trigger(order.book)

    def activate(self, kind: int, order: Order, **more: int) -> None:
        event = self.tell_of(kind, order, order.price, order.lots, **more)
        if order.book.phase == o.CONTINUOUS:
            if order.time_in_force == o.FOK and self.within_reach(order) < order.lots:
                self.drop(order, o.FOK_UNFILLED)
            self.match(order)
        if order.lots and order.price and order.time_in_force in (o.GTC, o.GTD):
            self.rest(order)
            event["remaining_lots"], event["maker_remaining_lots"] = order.lots, order.shown
        elif order.lots:
            self.drop(order, o.IOC_REMAINDER)

    def match(self, taker: Order) -> None:
        book, opposite, mode = taker.book, taker.book.sides[-taker.side], taker.self_trade
        if taker.lots and book.meets(taker.side, taker.price):
            self.cancel_partner(taker)
        while taker.lots and book.meets(taker.side, taker.price):
            maker = opposite.first()
            lots = min(taker.lots, maker.shown)
            if maker.account != taker.account or mode == o.NONE:
                payable = self.payable(taker, maker.price, lots)
                if payable:
                    self.trade(taker, maker, payable)
                if payable < lots:
                    self.drop(taker, o.OUT_OF_FUNDS)
            elif mode == o.DECREMENT:
                taker.lots -= lots
                self.reduce(maker, lots)
                self.tell_both(o.PREVENTED, taker, maker, maker.price, lots)
                self.follow(maker)
            else:
                if mode in (o.EXPIRE_MAKER, o.EXPIRE_BOTH):
                    self.cancel(maker, o.SELF_TRADE)
                if mode in (o.EXPIRE_TAKER, o.EXPIRE_BOTH):
                    self.drop(taker, o.SELF_TRADE)

    def payable(self, taker: Order, price: int, lots: int) -> int:
        """How much of `lots` the taker can pay: all, unless it buys without a limit."""
        book = taker.book
        if book.spec.accounting != o.SPOT or taker.side == SELL or taker.price:
            return lots
        return min(lots, self.free[taker.account, book.quote] // (price * book.spec.notional_atoms))

    def trade(self, taker: Order, maker: Order, lots: int) -> None:
        taker.lots -= lots
        self.reduce(maker, lots)
        self.print_trade(taker, maker, maker.price, lots, o.TAKER_PPM)
        self.follow(maker)

    def print_trade(
        self, order: Order, maker: Order, price: int, lots: int, rate: int, flags: int = 0
    ) -> None:
        book = order.book
        book.trades += 1
        book.last = price
        fee = self.settle(order, price, lots, rate)
        maker_fee = self.settle(maker, price, lots, o.MAKER_PPM)
        more = {"fee": fee, "maker_fee": maker_fee, "trade_id": book.trades, "flags": flags}
        self.tell_both(o.TRADED, order, maker, price, lots, **more)

    def reduce(self, order: Order, lots: int) -> None:
        """Take quantity off the displayed part of a resting order. A filled one leaves."""
        self.hold(order, -lots)
        order.lots -= lots
        order.shown -= lots
        order.book.sides[order.side].levels[order.price].shown -= lots
        self.touch(order)
        if not order.lots:
            self.leave(order)

    def follow(self, order: Order) -> None:
        """After an order was reduced: its partner ends, and its next part is shown."""
        self.cancel_partner(order)
        if order.lots and not order.shown:
            level = order.book.sides[order.side].levels[order.price]
            level.orders.move_to_end(order.order_id)
            order.book.hidden_parts -= order.hidden_parts()
            order.shown = min(order.display, order.lots)
            order.book.hidden_parts += order.hidden_parts()
            level.shown += order.shown
            self.touch(order)
            self.tell_of(o.REFRESHED, order, order.price, order.shown, remaining_lots=order.lots)

    def within_reach(self, taker: Order) -> int:
        """How much a fill-or-kill order could take. An order ends when its partner, before it, trades."""
        opposite, found, passed = taker.book.sides[-taker.side], 0, set()
        for price in opposite.prices():
            if found >= taker.lots or taker.side * (taker.price - price) < 0:
                break
            shown = hidden = 0
            for maker in opposite.levels[price].orders.values():
                own = maker.account == taker.account and taker.self_trade != o.NONE
                if own and taker.self_trade != o.EXPIRE_MAKER:
                    return found + shown
                if not own and maker.partner not in passed:
                    passed.add(maker)
                    shown += maker.shown
                    hidden += maker.lots - maker.shown
            found += shown + hidden
        return found

    # Triggers.

    def trail(self, order: Order) -> None:
        """Move a trailing stop's trigger after the last price."""
        last = order.book.last
        if last and order.side == SELL:
            order.extreme = max(order.extreme, last)
            order.trigger = max(1, order.extreme - order.distance)
        elif last:
            order.extreme = min(order.extreme or last, last)
            order.trigger = order.extreme + order.distance

    def trigger(self, book: Book) -> None:
        """Activate what the last price triggers, and what that triggers in turn."""
        queue: list[Order] = []
        while True:
            for order in book.waiting.values():
                if order.kind == o.TRAILING_STOP:
                    self.trail(order)
            due = [order for order in book.waiting.values() if order.is_due() and order not in queue]
            due.sort(key=lambda a: (0, a.trigger, a.sequence) if a.upwards() else (1, -a.trigger, a.sequence))
            for order in due:
                if order.lots:
                    queue.append(order)
                    self.cancel_partner(order)
            if not queue:
                return
            order = queue.pop(0)
            self.leave(order)
            self.activate(o.TRIGGERED, order)

    # Auctions.

    def uncross(self, book: Book, clearing_price: int) -> None:
        """Trade what crosses, at this price or the nearest that suits both."""
        bids, asks = book.sides[BUY], book.sides[SELL]
        while bids.best() >= asks.best() > 0:
            price = min(max(clearing_price, asks.best()), bids.best())
            buy, sell = bids.first(), asks.first()
            lots = min(buy.shown, sell.shown)
            self.reduce(buy, lots)
            self.reduce(sell, lots)
            self.print_trade(buy, sell, price, lots, o.MAKER_PPM, o.IN_AUCTION)
            self.follow(buy)
            self.follow(sell)

    def auction_price(self, book: Book) -> tuple[int, int]:
        """The price of most trades, then of least surplus, then nearest to the last trade, then the lowest; and how
        much trades there. 0, 0 if the book does not cross."""
        bids, asks = (
            [(price, sum(a.lots for a in side.levels[price].orders.values())) for price in side.prices()]
            for side in book.sides.values()
        )
        if not bids or not asks or bids[0][0] < asks[0][0]:
            return 0, 0

        def demerits(price: int) -> tuple[int, int, int, int]:
            buying = sum(lots for bid, lots in bids if bid >= price)
            selling = sum(lots for ask, lots in asks if ask <= price)
            away = abs(price - book.last) if book.last else 0
            return -min(buying, selling), abs(buying - selling), away, price

        least = min(demerits(price) for price, _ in bids + asks)
        return least[-1], -least[0]
