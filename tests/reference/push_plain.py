"""The slow twin of a listener: it applies what a book topic says, level by level as text, as a client would."""

from __future__ import annotations

from decimal import Decimal

from engine.api.push.messages import Book, Envelope


class NaiveListener:
    """Both sides by price text. Raises AssertionError where a number is missing or comes twice."""

    def __init__(self) -> None:
        self.seq = -1
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.sequence = 0

    def hear(self, envelope: Envelope) -> None:
        """Take a snapshot or a diff."""
        book, seq = envelope.book, envelope.seq
        assert book is not None
        assert seq is not None
        if envelope.type == "snapshot":
            self.bids, self.asks = {}, {}
        else:
            assert seq == self.seq + 1, "a message is missing"
        self.seq, self.sequence = seq, book.sequence
        self._change(self.bids, book, "bids")
        self._change(self.asks, book, "asks")

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """(bids, asks), best first."""
        bids = sorted(((Decimal(p), Decimal(s)) for p, s in self.bids.items()), reverse=True)
        return bids, sorted((Decimal(p), Decimal(s)) for p, s in self.asks.items())

    @staticmethod
    def _change(side: dict[str, str], book: Book, name: str) -> None:
        for price, size in getattr(book, name):
            if Decimal(size):
                side[price] = size
            else:
                side.pop(price, None)
