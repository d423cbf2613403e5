"""Blocks made up for tests: seeded, of every kind, their heaps as the recorder lays them out."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block, Stream

UNIT = Instrument("builtin", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")
STREAM = Stream("builtin", "BTC-USDT", UNIT, Rule.BINANCE_SPOT, "Built-in exchange")
WHOLE = Stream("builtin", label="Built-in exchange")
OF_A_VENUE = (RecordKind.LATENCY, RecordKind.COUNTERS, RecordKind.EVENTS, RecordKind.RAW)
NOON_NS = 1_763_640_000 * 10**9  # 2025-11-20 12:00 UTC


def drawn_block(
    kind: RecordKind,
    count: int,
    *,
    seq: int = 1,
    seed: int = 1,
    at_ns: int = NOON_NS,
    stream: Stream | None = None,
) -> Block:
    """`count` rows, `seq` and times ascending from those given, a millisecond apart."""
    random = np.random.default_rng([seed, seq, list(RecordKind).index(kind)])
    rows = np.zeros(count, DTYPES[kind])
    for name in rows.dtype.names or ():
        dtype = rows.dtype[name]
        if dtype.kind == "S":
            rows[name] = random.choice([b"receive", b"all", b"x"], count)
        else:
            rows[name] = random.integers(0, 100, count)
    for name in rows.dtype.names or ():
        if name.startswith("ts_") or name == "from_ns":
            rows[name] = at_ns + np.arange(count) * 1_000_000
    rows["seq"] = seq + np.arange(count)
    heap = b""
    if kind is RecordKind.SNAPSHOTS:
        sizes, heap = 16 * (rows["bids"] + rows["asks"]), b""
        heap = random.integers(1, 10**9, int(sizes.sum()) // 8).astype(np.int64).tobytes()
    elif kind is RecordKind.LATENCY:
        sizes = 8 * rows["buckets"]
        heap = random.integers(1, 1_000, int(sizes.sum()) // 4).astype(np.int32).tobytes()
    elif "length" in (rows.dtype.names or ()):
        sizes = rows["length"]
        heap = bytes(random.integers(32, 127, int(sizes.sum())).astype(np.uint8))
    if heap or "at" in (rows.dtype.names or ()):
        rows["at"] = np.append(0, np.cumsum(sizes)[:-1])
    of = stream or (WHOLE if kind in OF_A_VENUE else STREAM)
    return Block(kind, of, rows, heap)


@st.composite
def blocks(draw: Any, kind: RecordKind) -> Block:
    """Drawn blocks of 1 to 40 rows."""
    return drawn_block(
        kind,
        draw(st.integers(1, 40)),
        seq=draw(st.integers(1, 10**12)),
        seed=draw(st.integers(0, 2**31)),
    )
