"""Bybit v5's private side: signed REST and the private sockets, over the desk. Only spot trades.

Orders are those of a unified account. Refusals have the venue's codes and change nothing; the limits of each user and
second are the venue's too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.exchange.accounts import Accounts, Key, ReplayGuard
from engine.exchange.desk import Desk
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_codes import bad_parameter, refusal
from engine.exchange.dialects.bybit_trading_login import PER_SECOND, Allowance, UserLimits, signer
from engine.exchange.dialects.bybit_trading_orders import CATEGORIES, Orders
from engine.exchange.dialects.bybit_trading_queries import Queries, arguments_of
from engine.exchange.dialects.bybit_trading_rows import Rows
from engine.exchange.dialects.bybit_trading_sessions import (
    ANSWER_DELAY_S,
    Answered,
    PrivateSession,
    TradeSession,
    encode,
)
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.enforcement import Enforcement
from engine.exchange.entry import Link, RestAnswer, RestCall
from engine.exchange.served import ServedMarket
from engine.exchange.trading import Order
from engine.exchange.units import units_of

MARKET: Final = "bybit_spot"
MS: Final = 1_000_000
MAX_BATCH: Final = 10
PREFIXES: Final = ("/v5/order/", "/v5/execution/", "/v5/position/", "/v5/account/", "/v5/asset/", "/v5/user/")
NO_HEADERS: Final[Mapping[str, str]] = {}
NO_OTHERS: Final[Mapping[str, int]] = {}

Done = Callable[[Answered], None]
Fields = dict[str, Any]


class BybitTrading:
    """Bybit's `TradingDialect`. One loop, the engine's."""

    def __init__(
        self,
        desk: Desk,
        accounts: Accounts,
        guard: ReplayGuard,
        markets: Mapping[str, ServedMarket],
        enforcement: Enforcement,
        *,
        per_second: Mapping[str, int] = NO_OTHERS,
        answer_delay_s: float = ANSWER_DELAY_S,
    ) -> None:
        """`per_second`: a user's calls by path, where they are not the venue's; 0 for any number. The trade socket's
        answers come `answer_delay_s` late.
        """
        self._answer_delay_s = answer_delay_s
        self._accounts = accounts
        self._guard = guard
        self._desk = desk
        self._enforcement = enforcement
        self._limits = UserLimits(PER_SECOND | dict(per_second))
        market = markets.get(MARKET)
        listings = market.listings if market is not None else {}
        traded = {book.symbol for book in desk.books}
        instruments = [each.instrument for each in listings.values() if each.instrument.symbol in traded]
        self._rows = Rows(desk, units_of(instruments, desk.books), listings)
        self._orders = Orders(desk, market, self._rows, self._on_rejected)
        self._queries = Queries(desk, self._rows, self._orders)
        self._sessions: dict[int, list[PrivateSession]] = {}
        one = {"create": self._orders.create, "amend": self._orders.amend, "cancel": self._orders.cancel}
        self._single: Final = {f"/v5/order/{name}": call for name, call in one.items()}
        self._batches: Final = {f"/v5/order/{name}-batch": f"/v5/order/{name}" for name in one}

    # --- the dialect ------------------------------------------------------------------------------------------

    def takes(self, method: str, path: str) -> bool:
        """Whatever is below the paths of orders, positions, accounts, assets and users."""
        del method
        return path.startswith(PREFIXES)

    def caller(self, call: RestCall) -> str:
        """The name of the key's account."""
        key = self._accounts.find(call.headers.get("X-BAPI-API-KEY", ""))
        return key.name if key is not None else ""

    def orders_in(self, call: RestCall) -> int:
        """1 of a single order, those of a batch, else 0."""
        if call.method != "POST" or not call.path.startswith("/v5/order/create"):
            return 0
        if call.path == "/v5/order/create":
            return 1
        try:
            given = _decoded(call.body).get("request")
        except VenueRefusal:
            return 1
        return min(max(len(given), 1), MAX_BATCH) if isinstance(given, list) else 1

    async def answer(self, call: RestCall) -> RestAnswer:
        """The answer to one REST call."""
        headers = NO_HEADERS
        try:
            key = signer(self._accounts, self._guard, call)
            if call.method == "GET":
                headers = self._admitted(key, call)
                message, result = self._queries.answer(key, call.path, arguments_of(call.query), call.now_ns)
                answered = Answered(0, message, result)
            elif call.method == "POST":
                answered = await self._called(key, call)
                headers = answered.allowance.headers if answered.allowance is not None else headers
            else:
                raise refusal(codes.NO_ROUTE)
        except VenueRefusal as refused:
            if refused.code == codes.TOO_MANY_VISITS and not headers:
                headers = _headers_of(refused)
            return RestAnswer(
                refused.status, _envelope(refused.code, refused.message, {}, {}, call.now_ns), headers
            )
        body = _envelope(answered.code, answered.message, answered.result, answered.details, call.now_ns)
        return RestAnswer(200, body, headers)

    def session(self, path: str, query: str, link: Link, now_ns: int) -> PrivateSession | TradeSession | None:
        """Sessions at `/v5/private` and `/v5/trade`."""
        if path == "/v5/private":
            return PrivateSession(
                self._desk, self._rows, link, self._accounts, self._guard, query, now_ns,
                self._entered, self._left, self._enforcement.is_banned,
            )  # fmt: skip
        if path == "/v5/trade":
            return TradeSession(
                self, link, self._accounts, self._guard, now_ns, self._later, self._enforcement.is_banned
            )
        return None

    # --- order calls, of REST and of the trade socket ----------------------------------------------------------

    def call(
        self, key: Key, path: str, arguments: Mapping[str, Any], address: str, now_ns: int, done: Done
    ) -> None:
        """Carry out one order call; `done` is called once."""
        single, allowance = self._single.get(path), None
        try:
            if single is not None:
                allowance = self._take(key, path, 1, address, now_ns)
                single(
                    key.account, arguments, now_ns,
                    lambda became: done(_answered(became, allowance)),
                )  # fmt: skip
            elif path == "/v5/order/cancel-all":
                allowance = self._take(key, path, 1, address, now_ns)
                self._orders.cancel_all(
                    key.account, arguments, now_ns,
                    lambda orders: done(_canceled_all(orders, allowance)),
                )  # fmt: skip
            elif path in self._batches:
                self._batch(key, path, arguments, address, now_ns, done)
            else:
                raise refusal(codes.NO_ROUTE)
        except VenueRefusal as refused:
            allowance = refused.allowance if isinstance(refused, TooManyVisits) else allowance
            done(Answered(refused.code, refused.message, {}, {}, allowance))

    def _batch(
        self, key: Key, path: str, arguments: Mapping[str, Any], address: str, now_ns: int, done: Done
    ) -> None:
        """Several orders: each has an answer of its own; those beyond the limit are refused."""
        category, given = arguments.get("category"), arguments.get("request")
        if category not in CATEGORIES:
            raise bad_parameter("params error: Illegal category")
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise bad_parameter("params error: request invalid")
        if not 1 <= len(given) <= MAX_BATCH:
            raise bad_parameter(f"params error: a batch has 1 to {MAX_BATCH} orders")
        allowance = self._limits.take(key.account, path, len(given), now_ns)
        admitted = len(given) if allowance is None else allowance.admitted
        if admitted < len(given):
            self._enforcement.refuse(now_ns, address)
        became: list[VenueRefusal | Order | None] = [None] * len(given)
        left = len(given)

        def placed(at: int, outcome: VenueRefusal | Order) -> None:
            nonlocal left
            became[at] = outcome
            left -= 1
            if left:
                return
            created = path == "/v5/order/create-batch"
            rows = [_batch_row(asked, each, created) for asked, each in zip(given, became, strict=True)]
            ends = [each if isinstance(each, VenueRefusal) else None for each in became]
            details = [{"code": e.code, "msg": e.message} if e else {"code": 0, "msg": "OK"} for e in ends]
            done(Answered(0, "OK", {"list": rows}, {"list": details}, allowance))

        single = self._single[self._batches[path]]
        for at, each in enumerate(given):
            if at >= admitted:
                placed(at, refusal(codes.TOO_MANY_VISITS))
                continue
            try:
                single(key.account, {**each, "category": category}, now_ns, lambda o, at=at: placed(at, o))  # type: ignore[misc]
            except VenueRefusal as refused:
                placed(at, refused)

    async def _called(self, key: Key, call: RestCall) -> Answered:
        arguments = _decoded(call.body)
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

        def done(answer: Answered) -> None:
            if not future.done():  # the client may have gone meanwhile
                future.set_result(answer)

        self.call(key, call.path, arguments, call.address, call.now_ns, done)
        answered = await future
        if answered.code == codes.NO_ROUTE:
            raise refusal(codes.NO_ROUTE)
        return answered

    # --- inside ------------------------------------------------------------------------------------------------

    def _admitted(self, key: Key, call: RestCall) -> Mapping[str, str]:
        allowance = self._take(key, call.path, 1, call.address, call.now_ns)
        return allowance.headers if allowance is not None else NO_HEADERS

    def _take(self, key: Key, path: str, calls: int, address: str, now_ns: int) -> Allowance | None:
        """Count a call against the user's limit. VenueRefusal when it does not fit, with the limit's headers."""
        allowance = self._limits.take(key.account, path, calls, now_ns)
        if allowance is not None and not allowance.admitted:
            self._enforcement.refuse(now_ns, address)
            raise TooManyVisits(allowance)
        return allowance

    def _later(self, call: Callable[[], None]) -> None:
        if self._answer_delay_s:
            asyncio.get_running_loop().call_later(self._answer_delay_s, call)
        else:
            call()

    def _on_rejected(self, order: Order) -> None:
        for session in tuple(self._sessions.get(order.account, ())):
            session.on_rejected(order)

    def _entered(self, session: PrivateSession) -> None:
        if session.key is not None:
            self._sessions.setdefault(session.key.account, []).append(session)

    def _left(self, session: PrivateSession) -> None:
        if session.key is None:
            return
        mine = self._sessions.get(session.key.account, [])
        if session in mine:
            mine.remove(session)
        if not mine:
            self._sessions.pop(session.key.account, None)


