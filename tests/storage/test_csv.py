"""CSV lines: exact numbers, times to the nanosecond, quotes, and no formulas; against a slow plain twin."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.instruments import format_decimal
from engine.storage import arrow, csv_text
from engine.storage.names import RecordKind
from engine.storage.records import Block, times_of
from tests.reference import csv_plain
from tests.storage.drawn import NOON_NS, STREAM, UNIT, blocks, drawn_block

INT64 = st.integers(-(2**63), 2**63 - 1)
KINDS = list(RecordKind)


def text_of(block: Block) -> bytes:
    return bytes(csv_text.lines(block.kind, arrow.to_table(block), times_of(block.kind, block.rows)))


def plain_of(block: Block) -> bytes:
    times = times_of(block.kind, block.rows).tolist()
    return csv_plain.lines(block.kind, arrow.to_table(block).to_pylist(), times)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_lines_are_those_of_the_plain_twin(kind: RecordKind, data: st.DataObject) -> None:
    block = data.draw(blocks(kind))
    assert text_of(block) == plain_of(block)


@given(st.lists(st.tuples(INT64, st.integers(0, 18)), min_size=1, max_size=40))
def test_decimals_are_exact_whatever_the_number_and_its_units(cells: list[tuple[int, int]]) -> None:
    values, decimals = (
        np.array([value for value, _ in cells], np.int64),
        np.array([d for _, d in cells], np.int8),
    )
    text = csv_text.decimal_text(values, decimals).to_pylist()
    assert text == [format_decimal(value, d) for value, d in cells]
    assert all("E" not in one for one in text)


@given(st.lists(INT64, min_size=1, max_size=20), st.integers(0, 18))
def test_small_numbers_have_no_exponent(values: list[int], decimals: int) -> None:
    small = np.array([value % 2_001 - 1_000 for value in values], np.int64)
    text = csv_text.decimal_text(small, np.full(len(small), decimals, np.int8)).to_pylist()
    assert text == [format_decimal(int(value), decimals) for value in small]


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), min_size=1, max_size=20))
def test_notionals_of_two_words_are_exact(pairs: list[tuple[int, int]]) -> None:
    rows = np.zeros(len(pairs), drawn_block(RecordKind.CANDLES, 1).rows.dtype)
    rows["notional_high"] = [high for high, _ in pairs]
    rows["notional_low"] = [low for _, low in pairs]
    block = Block(RecordKind.CANDLES, STREAM, rows)
    assert text_of(block) == plain_of(block)
    cells = list(csv.DictReader(io.StringIO((csv_text.header(RecordKind.CANDLES) + text_of(block)).decode())))
    for cell, (high, low) in zip(cells, pairs, strict=True):
        assert int(cell["notional"].replace(".", "")) == high * 2**40 + low


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_times_are_iso_to_the_nanosecond(times: list[int]) -> None:
    text = csv_text.moment_text(np.array(times, np.int64)).to_pylist()
    # pandas keeps the least int64 for "no time".
    known = [(one, time) for one, time in zip(text, times, strict=True) if time > -(2**63) + 10**9]
    assert [pd.Timestamp(one).value for one, _ in known] == [time for _, time in known]


def cells_of(texts: list[str]) -> list[str]:
    line = ",".join(csv_text.cell_text(pa.array(texts, pa.string())).to_pylist())
    return next(csv.reader(io.StringIO(line + "\n", newline="")))


@given(st.text(st.characters(codec="utf-8"), max_size=8), st.sampled_from([*csv_text.GUARDED, ""]))
def test_no_text_begins_like_a_formula(rest: str, first: str) -> None:
    text = first + rest
    (cell,) = cells_of([text])[:1] or [""]
    if text[:1] in tuple(csv_text.GUARDED):
        assert cell == "'" + text
    else:
        assert cell == text


@pytest.mark.parametrize("first", [*csv_text.GUARDED])
def test_each_beginning_of_a_formula_is_guarded(first: str) -> None:
    assert cells_of([first + "cmd|' /C calc'!A0", "plain"]) == ["'" + first + "cmd|' /C calc'!A0", "plain"]


def test_a_symbol_that_looks_like_a_formula_is_guarded_and_a_negative_price_is_not() -> None:
    stream = replace(STREAM, symbol='=HYPERLINK("x,y")')
    block = drawn_block(RecordKind.TRADES, 2, stream=stream)
    rows = block.rows.copy()
    rows["price"] = [-150, 0]
    text = csv_text.header(RecordKind.TRADES) + text_of(replace(block, rows=rows))
    cells = list(csv.DictReader(io.StringIO(text.decode())))
    assert [cell["symbol"] for cell in cells] == ["'" + stream.symbol] * 2
    assert [cell["price"] for cell in cells] == ["-1.50", "0.00"]


def test_rows_of_several_units_keep_their_order() -> None:
    finer = replace(STREAM, instrument=replace(UNIT, price_decimals=9, size_decimals=0, revision=1))
    parts = [drawn_block(RecordKind.TRADES, 3), drawn_block(RecordKind.TRADES, 3, seq=4, stream=finer)]
    table = pa.concat_tables([arrow.to_table(part) for part in parts])
    mixed = table.take(pa.array([3, 0, 4, 1, 5, 2]))
    times = np.full(6, NOON_NS)
    assert bytes(csv_text.lines(RecordKind.TRADES, mixed, times)) == csv_plain.lines(
        RecordKind.TRADES, mixed.to_pylist(), times.tolist()
    )


def test_no_rows_are_no_lines() -> None:
    table = arrow.SCHEMAS[RecordKind.TRADES].empty_table()
    assert bytes(csv_text.lines(RecordKind.TRADES, table, np.empty(0, np.int64))) == b""


def test_pandas_reads_numbers_and_times() -> None:
    block = drawn_block(RecordKind.TRADES, 50)
    text = csv_text.header(RecordKind.TRADES) + text_of(block)
    frame = pd.read_csv(io.BytesIO(text), parse_dates=["time"])
    assert frame["price"].dtype == "float64"
    assert frame["size"].dtype == "float64"
    assert frame["price"].tolist() == [price / 100 for price in block.rows["price"].tolist()]
    assert frame["time"].astype("int64").tolist() == times_of(block.kind, block.rows).tolist()
    assert str(frame["time"].dt.tz) == "UTC"


def test_frames_are_text_and_what_is_no_text_is_base64() -> None:
    rows = np.zeros(2, drawn_block(RecordKind.RAW, 1).rows.dtype)
    heap = '{"a":"é, \r\n"}'.encode() + b"\xff\xfe"
    rows["at"], rows["length"] = [0, len(heap) - 2], [len(heap) - 2, 2]
    text = csv_text.header(RecordKind.RAW) + text_of(Block(RecordKind.RAW, STREAM, rows, heap))
    cells = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert [cell["frame"] for cell in cells] == ['{"a":"é, \r\n"}', "base64://4="]
