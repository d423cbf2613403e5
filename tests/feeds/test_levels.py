from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.batches import LEVEL
from engine.market.instruments import format_decimal
from feeds.levels import MALFORMED, TOO_BIG, TOO_FINE, TOO_MANY, parse_levels

value = st.integers(0, 10**15)
places = st.integers(0, 3)


def parsed(raw: bytes, price_decimals: int = 2, size_decimals: int = 2, room: int = 8) -> int | list:
    out = np.zeros(room, LEVEL)
    count = parse_levels(raw, price_decimals, size_decimals, out)
    return count if count < 0 else out[:count].tolist()


@given(st.lists(st.tuples(value, value), max_size=8), places, places, st.integers(0, 4))
def test_levels_are_what_decimal_says(levels, price_decimals: int, size_decimals: int, zeros: int) -> None:
    def text(number: int, decimals: int) -> str:
        plain = format_decimal(number, decimals)
        return plain + "0" * zeros if "." in plain else plain

    pairs = [[text(price, price_decimals), text(size, size_decimals)] for price, size in levels]
    raw = json.dumps(pairs, separators=(",", ":")).encode()
    have = parsed(raw, price_decimals, size_decimals)
    assert have == [
        (int(Decimal(price).scaleb(price_decimals)), int(Decimal(size).scaleb(size_decimals)))
        for price, size in pairs
    ]


@given(st.binary(max_size=40) | st.text('[]",.0123456789- e', max_size=40).map(str.encode))
def test_any_bytes_give_levels_or_an_error_never_a_crash(raw: bytes) -> None:
    have = parsed(raw)
    if isinstance(have, list):
        assert [[Decimal(p).scaleb(-2), Decimal(s).scaleb(-2)] for p, s in have] == [
            [Decimal(p), Decimal(s)] for p, s in json.loads(raw)
        ]


def test_every_cut_of_a_good_array_is_malformed() -> None:
    raw = b'[["61837.63","3.78"],["1","0.50"]]'
    assert parsed(raw) == [(6183763, 378), (100, 50)]
    for end in range(len(raw)):
        assert parsed(raw[:end]) == -MALFORMED


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'[["1.001","1"]]', TOO_FINE),
        (b'[["1","1.001"]]', TOO_FINE),
        (b'[["12345678901234567","1"]]', TOO_BIG),
        (b'[["-1","1"]]', MALFORMED),
        (b'[["1e2","1"]]', MALFORMED),
        (b'[["1.","1"]]', MALFORMED),
        (b'[[".5","1"]]', MALFORMED),
        (b'[["","1"]]', MALFORMED),
        (b"[[1,2]]", MALFORMED),
        (b'[["1","1","1"]]', MALFORMED),
        (b'[["1"]]', MALFORMED),
        (b'[["1","1"]', MALFORMED),
        (b'[["1","1"]]]', MALFORMED),
        (b'[["1","1"],]', MALFORMED),
        (b'[ ["1","1"]]', MALFORMED),
        (b"", MALFORMED),
        (b'[["1","1"],["1","1"],["1","1"]]', TOO_MANY),
    ],
)
def test_what_is_wrong_has_a_code(raw: bytes, error: int) -> None:
    assert parsed(raw, room=2) == -error


def test_zeros_behind_the_last_decimal_are_fine() -> None:
    assert parsed(b'[["1.5000000","0.00000000"]]', 1, 0) == [(15, 0)]


def test_an_empty_array_has_no_levels() -> None:
    assert parsed(b"[]") == []


def test_rows_are_written_from_the_start_given() -> None:
    out = np.zeros(3, LEVEL)
    assert parse_levels(b'[["1","2"]]', 0, 0, out, 2) == 1
    assert out.tolist() == [(0, 0), (0, 0), (1, 2)]
    assert parse_levels(b'[["1","2"]]', 0, 0, out, 3) == -TOO_MANY
    with pytest.raises(ValueError, match="outside"):
        parse_levels(b"[]", 0, 0, out, 4)
    with pytest.raises(ValueError, match="decimals"):
        parse_levels(b"[]", 19, 0, out)
