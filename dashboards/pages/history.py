"""History: what is recorded and how much of it, a stretch to look at, replay or export, and what is deleted when.

The calendar and its holes share a panel; forms are made by the client (`assets/68_history*.js`), since what is typed
must outlive every refresh.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels

ZOOMS = (("90d", "90 d"), ("30d", "30 d"), ("day", "Day"), ("hour", "Hour"))
PARTS = (("calendar", "Calendar"), ("holes", "Holes"))


def layout(**_: object) -> Component:
    """The page's content."""
    return panels.page(
        "history",
        "History",
        _head(),
        html.Div([_coverage(), _stretch()], className="vs-hist-row"),
        html.Div([_recorder(), _exports(), _retention()], className="vs-grid row2"),
    )


def _head() -> Component:
    state = html.Div(
        [
            html.I(className="vs-dot is-off", **{"data-host": "history:dot"}),
            html.B("–", **{"data-f": "history.state"}),
            html.Span("", className="vs-sec", **{"data-f": "history.where"}),
        ],
        className="vs-hist-state",
    )
    figures = panels.facts(
        "The store in figures",
        ("Recorded", "history.rows", ""),
        ("On disk", "history.bytes", ""),
        ("Writing", "history.rate", ""),
        ("Commit p99", "history.commit", ""),
        ("Waiting", "history.lag", ""),
        ("Budget used", "history.budget", ""),
        ("Disk free", "history.free", ""),
        ("Archive", "history.archive", ""),
        cls="is-hist",
    )
    return html.Div(
        [html.Div(className="vs-banner-host", **{"data-host": "history:alarm"}), state, figures],
        className="vs-hist-head",
    )


def _coverage() -> Component:
    move = html.Span(
        [
            panels.button("‹", "hist-move", name="Earlier", cls="vs-btn is-sm is-icon", by="-1"),
            panels.button("Newest", "hist-newest", cls="vs-btn is-sm", name="The newest data"),
            panels.button("›", "hist-move", name="Later", cls="vs-btn is-sm is-icon", by="1"),
        ],
        className="vs-hist-move",
    )
    calendar = html.Div(
        [
            html.Div(
                className="vs-cal",
                tabIndex="0",
                role="application",
                **{
                    "data-host": "calendar",
                    "aria-roledescription": "coverage calendar",
                    "aria-label": "Coverage by symbol and time",
                    "aria-describedby": "history-cell",
                },
            ),
            html.Div(
                [
                    html.Span("", id="history-cell", className="vs-cell", **{"data-host": "calendar:cell"}),
                    html.Span(className="vs-cell-acts", **{"data-host": "calendar:acts"}),
                ],
                className="vs-cell-line",
            ),
            html.Div(className="vs-vh", **{"data-host": "calendar:table"}),
        ],
        className="vs-hist-part is-calendar",
        **{"data-part-of": "calendar"},
    )
    holes = html.Div(
        panels.table(
            "holes",
            [
                ("From, UTC", ""),
                ("Length", "n"),
                ("Venue", ""),
                ("Symbol", ""),
                ("What", ""),
                ("Reason", ""),
                ("State", ""),
                ("Fetched", "n"),
                ("", "n"),
            ],
            caption="Holes, the newest first",
        ),
        className="vs-hist-part is-holes",
        **{"data-part-of": "holes"},
    )
    return panels.panel(
        "coverage",
        "Coverage",
        "",
        streams=["history"],
        part="coverage",
        tools=[
            panels.keys(
                ("recorded", "--vs-text-2", ""),
                ("later", "--vs-text-2", "later"),
                ("in part", "--vs-text-2", "some"),
                ("missed", "--vs-stale-solid", "hatch"),
            ),
            panels.segment("hpart", "Calendar or holes", PARTS, cls="is-sm"),
            panels.select("hwhat", "What is shown", (("", "Everything"),)),
            panels.segment("hzoom", "Zoom", ZOOMS, cls="is-sm is-zoom"),
            move,
        ],
        body=[calendar, holes],
        cls="is-coverage",
    )


def _stretch() -> Component:
    return panels.panel(
        "stretch",
        "Stretch",
        "Drag in the calendar, or type",
        streams=["history"],
        body=html.Div(className="vs-form-host", **{"data-host": "stretch"}),
        timeless="form",
        cls="is-stretch is-noact",
    )


def _recorder() -> Component:
    return panels.panel(
        "recorder",
        "Recorder",
        "Of every browser, until it is stopped",
        streams=["history"],
        part="recorder",
        body=html.Div(
            [
                html.Div(className="vs-shed", **{"data-host": "shed"}),
                html.Div(className="vs-rec", **{"data-host": "recorder"}),
            ],
            className="vs-scroll",
            tabIndex="0",
            role="region",
            **{"aria-label": "What is recorded"},
        ),
        cls="c5 is-recorder",
    )


def _exports() -> Component:
    return panels.panel(
        "exports",
        "Exports",
        "Kept until forgotten",
        streams=["history"],
        part="jobs",
        body=html.Div(
            html.Div(className="vs-jobs", **{"data-host": "jobs"}),
            className="vs-scroll",
            tabIndex="0",
            role="region",
            **{"aria-label": "Exports"},
        ),
        cls="c4 is-exports",
    )


def _retention() -> Component:
    return panels.panel(
        "retention",
        "Retention",
        "",
        streams=["history"],
        part="retention",
        body=html.Div(
            [
                html.Div(className="vs-form-host", **{"data-host": "retention"}),
                html.Div(
                    html.Div(className="vs-dels", **{"data-host": "deletions"}),
                    className="vs-scroll",
                    tabIndex="0",
                    role="region",
                    **{"aria-label": "What is deleted next"},
                ),
            ],
            className="vs-retain",
        ),
        cls="c3 is-retention",
    )
