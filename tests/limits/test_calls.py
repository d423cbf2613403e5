"""The latency table: percentiles within 6 %, whatever comes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.limits.calls import BUCKETS, EndpointCounts, bucket_of, middle_of


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=200))
def test_the_percentile_is_within_six_percent_of_the_sorted_one(took_ns: list[int]) -> None:
    counts = EndpointCounts("GET /x")
    for each in took_ns:
        counts.answered(200, each)
    true = sorted(took_ns)[math.ceil(len(took_ns) * 0.99) - 1]
    assert abs(counts.p99_ns - true) <= max(0.07 * true, 1_000)
    assert counts.max_ns == max(took_ns)
    assert counts.mean_ns == sum(took_ns) // len(took_ns)


@given(st.integers(-(2**70), 2**70))
def test_every_value_has_a_bucket(value: int) -> None:
    assert 0 <= bucket_of(value) < BUCKETS


def test_buckets_are_in_order_and_hold_their_middles() -> None:
    assert [bucket_of(middle_of(bucket)) for bucket in range(BUCKETS)] == list(range(BUCKETS))


def test_before_the_first_answer_all_is_zero() -> None:
    counts = EndpointCounts("GET /x")
    assert (counts.mean_ns, counts.p99_ns, counts.max_ns) == (0, 0, 0)
