"""Throughput: messages, orders and trades per second by source, real and simulated stacked."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels


def _rate(name: str, title: str, sub: str, unit: str) -> Component:
    return panels.panel(
        name,
        title,
        sub,
        streams=["throughput"],
        chart=name,
        part=name,
        tools=[html.Div(className="vs-keys", **{"data-host": f"keys:{name}"})],
        units=(("tr", unit), ("br", "{utc.throughput}")),
        note="stacked; hatched is simulated",
        cls="c6",
    )


def layout(**_: object) -> Component:
    """The page's content."""
    totals = panels.panel(
        "totals",
        "By source",
        "Mean per second over the window, and the highest second",
        streams=["throughput"],
        part="totals",
        body=panels.table(
            "totals",
            [
                ("Source", ""),
                ("Messages/s", "n"),
                ("peak", "n"),
                ("Orders/s", "n"),
                ("peak", "n"),
                ("Trades/s", "n"),
                ("peak", "n"),
                ("In the window", "n"),
            ],
            cls="is-roomy",
            caption="Throughput by source",
        ),
        cls="c6",
    )
    return panels.page(
        "throughput",
        "Throughput",
        html.Div(
            [
                _rate("messages", "Messages", "Frames received, per second", "msg/s"),
                _rate(
                    "orders",
                    "Orders",
                    "Matched by the built-in exchange: simulated, and clients'",
                    "orders/s",
                ),
            ],
            className="vs-grid row1",
        ),
        html.Div(
            [_rate("trades", "Trades", "Executions, per second", "trades/s"), totals],
            className="vs-grid row2",
        ),
    )
