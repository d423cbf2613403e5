from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.market.batches import LEVEL, Rows
from engine.market.book import L2Book
from tests.reference.book_plain import PlainBook

Levels = list[tuple[int, int]]

levels = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=25)
orders = st.sampled_from(["as it comes", "up", "down"])


def rows_of(bids: Levels, asks: Levels) -> Rows:
    return np.array(bids + asks, LEVEL) if bids or asks else np.empty(0, LEVEL)


def ordered(side: Levels, order: str) -> Levels:
    if order == "as it comes":
        return side
    return sorted(side, key=lambda level: level[0], reverse=order == "down")


class BookAgrees(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 40))
    def start(self, capacity: int) -> None:
        self.fast, self.plain = L2Book(capacity), PlainBook(capacity)

    @rule(bids=levels, asks=levels, order=orders)
    def apply(self, bids: Levels, asks: Levels, order: str) -> None:
        bids, asks = ordered(bids, order), ordered(asks, order)
        assert self.fast.apply(rows_of(bids, asks), len(bids)) == self.fast.crossed
        self.plain.apply(bids, asks)

    @rule(bids=levels, asks=levels)
    def load(self, bids: Levels, asks: Levels) -> None:
        self.fast.load(rows_of(bids, asks), len(bids))
        self.plain.load(bids, asks)

    @invariant()
    def same_book(self) -> None:
        for n in (1, 5, 100):
            assert tuple(side.tolist() for side in self.fast.top(n)) == self.plain.top(n)
        assert self.fast.bbo() == self.plain.bbo()
        assert tuple(np.frombuffer(self.fast.packed_bbo(), np.int64).tolist()) == self.plain.bbo()
        assert self.fast.crossed == self.plain.crossed
        assert self.fast.counts() == (len(self.plain.bids), len(self.plain.asks))
        assert self.fast.dropped == self.plain.dropped


BookAgrees.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestBookAgrees = BookAgrees.TestCase


def test_deleting_an_unknown_level_is_normal() -> None:
    book = L2Book(4)
    book.apply(rows_of([(10, 0)], [(11, 0)]), 1)
    assert book.counts() == (0, 0)
    assert book.bbo() == (0, 0, 0, 0)


def test_a_locked_or_crossed_book_says_so() -> None:
    book = L2Book(4)
    assert not book.load(rows_of([(10, 1)], [(11, 1)]), 1)
    assert book.apply(rows_of([(11, 1)], []), 1)
    assert book.crossed
    assert not book.apply(rows_of([], [(11, 0)]), 0)
    assert not book.crossed


def test_a_full_side_drops_its_farthest_level_and_counts_it() -> None:
    book = L2Book(2)
    book.apply(rows_of([(10, 1), (9, 1), (11, 1)], []), 3)
    assert book.top(5)[0].tolist() == [(11, 1), (10, 1)]
    assert book.dropped == 1
    book.apply(rows_of([(3, 1)], []), 1)
    assert book.top(5)[0].tolist() == [(11, 1), (10, 1)]
    assert book.dropped == 2


def test_the_top_is_a_copy() -> None:
    book = L2Book(4)
    book.apply(rows_of([(10, 1)], []), 1)
    bids, _ = book.top(1)
    bids["size"] = 99
    assert book.bbo() == (10, 1, 0, 0)


def test_rescaling_is_exact_and_refuses_what_does_not_fit() -> None:
    book = L2Book(4)
    book.apply(rows_of([(10, 1)], [(11, 2)]), 1)
    book.rescale(100, 10)
    assert book.bbo() == (1000, 10, 1100, 20)
    with pytest.raises(OverflowError):
        book.rescale(10**17, 1)
    assert book.bbo() == (1000, 10, 1100, 20)


def test_clearing_leaves_an_empty_book() -> None:
    book = L2Book(4)
    book.apply(rows_of([(10, 1)], [(9, 2)]), 1)
    book.clear()
    assert book.counts() == (0, 0)
    assert not book.crossed
