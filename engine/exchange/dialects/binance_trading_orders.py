"""From a call's parameters to an order of the desk: what the venue asks of each type, and its filters."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from engine.exchange.desk import Desk
from engine.exchange.dialects.binance_listing import (
    LEAST_NOTIONAL,
    MOST_LOTS,
    MOST_MARKET_LOTS,
    MOST_NOTIONAL,
    MOST_TIMES_START,
    ORDER_TYPES,
    SELF_TRADE_MODES,
    TRAILING_BIPS,
    USUAL_SELF_TRADE_MODE,
)
from engine.exchange.dialects.binance_texts import texts_of
from engine.exchange.dialects.binance_trading_arguments import Arguments
from engine.exchange.dialects.binance_trading_errors import (
    either,
    failed_filter,
    missing,
    not_required,
    refuse,
)
from engine.exchange.market import Listing
from engine.exchange.trading import Order
from engine.exchange.units import ATOM_DECIMALS, Units, atoms
from engine.exchange.wire import Text
from engine.market.batches import BUY, SELL
from engine.matching.orders import (
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TRAILING_STOP,
)

DIALECT: Final = "binance"
MS: Final = 1_000_000
ATOMS: Final = 10**ATOM_DECIMALS
SIDES: Final = {"BUY": BUY, "SELL": SELL}
TIMES_IN_FORCE: Final = {"GTC": GTC, "IOC": IOC, "FOK": FOK}
KINDS: Final = {
    "LIMIT": LIMIT,
    "LIMIT_MAKER": LIMIT,
    "MARKET": MARKET,
    "STOP_LOSS": STOP,
    "STOP_LOSS_LIMIT": STOP_LIMIT,
    "TAKE_PROFIT": TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": TAKE_PROFIT_LIMIT,
}
ANSWERS: Final = ("ACK", "RESULT", "FULL")
CANCEL_RESTRICTIONS: Final = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")
PLACING: Final = frozenset({
    "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId",
    "strategyId", "strategyType", "stopPrice", "trailingDelta", "icebergQty", "newOrderRespType",
    "selfTradePreventionMode",
})  # fmt: skip
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Extra(msgspec.Struct, eq=False):
    """What this dialect keeps with an order of its own."""

    type: str
    answer: str  # ACK, RESULT or FULL
    quote_atoms: int = 0  # asked for by quoteOrderQty
    trailing_bips: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None
    list_id: int = -1
    cancel_id: str = ""  # the client's id of the cancel that is under way
    working_ns: int = 0  # when it came to the book; 0: it waits


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol with its units, texts and limits."""

    units: Units
    listing: Listing
    name: str
    price_units: Text
    size_units: Text

    def price(self, ticks: int) -> str:
        """A price with eight decimals."""
        return self.price_units(ticks * self.units.instrument.tick_size)

    def size(self, lots: int) -> str:
        """A quantity with eight decimals."""
        return self.size_units(lots * self.units.instrument.lot_size)

    def ticks(self, text: str) -> int:
        """A price that passes PRICE_FILTER."""
        try:
            ticks = self.units.ticks(text)
        except ValueError:
            raise failed_filter("PRICE_FILTER") from None
        if not 0 < ticks * self.units.instrument.tick_size <= self.listing.start_price * MOST_TIMES_START:
            raise failed_filter("PRICE_FILTER")
        return ticks

    def lots(self, text: str, name: str = "LOT_SIZE", most: int = MOST_LOTS) -> int:
        """A quantity that passes the filter of this name."""
        try:
            lots = self.units.lots(text)
        except ValueError:
            raise failed_filter(name) from None
        if not 0 < lots <= most:
            raise failed_filter(name)
        return lots


def symbol_of(units: Units, listing: Listing) -> Symbol:
    """The symbol as the venue writes it."""
    price, size = texts_of(listing)
    return Symbol(units, listing, listing.native, price, size)


def new_id() -> str:
    """A client order id as the venue makes them: 22 letters and digits."""
    number = secrets.randbits(131)
    letters = []
    for _ in range(22):
        number, at = divmod(number, 62)
        letters.append(_ALPHABET[at])
    return "".join(letters)


