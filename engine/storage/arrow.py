"""Records as Arrow tables and back: the columns of the archive's files and of every query.

Each kind has the fields of its dtype under the same names, led by `venue`, `symbol`, `revision`, `price_decimals`
and `size_decimals` (int64 units of 10^-decimals stay what they are); what lies in a block's heap becomes a column:

snapshots   bid_price, bid_size, ask_price, ask_size   list<int64>, best first; and, for whoever reads a file with
            other tools, timestamp (ns, UTC), exchange, bids, asks: JSON text [["50000.10","0.5"], ...]
latency     bucket, bucket_count                       list<int32>
events      text                                       string
gaps        reason                                     string
raw         frame                                      binary, to the byte
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from engine.market.batches import LEVEL, Rows
from engine.market.instruments import format_decimal
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, HEAPED, Block, Stream, times_of

HEAD: Final = (
    pa.field("venue", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("symbol", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("revision", pa.int32(), nullable=False),
    pa.field("price_decimals", pa.int8(), nullable=False),
    pa.field("size_decimals", pa.int8(), nullable=False),
)
_LEVELS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
_WORDS: Final = pa.list_(pa.field("item", pa.int64(), nullable=False))
_COUNTS: Final = pa.list_(pa.field("item", pa.int32(), nullable=False))
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
# Fields of the dtype that say where the heap has the rest.
_POINTERS: Final[Mapping[RecordKind, tuple[str, ...]]] = {
    RecordKind.SNAPSHOTS: ("bids", "asks", "at"),
    RecordKind.LATENCY: ("buckets", "at"),
    RecordKind.EVENTS: ("at", "length"),
    RecordKind.GAPS: ("at", "length"),
    RecordKind.RAW: ("at", "length"),
}
_HEAPED: Final[Mapping[RecordKind, tuple[pa.Field, ...]]] = {
    RecordKind.SNAPSHOTS: (
        *(pa.field(name, _WORDS, nullable=False) for name in _LEVELS),
        pa.field("timestamp", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("exchange", _TEXT, nullable=False),
        pa.field("bids", pa.string(), nullable=False),
        pa.field("asks", pa.string(), nullable=False),
    ),
    RecordKind.LATENCY: (
        pa.field("bucket", _COUNTS, nullable=False),
        pa.field("bucket_count", _COUNTS, nullable=False),
    ),
    RecordKind.EVENTS: (pa.field("text", pa.string(), nullable=False),),
    RecordKind.GAPS: (pa.field("reason", pa.string(), nullable=False),),
    RecordKind.RAW: (pa.field("frame", pa.binary(), nullable=False),),
}


def _own(kind: RecordKind) -> list[str]:
    return [name for name in DTYPES[kind].names or () if name not in _POINTERS.get(kind, ())]


def _schema(kind: RecordKind) -> pa.Schema:
    own = [
        pa.field(name, _TEXT if dtype.kind == "S" else pa.from_numpy_dtype(dtype), nullable=False)
        for name in _own(kind)
        for dtype in (DTYPES[kind][name],)
    ]
    return pa.schema([*HEAD, *own, *_HEAPED.get(kind, ())])


SCHEMAS: Final[Mapping[RecordKind, pa.Schema]] = {kind: _schema(kind) for kind in RecordKind}


def to_table(block: Block) -> pa.Table:
    """The block as a table of SCHEMAS[its kind]. Cost: some 20 ns a row; a snapshot 0.5 us a level."""
    kind, rows, stream = block.kind, block.rows, block.stream
    count, unit = len(rows), stream.instrument
    columns: dict[str, Any] = {
        "venue": _same(stream.venue, count),
        "symbol": _same(stream.symbol, count),
        "revision": pa.array(np.full(count, unit.revision if unit else 0, np.int32)),
        "price_decimals": pa.array(np.full(count, unit.price_decimals if unit else 0, np.int8)),
        "size_decimals": pa.array(np.full(count, unit.size_decimals if unit else 0, np.int8)),
    }
    for name in _own(kind):
        values = np.ascontiguousarray(rows[name])
        columns[name] = _words(values) if values.dtype.kind == "S" else pa.array(values)
    if kind is RecordKind.SNAPSHOTS:
        columns |= _books(block)
    elif kind is RecordKind.LATENCY:
        pairs = [_pieces(block, at, 8 * size, np.int32) for at, size in _spans(rows, "buckets")]
        columns["bucket"] = pa.array([pair[0::2] for pair in pairs], _COUNTS)
        columns["bucket_count"] = pa.array([pair[1::2] for pair in pairs], _COUNTS)
    elif kind in HEAPED:
        (field,) = _HEAPED[kind]
        columns[field.name] = _texts(block, field.type)
    schema = SCHEMAS[kind]
    return pa.table([columns[name] for name in schema.names], schema=schema)


def from_table(kind: RecordKind, table: pa.Table) -> tuple[Rows, bytes]:
    """(rows, heap) of a table of SCHEMAS[kind], in its order; whose they are is the caller's to know."""
    rows = np.zeros(len(table), DTYPES[kind])
    for name in _own(kind):
        column = table[name]
        if pa.types.is_dictionary(column.type):
            rows[name] = _bytes_of(column, rows.dtype[name])
        elif pa.types.is_string(column.type):
            rows[name] = [text.encode() for text in column.to_pylist()]
        else:
            rows[name] = column.to_numpy()
    if kind is RecordKind.SNAPSHOTS:
        bids, bid_price = _lists_of(table["bid_price"])
        asks, ask_price = _lists_of(table["ask_price"])
        starts = np.cumsum(bids + asks) - (bids + asks)
        levels = np.empty(len(bid_price) + len(ask_price), LEVEL)
        for places, price, size in (
            (_places(starts, bids), bid_price, "bid_size"),
            (_places(starts + bids, asks), ask_price, "ask_size"),
        ):
            levels["price"][places], levels["size"][places] = price, _lists_of(table[size])[1]
        rows["bids"], rows["asks"], rows["at"] = bids, asks, starts * LEVEL.itemsize
        return rows, levels.tobytes()
    if kind is RecordKind.LATENCY:
        counts, buckets = _lists_of(table["bucket"])
        pairs = np.stack([buckets, _lists_of(table["bucket_count"])[1]], axis=1).astype(np.int32)
        rows["buckets"], rows["at"] = counts, (np.cumsum(counts) - counts) * 8
        return rows, pairs.tobytes()
    if kind not in HEAPED:
        return rows, b""
    texts = table[_HEAPED[kind][0].name].to_pylist()
    parts = [text if isinstance(text, bytes) else text.encode() for text in texts]
    lengths = np.array([len(part) for part in parts], np.int64)
    rows["length"], rows["at"] = lengths, np.cumsum(lengths) - lengths
    return rows, b"".join(parts)


