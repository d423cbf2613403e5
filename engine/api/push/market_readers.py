"""What topics of one symbol say: candles, ticks, trades, books. Read from rings and the board on the engine's loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Final, Protocol

import numpy as np

from engine.api.answers import Interval, candles, moment, tick, trades
from engine.api.problems import Problem
from engine.api.push.book_diffs import LevelRow, Shown, difference
from engine.api.push.encodings import Kind
from engine.api.push.messages import Book, Envelope, Level
from engine.api.push.topics import Said
from engine.market.batches import CANDLE, Rows
from engine.market.candles import INTERVALS_NS, rescale_candles, roll_up
from engine.market.instruments import Instrument, format_decimal, rescale_factors
from engine.market.state import SymbolState
from engine.telemetry.board import BookView, SourceView
from engine.telemetry.hub import MarketRings, Telemetry
from engine.telemetry.ring import Ring

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
HALF_NS: Final = SECOND_NS // 2  # after a second's begin its running candle is said
BOOK_EVERY_NS: Final = 100_000_000
TRADES_AT_ONCE: Final = 200  # in one message; some 0.5 ms of writing
TRADES_SHOWN: Final = 20
TRADES_BEHIND: Final = 4_000  # more that wait are given up, and counted
CANDLES_AT_ONCE: Final = 100
CANDLES_SHOWN: Final = 60
GRACE_NS: Final = (
    2 * SECOND_NS
)  # a second's candle comes this long after its end at most, by the source's clock
EVER_NS: Final = 1 << 62
NONE: Final[Sequence[Said]] = ()


class Reading(Protocol):
    """What is read of the engine; `engine.api.reading.Markets` is one."""

    telemetry: Telemetry

    def source(self, venue: str) -> SourceView:
        """The source of a venue; Problem without it."""
        ...

    def find(self, venue: str, name: str) -> tuple[SourceView, str]:
        """A source and the universal name of a symbol of it; Problem without it."""
        ...

    def state(self, source: SourceView, symbol: str) -> SymbolState:
        """The engine's own state of a symbol; Problem without it."""
        ...


class Place:
    """One source while it stays open as it is, or one symbol of it. Knows when it is no more."""

    def __init__(self, reading: Reading, source: SourceView, symbol: str = "") -> None:
        self.reading, self.source, self.symbol = reading, source, symbol
        self.key: Final = (source.source.key, symbol)
        self._seen = reading.telemetry.board.sources

    @property
    def rings(self) -> MarketRings | None:
        """The symbol's rings as they are now."""
        return self.reading.telemetry.markets.get(self.key)

    @property
    def view(self) -> BookView | None:
        """The symbol's book as it was published last."""
        return self.reading.telemetry.board.books.get(self.key)

    @property
    def instrument(self) -> Instrument | None:
        """The units of what is in the rings now."""
        try:
            return self.reading.state(self.source, self.symbol).instrument
        except Problem:  # it has just gone
            return None

    @property
    def running(self) -> Rows | None:
        """The running candle as it stands now, one CANDLE row."""
        try:
            return self.reading.state(self.source, self.symbol).candles.running()
        except Problem:
            return None

    def gone(self) -> str:
        """Why there will be no more, as a sentence; "" while there will be."""
        telemetry = self.reading.telemetry
        if self.symbol and self.key not in telemetry.markets:
            return f"{self.symbol} is no longer followed at {self.key[0]}"
        sources = telemetry.board.sources
        if sources is self._seen:
            return ""
        self._seen = sources
        for one in sources:
            if one.source.key == self.key[0]:
                if one.opened_ns != self.source.opened_ns:
                    return f"{self.key[0]} was opened anew: subscribe again"
                if self.symbol and self.symbol not in one.symbols:
                    return f"{self.symbol} is no longer followed at {self.key[0]}"
                self.source = one
                return ""
        return f"{self.key[0]} was closed"


