"""The load generator's histogram against plain arithmetic and the telemetry's own layout."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.load.latencies import BUCKETS, Latencies, buckets_of
from engine.telemetry import histogram

TIMES = st.lists(st.integers(0, 1 << 45), min_size=1, max_size=200)


@given(TIMES)
def test_buckets_are_those_of_the_telemetry(values: list[int]) -> None:
    assert buckets_of(np.array(values)).tolist() == [histogram.bucket_of(each) for each in values]
    assert BUCKETS == histogram.BUCKETS


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=200), st.floats(0.0, 1.0))
def test_percentiles_are_within_a_bucket_and_sums_exact(values: list[int], share: float) -> None:
    latencies = Latencies()
    half = len(values) // 2
    latencies.record(values[:half])
    rest = Latencies()
    rest.record(values[half:])
    latencies.add(rest)
    exact = sorted(values)[max(1, math.ceil(share * len(values) - 1e-9)) - 1]
    assert math.isclose(latencies.percentile_ms(share), exact / 1e6, rel_tol=0.008, abs_tol=1e-9)
    assert latencies.count == len(values)
    assert latencies.sum_ns == sum(values)
    assert latencies.greatest_ns == max(values)
    assert latencies.percentile_ms(1.0) <= latencies.greatest_ms


def test_nothing_recorded_has_no_percentile() -> None:
    latencies = Latencies()
    latencies.record([])
    assert math.isnan(latencies.mean_ms)
    assert math.isnan(latencies.percentile_ms(0.5))
    assert math.isnan(latencies.greatest_ms)


def test_a_clock_that_steps_back_counts_as_no_time() -> None:
    latencies = Latencies()
    latencies.record([-5, 7])
    assert (latencies.sum_ns, latencies.percentile_ms(0.5)) == (7, 0.0)
