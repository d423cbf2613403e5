"""Where feeds deliver. The engine implements it; feeds know only this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import BadFrame
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule


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

    def on_batch(self, batch: Batch) -> None:
        """Rows of one kind for one symbol."""

    def on_frames(
        self, source: Source, frames: int, size_bytes: int, decode_ns: npt.NDArray[np.int64]
    ) -> None:
        """Said once a chunk, after its batches: what came over the wire, and each frame's decode time."""

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        """A frame that could not be used. The feed goes on."""

    def close_source(self, source: Source, reason: str) -> None:
        """A source ends: "ended", "stopped", or the sentence of what failed. It may be opened again."""
