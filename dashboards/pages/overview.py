"""Overview: figures, the market, how we behave, what the venues allow."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content; query strings belong to the client."""
    tiles = html.Section(
        [
            panels.tile("real", "Real throughput", "msg/s", "--vs-text-2"),
            panels.tile("sim", "Simulated", "orders/s", "--vs-text-2", hatch=True),
            panels.tile("p50", "Latency p50", "", "--vs-p50"),
            panels.tile("p99", "Latency p99", "", "--vs-p99"),
            panels.tile("spread", "Spread", "", "--vs-text-2"),
            panels.tile("throttled", "Throttled", "calls", "--vs-stale-solid"),
            panels.tile("gaps", "Sequence gaps", "since opened", "--vs-stale-solid"),
            html.Article(
                [
                    html.H3(["Books", html.Em("", **{"data-f": "books.side"})]),
                    html.Div(className="books", **{"data-host": "books"}),
                ],
                className="vs-tile w2",
            ),
        ],
        className="vs-tiles",
        **{"aria-label": "Key figures", "data-streams": "tiles"},
    )
    return panels.page(
        "overview",
        "Overview",
        tiles,
        html.Div([shared.depth("c5"), shared.candles("c7")], className="vs-grid row1"),
        html.Div(
            [
                shared.percentiles("c5"),
                panels.panel(
                    "throughput",
                    "Throughput",
                    "Messages received and orders matched",
                    streams=["throughput"],
                    chart="throughput",
                    tools=[html.Div(className="vs-keys", **{"data-host": "keys:throughput"})],
                    units=(("tr", "{unit.throughput}"), ("br", "{utc.throughput}")),
                    note="hatched is simulated",
                    cls="c7",
                ),
            ],
            className="vs-grid row2",
        ),
        shared.limits_strip(),
    )
