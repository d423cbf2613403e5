"""Latency: percentiles over time, samples, the distribution."""

from __future__ import annotations

from dashboards.charts.common import Figure, bounds, line, time_axis

PERCENTILES = (
    ("p50", "p50", "solid", 1.4),
    ("p90", "p90", "dash", 1.4),
    ("p95", "p95", "longdash", 1.4),
    ("p99", "p99", "solid", 1.8),
    ("p99.9", "p999", "solid", 1.8),
)


def latency() -> Figure:
    return {
        "data": [
            *(
                line(
                    name,
                    f"var(--vs-{token})",
                    width=width,
                    dash=dash,
                    connectgaps=False,
                    hovertemplate="%{y:.3~g} %{meta}",
                    meta="",
                )
                for name, token, dash, width in PERCENTILES
            ),
            bounds(),
        ],
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"type": "log", "autorange": True, "side": "left", "nticks": 3, "tickformat": "~g"},
            "margin": {"t": 22, "l": 40, "r": 84},
        },
    }


def distribution() -> Figure:
    return {
        "data": [
            line("Latency", "var(--vs-p99)", width=1.8, hovertemplate="%{y:.3~g} %{meta}", meta=""),
            bounds(),
        ],
        "layout": {
            "xaxis": {
                "autorange": True,
                "tickvals": [0.301, 1, 2, 3, 4, 5],
                "ticktext": ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"],
                "hoverformat": ".2f",
            },
            "yaxis": {"type": "log", "autorange": True, "side": "left", "nticks": 3, "tickformat": "~g"},
            "margin": {"t": 22, "l": 40, "r": 26},
        },
    }


def samples() -> Figure:
    return {
        "data": [
            {
                "type": "bar",
                "name": "Samples",
                "x": [],
                "y": [],
                "marker": {"color": "var(--vs-p50)", "opacity": 0.7},
                "hovertemplate": "%{y:,}",
            },
            bounds(),
        ],
        "layout": {
            "bargap": 0.15,
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": 52},
        },
    }
