"""The bar, the rail and the off-canvas: everything round a page."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import ids
from dashboards.pages import PAGES
from dashboards.panels import button, icon, segment, select

WINDOWS = (("60", "1m"), ("300", "5m"), ("900", "15m"), ("3600", "1h"), ("14400", "All"))
RATES = (("1", "1"), ("2", "2"), ("4", "4"), ("10", "10"))
THEMES = (("dark", "Dark"), ("light", "Light"), ("system", "System"))
PALETTES = (("safe", "Blue and orange"), ("classic", "Green and red"), ("own", "Own"))

# By what they are for, in the order of the README.
SHORTCUTS = (
    (
        "Time",
        (
            ("P", "pause and resume"),
            ("F", "hold the charts' time, or follow what is newest"),
            ("double click", "bring a zoomed chart back to live"),
            (
                "Left, Right",
                "move the line of the chart in focus by a bucket; Shift: by 10; Home, End: to the ends",
            ),
            ("Space", "play and pause what is replayed"),
        ),
    ),
    (
        "Pages and panels",
        (
            ("1 to 9, 0", "go to a page; 9 alerts, 0 health"),
            ("L", "the layout: show, hide and move panels"),
            ("K", "kiosk mode: nothing but the panels"),
            ("Arrows", "move a panel whose handle is in focus"),
            ("Esc", "close what is open, leave a maximised panel or kiosk mode"),
        ),
    ),
    (
        "To take away",
        (
            ("E", "export the panel in focus, or the first, as CSV"),
            ("Shift E", "the whole page as a picture"),
            ("C", "copy the link of what is on screen"),
        ),
    ),
    (
        "Controls",
        (
            ("T", "dark or light"),
            ("V", "live venues: connect, symbols, polls"),
            ("O", "the order ticket of the built-in exchange"),
            ("?", "this list"),
        ),
    ),
)


def _badge() -> Component:
    return html.Span(
        [
            html.I(className="vs-dot is-off"),
            html.Span("Waiting", className="word", **{"data-f": "badge.word"}),
            html.Span("–", className="age", **{"data-f": "badge.age"}),
        ],
        className="vs-badge",
        id="shell-badge",
        **{"data-tip": "badge"},
    )


def _rate(where: str) -> Component:
    """The simulation rate: slider and number are made by the client, which keeps them apart from the engine's value."""
    return html.Div(className="vs-rate", **{"data-host": f"rate:{where}"})


def _time() -> tuple[Component, Component]:
    """Whether the charts follow what is newest, and the address of what is on screen."""
    follow = button(
        [html.I(className="vs-dot"), html.Span("Follow live", **{"data-f": "time.word"})],
        "follow",
        cls="vs-btn is-bare is-sm vs-follow",
    )
    link = button(
        [icon("link"), html.Span("Copy link", **{"data-f": "link.word"})],
        "link",
        cls="vs-btn is-bare is-sm vs-copylink",
        hint="Copy the link of what is on screen",
    )
    return follow, link


