"""What is told of all that the engine takes in: whoever records it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.market.batches import Batch, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Outcome, Rule
from engine.market.state import SymbolState


class Tap(Protocol):
    """What is told of all that comes in, after it was taken: `engine.storage.recorder.Recorder`. Must not block."""

    def opened(self, source: Source, label: str, instruments: Sequence[Instrument], rule: Rule) -> None:
        """A source, or some more of its symbols, in these units from here on."""

    def closed(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """These symbols of the source end."""

    def on_batch(self, batch: Batch, outcome: Outcome, state: SymbolState) -> None:
        """A batch, what became of it, and its symbol's state after it."""

    def on_candles(self, source: Source, symbol: str, rows: Rows) -> None:
        """Seconds that closed."""

    def broke(
        self, source: Source, symbols: Sequence[str], reason: str, what: Sequence[str] = ("trades", "book")
    ) -> None:
        """Something of these symbols was missed, from the newest that came until what comes next."""

    def wants_raw(self, source: Source) -> bool:
        """Whether the source's frames are recorded."""

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        """Frames as they came."""
