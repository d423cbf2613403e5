"""Exchange: the built-in exchange as its clients see it, a ticket to trade there, faults, keys, a profile.

Four views over one poll; what is seen is chosen in the line of figures. Forms are made by the client
(`assets/69_exchange*.js`), since what is typed must outlive every refresh.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels

VIEWS = (("trade", "Trade"), ("clients", "Clients"), ("control", "Control"), ("profile", "Profile"))
LISTS = (("open", "Open"), ("done", "Done"), ("fills", "Trades"))


def layout(**_: object) -> Component:
    """The page's content."""
    return panels.page(
        "exchange",
        "Exchange",
        _top(),
        html.Div([_trade_right(), _trade_left()], className="vs-ex is-trade", **{"data-view": "trade"}),
        html.Div(_clients(), className="vs-ex is-clients", **{"data-view": "clients"}),
        html.Div(_control(), className="vs-ex is-control", **{"data-view": "control"}),
        html.Div(_profile(), className="vs-ex is-profile", **{"data-view": "profile"}),
    )


def _top() -> Component:
    state = html.Div(
        [
            html.I(className="vs-dot is-off", **{"data-host": "exchange:dot"}),
            html.B("–", **{"data-f": "exchange.state"}),
            html.Span("", className="vs-sec", **{"data-f": "exchange.where"}),
        ],
        className="vs-ex-state",
    )
    line = html.Div(
        [panels.segment("exview", "What is seen of the exchange", VIEWS, cls="vs-ex-views"), state],
        className="vs-ex-top",
    )
    figures = panels.facts(
        "The exchange in figures",
        ("Clients", "exchange.clients", ""),
        ("Orders", "exchange.orders", ""),
        ("Acks", "exchange.acks", ""),
        ("Fills", "exchange.fills", ""),
        ("Ack p50", "exchange.p50", "--vs-p50"),
        ("Ack p99", "exchange.p99", "--vs-p99"),
        ("Rejected", "exchange.rejected", ""),
        ("Trades", "exchange.trades", ""),
        cls="is-ex",
    )
    # Figures stand over every view, so what they are made of is asked for in each.
    return html.Div([line, figures], className="vs-ex-head", **{"data-streams": "exchange exchange_stages"})


def _trade_left() -> Component:
    ladder = panels.panel(
        "exchange-book",
        "Order book",
        "",
        streams=["exchange_book"],
        tools=[html.Span(className="vs-tag", **{"data-host": "exbook:phase"})],
        body=html.Div(
            [
                html.Div(
                    [
                        html.Span("Price", **{"data-f": "exbook.price"}),
                        html.Span("Size", **{"data-f": "exbook.size"}),
                        html.Span("Mine", **{"data-f": "exbook.mine"}),
                    ],
                    className="h",
                ),
                html.Div(className="side is-ask", **{"data-host": "exbook:a"}),
                html.Div(
                    [
                        html.B("–", **{"data-f": "exbook.last"}),
                        html.Span("", className="vs-sec", **{"data-f": "exbook.spread"}),
                    ],
                    className="mid",
                ),
                html.Div(className="side is-bid", **{"data-host": "exbook:b"}),
            ],
            className="vs-ladder is-pick",
        ),
        cls="is-exbook",
    )
    connect = panels.panel(
        "connect",
        "Connect",
        "Complete programs for this exchange",
        streams=["exchange"],
        body=html.Div(className="vs-connect", **{"data-host": "connect"}),
        timeless="programs",
        cls="is-connect is-noact",
    )
    orders = panels.panel(
        "my-orders",
        "My orders",
        "",
        streams=["exchange"],
        part="orders",
        tools=[
            html.Span(className="vs-named", **{"data-host": "account:orders"}),
            panels.segment("exlist", "Orders or trades", LISTS),
            panels.button("Cancel all", "ex-cancel-all", cls="vs-btn is-sm is-danger"),
        ],
        body=[
            html.Div(className="vs-orders", **{"data-host": "my-orders"}),
        ],
    )
    row = html.Div([ladder, connect], className="vs-ex-row")
    return html.Div([row, orders], className="vs-stack")


def _trade_right() -> Component:
    ticket = panels.panel(
        "ticket",
        "Order ticket",
        "",
        streams=["exchange"],
        body=html.Div(className="vs-form-host", **{"data-host": "ticket"}),
        cls="is-ticket is-noact",
    )
    balances = panels.panel(
        "balances",
        "Balances",
        "",
        streams=["exchange"],
        part="balances",
        body=html.Div(className="vs-bal", **{"data-host": "balances"}),
        cls="is-balances",
    )
    return html.Div([ticket, balances], className="vs-stack is-side")


