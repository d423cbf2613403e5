"""Limits: what venues allow, what we spend, what was held back."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels


def layout(**_: object) -> Component:
    """The page's content."""
    windows = panels.panel(
        "windows",
        "Budgets",
        "Every window of every venue; the notch marks 80%, hatched is reserved by waiting calls",
        streams=["limits"],
        body=html.Div(className="vs-cards", **{"data-host": "limits-cards"}),
        part="windows",
        cls="is-cards",
    )
    throttled = panels.panel(
        "limits",
        "Throttled and waiting",
        "Calls held back, calls in queue",
        streams=["limits"],
        chart="limits",
        tools=[panels.keys(("throttled", "--vs-stale-solid", ""), ("waiting", "--vs-paused", "ln"))],
        read=panels.readout(
            ("Allowed", "limits.allowed"),
            ("Throttled", "limits.throttled"),
            ("Waiting", "limits.waiting"),
            ("Mean wait", "limits.mean", "opt"),
            ("Longest", "limits.max", "opt"),
        ),
        units=(("tr", "calls"), ("br", "{utc.limits}")),
        cls="c7",
    )
    said = panels.panel(
        "limit-events",
        "Events",
        "What venues said, what was done",
        streams=["events"],
        body=panels.table(
            "limit-events",
            [("Time, UTC", ""), ("Source", ""), ("What", ""), ("", "")],
            caption="Limit events",
        ),
        cls="c5",
    )
    return panels.page("limits", "Limits", windows, html.Div([throttled, said], className="vs-grid row2"))