def bar() -> Component:
    """Symbol and price, window, refresh, pause, badge, clock; below it the sources and the simulation rate."""
    first = html.Div(
        [
            dcc.Link(
                [html.Span(className="vs-logo"), html.Span("Venuescope")],
                href="/",
                className="vs-brand",
                title="Overview",
            ),
            html.Span(className="vs-sep vs-hide-s"),
            html.Span(select("symbol", "Symbol", cls="is-symbol"), className="vs-hide-s"),
            html.Div(
                [
                    html.B("–", **{"data-f": "quote.last"}),
                    html.Span("", className="change", **{"data-f": "quote.change"}),
                    html.Small("", **{"data-f": "quote.since"}),
                ],
                className="vs-quote vs-hide-s",
                **{"data-tip": "quote"},
            ),
            html.Span(className="vs-push"),
            html.Span(
                [html.Span("Window", className="vs-lab"), segment("window", "Window", WINDOWS)],
                className="vs-ctl vs-hide-s",
                **{"data-tip": "window"},
            ),
            html.Span(
                [
                    html.Span("Refresh", className="vs-lab"),
                    segment("hz", "Refreshes per second", RATES),
                    html.Span("Hz", className="vs-lab"),
                ],
                className="vs-ctl vs-hide-s",
                **{"data-tip": "hz"},
            ),
            button(
                [
                    html.I(className="vs-i vs-i-pause", id="shell-pause-icon"),
                    html.Span("Pause", className="word vs-hide-s", **{"data-f": "pause.word"}),
                    html.Span("P", className="vs-kbd vs-hide-s", **{"aria-hidden": "true"}),
                ],
                "pause",
                cls="vs-btn w-pause",
                hint="Freeze view: the engine and a replay go on",
            ),
            html.Span(className="vs-sep vs-hide-s"),
            dcc.Link(
                [
                    icon("bell"),
                    html.B("0", className="n", **{"data-f": "alerts.count"}),
                    html.Span("", className="what", **{"data-f": "alerts.what"}),
                ],
                href="/alerts",
                className="vs-alert-badge",
                id="shell-alerts",
            ),
            dcc.Link(
                [html.I(className="vs-dot is-error"), html.Span("", **{"data-f": "store.word"})],
                href="/history",
                className="vs-store-alarm",
                id="shell-store",
            ),
            _badge(),
            html.Span(
                [
                    html.Span("–", **{"data-f": "clock"}),
                    html.Small(" UTC"),
                    html.Small("", className="local", **{"data-f": "clock.local"}),
                ],
                className="vs-clock vs-hide-s",
                **{"data-tip": "clock"},
            ),
            button(
                html.I(className="vs-i vs-i-sun", id="shell-theme-icon"),
                "theme",
                cls="vs-btn is-bare is-icon vs-hide-s",
                name="Dark or light",
            ),
            button(icon("sliders"), "controls", cls="vs-btn is-bare is-icon vs-only-s", name="Controls"),
            button(icon("min"), "kiosk", cls="vs-btn is-bare is-icon vs-only-kiosk", name="Leave kiosk mode"),
        ],
        className="vs-bar-row",
    )
    second = html.Div(
        [
            html.Div(
                [
                    html.Div(
                        className="vs-chips",
                        role="group",
                        **{"aria-label": "Sources", "data-host": "chips:bar"},
                    ),
                    html.Div(
                        className="vs-chips",
                        role="group",
                        **{"aria-label": "Live markets", "data-host": "chips:venues"},
                    ),
                ],
                className="vs-chiprow",
            ),
            button(
                [icon("plug"), html.Span("Venues")],
                "venues",
                cls="vs-btn is-bare is-sm",
                name="Live venues: connect, symbols, polls",
            ),
            *_time(),
            html.Span(
                [
                    html.Span("Simulation rate", className="vs-lab vs-rate-of"),
                    html.Span("Sim. rate", className="vs-lab vs-rate-of is-short"),
                    _rate("bar"),
                ],
                className="vs-ctl vs-push",
                **{"data-tip": "rate"},
            ),
        ],
        className="vs-bar-row vs-hide-s",
    )
    phone = html.Div(
        [
            html.B("–", **{"data-f": "quote.symbol"}),
            html.B("–", className="vs-push", **{"data-f": "quote.last"}),
            html.Span("", **{"data-f": "quote.percent"}),
            html.Span(className="vs-sep"),
            html.Span("", className="vs-mut", **{"data-f": "quote.window"}),
        ],
        className="vs-bar-row vs-only-s",
    )
    return html.Header([first, second, phone, _past()], className="vs-bar")


