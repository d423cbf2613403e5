"""Streams over all shown sources and the engine: throughput, tiles, events, health.

In the past they are of the one source looked at, by its own clock: a rate is then of a second as it was recorded,
however fast it is played. Health is always of now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dashboards.streams.common import (
    Json,
    counted_key,
    head,
    last_minute,
    ms,
    recorded_key,
    source_key,
    step_s,
    whole_seconds,
)
from dashboards.streams.latency import SPARK_POINTS, second_key, spark, window_counts
from dashboards.streams.limits import throttled_tail
from dashboards.streams.market import market_key
from dashboards.streams.venues import MARKETS, connection_tables
from dashboards.view import NS_A_SECOND, View
from engine.market import metrics
from engine.market.batches import Rows
from engine.matching.log import LogView
from engine.telemetry.board import SourceView
from engine.telemetry.events import Event
from engine.telemetry.histogram import quantiles
from engine.telemetry.hub import Telemetry
from engine.telemetry.past import COUNTERS
from engine.telemetry.stages import STAGES

RATES: Final = ("messages", "orders", "trades")
COUNTED_THEN: Final = ("messages", "orders")  # what is replayed does not say how many there were
CLIENTS: Final = {"id": "clients", "label": "Clients", "colour": "clients", "run": "clients"}
EVENTS_SHOWN: Final = 200
BAD_FRAMES_SHOWN: Final = 20
FRAME_SHOWN: Final = 200
BUILT_IN: Final = "builtin"
VENUES: Final = {*MARKETS, *(market.budget for market in MARKETS.values())}


def identity(view: View, source: SourceView) -> Json:
    """What a page needs to name and colour a source."""
    run = "sim" if is_simulated(view, source) else source.source.run
    return {"id": source.source.key, "label": source.label, "colour": source.colour, "run": run}


def is_simulated(view: View, source: SourceView) -> bool:
    """Whether a source's own work is orders, not messages: the built-in exchange's, also in its past."""
    return source.source.run == "sim" or (view.past and source.source.venue == BUILT_IN)


# --- throughput -----------------------------------------------------------------------------------------------


def throughput_rows(view: View, from_ns: int) -> tuple[list[int], dict[str, dict[str, list[float | None]]]]:
    """(start of each step in ns, per source: rate -> one value a step, per second; None before a source began).

    None also for what was not recorded of a past. Steps from `from_ns` (aligned) to the newest complete one, for every
    counted source, and under "clients" the orders of the built-in exchange's clients, which its own counter does not
    have.
    """
    step_ns = step_s(view) * NS_A_SECOND
    end_ns = view.counted_closed_ns - view.counted_closed_ns % step_ns
    count = max(0, (end_ns - from_ns) // step_ns)
    times = [from_ns + place * step_ns for place in range(count)]
    opened = opened_seconds(view)
    series: dict[str, dict[str, list[float | None]]] = {}
    for key, ring in view.counters.items():
        rows = whole_seconds(view, ring, from_ns)
        rows = rows[(rows["ts_ns"] < end_ns) & (rows["ts_ns"] >= opened[key])]
        place = (rows["ts_ns"] - from_ns) // step_ns
        seen = np.bincount(place, minlength=count) > 0 if len(rows) else np.zeros(count, bool)
        series[key] = {}
        for rate in RATES:
            sums = np.bincount(place, weights=rows[rate], minlength=count) if len(rows) else np.zeros(count)
            if rate in COUNTED_THEN and not is_counted(view):
                series[key][rate] = [None] * count
                continue
            a_second = sums / step_s(view)
            series[key][rate] = [
                round(value, 1) if known else None
                for value, known in zip(a_second.tolist(), seen, strict=True)
            ]
    if view.clients is not None:
        rows = whole_seconds(view, view.clients, from_ns)
        rows = rows[rows["ts_ns"] < end_ns]
        place = (rows["ts_ns"] - from_ns) // step_ns
        sums = np.bincount(place, weights=rows["orders"], minlength=count) / step_s(view)
        seen = np.bincount(place, minlength=count) > 0
        orders = [
            round(v, 1) if known else None
            for v, known in zip(sums[:count].tolist(), seen[:count], strict=True)
        ]
        series[CLIENTS["id"]] = {"messages": [None] * count, "orders": orders, "trades": [None] * count}
    return times, series


def is_counted(view: View) -> bool:
    """Whether messages and orders are known: of the past they are where they were recorded."""
    return not view.past or recorded_key(view, COUNTERS) == "recorded"


def opened_seconds(view: View) -> dict[str, int]:
    """The second, ns, in which each counted source was opened: those before it are no samples. In the past all are."""
    return {s.source.key: 0 if view.past else s.opened_ns - s.opened_ns % NS_A_SECOND for s in view.counted}


def in_order(sources: Sequence[SourceView]) -> list[SourceView]:
    """Sources as they are stacked and listed, whichever was opened first: live markets in their own order, then
    all others in that of their opening.
    """
    places = {venue: place for place, venue in enumerate(MARKETS)}
    return sorted(
        sources, key=lambda one: places.get(one.source.venue, 99) if one.source.run == "live" else 99
    )


def throughput_start(view: View) -> int:
    """Start of the first step of the window."""
    return view.counted_start_ns - view.counted_start_ns % (step_s(view) * NS_A_SECOND)


def throughput(view: View, cursor: Json) -> tuple[Json, Json]:
    """Messages, orders and trades per second by counted source: the steps completed since the cursor."""
    key = counted_key(view) + ("|clients" if view.clients is not None else "")
    count = events_within(view) if is_counted(view) else None
    start_ns = throughput_start(view)
    from_ns = max(start_ns, int(cursor["t"])) if cursor.get("k") == key else start_ns
    times, series = throughput_rows(view, from_ns)
    stream = head(view, key, cursor, view.counted_closed_ns, count, counted=True) | {
        "t": [ts_ns // 1_000_000 for ts_ns in times],
        "series": [
            identity(view, s) | series.get(s.source.key, {rate: [] for rate in RATES})
            for s in in_order(view.counted)
        ]
        + ([CLIENTS | series[CLIENTS["id"]]] if view.clients is not None else []),
        "keep": start_ns // 1_000_000,
        "note": "" if is_counted(view) else "messages not recorded; trades counted from what is replayed",
    }
    return stream, {"k": key, "t": times[-1] + step_s(view) * NS_A_SECOND if times else from_ns}


def events_within(view: View) -> int:
    """Messages and orders of all counted sources in the window, since each was opened."""
    opened = opened_seconds(view)
    rows = (
        whole_seconds(view, ring, max(view.counted_start_ns, opened[key]))
        for key, ring in view.counters.items()
    )
    of_clients = 0
    if view.clients is not None:
        of_clients = int(whole_seconds(view, view.clients, view.counted_start_ns)["orders"].sum())
    return of_clients + sum(int(found["messages"].sum() + found["orders"].sum()) for found in rows)


# --- tiles ----------------------------------------------------------------------------------------------------


def tail(values: Rows) -> list[Any]:
    """The newest 60 values, with None in front where there are fewer."""
    found: list[Any] = values[-SPARK_POINTS:].tolist()
    return [None] * (SPARK_POINTS - len(found)) + found


def summed(view: View, counter: str, *, simulated: bool) -> list[Any]:
    """One counter, summed over counted sources that are simulated or not, for each of the last 60 seconds; None
    where it is not known.
    """
    if counter in COUNTED_THEN and not is_counted(view):
        return [None] * SPARK_POINTS
    total = np.zeros(SPARK_POINTS)
    known = np.zeros(SPARK_POINTS, bool)
    start_ns = view.counted_closed_ns - SPARK_POINTS * NS_A_SECOND
    for source in view.counted:
        ring = view.counters.get(source.source.key)
        if ring is None or is_simulated(view, source) != simulated:
            continue
        rows = whole_seconds(view, ring, start_ns)
        place = (rows["ts_ns"] - start_ns) // NS_A_SECOND
        total[place] += rows[counter]
        known[place] = True
    return [value if seen else None for value, seen in zip(total.tolist(), known, strict=True)]


def tiles(view: View, cursor: Json) -> tuple[Json, Json]:
    """Figures and their last minute; whole, once a second."""
    key = f"{market_key(view)}|{counted_key(view)}"
    second = f"{second_key(view)}|{view.counted_closed_ns}|{key}"
    stream = head(view, key, cursor, view.counted_closed_ns, SPARK_POINTS, counted=True)
    if cursor.get("s") != second:
        stream |= tile_values(view) | {"reset": True}
    return stream, {"k": key, "s": second}


def tile_values(view: View) -> Json:
    """Every tile's figure and sparkline; latencies in us, spread in price units."""
    real, sim = summed(view, "messages", simulated=False), summed(view, "orders", simulated=True)
    gaps = [a if b is None else b if a is None else a + b for a, b in
            zip(summed(view, "gaps", simulated=False), summed(view, "gaps", simulated=True), strict=True)]  # fmt: skip
    spread: list[Any] = [None] * SPARK_POINTS
    if view.market is not None:
        rows = view.last(view.market.metrics, SPARK_POINTS)
        rows = rows[(rows["bid_size"] > 0) & (rows["ask_size"] > 0)]
        spread = tail(rows["ask_price"] - rows["bid_price"])
    none: list[Any] = [None] * SPARK_POINTS
    throttled = none if view.past else throttled_tail(view, SPARK_POINTS)  # limits are of now
    first = view.main_stage
    p50, p99 = None, None
    sparks: dict[str, list[Any]] = {"p50": [None] * SPARK_POINTS, "p99": [None] * SPARK_POINTS}
    if first is not None:
        counts, greatest = window_counts(view, first)
        if counts.any():
            p50, p99 = (round(value / 1e3, 3) for value in quantiles(counts, (0.5, 0.99), greatest))
        sparks = {name: spark(view, first, name) for name in sparks}
    return {
        "t": [
            (view.counted_closed_ns - (SPARK_POINTS - place) * NS_A_SECOND) // 1_000_000
            for place in range(SPARK_POINTS)
        ],
        "real": real,
        "sim": sim,
        "spread": spread,
        "throttled": throttled,
        "gaps": gaps,
        **sparks,
        "keep": (view.counted_closed_ns - SPARK_POINTS * NS_A_SECOND) // 1_000_000,
        "figures": {
            "real": real[-1],
            "sim": sim[-1],
            "p50": p50,
            "p99": p99,
            "stage": first.stage if first is not None else None,
            "stage_label": STAGES[first.stage][0] if first is not None else None,
            "throttled": throttled[-1],
            "gaps": sum(source.gaps for source in view.counted),
            "books": [
                sum(source.books_synced for source in view.counted),
                sum(len(source.symbols) for source in view.counted),
            ],
            **spread_figures(view),
        },
    }


