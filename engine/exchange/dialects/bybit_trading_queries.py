"""Bybit v5's private questions: orders, executions, wallet, account. Lists are newest first, in pages with a cursor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from engine.exchange.accounts import Key
from engine.exchange.desk import Desk
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_codes import bad_parameter, refusal, status_text
from engine.exchange.dialects.bybit_trading_orders import (
    CATEGORIES,
    FILTERS,
    OTHER_FILTERS,
    Orders,
)
from engine.exchange.dialects.bybit_trading_rows import FEE_RATE, Rows, asked, filter_of, waits_for_trigger
from engine.exchange.trading import Fill, Order
from engine.exchange.units import Units, atoms_text

Arguments = Mapping[str, str]
MS: Final = 1_000_000
WEEK_MS: Final = 7 * 86_400_000
RECENT: Final = 500  # ended orders that the realtime call tells
MAX_ARGUMENTS: Final = 64
MAX_COINS: Final = 10
_MARK: Final = re.compile(r"[0-9]{1,20}(_[0-9]{1,20})?:[0-9]{1,20}", re.ASCII)


def arguments_of(query: str) -> dict[str, str]:
    """The parameters of a query; of a repeated name the last one."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_ARGUMENTS))
    except ValueError:
        raise bad_parameter("params error: too many parameters") from None


