"""Blocks of records: to bytes and back, to Arrow and back, and what a flipped bit does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BlockDamaged
from engine.market.batches import LEVEL
from engine.storage import arrow
from engine.storage.names import RecordKind
from engine.storage.records import (
    BACKFILLED,
    DTYPES,
    HEAPED,
    PLAIN_BYTES,
    STREAMED,
    decode,
    encode,
    filed_times,
    joined,
    times_of,
)
from tests.storage.drawn import STREAM, blocks, drawn_block

KINDS = list(RecordKind)
DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_bytes_and_back(kind: RecordKind, data: Any) -> None:
    block = data.draw(blocks(kind))
    rows, heap = decode(kind, encode(block.rows, block.heap))
    assert rows.dtype == DTYPES[kind]
    assert rows.tobytes() == block.rows.tobytes()
    assert heap == block.heap


@pytest.mark.parametrize(
    "kind", [RecordKind.TRADES, RecordKind.QUOTES, RecordKind.DELTAS, RecordKind.SNAPSHOTS]
)
def test_a_time_that_cannot_be_is_filed_under_ours_and_kept(kind: RecordKind) -> None:
    block = drawn_block(kind, 4)
    came = block.rows["ts_recv_ns"].copy()
    block.rows["ts_event_ns"] = [1, 4_102_444_800 * 10**9, came[2] - DAY_NS, 0]
    if kind is RecordKind.TRADES:
        block.rows["origin"] = STREAMED
    assert filed_times(kind, block.rows).tolist() == [came[0], came[1], came[2] - DAY_NS, came[3]]
    assert times_of(kind, block.rows).tolist() == [*block.rows["ts_event_ns"][:3].tolist(), came[3]]
    assert block.times_ns == (1, 4_102_444_800 * 10**9)
    assert block.filed_ns == (came[2] - DAY_NS, came[3])


def test_what_is_fetched_is_filed_under_its_own_time_however_old() -> None:
    trades, candles = drawn_block(RecordKind.TRADES, 2), drawn_block(RecordKind.CANDLES, 2)
    trades.rows["ts_event_ns"], trades.rows["origin"] = DAY_NS, BACKFILLED
    candles.rows["ts_open_ns"] = DAY_NS
    assert trades.filed_ns == candles.filed_ns == (DAY_NS, DAY_NS)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_arrow_and_back(kind: RecordKind, data: Any) -> None:
    block = data.draw(blocks(kind))
    table = arrow.to_table(block)
    assert table.schema == arrow.SCHEMAS[kind]
    rows, heap = arrow.from_table(kind, table)
    assert rows.tobytes() == block.rows.tobytes()
    assert heap == block.heap


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**31), seq=st.integers(1, 10**12))
@settings(max_examples=5)
def test_a_large_block_is_packed_and_comes_back(kind: RecordKind, seed: int, seq: int) -> None:
    block = drawn_block(kind, 400, seed=seed, seq=seq)
    assert block.size_bytes > PLAIN_BYTES
    data = encode(block.rows, block.heap)
    assert len(data) < block.size_bytes
    rows, heap = decode(kind, data)
    assert rows.dtype == DTYPES[kind]
    assert rows.tobytes() == block.rows.tobytes()
    assert heap == block.heap


@pytest.mark.parametrize("count", [5, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_seen(kind: RecordKind, count: int) -> None:
    block = drawn_block(kind, count)
    whole = encode(block.rows, block.heap)
    random = np.random.default_rng(3)
    for place in [*range(24), *random.integers(24, len(whole), 100).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        with pytest.raises(BlockDamaged):
            decode(kind, bytes(damaged))
    for length in (0, 5, 24, len(whole) - 1):
        with pytest.raises(BlockDamaged):
            decode(kind, whole[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_joined_blocks_hold_the_rows_of_all(kind: RecordKind) -> None:
    parts = [drawn_block(kind, 3, seq=1), drawn_block(kind, 4, seq=100), drawn_block(kind, 1, seq=900)]
    whole = joined(parts)
    assert arrow.to_table(whole).to_pylist() == [
        row for part in parts for row in arrow.to_table(part).to_pylist()
    ]


def test_books_are_decimal_text_too() -> None:
    rows = np.zeros(1, DTYPES[RecordKind.SNAPSHOTS])
    rows["seq"], rows["ts_recv_ns"], rows["bids"], rows["asks"] = 7, 1_700_000_000_000_000_001, 1, 2
    levels = np.array([(5_000_010, 5), (5_000_020, 1_500), (5_000_030, 7)], LEVEL)
    (row,) = arrow.to_table(
        type(drawn_block(RecordKind.SNAPSHOTS, 1))(RecordKind.SNAPSHOTS, STREAM, rows, levels.tobytes())
    ).to_pylist()
    assert row["bids"] == '[["50000.10","0.005"]]'
    assert row["asks"] == '[["50000.20","1.500"],["50000.30","0.007"]]'
    assert row["exchange"] == "builtin"
    assert row["timestamp"].value == 1_700_000_000_000_000_001


def test_kinds_that_have_a_heap_say_so() -> None:
    assert {kind for kind in RecordKind if "at" in (DTYPES[kind].names or ())} == HEAPED


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_any_numbers_come_back(values: list[int]) -> None:
    rows = np.zeros(len(values), DTYPES[RecordKind.TRADES])
    rows["price"] = values
    rows["size"] = values[::-1]
    found, _ = decode(RecordKind.TRADES, encode(rows))
    assert found.tobytes() == rows.tobytes()


def test_blocks_of_trades_are_small() -> None:
    random = np.random.default_rng(1)
    rows = np.zeros(10_000, DTYPES[RecordKind.TRADES])
    rows["seq"] = np.arange(10_000)
    rows["ts_event_ns"] = rows["ts_recv_ns"] = 1_763_640_000 * 10**9 + np.cumsum(
        random.integers(0, 90_000, 10_000)
    )
    rows["price"] = 6_000_000 + np.cumsum(random.integers(-3, 4, 10_000))
    rows["size"] = random.integers(1, 100_000, 10_000)
    assert len(encode(rows)) < 14 * 10_000
