from __future__ import annotations

import numpy as np
import pytest

from engine.market.batches import LEVEL, Batch, Kind, Source
from engine.market.sequencing import (
    MAX_STALE_RUN,
    BookState,
    Outcome,
    Rule,
    Synchroniser,
)

SOURCE = Source("binance_spot", "sim")


def delta(first: int, last: int, previous: int = -1) -> Batch:
    return Batch(Kind.DELTA, SOURCE, "BTC-USDT", np.empty(0, LEVEL), 0, first, last, previous)


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


@pytest.mark.parametrize("rule", list(Rule))
def test_a_venue_that_numbers_anew_is_noticed(rule: Rule) -> None:
    sync = synced(rule, 10_000_000)
    outcomes = [sync.on_delta(delta(n, n, n - 1)) for n in range(1, MAX_STALE_RUN + 2)]
    assert set(outcomes[:-1]) == {Outcome.STALE}
    assert outcomes[-1] is Outcome.GAP
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
