"""One poll: what a page asks for, what it gets back, and the views that CSV exports are made from.

The page sends its parameters and the cursors it was given last; it gets what is new since then. The server
keeps no state for a page but the views it may still ask to export.

Parameters (`params`, JSON object made by `assets/20_state.js`)::

    client    str    random id of this browser tab, at most 32 characters
    symbol    str    "BTC-USDT"; unknown or absent: the first symbol of the primary source
    hidden    [str]  source ids switched off in this browser
    source    str    primary source asked for (depth, candles, tape, latency); absent, hidden or unknown:
                     the first shown source
    window    int    seconds: 60, 300, 900 or 3600
    interval  int    candle interval in seconds: 0 (by window: 1, 1, 5, 15), 1, 5, 60, 300, 900, 3600
    stage     str    latency stage of the percentile charts: "receive" by default
    streams   [str]  the streams the page's panels need (below)
    painted   [[float, float]]  since the last poll, for each painted refresh: ms from reply to painted frame,
                     ms from newest event to painted frame (at most 16)

Cursors (`cursors`): an opaque object, returned as it was received; `{}` at first. A changed parameter, a
restarted server or rows lost to a full ring make the stream come again from the beginning (`reset: true`).

Answer::

    v        int     number of this view; an export names the view that was drawn
    epoch    str     changes when the server was restarted
    now      float   server's wall clock, ms UTC (all times are ms UTC as numbers)
    cursors  object
    engine   {state: "compiling"|"running"|"failed", detail: str, kernels: [done, total], uptime_s, rate,
              rate_actual, rate_max, replay: null | {file, speed, state, progress (0..1)}}
    sources  [{id, venue, label, colour (1..7 | "sim"), run: "sim"|"live"|"replay", state: "live"|"loading"|
              "resyncing"|"stale"|"ended"|"error", detail, shown: bool, age_ms: float|null (newest event, by
              the source's own clock), now (the source's clock), since (ms, when `state` began), symbols: [str],
              books: [synced, total], gaps, malformed, offset_ms: float|null, agreement: [agreed, checked]}]
    market   {source, symbol, base, quote, price_decimals, size_decimals, last (int|null), change (int|null, since
              the start of the window), change_pct (float|null), window}   null when no source is shown
    streams  {name: stream}, of those asked for:

Prices and sizes are integers in units of 10^-price_decimals and 10^-size_decimals; latencies are
microseconds (float); null is "no sample". Each stream has `key` (what it is of), `reset` (drop what
you have), `age_ms` (of its newest event; null = none yet), `n` (events behind what is shown), `lost` (rows
overwritten before they were read) and `note`.

    depth       {seq, ts, state: "EMPTY"|"BUFFERING"|"SYNCED"|"STALE", levels: [bids, asks], bid, ask, imbalance (-1..1),
                 b: {p: [int], q: [int]}, a: {...}}   best first, at most 240 a side; `p` is delta-coded: the
                 first price, then differences; `q` sizes per level. Unchanged since the cursor: no `b`, `a`.
    candles     {interval (s), t, o, h, l, c, v, n_trades, open (t of the running candle or null),
                 gaps: [[from, to]], keep (drop candles older than this t)}: new or changed candles, upsert by t
    latency     {stage, step (s), unit: "us", t, p50, p90, p95, p99, p999, max, count, keep}: new rows
    stages      {rows: [{stage, label, what, n, p50, p90, p99, p999, max, spark: [p99 or null, 60]}]}, whole, each second
    distribution {nines: [float], us: [float]}: quantile 1-10^-nines over the window, whole, each second
    throughput  {t, series: [{id, label, colour, run, messages, orders, trades}], keep}: per second, new rows
    trades      {t, p, q, side (1 buy, -1 sell, 0 unknown), id}: oldest first, at most 200 a poll
    metrics     {t, bid, ask, imbalance, keep}: one row a second, new rows
    limits      {venues: [{id, label, colour, state, windows: [{name, used, limit, reserved, resets_ms, note}]}],
                 t, allowed, throttled, waiting, totals: {allowed, throttled, waiting, mean_wait_ms, max_wait_ms}, keep}
    tiles       {t, real, sim, p50, p99, spread, throttled, gaps, keep: newest 60 s, one row a second, new rows;
                 figures: {real, sim, p50, p99, spread, spread_bp, throttled, gaps, books: [synced, total]}}
    events      {rows: [{t, level: "info"|"warn"|"error", source, what, text}]}: new rows, at most 200 kept
    health      {tasks: [{name, state, restarts, error, since}], rings: [{name, rows, capacity, written, bytes}],
                 queues: [{name, depth, peak, capacity, dropped}], sources: [{id, label, frames, malformed, gaps,
                 resyncs, dropped, agreement: [agreed, checked]}], loop: {lag_p50_ms, lag_p99_ms, lag_max_ms}, process: {cpu_pct,
                 rss_bytes, threads, uptime_s, epoch}, kernels: {state, done, total, seconds, directory}}, whole, each second
"""
