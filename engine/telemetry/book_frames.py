"""Where size rested in a book, second by second: rows of a liquidity heatmap.

A frame is 128 bins of price around the mid and what rested in each at the end of a second. Bins lie on a grid of
`step` price units that starts at price 0, so those of different frames are the same prices as long as the step is.
Only what is known is told: a bin past the deepest level of the book is unknown (NaN), and a second in which the book
was not synced is unknown as a whole, never empty.

Two rings a market: every second for 15 minutes, and every thirtieth (with the trades of all thirty) for four hours,
which is what longer windows are drawn from. 585 bytes a row, 0.8 MB a market, 113 MB for 140 markets, which is the most
there are; pages that were never written are not taken from the system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.market.batches import Rows
from engine.telemetry.ring import Ring

BINS: Final = 128
LEVELS: Final = 2_000  # a side that a frame is made from
FRAME: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second, by the source's clock; the book as at its end
        ("synced", np.int8),  # 0: nothing is known of the book
        ("step", np.int64),  # price units a bin
        (
            "first",
            np.int64,
        ),  # lowest bin: it holds prices from first * step up to, not with, (first + 1) * step
        ("bid", np.int64),  # best prices; 0 = none
        ("ask", np.int64),
        ("bought", np.int64),  # size of the trades in which a taker bought, and their mean price; 0 = none
        ("bought_price", np.int64),
        ("sold", np.int64),
        ("sold_price", np.int64),
        ("sizes", np.float32, (BINS,)),  # resting in each bin, size units to 7 digits; NaN: not known
    ]
)
SPAN: Final = 0.004  # of the price, that the bins cover: 0.4 %
SPREAD_BINS: Final = 16  # a spread wider than these makes them wider
HELD: Final = 2.5  # a step stays while it is at most this much too fine or too coarse
MARGIN: Final = 40  # the mid stays at least so many bins from either end
FINE_ROWS: Final = 904  # 15 minutes
COARSE_S: Final = 30
COARSE_ROWS: Final = 484  # four hours
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Prices of a frame's bins."""

    step: int
    first: int


def nice(x: float) -> int:
    """The nearest of 1, 2, 5, 10, 20, 50 ... to `x` by ratio, at least 1."""
    best = power = 1
    while power <= 10 * x:
        for digit in (1, 2, 5):
            value = digit * power
            if max(value / x, x / value) < max(best / x, x / best):
                best = value
        power *= 10
    return best


def grid_of(bid: int, ask: int, tick: int, held: Grid | None) -> Grid:
    """The grid for a book with these best prices: `held` as long as it does."""
    middle = (bid + ask) // 2
    ideal = max(abs(middle) * SPAN / BINS, (ask - bid) / SPREAD_BINS, tick) / tick
    step = held.step if held is not None else 0
    if not step or not step / tick / HELD <= ideal <= step / tick * HELD:
        step = nice(ideal) * tick
    if held is not None and held.step == step and MARGIN <= middle // step - held.first < BINS - MARGIN:
        return held
    return Grid(step, middle // step - BINS // 2)


def sizes_of(bids: Rows, asks: Rows, grid: Grid) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What rests in each bin of `grid`, of LEVEL rows, best first; NaN past the deepest level of either side.

    Cost: about 30 us for 2,000 levels a side.
    """
    prices = np.concatenate((bids["price"], asks["price"]))
    places = prices // grid.step - grid.first
    inside = (places >= 0) & (places < BINS)
    weights = np.concatenate((bids["size"], asks["size"]))
    found = np.bincount(places[inside], weights[inside], BINS).astype(np.float32)
    low, high = (int(places.min()), int(places.max())) if len(places) else (BINS, BINS)
    found[: min(max(low, 0), BINS)] = np.nan
    found[max(high + 1, 0) :] = np.nan
    return found


def taken(trades: Rows, side: int) -> tuple[int, int]:
    """(size, mean price weighted by size) of the TRADE rows whose taker was on `side`; zeros without any."""
    rows = trades[trades["aggressor"] == side]
    size = int(rows["size"].sum())
    return (
        (size, round(float(np.dot(rows["price"].astype(np.float64), rows["size"])) / size))
        if size
        else (0, 0)
    )


def unknown(ts_ns: int, bought: tuple[int, int], sold: tuple[int, int]) -> tuple[Any, ...]:
    """The FRAME row of a second without a right book."""
    return (ts_ns, 0, 1, 0, 0, 0, *bought, *sold, np.full(BINS, np.nan, np.float32))


class BookFrames:
    """The frames of one market. One writer."""

    def __init__(self, source: str, symbol: str) -> None:
        self.fine = Ring(f"book frames {source} {symbol}", FRAME, FINE_ROWS)
        self.coarse = Ring(f"book frames, {COARSE_S} s, {source} {symbol}", FRAME, COARSE_ROWS)
        self._grid: Grid | None = None
        self._trades = 0  # place in the ring of trades
        self._sums = [
            0,
            0,
            0,
            0,
        ]  # of the coarse row that is filled: bought, its notional, sold, its notional

    def __iter__(self) -> Iterator[Ring]:
        return iter((self.fine, self.coarse))

    def add(self, ts_ns: int, book: tuple[Rows, Rows] | None, trades: Ring, tick: int) -> None:
        """Take the second that began at `ts_ns`: `book` is the best LEVELS of both sides, None while it is not
        synced, and `trades` the market's ring. Before the first synced book nothing is kept.
        """
        if book is None and self._grid is None:
            return
        if self._grid is None:
            self._trades = trades.head  # what was traded before is of no frame
        found = trades.since(self._trades)
        self._trades = found.cursor
        bought, sold = taken(found.rows, 1), taken(found.rows, -1)
        if book is not None and len(book[0]) and len(book[1]):
            bid, ask = int(book[0]["price"][0]), int(book[1]["price"][0])
            self._grid = grid = grid_of(bid, ask, tick, self._grid)
            row = (ts_ns, 1, grid.step, grid.first, bid, ask, *bought, *sold, sizes_of(*book, grid))
        else:
            row = unknown(ts_ns, bought, sold)
        self.fine.publish_one(row)
        for place, (size, price) in ((0, bought), (2, sold)):
            self._sums[place] += size
            self._sums[place + 1] += size * price
        if ts_ns // SECOND_NS % COARSE_S == COARSE_S - 1:
            self.coarse.publish_one((*row[:6], *self._taken(0), *self._taken(2), row[-1]))
            self._sums = [0, 0, 0, 0]

    def _taken(self, place: int) -> tuple[int, int]:
        size, notional = self._sums[place : place + 2]
        return size, notional // size if size else 0
