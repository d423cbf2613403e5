"""SQL over what is kept: read-only, through DuckDB in memory, which has no way to any file.

There is a view for each kind (`trades`, `quotes`, ...), over archive and journal together as of one moment, with the
columns of `engine.storage.columns`. DuckDB is handed the archive's files as Arrow data after each has proved to be
whole; it opens, installs and loads nothing itself, and its settings are locked before it sees the text.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs

from engine.errors import BadQuery, BlockDamaged, StorageError
from engine.storage import archive, catalog
from engine.storage.arrow import SCHEMAS, to_table
from engine.storage.catalog import MAX_NS, BlockRow
from engine.storage.columns import COLUMNS, ROW_TIME, Column, exact_of
from engine.storage.export_request import Canceled
from engine.storage.names import RecordKind
from engine.storage.query import time_columns, with_skipped, within
from engine.storage.schema import FileRow

MOST_ROWS: Final = 1_000_000  # of an answer that is held as a whole
BATCH_ROWS: Final = 16_384
_MEMORY: Final = "512MB"  # above it, sorts and joins go to a folder of their own that ends with the query,
_SPILLED: Final = "8GB"  # which holds so much
_ATTEMPTS: Final = 3
_LOOK_S: Final = 0.05
_READING: Final = frozenset((duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN))
_WHAT: Final = "the query"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows that are read as they are asked for, and what they are without: (path, reason)."""

    reader: pa.RecordBatchReader
    skipped: tuple[tuple[str, str], ...]


def sql(
    folder: Path,
    text: str,
    *,
    from_ns: int = 0,
    to_ns: int = MAX_NS,
    most: int = MOST_ROWS,
    timeout_s: float = 0.0,
) -> pa.Table:
    """The answer as a whole. BadQuery when it is no reading statement, is wrong, or has more than `most` rows.

    `query.skipped_of` says what it is without. It waits for the disk: not for the engine's loop. `timeout_s` 0 =
    however long it takes.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with answered(folder, text, from_ns=from_ns, to_ns=to_ns, timeout_s=timeout_s) as answer:
                batches, rows = [], 0
                for batch in answer.reader:
                    rows += len(batch)
                    if rows > most:
                        raise BadQuery(
                            _WHAT, f"it has more than {most:,} rows: add a LIMIT, or write them to a file"
                        )
                    batches.append(batch)
                table = pa.Table.from_batches(batches, answer.reader.schema)
                return with_skipped(table, answer.skipped)
        except _FileGone:  # retention, or the archive has put small files together: look again
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


@contextlib.contextmanager
def answered(
    folder: Path,
    text: str,
    *,
    from_ns: int = 0,
    to_ns: int = MAX_NS,
    timeout_s: float = 0.0,
    stop: threading.Event | None = None,
) -> Iterator[Answer]:
    """The answer, batch by batch, in bounded memory, inside the block; errors as `sql`, Canceled once `stop` is set.

    Only records with from_ns <= time < to_ns are there, and only files that can have such are looked at.
    """
    stopped = stop or threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="venuescope-") as spill,
        _connected(spill) as connection,
        _watched(connection, stopped, timeout_s),
    ):
        sources = _Sources(folder, named(text), from_ns, to_ns)
        with _explained(sources, stopped):
            for kind in RecordKind:
                _add_view(connection, kind, sources)
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            _check(connection, text)
            relation = _bound(connection, text)
            if relation is None:
                raise BadQuery(_WHAT, "it gives no rows")
            # What the reader raises comes out of the block that uses it, here.
            yield Answer(relation.to_arrow_reader(BATCH_ROWS), sources.skipped)


@contextlib.contextmanager
def _watched(
    connection: duckdb.DuckDBPyConnection, stop: threading.Event, timeout_s: float
) -> Iterator[None]:
    """Inside the block, what the connection does is interrupted when `stop` is set, or it takes too long."""
    done = threading.Event()

    def watch() -> None:
        end_s = time.monotonic() + (timeout_s or float("inf"))
        while not done.wait(_LOOK_S):
            if stop.is_set() or time.monotonic() > end_s:
                connection.interrupt()  # again and again: one between two steps is forgotten

    watcher = threading.Thread(target=watch, name="query watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def named(text: str) -> tuple[RecordKind, ...]:
    """The kinds whose names are words of the text: only these are looked for."""
    words = set(re.findall(r"\w+", text.lower()))
    return tuple(kind for kind in RecordKind if kind in words)


class _FileGone(StorageError):
    def __str__(self) -> str:
        return "a file of the archive was deleted while the query read it: ask again"


class _Sources:
    """Where the rows of the named kinds are, as of one moment."""

    def __init__(self, folder: Path, kinds: Sequence[RecordKind], from_ns: int, to_ns: int) -> None:
        self._root = folder / archive.FOLDER
        self.kinds, self.from_ns, self.to_ns = kinds, from_ns, to_ns
        for _ in range(_ATTEMPTS):
            found = catalog.snapshot(folder, kinds, from_ns=from_ns, to_ns=to_ns)
            with ThreadPoolExecutor(2) as pool:  # the digests release the interpreter's lock
                wrong = list(pool.map(self._wrong_with, found.files))
            self.files: list[FileRow] = found.files
            if not self.is_gone():  # else retention was here meanwhile: look again
                break
        skipped = {f"journal block {first_seq}": reason for first_seq, reason in found.damaged}
        skipped |= {file.path: reason for file, reason in zip(found.files, wrong, strict=True) if reason}
        self.blocks: list[BlockRow] = found.blocks
        self.files = [file for file in found.files if file.path not in skipped]
        self.tables = {kind: self._journal(kind, skipped) for kind in kinds}
        self.skipped = tuple(skipped.items())

    def _wrong_with(self, file: FileRow) -> str:
        """ "" = nothing."""
        try:
            archive.examine(self._root / file.path)
        except BlockDamaged as error:
            return error.reason
        return ""

    def _journal(self, kind: RecordKind, skipped: dict[str, str]) -> pa.Table:
        tables = [SCHEMAS[kind].empty_table()]
        for row in self.blocks:
            if row.kind is kind:
                try:
                    tables.append(to_table(row.block()))
                except BlockDamaged as error:
                    skipped[f"journal block {row.first_seq}"] = error.reason
        return pa.concat_tables(tables).filter(within(kind, self.from_ns, self.to_ns))

    def archived(self, kind: RecordKind) -> pyarrow.dataset.Dataset:
        """The files of a kind; of those for other venues and symbols than asked for, not even the footers are read."""
        scanning = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
        form = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=scanning)
        local, field = pyarrow.fs.LocalFileSystem(), pyarrow.dataset.field
        fragments = [
            form.make_fragment(
                str(self._root / file.path),
                local,
                partition_expression=(field("venue") == file.stream.venue)
                & (field("symbol") == file.stream.symbol),
            )
            for file in self.files
            if file.kind is kind
        ]
        return pyarrow.dataset.FileSystemDataset(fragments, SCHEMAS[kind], form, local)

    def is_gone(self) -> bool:
        """Whether a file was deleted since."""
        return any(not (self._root / file.path).exists() for file in self.files)


@contextlib.contextmanager
def _connected(spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": _MEMORY,
            "threads": "2",
            "temp_directory": spill,
            "max_temp_directory_size": _SPILLED,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # else a table's name could be a variable of ours
        },
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _add_view(connection: duckdb.DuckDBPyConnection, kind: RecordKind, sources: _Sources) -> None:
    """The kind's view; of a kind that is not named, an empty table of the same columns."""
    if kind in sources.kinds:
        connection.register(f"archived_{kind}", sources.archived(kind))
        connection.register(f"journal_{kind}", sources.tables[kind])
        between = f" WHERE time_ns >= {sources.from_ns} AND time_ns < {sources.to_ns}"
        if sources.from_ns <= 0 and sources.to_ns == MAX_NS:
            between = ""
        rows = f"{_select(kind)} FROM archived_{kind} UNION ALL {_select(kind)} FROM journal_{kind}"
        connection.execute(f"CREATE VIEW {kind} AS SELECT * FROM ({rows}){between}")  # noqa: S608  names of ours
    else:
        connection.register("nothing", SCHEMAS[kind].empty_table())
        connection.execute(f"CREATE TABLE {kind} AS {_select(kind)} FROM nothing")
        connection.unregister("nothing")


