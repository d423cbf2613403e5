"""One symbol at several venues over the window: the close of each candle of each, for a chart that starts at 100."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from dashboards.streams.common import MINUTE_S, Json, head, source_key
from dashboards.streams.market import changed, first_candle_ms, joined_of, outages_of
from dashboards.streams.prices import prices_key
from dashboards.view import NS_A_SECOND, Quoted, View
from engine.market.batches import Rows
from engine.market.candles import roll_up

MOST: Final = 8  # lines


def candidates(view: View) -> list[Quoted]:
    """The shown books of the symbol, then its other forms, that keep candles."""
    return [quote for quote in view.quotes if quote.market is not None]


def compared(view: View) -> list[Quoted]:
    """Those that are drawn: the first eight."""
    return candidates(view)[:MOST]


def closes(view: View, quote: Quoted, from_ns: int) -> Rows:
    """One source's CANDLE rows of the page's interval from `from_ns` up to now by the primary source's clock."""
    if quote.market is None:
        raise ValueError("a source without a market has no candles")
    rows = joined_of(view, quote.market, quote.book.candle, from_ns)
    rows = rows[: np.searchsorted(rows["ts_open_ns"], view.now_ns, "right")]
    return roll_up(rows, view.params.interval_s * NS_A_SECOND)


def close_rows(
    view: View, from_ns: int, since: Sequence[int | None] | None = None
) -> tuple[list[int], list[list[int | None]]]:
    """(opening times in ns, per compared book its close at each, in its own price units; None without a trade).

    Times from `from_ns` at which any book has one; with `since`, when each book's oldest changed candle opens (None:
    none changed), only those at which one changed.
    """
    found = [closes(view, quote, from_ns) for quote in compared(view)]
    since = [from_ns] * len(found) if since is None else since
    times = sorted(
        {
            at
            for rows, oldest_ns in zip(found, since, strict=True)
            if oldest_ns is not None
            for at in rows["ts_open_ns"].tolist()
            if at >= oldest_ns
        }
    )
    columns = []
    for rows in found:
        at = dict(zip(rows["ts_open_ns"].tolist(), rows["close"].tolist(), strict=True))
        columns.append([at.get(time) for time in times])
    return times, columns


def changes(
    view: View, books: Sequence[Quoted], cursors: Sequence[Json]
) -> tuple[list[int | None], list[Json]]:
    """(per book the opening time in ns of its oldest candle that is new or changed since its own cursor, None where
    none is; the next cursors). Clocks of venues differ, so that none can stand for another's.
    """
    step_ns, oldest_ns = view.params.interval_s * NS_A_SECOND, start_ns(view)
    since: list[int | None] = []
    places: list[Json] = []
    for place, quote in enumerate(books):
        if quote.market is None:
            raise ValueError("a source without a market has no candles")
        cursor = cursors[place] if cursors else None
        at_ns, told = changed(view, quote.market, quote.book.candle, cursor, view.now_ns)
        since.append(None if at_ns is None else max(oldest_ns, at_ns - at_ns % step_ns))
        places.append(told)
    return since, places


def start_ns(view: View) -> int:
    """Opening time of the window's oldest candle."""
    return first_candle_ms(view) * 1_000_000


def indexed(view: View, cursor: Json) -> tuple[Json, Json]:
    """Closes of the candles that are new or changed at any venue; the page divides by each line's first."""
    books = compared(view)
    key = f"{source_key(view)}|{prices_key(view)}|{view.params.interval_s}|{view.params.window_s}"
    if view.params.interval_s >= MINUTE_S:
        # A minute a venue closed may stand before what we made, wherever it lies.
        heads = (view.heads.get(quote.market.minutes.name, 0) for quote in books if quote.market is not None)
        key += f"|{','.join(map(str, heads))}"
    held = cursor.get("k") == key
    since, places = changes(view, books, cursor["at"] if held else ())
    oldest_ns = min((at for at in since if at is not None), default=None)
    times, columns = ([], [[] for _ in books]) if oldest_ns is None else close_rows(view, oldest_ns, since)
    newest = max((quote.book.last_trade_ns for quote in books), default=0)
    stream = head(view, key, cursor, min(newest, view.now_ns), len(books)) | {
        "t": [at // 1_000_000 for at in times],
        "series": [
            {
                "id": f"{quote.source.source.key} {quote.symbol}",
                "label": quote.source.label,
                "symbol": "" if quote.symbol == view.symbol else quote.symbol,
                "colour": quote.source.colour,
                "run": quote.source.source.run,
                "close": values,
                "gaps": outages_of(view, quote.book),
            }
            for quote, values in zip(books, columns, strict=True)
        ],
        "note": f"the first {MOST} of {found} books" if (found := len(candidates(view))) > MOST else "",
        "step": view.params.interval_s,
        "keep": first_candle_ms(view),
    }
    return stream, {"k": key, "at": places}