class TooManyVisits(VenueRefusal):
    """10006, with what the user's limit is."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__(200, codes.TOO_MANY_VISITS, codes.SENTENCES[codes.TOO_MANY_VISITS])
        self.allowance = allowance


def _headers_of(refused: VenueRefusal) -> Mapping[str, str]:
    return refused.allowance.headers if isinstance(refused, TooManyVisits) else NO_HEADERS


def _decoded(body: bytes) -> Fields:
    try:
        arguments = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise bad_parameter("params error: the body is no JSON") from None
    if not isinstance(arguments, dict):
        raise bad_parameter("params error: the body is no JSON object")
    return arguments


def _ids(order: Order) -> Fields:
    return {"orderId": str(order.order_id), "orderLinkId": order.client_id}


def _answered(became: VenueRefusal | Order, allowance: Allowance | None) -> Answered:
    if isinstance(became, VenueRefusal):
        return Answered(became.code, became.message, {}, {}, allowance)
    return Answered(0, "OK", _ids(became), {}, allowance)


def _canceled_all(orders: list[Order], allowance: Allowance | None) -> Answered:
    result = {"list": [_ids(each) for each in orders], "success": "1"}
    return Answered(0, "OK", result, {}, allowance)


def _batch_row(asked: Fields, became: VenueRefusal | Order | None, created: bool) -> Fields:
    symbol, link_id = asked.get("symbol"), asked.get("orderLinkId")
    row: Fields = {
        "category": "spot",
        "symbol": symbol if isinstance(symbol, str) else "",
        "orderId": "",
        "orderLinkId": link_id if isinstance(link_id, str) else "",
    }
    times = {"createAt": ""}
    if isinstance(became, Order):
        row |= _ids(became)
        times = {"createAt": str(became.created_ns // MS)}
    return row | times if created else row


def _envelope(code: int, message: str, result: Fields, details: Fields, now_ns: int) -> bytes:
    return encode(
        {"retCode": code, "retMsg": message, "result": result, "retExtInfo": details, "time": now_ns // MS}
    )
