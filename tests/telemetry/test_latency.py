"""Histograms: percentiles within 1 % of exact, recording in batch equal to one by one, seconds closed once."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.telemetry.histogram import MIDPOINT_NS, QUANTILES, Histogram, bucket_of, quantiles
from engine.telemetry.histogram_kernel import BUCKETS
from engine.telemetry.latency import (
    COARSE_ROWS,
    COARSE_S,
    SECOND_NS,
    StageLatency,
    counts_since,
    held,
    held_seconds,
    merge,
    reaches,
)

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


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.lists(st.integers(1, 10**7), max_size=4)), max_size=30),
    st.booleans(),
)
def test_steps_of_30_s_and_the_seconds_after_them_are_all_that_was_counted(
    given: list[tuple[int, list[int]]], recorded: bool
) -> None:
    stage, plain, now = StageLatency("s", "receive"), Counter[tuple[int, int]](), 0
    for later, values in given:
        now += later
        stage.record(now * SECOND_NS, np.array(values, np.int64))
        for value in values:
            plain[now, bucket_of(value)] += 1
    stage.advance((now + 1) * SECOND_NS)
    if recorded:  # the same from its rows, as one that measures nothing itself takes them
        other = StageLatency("t", "receive")
        other.publish_closed(stage.seconds.since(0).rows, stage.buckets.since(0).rows)
        stage = other
    told = held(stage)
    seen = Counter[tuple[int, int]]()
    cut = len(told.rows) - told.fine
    for row in told.rows:
        seen[int(row["ts_ns"]) // SECOND_NS, int(row["bucket"])] += int(row["count"])
    last = max((second for second, _ in plain), default=0)  # the step it is in is not over
    by_step = Counter[tuple[int, int]]()
    for (second, bucket), count in plain.items():
        step = second // COARSE_S * COARSE_S
        by_step[step if step < last // COARSE_S * COARSE_S else second, bucket] += count
    assert seen == by_step
    assert (told.rows["ts_ns"][:cut] % (COARSE_S * SECOND_NS) == 0).all()
    assert (np.diff(told.rows["ts_ns"]) >= 0).all()
    assert (told.oldest_ns, told.lost) == (0, False)


def test_a_ring_of_30_s_that_is_full_says_since_when_it_is_whole() -> None:
    stage, buckets = StageLatency("s", "receive"), BUCKETS - 4
    steps = COARSE_ROWS // buckets + 6
    for step in range(steps):
        stage.record(step * COARSE_S * SECOND_NS + 1, MIDPOINT_NS[:buckets])
    stage.advance(steps * COARSE_S * SECOND_NS)
    told = held(stage)
    kept = COARSE_ROWS // buckets
    assert told.oldest_ns == (steps - 1 - kept) * COARSE_S * SECOND_NS  # the last step is of seconds still
    assert told.fine == buckets
    assert len(told.rows) == (kept + 1) * buckets


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 7), st.lists(st.integers(1, 10**7), max_size=5)), max_size=30),
    st.booleans(),
    st.integers(0, 30),
)
def test_steps_of_2_and_5_s_hold_what_their_seconds_do(
    given: list[tuple[int, list[int]]], recorded: bool, cut: int
) -> None:
    stage, plain, now = StageLatency("s", "receive"), dict[int, list[int]](), 0
    for later, values in given:
        now += later
        stage.record(now * SECOND_NS, np.array(values, np.int64))
        if values:
            plain[now] = values
    stage.advance((now + 1) * SECOND_NS)
    if recorded:
        other, seconds, buckets = (
            StageLatency("t", "receive"),
            stage.seconds.since(0).rows,
            stage.buckets.since(0).rows,
        )
        for low, high in ((0, cut), (cut, 1_000)):  # in two blocks
            part = seconds[low:high]
            other.publish_closed(part, buckets[np.isin(buckets["ts_ns"], part["ts_ns"])])
        stage = other
    last = max(plain, default=0)
    for step, ring in stage.short.items():
        wanted = dict[int, list[int]]()
        for second, values in plain.items():
            wanted.setdefault(second // step * step, []).extend(values)
        if last and last % step != step - 1:  # it is not over
            del wanted[last // step * step]
        rows = ring.since(0).rows
        assert (rows["ts_ns"] // SECOND_NS).tolist() == list(wanted)
        for row, values in zip(rows, wanted.values(), strict=True):
            assert (row["count"], row["least"], row["greatest"], row["sum"]) == (
                len(values), min(values), max(values), sum(values)
            )  # fmt: skip
            assert row["p50"] == pytest.approx(exact(values, 0.5), rel=0.01)


def eighth(value: int) -> int:
    """Least value in ns of the eighth of an octave that a value is in; what is below 8 ns is one."""
    if value < 8:
        return 0
    octave = 1 << (value.bit_length() - 1)
    return octave + (value - octave) * 8 // octave * octave // 8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.lists(st.integers(0, 200) | st.integers(1, 2**40), max_size=6)),
        max_size=20,
    )
)
def test_seconds_are_kept_by_eighths_of_octaves_too(given: list[tuple[int, list[int]]]) -> None:
    stage, plain, now = StageLatency("s", "receive"), Counter[tuple[int, int]](), 0
    for later, values in given:
        now += later
        stage.record(now * SECOND_NS, np.array(values, np.int64))
        plain.update((now, bucket_of(eighth(value))) for value in values)
    stage.advance((now + 1) * SECOND_NS)
    rows = held_seconds(stage).rows
    told = [
        (int(ts) // SECOND_NS, int(bucket)) for ts, bucket in zip(rows["ts_ns"], rows["bucket"], strict=True)
    ]
    assert dict(zip(told, rows["count"].tolist(), strict=True)) == plain
    assert told == sorted(plain)


def test_whether_the_seconds_reach_back_is_told_from_what_was_overwritten() -> None:
    stage, buckets = StageLatency("s", "receive"), 512
    kept = stage.buckets.capacity // buckets
    for second in range(1, kept + 3):
        stage.record(second * SECOND_NS, MIDPOINT_NS[:buckets])
        head = stage.buckets.head
        assert reaches(stage, SECOND_NS, head) == (second <= kept + 1)
    stage.advance((kept + 3) * SECOND_NS)
    assert not reaches(stage, 3 * SECOND_NS, stage.buckets.head)  # of the oldest second some may be gone
    assert reaches(stage, 4 * SECOND_NS, stage.buckets.head)


def test_counts_of_a_long_window_are_those_of_its_steps() -> None:
    stage = StageLatency("s", "receive")
    for minute in range(60):
        stage.record(minute * 60 * SECOND_NS, np.array([1_000, 2_000 + minute * 1_000], np.int64))
    stage.advance(60 * 60 * SECOND_NS)
    heads = (stage.buckets.head, stage.seconds.head, stage.coarse.head, stage.long.head)
    counts, greatest = counts_since(stage, 10 * 60 * SECOND_NS, *heads)
    assert (int(counts.sum()), greatest) == (100, 61_000)
    seen, greatest = counts_since(stage, 0, *heads)
    assert (int(seen.sum()), greatest) == (120, 61_000)


def test_the_offset_is_taken_off_and_kept_with_the_row() -> None:
    stage = StageLatency("s", "receive")
    stage.record(SECOND_NS, np.array([-1_300_000_000, -1_299_000_000], np.int64), -1_300_000_000)
    stage.advance(2 * SECOND_NS)
    row = stage.seconds.since(0).rows[0]
    assert (int(row["least"]), int(row["greatest"]), int(row["offset_ns"])) == (0, 1_000_000, -1_300_000_000)
