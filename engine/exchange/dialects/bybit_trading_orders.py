"""Bybit v5's order calls: parameters on one side, commands of the desk on the other.

Every call either raises VenueRefusal at once, with nothing changed, or is answered by `done` once the desk has matched.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.exchange.desk import Desk
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_codes import bad_parameter, refusal, refusal_for
from engine.exchange.dialects.bybit_trading_rows import Asked, Rows, filter_of, rises
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.served import ServedMarket
from engine.exchange.trading import NO_PRICE, Order, Outcome
from engine.exchange.units import ATOM_DECIMALS, Units, atoms
from engine.flow.simulator import LEAST_NOTIONAL_ATOMS
from engine.market.batches import BUY, SELL
from engine.market.instruments import needed_decimals
from engine.matching.orders import (
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MAX_PRICE_TICKS,
    NONE,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    WOULD_TAKE,
    WOULD_TRIGGER,
)

Arguments = Mapping[str, Any]
Done = Callable[[VenueRefusal | Order], None]

CATEGORIES: Final = ("spot", "linear", "inverse", "option")
FILTERS: Final = ("Order", "StopOrder", "tpslOrder")
OTHER_FILTERS: Final = ("OcoOrder", "BidirectionalTpslOrder")  # the venue's own, never held here
MAX_TEXT: Final = 40
# Of one order, as instruments-info tells them.
MOST_LOTS: Final = 1_000_000
MOST_NOTIONAL_ATOMS: Final = 2_000_000 * 10**8
KEPT_REJECTED: Final = 100  # post-only orders that would have traded, of each account
KEPT_ACCOUNTS: Final = 1_000
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}")
_SIDES: Final = {"Buy": BUY, "Sell": SELL}
_TIMES_IN_FORCE: Final = {"GTC": GTC, "IOC": IOC, "FOK": FOK, "PostOnly": GTC}
_SELF_TRADES: Final = {
    "None": NONE, "CancelMaker": EXPIRE_MAKER, "CancelTaker": EXPIRE_TAKER, "CancelBoth": EXPIRE_BOTH,
}  # fmt: skip
_MIRRORED: Final = {
    STOP: TAKE_PROFIT, TAKE_PROFIT: STOP, STOP_LIMIT: TAKE_PROFIT_LIMIT, TAKE_PROFIT_LIMIT: STOP_LIMIT,
}  # fmt: skip


class Orders:
    """Order calls of all accounts. `told` hears of orders that were taken and then rejected."""

    def __init__(
        self, desk: Desk, market: ServedMarket | None, rows: Rows, told: Callable[[Order], None]
    ) -> None:
        self._desk = desk
        self._market = market
        self._rows = rows
        self._told = told
        self._rejected: OrderedDict[int, deque[Order]] = OrderedDict()

    # --- calls -------------------------------------------------------------------------------------------

    def create(self, account: int, arguments: Arguments, now_ns: int, done: Done) -> None:
        """Place an order."""
        trades_spot(arguments)
        order = self._asked_order(account, arguments, now_ns)
        units = self._rows.by_index[order.symbol]

        def answered(outcome: Outcome) -> None:
            if not outcome.reason:
                done(order)
            elif outcome.reason == WOULD_TAKE:
                # The venue takes it, then says on the stream that it was not to be.
                self._keep_rejected(order)
                done(order)
                self._told(order)
            elif outcome.reason == WOULD_TRIGGER:
                done(_due(order, units))
            else:
                done(refusal_for(outcome.reason))

        def turned(outcome: Outcome) -> None:
            """The engine knows the last trade: what is due as a stop waits as a take-profit."""
            nonlocal order
            if outcome.reason != WOULD_TRIGGER:
                answered(outcome)
                return
            order = _again(order)
            self._desk.place(order, answered)

        self._desk.place(order, turned if order.kind in _MIRRORED else answered)

    def amend(self, account: int, arguments: Arguments, now_ns: int, done: Done) -> None:
        """Change price or quantity of a resting order; the quantity is the order's new total."""
        del now_ns
        trades_spot(arguments)
        units = self.symbol(arguments)
        order = self.mentioned(account, arguments, units)
        if not order.is_open:
            raise refusal(codes.NO_ORDER)
        if _given(arguments, "triggerPrice") or order.status == "armed":
            raise refusal(codes.NO_AMENDING)
        _no_attached(arguments)
        lots, price_ticks = order.lots, order.price_ticks
        if _given(arguments, "qty"):
            lots = quantity(units, _text(arguments, "qty"), "qty")
        if _given(arguments, "price"):
            price_ticks = price(units, _text(arguments, "price"), "price")
        if (lots, price_ticks) == (order.lots, order.price_ticks):
            raise bad_parameter(
                "The order remains unchanged as the parameters entered match the existing ones."
            )
        if lots <= order.filled_lots:
            raise refusal(codes.BELOW_FILLED)
        _within_amount(units, lots * price_ticks)

        def answered(outcome: Outcome) -> None:
            done(refusal_for(outcome.reason) if outcome.reason else order)

        self._desk.amend(account, order.order_id, price_ticks, lots, answered, total=True)

    def cancel(self, account: int, arguments: Arguments, now_ns: int, done: Done) -> None:
        """Cancel an open order. The orderFilter has to be the order's, as the venue says."""
        del now_ns
        trades_spot(arguments)
        order = self.mentioned(account, arguments, self.symbol(arguments))
        if not order.is_open or filter_of(order) != _filter(arguments):
            raise refusal(codes.NO_ORDER)

        def answered(outcome: Outcome) -> None:
            done(refusal_for(outcome.reason) if outcome.reason else order)

        self._desk.cancel(account, order.order_id, answered)

    def cancel_all(
        self, account: int, arguments: Arguments, now_ns: int, done: Callable[[list[Order]], None]
    ) -> None:
        """Cancel the open orders of one filter, all or one symbol's or one base coin's; those that were."""
        del now_ns
        trades_spot(arguments)
        chosen = _filter(arguments)
        units = self.symbol(arguments) if _given(arguments, "symbol") else None
        coin = _text(arguments, "baseCoin") if _given(arguments, "baseCoin") and units is None else ""
        orders = [
            each
            for each in self._desk.open_orders(account, units.index if units else None)
            if filter_of(each) == chosen and coin in ("", self._rows.by_index[each.symbol].spec.base)
        ]
        if not orders:
            done([])
            return
        canceled: list[Order] = []
        left = len(orders)

        def answered(outcome: Outcome) -> None:
            nonlocal left
            left -= 1
            if not outcome.reason and outcome.order is not None:
                canceled.append(outcome.order)
            if not left:
                done(canceled)

        for each in orders:
            self._desk.cancel(account, each.order_id, answered)

    # --- what the others ask too --------------------------------------------------------------------------

    def symbol(self, arguments: Arguments) -> Units:
        """The symbol that is named."""
        units = self._rows.units.get(_needed(arguments, "symbol"))
        if units is None:
            raise refusal(codes.BAD_SYMBOL)
        return units

    def mentioned(self, account: int, arguments: Arguments, units: Units | None) -> Order:
        """The order named by orderId, or else by orderLinkId. VenueRefusal when there is none in the symbol."""
        order = None
        if _given(arguments, "orderId"):
            order = self.find(account, _text(arguments, "orderId"), "")
        elif _given(arguments, "orderLinkId"):
            order = self.find(account, "", _text(arguments, "orderLinkId"))
        else:
            raise refusal(codes.EMPTY, "orderId")
        if order is None or (units is not None and order.symbol != units.index):
            raise refusal(codes.NO_ORDER)
        return order

    def find(self, account: int, order_id: str, link_id: str) -> Order | None:
        """An order by either id, rejected ones included."""
        if order_id:
            number = int(order_id) if order_id.isascii() and order_id.isdigit() and len(order_id) < 20 else 0
            found = self._desk.order(account, number)
            return found or next((each for each in self.rejected(account) if each.order_id == number), None)
        found = self._desk.by_client_id(account, link_id)
        return found or next((each for each in self.rejected(account) if each.client_id == link_id), None)

    def rejected(self, account: int) -> list[Order]:
        """Post-only orders that were taken and then rejected, oldest first; at most 100 are kept."""
        return list(self._rejected.get(account, ()))

    # --- inside --------------------------------------------------------------------------------------------

    def _asked_order(self, account: int, arguments: Arguments, now_ns: int) -> Order:
        units = self.symbol(arguments)
        side = _SIDES.get(_needed(arguments, "side"))
        if side is None:
            raise refusal(codes.BAD_SIDE)
        order_type = _needed(arguments, "orderType")
        if order_type not in ("Limit", "Market"):
            raise refusal(codes.BAD_ORDER_TYPE)
        time_in_force = _text(arguments, "timeInForce") if _given(arguments, "timeInForce") else "GTC"
        if time_in_force not in _TIMES_IN_FORCE:
            raise refusal(codes.BAD_TIME_IN_FORCE)
        self_trade = _SELF_TRADES.get(_text(arguments, "smpType") if _given(arguments, "smpType") else "None")
        if self_trade is None:
            raise refusal(codes.NOT_VALID, "smpType")
        if str(arguments.get("isLeverage") or "0") != "0":
            raise refusal(codes.NO_MARGIN)
        _no_attached(arguments)
        order_filter = _filter(arguments)
        trigger_ticks = 0
        if _given(arguments, "triggerPrice"):
            trigger_ticks = price(units, _text(arguments, "triggerPrice"), "triggerPrice")
            order_filter = "StopOrder" if order_filter == "Order" else order_filter
        elif order_filter != "Order":
            raise refusal(codes.NO_TRIGGER)
        link_id = self._link_id(account, arguments)
        last_ticks = self._last_ticks(units, now_ns)
        order = Order(
            account, units.index, side, LIMIT, 0,
            time_in_force=_TIMES_IN_FORCE[time_in_force], post_only=time_in_force == "PostOnly",
            trigger_ticks=trigger_ticks, self_trade=self_trade, client_id=link_id, dialect="bybit",
        )  # fmt: skip
        known = Asked(order_type, time_in_force, order_filter, last_price=units.price_text(last_ticks))
        if order_type == "Limit":
            order.lots = quantity(units, _needed(arguments, "qty"), "qty")
            order.price_ticks = price(units, _needed(arguments, "price"), "price")
            _within_amount(units, order.lots * order.price_ticks)
            order.extra = known
        else:
            order.kind, order.time_in_force, order.post_only = MARKET, IOC, False
            self._size_market(order, known, units, arguments)
        if trigger_ticks:
            if order.post_only:
                raise refusal(codes.BAD_TIME_IN_FORCE)
            stops = (trigger_ticks > last_ticks) == (side == BUY)
            if order.kind == LIMIT:
                order.kind = STOP_LIMIT if stops else TAKE_PROFIT_LIMIT
            else:
                order.kind = STOP if stops else TAKE_PROFIT
        return order

    def _size_market(self, order: Order, known: Asked, units: Units, arguments: Arguments) -> None:
        """Quantity and terms of a market order. A market buy is by its value unless the client says otherwise."""
        unit = _text(arguments, "marketUnit") if _given(arguments, "marketUnit") else ""
        if unit not in ("", "baseCoin", "quoteCoin"):
            raise refusal(codes.NOT_VALID, "marketUnit")
        unit = unit or ("quoteCoin" if order.side == BUY else "baseCoin")
        text = _needed(arguments, "qty")
        best = self._rows.bbo(units)
        opposite = best.ask_ticks if order.side == BUY else best.bid_ticks
        at_ticks = order.trigger_ticks or opposite
        shown = text if unit == "quoteCoin" else ""
        if unit == "quoteCoin":
            money = amount(text)
            if money < LEAST_NOTIONAL_ATOMS:
                raise refusal(codes.VALUE_TOO_SMALL)
            if not at_ticks:
                raise refusal_for(NO_PRICE)
            if order.trigger_ticks:
                order.lots = money // (at_ticks * units.spec.notional_atoms)
            else:
                if order.side == BUY and money > self._desk.balance(order.account, units.spec.quote).free:
                    raise refusal(codes.NO_FUNDS)
                order.lots = self._desk.lots_for(order.symbol, order.side, money)
            if not order.lots:
                raise refusal(codes.TOO_SMALL)
            if order.lots > MOST_LOTS:
                raise refusal(codes.TOO_LARGE)
        else:
            order.lots = quantity(units, text, "qty")
            worth = _within_amount(units, order.lots * at_ticks)
            if at_ticks and worth < LEAST_NOTIONAL_ATOMS:
                raise refusal(codes.VALUE_TOO_SMALL)
            buys_now = order.side == BUY and not order.trigger_ticks
            if buys_now and worth > self._desk.balance(order.account, units.spec.quote).free:
                raise refusal(codes.NO_FUNDS)
        kind, slippage = self._bounded(order, arguments, opposite)
        order.extra = Asked(
            known.order_type, "IOC", known.order_filter, unit, shown, known.last_price, kind, slippage
        )

    def _bounded(self, order: Order, arguments: Arguments, best_ticks: int) -> tuple[str, str]:
        """Turns a market order with a slippage tolerance into a limit order; (type, value) as they are told."""
        if not _given(arguments, "slippageToleranceType"):
            return "UNKNOWN", "0"
        kind, value = _text(arguments, "slippageToleranceType"), _needed(arguments, "slippageTolerance")
        if kind not in ("TickSize", "Percent"):
            raise refusal(codes.NOT_VALID, "slippageToleranceType")
        if order.trigger_ticks:
            raise refusal(codes.NOT_SUPPORTED)
        at_least, at_most, decimals, code = (
            (5, 2_000, 0, codes.BAD_SLIPPAGE_TICKS)
            if kind == "TickSize"
            else (5, 100, 2, codes.BAD_SLIPPAGE_PERCENT)
        )
        try:
            steps = _scaled(value, decimals)
        except ValueError:
            raise refusal(code) from None
        if not at_least <= steps <= at_most:
            raise refusal(code)
        if not best_ticks:
            raise refusal_for(NO_PRICE)
        away = steps if kind == "TickSize" else best_ticks * steps // 10_000
        order.kind = LIMIT
        order.price_ticks = best_ticks + away if order.side == BUY else max(best_ticks - away, 1)
        return kind, value

    def _link_id(self, account: int, arguments: Arguments) -> str:
        if not _given(arguments, "orderLinkId"):
            return ""
        text = _text(arguments, "orderLinkId")
        if not _LINK_ID.fullmatch(text):
            raise bad_parameter("params error: OrderLinkId invalid")
        if self.find(account, "", text) is not None:
            raise refusal(codes.DUPLICATE)
        return text

    def _last_ticks(self, units: Units, now_ns: int) -> int:
        """The last price as the public side tells it; the engine's own decides."""
        if self._market is None:
            return 0
        trade = self._market.last_trade(units.instrument.native, now_ns)
        return trade.price // units.instrument.tick_size

    def _keep_rejected(self, order: Order) -> None:
        kept = self._rejected.get(order.account)
        if kept is None:
            if len(self._rejected) >= KEPT_ACCOUNTS:
                self._rejected.popitem(last=False)
            kept = self._rejected[order.account] = deque(maxlen=KEPT_REJECTED)
        kept.append(order)


