"""Health: what runs, what is held, what was lost, and what happened; of the engine, or of live venues."""

from __future__ import annotations

from collections.abc import Callable

from dash import html
from dash.development.base_component import Component

from dashboards import grids, panels


def layout(**_: object) -> Component:
    """The page's content."""

    def part(
        name: str, title: str, sub: str, heads: list[tuple[str, str]], cls: str, of: str = ""
    ) -> Component:
        return panels.panel(
            name,
            title,
            sub,
            streams=["health"],
            body=panels.table(name, heads, caption=title),
            part=of or name,
            cls=cls,
        )

    return panels.page(
        "health",
        "Health",
        html.Div(
            [
                panels.segment("health", "What is shown", (("engine", "Engine"), ("venues", "Live venues"))),
                html.Span("", className="vs-mut", **{"data-f": "health.venues"}),
            ],
            className="vs-views",
        ),
        *venue_rows(part),
        panels.facts(
            "Process",
            ("Loop lag p99", "health.lag", ""),
            ("Processor", "health.cpu", ""),
            ("Memory", "health.rss", ""),
            ("Threads", "health.threads", ""),
            ("Lost rows", "health.lost", ""),
            ("Up", "health.uptime", ""),
            ("Kernels", "health.kernels", ""),
            ("Log", "health.log", ""),
            cls="of-engine",
        ),
        html.Div(
            [
                panels.panel(
                    "matching",
                    "Matching engine",
                    "Open orders and price levels of its books",
                    streams=["matching"],
                    read=panels.readout(
                        ("Sequence", "matching.sequence"),
                        ("Memory", "matching.memory"),
                        ("Engine time", "matching.now", "opt"),
                    ),
                    body=panels.table(
                        "matching",
                        [
                            ("Symbol", ""),
                            ("Resting", "n"),
                            ("Waiting", "n"),
                            ("Bid levels", "n"),
                            ("Ask levels", "n"),
                            ("Far", "n"),
                            ("Slots used", "bar"),
                            ("Share", "n"),
                            ("Slots", "n vs-hide-l"),
                            ("Peak", "n vs-hide-l"),
                            ("Phase", ""),
                        ],
                        caption="Books of the matching engine",
                    ),
                    part="symbols",
                    note="far: levels beyond the ladder",
                    cls="c7",
                ),
                panels.panel(
                    "load",
                    "Matching load",
                    "A batch is a turn: orders made, matched, published",
                    streams=["matching"],
                    body=panels.table(
                        "load",
                        [
                            ("Last minute", ""),
                            ("Now", "n"),
                            ("p50", "n"),
                            ("p99", "n"),
                            ("Max", "n"),
                            ("In all", "n"),
                            ("By second", "mini"),
                        ],
                        caption="What the matching engine's turns did",
                    ),
                    part="figures",
                    note="lines of batches: p99",
                    cls="c5",
                ),
            ],
            className="vs-grid row1 of-engine",
        ),
        html.Div(
            [
                part(
                    "tasks",
                    "Tasks",
                    "What the engine's thread runs",
                    [("Task", ""), ("State", ""), ("Restarts", "n"), ("Since, UTC", "n"), ("Last error", "")],
                    "c5",
                ),
                part(
                    "sources",
                    "Sources",
                    "Frames taken, and what was wrong with them",
                    [
                        ("Source", ""),
                        ("Frames", "n"),
                        ("Malformed", "n"),
                        ("Gaps", "n"),
                        ("Resyncs", "n"),
                        ("Dropped", "n"),
                        ("Late", "n vs-hide-l"),
                        ("Levels cut", "n vs-hide-l"),
                        ("Unchecked", "n vs-hide-l"),
                        ("Top agrees", "n"),
                    ],
                    "c7",
                ),
            ],
            className="vs-grid row2 of-engine",
        ),
        html.Div(
            [
                part(
                    "rings",
                    "Rings",
                    "What pages read",
                    [
                        ("Ring", ""),
                        ("Rows", "n"),
                        ("Capacity", "n vs-hide-xl"),
                        ("Full", "bar"),
                        ("Written", "n vs-hide-xl"),
                        ("Size", "n"),
                    ],
                    "c4",
                ),
                panels.panel(
                    "events",
                    "Events",
                    "Newest first",
                    streams=["events"],
                    body=grids.events("events"),
                    cls="c5",
                ),
                html.Div(
                    [
                        part(
                            "queues",
                            "Queues",
                            "Between parts",
                            [
                                ("Queue", ""),
                                ("Depth", "n"),
                                ("Peak", "n"),
                                ("Capacity", "n vs-hide-xl"),
                                ("Dropped", "n"),
                            ],
                            "",
                        ),
                        part(
                            "frames",
                            "Malformed frames",
                            "Newest first",
                            [("Time, UTC", ""), ("Source", ""), ("Field", ""), ("Frame", "")],
                            "",
                            of="bad_frames",
                        ),
                    ],
                    className="vs-stack c3",
                ),
            ],
            className="vs-grid row3 of-engine",
        ),
    )


def venue_rows(part: Callable[..., Component]) -> tuple[Component, Component]:
    """The rows about live venues: connections, then each market's clock, snapshots and polls, and what happened."""
    connections = part(
        "streams",
        "Connections",
        "WebSocket connections of connected markets; counts since it was connected",
        [
            ("Market", ""),
            ("Stream", ""),
            ("State", ""),
            ("For", "n"),
            ("Newest", "n"),
            ("Frames/s", "n"),
            ("Subscribed", "n"),
            ("Reconnects", "n"),
            ("Rotations", "n vs-hide-l"),
            ("Stalls", "n"),
            ("Dropped", "n"),
            ("Next try", "n"),
            ("Reason of the last end", ""),
        ],
        "c12",
    )
    clocks = part(
        "clocks",
        "Markets",
        "Clock less ours, books synced, snapshots and polls of each",
        [
            ("Market", ""),
            ("State", ""),
            ("Clock", "n vs-hide-l"),
            ("Round trip", "n vs-hide-l"),
            ("Books", "n"),
            ("Gaps", "n"),
            ("Snapshots due", "n"),
            ("done", "n"),
            ("failed", "n"),
            ("Polls set", "n"),
            ("failed", "n"),
            ("Last error", ""),
        ],
        "c7",
        of="venues",
    )
    happened = panels.panel(
        "venue-events",
        "Venue events",
        "Connects, gaps, rotations; newest first",
        streams=["events"],
        body=grids.events("venue-events"),
        part="venue",
        cls="c5",
    )
    return (
        html.Div([connections], className="vs-grid rowv1 of-venues"),
        html.Div([clocks, happened], className="vs-grid rowv2 of-venues"),
    )
