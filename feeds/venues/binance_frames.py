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

from engine.market.batches import BBO, BUY, CANDLE, FUNDING, LEVEL, SELL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument, needed_decimals
from feeds.levels import TOO_MANY, parse_levels
from feeds.venues.binance_rows import (
    INTERVAL_MARKS,
    MAX_DECIMALS,
    TIME_LIMIT,
    candle_row,
    is_zero,
    nanoseconds,
    rate_of,
    rounded,
    scaled,
)
from feeds.venues.binance_rows import BadField as BadField  # what the functions here raise

MAX_LEVELS: Final = 16_384  # in one frame
EXTRAS: Final = frozenset({"aggTrade", "kline", "markPriceUpdate"})
UNKNOWN: Final = "json"  # the field named when the frame is no JSON object at all

Whole = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
Time = Annotated[int, msgspec.Meta(ge=0, le=TIME_LIMIT)]


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


class AggregateTrade(msgspec.Struct):
    s: str
    a: Whole
    p: str
    q: str
    T: Time
    m: bool


class Kline(msgspec.Struct):
    t: Time
    i: str
    o: str
    h: str
    low: str = msgspec.field(name="l")
    c: str
    v: str
    q: str
    n: Whole


class KlineUpdate(msgspec.Struct):
    s: str
    E: Time
    k: Kline


class MarkPrice(msgspec.Struct):
    s: str
    E: Time
    p: str
    r: str = ""
    T: Time = 0


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
class Extra(Other):
    """Market data that only live streams are asked for, unread; who does not want it takes it as an `Other`."""

    text: bytes | memoryview

    def parsed(self) -> Parsed | None:
        """As `parse`; None when there is nothing in it that is used."""
        if self.name == "aggTrade":
            trade = decode(_aggregate, self.text)
            return None if is_zero("p", trade.p) or is_zero("q", trade.q) else Parsed(trade)
        if self.name == "kline":
            update = decode(_kline, self.text)
            return Parsed(update) if update.k.i in INTERVAL_MARKS else None
        mark = decode(_mark, self.text)
        return Parsed(mark) if mark.r else None  # dated contracts have no funding


@dataclass(frozen=True, slots=True)
class Parsed:
    """A frame of a known shape, its numbers still text."""

    body: DepthUpdate | BookTicker | Trade | RestDepth | AggregateTrade | KlineUpdate | MarkPrice

    @property
    def native(self) -> str:
        """The venue's symbol; empty where the frame names none."""
        return self.body.symbol if isinstance(self.body, RestDepth) else self.body.s

    @property
    def is_trade(self) -> bool:
        """Whether it is one of the `trade` stream."""
        return isinstance(self.body, Trade)

    def decimals(self) -> tuple[int, int]:
        """(price, size) decimals that hold the frame's numbers exactly. BadField where one is no number."""
        body = self.body
        if isinstance(body, BookTicker):
            pairs = {"b": (body.b, body.B), "a": (body.a, body.A)}
            found = [_pair_decimals(field, [pair]) for field, pair in pairs.items()]
        elif isinstance(body, Trade | AggregateTrade):
            found = [_pair_decimals("p", [(body.p, body.q)])]
        elif isinstance(body, KlineUpdate):
            k = body.k
            found = [_pair_decimals("k", [(k.o, k.v), (k.h, k.v), (k.low, k.v), (k.c, k.v)])]
        elif isinstance(body, MarkPrice):
            found = [(0, 0)]  # finer than any price one can trade at: it is rounded
        else:
            found = [_pair_decimals(field, _text_levels(field, raw)) for field, raw in _sides(body)]
        return max(price for price, _ in found), max(size for _, size in found)

    def batch(self, source: Source, instrument: Instrument, recv_ns: int) -> Batch:
        """The frame in the instrument's units. BadField when a number doesn't fit them."""
        body, symbol = self.body, instrument.symbol
        if isinstance(body, BookTicker):
            bid, bid_size = _scaled("b", body.b, "B", body.B, instrument)
            ask, ask_size = _scaled("a", body.a, "A", body.A, instrument)
            quote = (nanoseconds(body.E), recv_ns, body.u, bid, bid_size, ask, ask_size)
            return Batch(Kind.QUOTES, source, symbol, np.array([quote], BBO))
        if isinstance(body, Trade | AggregateTrade):
            price, size = _scaled("p", body.p, "q", body.q, instrument)
            number = body.t if isinstance(body, Trade) else body.a
            trade = (nanoseconds(body.T), recv_ns, number, price, size, SELL if body.m else BUY)
            return Batch(Kind.TRADES, source, symbol, np.array([trade], TRADE))
        if isinstance(body, KlineUpdate):
            return _candles(body, source, instrument, recv_ns)
        if isinstance(body, MarkPrice):
            mark = rounded("p", body.p, instrument.price_decimals)
            event_ns = nanoseconds(body.E)
            said = (event_ns, recv_ns, rate_of("r", body.r), nanoseconds(body.T), 0, mark)
            rows = np.array([said], FUNDING)
            return Batch(Kind.FUNDING, source, symbol, rows, ts_event_ns=event_ns, ts_recv_ns=recv_ns)
        (bid_field, bid_raw), (ask_field, ask_raw) = _sides(body)
        bids = _scaled_levels(bid_field, bid_raw, instrument)
        asks = _scaled_levels(ask_field, ask_raw, instrument)
        rows = np.concatenate((bids, asks))
        event_ns = nanoseconds(body.E)
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
_aggregate: Final = msgspec.json.Decoder(AggregateTrade)
_kline: Final = msgspec.json.Decoder(KlineUpdate)
_mark: Final = msgspec.json.Decoder(MarkPrice)
_pairs: Final = msgspec.json.Decoder(list[tuple[str, str]])


