"""What past a page looks at, and what of it is of now all the same."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.streams.common import Json, ms
from dashboards.streams.table import OF_THE_PAST
from dashboards.view import View


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
