"""Streams of one symbol of the primary source: candles, trades, metrics."""

from __future__ import annotations

from typing import Final

import numpy as np

from dashboards.streams.common import (
    LONG_STEP_S,
    LONG_WINDOW_S,
    MINUTE_S,
    Json,
    fresh,
    head,
    ms,
    ms_list,
    source_key,
)
from dashboards.view import FOREVER_NS, NS_A_SECOND, View
from engine.market import metrics as metrics_of
from engine.market import seams
from engine.market.batches import CANDLE, TRADE, Rows
from engine.market.candles import roll_up
from engine.market.seams import with_running
from engine.telemetry.board import BookView
from engine.telemetry.hub import METRIC, MarketRings

TAPE_ROWS: Final = 120  # of a poll, some 4 KB: nobody reads more in a quarter of a second


def market_key(view: View) -> str:
    """What a market stream is of: the source, the symbol, the revision of its units."""
    return f"{source_key(view)}|{view.symbol}|{view.book.instrument.revision if view.book else ''}"


def candle_rows(view: View, cursor: Json | None = None) -> tuple[Rows, Json]:
    """(CANDLE rows rolled up to the page's interval, the next cursor): all of the window, or those that are new or
    changed since a cursor; the one that contains the running second last.
    """
    if view.market is None:
        return np.empty(0, CANDLE), {}
    changed_ns, place = changed(view, view.market, running_of(view), cursor)
    if changed_ns is None:
        return np.empty(0, CANDLE), place
    step_ns = view.params.interval_s * NS_A_SECOND
    from_ns = max(first_candle_ms(view) * 1_000_000, changed_ns - changed_ns % step_ns)
    return roll_up(joined(view, from_ns), step_ns), place


def running_of(view: View) -> Rows | None:
    """The running second of the market looked at, one CANDLE row; None when nothing traded in it."""
    return view.book.candle if view.book is not None else None


def changed(
    view: View, market: MarketRings, running: Rows | None, cursor: Json | None, until_ns: int = FOREVER_NS
) -> tuple[int | None, Json]:
    """(opening time in ns of the oldest second that is new or changed since `cursor`, None where none is, 0 without a
    cursor; the next cursor: the closed seconds and the trades of the running one that were told).

    Those that open after `until_ns` wait until their time has come.
    """
    end = view.heads.get(market.candles.name, 0)
    if until_ns != FOREVER_NS:
        end = view.place(market.candles, until_ns + 1)
        running = None if running is not None and running["ts_open_ns"][0] > until_ns else running
    told = [0, 0] if running is None else running[["ts_open_ns", "trades"]][0].tolist()
    place = {"n": end, "r": str(told)}
    if cursor is None:
        return 0, place
    since = int(cursor["n"])
    # What was overwritten unread is not in the window either.
    closed = market.candles.since(since, end).rows["ts_open_ns"]
    if len(closed):
        return int(closed[0]), place
    if running is not None and cursor["r"] != place["r"]:
        return int(running["ts_open_ns"][0]), place
    return None, place


def joined(view: View, from_ns: int, before: int = 0) -> Rows:
    """CANDLE rows behind the candles of the market looked at, as `joined_of` has them."""
    if view.market is None:
        return np.empty(0, CANDLE)
    return joined_of(view, view.market, running_of(view), from_ns, before)


def joined_of(view: View, market: MarketRings, running: Rows | None, from_ns: int, before: int = 0) -> Rows:
    """CANDLE rows behind a market's candles from `from_ns`, where one opens, and behind at least `before` candles
    ahead of it as far as there are so many; oldest first, `running`, its running second, last.

    Ours are of seconds and begin when the market was connected. For candles of a minute and more, the venue's
    own minutes stand before that, and for the minute in which ours begin, once the venue has closed it. Cost: a copy
    of what comes back.
    """
    interval_s, ring = view.params.interval_s, market.candles
    # A candle is made of at most as many rows as it has seconds; of fewer where some have no trade.
    first = max(0, view.place(ring, from_ns) - before * interval_s)
    if running is not None and not before and running["ts_open_ns"][0] < from_ns:
        running = None
    rows = with_running(view.since(ring, first).rows, running)
    if interval_s < MINUTE_S:
        return rows
    oldest = max(0, ring.head - ring.capacity)
    ours = ring.since(oldest, oldest + 1).rows["ts_open_ns"]
    begun_ns = int(ours[0]) if len(ours) else None
    if before and first <= oldest:
        from_ns = 0
    if begun_ns is not None and begun_ns <= from_ns:
        return rows
    minutes = view.last(market.minutes, market.minutes.capacity)
    return seams.joined(rows, minutes, from_ns, begun_ns)[0]


def seam_of(view: View) -> int:
    """The time in ns before which the window's candles are made of the venue's own minutes; 0 where all are ours."""
    if view.market is None or view.params.interval_s < MINUTE_S:
        return 0
    from_ns, ring = first_candle_ms(view) * 1_000_000, view.market.candles
    oldest = max(0, ring.head - ring.capacity)
    ours = with_running(ring.since(oldest, oldest + 1).rows, running_of(view))
    if len(ours) and ours["ts_open_ns"][0] <= from_ns:
        return 0
    minutes = view.last(view.market.minutes, view.market.minutes.capacity)
    return seams.joined(ours, minutes, from_ns)[1]


