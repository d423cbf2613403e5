"""The venues, one module each over shared machinery; `DIALECTS` has every market by its key.

A module is imported when one of its markets is asked for: they use compiled code, and importing this package (as
whoever looks for the sources of kernels does) must not import Numba.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from feeds.dialect import Dialect

# A venue's module has its markets in `DIALECTS`.
MODULES: Final = {
    "feeds.venues.binance_dialect": ("binance_spot", "binance_usdm", "binance_coinm"),
    "feeds.venues.bybit": ("bybit_spot", "bybit_linear", "bybit_inverse"),
}


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


DIALECTS: Final = Registry(MODULES)
