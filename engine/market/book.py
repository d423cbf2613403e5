"""L2 book: the levels of one symbol, by price.

State is two sorted sides in int64 arrays, kept by the kernel in `book_kernel`. A book never hides that it is
crossed: `crossed` says so after every change, and `engine.market.state` acts on it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.market import book_kernel as kernel
from engine.market.batches import LEVEL, Rows

CAPACITY: Final = 16_384  # levels a side; a 1000-level snapshot grows to some 5000 within minutes
INT64_MAX: Final = 2**63 - 1


class L2Book:
    """Bids and asks by price. Scaled integers; one writer.

    A change costs O(log n) to find and a shift of what lies between it and the best. A full side drops its
    farthest level, counted in `dropped`: near the top nothing is ever lost.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"a book needs room for at least 1 level, not {capacity}")
        self.capacity = capacity
        self.crossed = False  # or locked: the best bid is not below the best ask
        self._levels = np.zeros((4, capacity), np.int64)
        self._meta = np.zeros(kernel.META, np.int64)
        self._best = self._meta[: kernel.ASK_SIZE + 1]  # a view

    def load(self, rows: Rows, bids: int) -> bool:
        """Replace the book by LEVEL rows in any order, the first `bids` are bids. Returns `crossed`."""
        ordered = np.concatenate(
            (
                rows[:bids][np.argsort(rows["price"][:bids], kind="stable")],
                rows[bids:][np.argsort(-rows["price"][bids:], kind="stable")],
            )
        )
        self._meta[kernel.BIDS] = self._meta[kernel.ASKS] = 0
        return self.apply(ordered, bids)

    def apply(self, rows: Rows, bids: int) -> bool:
        """Set the sizes of LEVEL rows, the first `bids` are bids; 0 deletes. Returns `crossed`.

        Deleting a level the book doesn't have is normal. A price that comes twice keeps its last size. Sizes
        are not negative: the parsers refuse those.
        """
        self.crossed = crossed = kernel.apply_levels(self._levels, self._meta, rows, bids)
        return crossed

    def clear(self) -> None:
        """Forget all levels."""
        self.load(np.empty(0, LEVEL), 0)

    def top(self, n: int) -> tuple[Rows, Rows]:
        """Copies of the best `n` bids and asks as LEVEL rows, best first; fewer when the side is shorter."""
        bids, asks = self.counts()
        return self._side(0, min(n, bids), bids, 1), self._side(2, min(n, asks), asks, -1)

    def bbo(self) -> tuple[int, int, int, int]:
        """(bid price, bid size, ask price, ask size); zeros for an empty side."""
        best: tuple[int, int, int, int] = tuple(self._best.tolist())
        return best

    def packed_bbo(self) -> bytes:
        """`bbo` as four native int64: half the time, for who keeps one after every change."""
        return self._best.tobytes()

    def counts(self) -> tuple[int, int]:
        """Number of (bids, asks)."""
        return int(self._meta[kernel.BIDS]), int(self._meta[kernel.ASKS])

    @property
    def dropped(self) -> int:
        """Levels lost because a side was full."""
        return int(self._meta[kernel.DROPPED])

    def rescale(self, price_factor: int, size_factor: int) -> None:
        """Bring all levels to finer units, exactly. OverflowError, and no change, when they won't fit."""
        bids, asks = self.counts()
        if not bids and not asks:
            return
        prices = np.abs(np.concatenate((self._levels[0, :bids], self._levels[2, :asks])))
        sizes = np.concatenate((self._levels[1, :bids], self._levels[3, :asks]))
        if int(prices.max()) * price_factor > INT64_MAX or int(sizes.max()) * size_factor > INT64_MAX:
            raise OverflowError("the book does not fit int64 in these units")
        self._levels[0, :bids] *= price_factor
        self._levels[2, :asks] *= price_factor
        self._levels[1, :bids] *= size_factor
        self._levels[3, :asks] *= size_factor
        self.apply(np.empty(0, LEVEL), 0)

    def _side(self, row: int, n: int, count: int, sign: int) -> Rows:
        out = np.empty(n, LEVEL)
        out["price"] = sign * self._levels[row, count - n : count][::-1]
        out["size"] = self._levels[row + 1, count - n : count][::-1]
        return out


def warm_up() -> None:
    """Compile the book's kernels."""
    kernel.warm_up()