def read_order(arguments: Arguments, symbol: Symbol, account: int, desk: Desk) -> Order:
    """The order that a call asks for, not placed yet. VenueRefusal when it cannot be.

    What depends on the book at the moment of entry (funds, crossing, bands, phases) the engine decides.
    """
    side = SIDES.get(arguments.needed("side"))
    if side is None:
        raise refuse(-1117, "Invalid side.")
    kind_text = arguments.needed("type")
    if kind_text not in ORDER_TYPES:
        raise refuse(-1116, "Invalid orderType.")
    kind = KINDS[kind_text]
    limited = kind in (LIMIT, STOP_LIMIT, TAKE_PROFIT_LIMIT)
    waits = kind not in (LIMIT, MARKET)
    time_in_force = _time_in_force(arguments, needed=limited and kind_text != "LIMIT_MAKER")
    price = arguments.decimal("price")
    if limited and price is None:
        raise missing("price")
    if not limited and price is not None:
        raise not_required("price")
    quantity, quote_quantity = arguments.decimal("quantity"), arguments.decimal("quoteOrderQty")
    if kind == MARKET:
        if quantity is None and quote_quantity is None:
            raise either("quantity", "quoteOrderQty")
        if quantity is not None and quote_quantity is not None:
            raise refuse(-1128, "Combination of optional parameters invalid.")
    elif quote_quantity is not None:
        raise not_required("quoteOrderQty")
    elif quantity is None:
        raise missing("quantity")
    order = Order(
        account, symbol.units.index, side, kind, 0,
        price_ticks=0 if price is None else symbol.ticks(price),
        time_in_force=time_in_force, post_only=kind_text == "LIMIT_MAKER",
        self_trade=SELF_TRADE_MODES.index(
            arguments.choice("selfTradePreventionMode", SELF_TRADE_MODES) or USUAL_SELF_TRADE_MODE
        ),
        client_id=arguments.identity("newClientOrderId") or new_id(), dialect=DIALECT,
    )  # fmt: skip
    strategy_type = arguments.whole("strategyType")
    if strategy_type is not None and strategy_type < 1_000_000:
        raise refuse(-1134, "strategyType was less than 1000000.")
    usual = "FULL" if kind_text in ("MARKET", "LIMIT") else "ACK"
    extra = order.extra = Extra(
        kind_text,
        arguments.choice("newOrderRespType", ANSWERS) or usual,
        strategy_id=arguments.whole("strategyId"),
        strategy_type=strategy_type,
    )
    _set_trigger(order, extra, arguments, symbol, desk, waits=waits)
    if quote_quantity is not None:
        try:
            extra.quote_atoms = atoms(quote_quantity)
        except ValueError:  # more than any account could hold
            raise refuse(-1108, "Parameter 'quoteOrderQty' overflowed.") from None
        order.lots = min(desk.lots_for(order.symbol, side, extra.quote_atoms), MOST_MARKET_LOTS)
        if not order.lots:
            raise _no_lots(order, extra, symbol, desk)
    else:
        assert quantity is not None
        order.lots = symbol.lots(quantity)
        if kind == MARKET:
            symbol.lots(quantity, "MARKET_LOT_SIZE", MOST_MARKET_LOTS)
    _set_display(order, arguments, symbol)
    _check_worth(order, symbol, desk)
    return order


def _time_in_force(arguments: Arguments, *, needed: bool) -> int:
    text = arguments.text("timeInForce")
    if not needed:
        if text is not None:
            raise not_required("timeInForce")
        return GTC
    if text is None:
        raise missing("timeInForce")
    found = TIMES_IN_FORCE.get(text)
    if found is None:
        raise refuse(-1115, "Invalid timeInForce.")
    return found


