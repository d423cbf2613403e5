from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.market.batches import BBO, LEVEL, TRADE, Batch, Kind, Source
from feeds.overlap import MOST_KNOWN, Overlap, Seam

SOURCE = Source("x", "live")


def trades(*ids: int, symbol: str = "A") -> Batch:
    return Batch(Kind.TRADES, SOURCE, symbol, np.array([(1, 1, number, 5, 5, 1) for number in ids], TRADE))


def quotes(*sequences: int) -> Batch:
    rows = np.array([(1, 1, number, 5, 5, 6, 5) for number in sequences], BBO)
    return Batch(Kind.QUOTES, SOURCE, "A", rows)


def ids(batch: Batch | None) -> list[int]:
    return (
        [] if batch is None else batch.rows["trade_id" if batch.kind is Kind.TRADES else "sequence"].tolist()
    )


def test_trades_that_come_twice_count_once_in_any_order() -> None:
    overlap = Overlap()
    overlap.begin()
    assert ids(overlap.fresh(trades(9, 3, 7))) == [9, 3, 7]
    assert ids(overlap.fresh(trades(3, 4, 9, 4))) == [4]
    assert overlap.fresh(trades(7)) is None
    assert ids(overlap.fresh(trades(7, symbol="B"))) == [7]
    assert overlap.copies == 4


def test_quotes_never_go_back() -> None:
    overlap = Overlap()
    overlap.begin()
    assert ids(overlap.fresh(quotes(5, 6))) == [5, 6]
    assert ids(overlap.fresh(quotes(4, 6, 7))) == [7]


def test_books_pass_as_they_are_and_what_is_new_is_not_copied() -> None:
    overlap = Overlap()
    overlap.begin()
    delta = Batch(Kind.DELTA, SOURCE, "A", np.empty(0, LEVEL))
    assert overlap.fresh(delta) is delta
    batch = trades(1, 2)
    assert overlap.fresh(batch) is batch


def test_it_is_active_until_as_many_ended_as_began() -> None:
    overlap = Overlap()
    assert not overlap.active
    overlap.begin()
    overlap.begin()
    overlap.fresh(trades(1))
    overlap.end()
    assert overlap.active
    assert overlap.fresh(trades(1)) is None
    overlap.end()
    assert not overlap.active
    overlap.begin()
    assert ids(overlap.fresh(trades(1))) == [1]


@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(0, 40), max_size=30))
def test_two_connections_together_give_each_trade_once(first: list[int], second: list[int]) -> None:
    overlap = Overlap()
    overlap.begin()
    seen: list[int] = []
    for numbers in (first, second):
        for at in range(0, len(numbers), 3):
            seen += ids(overlap.fresh(trades(*numbers[at : at + 3])))
    assert sorted(seen) == sorted(set(first) | set(second))


def test_connections_have_met_when_a_frame_came_over_both() -> None:
    seam = Seam()
    for n in range(10):
        seam.earlier(b"%d" % n)
    for n in range(20, 30):
        seam.later(b"%d" % n)
    assert not seam.met
    for n in range(10, 20):  # what the later one missed
        seam.earlier(b"%d" % n)
        assert not seam.met
    seam.earlier(b"20")
    assert seam.met
    seam.earlier(b"21")
    assert seam.met
    behind = Seam()  # the later one is the one that lags
    behind.earlier(b"5")
    behind.later(b"5")
    assert behind.met


def test_a_seam_knows_the_newest_of_the_earlier_frames_and_the_first_of_the_later() -> None:
    seam = Seam()
    for n in range(MOST_KNOWN + 1):
        seam.earlier(b"a%d" % n)
    seam.later(b"a0")
    assert not seam.met
    for n in range(2 * MOST_KNOWN):
        seam.later(b"b%d" % n)
    seam.earlier(b"b%d" % (2 * MOST_KNOWN - 1))
    assert not seam.met
    seam.earlier(b"b0")
    assert seam.met
