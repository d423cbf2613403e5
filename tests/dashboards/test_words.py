"""What figures measure, in words: every figure and every column of numbers has its own, and nothing else has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dash.development.base_component import Component

from dashboards import controls
from dashboards.pages import PAGES
from dashboards.words import SELF_EVIDENT, WORDS

# Texts that belong to a figure, whose words are the figure's.
PART_OF = (".side", ".unit", ".of")
AROUND = ("sub.", "unit.", "utc.", "keys.")


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


def heads(component: Component) -> set[str]:
    """`panel/Head` of the columns that hold numbers or bars."""
    return {
        f"{panel}/{one.children}"
        for one, panel in tree(component)
        if type(one).__name__ == "Th" and {"n", "bar", "mini"} & set((one.className or "").split())
    }


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_figure_and_every_column_of_numbers_has_its_words(page: Any) -> None:
    named = figures(page.layout()) | heads(page.layout())
    assert sorted(named - WORDS.keys() - SELF_EVIDENT) == []


def test_every_figure_of_the_bar_has_its_words() -> None:
    named = figures(controls.bar()) | figures(controls.rail()) | figures(controls.off_canvas())
    assert sorted(named - WORDS.keys() - SELF_EVIDENT) == []
    told = {f"tip.{attribute(one, 'data-tip')}" for one, _ in tree(controls.bar())} - {"tip.None"}
    assert told == {name for name in WORDS if name.startswith("tip.")}


def test_words_are_sentences_that_end() -> None:
    for name, words in WORDS.items():
        assert words[0].isupper() or words[0].isdigit(), name
        assert words.endswith("."), name
        assert "  " not in words, name
        assert len(words) <= 240, name
