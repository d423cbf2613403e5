"""The native protocol, version 1: orders, private events and market data in compact JSON or msgpack, on one socket.

`PROTOCOL.md` beside this file has every message. Pure translation: messages in, desk commands out, answers and events
back in the form (text or binary) the client speaks. A frame holds one object or an array of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec

from engine.exchange.accounts import Accounts, Key, ReplayGuard, signed
from engine.exchange.desk import Desk
from engine.exchange.dialects.native_feed import NativeFeed
from engine.exchange.entry import Link
from engine.exchange.trading import Fill, Order, Outcome, Report, Status, sentence
from engine.exchange.units import Units, atoms_text
from engine.market.batches import BUY, SELL
from engine.matching.orders import (
    BAD_LOTS,
    BAD_PRICE,
    BAD_TRIGGER,
    DECREMENT,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    NONE,
    OFF_LOT,
    OFF_TICK,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TRAILING_STOP,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
)

VERSION: Final = 1
MAX_BATCH: Final = 200  # objects of one frame
MAX_CHANNELS: Final = 64
USUAL_ROWS: Final = 200  # of an answer to `orders` or `fills`
MAX_ROWS: Final = 1_000
# What a client's questions cost together within a tenth of a second, in rows of some 2 us: the time is everybody's.
MAX_COST: Final = 3_000
COST_WITHIN_NS: Final = 100_000_000
QUESTION_COST: Final = 20
BOOK_COST: Final = 300  # of a snapshot
LOGIN_WITHIN_MS: Final = 10_000  # between the client's clock and ours
MOST: Final = 1 << 41  # the engine refuses what it finds too large itself, up to here
KEPT_TEXTS: Final = 8_192  # decimal texts whose number is remembered, of each symbol

BAD_MESSAGE: Final = 200
NOT_LOGGED_IN: Final = 201
BAD_KEY: Final = 202
BAD_SIGNATURE: Final = 203
OLD_TIMESTAMP: Final = 204
REPLAYED: Final = 205
MAY_NOT_TRADE: Final = 206
TOO_MANY: Final = 207
UNKNOWN_OP: Final = 208

SPACE: Final = b" \t\r\n"

KINDS: Final = {
    "limit": LIMIT,
    "market": MARKET,
    "stop": STOP,
    "stop_limit": STOP_LIMIT,
    "take_profit": TAKE_PROFIT,
    "take_profit_limit": TAKE_PROFIT_LIMIT,
    "trailing_stop": TRAILING_STOP,
}
KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
PRICED: Final = frozenset({LIMIT, STOP_LIMIT, TAKE_PROFIT_LIMIT})
SIDES: Final = {"buy": BUY, "sell": SELL}
SIDE_NAMES: Final = {BUY: "buy", SELL: "sell"}
STATUSES: Final = {name: name.encode() for name in get_args(Status)}
TIMES: Final = {"gtc": GTC, "ioc": IOC, "fok": FOK, "gtd": GTD}
SELF_TRADES: Final = {
    "none": NONE,
    "expire_taker": EXPIRE_TAKER,
    "expire_maker": EXPIRE_MAKER,
    "expire_both": EXPIRE_BOTH,
    "decrement": DECREMENT,
}

Id = (
    Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    | Annotated[str, msgspec.Meta(max_length=36)]
    | None
)
Text = Annotated[str, msgspec.Meta(max_length=40)]
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]
Row = TypeVar("Row")


class Request(msgspec.Struct, gc=False):
    """Any message of a client; which fields count depends on `op`."""

    op: Text
    id: Id = None
    symbol: Text = ""
    side: Literal["buy", "sell"] = "buy"
    type: Text = "limit"
    price: Text = ""
    size: Text = ""
    tif: Text = "gtc"
    trigger: Text = ""
    display: Text = ""
    self_trade: Text = "none"
    post_only: bool = False
    client_id: Text = ""
    order_id: Number = 0
    expire_ns: Number = 0
    link: Number = 0
    limit: Number = 0
    key: Annotated[str, msgspec.Meta(max_length=100)] = ""
    sign: Annotated[str, msgspec.Meta(max_length=100)] = ""
    ts_ms: Number = 0
    channels: Annotated[list[Text], msgspec.Meta(max_length=MAX_CHANNELS)] = []


_one: Final = msgspec.json.Decoder(Request)
_many: Final = msgspec.json.Decoder(
    Annotated[list[Request], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
)
_any_packed: Final = msgspec.msgpack.Decoder(
    Request | Annotated[list[Request], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
)
_text: Final = msgspec.json.Encoder().encode
_packed: Final = msgspec.msgpack.Encoder().encode


class Refused(Exception):
    """A request that cannot be done; never leaves this module."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code, text)
        self.code, self.text = code, text or sentence(code)


