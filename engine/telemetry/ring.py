"""A fixed ring of structured rows: one writing thread, any number of reading threads, no lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.market.batches import Rows


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows read from a ring: a copy, oldest first; the next cursor; how many were overwritten unread."""

    rows: Rows
    cursor: int
    lost: int


class Ring:
    """The newest `capacity` rows of a structured dtype.

    A cursor counts rows ever written, so it survives wrapping. The writer announces how far it will
    write, writes, then moves the head; a reader copies up to the head and then drops whatever the
    announcement says may have been overwritten while it copied. Full means the oldest row goes; readers
    that were slower are told how many they lost.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"ring {name} needs a capacity of at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self._rows = np.zeros(capacity, dtype)
        self._announced = 0
        self._head = 0

    @property
    def head(self) -> int:
        """Rows ever written: the cursor of a reader that has seen everything."""
        return self._head

    @property
    def nbytes(self) -> int:
        """Memory held, bytes; constant."""
        return int(self._rows.nbytes)

    def __len__(self) -> int:
        return min(self._head, self.capacity)

    def publish(self, rows: Rows) -> None:
        """Append rows, oldest first. For the one writing thread. Cost: one or two copies."""
        count = len(rows)
        if count == 0:
            return
        end = self._head + count
        self._announced = end
        kept = rows[-self.capacity :]
        start = (end - len(kept)) % self.capacity
        first = min(len(kept), self.capacity - start)
        self._rows[start : start + first] = kept[:first]
        if first < len(kept):
            self._rows[: len(kept) - first] = kept[first:]
        self._head = end

    def publish_one(self, row: tuple[Any, ...]) -> None:
        """Append one row given as a tuple in the dtype's order."""
        self._announced = self._head + 1
        self._rows[self._head % self.capacity] = row
        self._head += 1

    def since(self, cursor: int, until: int | None = None) -> Slice:
        """Rows from `cursor` up to the head, or up to the cursor `until` if that is earlier.

        A cursor from the future (another process's) reads as the present: no rows, nothing lost.
        """
        head = self._head if until is None else min(until, self._head)
        start = max(0, min(cursor, head))
        first = max(start, self._head - self.capacity)
        rows = self._copy(min(first, head), head)
        safe = self._announced - self.capacity
        if safe > first:
            rows = rows[min(safe - first, len(rows)) :]
            first = min(safe, head)
        return Slice(rows, head, max(0, min(first, head) - start))

    def last(self, count: int, until: int | None = None) -> Slice:
        """The newest `count` rows (before the cursor `until`); nothing counts as lost."""
        head = self._head if until is None else min(until, self._head)
        found = self.since(max(0, head - count), head)
        return Slice(found.rows, found.cursor, 0)

    def _copy(self, start: int, end: int) -> Rows:
        if end <= start:
            return self._rows[:0].copy()
        low, high = start % self.capacity, (end - 1) % self.capacity + 1
        if low < high:
            return self._rows[low:high].copy()
        return np.concatenate((self._rows[low:], self._rows[:high]))
