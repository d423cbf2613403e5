"""Records as CSV one value at a time: the plain twin of `engine.storage.csv_text`."""

from __future__ import annotations

import base64
import csv
import io
from datetime import UTC, datetime
from typing import Any

from engine.market.instruments import format_decimal
from engine.storage.columns import COLUMNS, NOT_IN_CSV, Column
from engine.storage.names import RecordKind


def lines(kind: RecordKind, rows: list[dict[str, Any]], times: list[int]) -> bytes:
    """The lines of these rows of a table."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for row, time in zip(rows, times, strict=True):
        writer.writerow(
            [_cell(column, row, time) for column in COLUMNS[kind] if column.form not in NOT_IN_CSV]
        )
    return out.getvalue().encode()


def _cell(column: Column, row: dict[str, Any], time: int) -> str:
    value = row[column.source] if column.source else time
    if column.form == "moment":
        second, nanos = divmod(value, 10**9)
        return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
    if column.form == "price":
        return format_decimal(value, row["price_decimals"])
    if column.form == "size":
        return format_decimal(value, row["size_decimals"])
    if column.form == "rate":
        return format_decimal(value, 12)
    if column.form == "notional":
        whole = value * 2**40 + row["notional_low"]
        return format_decimal(whole, row["price_decimals"] + row["size_decimals"])
    if column.form == "choice":
        return dict(column.words).get(value, "")
    if column.form == "number":
        return str(value)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = "base64:" + base64.b64encode(value).decode()
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r", "\0") else value
