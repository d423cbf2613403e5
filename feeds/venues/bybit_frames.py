"""Bybit's WebSocket frames into batches, one at a time: msgspec for the frame, the compiled parser for its levels.

A frame costs some 6 us. Spot and derivatives differ in the order of their keys only. Each topic names its symbol, so
what a frame is is known before it is read. Times: `ts_event_ns` is `ts` (when the venue sent it) for books and quotes,
and `T` (when it happened) for trades, since the trade's own time says which candle it belongs to.

Best prices come from `orderbook.1`, whose numbers have nothing to do with the book's: its quotes are unnumbered
(sequence 0), and nothing is checked by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from engine.errors import BadFrame
from engine.market.batches import BBO, BUY, CANDLE, FUNDING, LEVEL, SELL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import INT64_MAX, Instrument
from feeds.frames import Frames
from feeds.levels import parse_levels
from feeds.venues.bybit_rows import (
    MAX_MILLIS,
    MS,
    UNKNOWN,
    BadField,
    candle_row,
    decimals_of,
    decoded,
    hours_of,
    millis_of,
    rate_of,
    rounded,
    scaled,
    trade_id_of,
)

Decoded = Batch | Instrument | BadFrame

DEPTH: Final = 200  # levels a side of the book's topic; see `bybit`
MAX_LEVELS: Final = 16_384  # in one frame
MAX_SYMBOLS: Final = 128  # on one decoder
ROOM: Final = (
    INT64_MAX // 1_000
)  # a book may grow to a thousand times its snapshot before its numbers pass int64
MINUTE_NS: Final = 60_000_000_000
IGNORED_KEPT: Final = 64  # names counted apart
NAME_KEPT: Final = 32  # characters of them

Whole = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_MILLIS)]
Told = Literal["snapshot", "delta"]


class Outer(msgspec.Struct):
    """What tells a frame apart that does not begin with its topic."""

    topic: str | msgspec.UnsetType = msgspec.UNSET
    op: str | msgspec.UnsetType = msgspec.UNSET
    success: bool | msgspec.UnsetType = msgspec.UNSET


class Book(msgspec.Struct):
    s: str
    b: msgspec.Raw
    a: msgspec.Raw
    u: Whole


class BookFrame(msgspec.Struct):
    type: Told
    ts: Millis
    data: Book


class RestBook(Book):
    ts: Millis


class RestBookAnswer(msgspec.Struct):
    result: RestBook


class Trade(msgspec.Struct):
    s: str
    i: str
    T: Millis
    p: str
    v: str
    S: Literal["Buy", "Sell"]


class TradeFrame(msgspec.Struct):
    data: list[Trade]


class Candle(msgspec.Struct):
    start: Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
    confirm: bool


class CandleFrame(msgspec.Struct):
    data: list[Candle]


class Ticker(msgspec.Struct):
    """What is left out of a delta has not changed; an empty text is a contract without funding."""

    symbol: str
    markPrice: str | None = None  # noqa: N815
    fundingRate: str | None = None  # noqa: N815
    nextFundingTime: str | None = None  # noqa: N815
    fundingIntervalHour: str | None = None  # noqa: N815


class TickerFrame(msgspec.Struct):
    type: Told
    ts: Millis
    data: Ticker


_outer: Final = msgspec.json.Decoder(Outer)
_book: Final = msgspec.json.Decoder(BookFrame)
_rest_book: Final = msgspec.json.Decoder(RestBookAnswer)
_trades: Final = msgspec.json.Decoder(TradeFrame)
_candles: Final = msgspec.json.Decoder(CandleFrame)
_ticker: Final = msgspec.json.Decoder(TickerFrame)
_pairs: Final = msgspec.json.Decoder(list[tuple[str, str]])

BEGIN: Final = b'{"topic":"'


@dataclass(slots=True)
class _Slot:
    """One symbol's units, and what its topics leave out because it has not changed."""

    instrument: Instrument
    bid: tuple[int, int] | None = None  # price and size
    ask: tuple[int, int] | None = None
    rate_e12: int | None = None  # None: no funding known
    next_ns: int = 0
    interval_s: int = 0
    mark_price: int = 0
    most_price: int = 0  # of the newest snapshot
    most_size: int = 0


