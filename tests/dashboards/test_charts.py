"""Figures without rows: what they are made of, and that nothing in them undoes a user's zoom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import pytest

from dashboards import charts
from dashboards.shell import ASSETS, HERE

NAMES = sorted(charts.SPECS)
TOKENS = set(re.findall(r"(--vs-[\w-]+):", (ASSETS / "10_tokens.css").read_text(encoding="utf-8")))


def strings(value: Any) -> Iterator[str]:
    """Every text in a nest of dicts and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_is_a_copy(name: str) -> None:
    charts.spec(name)["data"].clear()
    assert charts.spec(name)["data"]


@pytest.mark.parametrize("name", NAMES)
def test_colours_are_tokens_that_exist(name: str) -> None:
    spec = charts.spec(name)
    for text in strings(spec):
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", text), text
        for token in re.findall(r"var\((--[\w-]+)\)", text):
            assert token in TOKENS
    template = json.loads((HERE / "template.json").read_text(encoding="utf-8"))
    for text in strings(template):
        for token in re.findall(r"var\((--[\w-]+)\)", text):
            assert token in TOKENS


@pytest.mark.parametrize("name", NAMES)
def test_axes_are_left_to_plotly_and_a_bounds_trace_holds_the_window(name: str) -> None:
    spec = charts.spec(name)
    layout = spec["layout"]
    for key, axis in layout.items():
        if key.startswith(("xaxis", "yaxis")) and not axis.get("fixedrange"):
            assert "range" not in axis
    assert layout["xaxis"]["autorange"] is True
    assert sum(trace["name"] == "bounds" for trace in spec["data"]) == 1
    assert "shapes" not in layout
    assert "annotations" not in layout
    assert "transition" not in layout


@pytest.mark.parametrize("name", NAMES)
def test_no_chart_has_a_range_slider(name: str) -> None:
    spec = charts.spec(name)
    slider = spec["layout"]["xaxis"].get("rangeslider", {}).get("visible")
    # Plotly gives one to candles that do not say they want none.
    assert slider is False or not (
        slider or {trace["type"] for trace in spec["data"]} & {"candlestick", "ohlc"}
    )


@pytest.mark.parametrize("name", NAMES)
def test_plotly_takes_the_figure(name: str) -> None:
    spec = charts.spec(name)
    traces = spec["data"] + list(spec.get("slots", {}).values())
    for trace in traces:
        text = json.dumps(trace)
        resolved = json.loads(re.sub(r"var\(--[\w-]+\)", "#123456", text))
        go.Figure(data=[resolved])
    go.Figure(layout=json.loads(re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps(spec["layout"]))))


@pytest.mark.parametrize("name", NAMES)
def test_no_trace_needs_webgl(name: str) -> None:
    assert all(not trace["type"].endswith("gl") for trace in charts.spec(name)["data"])


def test_simulated_is_hatched_and_real_is_not() -> None:
    slots = charts.spec("throughput")["slots"]
    assert slots["sim"]["fillpattern"]["shape"] == "/"
    assert "fillpattern" not in slots["real"]


def test_percentiles_differ_by_more_than_colour() -> None:
    lines = charts.spec("latency")["data"][:5]
    looks = {(line["line"]["dash"], line["line"]["width"]) for line in lines}
    assert len(looks) >= 4
    assert [line["name"] for line in lines] == ["p50", "p90", "p95", "p99", "p99.9"]
