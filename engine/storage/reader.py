"""A recorded stretch as events in order, in chunks of bounded size.

A `Reader` reads a stretch piece by piece: blocks of the journal, which the stretch holds, and files of the archive, of
which it reads the row groups it needs. What is damaged or gone meanwhile is skipped: it becomes a gap where it was, and
is named in `lost`. All of it blocks: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from engine.errors import BlockDamaged
from engine.market.batches import Rows
from engine.market.instruments import Instrument
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, KEYFRAME, Block, selected
from engine.storage.stretch import AHEAD, BEFORE_NS, MARGIN_NS, SECOND_NS, Piece, Stretch, gap_block
from engine.storage.timeline import (
    CANDLES,
    CANDLES_BEFORE_NS,
    DELTAS,
    FUNDINGS,
    GAPS,
    MARKET,
    SNAPSHOTS,
    TOLD,
    TRADES,
    Choice,
    Events,
    Start,
    arrange,
    ascending,
    placed_times,
)

CHUNK_ROWS: Final = 65_536  # about; of all kinds together
# What a row of these takes, against one of the others: books and histograms lie beside them.
WEIGHT: Final = {SNAPSHOTS: 500, RecordKind.LATENCY: 20, RecordKind.EVENTS: 5}
HELD_ROWS: Final = 131_072  # a file of no more is read once and held, as long as it is needed,
HELD_BYTES: Final = 64 << 20  # up to this much
PLACED_MOST: Final = 1_000_000  # rows that are placed by their time; what is more is left out and named
FETCH_NS: Final = 15 * SECOND_NS  # a fetched snapshot lacks changes that came up to this long before it
LOST_NAMED: Final = 20
LAST_NS: Final = 60 * SECOND_NS  # a hole that begins so shortly before the end of all,
BEHIND_NS: Final = 2 * SECOND_NS  # and no earlier before the last of its symbol, is told to nobody


class Reader:
    """Reads a stretch once, from its beginning to its end, or from `begin_ns` on. One thread at a time."""

    def __init__(self, stretch: Stretch, begin_ns: int = 0, chunk_rows: int = CHUNK_ROWS) -> None:
        self.stretch = stretch
        self.begin_ns = max(begin_ns, stretch.from_ns)
        self.lost: list[str] = [*stretch.damaged[:LOST_NAMED]]  # what was skipped, and why
        self._lost: set[str] = set()
        self._held: dict[str, Block] = {}
        self._floor_ns = 0
        self._placed: list[Block] = []
        starts = self._starts()
        earliest = min([start.recv_ns for start in starts.values()], default=self.begin_ns)
        before_ns = earliest - FETCH_NS
        self._choice = Choice(self.begin_ns, stretch.to_ns, starts, before_ns)
        self._placed = [*self._placed, *self._read_placed()]
        # Where holes in books begin, ascending.
        self.holes = tuple(
            sorted({ns for b in self._placed if b.kind is GAPS for ns in b.rows["from_ns"].tolist()})
        )
        self._pieces = sorted(
            (piece for piece in stretch.pieces if piece.kind is not GAPS), key=lambda piece: piece.first_seq
        )
        since_ns = min(self.begin_ns, before_ns) - MARGIN_NS
        first = min(
            (p.first_seq for p in self._pieces if p.kind in MARKET and p.last_ns >= since_ns), default=0
        )
        # What was fetched may be of any time; when it came is seen in its rows.
        fetched = [p for p in self._pieces if p.kind in (CANDLES, FUNDINGS) and p.last_seq >= first - AHEAD]
        self._first_seq = min([first, *(max(p.first_seq, first - AHEAD) for p in fetched)])
        self._bounds = _bounds(self._pieces, self._first_seq, chunk_rows)

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The units that each symbol begins in."""
        return self.stretch.instruments(self._first_seq)

    def chunks(self) -> Iterator[Events]:
        """The events, in order; some chunks may be empty."""
        for first, end in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            yield self._chunk(first, end)
        yield self._arranged([], rest=True)

    def _chunk(self, first: int, end: int) -> Events:
        blocks = []
        for piece in self._pieces:
            if piece.first_seq >= end:
                break
            block = self._read(piece, first, end) if piece.last_seq >= first else None
            if block is not None:
                rows = block.rows["seq"]
                keep = (rows >= first) & (rows < end) & self._choice.of_stream(block)
                blocks.append(selected(block, keep))
        self._pieces = [piece for piece in self._pieces if piece.last_seq >= end]
        return self._arranged(blocks, rest=False)

    def _arranged(self, blocks: Iterable[Block], *, rest: bool) -> Events:
        found = ascending(blocks)
        newest = max(
            (int(b.rows["ts_recv_ns"].max()) for b in found if b.kind not in TOLD), default=self._floor_ns
        )
        placed = self._due_by(max(newest, self._floor_ns), rest=rest)
        events, self._floor_ns = arrange(found, placed, self.begin_ns, self._floor_ns)
        return events

    def _due_by(self, newest_ns: int, *, rest: bool) -> list[Block]:
        """What is placed by time and belongs before the newest of what follows `seq`; taken out of what waits."""
        due, waiting = [], []
        for block in self._placed:
            times = placed_times(block.kind, block.rows)
            now = (times < newest_ns) if block.kind is GAPS else (times <= newest_ns)
            if rest or now.all():
                due.append(block)
            elif now.any():
                due.append(selected(block, now))
                waiting.append(selected(block, ~now))
            else:
                waiting.append(block)
        self._placed = waiting
        return due

    def _starts(self) -> dict[str, Start]:
        """Where each symbol's book begins: at its newest snapshot before the first event; none = in the stretch."""
        fetches = not self.stretch.rule.streams_snapshots
        found: dict[str, Start] = {}
        for symbol in self.stretch.symbols:
            rows = self._snapshots_before(symbol)
            if not len(rows):
                continue
            own = rows[rows["origin"] == KEYFRAME]
            # Our own book wants nothing from before it, so it is taken even where the venue's is a little newer.
            newest = rows[-1]
            if len(own) and newest["ts_recv_ns"] - own[-1]["ts_recv_ns"] <= MARGIN_NS:
                newest = own[-1]
            found[symbol] = Start(
                int(newest["seq"]),
                int(newest["ts_recv_ns"]),
                int(newest["last_sequence"]),
                fetches and newest["origin"] != KEYFRAME,
            )
        return found

    def _snapshots_before(self, symbol: str) -> Rows:
        """Rows of snapshots, from the newest pieces that have such, by `seq`."""
        pieces = [
            piece
            for piece in self.stretch.pieces
            if piece.kind is SNAPSHOTS
            and piece.stream.symbol == symbol
            and piece.first_ns <= self.begin_ns + MARGIN_NS
            and piece.last_ns >= self.begin_ns - BEFORE_NS
        ]
        rows = np.zeros(0, DTYPES[SNAPSHOTS])
        for piece in sorted(pieces, key=lambda piece: piece.last_seq, reverse=True):
            block = self._read(piece, 0, piece.last_seq + 1)
            if block is None:
                continue
            received = block.rows["ts_recv_ns"]
            early = block.rows[(received < self.begin_ns) & (received >= self.begin_ns - BEFORE_NS)]
            rows = np.concatenate((early, rows))
            own = rows[rows["origin"] == KEYFRAME]
            if len(own) or (len(rows) and rows[-1]["ts_recv_ns"] - rows[0]["ts_recv_ns"] > MARGIN_NS):
                break
        return np.sort(rows, order="seq")

    def _read_placed(self) -> list[Block]:
        """All rows that are placed by their time: few, so they are held.

        Where a recording ended there is a hole too, but nothing behind it: the books stay as they were last.
        """
        last_ns: dict[str, int] = {}  # of each symbol, "" = of all
        for piece in self.stretch.pieces:
            if piece.kind in MARKET:
                for name in ("", piece.stream.symbol):
                    last_ns[name] = max(last_ns.get(name, 0), min(piece.last_ns, self.stretch.to_ns))
        found: list[Block] = []
        count = 0
        for piece in self.stretch.pieces:
            past_ns = CANDLES_BEFORE_NS if piece.kind is CANDLES else BEFORE_NS
            if piece.kind not in (TRADES, CANDLES, GAPS) or piece.last_ns < self.begin_ns - past_ns:
                continue
            try:
                block = piece.read_late()
            except BlockDamaged as error:
                self._lose(piece, error.reason)
                continue
            chosen = self._choice.of_time(block)
            if piece.kind is GAPS:
                last_own_ns = last_ns.get(piece.stream.symbol, 0)
                ends = max(last_own_ns - BEHIND_NS, last_ns.get("", 0) - LAST_NS)
                chosen = chosen & (block.rows["from_ns"] < ends)
            kept = selected(block, chosen)
            if piece.kind is CANDLES:
                kept = _newest_of_each(kept)
            count += len(kept.rows)
            if count > PLACED_MOST:
                self._lose(piece, f"more than {PLACED_MOST:,} records were fetched later for this stretch")
                break
            found.append(kept)
        return ascending(found)

    def _read(self, piece: Piece, first: int, end: int) -> Block | None:
        """The piece's rows, None when it cannot be read."""
        if piece.name in self._lost:
            return None
        held = self._held.get(piece.name) if piece.name else None
        if held is not None:
            return held
        whole = piece.name and piece.rows * WEIGHT.get(piece.kind, 1) <= HELD_ROWS
        try:
            block = piece.read(0, piece.last_seq + 1) if whole else piece.read(first, end)
        except BlockDamaged as error:
            self._lose(piece, error.reason)
            return None
        if whole:
            self._hold(piece, block, first)
        return block

    def _hold(self, piece: Piece, block: Block, first: int) -> None:
        """Keep what was read of a small file until reading has passed it."""
        for name in [
            name for name, held in self._held.items() if not len(held.rows) or held.last_seq < first
        ]:
            del self._held[name]
        if sum(held.size_bytes for held in self._held.values()) + block.size_bytes <= HELD_BYTES:
            self._held[piece.name] = block

    def _lose(self, piece: Piece, reason: str) -> None:
        name = piece.name or f"block {piece.first_seq} of the journal"
        if name in self._lost:
            return
        self._lost.add(name)
        if len(self.lost) < LOST_NAMED:
            self.lost.append(f"{name}: {reason}")
        if piece.kind in (DELTAS, SNAPSHOTS):
            gap = gap_block(piece.stream, piece.first_seq, piece.first_ns, piece.last_ns, f"{name}: {reason}")
            self._placed = [*self._placed, gap]


