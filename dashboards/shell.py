"""The Dash application: one shell, ten pages, one poll."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import dash
import flask
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from dashboards import charts, controls, exchange_faults, exchange_refusals, exchange_snippets, ids, words
from dashboards.pages import PAGES
from dashboards.source import PageSource
from dashboards.streams.market import TAPE_ROWS
from engine.errors import BadCommand

ONLY_LOOK = "This session may only look."
ROLE = "venuescope.role"  # in a request's environment, put there by the server that checks who it is
# Commands that take an admin: they make, show or take away what others are let in by, or told with.
ADMIN = frozenset(
    (
        "webhook_add",
        "webhook_remove",
        "webhook_test",
        "exchange_create_key",
        "exchange_revoke_key",
        "exchange_fault",
        "exchange_clear_fault",
        "exchange_halt",
    )
)

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "assets"
CHUNK_BYTES = 256 << 10

# The theme is chosen before the first paint, and Bootstrap comes before our own sheets: both in the head, in order.
INDEX = """<!DOCTYPE html>
<html lang="en">
    <head>
        {%metas%}
        <title>{%title%}</title>
        <link rel="icon" type="image/svg+xml" href="BASEassets/head/favicon.svg">
        <script src="BASEassets/head/first.js"></script>
        <link rel="stylesheet" href="BASEassets/vendor/inter.css">
        <link rel="stylesheet" href="BASEassets/vendor/bootstrap.min.css">
        {%css%}
    </head>
    <body>
        {%app_entry%}
        <footer>
            {%config%}
            {%scripts%}
            {%renderer%}
        </footer>
    </body>
