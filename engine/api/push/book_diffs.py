"""The best levels of a book as listeners follow them: a snapshot, then what changed in view. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LevelRow = tuple[int, int]  # price, size


class Shown(NamedTuple):
    """The best levels of both sides, best first."""

    bids: Sequence[LevelRow]
    asks: Sequence[LevelRow]


def difference(before: Sequence[LevelRow], after: Sequence[LevelRow]) -> list[LevelRow]:
    """What turns one side's levels in view into others: new and changed ones best first, then those that left view
    with size 0, whether they left the book or were pushed out of the best.
    """
    if before == after:
        return []
    old, new = dict(before), dict(after)
    changed = [(price, size) for price, size in after if old.get(price) != size]
    changed += [(price, 0) for price in old if price not in new]
    return changed


def apply(side: dict[int, int], changes: Sequence[LevelRow]) -> None:
    """Bring one side's sizes by price to where the changes lead, as a listener does."""
    for price, size in changes:
        if size:
            side[price] = size
        else:
            side.pop(price, None)
