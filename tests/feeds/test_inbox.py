from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feeds.inbox import Inbox


def test_frames_come_out_in_order_with_their_times() -> None:
    inbox = Inbox()
    for n in range(5):
        inbox.put(b"%d" % n, n)
    assert inbox.take(2) == ([b"0", b"1"], [0, 1])
    assert inbox.take(9) == ([b"2", b"3", b"4"], [2, 3, 4])
    assert (len(inbox), inbox.size_bytes) == (0, 0)


@given(
    st.integers(1, 40),
    st.integers(1, 400),
    st.lists(st.one_of(st.integers(0, 60), st.just(-1)), max_size=200),
)
def test_it_never_holds_more_than_its_bounds_and_gives_up_the_oldest(
    most_frames: int, most_bytes: int, steps: list[int]
) -> None:
    inbox = Inbox(most_frames, most_bytes)
    put = taken = 0
    for size in steps:
        if size < 0:
            taken += len(inbox.take(3)[0])
            continue
        inbox.put(b"%d" % put + b" " * size, put)
        put += 1
        assert len(inbox) <= most_frames
        assert inbox.size_bytes <= most_bytes or not len(inbox)
    assert taken + inbox.dropped + len(inbox) == put
    frames, times = inbox.take(put)
    assert times == list(range(put - len(times), put))
    assert [int(frame) for frame in frames] == times
    assert inbox.size_bytes == 0
    assert inbox.gone == put


def test_what_is_abandoned_is_counted_and_what_is_cleared_is_not() -> None:
    inbox = Inbox()
    inbox.put(b"a", 1)
    inbox.abandon()
    inbox.put(b"b", 2)
    inbox.clear()
    assert (len(inbox), inbox.size_bytes, inbox.dropped) == (0, 0, 1)


def test_what_another_held_comes_behind() -> None:
    first, second = Inbox(4), Inbox()
    first.put(b"a", 1)
    second.put(b"b", 2)
    first.pour(second)
    assert (first.take(9), len(second)) == (([b"a", b"b"], [1, 2]), 0)
