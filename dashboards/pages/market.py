"""Market: candles with volume, every trade as it comes, one symbol's prices across venues, funding."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    return panels.page(
        "market",
        "Market",
        html.Div(
            [
                shared.candles("is-tall", market=True),
                html.Div([funding(), shared.tape()], className="vs-stack"),
            ],
            className="vs-cols",
        ),
        html.Div([prices(), mids(), indexed()], className="vs-grid row2"),
    )


def prices() -> Component:
    """Every venue's top of book of one symbol, and what comparing them gives."""
    return panels.panel(
        "prices",
        "Prices across venues",
        "Best bid and ask of one symbol at every source shown",
        streams=["prices"],
        read=panels.readout(
            ("Best bid", "prices.bid", "up"),
            ("Best ask", "prices.ask", "down"),
            ("Best spread", "prices.between"),
            ("Mids apart", "prices.apart", "opt vs-hide-l"),
        ),
        body=panels.table(
            "prices",
            [
                ("Venue", ""),
                ("Bid size", "n"),
                ("Bid", "n"),
                ("Ask", "n"),
                ("Ask size", "n"),
                ("Spread, bp", "n"),
                ("Mid", "n"),
                ("Off median, bp", "n"),
                ("", "diff vs-hide-xl"),
                ("Age", "n"),
                ("Book", ""),
            ],
            caption="Prices across venues",
        ),
        note="",
        cls="c8",
    )


def mids() -> Component:
    """How far each venue's mid was from the consensus."""
    return panels.panel(
        "mids",
        "Mids apart",
        "Mid less the median of all",
        streams=["mids"],
        chart="mids",
        tools=[compared()],
        units=(("tr", "bp"), ("br", "{utc.mids}")),
        note="live books alone",
        cls="c4",
    )


def compared() -> Component:
    """What of the comparison is seen; one of two panels stands in its place."""
    return panels.segment("compare", "What is compared", (("mids", "Apart"), ("indexed", "Indexed")))


def indexed() -> Component:
    """The same symbol at every source, each 100 at the start of the window."""
    return panels.panel(
        "indexed",
        "Indexed to 100",
        "Closes; each 100 at the start of the window",
        streams=["indexed"],
        chart="indexed",
        tools=[compared()],
        units=(("tr", "index"), ("br", "{utc.indexed}")),
        note="dashes are simulated",
        cls="c4",
    )


def funding() -> Component:
    """What holding a perpetual costs; shown only where the symbol has funding."""
    cells = [
        html.Div([html.Span(title, **({"data-f": f"{field}.of"} if of else {})), panels.figure(field)])
        for title, field, of in (
            ("Rate", "funding.rate", True),
            ("A year, not compounded", "funding.apr", False),
            ("Next payment", "funding.next", True),
            ("Mark price", "funding.mark", False),
            ("Mark less mid", "funding.premium", False),
        )
    ]
    return panels.panel(
        "funding",
        "Funding",
        "Above zero longs pay shorts",
        streams=["funding"],
        body=html.Div(cells, className="vs-pairs"),
        cls="is-pairs",
    )
