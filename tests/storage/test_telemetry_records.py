"""Telemetry as records and back: the same seconds, the same percentiles, nothing twice and nothing lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.storage.arrow import from_table, to_table
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block, Stream, decode, encode, joined
from engine.storage.telemetry_records import (
    KINDS,
    TEXT_MAX_BYTES,
    Tail,
    count_rows,
    event_rows,
    latency_block,
    latency_rows,
)
from engine.telemetry.events import EventLog
from engine.telemetry.hub import Telemetry
from engine.telemetry.latency import BUCKET, SUMMARY, StageLatency

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
STREAM = Stream("binance_spot", label="Binance Spot")
KEY = "binance_spot:live"


def measured(seconds: Sequence[Sequence[int]], stage: str = "receive") -> StageLatency:
    """A stage that took these values in one second after the other."""
    found = StageLatency(KEY, stage)
    for place, values in enumerate(seconds):
        found.record(START + place * SECOND, np.array(values, np.int64), offset_ns=0)
    found.advance(START + len(seconds) * SECOND)
    return found


def through(block: Block) -> Block:
    """The block as it comes back from the journal."""
    rows, heap = decode(block.kind, encode(block.rows, block.heap))
    return Block(block.kind, block.stream, rows, heap)


def same(a: StageLatency, b: StageLatency) -> None:
    for ours, theirs in zip(a.rings, b.rings, strict=True):
        np.testing.assert_array_equal(ours.since(0).rows, theirs.since(0).rows)


SECONDS = st.lists(st.lists(st.integers(0, 1 << 43), max_size=9), min_size=1, max_size=35)


@given(SECONDS, SECONDS, st.integers(0, 34))
def test_recorded_seconds_make_the_same_rings_again(
    receive: list[list[int]], decoded: list[list[int]], cut: int
) -> None:
    stages = {name: StageLatency(KEY, name) for name in ("receive", "decode")}
    blocks, cursors = [], {}
    for place in range(36):
        for name, values in (("receive", receive), ("decode", decoded)):
            stages[name].record(
                START + place * SECOND, np.array(values[place : place + 1] or [[]], np.int64)[0]
            )
            stages[name].advance(START + (place + 1) * SECOND)
        if place in (cut, 35):
            block, cursors = latency_block(STREAM, stages, cursors, 100 * place)
            blocks += [block, block] if block is not None else []  # a replay may say twice what it said
    again = {name: StageLatency(KEY, name) for name in stages}
    for block in blocks:
        assert block.rows["seq"].tolist() == list(range(block.first_seq, block.first_seq + len(block.rows)))
        for name, seconds, buckets in latency_rows(through(block)):
            again[name].publish_closed(seconds, buckets)
    for name, one in stages.items():
        same(again[name], one)


@given(SECONDS)
def test_a_latency_block_is_the_same_out_of_an_archive_file(values: list[list[int]]) -> None:
    block, _ = latency_block(STREAM, {"receive": measured(values)}, {}, 1)
    if block is None:
        return
    rows, heap = from_table(RecordKind.LATENCY, to_table(joined([block])))
    ours, theirs = next(latency_rows(block)), next(latency_rows(Block(block.kind, STREAM, rows, heap)))
    assert ours[0] == theirs[0]
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[2], theirs[2])


def test_a_long_step_is_published_when_the_next_begins_as_when_it_is_measured() -> None:
    ours = measured([[100 * second + 50] * 3 for second in range(31)])
    block, _ = latency_block(STREAM, {"receive": ours}, {}, 1)
    assert block is not None
    theirs = StageLatency(KEY, "receive")
    for _, seconds, buckets in latency_rows(block):
        for row in seconds:  # second by second, as a replay at 1x hands them over
            theirs.publish_closed(
                seconds[seconds["ts_ns"] == row["ts_ns"]], buckets[buckets["ts_ns"] == row["ts_ns"]]
            )
    assert len(theirs.long) == len(ours.long) == 3
    same(theirs, ours)


def test_each_second_is_recorded_once() -> None:
    telemetry = Telemetry(START)
    stage = telemetry.stage(KEY, "receive")
    stage.record(START - SECOND, np.array([5]))
    stage.advance(START)
    telemetry.counter(KEY).close(START - SECOND)
    tail = Tail(telemetry, STREAM, KEY)
    seqs: list[int] = []
    times: list[int] = []
    counted: list[int] = []
    for second in range(5):
        stage.record(START + second * SECOND, np.array([10, 20]))
        stage.advance(START + (second + 1) * SECOND)
        telemetry.counter(KEY).add(trades=second)
        telemetry.counter(KEY).close(START + second * SECOND)
        for block in tail.blocks(KINDS, len(seqs)):
            seqs += block.rows["seq"].tolist()
            times += block.rows["ts_ns"].tolist() if block.kind is RecordKind.LATENCY else []
            counted += block.rows["trades"].tolist() if block.kind is RecordKind.COUNTERS else []
        assert tail.blocks(KINDS, 99) == []
    assert seqs == list(range(10))
    assert times == [START + second * SECOND for second in range(5)]  # and not the one before it began
    assert counted == [0, 1, 2, 3, 4]
    assert tail.lost == 0


def test_a_source_that_was_opened_again_is_recorded_from_its_new_beginning() -> None:
    telemetry = Telemetry(START)
    for second in range(9):
        telemetry.stage(KEY, "receive").record(START + second * SECOND, np.array([10]))
        telemetry.counter(KEY).close(START + second * SECOND)
    tail = Tail(telemetry, STREAM, KEY)
    telemetry.forget(KEY)
    telemetry.stage(KEY, "receive").record(START + 20 * SECOND, np.array([10]))
    telemetry.stage(KEY, "receive").advance(START + 21 * SECOND)
    telemetry.counter(KEY).close(START + 20 * SECOND)
    latency, counters = tail.blocks(KINDS, 1)
    assert latency.rows["ts_ns"].tolist() == counters.rows["ts_ns"].tolist() == [START + 20 * SECOND]


def test_the_built_in_exchange_is_recorded_with_the_stages_of_its_clients() -> None:
    telemetry = Telemetry(START)
    tails = {key: Tail(telemetry, STREAM, key) for key in ("builtin:sim", KEY)}
    for source, stage in (("builtin:sim", "ack"), ("exchange", "ack"), ("exchange", "socket")):
        telemetry.stage(source, stage).record_one(START, 10)
        telemetry.stage(source, stage).advance(START + SECOND)
    (block,) = tails["builtin:sim"].blocks(KINDS, 1)
    assert block.rows["stage"].tolist() == [b"ack", b"client.ack", b"client.socket"]
    assert tails[KEY].blocks(KINDS, 1) == []


def test_seconds_nobody_took_in_time_are_counted_as_lost() -> None:
    telemetry = Telemetry(START)
    stage = telemetry.stage(KEY, "receive")
    tail = Tail(telemetry, STREAM, KEY)
    for second in range(1_100):
        stage.record_one(START + second * SECOND, 10)
    stage.advance(START + 2_000 * SECOND)
    (block,) = tail.blocks(KINDS, 1)
    assert len(block.rows) == stage.seconds.capacity
    assert tail.lost == 1_100 - stage.seconds.capacity


def test_events_of_a_source_are_recorded_with_their_sentence_and_those_of_others_are_not() -> None:
    telemetry = Telemetry(START)
    telemetry.events.add(START, "info", KEY, "open", "before it began")
    tail = Tail(telemetry, STREAM, KEY)
    long = "\N{EURO SIGN}" * 1_000
    telemetry.events.add(START + 1, "warn", KEY, "gap", "BTC-USDT: sequence gap")
    telemetry.events.add(START + 2, "info", "bybit_spot:live", "open", "somebody else")
    telemetry.events.add(START + 3, "error", "binance_spot", "ban", long)
    (block,) = tail.blocks([RecordKind.EVENTS], 7)
    assert block.rows["seq"].tolist() == [7, 8]
    first, second = event_rows(through(block))
    assert first == (START + 1, "warn", "gap", "BTC-USDT: sequence gap")
    assert second[:3] == (START + 3, "error", "ban")
    assert second[3][:600] == long[:600]
    assert len(block.heap) <= len(first[3]) + TEXT_MAX_BYTES
    assert tail.blocks([RecordKind.EVENTS], 9) == []
    telemetry.events.add(START + 4, "info", "", "kernels", "of nobody")
    assert tail.blocks([RecordKind.EVENTS], 9) == []


def test_an_event_log_that_ran_over_gives_what_is_left_of_it() -> None:
    telemetry = Telemetry(START)
    telemetry.events = EventLog(capacity=10)
    tail = Tail(telemetry, STREAM, KEY)
    for number in range(25):
        telemetry.events.add(START + number, "info", KEY, "x", str(number))
    (block,) = tail.blocks(KINDS, 1)
    assert [text for *_, text in event_rows(block)] == [str(number) for number in range(15, 25)]


def test_counters_come_back_as_they_were() -> None:
    telemetry = Telemetry(START)
    counters = telemetry.counter(KEY)
    tail = Tail(telemetry, STREAM, KEY)
    counters.add(messages=7, trades=3, size_bytes=900, gaps=1)
    counters.close(START)
    (block,) = tail.blocks([RecordKind.COUNTERS], 1)
    np.testing.assert_array_equal(count_rows(through(block)), counters.ring.since(0).rows)


@pytest.mark.parametrize(
    ("field", "value"), [("at", -8), ("at", 1 << 40), ("buckets", 1 << 30), ("buckets", -1)]
)
def test_a_row_whose_heap_is_not_there_has_no_buckets(field: str, value: int) -> None:
    block, _ = latency_block(STREAM, {"receive": measured([[10, 20], [30]])}, {}, 1)
    assert block is not None
    rows = block.rows.copy()
    rows[field][1] = value
    ((_, seconds, buckets),) = latency_rows(Block(block.kind, STREAM, rows, block.heap))
    assert len(seconds) == 2
    assert set(buckets["ts_ns"].tolist()) == {START}
    stage = StageLatency(KEY, "receive")
    stage.publish_closed(seconds, buckets)
    assert len(stage.seconds) == 2


def test_buckets_that_no_histogram_has_are_left_out() -> None:
    rows = np.zeros(1, DTYPES[RecordKind.LATENCY])
    rows["stage"], rows["ts_ns"], rows["count"], rows["buckets"] = b"receive", START, 3, 3
    heap = np.array([[-1, 1], [1 << 30, 1], [5, 1]], np.int32).tobytes()
    ((_, seconds, buckets),) = latency_rows(Block(RecordKind.LATENCY, STREAM, rows, heap))
    assert buckets.tolist() == [(START, 5, 1)]
    StageLatency(KEY, "receive").publish_closed(seconds, buckets)


def test_publishing_no_seconds_changes_nothing() -> None:
    stage = StageLatency(KEY, "receive")
    stage.publish_closed(np.empty(0, SUMMARY), np.empty(0, BUCKET))
    assert not any(ring.head for ring in stage.rings)


@pytest.mark.nightly
def test_a_second_of_a_source_is_recorded_in_less_than_a_millisecond() -> None:
    telemetry = Telemetry(START)
    rng = np.random.default_rng(1)
    names = ("ack", "match", "sequence", "publish", "turn", "batch")
    tail = Tail(telemetry, STREAM, KEY, frozenset((KEY, "binance_spot")))
    took: list[float] = []
    for second in range(200):
        for name in names:
            telemetry.stage(KEY, name).record(START + second * SECOND, rng.integers(100, 10**9, 2_000))
            telemetry.stage(KEY, name).advance(START + (second + 1) * SECOND)
        telemetry.counter(KEY).close(START + second * SECOND)
        telemetry.events.add(START, "info", KEY, "state", "a sentence")
        began = time.perf_counter()
        assert len(tail.blocks(KINDS, 1)) == 3
        took.append(time.perf_counter() - began)
    assert np.median(took) < 1e-3
