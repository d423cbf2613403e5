"""What every CSV shares: guarded cells, the two time columns, the visible range and what is in it, the file's name.

Text cells are guarded against spreadsheets that run formulas (OWASP's list of leading characters); numbers are not
touched.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from dashboards.view import NS_A_SECOND, View
from engine.errors import BadCommand

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")
TIMES: Final = ("time_utc", "epoch_ms")

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV, its cells guarded."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue()


def guarded(cell: Any) -> Any:
    """The cell; text that a spreadsheet might run as a formula gets a quote in front. Exact decimals stay."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) and not _is_number(cell):
        return "'" + cell
    return "" if cell is None else cell


def _is_number(text: str) -> bool:
    digits = text[1:] if text[0] in "+-" else text
    return digits.replace(".", "", 1).isdigit()


def x_range(given: object, *, dated: bool) -> tuple[float, float]:
    """(low, high) of the visible x range; without one, everything. BadCommand for one that cannot be read.

    Times come as epoch ms or as Plotly writes them, `2026-11-20 14:32:08.4161` (UTC).
    """
    if given is None:
        return -np.inf, np.inf
    if not isinstance(given, list) or len(given) != 2:
        raise BadCommand("the range must be two values")
    try:
        low, high = sorted(_epoch_ms(x) if dated and isinstance(x, str) else float(x) for x in given)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadCommand(f"the range {str(given)[:60]} is not two times or numbers") from error
    return low, high


def _epoch_ms(text: str) -> float:
    whole, _, fraction = text.partition(".")
    parsed = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return parsed.timestamp() * 1e3 + (float("0." + fraction) * 1e3 if fraction else 0.0)


def in_sight(start_ns: int, step_ns: int, low: float, high: float) -> bool:
    """Whether any of what is drawn from `start_ns` on, `step_ns` wide, lies between `low` and `high` (epoch ms).

    One that only touches the view's edge is not in it: so a chart shows what it cuts off at the edges, and the CSV
    holds the same. A point has no width and is in sight on the edges, too.
    """
    start, end = start_ns / 1e6, (start_ns + step_ns) / 1e6
    return start < high and end > low if step_ns else low <= start <= high


def check_kept(kept_ns: int, start_ns: int, step_ns: int, low: float) -> None:
    """BadCommand where something that a chart drew from `start_ns` on, in steps of `step_ns` or of points that wide,
    may be in sight above `low` (epoch ms) and rests on rows before `kept_ns` (`View.kept_ns`), which are gone. Rows are
    a second apart at least.
    """
    if kept_ns > start_ns and low * 1e6 < kept_ns + step_ns - NS_A_SECOND:
        raise BadCommand(
            "the oldest of what is shown is no longer kept; zoom in on newer data, or let the page refresh, then export"
        )


def iso(at_ns: int) -> str:
    """UTC ISO 8601 with milliseconds."""
    return np.datetime_as_string(np.datetime64(at_ns // 1_000_000, "ms")).item() + "Z"


def when(at_ns: int) -> tuple[str, int]:
    """The two time columns."""
    return iso(at_ns), at_ns // 1_000_000


# What is of every source, on our own clock, whichever source and moment is looked at.
OF_ALL: Final = frozenset({"throughput", "limits", "tiles", "events", "health", "venues", "listing"})


def file_name(view: View, name: str, part: str) -> str:
    """Source, symbol, chart, window and time: what the file is, in any folder."""
    if view.source is None or name in OF_ALL:
        source, symbol, now_ns = "engine", "all", view.counted_ns
    else:
        source, symbol, now_ns = view.source.source.key.replace(":", "-"), view.symbol or "all", view.now_ns
    chart = f"{name}-{part}" if part else name
    if name == "candles":
        chart += f"-{view.params.interval_s}s"
    if name in ("latency", "latency_map", "distribution") and view.stage is not None:
        chart += f"-{view.stage.stage}"
    at = iso(now_ns)[:19].replace(":", "") + "Z"
    return "_".join(("venuescope", source, symbol, chart, f"{view.params.window_s}s", at)) + ".csv"
