"""What is kept, as Arrow: archive and journal together, each row once, ordered by time.

A question names a kind and, where wanted, a venue, a symbol and a stretch of time. One snapshot of the journal's
database says which files and blocks have the rows, so that what moves from one to the other meanwhile is seen once.
The answer comes window by window of its order, so that ten million rows are never held together. What is damaged is
left out by name instead of failing the answer. (SQL, through DuckDB, is in `engine.storage.sql`.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import BadQuery, BlockDamaged
from engine.market.batches import Rows
from engine.storage import archive, catalog
from engine.storage.arrow import SCHEMAS, to_table
from engine.storage.catalog import MAX_NS, BlockRow
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, HEAPED, selected, times_of
from engine.storage.schema import FileRow
from engine.storage.symbols import universal

Order = Literal["time", "seq"]
BATCH_ROWS: Final = 65_536
WINDOW_BYTES: Final = (
    48 << 20
)  # of rows as they lie in the journal; as Arrow and sorted, some three times that
_SHRUNK: Final = 8  # how many times smaller the archive makes what has texts and levels, at most
_SNAPSHOTS: Final = 5  # taken in a row because files were gone
_SKIPPED: Final = b"skipped"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for; "" = any. Half open: from_ns <= time < to_ns, by `records.times_of`.

    A symbol may be named in any case, and as its venue does.
    """

    kind: RecordKind
    venue: str = ""
    symbol: str = ""
    from_ns: int = 0
    to_ns: int = MAX_NS


def query(
    folder: Path,
    kind: RecordKind,
    *,
    venue: str = "",
    symbol: str = "",
    from_ns: int = 0,
    to_ns: int = MAX_NS,
    columns: Sequence[str] | None = None,
    order: Order = "time",
) -> pa.Table:
    """The rows, of SCHEMAS[kind] or the named columns of it; ascending by time, then `seq`, or by `seq`.

    `skipped_of` says which files could not be read. It waits for the disk: not for the engine's loop.
    """
    scan = Scan(folder, Question(kind, venue, symbol, from_ns, to_ns), columns, order, window_bytes=0)
    table = pa.Table.from_batches(list(scan), scan.schema)
    return with_skipped(table, scan.skipped)


def batches(
    folder: Path,
    kind: RecordKind,
    *,
    venue: str = "",
    symbol: str = "",
    from_ns: int = 0,
    to_ns: int = MAX_NS,
    columns: Sequence[str] | None = None,
    order: Order = "time",
) -> Scan:
    """The same in batches of at most BATCH_ROWS, in bounded memory: to be gone through once."""
    return Scan(folder, Question(kind, venue, symbol, from_ns, to_ns), columns, order)


def with_skipped(table: pa.Table, skipped: Sequence[tuple[str, str]]) -> pa.Table:
    """The table, which knows what it is without."""
    return table.replace_schema_metadata({_SKIPPED: orjson.dumps(skipped)} if skipped else None)


def skipped_of(table: pa.Table) -> tuple[tuple[str, str], ...]:
    """(path, reason) of each file or block that an answer of `query` or `sql` is without."""
    found = orjson.loads((table.schema.metadata or {}).get(_SKIPPED, b"[]"))
    return tuple((path, reason) for path, reason in found)


def times(kind: RecordKind, table: pa.Table | pa.RecordBatch) -> Rows:
    """When each row happened, int64 ns (n,); the table has `time_columns`."""
    return times_of(kind, cast(Rows, {name: table.column(name).to_numpy() for name in time_columns(kind)}))


def time_columns(kind: RecordKind) -> tuple[str, ...]:
    """What `times_of` looks at."""
    match kind:
        case RecordKind.CANDLES:
            return ("ts_open_ns",)
        case RecordKind.GAPS:
            return ("from_ns",)
        case RecordKind.LATENCY | RecordKind.COUNTERS | RecordKind.EVENTS:
            return ("ts_ns",)
        case RecordKind.RAW:
            return ("ts_recv_ns",)
        case _:
            return ("ts_event_ns", "ts_recv_ns")


def within(kind: RecordKind, from_ns: int, to_ns: int) -> Any:
    """An Arrow filter: rows with from_ns <= time < to_ns. Row groups without such are not read."""
    first, *other = time_columns(kind)
    inside = _between(first, from_ns, to_ns)
    if not other:
        return inside
    given = pc.field(first) > 0
    return (given & inside) | (~given & _between(other[0], from_ns, to_ns))


