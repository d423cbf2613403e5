from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from engine.market.batches import LEVEL, Batch, Kind, Source
from engine.market.sequencing import (
    MAX_STALE_RUN,
    BookState,
    Outcome,
    Rule,
    Synchroniser,
)

SOURCE = Source("binance_spot", "sim")


def delta(first: int, last: int, previous: int = -1, event_ns: int = 0) -> Batch:
    return Batch(Kind.DELTA, SOURCE, "BTC-USDT", np.empty(0, LEVEL), 0, first, last, previous, event_ns)


def spans(deltas: list[Batch]) -> list[tuple[int, int]]:
    return [(one.first_sequence, one.last_sequence) for one in deltas]


def synced(rule: Rule, sequence: int) -> Synchroniser:
    sync = Synchroniser(rule)
    assert sync.on_snapshot(sequence) == (Outcome.APPLIED, [])
    assert sync.state is BookState.SYNCED
    return sync


def test_a_new_book_is_empty_and_buffers_its_first_delta() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    assert sync.state is BookState.EMPTY
    assert not sync.wants_snapshot
    assert sync.on_delta(delta(1, 5)) is Outcome.BUFFERED
    assert sync.state is BookState.BUFFERING
    assert sync.wants_snapshot


def test_spot_first_event_may_start_before_the_snapshot() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    for one in (delta(1, 5), delta(6, 9), delta(10, 12), delta(13, 14)):
        sync.on_delta(one)
    outcome, ready = sync.on_snapshot(10)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(10, 12), (13, 14)]
    assert (sync.state, sync.sequence, sync.counts.stale) == (BookState.SYNCED, 14, 2)


def test_spot_event_that_ends_at_the_snapshot_is_dropped() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    sync.on_delta(delta(6, 10))
    assert sync.on_snapshot(10) == (Outcome.APPLIED, [])
    assert sync.on_delta(delta(11, 11)) is Outcome.APPLIED


def test_spot_snapshot_before_the_first_event_is_unusable() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    sync.on_delta(delta(10, 12))
    assert sync.on_snapshot(8) == (Outcome.UNUSABLE, [])
    assert sync.state is BookState.BUFFERING
    assert sync.waiting == 1
    outcome, ready = sync.on_snapshot(9)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(10, 12)]


def test_spot_follows_by_one() -> None:
    sync = synced(Rule.BINANCE_SPOT, 10)
    assert sync.on_delta(delta(11, 15)) is Outcome.APPLIED
    assert sync.on_delta(delta(16, 16)) is Outcome.APPLIED
    assert sync.on_delta(delta(14, 16)) is Outcome.STALE
    assert sync.on_delta(delta(18, 19)) is Outcome.GAP
    assert (sync.state, sync.gaps, sync.sequence) == (BookState.STALE, 1, 16)


def test_a_gap_is_repaired_by_a_later_snapshot_and_the_deltas_kept() -> None:
    sync = synced(Rule.BINANCE_SPOT, 10)
    sync.on_delta(delta(13, 14))
    assert sync.on_delta(delta(15, 16)) is Outcome.BUFFERED
    assert sync.wants_snapshot
    outcome, ready = sync.on_snapshot(13)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(13, 14), (15, 16)]
    assert (sync.state, sync.resyncs, sync.gaps, sync.sequence) == (BookState.SYNCED, 1, 1, 16)
    assert sync.counts.transitions == {
        (BookState.EMPTY, BookState.SYNCED): 1,
        (BookState.SYNCED, BookState.STALE): 1,
        (BookState.STALE, BookState.SYNCED): 1,
    }


def test_a_gap_among_waiting_deltas_is_found() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    for one in (delta(1, 5), delta(8, 9), delta(10, 11)):
        sync.on_delta(one)
    outcome, ready = sync.on_snapshot(4)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(1, 5)]
    assert (sync.state, sync.gaps, sync.waiting) == (BookState.STALE, 1, 2)


def test_futures_first_event_covers_the_snapshot() -> None:
    sync = Synchroniser(Rule.BINANCE_FUTURES)
    for one in (delta(100, 180, 90), delta(200, 290, 180), delta(310, 350, 290)):
        sync.on_delta(one)
    outcome, ready = sync.on_snapshot(250)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(200, 290), (310, 350)]


def test_futures_event_that_ends_at_the_snapshot_is_kept() -> None:
    sync = Synchroniser(Rule.BINANCE_FUTURES)
    sync.on_delta(delta(200, 250, 180))
    assert spans(sync.on_snapshot(250)[1]) == [(200, 250)]
    assert sync.on_delta(delta(300, 310, 250)) is Outcome.APPLIED


def test_futures_snapshot_between_two_events_is_usable() -> None:
    # Ids are shared by all symbols: between pu 180 and U 200 nothing happened to this one.
    sync = Synchroniser(Rule.BINANCE_FUTURES)
    sync.on_delta(delta(100, 180, 90))
    sync.on_delta(delta(200, 290, 180))
    outcome, ready = sync.on_snapshot(190)
    assert outcome is Outcome.APPLIED
    assert spans(ready) == [(200, 290)]


