"""Limits: what venues allow, what we spend, what was held back, which calls it was for."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import grids, panels


def layout(**_: object) -> Component:
    """The page's content."""
    windows = panels.panel(
        "windows",
        "Budgets",
        "Every window of every venue; the notch marks 80%",
        streams=["limits"],
        body=html.Div(className="vs-cards", **{"data-host": "limits-cards"}),
        tools=[
            panels.keys(
                ("by us", "--vs-text-2", ""),
                ("by others on this address", "--vs-p95", "dots"),
                ("reserved by waiting calls", "--vs-text-2", "hatch"),
            )
        ],
        part="windows",
        cls="is-cards",
    )
    throttled = panels.panel(
        "limits",
        "Throttled and waiting",
        "Calls held back, calls in queue",
        streams=["limits"],
        chart="limits",
        read=html.Div(
            [
                html.Span([mark, text, panels.figure(field)])
                for mark, text, field in (
                    (None, "Calls", "limits.allowed"),
                    (panels.mark("--vs-stale-solid", ""), "Throttled", "limits.throttled"),
                    (panels.mark("--vs-error", "dia"), "Refused", "limits.refused"),
                    (panels.mark("--vs-paused", "ln"), "Waiting", "limits.waiting"),
                    (None, "Mean wait", "limits.mean"),
                    (None, "Longest", "limits.max"),
                )
            ],
            className="vs-read vs-keys",
        ),
        units=(("tr", "calls"), ("br", "{utc.limits}")),
        part="series",
    )
    said = panels.panel(
        "limit-events",
        "Limit events",
        "What venues said, what was done",
        streams=["events"],
        body=grids.events("limit-events"),
        part="limits",
    )
    endpoints = panels.panel(
        "endpoints",
        "Endpoints",
        "Every call goes through one limiter per venue",
        streams=["limits"],
        body=grids.endpoints(),
        tools=[panels.select("budget", "Budget of the endpoints and the chart")],
        part="endpoints",
        note="since the start; GET unless said",
        cls="c7",
    )
    return panels.page(
        "limits",
        "Limits",
        windows,
        html.Div([html.Div([throttled, said], className="vs-stack c5"), endpoints], className="vs-grid row2"),
    )
