"""What past a page looks at, and what of it is of now all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dashboards.streams.common import Json, ms
from dashboards.view import View

# Streams of the source looked at, by its clock, where that is of the past. All others are of now.
OF_THE_PAST: Final = frozenset(
    (
        *("depth", "impact", "candles", "trades", "metrics", "funding"),
        *("latency", "stages", "distribution", "throughput", "tiles", "events"),
    )
)


def past_fields(view: View, asked: Sequence[str]) -> Json | None:
    """The past that `view` is of, with those of the streams `asked` that are of now; None where all are of now."""
    source, replay = view.source, view.engine.replay
    if not view.past or source is None or replay is None:
        return None
    return {
        "source": source.source.key,
        "label": source.label,
        "at": ms(view.now_ns),
        "state": replay.state,
        "offset_ms": ms(source.offset_ns) if source.offset_ns is not None else None,
        "recorded": list(source.recorded),
        "now": [name for name in asked if name not in OF_THE_PAST],
    }
