"""Layouts as trees of components, for tests that look at every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash.development.base_component import Component


def tree(component: Any) -> Iterator[Component]:
    """Every component in it."""
    if isinstance(component, Component):
        yield component
        yield from tree(getattr(component, "children", None))
    elif isinstance(component, list | tuple):
        for child in component:
            yield from tree(child)
