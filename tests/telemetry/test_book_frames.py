"""Frames of the liquidity heatmap: their grid, their sizes, what they know, their memory."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.market.batches import LEVEL, TRADE, Rows
from engine.telemetry.book_frames import (
    BINS,
    COARSE_S,
    MARGIN,
    SECOND_NS,
    BookFrames,
    Grid,
    grid_of,
    nice,
    sizes_of,
)
from engine.telemetry.hub import MARKETS, Telemetry
from engine.telemetry.ring import Ring
from tests.reference.book_frames_plain import sizes

T0 = 1_700_000_010 * SECOND_NS


def levels(pairs: list[tuple[int, int]]) -> Rows:
    return np.array(pairs, LEVEL)


def trades(*rows: tuple[int, int, int]) -> Rows:
    """(price, size, aggressor)"""
    return np.array([(0, 0, 0, *row) for row in rows], TRADE)


def held_trades(*rows: tuple[int, int, int]) -> Ring:
    ring = Ring("trades", TRADE, 64)
    ring.publish(trades(*rows))
    return ring


side = st.dictionaries(st.integers(-3_000, 3_000), st.integers(0, 10_000), max_size=60)


@given(side, side, st.integers(1, 50), st.integers(-200, 200))
def test_sizes_are_those_of_the_plain_twin(
    below: dict[int, int], above: dict[int, int], step: int, first: int
) -> None:
    bids = sorted(((5_000 - abs(price), size) for price, size in below.items()), reverse=True)
    asks = sorted((5_001 + abs(price), size) for price, size in above.items())
    first += 5_000 // step
    found = sizes_of(levels(bids), levels(asks), Grid(step, first))
    wanted = sizes(bids + asks, step, first, BINS)
    assert [None if math.isnan(size) else int(size) for size in found.tolist()] == wanted


@given(st.floats(0.001, 1e12))
def test_a_step_is_a_nice_number_near_what_was_asked_for(x: float) -> None:
    step = nice(x)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert x < 1 or 0.6 <= step / x <= 1.6


@given(
    st.lists(st.integers(-400, 400), min_size=1, max_size=60),
    st.sampled_from([1, 5, 10]),
    st.integers(10_000, 10_000_000),
)
def test_bins_stay_on_one_grid_while_the_mid_wanders_and_the_mid_stays_in_them(
    moves: list[int], tick: int, price: int
) -> None:
    grid = None
    bid = price * tick
    steps = set()
    for move in moves:
        bid += move * max(1, price // 100_000) * tick // 4
        grid = grid_of(bid, bid + tick, tick, grid)
        steps.add(grid.step)
        place = (2 * bid + tick) // 2 // grid.step - grid.first
        assert MARGIN <= place <= BINS - MARGIN
        assert grid.step % tick == 0
    assert len(steps) == 1  # a price that moves by less than half keeps its bins


def test_a_price_that_doubled_twice_gets_wider_bins_and_a_small_move_none() -> None:
    grid = grid_of(100_000, 100_010, 1, None)
    assert grid_of(100_020, 100_030, 1, grid) is grid
    assert grid_of(400_000, 400_010, 1, grid).step > grid.step
    assert grid_of(100_000, 110_000, 1, grid).step > grid.step  # a spread of a tenth


def test_a_second_holds_the_book_and_what_was_traded_in_it() -> None:
    frames, ring = BookFrames("s", "X"), held_trades((100, 7, 1))
    book = levels([(10_000, 5), (9_990, 8)]), levels([(10_010, 6)])
    frames.add(T0, book, ring, 1)
    ring.publish(trades((10_000, 2, 1), (10_004, 6, 1), (9_998, 3, -1), (9_000, 4, 0)))
    frames.add(T0 + SECOND_NS, book, ring, 1)
    before, row = frames.fine.since(0).rows
    assert (int(before["bought"]), int(before["sold"])) == (0, 0)  # traded before the first frame
    assert (int(row["bid"]), int(row["ask"]), int(row["synced"])) == (10_000, 10_010, 1)
    assert (int(row["bought"]), int(row["bought_price"])) == (8, 10_003)
    assert (int(row["sold"]), int(row["sold_price"])) == (3, 9_998)
    step, first = int(row["step"]), int(row["first"])
    wanted = sizes([(10_000, 5), (9_990, 8), (10_010, 6)], step, first, BINS)
    assert [None if math.isnan(x) else int(x) for x in row["sizes"].tolist()] == wanted


def test_a_book_that_is_not_synced_is_unknown_and_never_empty() -> None:
    frames, ring = BookFrames("s", "X"), held_trades()
    frames.add(T0, None, ring, 1)
    assert len(frames.fine) == 0  # there was no book yet
    frames.add(T0 + SECOND_NS, (levels([(100, 5)]), levels([(101, 6)])), ring, 1)
    frames.add(T0 + 2 * SECOND_NS, None, ring, 1)
    frames.add(T0 + 3 * SECOND_NS, (levels([]), levels([(101, 6)])), ring, 1)
    rows = frames.fine.since(0).rows
    assert rows["synced"].tolist() == [1, 0, 0]
    assert np.isnan(rows["sizes"][1:]).all()


def test_every_thirtieth_second_is_kept_for_long_with_the_trades_of_all() -> None:
    frames, ring = BookFrames("s", "X"), held_trades()
    book = levels([(100, 5)]), levels([(101, 6)])
    for second in range(2 * COARSE_S):
        frames.add(T0 + second * SECOND_NS, book, ring, 1)
        ring.publish(trades((100, 1, 1)))
    rows = frames.coarse.since(0).rows
    assert (rows["ts_ns"] // SECOND_NS % COARSE_S).tolist() == [COARSE_S - 1] * 2
    fine = frames.fine.since(0).rows
    upto = fine["ts_ns"] <= rows["ts_ns"][-1]
    assert rows["bought"].sum() == fine["bought"][upto].sum()
    assert rows["bought_price"].tolist() == [100, 100]


def test_all_markets_there_may_be_fit_into_the_memory_of_telemetry() -> None:
    telemetry = Telemetry(0)
    for number in range(MARKETS):
        telemetry.market("source", f"S{number}")
    assert sum(ring.nbytes for market in telemetry.markets.values() for ring in market.frames) < 115_000_000
