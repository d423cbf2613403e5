"""Health: what runs, what is held, what was lost, and what happened."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels


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
        panels.facts(
            "Process",
            ("Loop lag p99", "health.lag", ""),
            ("Processor", "health.cpu", ""),
            ("Memory", "health.rss", ""),
            ("Threads", "health.threads", ""),
            ("Lost rows", "health.lost", ""),
            ("Up", "health.uptime", ""),
            ("Kernels", "health.kernels", ""),
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
            className="vs-grid row1",
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
                        ("Capacity", "n vs-hide-l"),
                        ("Full", "bar"),
                        ("Written", "n vs-hide-l"),
                        ("Size", "n"),
                    ],
                    "c4",
                ),
                panels.panel(
                    "events",
                    "Events",
                    "Newest first",
                    streams=["events"],
                    body=panels.table(
                        "events",
                        [("Time, UTC", ""), ("Source", ""), ("What", ""), ("", "")],
                        caption="Events",
                    ),
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
                                ("Capacity", "n"),
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
            className="vs-grid row2",
        ),
    )
