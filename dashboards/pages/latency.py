"""Latency: percentiles over time, their distribution, every stage of the way."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import shared


def layout(**_: object) -> Component:
    """The page's content."""
    heat = panels.panel(
        "latency_map",
        "Latency over time",
        "",
        streams=["latency_map", "latency"],
        chart="latency_map",
        tools=[
            html.Span(
                ["Share 0.01 %", html.I(), "30 %, log"],
                className="vs-ramp",
                **{"aria-label": "Shades, on a log scale"},
            ),
            html.Div(className="vs-slo", **{"data-host": "slo:form"}),
            panels.select("source", "Source of the samples"),
            panels.select("stage", "Stage of the way", shared.STAGES),
        ],
        read=panels.readout(
            ("Above threshold", "slo.share"),
            ("Worst", "slo.worst", "is-worst"),
            ("Too near to tell", "slo.unsure", "opt"),
        ),
        units=(("tl", "{unit.latency_map}"), ("br", "{utc.latency_map}")),
    )
    distribution = panels.panel(
        "distribution",
        "Distribution",
        "Latency by quantile, this window",
        streams=["distribution"],
        chart="distribution",
        units=(("tl", "{unit.distribution}"),),
        note="both axes log",
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
    )
    samples = panels.panel(
        "samples",
        "Samples",
        "Events measured per bucket",
        streams=["latency"],
        chart="samples",
        part="count",
        units=(("tr", "events"), ("br", "{utc.latency}")),
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
            ("Above", "fact.slo", ""),
        ),
        html.Div(
            [
                html.Div([heat, stages], className="vs-stack c8"),
                html.Div([shared.percentiles(source=False), distribution, samples], className="vs-stack c4"),
            ],
            className="vs-grid row1",
        ),
    )
