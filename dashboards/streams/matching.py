"""The stream of the matching engine: how full its books are, and what its turns did in the last minute."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dashboards.streams.common import Json, head, last_minute, ms, us
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.matching.orders import AUCTION, CLOSED, CONTINUOUS, HALTED
from engine.telemetry.board import MatchingView
from engine.telemetry.counters import SourceCounters
from engine.telemetry.hub import Telemetry

SECONDS: Final = 60
PHASES: Final = {CONTINUOUS: "continuous", AUCTION: "auction", HALTED: "halted", CLOSED: "closed"}
# counter -> what it is of
RATES: Final = {
    "orders": "Commands/s",
    "events": "Events/s",
    "trades": "Trades/s",
    "rejects": "Rejects/s",
}
# stage -> (what it is of, unit)
MEASURES: Final = {
    "batch": ("Batch size", ""),
    "turn": ("Batch time", "us"),
    "match": ("Command time", "us"),
}


def matching(view: View, cursor: Json) -> tuple[Json, Json]:
    """Statistics of the matching engine; whole, when there are new ones."""
    tables = view.tables["matching"]
    newest_ns = round((tables["ts"] or 0) * 1e6)
    place = f"{view.epoch}|{newest_ns}"
    stream = head(view, view.epoch, cursor, newest_ns, len(tables["symbols"]), wall=True)
    if view.engine.state == "running" and not view.engine.rate:
        stream["note"] = "no commands come: the simulation rate is 0"
    if cursor.get("s") != place:
        stream |= tables
    return stream, {"k": view.epoch, "s": place}


def matching_tables(telemetry: Telemetry, found: MatchingView | None) -> Json:
    """Every table of the matching engine's panels, as of these statistics; empty before there are any."""
    counters = telemetry.counters.get(found.source.key) if found is not None else None
    if found is None or counters is None:
        return {"ts": None, "symbols": [], "figures": [], "engine": None}
    statistics = found.statistics
    return {
        "ts": ms(found.ts_ns),
        "symbols": [
            symbol._asdict() | {"phase": PHASES[symbol.phase], "used": symbol.resting + symbol.waiting}
            for symbol in statistics.symbols
        ],
        "figures": [
            *(rate_row(counters, counter) for counter in RATES),
            *(measure_row(telemetry, found, stage) for stage in MEASURES),
        ],
        "engine": {
            "commands": statistics.commands,
            "now": ms(statistics.now_ns),
            "memory_bytes": statistics.memory_bytes,
            "resident_bytes": found.resident_bytes,
        },
    }


def rate_row(counters: SourceCounters, counter: str) -> Json:
    """One count a second over the last minute: the newest second, the median one and the greatest; and in all.

    `p99` is null: of sixty seconds it is the greatest.
    """
    rows = counters.ring.last(SECONDS).rows[counter]
    return {
        "label": RATES[counter],
        "unit": "",
        "n": len(rows),
        "last": int(rows[-1]) if len(rows) else None,
        "p50": round(float(np.median(rows))) if len(rows) else None,
        "p99": None,
        "max": int(rows.max()) if len(rows) else None,
        "total": counters.totals[counter],
        "spark": [None] * (SECONDS - len(rows)) + rows.tolist(),
    }


def measure_row(telemetry: Telemetry, found: MatchingView, name: str) -> Json:
    """A measure of batches over the last minute: the newest batch's, percentiles and the greatest."""
    label, unit = MEASURES[name]
    stage = telemetry.stages.get((found.source.key, name))
    summary = last_minute(stage, found.ts_ns) if stage is not None else None
    rows = stage.seconds.last(SECONDS).rows if stage is not None else None
    newest = {
        "batch": found.batch,
        "turn": found.batch_ns,
        "match": found.batch_ns // max(1, found.batch),
    }[name]
    count, p50, p99, greatest = summary or (0, None, None, None)

    def shown(value: int | None) -> float | None:
        return value if value is None or not unit else us(value)

    return {
        "label": label,
        "unit": unit,
        "n": count,
        "last": shown(newest if found.batch else None),
        "p50": shown(p50),
        "p99": shown(p99),
        "max": shown(greatest),
        "total": None,
        "spark": [shown(value) for value in by_second(rows, found.ts_ns)],
    }


def by_second(rows: Rows | None, now_ns: int) -> list[Any]:
    """p99 of each of the last 60 complete seconds, from SUMMARY rows; None where there was no batch."""
    points: list[Any] = [None] * SECONDS
    newest_ns = now_ns - now_ns % NS_A_SECOND - NS_A_SECOND
    for ts_ns, value in rows[["ts_ns", "p99"]].tolist() if rows is not None else ():
        place = SECONDS - 1 - (newest_ns - ts_ns) // NS_A_SECOND
        if 0 <= place < SECONDS:
            points[place] = value
    return points