def window_key(view: View) -> str:
    """What the candles of the window are of."""
    key = f"{market_key(view)}|{view.params.interval_s}|{view.params.window_s}"
    if (seam := seam_of(view)) and view.market is not None:
        # A minute the venue closed may replace what was drawn, wherever it lies: so all is drawn again.
        key += f"|{seam}|{view.heads.get(view.market.minutes.name, 0)}"
    return key


def candles(view: View, cursor: Json) -> tuple[Json, Json]:
    """Candles that are new or changed; the last is provisional while its second runs."""
    key = window_key(view)
    behind, seam = window_rows(view)
    rows, place = candle_rows(view, cursor if cursor.get("k") == key else None)
    book, running, keep = view.book, running_of(view), first_candle_ms(view)
    opened = 0 if running is None else int(running["ts_open_ns"][0]) // 1_000_000
    opened -= opened % (view.params.interval_s * 1_000)
    stream = head(view, key, cursor, book.last_trade_ns if book else 0, int(behind["trades"].sum())) | {
        "interval": view.params.interval_s,
        "t": ms_list(rows["ts_open_ns"]),
        "o": rows["open"].tolist(),
        "h": rows["high"].tolist(),
        "l": rows["low"].tolist(),
        "c": rows["close"].tolist(),
        "v": rows["volume"].tolist(),
        "n_trades": rows["trades"].tolist(),
        "open": opened if opened >= keep else None,
        "vwap": None if (price := metrics_of.vwap(behind)) is None else round(price, 2),
        "gaps": outages(view),
        "seam": ms(seam) if seam else None,
        "keep": keep,
    }
    return stream, {"k": key} | place


def window_rows(view: View) -> tuple[Rows, int]:
    """(CANDLE rows behind the candles of the window, the running second's last; the seam, as `seam_of` has it)."""
    return joined(view, first_candle_ms(view) * 1_000_000), seam_of(view)


def first_candle_ms(view: View) -> int:
    """Opening time of the oldest candle that lies in the window, even in part."""
    step_ns = view.params.interval_s * NS_A_SECOND
    return (view.start_ns - view.start_ns % step_ns) // 1_000_000


def outages(view: View) -> list[list[float]]:
    """Stretches of the window, [from, to] in ms, in which the book looked at was not synced."""
    return outages_of(view, view.book)


def outages_of(view: View, book: BookView | None) -> list[list[float]]:
    """The same of any book, by its own source's clock; what goes on ends now."""
    found = book.outages if book is not None else ()
    ended = ((start, end or max(start, view.now_ns)) for start, end in found)
    return [[ms(start), ms(end)] for start, end in ended if end > view.start_ns and start < view.now_ns]


def tape(view: View, since: int | None = None) -> tuple[Rows, int]:
    """(TRADE rows after the ring cursor, oldest first, the newest TAPE_ROWS at most; rows lost before)."""
    if view.market is None:
        return np.empty(0, TRADE), 0
    if since is None:
        return view.last(view.market.trades, TAPE_ROWS), 0
    found = view.since(view.market.trades, since)
    return found.rows[-TAPE_ROWS:], found.lost


def trade_times(rows: Rows) -> Rows:
    """Times of trades in ns: the venue's where it gave one, else ours."""
    return np.where(rows["ts_event_ns"] > 0, rows["ts_event_ns"], rows["ts_recv_ns"])


def trades(view: View, cursor: Json) -> tuple[Json, Json]:
    """The newest trades; `n` counts all there were since the cursor, shown or not."""
    key = market_key(view)
    since = int(cursor["n"]) if cursor.get("k") == key else None
    rows, lost = tape(view, since)
    end = view.heads.get(view.market.trades.name, 0) if view.market is not None else 0
    newest = view.book.last_trade_ns if view.book is not None else 0
    stream = head(view, key, cursor, newest, end - (since if since is not None else 0)) | {
        "t": ms_list(trade_times(rows)),
        "p": rows["price"].tolist(),
        "q": rows["size"].tolist(),
        "side": rows["aggressor"].tolist(),
        "id": rows["trade_id"].tolist(),
        "lost": lost,
    }
    return stream, {"k": key, "n": end}


def metric_rows(view: View, rows: Rows) -> Rows:
    """Those of METRIC rows that a chart of the window draws: all, or the last of each 10 s past 15 minutes."""
    rows = rows[rows["ts_ns"] >= view.start_ns]
    if view.params.window_s > LONG_WINDOW_S:
        rows = rows[(rows["ts_ns"] // NS_A_SECOND) % LONG_STEP_S == LONG_STEP_S - 1]
    return rows


def metrics(view: View, cursor: Json) -> tuple[Json, Json]:
    """Best bid and ask and imbalance, new rows; one a second, or one per 10 s past 15 minutes."""
    key = f"{market_key(view)}|{view.params.window_s}"
    rows, place, lost = np.empty(0, METRIC), {"k": key}, 0
    if view.market is not None:
        rows, place, lost = fresh(view, view.market.metrics, cursor, key, view.params.window_s + 2)
    rows = metric_rows(view, rows)
    newest = view.book.ts_recv_ns if view.book is not None else 0
    stream = head(view, key, cursor, newest, len(rows)) | {
        "t": ms_list(rows["ts_ns"]),
        "bid": [price if size else None for price, size in rows[["bid_price", "bid_size"]].tolist()],
        "ask": [price if size else None for price, size in rows[["ask_price", "ask_size"]].tolist()],
        "imbalance": (rows["imbalance_ppm"] / 1e6).round(4).tolist(),
        "keep": view.start_ns // 1_000_000,
        "lost": lost,
    }
    return stream, place
