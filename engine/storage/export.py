"""Records taken away as one file: CSV, Parquet or Feather.

The file appears under its name when all of it is on the disk, or not at all. Rows come by time, then `seq`, in bounded
memory. CSV has exact decimals (`engine.storage.csv_text`). Parquet and Feather have prices and sizes as float64, which
pandas and polars open as numbers, and the exact units beside them (`engine.storage.columns`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from engine.durable_files import DRAFT, sync_file, sync_folder
from engine.errors import BadQuery, StorageError
from engine.market.instruments import MAX_DECIMALS
from engine.storage import catalog, csv_text
from engine.storage.arrow import SCHEMAS
from engine.storage.columns import COLUMNS, RATE_DECIMALS, ROW_TIME, Column, exact_of
from engine.storage.export_request import MAX_NS, ExportRequest, Form, checked_form
from engine.storage.names import WHAT, RecordKind
from engine.storage.query import Question, Scan, times
from engine.storage.stretch import moment_text, recorded

_GROUP_ROWS: Final = 131_072
_SYNC_BYTES: Final = 8 << 20  # at a time, so that another file's sync never waits for all of it

Progress = Callable[[int, int], None]  # (rows written, rows expected)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What a file has, and what it is without: (path, reason)."""

    rows: int
    size_bytes: int
    skipped: tuple[tuple[str, str], ...]


def export(folder: Path, request: ExportRequest, out: Path, progress: Progress | None = None) -> ExportResult:
    """The file is at `out`, whole, over what was there. Waits for the disk; `progress` is told of every batch.

    BadQuery, with what there is, when nothing is recorded then; no file is made of nothing.
    StorageError when the disk is full or refuses; then, and when `progress` raises, `out` is as it was.
    """
    question = Question(request.kind, request.venue, request.symbol, request.from_ns, request.to_ns)
    scan = Scan(folder, question)
    with whole_file(out) as file, _writer(checked_form(request.form), request.kind, file) as writer:
        for batch in scan:
            writer.write(pa.Table.from_batches([batch]))
            if progress is not None:
                progress(scan.rows, max(scan.expected, scan.rows))
        if not scan.rows and not scan.skipped:
            raise BadQuery(_asked(request), f"nothing is recorded then; {_there(folder, scan.question)}")
    return ExportResult(scan.rows, out.stat().st_size, scan.skipped)


def _asked(request: ExportRequest) -> str:
    """What was asked for, as words."""
    of = " ".join(filter(None, (request.kind.value, request.venue, request.symbol)))
    stretch = (moment_text(ns) for ns in (request.from_ns, request.to_ns) if 0 < ns < MAX_NS)
    return ", ".join((of, " to ".join(stretch) or "of all time"))


def _there(folder: Path, question: Question) -> str:
    """Which stretches there are of it instead."""
    what = next((name for name, kinds in WHAT.items() if question.kind in kinds), "")
    with catalog.reading(folder) as connection:
        spans, _ = catalog.spans(connection)
    return recorded(
        [
            (span.from_ns, span.to_ns)
            for span in spans
            if question.venue in ("", span.venue)
            and question.symbol in ("", span.symbol)
            and what in ("", span.what)
        ]
    )


