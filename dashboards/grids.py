"""Bodies of panels that hold many rows: the trade tape, the endpoints, events, and the order book's ladder.

Tables are AG Grid's. Its code is 1.3 MB, so it is no part of a page's own scripts: `mount` leaves a place with the
grid's settings in it, and `assets/66_grids.js` loads the code and puts the grid there on the first page that has
one. Rows come from the tab's streams as transactions by row id, never through Dash. What a cell says is written by
the functions in `assets/66_grids.js`; the page's policy on scripts forbids anything else.

The ladder stays rows of the page's own. Its middle is held where it is, and a grid of 41 rows of which every size
changes took 4.1 ms of script an update (median of 60 at 10 Hz, headless, a busy machine of two cores; 95th
percentile 38 ms), these rows 1.1 ms (5 ms); layout and painting come on top of both and were not compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid
from dash import html
from dash.development.base_component import Component

from dashboards import panels

TAPE_ROW_PX = 21
TABLE_ROW_PX = 27
HEAD_PX = 26

# Served when asked for, but in no page's head: only pages with a grid load it.
BUNDLE = "dash_ag_grid.min.js"
for _file in dash_ag_grid._js_dist:
    if _file["relative_package_path"] == BUNDLE:
        _file["async"] = "lazy"

Column = dict[str, Any]

DEFAULTS: dict[str, Any] = {
    "animateRows": False,
    "suppressColumnMoveAnimation": True,
    "suppressNoRowsOverlay": True,
    "localeText": {"noMatchingRows": "No row passes the filters"},
    "suppressDragLeaveHidesColumns": True,
    "suppressCellFocus": False,
    "enableCellTextSelection": True,
    "enableBrowserTooltips": True,
    "loading": False,
    "pagination": False,
    "rowBuffer": 6,
    "headerHeight": HEAD_PX,
    "alwaysMultiSort": False,
    "deltaSort": True,
}


def column(name: str, head: str, write: str = "", **options: Any) -> Column:
    """One column of rows' field `name`; `write` is the function in `66_grids.js` that words its value."""
    made: Column = {"field": name, "headerName": head, "colId": name, "minWidth": 40, **options}
    if write:
        made["valueFormatter"] = {"function": f"{write}(params)"}
    return made


def number(name: str, head: str, write: str = "vsCount", **options: Any) -> Column:
    """A column of right-aligned numbers."""
    return column(
        name,
        head,
        write,
        type="rightAligned",
        filter="agNumberColumnFilter",
        sortingOrder=["desc", "asc", None],
        **options,
    )


def mount(
    name: str,
    label: str,
    columns: Sequence[Column],
    *,
    row_px: int = TABLE_ROW_PX,
    options: Mapping[str, Any] | None = None,
    cls: str = "",
) -> Component:
    """The place of one grid, `name`d as in `66_grids.js`; `label` is what it is called to those who do not see it."""
    grid = dash_ag_grid.AgGrid(
        id=f"grid-{name}-table",
        columnDefs=list(columns),
        defaultColDef={"resizable": True, "sortable": True, "suppressMovable": True},
        getRowId="params.data.id",
        rowModelType="clientSide",
        dashGridOptions={**DEFAULTS, "rowHeight": row_px, **(options or {})},
        style={"height": "100%", "width": "100%"},
        className="vs-ag-frame",
    )
    return html.Div(
        id=f"grid-{name}",
        className=f"vs-ag {cls}".strip(),
        **{"data-grid": name, "data-label": label, "data-spec": json.dumps(grid.to_plotly_json())},
    )


