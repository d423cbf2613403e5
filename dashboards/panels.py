"""The parts pages are made of: panels, read-outs, tables, selectors, tiles.

Everything here is static. What changes is written by the renderer into elements marked `data-f` (one text),
`data-host` (rows it makes itself) or by panel name, so no element holds children of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import ids
from dashboards.charts import spec

# Streams of one poll, as `transport.py` names them; a panel asks for some of these.
STREAMS = frozenset(
    [
        "depth",
        "candles",
        "latency",
        "stages",
        "distribution",
        "latency_map",
        "throughput",
        "trades",
        "metrics",
        "limits",
        "tiles",
        "events",
        "health",
        "matching",
        "prices",
        "mids",
        "funding",
        "venues",
        "listing",
        "exchange",
        "exchange_book",
        "exchange_latency",
        "exchange_stages",
        "profile",
        "history",
        "alerts",
        "impact",
        "studies",
        "indexed",
        "book_map",
    ]
)

GRAPH_CONFIG = {
    "displayModeBar": False,
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "doubleClick": "autosize",
    "showTips": False,
    "scrollZoom": False,
}

SKELETON_BARS = [26, 33, 41, 47, 56, 62, 66, 71, 69, 72, 64, 58, 47, 36, 29, 34, 42, 53, 61, 68, 74, 70]


def icon(name: str) -> Component:
    """A drawn sign that takes the text's colour; never the only label."""
    return html.I(className=f"vs-i vs-i-{name}", **{"aria-hidden": "true"})


def button(label: Any, act: str, *, name: str = "", hint: str = "", cls: str = "", **data: str) -> Component:
    """A button the client's delegated handler answers to by its `data-act`.

    `name` is what it is called where its label does not say it; `hint` what more there is to say of a label that does.
    """
    attributes: dict[str, Any] = {"data-act": act, **{f"data-{key}": value for key, value in data.items()}}
    if name:
        attributes |= {"aria-label": name, "title": name}
    elif hint:
        attributes["title"] = hint
    return html.Button(label, className=cls or None, type="button", disable_n_clicks=True, **attributes)


def segment(key: str, label: str, options: Iterable[tuple[str, str]], *, cls: str = "") -> Component:
    """A row of buttons of which one is pressed; `key` is the browser state it sets."""
    return html.Div(
        [
            html.Button(
                text,
                type="button",
                disable_n_clicks=True,
                **{"data-act": "set", "data-key": key, "data-value": value, "aria-pressed": "false"},
            )
            for value, text in options
        ],
        className=f"vs-seg {cls}".strip(),
        role="group",
        **{"aria-label": label},
    )


def select(key: str, label: str, options: Sequence[tuple[str, str]] = (), *, cls: str = "is-sm") -> Component:
    """A native select bound to the browser state `key`; without options the renderer fills them in."""
    return html.Span(
        html.Select(
            [html.Option(text, value=value) for value, text in options] if options else None,
            **{"data-select": key, "aria-label": label},
        ),
        className=f"vs-sel {cls}".strip(),
    )


def figure(field: str, cls: str = "", text: str = "–") -> Component:
    """One changing text; `field` is what the renderer calls it."""
    return html.B(text, className=cls or None, **{"data-f": field})


def readout(*items: tuple[str, str] | tuple[str, str, str]) -> Component:
    """A line of labelled figures: (label, field) or (label, field, class)."""
    spans = []
    for label, field, *cls in items:
        spans.append(html.Span([label, figure(field)], className=cls[0] if cls else None))
    return html.Div(spans, className="vs-read")


def mark(token: str, cls: str) -> Component:
    """How a chart draws something, beside its word: a colour token, and a shape class ("" = a square)."""
    return html.I(className=cls, style={"--c": f"var({token})"})


def keys(*items: tuple[str, str, str]) -> Component:
    """The colours of a chart, named: (text, colour token, shape class)."""
    return html.Div(
        [html.Span([mark(token, cls), text]) for text, token, cls in items],
        className="vs-keys",
    )


def graph(name: str) -> Component:
    """An empty graph; its figure comes from the renderer, once the chart's first rows are there."""
    return dcc.Graph(
        id=ids.chart(name),
        figure={"data": [], "layout": {}},
        config=GRAPH_CONFIG,
        responsive=True,
        className="vs-chart",
    )


def table(host: str, heads: Sequence[tuple[str, str]], *, cls: str = "", caption: str = "") -> Component:
    """A table whose rows the renderer makes; heads are (text, class)."""
    return html.Div(
        html.Table(
            [
                html.Caption(caption, className="vs-vh") if caption else None,
                html.Thead(html.Tr([html.Th(text, className=c or None, scope="col") for text, c in heads])),
                html.Tbody(**{"data-host": host}),
            ],
            className=f"vs-tab {cls}".strip(),
        ),
        className="vs-scroll",
        tabIndex="0",
        role="region",
        **{"aria-label": caption or host},
    )


