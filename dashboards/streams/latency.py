"""Streams of latency: percentile lines of one stage, the table of stages, the distribution."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dashboards.streams.common import MINUTE_S, Json, fresh, head, ms, recorded_key, source_key, step_s, us
from dashboards.streams.market import outages
from dashboards.view import NS_A_SECOND, View, start_of
from engine.market.batches import Rows
from engine.telemetry.histogram import QUANTILES, quantiles
from engine.telemetry.latency import COARSE_S, SUMMARY, StageLatency, counts_since, reaches
from engine.telemetry.past import LATENCY
from engine.telemetry.ring import Ring
from engine.telemetry.stages import STAGES

PERCENTILES: Final = ("p50", "p90", "p95", "p99", "p999")
NINES: Final = tuple(round(0.05 * step, 2) for step in range(1, 81))  # 10^-nines is the share above
SPARK_POINTS: Final = 60
# Samples from which a percentile is told: with fewer, none is above it, and it would be the maximum.
NEEDED: Final = {"p90": 10, "p95": 20, "p99": 100, "p999": 1_000}


def measured_key(view: View) -> str:
    """What latencies are of: the source, this opening of it, and whether they were measured or recorded."""
    return f"{source_key(view)}|{recorded_key(view, LATENCY)}|{'past' if view.past else ''}"


def by_wall(view: View, stage: StageLatency) -> bool:
    """Whether a stage's rows carry wall-clock times: those of pages do, a source's carry the source's."""
    return view.source is None or stage.source != view.source.source.key


def now_of(view: View, stage: StageLatency) -> int:
    """Now by the clock of the stage's rows."""
    return view.wall_ns if by_wall(view, stage) else view.now_ns


def start_by(view: View, stage: StageLatency) -> int:
    """Start of the window by the clock of the stage's rows."""
    return start_of(now_of(view, stage), view.params.window_s)


def summary_ring(view: View, stage: StageLatency) -> Ring:
    """The ring of summary rows that suits the window."""
    return {1: stage.seconds, **stage.short}.get(lines_step_s(view), stage.long)


def lines_step_s(view: View) -> int:
    """Seconds between the points of percentile lines: wider over longer windows, so that a tail has its samples."""
    window_s = view.params.window_s
    return step_s(view) if window_s <= MINUTE_S or is_long(view) else 2 if window_s <= 5 * MINUTE_S else 5


def told(name: str, value: int, count: int) -> int | None:
    """A percentile (or another column), None where there are too few samples to tell it."""
    return value if count >= NEEDED.get(name, 0) else None


