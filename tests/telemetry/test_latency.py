"""Histograms: percentiles within 1 % of exact, recording in batch equal to one by one, seconds closed once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.telemetry.histogram import MIDPOINT_NS, QUANTILES, Histogram, bucket_of, quantiles
from engine.telemetry.histogram_kernel import BUCKETS
from engine.telemetry.latency import SECOND_NS, StageLatency, merge

VALUES = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


def exact(values: list[int], quantile: float) -> int:
    """The least value with at least that share at or below it."""
    return sorted(values)[math.ceil(quantile * len(values) - 1e-9) - 1]


@given(VALUES)
def test_percentiles_are_within_one_percent_of_exact(values: list[int]) -> None:
    hist = Histogram()
    hist.record(np.array(values, np.int64))
    for quantile, found in zip(QUANTILES, quantiles(hist.counts, QUANTILES, hist.greatest_ns), strict=True):
        assert found == pytest.approx(exact(values, quantile), rel=0.01)


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.5])
def test_percentiles_of_a_long_tail_are_within_one_percent(spread: float) -> None:
    values = np.random.default_rng(7).lognormal(12, spread, 200_000).astype(np.int64)
    hist = Histogram()
    hist.record(values)
    for quantile, found in zip(QUANTILES, quantiles(hist.counts, QUANTILES, hist.greatest_ns), strict=True):
        assert found == pytest.approx(exact(values.tolist(), quantile), rel=0.01)


@given(st.lists(st.integers(-(2**45), 2**45), min_size=1, max_size=60), st.integers(-(2**20), 2**20))
def test_the_kernel_records_as_one_by_one_does(values: list[int], offset: int) -> None:
    batch, single = Histogram(), Histogram()
    batch.record(np.array(values, np.int64), offset)
    for value in values:
        single.record_one(value - offset)
    assert np.array_equal(batch.counts, single.counts)
    assert (batch.count, batch.sum_ns, batch.least_ns, batch.greatest_ns) == (
        single.count,
        single.sum_ns,
        single.least_ns,
        single.greatest_ns,
    )


@given(st.integers(0, 2**41 - 1))
def test_a_buckets_midpoint_is_within_one_percent_of_what_is_in_it(value: int) -> None:
    assert MIDPOINT_NS[bucket_of(value)] == pytest.approx(value, rel=1 / 128, abs=0)


def test_buckets_are_in_order_and_used_without_holes() -> None:
    assert len(MIDPOINT_NS) == BUCKETS
    assert (np.diff(MIDPOINT_NS) > 0).all()
    assert [bucket_of(int(middle)) for middle in MIDPOINT_NS] == list(range(BUCKETS))


@given(VALUES, VALUES)
def test_merging_equals_recording_together(left: list[int], right: list[int]) -> None:
    together, a, b = Histogram(), Histogram(), Histogram()
    together.record(np.array(left + right, np.int64))
    a.record(np.array(left, np.int64))
    b.record(np.array(right, np.int64))
    a.add(b)
    assert np.array_equal(a.counts, together.counts)
    assert (a.count, a.sum_ns, a.least_ns, a.greatest_ns) == (
        together.count,
        together.sum_ns,
        together.least_ns,
        together.greatest_ns,
    )


def test_a_second_is_closed_once_and_holds_its_own_samples() -> None:
    stage = StageLatency("s", "receive")
    stage.record(5 * SECOND_NS + 1, np.array([1_000, 2_000], np.int64))
    assert len(stage.seconds) == 0
    stage.advance(6 * SECOND_NS)
    stage.record(6 * SECOND_NS + 1, np.array([9_000], np.int64))
    stage.record(5 * SECOND_NS + 2, np.array([9_000], np.int64))  # late: counted in the running second
    stage.advance(7 * SECOND_NS + 5)
    rows = stage.seconds.since(0).rows
    assert rows["ts_ns"].tolist() == [5 * SECOND_NS, 6 * SECOND_NS]
    assert rows["count"].tolist() == [2, 2]
    assert rows["greatest"].tolist() == [2_000, 9_000]


def test_a_second_without_samples_has_no_row() -> None:
    stage = StageLatency("s", "receive")
    stage.record_one(SECOND_NS, 5)
    stage.advance(9 * SECOND_NS)
    assert stage.seconds.since(0).rows["ts_ns"].tolist() == [SECOND_NS]


def test_bucket_rows_merge_to_what_was_recorded() -> None:
    stage, random = StageLatency("s", "receive"), np.random.default_rng(3)
    everything = Histogram()
    for second in range(1, 30):
        values = random.lognormal(10, 1, 500).astype(np.int64)
        stage.record(second * SECOND_NS, values)
        everything.record(values)
    stage.advance(60 * SECOND_NS)
    assert np.array_equal(merge(stage.buckets.since(0).rows), everything.counts)
    assert stage.long.since(0).rows["count"].tolist() == [9 * 500, 10 * 500]


def test_the_offset_is_taken_off_and_kept_with_the_row() -> None:
    stage = StageLatency("s", "receive")
    stage.record(SECOND_NS, np.array([-1_300_000_000, -1_299_000_000], np.int64), -1_300_000_000)
    stage.advance(2 * SECOND_NS)
    row = stage.seconds.since(0).rows[0]
    assert (int(row["least"]), int(row["greatest"]), int(row["offset_ns"])) == (0, 1_000_000, -1_300_000_000)
