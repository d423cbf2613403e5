"""One poll: what a page asks for, what it gets back, and the views that CSV exports are made from.

The page sends its parameters, among them the streams of what is seen, and the cursors it was given last; it gets what
is new since then of those alone. The server keeps no state for a page but the views it may still ask to export.

Parameters (`params`, JSON object made by `assets/20_state.js`)::

    client    str    random id of this browser tab, at most 32 characters
    symbol    str    "BTC-USDT"; unknown or absent: the first symbol of the primary source
    hidden    [str]  source ids switched off in this browser
    source    str    primary source asked for (depth, candles, tape, latency); absent, hidden or unknown:
                     the first shown source that has the symbol, real ones before simulated ones, and a replay out
                     of the store between them
    window    int    seconds: 60, 300, 900, 3600, or 14400: as far back as is kept
    interval  int    candle interval in seconds: 0 (by window: 1, 1, 5, 15, 60), 1, 5, 60, 300, 900, 3600
    stage     str    latency stage of the percentile charts: "receive" by default
    budget    str    the budget the Limits page looks at ("bybit"); absent or unknown: all
    account   str    the account of the built-in exchange the Exchange page looks at; absent or unknown: the first
    traded    str    the symbol of its order ticket; absent or unknown: the first
    slo       str    a latency threshold in us, as decimal text; absent: none
    amount    str    an amount of quote whose impact the Book page looks at, as decimal text; absent: none
    span      str    how far from the mid the depth reaches, "0.1", "0.5", "1", "5" (%); absent: as its levels do
    group     str    ticks that its levels join, "1" (or absent), "10" or "100"
    rows      str    ticks that a row of the liquidity heatmap is to be, "1" to "10000000"; absent: by what there is
    studies   [str]  studies over the candles, at most 6: "sma-20", "ema-50" (periods 2 to 200), "bb-20-2" (and standard
                     deviations 0.5 to 5), "vwap", "profile"; unknown ones are dropped
    part      str    the stage of its latency chart: "ack" by default
    exview    str    what is seen of the Exchange page; its clients are told while that is "clients", or absent
    histzoom  str    zoom of the History page's calendar: "90d", "30d", "day", "hour"; absent: by what there is
    histat    int    a time (ms) in the stretch it shows; 0 or absent: the newest data
    histwhat  str    what of the recorded it shows, "book"; "" or unknown: book and trades together
    histof    list   [venue, symbol or "", from, to] (ms): the stretch whose coverage is told; absent: none
    streams   [str]  the streams (below) that the page's panels need and that are seen: neither those of panels that are
                     hidden, in another view or under one that fills the page, nor those that cost much of panels far
                     off the screen. One that was not asked for has no cursor, so it begins again when it is seen
    painted   [[float, float|null]]  since the last poll, for each painted refresh: ms from reply to painted
                     frame, ms from newest market event to painted frame (null: none was drawn, or replayed); at
                     most 16

Cursors (`cursors`): an opaque object, returned as it was received; `{}` at first. A changed parameter, a
restarted server or rows lost to a full ring make the stream come again from the beginning (`reset: true`).

Answer::

    v        int     number of this view; an export names the view that was drawn
    epoch    str     changes when the server was restarted
    now      float   server's wall clock, ms UTC (all times are ms UTC as numbers)
    cursors  object
    engine   {state: "compiling"|"running"|"failed", detail: str, kernels: [done, total], uptime_s, rate,
              rate_actual, rate_max, skipped (orders given up to keep up),
              replay: null | {file, speed, state: "opening"|"seeking"|"waiting"|"playing"|"paused"|"ended"|"failed",
              progress (0..1), detail, source (its id, "" before it opened), recorded (out of the store, so that it
              can be sought in), from, to, at (of the stretch, by its own clock; ms or null), events, hash (of them),
              holes: [[from, to]] (where the stretch has nothing, at most 60)},
              store: null | {state: "full"|"failed", detail} (when it does not write)}
    past     null | {source (its id), label, at (its clock), state (the replay's), offset_ms (of the venue's clock
              then, as latencies show it; null: not known), recorded: [of "latency", "counters",
              "events": what is shown as it was recorded; else latencies and counts are of what is played], now:
              [streams asked for that are of now all the same: limits, venues, health, the exchange's]}: the primary
              source is a replay out of the store. What is counted (throughput, tiles, events, stages) is then of that
              source alone, by its own clock: rates are per second as it was recorded, at any speed. While a page
              looks at anything else, that source is not counted
    sources  [{id, venue, label, colour (1..7 | "sim"), run: "sim"|"live"|"replay", state: "live"|"loading"|
              "resyncing"|"stale"|"reconnecting"|"ended"|"error", detail, paused: bool (a replay whose clock
              stands still), shown: bool, age_ms: float|null
              (newest event, by the source's own clock), now (the source's clock), since (ms, when `state` began),
              symbols: [str],
              stages: [str] (its latency stages, the main one first), books: [synced, total], gaps, malformed,
              offset_ms: float|null, agreement: [agreed, checked]}]
    market   {source, symbol, base, quote, size_unit (the base, or "contracts"), price_decimals, size_decimals,
              last (int|null), change (int|null, since the start of the window), change_pct (float|null),
              change_s (seconds it is over: less than the window where less is there; null without it), window}
              null when no source is shown
    venues   [{id ("binance_spot"), source ("binance_spot:live": its source while it is connected), label, venue
              ("Binance"), short ("Spot"), colour, budget (whose limits it spends), state: "off"|"connecting"|
              "live"|"reconnecting", detail (why it is not live), since, next_try (ms or null), books:
              [synced, followed]}]: every live market there is
    bans     [{id (the budget), label, until (ms), reason, waiting (calls)}]: bans that hold now
    alerts   {state: "off"|"running"|"failed", unacknowledged (firings), firing (rules that are true now), newest:
             null | {id (ascending), text (the rule's sentence), source, value (when it fired), started, ended,
             acknowledged (ms or null)}}
    role     "read"|"trade"|"admin" (added by the shell): what this session may do; "read" looks only
    streams  {name: stream}, of those asked for:

Prices and sizes are integers in units of 10^-price_decimals and 10^-size_decimals; latencies are
microseconds (float); null is "no sample". Each stream has `key` (what it is of), `reset` (drop what
you have), `age_ms` (of its newest event; null = none yet), `n` (events behind what is shown), `lost` (rows
overwritten before they were read) and `note`. Streams sent whole once a second come without their data in between.

    depth       {seq, ts, state: "EMPTY"|"BUFFERING"|"SYNCED"|"STALE", levels: [bids, asks], bid, ask,
                 imbalance (-1..1), and unless nothing changed since the cursor: b: {p: [int], q: [int]}, a: {...}
                 (best first, at most 240 levels or groups a side, and where a span is asked for 241 coarser ones past
                 them, from the whole book as the newest second left it; `p` is delta-coded: the first price, then
                 differences; `q` sizes; a group stands at its price away from the mid), tick (price units), step
                 (price units that a level joins), near (240), far (units that a coarser one joins, 0: there are
                 none), reach: [bid, ask] (the deepest prices the book is known to), span (the share of the mid
                 that was asked for, 0: none)}
    candles     {interval (s), seam (candles that open before are the venue's own; null: none is), t, o, h, l, c, v,
                 n_trades, open (t of the running candle or null), vwap (of the window, in
                 price units, to two decimals of them; null without trades),
                 gaps: [[from, to]], keep (drop candles older than this t)}: new or changed candles, upsert by t
    latency     {stage, label, what (is measured), step (s), unit: "us", t, p50, p90, p95, p99, p999 (null: too few
                 samples to tell, fewer than 1 / (1 - p)), max, count, gaps: [[from, to]] (when the source's book was
                 not synced; none for stages of pages), keep}: new rows
    stages      {rows: [{stage, label, what, n, p50, p90, p99, p999, max, spark: [p99 or null, 60]}]},
                 whole, each second
    distribution {nines: [float], us: [float], other: null | {word ("last minute", "all kept"), n, nines, us}}: quantile
                 1-10^-nines over the window, and over another stretch; whole, each second
    latency_map {stage, label, step (s a column), parts (rows an octave: 8, 4, 2, 1), keep, from (ms: nothing older is
                 held; null: all is), t, c: [[row of the first, count, count, ...]]: new columns and those that grew,
                 upsert by t; row 0 is below 8 ns, row 1 + parts * k + j begins at 8 ns * 2^k * (1 + j / parts);
                 slo: null | {us, n (samples of the window surely above), unsure (in the bucket the threshold divides),
                 of, worst: null | {t, s, n, of} (the `s` seconds with the largest share)}: when a second closed}
    throughput  {t, series: [{id, label, colour, run, messages, orders, trades}], keep}: per second, new rows,
                 null before a source was opened; live markets in their own order, then all others, last the
                 orders of the built-in exchange's clients (`clients`; its other rates are null);
                 `n` counts messages and orders; null, as they are, where a past's were not recorded
    trades      {t, p, q, side (1 buy, -1 sell, 0 unknown), id}: oldest first, the newest `market.TAPE_ROWS` a poll
    metrics     {t, bid, ask, imbalance, keep}: one row a second, new rows
    limits      {t, allowed, throttled, refused, waiting (the most at once), step (s), keep: of the chosen budgets,
                 new steps; and whole, each second and when something changed:
                 venues: [{id, label, colour, shown (in this browser), state: "within limits"|"throttling"|"banned",
                 until (of a ban, ms or null), reason, allowed, throttled, waiting, refused: [429s, 418s, 403s],
                 windows: [{name, scope, window_s, used, limit, reserved, foreign (of `used`, by others on this
                 address), resets (ms or null), note}]}], endpoints: [{id, label, colour, endpoint, weight, calls,
                 throttled, waiting, mean_ms, p99_ms, max_ms, refused, status (null: none yet)}], most throttled
                 first, totals: {allowed, throttled, waiting, refused, mean_wait_ms, max_wait_ms} since the start}
    tiles       {t, real, sim, p50, p99, spread, throttled, gaps (60 values each, null where none; latencies in
                 us), figures: {real, sim, p50, p99, stage, stage_label, spread, spread_bp, throttled (calls
                 in the newest second; null: no venue is connected), gaps (since opened), books: [synced, total]},
                 keep}, whole, each second
    events      {rows: [{t, level: "info"|"warn"|"error", source, what, text, about: "limits"|"venue"|""}]}: new
                 rows, at most 200 kept
    health      {tasks: [{name, state, restarts, error, since}], rings: [{name, rows, capacity, written, bytes}],
                 queues: [{name, depth, peak, capacity, dropped}], sources: [{id, label, frames (null: not known of
                 what is replayed out of the store), malformed, gaps,
                 resyncs, dropped, late, levels_dropped, unchecked, agreement: [agreed, checked]}],
                 streams: [{id (the market), label, colour, stream ("" = none yet), state, since, newest, frames,
                 frames_per_s, bytes, subscriptions, reconnects, rotations, stalls, dropped,
                 next_try, reason}], venues: [{id, label, colour, state (connected: its source's), since, offset_ms
                 (venue's clock less ours), round_trip_ms, books_synced, books, gaps, snapshots_waiting, snapshots_done,
                 snapshots_failed, polled, polls_failed, error (the newest failure, "" = none), error_at (ms or null)}]:
                 of connected markets,
                 bad_frames: [{t, source, field, frame}], loop: {lag_p50_ms, lag_p99_ms, lag_max_ms},
                 process: {cpu_pct, rss_bytes, threads, uptime_s, epoch, lost_rows},
                 log: null (off) | {mode, state, sequence (of the next command), durable (likewise), backlog_bytes,
                 refused, snapshots, written_bytes (since the start)},
                 kernels: {state, done, total, seconds, directory}}, whole, each second
    matching    {ts (of the statistics), engine: null | {commands, now (the engine's time), memory_bytes (set aside),
                 resident_bytes (of those, in physical memory; null where the system does not tell)},
                 symbols: [{symbol, phase, resting, waiting, most (open at once), slots, bid_levels, ask_levels,
                 far_bid_levels, far_ask_levels, trades, used}],
                 figures: [{label, unit: ""|"us", n (seconds or batches), last, p50, p99, max, total, spark: [60]}]
                 over the last minute}, whole, each second
    prices      {ages: [float|null] (of the rows), and, when a top of book changed, decimals (of all prices here, the
                 finest of them), rows: [{id, label, colour, run, symbol, same (as the one looked at), why ("" = it
                 counts, else why it is left out), state (of the source), book, bid, bid_size, ask, ask_size,
                 mid2 (bid + ask), spread_bp, diff_bp (mid less the consensus; of live ones), price_decimals,
                 size_decimals, size_unit (its own)}], found: {bid: [price, row]|null, ask, between (best ask less
                 best bid; negative: a venue bids more than another asks), between_bp, consensus4 (four times the
                 median of the mids; null with fewer than two), apart2 (twice the largest difference of mids),
                 apart_bp, lowest, highest (rows), compared (mids), symbol (what is compared: another form of
                 the one looked at where only that has two live books), basis_bp (its consensus less the mid of
                 the one looked at; null where that is compared itself)}}
    mids        {t, series: [{id, label, colour, run, bp: mid less the consensus of that second}], step (s), keep}:
                 per second, new rows; live books of the symbol that is compared alone
    studies     {tokens (of the studies), t, values: {column: [float|null]} (sma-20, ema-50, bb-20-2, bb-20-2.upper,
                 bb-20-2.lower, vwap.mean and vwap.volume (of each candle), in price units to two decimals; null until
                 there are as many candles as its period), keep: new or changed candles' values, upsert by t, and
                 once a second profile: null | {base, step (price units), volumes, control, low, high (rows)}}
    indexed     {t, series: [{id, label, symbol ("" = the one looked at), colour, run, close (in its own price
                 units; null without a trade), gaps: [[from, to]] (of its own book)}], step (s), keep}: candles that
                 are new or changed at any of them, upsert by t; all forms of the symbol, at most 8
    funding     {funding: null | {rate_pct (for one interval), interval_s (or null), apr_pct, next (ms or null),
                 mark (or null), premium_bp (mark less mid), ts, decimals}}
    venues      {rows: [{id, symbols: [{symbol, native, state, waiting (for a snapshot)}], listed (how many can be
                 added), offset_ms, round_trip_ms, streams: [open, all], frames_per_s, snapshots: [waiting, done,
                 failed], polls: [{endpoint, call, interval_s (0 = not polled), last, next, error, done,
                 failed}]}]}, whole, each second and when something changed
    listing     {lists: {market: [symbol]}}: the lists that changed
    exchange    {t, orders, acks, rejects, fills, messages (per second, means of the step), clients (at its end),
                 step (s), keep: new rows; null where nothing was counted; `n` counts the clients' commands since the
                 start; and each of these parts whole when it changed:
                 head: {state: "off"|"starting"|"serving"|"failed", detail, url, order_url, clients, orders, rejected,
                 fills, trades, orders_per_s, acks_per_s, fills_per_s, cut_slow, refused, waiting, measured (there
                 is a latency)}, once a second at least,
                 load (while clients are looked at): {clients: [{id, dialect, use, address, account, since, messages,
                 messages_per_s, orders, in_flight, queue_bytes, sent_bytes, conflated, rejects: [[code, n]]}],
                 rejects: [[code, n]]}, once a second,
                 lists: {symbols: [[symbol, phase]], accounts: [name], keys: [{api_key, account, label, trade,
                 created, used (ms or null)}] (the newest 200), keys_count, faults: [{id, kind, where, rate, done,
                 left (null: no limit), ends (ms or null)}], faults_done: [[kind, n]]},
                 account: null | {name, open_count, open: [order], ended: [order], fills: [{id, order, symbol, side,
                 price, size, fee, fee_asset, maker, t}], balances: [[asset, free, reserved]]}} where an order is
                 {id, client_id, symbol, side, kind, price, trigger, size, filled, average, status, reason, dialect,
                 created, updated}; ids, prices and sizes of orders are text
    exchange_book {symbol, state, seq, and when it changed: base, quote, price_decimals, size_decimals, last,
                 bids: [[price, size]], asks}: the top of the ticket's symbol at the built-in exchange
    exchange_latency {as latency, of one stage of the built-in exchange's clients}
    exchange_stages {rows: [{stage, label, what, n, p50, p90, p95, p99, p999, max}]}, whole, each second
    profile     {profile: null | {state: "running"|"done", started, ends, asked_s, took_s, busy_s, calls, functions,
                 hidden_ms, rows: [[function, where, calls, recursive, own_ms, cumulative_ms, share]],
                 nodes: [[label, where, parent, value_ms, own_ms]]}}, when it changed
    history     {each part whole when it changed, `n` the rows on the disk, `age_ms` of the newest commit:
                 head: {state: "off"|"opening"|"ready"|"full"|"read only"|"failed", detail, folder, recording (venues),
                 journal: null | {rows, bytes, rows_per_s, p50_ms, p99_ms (of commits), commits, pending_rows,
                 pending_bytes, pending_limit, newest, shed: [[kind, rows]], sqlite}, archive: null | {files, rows,
                 bytes, uri, remote, waiting, state, detail, newest, damaged: [[path, reason]]}, free, used, budget
                 (bytes or null), full (ms or null), spans_left_out}, once a second,
                 names: {venue: [label, colour, run]},
                 recorder: {rows: [{venue, open, offered: [symbol], state: "off"|"recording"|"waiting", detail,
                 symbols (asked for; [] = all), what, since, rows, rows_per_s, bytes}], what: [all there is]},
                 holes: [{venue, symbol, what, from, to, reason, state: "open"|"filled"|"partly filled", filled}]: the
                 newest 300, newest first; holes_open: how many of all are not filled,
                 jobs: [{id, name, kind, venue, symbol, from, to, form, state, detail, rows, total (0: not known),
                 size_bytes, started, ended}], newest first,
                 retention: null | {days, budget, used, free, full, deleted, next: [{date, venue, files, bytes, due
                 (null: at the next look), why}]},
                 calendar: {zoom, from, step, cells, what, kinds, order: [[venue, symbol]], left_out},
                 newest: [[from, to]] (the newest recording without a hole, of each row),
                 sessions: [[[from, to]]] (the newest two recordings over short interruptions, newest first, of each),
                 chosen: null | {venue, symbol, from, to, recorded (ms of it), of, holes, lost (ms), rows: [[what,
                 rows, bytes]]} (of the stretch asked for as `histof`),
                 rows: [[place in the order, {runs: [[cells, recorded, fetched later, hole, in part]] (shares of a
                 cell in thousandths), kinds, of (what is measured), shares (the same of the whole stretch so far),
                 holes}]]: those that changed}
    alerts      {state: "off"|"running"|"failed", detail, most (rules), kept (firings); and each of these whole, when it
                 changed: rules: [{id, text (as a sentence), metric, symbol, venue, above, threshold (decimal text),
                 for_s, webhooks: [name], enabled, created}], values: of the rules, in their order: [{id, state: "off"|
                 "no data"|"quiet"|"pending"|"firing", since, value (decimal text), away (from the threshold, likewise;
                 negative past it; "" not known), where (the source), fired, fired_at}], firings: the newest 100, newest
                 first: [{id, rule, text, source, symbol, value, started, ended, acknowledged, deliveries: [{webhook,
                 state: "waiting"|"sending"|"delivered"|"failed"|"unknown", attempts, next, detail, delivered}]}],
                 webhooks: [{name, host, template, delivered, failed, waiting, detail (of the newest failure)}],
                 metrics: [[metric, label, words, unit, of_symbol, example]]}
    impact      {state (of the book, as of depth), rows: [{amount (quote, decimal text), own (the one
                 asked for), buy: walk, sell: walk}]} with walk: null (no mid) | {average, worst (prices, decimal text),
                 bp (from the mid, against the taker), filled (base, decimal text), cost (quote, likewise), levels
                 (used), exhausted (the known book ends before the amount does)}; unchanged since the cursor: no rows
    book_map    {t, bin (price units), first (lowest bin: its prices begin at first * bin), bid, ask (null: not known),
                 bought, sold (sizes that takers took), bought_at, sold_at (mean prices), z (text: a character for each
                 of 128 bins, lowest first, of "0-9A-Za-z-_" as 0 to 63; 0 is nothing, k is
                 most * 10^(5 * ((k - 1) / 62 - 1)) in size units, "." is not known; "" when the column is not), most,
                 step (s a column), gaps: [[from, to]], keep}: new or changed columns, upsert by t; `n` counts the
                 frames behind them; and when it changed raster: null | {first, count, unit (the map is drawn in
                 `count` rows of `unit` price units, the first from first * unit on), bin (the newest column's),
                 asked (price units, 0: no choice), offered (ticks, finest first), tick}
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from dashboards import exchange_streams as exchange
from dashboards import export as exports
from dashboards import history_streams as history
from dashboards.past import past_fields
from dashboards.streams import activity, matching, studies, venues
from dashboards.streams import alerts as alerts_of
from dashboards.streams.common import Json, ms
from dashboards.streams.table import STREAMS
from dashboards.view import NS_A_SECOND, Params, View, Views, look
from engine.errors import BadCommand
from engine.telemetry.board import SourceView
from engine.telemetry.hub import Telemetry

PAINTED_MAX: Final = 16
PAINTED_LIMIT_MS: Final = 60_000.0
RATE_MAX: Final = 1_000_000
JOB: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Engine(Protocol):
    """What pages may ask of the engine; safe from any thread."""

    telemetry: Telemetry

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """Do it; what came of it, where there is something to tell. BadCommand with a sentence when it cannot."""
        ...

    def note_page(self, stage: str, values_ns: list[int]) -> None:
        """Record latencies that pages measured."""
        ...

    def export_path(self, job: str) -> Path | None:
        """The finished file of an export out of the store; None when there is none of that id."""
        ...


class Transport:
    """The one poll, exports and commands, over a running engine. Safe from any thread."""

    def __init__(self, engine: Engine, wall: Callable[[], int] = time.time_ns) -> None:
        self._engine = engine
        self._telemetry = engine.telemetry
        self._wall = wall
        self._views = Views()
        self._streams = STREAMS
        self._lock = threading.Lock()
        self._lost_rows = 0
        self._coverages = history.Coverages()
        self._profiles = studies.Profiles()
        self._tables: dict[str, tuple[Any, Json]] = {}  # of one moment, the same for all pages

    def poll(self, params: dict[str, Any], cursors: dict[str, Any]) -> Json:
        """One answer, as the contract above. Cost: about 0.3 ms when little is new."""
        started = time.perf_counter_ns()
        params, cursors = (given if isinstance(given, dict) else {} for given in (params, cursors))
        asked = Params.of(params, tuple(self._streams))
        wall_ns = self._wall()
        tables = self._tables_of(asked.streams, wall_ns)
        if not exchange.OF_IT.isdisjoint(asked.streams):
            tables[exchange.SOURCE] = exchange.looked(self._telemetry, params, wall_ns)
        if history.NAME in asked.streams:
            tables[history.NAME] = history.looked(self._coverages, self._telemetry, params, wall_ns)
        view = look(self._telemetry, asked, self._views.next_number(), wall_ns, tables)
        view = studies.with_profile(view, self._profiles)
        streams: Json = {}
        places: Json = {}
        for name in asked.streams:
            cursor = cursors.get(name)
            streams[name], places[name] = self._streams[name](
                view, cursor if isinstance(cursor, dict) else {}
            )
        self._views.keep(view)
        lost = sum(stream["lost"] for stream in streams.values())
        if lost:
            with self._lock:
                self._lost_rows += lost
        answer = {
            "v": view.number,
            "epoch": view.epoch,
            "now": ms(view.wall_ns),
            "cursors": places,
            "engine": engine_fields(view, self._telemetry)
            | {
                "replay": history.replay_fields(self._telemetry, self._coverages),
                "store": history.alarm_of(self._telemetry.board.storage),
            },
            "past": past_fields(view, asked.streams),
            "sources": [source_fields(view, source) for source in view.sources],
            "market": market_fields(view),
            "venues": venues.venue_fields(view),
            "bans": venues.ban_fields(view),
            "alerts": alerts_of.alerts_head(view.alerts),
            "streams": streams,
        }
        self._note(params.get("painted"), time.perf_counter_ns() - started)
        return answer

    def export(self, request: dict[str, Any]) -> tuple[str, str]:
        """File name and CSV text of what one panel drew; BadCommand when its view is gone or it has no data."""
        number = request.get("view")
        view = self._views.find(
            str(request.get("client", ""))[:32], number if isinstance(number, int) else -1
        )
        return exports.export(view, request)

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """What came of having the engine do `name`; BadCommand with a sentence when it cannot."""
        return self._engine.command(name, args)

    def download(self, job: str) -> Path:
        """The file of a finished export; BadCommand when there is none of that id, or it is gone."""
        path = self._engine.export_path(job) if JOB.fullmatch(job) else None
        if path is None or not path.is_file():
            raise BadCommand("there is no such export; it may have been forgotten, or failed")
        return path

    def _tables_of(self, streams: Sequence[str], wall_ns: int) -> dict[str, Json]:
        """The tables of those of `streams` that are tables; each is made once for its moment."""
        engine = self._telemetry.board.matching
        makers: dict[str, tuple[Any, Callable[[], Json]]] = {
            "health": (
                wall_ns // NS_A_SECOND,
                lambda: activity.health_tables(self._telemetry, wall_ns, self._lost_rows),
            ),
            "matching": (engine, lambda: matching.matching_tables(self._telemetry, engine)),
        }
        with self._lock:
            for name in makers.keys() & set(streams):
                moment, make = makers[name]
                if name not in self._tables or self._tables[name][0] != moment:
                    self._tables[name] = (moment, make())
            return {name: self._tables[name][1] for name in makers.keys() & set(streams)}

    def _note(self, painted: object, poll_ns: int) -> None:
        draws: list[int] = []
        totals: list[int] = []
        for pair in painted[:PAINTED_MAX] if isinstance(painted, list) else []:
            if isinstance(pair, list) and len(pair) == 2:
                for value, values in zip(pair, (draws, totals), strict=True):
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        values.append(int(min(max(value, 0.0), PAINTED_LIMIT_MS) * 1e6))
        try:
            for stage, values in (("poll", [poll_ns]), ("draw", draws), ("total", totals)):
                if values:
                    self._engine.note_page(stage, values)
        except BadCommand:
            # The engine is stopping or has a full queue, which its own page shows; the answer still counts.
            return


def engine_fields(view: View, telemetry: Telemetry) -> Json:
    """The engine's own state."""
    engine = view.engine
    return {
        "state": engine.state,
        "detail": engine.detail,
        "kernels": [engine.kernels_done, engine.kernels_total],
        "uptime_s": round((view.wall_ns - telemetry.started_ns) / 1e9, 1),
        "rate": engine.rate,
        "rate_actual": round(engine.rate_actual, 1),
        "rate_max": RATE_MAX,
        "skipped": engine.skipped,
    }