</html>
"""


def create_app(source: PageSource, *, title: str = "Venuescope") -> dash.Dash:
    """A complete application over `source`; several may live in one process."""
    app = dash.Dash(
        "venuescope",
        title=title,
        update_title=None,
        assets_folder=str(ASSETS),
        assets_path_ignore=["^vendor$", "^head$"],
        index_string=INDEX.replace("BASE", "/"),
        use_pages=True,
        pages_folder="",
        serve_locally=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    for order, page in enumerate(PAGES):
        name = f"{title}: {page.title}"
        dash.register_page(
            page.name, path=page.path, order=order, title=name, name=page.title, layout=page.layout
        )
    dash.register_page("not_found_404", path="/not-found", title=f"{title}: no such page", layout=_not_found)
    app.layout = _layout
    _register(app, source)
    _serve_exports(app, source)
    return app


def _not_found(**_: object) -> html.Div:
    return html.Div(
        html.Div(
            [
                html.H1("There is no such page"),
                html.P("The address names none of Venuescope's pages."),
                dcc.Link("Go to the overview", href="/", className="vs-btn is-primary"),
            ],
            className="vs-state",
        ),
        id="page-none",
        key="page-none",
        className="vs-page",
        **{"data-page": "none"},
    )


def _layout() -> html.Div:
    specs = {
        "template": json.loads((HERE / "template.json").read_text(encoding="utf-8")),
        "charts": charts.SPECS,
        "snippets": exchange_snippets.templates(),
        "faults": exchange_faults.choices(),
        "refusals": exchange_refusals.words(),
        "words": words.WORDS,
        "tape_rows": TAPE_ROWS,
    }
    return html.Div(
        [
            html.A("Skip to the content", href="#main", className="vs-skip"),
            controls.bar(),
            controls.rail(),
            html.Main(
                [
                    # All lines lie over the page, so that nothing beneath them moves; what asks to be acted on
                    # comes before it for the keyboard.
                    html.Div(className="vs-float vs-banner-host", **{"data-host": "bans"}),
                    html.Div(className="vs-float vs-banner-host", **{"data-host": "away"}),
                    html.Div(dash.page_container, id=ids.PAGE),
                    html.Div(className="vs-float is-starting", **{"data-host": "starting"}),
                    html.Div(className="vs-float vs-banner-host", **{"data-host": "banner"}),
                ],
                className="vs-main",
                id="main",
                tabIndex="-1",
            ),
            html.Div(className="vs-scrimel", id="shell-scrim"),
            controls.layout_menu(),
            controls.off_canvas(),
            controls.shortcuts(),
            html.Div(className="vs-toasts", **{"data-host": "toasts"}),
            html.Div(className="vs-vh", role="status", id="shell-status", **{"aria-live": "polite"}),
            dcc.Interval(id=ids.TICK, interval=250, n_intervals=0, max_intervals=0),
            dcc.Store(id=ids.PARAMS),
            dcc.Store(id=ids.PAINTED),
            dcc.Store(id=ids.CURSORS),
            dcc.Store(id=ids.ANSWER),
            dcc.Store(id=ids.REDRAW),
            dcc.Store(id=ids.SPECS, data=specs),
            dcc.Store(id=ids.COMMAND),
            dcc.Store(id=ids.EXPORT),
            dcc.Store(id=ids.TOAST),
            dcc.Store(id=ids.TOASTED),
            dcc.Download(id=ids.DOWNLOAD),
        ],
        className="vs-shell",
        id="shell",
    )


def role() -> str:
    """What the session of the present request may do; an admin where no login is demanded."""
    return str(flask.request.environ.get(ROLE) or "admin")


def allow(command: str, role: str) -> None:
    """BadCommand with a sentence when a session of that role may not give the command."""
    if role not in ("trade", "admin"):
        raise BadCommand(ONLY_LOOK)
    if command in ADMIN and role != "admin":
        raise BadCommand("This takes a session with the role admin.")


def _register(app: dash.Dash, source: PageSource) -> None:
    @app.callback(
        Output(ids.ANSWER, "data"),
        Input(ids.TICK, "n_intervals"),
        Input(ids.PARAMS, "data"),
        State(ids.CURSORS, "data"),
        State(ids.PAINTED, "data"),
        running=[(Output(ids.TICK, "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def poll(_: int, params: dict[str, Any] | None, cursors: dict[str, Any] | None, painted: Any) -> Any:
        """What is new since the page's cursors; see `transport.py`.

        `base` goes back with the answer: an answer may be overtaken before the renderer saw it, so only the
        renderer moves the cursors on, and it must know which ones an answer was made from.
        """
        if not params:
            return no_update
        held = cursors or {}
        answer = source.poll({**params, "painted": painted or []}, held.get("of") or {})
        return {
            **answer,
            "base": held.get("n", 0),
            "role": role(),
            "session": ROLE in flask.request.environ,
        }

    @app.callback(Output(ids.TOAST, "data"), Input(ids.COMMAND, "data"), prevent_initial_call=True)
    def command(request: dict[str, Any] | None) -> Any:
        """What came of a command the engine took; a sentence when it did not take it."""
        if not request:
            return no_update
        name = str(request.get("name"))
        try:
            allow(name, role())
            result = source.command(name, dict(request.get("args") or {}))
        except BadCommand as error:
            return {"id": request.get("id"), "text": str(error), "more": "Nothing was changed."}
        return {"id": request.get("id"), "text": "", "result": result}

    @app.callback(
        Output(ids.DOWNLOAD, "data"),
        Output(ids.TOAST, "data", allow_duplicate=True),
        Input(ids.EXPORT, "data"),
        prevent_initial_call=True,
    )
    def export(request: dict[str, Any] | None) -> Any:
        """The file of one chart, or the sentence that says why there is none."""
        if not request:
            return no_update, no_update
        try:
            name, text = source.export(request)
        except BadCommand as error:
            return no_update, {"id": request.get("id"), "text": "Nothing was exported", "more": str(error)}
        return dcc.send_string(text, name, type="text/csv"), no_update

    app.clientside_callback(
        ClientsideFunction("venuescope", "render"),
        Output({"type": "chart", "name": dash.ALL}, "figure"),
        Output(ids.CURSORS, "data"),
        Input(ids.ANSWER, "data"),
        Input(ids.REDRAW, "data"),
        State({"type": "chart", "name": dash.ALL}, "figure"),
        State(ids.SPECS, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("venuescope", "toast"),
        Output(ids.TOASTED, "data"),
        Input(ids.TOAST, "data"),
        prevent_initial_call=True,
    )


def _serve_exports(app: dash.Dash, source: PageSource) -> None:
    """`/history/exports/<job>`: a finished export as a file. The browser names a job, never a path."""

    @app.server.get("/history/exports/<job>")
    def download(job: str) -> flask.Response:
        try:
            path = source.download(job)
            file = path.open("rb")
        except (BadCommand, FileNotFoundError) as error:
            why = str(error) if isinstance(error, BadCommand) else "that export is gone"
            return flask.Response(f"{why}\n", 404, mimetype="text/plain")
        answer = flask.Response(_chunks(file), mimetype="application/octet-stream")
        answer.call_on_close(file.close)
        answer.content_length = os.fstat(file.fileno()).st_size
        answer.headers.set("Content-Disposition", "attachment", filename=path.name)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces that are large, since each takes a turn of the engine's loop."""
    while piece := file.read(CHUNK_BYTES):
        yield piece
