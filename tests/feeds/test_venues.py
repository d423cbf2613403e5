"""The registry of venues: found by what their modules say, imported when asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from engine.limits import rules
from feeds import venues
from feeds.venues import DIALECTS


def test_every_venue_says_which_markets_it_has() -> None:
    for name, keys in venues.modules().items():
        assert tuple(dialect.key for dialect in importlib.import_module(name).DIALECTS) == keys
    assert list(DIALECTS) == [
        *("binance_spot", "binance_usdm", "binance_coinm"),
        *("bybit_spot", "bybit_linear", "bybit_inverse"),
    ]


def test_a_module_that_names_markets_is_a_venue_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "okx.py").write_text(
        '"""MARKETS = not this."""\nMARKETS: Final = (\n    "okx_spot",\n    "okx_swap",\n)\n'
    )
    (tmp_path / "okx_frames.py").write_text('OTHER = ("okx_spot",)\n')
    assert venues.modules(tmp_path) == {"feeds.venues.okx": ("okx_spot", "okx_swap")}


@pytest.mark.parametrize("key", list(DIALECTS))
def test_every_market_has_its_limits(key: str) -> None:
    assert DIALECTS[key].limits in rules.load().venues


def test_a_market_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        DIALECTS["nowhere"]


def test_looking_for_venues_imports_none() -> None:
    code = "import sys, feeds.venues; list(feeds.venues.DIALECTS); print('numba' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
