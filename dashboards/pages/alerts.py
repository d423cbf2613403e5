"""Alerts: rules that are watched, the times they came true, and webhooks that are told.

Forms are made by the client (`assets/70_alerts_form.js`, `assets/70_alerts_webhooks.js`), since what is typed must
outlive every refresh.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels


def layout(**_: object) -> Component:
    """The page's content."""
    return panels.page(
        "alerts",
        "Alerts",
        html.Div(
            [
                html.Div([_form(), _webhooks()], className="vs-stack is-side"),
                html.Div([_rules(), _firings()], className="vs-stack"),
            ],
            className="vs-alerts",
        ),
    )


def _form() -> Component:
    return panels.panel(
        "alert-form",
        "New rule",
        "",
        streams=["alerts"],
        part="rules",
        body=html.Div(
            html.Div(className="vs-form-host", **{"data-host": "alert:form"}),
            className="vs-scroll",
            tabIndex="0",
            role="region",
            **{"aria-label": "A rule to make"},
        ),
        timeless="form",
        cls="is-noact is-alert-form",
    )


def _rules() -> Component:
    return panels.panel(
        "alert-rules",
        "Rules",
        "What is watched, by the engine, whoever looks",
        streams=["alerts"],
        part="rules",
        body=panels.table(
            "alert:rules",
            [
                ("State", ""),
                ("Rule", ""),
                ("Now", "n"),
                ("Away", "n"),
                ("Since", "n"),
                ("Fired", "n"),
                ("", "n acts"),
            ],
            caption="Rules",
        ),
        timeless="rules",
        cls="is-alert-rules",
    )


def _firings() -> Component:
    return panels.panel(
        "alert-firings",
        "Firings",
        "Each time a rule came true, the newest first",
        streams=["alerts"],
        part="firings",
        tools=[
            html.Span(className="vs-alert-told", **{"data-host": "alert:told"}),
            panels.button("Acknowledge all", "alert-acknowledge", cls="vs-btn is-sm is-ack-all", id="0"),
        ],
        body=panels.table(
            "alert:firings",
            [
                ("Time, UTC", ""),
                ("Rule", ""),
                ("Where", ""),
                ("Value", "n"),
                ("Lasted", "n"),
                ("Delivered", ""),
                ("Ack, UTC", "n acts"),
            ],
            caption="Firings",
        ),
        cls="is-alert-firings",
    )


def _webhooks() -> Component:
    return panels.panel(
        "alert-webhooks",
        "Webhooks",
        "Programs that are told",
        streams=["alerts"],
        part="webhooks",
        body=html.Div(
            html.Div(className="vs-hooks", **{"data-host": "alert:webhooks"}),
            className="vs-scroll",
            tabIndex="0",
            role="region",
            **{"aria-label": "Webhooks"},
        ),
        timeless="settings",
        cls="is-alert-webhooks",
    )
