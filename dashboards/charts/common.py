"""What charts are put together from: lines, bands, bounds, a time axis."""

from __future__ import annotations

from typing import Any

Figure = dict[str, Any]

RIGHT = 84  # margin of charts over time that are stacked: an instant is at the same place in each
MUTED = "var(--vs-text-3)"
CLEAR = "rgba(0,0,0,0)"


def bounds(**axes: str) -> Figure:
    """The trace that keeps an axis as wide as the window; it draws and says nothing."""
    return {
        "type": "scatter",
        "name": "bounds",
        "mode": "lines",
        "x": [],
        "y": [],
        "line": {"width": 0, "color": CLEAR},
        "hoverinfo": "skip",
        **axes,
    }


def band(axis: str) -> Figure:
    """The stretches without a right book, as bands from 0 to 1 of an axis of their own."""
    return {
        "type": "scatter",
        "name": "Gap",
        "mode": "lines",
        "x": [],
        "y": [],
        "yaxis": axis,
        "fill": "toself",
        "fillcolor": "var(--vs-stale-weak)",
        "line": {"width": 0, "color": CLEAR},
        "hoverinfo": "skip",
    }


def line(name: str, colour: str, *, width: float = 1.5, dash: str = "solid", **more: Any) -> Figure:
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines",
        "x": [],
        "y": [],
        "line": {"color": colour, "width": width, "dash": dash},
        **more,
    }


def time_axis(**more: Any) -> Figure:
    return {"type": "date", "autorange": True, **more}