def spread_figures(view: View) -> Json:
    """Spread in price units and in basis points of the mid; None without both sides."""
    book = view.book
    if book is None or not len(book.bids) or not len(book.asks):
        return {"spread": None, "spread_bp": None}
    top = (*book.bids[0].tolist(), *book.asks[0].tolist())
    basis_points = metrics.spread_basis_points(top)
    return {
        "spread": metrics.spread(top),
        "spread_bp": None if basis_points is None else round(basis_points, 4),
    }


# --- events and health ----------------------------------------------------------------------------------------

ABOUT_LIMITS: Final = re.compile(r"throttl|\bban|\b(429|418|403|10006)\b|limit|correct", re.IGNORECASE)


def about(event: Event) -> str:
    """What an event is about: "limits", "venue" (a live market's connection and data), or "" for all else."""
    venue, _, run = event.source.partition(":")
    if run not in ("", "live") or venue not in VENUES:
        return ""
    return "limits" if ABOUT_LIMITS.search(event.what) else "venue"


def event_row(event: Event) -> Json:
    """One event as the page lists it."""
    return {
        "t": ms(event.ts_ns),
        "level": event.level,
        "source": event.source,
        "what": event.what,
        "text": event.text,
        "about": about(event),
    }


def events(view: View, cursor: Json) -> tuple[Json, Json]:
    """New events, oldest first; at first the newest 200. In the past, what was recorded of that source."""
    key = source_key(view) if view.past else view.epoch
    known = int(cursor.get("n", 0)) if cursor.get("k") == key else 0
    found = [event for event in view.events.since(known) if event.number <= view.events_head]
    shown = found[-EVENTS_SHOWN:]
    stream = head(view, key, cursor, view.events.newest_ns, len(found), counted=True)
    stream |= {
        "rows": [event_row(event) for event in shown],
        "lost": max(0, view.events_head - known - len(found)),
    }
    return stream, {"k": key, "n": view.events_head}