def _universal(folder: Path, question: Question) -> str:
    """The universal name of the symbol asked for; as it was given where there is none such, or several."""
    with catalog.reading(folder) as connection:
        known = catalog.streams(connection).values()
    try:
        return universal(known, question.venue, question.symbol)
    except BadQuery:  # who asks for what was never recorded gets no rows
        return question.symbol


def _between(name: str, start: int, end: int) -> Any:
    return (pc.field(name) >= start) & (pc.field(name) < end)


@dataclass(frozen=True, slots=True)
class Piece:
    """A file or block: where its rows lie in the order asked for, and how much they are. `last` is included."""

    first: int
    last: int
    rows: int
    size_bytes: int  # as they lie in the journal, estimated
    source: FileRow | BlockRow


def windows(pieces: Sequence[Piece], start: int, end: int, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Half-open stretches, ascending, that together hold all that lies in [start, end), each of about `most_bytes`.

    Rows are taken to lie evenly in their piece. 0 = one window for all.
    """
    if not pieces:
        return
    # Whole numbers: nanoseconds of today are 256 apart as floats, and a piece may be shorter than that.
    first = np.array([piece.first for piece in pieces], np.int64)
    behind = np.array([min(piece.last, MAX_NS - 1) for piece in pieces], np.int64) + 1
    density = np.array([piece.size_bytes for piece in pieces]) / (behind - first)
    left = [(max(start, min(p.first for p in pieces)), min(end, max(p.last for p in pieces) + 1))]
    while left:
        low, high = left.pop()
        overlap = np.maximum(np.minimum(behind, high) - np.maximum(first, low), 0)
        size = float((density * overlap).sum())
        if not overlap.any():
            continue
        if not most_bytes or size <= most_bytes or high - low < 2:
            yield low, high
        else:
            middle = (low + high) // 2
            left += [(middle, high), (low, middle)]


class Scan:
    """Iterates once over the batches of an answer; `skipped` and `rows` grow meanwhile.

    What is recorded after it was made is not in it. Files that are deleted meanwhile are, as far as they were read.
    """

    def __init__(
        self,
        folder: Path,
        question: Question,
        columns: Sequence[str] | None = None,
        order: Order = "time",
        *,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        kind = question.kind
        names = SCHEMAS[kind].names
        unknown = [name for name in columns or () if name not in names]
        if unknown:
            raise BadQuery(unknown[0], f"{kind} have no such column; they have {', '.join(names)}")
        if question.symbol:
            question = replace(question, symbol=_universal(folder, question))
        self._folder, self._question, self._order = folder, question, order
        self._window_bytes = window_bytes
        self._columns = list(columns) if columns is not None else names
        needed = {*self._columns, "seq", *time_columns(kind)}
        self._needed = [name for name in names if name in needed]
        self._skipped: dict[str, str] = {}
        self._end_seq = 0  # what was recorded before it was asked
        self._pieces = self._snapshot()
        self.rows = 0  # given out so far
        self.expected = self._estimate()

    @property
    def question(self) -> Question:
        """What was asked for, by universal names."""
        return self._question

    @property
    def schema(self) -> pa.Schema:
        """Of each batch."""
        schema = SCHEMAS[self._question.kind]
        return pa.schema([schema.field(name) for name in self._columns])

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(path, reason) of what could not be read so far."""
        return tuple(self._skipped.items())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        key = "seq" if self._order == "seq" else "time"
        start, end = (0, MAX_NS) if key == "seq" else (self._question.from_ns, self._question.to_ns)
        attempts = 0
        while start < end:
            for low, high in windows(self._pieces, start, end, self._window_bytes):
                table = self._window(low, high)
                if table is None:  # a file is gone: what had its rows now?
                    attempts += 1
                    self._pieces = self._snapshot()
                    start = low
                    break
                start, attempts = high, 0
                self.rows += len(table)
                yield from table.to_batches(max_chunksize=BATCH_ROWS)
            else:
                return
            if attempts >= _SNAPSHOTS:
                self._skip_missing()

    def _snapshot(self) -> list[Piece]:
        question = self._question
        found = catalog.snapshot(
            self._folder,
            question.kind,
            question.venue or None,
            question.symbol or None,
            question.from_ns,
            question.to_ns,
        )
        self._end_seq = self._end_seq or found.next_seq
        self._skipped |= {_block_name(first_seq): reason for first_seq, reason in found.damaged}
        sources: list[FileRow | BlockRow] = [*found.files, *found.blocks]
        return [self._piece(source) for source in sources]

    def _piece(self, source: FileRow | BlockRow) -> Piece:
        bounds = (source.first_seq, source.last_seq)
        if self._order == "time":
            bounds = (source.first_ns, source.last_ns)
        kind = self._question.kind
        if isinstance(source, FileRow):
            size = source.rows * DTYPES[kind].itemsize
            size = max(size, source.size_bytes * _SHRUNK) if kind in HEAPED else size
        else:
            size = len(source.payload)
        return Piece(*bounds, source.rows, size, source)

    def _estimate(self) -> int:
        total = 0.0
        for piece in self._pieces:
            low, high = piece.source.first_ns, piece.source.last_ns + 1
            inside = min(high, self._question.to_ns) - max(low, self._question.from_ns)
            total += piece.rows * max(0.0, inside / (high - low))
        return round(total)

    def _window(self, low: int, high: int) -> pa.Table | None:
        """The rows of a window in their order; None when a file of it is gone."""
        tables = []
        for piece in self._pieces:
            if piece.first >= high or piece.last < low:
                continue
            try:
                if isinstance(piece.source, FileRow):
                    tables.append(self._of_file(piece.source, low, high))
                else:
                    tables.append(self._of_block(piece.source, low, high))
            except BlockDamaged as error:
                if self._is_gone(piece):
                    return None
                self._skipped.setdefault(_name(piece), error.reason)
        table = pa.concat_tables([SCHEMAS[self._question.kind].empty_table().select(self._needed), *tables])
        return self._sorted(table.combine_chunks()).select(self._columns)

    def _is_gone(self, piece: Piece) -> bool:
        """Whether it was there when the snapshot was taken, and is not now."""
        source = piece.source
        if not isinstance(source, FileRow) or source.path in self._skipped:
            return False
        return not self._path(source).exists()

    def _skip_missing(self) -> None:
        """However often we look, the manifest names files that are not there."""
        for piece in self._pieces:
            if self._is_gone(piece):
                self._skipped[_name(piece)] = "it is missing"

    def _path(self, file: FileRow) -> Path:
        return self._folder / archive.FOLDER / file.path

    def _of_file(self, file: FileRow, low: int, high: int) -> pa.Table:
        question = self._question
        chosen = pc.field("seq") < self._end_seq
        if file.first_ns < question.from_ns or file.last_ns >= question.to_ns:
            chosen &= within(question.kind, question.from_ns, question.to_ns)
        if self._order == "seq":
            chosen &= _between("seq", low, high)
        else:
            chosen &= within(question.kind, low, high)
        return archive.read_file(self._path(file), self._needed, chosen)

    def _of_block(self, row: BlockRow, low: int, high: int) -> pa.Table:
        question = self._question
        block = row.block()
        rows = block.rows
        keep = rows["seq"] < self._end_seq
        happened = times_of(question.kind, rows)
        for values, start, end in (
            (happened, question.from_ns, question.to_ns),
            (rows["seq"] if self._order == "seq" else happened, low, high),
        ):
            keep &= (values >= start) & (values < end)
        return to_table(block if keep.all() else selected(block, keep)).select(self._needed)

    def _sorted(self, table: pa.Table) -> pa.Table:
        sequences = table["seq"].to_numpy()
        if self._order == "seq":
            keys: tuple[Rows, ...] = (sequences,)
        else:
            keys = (sequences, times(self._question.kind, table))
        if _ascends(keys):
            return table
        # Stable: the levels of one change share time and `seq`, and keep their order.
        return table.take(pa.array(np.lexsort(keys)))


def _ascends(keys: tuple[Rows, ...]) -> bool:
    *minor, major = keys
    if not len(major):
        return True
    steps = np.diff(major)
    if not minor:
        return bool((steps >= 0).all())
    return bool(((steps > 0) | ((steps == 0) & (np.diff(minor[0]) >= 0))).all())


def _name(piece: Piece) -> str:
    source = piece.source
    return source.path if isinstance(source, FileRow) else _block_name(source.first_seq)


def _block_name(first_seq: int) -> str:
    return f"journal block {first_seq}"
