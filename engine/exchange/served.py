"""One market as it is served: the moving part, and what is remembered of it.

On top of a `Market` this keeps recent trades and running candles for REST and streams, and answers from the
symbols' `History` what lies before. Everything kept is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from engine.exchange.history import History
from engine.exchange.market import Change, Listing, Market, Quote, Snapshot, Trade
from engine.exchange.update_numbers import FIRST_ID

SECOND_NS: Final = 1_000_000_000
KEPT_TRADES: Final = 1_000
KEPT_CANDLES: Final = 1_500  # closed, of each followed interval
MAX_INTERVALS: Final = 8  # followed at once, of one symbol; the oldest goes
MAX_CANDLES: Final = 1_500  # in one answer
PAST_TRADES: Final = 500  # made up when a symbol is first asked for
STILL_NOTIONAL: Final = 8_000.0
DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
MONDAY_S: Final = 4 * DAY_S  # the first Monday after 1970 began


@dataclass(slots=True)
class Candle:
    """One candle in the instrument's units; `notional` is the sum of price times size."""

    open_s: int
    interval_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    trades: int
    taker_volume: int  # of it bought by aggressors
    taker_notional: int
    first_trade: int = -1
    last_trade: int = -1

    def fold(self, trade: Trade) -> None:
        """Take one more trade in."""
        if not self.trades:
            self.open = self.high = self.low = trade.price
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.size
        self.notional += trade.price * trade.size
        self.trades += 1
        if not trade.buyer_is_maker:
            self.taker_volume += trade.size
            self.taker_notional += trade.price * trade.size
        if self.first_trade < 0:
            self.first_trade = trade.trade_id
        self.last_trade = trade.trade_id


class Day(NamedTuple):
    """The last 24 hours of a symbol."""

    open: int
    high: int
    low: int
    last: int
    volume: int
    notional: int
    trades: int
    hour_ago: int


class Funding(NamedTuple):
    """Running rate in units of 10^-8, and when (Unix seconds) it will be paid."""

    rate_e8: int
    next_s: int
    interval_s: int


@dataclass(slots=True)
class _Tape:
    trades: deque[Trade]
    running: dict[int, Candle]
    closed: dict[int, deque[Candle]]


