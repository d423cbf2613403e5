"""An independent witness for a book: its top must equal the venue's own quote at the same sequence.

After each delta the book's top at sequence s must equal the last quote whose sequence is not newer than s.
Which quote that is is known once a newer one has come: quotes travel in a stream of their own, and in the
recorded USD-M market 3.5 % of them come after the delta they belong to. So tops wait for their quote, and
only then are compared.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.market.batches import BBO, Rows

MAX_TOPS: Final = 4096  # waiting for a newer quote: minutes of a market whose top does not move
MAX_QUOTES: Final = 16_384  # newer than the book
MAX_DISORDERED_RUN: Final = 256  # older quotes in a row after which the venue must have renumbered


Quotes = npt.NDArray[np.int64]  # BBO rows as (n, 7)
_SEQUENCE: Final = (BBO.names or ()).index("sequence")


class Agreement(NamedTuple):
    """How many tops equalled their quote, price and size on both sides, of how many compared."""

    agreed: int
    checked: int


class TopCheck:
    """Compares tops with quotes by sequence. Costs O(1) a top and a few microseconds a batch of quotes.

    Every top is counted once: in `checked`, or in `unchecked` when no quote for it is known (none that old
    has come, or the full queue lost it), or it is one of `pending`.
    """

    def __init__(self, max_tops: int = MAX_TOPS, max_quotes: int = MAX_QUOTES) -> None:
        self.agreed = 0
        self.checked = 0
        self.unchecked = 0
        self.dropped_quotes = 0  # pushed out of the full queue before a top needed them
        self.disordered_quotes = 0  # older than one before them: ignored
        self.last_disagreement: tuple[Rows, Rows] | None = None  # (quote, top) as BBO rows of shape (1,)
        self._max_tops, self._max_quotes = max_tops, max_quotes
        self._sequences: list[int] = []  # of the waiting tops
        self._tops: list[bytes] = []
        # Quotes as they came, joined when they are needed; plain columns, for joining structured rows costs ten times.
        self._parts: list[Quotes] = [_columns(np.empty(0, BBO))]
        self._held = 0
        self._newest_quote = 0
        self._newest_top = -1
        self._disordered_run = 0

    @property
    def agreement(self) -> Agreement:
        """Tops that agreed, of those compared."""
        return Agreement(self.agreed, self.checked)

    @property
    def pending(self) -> int:
        """Tops whose quote is not certain yet."""
        return len(self._tops)

    def on_top(self, sequence: int, top: bytes) -> None:
        """A SYNCED book's top (`L2Book.packed_bbo`) after the delta that ends at `sequence`. Sequences ascend."""
        self._tops.append(top)
        self._sequences.append(sequence)
        self._newest_top = sequence
        if len(self._tops) >= self._max_tops:
            self.settle()

    def on_quotes(self, rows: Rows) -> None:
        """BBO rows, sequences ascending. Venues that number no quotes (sequence 0) cannot be checked."""
        if not len(rows) or not rows["sequence"][-1]:
            return
        sequences = rows["sequence"]
        newest = self._newest_quote
        if sequences[0] < newest or (len(rows) > 1 and np.any(sequences[1:] < sequences[:-1])):
            in_order = sequences >= np.maximum(np.maximum.accumulate(sequences), newest)
            self.disordered_quotes += int(len(rows) - in_order.sum())
            self._disordered_run = 0 if in_order.any() else self._disordered_run + len(rows)
            if self._disordered_run > MAX_DISORDERED_RUN:
                self.forget()  # the venue numbers anew
            rows = rows[in_order]
            if not len(rows):
                return
        self._parts.append(_columns(rows))
        self._held += len(rows)
        self._newest_quote = newest = int(rows["sequence"][-1])
        if self._sequences and self._sequences[0] < newest:
            self._compare(newest)
            self._trim()
        elif self._held > self._max_quotes:
            self._trim()

    def settle(self) -> None:
        """Compare all waiting tops with the quotes there are: at the end, or when no newer quote comes."""
        self._compare(None)

    def forget(self) -> None:
        """Settle, then forget the quotes: their stream broke, the next ones don't follow."""
        self.settle()
        self._keep(_columns(np.empty(0, BBO)))
        self._newest_quote, self._newest_top, self._disordered_run = 0, -1, 0

    def rescale(self, price_factor: int, size_factor: int) -> None:
        """Bring what waits to finer units."""
        factors = np.array((price_factor, size_factor, price_factor, size_factor), np.int64)
        self._tops = [(np.frombuffer(top, np.int64) * factors).tobytes() for top in self._tops]
        self._keep(_columns(rescale_quotes(_rows(self._joined()), price_factor, size_factor)))

    def _compare(self, newer_than: int | None) -> None:
        """Compare the tops older than `newer_than` (None: all)."""
        count = len(self._sequences)
        if newer_than is not None:
            # Mostly all but the last few are older; walk back from the newest.
            while count and self._sequences[count - 1] >= newer_than:
                count -= 1
        if not count:
            return
        sequences = np.array(self._sequences[:count], np.int64)
        tops = np.frombuffer(b"".join(self._tops[:count]), np.int64).reshape(count, 4)
        del self._sequences[:count], self._tops[:count]
        quotes = self._joined()
        at = np.searchsorted(quotes[:, _SEQUENCE], sequences, side="right") - 1
        known = at >= 0  # the queue loses its oldest first, so a quote that is found is the right one
        if not known.all():
            self.unchecked += int(count - known.sum())
            sequences, tops, at = sequences[known], tops[known], at[known]
        if not len(at):
            return
        quotes = quotes[at]
        same = (quotes[:, 3:] == tops).all(axis=1)
        self.checked += len(at)
        agreed = int(same.sum())
        self.agreed += agreed
        if agreed != len(at):
            which = int(np.flatnonzero(~same)[-1])
            top = np.zeros(1, BBO)
            top["sequence"] = sequences[which]
            _columns(top)[0, 3:] = tops[which]
            self.last_disagreement = _rows(quotes[which : which + 1]), top

    def _trim(self) -> None:
        """Forget quotes that no waiting or later top can need; bound the rest."""
        # Later tops are newer than any seen: nobody asks for what precedes the oldest waiting top's quote.
        quotes = self._joined()
        oldest = self._sequences[0] if self._sequences else self._newest_top
        start = max(int(np.searchsorted(quotes[:, _SEQUENCE], oldest, side="right")) - 1, 0)
        if len(quotes) - start > self._max_quotes:
            surplus = len(quotes) - start - self._max_quotes // 2  # half, so that this stays rare
            self.dropped_quotes += surplus
            start += surplus
        self._keep(quotes[start:].copy() if start else quotes)

    def _joined(self) -> Quotes:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def _keep(self, quotes: Quotes) -> None:
        self._parts, self._held = [quotes], len(quotes)


def rescale_quotes(rows: Rows, price_factor: int, size_factor: int) -> Rows:
    """BBO rows in finer units."""
    out = rows.copy()
    for side in ("bid", "ask"):
        out[f"{side}_price"] *= price_factor
        out[f"{side}_size"] *= size_factor
    return out


def _columns(rows: Rows) -> Quotes:
    """BBO rows as int64 (n, 7), the same memory."""
    return rows.view(np.int64).reshape(-1, 7)


def _rows(quotes: Quotes) -> Rows:
    """The same as BBO rows."""
    return np.ascontiguousarray(quotes).view(BBO).reshape(-1)
