"""What each chart is made of, as plain figures without rows.

Pure: `spec(name)` gives {data, layout} and, where series come and go, `slots`: the traces they are made from.
Colours are token names ("var(--vs-up)"), resolved in the browser for the theme; the common part of all layouts
is `template.json`. The client puts arrays into the traces by their order here (`assets/50_charts.js`), and never
sends a layout again after the first draw: a `bounds` trace, drawn in nothing, holds the window open instead of
a range, and lines, bands and thresholds are traces, so that a zoom outlives every update.
"""

from __future__ import annotations

import copy
from typing import Any

Figure = dict[str, Any]

MUTED = "var(--vs-text-3)"
CLEAR = "rgba(0,0,0,0)"


def _bounds(**axes: str) -> Figure:
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


def _band(axis: str) -> Figure:
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


def _line(name: str, colour: str, *, width: float = 1.5, dash: str = "solid", **more: Any) -> Figure:
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines",
        "x": [],
        "y": [],
        "line": {"color": colour, "width": width, "dash": dash},
        **more,
    }


def _time_axis(**more: Any) -> Figure:
    return {"type": "date", "autorange": True, **more}


def _depth() -> Figure:
    def side(name: str, colour: str, shape: str) -> Figure:
        return _line(
            name,
            f"var(--vs-{colour})",
            width=1.6,
            fill="tozeroy",
            fillcolor=f"var(--vs-{colour}-fill)",
            hovertemplate="%{y:,.~f} %{meta}",
            meta="",
        ) | {"line": {"color": f"var(--vs-{colour})", "width": 1.6, "shape": shape}}

    return {
        "data": [
            side("Bids", "up", "hv"),
            side("Asks", "down", "hv"),
            _line("Mid", MUTED, width=1, dash="dot", hoverinfo="skip"),
            _bounds(),
        ],
        "layout": {
            "xaxis": {"autorange": True, "tickformat": ",~f", "hoverformat": ",~f"},
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s"},
            "margin": {"t": 18, "r": 72},
        },
    }


def _candles() -> Figure:
    def volume(name: str, colour: str, opacity: float) -> Figure:
        return {
            "type": "bar",
            "name": name,
            "x": [],
            "y": [],
            "yaxis": "y2",
            "marker": {"color": f"var(--vs-{colour})", "opacity": opacity},
            "hovertemplate": "%{y:,.~f} %{meta}",
            "meta": "",
        }

    return {
        "data": [
            {
                "type": "candlestick",
                "name": "Price",
                "x": [],
                "open": [],
                "high": [],
                "low": [],
                "close": [],
                "increasing": {
                    "line": {"color": "var(--vs-up)", "width": 1},
                    "fillcolor": "var(--vs-surface-1)",
                },
                "decreasing": {
                    "line": {"color": "var(--vs-down)", "width": 1},
                    "fillcolor": "var(--vs-down)",
                },
                "whiskerwidth": 0,
            },
            volume("Volume, rising", "up", 0.42),
            volume("Volume, falling", "down", 0.55),
            _line("Last", MUTED, width=1, dash="dot", hoverinfo="skip"),
            _band("y3"),
            _bounds(yaxis="y3"),
        ],
        "layout": {
            "bargap": 0.3,
            "barmode": "overlay",
            "xaxis": _time_axis(rangeslider={"visible": False}, anchor="y2"),
            "yaxis": {"domain": [0.3, 1], "autorange": True, "tickformat": ",~f"},
            "yaxis2": {
                "domain": [0, 0.18],
                "side": "right",
                "autorange": True,
                "rangemode": "tozero",
                "nticks": 3,
                "tickformat": "~s",
                "showgrid": False,
            },
            "yaxis3": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 18, "r": 72},
        },
    }


PERCENTILES = (
    ("p50", "p50", "solid", 1.4),
    ("p90", "p90", "dash", 1.4),
    ("p95", "p95", "longdash", 1.4),
    ("p99", "p99", "solid", 1.8),
    ("p99.9", "p999", "solid", 1.8),
)


