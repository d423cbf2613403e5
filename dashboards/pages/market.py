"""Market: candles with volume, and every trade as it comes."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    tape = panels.panel(
        "tape",
        "Trades",
        "▲ bought ▼ sold",
        streams=["trades"],
        body=html.Div(
            [
                html.Div(
                    [
                        html.Span("Price", **{"data-f": "tape.price"}),
                        html.Span("Size", **{"data-f": "tape.size"}),
                        html.Span("Time, UTC", **{"data-f": "tape.time"}),
                    ],
                    className="h",
                ),
                html.Div(className="rows", **{"data-host": "tape"}),
            ],
            className="vs-ladder is-tape",
        ),
        cls="is-ladder",
    )
    return panels.page(
        "market", "Market", html.Div([shared.candles("is-tall", market=True), tape], className="vs-cols")
    )
