from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feeds.snapshots import SnapshotQueue

S = 1_000_000_000


def test_each_symbol_waits_once_and_a_few_go_at_a_time() -> None:
    queue = SnapshotQueue(at_once=2, jitter_s=0)
    for symbol in ("a", "b", "a", "c"):
        queue.want(symbol, 0, 0.5)
    assert len(queue) == 3
    first, second = queue.start(0), queue.start(0)
    assert first is not None
    assert second is not None
    assert (first.symbol, second.symbol, queue.start(0), queue.wait_ns(0)) == ("a", "b", None, None)
    assert not queue.want("a", 0, 0.5)  # it is being fetched
    queue.done(first)
    third = queue.start(0)
    assert third is not None
    assert third.symbol == "c"
    assert (len(queue), queue.fetched) == (2, 1)


def test_what_fails_waits_longer_each_time_and_others_go_before_it() -> None:
    queue = SnapshotQueue(at_once=1, jitter_s=0)
    queue.want("a", 0, 0)
    now, waits = 0, []
    for _ in range(10):
        ticket = queue.start(now)
        assert ticket is not None
        queue.failed(ticket, now, 0.999)
        wait = queue.wait_ns(now)
        assert wait is not None
        waits.append(wait / S)
        now += wait
    assert waits == sorted(waits)
    assert 0.1 < waits[0] <= 0.25
    assert 7 < waits[-1] <= 15
    assert queue.failures == 10
    ticket = queue.start(now)
    assert ticket is not None
    queue.failed(ticket, now, 0)
    queue.want("b", now, 0)
    other = queue.start(now)
    assert other is not None
    assert other.symbol == "b"


def test_a_symbol_that_is_forgotten_makes_its_ticket_void() -> None:
    queue = SnapshotQueue(jitter_s=0)
    queue.want("a", 0, 0)
    old = queue.start(0)
    assert old is not None
    queue.forget("a")
    assert not queue.is_valid(old)
    queue.want("a", 0, 0)
    new = queue.start(0)
    assert new is not None
    queue.done(old)
    queue.failed(old, 0, 0)
    assert queue.is_valid(new)
    assert (len(queue), queue.fetched, queue.failures) == (1, 0, 0)


def test_success_forgets_earlier_failures() -> None:
    queue = SnapshotQueue(jitter_s=0)
    for fails in (4, 1):
        queue.want("a", 0, 0)
        for _ in range(fails):
            ticket = queue.start(60 * S)
            assert ticket is not None
            queue.failed(ticket, 0, 0)
        wait = queue.wait_ns(0)
        assert wait is not None
        assert (wait < S / 4) == (fails == 1)
        ticket = queue.start(60 * S)
        assert ticket is not None
        queue.done(ticket)


@given(st.data())
def test_nothing_is_lost_nothing_goes_twice_and_never_more_than_allowed(data) -> None:
    queue, now = SnapshotQueue(at_once=2), 0
    needed: set[str] = set()
    flying = []
    for _ in range(data.draw(st.integers(0, 60))):
        now += data.draw(st.integers(0, S))
        symbol = data.draw(st.sampled_from("abcdef"))
        chance = data.draw(st.floats(0, 1, exclude_max=True))
        match data.draw(st.sampled_from(["want", "forget", "start", "done", "failed"])):
            case "want":
                assert queue.want(symbol, now, chance) == (symbol not in needed)
                needed.add(symbol)
            case "forget":
                queue.forget(symbol)
                needed.discard(symbol)
                flying = [ticket for ticket in flying if ticket.symbol != symbol]
            case "start":
                ticket = queue.start(now)
                if ticket is not None:
                    assert ticket.symbol in needed - {one.symbol for one in flying}
                    flying.append(ticket)
            case "done" if flying:
                needed.discard(flying[0].symbol)
                queue.done(flying.pop(0))
            case "failed" if flying:
                queue.failed(flying.pop(0), now, chance)
        assert len(flying) <= 2
        assert len(queue) == len(needed)
        assert all(queue.is_valid(ticket) for ticket in flying)
    for ticket in flying:
        queue.done(ticket)
        needed.discard(ticket.symbol)
    while needed:
        now += queue.wait_ns(now) or 0
        ticket = queue.start(now)
        assert ticket is not None
        queue.done(ticket)
        needed.remove(ticket.symbol)
    assert queue.wait_ns(now) is None
