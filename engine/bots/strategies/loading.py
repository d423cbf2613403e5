"""Strategies by name, or from a file of one's own: "random", "market-maker", "path/to/file.py:ClassName"."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.bots.errors import BadStrategy
from engine.bots.strategies.base import Strategy
from engine.bots.strategies.market_maker import MarketMaker
from engine.bots.strategies.momentum import Momentum
from engine.bots.strategies.random_orders import RandomOrders
from engine.bots.strategies.twap import Twap

BUILT_IN: Final[dict[str, Callable[[int], Strategy]]] = {
    "random": RandomOrders,
    "market-maker": MarketMaker,
    "momentum": Momentum,
    "twap": Twap,
}


def load(name: str) -> Callable[[int], Strategy]:
    """What makes a strategy from a seed. BadStrategy says what is wrong with the name, the file or the class."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    path, colon, wanted = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        known = ", ".join(BUILT_IN)
        raise BadStrategy(
            name, f"there is none; there are {known}, or one's own as path/to/file.py:ClassName"
        )
    if not Path(path).is_file():
        raise BadStrategy(name, f"there is no file {path}")
    found = getattr(_module(name, Path(path)), wanted, None)
    if not isinstance(found, type):
        raise BadStrategy(name, f"{path} has no class {wanted}")
    if not callable(getattr(found, "decide", None)):
        raise BadStrategy(name, f"{wanted} has no decide(view, now_ns)")
    made = found

    def make(seed: int) -> Strategy:
        try:
            strategy = made(seed)
        except Exception as error:
            raise BadStrategy(name, f"{wanted}(seed) failed: {type(error).__name__}: {error}") from error
        return strategy  # type: ignore[no-any-return]

    make(0)
    return make


def _module(name: str, path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"venuescope_strategy_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadStrategy(name, f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
