"""Update numbers as venues give them: each symbol's own, or drawn from one counter for all symbols."""

from __future__ import annotations

from typing import Final

FIRST_ID: Final = 1_000_000_000


class UpdateNumbers:
    """The numbers of one market's updates. `shared`: all symbols draw from one counter, as on futures."""

    def __init__(self, shared: bool) -> None:
        self.shared: Final = shared
        self._last = FIRST_ID

    def take(self, count: int, previous: int, jump: int) -> tuple[int, int]:
        """(first, last) of `count` numbers after `previous`; in a shared counter `jump` others come between."""
        if not self.shared:
            return previous + 1, previous + count
        first = self._last + 1 + jump
        self._last = first + count - 1
        return first, self._last
