"""Figures for Prometheus, read from telemetry when they are asked for: nothing is counted twice.

Labels are bounded: sources, venues and what the program itself names; of symbols only whether their book is good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.api.counts import BOUNDS_S, ApiView
from engine.telemetry.board import Board, ExchangeView
from engine.telemetry.histogram import QUANTILES
from engine.telemetry.hub import BUDGET_BYTES, Telemetry

KEPT_NS: Final = 500_000_000  # a text is handed out again for so long
LATENCY_NAMES: Final = ("p50", "p90", "p95", "p99", "p999")
SOURCE_STATES: Final = ("loading", "live", "resyncing", "stale", "reconnecting", "ended", "error")
COUNTED: Final = (
    ("messages", "Frames received from outside"),
    ("trades", "Trades"),
    ("orders", "Commands matched by the built-in exchange"),
    ("rejects", "Of those, refused"),
    ("size_bytes", "Bytes received"),
    ("skipped", "Orders due but given up, to keep up"),
)
Rows = Iterable[tuple[tuple[str, ...], float]]
Extra = Callable[[], Iterable[tuple[str, Literal["counter", "gauge"], str, float]]]  # name, kind, help, value


class Metrics:
    """The text of `/metrics`. `api` gives the server's counters; `extra` further figures without labels, by name."""

    def __init__(
        self,
        telemetry: Telemetry,
        api: Callable[[], ApiView | None] = lambda: None,
        extra: Extra = lambda: (),
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(telemetry, api, extra))
        self._text, self._made_ns = b"", 0

    def text(self, now_ns: int) -> bytes:
        """All figures in Prometheus' text format; at most half a second old."""
        if not 0 <= now_ns - self._made_ns < KEPT_NS or not self._text:
            self._text, self._made_ns = generate_latest(self._registry), now_ns
        return self._text


