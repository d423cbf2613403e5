"""CSV of the latency heatmap: one line a cell that holds samples, from the view the browser names."""

from __future__ import annotations

from typing import Final

from dashboards.sheet import TIMES, csv_text, file_name, in_sight, when, x_range
from dashboards.streams.common import Json
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
from dashboards.view import NS_A_SECOND, View
from engine.telemetry.histogram_kernel import BUCKETS

COLUMNS: Final = (*TIMES, "seconds", "stage", "from_ns", "below_ns", "samples", "share_of_column")


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text); `part` says how many rows an octave the browser drew, else as a new page would have it."""
    low, high = x_range(request.get("range"), dated=True)
    stage, step = view.stage, step_of(view.params.window_s)
    lines = []
    if stage is not None:
        rows = kept_rows(view, stage).rows
        rows = rows[rows["ts_ns"] >= first_ns(view, stage)]
        asked = next((parts for parts in PARTS if str(parts) == request.get("part")), 0)
        parts = asked or parts_for(*span(rows, BUCKETS, 0))
        edges = edges_ns(parts)
        for at_ns, (first, *counts) in cells(rows, step, parts):
            if not in_sight(at_ns, step * NS_A_SECOND, low, high):
                continue
            total = sum(counts)
            lines += [
                (*when(at_ns), step, stage.stage, edges[row], edges[row + 1], count, round(count / total, 9))
                for row, count in enumerate(counts, first)
                if count
            ]
    return file_name(view, "latency_map", ""), csv_text(COLUMNS, lines)
