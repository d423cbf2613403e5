"""Pieces of JSON text, written by hand where it is written often: numbers as decimal text, levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from engine.exchange.market import Level

Text = Callable[[int], str]


@lru_cache(maxsize=512)
def decimal(decimals: int, shown: int = -1) -> Text:
    """A function from scaled integers to text: `decimal(2)(1250)` is "12.50", `decimal(2, 4)(1250)` "12.5000".

    `shown` (default `decimals`) is how many decimals are written; fewer than `decimals` cuts digits off.
    """
    shown = decimals if shown < 0 else shown
    if shown < decimals:
        cut, finer = 10 ** (decimals - shown), decimal(shown)
        return lambda value: finer(value // cut)
    if not decimals:
        tail = "." + "0" * shown if shown else ""
        return lambda value: f"{value}{tail}"
    unit, zeros = 10**decimals, "0" * (shown - decimals)

    def text(value: int) -> str:
        if value >= unit:
            digits = str(value)
            return f"{digits[:-decimals]}.{digits[-decimals:]}{zeros}"
        if value < 0:
            return "-" + text(-value)
        return f"0.{value:0{decimals}d}{zeros}"

    return text


@lru_cache(maxsize=512)
def short_decimal(decimals: int) -> Text:
    """As `decimal`, without zeros at the end: 1250 with 2 decimals is "12.5"."""
    full = decimal(decimals)
    if not decimals:
        return full
    return lambda value: full(value).rstrip("0").rstrip(".")


def levels(rows: Iterable[Level], price: Text, size: Text) -> str:
    """`[["1.50","3"],...]`."""
    return "[" + ",".join([f'["{price(p)}","{size(s)}"]' for p, s in rows]) + "]"
