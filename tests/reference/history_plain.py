"""Coverage of a calendar second by second: the slow twin of `dashboards.history_coverage`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.storage.views import GapView, SpanView

SECOND = 1_000_000_000


def shares(
    spans: Sequence[SpanView], gaps: Sequence[GapView], start: int, cells: int, step: int, now: int
) -> list[tuple[int, int, int, int]]:
    """Seconds of each cell recorded, fetched later, missed, and in part; of book and trades, as far as there are any.

    Times are whole seconds since 1970, of one venue and symbol.
    """
    kinds = sorted({s.what for s in spans})
    of = [kind for kind in kinds if kind in ("book", "trades")]
    out = []
    for cell in range(cells):
        counts = [0, 0, 0, 0]
        for second in range(start + cell * step, min(start + (cell + 1) * step, now)):
            told = []
            for kind in of:
                mine = [g for g in gaps if g.what in ("all", kind) and g.from_ns <= second * SECOND < g.to_ns]
                if any(g.state != "filled" for g in mine):
                    told.append(2)
                elif mine:
                    told.append(1)
                elif any(s.what == kind and s.from_ns <= second * SECOND < s.to_ns for s in spans):
                    told.append(0)
                else:
                    told.append(9)
            if 2 in told:
                counts[2] += 1
            elif 9 not in told:
                counts[max(told)] += 1
            elif 0 in told:
                counts[3] += 1
        out.append((counts[0], counts[1], counts[2], counts[3]))
    return out
