"""The order desk: clients' commands to the matching engine, gathered and matched together, and all that follows.

Pure but for what it is given: commands wait in one array until `drain`, which hands them to the engine in one call and
takes its events apart: orders change, answers go to whoever asked, reports to whoever listens to an account. What the
crowd's orders do to clients' comes in by `on_events`. Everything kept is bounded, the oldest goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from engine.exchange.shelf import Shelf
from engine.exchange.trading import (
    CANCELED_BY_OWNER,
    ON_COMMAND,
    TOO_MANY_WAITING,
    Answer,
    Balance,
    Fill,
    Listener,
    Order,
    Outcome,
    Report,
    ReportKind,
    Status,
)
from engine.market.batches import BUY
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.entry import ROW
from engine.matching.orders import (
    ACCEPTED,
    ALL_CANCELED,
    AMEND,
    AMENDED,
    ARMED,
    C_TS,
    CANCEL,
    CANCEL_ALL,
    CANCELED,
    COMMAND,
    CONFIGURE,
    DEPOSIT,
    DUPLICATE_ID,
    LIMIT,
    MAX_LOTS,
    PHASE,
    POST_ONLY,
    PREVENTED,
    REJECTED,
    REPLACE,
    REPLACED,
    SELF_TRADE,
    TOO_MANY_ORDERS,
    TRADED,
    TRAILING_STOP,
    TRIGGERED,
    UNKNOWN_ID,
    WITHDRAW,
    Matrix,
)

MAX_WAITING: Final = 8_192  # commands of one drain
MAX_OPEN: Final = 200  # of an account in a symbol: Binance's MAX_NUM_ORDERS
KEPT_ORDERS: Final = 1_000  # ended ones, of each account
KEPT_FILLS: Final = 1_000
KEPT_IN_ALL: Final = 32_768  # shared by the accounts that have some: all of 32 keep 1,000
ROW_BYTES: Final = ROW.size
FIRST_CLIENT: Final = 17  # accounts below are the crowd's
ACCOUNT_MASK: Final = (1 << 32) - 1
WALKED_LEVELS: Final = 1_000  # to find what a sum of money buys


class Matcher(Protocol):
    """Where commands are matched: the sequencer, the only one that calls the engine."""

    @property
    def engine(self) -> MatchingEngine:
        """The engine, to read."""
        ...

    def match(self, commands: Matrix, count: int) -> list[list[int]]:
        """Match the first rows of COMMAND words; their events as rows of EVENT words, in order."""
        ...


class _Ticket(Outcome, eq=False, gc=False):
    """A command that waits, and becomes its own outcome."""

    answer: Answer | None = None
    is_order: bool = True


class Told(NamedTuple):
    """What one batch has to tell: answers to its commands, and reports by account."""

    tickets: Sequence[_Ticket]
    reports: dict[int, list[Report]]
    ts_ns: int


NOTHING: Final = Told((), {}, 0)


class Desk:
    """Orders of all clients of one engine. One thread, the engine's.

    `wake` is called when the first command of a batch has come in: the edge then calls `drain` soon. Order ids begin at
    `first_id`; the edge takes them from the clock, in microseconds, so that they never come twice.
    """

    def __init__(
        self,
        matcher: Matcher,
        books: Sequence[BookSpec],
        wake: Callable[[], None],
        *,
        first_id: int = 1,
        max_open: int = MAX_OPEN,
    ) -> None:
        self.engine: Final = matcher.engine
        self.books: Final = tuple(books)
        self.commands = 0  # that the engine was given
        self.orders = self.done = self.refused = (
            0  # asked for by clients: placed, changed, canceled; what came of them
        )
        self.trades = 0
        self.most_waiting = self.overfull = 0  # commands of one batch; refused, since a batch was full
        self.reject: Callable[[Order], bool] | None = (
            None  # a fault on command: whether this order is rejected
        )
        self.failed: Callable[[Exception], None] = _raise  # what becomes of who could not be told
        # A fault on command: takes an answer that is to be given later, and says so.
        self.postpone: Callable[[Answer, Outcome], bool] | None = None
        self.first_fill: Callable[[Order, bool], None] | None = (
            None  # told of each order that trades; as maker?
        )
        self.never_was: Callable[[Order], None] | None = None  # told of each order that was refused
        self._matcher = matcher
        self._wake = wake
        self._max_open = max_open
        self._next_id = first_id
        self._matrix: Matrix = np.zeros((MAX_WAITING, COMMAND.itemsize // 8), np.int64)
        self._bytes = self._matrix.data.cast("B")
        self._tickets: list[_Ticket] = []
        self._amends: list[
            tuple[int, int, int, bool]
        ] = []  # place among tickets, price, lots, whether in all
        self._aside: list[_Ticket] = []  # answered without the engine, in turn with the others
        self._live: dict[int, Order] = {}
        self._open: dict[
            int, dict[int, Order]
        ] = {}  # by account; there are at most as many as the engine has
        self._open_in: dict[int, int] = {}  # account << 16 | symbol
        self._ended: Shelf[Order] = Shelf(KEPT_ORDERS, KEPT_IN_ALL)
        self._fills: Shelf[Fill] = Shelf(KEPT_FILLS, KEPT_IN_ALL)
        self._by_client: dict[tuple[int, str], Order] = {}
        self._coming: dict[tuple[int, str], Order] = {}  # of the commands that wait
        self._listeners: dict[int, list[Listener]] = {}
        self._reports: dict[int, list[Report]] = {}
        self._now_ns = 0

    # --- commands: each is answered by the drain that follows -------------------------------------------

    @property
    def waiting(self) -> int:
        """Commands that wait for the next drain."""
        return len(self._tickets) + len(self._aside)

    def place(self, order: Order, answer: Answer | None = None) -> int:
        """Place a new order; its id. Fields must be whole numbers within the engine's dtypes; the rest it checks."""
        order.order_id = order_id = self._next_id
        self._next_id = order_id + 1
        account, client_id = order.account, order.client_id
        ticket = _Ticket(0, order, 0, answer=answer)
        reason = 0
        if len(self._tickets) >= MAX_WAITING:
            reason = TOO_MANY_WAITING
        elif client_id and (known := self.by_client_id(account, client_id)) is not None and known.is_open:
            reason = DUPLICATE_ID
        elif self._open_in.get(account << 16 | order.symbol, 0) >= self._max_open:
            reason = TOO_MANY_ORDERS
        elif self.reject is not None and self.reject(order):
            reason = ON_COMMAND
        if reason:
            ticket.reason = reason
            self._set_aside(ticket)
            return order_id
        tickets = self._tickets
        ROW.pack_into(
            self._bytes, len(tickets) * ROW_BYTES,
            order.kind, order.side, order.time_in_force, order.self_trade, POST_ONLY if order.post_only else 0, 0,
            order.symbol, account, order_id, order.price_ticks, order.lots, 0, order.trigger_ticks,
            order.display_lots, order.expire_ns, order.link_id,
        )  # fmt: skip
        if not tickets and not self._aside:
            self._wake()
        tickets.append(ticket)
        self._hold_open(order)
        if client_id:
            self._coming[account, client_id] = order
        return order_id

    def cancel(self, account: int, order_id: int, answer: Answer | None = None) -> None:
        """Cancel an open order of the account; UNKNOWN_ID when there is none."""
        order = self._mine(account, order_id)
        ticket = _Ticket(0, order, 0, answer=answer)
        if order is None:
            ticket.reason = UNKNOWN_ID
            self._set_aside(ticket)
        else:
            self._command(ticket, CANCEL, order.symbol, account, order_id)

    def amend(
        self,
        account: int,
        order_id: int,
        price_ticks: int,
        lots: int,
        answer: Answer | None = None,
        *,
        total: bool = False,
    ) -> None:
        """Change what is open of a resting order to `lots` at `price_ticks`; 0 keeps either.

        With `total`, `lots` is the whole order's size: what is filled by the time it is matched counts, so nothing is
        ever filled beyond it; BAD_LOTS when that is all. Less at the same price keeps the order's place; anything else
        enters it anew, at the back. NOT_RESTING for an order that waits for its trigger.
        """
        order = self._mine(account, order_id)
        ticket = _Ticket(0, order, 0, answer=answer)
        if order is None:
            ticket.reason = UNKNOWN_ID
            self._set_aside(ticket)
        else:
            at = len(self._tickets)
            self._command(ticket, REPLACE, order.symbol, account, order_id)
            if not ticket.reason:
                self._amends.append((at, price_ticks, lots, total))

    def cancel_all(self, account: int, symbol: int, answer: Answer | None = None) -> None:
        """Cancel all open orders of the account in the symbol; `count` says how many there were."""
        self._command(_Ticket(0, None, 0, answer=answer), CANCEL_ALL, symbol, account, 0)

    def deposit(self, account: int, asset: str, atoms: int, answer: Answer | None = None) -> None:
        """Pay in (positive) or out (negative). KeyError for an unknown asset."""
        at = self._asset(asset)
        kind = DEPOSIT if atoms >= 0 else WITHDRAW

        def paid(outcome: Outcome) -> None:
            if not outcome.reason:
                for listener in self._listeners.get(account, ()):
                    listener.on_transfer(asset, atoms, outcome.ts_ns)
            if answer is not None:
                answer(outcome)

        self._command(_Ticket(0, None, 0, answer=paid, is_order=False), kind, at, account, 0, lots=abs(atoms))

    def set_phase(self, symbol: int, phase: int, answer: Answer | None = None) -> None:
        """Halt a symbol, or let it trade again (CONTINUOUS, AUCTION, HALTED, CLOSED)."""
        self._command(
            _Ticket(0, None, 0, answer=answer, is_order=False), PHASE, symbol, 0, 0, parameter=phase
        )

    def configure(self, symbol: int, parameter: int, value: int, answer: Answer | None = None) -> None:
        """Set one of a symbol's parameters: fees, bands, least notional."""
        self._command(
            _Ticket(0, None, 0, answer=answer, is_order=False),
            CONFIGURE,
            symbol,
            0,
            0,
            lots=value,
            parameter=parameter,
        )

    def drain(self, now_ns: int) -> None:
        """Match all that waits, then tell everyone concerned. Costs some 5 us an order."""
        self.tell(self.match(now_ns))

    def match(self, now_ns: int) -> Told:
        """Match all that waits; what is to be told of it, by `tell`, once it may be."""
        tickets, aside = self._tickets, self._aside
        if not tickets and not aside:
            return NOTHING
        self._now_ns = now_ns
        self._tickets, self._aside = [], []
        self.commands += len(tickets)
        self.most_waiting = max(self.most_waiting, len(tickets))
        if tickets:
            count = len(tickets)
            self._matrix[:count, C_TS] = now_ns
            begin = 0
            for (
                at,
                price_ticks,
                lots,
                total,
            ) in self._amends:  # what they change is known once all before is matched
                self._match_part(tickets, begin, at)
                self._write_amend(at, tickets[at].order, price_ticks, lots, total)
                begin = at
            self._amends.clear()
            self._match_part(tickets, begin, count)
        self._coming.clear()
        for ticket in aside:
            if ticket.order is not None and ticket.order.status == "pending":
                self._refuse(ticket.order, ticket.reason)
        reports, self._reports = self._reports, {}
        return Told((*tickets, *aside) if aside else tickets, reports, now_ns)

    def _match_part(self, tickets: list[_Ticket], begin: int, end: int) -> None:
        if begin < end:
            first = self.engine.commands_taken
            events = self._matcher.match(self._matrix[begin:end], end - begin)
            self._apply(events, tickets if end - begin == len(tickets) else tickets[begin:end], first)

    def _write_amend(self, at: int, order: Order | None, price_ticks: int, lots: int, total: bool) -> None:
        """Make the command of an amendment from what the order is by now."""
        assert order is not None
        price_ticks = price_ticks or order.price_ticks
        if not lots:
            lots = order.open_lots
        elif total:
            lots = max(0, lots - order.filled_lots)
        lowers = price_ticks == order.price_ticks and lots < order.open_lots
        ROW.pack_into(
            self._bytes, at * ROW_BYTES,
            AMEND if lowers else REPLACE, 0, 0, 0, 0, 0, order.symbol, order.account, order.order_id, price_ticks,
            lots, self._now_ns, 0, 0, 0, 0,
        )  # fmt: skip

    def tell(self, told: Told) -> None:
        """Give the answers and reports of one batch, in order."""
        now_ns, postpone = told.ts_ns, self.postpone
        for ticket in told.tickets:
            if ticket.is_order:
                self.orders += 1
                if ticket.reason:
                    self.refused += 1
                    self.overfull += ticket.reason == TOO_MANY_WAITING
                else:
                    self.done += 1
            answer = ticket.answer
            if answer is None:
                continue
            if ticket.status == "pending" and ticket.order is not None:
                _note(ticket, ticket.order)
            ticket.ts_ns = now_ns
            try:
                if postpone is None or not postpone(answer, ticket):
                    answer(ticket)
            except Exception as error:  # noqa: BLE001 - one client's trouble is not the others'
                self.failed(error)
        for account, rows in told.reports.items():
            for listener in tuple(self._listeners.get(account, ())):
                try:
                    listener.on_reports(rows)
                except Exception as error:  # noqa: BLE001
                    self.failed(error)

    def on_events(self, events: Matrix, now_ns: int) -> Told:
        """Take in what the crowd's commands did to clients' orders; `events` are EVENT words, most of them nobody's.

        What comes back is to be told, as that of `match`.
        """
        if not self._live:
            return NOTHING
        parties = events[:, 3]
        ours = np.flatnonzero(((parties & ACCOUNT_MASK) >= FIRST_CLIENT) | ((parties >> 32) >= FIRST_CLIENT))
        if len(ours):
            self._now_ns = now_ns
            self._apply(events[ours].tolist(), (), 0)
        reports, self._reports = self._reports, {}
        return Told((), reports, now_ns)

    def adopt(self) -> list[Order]:
        """Take over clients' open orders that the engine already has, from a command log; these, oldest first.

        An engine keeps what it needs to trade: of each order what is still open counts as its size, a stop that was
        triggered as a limit order; its `client_id` and dialect are lost. Only before the first command.
        """
        found: list[tuple[int, Order]] = []
        for at, (*_, resting, waiting) in enumerate(self.engine.picture()["symbols"]):
            for side, price, order_id, account, _, lots, tif, self_trade, post, display, expiry, partner, place in resting:  # fmt: skip  # noqa: E501
                order = Order(
                    account, at, side, LIMIT, lots, price, tif, bool(post), 0, display, self_trade, expiry, partner,
                    order_id=order_id, status="new",
                )  # fmt: skip
                found.append((place, order))
            for order_id, side, kind, account, price, lots, trigger, distance, _, tif, self_trade, expiry, partner, place in waiting:  # fmt: skip  # noqa: E501
                order = Order(
                    account, at, side, kind, lots, price, tif, False,
                    distance if kind == TRAILING_STOP else trigger, 0, self_trade, expiry, partner,
                    order_id=order_id, status="armed",
                )  # fmt: skip
                found.append((place, order))
        mine = [order for _, order in sorted(found, key=lambda row: row[0]) if order.account >= FIRST_CLIENT]
        for order in mine:
            order.open_lots = order.lots
            order.created_ns = order.updated_ns = self.engine.now_ns
            self._hold_open(order)
            self._next_id = max(self._next_id, order.order_id + 1)
        return mine

    # --- questions --------------------------------------------------------------------------------------

    def order(self, account: int, order_id: int) -> Order | None:
        """An order of the account, open or among those kept; some 30 us when it is an old one."""
        order = self._live.get(order_id)
        if order is not None:
            return order if order.account == account else None
        return next((each for each in reversed(self._ended.of(account)) if each.order_id == order_id), None)

    def by_client_id(self, account: int, client_id: str) -> Order | None:
        """The newest order of the account with this id of its own."""
        name = (account, client_id)
        return self._coming.get(name) or self._by_client.get(name)

    def open_orders(self, account: int, symbol: int | None = None) -> list[Order]:
        """Open orders of the account, oldest first."""
        mine = self._open.get(account)
        if not mine:
            return []
        return [each for each in mine.values() if symbol is None or each.symbol == symbol]

    def ended_orders(self, account: int, symbol: int | None = None) -> list[Order]:
        """Orders of the account that have ended, in the order they did; at most 1,000 are kept."""
        return [each for each in self._ended.of(account) if symbol is None or each.symbol == symbol]

    def fills(self, account: int, symbol: int | None = None) -> list[Fill]:
        """Trades of the account, oldest first; at most 1,000 are kept."""
        return [each for each in self._fills.of(account) if symbol is None or each.symbol == symbol]

    def balances(self, account: int) -> list[Balance]:
        """What the account holds of each asset, in the engine's order of assets, zeros included."""
        engine = self.engine
        return [Balance(asset, *engine.balance(account, at)) for at, asset in enumerate(engine.assets)]

    def balance(self, account: int, asset: str) -> Balance:
        """What it holds of one. KeyError for an unknown asset."""
        return Balance(asset, *self.engine.balance(account, self._asset(asset)))

    def lots_for(self, symbol: int, side: int, quote_atoms: int) -> int:
        """How many whole lots a market order would trade for this much of the quote asset; 0 when it is too little."""
        spec = self.books[symbol]
        bids, asks = self.engine.top(spec.symbol, WALKED_LEVELS)
        left, lots = quote_atoms, 0
        for price_ticks, size in (asks if side == BUY else bids).tolist():
            worth = price_ticks * spec.notional_atoms
            taken = min(size, left // worth)
            lots += taken
            left -= taken * worth
            if taken < size:
                break
        return min(lots, MAX_LOTS)

    def listen(self, account: int, listener: Listener) -> None:
        """Tell `listener` of the account's orders from here on."""
        self._listeners.setdefault(account, []).append(listener)

    def unlisten(self, account: int, listener: Listener) -> None:
        """Stop telling. Doing it twice does nothing more."""
        listeners = self._listeners.get(account, [])
        if listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[account]

    # --- inside -----------------------------------------------------------------------------------------

    def _asset(self, asset: str) -> int:
        try:
            return self.engine.assets.index(asset)
        except ValueError:
            raise KeyError(asset) from None

    def _mine(self, account: int, order_id: int) -> Order | None:
        mine = self._open.get(account)
        return mine.get(order_id) if mine else None

    def _command(
        self,
        ticket: _Ticket,
        kind: int,
        symbol: int,
        account: int,
        order_id: int,
        *,
        price_ticks: int = 0,
        lots: int = 0,
        parameter: int = 0,
    ) -> None:
        if len(self._tickets) >= MAX_WAITING:
            ticket.reason = TOO_MANY_WAITING
            self._set_aside(ticket)
            return
        ROW.pack_into(
            self._bytes, len(self._tickets) * ROW_BYTES,
            kind, 0, 0, 0, 0, parameter, symbol, account, order_id, price_ticks, lots, 0, 0, 0, 0, 0,
        )  # fmt: skip
        self._queue(ticket)

    def _queue(self, ticket: _Ticket) -> None:
        if not self._tickets and not self._aside:
            self._wake()
        self._tickets.append(ticket)

    def _set_aside(self, ticket: _Ticket) -> None:
        if not self._tickets and not self._aside:
            self._wake()
        self._aside.append(ticket)

    def _apply(self, events: list[list[int]], tickets: Sequence[_Ticket], first: int) -> None:
        live = self._live
        mine = len(tickets)
        now_ns, listeners = self._now_ns, self._listeners
        for head, sequence, order_id, _, price, lots, remaining, maker_id, maker_remaining, fee, maker_fee, trade in events:  # fmt: skip  # noqa: E501
            kind = head & 0xFF
            at = sequence - first
            ticket = tickets[at] if 0 <= at < mine else None
            if kind == TRADED:
                self.trades += 1
                order, maker = live.get(order_id), live.get(maker_id)
                if order is not None:
                    fill = self._filled(order, price, lots, remaining, fee, trade, maker=False)
                    if ticket is not None and ticket.order is order:
                        ticket.fills = [*ticket.fills, fill]
                        _note(ticket, order)
                if maker is not None:
                    self._filled(maker, price, lots, maker_remaining, maker_fee, trade, maker=True)
                continue
            if kind == REJECTED:
                if ticket is None:
                    continue
                ticket.reason = reason = head >> 16 & 0xFF
                order = ticket.order
                if order is not None and order.status == "pending":
                    self._refuse(order, reason)
                continue
            if kind == ALL_CANCELED:
                if ticket is not None:
                    ticket.count = lots
                continue
            order = live.get(order_id)
            if order is None:
                continue
            order.updated_ns = now_ns
            if kind == ACCEPTED:
                order.status, order.created_ns, order.open_lots = "new", now_ns, order.lots
                if order.client_id:
                    self._by_client[order.account, order.client_id] = order
                if listeners:
                    self._tell(order, "new")
                if ticket is not None and ticket.order is order:
                    ticket.status, ticket.open_lots = "new", order.lots
                continue
            if kind == CANCELED:
                reason = head >> 16 & 0xFF
                order.reason = reason
                by_owner = reason in CANCELED_BY_OWNER
                order.status = "canceled" if by_owner else "expired"
                self._end(order)
                if listeners:
                    self._tell(order, "canceled" if by_owner else "expired")
            elif kind == ARMED:
                if order.client_id:
                    self._by_client[order.account, order.client_id] = order
                order.status, order.created_ns, order.open_lots = "armed", now_ns, order.lots
                self._tell(order, "armed")
            elif kind == TRIGGERED:
                order.status, order.triggered = "new", True
                self._tell(order, "triggered")
            elif kind == REPLACED:
                order.price_ticks, order.open_lots = price, lots
                order.lots = order.filled_lots + lots
                self._tell(order, "replaced")
            elif kind == AMENDED:
                order.open_lots = remaining
                order.lots = order.filled_lots + remaining
                self._tell(order, "amended")
            elif kind == PREVENTED:
                self._prevented(order, remaining)
                maker = live.get(maker_id)
                if maker is not None:
                    self._prevented(maker, maker_remaining)
            if ticket is not None and ticket.order is order:
                _note(ticket, order)

    def _filled(
        self,
        order: Order,
        price: int,
        lots: int,
        remaining: int,
        fee: int,
        trade: int,
        *,
        maker: bool,
    ) -> Fill:
        now_ns = self._now_ns
        spec = self.books[order.symbol]
        fill = Fill(
            trade, order.order_id, order.client_id, order.account, order.symbol, order.side, price, lots,
            fee, spec.base if order.side == BUY else spec.quote, maker, now_ns,
        )  # fmt: skip
        if not order.filled_lots and self.first_fill is not None:
            self.first_fill(order, maker)
        order.filled_lots += lots
        order.filled_notional += price * lots
        order.fee_atoms += fee
        order.open_lots = remaining
        order.updated_ns = now_ns
        order.status = "partially_filled" if remaining else "filled"
        self._fills.add(order.account, fill)
        if not remaining:
            self._end(order)
        if self._listeners:
            self._tell(order, "trade", fill)
        return fill

    def _prevented(self, order: Order, remaining: int) -> None:
        order.open_lots, order.updated_ns = remaining, self._now_ns
        if not remaining:
            order.status, order.reason = "expired", SELF_TRADE
            self._end(order)
        self._tell(order, "prevented")

    def _refuse(self, order: Order, reason: int) -> None:
        """An order that never was: it is kept nowhere."""
        order.status, order.reason = "rejected", reason
        order.created_ns = order.updated_ns = self._now_ns
        if self._live.pop(order.order_id, None) is not None:
            del self._open[order.account][order.order_id]
            self._open_in[order.account << 16 | order.symbol] -= 1
        if self.never_was is not None:
            self.never_was(order)

    def _hold_open(self, order: Order) -> None:
        account, order_id = order.account, order.order_id
        self._live[order_id] = order
        mine = self._open.get(account)
        if mine is None:
            mine = self._open[account] = {}
        mine[order_id] = order
        place = account << 16 | order.symbol
        self._open_in[place] = self._open_in.get(place, 0) + 1

    def _end(self, order: Order) -> None:
        order.open_lots = 0
        order_id, account = order.order_id, order.account
        if self._live.pop(order_id, None) is not None:
            del self._open[account][order_id]
            self._open_in[account << 16 | order.symbol] -= 1
        gone = self._ended.add(account, order)
        if gone is not None and gone.client_id and self._by_client.get((account, gone.client_id)) is gone:
            del self._by_client[account, gone.client_id]

    def _tell(self, order: Order, kind: ReportKind, fill: Fill | None = None) -> None:
        if self._listeners and order.account in self._listeners:
            self._reports.setdefault(order.account, []).append(
                Report(
                    *(kind, order, fill, *_state(order)),
                    order.reason,
                    self._now_ns,
                )
            )


def _note(ticket: _Ticket, order: Order) -> None:
    """Let the ticket say how the order is after its command."""
    ticket.status, ticket.filled_lots = order.status, order.filled_lots
    ticket.filled_notional, ticket.open_lots = order.filled_notional, order.open_lots


def _state(order: Order) -> tuple[Status, int, int, int]:
    return order.status, order.filled_lots, order.filled_notional, order.open_lots


def _raise(error: Exception) -> None:
    raise error
