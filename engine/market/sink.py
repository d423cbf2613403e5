"""Where feeds deliver. The engine implements it; feeds know only this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import BadFrame
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Outcome, Rule

if TYPE_CHECKING:
    from engine.storage.records import Block


class Sink(Protocol):
    """Takes what one or more sources deliver, in their order. Called on the engine's loop; must not block."""

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        """A source begins, its books empty. `clock` turns wall nanoseconds into the source's own."""

    def revise(self, source: Source, instrument: Instrument) -> None:
        """Batches from here on are in the units of `instrument`, the next revision of one that is open."""

    def add_symbol(self, source: Source, instrument: Instrument) -> None:
        """One more symbol of a source that is open, its book empty. TelemetryFull when there is no room for it."""

    def remove_symbol(self, source: Source, symbol: str) -> None:
        """A symbol of an open source ends and is forgotten; nothing of it may be delivered any more."""

    def on_batch(self, batch: Batch) -> Outcome:
        """Rows of one kind for one symbol; what became of them.

        A live feed acts on BUFFERED, GAP, UNUSABLE and CROSSED: the book of that symbol cannot go on without a
        snapshot.
        """

    def wants_snapshot(self, source: Source) -> list[str]:
        """Symbols of a source whose book cannot go on without a snapshot: deltas wait, or it is wrong."""

    def interrupted(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """The stream of these symbols broke: their books are STALE until a snapshot follows; the source stays open."""

    def missed(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """Trades of these symbols were missed, and what comes with them: a stream broke that has no books."""

    def condition(self, source: Source, up: bool, detail: str) -> None:
        """Whether a live source's connections stand, and the sentence of why not ("next try" is the board's)."""

    def on_dropped(self, source: Source, frames: int) -> None:
        """Frames given up unread because too many waited; counted."""

    def on_frames(
        self, source: Source, frames: int, size_bytes: int, decode_ns: npt.NDArray[np.int64]
    ) -> None:
        """Said once a chunk, after its batches: what came over the wire, and each frame's decode time."""

    def wants_raw(self, source: Source) -> bool:
        """Whether the source's frames are to be handed over as they came, by `on_raw`. Cheap to ask."""

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        """Frames of one connection path ("/public/stream"), or bodies of one REST call ("GET /api/v3/depth"), before
        they are decoded, to the byte; oldest first.
        """

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        """A frame that could not be used. The feed goes on."""

    def on_recorded(self, source: Source, block: Block) -> None:
        """Recorded LATENCY, COUNTERS or EVENTS of a replayed source, at their own times, oldest first; a minute at
        most at once. From the first of a kind on, none is made of what is played.
        """

    def close_source(self, source: Source, reason: str) -> None:
        """A source ends: "ended", "stopped", "closed" (a replay: nobody wants to see it any more), or the sentence of
        what failed. It may be opened again.
        """
