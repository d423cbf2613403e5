"""Panels that more than one page shows."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels

INTERVALS = (
    ("0", "Auto"),
    ("1", "1 s"),
    ("5", "5 s"),
    ("60", "1 m"),
    ("300", "5 m"),
    ("900", "15 m"),
    ("3600", "1 h"),
)
STAGES = (("receive", "Receive"),)


def depth(cls: str = "") -> Component:
    """Cumulative size by price, with the top of the book above it."""
    return panels.panel(
        "depth",
        "Depth",
        "Cumulative resting size by price",
        streams=["depth"],
        chart="depth",
        tools=[panels.select("source", "Source of the book")],
        read=panels.readout(
            ("Bid", "depth.bid", "up"),
            ("Ask", "depth.ask", "down"),
            ("Spread", "depth.spread"),
            ("Imbalance", "depth.imbalance", "opt"),
        ),
        units=(("tr", "{unit.size}"), ("br", "{unit.quote}")),
        cls=cls,
    )


def candles(cls: str = "", *, market: bool = False) -> Component:
    """Open, high, low, close and volume; with `market`, the window's weighted mean price as well."""
    extra = (("VWAP", "candles.vwap", "opt"), ("Trades", "candles.trades", "opt")) if market else ()
    return panels.panel(
        "candles",
        "Candles",
        "Open, high, low, close and volume from trades",
        streams=["candles"],
        chart="candles",
        tools=[
            panels.select("source", "Source of the candles"),
            panels.select("interval", "Candle interval", INTERVALS),
        ],
        read=panels.readout(
            ("O", "candles.o"),
            ("H", "candles.h"),
            ("L", "candles.l"),
            ("C", "candles.c"),
            ("V", "candles.v", "opt"),
            *extra,
            ("follow live", "candles.follow", "opt vs-push"),
        ),
        units=(("tr", "{unit.quote}"), ("br", "{utc.candles}")),
        note="hollow rises, filled falls",
        cls=cls,
    )


def percentiles(cls: str = "", *, stage: bool = False) -> Component:
    """Five latency percentiles over the window, on a log axis."""
    return panels.panel(
        "latency",
        "Latency percentiles",
        "Venue clock to our receive",
        streams=["latency"],
        chart="latency",
        tools=[
            panels.select("source", "Source of the samples"),
            *([panels.select("stage", "Stage of the way", STAGES)] if stage else []),
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
