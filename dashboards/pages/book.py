"""Book: where size rested over time, the ladder, depth, spread and imbalance, what an order would pay, trades."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import grids, panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    return panels.page(
        "book",
        "Book",
        html.Div(
            [
                html.Div(
                    [
                        liquidity(),
                        html.Div(
                            [shared.depth("is-depth", controls=True), spread(), impact()],
                            className="vs-book-row",
                        ),
                    ],
                    className="vs-stack",
                ),
                html.Div([ladder(), shared.tape()], className="vs-stack is-side"),
            ],
            className="vs-cols",
        ),
    )


def liquidity() -> Component:
    """Resting size by time and price."""
    legend = html.Div(
        [
            panels.figure("book_map.low"),
            html.I(className="vs-heat"),
            panels.figure("book_map.high"),
            html.Span([html.I(className="vs-mark is-bought"), "bought"]),
            html.Span([html.I(className="vs-mark is-sold"), "sold"]),
        ],
        className="vs-heat-key",
    )
    return panels.panel(
        "book_map",
        "Liquidity",
        "Resting size by time and price",
        streams=["book_map"],
        chart="book_map",
        tools=[
            legend,
            panels.select("source", "Source of the book"),
            panels.select("rows", "Prices joined to a row, in quote currency"),
        ],
        units=(("tr", "{unit.quote}"), ("br", "{utc.book_map}")),
        note="trades: the largest fifth of columns; empty: not known",
        cls="is-tall is-map",
    )


def spread() -> Component:
    """Best ask less best bid, and which side has more."""
    return panels.panel(
        "metrics",
        "Spread and imbalance",
        "Best ask less best bid; resting size of both sides compared",
        streams=["metrics"],
        chart="metrics",
        read=panels.readout(("Spread", "metrics.spread"), ("Imbalance", "metrics.imbalance")),
        units=(("tr", "{unit.quote}"), ("br", "{utc.metrics}")),
        note="+: bids",
    )


def impact() -> Component:
    """What market orders would pay."""
    return panels.panel(
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
        note="before fees",
        cls="is-impact",
    )


def ladder() -> Component:
    """The best levels of both sides."""
    return panels.panel(
        "ladder",
        "Ladder",
        "Size and running sum by price",
        streams=["depth"],
        body=grids.ladder(),
        tools=[panels.select("group", "Levels joined", shared.GROUPS), *grids.ladder_tools()],
        cls="is-ladder",
    )
