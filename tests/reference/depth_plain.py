"""One side of the book as the depth chart draws it, level by level: the slow twin of `dashboards.streams.depth`."""

from __future__ import annotations

Level = tuple[int, int]
MOST = 240


def away_of(price: int, step: int, sign: int) -> int:
    """The multiple of `step` at the price or away from the mid: down for bids (-1), up for asks (1)."""
    while price % step:
        price += sign
    return price


def joined(levels: list[Level], step: int, sign: int) -> list[Level]:
    """(price, size) of each group of `step` price units, best first."""
    found: dict[int, int] = {}
    for price, size in levels:
        group = away_of(price, step, sign)
        found[group] = found.get(group, 0) + size
    return list(found.items())


def side(near: list[Level], whole: list[Level], sign: int, step: int) -> list[Level]:
    """The best groups of the newest levels, and of the older ones past the deepest of those; at most 240."""
    deepest = near[-1][0]
    return joined(near + [one for one in whole if sign * one[0] > sign * deepest], step, sign)[:MOST]
