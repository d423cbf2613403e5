"""Recordings made for tests: what a feed delivers goes through a market's state and the recorder, into blocks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import BadFrame
from engine.market.batches import TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from engine.storage.recorder import Recorder
from engine.storage.records import Block
from engine.storage.stretch import Piece, Stretch
from feeds.replay import ReplayFeed

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


class Market:
    """A sink that keeps each symbol's state, and what it was told; with a recorder, all of it is recorded too."""

    def __init__(self, recorder: Recorder | None = None, flush_each: int = 500) -> None:
        self.states: dict[str, SymbolState] = {}
        self.trades: dict[str, list[Rows]] = {}
        self.candles: dict[str, list[Rows]] = {}
        self.batches: list[Batch] = []
        self.said: list[str] = []
        self.told: list[Block] = []  # telemetry
        self.blocks: list[Block] = []  # what was recorded
        self.keeps = True
        self.recorder = recorder
        self.clock: Callable[[int], int] = lambda wall_ns: wall_ns
        self._flush_each, self._count = flush_each, 0

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        self.said.append(f"open {label}")
        self.clock, self.source = clock, source
        self.states = {one.symbol: SymbolState(source, one, rule) for one in instruments}
        self.trades = {one.symbol: [] for one in instruments}
        self.candles = {one.symbol: [] for one in instruments}
        self.batches, self.told = [], []
        if self.recorder is not None:
            self.recorder.opened(source, label, instruments, rule)

    def revise(self, source: Source, instrument: Instrument) -> None:
        self.said.append(f"revise {instrument.symbol} {instrument.price_decimals} {instrument.size_decimals}")
        self.states[instrument.symbol].revise(instrument)

    def on_batch(self, batch: Batch) -> Outcome:
        state = self.states[batch.symbol]
        before = state.state
        outcome = state.on_batch(batch)
        if self.keeps:
            self.batches.append(batch)
        if state.state is not before:
            self.said.append(f"{batch.symbol} {state.state.name}")
        if batch.kind is Kind.TRADES:
            self.trades[batch.symbol].append(batch.rows)
            if len(state.closed):
                self.candles[batch.symbol].append(state.closed)
        if self.recorder is not None:
            self.recorder.on_batch(batch, outcome, state)
            self._count += 1
            if self._count % self._flush_each == 0:
                self.flush()
        return outcome

    def interrupted(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        self.said.append(f"interrupted {','.join(symbols)}: {reason}")
        for symbol in symbols:
            self.states[symbol].disconnected()
        if self.recorder is not None:
            self.recorder.broke(source, symbols, reason)

    def on_frames(
        self, source: Source, frames: int, size_bytes: int, decode_ns: npt.NDArray[np.int64]
    ) -> None:
        pass

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        raise error

    def on_recorded(self, source: Source, block: Block) -> None:
        self.told.append(block)

    def close_source(self, source: Source, reason: str) -> None:
        self.said.append(f"close {reason}")
        self.flush()

    def flush(self) -> None:
        """Pack what was recorded, as the journal's thread does."""
        if self.recorder is not None:
            self.blocks += [draft.pack() for draft in self.recorder.flush()]

    def book(self, symbol: str, depth: int = 1 << 20) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """All levels, best first."""
        state = self.states[symbol]
        bids, asks = state.book.top(min(depth, state.book.capacity))
        return bids.tolist(), asks.tolist()

    def picture(self) -> dict[str, object]:
        """Everything that two markets which saw the same have in common."""
        return {
            symbol: (
                state.state,
                state.sync.sequence if state.state is BookState.SYNCED else 0,
                self.book(symbol),
                state.trades,
                None if state.quote is None else state.quote.tolist(),
                joined_rows([*self.candles[symbol], running])
                if (running := state.candles.running()) is not None
                else [],
            )
            for symbol, state in self.states.items()
        }

    def tape(self, symbol: str) -> Rows:
        """All trades."""
        return np.concatenate([np.empty(0, TRADE), *self.trades[symbol]])


class Counter:
    """Where seq comes from."""

    def __init__(self) -> None:
        self.next_seq = 1


def recorder(*, keyframe_s: int = 10, depth: int = 20_000, wall: Callable[[], int] = lambda: 0) -> Recorder:
    made = Recorder(wall, keyframe_s=keyframe_s, depth=depth)
    made.use(Counter())
    return made


def record_capture(path: Path, *, keyframe_s: int = 10, depth: int = 20_000, turn: int = 1024) -> Market:
    """A capture, played once as if it were live, recorded. Frames of one `turn` are decoded together, kind by kind."""
    feed = ReplayFeed(path, math.inf)
    feed._player._turn = feed._player._most_turn = turn
    feed.source = Source(feed.source.venue, "live")
    pen = recorder(keyframe_s=keyframe_s, depth=depth)
    pen.start(feed.source.venue)
    market = Market(pen)
    asyncio.run(feed.run(market))  # type: ignore[arg-type]
    return market


def capture_path(name: str) -> Path | None:
    """A recorded market of Binance, where it is there."""
    return next(iter((DATA / f"binance_{name}").glob("hftbacktest_*.gz")), None)


def stretch_of(blocks: Sequence[Block], from_ns: int = 0, to_ns: int = 0) -> Stretch:
    """Blocks in memory as a stretch; without times, of all they have."""
    pieces = tuple(Piece.of_block(block) for block in blocks if len(block.rows))
    received = [
        block.rows["ts_recv_ns"] for block in blocks if "ts_recv_ns" in (block.rows.dtype.names or ())
    ]
    least, most = min(int(each.min()) for each in received), max(int(each.max()) for each in received)
    symbols = tuple(sorted({block.stream.symbol for block in blocks} - {""}))
    return Stretch(blocks[0].stream.venue, symbols, from_ns or least, to_ns or most + 1, pieces)


def joined_rows(parts: Sequence[Rows]) -> list[tuple[int, ...]]:
    """Rows of all parts as tuples."""
    return [row for part in parts for row in part.tolist()]


def cut(blocks: Sequence[Block], events: int) -> Iterator[Block]:
    """The same blocks in smaller ones, of so many numbers each: a change of a book stays whole."""
    for block in blocks:
        rows = block.rows
        starts = np.append(0, np.flatnonzero(np.diff(rows["seq"])) + 1)[::events].tolist()
        for first, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            yield Block(block.kind, block.stream, rows[first:end], block.heap)
