"""Orders, trades and accounts as Binance writes them: REST rows and user data events. Quantities have 8 decimals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine.exchange.dialects.binance_listing import SELF_TRADE_MODES
from engine.exchange.dialects.binance_trading_orders import MS, Extra, Symbol, own_extra
from engine.exchange.trading import Balance, Fill, Order, Outcome, Report, Status
from engine.exchange.units import atoms_text
from engine.market.batches import BUY
from engine.matching.orders import (
    FOK,
    IOC,
    LIMIT,
    MARKET,
    SELF_TRADE,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TRAILING_STOP,
)

Row = dict[str, Any]
ZERO: Final = "0.00000000"
STATUSES: Final[dict[Status, str]] = {
    "pending": "NEW",
    "armed": "NEW",
    "new": "NEW",
    "partially_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
}
TYPES: Final = {
    LIMIT: "LIMIT",
    MARKET: "MARKET",
    STOP: "STOP_LOSS",
    STOP_LIMIT: "STOP_LOSS_LIMIT",
    TAKE_PROFIT: "TAKE_PROFIT",
    TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
EXECUTIONS: Final = {
    "new": "NEW",
    "armed": "NEW",
    "triggered": "NEW",
    "trade": "TRADE",
    "replaced": "REPLACED",
    "amended": "REPLACED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "prevented": "TRADE_PREVENTION",
}


def status_text(status: Status, reason: int) -> str:
    """The venue's word for a status."""
    return "EXPIRED_IN_MATCH" if status == "expired" and reason == SELF_TRADE else STATUSES[status]


def type_text(order: Order, extra: Extra | None) -> str:
    """The type it was placed with; of an order from another dialect the one nearest to it."""
    if extra is not None:
        return extra.type
    return "LIMIT_MAKER" if order.post_only else TYPES.get(order.kind, "STOP_LOSS")


def time_in_force_text(order: Order) -> str:
    """GTC for all that stay."""
    return {IOC: "IOC", FOK: "FOK"}.get(order.time_in_force, "GTC")


def stop_ticks(order: Order) -> int:
    """The price it waits for; 0 for one that does not, or trails the market."""
    return 0 if order.kind == TRAILING_STOP else order.trigger_ticks


def working_ms(order: Order, extra: Extra | None) -> int:
    """Since when it is in the book, or was; -1 for one that waits or waited to its end."""
    if extra is not None and extra.working_ns:
        return extra.working_ns // MS
    if order.kind in (LIMIT, MARKET):
        return order.created_ns // MS
    return order.updated_ns // MS if order.triggered else -1


def ack(order: Order, symbol: Symbol, extra: Extra) -> Row:
    """The shortest answer to a new order."""
    return {
        "symbol": symbol.name,
        "orderId": order.order_id,
        "orderListId": extra.list_id,
        "clientOrderId": order.client_id,
        "transactTime": order.created_ns // MS,
    }


def placed(order: Order, symbol: Symbol, extra: Extra, outcome: Outcome, form: str) -> Row:
    """The answer to a new order in the form asked for (ACK, RESULT or FULL), as it was right after it came."""
    row = ack(order, symbol, extra)
    if form == "ACK":
        return row
    row |= _state(order, symbol, extra)
    row |= {
        "executedQty": symbol.size(outcome.filled_lots),
        "cummulativeQuoteQty": atoms_text(symbol.units.notional_atoms(outcome.filled_notional)),
        "status": status_text(outcome.status, order.reason),
        "workingTime": working_ms(order, extra),
        "selfTradePreventionMode": SELF_TRADE_MODES[order.self_trade],
    }
    row |= conditional(order, symbol, extra)
    if form == "FULL":
        row["fills"] = [
            {
                "price": symbol.price(each.price_ticks),
                "qty": symbol.size(each.lots),
                "commission": atoms_text(each.fee_atoms),
                "commissionAsset": each.fee_asset,
                "tradeId": each.trade_id,
            }
            for each in outcome.fills
        ]
    return row


def canceled(order: Order, symbol: Symbol, cancel_id: str, now_ns: int) -> Row:
    """The answer to a cancel: `clientOrderId` is the cancel's own."""
    extra = own_extra(order)
    row = {
        "symbol": symbol.name,
        "origClientOrderId": order.client_id,
        "orderId": order.order_id,
        "orderListId": -1 if extra is None else extra.list_id,
        "clientOrderId": cancel_id,
        "transactTime": now_ns // MS,
    }
    row |= _state(order, symbol, extra)
    row["selfTradePreventionMode"] = SELF_TRADE_MODES[order.self_trade]
    return row | conditional(order, symbol, extra)


def queried(order: Order, symbol: Symbol) -> Row:
    """An order as it stands."""
    extra = own_extra(order)
    row = {
        "symbol": symbol.name,
        "orderId": order.order_id,
        "orderListId": -1 if extra is None else extra.list_id,
        "clientOrderId": order.client_id,
    }
    row |= _state(order, symbol, extra)
    row |= {
        "stopPrice": symbol.price(stop_ticks(order)),
        "icebergQty": symbol.size(order.display_lots),
        "time": order.created_ns // MS,
        "updateTime": order.updated_ns // MS,
        "isWorking": order.status != "armed",
        "workingTime": working_ms(order, extra),
        "origQuoteOrderQty": atoms_text(0 if extra is None else extra.quote_atoms),
        "selfTradePreventionMode": SELF_TRADE_MODES[order.self_trade],
    }
    return conditional(order, symbol, extra) | row


