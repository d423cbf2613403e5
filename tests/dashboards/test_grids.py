"""Grids as pages hold them: their place, their settings, and that pages without one do not load their code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dashboards import grids
from dashboards.pages import PAGES
from dashboards.shell import ASSETS, create_app
from tests.dashboards.test_layouts import Silent, attribute, tree

SCRIPT = (ASSETS / "66_grids.js").read_text(encoding="utf-8")


def specs() -> dict[str, dict[str, Any]]:
    """Every grid of every page: name -> its properties."""
    found = {}
    for page in PAGES:
        for component in tree(page.layout()):
            name = attribute(component, "data-grid")
            if name:
                found[name] = json.loads(attribute(component, "data-spec"))["props"]
    return found


def test_pages_have_these_grids() -> None:
    assert sorted(specs()) == ["endpoints", "events", "limit-events", "tape", "venue-events"]


@pytest.mark.parametrize("name", ["endpoints", "events", "limit-events", "tape", "venue-events"])
def test_a_grid_is_client_side_keyed_by_row_and_still(name: str) -> None:
    grid = specs()[name]
    assert grid["id"] == f"grid-{name}-table"
    assert (grid["rowModelType"], grid["getRowId"]) == ("clientSide", "params.data.id")
    assert "rowData" not in grid  # rows come by transactions
    options = grid["dashGridOptions"]
    assert not options["animateRows"]
    assert not options["pagination"]
    assert 21 <= options["rowHeight"] <= 27


def test_every_function_a_grid_names_is_there() -> None:
    text = json.dumps(specs())
    named = set(re.findall(r'"(?:function)": "(\w+)\(params\)"', text)) | set(
        re.findall(r'"cellRenderer": "(\w+)"', text)
    )
    assert named == {
        *("vsPrice", "vsSize", "vsBar", "vsMillis", "vsTime", "vsCount", "vsMs"),
        *("VsTag", "VsNamed", "VsStatus"),
    }
    assert all(f"    {name}: " in SCRIPT for name in named)


def test_no_pages_head_loads_the_grids_code_yet_it_is_served() -> None:
    client = create_app(Silent()).server.test_client()
    head = re.findall(r'<script[^>]* src="([^"]+)"', client.get("/market").get_data(as_text=True))
    assert any("dash_core_components" in src or "/dcc/" in src for src in head)
    assert not [src for src in head if "ag_grid" in src]
    path = re.search(r'const BUNDLE = "([^"]+)"', SCRIPT)
    assert path is not None
    answer = client.get(path[1])
    assert answer.status_code == 200
    assert len(answer.data) > 1_000_000
    answer.close()


def test_a_panels_name_is_the_grids() -> None:
    for name in ("events", "limit-events", "venue-events"):
        assert attribute(grids.events(name), "data-grid") == name
    with pytest.raises(KeyError):
        grids.events("other")
