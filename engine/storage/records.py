"""What is kept: record kinds, their rows, and blocks of them as bytes.

A record is one row with a `seq`: a number the recorder gives, ascending over all kinds and sources, never given
twice. The records of one book change share theirs. Replay follows `seq`; queries order by time, then `seq`. Rows of
differing length (levels, texts, frames) lie in a block's heap, where their `at` points.

Prices and sizes are int64 in the units of the stream's instrument; times int64 ns UTC, 0 where the venue gives none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from engine.errors import BlockDamaged
from engine.market.batches import BBO, CANDLE, FUNDING, TRADE, Rows
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage.names import RecordKind
from engine.telemetry.counters import COUNT
from engine.telemetry.latency_rows import SUMMARY

# `origin` of trades and candles.
STREAMED: Final = 0  # came with the stream, or was made from it
FETCHED: Final = 1  # the venue's own, by REST in the ordinary course
BACKFILLED: Final = 2  # fetched later, for a hole
# `origin` of snapshots.
DELIVERED: Final = 0  # the venue's, as it was delivered
KEYFRAME: Final = 1  # our own synced book at that moment, so that a replay can begin there
# `side` of a level.
BID: Final = 1
ASK: Final = -1
NO_LEVEL: Final = 0  # the change has no levels; its numbers still count
# `state` of a gap.
OPEN: Final = 0
FILLED: Final = 1
PARTLY_FILLED: Final = 2
NOT_RECORDED: Final = 3  # nobody asked for it then

Fields = list[tuple[str, Any]]


def _fields(dtype: np.dtype[Any]) -> Fields:
    assert dtype.names is not None
    return [(name, dtype[name]) for name in dtype.names]


_I8, _I4, _I1 = np.int64, np.int32, np.int8
_SEQ: Final[Fields] = [("seq", _I8)]
DTYPES: Final[Mapping[RecordKind, np.dtype[Any]]] = {
    RecordKind.TRADES: np.dtype([*_SEQ, *_fields(TRADE), ("origin", _I1)]),
    RecordKind.QUOTES: np.dtype([*_SEQ, *_fields(BBO)]),
    RecordKind.DELTAS: np.dtype(
        [
            *_SEQ,
            ("ts_event_ns", _I8),
            ("ts_recv_ns", _I8),
            ("first_sequence", _I8),
            ("last_sequence", _I8),
            ("previous_sequence", _I8),
            ("side", _I1),
            ("price", _I8),
            ("size", _I8),  # absolute; 0 deletes the level
        ]
    ),
    RecordKind.SNAPSHOTS: np.dtype(
        [
            *_SEQ,
            ("ts_event_ns", _I8),
            ("ts_recv_ns", _I8),
            ("last_sequence", _I8),
            ("origin", _I1),
            ("bids", _I4),
            ("asks", _I4),
            ("at", _I8),  # heap: int64 price, size of each bid, then each ask
        ]
    ),
    RecordKind.CANDLES: np.dtype(
        [*_SEQ, ("ts_recv_ns", _I8), ("interval_ns", _I8), ("origin", _I1), *_fields(CANDLE)]
    ),
    RecordKind.FUNDING: np.dtype([*_SEQ, *_fields(FUNDING)]),
    RecordKind.LATENCY: np.dtype(
        [
            *_SEQ,
            ("stage", "S16"),
            *_fields(SUMMARY),
            ("buckets", _I4),
            ("at", _I8),  # heap: int32 bucket, count of each that is not empty
        ]
    ),
    RecordKind.COUNTERS: np.dtype([*_SEQ, *_fields(COUNT)]),
    RecordKind.EVENTS: np.dtype(
        [*_SEQ, ("ts_ns", _I8), ("level", "S8"), ("what", "S24"), ("at", _I8), ("length", _I4)]
    ),
    RecordKind.GAPS: np.dtype(
        [
            *_SEQ,
            ("from_ns", _I8),
            ("to_ns", _I8),
            ("what", "S16"),  # of WHAT, or "all"
            ("state", _I1),
            ("filled", _I8),  # records fetched for it later
            ("at", _I8),  # heap: the reason, UTF-8
            ("length", _I4),
        ]
    ),
    RecordKind.RAW: np.dtype(
        [*_SEQ, ("ts_recv_ns", _I8), ("path", "S64"), ("at", _I8), ("length", _I4)]  # heap: the frame
    ),
}
# Which kinds have something in the heap, and the size of one unit of it that `at` counts in bytes.
HEAPED: Final = frozenset(
    (RecordKind.SNAPSHOTS, RecordKind.LATENCY, RecordKind.EVENTS, RecordKind.GAPS, RecordKind.RAW)
)

FOREIGN_NS: Final = 86_400 * 10**9  # no venue's clock is so far from ours
# What comes as it happens: the venue's time is about ours.
_CAME: Final = frozenset((RecordKind.TRADES, RecordKind.QUOTES, RecordKind.DELTAS, RecordKind.SNAPSHOTS))

_HEAD: Final = struct.Struct("<4sHHIQ")  # magic, version, bytes of a row, rows, bytes of columns and heap
_CRC: Final = struct.Struct("<I")  # CRC-32 of the head and of what is behind this, which is packed
_COLUMN: Final = struct.Struct("<qB")  # its first value, bytes of each of the rest
_MAGIC: Final = b"VSBL"
_PLAIN: Final = b"VSBP"
PLAIN_BYTES: Final = 4_096  # smaller blocks are kept as they are: to pack one takes 60 us, and to unpack it
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """Whose records: one symbol of a venue in one revision of its units, or the venue as a whole.

    `symbol` is "" for the venue as a whole (latency, counters, events, frames), `instrument` None then. `venue` is as
    in `engine.market.batches.Source`; "" = the engine itself. `rule` and `label` are what a replay opens it with.
    """

    venue: str
    symbol: str = ""
    instrument: Instrument | None = None
    rule: Rule | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one kind of one stream, `seq` ascending, with what lies in their heap. Never changed."""

    kind: RecordKind
    stream: Stream
    rows: Rows  # DTYPES[kind]
    heap: bytes = b""

    @property
    def first_seq(self) -> int:
        """The least `seq`."""
        return int(self.rows["seq"][0])

    @property
    def last_seq(self) -> int:
        """The greatest `seq`."""
        return int(self.rows["seq"][-1])

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, about what it takes in the journal."""
        return int(self.rows.nbytes) + len(self.heap)

    @property
    def times_ns(self) -> tuple[int, int]:
        """(least, greatest) of `times_of`."""
        times = times_of(self.kind, self.rows)
        return int(times.min()), int(times.max())

    @property
    def filed_ns(self) -> tuple[int, int]:
        """(least, greatest) of `filed_times`."""
        times = filed_times(self.kind, self.rows)
        return int(times.min()), int(times.max())


def times_of(kind: RecordKind, rows: Rows) -> Rows:
    """When each row happened, int64 ns (n,): the venue's time where it gives one, else ours.

    What queries are asked by. A gap is where it begins; a candle where it opens.
    """
    if kind is RecordKind.CANDLES:
        return rows["ts_open_ns"]
    if kind is RecordKind.GAPS:
        return rows["from_ns"]
    if kind in (RecordKind.LATENCY, RecordKind.COUNTERS, RecordKind.EVENTS):
        return rows["ts_ns"]
    if kind is RecordKind.RAW:
        return rows["ts_recv_ns"]
    return np.where(rows["ts_event_ns"] > 0, rows["ts_event_ns"], rows["ts_recv_ns"])


def filed_times(kind: RecordKind, rows: Rows) -> Rows:
    """`times_of`, but ours where a venue's time cannot be: more than a day from when a row of the stream came.

    What spans and the archive's dates go by: one row of 1970 or 2100 makes no span, and no folder, of its own.
    """
    times = times_of(kind, rows)
    if kind not in _CAME:
        return times
    came = rows["ts_recv_ns"]
    foreign = (came > 0) & (np.abs(times - came) > FOREIGN_NS)
    if kind is RecordKind.TRADES:  # what is fetched may be as old as it likes
        foreign &= rows["origin"] == STREAMED
    return np.where(foreign, came, times)


def encode(rows: Rows, heap: bytes = b"") -> bytes:
    """A block's rows and heap as bytes, with a checksum. 60 ns a row, part of it without the interpreter lock.

    Column by column; of int64 the first value and then the differences, in as few bytes as hold them; of all the first
    bytes, then the second, ...: so zstd leaves about a fifth, and the disk has as much less to do. A small block is
    kept as it is: that takes 1 us, not 60.
    """
    if rows.nbytes + len(heap) < PLAIN_BYTES:
        plain = rows.tobytes() + heap
        head = _HEAD.pack(_PLAIN, VERSION, rows.dtype.itemsize, len(rows), len(plain))
        return head + _CRC.pack(zlib.crc32(plain, zlib.crc32(head))) + plain
    heads, parts = [], []
    for name in rows.dtype.names or ():
        column = np.ascontiguousarray(rows[name])
        first = 0
        if column.dtype == np.int64 and len(column):
            first, column = int(column[0]), np.diff(column)
            column = column.astype(_narrowest(column))
        heads.append(_COLUMN.pack(first, column.itemsize))
        parts.append(column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes())
    packed: bytes = _zstd().compress(b"".join((*heads, *parts, heap)), asbytes=True)
    size = sum(map(len, parts)) + len(heap)
    head = _HEAD.pack(_MAGIC, VERSION, rows.dtype.itemsize, len(rows), size)
    return head + _CRC.pack(zlib.crc32(packed, zlib.crc32(head))) + packed


def decode(kind: RecordKind, data: bytes) -> tuple[Rows, bytes]:
    """(rows, heap) of `encode`. BlockDamaged when a bit of it is not as it was written."""
    start = _HEAD.size + _CRC.size
    if len(data) < start:
        raise BlockDamaged(kind, "it is cut off")
    (crc,) = _CRC.unpack_from(data, _HEAD.size)
    if zlib.crc32(memoryview(data)[start:], zlib.crc32(data[: _HEAD.size])) != crc:
        raise BlockDamaged(kind, "its checksum is wrong")
    magic, version, itemsize, count, size = _HEAD.unpack_from(data)
    dtype = DTYPES[kind]
    if magic not in (_MAGIC, _PLAIN) or version != VERSION or itemsize != dtype.itemsize:
        raise BlockDamaged(kind, f"it is no block of version {VERSION}")
    if magic == _PLAIN:
        return np.frombuffer(data, dtype, count, start).copy(), data[start + count * itemsize :]
    names = dtype.names or ()
    at = _COLUMN.size * len(names)
    whole = _zstd().decompress(memoryview(data)[start:], at + size, asbytes=True)
    rows = np.empty(count, dtype)
    for place, name in enumerate(names):
        first, width = _COLUMN.unpack_from(whole, place * _COLUMN.size)
        held = max(0, count - 1) if dtype[name] == np.int64 else count
        turned = np.frombuffer(whole, np.uint8, held * width, at).reshape(width, held).T
        column = np.ascontiguousarray(turned).reshape(-1)
        if dtype[name] == np.int64:
            if count:
                rows[name][0] = first
                rows[name][1:] = first + np.cumsum(column.view(f"i{width}"), dtype=np.int64)
        else:
            rows[name] = column.view(dtype[name])
        at += held * width
    return rows, whole[at:]


def _narrowest(differences: Rows) -> str:
    """The smallest signed integer that holds them all."""
    if not len(differences):
        return "i1"
    least, greatest = int(differences.min()), int(differences.max())
    return next(
        f"i{size}" for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= least <= greatest < 1 << 8 * size - 1
    )


@cache
def _zstd() -> Any:
    from pyarrow import Codec  # a fifth of a second, which the start of the program does not need

    return Codec("zstd", 1)


def joined(blocks: list[Block]) -> Block:
    """One block of several of the same kind and stream, in their order."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    rows = np.concatenate([block.rows for block in blocks])
    if first.kind in HEAPED:
        at, base = 0, 0
        for block in blocks:
            rows["at"][at : at + len(block.rows)] += base
            at, base = at + len(block.rows), base + len(block.heap)
    return Block(first.kind, first.stream, rows, b"".join(block.heap for block in blocks))


def selected(block: Block, keep: Rows) -> Block:
    """The block with the rows of a boolean mask; the heap is left as it is."""
    return Block(block.kind, block.stream, block.rows[keep], block.heap)
