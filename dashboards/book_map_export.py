"""CSV of the liquidity heatmap, from the view the browser names; cells are guarded as in `export.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dashboards.sheet import TIMES, check_kept, csv_text, file_name, in_sight, when, x_range
from dashboards.streams import book_map
from dashboards.streams.common import Json
from dashboards.view import View
from engine.market.instruments import Instrument, format_decimal

COLUMNS = (
    *(*TIMES, "price_from", "price_below", "size", "size_unit", "bid_price", "ask_price"),
    *("bought", "bought_price", "sold", "sold_price"),
)


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text): a row for each price row drawn of each column in the visible time range whose size is
    known, sizes to the 7 digits a frame holds of each of its bins; a column that was kept in wider bins stands in
    those. What was bought and sold stands beside the column's first row alone. BadCommand when the page stood still for
    so long that columns of that range are no longer kept.
    """
    low, high = x_range(request.get("range"), dated=True)
    rows = _rows(view, view.book.instrument, low, high) if view.book is not None else ()
    return file_name(view, "book_map", ""), csv_text(COLUMNS, rows)


def _rows(view: View, unit: Instrument, low: float, high: float) -> Iterator[Sequence[Any]]:
    step_ns, ring = book_map.step_ns(view), book_map.ring_of(view)
    found = book_map.columns(book_map.frame_rows(view)[0], step_ns)
    if ring is not None:
        check_kept(view.kept_ns(ring), view.start_ns - view.start_ns % step_ns, step_ns, low)
    rows = book_map.raster_of(found, book_map.asked_units(view))
    if rows is None:
        return
    price, size = unit.price_decimals, unit.size_decimals

    def traded(what: tuple[int, int]) -> tuple[str, str]:
        return (format_decimal(what[0], size), format_decimal(what[1], price)) if what[0] else ("", "")

    for at, start_ns in enumerate(found.starts_ns.tolist()):
        frame = found.frames[at]
        if not in_sight(start_ns, step_ns, low, high) or not found.known[at]:
            continue
        best = [format_decimal(int(frame[side]), price) for side in ("bid", "ask")]
        taken: tuple[str, ...] = (*traded(found.bought[at]), *traded(found.sold[at]))
        cells = book_map.drawn(frame["sizes"], int(frame["step"]), int(frame["first"]), rows)
        for lowest, below, resting in cells:
            yield (
                *when(start_ns),
                *(format_decimal(edge, price) for edge in (lowest, below)),
                format_decimal(round(resting), size),
                unit.size_unit,
                *best,
                *taken,
            )
            taken = ("", "", "", "")
