"""The archive's files: where they lie, how they are written and read, and what proves them whole.

A file has rows of one kind and one stream of one UTC date, ascending by `seq`, as Parquet that any tool reads:

    kind=trades/date=2026-11-20/pair=BTC-USDT/venue=binance/1201-98040.parquet

It explains itself: under the metadata key `venuescope` it has its stream, kind, date and extent. In front of its
footer, where Parquet has no meaning for them, lie 40 bytes: a mark and the SHA-256 of everything else in the file.
Parquet's own page checksums leave headers and footer open, and one flipped bit there reads as other rows.

A file appears under its name when all of it is on the disk, or not at all; it never changes afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import string
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from engine.durable_files import make_folder, write_whole
from engine.errors import BlockDamaged
from engine.market.batches import Rows
from engine.storage.arrow import SCHEMAS
from engine.storage.dates import DAY_NS
from engine.storage.dates import date_text as date_text
from engine.storage.names import RecordKind
from engine.storage.records import Stream, filed_times, times_of
from engine.storage.steps import FOLDER as FOLDER
from engine.storage.steps import Written

VERSION: Final = 1
# In a file's path: what a name may have as it is. Names of venues and symbols come from the network.
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "-_.")
_LONGEST: Final = 120  # of a name in a path; 255 bytes is what file systems take
_FILE: Final = re.compile(r"\d{1,19}-\d{1,19}(-\d{1,6})?\.parquet(\.tmp)?")
_KEY: Final = b"venuescope"
_MAGIC: Final = b"PAR1"
_MARK: Final = b"VSSHA256"
_SEAL_BYTES: Final = len(_MARK) + hashlib.sha256().digest_size
_GROUP_ROWS: Final = 131_072  # what a reader can leave out by times or seq
_PIECE_BYTES: Final = 1 << 20
_KNOWN_FILES: Final = 8_192
# Measured over 345 s of Binance futures, bytes a row against pyarrow's defaults: trades 4.9 for 14.5, quotes 7.3 for
# 18.8, deltas 3.2 for 3.9. Numbers that ascend are small as differences; of prices and sizes the bytes repeat.
_ASCENDING: Final = re.compile(r"seq|ts_.*|.*sequence|trade_id|.*_ns")
_FEW: Final = frozenset(("aggressor", "interval_ns", "interval_s"))
_TEXTS: Final = frozenset(("bids", "asks", "text", "reason", "frame"))  # seldom the same twice


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a file says of itself; times are least and greatest of `times_of`."""

    version: int
    kind: RecordKind
    stream: Stream
    date: str
    first_seq: int
    last_seq: int
    rows: int
    first_ns: int
    last_ns: int


def dates_of(kind: RecordKind, rows: Rows) -> Rows:
    """The UTC date of the file each row goes to, as int64 days since 1970."""
    return filed_times(kind, rows) // DAY_NS


def quoted(name: str, instead: str = "") -> str:
    """The name as one part of a path: letters, digits, `-`, `_`, `.` as they are, all else by percent signs.

    `instead` stands for the empty name, and for no other. Never `.` or `..`, never hidden, at most 137 characters;
    no two names give the same.
    """
    if not name:
        return instead
    signs = [sign if sign in _PLAIN else _percent(sign) for sign in name]
    for end in (0, -1):  # one in front hides a file, and Windows drops one at the end
        if signs[end] == "." or name == instead:
            signs[end] = _percent(name[end])
    plain = "".join(signs)
    if len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return plain


def folder_of(kind: RecordKind, date: str, stream: Stream) -> str:
    """Where files of the stream lie, relative to the archive: `pair=all` are of a venue, `venue=engine` of none."""
    pair, venue = quoted(stream.symbol, "all"), quoted(stream.venue, "engine")
    return f"kind={kind}/date={date}/pair={pair}/venue={venue}"


def is_ours(path: str | Path) -> bool:
    """Whether a path is named as `write_file` names files, or drafts of them (`.tmp`)."""
    return _FILE.fullmatch(Path(path).name) is not None


def write_file(
    root: Path,
    kind: RecordKind,
    stream: Stream,
    date: str,
    table: pa.Table,
    *,
    taken: Container[str] = (),
    step: Callable[[str], None] | None = None,
) -> Written:
    """The file on the disk, and its name and its folders too. `table`: SCHEMAS[kind], ascending `seq`, one date.

    Never written over: any file that is there, and the paths in `taken`, which another number is put behind then.
    `step` is told of each point passed, for tests that end the process there. OSError leaves no draft behind.
    """
    passed = step or (lambda _: None)
    sequences = table["seq"].to_numpy()
    times = _times(kind, table)
    info = FileInfo(
        VERSION, kind, stream, date, int(sequences[0]), int(sequences[-1]), len(table),
        int(times.min()), int(times.max()),
    )  # fmt: skip
    folder = folder_of(kind, date, stream)
    path = f"{folder}/{info.first_seq}-{info.last_seq}.parquet"
    again = 1
    while path in taken or (root / path).exists():
        again += 1
        path = f"{folder}/{info.first_seq}-{info.last_seq}-{again}.parquet"
    body, footer = _encoded(table.replace_schema_metadata({_KEY: msgspec.json.encode(info)}))
    inner = hashlib.sha256(body)
    inner.update(footer)
    seal = _MARK + inner.digest()
    whole = hashlib.sha256(body)
    whole.update(seal)
    whole.update(footer)

    def parts() -> Iterator[bytes]:
        passed("begun")
        half = len(body) // 2
        yield body[:half]
        passed("half")
        yield body[half:]
        yield seal
        yield footer
        passed("drafted")

    target = root / path
    make_folder(target.parent)
    write_whole(target, parts())
    passed("renamed")
    return Written(
        path, str(kind), date, info.first_seq, info.last_seq, info.rows, len(body) + len(seal) + len(footer),
        info.first_ns, info.last_ns, whole.hexdigest(),
    )  # fmt: skip


