from __future__ import annotations

import pytest

from engine.errors import BadCommand
from engine.market.instruments import Instrument
from feeds.dialect import Listing
from feeds.listed import Listed


def instrument(symbol: str, native: str) -> Instrument:
    base, quote = symbol.split("-")[:2]
    return Instrument("x", symbol, base, quote, 2, 2, native=native)


def listed() -> Listed:
    found = Listed("Some venue")
    some = (
        ("ETH-USDT", "ETHUSDT"),
        ("BTC-USDT", "BTCUSDT"),
        ("BTC-USDC", "BTCUSDC"),
        ("BTC-USDT", "XBTUSDT"),
    )
    found.take(Listing(tuple(instrument(*names) for names in some)))
    return found


def test_names_are_found_in_either_form_and_any_case() -> None:
    assert listed().find(" btc-usdt ").native == "BTCUSDT"
    assert listed().find("ethusdt").symbol == "ETH-USDT"
    assert listed().names == ("BTC-USDC", "BTC-USDT", "ETH-USDT")
    assert "BTC-USDT" in listed()
    assert "XBTUSDT" not in listed()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("BTC-USDX", "Some venue lists no 'BTC-USDX'; did you mean BTC-USDT or BTC-USDC?"),
        ("ethusd", "Some venue lists no 'ethusd'; did you mean ETH-USDT or BTC-USDT?"),
        ("qqqqqqqq", "Some venue lists no 'qqqqqqqq'"),
        ("Q" * 500, f"Some venue lists no '{'Q' * 40}'"),
        ("", "Some venue lists no ''"),
    ],
)
def test_a_name_that_is_not_listed_is_refused_with_close_ones(text: str, sentence: str) -> None:
    with pytest.raises(BadCommand) as refused:
        listed().find(text)
    assert str(refused.value) == sentence


def test_the_newest_list_counts() -> None:
    found = listed()
    found.take(Listing((instrument("SOL-USDT", "SOLUSDT"),)))
    assert found.names == ("SOL-USDT",)
    with pytest.raises(BadCommand):
        found.find("BTC-USDT")
