"""Candles aligned to the clock, from trades; and their roll-up to longer intervals.

A second without trades has no candle: holes are holes. A trade belongs to the interval of its venue time, or
of our receive time where the venue gives none. Notionals are two words (`engine.market.batches.CANDLE`):
exact while prices and sizes are below 2**61 and an interval's notional below 2**103.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.market import candle_kernel as kernel
from engine.market.batches import CANDLE, Rows

SECOND_NS: Final = 1_000_000_000
INTERVALS_NS: Final = {
    "1s": SECOND_NS,
    "5s": 5 * SECOND_NS,
    "1m": 60 * SECOND_NS,
    "5m": 300 * SECOND_NS,
    "15m": 900 * SECOND_NS,
    "1h": 3600 * SECOND_NS,
}
WORD: Final = 40  # bits of notional_low
CHUNK: Final = 512  # candles closed by one kernel call


class CandleBuilder:
    """Builds one symbol's candles. 100,000 trades take a few milliseconds.

    `late` counts trades older than the running interval, or than the last closed one: they are not merged,
    since closed candles have already been handed on.
    """

    def __init__(self, interval_ns: int = SECOND_NS) -> None:
        if interval_ns <= 0:
            raise ValueError(f"a candle's interval must be positive, not {interval_ns} ns")
        self.interval_ns = interval_ns
        self._running = np.zeros(kernel.RUNNING, np.int64)
        self._closed = np.empty((CHUNK, 9), np.int64)

    @property
    def late(self) -> int:
        """Trades that came after their candle had closed."""
        return int(self._running[kernel.LATE])

    def on_trades(self, rows: Rows) -> Rows:
        """The candles that TRADE rows close, as CANDLE rows, oldest first; mostly none."""
        consumed, count = kernel.fold_trades(self._running, rows, 0, self.interval_ns, self._closed)
        if consumed == len(rows):
            return self._take(count)
        parts = [self._take(count)]
        while consumed < len(rows):
            consumed, count = kernel.fold_trades(
                self._running, rows, consumed, self.interval_ns, self._closed
            )
            parts.append(self._take(count))
        return np.concatenate(parts)

    def advance(self, now_ns: int) -> Rows:
        """The running candle, closed, when the source's clock has passed its end; else no rows."""
        open_ns = int(self._running[kernel.OPEN_NS])
        if not self._running[kernel.TRADES] or now_ns < open_ns + self.interval_ns:
            return np.empty(0, CANDLE)
        closed = self.running()
        assert closed is not None
        self._running[kernel.FLOOR_NS] = open_ns + self.interval_ns
        self._running[kernel.TRADES] = 0
        return closed

    def running(self) -> Rows | None:
        """A copy of the running candle as one CANDLE row, shape (1,); None when no trade has come in it."""
        if not self._running[kernel.TRADES]:
            return None
        return self._running[:9].copy().view(CANDLE)

    def rescale(self, price_factor: int, size_factor: int) -> None:
        """Bring the running candle to finer units, exactly. OverflowError when it won't fit."""
        row = self.running()
        if row is not None:
            self._running[:9] = rescale_candles(row, price_factor, size_factor).view(np.int64)

    def _take(self, count: int) -> Rows:
        return self._closed[:count].copy().view(CANDLE).reshape(count)


def roll_up(rows: Rows, interval_ns: int) -> Rows:
    """CANDLE rows merged into longer intervals, aligned to the clock; holes stay holes.

    Rows are oldest first. Where a row repeats an opening time (the provisional running second, then the
    closed one) the last counts. The first and last result may cover less than their interval.
    """
    if interval_ns <= 0:
        raise ValueError(f"a candle's interval must be positive, not {interval_ns} ns")
    if not len(rows):
        return np.empty(0, CANDLE)
    opened = rows["ts_open_ns"]
    if np.any(opened[1:] < opened[:-1]):
        raise ValueError("candles must be oldest first")
    last_of_its_time = np.append(opened[1:] != opened[:-1], True)
    if not last_of_its_time.all():
        rows = rows[last_of_its_time]
        opened = rows["ts_open_ns"]
    bucket = opened - opened % interval_ns
    starts = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
    ends = np.append(starts[1:], len(rows)) - 1
    out = np.empty(len(starts), CANDLE)
    out["ts_open_ns"] = bucket[starts]
    out["open"] = rows["open"][starts]
    out["high"] = np.maximum.reduceat(rows["high"], starts)
    out["low"] = np.minimum.reduceat(rows["low"], starts)
    out["close"] = rows["close"][ends]
    out["volume"] = np.add.reduceat(rows["volume"], starts)
    out["trades"] = np.add.reduceat(rows["trades"], starts)
    low = np.add.reduceat(rows["notional_low"], starts)  # < 2**63: up to 2**23 rows in one interval
    out["notional_high"] = np.add.reduceat(rows["notional_high"], starts) + (low >> WORD)
    out["notional_low"] = low & ((1 << WORD) - 1)
    return out


def notional(rows: Rows) -> int:
    """Sum of price * size over CANDLE rows, an exact Python integer in units of both decimals together."""
    high, low = int(rows["notional_high"].sum()), int(rows["notional_low"].sum())
    return (high << WORD) + low


def rescale_candles(rows: Rows, price_factor: int, size_factor: int) -> Rows:
    """CANDLE rows in finer units, exactly, in Python row by row. OverflowError when they won't fit."""
    out = rows.copy()
    for field in ("open", "high", "low", "close"):
        out[field] = [int(value) * price_factor for value in rows[field]]
    out["volume"] = [int(value) * size_factor for value in rows["volume"]]
    for i in range(len(rows)):
        total = notional(rows[i : i + 1]) * price_factor * size_factor
        out["notional_high"][i], out["notional_low"][i] = total >> WORD, total & ((1 << WORD) - 1)
    return out


def warm_up() -> None:
    """Compile the candle kernels."""
    kernel.warm_up()
