"""The compiled half of the L2 book: sorted levels, best at the end.

One int64 array of shape (4, capacity) holds both sides: rows 0 and 1 are the bids' keys and sizes, rows 2 and
3 the asks'. A key is the price for bids and minus the price for asks, so each side ascends and its best is
its last: most changes are near it, where an insert or a delete shifts little, and any price fits. Measured on
the recorded markets a level costs 30 to 60 ns, search and shift together.

`meta` is int64 (META,): see the names below. Kernels write the best levels and the crossing there, so that
the Python side reads the outcome without another call.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

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
def _put(levels: Ints, meta: Ints, side: int, key: int, size: int, hint: int) -> int:
    """Set, insert or delete one level of one side; returns where it is or would be, a hint for the next."""
    keys, sizes = levels[2 * side], levels[2 * side + 1]
    count = meta[BIDS + side]
    low, high = 0, count
    # Rows come sorted within a side, so the next level is near the last one: widen from there, then halve.
    if hint < count:
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
    if at < count and keys[at] == key:
        if size != 0:
            sizes[at] = size
            return at
        for i in range(at, count - 1):
            keys[i] = keys[i + 1]
            sizes[i] = sizes[i + 1]
        meta[BIDS + side] = count - 1
        return at
    if size == 0:
        return at  # deleting an unknown level is normal: the snapshot ended above it
    if count == keys.size:
        meta[DROPPED] += 1
        if at == 0:
            return 0  # it is itself the farthest
        at -= 1
        for i in range(at):
            keys[i] = keys[i + 1]
            sizes[i] = sizes[i + 1]
    else:
        for i in range(count, at, -1):
            keys[i] = keys[i - 1]
            sizes[i] = sizes[i - 1]
        meta[BIDS + side] = count + 1
    keys[at] = key
    sizes[at] = size
    return at


@nb.njit(nogil=True, cache=True)
def apply_levels(levels: Ints, meta: Ints, rows: Any, bids: int) -> bool:
    """Put LEVEL `rows` (first `bids` are bids) into the book; whether it is crossed or locked afterwards."""
    hint = meta[BIDS] - 1
    for i in range(bids):
        hint = _put(levels, meta, 0, rows[i]["price"], rows[i]["size"], max(hint, 0))
    hint = meta[ASKS] - 1
    for i in range(bids, rows.size):
        hint = _put(levels, meta, 1, -rows[i]["price"], rows[i]["size"], max(hint, 0))
    best_bid, best_ask = meta[BIDS] - 1, meta[ASKS] - 1
    meta[BID_PRICE] = levels[0, best_bid] if best_bid >= 0 else 0
    meta[BID_SIZE] = levels[1, best_bid] if best_bid >= 0 else 0
    meta[ASK_PRICE] = -levels[2, best_ask] if best_ask >= 0 else 0
    meta[ASK_SIZE] = levels[3, best_ask] if best_ask >= 0 else 0
    crossed: bool = best_bid >= 0 and best_ask >= 0 and meta[BID_PRICE] >= meta[ASK_PRICE]
    return crossed


def warm_up() -> None:
    """Compile the kernels for the types the book calls them with."""
    from engine.market.batches import LEVEL

    levels, meta = np.zeros((4, 4), np.int64), np.zeros(META, np.int64)
    apply_levels(levels, meta, np.ones(2, LEVEL), 1)