class ServedMarket:
    """A market with its past. KeyError for a symbol that is not listed. One thread."""

    def __init__(self, market: Market, seed: int = 1) -> None:
        self.key: Final = market.key
        self.market: Final = market
        self.listings: Final[dict[str, Listing]] = {each.native: each for each in market.listings}
        self.by_symbol: Final = {each.instrument.symbol: each for each in market.listings}
        self._seed = seed
        self._histories: dict[str, History] = {}
        self._tapes: dict[str, _Tape] = {}
        self._days: dict[str, tuple[int, Day]] = {}  # with the minute they were made in
        self._now_ns = 0

    def touch(self, symbol: str, now_ns: int) -> Listing:
        """The listing; from here on the symbol moves."""
        listing = self.listings[symbol]
        if symbol not in self._tapes:
            self.market.activate(symbol, now_ns)
            self._tapes[symbol] = _Tape(self._past_trades(symbol, now_ns), {}, {})
            self.follow(symbol, 60, now_ns)
        return listing

    def advance(self, now_ns: int) -> list[Change]:
        """Turn the market; what changed, with its trades already in the candles."""
        self._now_ns = now_ns
        changes = list(self.market.advance(now_ns))
        for change in changes:
            if change.trades and (tape := self._tapes.get(change.symbol)) is not None:
                tape.trades.extend(change.trades)
                for interval_s in tape.running:
                    candle = self._current(tape, interval_s, change.trades[0].ts_ns)
                    for trade in change.trades:
                        candle.fold(trade)
        return changes

    def snapshot(self, symbol: str, levels: int, now_ns: int) -> Snapshot:
        """The book as of the last turn."""
        self.touch(symbol, now_ns)
        return self.market.snapshot(symbol, levels)

    def last_update(self, symbol: str, now_ns: int) -> int:
        """The number of the symbol's last update."""
        self.touch(symbol, now_ns)
        return self.market.last_update(symbol)

    def quote(self, symbol: str, now_ns: int) -> Quote:
        """Best bid and ask; 0 where a side is empty. Asking for it does not make the symbol move."""
        try:
            book = self.market.snapshot(symbol, 1)
        except KeyError:
            return self._still_quote(symbol, now_ns)
        bid = book.bids[0] if book.bids else (0, 0)
        ask = book.asks[0] if book.asks else (0, 0)
        return Quote(*bid, *ask)

    def trades(self, symbol: str, most: int, now_ns: int) -> list[Trade]:
        """The last `most` trades, oldest first; at most 1,000 are kept."""
        self.touch(symbol, now_ns)
        trades = self._tapes[symbol].trades
        return list(trades)[-most:]

    def follow(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle of an interval, kept up to date from here on."""
        self.touch(symbol, now_ns)
        tape = self._tapes[symbol]
        if interval_s not in tape.running:
            if len(tape.running) >= MAX_INTERVALS:
                # The minute is always followed.
                oldest = next(each for each in tape.running if each != 60)
                del tape.running[oldest], tape.closed[oldest]
            tape.closed[interval_s] = deque(maxlen=KEPT_CANDLES)
            tape.running[interval_s] = self._started(symbol, interval_s, now_ns)
        return self._current(tape, interval_s, now_ns)

    def candles(
        self, symbol: str, interval_s: int, start_s: int | None, end_s: int | None, most: int, now_ns: int
    ) -> list[Candle]:
        """At most `most` candles that open from `start_s` to `end_s` (both included), oldest first.

        With a start the first of them, else the last. None before the listing, none in the future.
        """
        listing = self.listings[symbol]
        most = min(most, MAX_CANDLES)
        now_s = now_ns // SECOND_NS
        last = aligned(min(now_s, now_s if end_s is None else end_s), interval_s)
        first = aligned(listing.listed_s + interval_s - 1, interval_s)
        if start_s is not None:
            first = max(first, aligned(start_s + interval_s - 1, interval_s))
            last = min(last, first + (most - 1) * interval_s)
        else:
            first = max(first, last - (most - 1) * interval_s)
        if last < first:
            return []
        opens = np.arange(first, last + 1, interval_s, dtype=np.int64)
        rows = self._history(symbol).candles(opens, interval_s, now_ns / 1e9)
        made = [
            _candle(open_s, interval_s, *row)
            for open_s, row in zip(opens.tolist(), rows.tolist(), strict=True)
        ]
        tape = self._tapes.get(symbol)
        if tape is not None and interval_s in tape.running:
            known = {each.open_s: each for each in tape.closed[interval_s]}
            running = self._current(tape, interval_s, now_ns)
            known[running.open_s] = running
            made = [known.get(each.open_s, each) for each in made]
        return made

    def newest_closed(self, symbol: str, interval_s: int) -> Candle | None:
        """The last closed candle of a followed interval."""
        tape = self._tapes.get(symbol)
        closed = tape.closed.get(interval_s) if tape is not None else None
        return closed[-1] if closed else None

    def last_trade(self, symbol: str, now_ns: int) -> Trade:
        """The newest trade. Asking for it does not make the symbol move."""
        tape = self._tapes.get(symbol)
        if tape is not None:
            return tape.trades[-1]
        quote = self.quote(symbol, now_ns)
        return Trade(now_ns // SECOND_NS % 100_000_000 + FIRST_ID, now_ns, quote.bid, quote.bid_size, True)

    def day(self, symbol: str, now_ns: int) -> Day:
        """The last 24 hours, from half-hour candles; made anew each minute. The symbol need not move for it."""
        minute = now_ns // (60 * SECOND_NS)
        made, day = self._days.get(symbol) or (-1, None)
        if day is None or made != minute:
            day = self._day_until(symbol, now_ns)
            self._days[symbol] = (minute, day)
        last = self.last_trade(symbol, now_ns).price
        return day._replace(last=last, high=max(day.high, last), low=min(day.low, last))

    def mark(self, symbol: str, now_ns: int) -> float:
        """The mark price in the instrument's units, not rounded: the middle of the book."""
        quote = self.quote(symbol, now_ns)
        if quote.bid and quote.ask:
            return (quote.bid + quote.ask) / 2
        return self._history(symbol).price(now_ns / 1e9)

    def price_at(self, symbol: str, at_s: int) -> float:
        """The price at a Unix time, in quote money."""
        return self._history(symbol).price(at_s) / 10.0 ** self.listings[symbol].instrument.price_decimals

    def funding(self, symbol: str, now_ns: int) -> Funding:
        """The rate that is running now. Only for listings with funding."""
        interval_s = self.listings[symbol].funding_interval_s
        next_s = (now_ns // SECOND_NS // interval_s + 1) * interval_s
        return Funding(self._history(symbol).funding_rate_e8(next_s), next_s, interval_s)

    def funding_history(
        self, symbol: str, start_s: int | None, end_s: int | None, most: int, now_ns: int
    ) -> list[tuple[int, int]]:
        """(when paid, rate in 10^-8), oldest first; with a start the first `most`, else the last."""
        listing = self.listings[symbol]
        interval_s = listing.funding_interval_s
        now_s = now_ns // SECOND_NS
        last = min(now_s, now_s if end_s is None else end_s) // interval_s * interval_s
        first = -(-listing.listed_s // interval_s) * interval_s
        if start_s is not None:
            first = max(first, -(-start_s // interval_s) * interval_s)
            last = min(last, first + (most - 1) * interval_s)
        else:
            first = max(first, last - (most - 1) * interval_s)
        history = self._history(symbol)
        return [(paid, history.funding_rate_e8(paid)) for paid in range(first, last + 1, interval_s)]

    def _still_quote(self, symbol: str, now_ns: int) -> Quote:
        """What a symbol that nobody follows would be quoted at."""
        history, instrument = self._history(symbol), self.listings[symbol].instrument
        tick = instrument.tick_size
        bid = max(round(history.price(now_ns / 1e9)) // tick * tick, tick)
        size = history.size_of(STILL_NOTIONAL, bid)
        return Quote(bid, size, bid + tick, size)

    def _day_until(self, symbol: str, now_ns: int) -> Day:
        now_s = now_ns // SECOND_NS
        opens = np.arange(now_s - DAY_S, now_s, 1_800, dtype=np.int64)
        rows = self._history(symbol).candles(opens, 1_800, now_ns / 1e9)
        total = rows.sum(axis=0)
        return Day(
            open=int(rows[0, 0]),
            high=int(rows[:, 1].max()),
            low=int(rows[:, 2].min()),
            last=int(rows[-1, 3]),
            volume=int(total[4]),
            notional=int((rows[:, 3].astype(float) * rows[:, 4]).sum()),
            trades=int(total[5]),
            hour_ago=int(rows[-2, 0]),
        )

    def _history(self, symbol: str) -> History:
        history = self._histories.get(symbol)
        if history is None:
            history = self._histories[symbol] = History(self.listings[symbol], self._seed)
        return history

    def _current(self, tape: _Tape, interval_s: int, now_ns: int) -> Candle:
        """The running candle, closed and begun anew when its time is over."""
        candle = tape.running[interval_s]
        open_s = aligned(now_ns // SECOND_NS, interval_s)
        if open_s > candle.open_s:
            tape.closed[interval_s].append(candle)
            # A candle without trades opens and stays at the last price, as venues have it.
            candle = Candle(open_s, interval_s, *(candle.close,) * 4, 0, 0, 0, 0, 0)
            tape.running[interval_s] = candle
        return candle

    def _started(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle as far as the history has it."""
        open_s = aligned(now_ns // SECOND_NS, interval_s)
        rows = self._history(symbol).candles(np.array([open_s], np.int64), interval_s, now_ns / 1e9)
        return _candle(open_s, interval_s, *rows[0].tolist())

    def _past_trades(self, symbol: str, now_ns: int) -> deque[Trade]:
        """Trades before anybody asked, half a second apart, along the price path."""
        history, instrument = self._history(symbol), self.listings[symbol].instrument
        times = now_ns - SECOND_NS // 2 * np.arange(PAST_TRADES, 0, -1)
        prices = (history.prices(times / 1e9) / instrument.tick_size).round().astype(np.int64)
        first = now_ns // SECOND_NS % 100_000_000 + FIRST_ID - PAST_TRADES
        made = (
            Trade(
                first + at,
                ts_ns,
                price * instrument.tick_size,
                history.size_of(500.0 + 37.0 * (at * at % 101), price * instrument.tick_size),
                at * at % 3 == 0,
            )
            for at, (ts_ns, price) in enumerate(zip(times.tolist(), prices.tolist(), strict=True))
        )
        return deque(made, maxlen=KEPT_TRADES)


def aligned(at_s: int, interval_s: int) -> int:
    """The opening time of the candle that holds `at_s`; weeks begin on Monday."""
    if interval_s % WEEK_S == 0:
        return (at_s - MONDAY_S) // interval_s * interval_s + MONDAY_S
    return at_s // interval_s * interval_s


def usable(trades: Sequence[Trade], start_ms: int | None, end_ms: int | None) -> list[Trade]:
    """The trades between two times, both included."""
    first = -1 if start_ms is None else start_ms * 1_000_000
    last = (1 << 63) if end_ms is None else (end_ms + 1) * 1_000_000 - 1
    return [each for each in trades if first <= each.ts_ns <= last]


def _candle(
    open_s: int, interval_s: int, opened: int, high: int, low: int, close: int, volume: int, trades: int
) -> Candle:
    middle = (opened + close) // 2
    return Candle(
        *(open_s, interval_s, opened, high, low, close, volume, middle * volume, max(trades, 1)),
        *(volume // 2, middle * (volume // 2)),
    )
