"""CSV of the latency heatmap: one line a cell that holds samples, from the view the browser names."""

from __future__ import annotations

from typing import Final

from dashboards.export import TIMES, csv_text, file_name, when, x_range
from dashboards.streams.common import Json
from dashboards.streams.latency import start_by
from dashboards.streams.latency_map import PARTS, cells, edges_ns, kept_rows, parts_for, span, step_of
from dashboards.view import NS_A_SECOND, View
from engine.telemetry.histogram_kernel import BUCKETS

COLUMNS: Final = (*TIMES, "seconds", "stage", "from_ns", "below_ns", "samples", "share_of_column")


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text); `part` says how many rows an octave the browser drew, else as a new page would have it."""
    low, high = x_range(request.get("range"), dated=True)
    stage, step = view.stage, step_of(view.params.window_s)
    lines = []
    if stage is not None:
        start_ns = start_by(view, stage)
        rows, _ = kept_rows(view, stage)
        rows = rows[rows["ts_ns"] >= start_ns - start_ns % (step * NS_A_SECOND)]
        asked = next((parts for parts in PARTS if str(parts) == request.get("part")), 0)
        parts = asked or parts_for(*span(rows, BUCKETS, 0))
        edges = edges_ns(parts)
        for at_ns, (first, *counts) in cells(rows, step, parts):
            if not low - step * 1e3 < at_ns / 1e6 <= high:
                continue
            total = sum(counts)
            lines += [
                (*when(at_ns), step, stage.stage, edges[row], edges[row + 1], count, round(count / total, 9))
                for row, count in enumerate(counts, first)
                if count
            ]
    name = file_name(view, "latency-map" + (f"-{stage.stage}" if stage is not None else ""), "")
    return name, csv_text(COLUMNS, lines)
