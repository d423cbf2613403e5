"""Binance spot's private side: signed REST calls, and the WebSocket API with orders and user data.

What differs from the venue: a signature works once for calls that change something; order lists are OCO alone, and the
funds of both orders are held; a trailing stop follows at a fixed distance, taken from the best price when it is placed,
and has no limit form; the price of an order that waits is held to no band; an amended order keeps its client id; there
are no pegged prices, no order routing, and no fields of prevented matches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.exchange.accounts import Accounts, Key, ReplayGuard
from engine.exchange.desk import Desk
from engine.exchange.dialects.binance import BinanceRest
from engine.exchange.dialects.binance_trading_access import Access
from engine.exchange.dialects.binance_trading_arguments import Arguments, parse
from engine.exchange.dialects.binance_trading_calls import Asked, Call, Calls, Done
from engine.exchange.dialects.binance_trading_errors import Nested, body_of
from engine.exchange.dialects.binance_trading_lists import Lists
from engine.exchange.dialects.binance_trading_orders import symbol_of
from engine.exchange.dialects.binance_trading_session import PUBLIC, TradingSession
from engine.exchange.dialects.binance_trading_wallet import WALLET
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.enforcement import Enforcement
from engine.exchange.entry import Link, RestAnswer, RestCall, Session
from engine.exchange.limit_windows import Verdict
from engine.exchange.served import ServedMarket
from engine.exchange.units import units_of

FEE_PPM: Final = 1_000
API: Final = "/api/v3"
SOCKET: Final = "/ws-api/v3"
KEY_HEADER: Final = "X-MBX-APIKEY"
LISTEN_KEYS: Final = ("/api/v3/userDataStream", "/sapi/v1/userDataStream")
PATHS: Final = {
    "POST /order": "order.place",
    "POST /order/test": "order.test",
    "DELETE /order": "order.cancel",
    "GET /order": "order.status",
    "POST /order/cancelReplace": "order.cancelReplace",
    "PUT /order/amend/keepPriority": "order.amend.keepPriority",
    "GET /openOrders": "openOrders.status",
    "DELETE /openOrders": "openOrders.cancelAll",
    "GET /allOrders": "allOrders",
    "GET /myTrades": "myTrades",
    "GET /account": "account.status",
    "GET /account/commission": "account.commission",
    "GET /rateLimit/order": "account.rateLimits.orders",
    "POST /orderList/oco": "orderList.place.oco",
    "POST /order/oco": "orderList.place",
    "DELETE /orderList": "orderList.cancel",
    "GET /orderList": "orderList.status",
    "GET /openOrderList": "openOrderLists.status",
    "GET /allOrderList": "allOrderLists",
}

_HEADERS: Final = {"REQUEST_WEIGHT": "X-MBX-USED-WEIGHT", "ORDERS": "X-MBX-ORDER-COUNT"}
_encode: Final = msgspec.json.Encoder().encode


class TooManyOrders(VenueRefusal):
    """-1015, with the headers that say when to come back."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.status, verdict.code, verdict.message)
        self.headers: Final = verdict.headers