class _RingReader:
    """Follows one ring of a symbol by a cursor; when its units are revised, the old ring is read to its end first."""

    ring_name = ""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._rings = place.rings
        self._instrument = place.instrument
        self._cursor = self._ring.head if self._rings is not None else 0

    @property
    def _ring(self) -> Ring:
        found: Ring = getattr(self._rings, self.ring_name)
        return found

    def gone(self) -> str:
        """Why there will be no more."""
        return self._place.gone()

    def _next(self, most: int) -> tuple[Rows, Instrument, int] | None:
        """At most `most` rows that are new, the units they are in, and how many were lost before them."""
        if self._rings is None or self._instrument is None:
            return self._next(most) if self._renewed() else None
        ring = self._ring
        if ring.head == self._cursor:
            return self._next(most) if self._place.rings is not self._rings and self._renewed() else None
        found = ring.since(self._cursor, min(ring.head, self._cursor + most))
        self._cursor = found.cursor
        return found.rows, self._instrument, found.lost

    def _renewed(self) -> bool:
        """Go over to the rings that are there now."""
        rings, instrument = self._place.rings, self._place.instrument
        if rings is None or instrument is None:
            return False
        self._rings, self._instrument, self._cursor = rings, instrument, 0
        return True


class CandleReader(_RingReader):
    """Each closed candle once, as soon as it has closed; the running one in the middle of each second.

    A second without trades has no candle. One-second candles close when the engine closes them. Longer ones close with
    the first of a later interval, or when their time is over by the source's clock and nothing runs in them.
    """

    ring_name = "candles"

    def __init__(self, place: Place, interval: Interval, now_ns: int) -> None:
        super().__init__(place)
        self._interval, self._interval_ns = interval, INTERVALS_NS[interval]
        self._second = (now_ns - HALF_NS) // SECOND_NS
        self._open = np.empty(0, CANDLE)  # closed seconds of an interval that has not ended
        self._done_ns = 0  # intervals that begin before this were closed
        if self._rings is not None and self._interval_ns > SECOND_NS:
            rows = self._ring.last(self._interval_ns // SECOND_NS).rows
            if len(rows):
                newest = int(rows["ts_open_ns"][-1])
                self._open = rows[rows["ts_open_ns"] >= newest - newest % self._interval_ns]

    def read(self, now_ns: int) -> Sequence[Said]:
        """Closed candles, then the running one once a second."""
        said: list[Said] = []
        found = self._next(CANDLES_AT_ONCE)
        if found is not None:
            rows, instrument, lost = found
            for row in self._finals(rows):
                said.append(self._said(row, instrument, True, now_ns, lost))
                lost = 0
        elif len(self._open) and self._over(now_ns) and self._instrument is not None:
            row = roll_up(self._open, self._interval_ns)
            self._close()
            said.append(self._said(row, self._instrument, True, now_ns, 0))
        second = (now_ns - HALF_NS) // SECOND_NS
        if second != self._second:
            self._second = second
            row_now, units = self._running(), self._place.instrument
            # One whose interval is over, as nothing has traded since, runs no more: its last word is soon to come.
            if (
                row_now is not None
                and units is not None
                and now_ns < int(row_now["ts_open_ns"][0]) + self._interval_ns
            ):
                said.append(self._said(row_now, units, False, now_ns, 0))
        return said

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The newest closed candles up to what was read, then the running one."""
        shown = []
        if self._rings is not None and self._instrument is not None:
            seconds = CANDLES_SHOWN * (self._interval_ns // SECOND_NS)
            rows = self._ring.last(min(seconds, self._ring.capacity), self._cursor).rows
            if self._interval_ns > SECOND_NS:
                rows = roll_up(rows, self._interval_ns)
                if len(self._open):
                    rows = rows[:-1]
            shown = candles(rows, self._instrument, self._interval, UTC, EVER_NS)
        running, units = self._running(), self._place.instrument
        if running is not None and units is not None:
            shown += candles(running, units, self._interval, UTC, 0)
        return Envelope(type="snapshot", ts_ms=now_ns // MS_NS, candles=shown)

    def _finals(self, rows: Rows) -> list[Rows]:
        """The candles that closed seconds close, each of shape (1,)."""
        if self._interval_ns == SECOND_NS:
            return [rows[at : at + 1] for at in range(len(rows))]
        rows = rows[rows["ts_open_ns"] >= self._done_ns]  # too late for their interval
        if not len(rows):
            return []
        together = np.concatenate((self._open, rows))
        opened = together["ts_open_ns"] - together["ts_open_ns"] % self._interval_ns
        ended = together[opened < opened[-1]]
        self._open = together[opened == opened[-1]]
        if len(ended):
            self._done_ns = int(opened[-1])
        whole = roll_up(ended, self._interval_ns)
        return [whole[at : at + 1] for at in range(len(whole))]

    def _over(self, now_ns: int) -> bool:
        """Whether the open interval has ended and nothing can come into it."""
        began = int(self._open["ts_open_ns"][0])
        end = began - began % self._interval_ns + self._interval_ns
        running = self._place.running
        if running is not None and int(running["ts_open_ns"][0]) < end:
            return False
        late = max(0, self._place.source.offset_ns or 0) + GRACE_NS
        return self._place.source.clock(now_ns) - late >= end

    def _close(self) -> None:
        began = int(self._open["ts_open_ns"][0])
        self._done_ns = began - began % self._interval_ns + self._interval_ns
        self._open = np.empty(0, CANDLE)

    def _running(self) -> Rows | None:
        running = self._place.running
        if self._interval_ns == SECOND_NS:
            return running
        if running is None:
            return roll_up(self._open, self._interval_ns) if len(self._open) else None
        return roll_up(np.concatenate((self._open, running)), self._interval_ns)[-1:]

    def _said(self, row: Rows, instrument: Instrument, final: bool, now_ns: int, lost: int) -> Said:
        (candle,) = candles(row, instrument, self._interval, UTC, EVER_NS if final else 0)
        envelope = Envelope(type="candle", ts_ms=now_ns // MS_NS, candle=candle, lost=lost or None)
        return Said(envelope, Kind.KEPT if final else Kind.NEWEST)

    def _renewed(self) -> bool:
        before = self._instrument
        if not super()._renewed():
            return False
        if len(self._open) and before is not None and self._instrument is not None:
            self._open = _rescaled(self._open, before, self._instrument)
        return True


class TradeReader(_RingReader):
    """Trades as they come, some in one message. Those that come faster than they can be written are counted."""

    ring_name = "trades"

    def read(self, now_ns: int) -> Sequence[Said]:
        """The newest trades, if there are any."""
        lost = 0
        if self._rings is not None and self._ring.head - self._cursor > TRADES_BEHIND:
            lost = self._ring.head - TRADES_AT_ONCE - self._cursor
            self._cursor += lost
        found = self._next(TRADES_AT_ONCE)
        if found is None:
            return NONE
        rows, instrument, more = found
        envelope = Envelope(
            type="trades",
            ts_ms=now_ns // MS_NS,
            trades=trades(rows, instrument, UTC),
            lost=lost + more or None,
        )
        return (Said(envelope, Kind.KEPT),)

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The newest trades up to what was read."""
        shown = []
        if self._rings is not None and self._instrument is not None:
            shown = trades(self._ring.last(TRADES_SHOWN, self._cursor).rows, self._instrument, UTC)
        return Envelope(type="snapshot", ts_ms=now_ns // MS_NS, trades=shown)


class TickReader:
    """Best prices and last trade, whenever one of them changed: at most 20 times a second."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._view = place.view
        self._told = _told(self._view)

    def gone(self) -> str:
        """Why there will be no more."""
        return self._place.gone()

    def read(self, now_ns: int) -> Sequence[Said]:
        """The tick, if it changed."""
        view = self._place.view
        if view is None or view is self._view:
            return NONE
        self._view = view
        told = _told(view)
        if told == self._told:
            return NONE
        self._told = told
        return (Said(self._envelope("tick", view, now_ns), Kind.NEWEST),)

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The tick as it was said last."""
        return self._envelope("snapshot", self._view, now_ns) if self._view is not None else None

    def _envelope(self, kind: str, view: BookView, now_ns: int) -> Envelope:
        found = tick(self._place.source, view.instrument.symbol, view, UTC)
        return Envelope(type=kind, ts_ms=now_ns // MS_NS, tick=found)


class BookReader:
    """The best levels: a snapshot, then what changed in view, at most ten times a second.

    A snapshot and the diffs after it give exactly the best `depth` levels at each number. Where the units change there
    is a whole book anew, since prices are text.
    """

    def __init__(self, place: Place, depth: int) -> None:
        self._place, self._depth = place, depth
        self._due_ns = 0
        self._view = place.view
        self._shown = self._levels(self._view)

    def gone(self) -> str:
        """Why there will be no more."""
        return self._place.gone()

    def read(self, now_ns: int) -> Sequence[Said]:
        """What changed since the last message."""
        view = self._place.view
        waits = (
            self._due_ns - BOOK_EVERY_NS <= now_ns < self._due_ns
        )  # a clock that is set back is no reason to
        if view is None or view is self._view or waits:
            return NONE
        before, shown = self._view, self._levels(view)
        bids = difference(self._shown.bids, shown.bids)
        asks = difference(self._shown.asks, shown.asks)
        self._view, self._shown = view, shown
        self._due_ns = now_ns + BOOK_EVERY_NS
        if before is None or _units(before) != _units(view):
            envelope = self._envelope("snapshot", view, shown, now_ns)
        elif bids or asks or before.state != view.state:
            envelope = self._envelope("diff", view, Shown(bids, asks), now_ns)
        else:
            return NONE
        return (Said(envelope, Kind.DIFF),)

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The levels as of the last message."""
        return self._envelope("snapshot", self._view, self._shown, now_ns) if self._view is not None else None

    def _levels(self, view: BookView | None) -> Shown:
        if view is None:
            return Shown((), ())
        return Shown(view.bids[: self._depth].tolist(), view.asks[: self._depth].tolist())

    def _envelope(self, kind: str, view: BookView, shown: Shown, now_ns: int) -> Envelope:
        instrument, source = view.instrument, self._place.source.source
        ts, ts_ms = moment(view.ts_event_ns, UTC)
        book = Book(
            venue=source.venue,
            source=source.key,
            symbol=instrument.symbol,
            depth=self._depth,
            state=view.state,
            sequence=view.sequence,
            ts=ts,
            ts_ms=ts_ms,
            bids=levels_of(shown.bids, instrument),
            asks=levels_of(shown.asks, instrument),
        )
        return Envelope(type=kind, ts_ms=now_ns // MS_NS, book=book)


def _rescaled(rows: Rows, before: Instrument, after: Instrument) -> Rows:
    """CANDLE rows in finer units; none where they do not fit."""
    try:
        factors = rescale_factors(before, after.price_decimals, after.size_decimals)
        return rescale_candles(rows, *factors)
    except (ValueError, OverflowError):
        return rows[:0]


def _units(view: BookView) -> tuple[int, int]:
    return view.instrument.price_decimals, view.instrument.size_decimals


def _told(view: BookView | None) -> tuple[object, ...]:
    """What a tick is made of; it is said when this changes."""
    if view is None:
        return ()
    best = (*view.bids[:1].tolist(), None, *view.asks[:1].tolist())
    return (*best, view.last_price, view.last_trade_ns, view.state, *_units(view))


def levels_of(rows: Sequence[LevelRow], instrument: Instrument) -> list[Level]:
    """(price, size) pairs as text; size 0, that of a level that went, is "0"."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return [Level(format_decimal(at, price), format_decimal(of, size) if of else "0") for at, of in rows]