def tape() -> Component:
    """Trades, newest on top, above them what narrows them down: one side, a least size."""
    narrow = html.Div(
        [
            panels.segment(
                "tside", "Side of the trades shown", [("", "All"), ("buy", "▲ bought"), ("sell", "▼ sold")]
            ),
            html.Label(
                [
                    html.Span("Size ≥"),
                    html.Span(
                        html.Div(className="vs-ag-least", **{"data-host": "tape:least"}), className="vs-inp"
                    ),
                ]
            ),
        ],
        className="vs-ag-narrow",
    )
    table = mount(
        "tape",
        "Trades, newest first",
        [
            column("p", "Price", "vsPrice", flex=1.05, cellClass="p", cellClassRules=_sided()),
            column(
                "q",
                "Size",
                "vsSize",
                flex=0.8,
                type="rightAligned",
                cellClass="ag-right-aligned-cell q",
                cellClassRules=_sided(),
                cellStyle={"function": "vsBar(params)"},
            ),
            column(
                "t",
                "Time, UTC",
                "vsMillis",
                flex=1.15,
                type="rightAligned",
                cellClass="ag-right-aligned-cell vs-sec",
            ),
        ],
        row_px=TAPE_ROW_PX,
        options={"localeText": {"noMatchingRows": "No such trade among those kept; take a smaller size"}},
        cls="is-tape",
    )
    return html.Div([narrow, table], className="vs-ag-with")


def _sided() -> dict[str, str]:
    return {"is-up": "params.data.side > 0", "is-down": "params.data.side < 0"}


def events(name: str) -> Component:
    """What happened, newest first; `name` is the panel's."""
    titles = {"events": "Events", "limit-events": "Limit events", "venue-events": "Venue events"}
    return mount(
        name,
        titles[name],
        [
            column(
                "t", "Time, UTC", "vsTime", width=84, cellClass="vs-sec", sortingOrder=["asc", "desc", None]
            ),
            column(
                "source",
                "Source",
                width=112,
                cellClass="name",
                filter="agTextColumnFilter",
                tooltipField="source",
            ),
            column("what", "What", width=94, filter="agTextColumnFilter", cellRenderer="VsTag"),
            column(
                "text",
                "Said",
                flex=1,
                minWidth=180,
                cellClass="wide",
                wrapText=True,
                autoHeight=True,
                filter="agTextColumnFilter",
                tooltipField="text",
            ),
        ],
    )


def endpoints() -> Component:
    """Calls of every endpoint since the start, most throttled first."""
    return mount(
        "endpoints",
        "Endpoints",
        [
            column(
                "label",
                "Venue",
                flex=1.1,
                minWidth=126,
                filter="agTextColumnFilter",
                cellRenderer="VsNamed",
                tooltipField="label",
            ),
            column(
                "endpoint",
                "Endpoint",
                flex=2.2,
                minWidth=158,
                cellClass="vs-mono",
                filter="agTextColumnFilter",
                tooltipField="endpoint",
            ),
            number("weight", "Weight", flex=0.7, minWidth=50),
            number("calls", "Calls", flex=0.7, minWidth=50),
            number("throttled", "Throttled", flex=0.8, minWidth=66, cellClassRules=_toned("is-warn")),
            number("waiting", "Waiting", flex=0.7, minWidth=56, cellClassRules=_toned("is-warn")),
            number("mean_ms", "Mean, ms", "vsMs", flex=0.6, minWidth=66),
            number("p99_ms", "p99, ms", "vsMs", flex=0.6, minWidth=60),
            number("max_ms", "Max, ms", "vsMs", flex=0.6, minWidth=60),
            number("refused", "Refused", flex=0.7, minWidth=58, cellClassRules=_toned("is-bad")),
            number("status", "Last", "", flex=0.6, minWidth=54, cellRenderer="VsStatus"),
        ],
    )


def _toned(tone: str) -> dict[str, str]:
    return {tone: "params.value > 0", "is-none": "params.value === 0"}


def ladder() -> Component:
    """The order book by price, asks above bids, the spread between."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("Price", **{"data-f": "ladder.price"}),
                    html.Span("Size", **{"data-f": "ladder.size"}),
                    html.Span("Sum", **{"data-f": "ladder.sum"}),
                ],
                className="h",
            ),
            html.Div(className="side is-ask", **{"data-host": "ladder:a"}),
            html.Div(
                [
                    html.B("–", **{"data-f": "ladder.last"}),
                    html.Span("", className="vs-sec", **{"data-f": "ladder.spread"}),
                ],
                className="mid",
            ),
            html.Div(className="side is-bid", **{"data-host": "ladder:b"}),
        ],
        className="vs-ladder",
    )


def ladder_tools() -> list[Component]:
    """The ladder's switch: whether sizes that changed flash."""
    return [panels.segment("flash", "Sizes that change", [("on", "Flash"), ("off", "Still")], cls="is-sm")]
