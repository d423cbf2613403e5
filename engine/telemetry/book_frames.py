"""Where size rested in a book, second by second: rows of a liquidity heatmap.

A frame is 128 bins of price around the mid and what rested in each at the end of a second. Bins lie on a grid of
`step` price units that starts at price 0, so those of different frames are the same prices as long as the step is.
Only what is known is told: a bin past the deepest level of the book is unknown (NaN), and a second in which the book
was not synced is unknown as a whole, never empty.

Two rings a market: every second for 15 minutes, and every 30 seconds (the book as at their end, the trades of all of
them, unknown where one of them is) for four hours, which is what longer windows are drawn from. 585 bytes a row, 0.9 MB
a market; pages that were never written are not taken from the system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.market.batches import BUY, SELL, Rows
from engine.telemetry.ring import Ring

BINS: Final = 128
LEVELS: Final = 2_000  # a side that a frame is made from
FRAME: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second or the 30, by the source's clock; the book as at their end
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
# Both hold more than their windows of 15 minutes and four hours: the first column begins up to 5 s or 119 s before the
# window, and a page that is paused exports what it shows: in full when it is paused for up to two minutes.
FINE_ROWS: Final = 1_028
COARSE_S: Final = 30
COARSE_ROWS: Final = 490
SECOND_NS: Final = 1_000_000_000
COARSE_NS: Final = COARSE_S * SECOND_NS


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


class Taken:
    """What takers bought and sold, added up. Notionals are floats: a mean price of them is right to 15 digits."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: list[float] = [0, 0.0, 0, 0.0]  # size and notional bought, and sold

    def add(self, trades: Rows) -> None:
        """Count TRADE rows; those of no known side are of neither. Cost: 15 us, and 6 ns a row."""
        if not len(trades):
            return
        sides, sizes, prices = trades["aggressor"], trades["size"], trades["price"]
        for place, side in ((0, BUY), (2, SELL)):
            of_side = sides == side
            size = sizes[of_side]
            self._sums[place] += int(size.sum())
            self._sums[place + 1] += float(np.dot(prices[of_side].astype(np.float64), size))

    def join(self, other: Taken) -> None:
        """Count what `other` has counted."""
        for place, part in enumerate(other._sums):
            self._sums[place] += part

    def told(self) -> tuple[int, int, int, int]:
        """(size bought, its mean price weighted by size, size sold, likewise); zeros where there is none."""
        bought, paid, sold, got = self._sums
        return (
            *(int(bought), round(paid / bought) if bought else 0),
            *(int(sold), round(got / sold) if sold else 0),
        )


def unknown(ts_ns: int, traded: tuple[int, int, int, int]) -> tuple[Any, ...]:
    """The FRAME row of a second without a right book."""
    return (ts_ns, 0, 1, 0, 0, 0, *traded, np.full(BINS, np.nan, np.float32))


class BookFrames:
    """The frames of one market. One writer."""

    def __init__(self, source: str, symbol: str) -> None:
        self.fine = Ring(f"book frames {source} {symbol}", FRAME, FINE_ROWS)
        self.coarse = Ring(f"book frames, {COARSE_S} s, {source} {symbol}", FRAME, COARSE_ROWS)
        self._grid: Grid | None = None
        self._read = 0  # place in the ring of trades: those before it are counted
        self._taken = Taken()  # in the running second
        self._coarse_ns = 0  # start of the running 30 s
        self._coarse_taken = Taken()  # in them
        self._coarse_synced = True  # at the end of each of their seconds so far
        self._newest: tuple[Any, ...] | None = None  # FRAME row of the newest of those; None before the first

    def __iter__(self) -> Iterator[Ring]:
        return iter((self.fine, self.coarse))

    def make_room(self, trades: Ring, coming: Rows) -> None:
        """Count what a publish of the TRADE rows `coming` would overwrite in the market's ring `trades` before `add`
        has read it. To be called ahead of each. Cost: a comparison, and what `Taken.add` costs once in a ring full.
        """
        head = trades.head + len(coming)
        if head - self._read <= trades.capacity:
            return
        if self._grid is not None:
            self._taken.add(trades.since(self._read).rows)
            self._taken.add(coming)
        self._read = head

    def add(self, ts_ns: int, book: tuple[Rows, Rows] | None, trades: Ring, tick: int) -> None:
        """Take the second that began at `ts_ns`: `book` is the best LEVELS of both sides, None while it is not
        synced, and `trades` the market's ring. Before the first synced book nothing is kept.
        """
        if book is None and self._grid is None:
            return
        if self._grid is None:
            self._read = trades.head  # what was traded before is of no frame
        found = trades.since(self._read)
        self._read = found.cursor
        self._taken.add(found.rows)
        traded = self._taken.told()
        if book is not None and len(book[0]) and len(book[1]):
            bid, ask = int(book[0]["price"][0]), int(book[1]["price"][0])
            self._grid = grid = grid_of(bid, ask, tick, self._grid)
            row = (ts_ns, 1, grid.step, grid.first, bid, ask, *traded, sizes_of(*book, grid))
        else:
            row = unknown(ts_ns, traded)
        self.fine.publish_one(row)
        self._add_coarse(row)
        self._taken = Taken()

    def _add_coarse(self, row: tuple[Any, ...]) -> None:
        """Add a second to the 30 that hold it, once those before are published: a second may be skipped, also the last
        of them.
        """
        ts_ns = row[0]
        if ts_ns - ts_ns % COARSE_NS != self._coarse_ns:
            self._close_coarse()
            self._coarse_ns = ts_ns - ts_ns % COARSE_NS
        self._newest = row
        self._coarse_synced &= row[1] == 1
        self._coarse_taken.join(self._taken)
        if ts_ns + SECOND_NS == self._coarse_ns + COARSE_NS:
            self._close_coarse()  # complete: shown now, not a second later

    def _close_coarse(self) -> None:
        if self._newest is None:
            return
        traded = self._coarse_taken.told()
        if self._coarse_synced:
            self.coarse.publish_one((self._coarse_ns, *self._newest[1:6], *traded, self._newest[-1]))
        else:
            self.coarse.publish_one(unknown(self._coarse_ns, traded))
        self._newest, self._coarse_synced, self._coarse_taken = None, True, Taken()
