from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.backoff import Backoff

S = 1_000_000_000


def test_the_bound_doubles_from_the_first_delay_to_the_cap() -> None:
    backoff = Backoff(first_s=0.5, cap_s=30.0)
    bounds = [backoff.bound_s]
    for _ in range(9):
        backoff.failed()
        bounds.append(backoff.bound_s)
    assert bounds == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@given(st.integers(0, 5_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_anything_from_zero_to_the_bound(failures: int, random: float) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.failed()
    assert 0 <= backoff.delay_s(random) <= backoff.bound_s <= 30.0
    assert backoff.delay_s(0.0) == 0.0


def test_only_data_that_kept_coming_forgets_the_failures() -> None:
    backoff = Backoff(healthy_after_s=10)
    backoff.failed()
    backoff.healthy(5 * S)
    backoff.healthy(14 * S)
    assert backoff.failures == 1
    backoff.failed()
    backoff.healthy(16 * S)  # healthy for 0 s: the failure between began the count anew
    backoff.healthy(25 * S)
    assert backoff.failures == 2
    backoff.healthy(26 * S)
    assert (backoff.failures, backoff.bound_s) == (0, 0.0)


def test_a_first_delay_beyond_the_cap_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 30"):
        Backoff(first_s=31)
