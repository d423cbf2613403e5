"""Any Arrow table as text: aligned columns for a terminal, CSV, or JSON, one object a line."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from engine.storage import csv_text

CELL_MOST: Final = 60  # characters of a cell in a terminal
_ONE: Final = ("row", "rows")


def table(batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterable[str]:
    """Lines: the names, a rule, at most `most` rows, numbers to the right, and how many there are in all.

    All batches are gone through; only the rows that are shown are held.
    """
    shown: list[pa.RecordBatch] = []
    rows = kept = 0
    for batch in batches:
        rows += len(batch)
        if kept < most:
            shown.append(batch.slice(0, most - kept))
            kept += len(shown[-1])
    columns = []
    for place, field in enumerate(schema):
        cells = [_cell(cell) for batch in shown for cell in batch.column(place).to_pylist()]
        to_right = _is_number(field.type)
        columns.append(_aligned([_plain(field.name), *cells], to_right))
    lines = [" │ ".join(line) for line in zip(*columns, strict=True)] if columns else []
    for place, line in enumerate(lines):
        yield line.rstrip()
        if place == 0:
            yield "─┼─".join("─" * len(column[0]) for column in columns)
    more = f", the first {kept:,} shown" if kept < rows else ""
    yield f"({rows:,} {_ONE[rows != 1]}{more})"


def csv_lines(batch: pa.RecordBatch) -> str:
    """The rows as CSV: times ISO 8601 UTC, text guarded against formulas, nested values as JSON, nulls empty."""
    columns = [_csv_cells(column) for column in batch.columns]
    return "".join(",".join(cells) + "\n" for cells in zip(*columns, strict=True))


def csv_header(schema: pa.Schema) -> str:
    """The first line."""
    return ",".join(csv_text.cell_text(pa.array(schema.names, pa.string())).to_pylist()) + "\n"


def json_lines(batch: pa.RecordBatch) -> str:
    """One object for each row. What JSON has no word for is text; numbers that are none are null."""
    return "".join(
        json.dumps(row, default=_word, ensure_ascii=False) + "\n" for row in map(_finite, batch.to_pylist())
    )


def _csv_cells(column: pa.Array) -> list[str]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return list(pc.fill_null(column.cast(pa.string()), "").to_pylist())
    if pa.types.is_decimal(kind):  # Arrow would write small ones with an exponent
        return ["" if cell is None else f"{cell:f}" for cell in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        return ["" if cell is None else _cell(cell) for cell in _moments(column)]
    texts = ["" if cell is None else _text(cell) for cell in column.to_pylist()]
    return list(csv_text.cell_text(pa.array(texts, pa.string())).to_pylist())


def _moments(column: pa.Array) -> list[datetime | None]:
    return list(column.cast(pa.timestamp("us", column.type.tz)).to_pylist())


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else str(_word(cell, nested=True))


def _word(cell: Any, *, nested: bool = False) -> Any:
    """What JSON can say of it."""
    if isinstance(cell, datetime):
        return _cell(cell)
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(cell).decode()
    if nested and isinstance(cell, list | dict):
        return json.dumps(_finite(cell), default=_word, ensure_ascii=False)
    return str(cell)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value


def _cell(cell: Any) -> str:
    """For a terminal: one line, nothing that moves its cursor, not too long."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        when = cell.astimezone(UTC) if cell.tzinfo else cell
        return f"{when:%Y-%m-%dT%H:%M:%S.%f}" + ("Z" if cell.tzinfo else "")
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return _plain(_text(cell) if not isinstance(cell, int) else str(cell))


def _plain(text: str) -> str:
    safe = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[: 4 * CELL_MOST])
    return safe if len(safe) <= CELL_MOST else safe[: CELL_MOST - 1] + "…"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _aligned(cells: Sequence[str], to_right: bool) -> list[str]:
    wide = max(map(len, cells))
    align: Callable[[str], str] = (
        (lambda cell: cell.rjust(wide)) if to_right else (lambda cell: cell.ljust(wide))
    )
    return [align(cell) for cell in cells]