def _set_trigger(
    order: Order, extra: Extra, arguments: Arguments, symbol: Symbol, desk: Desk, *, waits: bool
) -> None:
    stop, delta = arguments.decimal("stopPrice"), arguments.whole("trailingDelta")
    if not waits:
        if stop is not None:
            raise not_required("stopPrice")
        if delta is not None:
            raise not_required("trailingDelta")
        return
    if delta is None:
        if stop is None:
            raise either("stopPrice", "trailingDelta")
        order.trigger_ticks = symbol.ticks(stop)
        return
    if not TRAILING_BIPS[0] <= delta <= TRAILING_BIPS[1]:
        raise failed_filter("TRAILING_DELTA")
    if stop is not None or order.kind != STOP:
        # The engine trails market stops from where the market is.
        raise refuse(-1128, "Combination of optional parameters invalid.")
    best = desk.engine.bbo(symbol.units.spec.symbol)
    near = best.bid_ticks or best.ask_ticks
    if not near:
        raise refuse(-2010, "Order book liquidity is less than symbol minimum quantity.")
    order.kind, extra.trailing_bips = TRAILING_STOP, delta
    order.trigger_ticks = max(1, near * delta // 10_000)


def _no_lots(order: Order, extra: Extra, symbol: Symbol, desk: Desk) -> Exception:
    best = desk.engine.bbo(symbol.units.spec.symbol)
    if not (best.ask_ticks if order.side == BUY else best.bid_ticks):
        return refuse(-2010, "Order book liquidity is less than symbol minimum quantity.")
    if extra.quote_atoms < LEAST_NOTIONAL * ATOMS:
        return failed_filter("NOTIONAL")
    return failed_filter("LOT_SIZE")


def _set_display(order: Order, arguments: Arguments, symbol: Symbol) -> None:
    text = arguments.decimal("icebergQty")
    if text is None:
        return
    if order.kind == MARKET or order.kind in (STOP, TAKE_PROFIT, TRAILING_STOP):
        raise not_required("icebergQty")
    if not text.strip("0."):
        return
    lots = symbol.lots(text)
    if lots > order.lots:
        raise refuse(-2010, "IcebergQty exceeds QTY.")
    if order.time_in_force != GTC:
        raise refuse(-1014, "Unsupported order combination.")
    if order.kind != LIMIT:
        raise refuse(-2010, "Iceberg orders are not supported for this symbol.")
    order.display_lots = lots


def _check_worth(order: Order, symbol: Symbol, desk: Desk) -> None:
    """NOTIONAL; and whether a market buy can be paid, which the engine would only fill in part."""
    units = symbol.units
    if order.price_ticks:
        worth = units.notional_atoms(order.price_ticks * order.lots)
        if not LEAST_NOTIONAL * ATOMS <= worth <= MOST_NOTIONAL * ATOMS:
            raise failed_filter("NOTIONAL")
        return
    best = desk.engine.bbo(units.spec.symbol)
    ticks = order.trigger_ticks if order.kind in (STOP, TAKE_PROFIT) else 0
    ticks = ticks or (best.ask_ticks if order.side == BUY else best.bid_ticks)
    if not ticks:
        return  # nothing to meet: it will expire
    worth = units.notional_atoms(ticks * order.lots)
    if worth < LEAST_NOTIONAL * ATOMS:
        raise failed_filter("NOTIONAL")
    if order.kind != MARKET or order.side != BUY:
        return
    free = desk.balance(order.account, units.spec.quote).free
    if worth * 5 // 4 > free and desk.lots_for(order.symbol, BUY, free) < _reachable(order, symbol, desk):
        raise refuse(-2010, "Account has insufficient balance for requested action.")


def _reachable(order: Order, symbol: Symbol, desk: Desk) -> int:
    """How much of a market buy the book could fill at all."""
    _, asks = desk.engine.top(symbol.units.spec.symbol, 1_000)
    return min(order.lots, int(asks["lots"].sum()))


def cancel_restriction(arguments: Arguments) -> str:
    """`cancelRestrictions`, "" when there is none."""
    text = arguments.text("cancelRestrictions")
    if text is not None and text not in CANCEL_RESTRICTIONS:
        raise refuse(-1145, "Invalid cancelRestrictions")
    return text or ""


def own_extra(order: Order) -> Extra | None:
    """What this dialect kept with the order; None for one that came another way."""
    extra: Any = order.extra
    return extra if isinstance(extra, Extra) else None
