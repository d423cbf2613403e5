"""The liquidity heatmap: resting size, the mid, what was bought and sold."""

from __future__ import annotations

from dashboards.charts.common import CLEAR, RIGHT, Figure, band, bounds, line, time_axis

RAMP = ((0.0, 0), (0.12, 1), (0.34, 2), (0.55, 3), (0.74, 4), (0.9, 5), (1.0, 6))


def book_map() -> Figure:
    """Size by time and price on a log scale of colour; a circle is what takers bought in a column, a diamond what
    they sold, the area its size.
    """

    def bubbles(name: str) -> Figure:
        return {
            "type": "scatter",
            "name": name,
            "mode": "markers",
            "x": [],
            "y": [],
            "text": [],
            "marker": {"size": []},
            # A trace of markers alone would push the ends of the time axis out by a twentieth.
            "fill": "tonexty",
            "fillcolor": CLEAR,
            "hovertemplate": "%{text} at %{y}<extra></extra>",
        }

    return {
        "data": [
            {
                "type": "heatmap",
                "name": "Resting",
                "x": [],
                "y": [],
                "z": [],
                "text": [],
                "colorscale": [[at, f"var(--vs-heat-{number})"] for at, number in RAMP],
                "zauto": False,
                "showscale": False,
                "hoverongaps": False,
                "hovertemplate": "<b>%{text}</b> at %{y}<br>%{x|%H:%M:%S}<extra></extra>",
            },
            line("Halo", "var(--vs-surface-1)", width=3.6, hoverinfo="skip", connectgaps=False, opacity=0.75),
            line("Mid", "var(--vs-text-1)", width=1.4, hoverinfo="skip", connectgaps=False),
            bubbles("Bought"),
            bubbles("Sold"),
            band("y2"),
            bounds(yaxis="y2"),
        ],
        "layout": {
            "hovermode": "closest",
            "xaxis": time_axis(showgrid=False),
            "yaxis": {"autorange": True, "tickformat": ",~f", "showgrid": False, "nticks": 9},
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 26, "r": RIGHT},
        },
    }
