"""What a market order would get of a book: by hand, and beside the plain twin."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.batches import LEVEL
from engine.market.impact import Ladder, amount_of, quote_text, take, walk
from engine.market.instruments import Instrument
from tests.reference.impact_plain import filled

BTC = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 5)


def rows(*levels: tuple[int, int]):  # type: ignore[no-untyped-def]
    return np.array(list(levels), LEVEL)


BIDS = rows((100, 10), (99, 20))
ASKS = rows((102, 10), (104, 5), (110, 100))


def test_a_buy_walks_the_asks() -> None:
    # 10 at 102 = 1020, 5 at 104 = 520, and 660 left buy 6 at 110.
    found = walk(BIDS, ASKS, "buy", 2_200)
    assert found is not None
    assert (found.base, found.quote, found.levels) == (21, 2_200, 3)
    assert (found.best, found.worst, found.exhausted) == (102, 110, False)
    assert found.mid2 == 202
    assert found.average() == 1_047_619  # 2200 / 21 = 104.76190..
    assert found.impact_bp() == pytest.approx((2200 / 21 - 101) / 101 * 1e4, abs=1e-4)
    assert found.slippage_bp() == pytest.approx((2200 / 21 - 102) / 102 * 1e4, abs=1e-4)


def test_a_sell_walks_the_bids_and_worse_is_positive() -> None:
    found = walk(BIDS, ASKS, "sell", 1_990)
    assert found is not None
    assert (found.base, found.quote, found.levels) == (20, 1_990, 2)
    assert found.impact_bp() == pytest.approx((101 - 99.5) / 101 * 1e4, abs=1e-4)
    assert found.slippage_bp() == 50.0


def test_a_level_that_is_just_used_up_does_not_exhaust_the_book() -> None:
    found = walk(BIDS, ASKS, "sell", 1_000)
    assert found is not None
    assert (found.base, found.levels, found.worst, found.exhausted) == (10, 1, 100, False)
    whole = walk(BIDS, ASKS, "sell", 1_000 + 99 * 20)
    assert whole is not None
    assert not whole.exhausted
    assert whole.base == 30


def test_a_book_that_is_too_thin_is_exhausted() -> None:
    found = walk(BIDS, ASKS, "sell", 10_000)
    assert found is not None
    assert (found.base, found.quote, found.levels, found.exhausted) == (30, 2_980, 2, True)


def test_less_than_a_lot_fills_nothing() -> None:
    found = walk(BIDS, ASKS, "buy", 101)
    assert found is not None
    assert (found.base, found.quote, found.levels, found.exhausted) == (0, 0, 0, False)
    assert found.average() is found.impact_bp() is found.slippage_bp() is None


def test_the_last_level_gives_whole_lots() -> None:
    found = walk(BIDS, ASKS, "buy", 800, lot_size=5)
    assert found is not None
    assert (found.base, found.quote, found.exhausted) == (5, 510, False)


def test_without_the_side_there_is_nothing_and_without_the_other_no_mid() -> None:
    assert walk(BIDS, rows(), "buy", 100) is None
    found = walk(rows(), ASKS, "buy", 102)
    assert found is not None
    assert (found.mid2, found.impact_bp(), found.slippage_bp()) == (None, None, 0.0)


def test_an_order_is_of_more_than_nothing() -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        walk(BIDS, ASKS, "buy", 0)


def test_amounts_are_exact_text() -> None:
    assert amount_of(BTC, "1000") == 1_000 * 10**7
    assert amount_of(BTC, "0.12345678") == 1_234_567
    assert quote_text(BTC, 1_000 * 10**7) == "1000.00"
    assert quote_text(BTC, 1_234_567) == "0.1234567"
    whole = Instrument("x", "A-B", "A", "B", 0, 0)
    assert (amount_of(whole, "12.7"), quote_text(whole, 12)) == (12, "12")


def test_nothing_passes_a_machine_word() -> None:
    found = walk(rows(), rows((2**62, 2**62), (2**62 + 1, 2**62)), "buy", 2**126)
    assert found is not None
    assert found.exhausted
    assert found.quote == 2**124 + (2**62 + 1) * 2**62


levels = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=600)


@given(levels, st.integers(1, 20_000), st.sampled_from((1, 2, 5)), st.sampled_from(("buy", "sell")))
def test_it_agrees_with_the_plain_twin(
    side_levels: list[tuple[int, int]], asked: int, lot_size: int, side: str
) -> None:
    by_price = dict(side_levels)
    ordered = sorted(by_price.items(), reverse=side == "sell")
    mine, other = rows(*ordered), rows((30, 1))
    found = (
        walk(other, mine, "buy", asked, lot_size)
        if side == "buy"
        else walk(mine, other, "sell", asked, lot_size)
    )
    assert found is not None
    assert (found.base, found.quote, found.levels, found.exhausted) == filled(ordered, asked, lot_size)
    if found.base:
        average = Fraction(found.quote, found.base)
        rounded = found.average()
        assert rounded is not None
        assert abs(Fraction(rounded, 10**4) - average) <= Fraction(1, 2 * 10**4)
        assert min(price for price, _ in ordered) <= average <= max(price for price, _ in ordered)
        assert (found.slippage_bp() or 0.0) >= 0


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=900),
    st.floats(0.0001, 1.2),
    st.sampled_from((1, 2**31)),
    st.integers(0, 900),
)
@settings(max_examples=40, deadline=None)
def test_a_deep_book_and_one_in_two_parts_agree_with_it_too(
    jumps: list[tuple[int, int]], share: float, large: int, cut: int
) -> None:
    prices = np.cumsum([jump for jump, _ in jumps]).tolist()
    side = [(price * large, size * large) for price, (_, size) in zip(prices, jumps, strict=True)]
    asked = max(1, int(sum(price * size for price, size in side) * share))
    mine = rows(*side)
    found = walk(rows(), mine, "buy", asked, large)
    assert found is not None
    assert (found.base, found.quote, found.levels, found.exhausted) == filled(side, asked, large)
    parts = Ladder(mine[:cut], mine[cut:])
    for less in (1, asked // 3 or 1, asked):
        assert take(parts, None, "buy", less, large) == walk(rows(), mine, "buy", less, large)