def _latency() -> Figure:
    return {
        "data": [
            *(
                _line(
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
            _bounds(),
        ],
        "layout": {
            "xaxis": _time_axis(),
            "yaxis": {"type": "log", "autorange": True, "side": "left", "nticks": 3, "tickformat": "~g"},
            "margin": {"t": 22, "l": 40, "r": 84},
        },
    }


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


def _throughput() -> Figure:
    """Messages of real sources above, orders of simulated ones below; the client drops a pane nobody needs."""
    return {
        "data": [_bounds()],
        "slots": {"real": REAL_SLOT, "sim": SIMULATED_SLOT},
        "layout": {
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "yaxis2": {
                "autorange": True,
                "rangemode": "tozero",
                "tickformat": "~s",
                "nticks": 3,
                "side": "right",
            },
            "margin": {"t": 18, "r": 58},
        },
    }


def _rate() -> Figure:
    return {
        "data": [_bounds()],
        "slots": {"real": REAL_SLOT, "sim": SIMULATED_SLOT},
        "layout": {
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": 58},
        },
    }


def _metrics() -> Figure:
    up_fill, down_fill = "var(--vs-up-fill)", "var(--vs-down-fill)"
    return {
        "data": [
            _line("Spread", "var(--vs-text-2)", hovertemplate="%{y:,~f}", connectgaps=False)
            | {"line": {"color": "var(--vs-text-2)", "width": 1.5, "shape": "hv"}},
            _line("More bids", "var(--vs-up)", width=1.2, yaxis="y2", fill="tozeroy", fillcolor=up_fill)
            | {"hovertemplate": "%{y:+.0%}"},
            _line("More asks", "var(--vs-down)", width=1.2, yaxis="y2", fill="tozeroy", fillcolor=down_fill)
            | {"hovertemplate": "%{y:+.0%}"},
            _bounds(yaxis="y2"),
            _band("y3"),
            _band("y4"),
        ],
        "layout": {
            "xaxis": _time_axis(anchor="y2"),
            "yaxis": {
                "domain": [0.54, 1],
                "autorange": True,
                "rangemode": "tozero",
                "nticks": 4,
                "tickformat": ",~f",
            },
            "yaxis2": {
                "domain": [0, 0.42],
                "side": "right",
                "autorange": True,
                "nticks": 4,
                "tickformat": "+.0%",
            },
            "yaxis3": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "yaxis4": {"overlaying": "y2", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 18, "r": 60},
        },
    }


def _distribution() -> Figure:
    return {
        "data": [
            _line("Latency", "var(--vs-p99)", width=1.8, hovertemplate="%{y:.3~g} %{meta}", meta=""),
            _bounds(),
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


def _samples() -> Figure:
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
            _bounds(),
        ],
        "layout": {
            "bargap": 0.15,
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": 52},
        },
    }


def _limits() -> Figure:
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
            _line("Waiting", "var(--vs-paused)", width=1.6, hovertemplate="%{y} in queue")
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
            _bounds(),
        ],
        "layout": {
            "bargap": 0.25,
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "nticks": 5, "tickformat": ",d"},
            "margin": {"t": 18, "r": 52},
        },
    }


def _mids() -> Figure:
    """One line a venue, made from the slot: its mid less the consensus of all, in basis points."""
    return {
        "data": [_bounds(), _line("Consensus", MUTED, width=1, dash="dot", hoverinfo="skip")],
        "slots": {
            "real": _line("", MUTED, width=1.4, connectgaps=False, hovertemplate="%{y:+,.3~f} bp")
            | {"line": {"width": 1.4, "shape": "hv"}}
        },
        "layout": {
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "nticks": 5, "tickformat": "+~g"},
            "margin": {"t": 18, "r": 52},
        },
    }


def _exchange_rates() -> Figure:
    """Commands of clients, their answers, and what came of them: all of the built-in exchange, so in its colour."""
    steps = {"shape": "hv"}
    return {
        "data": [
            _line(
                "Fills", "var(--vs-venue-sim)", fill="tozeroy", hovertemplate="%{y:,.~f}/s", connectgaps=False
            )
            | {
                "line": {"color": "var(--vs-venue-sim)", "width": 1, **steps},
                "fillcolor": "var(--vs-hover)",  # clients' own: hatched is simulated
            },
            _line("Orders", "var(--vs-text-1)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-text-1)", "width": 1.6, **steps}},
            _line("Acks", "var(--vs-venue-sim)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-venue-sim)", "width": 1.6, "dash": "dash", **steps}},
            _line("Rejects", "var(--vs-error)", hovertemplate="%{y:,.~f}/s", connectgaps=False)
            | {"line": {"color": "var(--vs-error)", "width": 1.4, **steps}},
            _bounds(),
        ],
        "layout": {
            "xaxis": _time_axis(),
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s", "nticks": 5},
            "margin": {"t": 18, "r": 52},
        },
    }


SPECS: dict[str, Figure] = {
    "depth": _depth(),
    "candles": _candles(),
    "latency": _latency(),
    "throughput": _throughput(),
    "messages": _rate(),
    "orders": _rate(),
    "trades": _rate(),
    "metrics": _metrics(),
    "distribution": _distribution(),
    "samples": _samples(),
    "limits": _limits(),
    "mids": _mids(),
    "exchange_rates": _exchange_rates(),
    "exchange_latency": _latency(),
}


def spec(name: str) -> Figure:
    """A copy of the figure called `name`, without rows."""
    return copy.deepcopy(SPECS[name])
