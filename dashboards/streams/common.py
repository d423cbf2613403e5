"""What every stream shares: its head, its cursor, and times and latencies as numbers for the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.telemetry.histogram import quantiles
from engine.telemetry.latency import StageLatency, merge
from engine.telemetry.past import COUNTERS
from engine.telemetry.ring import Ring

Json = dict[str, Any]
Stream = Callable[[View, Json], tuple[Json, Json]]

LONG_WINDOW_S: Final = 900  # past this, one point per 10 s
LONG_STEP_S: Final = 10
MINUTE_S: Final = 60


def ms(ns: int) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(ns / 1e6, 3)


def ms_list(ns: npt.NDArray[np.int64]) -> list[int]:
    """Nanosecond times as whole milliseconds."""
    found: list[int] = (ns // 1_000_000).tolist()
    return found


def us(ns: int) -> float:
    """Nanoseconds as microseconds: two decimals below 10, one below 100, else none."""
    value = ns / 1e3
    return round(value, 2 if value < 10 else 1 if value < 100 else 0)


def head(
    view: View,
    key: str,
    cursor: Json,
    newest_ns: int,
    count: int | None,
    *,
    wall: bool = False,
    counted: bool = False,
) -> Json:
    """What every stream carries; `newest_ns` (0 = none) is by the primary source's clock, the wall's, or the clock of
    what is counted.
    """
    now = view.wall_ns if wall else view.counted_ns if counted else view.now_ns
    return {
        "key": key,
        "reset": cursor.get("k") != key,
        "age_ms": ms(max(0, now - newest_ns)) if newest_ns else None,
        "n": count,
        "lost": 0,
        "note": "",
    }


def source_key(view: View) -> str:
    """What a stream of the primary source is of: this process, the source, this opening of it."""
    return f"{view.epoch}|{view.source.source.key}|{view.source.opened_ns}" if view.source else view.epoch


def counted_key(view: View) -> str:
    """What a stream of all counted sources is of; in the past also, whether its counts came out of the records."""
    sources = (f"{s.source.key} {s.opened_ns}" for s in view.counted)
    of_past = recorded_key(view, COUNTERS) if view.past else ""
    return "|".join((view.epoch, *sources, str(view.params.window_s), of_past))


def recorded_key(view: View, what: str) -> str:
    """Changes when the primary source's own `what` is replaced by what was recorded of it."""
    return "recorded" if view.source is not None and what in view.source.recorded else "played"


def step_s(view: View) -> int:
    """Seconds between the points of a per-second chart."""
    return LONG_STEP_S if view.params.window_s > LONG_WINDOW_S else 1


def fresh(view: View, ring: Ring, cursor: Json, key: str, rows_max: int) -> tuple[Rows, Json, int]:
    """(rows since the cursor or the newest `rows_max`, next cursor, rows lost) of one ring."""
    place = {"k": key, "n": view.heads.get(ring.name, 0)}
    if cursor.get("k") != key:
        return view.last(ring, rows_max), place, 0
    found = view.since(ring, int(cursor.get("n", 0)))
    return found.rows, place, found.lost


def last_minute(stage: StageLatency, now_ns: int) -> tuple[int, int, int, int] | None:
    """(samples, p50, p99, greatest) of the minute before `now_ns`, in what the stage counts; None without any."""
    rows = stage.buckets.since(0).rows
    rows = rows[rows["ts_ns"] >= now_ns - MINUTE_S * NS_A_SECOND]
    seconds = stage.seconds.last(MINUTE_S).rows
    greatest = seconds["greatest"][seconds["ts_ns"] >= now_ns - MINUTE_S * NS_A_SECOND]
    if not len(rows) or not len(greatest):
        return None
    p50, p99 = quantiles(merge(rows), (0.5, 0.99), int(greatest.max()))
    return int(rows["count"].sum()), p50, p99, int(greatest.max())


def whole_seconds(view: View, ring: Ring, start_ns: int) -> Rows:
    """COUNT or EXCHANGE rows from `start_ns` up to the newest second that is complete in every ring of counts."""
    rows = view.last(ring, max(0, view.counted_ns - start_ns) // NS_A_SECOND + 3)
    return rows[(rows["ts_ns"] >= start_ns) & (rows["ts_ns"] < view.counted_closed_ns)]
