"""One symbol at several venues over the window: the close of each candle of each, for a chart that starts at 100."""

from __future__ import annotations

from typing import Final

from dashboards.streams.common import Json, head
from dashboards.streams.market import first_candle_ms, joined_of
from dashboards.streams.prices import prices_key
from dashboards.view import NS_A_SECOND, Quoted, View
from engine.market.batches import Rows
from engine.market.candles import roll_up

AGAIN: Final = 3  # candles sent again: trades of a venue whose clock is behind may still come into them
MOST: Final = 8  # lines


def compared(view: View) -> list[Quoted]:
    """The shown books of the symbol, then its other forms, that keep candles: the first eight."""
    return [quote for quote in view.quotes if quote.market is not None][:MOST]


def closes(view: View, quote: Quoted, from_ns: int) -> Rows:
    """One source's CANDLE rows of the page's interval from `from_ns` up to now by the primary source's clock."""
    if quote.market is None:
        raise ValueError("a source without a market has no candles")
    rows = joined_of(view, quote.market, quote.book.candle)[0]
    rows = rows[(rows["ts_open_ns"] >= from_ns) & (rows["ts_open_ns"] <= view.now_ns)]
    return roll_up(rows, view.params.interval_s * NS_A_SECOND)


def close_rows(view: View, from_ns: int) -> tuple[list[int], list[list[int | None]]]:
    """(opening times in ns, per compared book its close at each, in its own price units; None without a trade)."""
    found = [closes(view, quote, from_ns) for quote in compared(view)]
    times = sorted({at for rows in found for at in rows["ts_open_ns"].tolist()})
    columns = []
    for rows in found:
        at = dict(zip(rows["ts_open_ns"].tolist(), rows["close"].tolist(), strict=True))
        columns.append([at.get(time) for time in times])
    return times, columns


def start_ns(view: View) -> int:
    """Opening time of the window's oldest candle."""
    return first_candle_ms(view) * 1_000_000


def indexed(view: View, cursor: Json) -> tuple[Json, Json]:
    """Closes of the candles that are new, and of the newest three again; the page divides by each line's first."""
    books = compared(view)
    minutes = ",".join(
        str(view.heads.get(quote.market.minutes.name, 0)) for quote in books if quote.market is not None
    )
    key = f"{prices_key(view)}|{view.params.interval_s}|{view.params.window_s}|{minutes}"
    step_ns, from_ns = view.params.interval_s * NS_A_SECOND, start_ns(view)
    if cursor.get("k") == key:
        from_ns = max(from_ns, int(cursor["t"]) - AGAIN * step_ns)
    times, columns = close_rows(view, from_ns)
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
            }
            for quote, values in zip(books, columns, strict=True)
        ],
        "step": view.params.interval_s,
        "keep": first_candle_ms(view),
    }
    return stream, {"k": key, "t": times[-1] if times else from_ns}