def health(view: View, cursor: Json) -> tuple[Json, Json]:
    """The tables of the view; whole, once a second."""
    second = f"{view.epoch}|{view.wall_ns // NS_A_SECOND}"
    stream = head(view, view.epoch, cursor, view.wall_ns - view.wall_ns % NS_A_SECOND, 0, wall=True)
    if cursor.get("s") != second:
        stream |= view.tables["health"]
    return stream, {"k": view.epoch, "s": second}


def health_tables(telemetry: Telemetry, wall_ns: int, lost_rows: int) -> Json:
    """Every table of the health page, as it stands now. `lost_rows`: overwritten before pages read them."""
    board = telemetry.board
    engine = board.engine
    return {
        "tasks": [
            {
                "name": t.name,
                "state": t.state,
                "restarts": t.restarts,
                "error": t.error,
                "since": ms(t.since_ns),
            }
            for t in board.tasks
        ],
        "rings": [
            {"name": r.name, "rows": len(r), "capacity": r.capacity, "written": r.head, "bytes": r.nbytes}
            for r in telemetry.rings()
        ],
        "queues": [
            {"name": q.name, "depth": q.depth, "peak": q.peak, "capacity": q.capacity, "dropped": q.dropped}
            for q in board.queues
        ],
        "sources": [source_health(source) for source in board.sources],
        **connection_tables(board, telemetry.events.since(0)),
        "bad_frames": [
            {"t": ms(row.ts_ns), "source": row.source, "field": row.field, "frame": frame_text(row.frame)}
            for row in list(telemetry.bad_frames.copy())[-BAD_FRAMES_SHOWN:]
        ],
        "loop": loop_lag(telemetry, wall_ns),
        "process": {
            "cpu_pct": board.process.cpu_pct if board.process else None,
            "rss_bytes": board.process.rss_bytes if board.process else None,
            "threads": board.process.threads if board.process else None,
            "uptime_s": round((wall_ns - telemetry.started_ns) / 1e9, 1),
            "epoch": telemetry.epoch,
            "lost_rows": lost_rows,
        },
        "log": command_log(board.command_log),
        "kernels": {
            "state": engine.state,
            "done": engine.kernels_done,
            "total": engine.kernels_total,
            "seconds": round(engine.kernels_seconds, 1),
            "directory": engine.kernels_directory,
        },
    }


