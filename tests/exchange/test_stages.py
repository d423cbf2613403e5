"""Stamps of each stage of an order, as they reach the histograms."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.exchange import stages as module
from engine.exchange.stages import STAGES, Stages
from engine.telemetry.hub import Telemetry
from tests.exchange.running import RunningExchange
from tests.exchange.test_doors import logged_in

NOW_NS = 1_795_000_000 * 10**9


class Recorded:
    """Telemetry that only notes what is recorded."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = {}

    def stage(self, source: str, stage: str) -> Any:
        assert source == "exchange"
        rows = self.rows.setdefault(stage, [])

        class Stage:
            def record(self, now_ns: int, values: Any) -> None:
                assert now_ns == NOW_NS
                rows.extend(values.tolist())

        return Stage()


class Clock:
    """Says what a test lets it."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def batch(
    stages: Stages, clock: Clock, messages: list[tuple[int, int]], began: int, matched: int, told: int
) -> None:
    for started, queued in messages:
        clock.now = queued
        stages.decoded(started)
    stages.taken()
    clock.now = told
    stages.drained(began, matched, max(1, len(messages)))


def test_each_message_of_a_batch_has_its_own_times() -> None:
    clock = Clock()
    stages = Stages(clock)
    batch(stages, clock, [(100, 110), (120, 150)], 200, 260, 300)
    batch(stages, clock, [(400, 405)], 410, 420, 450)
    told = Recorded()
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert tuple(told.rows) == STAGES
    assert told.rows == {
        "socket": [0, 20, 0],
        "decode": [10, 30, 5],
        "wait": [90, 50, 5],
        "match": [60, 60, 10],
        "encode": [20, 20, 30],
        "ack": [200, 200, 50],
    }


def test_nothing_is_recorded_twice_and_what_waits_is_kept() -> None:
    clock = Clock()
    stages = Stages(clock)
    batch(stages, clock, [(1, 2)], 3, 4, 5)
    clock.now = 20
    stages.decoded(10)  # not matched yet
    first, second, third = Recorded(), Recorded(), Recorded()
    stages.record(first, NOW_NS)  # type: ignore[arg-type]
    stages.record(second, NOW_NS)  # type: ignore[arg-type]
    clock.now = 50
    stages.taken()
    stages.drained(30, 40, 1)
    stages.record(third, NOW_NS)  # type: ignore[arg-type]
    assert (first.rows["ack"], second.rows, third.rows["ack"]) == ([4], {}, [40])


def test_batches_of_no_message_are_passed_over() -> None:
    """A page's orders come by no socket."""
    clock = Clock()
    stages = Stages(clock)
    batch(stages, clock, [], 1, 2, 3)
    told = Recorded()
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows == {}
    batch(stages, clock, [], 1, 2, 3)
    batch(stages, clock, [(10, 12)], 13, 14, 15)
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows["ack"] == [5]


def test_what_is_kept_between_two_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 4)
    clock = Clock()
    stages = Stages(clock)
    for at in range(0, 100, 10):
        batch(stages, clock, [(at, at + 1)] * 3, at + 2, at + 3, at + 4)
    told = Recorded()
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows["ack"] == [4, 4, 4]
    batch(stages, clock, [(200, 201)], 202, 203, 204)
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows["ack"] == [4] * 4


def test_the_real_histograms_take_them() -> None:
    telemetry = Telemetry(NOW_NS)
    stages = Stages()
    stages.is_pending = True
    stages.decoded(1)
    stages.taken()
    assert not stages.is_pending
    stages.drained(2, 3, 1)
    stages.record(telemetry, NOW_NS)


@pytest.mark.parametrize("recorded_meanwhile", [False, True])
def test_what_comes_while_a_batch_is_written_belongs_to_the_next(recorded_meanwhile: bool) -> None:
    """With a command log a batch is told only once it is on the disk."""
    clock, told = Clock(), Recorded()
    stages = Stages(clock)
    batch(stages, clock, [(1, 2)], 3, 4, 5)
    clock.now = 110
    stages.decoded(100)
    stages.taken()
    stages.is_pending = True  # by the desk, for the command that comes now
    clock.now = 160
    stages.decoded(150)
    if recorded_meanwhile:
        stages.record(told, NOW_NS)  # type: ignore[arg-type]
    clock.now = 1_000
    stages.drained(120, 130, 1)
    assert stages.is_pending
    stages.taken()
    clock.now = 1_030
    stages.drained(1_010, 1_020, 1)
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows["wait"] == [1, 10, 850]
    assert told.rows["ack"] == [4, 900, 880]


def test_a_burst_that_is_too_long_to_keep_takes_nothing_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    clock, told = Clock(), Recorded()
    stages = Stages(clock)
    for started in (1, 2, 3):
        stages.decoded(started)
    stages.taken()
    clock.now = 10
    stages.decoded(9)  # while the burst is written
    stages.drained(4, 5, 3)
    stages.taken()
    clock.now = 20
    stages.drained(11, 12, 1)
    stages.record(told, NOW_NS)  # type: ignore[arg-type]
    assert told.rows["ack"] == [11]


@pytest.mark.parametrize("way", ["refused by the desk", "matched"])
def test_stamps_are_those_of_the_batch_itself(way: str) -> None:
    """One of refusals alone never comes to the engine, and took the stamps of whichever batch did last."""
    with RunningExchange(rate=50) as exchange:
        with logged_in(exchange, "own") as client:
            order = {"op": "place", "symbol": "BTC-USDT", "side": "buy", "price": "95000.0", "size": "0.001"}
            assert client.say(order | {"client_id": "mine"})["ok"]
            exchange.floor(lambda floor: floor.stages.record(Recorded(), NOW_NS))
            time.sleep(0.5)
            again = {"client_id": "mine"} if way == "refused by the desk" else {}
            assert client.say(order | again)["ok"] == (way == "matched")
        told = Recorded()
        exchange.floor(lambda floor: floor.stages.record(told, NOW_NS))
        for stage in STAGES:
            (value,) = told.rows[stage]
            assert 0 <= value < 400_000_000, stage
