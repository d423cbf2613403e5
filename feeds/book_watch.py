"""Which books stand still while their own quotes move, and which nobody brings back. Pure.

A connection may be alive and one of its subscriptions dead. Every change of the best bid or ask is a change of the
book too, so a quote that changed and was not followed by a change of the book says that the book is old.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from engine.market.batches import Rows

# Venues gather a book's changes over up to 200 ms and send quotes at once; and what came together is decoded books
# first. A quote this near its book's last change belongs to it.
TOGETHER_NS: Final = 1_000_000_000

_TOP: Final = ["bid_price", "bid_size", "ask_price", "ask_size"]


class BookWatch:
    """Since when each symbol's quote is ahead of its book. Times are of receipt, ns. About 2 us a batch of quotes."""

    def __init__(self, silent_ns: int) -> None:
        self._silent_ns = silent_ns
        self._book_ns: dict[str, int] = {}
        self._top: dict[str, tuple[int, ...]] = {}
        self._ahead_ns: dict[str, int] = {}

    def on_book(self, symbol: str, recv_ns: int) -> None:
        """The book changed, or was brought anew."""
        self._book_ns[symbol] = recv_ns
        self._ahead_ns.pop(symbol, None)

    def on_quotes(self, symbol: str, rows: Rows) -> None:
        """BBO rows, oldest first. One that only repeats the last (Bybit sends it each 3 s) is no change."""
        top = tuple(rows[_TOP][-1].item())
        if self._top.get(symbol) == top:
            return
        known = symbol in self._top
        self._top[symbol] = top
        recv_ns, book_ns = int(rows["ts_recv_ns"][-1]), self._book_ns.get(symbol)
        if known and book_ns is not None and recv_ns - book_ns > TOGETHER_NS:
            self._ahead_ns.setdefault(symbol, recv_ns)

    def forget(self, symbol: str) -> None:
        """The symbol is followed no more."""
        self._book_ns.pop(symbol, None)
        self._top.pop(symbol, None)
        self._ahead_ns.pop(symbol, None)

    def silent(self, symbols: Collection[str], now_ns: int) -> list[str]:
        """Those of `symbols` whose quote is ahead of the book for longer than allowed; each is told once, until its
        book was brought anew.
        """
        found = [
            symbol
            for symbol, ahead_ns in self._ahead_ns.items()
            if symbol in symbols and now_ns - ahead_ns > self._silent_ns
        ]
        for symbol in found:
            self.forget(symbol)
        return found


class Forgotten:
    """Books that are not right while nothing is under way for them. Times are a steady clock's, ns.

    The snapshot that a venue streams at a subscription may be lost, and a quiet symbol brings nothing that would tell.
    """

    def __init__(self, borne_ns: int) -> None:
        self._borne_ns = borne_ns
        self._since_ns: dict[str, int] = {}

    def look(self, symbols: Iterable[str], now_ns: int) -> list[str]:
        """Those of `symbols`, which wait for nothing now, that have done so at each look for as long as is borne."""
        self._since_ns = {symbol: self._since_ns.get(symbol, now_ns) for symbol in symbols}
        found = [symbol for symbol, ns in self._since_ns.items() if now_ns - ns >= self._borne_ns]
        for symbol in found:
            del self._since_ns[symbol]
        return found
