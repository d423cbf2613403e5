"""The venues, one module each over shared machinery; `DIALECTS` has every market by its key.

A module of this folder that says `MARKETS = ("okx_spot", ...)` is a venue; its `DIALECTS` are those markets. It is
read, not imported, until one of its markets is asked for: venues use compiled code, and importing this package (as
whoever looks for the sources of kernels does) must not import Numba.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from feeds.dialect import Dialect

HERE: Final = Path(__file__).resolve().parent
_MARKETS: Final = re.compile(r"^MARKETS(?:: [^=\n]+)? = (\([^)]*\))", re.MULTILINE)


def modules(folder: Path = HERE) -> dict[str, tuple[str, ...]]:
    """The markets of each venue's module, by its full name, in the order of the files' names."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        said = _MARKETS.search(path.read_text(encoding="utf-8"))
        if said is not None:
            found[f"{__name__}.{path.stem}"] = tuple(ast.literal_eval(said[1]))
    return found


class Registry(Mapping[str, "Dialect"]):
    """Dialects by market, in a fixed order."""

    def __init__(self, modules: Mapping[str, tuple[str, ...]]) -> None:
        self._module_of = {key: module for module, keys in modules.items() for key in keys}

    def __getitem__(self, key: str) -> Dialect:
        """The market's dialect; KeyError when there is no such market."""
        module = importlib.import_module(self._module_of[key])
        found: Dialect = next(dialect for dialect in module.DIALECTS if dialect.key == key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_of)

    def __len__(self) -> int:
        return len(self._module_of)


DIALECTS: Final = Registry(modules())
