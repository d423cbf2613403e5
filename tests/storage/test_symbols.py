"""Symbols by any of their names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import BadQuery
from engine.storage.names import RecordKind
from engine.storage.query import query
from engine.storage.records import Stream
from engine.storage.symbols import universal
from tests.storage.drawn import STREAM, UNIT, drawn_block
from tests.storage.kept import Kept

PERPETUAL = Stream("binance_usdm", "BTC-USDT-PERP", replace(UNIT, symbol="BTC-USDT-PERP"))
SPOT = Stream("binance_spot", "BTC-USDT", UNIT)


def test_a_universal_name_comes_before_a_venues_own_and_case_does_not_count() -> None:
    assert universal([PERPETUAL, SPOT], "", "btc-usdt") == "BTC-USDT"
    assert universal([PERPETUAL, SPOT], "binance_usdm", " btcusdt ") == "BTC-USDT-PERP"
    assert universal([PERPETUAL, SPOT], "binance_spot", "BTCUSDT") == "BTC-USDT"


def test_what_is_not_there_or_not_one_is_refused() -> None:
    with pytest.raises(BadQuery, match="BTC-USDT and BTC-USDT-PERP are called so"):
        universal([PERPETUAL, SPOT], "", "BTCUSDT")
    with pytest.raises(BadQuery, match="nothing of it is recorded of binance_spot; recorded: BTC-USDT"):
        universal([PERPETUAL, SPOT], "binance_spot", "BTC-USDT-PERP")
    with pytest.raises(BadQuery, match="nothing is recorded yet"):
        universal([], "", "BTCUSDT")


def test_a_question_may_name_it_as_the_venue_does(tmp_path: Path) -> None:
    store = Kept(tmp_path / "store")
    store.put(drawn_block(RecordKind.TRADES, 7))
    store.close()
    native = UNIT.native or STREAM.symbol
    for name in (native, native.lower(), STREAM.symbol.lower()):
        assert len(query(store.folder, RecordKind.TRADES, symbol=name)) == 7
    assert len(query(store.folder, RecordKind.TRADES, symbol="DOGE-USDT")) == 0