def _past() -> Component:
    """What is replayed, over every page while something is: the past must never pass for live.

    The scrubber is made by the client (`assets/68_history_past.js`).
    """
    return html.Section(
        [
            html.Span(
                [html.I(className="vs-dot is-past"), html.B("Replay", **{"data-f": "past.word"})],
                className="vs-past-badge",
            ),
            html.Span("", className="vs-past-of", **{"data-f": "past.of"}),
            html.Span(
                [
                    html.Span("", className="date", **{"data-f": "past.date"}),
                    html.B("–", **{"data-f": "past.time"}),
                    html.Small(" UTC"),
                ],
                className="vs-past-clock",
            ),
            html.Small("", className="vs-past-receipt", **{"data-f": "past.receipt"}),
            html.Div(className="vs-past-track", **{"data-host": "past:track"}),
            html.Span("", className="vs-past-left", **{"data-f": "past.left"}),
            html.Span(
                [
                    button(
                        html.I(className="vs-i vs-i-pause", id="past-play-icon"),
                        "past-play",
                        name="Pause the replay",
                        cls="vs-btn is-sm is-icon",
                    ),
                    button(
                        [icon("step"), html.Small("1 s")],
                        "past-step",
                        name="One second back",
                        cls="vs-btn is-sm is-second is-back",
                        by="back",
                    ),
                    button(
                        icon("step"),
                        "past-step",
                        name="One event further",
                        cls="vs-btn is-sm is-icon",
                        by="event",
                    ),
                    button(
                        [icon("step"), html.Small("1 s")],
                        "past-step",
                        name="One second further",
                        cls="vs-btn is-sm is-second",
                        by="second",
                    ),
                ],
                className="vs-past-keys",
            ),
            html.Div(
                [
                    html.Button(
                        text,
                        type="button",
                        disable_n_clicks=True,
                        **{"data-act": "past-speed", "data-speed": value, "aria-pressed": "false"},
                    )
                    for value, text in (("1", "1x"), ("10", "10x"), ("100", "100x"), ("max", "max"))
                ],
                className="vs-seg is-sm vs-past-speed",
                role="group",
                **{"aria-label": "Speed of the replay"},
            ),
            html.Span(
                [html.Span("", **{"data-f": "past.events"}), html.Code("", **{"data-f": "past.hash"})],
                className="vs-past-sum",
            ),
            button(
                "Open this past",
                "past-wanted",
                cls="vs-btn is-sm vs-past-wanted",
                name="Open the past of the link",
            ),
            button(icon("link"), "past-link", name="Copy link", cls="vs-btn is-bare is-sm is-icon"),
            button("Play again", "replay", cls="vs-btn is-sm vs-past-again"),
            button(icon("x"), "past-close", name="Close the replay", cls="vs-btn is-bare is-sm is-icon"),
        ],
        className="vs-past",
        id="shell-past",
        hidden=True,
        **{"aria-label": "Replay"},
    )


def rail() -> Component:
    """The pages, the list of keys and what is set once."""
    links = [
        dcc.Link(
            [
                icon(page.name),
                html.Span(page.title),
                html.B("", className="vs-rail-count", **{"data-f": "alerts.rail"})
                if page.name == "alerts"
                else None,
            ],
            href=page.path,
            title=page.title,
            className="vs-link",
            id=f"rail-{page.name}",
        )
        for page in PAGES
    ]
    end = html.Div(
        [
            button(
                [icon("layout"), html.Span("Layout"), html.B("", **{"data-f": "layout.hidden"})],
                "layout",
                name="Layout: show, hide and move panels",
            ),
            button([icon("keys"), html.Span("Keys")], "keys", hint="Keyboard shortcuts"),
            button([icon("sliders"), html.Span("Settings")], "controls", name="Settings"),
            button([icon("slim"), html.Span("Collapse")], "slim", name="Collapse the rail"),
        ],
        className="vs-rail-end",
    )
    return html.Aside(html.Nav([*links, end], **{"aria-label": "Pages"}), className="vs-rail")


def _field(label: str, *children: Component) -> Component:
    return html.Div([html.Span(label), *children], className="vs-field")


VIEWS = (("controls", "Controls"), ("venues", "Venues"))


def _own() -> Component:
    """Two colours of the user's own, and a word where they are hard to see or to tell apart.

    The wells are made by the client (`assets/74_colours.js`): Dash has no input for colours.
    """
    return html.Div(
        [
            html.Div(className="vs-own-two", **{"data-host": "own"}),
            html.P("", className="vs-own-word", role="status", **{"data-f": "own.word"}),
        ],
        className="vs-own",
        id="shell-own",
        hidden=True,
    )


def _panels() -> Component:
    """The page's panels with a switch and two arrows each, made by `assets/75_layout.js`."""
    return html.Div(className="vs-lay-list", role="group", **{"aria-label": "Panels", "data-layout": ""})


