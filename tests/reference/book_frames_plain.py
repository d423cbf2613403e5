"""What rests in each bin of price, level by level, and what is known and traded in each second and each 30: the slow
twin of `engine.telemetry.book_frames`.
"""

from __future__ import annotations

from fractions import Fraction

Trade = tuple[int, int, int]  # price, size, aggressor
Second = tuple[int, bool, list[Trade]]  # when, whether the book was synced at its end, what was traded in it
Row = tuple[
    int, bool, int, int, int, int
]  # when, synced, size and mean price bought, size and mean price sold


def sizes(levels: list[tuple[int, int]], step: int, first: int, bins: int) -> list[int | None]:
    """Sum of the (price, size) levels in each of `bins` bins; None past the lowest or the highest level there is."""
    found: list[int | None] = []
    for place in range(first, first + bins):
        low, high = place * step, (place + 1) * step
        known = any(price < high for price, _ in levels) and any(price >= low for price, _ in levels)
        found.append(sum(size for price, size in levels if low <= price < high) if known else None)
    return found


def row(ts_s: int, synced: bool, trades: list[Trade]) -> Row:
    """What is told of a stretch with these trades."""
    found = []
    for side in (1, -1):
        size = sum(size for _, size, aggressor in trades if aggressor == side)
        notional = sum(price * size for price, size, aggressor in trades if aggressor == side)
        found += [size, round(Fraction(notional, size)) if size else 0]
    bought, bought_price, sold, sold_price = found
    return ts_s, synced, bought, bought_price, sold, sold_price


def joined(seconds: list[Second], step_s: int) -> list[Row]:
    """A row for each `step_s` of these seconds that is over: its last second is there, or a later one."""
    starts = sorted({ts_s // step_s * step_s for ts_s, _, _ in seconds})
    found = []
    for start_s in starts:
        part = [second for second in seconds if second[0] // step_s * step_s == start_s]
        if seconds[-1][0] >= start_s + step_s - 1:
            trades = [trade for _, _, traded in part for trade in traded]
            found.append(row(start_s, all(synced for _, synced, _ in part), trades))
    return found
