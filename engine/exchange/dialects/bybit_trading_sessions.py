"""Bybit v5's private sockets: `/v5/private` tells an account what happens to it, `/v5/trade` takes its orders.

Acks of subscriptions come some 50 ms late, as the venue's do, and what is subscribed is told from then on: a client
that looks a request up on its ack, or a topic on its first message, has stored it by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec

from engine.exchange.accounts import Accounts, Key, ReplayGuard
from engine.exchange.desk import Desk
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_codes import refusal
from engine.exchange.dialects.bybit_trading_login import Allowance, login, timely
from engine.exchange.dialects.bybit_trading_rows import Rows
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.entry import Link
from engine.exchange.trading import Order, Report

MS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
ACK_DELAY_NS: Final = 50 * MS
SILENCE_S: Final = 600  # a client that sends nothing for so long is cut, unless it asks for less
LEAST_SILENCE_S: Final = 30
MAX_WAITING: Final = 100  # subscriptions that wait for their ack
MAX_REQUEST: Final = 64  # characters of a request's id
ANSWER_DELAY_S: Final = 0.005
BANNED: Final = "access too frequent"
KEPT_REQUESTS: Final = 1_000  # ids of requests, to know one that comes twice
FAMILIES: Final = ("order", "execution", "execution.fast", "position")
KINDS: Final = ("spot", "linear", "inverse", "option")
TOPICS: Final = frozenset(
    {"wallet", "greeks", *FAMILIES, *(f"{family}.{kind}" for family in FAMILIES for kind in KINDS)}
)
OPERATIONS: Final = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
    "order.create-batch": "/v5/order/create-batch",
    "order.amend-batch": "/v5/order/amend-batch",
    "order.cancel-batch": "/v5/order/cancel-batch",
}

encode: Final = msgspec.json.Encoder().encode
Fields = dict[str, Any]


class Answered(msgspec.Struct, frozen=True):
    """What became of an order call: the code, and `result` and `retExtInfo` as REST has them."""

    code: int
    message: str
    result: Fields
    details: Fields = {}
    allowance: Allowance | None = None


class OrderCalls(Protocol):
    """Where order calls are carried out, for REST and the trade socket alike."""

    def call(
        self,
        key: Key,
        path: str,
        arguments: Mapping[str, Any],
        address: str,
        now_ns: int,
        done: Callable[[Answered], None],
    ) -> None:
        """Carry one out; `done` is called once, perhaps at once. Raises nothing that a client can cause."""
        ...


IsBanned = Callable[[str, int], bool]  # address, now_ns


def _nobody(address: str, now_ns: int) -> bool:
    del address, now_ns
    return False


def _short(given: object, most: int) -> str:
    return given if isinstance(given, str) and len(given) <= most else ""


class _Socket:
    """What both sockets share: reading messages, logging in, silence, bans."""

    REQUEST_ID = "req_id"

    def __init__(
        self,
        link: Link,
        accounts: Accounts,
        guard: ReplayGuard,
        now_ns: int,
        silence_s: int = SILENCE_S,
        is_banned: IsBanned = _nobody,
    ) -> None:
        self.key: Key | None = None
        self._link = link
        self._accounts = accounts
        self._guard = guard
        self._open = True
        self._heard_ns = now_ns
        self._silence_ns = silence_s * SECOND_NS
        self._is_banned = is_banned

    def on_text(self, message: bytes, now_ns: int) -> None:
        """One message of the client."""
        if not self._open:
            return
        self._heard_ns = now_ns
        try:
            request: Any = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError, ValueError):
            request = None
        if not isinstance(request, dict):
            self._refused("error:json invalid", "", "", codes.BAD_PARAMETER)
        elif self._is_banned(self._link.address, now_ns):
            given, operation = (request.get(name) for name in (self.REQUEST_ID, "op"))
            self._refused(BANNED, _short(given, MAX_REQUEST), _short(operation, 32), codes.TOO_MANY_VISITS)
        else:
            self._on_request(request, now_ns)

    def on_binary(self, message: bytes, now_ns: int) -> None:
        """The venue takes text alone."""
        del message
        if not self._open:
            return
        self._heard_ns = now_ns
        self._refused("error:json invalid", "", "", codes.BAD_PARAMETER)

    def on_turn(self, now_ns: int) -> None:
        """Ends a session that is silent, or whose key is gone."""
        if not self._open:
            return
        if now_ns - self._heard_ns > self._silence_ns:
            self._end(1000, "no message for too long")
        elif self.key is not None and self._accounts.find(self.key.api_key) is None:
            self.on_revoked(self.key.api_key, now_ns)

    def on_revoked(self, api_key: str, now_ns: int) -> None:
        """Ends a session that was logged in with this key."""
        del now_ns
        if self._open and self.key is not None and self.key.api_key == api_key:
            self._end(1008, "the API key is gone")

    def on_close(self) -> None:
        """Nothing is sent any more."""
        self._open = False

    def _login(self, request: Fields, now_ns: int) -> Key:
        key = login(self._accounts, self._guard, request.get("args"), now_ns)
        self.key = key
        self._link.identify(key.account, key.label or key.name)
        return key

    def _end(self, code: int, reason: str) -> None:
        self._open = False
        self._link.close(code, reason)

    def _send(self, fields: Fields) -> None:
        if self._open:
            self._link.send(encode(fields))

    def _on_request(self, request: Fields, now_ns: int) -> None:
        raise NotImplementedError

    def _refused(self, message: str, request: str, operation: str, code: int) -> None:
        raise NotImplementedError


class PrivateSession(_Socket):
    """One client of `/v5/private`."""

    def __init__(
        self,
        desk: Desk,
        rows: Rows,
        link: Link,
        accounts: Accounts,
        guard: ReplayGuard,
        query: str,
        now_ns: int,
        entered: Callable[[PrivateSession], None],
        left: Callable[[PrivateSession], None],
        is_banned: IsBanned = _nobody,
    ) -> None:
        super().__init__(link, accounts, guard, now_ns, silence_of(query), is_banned)
        self._desk = desk
        self._rows = rows
        self._entered, self._left = entered, left
        self._topics: set[str] = set()
        self._waiting: deque[tuple[int, Fields, frozenset[str], frozenset[str]]] = deque()
        self._sent = 0
        self._now_ns = now_ns

    # --- what happens ---------------------------------------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Orders, then executions, then the wallet."""
        topics = self._topics
        if not topics or self.key is None:
            return
        self._now_ns = now_ns = reports[-1].ts_ns
        fills = [(each.fill, each) for each in reports if each.fill is not None]
        if self._topic("order"):
            rows = [row for each in _last_of_each(reports) for row in self._rows.reported(each)]
            self._push("order", rows, now_ns)
        if fills and self._topic("execution"):
            self._push(
                "execution",
                [
                    {"category": "spot"}
                    | self._rows.execution(fill, each.order, each.order.lots - each.filled_lots)
                    | {"isLeverage": "0", "execPnl": "0"}
                    for fill, each in fills
                ],
                now_ns,
            )
        if fills and self._topic("execution.fast"):
            self._push("execution.fast", [self._rows.fast_execution(fill) for fill, _ in fills], now_ns)
        specs = [self._rows.by_index[at].spec for at in dict.fromkeys(each.order.symbol for each in reports)]
        self._push_wallet([coin for spec in specs for coin in (spec.base, spec.quote)], now_ns)

    def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
        """The wallet."""
        del atoms
        self._push_wallet([asset], ts_ns)

    def on_rejected(self, order: Order) -> None:
        """An order that was taken, and then would have traded at once though it was post-only."""
        if self._topic("order"):
            self._push("order", [{"category": "spot"} | self._rows.order(order)], order.updated_ns)

    def on_turn(self, now_ns: int) -> None:
        """Acks whose time has come; what they subscribed is told from here on."""
        while self._open and self._waiting and self._waiting[0][0] <= now_ns:
            _, ack, more, fewer = self._waiting.popleft()
            self._topics = (self._topics | more) - fewer
            self._send(ack)
        super().on_turn(now_ns)

    def on_close(self) -> None:
        """Stop listening."""
        super().on_close()
        self._waiting.clear()
        self._topics.clear()
        if self.key is not None:
            self._desk.unlisten(self.key.account, self)
            self._left(self)

    # --- what the client asks --------------------------------------------------------------------------------

    def _on_request(self, request: Fields, now_ns: int) -> None:
        given = request.get("req_id")
        request_id = given if isinstance(given, str) and len(given) <= MAX_REQUEST else ""
        operation = request.get("op")
        if operation == "ping":
            pong = {"op": "pong", "args": [str(now_ns // MS)], "conn_id": self._link.id}
            self._send({"req_id": request_id} | pong)
        elif operation == "auth":
            self._auth(request, request_id, now_ns)
        elif operation in ("subscribe", "unsubscribe"):
            self._subscribe(request, request_id, operation, now_ns)
        else:
            shown = operation[:32] if isinstance(operation, str) else ""
            self._refused("error:op invalid", request_id, shown, codes.BAD_PARAMETER)

    def _auth(self, request: Fields, request_id: str, now_ns: int) -> None:
        if self.key is not None:
            self._refused("Repeat auth", request_id, "auth", codes.REPEATED_LOGIN)
            return
        try:
            key = self._login(request, now_ns)
        except VenueRefusal as refused:
            self._refused(refused.message, request_id, "auth", refused.code)
            return
        self._desk.listen(key.account, self)
        self._entered(self)
        self._send(self._ack(True, "", request_id, "auth"))

    def _subscribe(self, request: Fields, request_id: str, operation: str, now_ns: int) -> None:
        if self.key is None:
            self._refused("Request not authorized", request_id, operation, codes.NOT_LOGGED_IN)
            return
        given = request.get("args")
        if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
            self._refused("error:args invalid", request_id, operation, codes.BAD_PARAMETER)
            return
        unknown = next((name for name in given if name not in TOPICS), None)
        if unknown is not None:
            text = f"error:handler not found,topic:{unknown[:MAX_REQUEST]}"
            self._refused(text, request_id, operation, codes.BAD_PARAMETER)
            return
        names = frozenset(given)
        mixed = next(
            (each for each in FAMILIES if each in names and any(f"{each}.{kind}" in names for kind in KINDS)),
            None,
        )
        if mixed is not None:
            text = f"error:all-in-one and categorised topics in one request,topic:{mixed}"
            self._refused(text, request_id, operation, codes.BAD_PARAMETER)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._refused("error:too many requests", request_id, operation, codes.TOO_MANY_VISITS)
            return
        more, fewer = (names, frozenset[str]()) if operation == "subscribe" else (frozenset[str](), names)
        ack = self._ack(True, "", request_id, operation)
        self._waiting.append((now_ns + ACK_DELAY_NS, ack, more, fewer))

    # --- inside -----------------------------------------------------------------------------------------------

    def _topic(self, family: str) -> tuple[str, ...]:
        """The subscribed topics that tell a family: its own, and that of spot."""
        return tuple(name for name in (family, f"{family}.spot") if name in self._topics)

    def _push_wallet(self, coins: Sequence[str], now_ns: int) -> None:
        if "wallet" in self._topics and self.key is not None:
            self._push("wallet", [self._rows.wallet(self.key.account, coins)], now_ns)

    def _push(self, family: str, rows: list[Fields], now_ns: int) -> None:
        for topic in self._topic(family):
            self._sent += 1
            head = {"id": f"{self._link.id}-{self._sent}", "topic": topic, "creationTime": now_ns // MS}
            self._send(head | {"data": rows})

    def _ack(self, success: bool, message: str, request_id: str, operation: str) -> Fields:
        fields: Fields = {"success": success, "ret_msg": message, "op": operation, "conn_id": self._link.id}
        return ({"req_id": request_id} if request_id else {}) | fields

    def _refused(self, message: str, request: str, operation: str, code: int) -> None:
        self._link.count(reject=code)
        self._send(self._ack(False, message, request, operation))


class TradeSession(_Socket):
    """One client of `/v5/trade`."""

    REQUEST_ID = "reqId"

    def __init__(
        self,
        calls: OrderCalls,
        link: Link,
        accounts: Accounts,
        guard: ReplayGuard,
        now_ns: int,
        later: Callable[[Callable[[], None]], object],
        is_banned: IsBanned = _nobody,
    ) -> None:
        """`later` calls what it is given a little later: pybit keeps a request's id only once it has sent it."""
        super().__init__(link, accounts, guard, now_ns, is_banned=is_banned)
        self._later = later
        self._calls = calls
        self._answers = 0
        self._known: set[str] = set()
        self._recent: deque[str] = deque()

    def _on_request(self, request: Fields, now_ns: int) -> None:
        given = request.get("reqId")
        request_id = given if isinstance(given, str) and len(given) <= MAX_REQUEST else ""
        operation = request.get("op")
        if operation == "ping":
            self._reply(request_id, 0, "OK", {"op": "pong", "data": [str(now_ns // MS)]})
        elif operation == "auth":
            self._auth(request, request_id, now_ns)
        elif not isinstance(operation, str) or operation not in OPERATIONS:
            shown = operation[:32] if isinstance(operation, str) else ""
            self._refused(codes.SENTENCES[codes.BAD_OPERATION], request_id, shown, codes.BAD_OPERATION)
        else:
            self._link.count(orders=1)
            try:
                self._order(request, request_id, operation, now_ns)
            except VenueRefusal as refused:
                self._refused(refused.message, request_id, operation, refused.code, acks=1)

    def _auth(self, request: Fields, request_id: str, now_ns: int) -> None:
        try:
            if self.key is not None:
                raise refusal(codes.REPEATED_LOGIN)
            self._login(request, now_ns)
        except VenueRefusal as refused:
            self._refused(refused.message, request_id, "auth", refused.code)
        else:
            self._reply(request_id, 0, "OK", {"op": "auth"})

    def _order(self, request: Fields, request_id: str, operation: str, now_ns: int) -> None:
        key = self.key
        if key is None or self._accounts.find(key.api_key) is None:
            raise refusal(codes.NOT_LOGGED_IN)
        if not key.trade:
            raise refusal(codes.NO_PERMISSION)
        header, given = request.get("header"), request.get("args")
        if not isinstance(header, dict):
            raise refusal(codes.BAD_PARAMETER)
        timely(header.get("X-BAPI-TIMESTAMP"), header.get("X-BAPI-RECV-WINDOW"), now_ns)
        if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
            raise refusal(codes.BAD_PARAMETER)
        if given[0].get("category") != "spot":
            raise refusal(codes.BAD_OPERATION)
        self._first_time(request_id)

        def done(answer: Answered) -> None:
            self._link.count(acks=1, reject=answer.code or None)
            self._answers += 1
            times = {"Traceid": f"{self._link.id}-{self._answers}", "Timenow": str(now_ns // MS)}
            limits = answer.allowance.headers if answer.allowance is not None else {}
            rest = {"op": operation, "data": answer.result, "retExtInfo": answer.details}
            rest["header"] = limits | times
            self._later(lambda: self._reply(request_id, answer.code, answer.message, rest))

        self._calls.call(key, OPERATIONS[operation], given[0], self._link.address, now_ns, done)

    def _first_time(self, request_id: str) -> None:
        if not request_id:
            return
        if request_id in self._known:
            raise refusal(codes.REPEATED_REQUEST)
        self._known.add(request_id)
        self._recent.append(request_id)
        if len(self._recent) > KEPT_REQUESTS:
            self._known.discard(self._recent.popleft())

    def _reply(self, request_id: str, code: int, message: str, rest: Fields) -> None:
        fields: Fields = {"reqId": request_id} if request_id else {}
        self._send(fields | {"retCode": code, "retMsg": message} | rest | {"connId": self._link.id})

    def _refused(self, message: str, request: str, operation: str, code: int, *, acks: int = 0) -> None:
        """`acks`: 1 where this answers an order that was counted."""
        self._link.count(acks=acks, reject=code)
        self._reply(request, code, message, {"op": operation, "data": {}})


def silence_of(query: str) -> int:
    """Seconds of silence a private connection may ask for with `max_alive_time`: 30s to 600s, or in minutes."""
    try:
        text = parse_qs(query, max_num_fields=8).get("max_alive_time", [""])[-1]
    except ValueError:
        return SILENCE_S
    number, unit = text[:-1], text[-1:]
    if unit not in ("s", "m") or not (number.isascii() and number.isdigit() and len(number) <= 3):
        return SILENCE_S
    return min(max(int(number) * (60 if unit == "m" else 1), LEAST_SILENCE_S), SILENCE_S)


def _last_of_each(reports: Sequence[Report]) -> list[Report]:
    """The reports without those trades of an order that the next report of it outdoes."""
    kept: list[Report] = []
    last: dict[int, int] = {}  # order id -> where its last report is, when that is a trade
    for report in reports:
        order_id = report.order.order_id
        at = last.pop(order_id, None)
        if report.kind == "trade":
            if at is not None:
                kept[at] = report
                last[order_id] = at
                continue
            last[order_id] = len(kept)
        kept.append(report)
    return kept
