from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.instruments import (
    Instrument,
    format_decimal,
    needed_decimals,
    parse_decimal,
)

values = st.integers(-(2**63 - 1), 2**63 - 1)
decimals = st.integers(0, 18)


@given(values, decimals)
def test_text_round_trips(value: int, places: int) -> None:
    assert parse_decimal(format_decimal(value, places), places) == value


@given(values, decimals)
def test_text_says_the_same_number(value: int, places: int) -> None:
    assert Decimal(format_decimal(value, places)) == Decimal(value).scaleb(-places)


@given(st.integers(0, 10**9), decimals, st.integers(0, 5))
def test_trailing_zeros_change_nothing(value: int, places: int, zeros: int) -> None:
    text = format_decimal(value, places)
    padded = text + "0" * zeros if "." in text else text
    assert parse_decimal(padded, places) == value
    assert needed_decimals(padded) <= places


@given(st.integers(1, 10**9), st.integers(1, 12))
def test_needed_decimals_are_the_fewest_that_lose_nothing(value: int, places: int) -> None:
    text = format_decimal(value, places)
    need = needed_decimals(text)
    assert Decimal(parse_decimal(text, need)).scaleb(-need) == Decimal(text)
    if need:
        with pytest.raises(ValueError, match="more than"):
            parse_decimal(text, need - 1)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "+1", "--1", "1e3", "1 ", "1_0", "٣", "nan", "0x1", "1.2.3", "1,5", "-"]
)
def test_anything_but_plain_decimal_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages differ by place
        parse_decimal(text, 8)
    with pytest.raises(ValueError):  # noqa: PT011
        needed_decimals(text)


def test_a_number_past_int64_is_refused() -> None:
    assert parse_decimal("9223372036854775807", 0) == 2**63 - 1
    with pytest.raises(ValueError, match="int64"):
        parse_decimal("9223372036854775808", 0)
    with pytest.raises(ValueError, match="int64"):
        parse_decimal("10", 18)


def test_a_revision_keeps_the_value_of_tick_and_lot() -> None:
    first = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 5, tick_size=1, lot_size=10)
    second = first.with_decimals(3, 5)
    assert (second.tick_size, second.lot_size, second.revision) == (10, 10, 1)
    with pytest.raises(ValueError, match="take decimals away"):
        second.with_decimals(2, 5)


def test_impossible_units_are_refused() -> None:
    with pytest.raises(ValueError, match="decimals"):
        Instrument("v", "A-B", "A", "B", 19, 0)
    with pytest.raises(ValueError, match="tick"):
        Instrument("v", "A-B", "A", "B", 2, 0, tick_size=0)
