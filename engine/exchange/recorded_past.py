"""What really happened on the built-in exchange: the last trades, and candles of every length made from what is kept.

Turns are only noted as they come (some microseconds); their trades are folded when somebody asks, or when many wait.
Kept are 32,768 trades a symbol, seconds of the last hour, minutes of the last week, and coarser rows for long candles.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.exchange.market import Change, Quote, Trade
from engine.exchange.past import DAY_S, SECOND_NS, WEEK_S, Candle, Day, aligned
from engine.flow.simulator import Turn
from engine.market.batches import BUY, SELL, TRADE, Batch, Kind, Rows
from engine.market.instruments import Instrument
from engine.matching.engine import MatchingEngine
from engine.matching.orders import E_HEAD, E_ID, E_LOTS, E_PRICE, TRADED, Matrix

MAX_PENDING: Final = 1_024  # batches of trades that wait to be folded
ROW_FIELDS: Final = 12
TRADE_WORDS: Final = TRADE.itemsize // 8
TAPE_WORDS: Final = TRADE_WORDS + 1  # and the taker
KEPT_ROWS: Final = (
    65_536  # trades of a symbol, 56 bytes each: minutes of a busy market, for those who missed some
)
# What is kept: rows of so many seconds, so many of them. Each is a multiple of the one before.
LEVELS: Final = ((1, 3_600), (60, WEEK_S // 60), (900, WEEK_S // 900), (3_600, WEEK_S // 3_600))

Ints = npt.NDArray[np.int64]
Units = Mapping[str, tuple[int, int]]  # tick and lot size by universal symbol
Row = list[int]  # open_s, open, high, low, close, volume, notional, trades, taker's two, first and last trade
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _NOTIONAL, _TRADES = range(1, 8)


class RecordedPast:
    """A `Past` of real trades. One thread. Several markets over one engine share it: a turn told twice counts once.

    `price_of` gives what an instrument is worth, in its units above 0, while nothing has traded.
    """

    def __init__(
        self, engine: MatchingEngine, instruments: Sequence[Instrument], price_of: Callable[[str], int]
    ) -> None:
        self._engine = engine
        self._price_of = price_of
        self._tapes = {each.native: _Tape() for each in instruments}
        self._by_universal = {each.symbol: self._tapes[each.native] for each in instruments}
        self._units = {each.symbol: (each.tick_size, each.lot_size) for each in instruments}
        self._pending: list[tuple[_Tape, Rows, Ints | None]] = []
        self._last: Turn | None = None
        self.takers: dict[str, Ints] = {}  # of the last turn, by universal symbol: each trade's

    def on_past(self, batch: Batch) -> None:
        """What happened before the exchange was open, oldest first."""
        if batch.kind is Kind.TRADES:
            self._note(self._by_universal[batch.symbol], batch.rows, None)

    def on_turn(self, turn: Turn) -> None:
        """What a turn brought; to be told before the engine's next run, since its events say who was the taker."""
        if turn is self._last:
            return
        self._last = turn
        self.takers = {}
        traded = [batch for batch in turn.batches if batch.kind is Kind.TRADES]
        if not traded:
            return
        self.takers = takers = _takers(self._engine, turn, traded, self._units)
        for batch in traded:
            self._note(self._by_universal[batch.symbol], batch.rows, takers.get(batch.symbol))

    def begin(self, symbol: str, now_ns: int) -> None:
        """Nothing: all symbols are recorded."""

    def on_change(self, change: Change) -> None:
        """Nothing: the turn was recorded."""

    def begins_s(self, symbol: str, interval_s: int) -> int:
        """The candle that holds the first trade; the first whole one when older rows are gone."""
        self._fold()
        level = self._tapes[symbol].level(interval_s)
        first_s = level.first_s
        if first_s is None:
            return 1 << 40
        return aligned(first_s + (interval_s - 1 if level.forgets else 0), interval_s)

    def trades(self, symbol: str, most: int) -> list[Trade]:
        """The last `most` trades, oldest first; as many as the last KEPT_ROWS are kept."""
        self._fold()
        return self._tapes[symbol].trades(most)

    def trades_from(self, symbol: str, first_id: int, start_ns: int, most: int) -> list[Trade]:
        """Of those that are kept, the oldest `most` numbered from `first_id` on and not before `start_ns`."""
        self._fold()
        return self._tapes[symbol].trades_from(first_id, start_ns, most)

    def last_trade(self, symbol: str, now_ns: int) -> Trade:
        """The newest trade; one of size 0 at the symbol's price when there was none."""
        trades = self.trades(symbol, 1)
        return trades[0] if trades else Trade(0, now_ns, self._price_of(symbol), 0, buyer_is_maker=True)

    def follow(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle of an interval."""
        open_s = aligned(now_ns // SECOND_NS, interval_s)
        return self._candle(symbol, interval_s, open_s)

    def newest_closed(self, symbol: str, interval_s: int, now_ns: int) -> Candle | None:
        """The candle before the running one; None when it is before the beginning."""
        open_s = aligned(now_ns // SECOND_NS, interval_s) - interval_s
        return (
            self._candle(symbol, interval_s, open_s) if open_s >= self.begins_s(symbol, interval_s) else None
        )

    def candles(self, symbol: str, interval_s: int, first_s: int, last_s: int, now_ns: int) -> list[Candle]:
        """Candles of what traded; where nothing did they stay at the last price, as venues have it."""
        del now_ns
        self._fold()
        rows = self._tapes[symbol].level(interval_s).between(first_s, last_s + interval_s)
        made: list[Candle] = []
        at, close = 0, rows[0][_OPEN] if rows else self._price_before(symbol, interval_s, first_s)
        for open_s in range(first_s, last_s + 1, interval_s):
            row: Row | None = None
            end_s = open_s + interval_s
            while at < len(rows) and rows[at][0] < end_s:
                row = _merged(row, rows[at]) if row is not None else [open_s, *rows[at][1:]]
                at += 1
            if row is None:
                made.append(Candle(open_s, interval_s, *(close,) * 4, 0, 0, 0, 0, 0))
            else:
                close = row[_CLOSE]
                made.append(Candle(open_s, interval_s, *row[1:]))
        return made

    def day(self, symbol: str, now_ns: int) -> Day:
        """The last 24 hours of whole minutes, the running one included."""
        self._fold()
        tape = self._tapes[symbol]
        total = tape.day(now_ns // SECOND_NS)
        if total is None:
            price = self.last_trade(symbol, now_ns).price
            return Day(price, price, price, price, 0, 0, 0, price)
        _, opened, high, low, close, volume, notional, trades, *_ = total
        hour = tape.level(60).between(now_ns // SECOND_NS - 3_600, 1 << 40)
        return Day(opened, high, low, close, volume, notional, trades, hour[0][_OPEN] if hour else close)

    def still_quote(self, symbol: str, now_ns: int) -> Quote:
        """An empty one: every symbol has a book."""
        del symbol, now_ns
        return Quote(0, 0, 0, 0)

    def price(self, symbol: str, at_s: float) -> float:
        """The last price of the minute that holds this time, or before it."""
        self._fold()
        return float(self._price_before(symbol, 60, int(at_s) + 60))

    def funding_rate_e8(self, symbol: str, paid_s: int) -> int:
        """0: spot pays none."""
        del symbol, paid_s
        return 0

    def _candle(self, symbol: str, interval_s: int, open_s: int) -> Candle:
        candle = self.candles(symbol, interval_s, open_s, open_s, 0)[0]
        if not candle.trades:
            price = self._price_before(symbol, interval_s, open_s)
            candle.open = candle.high = candle.low = candle.close = price
        return candle

    def _price_before(self, symbol: str, interval_s: int, at_s: int) -> int:
        """What was paid last before a time, as far as it is kept."""
        row = self._tapes[symbol].level(interval_s).before(at_s)
        return row[_CLOSE] if row is not None else self._price_of(symbol)

    def _note(self, tape: _Tape, rows: Rows, takers: Ints | None) -> None:
        self._pending.append((tape, rows, takers))
        if len(self._pending) >= MAX_PENDING:
            self._fold()

    def _fold(self) -> None:
        """Take what waits into trades and candles."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        parts: dict[int, tuple[_Tape, list[tuple[Rows, Ints | None]]]] = {}
        for tape, rows, takers in pending:
            parts.setdefault(id(tape), (tape, []))[1].append((rows, takers))
        for tape, chunks in parts.values():
            tape.fold(chunks)


class _Level:
    """Candle rows of one length, oldest first; the last one still runs. Moments without trades have no row."""

    def __init__(self, interval_s: int, most: int) -> None:
        self.interval_s = interval_s
        self.forgets = False  # older rows are gone
        self._most = most
        self._rows: Ints = np.zeros((64, ROW_FIELDS), np.int64)
        self._start = self._end = 0
        self.running: Row | None = None

    @property
    def first_s(self) -> int | None:
        """When the oldest row opens."""
        if self._end > self._start:
            return int(self._rows[self._start, 0])
        return self.running[0] if self.running is not None else None

    def add(self, row: Row) -> None:
        """Take in what happened at `row[0]`; a time before the running row's counts for that."""
        open_s = aligned(row[0], self.interval_s)
        running = self.running
        if running is None or open_s > running[0]:
            if running is not None:
                self._close(running)
            self.running = [open_s, *row[1:]]
        else:
            _merged(running, row)

    def between(self, from_s: int, until_s: int) -> list[Row]:
        """Rows that open from one time until before another."""
        rows = self._rows[self._start : self._end]
        low, high = np.searchsorted(rows[:, 0], (from_s, until_s))
        found: list[Row] = rows[low:high].tolist()
        if self.running is not None and from_s <= self.running[0] < until_s:
            found.append(self.running)
        return found

    def before(self, at_s: int) -> Row | None:
        """The last row that opens before a time."""
        if self.running is not None and self.running[0] < at_s:
            return self.running
        rows = self._rows[self._start : self._end]
        at = int(np.searchsorted(rows[:, 0], at_s))
        return rows[at - 1].tolist() if at else None

    def _close(self, row: Row) -> None:
        if self._end == len(self._rows):
            kept = self._rows[self._start : self._end]
            size = min(max(2 * len(kept), 64), 2 * self._most)
            self._rows = np.zeros((size, ROW_FIELDS), np.int64)
            self._rows[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        self._rows[self._end] = row
        self._end += 1
        if self._end - self._start > self._most:
            self._start += 1
            self.forgets = True


@dataclass(slots=True)
class _KeptDay:
    """The closed minutes of a day, summed, as long as the minute lasts."""

    minute_s: int
    closed: Row | None


class _Tape:
    """One symbol's."""

    def __init__(self) -> None:
        self._trades: Ints = np.empty((64, TAPE_WORDS), np.int64)  # those from `_start` to `_end`
        self._start = self._end = 0
        self._levels = [_Level(*each) for each in LEVELS]
        self._day = _KeptDay(-1, None)

    def level(self, interval_s: int) -> _Level:
        """The coarsest rows that candles of this length can be made of."""
        return next(each for each in reversed(self._levels) if interval_s % each.interval_s == 0)

    def trades(self, most: int) -> list[Trade]:
        """The newest, oldest first."""
        return self._told(max(self._start, self._end - most), self._end)

    def trades_from(self, first_id: int, start_ns: int, most: int) -> list[Trade]:
        """The oldest of those from a number and a time on."""
        kept = self._trades[self._start : self._end]
        by_id = int(np.searchsorted(kept[:, 2], first_id))
        by_time = int(np.searchsorted(kept[:, 0], start_ns))
        first = self._start + max(by_id, by_time)
        return self._told(first, min(self._end, first + most))

    def _told(self, first: int, end: int) -> list[Trade]:
        return [
            Trade(number, event_ns, price, size, aggressor == SELL, taker)
            for event_ns, _, number, price, size, aggressor, taker in self._trades[first:end].tolist()
        ]

    def _keep(self, words: Ints, takers: Ints) -> None:
        """Append; where there is no room the newest are moved to the front of an array twice as large as they need."""
        words, takers = words[-KEPT_ROWS:], takers[-KEPT_ROWS:]
        if self._end + len(words) > len(self._trades):
            kept = self._trades[max(self._start, self._end + len(words) - KEPT_ROWS) : self._end]
            self._trades = np.empty((max(64, 2 * (len(kept) + len(words))), TAPE_WORDS), np.int64)
            self._trades[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        end = self._end + len(words)
        self._trades[self._end : end, :TRADE_WORDS] = words
        self._trades[self._end : end, TRADE_WORDS] = takers
        self._end = end
        self._start = max(self._start, end - KEPT_ROWS)

    def fold(self, chunks: Iterable[tuple[Rows, Ints | None]]) -> None:
        """Take trades in, in order."""
        # As words: structured rows are copied field by field.
        tables = [(rows.view(np.int64).reshape(len(rows), TRADE_WORDS), ids) for rows, ids in chunks]
        words = np.concatenate([table for table, _ in tables])
        takers = np.concatenate(
            [np.zeros(len(table), np.int64) if ids is None else ids for table, ids in tables]
        )
        self._keep(words, takers)
        seconds = words[:, 0] // SECOND_NS
        starts = [0, *(np.flatnonzero(np.diff(seconds)) + 1).tolist(), len(words)]
        for first, end in itertools.pairwise(starts):
            row = _summed(int(seconds[first]), words[first:end])
            for level in self._levels:
                level.add(row)

    def day(self, now_s: int) -> Row | None:
        """The sum of 24 hours of minutes, the running one included; None when nothing traded."""
        minutes = self.level(60)
        minute_s = aligned(now_s, 60)
        if self._day.minute_s != minute_s:
            total: Row | None = None
            for row in minutes.between(minute_s + 60 - DAY_S, minute_s):
                total = _merged(total, row) if total is not None else list(row)
            self._day = _KeptDay(minute_s, total)
        closed = self._day.closed
        running = minutes.running
        if running is not None and running[0] >= minute_s:
            return _merged(list(closed), running) if closed is not None else running
        return closed


def _summed(open_s: int, words: Ints) -> Row:
    """One row of trades (columns of TRADE), at least one."""
    price, size = words[:, 3], words[:, 4]
    worth = price * size
    bought = words[:, 5] == BUY
    return [
        open_s,
        int(price[0]),
        int(price.max()),
        int(price.min()),
        int(price[-1]),
        int(size.sum()),
        int(worth.sum()),
        len(words),
        int(size[bought].sum()),
        int(worth[bought].sum()),
        int(words[0, 2]),
        int(words[-1, 2]),
    ]


def _merged(row: Row, later: Row) -> Row:
    """`row`, with what came later in it."""
    row[_HIGH] = max(row[_HIGH], later[_HIGH])
    row[_LOW] = min(row[_LOW], later[_LOW])
    row[_CLOSE] = later[_CLOSE]
    for at in range(_VOLUME, 10):
        row[at] += later[at]
    row[11] = later[11]
    return row


def _takers(engine: MatchingEngine, turn: Turn, traded: Sequence[Batch], units: Units) -> dict[str, Ints]:
    """Each trade's taker by symbol, from the events of the engine's run; none when that is another run already."""
    words: Matrix = engine.event_words()
    heads = words[:, E_HEAD]
    at = np.flatnonzero((heads & 0xFF) == TRADED)
    if len(words) != turn.events or len(at) != sum(len(batch.rows) for batch in traded):
        return {}
    # A turn's batches come in the order of the engine's symbols.
    at = at[np.argsort(heads[at] >> 32, kind="stable")]
    ids = words[at, E_ID]
    takers: dict[str, Ints] = {}
    first = 0
    for batch in traded:
        tick, lot = units[batch.symbol]
        event, (_, _, _, price, size, _) = words[at[first]].tolist(), batch.rows[0].item()
        if event[E_PRICE] * tick != price or event[E_LOTS] * lot != size:
            return {}
        takers[batch.symbol] = ids[first : first + len(batch.rows)]
        first += len(batch.rows)
    return takers
