"""Books that stand still while their quotes move."""

from __future__ import annotations

import numpy as np

from engine.market.batches import BBO, Rows
from feeds.book_watch import BookWatch, Forgotten

SECOND = 1_000_000_000


def quote(at_s: float, bid: int = 100, size: int = 5) -> Rows:
    return np.array([(0, round(at_s * SECOND), 1, bid, size, bid + 1, 7)], BBO)


def watched() -> BookWatch:
    watch = BookWatch(6 * SECOND)
    watch.on_book("A", 0)
    watch.on_quotes("A", quote(0.0))
    return watch


def silent(watch: BookWatch, at_s: float) -> list[str]:
    return watch.silent({"A", "B"}, round(at_s * SECOND))


def test_a_quote_that_moves_on_leaves_its_book_behind_and_is_told_once() -> None:
    watch = watched()
    watch.on_quotes("A", quote(10.0, bid=101))
    assert silent(watch, 15.9) == []
    assert silent(watch, 16.1) == ["A"]
    assert silent(watch, 30.0) == []


def test_a_book_that_follows_is_well_however_long_it_was_quiet() -> None:
    watch = watched()
    watch.on_quotes("A", quote(60.0, bid=101))
    watch.on_book("A", round(60.1 * SECOND))
    assert silent(watch, 100.0) == []


def test_a_quote_decoded_behind_the_book_it_came_with_is_not_ahead_of_it() -> None:
    watch = watched()
    watch.on_book("A", round(60.1 * SECOND))
    watch.on_quotes("A", quote(60.0, bid=101))
    watch.on_quotes("A", quote(60.2, bid=102))
    assert silent(watch, 100.0) == []


def test_a_repeated_quote_is_no_change() -> None:
    watch = watched()
    for second in range(3, 60, 3):
        watch.on_quotes("A", quote(second))
    assert silent(watch, 60.0) == []


def test_a_size_alone_is_a_change() -> None:
    watch = watched()
    watch.on_quotes("A", quote(10.0, size=6))
    assert silent(watch, 17.0) == ["A"]


def test_symbols_without_a_book_or_not_asked_about_are_left_alone() -> None:
    watch = watched()
    watch.on_quotes("B", quote(1.0))
    watch.on_quotes("B", quote(10.0, bid=101))
    watch.on_quotes("A", quote(10.0, bid=101))
    assert watch.silent({"B"}, 60 * SECOND) == []
    watch.forget("A")
    assert silent(watch, 60.0) == []


def test_a_book_that_nothing_is_done_for_is_told_once_it_was_borne_long_enough() -> None:
    forgotten = Forgotten(5 * SECOND)
    assert forgotten.look(["A", "B"], 0) == []
    assert forgotten.look(["A"], 4 * SECOND) == []  # something is done for B
    assert forgotten.look(["A", "B"], 5 * SECOND) == ["A"]
    assert forgotten.look(["A", "B"], 9 * SECOND) == []  # each begins anew
    assert forgotten.look(["A", "B"], 10 * SECOND) == ["B"]
    assert forgotten.look([], 60 * SECOND) == []
