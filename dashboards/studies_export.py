"""CSV of the Market page's candles with their studies, of its volume profile and of its comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dashboards import candle_cells
from dashboards.sheet import TIMES, Table, csv_text, file_name, in_sight, when, x_range
from dashboards.streams import indexed, studies
from dashboards.streams.common import Json
from dashboards.view import NS_A_SECOND, View
from engine.errors import BadCommand
from engine.market.instruments import format_decimal
from engine.market.studies import running_vwap

NAMES: Final = frozenset(("studies", "indexed"))


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of `request`: `studies`, of it the part "profile", or `indexed`."""
    name, part = str(request.get("chart", "")), str(request.get("part") or "")
    if name not in NAMES or part not in ("", "profile"):
        raise BadCommand(f"there is no chart named {name[:40]!r} with {part[:40]!r}")
    low, high = x_range(request.get("range"), dated=True)
    if name == "indexed":
        table = _indexed(view, low, high)
    elif part == "profile":
        table = _profile(view)
    else:
        table = _studies(view, low, high)
    return file_name(view, f"{name}-{view.params.interval_s}s", part), csv_text(*table)


def _studies(view: View, low: float, high: float) -> Table:
    """Candles in sight, and each study's value at each: exact decimals, as many as the chart was given. A value that
    rests on candles before the oldest kept (some four hours, of which seconds reach a few minutes further) is empty, or
    of a long EMA begun with the oldest, as on a page that is opened now; one that was open when they were there goes on
    showing what it was told.
    """
    rows, columns = studies.study_rows(view)
    vwap = [study for study in view.params.studies if study.kind == "vwap"]
    names = [name for name in columns if name != "vwap.mean"]
    heads = (*TIMES, *candle_cells.COLUMNS, *names, *(study.token for study in vwap))
    book = view.book
    if book is None:
        return heads, []
    candle_cells.check_candles(view, [view.market], -np.inf if vwap else low)  # it begins with the window
    unit, step_ns = book.instrument, view.params.interval_s * NS_A_SECOND
    averages = running_vwap(rows) if vwap else []
    out: list[Sequence[Any]] = []
    for place, (row, cells) in enumerate(zip(rows, candle_cells.cells(view, rows), strict=True)):
        if not in_sight(int(row["ts_open_ns"]), step_ns, low, high):
            continue
        values = [fine(columns[name][place], unit.price_decimals) for name in names]
        if vwap:
            average = averages[place]
            values.append(None if average is None else fine(float(round(average, 2)), unit.price_decimals))
        out.append((*cells, *values))
    return heads, out


def fine(value: float | None, decimals: int) -> str | None:
    """A value in price units to two decimals, as a decimal price."""
    return None if value is None else format_decimal(round(value * 100), decimals + studies.DECIMALS)


def _profile(view: View) -> Table:
    """Every row of the profile, highest price first, as it was sent: made once a second."""
    heads = (*TIMES, "window_s", "from_price", "below_price", "volume", "size_unit", "value_area", "control")
    made, book = view.tables.get("profile"), view.book
    if made is None or made["profile"] is None or book is None:
        return heads, []
    found, unit = made["profile"], book.instrument
    return heads, [
        (
            *when(made["at_ns"]),
            view.params.window_s,
            format_decimal(found.base + place * found.step, unit.price_decimals),
            format_decimal(found.base + (place + 1) * found.step, unit.price_decimals),
            format_decimal(found.volumes[place], unit.size_decimals),
            unit.size_unit,
            int(found.low <= place <= found.high),
            int(place == found.control),
        )
        for place in reversed(range(len(found.volumes)))
    ]


def _indexed(view: View, low: float, high: float) -> Table:
    """Closes in sight and what they are of each source's first in the window."""
    heads = (*TIMES, "source", "symbol", "run", "close", "index")
    books = indexed.compared(view)
    times, columns = indexed.close_rows(view, indexed.start_ns(view))
    # All are of the first close in the window.
    candle_cells.check_candles(view, [quote.market for quote in books], -np.inf)
    bases = [next((close for close in column if close), None) for column in columns]
    step_ns = view.params.interval_s * NS_A_SECOND
    return heads, [
        (
            *when(at),
            quote.source.source.key,
            quote.symbol,
            quote.source.source.run,
            format_decimal(close, quote.book.instrument.price_decimals),
            round(close / base * 100, 4),
        )
        for place, at in enumerate(times)
        if in_sight(at, step_ns, low, high)
        for quote, column, base in zip(books, columns, bases, strict=True)
        if (close := column[place]) is not None and base
    ]
