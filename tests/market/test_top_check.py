from __future__ import annotations

import numpy as np

from engine.market.batches import BBO, Rows
from engine.market.top_check import MAX_DISORDERED_RUN, TopCheck

Top = tuple[int, int, int, int]

FIRST: Top = (100, 1, 101, 1)
SECOND: Top = (100, 2, 101, 1)


class Checked(TopCheck):
    def on_top(self, sequence: int, top: Top) -> None:
        super().on_top(sequence, np.array(top, np.int64).tobytes())


def quotes(*rows: tuple[int, Top]) -> Rows:
    return np.array([(0, 0, sequence, *top) for sequence, top in rows], BBO)


def test_a_top_waits_until_a_newer_quote_has_come() -> None:
    check = Checked()
    check.on_quotes(quotes((5, FIRST)))
    check.on_top(8, SECOND)
    assert (check.agreement, check.pending) == ((0, 0), 1)
    check.on_quotes(quotes((7, SECOND)))  # its own quote, late
    assert (check.agreement, check.pending) == ((0, 0), 1)
    check.on_quotes(quotes((9, FIRST)))
    assert (check.agreement, check.pending) == ((1, 1), 0)


def test_a_quote_at_the_same_sequence_is_not_newer() -> None:
    check = Checked()
    check.on_top(8, SECOND)
    check.on_quotes(quotes((8, SECOND), (9, FIRST)))
    assert check.agreement == (1, 1)


def test_a_disagreement_counts_and_is_kept() -> None:
    check = Checked()
    check.on_top(8, SECOND)
    check.on_quotes(quotes((7, FIRST), (9, FIRST)))
    assert check.agreement == (0, 1)
    assert check.last_disagreement is not None
    quote, top = check.last_disagreement
    assert (quote["bid_size"][0], top["bid_size"][0], top["sequence"][0]) == (1, 2, 8)


def test_a_top_before_any_quote_is_unchecked_not_wrong() -> None:
    check = Checked()
    check.on_top(8, FIRST)
    check.on_quotes(quotes((9, FIRST)))
    assert (check.agreement, check.unchecked, check.pending) == ((0, 0), 1, 0)


def test_settling_compares_with_what_there_is() -> None:
    check = Checked()
    check.on_quotes(quotes((5, FIRST)))
    check.on_top(8, FIRST)
    check.on_top(9, SECOND)
    check.settle()
    assert (check.agreement, check.pending) == ((1, 2), 0)


def test_waiting_tops_are_bounded() -> None:
    check = Checked(max_tops=4)
    check.on_quotes(quotes((1, FIRST)))
    for sequence in range(2, 8):
        check.on_top(sequence, FIRST)
    assert (check.agreement, check.pending) == ((4, 4), 2)


def test_waiting_quotes_are_bounded_and_lost_answers_are_not_guessed() -> None:
    check = Checked(max_quotes=8)
    for sequence in range(10, 40):
        check.on_quotes(quotes((sequence, FIRST)))
    assert check.dropped_quotes > 0
    check.on_top(12, SECOND)  # its quote is among those lost
    check.on_top(39, FIRST)
    check.on_quotes(quotes((50, FIRST)))
    assert (check.agreement, check.unchecked) == ((1, 1), 1)


def test_disordered_quotes_are_ignored_until_the_venue_numbers_anew() -> None:
    check = Checked()
    check.on_quotes(quotes((1000, FIRST)))
    check.on_quotes(quotes((5, SECOND), (1001, FIRST), (7, SECOND)))
    assert check.disordered_quotes == 2
    for sequence in range(1, MAX_DISORDERED_RUN + 10):
        check.on_quotes(quotes((sequence, SECOND)))
    check.on_top(MAX_DISORDERED_RUN + 9, SECOND)
    check.on_quotes(quotes((MAX_DISORDERED_RUN + 20, FIRST)))
    assert check.agreement == (1, 1)


def test_a_broken_stream_joins_nothing() -> None:
    check = Checked()
    check.on_quotes(quotes((5, FIRST)))
    check.forget()
    check.on_top(8, SECOND)
    check.on_quotes(quotes((9, FIRST)))
    assert (check.agreement, check.unchecked) == ((0, 0), 1)


def test_quotes_without_sequence_check_nothing() -> None:
    check = Checked()
    check.on_quotes(quotes((0, FIRST)))
    check.on_top(8, SECOND)
    check.settle()
    assert (check.agreement, check.unchecked) == ((0, 0), 1)
