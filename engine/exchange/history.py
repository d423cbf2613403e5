"""Prices at any time as a pure function of symbol and seed: what klines months back are made of.

A price path is a sum of smooth noises, each four times slower than the one before, each with the range that a
random walk would have over its period. So it looks alike at every scale, costs the same at any time, and a
candle closes where the next one opens. All of it is vectorised over times.
"""

from __future__ import annotations

import math
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.exchange.market import Listing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FASTEST_S: Final = 4.0
OCTAVES: Final = 13  # the slowest takes two years
VOLATILITY: Final = 0.5  # a year's
YEAR_S: Final = 365.25 * 86_400
_SHARES: Final = np.array([0.2, 0.5, 0.8])  # of a candle's time, where its high and low are looked for
NOTIONAL_PER_S: Final = 20_000.0  # traded on average
_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


class History:
    """One symbol's past and present prices and volumes, without trades."""

    def __init__(self, listing: Listing, seed: int) -> None:
        self.listing: Final = listing
        name = f"{seed}:{listing.instrument.venue}:{listing.native}".encode()
        # The same base moves alike in all markets, nearly: they differ by a slow noise of their own.
        shared = zlib.crc32(f"{seed}:{listing.instrument.base}".encode())
        self._own = zlib.crc32(name)
        self._path = [(_mix((shared << 8) + at), *_octave(at)) for at in range(OCTAVES)]
        self._basis = (_mix(self._own), 600.0, 0.0003)
        self._tick = listing.instrument.tick_size
        self._cache: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * (OCTAVES + 1)

    def price(self, at_s: float) -> float:
        """The price at a Unix time, in the instrument's units, not rounded. Some 5 us."""
        log = 0.0
        cache = self._cache
        for index, (key, period_s, size) in enumerate((*self._path, self._basis)):
            place = at_s / period_s
            cell = math.floor(place)
            kept, first, second = cache[index]
            if kept != cell:
                first, second = _hashed(key, cell), _hashed(key, cell + 1)
                cache[index] = (cell, first, second)
            rest = place - cell
            log += size * (first + (second - first) * rest * rest * (3.0 - 2.0 * rest))
        return self.listing.start_price * math.exp(log)

    def prices(self, at_s: Floats) -> Floats:
        """As `price`, of many times; float64 of the same shape."""
        log = np.zeros(at_s.shape)
        for key, period_s, size in (*self._path, self._basis):
            place = at_s / period_s
            cell = np.floor(place)
            rest = place - cell
            index = cell.astype(np.int64)
            first, second = _hashed_array(key, index), _hashed_array(key, index + 1)
            log += size * (first + (second - first) * rest * rest * (3.0 - 2.0 * rest))
        return np.asarray(self.listing.start_price * np.exp(log))

    def candles(self, opens_s: Ints, interval_s: int, now_s: float) -> Ints:
        """Rows (open, high, low, close, volume, trades) of successive candles that open at these times, in units.

        One that still runs at `now_s` ends there.
        """
        starts = opens_s.astype(np.float64)
        ends = np.minimum(starts + interval_s, now_s)
        # A candle's close is the next one's open: it is computed once.
        inside = starts[:, None] + (ends - starts)[:, None] * _SHARES[None, :]
        prices = np.round(self.prices(inside) / self._tick)
        edges = np.round(self.prices(np.append(starts, ends[-1:])) / self._tick)
        opened, closed = edges[:-1], edges[1:]
        key = _mix(self._own ^ interval_s)
        noise = _hashed_array(key, opens_s // interval_s)
        wick = np.abs(noise) * 0.15 * VOLATILITY * math.sqrt(interval_s / YEAR_S) * opened
        rows = np.empty((len(opens_s), 6), np.int64)
        rows[:, 0], rows[:, 3] = opened, closed
        rows[:, 1] = np.maximum(np.maximum(opened, closed), prices.max(axis=1)) + np.floor(wick)
        least = np.minimum(np.minimum(opened, closed), prices.min(axis=1)) - np.floor(wick)
        rows[:, 2] = np.maximum(least, 1)
        rows[:, :4] *= self._tick
        seconds = np.maximum(ends - starts, 0.0)
        rows[:, 4] = self._sizes(NOTIONAL_PER_S * seconds * (1.0 + 0.6 * noise), rows[:, 0])
        rows[:, 5] = np.ceil(seconds * 2.0 * (1.0 + 0.5 * noise))
        return rows

    def size_of(self, notional: float, price: float) -> int:
        """The size, in whole lots and at least one, that is worth `notional` at `price` (units)."""
        lot = self.listing.instrument.lot_size
        return max(lot, int(notional / self._worth(price)) // lot * lot)

    def funding_rate_e8(self, paid_s: int) -> int:
        """The rate paid at a funding time, in units of 10^-8: around one basis point."""
        noise = _hashed(_mix(self._own + 77), paid_s // max(self.listing.funding_interval_s, 1))
        return round(10_000 + 9_000 * noise)

    def _worth(self, price: float) -> float:
        """Quote money of one unit of size."""
        instrument = self.listing.instrument
        if self.listing.kind == "inverse":
            return float(self.listing.contract_size or 1)
        return price / 10.0 ** (instrument.price_decimals + instrument.size_decimals)

    def _sizes(self, notional: Floats, prices: Ints) -> Ints:
        if self.listing.kind == "inverse":
            return (notional / (self.listing.contract_size or 1)).astype(np.int64)
        instrument = self.listing.instrument
        scale = 10.0 ** (instrument.price_decimals + instrument.size_decimals)
        return (notional * scale / prices).astype(np.int64)


def _octave(at: int) -> tuple[float, float]:
    period_s = FASTEST_S * 4.0**at
    return period_s, 0.8 * VOLATILITY * math.sqrt(period_s / YEAR_S)


def _mix(value: int) -> int:
    """A number well spread over 64 bits (splitmix64)."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _hashed(key: int, index: int) -> float:
    """-1.0 to 1.0, by key and index alone."""
    return _mix((key + index * _GOLDEN) & _MASK) / 2**63 - 1.0


def _hashed_array(key: int, index: Ints) -> Floats:
    with np.errstate(over="ignore"):
        value = np.uint64(key) + index.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(_GOLDEN)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value = value ^ (value >> np.uint64(31))
    return np.asarray(value / 2.0**63 - 1.0)