class BinanceTrading:
    """Translates between Binance spot's private calls and the desk."""

    def __init__(
        self,
        desk: Desk,
        accounts: Accounts,
        guard: ReplayGuard,
        market: ServedMarket,
        enforcement: Enforcement,
        *,
        fee_ppm: int = FEE_PPM,
    ) -> None:
        """`market` is `binance_spot` over the desk's engine; of its listings those are traded that the desk has."""
        traded = {each.symbol for each in desk.books}
        listed = [each for each in market.listings.values() if each.instrument.symbol in traded]
        units = units_of([each.instrument for each in listed], desk.books)
        symbols = {each.native: symbol_of(units[each.native], each) for each in listed}
        self.access: Final = Access(accounts, guard)
        self.calls: Final = Calls(desk, symbols, fee_ppm)
        self.enforcement: Final = enforcement
        self.public: Final = BinanceRest(market, enforcement)
        self.lists: Final = Lists(self.calls)
        self.table: Final[dict[str, Call]] = self.calls.table() | self.lists.table()
        self.table["account.rateLimits.orders"] = Call(self._order_limits, frozenset())
        whole = {each.replace(" ", f" {API}", 1): name for each, name in PATHS.items()}
        self._endpoints = {name: each for each, name in whole.items()} | {
            name: f"GET {API}/{path}" for name, path in PUBLIC.items()
        }
        self._rest = {each: self.table[name] for each, name in whole.items()}
        self._rest |= {each: Call(make(self.calls), names) for each, (make, names) in WALLET.items()}
        self._paths = {each.split(" ", 1)[1] for each in self._rest}.union(LISTEN_KEYS)

    def takes(self, method: str, path: str) -> bool:
        """Whether the path is one of the private calls'."""
        del method
        return path in self._paths or path.startswith("/sapi/")

    def caller(self, call: RestCall) -> str:
        """The account of the key in the header."""
        key = self.access.find(call.headers.get(KEY_HEADER, ""))
        return "" if key is None else str(key.account)

    def orders_in(self, call: RestCall) -> int:
        """How many orders the call would place."""
        found = self._rest.get(f"{call.method} {call.path}")
        return 0 if found is None else found.orders

    async def answer(self, call: RestCall) -> RestAnswer:
        """The call's answer in the venue's form, refusals included."""
        headers: Mapping[str, str] = {}
        try:
            result, headers = await self._answer(call)
        except VenueRefusal as refusal:
            result = refusal
            if isinstance(refusal, TooManyOrders):
                headers = refusal.headers
        if isinstance(result, VenueRefusal):
            return RestAnswer(result.status, _encode(body_of(result)), headers)
        return RestAnswer(200, _encode(result), headers)

    async def _answer(self, call: RestCall) -> tuple[Any, Mapping[str, str]]:
        found = self._rest.get(f"{call.method} {call.path}")
        if found is None:
            raise self._unserved(call)
        key = self.access.key(call.headers.get(KEY_HEADER))
        body = call.body.decode(errors="replace") if call.body else ""
        arguments, signature, payload = parse(call.query, body)
        self.access.check(
            key, arguments, signature, payload, call.now_ns, trade=found.trade, once=found.trade
        )
        arguments.only(found.arguments)
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(value: Any) -> None:
            if not result.done():  # whoever asked may be gone
                result.set_result(value)

        self.run(found, Asked(key, arguments, call.now_ns), call.address, done)
        became = await result
        return became, self.order_headers(found, key, call.now_ns)

    def run(self, call: Call, asked: Asked, address: str, done: Done) -> None:
        """Carry out a call of one who surely is who it says. Orders count where they go to the desk: TooManyOrders when
        they are too many, other refusals of wrong arguments count none.
        """
        orders, now_ns, account = call.orders, asked.now_ns, str(asked.key.account)
        if not orders:
            call.run(asked, done)
            return
        verdict = self.enforcement.place(now_ns, address, account, orders)
        if not verdict.served:
            late = TooManyOrders(verdict)
            if not call.partly:
                raise late
            call.run(asked._replace(late=late), done)
            return

        def finished(result: Any) -> None:
            if isinstance(result, Nested) and result.data["newOrderResult"] == "NOT_ATTEMPTED":
                self.enforcement.give_back(now_ns, account, orders)
            done(result)

        try:
            call.run(asked, finished)
        except VenueRefusal:
            self.enforcement.give_back(now_ns, account, orders)
            raise

    def order_headers(self, call: Call, key: Key, now_ns: int) -> Mapping[str, str]:
        """What an answer says of the account's orders: nothing where none were placed."""
        return self.enforcement.order_headers(now_ns, str(key.account)) if call.orders else {}

    def session(self, path: str, query: str, link: Link, now_ns: int) -> Session | None:
        """A WebSocket API session."""
        del now_ns
        if path != SOCKET:
            return None
        return TradingSession(self, link, limits="returnRateLimits=false" not in query.split("&"))

    def _unserved(self, call: RestCall) -> VenueRefusal:
        where = f"Path {call.path[:100]}, Method {call.method} is invalid"
        if call.path in LISTEN_KEYS:
            return VenueRefusal(
                410, -1020, "This operation is not supported: listen keys have gone; use the WebSocket API."
            )
        return VenueRefusal(405 if call.path in self._paths else 404, -5000, where)

    # --- limits -----------------------------------------------------------------------------------------

    def judge(self, method: str, arguments: Arguments, address: str, now_ns: int) -> Verdict:
        """Count one request of the WebSocket API, as the REST call it stands for."""
        return self.enforcement.request(
            now_ns, address, self._endpoints.get(method, method), arguments.values
        )

    def limits_of(self, headers: Mapping[str, str]) -> list[dict[str, str | int]]:
        """`rateLimits` of an answer: what the headers of a REST answer would say."""
        rows: list[dict[str, str | int]] = []
        for window in self.enforcement.rules.windows:
            number, letter, interval = window.unit
            header = _HEADERS.get(window.kind)
            count = headers.get(f"{header}-{number}{letter}") if header is not None else None
            if count is not None:
                rows.append(
                    {
                        "rateLimitType": window.kind,
                        "interval": interval,
                        "intervalNum": number,
                        "limit": window.limit,
                        "count": int(count),
                    }
                )
        return rows

    def _order_limits(self, asked: Asked, done: Done) -> None:
        rows: list[dict[str, str | int]] = []
        for window, used in self.enforcement.orders_used(asked.now_ns, str(asked.key.account)):
            number, _, interval = window.unit
            rows.append(
                {
                    "rateLimitType": "ORDERS",
                    "interval": interval,
                    "intervalNum": number,
                    "limit": window.limit,
                    "count": used,
                }
            )
        done(rows)
