"""Latency: percentiles over time, their distribution, every stage of the way."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    distribution = panels.panel(
        "distribution",
        "Distribution",
        "Latency by quantile, this window",
        streams=["distribution"],
        chart="distribution",
        units=(("tl", "{unit.distribution}"),),
        note="both axes log",
        cls="c4",
    )
    stages = panels.panel(
        "stages",
        "Stages",
        "Where the time goes, from the venue's clock to the screen",
        streams=["stages"],
        body=panels.table(
            "stages",
            [
                ("Stage", ""),
                ("Measures", "vs-hide-s"),
                ("Samples", "n"),
                ("p50", "n"),
                ("p90", "n"),
                ("p99", "n"),
                ("p99.9", "n"),
                ("Max", "n"),
                ("p50 to p99.9, log", "bar"),
                ("p99, last minute", ""),
            ],
            cls="is-roomy",
            caption="Latency by stage",
        ),
        cls="c8",
    )
    samples = panels.panel(
        "samples",
        "Samples",
        "Events measured per bucket",
        streams=["latency"],
        chart="samples",
        part="count",
        units=(("tr", "events"), ("br", "{utc.latency}")),
        cls="c4",
    )
    return panels.page(
        "latency",
        "Latency",
        panels.facts(
            "Key figures",
            ("p50", "fact.p50", "--vs-p50"),
            ("p90", "fact.p90", "--vs-p90"),
            ("p99", "fact.p99", "--vs-p99"),
            ("p99.9", "fact.p999", "--vs-p999"),
            ("Highest", "fact.max", ""),
            ("Samples", "fact.n", ""),
        ),
        html.Div([shared.percentiles("c8", stage=True), distribution], className="vs-grid row1"),
        html.Div([stages, samples], className="vs-grid row2"),
    )
