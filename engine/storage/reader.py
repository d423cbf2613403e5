"""A recorded stretch out of journal and archive, as events in order, in chunks of bounded size.

`find` looks up what there is, as of one moment; a `Reader` then reads it piece by piece: blocks of the journal, which
it holds, and files of the archive, of which it reads the row groups it needs. What is damaged or gone meanwhile is
skipped: it becomes a gap where it was, and is named in `lost`. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
import pyarrow.compute as pc

from engine.errors import BadQuery, BlockDamaged
from engine.market.batches import Rows
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage import archive, catalog
from engine.storage.arrow import HEAD, SCHEMAS, from_table
from engine.storage.catalog import BlockRow
from engine.storage.records import BACKFILLED, DTYPES, KEYFRAME, STREAMED, Block, RecordKind, Stream, selected
from engine.storage.schema import FileRow
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
from engine.storage.views import SpanView

SECOND_NS: Final = 1_000_000_000
CHUNK_ROWS: Final = 65_536  # about; of all kinds together
# What a row of these takes, against one of the others: books and histograms lie beside them.
WEIGHT: Final = {SNAPSHOTS: 500, RecordKind.LATENCY: 20, RecordKind.EVENTS: 5}
HELD_ROWS: Final = 131_072  # a file of no more is read once and held, as long as it is needed,
HELD_BYTES: Final = 64 << 20  # up to this much
PLACED_MOST: Final = 1_000_000  # rows that are placed by their time; what is more is left out and named
# How long before the stretch its books may begin: own snapshots are written every ten seconds or so.
BEFORE_NS: Final = 600 * SECOND_NS
# Venues' times, by which records are kept, and ours, by which they are played, differ by less.
MARGIN_NS: Final = 60 * SECOND_NS
FETCH_NS: Final = 15 * SECOND_NS  # a fetched snapshot lacks changes that came up to this long before it
AHEAD: Final = 100_000  # numbers: candles and funding may come so far ahead of a recording's first trade
NAMED: Final = 8
_SAME: Final = frozenset(field.name for field in HEAD)  # in all rows of a file
_TEXTS: Final = frozenset(("timestamp", "exchange", "bids", "asks"))  # of books, for other tools
LOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of the journal or a file of the archive; a file has a name. Times are those of `times_of`, ends included.

    `read(first, end)` gives its rows with such `seq`, or more of them; `read_late()` at least the trades that were
    fetched later, or the candles that were fetched at all. Both raise BlockDamaged.
    """

    kind: RecordKind
    stream: Stream
    first_seq: int
    last_seq: int
    rows: int
    first_ns: int
    last_ns: int
    read: Callable[[int, int], Block]
    read_late: Callable[[], Block]
    name: str = ""

    @classmethod
    def of_block(cls, block: Block) -> Piece:
        """Of a block that is in memory."""
        return cls(
            *(block.kind, block.stream, block.first_seq, block.last_seq, len(block.rows), *block.times_ns),
            read=lambda _first, _end: block,
            read_late=lambda: block,
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """What there is of one venue in [from_ns, to_ns)."""

    venue: str
    symbols: tuple[str, ...]
    from_ns: int
    to_ns: int
    pieces: tuple[Piece, ...]
    damaged: tuple[str, ...] = ()  # of the journal, whosoever it was

    @property
    def label(self) -> str:
        """The venue's name."""
        return self._newest().label or self.venue

    @property
    def rule(self) -> Rule:
        """How its deltas follow one another."""
        return self._newest().rule or Rule.BINANCE_SPOT

    def instruments(self, from_seq: int = 0) -> dict[str, Instrument]:
        """The units that each symbol's first records from `from_seq` on are in."""
        found: dict[str, Instrument] = {}
        for piece in sorted(self.pieces, key=lambda piece: piece.first_seq):
            unit = piece.stream.instrument
            if unit is not None and piece.kind in MARKET and piece.last_seq >= from_seq:
                found.setdefault(piece.stream.symbol, unit)
        for piece in self.pieces:  # of which there are candles or funding only
            if piece.stream.instrument is not None:
                found.setdefault(piece.stream.symbol, piece.stream.instrument)
        return {symbol: found[symbol] for symbol in self.symbols}

    def _newest(self) -> Stream:
        return max(
            (piece for piece in self.pieces if piece.stream.symbol), key=lambda piece: piece.last_seq
        ).stream


def find(folder: Path, venue: str, symbols: Sequence[str], from_ns: int, to_ns: int) -> Stretch:
    """What is recorded of these symbols, () = of all, in the stretch; BadQuery when that is nothing.

    Symbols may be named as the venue does. Cost: a question to the database, and a copy of the journal's blocks.
    """
    if not 0 < from_ns < to_ns:
        raise BadQuery("from, to", "the stretch must begin before it ends")
    with catalog.reading(folder) as connection:
        known = [stream for stream in catalog.streams(connection).values() if stream.symbol]
        names = _names(venue, symbols, known)
        near = (from_ns - BEFORE_NS - MARGIN_NS, to_ns + MARGIN_NS)
        pieces, damaged = _pieces(folder, connection, (*MARKET, *TOLD, GAPS), venue, near)
        # What is fetched may tell of days before it came: it belongs by `seq`.
        fetched, _ = _pieces(folder, connection, (CANDLES, FUNDINGS), venue, (0, to_ns + MARGIN_NS))
        spans, _ = catalog.spans(connection)
    market = [piece for piece in pieces if piece.kind in MARKET and piece.stream.symbol in names]
    if not any(piece.last_ns >= from_ns - MARGIN_NS for piece in market):
        held = [
            (span.from_ns, span.to_ns)
            for span in spans
            if (span.venue, span.symbol in names) == (venue, True)
        ]
        asked = f"{venue} from {_when(from_ns)} to {_when(to_ns)}"
        raise BadQuery(asked, f"nothing is recorded then; {_recorded(held)}")
    first = min(piece.first_seq for piece in market)
    others = [piece for piece in pieces if piece.kind not in MARKET and piece.stream.symbol in (*names, "")]
    others += _breaks(spans, venue, {piece.stream.symbol: piece.stream for piece in market}, near)
    past_ns = from_ns - CANDLES_BEFORE_NS
    others += [
        piece
        for piece in fetched
        if piece.stream.symbol in names
        and (piece.last_seq >= first - AHEAD or (piece.kind is CANDLES and piece.last_ns >= past_ns))
    ]
    found = tuple(sorted({piece.stream.symbol for piece in market}))
    others = [piece for piece in others if piece.stream.symbol in (*found, "")]
    return Stretch(venue, found, from_ns, to_ns, (*market, *others), tuple(damaged))


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
        """All rows that are placed by their time: few, so they are held."""
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
            kept = selected(block, self._choice.of_time(block))
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
            gap = _gap(piece.stream, piece.first_seq, piece.first_ns, piece.last_ns, f"{name}: {reason}")
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


def _pieces(
    folder: Path,
    connection: apsw.Connection,
    kinds: Sequence[RecordKind],
    venue: str,
    times: tuple[int, int],
) -> tuple[list[Piece], list[str]]:
    """(files and blocks of a venue that overlap the times, what of the journal is damaged)."""
    blocks, damaged = catalog.blocks_between(connection, kinds, venue, None, *times)
    root = folder / archive.FOLDER
    found = [_of_row(row) for row in blocks]
    found += [_of_file(root, row) for row in catalog.files_between(connection, kinds, venue, None, *times)]
    return found, [f"block {seq} of the journal: {reason}" for seq, reason in damaged]


def _newest_of_each(block: Block) -> Block:
    """Of candles that were fetched several times, as they ran, the last."""
    rows = block.rows
    keys = np.stack([rows["interval_ns"], rows["ts_open_ns"]], axis=1)[::-1]
    _, newest = np.unique(keys, axis=0, return_index=True)
    return Block(block.kind, block.stream, rows[np.sort(len(rows) - 1 - newest)], block.heap)


def _breaks(
    spans: Sequence[SpanView], venue: str, streams: Mapping[str, Stream], times: tuple[int, int]
) -> list[Piece]:
    """Where recording of a book ended and began again: a process that was killed leaves no other word of it."""
    found: list[Piece] = []
    for symbol, stream in streams.items():
        own = sorted(
            (span.from_ns, span.to_ns)
            for span in spans
            if (span.venue, span.symbol, span.what) == (venue, symbol, "book")
        )
        for (_, ended_ns), (began_ns, _) in itertools.pairwise(own):
            if ended_ns < began_ns and began_ns >= times[0] and ended_ns < times[1]:
                block = _gap(stream, 0, ended_ns, began_ns, "it was not being recorded")
                found.append(Piece.of_block(block))
    return found


def _gap(stream: Stream, seq: int, from_ns: int, to_ns: int, reason: str) -> Block:
    """A hole in a book that nobody recorded."""
    rows, text = np.zeros(1, DTYPES[GAPS]), reason.encode()
    rows["seq"], rows["from_ns"], rows["to_ns"] = seq, from_ns, to_ns
    rows["what"], rows["length"] = b"book", len(text)
    return Block(GAPS, stream, rows, text)


def _of_row(row: BlockRow) -> Piece:
    return Piece(
        *(row.kind, row.stream, row.first_seq, row.last_seq, row.rows, row.first_ns, row.last_ns),
        read=lambda _first, _end: row.block(),
        read_late=row.block,
    )


def _of_file(root: Path, row: FileRow) -> Piece:
    columns = [
        name
        for name in SCHEMAS[row.kind].names
        if name not in _SAME and not (row.kind is SNAPSHOTS and name in _TEXTS)
    ]

    def table(filters: Any) -> Block:
        # Of a column that is the same in a whole row group, as `origin` mostly is, that says which groups to read.
        rows, heap = from_table(row.kind, archive.read_file(root / row.path, columns, filters))
        return Block(row.kind, row.stream, rows, heap)

    def read(first: int, end: int) -> Block:
        whole = first <= row.first_seq and end > row.last_seq
        return table(None if whole else (pc.field("seq") >= first) & (pc.field("seq") < end))

    def read_late() -> Block:
        if row.kind is GAPS:
            return table(None)
        origin = pc.field("origin")
        return table(origin != STREAMED if row.kind is CANDLES else origin == BACKFILLED)

    return Piece(
        *(row.kind, row.stream, row.first_seq, row.last_seq, row.rows, row.first_ns, row.last_ns),
        read,
        read_late,
        row.path,
    )


def _names(venue: str, symbols: Sequence[str], known: Sequence[Stream]) -> set[str]:
    """The universal names of the symbols. BadQuery when the venue or one of them was never recorded."""
    venues = sorted({stream.venue for stream in known})
    of_venue = [stream for stream in known if stream.venue == venue]
    if not of_venue:
        there = f"recorded: {', '.join(venues[:NAMED])}" if venues else "nothing is recorded yet"
        raise BadQuery(f"venue {venue[:40]!r}", f"nothing of it is recorded; {there}")
    both = {stream.symbol.upper(): stream.symbol for stream in of_venue}
    both |= {stream.instrument.native.upper(): stream.symbol for stream in of_venue if stream.instrument}
    for name in symbols:
        if name.upper() not in both:
            held = sorted({stream.symbol for stream in of_venue})
            more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
            raise BadQuery(
                f"symbol {name[:40]!r}",
                f"nothing of it is recorded of {venue}; recorded: {', '.join(held[:NAMED])}{more}",
            )
    return {both[name.upper()] for name in symbols} or set(both.values())


def _recorded(spans: Sequence[tuple[int, int]]) -> str:
    """What there is instead, as words."""
    if not spans:
        return "nothing of it is left"
    merged: list[tuple[int, int]] = []
    for from_ns, to_ns in sorted(spans):
        if merged and from_ns <= merged[-1][1] + MARGIN_NS:
            merged[-1] = (merged[-1][0], max(merged[-1][1], to_ns))
        else:
            merged.append((from_ns, to_ns))
    newest = [f"{_when(from_ns)} to {_when(to_ns)}" for from_ns, to_ns in merged[-3:]]
    more = f", and {len(merged) - 3} stretches before" if len(merged) > 3 else ""
    return f"recorded: {', '.join(newest)}{more}"


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")
