"""What a market order would get: the book walked level by level. Pure, in whole numbers; nothing is rounded twice.

An amount of the quote currency is given in units of 10^-(price decimals + size decimals), so that price times size is a
whole number of them. Sizes must count the base: what a contract is worth in either currency, no instrument here knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from engine.market.batches import Rows
from engine.market.comparison import basis_points
from engine.market.instruments import Instrument, format_decimal

Side = Literal["buy", "sell"]
MORE_DECIMALS: Final = 4  # of an average price, beyond those of prices
FINER: Final = 10_000  # 10^MORE_DECIMALS
CHUNK: Final = 256


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


def walk(bids: Rows, asks: Rows, side: Side, asked: int, lot_size: int = 1) -> Impact | None:
    """What a market order of `asked` of the quote currency would get; None where the side it takes from is empty.

    LEVEL rows, best first: a buy takes asks, a sell bids. The last level gives whole lots of `lot_size` only, as many
    as the rest of the amount is worth. Cost: some 0.1 us a level it takes from.
    """
    if asked <= 0:
        raise ValueError(f"a market order is of more than nothing, not {asked}")
    takes, other = (asks, bids) if side == "buy" else (bids, asks)
    if not len(takes):
        return None
    best = worst = int(takes["price"][0])
    mid2 = best + int(other["price"][0]) if len(other) else None
    left, base, levels, exhausted = asked, 0, 0, True
    for price, size in _levels(takes):
        cost = price * size
        if cost > left:
            size = left // price // lot_size * lot_size
            cost, exhausted = price * size, False
        if size:
            base, left, levels, worst = base + size, left - cost, levels + 1, price
        if not exhausted or not left:
            exhausted = False
            break
    return Impact(side, asked, base, asked - left, levels, best, worst, exhausted, mid2)


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


def _levels(rows: Rows) -> Iterator[tuple[int, int]]:
    for start in range(0, len(rows), CHUNK):
        yield from rows[start : start + CHUNK].tolist()
