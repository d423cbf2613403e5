"""Panels that more than one page shows."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import grids, panels

INTERVALS = (
    ("0", "Auto"),
    ("1", "1 s"),
    ("5", "5 s"),
    ("60", "1 m"),
    ("300", "5 m"),
    ("900", "15 m"),
    ("3600", "1 h"),
)
STYLES = (("candles", "Candles"), ("bars", "Bars"), ("line", "Line"))
SCALES = (("linear", "Linear"), ("log", "Log"), ("percent", "Percent"))
STAGES = (("receive", "Receive"),)


SPANS = (("", "Auto"), ("0.1", "±0.1%"), ("0.5", "±0.5%"), ("1", "±1%"), ("5", "±5%"))
GROUPS = (("1", "1 tick"), ("10", "× 10"), ("100", "× 100"))


def depth(cls: str = "", *, controls: bool = False) -> Component:
    """Cumulative size by price, with the top of the book above it; with `controls`, how far and how it is drawn."""
    how = (
        panels.segment("logy", "Scale of sizes", (("lin", "Lin"), ("log", "Log")), cls="is-sm"),
        panels.select("span", "Prices shown, from the mid", SPANS),
        panels.select("group", "Levels joined", GROUPS),
    )
    within = (("Within", "depth.within", "is-within"),) if controls else ()
    return panels.panel(
        "depth",
        "Depth",
        "Cumulative resting size by price",
        streams=["depth"],
        chart="depth",
        tools=how if controls else [panels.select("source", "Source of the book")],
        read=panels.readout(
            *((("Bid", "depth.bid", "up"), ("Ask", "depth.ask", "down")) if not controls else ()),
            ("Spread", "depth.spread"),
            ("Imbalance", "depth.imbalance", "opt"),
            *within,
        ),
        units=(("tr", "{unit.size}"), ("br", "{unit.quote}")),
        cls=cls,
    )


def tape() -> Component:
    """Every trade as it comes."""
    return panels.panel(
        "tape",
        "Trades",
        "▲ bought ▼ sold",
        streams=["trades"],
        body=grids.tape(),
        cls="is-ladder",
    )


def candles(cls: str = "", *, market: bool = False) -> Component:
    """Open, high, low, close and volume; with `market`, the window's weighted mean price, studies, styles and scales
    as well.
    """
    extra = (("VWAP", "candles.vwap", "opt"), ("Trades", "candles.trades", "opt")) if market else ()
    read = panels.readout(
        ("UTC", "candles.t"),
        ("O", "candles.o"),
        ("H", "candles.h"),
        ("L", "candles.l"),
        ("C", "candles.c"),
        ("", "candles.change"),
        ("V", "candles.v"),
        *extra,
        ("follow live", "candles.follow", "opt vs-push"),
    )
    studies: list[Component] = []
    if market:
        chips = html.Div(
            className="vs-studies", role="group", **{"data-host": "studies", "aria-label": "Studies"}
        )
        read = html.Div([read, chips], className="vs-reads")
        menu = panels.button("Studies", "studies", cls="vs-btn is-sm vs-studies-open")
        studies = [panels.select("style", "Style", STYLES), panels.select("scale", "Scale", SCALES), menu]
    return panels.panel(
        "candles",
        "Candles",
        "Open, high, low, close and volume from trades",
        streams=["candles", "studies"] if market else ["candles"],
        export="studies" if market else None,
        chart="candles",
        tools=[
            panels.select("source", "Source of the candles"),
            panels.select("interval", "Candle interval", INTERVALS),
            *studies,
        ],
        read=read,
        units=(("tr", "{unit.candles}" if market else "{unit.quote}"), ("br", "{utc.candles}")),
        note="hollow rises, filled falls",
        cls=cls,
    )


def percentiles(cls: str = "", *, source: bool = True) -> Component:
    """Five latency percentiles over the window, on a log axis; with `source`, whose they are can be chosen."""
    return panels.panel(
        "latency",
        "Latency percentiles",
        "Venue clock to our receive",
        streams=["latency"],
        chart="latency",
        tools=[
            *([panels.select("source", "Source of the samples")] if source else []),
        ],
        units=(("tl", "{unit.latency}"), ("br", "{utc.latency}")),
        cls=cls,
    )


def limits_strip() -> Component:
    """The tightest window of each venue in one line."""
    return panels.panel(
        "limits-strip",
        "Rate limits",
        "Budget used in the tightest window of each venue; hatched is reserved by waiting calls",
        streams=["limits"],
        body=html.Div(className="vs-strip", **{"data-host": "limits-strip"}),
        part="tightest",
        note="all windows on the Limits page",
        cls="is-strip",
    )
