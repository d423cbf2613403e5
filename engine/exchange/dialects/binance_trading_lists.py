"""Order lists: OCO, two orders of which one cancels the other. A list's id is that of its first order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.exchange.accounts import Key
from engine.exchange.dialects.binance_trading_arguments import Arguments
from engine.exchange.dialects.binance_trading_calls import Asked, Call, Calls, Done
from engine.exchange.dialects.binance_trading_errors import (
    either,
    missing,
    not_valid,
    refuse,
    refused_by_engine,
)
from engine.exchange.dialects.binance_trading_orders import (
    ANSWERS,
    MS,
    SIDES,
    Symbol,
    new_id,
    own_extra,
    read_order,
)
from engine.exchange.dialects.binance_trading_views import Row, canceled, placed
from engine.exchange.trading import Order, Outcome, Report

_LEG: Final = (
    "Type", "ClientOrderId", "IcebergQty", "Price", "StopPrice", "TrailingDelta", "TimeInForce", "StrategyId",
    "StrategyType",
)  # fmt: skip
_COMMON: Final = frozenset(
    {"symbol", "listClientOrderId", "side", "quantity", "newOrderRespType", "selfTradePreventionMode"}
)
_PAIR: Final = _COMMON | {f"{leg}{name}" for leg in ("above", "below") for name in _LEG}
_OLD: Final = _COMMON | frozenset({
    "limitClientOrderId", "price", "limitIcebergQty", "limitStrategyId", "limitStrategyType", "trailingDelta",
    "stopClientOrderId", "stopPrice", "stopStrategyId", "stopStrategyType", "stopLimitPrice", "stopIcebergQty",
    "stopLimitTimeInForce",
})  # fmt: skip
_LIST: Final = frozenset(
    {"symbol", "orderListId", "listClientOrderId", "origClientOrderId", "newClientOrderId"}
)
KEPT_LISTS: Final = 10_000  # the oldest goes first


class _Pair:
    """One list: its two orders, in the order they were placed."""

    __slots__ = ("account", "client_id", "legs", "list_id", "symbol", "ts_ns")

    def __init__(self, account: int, symbol: Symbol, client_id: str, legs: tuple[Order, Order]) -> None:
        self.account, self.symbol, self.client_id, self.legs = account, symbol, client_id, legs
        self.list_id = self.ts_ns = 0

    def row(self, now_ns: int, *, ended: bool | None = None) -> Row:
        """The list as all its calls answer it."""
        done = not any(each.is_open for each in self.legs) if ended is None else ended
        return {
            "orderListId": self.list_id,
            "contingencyType": "OCO",
            "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
            "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
            "listClientOrderId": self.client_id,
            "transactionTime": now_ns // MS,
            "symbol": self.symbol.name,
            "orders": [
                {"symbol": self.symbol.name, "orderId": each.order_id, "clientOrderId": each.client_id}
                for each in self.legs
            ],
        }


class Lists:
    """OCO pairs over the same calls. Of them 10,000 are kept."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._pairs: dict[int, _Pair] = {}

    def table(self) -> dict[str, Call]:
        """All calls by the name they have in the WebSocket API."""
        return {
            "orderList.place.oco": Call(self.place, _PAIR, trade=True, orders=2),
            "orderList.place": Call(self.place_old, _OLD, trade=True, orders=2),
            "orderList.cancel": Call(self.cancel, _LIST, trade=True),
            "orderList.status": Call(self.status, _LIST),
            "openOrderLists.status": Call(self.open_lists, frozenset()),
            "allOrderLists": Call(self.all_lists, frozenset({"fromId", "startTime", "endTime", "limit"})),
        }

    def status_event(self, list_id: int, reports: Sequence[Report], now_ns: int) -> Row | None:
        """`listStatus` when these reports begin a list or end it, else None."""
        pair = self._pairs.get(list_id)
        if pair is None:
            return None
        begins = any(each.order is pair.legs[1] and each.kind in ("new", "armed") for each in reports)
        ended = not any(each.is_open for each in pair.legs)
        if not begins and not ended:
            return None
        row = pair.row(now_ns, ended=ended)
        return {
            "e": "listStatus",
            "E": now_ns // MS,
            "s": pair.symbol.name,
            "g": list_id,
            "c": row["contingencyType"],
            "l": row["listStatusType"],
            "L": row["listOrderStatus"],
            "r": "NONE",
            "C": pair.client_id,
            "T": now_ns // MS,
            "O": [
                {"s": each["symbol"], "i": each["orderId"], "c": each["clientOrderId"]}
                for each in row["orders"]
            ],
        }

    def place(self, asked: Asked, done: Done) -> None:
        """`above` and `below`, each with a type of its own."""
        legs = []
        for side in ("above", "below"):
            given = {
                f"{name[0].lower()}{name[1:]}": asked.arguments.values[side + name]
                for name in _LEG
                if side + name in asked.arguments.values
            }
            if "type" not in given:
                raise missing(f"{side}Type")
            if "clientOrderId" in given:
                given["newClientOrderId"] = given.pop("clientOrderId")
            legs.append(given)
        self._place(asked.key, asked.arguments, legs[0], legs[1], done)

    def place_old(self, asked: Asked, done: Done) -> None:
        """The older form: a limit order and a stop."""
        values = asked.arguments.values

        def named(names: dict[str, str]) -> dict[str, str]:
            return {ours: values[theirs] for theirs, ours in names.items() if theirs in values}

        limit = {"type": "LIMIT_MAKER"} | named(
            {
                "price": "price",
                "limitClientOrderId": "newClientOrderId",
                "limitIcebergQty": "icebergQty",
                "limitStrategyId": "strategyId",
                "limitStrategyType": "strategyType",
            }
        )
        stop = {"type": "STOP_LOSS_LIMIT" if "stopLimitPrice" in values else "STOP_LOSS"} | named(
            {
                "stopPrice": "stopPrice",
                "trailingDelta": "trailingDelta",
                "stopLimitPrice": "price",
                "stopLimitTimeInForce": "timeInForce",
                "stopClientOrderId": "newClientOrderId",
                "stopIcebergQty": "icebergQty",
                "stopStrategyId": "strategyId",
                "stopStrategyType": "strategyType",
            }
        )
        selling = SIDES.get(asked.arguments.needed("side")) == SIDES["SELL"]
        self._place(asked.key, asked.arguments, limit if selling else stop, stop if selling else limit, done)

    def _place(
        self, key: Key, arguments: Arguments, above: dict[str, str], below: dict[str, str], done: Done
    ) -> None:
        calls = self._calls
        symbol = calls.symbol(arguments)
        client_id = arguments.identity("listClientOrderId") or new_id()
        form = arguments.choice("newOrderRespType", ANSWERS) or "RESULT"
        shared = {
            name: arguments.values[name]
            for name in ("symbol", "side", "quantity", "selfTradePreventionMode")
            if name in arguments.values
        }
        selling = arguments.needed("side") == "SELL"
        _check_legs(above["type"], below["type"], selling=selling)
        first, second = (
            read_order(Arguments(shared | each), symbol, key.account, calls.desk) for each in (above, below)
        )
        # The limit order comes second: then the stop waits already when it reaches the book.
        if not first.trigger_ticks:
            first, second = second, first
        if first.client_id == second.client_id:
            raise refuse(-2010, "Duplicate order sent.")
        _check_prices(above["type"], below["type"], first, second)
        pair = _Pair(key.account, symbol, client_id, (first, second))
        outcomes: list[Outcome] = []

        def answer_first(outcome: Outcome) -> None:
            outcomes.append(outcome)

        def answer_second(outcome: Outcome) -> None:
            failed = outcomes[0].reason or outcome.reason
            if not failed:
                pair.ts_ns = outcome.ts_ns
                self._keep(pair)
                done(self._placed(pair, (outcomes[0], outcome), form))
            elif outcomes[0].reason:
                done(refused_by_engine(failed))
            else:  # the other half must not stay alone
                calls.desk.cancel(key.account, first.order_id, lambda _: done(refused_by_engine(failed)))

        list_id = calls.desk.place(first, answer_first)
        for each in (first, second):
            extra = own_extra(each)
            assert extra is not None
            extra.list_id = list_id
        pair.list_id = second.link_id = list_id
        calls.desk.place(second, answer_second)

    def _placed(self, pair: _Pair, outcomes: Sequence[Outcome], form: str) -> Row:
        row = pair.row(outcomes[-1].ts_ns)
        reports = []
        for each, outcome in zip(pair.legs, outcomes, strict=True):
            extra = own_extra(each)
            assert extra is not None
            if outcome.status != "armed":
                extra.working_ns = each.created_ns
            reports.append(placed(each, pair.symbol, extra, outcome, form))
        return row | {"orderReports": reports}

    def cancel(self, asked: Asked, done: Done) -> None:
        """Cancel both halves: the engine ends the second with the first."""
        symbol = self._calls.symbol(asked.arguments)
        pair = self._named(asked.key, asked.arguments, "listClientOrderId")
        cancel_id = asked.arguments.identity("newClientOrderId") or new_id()
        if pair is None or pair.symbol is not symbol:
            raise refuse(-2011, "Unknown order sent.")
        open_legs = [each for each in pair.legs if each.is_open]
        if not open_legs:
            raise refuse(-2011, "Unknown order sent.")
        for each in open_legs:
            extra = own_extra(each)
            if extra is not None:
                extra.cancel_id = cancel_id

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                done(refused_by_engine(outcome.reason, "cancel"))
                return
            reports = [canceled(each, symbol, cancel_id, outcome.ts_ns) for each in pair.legs]
            done(pair.row(outcome.ts_ns, ended=True) | {"orderReports": reports})

        self._calls.desk.cancel(asked.key.account, open_legs[0].order_id, answer)

    def status(self, asked: Asked, done: Done) -> None:
        """One list."""
        pair = self._named(asked.key, asked.arguments, "origClientOrderId")
        if pair is None:
            raise refuse(-2018, "Order list does not exist.")
        done(pair.row(pair.ts_ns))

    def open_lists(self, asked: Asked, done: Done) -> None:
        """All lists that still have an open order."""
        done([each.row(each.ts_ns) for each in self._of(asked.key) if any(leg.is_open for leg in each.legs)])

    def all_lists(self, asked: Asked, done: Done) -> None:
        """All lists that are kept."""
        limit, first = asked.arguments.limit(500, 1_000), asked.arguments.whole("fromId")
        start, end = asked.arguments.whole("startTime"), asked.arguments.whole("endTime")
        if first is not None and (start is not None or end is not None):
            raise refuse(-1128, "Combination of optional parameters invalid.")
        pairs = [
            each
            for each in self._of(asked.key)
            if (first is None or each.list_id >= first)
            and (start is None or each.ts_ns // MS >= start)
            and (end is None or each.ts_ns // MS <= end)
        ]
        done([each.row(each.ts_ns) for each in (pairs[-limit:] if first is None else pairs[:limit])])

    def _of(self, key: Key) -> Iterable[_Pair]:
        return [each for each in self._pairs.values() if each.account == key.account]

    def _named(self, key: Key, arguments: Arguments, by_client_id: str) -> _Pair | None:
        list_id, client_id = arguments.whole("orderListId"), arguments.identity(by_client_id)
        if list_id is None and client_id is None:
            raise either("orderListId", by_client_id)
        if list_id is not None:
            found = self._pairs.get(list_id)
            return found if found is not None and found.account == key.account else None
        return next((each for each in self._of(key) if each.client_id == client_id), None)

    def _keep(self, pair: _Pair) -> None:
        while len(self._pairs) >= KEPT_LISTS:
            del self._pairs[next(iter(self._pairs))]
        self._pairs[pair.list_id] = pair


def _check_legs(above: str, below: str, *, selling: bool) -> None:
    """Which types may stand above the market and which below."""
    limits = ("LIMIT_MAKER",)
    stops = ("STOP_LOSS", "STOP_LOSS_LIMIT")
    profits = ("TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
    for side, each in (("aboveType", above), ("belowType", below)):
        if each not in (*limits, *stops, *profits):
            raise not_valid(side)
    if above in limits and below in limits:
        raise refuse(-1168, "At least one OCO order must be contingent.")
    if selling:
        if below in limits:
            raise refuse(-1166, "A limit order in a sell OCO must be above.")
        if above in stops:
            raise refuse(-1197, "A stop loss order in a sell OCO must be below.")
        if below in profits:
            raise refuse(-1199, "A take profit order in a sell OCO must be above.")
    else:
        if above in limits:
            raise refuse(-1165, "A limit order in a buy OCO must be below.")
        if below in stops:
            raise refuse(-1196, "A stop loss order in a buy OCO must be above.")
        if above in profits:
            raise refuse(-1198, "A take profit order in a buy OCO must be below.")


def _check_prices(above: str, below: str, first: Order, second: Order) -> None:
    """The upper half must be above the lower one."""
    marks: list[Any] = []
    for each in (first, second):
        extra = own_extra(each)
        if extra is not None and extra.trailing_bips:
            return
        marks.append((each.trigger_ticks or each.price_ticks, "" if extra is None else extra.type))
    upper = next(mark for mark, kind in marks if kind == above)
    lower = next(mark for mark, kind in reversed(marks) if kind == below)
    if upper <= lower:
        raise refuse(-2010, "The relationship of the prices for the orders is not correct.")
