"""What is kept of each account: its newest rows, so many at most, and fewer where many accounts have some."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
LEAST: Final = 16  # that every account may have


class Shelf(Generic[Item]):
    """Rows by account, oldest first. An account's share is `in_all` over all accounts that have rows, at most `each`.

    So nobody's rows go for another's, however busy that one is. An account that has more than its share, from when
    there were fewer accounts, gives up one for each it adds: the sum stays within a few times `in_all`.
    """

    def __init__(self, each: int, in_all: int) -> None:
        self._each, self._in_all = each, in_all
        self._share = each
        self._rows: dict[int, deque[Item]] = {}

    def __len__(self) -> int:
        """How many rows are held."""
        return sum(len(rows) for rows in self._rows.values())

    def of(self, account: int) -> deque[Item]:
        """The rows of an account, to be read."""
        return self._rows.get(account, deque())

    def add(self, account: int, item: Item) -> Item | None:
        """Keep one more; the one that goes for it, if one does."""
        rows = self._rows.get(account)
        if rows is None:
            rows = self._rows[account] = deque()
            self._share = min(self._each, max(LEAST, self._in_all // len(self._rows)))
        rows.append(item)
        return rows.popleft() if len(rows) > self._share else None