def summary_rows(view: View) -> Rows:
    """SUMMARY rows of the chosen stage in the window."""
    stage = view.stage
    if stage is None:
        return np.empty(0, SUMMARY)
    rows = view.last(summary_ring(view, stage), view.params.window_s // lines_step_s(view) + 2)
    return rows[rows["ts_ns"] >= start_by(view, stage)]


def latency(view: View, cursor: Json) -> tuple[Json, Json]:
    """New percentile rows of one stage; a hole in time is a row of nulls, so that no line bridges it."""
    stage, step = view.stage, lines_step_s(view)
    name = stage.stage if stage else view.params.stage
    key = f"{measured_key(view)}|{name}|{view.params.window_s}"
    stream = head(view, key, cursor, 0, 0)
    label, what = STAGES.get(name, ("", ""))
    stream |= {"stage": name, "label": label, "what": what, "unit": "us", "step": step}
    stream["keep"] = view.start_ns // 1_000_000
    stream |= {column: [] for column in ("t", *PERCENTILES, "max", "count")}
    stream["gaps"] = silences(view)
    if stage is None:
        return stream, {"k": key}
    ring = summary_ring(view, stage)
    rows, place, lost = fresh(view, ring, cursor, key, view.params.window_s // step + 2)
    start_ns = start_by(view, stage)
    last_ns = int(cursor.get("t", 0)) if cursor.get("k") == key else 0
    for row in rows[rows["ts_ns"] >= start_ns]:
        ts_ns = int(row["ts_ns"])
        if last_ns and ts_ns > last_ns + step * NS_A_SECOND:
            append(stream, last_ns + step * NS_A_SECOND, None)
        append(stream, ts_ns, row)
        last_ns = ts_ns
    if last_ns:
        stream["age_ms"] = ms(max(0, now_of(view, stage) - last_ns - step * NS_A_SECOND))
    stream |= {"n": int(window_counts(view, stage)[0].sum()), "lost": lost, "note": offset_note(view, stage)}
    stream["keep"] = start_ns // 1_000_000
    return stream, place | {"t": last_ns}


def silences(view: View) -> list[list[float]]:
    """Stretches of the window, [from, to] in ms, in which the source's connection may have been down: its book was not
    synced. Where samples came all the same it was another matter: the page takes those out. None for stages of pages.
    """
    return [] if view.stage is None or by_wall(view, view.stage) else outages(view)


def append(stream: Json, ts_ns: int, row: Any) -> None:
    """Add one SUMMARY row, or a row of nulls for None, to the stream's columns."""
    stream["t"].append(ts_ns // 1_000_000)
    for name in PERCENTILES:
        value = told(name, int(row[name]), int(row["count"])) if row is not None else None
        stream[name].append(us(value) if value is not None else None)
    stream["max"].append(us(int(row["greatest"])) if row is not None else None)
    stream["count"].append(int(row["count"]) if row is not None else None)


def note(view: View, stage: StageLatency) -> str:
    """What is to be known of a stage's figures, in words."""
    return "; ".join(filter(None, (offset_note(view, stage), steps_note(view, stage))))


def offset_note(view: View, stage: StageLatency) -> str:
    """What was taken off a receive latency, in words; of a past, that it was not recorded but is measured anew."""
    if view.past and stage.stage != "receive" and recorded_key(view, LATENCY) != "recorded":
        return "not recorded; measured while it is replayed"
    if view.source is None or stage.stage != "receive" or view.source.offset_ns is None:
        return ""
    return f"clock offset {view.source.offset_ns / 1e6:+,.1f} ms taken off".replace("-", "\N{MINUS SIGN}")


def window_counts(view: View, stage: StageLatency) -> tuple[npt.NDArray[np.int64], int]:
    """(counts by bucket over the window, greatest value in ns); cached until the next second closes.

    A window that is told by steps of 30 s begins with a whole half-minute, up to 29 s before it. Of stages of very wide
    spread less than four hours is kept: then it is answered with what there is.
    """
    return counts_from(view, stage, start_by(view, stage), by_steps(view, stage))


def is_long(view: View) -> bool:
    """Whether the window is longer than seconds are kept: then it is told from steps of 30 s."""
    return step_s(view) > 1


def by_steps(view: View, stage: StageLatency) -> bool:
    """Whether figures of the window are told from steps of 30 s: it is long, or the stage so busy that the buckets of
    its first seconds are gone.
    """
    return is_long(view) or not reaches(stage, start_by(view, stage), view.heads.get(stage.buckets.name, 0))


def steps_note(view: View, stage: StageLatency) -> str:
    """In words, that a window of up to 15 minutes is told from steps of 30 s."""
    return "counted from a half-minute on" if not is_long(view) and by_steps(view, stage) else ""


def counts_from(
    view: View, stage: StageLatency, start_ns: int, coarse: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """(counts by bucket, greatest value in ns) from `start_ns` on, of seconds, or of all that is kept by the 30 s."""
    seconds = (view.heads.get(stage.buckets.name, 0), view.heads.get(stage.seconds.name, 0))
    if not coarse:
        return counts_since(stage, start_ns, *seconds)
    steps = (view.heads.get(stage.coarse.name, 0), view.heads.get(stage.long.name, 0))
    return counts_since(stage, start_ns - start_ns % (COARSE_S * NS_A_SECOND), *seconds, *steps)


def stage_row(view: View, stage: StageLatency) -> Json:
    """One stage over the window: samples, percentiles and p99 of the last minute, latencies in us."""
    label, what = STAGES[stage.stage]
    counts, greatest = window_counts(view, stage)
    total = int(counts.sum())
    row: Json = {"stage": stage.stage, "label": label, "what": what, "n": total}
    found = quantiles(counts, QUANTILES, greatest) if total else [None] * len(QUANTILES)
    known = (
        None if value is None else told(name, value, total)
        for name, value in zip(PERCENTILES, found, strict=True)
    )
    row |= {
        name: us(value) if value is not None else None for name, value in zip(PERCENTILES, known, strict=True)
    }
    row["max"] = us(greatest) if total else None
    row["spark"] = spark(view, stage, "p99")
    return row


def spark(view: View, stage: StageLatency, column: str) -> list[float | None]:
    """One percentile, us, for each of the last 60 complete seconds; None where there was no sample."""
    rows = view.last(stage.seconds, SPARK_POINTS)
    now = now_of(view, stage)
    newest = now - now % NS_A_SECOND - NS_A_SECOND
    points: list[float | None] = [None] * SPARK_POINTS
    for ts_ns, value in zip(rows["ts_ns"].tolist(), rows[column].tolist(), strict=True):
        place = SPARK_POINTS - 1 - (newest - ts_ns) // NS_A_SECOND
        if 0 <= place < SPARK_POINTS:
            points[place] = us(value)
    return points


def second_key(view: View) -> str:
    """Changes with each second of the wall clock, and with what is looked at."""
    return f"{measured_key(view)}|{view.params.window_s}|{view.wall_ns // NS_A_SECOND}"


def stages(view: View, cursor: Json) -> tuple[Json, Json]:
    """Every stage of the primary source and of pages, over the window; whole, once a second."""
    key, second = f"{measured_key(view)}|{view.params.window_s}", second_key(view)
    newest_ns = view.counted_ns - view.counted_ns % NS_A_SECOND
    stream = head(view, key, cursor, newest_ns, len(view.stages), counted=True)
    if cursor.get("s") != second:
        stream["rows"] = [stage_row(view, stage) for stage in view.stages.values()]
    return stream, {"k": key, "s": second}


def distribution_points(view: View) -> list[tuple[float, float]]:
    """(nines, us) of the chosen stage over the window, as far out as there are samples to tell."""
    if view.stage is None:
        return []
    return points_of(*window_counts(view, view.stage))


def points_of(counts: npt.NDArray[np.int64], greatest: int) -> list[tuple[float, float]]:
    """(nines, us) of counts by bucket, as far out as there are samples to tell."""
    total = int(counts.sum())
    known = [nines for nines in NINES if 10**-nines * total >= 1]
    values = quantiles(counts, [1 - 10**-nines for nines in known], greatest) if known else []
    return [(nines, us(value)) for nines, value in zip(known, values, strict=True)]


def compared(view: View, stage: StageLatency) -> Json | None:
    """What the window's distribution is seen beside: the last minute, or beside that all that is kept."""
    word, start_ns = "last minute", now_of(view, stage) - MINUTE_S * NS_A_SECOND
    if view.params.window_s <= MINUTE_S:
        word, start_ns = "all kept", 0
    counts, greatest = counts_from(view, stage, start_ns - start_ns % NS_A_SECOND, not start_ns)
    points = points_of(counts, greatest)
    if not points:
        return None
    return {
        "word": word,
        "n": int(counts.sum()),
        "nines": [nines for nines, _ in points],
        "us": [value for _, value in points],
    }


def distribution(view: View, cursor: Json) -> tuple[Json, Json]:
    """The chosen stage's quantiles over the window; whole, once a second."""
    stage = view.stage.stage if view.stage else view.params.stage
    key, second = f"{measured_key(view)}|{stage}|{view.params.window_s}", f"{second_key(view)}|{stage}"
    count = int(window_counts(view, view.stage)[0].sum()) if view.stage else 0
    newest_ns = view.counted_ns - view.counted_ns % NS_A_SECOND
    stream = head(view, key, cursor, newest_ns, count, counted=True)
    stream["note"] = note(view, view.stage) if view.stage else ""
    if cursor.get("s") != second:
        points = distribution_points(view)
        stream |= {"nines": [nines for nines, _ in points], "us": [value for _, value in points]}
        stream["other"] = compared(view, view.stage) if view.stage else None
    return stream, {"k": key, "s": second}
