"""What figures measure, in words: every figure and every column of numbers has its own, and nothing else has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash.development.base_component import Component

from dashboards import controls
from dashboards.pages import PAGES
from dashboards.words import SELF_EVIDENT, WORDS

ROOT = Path(__file__).resolve().parents[2]
# Texts that belong to a figure, whose words are the figure's.
PART_OF = (".side", ".unit", ".of")
AROUND = ("sub.", "unit.", "utc.", "keys.")
FOOT = {"foot.age", "foot.n", "foot.lost"}  # of every panel's footer, by place: `assets/78_tips.js`


def tree(component: Any, panel: str = "") -> Iterator[tuple[Component, str]]:
    """Every component in it, with the panel it is in."""
    if isinstance(component, Component):
        panel = attribute(component, "data-panel") or panel
        yield component, panel
        yield from tree(getattr(component, "children", None), panel)
    elif isinstance(component, list | tuple):
        for child in component:
            yield from tree(child, panel)


def attribute(component: Component, name: str) -> Any:
    return component.to_plotly_json()["props"].get(name)


def figures(component: Component) -> set[str]:
    """Names of the changing texts that stand for themselves."""
    found = {attribute(one, "data-f") for one, _ in tree(component)} - {None}
    return {
        name
        for name in found
        if not name.startswith(AROUND) and (name in WORDS or not name.endswith(PART_OF))
    }


def heads(component: Component) -> dict[str, bool]:
    """`panel/Head` of the columns of tables and grids, by what their words are looked up; whether it holds numbers."""
    found: dict[str, bool] = {}
    for one, panel in tree(component):
        if type(one).__name__ == "Th":
            classes = set((one.className or "").split())
            found[key_of(panel, one.children)] = bool({"n", "bar", "mini"} & classes)
        spec = attribute(one, "data-spec")
        for column in json.loads(spec)["props"]["columnDefs"] if spec else ():
            found[key_of(panel, column["headerName"])] = column.get("type") == "rightAligned"
    return found


def heads_of_orders() -> dict[str, bool]:
    """The same of the one table whose columns the page itself chooses, by the list that is shown."""
    text = (ROOT / "assets" / "69_exchange_orders.js").read_text()
    lists = text[text.index("const HEADS") : text.index("const side")]
    found = re.findall(r'\["([^"]+)", "([^"]*)"\]', lists)
    assert len(found) > 20
    return {key_of("my-orders", head): cls == "n" for head, cls in found}


def key_of(panel: str, head: Any) -> str:
    """As `assets/78_tips.js` finds it: what stands behind a comma, a unit or a zone, may be left out."""
    whole = f"{panel}/{head}"
    return whole if whole in WORDS else whole.split(",")[0]


def of_the_bar() -> set[str]:
    tips = {f"tip.{attribute(one, 'data-tip')}" for one, _ in tree(controls.bar())} - {"tip.None"}
    return tips.union(*(figures(make()) for make in (controls.bar, controls.rail, controls.off_canvas)))


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_figure_and_every_column_of_numbers_has_its_words(page: Any) -> None:
    layout = page.layout()
    named = figures(layout) | {name for name, numbers in heads(layout).items() if numbers}
    assert sorted(named - WORDS.keys() - SELF_EVIDENT) == []


def test_every_column_of_numbers_of_orders_has_its_words() -> None:
    assert sorted({name for name, numbers in heads_of_orders().items() if numbers} - WORDS.keys()) == []


def test_every_figure_of_the_bar_has_its_words() -> None:
    assert sorted(of_the_bar() - WORDS.keys() - SELF_EVIDENT) == []


def test_nothing_else_has_words() -> None:
    there = FOOT | of_the_bar() | heads_of_orders().keys()
    for page in PAGES:
        layout = page.layout()
        there |= figures(layout) | heads(layout).keys()
    assert sorted(WORDS.keys() - there) == []
    assert sorted(SELF_EVIDENT - there) == []


def test_words_are_sentences_that_end() -> None:
    for name, words in WORDS.items():
        assert words[0].isupper() or words[0].isdigit(), name
        assert words.endswith("."), name
        assert "  " not in words, name
        assert len(words) <= 240, name