def levels_of(block: Block, place: int) -> tuple[Rows, Rows]:
    """(bids, asks) of one row of snapshots, LEVEL rows, best first; shared memory, not writable."""
    row = block.rows[place]
    bids = int(row["bids"])
    levels = _pieces(block, int(row["at"]), LEVEL.itemsize * (bids + int(row["asks"])), LEVEL)
    return levels[:bids], levels[bids:]


def text_of(block: Block, place: int) -> bytes:
    """What the heap has for one row of events, gaps or raw."""
    row = block.rows[place]
    return block.heap[int(row["at"]) : int(row["at"]) + int(row["length"])]


def _bytes_of(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> Rows:
    """A column of texts by dictionary, as bytes: each word is encoded once."""
    if not len(column):
        return np.empty(0, dtype)
    array = column.unify_dictionaries().combine_chunks()
    words = np.array([word.encode() for word in array.dictionary.to_pylist()], dtype)
    return np.asarray(words[array.indices.to_numpy()])


def _lists_of(column: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """(length of each list, all their values one after another)."""
    lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
    return lengths, pc.list_flatten(column).to_numpy()


def _places(starts: Rows, counts: Rows) -> Rows:
    """start, start + 1, ... of each, `counts` of them."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.repeat(starts - before, counts) + np.arange(int(counts.sum())))


def _same(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def _words(values: Rows) -> pa.Array:
    """Short ASCII texts, as a dictionary."""
    words, places = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(places.astype(np.int32)), pa.array([word.decode() for word in words.tolist()], pa.string())
    )


def _spans(rows: Rows, count: str) -> list[tuple[int, int]]:
    return list(zip(rows["at"].tolist(), rows[count].tolist(), strict=True))


def _pieces(block: Block, at: int, size_bytes: int, dtype: Any) -> Rows:
    return np.frombuffer(block.heap, dtype, size_bytes // np.dtype(dtype).itemsize, at)


def _texts(block: Block, kind: pa.DataType) -> pa.Array:
    pieces = (block.heap[at : at + length] for at, length in _spans(block.rows, "length"))
    if pa.types.is_binary(kind):
        return pa.array(list(pieces), kind)
    return pa.array([piece.decode("utf-8", "replace") for piece in pieces], kind)


def _books(block: Block) -> dict[str, Any]:
    sides: dict[str, list[Any]] = {name: [] for name in (*_LEVELS, "bids", "asks")}
    for place in range(len(block.rows)):
        bids, asks = levels_of(block, place)
        for side, levels in (("bid", bids), ("ask", asks)):
            sides[f"{side}_price"].append(levels["price"])
            sides[f"{side}_size"].append(levels["size"])
            sides[f"{side}s"].append(_json(levels, block.stream))
    found: dict[str, Any] = {name: pa.array(sides[name], _WORDS) for name in _LEVELS}
    found |= {name: pa.array(sides[name], pa.string()) for name in ("bids", "asks")}
    found["timestamp"] = pa.array(times_of(block.kind, block.rows)).cast(pa.timestamp("ns", "UTC"))
    found["exchange"] = _same(block.stream.venue, len(block.rows))
    return found


def _json(levels: Rows, stream: Stream) -> str:
    unit = stream.instrument
    assert unit is not None, "books are of a symbol"
    pairs = [
        (format_decimal(price, unit.price_decimals), format_decimal(size, unit.size_decimals))
        for price, size in levels.tolist()
    ]
    return orjson.dumps(pairs).decode()
