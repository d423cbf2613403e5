"""Latency over time as counts by cell: what the heatmap is drawn from.

Cells are whole buckets of the stage's histogram put together, so counts are exact: a column is `step` seconds, a row
an 8th, 4th, half or whole octave, whichever keeps the rows to about 48. Octaves are divided as the histogram divides
them, in equal parts, which on a log axis are nearly equal too. Windows up to 15 minutes are made of seconds by eighths
of octaves, longer ones of the steps of 30 s that are kept for four hours, and the seconds since the last of those.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from dashboards.streams.common import Json, head, ms
from dashboards.streams.latency import by_steps, is_long, measured_key, note, now_of, offset_note, start_by
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.telemetry.histogram import bucket_of
from engine.telemetry.histogram_kernel import BUCKETS, LINEAR, SUB_BITS
from engine.telemetry.latency import COARSE_S, EIGHTHS, FIRST_NS, Held, StageLatency, held, held_seconds
from engine.telemetry.ring import Ring
from engine.telemetry.stages import STAGES

Ints = npt.NDArray[np.int64]

COLUMNS_MAX: Final = 180
ROWS_MAX: Final = 48
STEPS_S: Final = (1, 2, 5, 30, 120)  # past those of seconds, whole steps of 30 s
PARTS: Final = (EIGHTHS, 4, 2, 1)  # rows an octave
FIRST_OCTAVE: Final = FIRST_NS.bit_length() - 1  # what is below 8 ns is one row
OCTAVES: Final = 41 - FIRST_OCTAVE
LOOK_AGAIN_S: Final = 60  # how often finer rows are considered, once what was far out has left the window


def _lower_edges() -> Ints:
    index = np.arange(LINEAR, BUCKETS) - LINEAR
    parts = (1 << SUB_BITS) + (index & ((1 << SUB_BITS) - 1))
    return np.concatenate((np.arange(LINEAR), parts << ((index >> SUB_BITS) + 1))).astype(np.int64)


LOWER_NS: Final = _lower_edges()  # least value of each bucket; the last bucket has no upper end


def step_of(window_s: int) -> int:
    """Seconds a column: the least of STEPS_S that needs at most COLUMNS_MAX of them."""
    return next((step for step in STEPS_S if window_s <= step * COLUMNS_MAX), STEPS_S[-1])


@cache
def edges_ns(parts: int) -> tuple[int, ...]:
    """Edges of the rows, ns, ascending: row `k` holds values from edge `k` up to, without, edge `k + 1`."""
    octaves = range(FIRST_OCTAVE, FIRST_OCTAVE + OCTAVES)
    inner = ((1 << octave) + (part << octave) // parts for octave in octaves for part in range(parts))
    return (0, *inner, 1 << (FIRST_OCTAVE + OCTAVES))


@cache
def row_of(parts: int) -> Ints:
    """Row of each bucket of a histogram."""
    return np.searchsorted(np.array(edges_ns(parts)[:-1]), LOWER_NS, side="right") - 1


def parts_for(low: int, high: int) -> int:
    """Rows an octave for buckets from `low` to `high`: the most that need no more than ROWS_MAX."""
    if low > high:  # there are none
        return PARTS[0]
    fitting = (parts for parts in PARTS if row_of(parts)[high] - row_of(parts)[low] < ROWS_MAX)
    return next(fitting, PARTS[-1])


def kept_rows(view: View, stage: StageLatency, since: tuple[int, int] = (0, 0)) -> Held:
    """What is held of the stage since the cursors (of seconds, of 30 s), as the window is drawn."""
    head_at = view.heads.get(near_ring(view, stage).name, 0)
    if not is_long(view):
        return held_seconds(stage, since[0], head_at)
    return held(stage, since, (head_at, view.heads.get(stage.coarse.name, 0)))


def near_ring(view: View, stage: StageLatency) -> Ring:
    """The ring that the newest columns are drawn from."""
    return stage.buckets if is_long(view) else stage.eighths


def first_ns(view: View, stage: StageLatency) -> int:
    """Start of the first column of the window, ns: it holds the window's first second."""
    start_ns = start_by(view, stage)
    return start_ns - start_ns % (step_of(view.params.window_s) * NS_A_SECOND)


