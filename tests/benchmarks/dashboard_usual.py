"""The usual way to show live charts in Dash, for `bench_dashboard.py` to compare with: one interval, one callback a
chart, each giving a whole `go.Figure` of the window.

It shows what Overview does, from the same engine: depth, candles, five percentiles, throughput.
"""

from __future__ import annotations

from typing import Any

import dash
import plotly.graph_objects as go
from dash import Input, Output, dcc, html

from dashboards.transport import Transport

CHARTS = ("depth", "candles", "latency", "throughput")
PERCENTILES = ("p50", "p90", "p95", "p99", "p999")


def create_usual(transport: Transport, params: dict[str, Any], hertz: int) -> dash.Dash:
    """An application of one page with a callback for each of CHARTS, `hertz` times a second."""
    app = dash.Dash("usual", update_title=None, serve_locally=True)
    app.layout = html.Div(
        [
            *(
                dcc.Graph(id=name, style={"height": "360px", "width": "48%", "display": "inline-block"})
                for name in CHARTS
            ),
            dcc.Interval(id="tick", interval=1000 // hertz),
        ]
    )
    for name in CHARTS:
        _register(app, transport, {**params, "client": f"usual {name}", "streams": [name]}, name)
    return app


def _register(app: dash.Dash, transport: Transport, params: dict[str, Any], name: str) -> None:
    draw = {"depth": depth, "candles": candles, "latency": latency, "throughput": throughput}[name]

    @app.callback(Output(name, "figure"), Input("tick", "n_intervals"))
    def update(_: int | None) -> go.Figure:
        answer = transport.poll(params, {})  # without cursors: all of the window
        return draw(answer["streams"][name], answer["market"])


def depth(stream: dict[str, Any], market: dict[str, Any]) -> go.Figure:
    """Cumulative size by price."""
    figure = go.Figure()
    if "b" not in stream:
        return figure
    price, size = 10 ** market["price_decimals"], 10 ** market["size_decimals"]
    for side, name in (("b", "Bids"), ("a", "Asks")):
        x, y, at, total = [], [], 0, 0
        for step, quantity in zip(stream[side]["p"], stream[side]["q"], strict=True):
            at, total = at + step, total + quantity
            x.append(at / price)
            y.append(total / size)
        figure.add_trace(go.Scatter(x=x, y=y, name=name, mode="lines", fill="tozeroy", line_shape="hv"))
    return figure


def candles(stream: dict[str, Any], market: dict[str, Any]) -> go.Figure:
    """Open, high, low, close and volume."""
    price, size = 10 ** market["price_decimals"], 10 ** market["size_decimals"]
    o, h, l, c = ([value / price for value in stream[key]] for key in "ohlc")  # noqa: E741  their names
    bars = go.Candlestick(x=stream["t"], open=o, high=h, low=l, close=c, name="Price")
    volume = go.Bar(x=stream["t"], y=[value / size for value in stream["v"]], yaxis="y2", name="Volume")
    figure = go.Figure([bars, volume])
    figure.update_layout(
        xaxis={"type": "date", "rangeslider": {"visible": False}},
        yaxis={"domain": [0.3, 1]},
        yaxis2={"domain": [0, 0.2]},
    )
    return figure


def latency(stream: dict[str, Any], _: dict[str, Any]) -> go.Figure:
    """Five percentiles over time."""
    lines = [go.Scatter(x=stream["t"], y=stream[key], name=key, mode="lines") for key in PERCENTILES]
    figure = go.Figure(lines)
    figure.update_layout(xaxis={"type": "date"}, yaxis={"type": "log"})
    return figure


def throughput(stream: dict[str, Any], _: dict[str, Any]) -> go.Figure:
    """Messages and orders per second, stacked."""
    areas = [
        go.Scatter(
            x=stream["t"],
            y=one["orders" if one["run"] == "sim" else "messages"],
            name=one["label"],
            stackgroup="all",
        )
        for one in stream["series"]
    ]
    figure = go.Figure(areas)
    figure.update_layout(xaxis={"type": "date"})
    return figure