# --- parameters ----------------------------------------------------------------------------------------------


def trades_spot(arguments: Arguments) -> None:
    """Only spot is traded: an account here has no permission for contracts and options."""
    category = arguments.get("category")
    if category not in CATEGORIES:
        raise bad_parameter("params error: Illegal category")
    if category != "spot":
        raise refusal(codes.NO_PERMISSION)


def price(units: Units, text: str, name: str) -> int:
    """A price in ticks, within the engine's range."""
    return _steps(
        units.ticks, text, name, units.instrument.price_decimals, MAX_PRICE_TICKS,
        (codes.PRICE_TOO_FINE, codes.PRICE_TOO_LOW, codes.PRICE_TOO_HIGH),
    )  # fmt: skip


def quantity(units: Units, text: str, name: str) -> int:
    """A quantity in lots, as many as an order may have."""
    return _steps(
        units.lots, text, name, units.instrument.size_decimals, MOST_LOTS,
        (codes.TOO_FINE, codes.TOO_SMALL, codes.TOO_LARGE),
    )  # fmt: skip


def amount(text: str) -> int:
    """A value of the quote coin in atoms."""
    return _steps(
        atoms, text, "qty", ATOM_DECIMALS, MOST_NOTIONAL_ATOMS,
        (codes.AMOUNT_TOO_FINE, codes.VALUE_TOO_SMALL, codes.AMOUNT_TOO_LARGE),
    )  # fmt: skip


