"""Records as lines of CSV: exact decimals, ISO 8601 times to the nanosecond, RFC 4180 quotes, no formulas.

Prices and sizes go from whole numbers to text without a float between: 5000010 with two decimals is 50000.10. Text
that a spreadsheet would take for a formula gets a `'` in front; columns of numbers never do. `pandas.read_csv` gives
numbers for the numeric columns and takes `time` with `parse_dates`. Cost: some 0.5 us a row of trades.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.market.batches import Rows
from engine.storage.columns import COLUMNS, NOT_IN_CSV, RATE_DECIMALS, ROW_TIME, Column
from engine.storage.names import RecordKind

GUARDED: Final = "=+-@\t\r\0"  # text that begins with one of these could run as a formula
_COMMA: Final = pa.scalar(",", pa.large_string())
_END: Final = pa.scalar("\n", pa.large_string())
_MARK: Final = pa.scalar("'", pa.large_string())
_QUOTE: Final = pa.scalar('"', pa.large_string())
_RISKY: Final = pa.array(list(GUARDED), pa.large_string())
_NOTHING: Final = pa.scalar("", pa.large_string())
_PLAIN_DECIMALS: Final = 6  # up to here Arrow writes every number without an exponent
_SPECIAL: Final = '[",\r\n]'
_SECOND_NS: Final = 1_000_000_000


def columns_of(kind: RecordKind) -> tuple[Column, ...]:
    """What a line has."""
    return tuple(column for column in COLUMNS[kind] if column.form not in NOT_IN_CSV)


def header(kind: RecordKind) -> bytes:
    """The first line."""
    return (",".join(column.name for column in columns_of(kind)) + "\n").encode()


def lines(kind: RecordKind, table: pa.Table, times: Rows) -> memoryview:
    """The table's rows (SCHEMAS[kind]) as UTF-8 lines, each with its end; `times` is when each happened."""
    if not len(table):
        return memoryview(b"")
    table = table.combine_chunks()
    cells = [_text(column, table, times).cast(pa.large_string()) for column in columns_of(kind)]
    cells[-1] = pc.binary_join_element_wise(cells[-1], _END, _NOTHING)
    # Joined, all lines lie one behind another in one buffer: that is the file.
    whole = pc.binary_join_element_wise(*cells, _COMMA)
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.combine_chunks()
    _, offsets, data = whole.buffers()
    ends = np.frombuffer(offsets, np.int64)[whole.offset :]
    return memoryview(data)[ends[0] : ends[len(whole)]]


def _text(column: Column, table: pa.Table, times: Rows) -> Any:
    if column.source == ROW_TIME:
        return moment_text(times) if column.form == "moment" else pa.array(times)
    source = table[column.source]
    match column.form:
        case "moment":
            return moment_text(source.to_numpy())
        case "price":
            return decimal_text(source.to_numpy(), table["price_decimals"].to_numpy())
        case "size":
            return decimal_text(source.to_numpy(), table["size_decimals"].to_numpy())
        case "rate":
            return decimal_text(source.to_numpy(), np.full(len(table), RATE_DECIMALS, np.int8))
        case "notional":
            decimals = table["price_decimals"].to_numpy() + table["size_decimals"].to_numpy()
            words = notional_words(source.to_numpy(), table["notional_low"].to_numpy())
            return _by_decimals(words, decimals)
        case "choice":
            return choice_text(source.to_numpy(), column)
        case "text":
            return cell_text(source)
        case "frame":
            frames = [_frame_text(frame) for frame in source.to_pylist()]
            return cell_text(pa.array(frames, pa.large_string()))
        case _:
            return source


