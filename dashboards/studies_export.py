"""CSV of the Market page's candles with their studies, of its volume profile and of its comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dashboards.export import TIMES, Table, csv_text, file_name, when, x_range
from dashboards.streams import indexed, studies
from dashboards.streams.common import Json
from dashboards.view import NS_A_SECOND, View
from engine.errors import BadCommand
from engine.market.instruments import format_decimal
from engine.market.studies import running_vwap

NAMES: Final = frozenset(("studies", "indexed"))
CANDLE: Final = ("open", "high", "low", "close", "volume", "size_unit", "trades", "provisional")


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
    """Candles in sight, and each study's value at each: exact decimals, as many as the chart was given."""
    rows, columns = studies.study_rows(view)
    vwap = [study for study in view.params.studies if study.kind == "vwap"]
    names = [name for name in columns if name != "vwap.mean"]
    heads = (*TIMES, *CANDLE, *names, *(study.token for study in vwap))
    book = view.book
    if book is None:
        return heads, []
    unit = book.instrument
    averages = running_vwap(rows) if vwap else []
    out: list[Sequence[Any]] = []
    for place, row in enumerate(rows):
        opened_ns = int(row["ts_open_ns"])
        # A candle is in sight while any of it is.
        if opened_ns / 1e6 + view.params.interval_s * 1000 < low or opened_ns / 1e6 > high:
            continue
        prices = (format_decimal(int(row[f]), unit.price_decimals) for f in ("open", "high", "low", "close"))
        traded = (format_decimal(int(row["volume"]), unit.size_decimals), unit.size_unit, int(row["trades"]))
        running = int(place == len(rows) - 1 and book.candle is not None)
        values = [fine(columns[name][place], unit.price_decimals) for name in names]
        if vwap:
            average = averages[place]
            values.append(None if average is None else fine(float(round(average, 2)), unit.price_decimals))
        out.append((*when(opened_ns), *prices, *traded, running, *values))
    return heads, out


def fine(value: float | None, decimals: int) -> str | None:
    """A value in price units to two decimals, as a decimal price."""
    return None if value is None else format_decimal(round(value * 100), decimals + studies.DECIMALS)


def _profile(view: View) -> Table:
    """Every row of the profile, highest price first, as it stands."""
    heads = (*TIMES, "window_s", "from_price", "below_price", "volume", "size_unit", "value_area", "control")
    found, book = studies.volume_profile(view), view.book
    if found is None or book is None or not any(study.kind == "profile" for study in view.params.studies):
        return heads, []
    unit = book.instrument
    return heads, [
        (
            *when(view.now_ns),
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
    bases = [next((close for close in column if close), None) for column in columns]
    step_ms = view.params.interval_s * NS_A_SECOND / 1e6
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
        if low <= at / 1e6 + step_ms and at / 1e6 <= high
        for quote, column, base in zip(books, columns, bases, strict=True)
        if (close := column[place]) is not None and base
    ]