def _steps(
    read: Callable[[str], int], text: str, name: str, decimals: int, most: int, bad: tuple[int, int, int]
) -> int:
    """Decimal text as whole steps; `bad` are the codes for too fine, too small, too large."""
    too_fine, too_small, too_large = bad
    if len(text) > MAX_TEXT:
        raise refusal(codes.NOT_VALID, name)
    try:
        finer = needed_decimals(text) > decimals
    except ValueError:
        raise refusal(codes.NOT_VALID, name) from None
    if finer:
        raise refusal(too_fine)
    if text.startswith("-") or not text.strip("0."):
        raise refusal(too_small)
    try:
        value = read(text)
    except ValueError:  # beyond int64, or between two steps
        raise refusal(too_large if len(text.partition(".")[0]) + decimals > 18 else too_fine) from None
    if value > most:
        raise refusal(too_large)
    return value


def _within_amount(units: Units, tick_lots: int) -> int:
    """What an order is worth, in atoms of the quote coin. VenueRefusal when that is too much."""
    worth = units.notional_atoms(tick_lots)
    if worth > MOST_NOTIONAL_ATOMS:
        raise refusal(codes.AMOUNT_TOO_LARGE)
    return worth


def _scaled(text: str, decimals: int) -> int:
    if needed_decimals(text) > decimals or len(text) > MAX_TEXT:
        raise ValueError(text)
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:decimals].ljust(decimals, "0"))