def is_paused(view: View, source: SourceView) -> bool:
    """Whether a source is a replay that was paused: its clock, and so the age of its data, stands still."""
    replay = view.engine.replay
    return replay is not None and replay.state == "paused" and replay.source == source.source.key


def source_fields(view: View, source: SourceView) -> Json:
    """One source as the shell shows it."""
    now_ns = source.clock(view.wall_ns)
    return {
        "id": source.source.key,
        "venue": source.source.venue,
        "label": source.label,
        "colour": source.colour,
        "run": source.source.run,
        "state": source.state,
        "detail": source.detail,
        "paused": is_paused(view, source),
        "shown": source in view.shown,
        "age_ms": ms(max(0, now_ns - source.newest_ns)) if source.newest_ns else None,
        "now": ms(now_ns),
        "since": ms(source.since_ns),
        "symbols": list(source.symbols),
        "stages": list(source.stages),
        "books": [source.books_synced, len(source.symbols)],
        "gaps": source.gaps,
        "malformed": source.malformed,
        "offset_ms": ms(source.offset_ns) if source.offset_ns is not None else None,
        "agreement": list(source.agreement),
    }


def market_fields(view: View) -> Json | None:
    """The symbol looked at, its last price and its change over the window."""
    book = view.book
    if view.source is None or book is None:
        return None
    opened = since_ns = 0
    if view.market is not None:
        first = view.place(view.market.candles, view.start_ns)
        rows = view.since(view.market.candles, first, first + 1).rows
        opened, since_ns = rows[["open", "ts_open_ns"]][0].tolist() if len(rows) else (0, 0)
    last = book.last_price
    return {
        "source": view.source.source.key,
        "symbol": view.symbol,
        "base": book.instrument.base,
        "quote": book.instrument.quote,
        "size_unit": book.instrument.size_unit,
        "price_decimals": book.instrument.price_decimals,
        "size_decimals": book.instrument.size_decimals,
        "last": last or None,
        "change": last - opened if last and opened else None,
        "change_pct": round((last - opened) / opened * 100, 3) if last and opened else None,
        "change_s": min(view.params.window_s, max(0, view.now_ns - since_ns) // NS_A_SECOND)
        if last and opened
        else None,
        "window": view.params.window_s,
    }
