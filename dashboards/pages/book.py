"""Book: cumulative depth, spread and imbalance over time, what an order would pay, the ladder."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    spread = panels.panel(
        "metrics",
        "Spread and imbalance",
        "Best ask less best bid; resting size of both sides compared",
        streams=["metrics"],
        chart="metrics",
        read=panels.readout(("Spread", "metrics.spread"), ("Imbalance", "metrics.imbalance")),
        units=(("tr", "{unit.quote}"), ("br", "{utc.metrics}")),
        note="above zero: more bids than asks",
    )
    impact = panels.panel(
        "impact",
        "Impact",
        "What a market order would pay now",
        streams=["impact"],
        body=html.Div(
            [
                html.Div(className="vs-impact-form", **{"data-host": "impact:form"}),
                panels.readout(
                    ("Average", "impact.average"),
                    ("Impact", "impact.bp"),
                    ("Levels", "impact.levels"),
                    ("Filled", "impact.filled", "is-line"),
                ),
                panels.table(
                    "impact:rows",
                    [("Amount", ""), ("Buy at", "n"), ("bp", "n"), ("Sell at", "n"), ("bp", "n")],
                    cls="is-impact",
                    caption="Average price and impact by amount",
                ),
            ],
            className="vs-impact",
        ),
        note="from the mid, fees not counted",
        cls="is-impact",
    )
    ladder = panels.panel(
        "ladder",
        "Ladder",
        "Size and running sum by price",
        streams=["depth"],
        body=html.Div(
            [
                html.Div(
                    [
                        html.Span("Price", **{"data-f": "ladder.price"}),
                        html.Span("Size", **{"data-f": "ladder.size"}),
                        html.Span("Sum", **{"data-f": "ladder.sum"}),
                    ],
                    className="h",
                ),
                html.Div(className="side is-ask", **{"data-host": "ladder:a"}),
                html.Div(
                    [
                        html.B("–", **{"data-f": "ladder.last"}),
                        html.Span("", className="vs-sec", **{"data-f": "ladder.spread"}),
                    ],
                    className="mid",
                ),
                html.Div(className="side is-bid", **{"data-host": "ladder:b"}),
            ],
            className="vs-ladder",
        ),
        cls="is-ladder",
    )
    return panels.page(
        "book",
        "Book",
        html.Div(
            [
                html.Div(
                    [shared.depth("is-tall"), html.Div([spread, impact], className="vs-book-row")],
                    className="vs-stack",
                ),
                ladder,
            ],
            className="vs-cols",
        ),
    )
