"""What rests in each bin of price, level by level: the slow twin of `engine.telemetry.book_frames.sizes_of`."""

from __future__ import annotations


def sizes(levels: list[tuple[int, int]], step: int, first: int, bins: int) -> list[int | None]:
    """Sum of the (price, size) levels in each of `bins` bins; None past the lowest or the highest level there is."""
    found: list[int | None] = []
    for place in range(first, first + bins):
        low, high = place * step, (place + 1) * step
        known = any(price < high for price, _ in levels) and any(price >= low for price, _ in levels)
        found.append(sum(size for price, size in levels if low <= price < high) if known else None)
    return found
