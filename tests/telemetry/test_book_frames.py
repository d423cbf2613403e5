"""Frames of the liquidity heatmap: their grid, their sizes, what they know, their memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
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
from engine.telemetry.hub import BUDGET_BYTES, LIMITS, MARKETS, SOURCES, STAGES, Telemetry, TelemetryFull
from engine.telemetry.ring import Ring
from tests.reference.book_frames_plain import joined, sizes

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


def told(rows: Rows) -> list[tuple[int, bool, int, int, int, int]]:
    """FRAME rows as the plain twin has them."""
    names = ("bought", "bought_price", "sold", "sold_price")
    return [
        (int(row["ts_ns"]) // SECOND_NS, bool(row["synced"]), *(int(row[name]) for name in names))
        for row in rows
    ]


trade = st.tuples(st.integers(1, 1_000), st.integers(1, 1_000), st.sampled_from([1, -1, 0]))
second = st.tuples(
    st.sampled_from([1, 1, 1, 2, 13, 29, 30, 40]),
    st.booleans(),
    st.lists(st.lists(trade, max_size=12), max_size=4),
)


@settings(max_examples=25)
@given(st.lists(second, max_size=12))
def test_seconds_and_thirties_are_those_of_the_plain_twin_whatever_is_skipped_broken_or_overwritten(
    coming: list[tuple[int, bool, list[list[tuple[int, int, int]]]]],
) -> None:
    frames, ring = BookFrames("s", "X"), Ring("trades", TRADE, 8)
    at_s, seconds = T0 // SECOND_NS, []
    for ahead_s, synced, batches in [(7, True, []), *coming]:
        at_s += ahead_s
        for batch in batches:
            rows = trades(*batch)
            frames.make_room(ring, rows)
            ring.publish(rows)
        book = levels([(at_s % 1_000 + 5_000, 5)]), levels([(at_s % 1_000 + 5_001, 6)])
        frames.add(at_s * SECOND_NS, book if synced else None, ring, 1)
        seconds.append((at_s, synced, [each for batch in batches for each in batch]))
    assert told(frames.fine.since(0).rows) == joined(seconds, 1)
    coarse = frames.coarse.since(0).rows
    assert told(coarse) == joined(seconds, COARSE_S)
    for row in coarse:
        newest_s = max(
            ts_s for ts_s, _, _ in seconds if ts_s // COARSE_S * COARSE_S * SECOND_NS == row["ts_ns"]
        )
        assert int(row["bid"]) == (newest_s % 1_000 + 5_000 if row["synced"] else 0)
        assert np.isnan(row["sizes"]).all() == (not row["synced"])


def test_trades_of_a_second_are_all_counted_however_many_there_are() -> None:
    frames, ring = BookFrames("s", "X"), Ring("trades", TRADE, 16_384)
    book = levels([(100, 5)]), levels([(101, 6)])
    frames.add(T0, book, ring, 1)
    for price in (100, 102):
        for size in (20, 1_000, 17_000):
            rows = trades(*[(price, 1, 1)] * size)
            frames.make_room(ring, rows)
            ring.publish(rows)
    frames.add(T0 + SECOND_NS, book, ring, 1)
    row = frames.fine.last(1).rows[0]
    assert (int(row["bought"]), int(row["bought_price"])) == (36_040, 101)


def test_thirty_seconds_are_published_with_their_last_and_without_it_by_the_next() -> None:
    frames, ring = BookFrames("s", "X"), held_trades()
    book = levels([(100, 5)]), levels([(101, 6)])
    for number in (*range(COARSE_S), *range(COARSE_S, 2 * COARSE_S - 1)):
        frames.add(T0 + number * SECOND_NS, book, ring, 1)
    assert (frames.coarse.since(0).rows["ts_ns"] - T0).tolist() == [0]
    frames.add(T0 + 2 * COARSE_S * SECOND_NS, book, ring, 1)
    assert (frames.coarse.since(0).rows["ts_ns"] - T0).tolist() == [0, COARSE_S * SECOND_NS]


def test_every_table_of_telemetry_fits_into_its_memory_when_it_is_full() -> None:
    telemetry = Telemetry(0)
    for number in range(MARKETS):
        telemetry.market("source", f"S{number}")
    for number in range(STAGES):
        telemetry.stage("source", f"{number}")
    for number in range(SOURCES):
        telemetry.counter(f"{number}")
        telemetry.past(f"{number}")
    for number in range(LIMITS):
        telemetry.limit(f"{number}")
    held = sum(ring.nbytes for ring in (*telemetry.rings(), telemetry.exchange))
    assert held == telemetry.bytes_held
    assert 0.9 * BUDGET_BYTES < held <= BUDGET_BYTES  # it bounds what there may be, and does not promise more
    for table in (telemetry.market, telemetry.stage):
        with pytest.raises(TelemetryFull, match="telemetry would hold more than"):
            table("one", "more")
    for counts in (telemetry.counter, telemetry.past, telemetry.limit):
        with pytest.raises(TelemetryFull, match="telemetry would hold more than"):
            counts("one more")
    assert telemetry.bytes_held == held
