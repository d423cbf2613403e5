"""Rates by source, what was throttled, the traffic of the built-in exchange."""

from __future__ import annotations

from dashboards.charts.common import CLEAR, RIGHT, Figure, bounds, line, time_axis

REAL_SLOT = {
    "type": "scatter",
    "mode": "lines",
    "x": [],
    "y": [],
    "stackgroup": "all",
    "line": {"width": 1.2, "shape": "hv"},
    "hovertemplate": "%{customdata:,.0f}/s",
}
SIMULATED_SLOT = {
    **REAL_SLOT,
    "fillpattern": {"shape": "/", "size": 6, "solidity": 0.2, "bgcolor": CLEAR},
}


def throughput() -> Figure:
    """Messages of real sources above, orders of simulated ones below; the client drops a pane nobody needs."""
    return {
        "data": [bounds()],
        "slots": {"real": REAL_SLOT, "sim": SIMULATED_SLOT},
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "yaxis2": {
                "autorange": True,
                "rangemode": "tozero",
                "tickformat": "~s",
                "nticks": 3,
                "side": "right",
            },
            "margin": {"t": 18, "r": RIGHT},
        },
    }


def rate() -> Figure:
    return {
        "data": [bounds()],
        "slots": {"real": REAL_SLOT, "sim": SIMULATED_SLOT},
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": RIGHT},
        },
    }


def limits() -> Figure:
    return {
        "data": [
            {
                "type": "bar",
                "name": "Throttled",
                "x": [],
                "y": [],
                "marker": {"color": "var(--vs-stale-solid)", "opacity": 0.75},
                "hovertemplate": "%{y} calls",
            },
            line("Waiting", "var(--vs-paused)", width=1.6, hovertemplate="%{y} in queue")
            | {"line": {"color": "var(--vs-paused)", "width": 1.6, "shape": "hv"}},
            {
                "type": "scatter",
                "name": "Refused",
                "mode": "markers",
                "x": [],
                "y": [],
                "customdata": [],
                "marker": {"color": "var(--vs-error)", "symbol": "diamond", "size": 8},
                "hovertemplate": "%{customdata} refused by the venue",
            },
            bounds(),
        ],
        "layout": {
            "bargap": 0.25,
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "nticks": 5, "tickformat": ",d"},
            "margin": {"t": 18, "r": RIGHT},
        },
    }


def exchange_rates() -> Figure:
    """Commands of clients, their answers, and what came of them: all of the built-in exchange, so in its colour."""
    steps = {"shape": "hv"}
    return {
        "data": [
            line(
                "Fills", "var(--vs-venue-sim)", fill="tozeroy", hovertemplate="%{y:,.~f}/s", connectgaps=False
            )
            | {
                "line": {"color": "var(--vs-venue-sim)", "width": 1, **steps},
                "fillcolor": "var(--vs-hover)",  # clients' own: hatched is simulated
            },
            line("Orders", "var(--vs-text-1)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-text-1)", "width": 1.6, **steps}},
            line("Acks", "var(--vs-venue-sim)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-venue-sim)", "width": 1.6, "dash": "dash", **steps}},
            line("Rejects", "var(--vs-error)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-error)", "width": 1.4, **steps}},
            bounds(),
        ],
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": RIGHT},
        },
    }
