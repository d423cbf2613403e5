"""Drops what comes twice while one connection takes over from another. Pure.

Books tell copies by their sequences. Trades and quotes have none that anyone checks: a trade that came twice would
count twice in volumes and candles, and an old quote would stand as the newest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from engine.market.batches import Batch, Kind

MOST_IDS: Final = 200_000  # of trades in one overlap, some seconds
MOST_KNOWN: Final = 4_096  # frames of each connection


class Overlap:
    """Remembers what came since `begin`; does nothing when no overlap is under way."""

    def __init__(self) -> None:
        self.copies = 0  # rows dropped so far
        self._depth = 0  # connections being replaced at this moment
        self._ids: dict[str, set[int]] = {}
        self._quotes: dict[str, int] = {}
        self._held = 0

    @property
    def active(self) -> bool:
        """Whether batches have to be passed through `fresh`."""
        return self._depth > 0

    def begin(self) -> None:
        """Two connections may deliver the same from here on."""
        self._depth += 1

    def end(self) -> None:
        """As many as began have ended: all is forgotten at the last."""
        self._depth = max(0, self._depth - 1)
        if not self._depth:
            self._ids.clear()
            self._quotes.clear()
            self._held = 0

    def fresh(self, batch: Batch) -> Batch | None:
        """The batch without the rows that came before; None when nothing is left. Books pass as they are."""
        if batch.kind is Kind.TRADES:
            return self._trades(batch)
        if batch.kind is Kind.QUOTES:
            return self._newer(batch)
        return batch

    def _trades(self, batch: Batch) -> Batch | None:
        ids = self._ids.setdefault(batch.symbol, set())
        keep = []
        for number in batch.rows["trade_id"].tolist():
            keep.append(number not in ids)
            if self._held < MOST_IDS and number not in ids:
                ids.add(number)
                self._held += 1
        return self._left(batch, np.array(keep, bool))

    def _newer(self, batch: Batch) -> Batch | None:
        sequences = batch.rows["sequence"]
        newest = self._quotes.get(batch.symbol, -1)
        keep = sequences > newest
        self._quotes[batch.symbol] = max(newest, int(sequences.max()))
        return self._left(batch, keep)

    def _left(self, batch: Batch, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Batch | None:
        count = int(keep.sum())
        if count == len(keep):
            return batch
        self.copies += len(keep) - count
        return replace(batch, rows=batch.rows[keep]) if count else None


class Seam:
    """Whether two connections that carry the same have met: a frame came over both.

    The earlier one may lag. Until it has brought a frame that the later one has too, what lies between them would be
    lost with it. Of the earlier one the newest frames are known, of the later one the first: those come next.
    """

    def __init__(self) -> None:
        self.met = False
        self._earlier: dict[int, None] = {}
        self._later: dict[int, None] = {}

    def earlier(self, frame: bytes) -> None:
        """A frame of the connection that is being replaced."""
        mark = hash(frame)
        self.met = self.met or mark in self._later
        self._earlier[mark] = None
        if len(self._earlier) > MOST_KNOWN:
            del self._earlier[next(iter(self._earlier))]

    def later(self, frame: bytes) -> None:
        """A frame of its replacement."""
        mark = hash(frame)
        self.met = self.met or mark in self._earlier
        if len(self._later) < MOST_KNOWN:
            self._later[mark] = None
