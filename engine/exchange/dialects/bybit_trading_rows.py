"""Orders, executions and wallets as Bybit v5 writes them: for REST and for the private streams alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.exchange.desk import Desk
from engine.exchange.dialects.bybit import execution_id
from engine.exchange.dialects.bybit_trading_codes import ended_because, status_text
from engine.exchange.market import Listing, Trade
from engine.exchange.trading import Balance, Fill, Order, Report, Status
from engine.exchange.units import Units, atoms_text
from engine.market.batches import BUY
from engine.matching.engine import Bbo
from engine.matching.orders import (
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    IOC,
    MARKET,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TRAILING_STOP,
)

MS: Final = 1_000_000
FEE_RATE: Final = "0.001"
SELF_TRADE_TEXTS: Final = {
    EXPIRE_MAKER: "CancelMaker",
    EXPIRE_TAKER: "CancelTaker",
    EXPIRE_BOTH: "CancelBoth",
}
_TIMES_IN_FORCE: Final = {IOC: "IOC", FOK: "FOK"}
_AT_MARKET: Final = frozenset({MARKET, STOP, TAKE_PROFIT, TRAILING_STOP})


class Asked(msgspec.Struct, frozen=True):
    """What a client asked for and the engine's order does not say. Kept in `Order.extra`."""

    order_type: str  # Limit or Market
    time_in_force: str
    order_filter: str = "Order"  # or StopOrder, tpslOrder
    market_unit: str = ""
    amount: str = ""  # of the quote coin, where `market_unit` is that
    last_price: str = ""
    slippage_type: str = "UNKNOWN"
    slippage: str = "0"


def asked(order: Order) -> Asked:
    """What was asked; of an order that came through another dialect, as near as it can be told."""
    if isinstance(order.extra, Asked):
        return order.extra
    at_market = order.kind in _AT_MARKET
    time_in_force = _TIMES_IN_FORCE.get(order.time_in_force, "PostOnly" if order.post_only else "GTC")
    return Asked(
        "Market" if at_market else "Limit",
        "IOC" if at_market else time_in_force,
        "StopOrder" if waits_for_trigger(order) else "Order",
        "baseCoin" if order.kind == MARKET else "",
    )


def waits_for_trigger(order: Order) -> bool:
    """Whether it is a conditional order, triggered or not."""
    return order.kind >= STOP and order.trigger_ticks > 0


def rises(order: Order) -> bool:
    """Whether a conditional order waits for a higher price."""
    return (order.side == BUY) == (order.kind in (STOP, STOP_LIMIT, TRAILING_STOP))


def filter_of(order: Order) -> str:
    """The orderFilter that finds it: once triggered a conditional order is an order like others."""
    return "Order" if order.triggered else asked(order).order_filter