Handler = Callable[[_Slot, bytes, int, list[Decoded]], None]


class BybitDecoder:
    """Turns one source's frames into batches. Keeps units, and the fields deltas leave out; nothing of the market.

    `ignored` counts, by the first part of their topic, good frames that are no market data we use.
    """

    def __init__(self, source: Source, instruments: Sequence[Instrument]) -> None:
        self.source = source
        self.ignored: dict[str, int] = {}
        self._slots: dict[str, _Slot] = {}  # by native name
        self._topics: dict[bytes, tuple[Handler, _Slot]] = {}
        self._levels = np.empty(MAX_LEVELS, LEVEL)
        self._quotes: dict[str, list[tuple[int, ...]]] = {}  # of this chunk, by symbol
        self._trades: dict[str, list[tuple[int, ...]]] = {}
        for instrument in instruments:
            self.add(instrument)

    @property
    def instruments(self) -> list[Instrument]:
        """In the revisions decoded so far."""
        return [slot.instrument for slot in self._slots.values()]

    def add(self, instrument: Instrument) -> None:
        """Take frames of one more instrument, or of one anew. ValueError when there is no room."""
        native = instrument.native
        if native not in self._slots and len(self._slots) >= MAX_SYMBOLS:
            raise ValueError(f"a decoder takes at most {MAX_SYMBOLS} instruments")
        slot = self._slots[native] = _Slot(instrument)
        for topic, handler in (
            (f"orderbook.{DEPTH}", self._on_book),
            ("orderbook.1", self._on_best),
            ("publicTrade", self._on_trades),
            ("kline.1", self._on_candles),
            ("tickers", self._on_ticker),
        ):
            self._topics[f"{topic}.{native}".encode()] = (handler, slot)

    def remove(self, symbol: str) -> None:
        """Frames of the symbol are ignored from here on."""
        slot = self._find(symbol)
        if slot is not None:
            del self._slots[slot.instrument.native]
            self._topics = {topic: entry for topic, entry in self._topics.items() if entry[1] is not slot}

    def decode(self, frames: Frames) -> list[Decoded]:
        """What the frames say: batches, revised instruments (batches after one are in its units), bad frames.

        Deltas and snapshots are in their order, each a batch. Quotes and trades of a symbol are collected into one
        batch each, behind the deltas. Never raises for bad input.
        """
        out: list[Decoded] = []
        if not len(frames):
            return out
        starts, ends = frames.starts.tolist(), frames.ends.tolist()
        base = starts[0]
        text = frames.buffer[base : ends[-1]].tobytes()
        topics, ahead = self._topics, len(BEGIN)
        for start, end, recv_ns in zip(starts, ends, frames.recv_ns.tolist(), strict=True):
            frame = text[start - base : end - base]
            entry = None
            if frame.startswith(BEGIN):
                entry = topics.get(frame[ahead : frame.find(b'"', ahead)])
            try:
                if entry is None:
                    entry = self._entry_of(frame)
                    if entry is None:
                        continue
                entry[0](entry[1], frame, recv_ns, out)
            except BadField as error:
                out.append(BadFrame(self.source.venue, error.field, frame))
        self._flush(out)
        return out

    def snapshot(self, symbol: str, body: bytes, recv_ns: int) -> list[Decoded]:
        """A REST book of one symbol. Its numbers fit the topic of 1,000 levels only, so it starts no stream of ours."""
        slot = self._find(symbol)
        try:
            if slot is None:
                raise BadField("s")
            out: list[Decoded] = []
            book: RestBook = decoded(_rest_book, body).result
            self._take_book(slot, book, Kind.SNAPSHOT, book.ts, recv_ns, out)
            return out
        except BadField as error:
            return [BadFrame(self.source.venue, error.field, body)]

    # --- one frame of each topic -------------------------------------------------------------------------

    def _on_book(self, slot: _Slot, frame: bytes, recv_ns: int, out: list[Decoded]) -> None:
        told: BookFrame = decoded(_book, frame)
        kind = Kind.DELTA if told.type == "delta" else Kind.SNAPSHOT
        self._take_book(slot, told.data, kind, told.ts, recv_ns, out)

    def _take_book(
        self, slot: _Slot, book: Book, kind: Kind, ts: int, recv_ns: int, out: list[Decoded]
    ) -> None:
        bids, count = self._read_levels(slot, book, out)
        rows = self._levels[:count].copy()
        if kind is Kind.SNAPSHOT and count:
            slot.most_price, slot.most_size = int(rows["price"].max()), int(rows["size"].max())
        number = book.u
        out.append(
            Batch(kind, self.source, slot.instrument.symbol, rows, bids, number, number, -1, ts * MS, recv_ns)
        )

    def _on_best(self, slot: _Slot, frame: bytes, recv_ns: int, out: list[Decoded]) -> None:
        told: BookFrame = decoded(_book, frame)
        bids, count = self._read_levels(slot, told.data, out)
        rows = self._levels[:count].tolist()
        if told.type == "snapshot":
            slot.bid = slot.ask = None
        # Older streams sent deltas here: a side left out is as it was, a price gone comes with size 0 before the new.
        for row in rows[:bids]:
            slot.bid = row if row[1] else None
        for row in rows[bids:]:
            slot.ask = row if row[1] else None
        if slot.bid is None or slot.ask is None:
            self._ignore("one-sided quote")
            return
        quotes = self._quotes.setdefault(slot.instrument.symbol, [])
        quotes.append((told.ts * MS, recv_ns, 0, *slot.bid, *slot.ask))

    def _on_trades(self, slot: _Slot, frame: bytes, recv_ns: int, out: list[Decoded]) -> None:
        trades: list[Trade] = decoded(_trades, frame).data
        if not trades:
            return
        native = slot.instrument.native
        if any(trade.s != native for trade in trades):
            raise BadField("s")
        # As a level array, for the compiled parser. A text that smuggles quotes in makes another count of levels.
        pairs = ",".join([f'["{trade.p}","{trade.v}"]' for trade in trades])
        instrument = slot.instrument
        decimals = instrument.price_decimals, instrument.size_decimals
        count = parse_levels(f"[{pairs}]".encode("utf-8", "replace"), *decimals, self._levels)
        if count != len(trades):
            self._revise_for("p", "v", [(trade.p, trade.v) for trade in trades], slot, out)
        rows = []
        for trade, (price, size) in zip(trades, self._levels[: len(trades)].tolist(), strict=True):
            if not price or not size:
                raise BadField("v" if price else "p")
            side = BUY if trade.S == "Buy" else SELL
            rows.append((trade.T * MS, recv_ns, trade_id_of(trade.i), price, size, side))
        self._trades.setdefault(slot.instrument.symbol, []).extend(rows)

    def _on_candles(self, slot: _Slot, frame: bytes, recv_ns: int, out: list[Decoded]) -> None:
        rows = [
            candle_row(
                slot.instrument,
                candle.start * MS,
                (candle.open, candle.high, candle.low, candle.close),
                candle.volume,
                candle.turnover,
            )
            for candle in decoded(_candles, frame).data
            if candle.confirm  # the running one is of no use: ours is newer
        ]
        if any(row[0] % MINUTE_NS for row in rows):
            raise BadField("start")
        if rows:
            symbol = slot.instrument.symbol
            out.append(
                Batch(
                    Kind.CANDLES,
                    self.source,
                    symbol,
                    np.array(rows, CANDLE),
                    ts_recv_ns=recv_ns,
                    interval_ns=MINUTE_NS,
                )
            )

    def _on_ticker(self, slot: _Slot, frame: bytes, recv_ns: int, out: list[Decoded]) -> None:
        told: TickerFrame = decoded(_ticker, frame)
        ticker = told.data
        if ticker.symbol != slot.instrument.native:
            raise BadField("symbol")
        fresh = told.type == "snapshot"
        rate = rate_after(None if fresh else slot.rate_e12, ticker.fundingRate)
        next_ns = 0 if fresh else slot.next_ns
        if ticker.nextFundingTime:
            next_ns = millis_of("nextFundingTime", ticker.nextFundingTime)
        interval_s = 0 if fresh else slot.interval_s
        if ticker.fundingIntervalHour:
            interval_s = hours_of("fundingIntervalHour", ticker.fundingIntervalHour)
        mark = 0 if fresh else slot.mark_price
        if ticker.markPrice:
            mark = rounded("markPrice", ticker.markPrice, slot.instrument.price_decimals)
        same = (rate, next_ns, interval_s, mark) == (
            slot.rate_e12,
            slot.next_ns,
            slot.interval_s,
            slot.mark_price,
        )
        slot.rate_e12, slot.next_ns, slot.interval_s, slot.mark_price = rate, next_ns, interval_s, mark
        if rate is None or same:
            return  # open interest, last price: nothing of funding
        row = (told.ts * MS, recv_ns, rate, next_ns, interval_s, mark)
        symbol = slot.instrument.symbol
        out.append(Batch(Kind.FUNDING, self.source, symbol, np.array([row], FUNDING), ts_recv_ns=recv_ns))

    # --- numbers -----------------------------------------------------------------------------------------

    def _read_levels(self, slot: _Slot, book: Book, out: list[Decoded]) -> tuple[int, int]:
        """(bids, levels) now in the level array; a revision they need has been opened."""
        instrument = slot.instrument
        if book.s != instrument.native:
            raise BadField("s")
        decimals = instrument.price_decimals, instrument.size_decimals
        bids = parse_levels(book.b, *decimals, self._levels)
        asks = parse_levels(book.a, *decimals, self._levels, bids) if bids >= 0 else bids
        if asks >= 0:
            return bids, bids + asks
        sides = []
        for field, raw in (("b", book.b), ("a", book.a)):
            try:
                sides.append(_pairs.decode(raw))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BadField(field) from error
        if sum(map(len, sides)) > MAX_LEVELS:
            raise BadField("b" if len(sides[0]) > MAX_LEVELS else "a")
        instrument = self._finer(slot, ((f, f, s) for f, s in zip("ba", sides, strict=True)))
        at = 0
        for field, side in zip("ba", sides, strict=True):
            for price, size in side:
                self._levels[at] = _scaled_pair(field, field, price, size, instrument)
                at += 1
        self._revise(slot, instrument, out)
        return len(sides[0]), at

    def _revise_for(
        self, price_field: str, size_field: str, pairs: list[tuple[str, str]], slot: _Slot, out: list[Decoded]
    ) -> None:
        """Put pairs the compiled parser refused into the level array, opening the revision they need."""
        if len(pairs) > MAX_LEVELS:
            raise BadField("data")
        instrument = self._finer(slot, [(price_field, size_field, pairs)])
        for at, (price, size) in enumerate(pairs):
            self._levels[at] = _scaled_pair(price_field, size_field, price, size, instrument)
        self._revise(slot, instrument, out)

    def _finer(self, slot: _Slot, groups: Iterable[tuple[str, str, list[tuple[str, str]]]]) -> Instrument:
        """The instrument, in the revision that holds all pairs exactly.

        BadField where one is no number, or where so fine a unit would leave no room for what the book holds: then it
        is one frame that is wrong, not the market that has changed.
        """
        instrument = slot.instrument
        price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
        for price_field, size_field, pairs in groups:
            for price, size in pairs:
                price_decimals = max(price_decimals, decimals_of(price_field, price))
                size_decimals = max(size_decimals, decimals_of(size_field, size))
                if slot.most_price * 10 ** (price_decimals - instrument.price_decimals) > ROOM:
                    raise BadField(price_field)
                if slot.most_size * 10 ** (size_decimals - instrument.size_decimals) > ROOM:
                    raise BadField(size_field)
        if (price_decimals, size_decimals) == (instrument.price_decimals, instrument.size_decimals):
            return instrument
        return instrument.with_decimals(price_decimals, size_decimals)

    def _revise(self, slot: _Slot, instrument: Instrument, out: list[Decoded]) -> None:
        """Everything after this is in the instrument's units."""
        before = slot.instrument
        if instrument is before:
            return
        self._flush(out)
        by_price = 10 ** (instrument.price_decimals - before.price_decimals)
        by_size = 10 ** (instrument.size_decimals - before.size_decimals)
        slot.bid, slot.ask = (
            _finer_pair(slot.bid, by_price, by_size),
            _finer_pair(slot.ask, by_price, by_size),
        )
        slot.most_price, slot.most_size = slot.most_price * by_price, slot.most_size * by_size
        slot.mark_price = mark if (mark := slot.mark_price * by_price) <= INT64_MAX else 0
        slot.instrument = instrument
        out.append(instrument)

    # --- the rest ----------------------------------------------------------------------------------------

    def _flush(self, out: list[Decoded]) -> None:
        for kind, layout, held in (
            (Kind.QUOTES, BBO, self._quotes),
            (Kind.TRADES, TRADE, self._trades),
        ):
            for symbol, rows in held.items():
                out.append(Batch(kind, self.source, symbol, _array(rows, layout)))
            held.clear()

    def _entry_of(self, frame: bytes) -> tuple[Handler, _Slot] | None:
        """Who takes a frame that does not begin with a topic we know; None when nobody does, counted."""
        outer: Outer = decoded(_outer, frame)
        if isinstance(outer.topic, str):
            entry = self._topics.get(outer.topic.encode("utf-8", "replace"))
            if entry is None:
                self._ignore(outer.topic.partition(".")[0])
            return entry
        if outer.op is msgspec.UNSET and outer.success is msgspec.UNSET:
            raise BadField("topic" if frame.lstrip()[:1] == b"{" else UNKNOWN)
        self._ignore("reply")
        return None

    def _ignore(self, name: str) -> None:
        name = name[:NAME_KEPT]
        name = name if name in self.ignored or len(self.ignored) < IGNORED_KEPT else "other"
        self.ignored[name] = self.ignored.get(name, 0) + 1

    def _find(self, symbol: str) -> _Slot | None:
        for slot in self._slots.values():
            if symbol in (slot.instrument.symbol, slot.instrument.native):
                return slot
        return None


def rate_after(before: int | None, text: str | None) -> int | None:
    """The funding rate after a ticker: unchanged where it says none, none where it says an empty one."""
    if text is None:
        return before
    return rate_of("fundingRate", text) if text else None


def _finer_pair(pair: tuple[int, int] | None, by_price: int, by_size: int) -> tuple[int, int] | None:
    """A price and size in finer units; None where they pass int64 in them."""
    if pair is None:
        return None
    finer = (pair[0] * by_price, pair[1] * by_size)
    return finer if max(finer) <= INT64_MAX else None


def _scaled_pair(
    price_field: str, size_field: str, price: str, size: str, instrument: Instrument
) -> tuple[int, int]:
    return (
        scaled(price_field, price, instrument.price_decimals),
        scaled(size_field, size, instrument.size_decimals),
    )


def _array(rows: list[tuple[int, ...]], layout: np.dtype[np.void]) -> Rows:
    return np.array(rows, layout)
