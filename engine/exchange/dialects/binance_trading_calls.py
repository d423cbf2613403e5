"""What Binance's private calls do, whichever way they came: REST and the WebSocket API share them.

A call takes what is asked, and gives its result to `done`: JSON-able, or a VenueRefusal. Queries are done at once,
commands when the desk has answered. Wrong arguments raise the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from engine.exchange.accounts import Key
from engine.exchange.desk import Desk
from engine.exchange.dialects.binance_trading_arguments import Arguments
from engine.exchange.dialects.binance_trading_errors import (
    Nested,
    body_of,
    either,
    missing,
    not_valid,
    refuse,
    refused_by_engine,
)
from engine.exchange.dialects.binance_trading_orders import (
    MS,
    PLACING,
    Extra,
    Symbol,
    cancel_restriction,
    new_id,
    own_extra,
    read_order,
)
from engine.exchange.dialects.binance_trading_views import (
    Row,
    balance_rows,
    canceled,
    commission_rates,
    placed,
    queried,
    traded,
)
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.trading import Order, Outcome

Done = Callable[[Any], None]


USUAL_ROWS: Final = 500
MOST_ROWS: Final = 1_000
DAY_MS: Final = 86_400_000
ONE: Final = frozenset({"symbol", "orderId", "origClientOrderId"})
SPAN: Final = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})
MODES: Final = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
LATE_MODES: Final = ("DO_NOTHING", "CANCEL_ONLY")  # what cancelReplace does over the limit of orders


class Asked(NamedTuple):
    """One request: whose, with what, and when it came."""

    key: Key
    arguments: Arguments
    now_ns: int
    late: VenueRefusal | None = None  # what an order is refused with: the account has placed too many


Run = Callable[[Asked, Done], None]


class Call(NamedTuple):
    """One call: what it does, what it may be given, and what it needs."""

    run: Run
    arguments: frozenset[str]
    trade: bool = False  # needs a key that may trade, and a signature not used before
    orders: int = 0  # it counts for in the limits of orders
    partly: bool = (
        False  # it has something to do over those limits too: run it with `Asked.late`, it refuses the rest
    )


class Calls:
    """The private calls of one account at a time, over one desk. Order lists are in `lists`."""

    def __init__(self, desk: Desk, symbols: Mapping[str, Symbol], fee_ppm: int) -> None:
        """`symbols` by the venue's name; `fee_ppm` is what maker and taker pay."""
        self.desk: Final = desk
        self.symbols: Final = symbols
        self.by_index: Final = {each.units.index: each for each in symbols.values()}
        self.rates: Final = commission_rates(fee_ppm)
        self._fee_ppm = fee_ppm

    def table(self) -> dict[str, Call]:
        """All calls by the name they have in the WebSocket API."""
        rest = frozenset({"newClientOrderId", "cancelRestrictions"})
        replace = frozenset({
            "cancelReplaceMode", "cancelNewClientOrderId", "cancelOrigClientOrderId", "cancelOrderId",
            "cancelRestrictions", "orderRateLimitExceededMode",
        })  # fmt: skip
        return {
            "order.place": Call(self.place, PLACING, trade=True, orders=1),
            "order.test": Call(self.test, PLACING | {"computeCommissionRates"}, trade=True),
            "order.cancel": Call(self.cancel, ONE | rest, trade=True),
            "order.cancelReplace": Call(
                self.cancel_replace, PLACING | replace, trade=True, orders=1, partly=True
            ),
            "order.amend.keepPriority": Call(self.amend, ONE | {"newQty", "newClientOrderId"}, trade=True),
            "order.status": Call(self.status, ONE),
            "openOrders.status": Call(self.open_orders, frozenset({"symbol"})),
            "openOrders.cancelAll": Call(self.cancel_all, frozenset({"symbol"}), trade=True),
            "allOrders": Call(self.all_orders, SPAN),
            "myTrades": Call(self.my_trades, SPAN | {"fromId"}),
            "account.status": Call(self.account, frozenset({"omitZeroBalances"})),
            "account.commission": Call(self.commission, frozenset({"symbol"})),
        }

    # --- commands ---------------------------------------------------------------------------------------

    def place(self, asked: Asked, done: Done) -> None:
        """A new order."""
        symbol = self.symbol(asked.arguments)
        self._place(read_order(asked.arguments, symbol, asked.key.account, self.desk), symbol, done)

    def _place(self, order: Order, symbol: Symbol, done: Done) -> None:
        extra: Extra = order.extra

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                done(refused_by_engine(outcome.reason))
                return
            if outcome.status != "armed":
                extra.working_ns = order.created_ns
            done(placed(order, symbol, extra, outcome, extra.answer))

        self.desk.place(order, answer)

    def test(self, asked: Asked, done: Done) -> None:
        """All that can be said of an order before it is placed."""
        rates = asked.arguments.flag("computeCommissionRates")
        read_order(asked.arguments, self.symbol(asked.arguments), asked.key.account, self.desk)
        if not rates:
            done({})
            return
        fees = self.rates
        done(
            {
                "standardCommissionForOrder": {"maker": fees["maker"], "taker": fees["taker"]},
                "taxCommissionForOrder": {"maker": "0.00000000", "taker": "0.00000000"},
                "discount": _no_discount(),
            }
        )

    def cancel(self, asked: Asked, done: Done) -> None:
        """Cancel one open order."""
        symbol = self.symbol(asked.arguments)
        restriction = cancel_restriction(asked.arguments)
        cancel_id = asked.arguments.identity("newClientOrderId") or new_id()
        order = self._one(asked.key, symbol, asked.arguments, "orderId", "origClientOrderId")
        self._cancel(order, symbol, restriction, cancel_id, done)

    def _cancel(
        self, order: Order | None, symbol: Symbol, restriction: str, cancel_id: str, done: Done
    ) -> None:
        if order is None or not order.is_open:
            done(refuse(-2011, "Unknown order sent."))
            return
        if restriction and (order.status == "partially_filled") != (restriction == "ONLY_PARTIALLY_FILLED"):
            done(refuse(-2011, "Order was not canceled due to cancel restrictions."))
            return
        extra = own_extra(order)
        if extra is not None:
            extra.cancel_id = cancel_id

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                done(refused_by_engine(outcome.reason, "cancel"))
            else:
                done(canceled(order, symbol, cancel_id, outcome.ts_ns))

        self.desk.cancel(order.account, order.order_id, answer)

    def cancel_all(self, asked: Asked, done: Done) -> None:
        """Cancel all open orders of a symbol."""
        symbol = self.symbol(asked.arguments)
        orders = self.desk.open_orders(asked.key.account, symbol.units.index)
        if not orders:
            raise refuse(-2011, "Unknown order sent.")
        cancel_id = new_id()
        for each in orders:
            extra = own_extra(each)
            if extra is not None:
                extra.cancel_id = cancel_id

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                done(refused_by_engine(outcome.reason, "cancel"))
                return
            gone = [each for each in orders if each.status in ("canceled", "expired")]
            if not gone:
                done(refuse(-2011, "Unknown order sent."))
            else:
                done([canceled(each, symbol, cancel_id, outcome.ts_ns) for each in gone])

        self.desk.cancel_all(asked.key.account, symbol.units.index, answer)

    def amend(self, asked: Asked, done: Done) -> None:
        """Make an order smaller, in its place. It keeps its client id."""
        symbol = self.symbol(asked.arguments)
        text = asked.arguments.decimal("newQty")
        if text is None:
            raise missing("newQty")
        lots = symbol.lots(text)
        new_client_id = asked.arguments.identity("newClientOrderId")
        order = self._one(asked.key, symbol, asked.arguments, "orderId", "origClientOrderId")
        if order is None or not order.is_open:
            raise refuse(-2038, "Unknown order sent.")
        if new_client_id not in (None, order.client_id):
            raise not_valid("newClientOrderId")
        if lots == order.lots:
            raise refuse(-2038, "The requested action would change no state; rejecting.")
        if lots > order.lots:
            raise refuse(-2038, "Order amend (quantity increase) is not supported.")
        if lots <= order.filled_lots:
            raise refuse(-1013, "Filter failure: LOT_SIZE")

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                done(refused_by_engine(outcome.reason, "amend"))
                return
            row = queried(order, symbol)
            amended = {name: row[name] for name in ("symbol", "orderId", "orderListId")}
            amended |= {"origClientOrderId": order.client_id, "clientOrderId": order.client_id}
            amended |= {
                "price": row["price"],
                "qty": row["origQty"],
                "executedQty": row["executedQty"],
                "preventedQty": "0.00000000",
                "quoteOrderQty": row["origQuoteOrderQty"],
                "cumulativeQuoteQty": row["cummulativeQuoteQty"],
            }
            last = ("status", "timeInForce", "type", "side", "workingTime", "selfTradePreventionMode")
            amended |= {name: row[name] for name in last}
            now_ms = outcome.ts_ns // MS
            done({"transactTime": now_ms, "executionId": outcome.ts_ns // 1_000, "amendedOrder": amended})

        self.desk.amend(asked.key.account, order.order_id, 0, lots, answer, total=True)

    def cancel_replace(self, asked: Asked, done: Done) -> None:
        """Cancel an order, then place another: the second when the first is gone, or in any case.

        Over the limit of orders it does nothing, or with CANCEL_ONLY the first half alone.
        """
        symbol = self.symbol(asked.arguments)
        mode = asked.arguments.needed("cancelReplaceMode")
        if mode not in MODES:
            raise not_valid("cancelReplaceMode")
        late_mode = asked.arguments.choice("orderRateLimitExceededMode", LATE_MODES)
        if asked.late is not None and late_mode != "CANCEL_ONLY":
            raise asked.late
        restriction = cancel_restriction(asked.arguments)
        cancel_id = asked.arguments.identity("cancelNewClientOrderId") or new_id()
        new = read_order(asked.arguments, symbol, asked.key.account, self.desk)
        old = self._one(asked.key, symbol, asked.arguments, "cancelOrderId", "cancelOrigClientOrderId")

        def when_canceled(first: Any) -> None:
            if isinstance(first, VenueRefusal) and mode == "STOP_ON_FAILURE":
                done(_both(first, None))
            elif asked.late is not None:
                done(_both(first, asked.late))
            else:
                self._place(new, symbol, lambda second: done(_both(first, second)))

        self._cancel(old, symbol, restriction, cancel_id, when_canceled)

    # --- questions --------------------------------------------------------------------------------------

    def status(self, asked: Asked, done: Done) -> None:
        """One order, open or ended."""
        symbol = self.symbol(asked.arguments)
        order = self._one(asked.key, symbol, asked.arguments, "orderId", "origClientOrderId")
        if order is None:
            raise refuse(-2013, "Order does not exist.")
        done(queried(order, symbol))

    def open_orders(self, asked: Asked, done: Done) -> None:
        """All open orders, of one symbol or of all."""
        index = self.symbol(asked.arguments).units.index if asked.arguments.has("symbol") else None
        done(self._rows(self.desk.open_orders(asked.key.account, index)))

    def all_orders(self, asked: Asked, done: Done) -> None:
        """Open and ended orders of a symbol by id: the newest, or from an id on, or within a time."""
        symbol = self.symbol(asked.arguments)
        limit = asked.arguments.limit(USUAL_ROWS, MOST_ROWS)
        first_id = asked.arguments.whole("orderId")
        start, end = self._span(asked.arguments)
        index = symbol.units.index
        orders = self.desk.ended_orders(asked.key.account, index) + self.desk.open_orders(
            asked.key.account, index
        )
        orders.sort(key=lambda each: each.order_id)
        if first_id is not None:
            orders = [each for each in orders if each.order_id >= first_id]
        orders = [each for each in orders if start <= each.created_ns // MS <= end]
        from_first = first_id is not None or asked.arguments.has("startTime")
        done(self._rows(orders[:limit] if from_first else orders[-limit:]))

    def my_trades(self, asked: Asked, done: Done) -> None:
        """Trades of a symbol: the newest, or from an id on, or of an order, or within a time."""
        symbol = self.symbol(asked.arguments)
        limit = asked.arguments.limit(USUAL_ROWS, MOST_ROWS)
        order_id, first_id = asked.arguments.whole("orderId"), asked.arguments.whole("fromId")
        start, end = self._span(asked.arguments)
        if first_id is not None and (asked.arguments.has("startTime") or asked.arguments.has("endTime")):
            raise refuse(-1128, "Combination of optional parameters invalid.")
        fills = [
            each
            for each in self.desk.fills(asked.key.account, symbol.units.index)
            if (order_id is None or each.order_id == order_id)
            and (first_id is None or each.trade_id >= first_id)
            and start <= each.ts_ns // MS <= end
        ]
        from_first = first_id is not None or order_id is not None or asked.arguments.has("startTime")
        chosen = fills[:limit] if from_first else fills[-limit:]
        done([traded(each, symbol, self._list_of(asked.key, each.order_id)) for each in chosen])

    def account(self, asked: Asked, done: Done) -> None:
        """Balances, fees and permissions."""
        zeros = not asked.arguments.flag("omitZeroBalances")
        fees = self._fee_ppm // 100  # of 10,000
        done(
            {
                "makerCommission": fees,
                "takerCommission": fees,
                "buyerCommission": 0,
                "sellerCommission": 0,
                "commissionRates": self.rates,
                "canTrade": asked.key.trade,
                "canWithdraw": False,
                "canDeposit": True,
                "brokered": False,
                "requireSelfTradePrevention": False,
                "preventSor": False,
                "updateTime": asked.now_ns // MS,
                "accountType": "SPOT",
                "balances": balance_rows(self.desk.balances(asked.key.account), zeros=zeros),
                "permissions": ["SPOT"],
                "uid": asked.key.account,
            }
        )

    def commission(self, asked: Asked, done: Done) -> None:
        """Fees of a symbol."""
        symbol = self.symbol(asked.arguments)
        none = commission_rates(0)
        done(
            {
                "symbol": symbol.name,
                "standardCommission": self.rates,
                "specialCommission": none,
                "taxCommission": none,
                "discount": _no_discount(),
            }
        )

    # --- parts ------------------------------------------------------------------------------------------

    def symbol(self, arguments: Arguments) -> Symbol:
        """The symbol asked for."""
        found = self.symbols.get(arguments.symbol())
        if found is None:
            raise refuse(-1121, "Invalid symbol.")
        return found

    def _one(
        self, key: Key, symbol: Symbol, arguments: Arguments, by_id: str, by_client_id: str
    ) -> Order | None:
        """The order that one of two parameters names; when both are there they must mean the same."""
        order_id, client_id = arguments.whole(by_id), arguments.identity(by_client_id)
        if order_id is None and client_id is None:
            raise either(by_client_id, by_id)
        if order_id is not None:
            order = self.desk.order(key.account, order_id)
            if order is not None and client_id not in (None, order.client_id):
                raise refuse(-2039, "Client order ID is not correct for this order ID.")
        else:
            order = self.desk.by_client_id(key.account, client_id or "")
        if order is None or order.symbol != symbol.units.index or order.status == "pending":
            return None
        return order

    def _list_of(self, key: Key, order_id: int) -> int:
        order = self.desk.order(key.account, order_id)
        extra = None if order is None else own_extra(order)
        return -1 if extra is None else extra.list_id

    def _span(self, arguments: Arguments) -> tuple[int, int]:
        start, end = arguments.whole("startTime"), arguments.whole("endTime")
        if start is not None and end is not None:
            if start > end:
                raise refuse(-1128, "Combination of optional parameters invalid.")
            if end - start > DAY_MS:
                raise refuse(-1127, "More than 24 hours between startTime and endTime.")
        return start or 0, 1 << 62 if end is None else end

    def _rows(self, orders: Iterable[Order]) -> list[Row]:
        return [
            queried(each, self.by_index[each.symbol])
            for each in orders
            if each.status != "pending" and each.symbol in self.by_index
        ]


def _no_discount() -> Row:
    return {
        "enabledForAccount": False,
        "enabledForSymbol": False,
        "discountAsset": "BNB",
        "discount": "0.00000000",
    }


def _both(first: Any, second: Any) -> Any:
    """The two halves of a cancelReplace as one answer; `second` is None when it was not tried."""
    lost, failed = isinstance(first, VenueRefusal), isinstance(second, VenueRefusal)
    whole = {
        "cancelResult": "FAILURE" if lost else "SUCCESS",
        "newOrderResult": "NOT_ATTEMPTED" if second is None else "FAILURE" if failed else "SUCCESS",
        "cancelResponse": body_of(first) if lost else first,
        "newOrderResponse": body_of(second) if failed else second,
    }
    if not lost and not failed:
        return whole
    if lost and (failed or second is None):
        return Nested(400, -2022, "Order cancel-replace failed.", whole)
    return Nested(409, -2021, "Order cancel-replace partially failed.", whole)
