"""Streams of one symbol of the primary source: depth, candles, trades, metrics."""

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
from dashboards.view import NS_A_SECOND, View
from engine.market import metrics as metrics_of
from engine.market import seams
from engine.market.batches import CANDLE, TRADE, Rows
from engine.market.candles import roll_up
from engine.market.seams import with_running
from engine.telemetry.hub import IMBALANCE_LEVELS, METRIC, MarketRings

DEPTH_LEVELS: Final = 240
TAPE_ROWS: Final = 200


def market_key(view: View) -> str:
    """What a market stream is of: the source, the symbol, the revision of its units."""
    return f"{source_key(view)}|{view.symbol}|{view.book.instrument.revision if view.book else ''}"


def depth(view: View, cursor: Json) -> tuple[Json, Json]:
    """The book's top levels, whole; without them when nothing changed."""
    key, book = market_key(view), view.book
    if book is None:
        return head(view, key, cursor, 0, 0) | {"state": "EMPTY", "levels": [0, 0]}, {"k": key}
    bids, asks = book.bids[:DEPTH_LEVELS], book.asks[:DEPTH_LEVELS]
    stream = head(view, key, cursor, book.ts_recv_ns, sum(book.counts)) | {
        "seq": book.sequence,
        "ts": ms(book.ts_recv_ns),
        "state": book.state,
        "levels": list(book.counts),
        "bid": int(bids["price"][0]) if len(bids) else None,
        "ask": int(asks["price"][0]) if len(asks) else None,
        "imbalance": rounded(metrics_of.imbalance(bids, asks, IMBALANCE_LEVELS)),
    }
    place = {"k": key, "q": book.sequence, "s": book.state, "r": book.instrument.revision}
    if place != cursor:
        stream |= {"b": coded(bids), "a": coded(asks)}
    return stream, place


def rounded(value: float | None) -> float | None:
    """To four decimals, for the wire."""
    return None if value is None else round(value, 4)


def coded(levels: Rows) -> Json:
    """Levels for the wire: the first price, then differences; sizes as they are."""
    return {"p": np.diff(levels["price"], prepend=0).tolist(), "q": levels["size"].tolist()}


def candle_rows(view: View, since: int | None = None) -> tuple[Rows, int]:
    """(CANDLE rows rolled up to the page's interval, ring cursor): all of the window, or those that changed
    since the ring cursor `since`; the one that contains the running second last.
    """
    if view.market is None:
        return np.empty(0, CANDLE), 0
    ring, step_ns = view.market.candles, view.params.interval_s * NS_A_SECOND
    end = view.heads.get(ring.name, 0)
    from_ns = first_candle_ms(view) * 1_000_000
    running = view.book.candle if view.book is not None else None
    if since is not None:
        changed = view.since(ring, since).rows["ts_open_ns"][:1]
        if len(changed) == 0 and running is not None:
            changed = running["ts_open_ns"]
        if len(changed) == 0:
            return np.empty(0, CANDLE), end
        from_ns = max(from_ns, int(changed[0]) - int(changed[0]) % step_ns)
    rows = joined(view)[0]
    return roll_up(rows[rows["ts_open_ns"] >= from_ns], step_ns), end


def joined(view: View, before: int = 0) -> tuple[Rows, int]:
    """(CANDLE rows behind the candles of the window and of `before` intervals ahead of it, oldest first, the running
    second's last; the time in ns before which they are the venue's own minutes, 0 where all are ours).

    Ours are of seconds and begin when the market was connected. For candles of a minute and more, the venue's
    own minutes stand before that, and for the minute in which ours begin, once the venue has closed it.
    """
    if view.market is None:
        return np.empty(0, CANDLE), 0
    return joined_of(view, view.market, view.book.candle if view.book is not None else None, before)


def joined_of(view: View, market: MarketRings, running: Rows | None, before: int = 0) -> tuple[Rows, int]:
    """The same of any market, `running` being its running second."""
    before_s = before * view.params.interval_s
    # At most one row a second, so the window and the bucket it begins in hold at most this many.
    rows = view.last(market.candles, view.params.window_s + view.params.interval_s + before_s + 2)
    rows = with_running(rows, running)
    if view.params.interval_s < MINUTE_S:
        return rows, 0
    minutes = view.last(market.minutes, market.minutes.capacity)
    return seams.joined(rows, minutes, first_candle_ms(view) * 1_000_000 - before_s * NS_A_SECOND)


def candles(view: View, cursor: Json) -> tuple[Json, Json]:
    """Candles that are new or changed; the last is provisional while its second runs."""
    key = f"{market_key(view)}|{view.params.interval_s}|{view.params.window_s}"
    behind, seam = window_rows(view)
    if seam and view.market is not None:
        # A minute the venue closed may replace what was drawn, wherever it lies: so all is drawn again.
        key += f"|{seam}|{view.heads.get(view.market.minutes.name, 0)}"
    rows, end = candle_rows(view, int(cursor["n"]) if cursor.get("k") == key else None)
    book = view.book
    running = book is not None and book.candle is not None and len(rows) > 0
    stream = head(view, key, cursor, book.last_trade_ns if book else 0, int(behind["trades"].sum())) | {
        "interval": view.params.interval_s,
        "t": ms_list(rows["ts_open_ns"]),
        "o": rows["open"].tolist(),
        "h": rows["high"].tolist(),
        "l": rows["low"].tolist(),
        "c": rows["close"].tolist(),
        "v": rows["volume"].tolist(),
        "n_trades": rows["trades"].tolist(),
        "open": ms_list(rows["ts_open_ns"])[-1] if running else None,
        "vwap": None if (price := metrics_of.vwap(behind)) is None else round(price, 2),
        "gaps": outages(view),
        "seam": ms(seam) if seam else None,
        "keep": first_candle_ms(view),
    }
    return stream, {"k": key, "n": end}


def window_rows(view: View) -> tuple[Rows, int]:
    """(CANDLE rows behind the candles of the window, the running second's last; the seam, as `joined` has it)."""
    rows, seam = joined(view)
    return rows[rows["ts_open_ns"] >= first_candle_ms(view) * 1_000_000], seam


def first_candle_ms(view: View) -> int:
    """Opening time of the oldest candle that lies in the window, even in part."""
    step_ns = view.params.interval_s * NS_A_SECOND
    return (view.start_ns - view.start_ns % step_ns) // 1_000_000


def outages(view: View) -> list[list[float]]:
    """Stretches of the window, [from, to] in ms, in which the book was not synced."""
    found = view.book.outages if view.book is not None else ()
    ended = ((start, end or view.now_ns) for start, end in found)
    return [[ms(start), ms(end)] for start, end in ended if end > view.start_ns]


def tape(view: View, since: int | None = None) -> tuple[Rows, int]:
    """(TRADE rows after the ring cursor, oldest first, the newest 200 at most; rows lost before)."""
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
