"""Pages as Dash gets them: they build, their ids are unique, and they ask for what the contract has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dash.development.base_component import Component

from dashboards import charts, ids, panels, transport
from dashboards.pages import PAGES
from dashboards.shell import ASSETS, create_app
from engine.errors import BadCommand
from tests.dashboards.components import tree

PAGE_NAMES = [page.name for page in PAGES]


class Silent:
    """A PageSource that has nothing."""

    def poll(self, params: dict[str, Any], cursors: dict[str, Any]) -> dict[str, Any]:
        return {"v": 1, "cursors": {"n": 1}, "asked": params, "were": cursors}

    def export(self, request: dict[str, Any]) -> tuple[str, str]:
        raise BadCommand("that view is gone")

    def command(self, name: str, args: dict[str, Any]) -> None:
        raise BadCommand("no")

    def download(self, job: str) -> Path:
        raise BadCommand("there is no such export")


def attribute(component: Component, name: str) -> Any:
    return component.to_plotly_json()["props"].get(name)


def test_there_are_ten_pages_with_their_own_paths() -> None:
    assert PAGE_NAMES == [
        "overview",
        "book",
        "market",
        "latency",
        "throughput",
        "limits",
        "exchange",
        "history",
        "alerts",
        "health",
    ]
    assert len({page.path for page in PAGES}) == 10


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_ids_and_panel_names_are_unique(page: Any) -> None:
    found = [json.dumps(c.id, sort_keys=True) for c in tree(page.layout()) if getattr(c, "id", None)]
    assert len(found) == len(set(found))
    hosts = [attribute(c, "data-host") for c in tree(page.layout()) if attribute(c, "data-host")]
    assert len(hosts) == len(set(hosts))


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_stream_and_chart_a_panel_names_exists(page: Any) -> None:
    asked = set()
    for component in tree(page.layout()):
        asked |= set((attribute(component, "data-streams") or "").split())
        if attribute(component, "data-panel") and attribute(component, "data-title"):
            assert attribute(component, "data-export") in panels.STREAMS
            chart = attribute(component, "data-chart")
            assert chart == "" or chart in charts.SPECS
    assert asked
    assert asked <= panels.STREAMS


def test_the_streams_are_those_of_the_contract() -> None:
    contract = transport.__doc__ or ""
    for name in panels.STREAMS:
        assert re.search(rf"^    {name} +{{", contract, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_a_page_has_one_h1_and_a_named_h2_per_panel(page: Any) -> None:
    parts = list(tree(page.layout()))
    assert sum(type(c).__name__ == "H1" for c in parts) == 1
    for panel in (c for c in parts if type(c).__name__ == "Section" and attribute(c, "data-panel")):
        heads = [c for c in tree(panel) if type(c).__name__ == "H2"]
        assert [h.id for h in heads] == [attribute(panel, "aria-labelledby")]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_nothing_the_renderer_fills_has_children_of_ours(page: Any) -> None:
    for component in tree(page.layout()):
        if attribute(component, "data-host"):
            assert not getattr(component, "children", None)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_pages_take_any_query(page: Any) -> None:
    page.layout(theme="dark", off="x", nonsense="1")


def test_several_apps_live_in_one_process() -> None:
    first, second = create_app(Silent()), create_app(Silent(), title="Another")
    for app in (first, second):
        client = app.server.test_client()
        assert client.get("/").status_code == 200
        layout = client.get("/_dash-layout").get_json()
        assert layout["props"]["id"] == "shell"
        dependencies = client.get("/_dash-dependencies").get_json()
        assert any(ids.ANSWER in d["output"] for d in dependencies)
    assert b"Another" in second.server.test_client().get("/").data


def test_the_page_head_loads_theme_bootstrap_and_tokens_in_that_order() -> None:
    html = create_app(Silent()).server.test_client().get("/").get_data(as_text=True)
    order = [
        html.index(name) for name in ("first.js", "bootstrap.min.css", "10_tokens.css", "25_components.css")
    ]
    assert order == sorted(order)
    assert not re.search(r"""(src|href)=["']https?:""", html)


def test_the_poll_passes_parameters_and_cursors_and_says_which_they_were() -> None:
    client = create_app(Silent()).server.test_client()
    dependencies = client.get("/_dash-dependencies").get_json()
    poll = next(d for d in dependencies if d["output"] == f"{ids.ANSWER}.data")
    assert poll["running"]
    inputs = {"n_intervals": 1, "data": {"symbol": "BTC-USDT"}}
    body = {
        "output": poll["output"],
        "outputs": {"id": ids.ANSWER, "property": "data"},
        "inputs": [{**i, "value": inputs[i["property"]]} for i in poll["inputs"]],
        "state": [
            {**s, "value": {"n": 3, "of": {"n": 7}} if s["id"] == ids.CURSORS else [[1.0, 2.0]]}
            for s in poll["state"]
        ],
        "changedPropIds": [f"{ids.TICK}.n_intervals"],
    }
    answer = client.post("/_dash-update-component", json=body).get_json()["response"]
    assert answer[ids.ANSWER]["data"]["asked"] == {"symbol": "BTC-USDT", "painted": [[1.0, 2.0]]}
    assert answer[ids.ANSWER]["data"]["were"] == {"n": 7}
    assert answer[ids.ANSWER]["data"]["base"] == 3


SHEETS = sorted(path for path in ASSETS.glob("*.css") if path.name != "10_tokens.css")
SCRIPTS = sorted(ASSETS.glob("*.js")) + sorted((ASSETS / "head").glob("*.js"))


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda p: p.name)
def test_colours_are_written_in_the_tokens_alone(sheet: Path) -> None:
    text = re.sub(r'url\("data:[^"]*"\)', "", sheet.read_text(encoding="utf-8"))
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=\s*[;,)}])|\brgba?\(|\bhsla?\(", text)
    used = set(re.findall(r"var\((--vs-[\w-]+)", text))
    defined = set(
        re.findall(r"(--vs-[\w-]+):", (ASSETS / "10_tokens.css").read_text(encoding="utf-8") + text)
    )
    assert used <= defined


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_bring_no_colours_no_markup_and_no_addresses(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"""["']#[0-9a-fA-F]{3,8}["']""", text)
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text
    assert not re.search(r"\beval\(|new Function", text)
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_no_sheet_loads_anything_from_elsewhere() -> None:
    for sheet in [*ASSETS.glob("*.css"), *(ASSETS / "vendor").glob("*.css")]:
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*[\"']?https?:|@import", text), sheet.name
        assert "sourceMappingURL" not in text


def test_vendored_files_come_with_their_licences() -> None:
    vendor = ASSETS / "vendor"
    assert {p.name for p in vendor.iterdir()} == {
        "bootstrap.LICENSE.txt",
        "bootstrap.min.css",
        "inter-latin-wght-normal.woff2",
        "inter.LICENSE.txt",
        "inter.css",
        "modern-screenshot.LICENSE.txt",
        "modern-screenshot.js",
    }