def _state(order: Order, symbol: Symbol, extra: Extra | None) -> Row:
    return {
        "price": symbol.price(order.price_ticks),
        "origQty": symbol.size(order.lots),
        "executedQty": symbol.size(order.filled_lots),
        "origQuoteOrderQty": atoms_text(0 if extra is None else extra.quote_atoms),
        "cummulativeQuoteQty": atoms_text(symbol.units.notional_atoms(order.filled_notional)),
        "status": status_text(order.status, order.reason),
        "timeInForce": time_in_force_text(order),
        "type": type_text(order, extra),
        "side": "BUY" if order.side == BUY else "SELL",
    }


def conditional(order: Order, symbol: Symbol, extra: Extra | None) -> Row:
    """Fields that only some orders have."""
    row: Row = {}
    if order.display_lots:
        row["icebergQty"] = symbol.size(order.display_lots)
    if extra is not None and extra.trailing_bips:
        row["trailingDelta"] = extra.trailing_bips
        row["trailingTime"] = order.created_ns // MS
    elif stop_ticks(order):
        row["stopPrice"] = symbol.price(order.trigger_ticks)
    if extra is not None and extra.strategy_id is not None:
        row["strategyId"] = extra.strategy_id
    if extra is not None and extra.strategy_type is not None:
        row["strategyType"] = extra.strategy_type
    return row


def traded(fill: Fill, symbol: Symbol, list_id: int) -> Row:
    """One row of myTrades; `list_id` is that of its order's list, -1 for none."""
    return {
        "symbol": symbol.name,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": list_id,
        "price": symbol.price(fill.price_ticks),
        "qty": symbol.size(fill.lots),
        "quoteQty": atoms_text(symbol.units.notional_atoms(fill.price_ticks * fill.lots)),
        "commission": atoms_text(fill.fee_atoms),
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ns // MS,
        "isBuyer": fill.side == BUY,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def execution_report(report: Report, symbol: Symbol) -> Row:
    """One change of an order as the user data stream tells it."""
    order, fill = report.order, report.fill
    extra = own_extra(order)
    now_ms = report.ts_ns // MS
    kind = EXECUTIONS[report.kind]
    ended_by_owner = report.kind == "canceled"
    cancel_id = extra.cancel_id if ended_by_owner and extra is not None else ""
    trailing = 0 if extra is None else extra.trailing_bips
    row: Row = {
        "e": "executionReport",
        "E": now_ms,
        "s": symbol.name,
        "c": cancel_id or order.client_id,
        "S": "BUY" if order.side == BUY else "SELL",
        "o": type_text(order, extra),
        "f": time_in_force_text(order),
        "q": symbol.size(order.lots),
        "p": symbol.price(order.price_ticks),
        "P": symbol.price(stop_ticks(order)),
        "F": symbol.size(order.display_lots),
        "g": -1 if extra is None else extra.list_id,
        "C": order.client_id if ended_by_owner else "",
        "x": kind,
        "X": status_text(report.status, report.reason),
        "r": "NONE",
        "i": order.order_id,
        "l": ZERO,
        "z": symbol.size(report.filled_lots),
        "L": ZERO,
        "n": "0",
        "N": None,
        "T": now_ms,
        "t": -1,
        "I": report.ts_ns // 1_000,
        "w": report.status in ("new", "partially_filled") and kind != "TRADE",
        "m": False,
        "M": False,
        "O": order.created_ns // MS,
        "Z": atoms_text(symbol.units.notional_atoms(report.filled_notional)),
        "Y": ZERO,
        "Q": atoms_text(0 if extra is None else extra.quote_atoms),
        "V": SELF_TRADE_MODES[order.self_trade],
    }
    if fill is not None:
        row |= {
            "l": symbol.size(fill.lots),
            "L": symbol.price(fill.price_ticks),
            "n": atoms_text(fill.fee_atoms),
            "N": fill.fee_asset,
            "t": fill.trade_id,
            "m": fill.maker,
            "M": True,
            "w": report.status == "partially_filled",
            "Y": atoms_text(symbol.units.notional_atoms(fill.price_ticks * fill.lots)),
        }
    working = working_ms(order, extra)
    if working >= 0 and report.kind != "armed":
        row["W"] = working
    if trailing:
        row |= {"d": trailing, "D": order.created_ns // MS}
    if extra is not None and extra.strategy_id is not None:
        row["j"] = extra.strategy_id
    if extra is not None and extra.strategy_type is not None:
        row["J"] = extra.strategy_type
    return row


def account_position(balances: Iterable[Balance], now_ns: int) -> Row:
    """`outboundAccountPosition`: the assets that may have changed."""
    return {
        "e": "outboundAccountPosition",
        "E": now_ns // MS,
        "u": now_ns // MS,
        "B": [
            {"a": each.asset, "f": atoms_text(each.free), "l": atoms_text(each.reserved)} for each in balances
        ],
    }


def balance_update(asset: str, atoms: int, now_ns: int) -> Row:
    """`balanceUpdate`: money came or went."""
    return {"e": "balanceUpdate", "E": now_ns // MS, "a": asset, "d": atoms_text(atoms), "T": now_ns // MS}


def balance_rows(balances: Iterable[Balance], *, zeros: bool) -> list[Row]:
    """`balances` of an account."""
    return [
        {"asset": each.asset, "free": atoms_text(each.free), "locked": atoms_text(each.reserved)}
        for each in balances
        if zeros or each.free or each.reserved
    ]


def commission_rates(fee_ppm: int) -> Row:
    """Fees as parts of one."""
    return {
        "maker": _parts(fee_ppm),
        "taker": _parts(fee_ppm),
        "buyer": ZERO,
        "seller": ZERO,
    }


def _parts(ppm: int) -> str:
    return f"{ppm // 1_000_000}.{ppm % 1_000_000:06d}00"
