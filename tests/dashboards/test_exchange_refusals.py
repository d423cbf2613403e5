"""Codes of refused calls in words: every code that a dialect gives has some."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboards.exchange_refusals import words
from engine.exchange import dialects, trading
from engine.exchange.dialects import binance_trading_errors, bybit_trading_codes, native
from engine.matching import orders

FOLDER = Path(dialects.__file__).parent
BINANCE = {
    int(code)
    for path in FOLDER.glob("binance*.py")
    for code in re.findall(r"[(=:] ?(-[12]\d{3})\b", path.read_text("utf-8"))
}
NATIVE = {
    value
    for name, value in vars(native).items()
    if name.isupper() and isinstance(value, int) and 200 < value < 209
}


def test_there_are_codes_to_look_for() -> None:
    assert {code for code, _ in binance_trading_errors._PLACING.values()} <= BINANCE
    assert len(NATIVE) == 8


@pytest.mark.parametrize(
    ("dialect", "codes"),
    [
        ("binance", BINANCE),
        ("bybit", {*bybit_trading_codes.SENTENCES, *bybit_trading_codes.CODES.values()}),
        ("native", {*orders.REASONS, *trading.DESK_REASONS, *NATIVE} - {0}),
    ],
)
def test_every_code_of_a_dialect_has_words(dialect: str, codes: set[int]) -> None:
    found = words()
    assert sorted(code for code in codes if f"{dialect} {code}" not in found) == []


def test_words_are_few_enough_for_a_row() -> None:
    assert [
        text for key, text in words().items() if not key.startswith(("native", "page")) and len(text) > 40
    ] == []
