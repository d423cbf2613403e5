"""A candle as the CSVs write it: exact decimals, whether it is still running, and who made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from dashboards.sheet import when
from dashboards.streams import market
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.market.instruments import format_decimal

COLUMNS: Final = (
    *("open", "high", "low", "close", "volume", "size_unit", "trades", "provisional"),
    "made_by",  # "us", "venue" or "venue and us": the venue's own minutes stand before we were connected
)


def cells(view: View, rows: Rows) -> Iterator[Sequence[Any]]:
    """The time columns and `COLUMNS` of each of the view's CANDLE rows, oldest first; none without a book."""
    book = view.book
    if book is None:
        return
    unit, step_ns = book.instrument, view.params.interval_s * NS_A_SECOND
    seam = market.window_rows(view)[1]
    for place, row in enumerate(rows):
        opened_ns = int(row["ts_open_ns"])
        yield (
            *when(opened_ns),
            *(
                format_decimal(int(row[name]), unit.price_decimals)
                for name in ("open", "high", "low", "close")
            ),
            format_decimal(int(row["volume"]), unit.size_decimals),
            unit.size_unit,
            int(row["trades"]),
            int(place == len(rows) - 1 and book.candle is not None),
            "us" if opened_ns >= seam else "venue" if opened_ns + step_ns <= seam else "venue and us",
        )
