"""A replay out of the store for tests: a clock of its own that is set by hand, and blocks of what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.market.batches import Source
from engine.market.sequencing import Rule
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block, Stream
from engine.storage.telemetry_records import latency_block
from engine.telemetry.board import ReplayView
from engine.telemetry.latency import StageLatency
from tests.engine.markets import BTC, SECOND, SPOT, START, Desk

THEN = START - 1_000_000 * SECOND  # when it was recorded
STREAM = Stream("binance_spot", label="Binance Spot")


class Played(Desk):
    """A desk whose source is a recorded replay; `then` moves its clock, `at` the wall's."""

    def __init__(self, *, recorded: bool = True) -> None:
        self.played_ns = THEN
        super().__init__()
        self.intake.close_source(SPOT, "closed")
        self.open()
        if recorded:
            self.show("playing")

    def open(self) -> Played:
        """Open the replay, again where it is open: what a seek back does."""
        self.sequence = 0
        self.intake.open_source(
            SPOT, "Binance Spot replay", [BTC], Rule.BINANCE_SPOT, lambda _: self.played_ns
        )
        return self

    def show(self, state: str, source: Source = SPOT) -> Played:
        """Say on the board that it is a replay out of the store, in that state."""
        board = self.telemetry.board
        view = ReplayView("x", "10x", state, 0.5, source=source.key, recorded=True)
        board.engine = replace(board.engine, state="running", replay=view)
        return self

    def then(self, seconds: float, *, wall: float = 0.05) -> Played:
        """Bring the replay to `seconds` of the stretch, deliver a change of the book, and publish."""
        self.played_ns = THEN + round(seconds * SECOND)
        now, self.now = self.now, self.played_ns  # batches carry the replay's times
        if self.sequence:
            self.delta([(100, 1 + self.sequence)], [])
        else:
            self.snapshot([(100, 5)], [(110, 2)])
        self.now = now + round(wall * SECOND)
        self.intake.publish()
        return self

    def traded(self, price: int = 105) -> Played:
        """A trade at the replay's time."""
        now, self.now = self.now, self.played_ns
        self.trade(price, latency_ns=2_000_000)
        self.now = now
        return self

    def wait(self, seconds: float, step: float = 0.5) -> Played:
        """Let the wall's clock go on while that of the replay stands still."""
        for _ in range(round(seconds / step)):
            self.now += round(step * SECOND)
            self.intake.publish()
        return self


def latencies(
    seconds: Sequence[Sequence[int]], first: int = 0, stage: str = "receive", seq: int = 1
) -> Block:
    """LATENCY of one stage: the values of each second from `first` of the stretch on."""
    measured = StageLatency("x", stage)
    for place, values in enumerate(seconds):
        measured.record(THEN + (first + place) * SECOND, np.array(values, np.int64))
    measured.advance(THEN + (first + len(seconds)) * SECOND)
    block, _ = latency_block(STREAM, {stage: measured}, {}, seq)
    assert block is not None
    return block


def counters(first: int, rows: Sequence[dict[str, int]], seq: int = 1) -> Block:
    """COUNTERS of seconds from `first` of the stretch on."""
    made = np.zeros(len(rows), DTYPES[RecordKind.COUNTERS])
    for place, row in enumerate(rows):
        made[place]["seq"], made[place]["ts_ns"] = seq + place, THEN + (first + place) * SECOND
        for name, value in row.items():
            made[place][name] = value
    return Block(RecordKind.COUNTERS, STREAM, made)


def events(*said: tuple[float, str, str], seq: int = 1) -> Block:
    """EVENTS: (second of the stretch, level, sentence)."""
    rows = np.zeros(len(said), DTYPES[RecordKind.EVENTS])
    heap = b""
    for place, (second, level, text) in enumerate(said):
        row: Any = rows[place]
        row["seq"], row["ts_ns"] = seq + place, THEN + round(second * SECOND)
        row["level"], row["what"], row["at"], row["length"] = level, "state", len(heap), len(text.encode())
        heap += text.encode()
    return Block(RecordKind.EVENTS, STREAM, rows, heap)
