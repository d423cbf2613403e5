"""The compiled half of the L2 book: sorted levels, best at the end.

One int64 array of shape (4, capacity) holds both sides: rows 0 and 1 are the bids' keys and sizes, rows 2 and
3 the asks'. A key is the price for bids and minus the price for asks, so each side ascends and its best is
its last: most changes are near it, where an insert or a delete shifts little, and any price fits. Shifts are
memmoves (`moving`): on the recorded markets a level costs 55 to 80 ns, search and shift together.

`meta` is int64 (META,): see the names below. Kernels write the best levels and the crossing there, so that
the Python side reads the outcome without another call.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

from engine.market.moving import move

BID_PRICE: Final = 0
BID_SIZE: Final = 1
ASK_PRICE: Final = 2
ASK_SIZE: Final = 3
BIDS: Final = 4  # number of levels
ASKS: Final = 5
DROPPED: Final = 6  # levels pushed out of a full side
META: Final = 8

Ints = npt.NDArray[np.int64]


@nb.njit(nogil=True, cache=True)
def _apply_side(
    keys: Ints, sizes: Ints, count: int, rows: Any, first: int, end: int, sign: int
) -> tuple[int, int]:
    """Put rows `first` to `end` - 1 into one side of `count` levels -> (levels, levels dropped)."""
    dropped = 0
    hint = 0
    for i in range(first, end):
        key, size = sign * rows[i]["price"], rows[i]["size"]
        low, high = 0, count
        # Rows mostly come sorted, so the next level is near the last one: widen from there, then halve.
        if i > first and hint < count:
            step = 1
            if keys[hint] < key:
                low = hint + 1
                high = low
                while high < count and keys[high] < key:
                    low = high + 1
                    high += step
                    step += step
                high = min(high, count)
            else:
                high = hint
                low = high
                while low > 0 and keys[low - 1] >= key:
                    high = low - 1
                    low = max(low - step, 0)
                    step += step
        while low < high:
            middle = (low + high) >> 1
            if keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        at = low
        hint = at
        if at < count and keys[at] == key:
            if size != 0:
                sizes[at] = size
            else:
                count -= 1
                move(keys, at, at + 1, count - at)
                move(sizes, at, at + 1, count - at)
            continue
        if size == 0:
            continue  # deleting an unknown level is normal: the snapshot ended above it
        if count == keys.size:
            dropped += 1
            if at == 0:
                continue  # it is itself the farthest
            at -= 1
            move(keys, 0, 1, at)
            move(sizes, 0, 1, at)
        else:
            move(keys, at + 1, at, count - at)
            move(sizes, at + 1, at, count - at)
            count += 1
        keys[at] = key
        sizes[at] = size
    return count, dropped


@nb.njit(nogil=True, cache=True)
def apply_levels(levels: Ints, meta: Ints, rows: Any, bids: int) -> bool:
    """Put LEVEL `rows` (first `bids` are bids) into the book; whether it is crossed or locked afterwards."""
    n_bids, bids_dropped = _apply_side(levels[0], levels[1], meta[BIDS], rows, 0, bids, 1)
    n_asks, asks_dropped = _apply_side(levels[2], levels[3], meta[ASKS], rows, bids, rows.size, -1)
    meta[BIDS], meta[ASKS] = n_bids, n_asks
    meta[DROPPED] += bids_dropped + asks_dropped
    meta[BID_PRICE] = levels[0, n_bids - 1] if n_bids else 0
    meta[BID_SIZE] = levels[1, n_bids - 1] if n_bids else 0
    meta[ASK_PRICE] = -levels[2, n_asks - 1] if n_asks else 0
    meta[ASK_SIZE] = levels[3, n_asks - 1] if n_asks else 0
    crossed: bool = n_bids > 0 and n_asks > 0 and meta[BID_PRICE] >= meta[ASK_PRICE]
    return crossed


def warm_up() -> None:
    """Compile the kernels for the types the book calls them with."""
    from engine.market.batches import LEVEL

    levels, meta = np.zeros((4, 4), np.int64), np.zeros(META, np.int64)
    apply_levels(levels, meta, np.ones(2, LEVEL), 1)
