"""One Binance frame at a time, by msgspec: the patient counterpart of `binance_kernel`, which explains.

It takes any valid JSON of the published shapes, says which field is wrong when it cannot, and tells how many
decimals a frame needs. Level arrays stay raw until the decimals are known, then the compiled parser takes
them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from engine.market.batches import BBO, BUY, LEVEL, SELL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument, needed_decimals, parse_decimal
from feeds.levels import TOO_MANY, parse_levels

MAX_LEVELS: Final = 16_384  # in one frame
MAX_DECIMALS: Final = 10  # Binance gives 8; more would only serve to overflow a book
MAX_MILLIS: Final = 10**14  # above, times are microseconds: spot offers them
UNKNOWN: Final = "json"  # the field named when the frame is no JSON object at all

Whole = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
Time = Annotated[int, msgspec.Meta(ge=0, lt=10**16)]


class BadField(Exception):
    """A frame's field is missing or wrong; `field` is its name on the wire."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Outer(msgspec.Struct):
    """What tells frames apart, envelope or not. Unset fields are simply not there."""

    stream: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str | msgspec.UnsetType = msgspec.UNSET
    u: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    last_update_id: msgspec.Raw | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="lastUpdateId"
    )
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class DepthUpdate(msgspec.Struct):
    s: str
    E: Time
    U: Whole
    u: Whole
    b: msgspec.Raw
    a: msgspec.Raw
    pu: Whole | msgspec.UnsetType = msgspec.UNSET


class BookTicker(msgspec.Struct):
    s: str
    u: Whole
    b: str
    B: str
    a: str
    A: str
    E: Time = 0


class Trade(msgspec.Struct):
    s: str
    t: Whole
    p: str
    q: str
    T: Time
    m: bool


class RestDepth(msgspec.Struct):
    last_update_id: Whole = msgspec.field(name="lastUpdateId")
    bids: msgspec.Raw
    asks: msgspec.Raw
    symbol: str = ""
    E: Time = 0


@dataclass(frozen=True, slots=True)
class Other:
    """A good frame that is no market data we use."""

    name: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A frame of a known shape, its numbers still text."""

    body: DepthUpdate | BookTicker | Trade | RestDepth

    @property
    def native(self) -> str:
        """The venue's symbol; empty where the frame names none."""
        return self.body.symbol if isinstance(self.body, RestDepth) else self.body.s

    def decimals(self) -> tuple[int, int]:
        """(price, size) decimals that hold the frame's numbers exactly. BadField where one is no number."""
        body = self.body
        if isinstance(body, BookTicker):
            pairs = {"b": (body.b, body.B), "a": (body.a, body.A)}
            found = [_pair_decimals(field, [pair]) for field, pair in pairs.items()]
        elif isinstance(body, Trade):
            found = [_pair_decimals("p", [(body.p, body.q)])]
        else:
            found = [_pair_decimals(field, _text_levels(field, raw)) for field, raw in _sides(body)]
        return max(price for price, _ in found), max(size for _, size in found)

    def batch(self, source: Source, instrument: Instrument, recv_ns: int) -> Batch:
        """The frame in the instrument's units. BadField when a number doesn't fit them."""
        body, symbol = self.body, instrument.symbol
        if isinstance(body, BookTicker):
            bid, bid_size = _scaled("b", body.b, "B", body.B, instrument)
            ask, ask_size = _scaled("a", body.a, "A", body.A, instrument)
            quote = (_nanoseconds(body.E), recv_ns, body.u, bid, bid_size, ask, ask_size)
            return Batch(Kind.QUOTES, source, symbol, np.array([quote], BBO))
        if isinstance(body, Trade):
            price, size = _scaled("p", body.p, "q", body.q, instrument)
            trade = (_nanoseconds(body.T), recv_ns, body.t, price, size, SELL if body.m else BUY)
            return Batch(Kind.TRADES, source, symbol, np.array([trade], TRADE))
        (bid_field, bid_raw), (ask_field, ask_raw) = _sides(body)
        bids = _scaled_levels(bid_field, bid_raw, instrument)
        asks = _scaled_levels(ask_field, ask_raw, instrument)
        rows = np.concatenate((bids, asks))
        event_ns = _nanoseconds(body.E)
        if isinstance(body, RestDepth):
            last = body.last_update_id
            return Batch(Kind.SNAPSHOT, source, symbol, rows, len(bids), 0, last, -1, event_ns, recv_ns)
        previous = -1 if isinstance(body.pu, msgspec.UnsetType) else body.pu
        return Batch(Kind.DELTA, source, symbol, rows, len(bids), body.U, body.u, previous, event_ns, recv_ns)