def cell_text(texts: Any) -> Any:
    """The texts as cells: what a spreadsheet would run has a `'` in front, what needs quotes has them."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if isinstance(texts, pa.DictionaryArray):
        return cell_text(texts.dictionary).take(texts.indices)
    texts = texts.cast(pa.large_string())
    risky = pc.is_in(pc.utf8_slice_codeunits(texts, 0, 1), _RISKY)
    if risky.true_count:
        texts = pc.if_else(risky, pc.binary_join_element_wise(_MARK, texts, _NOTHING), texts)
    special = pc.match_substring_regex(texts, _SPECIAL)
    if special.true_count:
        doubled = pc.replace_substring(texts, '"', '""')
        quoted = pc.binary_join_element_wise(_QUOTE, doubled, _QUOTE, _NOTHING)
        texts = pc.if_else(special, quoted, texts)
    return texts


def choice_text(values: Rows, column: Column) -> pa.Array:
    """The name of each small number; "" for those without."""
    names = pa.array(["", *(word for _, word in column.words)])
    places = np.zeros(len(values), np.int32)
    for place, (value, _) in enumerate(column.words, 1):
        places[values == value] = place
    return names.take(pa.array(places))


def moment_text(times: Rows) -> pa.Array:
    """`2026-11-20T12:00:00.123456789Z` of each time, ns UTC."""
    seconds, nanos = np.divmod(times, _SECOND_NS)
    changes = np.flatnonzero(np.diff(seconds, prepend=seconds[:1] - 1)) if len(seconds) else seconds
    starts = np.datetime_as_string(seconds[changes].astype("M8[s]")).astype("S19")
    letters = np.empty((len(times), 30), np.uint8)
    letters[:, 19], letters[:, 29] = ord("."), ord("Z")
    lengths = np.diff(np.append(changes, len(seconds)))
    letters[:, :19] = np.repeat(starts, lengths).view(np.uint8).reshape(len(times), 19)
    left = nanos.astype(np.uint32)
    for place in range(28, 19, -1):
        left, digit = left // np.uint32(10), left % np.uint32(10)
        letters[:, place] = digit.astype(np.uint8) + ord("0")
    offsets = np.arange(0, 30 * len(times) + 1, 30, dtype=np.int64)
    data = [None, pa.py_buffer(offsets), pa.py_buffer(letters)]
    return pa.Array.from_buffers(pa.large_string(), len(times), data)


def decimal_text(values: Rows, decimals: Rows) -> pa.Array:
    """Each int64 in units of 10^-(its decimals), with all its decimals and never an exponent."""
    words = np.empty((len(values), 2), np.int64)
    words[:, 0], words[:, 1] = values, values >> 63
    return _by_decimals(words, decimals)


def notional_words(high: Rows, low: Rows) -> Rows:
    """high * 2^40 + low, low not negative, as the two words of a 128-bit number: int64 (n, 2), low word first."""
    base = high.astype(np.uint64) << np.uint64(40)
    words = np.empty((len(high), 2), np.int64)
    with np.errstate(over="ignore"):
        least = base + low.astype(np.uint64)
    words[:, 0] = least.view(np.int64)
    words[:, 1] = (high >> 24) + (least < base)
    return words


def _by_decimals(words: Rows, decimals: Rows) -> pa.Array:
    kinds = np.unique(decimals).tolist()
    if len(kinds) == 1:
        return _decimal_text(words, int(kinds[0]))
    parts, order = [], []
    for kind in kinds:  # a symbol changed its units, or there are several symbols
        places = np.flatnonzero(decimals == kind)
        order.append(places)
        parts.append(_decimal_text(np.ascontiguousarray(words[places]), int(kind)))
    back = np.argsort(np.concatenate(order) if order else np.empty(0, np.int64), kind="stable")
    return pa.concat_arrays(parts).take(pa.array(back)) if parts else pa.array([], pa.string())


def _decimal_text(words: Rows, decimals: int) -> pa.Array:
    text = decimals_array(words, decimals).cast(pa.string())
    if decimals <= _PLAIN_DECIMALS:
        return text
    # Arrow writes what is below a millionth, and zero, with an exponent.
    short = pc.match_substring(text, "E")
    if not short.true_count:
        return text
    units = decimals_array(words, 0).filter(short)
    digits = pc.utf8_lpad(pc.abs(units).cast(pa.string()), decimals, "0")
    sign = pc.if_else(pc.less(units, 0), "-0.", "0.")
    return pc.replace_with_mask(text, short, pc.binary_join_element_wise(sign, digits, ""))


def decimals_array(words: Rows, decimals: int) -> pa.Array:
    """128-bit numbers in units of 10^-decimals as Arrow's decimals, without a copy."""
    return pa.Array.from_buffers(pa.decimal128(38, decimals), len(words), [None, pa.py_buffer(words)])


def _frame_text(frame: bytes) -> str:
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(frame).decode()
