from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.pulse import Pulse

S = 1_000_000_000


def moved(rate: int, seconds: int) -> tuple[Pulse, int]:
    """A pulse after so many seconds of `rate` frames a second, and the time of the last."""
    pulse = Pulse(6)
    pulse.start(0)
    now = 0
    for beat in range(1, rate * seconds + 1):
        now = beat * S // rate
        pulse.beat(now, 1)
    return pulse, now


def test_a_stream_that_moves_is_dead_after_six_seconds_without_data() -> None:
    pulse, now = moved(rate=20, seconds=10)
    assert pulse.wait_ns(now) == 6 * S
    assert pulse.wait_ns(now + 5 * S) == S
    assert pulse.wait_ns(now + 7 * S) == 0


def test_a_slow_stream_is_given_the_time_of_a_dozen_frames_and_a_minute_at_most() -> None:
    pulse, _ = moved(rate=1, seconds=20)
    assert pulse.limit_s == pytest.approx(12, abs=1)
    slow = Pulse(6)
    slow.start(0)
    for minute in range(1, 10):
        slow.beat(minute * 60 * S, 1)
    assert slow.limit_s == 60


def test_a_new_connection_expects_the_pace_of_the_one_before() -> None:
    pulse, now = moved(rate=20, seconds=10)
    pulse.start(now + 100 * S)
    assert pulse.wait_ns(now + 100 * S) == 6 * S
    assert pulse.copy().limit_s == 6


def test_first_data_may_take_longer() -> None:
    pulse = Pulse(6)
    pulse.start(0)
    assert pulse.wait_ns(0) == 18 * S


@given(st.lists(st.tuples(st.integers(0, 100 * S), st.integers(1, 1_000)), max_size=50))
def test_the_limit_is_never_below_the_venues_nor_above_a_minute(beats: list[tuple[int, int]]) -> None:
    pulse, now = Pulse(6), 0
    pulse.start(0)
    for gap, frames in beats:
        now += gap
        pulse.beat(now, frames)
        assert 6 <= pulse.limit_s <= 60
        assert pulse.wait_ns(now) == round(pulse.limit_s * S)
