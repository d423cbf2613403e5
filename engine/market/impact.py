"""What a market order would get: the book walked level by level. Pure, in whole numbers; nothing is rounded twice.

An amount of the quote currency is given in units of 10^-(price decimals + size decimals), so that price times size is a
whole number of them. Sizes must count the base: what a contract is worth in either currency, no instrument here knows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul
from typing import Any, Final, Literal

import numpy as np

from engine.market.batches import Rows
from engine.market.comparison import basis_points
from engine.market.instruments import Instrument, format_decimal

Side = Literal["buy", "sell"]
MORE_DECIMALS: Final = 4  # of an average price, beyond those of prices
FINER: Final = 10_000  # 10^MORE_DECIMALS
CHUNKS: Final = (0, 64, 512, 4_096)  # levels up to which a walk looks at a time
WORD: Final = 2.0**62  # sums below are held in a machine word


@dataclass(frozen=True, slots=True)
class Impact:
    """What was got. Prices and sizes in the instrument's units, `quote` and `asked` in units of both together.

    `base` 0: the amount does not pay for one lot at the best price.
    """

    side: Side
    asked: int
    base: int  # filled
    quote: int  # sum of price times size of it
    levels: int  # it takes from
    best: int  # price of the best level
    worst: int  # price of the last level it takes from; `best` where it takes from none
    exhausted: bool  # the side ends before the amount is filled
    mid2: int | None  # twice the mid; None where the other side is empty

    def average(self) -> int | None:
        """The average price in units of 10^-(price decimals + MORE_DECIMALS), half up; None when nothing is filled."""
        if not self.base:
            return None
        return (2 * self.quote * FINER + self.base) // (2 * self.base)

    def impact_bp(self) -> float | None:
        """How much worse than the mid the average is, in basis points, to four decimals; None without a mid."""
        if not self.base or not self.mid2:
            return None
        return basis_points(self._worse(2 * self.quote - self.mid2 * self.base), self.mid2 * self.base)

    def slippage_bp(self) -> float | None:
        """How much worse than the best price the average is, in basis points, to four decimals; None when nothing is
        filled.
        """
        if not self.base:
            return None
        return basis_points(self._worse(self.quote - self.best * self.base), self.best * self.base)

    def _worse(self, difference: int) -> int:
        return difference if self.side == "buy" else -difference


class Ladder:
    """One side of a book, LEVEL rows, best first, in one or more parts: walked for any number of amounts, its sums are
    made once, as far as any of them goes.
    """

    def __init__(self, *parts: Rows) -> None:
        self._coming = (
            rows[start:end]
            for rows in parts
            for start, end in pairwise((*CHUNKS, max(len(rows), CHUNKS[-1])))
            if start < len(rows)
        )
        self._made: list[tuple[Any, Any, Any, Any]] = []

    def __iter__(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """(prices, sizes, sums of price times size and of size up to each) of as many levels as are looked at at a
        time: the first are few, since most orders end in them.
        """
        place = 0
        while True:
            if place == len(self._made):
                rows = next(self._coming, None)
                if rows is None:
                    return
                self._made.append((rows["price"], rows["size"], *_sums(rows["price"], rows["size"])))
            yield self._made[place]
            place += 1

    def best(self) -> int | None:
        """The best price; None where there is no level."""
        return next((int(prices[0]) for prices, *_ in self), None)


def walk(bids: Rows, asks: Rows, side: Side, asked: int, lot_size: int = 1) -> Impact | None:
    """What a market order of `asked` of the quote currency would get; None where the side it takes from is empty.

    LEVEL rows, best first: a buy takes asks, a sell bids. The last level gives whole lots of `lot_size` only, as many
    as the rest of the amount is worth. Cost: 15 us, and some 12 ns a level it takes from past the best 64; 60 ns where
    sums pass a machine word.
    """
    takes, other = (asks, bids) if side == "buy" else (bids, asks)
    return take(Ladder(takes), Ladder(other).best(), side, asked, lot_size)


def take(takes: Ladder, other: int | None, side: Side, asked: int, lot_size: int = 1) -> Impact | None:
    """As `walk`, of the side that is taken from and the other side's best price. Cost: of sums that were made before,
    5 us.
    """
    if asked <= 0:
        raise ValueError(f"a market order is of more than nothing, not {asked}")
    best = takes.best()
    if best is None:
        return None
    left, base, levels, worst, exhausted = asked, 0, 0, best, True
    for prices, sizes, costs, bases in takes:
        full = bisect_left(costs, left)  # levels that go whole before the one that ends it
        ends = full < len(costs)
        if ends and costs[full] == left:
            full += 1
        if full:
            base, left = base + int(bases[full - 1]), left - int(costs[full - 1])
            used = np.flatnonzero(sizes[:full])
            if len(used):
                levels, worst = levels + len(used), int(prices[used[-1]])
        if ends and left:
            price = int(prices[full])
            size = left // price // lot_size * lot_size
            if size:
                base, left, levels, worst = base + size, left - size * price, levels + 1, price
        if ends:
            exhausted = False
            break
    mid2 = best + other if other is not None else None
    return Impact(side, asked, base, asked - left, levels, best, worst, exhausted, mid2)


def _sums(prices: Any, sizes: Any) -> tuple[Any, Any]:
    """(price times size, size) of all levels up to each one, exact: in machine words where they are surely held."""
    if float(prices.max()) * float(sizes.sum(dtype=np.float64)) < WORD:
        return np.cumsum(prices * sizes), np.cumsum(sizes)
    whole: list[int] = sizes.tolist()
    return list(accumulate(map(mul, prices.tolist(), whole))), list(accumulate(whole))


def amount_of(instrument: Instrument, text: str) -> int:
    """Decimal text of the quote currency in units of both decimals together, cut off where it is finer. It is digits,
    and a point with digits behind it.
    """
    decimals = instrument.price_decimals + instrument.size_decimals
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:decimals].ljust(decimals, "0"))


def quote_text(instrument: Instrument, amount: int) -> str:
    """An amount of the quote currency as text, without zeros at its end beyond the price's decimals."""
    text = format_decimal(amount, instrument.price_decimals + instrument.size_decimals)
    whole, point, fraction = text.partition(".")
    kept = max(instrument.price_decimals, len(fraction.rstrip("0")))
    return whole + point * bool(kept) + fraction[:kept]
