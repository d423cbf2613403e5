"""Numbers as text, and frames as bytes."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.wire import decimal, short_decimal
from engine.market.instruments import format_decimal
from engine.websocket_frames import TEXT, frame


@given(value=st.integers(-(1 << 62), 1 << 62), decimals=st.integers(0, 18), more=st.integers(0, 8))
def test_decimal_text_is_exact_with_as_many_decimals_as_asked(value: int, decimals: int, more: int) -> None:
    assert decimal(decimals)(value) == format_decimal(value, decimals)
    padded = decimal(decimals, decimals + more)(value)
    assert Decimal(padded) == Decimal(value).scaleb(-decimals)
    assert len(padded.partition(".")[2]) == decimals + more
    short = short_decimal(decimals)(value)
    assert Decimal(short) == Decimal(value).scaleb(-decimals)
    assert "." not in short or short[-1] not in "0."


@given(value=st.integers(0, 1 << 80), decimals=st.integers(1, 18), fewer=st.integers(0, 18))
def test_fewer_decimals_cut_digits_off(value: int, decimals: int, fewer: int) -> None:
    shown = min(fewer, decimals)
    text = decimal(decimals, shown)(value)
    assert text == format_decimal(value // 10 ** (decimals - shown), shown)


@given(st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 100_000]))
def test_frames_say_their_length(size: int) -> None:
    whole = frame(b"x" * size)
    assert whole[0] == 0x80 | TEXT
    assert whole[1] < 128  # a server does not mask
    if whole[1] == 126:
        assert int.from_bytes(whole[2:4], "big") == size > 125
    elif whole[1] == 127:
        assert int.from_bytes(whole[2:10], "big") == size > 65_535
    else:
        assert whole[1] == size
    assert whole.endswith(b"x" * size)
