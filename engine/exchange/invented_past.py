"""The past of a market that has none: candles and trades made up by `History`, then what really happens.

Everything kept is bounded.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.exchange.history import History
from engine.exchange.market import Change, Listing, Quote, Trade
from engine.exchange.past import DAY_S, KEPT_TRADES, SECOND_NS, Candle, Day, aligned
from engine.exchange.update_numbers import FIRST_ID

KEPT_CANDLES: Final = 1_500  # closed, of each followed interval
MAX_INTERVALS: Final = 8  # followed at once, of one symbol; the oldest goes
PAST_TRADES: Final = 500  # made up when a symbol is first asked for
STILL_NOTIONAL: Final = 8_000.0


@dataclass(slots=True)
class _Tape:
    trades: deque[Trade]
    running: dict[int, Candle]
    closed: dict[int, deque[Candle]]


class InventedPast:
    """A `Past` as a pure function of listing, seed and time, up to the moment a symbol is first asked for."""

    def __init__(self, listings: Mapping[str, Listing], seed: int) -> None:
        self._listings = listings
        self._seed = seed
        self._histories: dict[str, History] = {}
        self._tapes: dict[str, _Tape] = {}
        self._days: dict[str, tuple[int, Day]] = {}  # with the minute they were made in

    def begin(self, symbol: str, now_ns: int) -> None:
        """Make up the trades before now, and keep what comes."""
        if symbol not in self._tapes:
            self._tapes[symbol] = _Tape(self._past_trades(symbol, now_ns), {}, {})
            self.follow(symbol, 60, now_ns)

    def on_change(self, change: Change) -> None:
        """Take the change's trades into the followed candles."""
        tape = self._tapes.get(change.symbol)
        if tape is None or not change.trades:
            return
        tape.trades.extend(change.trades)
        for interval_s in tape.running:
            candle = self._current(tape, interval_s, change.trades[0].ts_ns)
            for trade in change.trades:
                candle.fold(trade)

    def begins_s(self, symbol: str, interval_s: int) -> int:
        """The listing's first whole candle."""
        return aligned(self._listings[symbol].listed_s + interval_s - 1, interval_s)

    def trades(self, symbol: str, most: int) -> list[Trade]:
        """The last `most` trades of a symbol that was begun, oldest first."""
        return list(self._tapes[symbol].trades)[-most:]

    def trades_from(self, symbol: str, first_id: int, start_ns: int, most: int) -> list[Trade]:
        """Of a symbol that was begun, the oldest `most` numbered from `first_id` on and not before `start_ns`."""
        kept = self._tapes[symbol].trades
        found = (each for each in kept if each.trade_id >= first_id and each.ts_ns >= start_ns)
        return list(itertools.islice(found, most))

    def last_trade(self, symbol: str, now_ns: int) -> Trade:
        """The newest trade, made up while nobody has asked for the symbol."""
        tape = self._tapes.get(symbol)
        if tape is not None:
            return tape.trades[-1]
        quote = self.still_quote(symbol, now_ns)
        return Trade(now_ns // SECOND_NS % 100_000_000 + FIRST_ID, now_ns, quote.bid, quote.bid_size, True)

    def follow(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle of a symbol that was begun, kept up to date from here on."""
        tape = self._tapes[symbol]
        if interval_s not in tape.running:
            if len(tape.running) >= MAX_INTERVALS:
                # The minute is always followed.
                oldest = next(each for each in tape.running if each != 60)
                del tape.running[oldest], tape.closed[oldest]
            tape.closed[interval_s] = deque(maxlen=KEPT_CANDLES)
            tape.running[interval_s] = self._started(symbol, interval_s, now_ns)
        return self._current(tape, interval_s, now_ns)

    def newest_closed(self, symbol: str, interval_s: int, now_ns: int) -> Candle | None:
        """The last closed candle of a followed interval."""
        del now_ns
        tape = self._tapes.get(symbol)
        closed = tape.closed.get(interval_s) if tape is not None else None
        return closed[-1] if closed else None

    def candles(self, symbol: str, interval_s: int, first_s: int, last_s: int, now_ns: int) -> list[Candle]:
        """Made-up candles, the followed ones as they really were."""
        opens = np.arange(first_s, last_s + 1, interval_s, dtype=np.int64)
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

    def day(self, symbol: str, now_ns: int) -> Day:
        """From half-hour candles, made anew each minute."""
        minute = now_ns // (60 * SECOND_NS)
        made, day = self._days.get(symbol) or (-1, None)
        if day is None or made != minute:
            day = self._day_until(symbol, now_ns)
            self._days[symbol] = (minute, day)
        last = self.last_trade(symbol, now_ns).price
        return day._replace(last=last, high=max(day.high, last), low=min(day.low, last))

    def still_quote(self, symbol: str, now_ns: int) -> Quote:
        """One tick around the price path."""
        history, instrument = self._history(symbol), self._listings[symbol].instrument
        tick = instrument.tick_size
        bid = max(round(history.price(now_ns / 1e9)) // tick * tick, tick)
        size = history.size_of(STILL_NOTIONAL, bid)
        return Quote(bid, size, bid + tick, size)

    def price(self, symbol: str, at_s: float) -> float:
        """The price path at a time, not rounded."""
        return self._history(symbol).price(at_s)

    def funding_rate_e8(self, symbol: str, paid_s: int) -> int:
        """The rate paid at a funding time."""
        return self._history(symbol).funding_rate_e8(paid_s)

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
            history = self._histories[symbol] = History(self._listings[symbol], self._seed)
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
        history, instrument = self._history(symbol), self._listings[symbol].instrument
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


def _candle(
    open_s: int, interval_s: int, opened: int, high: int, low: int, close: int, volume: int, trades: int
) -> Candle:
    middle = (opened + close) // 2
    return Candle(
        *(open_s, interval_s, opened, high, low, close, volume, middle * volume, max(trades, 1)),
        *(volume // 2, middle * (volume // 2)),
    )