def _select(kind: RecordKind) -> str:
    columns = [f'{_expression(kind, column)} AS "{column.name}"' for column in COLUMNS[kind]]
    columns += [f'"{source}" AS "{name}"' for name, source in exact_of(kind)]
    return f"SELECT {', '.join(columns)}"


def _expression(kind: RecordKind, column: Column) -> str:
    source = f'"{column.source}"' if column.source != ROW_TIME else _time(kind)
    match column.form:
        case "moment":
            return f"make_timestamp({source} // 1000)::TIMESTAMPTZ"
        case "price" | "size":
            return f"{source} / pow(10, {column.form}_decimals)"
        case "prices" | "sizes":
            return f"list_transform({source}, lambda units: units / pow(10, {column.form[:-1]}_decimals))"
        case "rate":
            return f"{source} / 1e12"
        case "notional":
            return f"({source} * pow(2, 40) + notional_low) / pow(10, price_decimals + size_decimals)"
        case "choice":
            cases = " ".join(f"WHEN {value} THEN '{word}'" for value, word in column.words)
            return f"CASE {source} {cases} ELSE '' END"
        case "text":
            return f"{source}::VARCHAR"
        case _:
            return source


def _time(kind: RecordKind) -> str:
    first, *other = time_columns(kind)
    return f'CASE WHEN "{first}" > 0 THEN "{first}" ELSE "{other[0]}" END' if other else f'"{first}"'


def _check(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise BadQuery(_WHAT, "it must be one statement" if statements else "it is empty")
    if statements[0].type not in _READING:
        raise BadQuery(
            _WHAT,
            "it would change something; what only reads can be asked:"
            " SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN",
        )


def _bound(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyRelation | None:
    """The text, understood."""
    try:
        return connection.sql(text)
    except (duckdb.BinderException, duckdb.CatalogException):
        connection.execute(text)  # says the same, and where
        raise


@contextlib.contextmanager
def _explained(sources: _Sources, stop: threading.Event) -> Iterator[None]:
    """DuckDB's errors as ours. What comes through a reader is one of Arrow's, or an OSError without a number."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # whoever takes the rows failed
            raise
        if stop.is_set():
            raise Canceled from None
        if sources.is_gone():
            raise _FileGone from None
        raise BadQuery(_WHAT, sentence_of(str(error))) from None


def sentence_of(message: str) -> str:
    """DuckDB's message in one line, with line and column in place of its drawing."""
    said, _, drawn = message.partition("\n\nLINE ")
    text = " ".join(said.split())
    if text.startswith("INTERRUPT"):
        return "it took too long, and was ended"
    if not drawn:
        return text
    line, _, mark = drawn.partition("\n")
    number = line.partition(":")[0]
    column = mark.find("^") - len(f"LINE {number}: ") + 1
    cut = line.partition(": ")[2].startswith("...")  # of a long line it shows a part
    where = f"line {number}" if cut or column < 1 else f"line {number}, column {column}"
    return f"{text} ({where})"