def parse(frame: bytes | memoryview, futures: bool) -> Parsed | Other:
    """The frame's shape, its level arrays and decimals still text. BadField names what is wrong."""
    outer = decode(_outer, frame)
    body: bytes | memoryview = frame
    if not isinstance(outer.data, msgspec.UnsetType):
        body = memoryview(outer.data)
        outer = decode(_outer, body)
    if not isinstance(outer.last_update_id, msgspec.UnsetType):
        return Parsed(decode(_rest, body))
    name = outer.e
    if name == "depthUpdate":
        delta = decode(_depth, body)
        if futures and isinstance(delta.pu, msgspec.UnsetType):
            raise BadField("pu")
        if not futures and not isinstance(delta.pu, msgspec.UnsetType):
            raise BadField("pu")  # a futures frame among spot ones: its sequences mean something else
        if delta.u < delta.U:
            raise BadField("u")
        return Parsed(delta)
    if name == "bookTicker" or (isinstance(name, msgspec.UnsetType) and outer.u is not msgspec.UNSET):
        return Parsed(decode(_ticker, body))
    if name == "trade":
        trade = decode(_trade, body)
        # Futures send placeholders without price and size for fills that are no trades.
        if is_zero("p", trade.p) or is_zero("q", trade.q):
            return Other("trade without price or size")
        return Parsed(trade)
    if isinstance(name, str):
        return Extra(name, body) if name in EXTRAS else Other(name)
    if outer.result is not msgspec.UNSET or outer.error is not msgspec.UNSET:
        return Other("reply")
    raise BadField("e")


def parse_snapshot(body: bytes) -> Parsed:
    """The answer to a depth call, as `parse`."""
    return Parsed(decode(_rest, body))


def _candles(update: KlineUpdate, source: Source, instrument: Instrument, recv_ns: int) -> Batch:
    k = update.k
    row = candle_row("k", instrument, nanoseconds(k.t), (k.o, k.h, k.low, k.c, k.v, k.q), k.n)
    return Batch(
        Kind.CANDLES,
        source,
        instrument.symbol,
        np.array([row], CANDLE),
        ts_event_ns=nanoseconds(update.E),
        ts_recv_ns=recv_ns,
        interval_ns=INTERVAL_MARKS[k.i] * 1_000_000_000,
    )


def decode(decoder: msgspec.json.Decoder[Any], text: bytes | memoryview) -> Any:
    """What a decoder of msgspec makes of the text. BadField names the field that is wrong."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadField(_field_of(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField(UNKNOWN) from error


def _field_of(message: str) -> str:
    """The field msgspec complains of: "... `u`" when one is missing, else "... - at `$.u`", "... - at `$[0].u`"."""
    at = re.search(r"at `\$(?:\[\d+\])?\.([^`.\[]+)", message) or re.search(r"field `([^`]+)`", message)
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
        scaled(price_field, price_text, instrument.price_decimals),
        scaled(size_field, size_text, instrument.size_decimals),
    )


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