def _given(arguments: Arguments, name: str) -> bool:
    return arguments.get(name) not in (None, "")


def _text(arguments: Arguments, name: str) -> str:
    """A parameter that is text."""
    value = arguments.get(name)
    if not isinstance(value, str):
        raise bad_parameter(f"params error: {name} invalid")
    return value


def _needed(arguments: Arguments, name: str) -> str:
    if not _given(arguments, name):
        raise refusal(codes.EMPTY, name)
    return _text(arguments, name)


def _filter(arguments: Arguments) -> str:
    """The orderFilter of an order call, "Order" unless given."""
    text = _text(arguments, "orderFilter") if _given(arguments, "orderFilter") else "Order"
    if text not in FILTERS:
        raise refusal(codes.NOT_SUPPORTED if text in OTHER_FILTERS else codes.BAD_FILTER)
    return text


def _no_attached(arguments: Arguments) -> None:
    """Take-profits and stop-losses attached to an order are not kept here."""
    for name in ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice"):
        if arguments.get(name) not in (None, "", "0", 0):
            raise refusal(codes.NOT_SUPPORTED)


def _again(order: Order) -> Order:
    """The same order the other way round: a take-profit for a stop, a stop for a take-profit."""
    return Order(
        order.account, order.symbol, order.side, _MIRRORED[order.kind], order.lots, order.price_ticks,
        order.time_in_force, trigger_ticks=order.trigger_ticks, self_trade=order.self_trade,
        client_id=order.client_id, dialect=order.dialect, extra=order.extra,
    )  # fmt: skip


def _due(order: Order, units: Units) -> VenueRefusal:
    trigger = units.price_text(order.trigger_ticks)
    return refusal(codes.NOT_RISING if rises(order) else codes.NOT_FALLING, trigger, order.extra.last_price)