def command_log(log: LogView | None) -> Json | None:
    """The command log of the built-in exchange; None when there is none."""
    if log is None:
        return None
    return {
        "mode": log.mode,
        "state": log.state,
        "sequence": log.sequence,
        "durable": log.durable_sequence,
        "backlog_bytes": log.backlog_bytes,
        "refused": log.refused,
        "snapshots": log.snapshots,
        "written_bytes": log.written_bytes,
    }


def source_health(source: SourceView) -> Json:
    """What went wrong at one source, counted. What is replayed out of the store has no frames."""
    return {
        "id": source.source.key,
        "label": source.label,
        "frames": source.frames or (None if source.source.run == "replay" else 0),
        "malformed": source.malformed,
        "gaps": source.gaps,
        "resyncs": source.resyncs,
        "dropped": source.dropped,
        "late": source.late,
        "levels_dropped": source.levels_dropped,
        "unchecked": source.unchecked,
        "agreement": list(source.agreement),
    }


def frame_text(frame: bytes) -> str:
    """The beginning of a frame, readable whatever is in it."""
    return frame[:FRAME_SHOWN].decode("utf-8", errors="backslashreplace")


def loop_lag(telemetry: Telemetry, wall_ns: int) -> Json:
    """How late the engine's loop woke over the last minute, ms: quantiles over all samples of it."""
    stage = telemetry.stages.get(("engine", "loop"))
    found = last_minute(stage, wall_ns) if stage is not None else None
    p50, p99, greatest = (ms(value) for value in found[1:]) if found else (None, None, None)
    return {"lag_p50_ms": p50, "lag_p99_ms": p99, "lag_max_ms": greatest}