_outer: Final = msgspec.json.Decoder(Outer)
_depth: Final = msgspec.json.Decoder(DepthUpdate)
_ticker: Final = msgspec.json.Decoder(BookTicker)
_trade: Final = msgspec.json.Decoder(Trade)
_rest: Final = msgspec.json.Decoder(RestDepth)
_pairs: Final = msgspec.json.Decoder(list[tuple[str, str]])


def parse(frame: bytes | memoryview, futures: bool) -> Parsed | Other:
    """The frame's shape, its level arrays and decimals still text. BadField names what is wrong."""
    outer = _decode(_outer, frame)
    body: bytes | memoryview = frame
    if not isinstance(outer.data, msgspec.UnsetType):
        body = memoryview(outer.data)
        outer = _decode(_outer, body)
    if not isinstance(outer.last_update_id, msgspec.UnsetType):
        return Parsed(_decode(_rest, body))
    name = outer.e
    if name == "depthUpdate":
        delta = _decode(_depth, body)
        if futures and isinstance(delta.pu, msgspec.UnsetType):
            raise BadField("pu")
        if not futures and not isinstance(delta.pu, msgspec.UnsetType):
            raise BadField("pu")  # a futures frame among spot ones: its sequences mean something else
        if delta.u < delta.U:
            raise BadField("u")
        return Parsed(delta)
    if name == "bookTicker" or (isinstance(name, msgspec.UnsetType) and outer.u is not msgspec.UNSET):
        return Parsed(_decode(_ticker, body))
    if name == "trade":
        trade = _decode(_trade, body)
        # Futures send placeholders without price and size for fills that are no trades.
        if _is_zero("p", trade.p) or _is_zero("q", trade.q):
            return Other("trade without price or size")
        return Parsed(trade)
    if isinstance(name, str):
        return Other(name)
    if outer.result is not msgspec.UNSET or outer.error is not msgspec.UNSET:
        return Other("reply")
    raise BadField("e")


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes | memoryview) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadField(_field_of(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField(UNKNOWN) from error


def _field_of(message: str) -> str:
    """The field msgspec complains of: it writes "... `u`" when one is missing, "... - at `$.u`" otherwise."""
    at = re.search(r"at `\$\.([^`.\[]+)", message) or re.search(r"field `([^`]+)`", message)
    return at.group(1) if at else UNKNOWN


def _sides(body: DepthUpdate | RestDepth) -> tuple[tuple[str, msgspec.Raw], tuple[str, msgspec.Raw]]:
    if isinstance(body, RestDepth):
        return ("bids", body.bids), ("asks", body.asks)
    return ("b", body.b), ("a", body.a)


def _text_levels(field: str, raw: msgspec.Raw) -> list[tuple[str, str]]:
    try:
        pairs = _pairs.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadField(field) from error
    if len(pairs) > MAX_LEVELS:
        raise BadField(field)
    return pairs


def _pair_decimals(field: str, pairs: list[tuple[str, str]]) -> tuple[int, int]:
    try:
        price_decimals = max((needed_decimals(price) for price, _ in pairs), default=0)
        size_decimals = max((needed_decimals(size) for _, size in pairs), default=0)
    except ValueError as error:
        raise BadField(field) from error
    if max(price_decimals, size_decimals) > MAX_DECIMALS:
        raise BadField(field)
    return price_decimals, size_decimals


def _scaled(
    price_field: str, price_text: str, size_field: str, size_text: str, instrument: Instrument
) -> tuple[int, int]:
    return (
        _one_scaled(price_field, price_text, instrument.price_decimals),
        _one_scaled(size_field, size_text, instrument.size_decimals),
    )


def _one_scaled(field: str, text: str, decimals: int) -> int:
    try:
        value = parse_decimal(text, decimals)
    except ValueError as error:
        raise BadField(field) from error
    if value < 0:
        raise BadField(field)
    return value


def _scaled_levels(field: str, raw: msgspec.Raw, instrument: Instrument) -> Rows:
    text = bytes(raw)
    # A level takes 9 bytes at least: ["1","1"], so the array is never larger than its text.
    rows = np.empty(min(len(text) // 9 + 1, MAX_LEVELS), LEVEL)
    count = parse_levels(text, instrument.price_decimals, instrument.size_decimals, rows)
    if count >= 0:
        return rows[:count]
    if count == -TOO_MANY:
        raise BadField(field)
    pairs = _text_levels(field, raw)  # spaces, escapes: valid JSON the kernel doesn't take
    return np.array([_scaled(field, price, field, size, instrument) for price, size in pairs], LEVEL)


def _is_zero(field: str, text: str) -> bool:
    try:
        return needed_decimals(text) == 0 and int(text.partition(".")[0]) == 0
    except ValueError as error:
        raise BadField(field) from error


def _nanoseconds(time: int) -> int:
    """Nanoseconds of a venue time in milli- or microseconds."""
    return time * 1_000_000 if time < MAX_MILLIS else time * 1000
