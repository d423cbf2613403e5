"""Coverage of a calendar second by second: the slow twin of `dashboards.history_coverage`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.storage.views import GapView, SpanView

SECOND = 1_000_000_000


def shares(
    spans: Sequence[SpanView], gaps: Sequence[GapView], start: int, cells: int, step: int, now: int
) -> list[tuple[int, int, int]]:
    """(recorded, fetched later, missed) seconds of each cell, over all kinds that were recorded in it all together.

    Times are whole seconds since 1970, of one venue and symbol.
    """
    end = min(start + cells * step, now)
    kinds = sorted({s.what for s in spans if s.from_ns // SECOND < end and s.to_ns // SECOND > start})
    out = []
    for cell in range(cells):
        counts = [0, 0, 0]
        for second in range(start + cell * step, min(start + (cell + 1) * step, now)):
            for kind in kinds:
                mine = [g for g in gaps if g.what in ("all", kind) and g.from_ns <= second * SECOND < g.to_ns]
                if any(g.state != "filled" for g in mine):
                    counts[2] += 1
                elif mine:
                    counts[1] += 1
                elif any(s.what == kind and s.from_ns <= second * SECOND < s.to_ns for s in spans):
                    counts[0] += 1
        out.append((counts[0], counts[1], counts[2]))
    return out