def _bounds(pieces: Sequence[Piece], first_seq: int, chunk_rows: int) -> list[int]:
    """Where chunks of about so many rows begin, and where the last one ends; `seq` taken as even within a piece."""
    shares: list[tuple[int, float]] = []  # (seq, rows from there on) of some part of a piece
    for piece in pieces:
        if piece.last_seq < first_seq:
            continue
        weight = piece.rows * WEIGHT.get(piece.kind, 1)
        parts = 1 + 4 * weight // chunk_rows
        span = piece.last_seq + 1 - piece.first_seq
        shares += [(piece.first_seq + span * part // parts, weight / parts) for part in range(parts)]
    bounds, rows = [first_seq], 0.0
    for seq, count in sorted(shares):
        if rows >= chunk_rows and seq > bounds[-1]:
            bounds.append(seq)
            rows = 0.0
        rows += count
    return [*bounds, max([piece.last_seq + 1 for piece in pieces], default=first_seq)]


def _newest_of_each(block: Block) -> Block:
    """Of candles that were fetched several times, as they ran, the last."""
    rows = block.rows
    keys = np.stack([rows["interval_ns"], rows["ts_open_ns"]], axis=1)[::-1]
    _, newest = np.unique(keys, axis=0, return_index=True)
    return Block(block.kind, block.stream, rows[np.sort(len(rows) - 1 - newest)], block.heap)