def examine(path: Path) -> FileInfo:
    """What the file says of itself, once every bit of it has proved to be as written. BlockDamaged otherwise.

    Cost: about 1 ms for 2 MB the first time; next to nothing for a file this process knows, unless it has changed.
    """
    with _whole(path) as (_, info):
        return info


def read_file(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """The file's rows in their order: SCHEMAS of its kind, or those `columns` of it in the order given.

    `filters` is an expression of `pyarrow.compute`; row groups that cannot hold such rows are not read. BlockDamaged
    when the file is not as it was written, or is none of ours. Cost: see `examine`, and some 10 M rows/s.
    """
    names = None if columns is None else list(columns)
    with _whole(path) as (file, _):
        table = pq.read_table(file, columns=names, filters=filters, page_checksum_verification=True)
    return (table if names is None else table.select(names)).replace_schema_metadata(None)


def digest_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _percent(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))


def _times(kind: RecordKind, table: pa.Table) -> Rows:
    names = [name for name in table.schema.names if name.startswith("ts_") or name == "from_ns"]
    return times_of(kind, cast(Rows, {name: table[name].to_numpy() for name in names}))


def _encoded(table: pa.Table) -> tuple[bytes, bytes]:
    """(row groups, footer) of the table as Parquet."""
    encodings: dict[str, str] = {}
    dictionaries: list[str] = []
    for field in table.schema:
        name = field.name
        if pa.types.is_list(field.type):
            encodings[f"{name}.list.element"] = "DELTA_BINARY_PACKED"
        elif pa.types.is_timestamp(field.type):
            encodings[name] = "DELTA_BINARY_PACKED"
        elif field.type == pa.int64() and name not in _FEW:
            ascends = _ASCENDING.fullmatch(name)
            encodings[name] = "DELTA_BINARY_PACKED" if ascends else "BYTE_STREAM_SPLIT"
        elif name not in _TEXTS:
            dictionaries.append(name)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, row_group_size=_GROUP_ROWS, compression="zstd", compression_level=3,
        use_dictionary=dictionaries, column_encoding=encodings, write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(table.schema.get_field_index("seq"))],
    )  # fmt: skip
    whole = sink.getvalue().to_pybytes()
    at = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    return whole[:at], whole[at:]


_known: dict[tuple[str, int, int, int], FileInfo] = {}  # the oldest first
_known_lock: Final = threading.Lock()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[tuple[BinaryIO, FileInfo]]:
    """The file, open at its beginning, once it has proved to be whole."""
    try:
        with path.open("rb") as file:
            info = _examined(path, file)
            file.seek(0)
            yield file, info
    except (OSError, pa.ArrowException) as error:
        raise BlockDamaged(str(path), _why(error)) from None


def _examined(path: Path, file: BinaryIO) -> FileInfo:
    status = os.fstat(file.fileno())
    key = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
    with _known_lock:
        known = _known.get(key)
    if known is not None:
        return known
    info = _proved(str(path), file, status.st_size)
    with _known_lock:
        if len(_known) >= _KNOWN_FILES:
            del _known[next(iter(_known))]
        _known[key] = info
    return info


def _proved(path: str, file: BinaryIO, size_bytes: int) -> FileInfo:
    least = len(_MAGIC) + _SEAL_BYTES + 8
    if size_bytes < least:
        raise BlockDamaged(path, "it is cut off, or no Parquet file")
    file.seek(-8, os.SEEK_END)
    tail = file.read(8)
    footer_bytes = int.from_bytes(tail[:4], "little") + 8
    seal_at = size_bytes - footer_bytes - _SEAL_BYTES
    if tail[4:] != _MAGIC or seal_at < len(_MAGIC):
        raise BlockDamaged(path, "it is cut off, or no Parquet file")
    file.seek(seal_at)
    seal = file.read(_SEAL_BYTES)
    if not seal.startswith(_MARK):
        raise BlockDamaged(path, "it is foreign, or damaged: it has no seal of ours")
    digest = hashlib.sha256()
    file.seek(0)
    for left in range(seal_at, 0, -_PIECE_BYTES):
        digest.update(file.read(min(left, _PIECE_BYTES)))
    file.seek(seal_at + _SEAL_BYTES)
    digest.update(file.read())
    if digest.digest() != seal[len(_MARK) :]:
        raise BlockDamaged(path, "its checksum is wrong")
    file.seek(0)
    schema = pq.read_schema(file)
    text = (schema.metadata or {}).get(_KEY, b"")
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
        if version > VERSION:
            raise BlockDamaged(path, f"it is of version {version}, which a newer Venuescope has written")
        info = msgspec.json.decode(text, type=FileInfo)
    except (msgspec.DecodeError, ValueError) as error:
        raise BlockDamaged(path, f"what it says of itself cannot be read: {error}") from None
    if not schema.equals(SCHEMAS[info.kind]):
        raise BlockDamaged(path, f"its columns are not those of {info.kind}")
    return info


class _Versioned(msgspec.Struct):
    version: int


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__