class _Symbol:
    """A symbol with the numbers of texts that came lately: clients send the same prices again and again."""

    __slots__ = ("index", "lots", "name", "nothing", "price_texts", "size_texts", "ticks", "units")

    def __init__(self, units: Units) -> None:
        self.units, self.name, self.index = units, units.instrument.symbol, units.index
        self.nothing = units.size_text(0).encode()
        self.ticks = _Remembered(units.ticks)
        self.lots = _Remembered(units.lots)
        self.price_texts = _Written(units.price_text)
        self.size_texts = _Written(units.size_text)


class _Written(dict[int, bytes]):
    """Texts by their number."""

    def __init__(self, write: Callable[[int], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, number: int) -> bytes:
        if len(self) >= KEPT_TEXTS:
            self.clear()
        text = self[number] = self._write(number).encode()
        return text


class _Remembered(dict[str, int]):
    """Numbers by their text: 1 up to what orders may have. A new text is parsed.

    ValueError when it is no number of the units, OverflowError when it is out of range.
    """

    def __init__(self, parse: Callable[[str], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> int:
        number = self._parse(text)
        if not 0 < number < MOST:
            raise OverflowError
        if len(self) >= KEPT_TEXTS:
            self.clear()
        self[text] = number
        return number


class Native:
    """What all native sessions share."""

    def __init__(
        self, desk: Desk, accounts: Accounts, guard: ReplayGuard, units: Mapping[str, Units], feed: NativeFeed
    ) -> None:
        """`units` by native name; the protocol uses universal names ("BTC-USDT"), and takes either."""
        self.desk, self.accounts, self.guard, self.feed = desk, accounts, guard, feed
        self.order_port = 0  # where orders are taken faster; 0: nowhere
        self.symbols: Final = {each.instrument.symbol: _Symbol(each) for each in units.values()}
        self.by_index: Final = {each.units.index: each for each in self.symbols.values()}
        self.names: Final = self.symbols | {
            name: self.symbols[each.instrument.symbol] for name, each in units.items()
        }

    def session(self, path: str, link: Link, now_ns: int) -> NativeSession | None:
        """A session for `/native`; None for other paths."""
        return NativeSession(self, link, now_ns) if path == "/native" else None


class NativeSession:
    """One client."""

    def __init__(self, shared: Native, link: Link, now_ns: int) -> None:
        self._shared, self._desk, self._link = shared, shared.desk, link
        self._key: Key | None = None
        self._account = 0
        self._binary = False  # the form of the client's last frame
        self._listens = False
        self._ended = False
        self._cost = 0  # of the questions since
        self._cost_since_ns = 0
        self._answer_text, self._answer_packed = self._placed_text, self._placed_packed  # bound once
        self._ops: dict[str, Callable[[Request, int], None]] = {
            "place": self._place,
            "cancel": self._cancel,
            "amend": self._amend,
            "cancel_all": self._cancel_all,
            "login": self._login,
            "ping": self._ping,
            "orders": self._orders,
            "fills": self._fills,
            "balances": self._balances,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }
        self._send(
            {
                "op": "hello",
                "version": VERSION,
                "time_ns": now_ns,
                "order_port": shared.order_port,
                "symbols": [
                    {
                        "symbol": each.name,
                        "tick": each.units.price_text(1),
                        "lot": each.units.size_text(1),
                        "min_notional": "5",
                    }
                    for each in shared.symbols.values()
                ],
            }
        )

    # --- Session -----------------------------------------------------------------------------------------

    def on_text(self, message: bytes, now_ns: int) -> None:
        """One frame of JSON."""
        self._binary = False
        requests: Sequence[Request] = ()
        try:
            if message[:1] == b"{" or message.lstrip(SPACE)[:1] != b"[":
                request = _one.decode(message)
            else:
                requests = _many.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._bad(error)
            return
        if requests:
            self._take_all(requests, now_ns)
        else:
            self._take(request, now_ns)

    def on_binary(self, message: bytes, now_ns: int) -> None:
        """One frame of msgpack."""
        self._binary = True
        try:
            decoded = _any_packed.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._bad(error)
            return
        self._take_all(decoded if isinstance(decoded, list) else (decoded,), now_ns)

    def on_turn(self, now_ns: int) -> None:
        """Nothing: who is quiet may stay. A key that was revoked ends the session."""
        key = self._key
        if key is not None and self._shared.accounts.find(key.api_key) is None:
            self.on_revoked(key.api_key, now_ns)

    def on_revoked(self, api_key: str, now_ns: int) -> None:
        """Ends a session that was logged in with this key."""
        del now_ns
        if self._key is not None and self._key.api_key == api_key:
            self._key = None  # nothing is done for it any more, not even what is left of a batch
            self._link.close(1008, "the key was revoked")

    def on_close(self) -> None:
        """Stop listening; what is left of a batch is not begun."""
        self._ended = True
        if self._listens:
            self._desk.unlisten(self._account, self)
        self._shared.feed.drop(self)

    # --- Listener ----------------------------------------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Events of the account."""
        for report in reports:
            self._send(self._event(report))

    def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
        """Money that came or went."""
        self._send(
            {"ch": "account", "type": "transfer", "asset": asset, "amount": atoms_text(atoms), "ts_ns": ts_ns}
        )

    # --- what NativeFeed needs ---------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The connection's, as a fault names it."""
        return self._link.id

    @property
    def behind(self) -> bool:
        """Whether so much waits for this client that market data must be thinned."""
        return self._link.queued > self._shared.feed.soft_limit

    def push(self, text: bytes, packed: Callable[[], bytes]) -> None:
        """Market data in the client's form."""
        if self._binary:
            self._link.send_binary(packed())
        else:
            self._link.send(text)

    # --- inside ------------------------------------------------------------------------------------------

    def _take_all(self, requests: Sequence[Request], now_ns: int) -> None:
        for request in requests:
            if self._ended:  # cut meanwhile: it asked for more than it reads
                return
            self._take(request, now_ns)

    def _take(self, request: Request, now_ns: int) -> None:
        op = self._ops.get(request.op)
        try:
            if op is None:
                raise Refused(UNKNOWN_OP, f"op: there is no {request.op!r}; there are {', '.join(self._ops)}")
            op(request, now_ns)
        except Refused as refused:
            self._refuse(request.op, request.id, refused.code, refused.text)

    def _send(self, value: Any, binary: bool | None = None) -> None:
        if self._binary if binary is None else binary:
            self._link.send_binary(_packed(value))
        else:
            self._link.send(_text(value))

    def _bad(self, error: Exception) -> None:
        self._link.count(reject=BAD_MESSAGE)
        text = f"message: {str(error)[:200]}"
        self._send({"op": "error", "id": None, "ok": False, "code": BAD_MESSAGE, "error": text})

    def _refuse(
        self, op: str, number: Id, code: int, text: str, binary: bool | None = None, *, acks: int = 0
    ) -> None:
        """`acks`: 1 where this answers a command that was counted."""
        self._link.count(acks=acks, reject=code)
        self._send({"op": op, "id": number, "ok": False, "code": code, "error": text}, binary)

    def _symbol(self, request: Request) -> _Symbol:
        found = self._shared.names.get(request.symbol)
        if found is None:
            raise Refused(UNKNOWN_SYMBOL, f"symbol: there is no {request.symbol!r}")
        return found

    def _trader(self) -> int:
        key = self._key
        if key is None:
            raise Refused(NOT_LOGGED_IN, "log in first")
        if not key.trade:
            raise Refused(MAY_NOT_TRADE, "this key may only read")
        return self._account

    def _place(self, request: Request, now_ns: int) -> None:
        del now_ns
        key = self._key
        account = self._account if key is not None and key.trade else self._trader()
        symbol = self._shared.names.get(request.symbol) or self._symbol(request)
        kind = KINDS.get(request.type)
        if kind is None:
            raise Refused(BAD_MESSAGE, f"type: there is no {request.type!r}; there are {', '.join(KINDS)}")
        order = Order(
            account,
            symbol.index,
            SIDES[request.side],
            kind,
            symbol.lots.get(request.size) or _lots(symbol, request.size),
            (symbol.ticks.get(request.price) or _ticks(symbol, request.price)) if kind in PRICED else 0,
            client_id=request.client_id,
            dialect="native",
            post_only=request.post_only,
            expire_ns=request.expire_ns,
            link_id=request.link,
        )
        if request.tif != "gtc":
            order.time_in_force = TIMES.get(request.tif) or _named(TIMES, "tif", request.tif)
        if request.self_trade != "none":
            order.self_trade = _named(SELF_TRADES, "self_trade", request.self_trade)
        if request.trigger:
            order.trigger_ticks = _ticks(symbol, request.trigger, "trigger", BAD_TRIGGER)
        if request.display:
            order.display_lots = _lots(symbol, request.display, "display")
        order.extra = request.id
        self._link.count(1)
        self._desk.place(order, self._answer_packed if self._binary else self._answer_text)

    def _placed_text(self, outcome: Outcome) -> None:
        """Answer a place of JSON. Nearly all are written by hand, in a third of the time."""
        order = outcome.order
        assert order is not None
        number = order.extra
        if not outcome.reason and not outcome.filled_lots and type(number) is int:
            nothing = self._shared.by_index[order.symbol].nothing
            self._link.ack(
                b'{"op":"place","id":%d,"ok":true,"order_id":%d,"status":"%b","filled":"%b","ts_ns":%d}'
                % (number, order.order_id, STATUSES[outcome.status], nothing, outcome.ts_ns)
            )
            return
        if not outcome.reason and type(number) is int:
            symbol = self._shared.by_index[order.symbol]
            lots = outcome.filled_lots
            self._link.ack(
                b'{"op":"place","id":%d,"ok":true,"order_id":%d,"status":"%b","filled":"%b","ts_ns":%d,"average":"%b"}'
                % (
                    *(number, order.order_id, STATUSES[outcome.status], symbol.size_texts[lots]),
                    *(outcome.ts_ns, symbol.price_texts[outcome.filled_notional // lots]),
                )
            )
            return
        self._tell_placed(order, number, outcome, binary=False)

    def _placed_packed(self, outcome: Outcome) -> None:
        """Answer a place of msgpack."""
        order = outcome.order
        assert order is not None
        self._tell_placed(order, order.extra, outcome, binary=True)

    def _tell_placed(self, order: Order, number: Id, outcome: Outcome, *, binary: bool) -> None:
        if outcome.reason:
            self._refuse("place", number, outcome.reason, sentence(outcome.reason), binary, acks=1)
            return
        self._link.count(0, 1)
        self._send(self._placed(order, number, outcome), binary)

    def _placed(self, order: Order, number: Id, outcome: Outcome) -> dict[str, Any]:
        units = self._shared.by_index[order.symbol].units
        said: dict[str, Any] = {
            "op": "place",
            "id": number,
            "ok": True,
            "order_id": order.order_id,
            "status": outcome.status,
            "filled": units.size_text(outcome.filled_lots),
            "ts_ns": outcome.ts_ns,
        }
        if outcome.filled_lots:
            said["average"] = _average(units, outcome.filled_notional, outcome.filled_lots)
        return said

    def _wanted(self, request: Request) -> int:
        """The id of the order that is meant."""
        if request.order_id:
            return request.order_id
        if not request.client_id:
            raise Refused(BAD_MESSAGE, "order_id: it is needed, or client_id")
        order = self._desk.by_client_id(self._account, request.client_id)
        if order is None:
            raise Refused(UNKNOWN_ID)
        return order.order_id

    def _cancel(self, request: Request, now_ns: int) -> None:
        del now_ns
        account = self._trader()
        order_id = self._wanted(request)
        self._link.count(orders=1)
        self._desk.cancel(account, order_id, self._answering(request, order_id))

    def _amend(self, request: Request, now_ns: int) -> None:
        del now_ns
        account = self._trader()
        order_id = self._wanted(request)
        order = self._desk.order(account, order_id)
        if order is None or not order.is_open:
            raise Refused(UNKNOWN_ID)
        if not request.price and not request.size:
            raise Refused(BAD_MESSAGE, "price: it is needed, or size")
        symbol = self._shared.by_index[order.symbol]
        price = _ticks(symbol, request.price) if request.price else 0
        lots = _lots(symbol, request.size) if request.size else 0
        self._link.count(orders=1)
        self._desk.amend(account, order_id, price, lots, self._answering(request, order_id))

    def _cancel_all(self, request: Request, now_ns: int) -> None:
        del now_ns
        account, symbol = self._trader(), self._symbol(request)
        self._link.count(orders=1)
        self._desk.cancel_all(account, symbol.units.index, self._answering(request, 0))

    def _answering(self, request: Request, order_id: int) -> Callable[[Outcome], None]:
        binary = self._binary

        def answer(outcome: Outcome) -> None:
            if outcome.reason:
                self._refuse(request.op, request.id, outcome.reason, sentence(outcome.reason), binary, acks=1)
                return
            self._link.count(acks=1)
            said: dict[str, Any] = {"op": request.op, "id": request.id, "ok": True}
            order = outcome.order
            if order is not None:
                units = self._shared.by_index[order.symbol].units
                said |= {
                    "order_id": order_id,
                    "status": outcome.status,
                    "filled": units.size_text(outcome.filled_lots),
                    "open": units.size_text(outcome.open_lots),
                }
            else:
                said["count"] = outcome.count
            self._send(said | {"ts_ns": outcome.ts_ns}, binary)

        return answer

    def _login(self, request: Request, now_ns: int) -> None:
        key = self._shared.accounts.find(request.key)
        if key is None:
            raise Refused(BAD_KEY, "key: there is no such key")
        if not signed(key.secret, f"login{request.ts_ms}{request.key}".encode(), request.sign):
            raise Refused(BAD_SIGNATURE, "sign: it is not the HMAC-SHA256 of 'login', ts_ms and key")
        if abs(now_ns // 1_000_000 - request.ts_ms) > LOGIN_WITHIN_MS:
            raise Refused(OLD_TIMESTAMP, f"ts_ms: more than {LOGIN_WITHIN_MS:,} ms from the exchange's clock")
        if request.ts_ms * 1_000_000 < self._shared.guard.opened_ns:  # nobody knows what was used then
            raise Refused(OLD_TIMESTAMP, "ts_ms: before the exchange's start")
        until_ns = (request.ts_ms + 2 * LOGIN_WITHIN_MS) * 1_000_000
        if not self._shared.guard.admit(request.key, request.sign.lower(), now_ns, until_ns):
            raise Refused(REPLAYED, "sign: it was used before")
        if self._listens and key.account != self._account:
            self._desk.unlisten(self._account, self)
            self._listens = False
        self._key, self._account = key, key.account
        self._link.identify(key.account, key.name)
        self._send({"op": "login", "id": request.id, "ok": True, "account": key.name})

    def _ping(self, request: Request, now_ns: int) -> None:
        self._send({"op": "ping", "id": request.id, "ok": True, "time_ns": now_ns})

    def _reader(self) -> int:
        if self._key is None:
            raise Refused(NOT_LOGGED_IN, "log in first")
        return self._account

    def _spend(self, cost: int, now_ns: int) -> None:
        """Count what a question costs, in rows. Refused when that is more than is left now."""
        if not 0 <= now_ns - self._cost_since_ns < COST_WITHIN_NS:
            self._cost, self._cost_since_ns = 0, now_ns
        if self._cost + cost > MAX_COST:
            raise Refused(TOO_MANY, "too many questions: ask again in 100 ms, or for fewer rows")
        self._cost += cost

    def _newest(self, rows: list[Row], request: Request, now_ns: int) -> tuple[list[Row], dict[str, bool]]:
        """As many as are asked for, oldest first, and a note if older ones are left out."""
        chosen = rows[-(request.limit or USUAL_ROWS) :]
        self._spend(len(chosen), now_ns)
        return chosen, {"more": True} if len(chosen) < len(rows) else {}

    def _listed(self, request: Request, now_ns: int) -> tuple[int, int | None]:
        """Whose rows of which symbol are asked for."""
        account = self._reader()
        if request.limit > MAX_ROWS:
            raise Refused(BAD_MESSAGE, f"limit: {request.limit} is more than {MAX_ROWS:,}")
        symbol = self._symbol(request).units.index if request.symbol else None
        self._spend(QUESTION_COST, now_ns)
        return account, symbol

    def _orders(self, request: Request, now_ns: int) -> None:
        account, symbol = self._listed(request, now_ns)
        if request.order_id:
            found = self._desk.order(account, request.order_id)
            if found is None:
                raise Refused(UNKNOWN_ID, f"order_id: there is no order {request.order_id}")
            orders = [found]
        else:
            orders = self._desk.open_orders(account, symbol)
        orders, more = self._newest(orders, request, now_ns)
        rows = [self._order(each) for each in orders]
        self._send({"op": "orders", "id": request.id, "ok": True, "orders": rows} | more)

    def _fills(self, request: Request, now_ns: int) -> None:
        fills, more = self._newest(self._desk.fills(*self._listed(request, now_ns)), request, now_ns)
        rows = [self._fill(each) for each in fills]
        self._send({"op": "fills", "id": request.id, "ok": True, "fills": rows} | more)

    def _balances(self, request: Request, now_ns: int) -> None:
        account = self._reader()
        self._spend(QUESTION_COST, now_ns)
        rows = {
            each.asset: {"free": atoms_text(each.free), "reserved": atoms_text(each.reserved)}
            for each in self._desk.balances(account)
        }
        self._send({"op": "balances", "id": request.id, "ok": True, "balances": rows})

    def _subscribe(self, request: Request, now_ns: int) -> None:
        parts = self._channels(request)
        if any(symbol is None for _, symbol in parts):
            self._reader()
        books = {symbol for kind, symbol in parts if kind == "book"}
        self._spend(QUESTION_COST + BOOK_COST * len(books), now_ns)
        said = {"op": "subscribe", "id": request.id, "ok": True, "channels": request.channels}
        self._send(said)
        for kind, symbol in parts:
            if self._ended:  # cut meanwhile, by what it was sent
                return
            if symbol is not None:
                self._shared.feed.follow(self, kind, symbol.name)
            elif not self._listens:
                self._listens = True
                self._desk.listen(self._account, self)

    def _unsubscribe(self, request: Request, now_ns: int) -> None:
        parts = self._channels(request)
        self._spend(QUESTION_COST, now_ns)
        for kind, symbol in parts:
            if symbol is not None:
                self._shared.feed.unfollow(self, kind, symbol.name)
            elif self._listens:
                self._listens = False
                self._desk.unlisten(self._account, self)
        self._send({"op": "unsubscribe", "id": request.id, "ok": True, "channels": request.channels})

    def _channels(self, request: Request) -> list[tuple[str, _Symbol | None]]:
        parts: list[tuple[str, _Symbol | None]] = []
        for name in request.channels:
            kind, _, wanted = name.partition(":")
            if name == "account":
                parts.append((name, None))
                continue
            symbol = self._shared.names.get(wanted)
            if kind not in NativeFeed.KINDS or symbol is None:
                kinds = ", ".join(f"{each}:SYMBOL" for each in NativeFeed.KINDS)
                raise Refused(BAD_MESSAGE, f"channels: there is no {name!r}; there are account, {kinds}")
            parts.append((kind, symbol))
        return parts

    def _event(self, report: Report) -> dict[str, Any]:
        order, fill = report.order, report.fill
        symbol = self._shared.by_index[order.symbol]
        units = symbol.units
        said: dict[str, Any] = {
            "ch": "account",
            "type": report.kind,
            "order_id": order.order_id,
            "client_id": order.client_id,
            "symbol": symbol.name,
            "side": SIDE_NAMES[order.side],
            "status": report.status,
            "filled": units.size_text(report.filled_lots),
            "open": units.size_text(report.open_lots),
            "ts_ns": report.ts_ns,
        }
        if report.reason:
            said["reason"] = sentence(report.reason)
        if fill is not None:
            said |= {
                "price": units.price_text(fill.price_ticks),
                "size": units.size_text(fill.lots),
                "fee": atoms_text(fill.fee_atoms),
                "fee_asset": fill.fee_asset,
                "maker": fill.maker,
                "trade_id": fill.trade_id,
            }
        return said

    def _order(self, order: Order) -> dict[str, Any]:
        symbol = self._shared.by_index[order.symbol]
        units = symbol.units
        said: dict[str, Any] = {
            "order_id": order.order_id,
            "client_id": order.client_id,
            "symbol": symbol.name,
            "side": SIDE_NAMES[order.side],
            "type": KIND_NAMES[order.kind],
            "status": order.status,
            "size": units.size_text(order.lots),
            "filled": units.size_text(order.filled_lots),
            "open": units.size_text(order.open_lots),
            "created_ns": order.created_ns,
            "updated_ns": order.updated_ns,
        }
        if order.price_ticks:
            said["price"] = units.price_text(order.price_ticks)
        if order.trigger_ticks:
            said["trigger"] = units.price_text(order.trigger_ticks)
        if order.filled_lots:
            said["average"] = _average(units, order.filled_notional, order.filled_lots)
        return said

    def _fill(self, fill: Fill) -> dict[str, Any]:
        symbol = self._shared.by_index[fill.symbol]
        return {
            "trade_id": fill.trade_id,
            "order_id": fill.order_id,
            "client_id": fill.client_id,
            "symbol": symbol.name,
            "side": SIDE_NAMES[fill.side],
            "price": symbol.units.price_text(fill.price_ticks),
            "size": symbol.units.size_text(fill.lots),
            "fee": atoms_text(fill.fee_atoms),
            "fee_asset": fill.fee_asset,
            "maker": fill.maker,
            "ts_ns": fill.ts_ns,
        }


def _ticks(symbol: _Symbol, text: str, field: str = "price", code: int = BAD_PRICE) -> int:
    try:
        ticks = symbol.ticks[text]
    except ValueError as error:
        raise Refused(OFF_TICK if "." in text else code, f"{field}: {error}") from None
    except OverflowError:
        raise Refused(code, f"{field}: {sentence(code)}") from None
    return ticks


def _lots(symbol: _Symbol, text: str, field: str = "size") -> int:
    try:
        lots = symbol.lots[text]
    except ValueError as error:
        raise Refused(OFF_LOT if "." in text else BAD_LOTS, f"{field}: {error}") from None
    except OverflowError:
        raise Refused(BAD_LOTS, f"{field}: {sentence(BAD_LOTS)}") from None
    return lots


def _named(codes: Mapping[str, int], field: str, text: str) -> int:
    found = codes.get(text)
    if found is None:
        raise Refused(BAD_MESSAGE, f"{field}: there is no {text!r}; there are {', '.join(codes)}")
    return found


def _average(units: Units, notional: int, lots: int) -> str:
    """The mean price of what was filled, rounded down to the tick."""
    return units.price_text(notional // lots)
