"""CSV of the latency heatmap: one line a cell that holds samples, from the view the browser names."""

from __future__ import annotations

from typing import Final

from dashboards.sheet import TIMES, check_kept, csv_text, file_name, in_sight, when, x_range
from dashboards.streams.common import Json
from dashboards.streams.latency import is_long
from dashboards.streams.latency_map import (
    PARTS,
    cells,
    edges_ns,
    first_ns,
    kept_rows,
    parts_for,
    span,
    step_of,
)
from dashboards.view import FOREVER_NS, NS_A_SECOND, View
from engine.telemetry.histogram_kernel import BUCKETS

COLUMNS: Final = (*TIMES, "seconds", "stage", "from_ns", "below_ns", "samples", "share_of_column")


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text); `part` says how many rows an octave the browser drew, else as a new page would have it."""
    low, high = x_range(request.get("range"), dated=True)
    stage, step = view.stage, step_of(view.params.window_s)
    lines = []
    if stage is not None:
        found, step_ns, start_ns = kept_rows(view, stage), step * NS_A_SECOND, first_ns(view, stage)
        if view.kept_ns(stage.coarse if is_long(view) else stage.eighths, "second"):
            check_kept(found.oldest_ns if len(found.rows) else FOREVER_NS, start_ns, step_ns, low)
        rows = found.rows[found.rows["ts_ns"] >= start_ns]
        asked = next((parts for parts in PARTS if str(parts) == request.get("part")), 0)
        parts = asked or parts_for(*span(rows, BUCKETS, 0))
        edges = edges_ns(parts)
        for at_ns, (first, *counts) in cells(rows, step, parts):
            if not in_sight(at_ns, step_ns, low, high):
                continue
            total = sum(counts)
            lines += [
                (*when(at_ns), step, stage.stage, edges[row], edges[row + 1], count, round(count / total, 9))
                for row, count in enumerate(counts, first)
                if count
            ]
    return file_name(view, "latency_map", ""), csv_text(COLUMNS, lines)