class Queries:
    """What an account may ask. Nothing here changes anything."""

    def __init__(self, desk: Desk, rows: Rows, orders: Orders) -> None:
        self._desk = desk
        self._rows = rows
        self._orders = orders
        self._calls: dict[str, Callable[[Key, Arguments, int], tuple[str, dict[str, Any]]]] = {
            "/v5/order/realtime": self._realtime,
            "/v5/order/history": self._history,
            "/v5/execution/list": self._executions,
            "/v5/position/list": self._positions,
            "/v5/account/wallet-balance": self._wallet,
            "/v5/account/info": self._account,
            "/v5/account/fee-rate": self._fees,
            "/v5/user/query-api": self._key,
            "/v5/asset/coin/query-info": self._coins,
            "/v5/asset/transfer/query-account-coins-balance": self._coin_balances,
        }

    def answer(self, key: Key, path: str, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        """(retMsg, result). VenueRefusal otherwise."""
        call = self._calls.get(path)
        if call is None:
            raise refusal(codes.NO_ROUTE)
        return call(key, arguments, now_ns)

    # --- orders and executions ------------------------------------------------------------------------------

    def _realtime(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del now_ns
        category = _category(arguments)
        most = _count(arguments, 20, 50)
        open_only = arguments.get("openOnly") or "0"
        if open_only not in ("0", "1", "2"):
            raise bad_parameter("params error: openOnly invalid")
        if category != "spot":
            if category == "linear" and not any(
                arguments.get(name) for name in ("symbol", "baseCoin", "settleCoin")
            ):
                raise bad_parameter(
                    "Missing some parameters that must be filled in, symbol or baseCoin or settleCoin"
                )
            return "OK", _page(category, [], "")
        account = key.account
        named = self._named(account, arguments)
        if named is not None:
            orders = named
        elif open_only == "0":
            orders = self._desk.open_orders(account)
        else:
            orders = (self._desk.ended_orders(account) + self._orders.rejected(account))[-RECENT:]
        return "OK", self._order_page(self._filtered(orders, arguments), arguments, most)

    def _history(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        category = _category(arguments)
        most = _count(arguments, 20, 50)
        first_ms, last_ms = _span(arguments, now_ns)
        if arguments.get("orderStatus") and arguments["orderStatus"] not in codes.STATUSES:
            raise bad_parameter("params error: orderStatus invalid")
        if category != "spot":
            return "OK", _page(category, [], "")
        account = key.account
        orders = self._named(account, arguments)
        if orders is None:
            orders = self._desk.ended_orders(account) + self._orders.rejected(account)
        orders = [
            each
            for each in self._filtered(orders, arguments)
            if not each.is_open and first_ms <= each.created_ns // MS <= last_ms
        ]
        if status := arguments.get("orderStatus"):
            orders = [each for each in orders if _status(each) == status]
        return "OK", self._order_page(orders, arguments, most)

    def _executions(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        category = _category(arguments)
        most = _count(arguments, 50, 100)
        first_ms, last_ms = _span(arguments, now_ns)
        if category != "spot" or (arguments.get("execType") or "Trade") != "Trade":
            return "OK", _page(category, [], "")
        account = key.account
        wanted: set[int] | None = None
        units = self._symbol(arguments)
        coin = arguments.get("baseCoin", "")
        if arguments.get("orderId") or arguments.get("orderLinkId"):
            named = self._orders.find(account, arguments.get("orderId", ""), arguments.get("orderLinkId", ""))
            wanted = {named.order_id} if named is not None else set()
            units, coin = None, ""  # the venue looks at no other parameter then
        filled: dict[int, int] = {}
        found: list[tuple[Fill, int]] = []
        for fill in self._desk.fills(account):
            filled[fill.order_id] = filled.get(fill.order_id, 0) + fill.lots
            if (
                (wanted is None or fill.order_id in wanted)
                and (units is None or fill.symbol == units.index)
                and coin in ("", self._rows.by_index[fill.symbol].spec.base)
                and first_ms <= fill.ts_ns // MS <= last_ms
            ):
                found.append((fill, filled[fill.order_id]))
        found.reverse()
        marks = [f"{fill.symbol}_{fill.trade_id}:{fill.order_id}" for fill, _ in found]
        behind = _cursor(arguments)
        # A fill that is kept no longer was the oldest: there is nothing behind it.
        at = (marks.index(behind) + 1 if behind in marks else len(marks)) if behind else 0
        rows = []
        for fill, done in found[at : at + most]:
            order = self._desk.order(account, fill.order_id)
            rows.append(self._rows.execution(fill, order, (order.lots if order is not None else done) - done))
        shown = marks[at : at + most]
        return "OK", _page(category, rows, _next(shown) if at + most < len(found) else "")

    def _positions(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del key, now_ns
        category = _category(arguments)
        if category == "spot":
            raise bad_parameter("params error: Category is invalid")
        if category == "linear" and not (arguments.get("symbol") or arguments.get("settleCoin")):
            raise bad_parameter("Missing some parameters that must be filled in, symbol or settleCoin")
        return "OK", _page(category, [], "")

    def _order_page(self, orders: list[Order], arguments: Arguments, most: int) -> dict[str, Any]:
        orders.sort(key=lambda each: each.order_id, reverse=True)
        marks = [f"{each.order_id}:{each.created_ns // MS}" for each in orders]
        behind = _cursor(arguments)
        at = sum(each.order_id >= int(behind.partition(":")[0]) for each in orders) if behind else 0
        shown = orders[at : at + most]
        rows = [self._rows.order(each) for each in shown]
        more = at + most < len(orders)
        return _page("spot", rows, _next(marks[at : at + most]) if more else "")

    def _named(self, account: int, arguments: Arguments) -> list[Order] | None:
        """The order of orderId or orderLinkId; None when neither is asked for."""
        order_id, link_id = arguments.get("orderId", ""), arguments.get("orderLinkId", "")
        if not order_id and not link_id:
            return None
        found = self._orders.find(account, order_id, link_id)
        return [found] if found is not None else []

    def _filtered(self, orders: list[Order], arguments: Arguments) -> list[Order]:
        chosen = arguments.get("orderFilter", "")
        if chosen and chosen not in FILTERS and chosen not in OTHER_FILTERS:
            raise refusal(codes.BAD_FILTER)
        units = self._symbol(arguments)
        coin = "" if units is not None else arguments.get("baseCoin", "")
        return [
            each
            for each in orders
            if (units is None or each.symbol == units.index)
            and coin in ("", self._rows.by_index[each.symbol].spec.base)
            and chosen in ("", asked(each).order_filter if not each.is_open else filter_of(each))
        ]

    def _symbol(self, arguments: Arguments) -> Units | None:
        name = arguments.get("symbol")
        if not name:
            return None
        units = self._rows.units.get(name)
        if units is None:
            raise refusal(codes.BAD_SYMBOL)
        return units

    # --- account ----------------------------------------------------------------------------------------------

    def _wallet(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del now_ns
        if arguments.get("accountType") != "UNIFIED":
            raise bad_parameter("accountType only support UNIFIED.")
        return "OK", {"list": [self._rows.wallet(key.account, self._chosen_coins(arguments))]}

    def _account(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del arguments, now_ns
        return "OK", {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(key.created_ns // MS),
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def _fees(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del key, now_ns
        category = _category(arguments)
        if category != "spot":
            return "OK", {"category": category, "list": []}
        units = self._symbol(arguments)
        names = [units.instrument.native] if units is not None else list(self._rows.units)
        rates = {"takerFeeRate": FEE_RATE, "makerFeeRate": FEE_RATE}
        return "OK", {"category": category, "list": [{"symbol": name} | rates for name in names]}

    def _key(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del arguments, now_ns
        nothing = ("ContractTrade", "Options", "Derivatives", "CopyTrading", "BlockTrade", "Exchange", "NFT")
        return "", {
            "id": str(key.account),
            "note": key.label,
            "apiKey": key.api_key,
            "readOnly": 0 if key.trade else 1,
            "secret": "",
            "permissions": {"Spot": ["SpotTrade"], "Wallet": ["AccountTransfer"]}
            | {name: [] for name in nothing},
            "ips": ["*"],
            "type": 1,
            "deadlineDay": -2,  # never
            "expiredAt": "1970-01-01T00:00:00Z",
            "createdAt": f"{datetime.fromtimestamp(key.created_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "unified": 0,
            "uta": 1,
            "userID": key.account,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def _coins(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del key, now_ns
        coins = self._chosen_coins(arguments) or list(self._desk.engine.assets)
        return "success", {
            "rows": [
                {
                    "name": coin,
                    "coin": coin,
                    "remainAmount": "0",
                    "chains": [
                        {
                            "chain": coin,
                            "chainType": coin,
                            "confirmation": "1",
                            "withdrawFee": "",  # no withdrawals
                            "depositMin": "0",
                            "withdrawMin": "0",
                            "minAccuracy": "8",
                            "chainDeposit": "0",
                            "chainWithdraw": "0",
                            "withdrawPercentageFee": "0",
                            "contractAddress": "",
                            "safeConfirmNumber": "1",
                        }
                    ],
                }
                for coin in coins
            ]
        }

    def _coin_balances(self, key: Key, arguments: Arguments, now_ns: int) -> tuple[str, dict[str, Any]]:
        del now_ns
        account_type = arguments.get("accountType")
        if account_type not in ("UNIFIED", "FUND"):
            raise bad_parameter("params error: accountType invalid")
        chosen = self._chosen_coins(arguments)
        if account_type == "UNIFIED" and not 1 <= len(chosen or ()) <= MAX_COINS:
            raise bad_parameter("params error: coin invalid")
        rows = [
            {
                "coin": each.asset,
                "walletBalance": atoms_text(each.free + each.reserved),
                "transferBalance": atoms_text(each.free),
                "bonus": "",
            }
            for each in self._desk.balances(key.account)
            if chosen is None or each.asset in chosen
        ]
        if account_type == "FUND":  # everything is in the trading account
            rows = [row | {"walletBalance": "0", "transferBalance": "0"} for row in rows]
        return "success", {
            "memberId": str(key.account),
            "accountType": account_type,
            "balance": rows,
        }

    def _chosen_coins(self, arguments: Arguments) -> list[str] | None:
        text = arguments.get("coin")
        if not text:
            return None
        coins = text.split(",")
        assets = self._desk.engine.assets
        if any(coin not in assets for coin in coins):
            raise refusal(codes.NO_COIN)
        return list(dict.fromkeys(coins))


def _category(arguments: Arguments) -> str:
    category = arguments.get("category", "")
    if category not in CATEGORIES:
        raise bad_parameter("params error: Illegal category")
    return category


def _count(arguments: Arguments, usual: int, most: int) -> int:
    text = arguments.get("limit") or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise bad_parameter("params error: limit invalid")
    return min(int(text), most)


def _span(arguments: Arguments, now_ns: int) -> tuple[int, int]:
    """From when to when, in ms: seven days at most, the last seven when nothing is said."""
    times: list[int | None] = []
    for name in ("startTime", "endTime"):
        text = arguments.get(name)
        if not text:
            times.append(None)
            continue
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise bad_parameter(f"params error: {name} invalid")
        times.append(int(text))
    first, last = times
    if first is None and last is None:
        return now_ns // MS - WEEK_MS, now_ns // MS + WEEK_MS
    if first is None or last is None:
        return (first, first + WEEK_MS) if first is not None else ((last or 0) - WEEK_MS, last or 0)
    if not 0 <= last - first <= WEEK_MS:
        raise bad_parameter("The time range between startTime and endTime cannot exceed 7 days")
    return first, last


def _status(order: Order) -> str:
    waited = waits_for_trigger(order) and not order.triggered
    return status_text(order.status, order.filled_lots, waited=waited)


def _cursor(arguments: Arguments) -> str:
    """The mark behind which the page begins, "" for the first. It comes back as given out or encoded once more."""
    mark = unquote(unquote(arguments.get("cursor", ""))).rpartition(",")[2]
    if mark and not _MARK.fullmatch(mark):
        raise bad_parameter("params error: cursor invalid")
    return mark


def _next(marks: list[str]) -> str:
    return quote(f"{marks[0]},{marks[-1]}", safe="")


def _page(category: str, rows: list[dict[str, Any]], cursor: str) -> dict[str, Any]:
    return {"category": category, "list": rows, "nextPageCursor": cursor}
