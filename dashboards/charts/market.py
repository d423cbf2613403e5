"""The market: depth, candles, spread and imbalance, mids of venues."""

from __future__ import annotations

from dashboards.charts.common import MUTED, RIGHT, Figure, band, bounds, line, time_axis


def depth() -> Figure:
    def side(name: str, colour: str, shape: str) -> Figure:
        return line(
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
            line("Mid", MUTED, width=1, dash="dot", hoverinfo="skip"),
            bounds(),
            band("y2"),
        ],
        "layout": {
            "xaxis": {"autorange": True, "tickformat": ",~f", "hoverformat": ",~f"},
            "yaxis": {"autorange": True, "rangemode": "tozero", "tickformat": "~s"},
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 18, "r": 72},
        },
    }


def candles() -> Figure:
    def volume(name: str, colour: str, opacity: float) -> Figure:
        return {
            "type": "bar",
            "name": name,
            "x": [],
            "y": [],
            "yaxis": "y2",
            "marker": {"color": f"var(--vs-{colour})", "opacity": opacity},
            "texttemplate": "%{y:,.~f} %{meta}",
            "textposition": "none",
            "hoverinfo": "skip",
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
                "hoverinfo": "none",  # the read-out above tells the candle under the pointer
            },
            volume("Volume, rising", "up", 0.42),
            volume("Volume, falling", "down", 0.55),
            line("Last", MUTED, width=1, dash="dot", hoverinfo="skip"),
            band("y3"),
            bounds(yaxis="y3"),
            {
                "type": "ohlc",
                "name": "Price",
                **{name: [] for name in ("x", "open", "high", "low", "close")},
                "increasing": {"line": {"color": "var(--vs-up)", "width": 1.4}},
                "decreasing": {"line": {"color": "var(--vs-down)", "width": 1.4}},
                "tickwidth": 0.3,
                "hoverinfo": "none",
            },
            line("Close", "var(--vs-text-1)", width=1.4, texttemplate="%{y}", hoverinfo="none"),
        ],
        # What studies are made of; the page puts them behind the rest, in their order.
        "slots": {
            "study": line("", MUTED, width=1.4, texttemplate="%{y}", hoverinfo="skip"),
            "edge": line("", MUTED, width=1, texttemplate="%{y}", hoverinfo="skip"),
            "rows": band("y") | {"name": "Volume by price", "xaxis": "x2"},
            "control": line("Point of control", MUTED, width=1.4, hoverinfo="skip", xaxis="x2"),
            "reach": bounds(xaxis="x2"),
        },
        "layout": {
            "bargap": 0.3,
            "barmode": "overlay",
            "xaxis": time_axis(rangeslider={"visible": False}, anchor="y2"),
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
            "margin": {"t": 18, "r": RIGHT},
        },
    }


def metrics() -> Figure:
    up_fill, down_fill = "var(--vs-up-fill)", "var(--vs-down-fill)"
    return {
        "data": [
            line("Spread", "var(--vs-text-2)", hovertemplate="%{y:,~f}", connectgaps=False)
            | {"line": {"color": "var(--vs-text-2)", "width": 1.5, "shape": "hv"}},
            line("More bids", "var(--vs-up)", width=1.2, yaxis="y2", fill="tozeroy", fillcolor=up_fill)
            | {"hovertemplate": "%{y:+.0%}"},
            line("More asks", "var(--vs-down)", width=1.2, yaxis="y2", fill="tozeroy", fillcolor=down_fill)
            | {"hovertemplate": "%{y:+.0%}"},
            bounds(yaxis="y2"),
            band("y3"),
            band("y4"),
        ],
        "layout": {
            "xaxis": time_axis(anchor="y2"),
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
                "labelalias": {"+0%": "0%"},  # nothing has no direction
            },
            "yaxis3": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "yaxis4": {"overlaying": "y2", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 18, "r": 60},
        },
    }


def mids() -> Figure:
    """One line a venue, made from the slot: its mid less the consensus of all, in basis points."""
    return {
        "data": [bounds(), line("Consensus", MUTED, width=1, dash="dot", hoverinfo="skip")],
        "slots": {
            "real": line("", MUTED, width=1.4, connectgaps=False, hovertemplate="%{y:+,.3~f} bp")
            | {"line": {"width": 1.4, "shape": "hv"}}
        },
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "nticks": 5, "tickformat": "+~g", "labelalias": {"+0": "0"}},
            "margin": {"t": 18, "r": 128},
        },
    }


def indexed() -> Figure:
    """One line a source, made from the slots: its close, 100 being its first of the window; dashes: simulated."""
    real = line("", MUTED, width=1.5, connectgaps=False, hovertemplate="%{y:.3f}")
    return {
        "data": [bounds(), line("Start", MUTED, width=1, dash="dot", hoverinfo="skip"), band("y2")],
        "slots": {"real": real, "sim": real | {"line": {"width": 1.5, "color": MUTED, "dash": "4px,3px"}}},
        "layout": {
            "xaxis": time_axis(),
            "yaxis": {"autorange": True, "nticks": 5, "tickformat": ".2~f"},
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"t": 18, "r": 136},
        },
    }