def test_futures_snapshot_before_the_first_event_is_unusable() -> None:
    sync = Synchroniser(Rule.BINANCE_FUTURES)
    sync.on_delta(delta(200, 290, 180))
    assert sync.on_snapshot(170) == (Outcome.UNUSABLE, [])


def test_futures_follow_by_the_previous_last() -> None:
    sync = synced(Rule.BINANCE_FUTURES, 250)
    assert sync.on_delta(delta(200, 249, 180)) is Outcome.STALE
    assert sync.on_delta(delta(240, 290, 230)) is Outcome.APPLIED
    assert sync.on_delta(delta(5000, 5100, 290)) is Outcome.APPLIED
    assert sync.on_delta(delta(5101, 5200, 5099)) is Outcome.GAP
    assert sync.state is BookState.STALE


def test_futures_first_event_after_the_snapshot_was_missed() -> None:
    sync = synced(Rule.BINANCE_FUTURES, 250)
    assert sync.on_delta(delta(300, 310, 280)) is Outcome.GAP


def test_an_older_snapshot_does_not_turn_the_book_back() -> None:
    sync = synced(Rule.BINANCE_SPOT, 10)
    sync.on_delta(delta(11, 20))
    assert sync.on_snapshot(15) == (Outcome.STALE, [])
    assert sync.sequence == 20
    assert sync.on_snapshot(30) == (Outcome.APPLIED, [])
    assert sync.sequence == 30


def test_the_waiting_buffer_is_bounded_and_counts_what_it_drops() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT, max_waiting=3)
    for first in range(1, 6):
        sync.on_delta(delta(first, first))
    assert (sync.waiting, sync.dropped) == (3, 2)
    assert sync.on_snapshot(1) == (Outcome.UNUSABLE, [])
    assert spans(sync.on_snapshot(2)[1]) == [(3, 3), (4, 4), (5, 5)]


@pytest.mark.parametrize("venue_rule", [Rule.BINANCE_SPOT, Rule.BINANCE_FUTURES])
def test_a_venue_that_numbers_anew_is_noticed(venue_rule: Rule) -> None:
    sync = synced(venue_rule, 10_000_000)
    outcomes = [sync.on_delta(delta(n, n, n - 1)) for n in range(1, MAX_STALE_RUN + 2)]
    assert set(outcomes[:-1]) == {Outcome.STALE}
    assert outcomes[-1] is Outcome.GAP
    assert sync.wants_snapshot


def test_bybit_numbering_anew_without_its_snapshot_is_noticed_at_once() -> None:
    sync = Synchroniser(Rule.BYBIT)
    sync.on_snapshot(4, event_ns=100)
    assert sync.on_delta(delta(5, 5, event_ns=200)) is Outcome.APPLIED
    assert sync.on_delta(delta(5, 5, event_ns=200)) is Outcome.STALE  # a copy
    assert sync.on_delta(delta(3, 3, event_ns=90)) is Outcome.STALE  # late
    assert sync.on_delta(delta(2, 2, event_ns=300)) is Outcome.GAP
    # Its numbers pass ours meanwhile: what follows by number only must not be applied.
    assert [sync.on_delta(delta(n, n)) for n in range(3, 9)] == [Outcome.BUFFERED] * 6
    assert sync.wants_snapshot


def test_a_wrong_book_is_stale_until_a_snapshot() -> None:
    sync = synced(Rule.BINANCE_SPOT, 10)
    sync.invalidate()
    assert sync.state is BookState.STALE
    assert sync.on_delta(delta(11, 12)) is Outcome.BUFFERED
    assert spans(sync.on_snapshot(10)[1]) == [(11, 12)]
    assert sync.counts.invalidated == 1


def test_a_broken_stream_leaves_nothing_to_wait_for() -> None:
    sync = Synchroniser(Rule.BINANCE_SPOT)
    sync.on_delta(delta(1, 2))
    sync.disconnect()
    assert (sync.state, sync.waiting) == (BookState.EMPTY, 0)
    sync = synced(Rule.BINANCE_SPOT, 10)
    sync.disconnect()
    assert sync.state is BookState.STALE


def test_bybit_follows_by_one() -> None:
    sync = synced(Rule.BYBIT, 10)
    assert sync.on_delta(delta(11, 11)) is Outcome.APPLIED
    assert sync.on_delta(delta(11, 11)) is Outcome.STALE
    assert sync.on_delta(delta(12, 12)) is Outcome.APPLIED
    assert sync.on_delta(delta(14, 14)) is Outcome.GAP
    assert (sync.state, sync.gaps, sync.sequence) == (BookState.STALE, 1, 12)
    assert sync.wants_snapshot