class Rows:
    """Writes what is the venue's, of the symbols a desk trades. `listings` are the public market's."""

    def __init__(self, desk: Desk, units: Mapping[str, Units], listings: Mapping[str, Listing]) -> None:
        self._desk = desk
        self._listings = listings
        self.units: Final = units
        self.by_index: Final = {each.index: each for each in units.values()}

    def order(self, order: Order) -> dict[str, Any]:
        """An order as it is now."""
        text = status_text(order.status, order.filled_lots, waited=_waited(order))
        return self._order(
            order, text, order.status, order.filled_lots, order.filled_notional, order.reason,
            order.updated_ns,
        )  # fmt: skip

    def reported(self, report: Report) -> list[dict[str, Any]]:
        """An order as of a report: one row, of a triggered one two."""
        order = report.order
        text = status_text(report.status, report.filled_lots, waited=_waited(order))
        rows = [
            self._order(
                order, status, report.status, report.filled_lots, report.filled_notional, report.reason,
                report.ts_ns,
            )
            for status in (("Triggered", text) if report.kind == "triggered" else (text,))
        ]  # fmt: skip
        for row in rows:
            row["category"] = "spot"
        return rows

    def execution(self, fill: Fill, order: Order | None, leaves_lots: int) -> dict[str, Any]:
        """A fill. `order` is None when it is kept no longer."""
        units = self.by_index[fill.symbol]
        known = asked(order) if order is not None else Asked("UNKNOWN", "")
        return {
            "symbol": units.instrument.native,
            "orderId": str(fill.order_id),
            "orderLinkId": fill.client_id,
            "side": _side(fill.side),
            "orderPrice": self._price(order, known, units) if order is not None else "0",
            "orderQty": self._quantity(order, known, units) if order is not None else "0",
            "leavesQty": units.size_text(max(leaves_lots, 0)),
            "orderType": known.order_type,
            "stopOrderType": _stop_type(known),
            "execFee": atoms_text(fill.fee_atoms),
            "execId": self.execution_id(fill),
            "execPrice": units.price_text(fill.price_ticks),
            "execQty": units.size_text(fill.lots),
            "execType": "Trade",
            "execValue": atoms_text(units.notional_atoms(fill.price_ticks * fill.lots)),
            "execTime": str(fill.ts_ns // MS),
            "feeCurrency": fill.fee_asset,
            "isMaker": fill.maker,
            "feeRate": FEE_RATE,
            "tradeIv": "",
            "markIv": "",
            "markPrice": "",
            "indexPrice": "",
            "underlyingPrice": "",
            "blockTradeId": "",
            "closedSize": "",
            "seq": fill.trade_id,
        }

    def fast_execution(self, fill: Fill) -> dict[str, Any]:
        """The few fields of `execution.fast`."""
        units = self.by_index[fill.symbol]
        return {
            "category": "spot",
            "symbol": units.instrument.native,
            "orderId": str(fill.order_id),
            "isMaker": fill.maker,
            "orderLinkId": "" if fill.maker else fill.client_id,
            "execId": self.execution_id(fill),
            "execPrice": units.price_text(fill.price_ticks),
            "execQty": units.size_text(fill.lots),
            "side": _side(fill.side),
            "execTime": str(fill.ts_ns // MS),
            "seq": fill.trade_id,
        }

    def execution_id(self, fill: Fill) -> str:
        """The same as the public trade's."""
        instrument = self.by_index[fill.symbol].instrument
        unit = instrument.tick_size, instrument.lot_size
        trade = Trade(fill.trade_id, fill.ts_ns, fill.price_ticks * unit[0], fill.lots * unit[1], fill.maker)
        return execution_id(self._listings[instrument.native], trade)

    def wallet(self, account: int, coins: Iterable[str] | None = None) -> dict[str, Any]:
        """The unified account, with the rows of `coins`; without them, of all that are not 0."""
        rows, total, locked = [], 0, 0
        chosen = None if coins is None else set(coins)
        for balance in self._desk.balances(account):
            held = balance.free + balance.reserved
            worth, locked_worth = self._worth(balance.asset, held, balance.reserved) if held else (0, 0)
            total += worth
            locked += locked_worth
            if balance.asset in chosen if chosen is not None else held:
                rows.append(_coin(balance, worth))
        worth_text, free_text = atoms_text(total), atoms_text(total - locked)
        return {
            "accountType": "UNIFIED",
            "accountLTV": "0",
            "accountIMRate": "0",
            "accountMMRate": "0",
            "accountIMRateByMp": "0",
            "accountMMRateByMp": "0",
            "totalEquity": worth_text,
            "totalWalletBalance": worth_text,
            "totalMarginBalance": worth_text,
            "totalAvailableBalance": free_text,
            "totalPerpUPL": "0",
            "totalInitialMargin": "0",
            "totalMaintenanceMargin": "0",
            "totalInitialMarginByMp": "0",
            "totalMaintenanceMarginByMp": "0",
            "coin": rows,
        }

    def bbo(self, units: Units) -> Bbo:
        """The symbol's best prices in ticks."""
        return self._desk.engine.bbo(units.spec.symbol)

    def _worth(self, asset: str, *held_atoms: int) -> Sequence[int]:
        """In atoms of dollars, by the middle of the book against the quote asset; the quote asset counts as dollars."""
        for units in self.units.values():
            if units.spec.base == asset and units.spec.quote != asset:
                best = self.bbo(units)
                bid, ask = best.bid_ticks or best.ask_ticks, best.ask_ticks or best.bid_ticks
                worth, lot = (bid + ask) * units.spec.notional_atoms, 2 * units.spec.lot_atoms
                return [atoms * worth // lot for atoms in held_atoms]
        return held_atoms

    def _order(
        self,
        order: Order,
        text: str,
        status: Status,
        filled_lots: int,
        filled_notional: int,
        reason: int,
        updated_ns: int,
    ) -> dict[str, Any]:
        units, known = self.by_index[order.symbol], asked(order)
        cancel_type, reject_reason = ended_because(status, reason)
        is_open = status in ("pending", "armed", "new", "partially_filled")
        left = max(order.lots - filled_lots, 0) if is_open else 0
        if left and filled_lots == order.filled_lots and order.open_lots:
            left = order.open_lots  # less, where self-trades were prevented
        value = units.notional_atoms(filled_notional)
        coin = units.spec.base if order.side == BUY else units.spec.quote
        price = order.price_ticks or order.trigger_ticks
        fee = atoms_text(order.fee_atoms)
        return {
            "orderId": str(order.order_id),
            "orderLinkId": order.client_id,
            "blockTradeId": "",
            "symbol": units.instrument.native,
            "price": self._price(order, known, units),
            "qty": self._quantity(order, known, units),
            "side": _side(order.side),
            "isLeverage": "0",
            "positionIdx": 0,
            "orderStatus": text,
            "cancelType": cancel_type,
            "rejectReason": reject_reason,
            "avgPrice": _average(units, filled_notional, filled_lots),
            "leavesQty": units.size_text(left),
            "leavesValue": atoms_text(units.notional_atoms(left * price)),
            "cumExecQty": units.size_text(filled_lots),
            "cumExecValue": atoms_text(value),
            "cumExecFee": fee,
            "cumFeeDetail": {coin: fee} if filled_lots else {},
            "feeCurrency": coin if filled_lots else "",
            "timeInForce": known.time_in_force,
            "orderType": known.order_type,
            "stopOrderType": _stop_type(known),
            "ocoTriggerBy": "OcoTriggerByUnknown",
            "orderIv": "",
            "marketUnit": known.market_unit,
            "slippageToleranceType": known.slippage_type,
            "slippageTolerance": known.slippage,
            "triggerPrice": units.price_text(order.trigger_ticks) if waits_for_trigger(order) else "0.0",
            "takeProfit": "",
            "stopLoss": "",
            "tpLimitPrice": "",
            "slLimitPrice": "",
            "tpTriggerBy": "",
            "slTriggerBy": "",
            "triggerDirection": (1 if rises(order) else 2) if waits_for_trigger(order) else 0,
            "triggerBy": "",
            "lastPriceOnCreated": known.last_price,
            "reduceOnly": False,
            "closeOnTrigger": False,
            "placeType": "",
            "smpType": SELF_TRADE_TEXTS.get(order.self_trade, "None"),
            "smpGroup": 0,
            "smpOrderId": "",
            "createdTime": str(order.created_ns // MS),
            "updatedTime": str(updated_ns // MS),
        }

    def _price(self, order: Order, known: Asked, units: Units) -> str:
        return "0" if known.order_type == "Market" else units.price_text(order.price_ticks)

    def _quantity(self, order: Order, known: Asked, units: Units) -> str:
        return known.amount or units.size_text(order.lots)


def _waited(order: Order) -> bool:
    return waits_for_trigger(order) and not order.triggered


def _side(side: int) -> str:
    return "Buy" if side == BUY else "Sell"


def _stop_type(known: Asked) -> str:
    return {"StopOrder": "Stop", "tpslOrder": "tpslOrder"}.get(known.order_filter, "")


def _average(units: Units, notional: int, lots: int) -> str:
    """The mean price, cut after two decimals more than prices have; "" of nothing."""
    if not lots:
        return ""
    instrument = units.instrument
    digits = instrument.price_decimals + 2
    value = notional * instrument.tick_size * 100 // lots
    text = str(value).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}".rstrip("0").rstrip(".")


def _coin(balance: Balance, worth: int) -> dict[str, Any]:
    held = atoms_text(balance.free + balance.reserved)
    return {
        "coin": balance.asset,
        "equity": held,
        "usdValue": atoms_text(worth),
        "walletBalance": held,
        "locked": atoms_text(balance.reserved),
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": "0",
        "totalPositionIM": "0",
        "totalPositionMM": "0",
        "unrealisedPnl": "0",
        "cumRealisedPnl": "0",
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": False,
        "spotBorrow": "0",
    }
