"""Latency: percentiles over time, samples, the distribution."""

from __future__ import annotations

from dashboards.charts.common import CLEAR, RIGHT, Figure, band, bounds, line, time_axis

PERCENTILES = (
    ("p50", "p50", "solid", 1.4),
    ("p90", "p90", "dash", 1.4),
    ("p95", "p95", "longdash", 1.4),
    ("p99", "p99", "solid", 1.8),
    ("p99.9", "p999", "solid", 1.8),
)


HEAT = (
    (0.0, 0),
    (0.088, 0),  # a share of none, the panel's colour; then the least shade at once
    (0.0881, 1),
    (0.3, 2),
    (0.5, 3),
    (0.7, 4),
    (0.88, 5),
    (1.0, 6),
)


def threshold() -> Figure:
    """The latency threshold: a trace, so that it outlives a zoom."""
    return line("Threshold", "var(--vs-error)", width=1.2, dash="6px,5px", hoverinfo="skip")


def latency_map() -> Figure:
    """Share of a column's samples by cell, log; p50 and p99 with an edge that shows them on any shade."""
    lines = (("p50", 0, 6), ("p99", 6, 0))
    return {
        "data": [
            {
                "type": "heatmap",
                "name": "Samples",
                "z": [],
                "y": [],
                "x0": 0,
                "dx": 1000,
                "zmin": -4.35,  # decades of the share; assets/55_latency_map.js
                "zmax": -0.45,
                "zsmooth": False,
                "hoverongaps": False,
                "showscale": False,
                "colorscale": [[at, f"var(--vs-heat-{shade})"] for at, shade in HEAT],
                "hovertemplate": "%{text}<extra></extra>",
            },
            {
                "type": "scatter",
                "name": "Not kept",
                "mode": "lines",
                "x": [],
                "y": [],
                "fill": "toself",
                "fillcolor": "var(--vs-hover)",  # a limit of our own is nothing that went wrong
                "line": {"width": 0, "color": CLEAR},
                "hoverinfo": "skip",
            },
            *(
                line(
                    name,
                    f"var(--vs-heat-{shade})",
                    width=width,
                    connectgaps=False,
                    hoverinfo="skip",  # the cells have the hover
                    opacity=opacity,
                    **({"texttemplate": "%{y:,.3r} %{meta}", "meta": ""} if opacity == 1 else {}),
                )
                for name, ink, rim in lines
                for shade, width, opacity in ((rim, 3.4, 0.55), (ink, 1.5, 1))
            ),
            threshold(),
            bounds(),
        ],
        "layout": {
            "hovermode": "closest",
            "xaxis": time_axis(showgrid=False),
            "yaxis": {"type": "log", "autorange": True, "side": "left", "showgrid": False},
            "margin": {"t": 22, "l": 48, "r": RIGHT},
        },
    }


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
                    hovertemplate="%{y:,.3r} %{meta}",
                    meta="",
                )
                for name, token, dash, width in PERCENTILES
            ),
            bounds(),
            threshold(),
            band("y2"),
        ],
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"type": "log", "autorange": True, "side": "left", "nticks": 3, "tickformat": ",~r"},
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 22, "l": 48, "r": RIGHT},
        },
    }


def distribution() -> Figure:
    return {
        "data": [
            line("Latency", "var(--vs-p99)", width=1.8, hovertemplate="%{y:,.3r} %{meta}", meta=""),
            bounds(),
            line(
                "Beside it",
                "var(--vs-p50)",
                width=1.1,
                dash="dot",
                hovertemplate="%{y:,.3r} %{meta}",
                meta="",
            ),
            threshold(),
        ],
        "layout": {
            "xaxis": {
                "autorange": True,
                "tickvals": [0.301, 1, 2, 3, 4, 5],
                "ticktext": ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"],
                "hoverformat": ".2f",
            },
            "yaxis": {"type": "log", "autorange": True, "side": "left", "nticks": 3, "tickformat": ",~r"},
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
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 4},
            "margin": {"t": 18, "r": RIGHT},
        },
    }