def _clients() -> list[Component]:
    clients = panels.panel(
        "clients",
        "Clients",
        "Sockets that are open now, and who called by REST in the last minute",
        streams=["exchange"],
        part="clients",
        body=panels.table(
            "clients",
            [
                ("Account", ""),
                ("Dialect", ""),
                ("Use", ""),
                ("From", ""),
                ("Up", "n"),
                ("Messages/s", "n"),
                ("Orders", "n"),
                ("In flight", "n"),
                ("Queue", "n"),
                ("Sent", "n vs-hide-l"),
                ("Conflated", "n vs-hide-l"),
                ("State", ""),
                ("Rejects by code", ""),
            ],
            caption="Clients",
        ),
        cls="c12 is-clients",
    )
    rates = panels.panel(
        "exchange-rates",
        "Traffic",
        "",
        streams=["exchange"],
        chart="exchange_rates",
        tools=[
            panels.keys(
                ("orders", "--vs-text-1", "ln"),
                ("acks", "--vs-venue-sim", "da"),
                ("fills", "--vs-venue-sim", ""),
                ("rejects", "--vs-error", "ln"),
            )
        ],
        units=(("tr", "per s"), ("br", "{utc.exchange}")),
        part="rates",
        cls="c4",
    )
    percentiles = panels.panel(
        "exchange-latency",
        "Ack latency",
        "",
        streams=["exchange_latency"],
        chart="exchange_latency",
        tools=[panels.select("part", "Stage of the way", (("ack", "Acknowledge"),))],
        units=(("tl", "{unit.exchange_latency}"), ("br", "{utc.exchange_latency}")),
        cls="c5",
    )
    rejects = panels.panel(
        "rejects",
        "Calls refused",
        "By code, since the start",
        streams=["exchange"],
        part="rejects",
        body=html.Div(
            html.Div(className="vs-rej", **{"data-host": "rejects"}),
            className="vs-scroll",
            tabIndex="0",
            role="region",
            **{"aria-label": "Rejects by code"},
        ),
        cls="c3",
    )
    stages = panels.panel(
        "exchange-stages",
        "Where an answer's time goes",
        "Orders over sockets; REST is not measured",
        streams=["exchange_stages"],
        body=panels.table(
            "exchange-stages",
            [
                ("Stage", ""),
                ("What is measured", "vs-hide-s"),
                ("Samples", "n"),
                ("p50", "n"),
                ("p95", "n"),
                ("p99", "n"),
                ("p99.9", "n"),
                ("Max", "n"),
                ("p50 to p99.9", "bar"),
            ],
            caption="Latency by stage",
        ),
        cls="c12 is-stages",
    )
    return [
        html.Div([clients], className="vs-grid row1"),
        html.Div([rates, percentiles, rejects], className="vs-grid row2"),
        html.Div([stages], className="vs-grid row3"),
    ]


def _control() -> list[Component]:
    faults = panels.panel(
        "faults",
        "Break it on purpose",
        "Seeded: the same order of faults gives the same run",
        streams=["exchange"],
        part="faults",
        body=html.Div(
            [
                html.Div(
                    className="vs-kinds",
                    role="radiogroup",
                    **{"data-host": "fault-kinds", "aria-label": "What goes wrong"},
                ),
                html.Div(
                    [
                        html.Div(className="vs-form-host", **{"data-host": "fault-form"}),
                        html.Div(className="vs-list", **{"data-host": "fault-list"}),
                    ],
                    className="vs-two-parts",
                ),
            ],
            className="vs-breaking",
        ),
        cls="c7 is-faults",
    )
    phases = panels.panel(
        "phases",
        "Symbols",
        "Halt and resume trading",
        streams=["exchange"],
        part="phases",
        body=html.Div(className="vs-list", **{"data-host": "phases"}),
        cls="is-phases",
    )
    keys = panels.panel(
        "keys",
        "API keys",
        "A secret is shown once, when its key is made",
        streams=["exchange"],
        part="keys",
        body=html.Div(
            [
                html.Div(className="vs-form-host", **{"data-host": "key-form"}),
                html.Div(className="vs-list", **{"data-host": "key-list"}),
            ],
            className="vs-two-parts",
        ),
        cls="is-keys",
    )
    return [html.Div([faults, html.Div([keys, phases], className="vs-stack c5")], className="vs-grid row1")]


def _profile() -> list[Component]:
    flame = panels.panel(
        "profile-flame",
        "Call tree",
        "Width is time; press a bar to look into it",
        streams=["profile"],
        body=html.Div(className="vs-flame", **{"data-host": "flame"}),
        tools=[html.Span(className="vs-named", **{"data-host": "profile:act"})],
        cls="c6 is-flame",
    )
    table = panels.panel(
        "profile-table",
        "Functions",
        "Most own time first",
        streams=["profile"],
        body=panels.table(
            "profile-table",
            [
                ("Function", ""),
                ("Where", ""),
                ("Calls", "n"),
                ("Own, ms", "n"),
                ("Share", "n"),
                ("With calls", "n"),
            ],
            caption="Functions",
        ),
        cls="c6",
    )
    return [html.Div([flame, table], className="vs-grid row1")]
