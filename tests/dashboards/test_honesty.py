"""Panels as they are laid out: each tells an age, a count and what was lost, or says that nothing in it gets old."""

from __future__ import annotations

from typing import Any

import pytest
from dash.development.base_component import Component

from dashboards import panels
from dashboards.pages import PAGES
from tests.dashboards.components import tree

# The whole list, so that a panel of data is not let off in passing.
TIMELESS = {
    "alert-form": "form",
    "alert-rules": "rules",  # each row has its own "since"
    "alert-webhooks": "settings",
    "connect": "programs",
    "stretch": "form",
}


def props(component: Component) -> dict[str, Any]:
    found: dict[str, Any] = component.to_plotly_json()["props"]
    return found


def panels_of(page: Any) -> list[Component]:
    """The panels of a page; buttons have their panel's name too."""
    return [
        one for one in tree(page.layout()) if type(one).__name__ == "Section" and "data-panel" in props(one)
    ]


def laid_out() -> dict[str, Component]:
    """Every panel of every page, by its name."""
    return {props(one)["data-panel"]: one for page in PAGES for one in panels_of(page)}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_panel_has_a_footer_with_age_count_loss_and_remark(page: Any) -> None:
    assert panels_of(page)
    for panel in panels_of(page):
        footer = props(panel)["children"][-1]
        classes = [word for one in tree(footer) for word in str(props(one).get("className", "")).split()]
        assert type(footer).__name__ == "Footer"
        assert [name for name in classes if name.startswith("f-")] == ["f-age", "f-n", "f-lost", "f-note"]
        assert props(panel)["data-streams"].split()[0] in panels.STREAMS


def test_what_never_gets_old_is_named_with_its_reason() -> None:
    marked = {name: props(one).get("data-timeless") for name, one in laid_out().items()}
    assert {name: why for name, why in marked.items() if why} == TIMELESS


def test_every_chart_has_its_units_in_its_corners_and_time_is_utc() -> None:
    for name, panel in laid_out().items():
        if not props(panel)["data-chart"]:
            continue
        units = [props(one) for one in tree(panel) if "vs-unit" in str(props(one).get("className", ""))]
        corners = {one["className"].split()[1] for one in units if one.get("children") or one.get("data-f")}
        assert corners & {"is-tr", "is-tl"}, name
        if name not in ("depth", "distribution"):  # over price, over quantiles
            assert any(one.get("data-f", "").startswith("utc.") for one in units), name