class DraftFile:
    """A file to write to that syncs as it goes. What Arrow and we need of one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=1 << 20)
        self._unsynced = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """How many bytes: all of them."""
        size = memoryview(data).nbytes
        self._file.write(data)
        self._unsynced += size
        if self._unsynced >= _SYNC_BYTES:
            self.sync()
        return size

    def sync(self) -> None:
        """All that was written is on the disk."""
        self._file.flush()
        sync_file(self._file.fileno())
        self._unsynced = 0

    def tell(self) -> int:
        """How many bytes were written."""
        return self._file.tell()

    def flush(self) -> None:
        """For Arrow; what counts is `sync`."""

    def readable(self) -> bool:
        """Never."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """The descriptor is given back."""
        if not self.closed:
            self.closed = True
            self._file.close()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[DraftFile]:
    """A file that appears under its name when the block ends well, and else leaves nothing behind."""
    draft = path.with_name(f"{path.name}.{os.getpid()}{DRAFT}")
    try:
        with contextlib.closing(DraftFile(draft)) as file:
            yield file
            file.sync()
        os.replace(draft, path)
        sync_folder(path.parent)
    except OSError as error:
        _drop(draft)
        raise StorageError(_refusal(path, error)) from error
    except BaseException:
        _drop(draft)
        raise


def _drop(draft: Path) -> None:
    with contextlib.suppress(OSError):  # the failure that brought us here says more
        draft.unlink(missing_ok=True)


def _refusal(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path} cannot be written: the disk is full; nothing of it was kept"
    reason = error.strerror or str(error)
    return f"{path} cannot be written: {reason[:1].lower()}{reason[1:]}"


def friendly_schema(kind: RecordKind) -> pa.Schema:
    """The columns of Parquet and Feather files."""
    return friendly(kind, SCHEMAS[kind].empty_table()).schema


def friendly(kind: RecordKind, table: pa.Table) -> pa.Table:
    """The table of SCHEMAS[kind] with the columns a user sees: `COLUMNS`, then those that keep the exact units."""
    happened = times(kind, table)
    given = {column.name: _cells(column, table, happened) for column in COLUMNS[kind]}
    given |= {name: table[source] for name, source in exact_of(kind)}
    return pa.table(given)


def _cells(column: Column, table: pa.Table, happened: Any) -> Any:
    if column.source == ROW_TIME:
        cells = pa.array(happened)
        return cells.cast(pa.timestamp("ns", "UTC")) if column.form == "moment" else cells
    source = table[column.source]
    match column.form:
        case "price" | "size":
            return pa.array(source.to_numpy() / _powers(table, f"{column.form}_decimals"))
        case "prices" | "sizes":
            return _lists(source, _powers(table, f"{column.form[:-1]}_decimals"))
        case "rate":
            return pa.array(source.to_numpy() / 10.0**RATE_DECIMALS)
        case "notional":
            whole = source.to_numpy() * 2.0**40 + table["notional_low"].to_numpy()
            return pa.array(whole / _powers(table, "price_decimals", "size_decimals"))
        case "choice":
            return csv_text.choice_text(source.to_numpy(), column)
        case "text":  # plain: an Arrow file has one dictionary for all of it, which is not known yet
            return source.cast(pa.string())
        case _:
            return source


def _powers(table: pa.Table, *names: str) -> Any:
    decimals = np.sum([table[name].to_numpy() for name in names], axis=0)
    return np.array([10.0**power for power in range(2 * MAX_DECIMALS + 1)])[decimals]


def _lists(source: Any, powers: Any) -> pa.Array:
    lists = source.combine_chunks() if isinstance(source, pa.ChunkedArray) else source
    lengths = pc.list_value_length(lists).to_numpy()
    values = lists.flatten().to_numpy() / np.repeat(powers, lengths)
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


class _Writer(Protocol):
    def write(self, table: pa.Table) -> None:
        """The rows of SCHEMAS[kind], as they come."""


class _CsvWriter:
    def __init__(self, kind: RecordKind, file: DraftFile) -> None:
        self._kind, self._file = kind, file
        file.write(csv_text.header(kind))

    def write(self, table: pa.Table) -> None:
        self._file.write(csv_text.lines(self._kind, table, times(self._kind, table)))


class _ArrowWriter:
    """Parquet in row groups, Feather in record batches: both as large as memory and readers like them."""

    def __init__(self, kind: RecordKind, writer: Any) -> None:
        self._kind, self._writer = kind, writer
        self._held: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        self._held.append(friendly(self._kind, table))
        self._rows += len(table)
        if self._rows >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held))
        self._held, self._rows = [], 0


@contextlib.contextmanager
def _writer(form: Form, kind: RecordKind, file: DraftFile) -> Iterator[_Writer]:
    if form == "csv":
        yield _CsvWriter(kind, file)
        return
    with arrow_writer(form, friendly_schema(kind), file) as writer:
        made = _ArrowWriter(kind, writer)
        yield made
        made.flush()


@contextlib.contextmanager
def arrow_writer(form: Form, schema: pa.Schema, file: DraftFile) -> Iterator[Any]:
    """A Parquet or Arrow IPC writer of this schema, whose end is written when the block ends."""
    if form == "parquet":
        with pa.parquet.ParquetWriter(file, schema, compression="zstd") as parquet:
            yield parquet
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(file, schema, options=options) as feather:
            yield feather
