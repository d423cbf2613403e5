"""The latency heatmap: cells against a plain count of values, deltas against the whole, a threshold against numpy."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.streams.latency_map import (
    COLUMNS_MAX,
    LOWER_NS,
    PARTS,
    ROWS_MAX,
    STEPS_S,
    edges_ns,
    parts_for,
    row_of,
    step_of,
)
from dashboards.view import WINDOWS_S, threshold_ns
from engine.telemetry.histogram import MIDPOINT_NS, bucket_of
from engine.telemetry.histogram_kernel import BUCKETS
from engine.telemetry.latency import SECOND_NS, StageLatency
from tests.dashboards.test_transport import Page, busy
from tests.engine.markets import START, Desk

# Up to 40 s of what each second measured; a latency from nanoseconds to a minute.
LATENCIES = st.lists(st.integers(1, 60 * 10**9) | st.integers(10_000, 90_000), max_size=6)
SECONDS = st.lists(LATENCIES, min_size=1, max_size=40)


def measured(desk: Desk, seconds: list[list[int]], at: int = 0) -> Desk:
    """A desk whose receive stage measured these latencies, ns, second by second."""
    stage = stage_of(desk)
    for second, values in enumerate(seconds, at):
        stage.record(START + second * SECOND_NS + SECOND_NS // 2, np.array(values, np.int64))
    desk.at(at + len(seconds) + 0.1)
    stage.advance(desk.now)
    return desk


def opened() -> Desk:
    return Desk().at(0)


def stage_of(desk: Desk) -> StageLatency:
    return desk.telemetry.stage("binance_spot:replay", "receive")


def merged(held: dict[int, list[int]], stream: dict[str, Any]) -> dict[int, list[int]]:
    """What a page holds after one more answer."""
    if stream["reset"]:
        held = {}
    held = held | dict(zip(stream["t"], stream["c"], strict=True))
    return {at: column for at, column in held.items() if at >= stream["keep"]}


def counted(held: dict[int, list[int]], parts: int) -> Counter[tuple[int, int, int]]:
    """Samples by (start of the column in ms, lower and upper edge of the cell in ns)."""
    edges = edges_ns(parts)
    return Counter(
        {
            (at, edges[row], edges[row + 1]): count
            for at, (first, *counts) in held.items()
            for row, count in enumerate(counts, first)
            if count
        }
    )


def plain(desk: Desk, seconds: list[list[int]], parts: int, step: int) -> Counter[tuple[int, int, int]]:
    """The same from the raw values, one by one."""
    edges, found = edges_ns(parts), Counter[tuple[int, int, int]]()
    for second, values in enumerate(seconds):
        for value in values:
            row = next(row for row in range(len(edges) - 1) if value < edges[row + 1])
            at = (START // SECOND_NS + second) // step * step
            found[at * 1_000, edges[row], edges[row + 1]] += 1
    return found


@settings(max_examples=25, deadline=None)
@given(seconds=SECONDS, window=st.sampled_from([60, 300, 3_600, 14_400]))
def test_cells_hold_exactly_the_samples_whose_values_are_in_them(
    seconds: list[list[int]], window: int
) -> None:
    desk = measured(opened(), seconds)
    stream = Page(desk, ["latency_map"], window=window, stage="receive").stream("latency_map")
    found = counted(merged({}, stream), stream["parts"])
    assert found == plain(desk, seconds, stream["parts"], step_of(window))


@settings(max_examples=40, deadline=None)
@given(
    before=SECONDS,
    cuts=st.lists(st.tuples(st.integers(0, 90), SECONDS), min_size=1, max_size=4),
    window=st.sampled_from([300, 3_600, 14_400]),
)
def test_what_comes_since_the_cursor_adds_up_to_the_whole(
    before: list[list[int]], cuts: list[tuple[int, list[list[int]]]], window: int
) -> None:
    desk = measured(opened(), before)
    page, held, at = Page(desk, ["latency_map"], window=window, stage="receive"), {}, len(before)
    held = merged(held, page.stream("latency_map"))
    for silent, more in cuts:
        measured(desk, more, at + silent)
        at += silent + len(more)
        held = merged(held, page.stream("latency_map"))
    whole = Page(desk, ["latency_map"], window=window, stage="receive").stream("latency_map")
    parts = whole["parts"]
    again = page.poll()["streams"]["latency_map"]
    assert again["t"] == []
    if (
        again["parts"] == parts
    ):  # else it is drawn coarser until it is looked at again, at the latest in a minute
        assert counted(held, parts) == counted(merged({}, whole), parts)
    assert sum(sum(counts) for _, *counts in held.values()) == sum(sum(counts) for _, *counts in whole["c"])


def test_only_what_grew_is_sent_and_nothing_while_no_second_closed() -> None:
    desk = measured(opened(), [[40_000]] * 20)
    page = Page(desk, ["latency_map"], window=300, stage="receive")
    first = page.stream("latency_map")
    assert (first["reset"], first["step"], len(first["t"])) == (True, 2, 10)
    assert page.stream("latency_map")["t"] == []
    measured(desk, [[41_000]], 20)
    more = page.stream("latency_map")
    assert (more["reset"], len(more["t"])) == (
        False,
        2,
    )  # the last column is told again, and the one that began
    assert sum(more["c"][-1][1:]) == 1


def test_a_value_far_out_makes_rows_coarser_and_they_become_finer_when_it_has_gone() -> None:
    desk = measured(opened(), [[30_000, 30_500]] * 5)
    page = Page(desk, ["latency_map"], window=60, stage="receive")
    assert page.stream("latency_map")["parts"] == 8
    measured(desk, [[30_000, 20 * 10**9]], 5)
    wide = page.stream("latency_map")
    assert wide["reset"]
    assert wide["parts"] < 8
    assert sum(sum(counts) for _, *counts in wide["c"]) == 12
    measured(desk, [[30_000]] * 5, 130)
    narrow = page.stream("latency_map")
    assert (narrow["reset"], narrow["parts"]) == (True, 8)


def test_when_the_oldest_counts_were_overwritten_it_says_since_when_they_are_whole() -> None:
    desk = opened()
    measured(desk, [[1_000]])
    stage = stage_of(desk)
    every = MIDPOINT_NS[[bucket_of(edge) for edge in edges_ns(8)[1:-1]]]  # each eighth of an octave there is
    for second in range(1, 400):  # the ring holds 268 such seconds
        stage.record(START + second * SECOND_NS, every)
    desk.at(400.1)
    stream = Page(desk, ["latency_map"], window=900, stage="receive").stream("latency_map")
    assert stream["from"] is not None
    assert stream["from"] > stream["keep"]
    assert stream["t"][0] <= stream["from"] < stream["t"][0] + stream["step"] * 1_000


def test_a_quarter_of_an_hour_of_530_buckets_a_second_is_whole() -> None:
    desk = opened()
    stage = stage_of(desk)
    for second in range(960):  # over nine octaves
        stage.record(START + second * SECOND_NS, MIDPOINT_NS[1_000:1_530])
    desk.at(960.1)
    stage.advance(desk.now)
    assert stage.buckets.head == 960 * 530  # of which some two minutes are held
    for window, step in ((60, 1), (300, 2), (900, 5)):
        page = Page(
            desk,
            ["latency_map", "distribution"],
            window=window,
            stage="receive",
            slo=str(MIDPOINT_NS[1_500] / 1e3),
        )
        streams = page.poll()["streams"]
        stream, told = streams["latency_map"], streams["latency_map"]["slo"]
        assert (stream["from"], stream["step"], stream["parts"]) == (None, step, 4)
        assert [at - stream["t"][0] for at in stream["t"]] == [
            k * step * 1_000 for k in range(window // step)
        ]
        assert [sum(counts) for _, *counts in stream["c"]] == [530 * step] * (window // step)
        assert stream["t"][0] * 1_000_000 == START + (960 - window) * SECOND_NS
        # Figures of buckets reach as far, by whole half-minutes where seconds do not.
        assert (told["of"], streams["distribution"]["n"]) == (530 * window, 530 * window)
        assert (told["n"], told["unsure"]) == (29 * window, window)
        assert told["worst"]["s"] == (1 if window == 60 else 30)
        assert ("half-minute" in streams["distribution"]["note"]) == (window > 60)


def test_an_hour_and_four_are_told_to_their_beginning_though_seconds_are_kept_for_15_minutes() -> None:
    desk, stage = opened(), None
    stage = stage_of(desk)
    for second in range(0, 14_400, 10):  # 100 buckets each time: seconds go back no further than 109 minutes
        stage.record(START + second * SECOND_NS, MIDPOINT_NS[1_000:1_100])
    desk.at(14_400.1)
    stage.advance(desk.now)
    assert stage.buckets.head > stage.buckets.capacity
    for window, step in ((3_600, 30), (14_400, 120)):
        page = Page(desk, ["latency_map"], window=window, stage="receive", slo=str(MIDPOINT_NS[1_050] / 1e3))
        stream = page.stream("latency_map")
        assert (stream["step"], stream["from"], len(stream["t"])) == (step, None, window // step)
        assert sum(sum(counts) for _, *counts in stream["c"]) == window // 10 * 100 == stream["slo"]["of"]
        assert (stream["slo"]["n"], stream["slo"]["unsure"]) == (window // 10 * 49, window // 10)
        assert stream["slo"]["worst"] == {"t": stream["t"][0], "s": 30, "n": 147, "of": 300}


@pytest.mark.parametrize("parts", PARTS)
def test_rows_are_whole_buckets(parts: int) -> None:
    edges = edges_ns(parts)
    assert set(edges[1:-1]) <= set(LOWER_NS.tolist())
    rows = row_of(parts)
    for bucket in range(BUCKETS):
        assert edges[rows[bucket]] <= LOWER_NS[bucket] < edges[rows[bucket] + 1]


@given(st.integers(0, BUCKETS - 1), st.integers(0, BUCKETS - 1))
def test_the_finest_rows_that_fit_are_taken(one: int, other: int) -> None:
    low, high = sorted((one, other))
    parts = parts_for(low, high)
    needed = {each: row_of(each)[high] - row_of(each)[low] + 1 for each in PARTS}
    assert needed[parts] <= ROWS_MAX
    assert all(needed[finer] > ROWS_MAX for finer in PARTS if finer > parts)


@pytest.mark.parametrize("window", WINDOWS_S)
def test_there_are_never_too_many_columns(window: int) -> None:
    assert window <= step_of(window) * COLUMNS_MAX
    assert step_of(window) in STEPS_S


# --- the threshold ----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seconds=SECONDS, slo_ns=st.integers(1, 60 * 10**9) | st.integers(10_000, 90_000))
def test_samples_above_a_threshold_are_exact_but_for_the_bucket_it_divides(
    seconds: list[list[int]], slo_ns: int
) -> None:
    desk = measured(opened(), seconds)
    told = Page(desk, ["latency_map"], window=60, stage="receive", slo=str(slo_ns / 1_000)).stream(
        "latency_map"
    )["slo"]
    values = np.array([value for second in seconds for value in second], np.int64)
    true = int((values > slo_ns).sum())
    assert told["of"] == len(values)
    assert told["n"] <= true <= told["n"] + told["unsure"]
    near = sum(bucket_of(value) == bucket_of(slo_ns) for value in values.tolist())
    assert told["unsure"] <= near
    if slo_ns < 128:  # a bucket a nanosecond
        assert told["unsure"] == 0
    shares = [
        sum(LOWER_NS[bucket_of(value)] > slo_ns for value in second) / len(second)
        for second in seconds
        if second
    ]
    if told["worst"] is None:
        assert not any(shares)
    else:
        assert told["worst"]["n"] / told["worst"]["of"] == pytest.approx(max(shares))
        place = (told["worst"]["t"] * 1_000_000 - START) // SECOND_NS
        assert len(seconds[place]) == told["worst"]["of"]


def test_the_bucket_a_threshold_divides_is_as_narrow_as_is_said() -> None:
    for slo_ns in (200, 18_400, 100_000_000, 7 * 10**9):
        bucket = bucket_of(slo_ns)
        assert LOWER_NS[bucket + 1] - LOWER_NS[bucket] <= slo_ns / 64


def test_a_threshold_that_is_changed_is_told_at_once_and_none_is_none() -> None:
    desk = measured(opened(), [[40_000, 50_000_000]] * 3)
    page = Page(desk, ["latency_map"], window=60, stage="receive")
    assert page.stream("latency_map")["slo"] is None
    changed = page.stream("latency_map", slo="1000")
    assert changed["t"] == []
    assert (changed["slo"]["n"], changed["slo"]["of"]) == (3, 6)
    assert "slo" not in page.stream("latency_map")


@pytest.mark.parametrize(
    ("given", "ns"),
    [("100", 100_000), ("0.5", 500), (1500, 1_500_000), ("", 0), ("x", 0), ("-4", 0), ("nan", 0), ("1e99", 0),
     (None, 0), ([], 0), (True, 1_000)],
)  # fmt: skip
def test_a_threshold_is_read_or_none(given: object, ns: int) -> None:
    assert threshold_ns(given) == ns


# --- percentiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "step"), [(60, 1), (300, 2), (900, 5), (3_600, 10)])
def test_percentile_lines_are_of_wider_buckets_over_longer_windows(window: int, step: int) -> None:
    desk = measured(opened(), [[1_000 * second + 1_000] * 3 for second in range(45)])
    stream = Page(desk, ["latency"], window=window, stage="receive").stream("latency")
    assert stream["step"] == step
    assert stream["t"] == [START // 1_000_000 + k * step * 1_000 for k in range(len(stream["t"]))]
    over = 45 // step if step < 10 else 4  # the last of 10 s is told with the next
    assert stream["count"] == [3 * step] * over
    assert stream["max"] == pytest.approx([step * (k + 1) for k in range(over)], rel=0.01)


@pytest.mark.parametrize(
    ("samples", "known"),
    [(1, 1), (9, 1), (10, 2), (19, 2), (20, 3), (99, 3), (100, 4), (999, 4), (1_000, 5)],
)
def test_no_percentile_is_told_of_fewer_samples_than_one_above_it_takes(samples: int, known: int) -> None:
    desk = measured(opened(), [[40_000] * samples])
    page = Page(desk, ["latency", "stages"], window=60, stage="receive")
    streams = page.poll()["streams"]
    row = next(row for row in streams["stages"]["rows"] if row["stage"] == "receive")
    for place, name in enumerate(("p50", "p90", "p95", "p99", "p999")):
        assert (streams["latency"][name][0] is not None) == (row[name] is not None) == (place < known)
    assert streams["latency"]["max"] == [pytest.approx(40, rel=0.01)]


# --- beside it --------------------------------------------------------------------------------------------------


def test_the_distribution_is_seen_beside_the_last_minute_and_that_beside_all_that_is_kept() -> None:
    desk = measured(opened(), [[40_000]] * 30)
    measured(desk, [[90_000_000]] * 10, 100)
    for window, word, samples in ((300, "last minute", 10), (60, "all kept", 40)):
        other = Page(desk, ["distribution"], window=window, stage="receive").stream("distribution")["other"]
        assert (other["word"], other["n"]) == (word, samples)
        assert other["us"][-1] == pytest.approx(90_000, rel=0.01)


# --- CSV --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [60, 3_600])
def test_the_csv_is_what_was_drawn_though_time_went_on(window: int) -> None:
    desk = measured(opened(), [[40_000, 41_000, 300_000], [45_000], [], [90_000]])
    page = Page(desk, ["latency_map"], window=window, stage="receive")
    answer = page.poll()
    drawn = answer["streams"]["latency_map"]
    measured(desk, [[70_000]] * 39, 4)
    request = {"chart": "latency_map", "view": answer["v"], "client": "tab", "part": str(drawn["parts"])}
    name, text = page.transport.export(request)
    rows = list(csv.DictReader(io.StringIO(text)))
    found = {(int(r["epoch_ms"]), int(r["from_ns"]), int(r["below_ns"])): int(r["samples"]) for r in rows}
    assert found == counted(merged({}, drawn), drawn["parts"])
    if window == 60:
        assert [float(r["share_of_column"]) for r in rows] == pytest.approx([*([1 / 3] * 3), 1, 1])
    assert {r["stage"] for r in rows} == {"receive"}
    assert rows[0]["time_utc"].endswith("Z")
    assert f"latency_map-receive_{window}s" in name
    seen = drawn["t"][0] + 999
    _, part = page.transport.export(request | {"range": [drawn["t"][0] - 10, seen]})
    assert {int(r["epoch_ms"]) for r in csv.DictReader(io.StringIO(part))} == {drawn["t"][0]}


def test_without_a_source_there_is_an_empty_map() -> None:
    page = Page(busy(2), ["latency_map"], hidden=["binance_spot:replay"], slo="5")
    stream = page.stream("latency_map")
    assert (stream["t"], stream["c"]) == ([], [])