def panel(
    name: str,
    title: str,
    sub: str,
    *,
    streams: Sequence[str],
    chart: str = "",
    body: Any = None,
    read: Component | None = None,
    tools: Sequence[Component] = (),
    export: str | None = None,
    part: str = "",
    units: Sequence[tuple[str, str]] = (),
    note: str = "",
    timeless: str = "",
    cls: str = "",
    plot_cls: str = "",
) -> Component:
    """One panel: header, strip for its state, body, footer.

    `streams`: what it needs of a poll, the first being what its footer speaks of. `chart`: the figure drawn
    in it. `body`: what it shows instead of, or under, a chart. `units`: (corner, text or `{field}`) with corners
    tl, tr, br. `export`: the stream of its CSV; None = the first stream. `timeless`: what stands in the footer in
    place of an age, where nothing in the panel gets old ("form"); all others tell age, count and lost rows.
    """
    head_id = f"{ids.panel(name)}-title"
    acts = [
        button("CSV", "csv", name=f"{title} as CSV", panel=name),
        button("PNG", "png", name=f"{title} as PNG", panel=name) if chart else None,
        button(icon("max"), "max", name=f"Maximise {title}", panel=name),
        button(icon("away"), "hide", name=f"Hide {title}", panel=name),
    ]
    plot: list[Any] = []
    focus: dict[str, Any] = {}
    if chart and spec(chart)["layout"]["xaxis"].get("type") == "date":
        # Its line is moved by key, `assets/72_time.js`: a screen reader has to leave it the arrows.
        focus = {
            "tabIndex": "0",
            "role": "application",
            "aria-roledescription": "chart over time",
            "aria-label": f"{title}: left and right move the line and tell its values",
            "aria-keyshortcuts": "ArrowLeft ArrowRight Home End",
        }
    if chart:
        plot = [
            graph(chart),
            html.Div(
                [
                    html.Span(
                        "" if text.startswith("{") else text,
                        className=f"vs-unit is-{corner}",
                        **({"data-f": text[1:-1]} if text.startswith("{") else {}),
                    )
                    for corner, text in units
                ],
                className="vs-over",
                **{"data-over": chart, "aria-hidden": "true"},
            ),
        ]
    children = [
        read,
        html.Div(plot, className=f"vs-plot {plot_cls}".strip(), **focus) if chart else None,
        html.Div(body, className="vs-fill") if body is not None else None,
        html.Div([html.I(style={"height": f"{h}%"}) for h in SKELETON_BARS], className="vs-skel"),
        html.Div(className="vs-state-host", **{"data-host": f"state:{name}"}),
    ]
    return html.Section(
        [
            html.Header(
                [
                    button(
                        icon("grip"),
                        "move",
                        name=f"Move {title}: drag, or the arrow keys",
                        cls="vs-grip",
                        grip=name,
                    ),
                    html.H2(title, id=head_id),
                    html.Span(sub, className="sub", **{"data-f": f"sub.{name}"}),
                    html.Div(list(tools), className="tools") if tools else None,
                    html.Span([a for a in acts if a is not None], className="vs-act"),
                ]
            ),
            html.Div(className="vs-note-host", **{"data-host": f"note:{name}"}),
            html.Div([c for c in children if c is not None], className="body"),
            html.Footer(
                [
                    html.Span([html.I(className="vs-dot is-off"), html.Span("waiting", className="f-age")]),
                    html.Span("", className="f-n"),
                    html.Span("0 lost", className="f-lost"),
                    html.Span(note, className="grow f-note"),
                ]
            ),
        ],
        id=ids.panel(name),
        className=f"vs-panel {cls}".strip(),
        **{
            "aria-labelledby": head_id,
            "data-panel": name,
            "data-title": title,
            "data-streams": " ".join(streams),
            "data-export": streams[0] if export is None else export,
            "data-part": part,
            "data-note": note,
            **({"data-timeless": timeless} if timeless else {}),
            "data-chart": chart,
            "data-state": "loading",
        },
    )


def tile(name: str, title: str, unit: str, colour: str, *, hatch: bool = False, cls: str = "") -> Component:
    """A key figure over its last minute."""
    return html.Article(
        [
            html.H3([title, html.Em("", **{"data-f": f"tile.{name}.side"})]),
            html.Div(
                [
                    html.Span("–", **{"data-f": f"tile.{name}"}),
                    html.Small(unit, **{"data-f": f"tile.{name}.unit"}),
                ],
                className="fig",
            ),
            html.Div(
                className="vs-spark",
                **{
                    "data-spark": name,
                    "data-colour": colour,
                    "data-hatch": "1" if hatch else "",
                    "aria-hidden": "true",
                },
            ),
        ],
        className=f"vs-tile {cls}".strip(),
    )


def facts(label: str, *items: tuple[str, str, str], cls: str = "") -> Component:
    """A row of figures in one frame: (title, field, colour token or '')."""
    cells = []
    for title, field, colour in items:
        side = (
            html.I(className="m", style={"--c": f"var({colour})"})
            if colour
            else html.Em("", **{"data-f": f"{field}.side"})
        )
        cells.append(
            html.Div([html.Span([title, side]), figure(field), html.Small("", **{"data-f": f"{field}.unit"})])
        )
    return html.Section(
        cells, className=f"vs-facts {cls}".strip(), style={"--n": len(cells)}, **{"aria-label": label}
    )


def page(name: str, title: str, *children: Any, fit: bool = True) -> Component:
    """A page's content; the key makes React build it anew, so nothing written into another page is left."""
    return html.Div(
        [html.H1(title, className="vs-vh"), *children],
        id=f"page-{name}",
        key=f"page-{name}",
        className=f"vs-page{' is-fit' if fit else ''} p-{name}",
        **{"data-page": name},
    )
