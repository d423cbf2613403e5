"""A candle as the CSVs write it: exact decimals, whether it is still running, and who made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from dashboards.sheet import check_kept, when
from dashboards.streams import market
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.market.instruments import format_decimal
from engine.telemetry.hub import MarketRings

COLUMNS: Final = (
    *("open", "high", "low", "close", "volume", "size_unit", "trades", "provisional"),
    "made_by",  # "us", "venue" or "venue and us": the venue's own minutes stand before we were connected
)
FIRST_S: Final = 300  # longest first candle that is asked for whole: so much is kept before any window


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


def check_candles(view: View, markets: Iterable[MarketRings | None], low: float) -> None:
    """`check_kept` for the window's candles of the page's interval, which rest on seconds. A first one of 15 minutes or
    more may begin before what is kept: what was gone of it when it was drawn is not asked for.
    """
    step_ns = view.params.interval_s * NS_A_SECOND
    start_ns = max(market.first_candle_ms(view) * 1_000_000, view.start_ns - (FIRST_S - 1) * NS_A_SECOND)
    for rings in markets:
        if rings is not None:
            check_kept(view.kept_ns(rings.candles, "ts_open_ns"), start_ns, step_ns, low)
