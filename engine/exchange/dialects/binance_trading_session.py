"""Sessions of Binance's WebSocket API: requests with ids, answers in any order, and user data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.exchange.accounts import Key
from engine.exchange.dialects.binance_trading_arguments import Arguments, from_json
from engine.exchange.dialects.binance_trading_calls import Asked, Call
from engine.exchange.dialects.binance_trading_errors import body_of, illegal, missing, refuse
from engine.exchange.dialects.binance_trading_orders import own_extra
from engine.exchange.dialects.binance_trading_views import account_position, balance_update, execution_report
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.entry import Link
from engine.exchange.trading import Report

if TYPE_CHECKING:
    from engine.exchange.dialects.binance_trading import BinanceTrading

MS: Final = 1_000_000
MOST_SUBSCRIPTIONS: Final = 1_000  # at a time, of a session
MOST_IN_ALL: Final = 65_535  # over its life
_ID: Final = re.compile(r"[a-zA-Z0-9-_]{1,36}")
# Public requests, by the REST call that answers them.
PUBLIC: Final = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchangeInfo",
    "depth": "depth",
    "trades.recent": "trades",
    "trades.aggregate": "aggTrades",
    "klines": "klines",
    "uiKlines": "klines",
    "ticker.24hr": "ticker/24hr",
    "ticker.price": "ticker/price",
    "ticker.book": "ticker/bookTicker",
}

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Feed:
    """One account's user data on a session."""

    def __init__(self, session: TradingSession, number: int, key: Key) -> None:
        self.number: Final = number
        self.account: Final = key.account
        self.api_key: Final = key.api_key
        self._session = session

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Orders first, then the balances after all of it."""
        session, dialect = self._session, self._session.dialect
        assets: dict[str, None] = {}
        lists: dict[int, None] = {}
        for report in reports:
            symbol = dialect.calls.by_index.get(report.order.symbol)
            if symbol is None:
                continue
            session.push(self.number, execution_report(report, symbol))
            assets |= {symbol.units.spec.base: None, symbol.units.spec.quote: None}
            extra = own_extra(report.order)
            if extra is not None and extra.list_id >= 0:
                lists[extra.list_id] = None
        for list_id in lists:
            event = dialect.lists.status_event(list_id, reports, reports[-1].ts_ns)
            if event is not None:
                session.push(self.number, event)
        if assets:
            balances = [dialect.calls.desk.balance(self.account, asset) for asset in assets]
            session.push(self.number, account_position(balances, reports[-1].ts_ns))

    def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
        """Money came or went."""
        desk = self._session.dialect.calls.desk
        self._session.push(self.number, balance_update(asset, atoms, ts_ns))
        self._session.push(self.number, account_position([desk.balance(self.account, asset)], ts_ns))


class TradingSession:
    """One client's conversation. Every request is answered; user data comes in between."""

    def __init__(self, dialect: BinanceTrading, link: Link, *, limits: bool) -> None:
        """`limits`: answers tell the use of limits unless a request says otherwise."""
        self.dialect: Final = dialect
        self._link = link
        self._limits = limits
        self._feeds: dict[int, _Feed] = {}
        self._begun = 0  # subscriptions, over its life
        self._account = -1  # whose request came last
        self._closed = False
        self._own: Final[dict[str, Callable[[Arguments, int], Any]]] = {
            "session.status": self._status,
            "session.logout": self._status,
            "session.subscriptions": self._subscriptions,
            "userDataStream.subscribe.signature": self._subscribe,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def on_text(self, message: bytes, now_ns: int) -> None:
        """One request."""
        if self._closed:
            return
        number: Any = None
        try:
            request = _request(message)
            number = _number(request)
            self._handle(request, number, now_ns)
        except VenueRefusal as refusal:
            self._answer(number, refusal, None, now_ns)

    def on_binary(self, message: bytes, now_ns: int) -> None:
        """Refused: requests are text."""
        del message
        self._answer(None, refuse(-1135, "Invalid JSON Request"), None, now_ns)

    def on_turn(self, now_ns: int) -> None:
        """Nothing to do: signatures are checked with each request."""

    def on_revoked(self, api_key: str, now_ns: int) -> None:
        """Ends user data that was subscribed with this key. The rest of the session belongs to no key."""
        self._end_feeds([number for number, feed in self._feeds.items() if feed.api_key == api_key], now_ns)

    def on_close(self) -> None:
        """Stop all user data."""
        self._closed = True
        for feed in self._feeds.values():
            self.dialect.calls.desk.unlisten(feed.account, feed)
        self._feeds.clear()

    def push(self, number: int, event: dict[str, Any]) -> None:
        """One event of a subscription."""
        self._link.send(b'{"subscriptionId":%d,"event":%b}' % (number, _encode(event)))

    # --- requests ---------------------------------------------------------------------------------------

    def _handle(self, request: dict[str, Any], number: Any, now_ns: int) -> None:
        method = request.get("method")
        if not isinstance(method, str) or not method:
            raise missing("method")
        params = request.get("params", {})
        if params is None:
            params = {}
        if not isinstance(params, dict):
            raise refuse(-1135, "Invalid 'params' in JSON request; expected an object.")
        arguments = from_json(params)
        shows = arguments.flag("returnRateLimits") if arguments.has("returnRateLimits") else self._limits
        dialect = self.dialect
        call, own = dialect.table.get(method), self._own.get(method)
        orders = 0 if call is None else call.orders
        if orders:
            self._link.count(orders=orders)  # and its answer counts as many acks
        verdict = dialect.judge(method, arguments, self._link.address, now_ns)
        limits = dialect.limits_of(verdict.headers) if shows else None
        if not verdict.served:
            refusal = VenueRefusal(verdict.status, verdict.code, verdict.message)
            self._answer(number, refusal, limits, now_ns, _retry(verdict.headers, now_ns), acks=orders)
            return
        try:
            if call is not None:
                known = self._signed(arguments, call.trade, call.trade, now_ns)
                arguments.only(call.arguments)
                asked = Asked(known, arguments, now_ns)
                if not orders:
                    call.run(asked, lambda result: self._answer(number, result, limits, now_ns))
                else:
                    self._order(number, call, asked, verdict.headers if shows else None)
            elif own is not None:
                self._answer(number, own(arguments, now_ns), limits, now_ns)
            elif method in PUBLIC:
                path = f"{dialect.public.root}/{PUBLIC[method]}"
                body = dialect.public.answer("GET", path, arguments.values, now_ns)
                self._answer(number, msgspec.Raw(body), limits, now_ns)
            else:
                raise self._unserved(method)
        except VenueRefusal as refusal:
            self._answer(number, refusal, limits, now_ns, acks=orders)

    def _order(self, number: Any, call: Call, asked: Asked, headers: Mapping[str, str] | None) -> None:
        """Carry out a call that places orders; its answer tells how many there are, too. No `headers`: no limits."""
        dialect, now_ns = self.dialect, asked.now_ns

        def answer(result: Any, more: Mapping[str, str], retry: dict[str, Any] | None = None) -> None:
            limits = None if headers is None else dialect.limits_of({**headers, **more})
            self._answer(number, result, limits, now_ns, retry, acks=call.orders)

        def done(result: Any) -> None:
            answer(result, dialect.order_headers(call, asked.key, now_ns) if headers is not None else {})

        try:
            dialect.run(call, asked, self._link.address, done)
        except VenueRefusal as refusal:
            more = getattr(refusal, "headers", {})
            answer(refusal, more, _retry(more, now_ns) if more else None)

    def _signed(self, arguments: Arguments, trade: bool, once: bool, now_ns: int) -> Key:
        """The key behind a signed request."""
        values = arguments.values
        key = self.dialect.access.key(values.get("apiKey"))
        payload = "&".join([f"{name}={values[name]}" for name in sorted(values) if name != "signature"])
        signature = values.get("signature", "")
        self.dialect.access.check(key, arguments, signature, payload, now_ns, trade=trade, once=once)
        if key.account != self._account:
            self._account = key.account
            self._link.identify(key.account, key.name)
        return key

    def _unserved(self, method: str) -> VenueRefusal:
        if method == "session.logon":
            # The venue logs on Ed25519 keys alone; all keys here are HMAC.
            return refuse(-4056, "HMAC_SHA256 API key is not supported.")
        if method == "userDataStream.subscribe":
            return VenueRefusal(401, -1002, "You are not authorized to execute this request.")
        return refuse(-1020, f"This operation is not supported: {method[:60]!r}.")

    def _status(self, arguments: Arguments, now_ns: int) -> Any:
        """Nobody is ever logged on."""
        del arguments
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": None,
            "returnRateLimits": self._limits,
            "serverTime": now_ns // MS,
            "userDataStream": bool(self._feeds),
        }

    def _subscriptions(self, arguments: Arguments, now_ns: int) -> Any:
        del arguments, now_ns
        return [{"subscriptionId": number} for number in self._feeds]

    def _subscribe(self, arguments: Arguments, now_ns: int) -> Any:
        key = self._signed(arguments, False, True, now_ns)
        arguments.only(())
        if any(feed.account == key.account for feed in self._feeds.values()):
            raise refuse(-2035, "User Data Stream subscription already active.")
        if self._begun >= MOST_IN_ALL:
            raise refuse(-2042, "Maximum subscription ID reached for this connection.")
        if len(self._feeds) >= MOST_SUBSCRIPTIONS:
            raise refuse(
                -1191,
                "Too many subscriptions. Connection may create up to "
                f"'{MOST_SUBSCRIPTIONS}' subscriptions at a time.",
            )
        feed = _Feed(self, self._begun, key)
        self._begun += 1
        self._feeds[feed.number] = feed
        self.dialect.calls.desk.listen(key.account, feed)
        return {"subscriptionId": feed.number}

    def _unsubscribe(self, arguments: Arguments, now_ns: int) -> Any:
        arguments.only(("subscriptionId",))
        number = arguments.whole("subscriptionId")
        gone = list(self._feeds) if number is None else [each for each in self._feeds if each == number]
        if not gone:
            raise refuse(-2036, "User Data Stream subscription not active.")
        self._end_feeds(gone, now_ns)
        return {}

    def _end_feeds(self, numbers: Sequence[int], now_ns: int) -> None:
        for each in numbers:
            feed = self._feeds.pop(each, None)
            if feed is not None:
                self.dialect.calls.desk.unlisten(feed.account, feed)
                self.push(each, {"e": "eventStreamTerminated", "E": now_ns // MS})

    def _answer(
        self,
        number: Any,
        result: Any,
        limits: list[dict[str, str | int]] | None,
        now_ns: int,
        more: dict[str, Any] | None = None,
        *,
        acks: int = 0,
    ) -> None:
        """`acks`: how many orders this answers, as many as were counted."""
        if self._closed:
            return
        answer: dict[str, Any] = {"id": number}
        if isinstance(result, VenueRefusal):
            error = body_of(result)
            if more is not None:
                error["data"] = {"serverTime": now_ns // MS} | more
            answer |= {"status": result.status, "error": error}
            self._link.count(acks=acks, reject=result.code)
        else:
            answer |= {"status": 200, "result": result}
            if acks:
                self._link.count(acks=acks)
        if limits is not None:
            answer["rateLimits"] = limits
        self._link.send(_encode(answer))


def _request(message: bytes) -> dict[str, Any]:
    try:
        request = _decode(message)
    except (msgspec.DecodeError, RecursionError):  # includes text that is not UTF-8
        raise refuse(-1135, "Invalid JSON Request") from None
    if not isinstance(request, dict):
        raise refuse(-1135, "Invalid JSON Request")
    return request


def _number(request: dict[str, Any]) -> Any:
    number = request.get("id")
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    if isinstance(number, str) and number.isascii() and _ID.fullmatch(number):
        return number
    raise illegal("id", "^[a-zA-Z0-9-_]{1,36}$")


def _retry(headers: Any, now_ns: int) -> dict[str, Any]:
    seconds = headers.get("Retry-After")
    return {} if seconds is None else {"retryAfter": now_ns // MS + int(seconds) * 1_000}