def _layout_acts() -> list[Component]:
    return [
        html.Div(
            [
                button("Reset layout", "layout-reset", cls="vs-btn"),
                button("Page as PNG", "picture", cls="vs-btn", name="The whole page as a picture"),
                button("Kiosk mode", "kiosk", cls="vs-btn", name="Nothing but the panels"),
            ],
            className="vs-lay-acts",
        )
    ]


def layout_menu() -> Component:
    """What is beside the rail's Layout button: the panels of the page, and what is done with all of it."""
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Layout"),
                    button(icon("x"), "layout", cls="vs-btn is-bare is-icon is-sm", name="Close the layout"),
                ],
                className="vs-line",
            ),
            _panels(),
            *_layout_acts(),
        ],
        className="vs-lay",
        id="shell-layout",
        hidden=True,
        **{"aria-label": "Layout of this page"},
    )


def off_canvas() -> Component:
    """Two columns of which one is seen: all controls (the only ones on a phone, and where theme and colours are
    set), and live venues: what is connected, followed and polled, alike for every browser.
    """
    settings = [
        _field("Symbol", select("symbol", "Symbol", cls="is-tall")),
        _field("Window", segment("window", "Window", WINDOWS, cls="is-full")),
        _field("Time on screen", html.Div(_time(), className="vs-line")),
        _field("Refreshes per second", segment("hz", "Refreshes per second", RATES, cls="is-full")),
        _field(
            "Sources shown in this browser",
            html.Div(
                className="vs-chips", role="group", **{"aria-label": "Sources", "data-host": "chips:off"}
            ),
        ),
        _field("Simulation rate", _rate("off")),
        _field("Theme", segment("theme", "Theme", THEMES, cls="is-full")),
        _field("When an alert fires", html.Div(className="vs-alert-ways", **{"data-host": "alert:ways"})),
        _field("Up and down", segment("updown", "Colours of up and down", PALETTES, cls="is-full"), _own()),
        _field("Panels of this page", _panels(), *_layout_acts()),
        _field("Help", button("Show the tour", "tour", cls="vs-btn")),
        html.Div(
            [
                html.Span("", className="vs-sec", **{"data-f": "session.may"}),
                # No link of the pages' own: the server answers it.
                html.A("Log out", href="/logout", className="vs-btn"),
            ],
            className="vs-session",
            id="shell-session",
            hidden=True,
        ),
    ]
    venues = [
        html.P(
            "Connections, symbols and intervals belong to the engine: what is changed here holds for every browser.",
            className="vs-sec",
        ),
        html.Div(className="vs-venues", **{"data-host": "venues"}),
    ]
    return html.Aside(
        [
            html.Div(
                [
                    html.H2("Controls", className="vs-vh"),
                    segment("off", "What is set here", VIEWS),
                    button(icon("x"), "close", cls="vs-btn is-bare is-icon", name="Close the controls"),
                ],
                className="vs-line",
            ),
            html.Div(settings, className="vs-off-part", **{"data-part-of": "controls"}),
            html.Section(
                venues, className="vs-off-part", **{"data-part-of": "venues", "aria-label": "Live venues"}
            ),
        ],
        className="vs-off",
        id="shell-off",
        **{"aria-label": "Controls"},
    )


def shortcuts() -> Component:
    """What the keyboard does."""
    return dbc.Modal(
        [
            dbc.ModalHeader(dbc.ModalTitle("Keyboard")),
            dbc.ModalBody(
                html.Table(
                    [
                        html.Tbody(
                            [
                                html.Tr(html.Th(group, colSpan=2, scope="rowgroup")),
                                *(
                                    html.Tr([html.Td(html.Kbd(key, className="vs-kbd")), html.Td(what)])
                                    for key, what in keys
                                ),
                            ]
                        )
                        for group, keys in SHORTCUTS
                    ],
                    className="vs-tab vs-keylist",
                )
            ),
            dbc.ModalFooter(button("Show the tour", "tour", cls="vs-btn")),
        ],
        id=ids.KEYS,
        is_open=False,
        centered=True,
        size="md",
    )
