"""What is recorded of a venue in some stretch of time: the blocks and files that have it, looked up at one moment.

Nothing is read of files here; a `Piece` knows how. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
import pyarrow.compute as pc

from engine.errors import BadQuery, BlockDamaged
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage import archive, catalog
from engine.storage.arrow import HEAD, SCHEMAS, from_table
from engine.storage.catalog import BlockRow
from engine.storage.names import RecordKind
from engine.storage.records import BACKFILLED, DTYPES, STREAMED, Block, Stream
from engine.storage.schema import FileRow
from engine.storage.symbols import NAMED, universal
from engine.storage.timeline import (
    CANDLES,
    CANDLES_BEFORE_NS,
    FUNDINGS,
    GAPS,
    MARKET,
    SNAPSHOTS,
    TOLD,
)
from engine.storage.views import SpanView

SECOND_NS: Final = 1_000_000_000
# How long before the stretch its books may begin: own snapshots are written every ten seconds or so.
BEFORE_NS: Final = 600 * SECOND_NS
# Venues' times, by which records are kept, and ours, by which they are played, differ by less.
MARGIN_NS: Final = 60 * SECOND_NS
AHEAD: Final = 100_000  # numbers: candles and funding may come so far ahead of a recording's first trade
_SAME: Final = frozenset(field.name for field in HEAD)  # in all rows of a file
_TEXTS: Final = frozenset(("timestamp", "exchange", "bids", "asks"))  # of books, for other tools


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
        numbered = catalog.streams(connection)
        known = [numbered[number] for number in sorted(numbered) if numbered[number].symbol]
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
        asked = f"{venue} from {moment_text(from_ns)} to {moment_text(to_ns)}"
        raise BadQuery(asked, f"nothing is recorded then; {recorded(held)}")
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
    # In the order in which they were recorded first: that of the live source.
    there = {piece.stream.symbol for piece in market}
    listed = dict.fromkeys(stream.symbol for stream in known if stream.venue == venue)
    found = tuple(symbol for symbol in listed if symbol in there)
    others = [piece for piece in others if piece.stream.symbol in (*found, "")]
    return Stretch(venue, found, from_ns, to_ns, (*market, *others), tuple(damaged))


def gap_block(stream: Stream, seq: int, from_ns: int, to_ns: int, reason: str) -> Block:
    """A hole in a book that nobody recorded."""
    rows, text = np.zeros(1, DTYPES[GAPS]), reason.encode()
    rows["seq"], rows["from_ns"], rows["to_ns"] = seq, from_ns, to_ns
    rows["what"], rows["length"] = b"book", len(text)
    return Block(GAPS, stream, rows, text)


def _pieces(
    folder: Path,
    connection: apsw.Connection,
    kinds: Sequence[RecordKind],
    venue: str,
    times: tuple[int, int],
) -> tuple[list[Piece], list[str]]:
    """(files and blocks of a venue that overlap the times, what of the journal is damaged)."""
    blocks, damaged = catalog.blocks_between(connection, kinds, venue, None, *times)
    found = [_of_row(row) for row in blocks]
    found += [_of_file(folder, row) for row in catalog.files_between(connection, kinds, venue, None, *times)]
    return found, [f"block {seq} of the journal: {reason}" for seq, reason in damaged]


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
                block = gap_block(stream, 0, ended_ns, began_ns, "it was not being recorded")
                found.append(Piece.of_block(block))
    return found


def _of_row(row: BlockRow) -> Piece:
    return Piece(
        *(row.kind, row.stream, row.first_seq, row.last_seq, row.rows, row.first_ns, row.last_ns),
        read=lambda _first, _end: row.block(),
        read_late=row.block,
    )


def _of_file(folder: Path, row: FileRow) -> Piece:
    columns = [
        name
        for name in SCHEMAS[row.kind].names
        if name not in _SAME and not (row.kind is SNAPSHOTS and name in _TEXTS)
    ]
    seq, origin = pc.field("seq"), pc.field("origin")

    def table(filters: Any) -> Block:
        # Of a column that is the same in a whole row group, as `origin` mostly is, that says which groups to read.
        root = folder / archive.FOLDER
        try:
            found = archive.read_file(root / row.path, columns, filters)
        except BlockDamaged:
            path = None if (root / row.path).exists() else _merged(folder, row)
            if path is None:
                raise
            own = (seq >= row.first_seq) & (seq <= row.last_seq)
            found = archive.read_file(root / path, columns, own if filters is None else own & filters)
        return Block(row.kind, row.stream, *from_table(row.kind, found))

    def read(first: int, end: int) -> Block:
        whole = first <= row.first_seq and end > row.last_seq
        return table(None if whole else (seq >= first) & (seq < end))

    def read_late() -> Block:
        if row.kind is GAPS:
            return table(None)
        return table(origin != STREAMED if row.kind is CANDLES else origin == BACKFILLED)

    return Piece(
        *(row.kind, row.stream, row.first_seq, row.last_seq, row.rows, row.first_ns, row.last_ns),
        read,
        read_late,
        row.path,
    )


def _merged(folder: Path, gone: FileRow) -> str | None:
    """The file that small ones were merged into since the stretch was looked up; None when there is none."""
    with catalog.reading(folder) as connection:
        files = catalog.files_between(
            connection, gone.kind, gone.stream.venue, gone.stream.symbol, gone.first_ns, gone.last_ns + 1
        )
    for file in files:
        same = (file.stream_id, file.date) == (gone.stream_id, gone.date)
        if same and file.first_seq <= gone.first_seq and file.last_seq >= gone.last_seq:
            return file.path
    return None


def _names(venue: str, symbols: Sequence[str], known: Sequence[Stream]) -> set[str]:
    """The universal names of the symbols. BadQuery when the venue or one of them was never recorded."""
    venues = sorted({stream.venue for stream in known})
    of_venue = [stream for stream in known if stream.venue == venue]
    if not of_venue:
        there = f"recorded: {', '.join(venues[:NAMED])}" if venues else "nothing is recorded yet"
        raise BadQuery(f"venue {venue[:40]!r}", f"nothing of it is recorded; {there}")
    wanted = {universal(of_venue, venue, name) for name in symbols}
    return wanted or {stream.symbol for stream in of_venue}


def recorded(spans: Sequence[tuple[int, int]]) -> str:
    """What there is instead, as words."""
    if not spans:
        return "nothing of it is left"
    merged: list[tuple[int, int]] = []
    for from_ns, to_ns in sorted(spans):
        if merged and from_ns <= merged[-1][1] + MARGIN_NS:
            merged[-1] = (merged[-1][0], max(merged[-1][1], to_ns))
        else:
            merged.append((from_ns, to_ns))
    newest = [f"{moment_text(from_ns)} to {moment_text(to_ns)}" for from_ns, to_ns in merged[-3:]]
    more = f", and {len(merged) - 3} stretches before" if len(merged) > 3 else ""
    return f"recorded: {', '.join(newest)}{more}"


def moment_text(time_ns: int) -> str:
    """A moment as words, UTC."""
    return datetime.fromtimestamp(time_ns / SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")