def cells(rows: Rows, step_s: int, parts: int) -> list[tuple[int, list[int]]]:
    """(start of the column in ns, [its first row, counts upwards from there]) of BUCKET rows, oldest first."""
    if not len(rows):
        return []
    step_ns, size = step_s * NS_A_SECOND, len(edges_ns(parts)) - 1
    times, place = np.unique(rows["ts_ns"] // step_ns, return_inverse=True)
    at = place * size + row_of(parts)[rows["bucket"]]
    counts = np.bincount(at, weights=rows["count"], minlength=len(times) * size).astype(np.int64)
    table = []
    for time, column in zip(times.tolist(), counts.reshape(len(times), size), strict=True):
        used = np.flatnonzero(column)
        first, end = int(used[0]), int(used[-1]) + 1
        table.append((time * step_ns, [first, *column[first:end].tolist()]))
    return table


def latency_map(view: View, cursor: Json) -> tuple[Json, Json]:
    """Columns that are new or grew since the cursor; all of them when the rows have become finer or coarser.

    Cost: 10 us while no second closed; 0.1 ms when one did; about 2 ms, once a minute, to look at the whole window.
    """
    stage, step = view.stage, step_of(view.params.window_s)
    name = stage.stage if stage else view.params.stage
    key = f"{measured_key(view)}|{name}|{view.params.window_s}"
    if stage is None:
        stream = head(view, key, cursor, 0, 0) | {"stage": name, "step": step, "keep": 0, "t": [], "c": []}
        return stream, {"k": key}
    start_ns, head_at = first_ns(view, stage), view.heads.get(near_ring(view, stage).name, 0)
    again = now_of(view, stage) // (LOOK_AGAIN_S * NS_A_SECOND)
    if cursor.get("b") != key:
        cursor = {}
    found = kept_rows(view, stage, (int(cursor.get("n", 0)), int(cursor.get("steps", 0))))
    if found.lost:
        cursor = {}
    known = cursor.get("again") == again
    rows, low, high = found.rows, cursor.get("low", BUCKETS), cursor.get("high", 0)
    rows = rows[
        rows["ts_ns"] >= int(cursor.get("t", 0))
    ]  # a step that is over may be of a column that was told
    oldest_ns = int(cursor.get("from", 0))
    if known:
        low, high = span(rows, low, high)
        known = parts_for(low, high) == cursor.get("parts")
    if not known:
        found = kept_rows(view, stage)
        oldest_ns = found.oldest_ns
        rows = found.rows[found.rows["ts_ns"] >= start_ns]
        low, high = span(rows, BUCKETS, 0)
    parts = parts_for(low, high)
    fine = f"{key}|{parts}"
    if not known and cursor.get("parts") == parts:
        rows = rows[
            rows["ts_ns"] >= int(cursor.get("t", 0))
        ]  # all was looked at, only the newest is told again
    fresh = cells(rows, step, parts) if head_at != cursor.get("head") or cursor.get("k") != fine else []
    newest_ns = fresh[-1][0] if fresh else int(cursor.get("t", 0)) if cursor.get("k") == fine else 0
    stream = head(view, fine, cursor, 0, None)
    stream |= {
        "stage": name,
        "label": STAGES.get(name, ("", ""))[0],
        "step": step,
        "parts": parts,
        "keep": start_ns // 1_000_000,
        "from": oldest_ns // 1_000_000 if oldest_ns > start_ns else None,
        "t": [at // 1_000_000 for at, _ in fresh],
        "c": [column for _, column in fresh],
        "note": (note if view.params.slo_ns else offset_note)(
            view, stage
        ),  # cells themselves are of whole seconds
    }
    slo_ns = view.params.slo_ns
    if fresh or cursor.get("slo") != slo_ns:
        stream["slo"] = above(view, stage, slo_ns) if slo_ns else None
    last = view.last(stage.seconds, 1)
    if len(last):
        closed_ns = int(last["ts_ns"][0]) + NS_A_SECOND
        stream["age_ms"] = ms(max(0, now_of(view, stage) - closed_ns))
    # The next answer begins with the column that may still grow: with its first row, or with the first second that is
    # in no step of 30 s yet.
    growing = rows["ts_ns"] >= newest_ns if newest_ns else np.zeros(len(rows), bool)
    steps = max(0, len(rows) - found.fine)
    seconds = min(found.fine, len(rows)) if is_long(view) else int(growing.sum())
    place = {"k": fine, "b": key, "n": head_at - seconds, "t": newest_ns, "head": head_at, "parts": parts}
    if is_long(view):
        place["steps"] = view.heads.get(stage.coarse.name, 0) - int(growing[:steps].sum())
    return stream, place | {"low": low, "high": high, "again": again, "from": oldest_ns, "slo": slo_ns}


def span(rows: Rows, low: int, high: int) -> tuple[int, int]:
    """(lowest, highest) bucket of `rows` and of what was known, without what is below 8 ns: the nothing that is left of
    the quickest sample once the clock offset is taken off would else be most of the picture.
    """
    buckets = rows["bucket"][rows["bucket"] >= 1 << FIRST_OCTAVE]
    if not len(buckets):
        return low, high
    return min(low, int(buckets.min())), max(high, int(buckets.max()))


def above(view: View, stage: StageLatency, slo_ns: int) -> Json:
    """Samples of the window above a threshold, and the second (told by steps of 30 s, the step) with the largest share
    of them. A window told by steps begins with a whole half-minute, as its figures do.

    Counted are buckets that lie above it whole; `unsure` are those in the bucket it divides, which may be either: the
    histogram tells values apart to 1/64, below 128 ns exactly.
    """
    start_ns, steps = start_by(view, stage), by_steps(view, stage)
    heads = (view.heads.get(stage.buckets.name, 0), view.heads.get(stage.coarse.name, 0))
    if steps:
        start_ns -= start_ns % (COARSE_S * NS_A_SECOND)
        rows = held(stage, until=heads).rows
    else:
        rows = stage.buckets.since(0, heads[0]).rows
    rows = rows[int(np.searchsorted(rows["ts_ns"], start_ns)) :]
    counts = rows["count"].astype(np.int64)
    over = counts * (LOWER_NS[rows["bucket"]] > slo_ns)
    divided = bucket_of(slo_ns)
    whole = divided < BUCKETS - 1 and slo_ns == LOWER_NS[divided + 1] - 1  # nothing in it is above
    unsure = (
        0
        if whole
        else int(counts[rows["bucket"] == divided].sum()) - int(over[rows["bucket"] == divided].sum())
    )
    told: Json = {
        "us": slo_ns / 1e3,
        "n": int(over.sum()),
        "unsure": unsure,
        "of": int(counts.sum()),
        "worst": None,
    }
    if not len(rows) or not told["n"]:
        return told
    each_s = COARSE_S if steps else 1
    at = rows["ts_ns"] // (each_s * NS_A_SECOND)
    starts = np.flatnonzero(np.append(True, np.diff(at) != 0))
    bad, all_of = np.add.reduceat(over, starts), np.add.reduceat(counts, starts)
    worst = int(np.argmax(bad / all_of))
    at_ms = int(at[starts[worst]]) * each_s * 1_000
    told["worst"] = {"t": at_ms, "s": each_s, "n": int(bad[worst]), "of": int(all_of[worst])}
    return told