def test_bybit_deltas_that_wait_are_not_kept() -> None:
    # The snapshot that ends the waiting comes after them in the stream: it holds them.
    sync = synced(Rule.BYBIT, 10)
    sync.on_delta(delta(12, 12))
    assert sync.on_delta(delta(13, 13)) is Outcome.BUFFERED
    assert (sync.waiting, sync.counts.buffered, sync.dropped) == (0, 2, 0)
    assert sync.on_snapshot(13) == (Outcome.APPLIED, [])
    assert sync.on_delta(delta(14, 14)) is Outcome.APPLIED
    assert (sync.state, sync.resyncs) == (BookState.SYNCED, 1)


@pytest.mark.parametrize("number", [1, 50, 100, 5000])
def test_bybit_snapshot_replaces_the_book_whatever_its_number(number: int) -> None:
    sync = synced(Rule.BYBIT, 100)
    assert sync.on_snapshot(number) == (Outcome.APPLIED, [])
    assert (sync.state, sync.sequence) == (BookState.SYNCED, number)
    assert sync.on_delta(delta(number + 1, number + 1)) is Outcome.APPLIED


def test_bybit_waits_for_its_first_snapshot() -> None:
    sync = Synchroniser(Rule.BYBIT)
    assert sync.on_delta(delta(7, 7)) is Outcome.BUFFERED
    assert (sync.state, sync.wants_snapshot) == (BookState.BUFFERING, True)
    sync.on_snapshot(3)
    assert sync.on_delta(delta(4, 4)) is Outcome.APPLIED


@given(st.lists(st.integers(1, 12), max_size=40))
def test_bybit_applies_what_follows_and_nothing_else(numbers: list[int]) -> None:
    """Against the rule in its plainest words, while the book is synced."""
    sync = synced(Rule.BYBIT, 5)
    newest = 5
    for number in numbers:
        outcome = sync.on_delta(delta(number, number))
        if number == newest + 1:
            newest = number
            assert outcome is Outcome.APPLIED
        elif number <= newest:
            assert outcome is Outcome.STALE
        else:
            assert outcome is Outcome.GAP
            break
        assert sync.sequence == newest


class BybitOverABadLine(RuleBasedStateMachine):
    """One topic whose frames are lost, doubled and held back; the client subscribes anew when its book says so.

    A book is the list of changes in it, and must be the venue's own whenever a delta was just applied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.venue: list[int] = []  # every change so far, each a number of its own
        self.number = 0  # u
        self.made = 0
        self.sync = Synchroniser(Rule.BYBIT)
        self.book: list[int] = []
        self.held: tuple[int, list[int], int] | None = None
        self.newest: tuple[int, list[int], int] | None = None

    def change(self) -> tuple[int, list[int], int]:
        self.made += 1
        self.number += 1
        self.venue.append(self.made)
        self.newest = (self.number, list(self.venue), self.made)
        return self.newest

    def deliver(self, frame: tuple[int, list[int], int]) -> Outcome:
        number, truth, change = frame
        outcome = self.sync.on_delta(delta(number, number, event_ns=change))
        if outcome is Outcome.APPLIED:
            self.book.append(change)
            assert self.book == truth
        return outcome

    def snapshot(self) -> None:
        self.sync.on_snapshot(self.number, self.made)
        self.book = list(self.venue)
        self.held = None  # what was sent before it comes no more

    @rule()
    def subscribe(self) -> None:
        self.snapshot()
        assert self.sync.state is BookState.SYNCED

    @rule()
    def delta_comes(self) -> None:
        self.deliver(self.change())

    @rule()
    def delta_is_lost(self) -> None:
        was = self.sync.state
        self.change()
        outcome = self.deliver(self.change())
        if was is BookState.SYNCED:
            assert outcome is Outcome.GAP or self.sync.sequence >= self.number

    @precondition(lambda self: self.newest is not None and self.sync.state is BookState.SYNCED)
    @rule()
    def delta_comes_twice(self) -> None:
        frame = self.change()
        if self.deliver(frame) is Outcome.APPLIED:
            assert self.deliver(frame) is Outcome.STALE

    @precondition(lambda self: self.held is None)
    @rule()
    def delta_is_held_back(self) -> None:
        self.held = self.change()

    @precondition(lambda self: self.held is not None)
    @rule()
    def held_delta_comes(self) -> None:
        assert self.held is not None
        frame, self.held = self.held, None
        self.deliver(frame)

    @precondition(lambda self: self.sync.sequence > 2)  # below, the new numbers go on where the old ones were
    @rule(snapshot_comes=st.booleans())
    def service_restarts(self, snapshot_comes: bool) -> None:
        self.number, self.held = 1, None
        self.made += 1
        self.venue = [self.made]
        if snapshot_comes:
            self.snapshot()
            return
        was = self.sync.state
        if was is BookState.SYNCED:
            assert self.deliver(self.change()) is Outcome.GAP

    @rule()
    def client_repairs(self) -> None:
        if self.sync.wants_snapshot:
            self.snapshot()
            assert self.deliver(self.change()) is Outcome.APPLIED

    def teardown(self) -> None:
        self.snapshot()
        assert self.deliver(self.change()) is Outcome.APPLIED


TestBybitOverABadLine = BybitOverABadLine.TestCase
TestBybitOverABadLine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
