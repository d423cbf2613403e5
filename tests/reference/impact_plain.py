"""A market order against a book, in fractions: the slow twin of `engine.market.impact.walk`."""

from __future__ import annotations

from fractions import Fraction


def filled(levels: list[tuple[int, int]], asked: int, lot_size: int) -> tuple[int, Fraction, int, bool]:
    """(base, quote, levels used, whether the side ended first) of an order lot by lot, best level first."""
    left, base, used = Fraction(asked), 0, set()
    for place, (price, size) in enumerate(levels):
        if price * size <= left:
            taken = size  # a level may hold a part of a lot: it goes whole
        else:
            taken = 0
            while taken + lot_size <= size and (taken + lot_size) * price <= left:
                taken += lot_size
            base, left = base + taken, left - taken * price
            return base, asked - left, len(used) + bool(taken), False
        base, left = base + taken, left - taken * price
        used.add(place)
        if not left:
            return base, Fraction(asked), len(used), False
    return base, asked - left, len(used), True