class _Figures(Collector):
    def __init__(self, telemetry: Telemetry, api: Callable[[], ApiView | None], extra: Extra) -> None:
        self._telemetry, self._api, self._extra = telemetry, api, extra

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what there is depends on what runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, each read at once."""
        board = self._telemetry.board
        yield from _program(self._telemetry, board)
        yield from _sources(self._telemetry, board)
        yield from _limits(board)
        yield from _rings(self._telemetry)
        yield from _storage(board)
        yield from _gateway(board.exchange)
        yield from _latency(self._telemetry)
        api = self._api()
        if api is not None:
            yield from _served(api)
        for name, kind, text, value in self._extra():
            yield (_count if kind == "counter" else _gauge)(name, text, (), [((), value)])


def _count(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = CounterMetricFamily(f"venuescope_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"venuescope_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _program(telemetry: Telemetry, board: Board) -> Iterator[Metric]:
    yield _gauge("engine_running", "Whether the engine runs", (), [((), board.engine.state == "running")])
    yield _gauge(
        "start_time_seconds", "When it started, seconds since 1970", (), [((), telemetry.started_ns / 1e9)]
    )
    process = board.process
    if process is not None:
        yield _gauge(
            "process_cpu_ratio", "Of one core, over the last second", (), [((), process.cpu_pct / 100)]
        )
        yield _gauge("process_resident_bytes", "Memory", (), [((), process.rss_bytes)])
        yield _gauge("process_threads", "Threads", (), [((), process.threads)])
    tasks = [((task.name,), task) for task in board.tasks]
    yield _gauge(
        "task_running",
        "Whether a task runs",
        ("task",),
        [(key, task.state == "running") for key, task in tasks],
    )
    yield _count(
        "task_restarts", "Restarts after failures", ("task",), [(key, task.restarts) for key, task in tasks]
    )
    queues = [((queue.name,), queue) for queue in board.queues]
    yield _gauge(
        "queue_depth", "What waits in a queue", ("queue",), [(key, queue.depth) for key, queue in queues]
    )
    yield _gauge(
        "queue_capacity", "What it can hold", ("queue",), [(key, queue.capacity) for key, queue in queues]
    )
    yield _count(
        "queue_dropped", "What found no room", ("queue",), [(key, queue.dropped) for key, queue in queues]
    )


def _sources(telemetry: Telemetry, board: Board) -> Iterator[Metric]:
    label, found = ("source",), [((view.source.key,), view) for view in board.sources]
    yield _gauge(
        "source_state",
        "1 for the state that a source is in",
        ("source", "state"),
        [((key[0], state), view.state == state) for key, view in found for state in SOURCE_STATES],
    )
    yield _gauge(
        "source_symbols", "Symbols followed", label, [(key, len(view.symbols)) for key, view in found]
    )
    yield _gauge(
        "source_books_synced",
        "Books known to be as at the venue",
        label,
        [(key, view.books_synced) for key, view in found],
    )
    yield _gauge(
        "source_newest_seconds",
        "Receipt of the newest event by the source's clock, seconds since 1970; 0 = none yet",
        label,
        [(key, view.newest_ns / 1e9) for key, view in found],
    )
    yield _gauge(
        "source_clock_offset_seconds",
        "Estimated: the running minimum of receipt less event",
        label,
        [(key, view.offset_ns / 1e9) for key, view in found if view.offset_ns is not None],
    )
    yield _count("feed_frames", "Frames", label, [(key, view.frames) for key, view in found])
    yield _count("feed_gaps", "Holes in sequences", label, [(key, view.gaps) for key, view in found])
    yield _count(
        "feed_resyncs",
        "Books begun anew from a snapshot",
        label,
        [(key, view.resyncs) for key, view in found],
    )
    yield _count(
        "feed_dropped", "Frames given up unread", label, [(key, view.dropped) for key, view in found]
    )
    yield _count(
        "feed_malformed",
        "Frames that were not as the venue says",
        label,
        [(key, view.malformed) for key, view in found],
    )
    yield _count(
        "feed_late_trades",
        "Trades too late for their candle",
        label,
        [(key, view.late) for key, view in found],
    )
    counters = list(telemetry.counters.items())
    for name, text in COUNTED:
        yield _count(
            f"source_{name}", text, label, [((key,), counter.totals[name]) for key, counter in counters]
        )
    yield _gauge(
        "book_synced",
        "Whether a book is known to be as at the venue",
        ("source", "symbol"),
        [(key, view.state == "SYNCED") for key, view in list(board.books.items())],
    )


def _limits(board: Board) -> Iterator[Metric]:
    label, found = ("venue",), [((view.venue,), view) for view in board.limits]
    windows = [((view.venue, each.scope, each.name), each) for view in board.limits for each in view.windows]
    names = ("venue", "scope", "window")
    yield _gauge(
        "limit_used", "Spent in a window of a limit", names, [(key, each.used) for key, each in windows]
    )
    yield _gauge("limit_size", "What the window allows", names, [(key, each.limit) for key, each in windows])
    yield _count("limiter_allowed", "Calls sent", label, [(key, view.allowed) for key, view in found])
    yield _count(
        "limiter_throttled",
        "Of those, held back first",
        label,
        [(key, view.throttled) for key, view in found],
    )
    yield _gauge("limiter_waiting", "Calls that wait", label, [(key, view.waiting) for key, view in found])
    yield _gauge(
        "limiter_banned",
        "Whether the venue has banned us",
        label,
        [(key, view.state == "banned") for key, view in found],
    )
    yield _count(
        "limiter_refused",
        "Answers that say too many",
        ("venue", "status"),
        [
            ((view.venue, status), count)
            for view in board.limits
            for status, count in (
                ("429", view.refused_429),
                ("418", view.refused_418),
                ("403", view.refused_403),
            )
        ],
    )


def _rings(telemetry: Telemetry) -> Iterator[Metric]:
    yield _gauge("rings_bytes", "Memory of all rings", (), [((), telemetry.bytes_held)])
    yield _gauge("rings_bytes_limit", "What they may take", (), [((), BUDGET_BYTES)])
    markets: dict[str, list[int]] = {}
    for (source, _), rings in list(telemetry.markets.items()):
        held = markets.setdefault(source, [0, 0, 0])
        held[0] += 1
        held[1] += rings.trades.head
        held[2] += rings.candles.head
    rows = [((source,), held) for source, held in markets.items()]
    yield _gauge("ring_markets", "Markets with rings", ("source",), [(key, held[0]) for key, held in rows])
    yield _count(
        "ring_trades",
        "Trades published to rings that are held",
        ("source",),
        [(key, held[1]) for key, held in rows],
    )
    yield _count(
        "ring_candles",
        "One-second candles published to them",
        ("source",),
        [(key, held[2]) for key, held in rows],
    )


def _storage(board: Board) -> Iterator[Metric]:
    store = board.storage
    yield _gauge("store_ready", "Whether the journal can be written", (), [((), store.state == "ready")])
    journal, archive = store.journal, store.archive
    if journal is not None:
        yield _count("journal_commits", "Commits", (), [((), journal.commits)])
        yield _gauge("journal_rows", "Rows on the disk", (), [((), journal.rows)])
        yield _gauge("journal_bytes", "Of the database and its log", (), [((), journal.size_bytes)])
        yield _gauge("journal_pending_rows", "Rows that wait for the disk", (), [((), journal.pending_rows)])
        yield _gauge("journal_pending_bytes", "Bytes that wait for it", (), [((), journal.pending_bytes)])
        yield _gauge(
            "journal_pending_bytes_limit", "The most that may", (), [((), journal.pending_limit_bytes)]
        )
        yield _gauge(
            "journal_commit_p99_seconds",
            "Of the newest 1,000 commits",
            (),
            [((), journal.commit_p99_ns / 1e9)],
        )
        yield _count(
            "journal_shed_rows", "Rows given up", ("kind",), [((kind,), rows) for kind, rows in journal.shed]
        )
    if archive is not None:
        yield _gauge("archive_bytes", "Of the Parquet files", (), [((), archive.size_bytes)])
        yield _gauge("archive_files", "Parquet files", (), [((), archive.files)])


def _gateway(exchange: ExchangeView) -> Iterator[Metric]:
    yield _gauge(
        "gateway_serving", "Whether the built-in exchange serves", (), [((), exchange.state == "serving")]
    )
    yield _gauge("gateway_clients", "Clients of the built-in exchange", (), [((), exchange.client_count)])
    yield _gauge("gateway_waiting", "Commands that wait", (), [((), exchange.waiting)])
    yield _count("gateway_orders", "Commands of clients", (), [((), exchange.orders)])
    yield _count("gateway_rejects", "Commands of clients that were refused", (), [((), exchange.rejected)])
    yield _count("gateway_fills", "Fills of clients", (), [((), exchange.fills)])
    yield _count("gateway_trades", "Trades of the whole exchange", (), [((), exchange.trades)])
    yield _count("gateway_cut_slow", "Clients cut because they did not read", (), [((), exchange.cut_slow)])
    yield _count("gateway_refused", "Connections refused", (), [((), exchange.refused)])


def _latency(telemetry: Telemetry) -> Iterator[Metric]:
    """The newest closed second of each stage, the loop's lag among them."""
    rows: list[tuple[tuple[str, ...], float]] = []
    lag = 0.0
    for (source, stage), held in list(telemetry.stages.items()):
        newest = held.seconds.last(1).rows
        if not len(newest):
            continue
        row = newest[0]
        if (source, stage) == ("engine", "loop"):
            lag = float(row["greatest"]) / 1e9
        for name, quantile in ((LATENCY_NAMES[0], QUANTILES[0]), (LATENCY_NAMES[3], QUANTILES[3])):
            rows.append(((source, stage, str(quantile)), float(row[name]) / 1e9))
    yield _gauge("loop_lag_seconds", "The most that the loop was late in its newest second", (), [((), lag)])
    yield _gauge(
        "stage_latency_seconds",
        "Of a source's stage in its newest second",
        ("source", "stage", "quantile"),
        rows,
    )


def _served(api: ApiView) -> Iterator[Metric]:
    yield _count(
        "api_requests",
        "Answers of the API",
        ("method", "route", "status"),
        [((each.method, each.path, str(each.status)), each.answers) for each in api.routes],
    )
    yield _count(
        "api_problems", "Calls refused", ("code",), [((code,), count) for code, count in api.refused]
    )
    yield _gauge("api_in_flight", "Calls being answered", (), [((), api.in_flight)])
    yield _gauge("api_connections", "Connections held", (), [((), api.connections)])
    yield _count("api_connections_refused", "Connections over a limit", (), [((), api.turned_away)])
    yield _count("api_connections_stalled", "Connections cut, nothing was read", (), [((), api.stalled)])
    yield _count("api_bad_requests", "Requests that were no HTTP", (), [((), api.bad_requests)])
    family = HistogramMetricFamily("venuescope_api_answer_seconds", "From request to answer made", labels=())
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), api.seconds, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family.add_metric((), buckets, sum_value=api.seconds_sum)
    yield family
