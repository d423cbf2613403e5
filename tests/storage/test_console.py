"""A recording without a page: when its source is given up, and what a line of it counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.storage import console
from engine.storage.console import RESTARTS_MOST, SILENT_S, Watch, follow
from engine.storage.views import GapView, RecordingView, StorageView
from engine.telemetry.board import Board, TaskView
from engine.telemetry.hub import Telemetry
from tests.engine.markets import SPOT, START, Desk

NOW_S = 1_000.0
TASK = TaskView("live venues", "running", 0, "", 0)


def board() -> tuple[Desk, Board]:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)])
    desk.intake.publish()
    return desk, desk.telemetry.board


def test_a_source_that_says_something_now_and_then_is_waited_for() -> None:
    desk, shown = board()
    watch = Watch(SPOT.venue)
    for second in range(0, 600, 50):
        desk.at(second).delta([(100, 1 + second)], [])
        desk.intake.publish()
        assert watch.look(shown, NOW_S + second) == ""


def test_one_that_is_silent_for_a_minute_is_given_up() -> None:
    _, shown = board()
    watch = Watch(SPOT.venue)
    assert watch.look(shown, NOW_S) == ""
    assert watch.look(shown, NOW_S + SILENT_S) == ""
    shown.tasks = (replace(TASK, error="KeyError: 'x'"),)
    assert watch.look(shown, NOW_S + SILENT_S + 1) == "for 60 s; KeyError: 'x'"


def test_one_that_is_being_connected_again_is_waited_for() -> None:
    _, shown = board()
    watch = Watch(SPOT.venue)
    assert watch.look(shown, NOW_S) == ""
    (source,) = shown.sources
    shown.sources = (replace(source, state="reconnecting"),)
    assert watch.look(shown, NOW_S + 1_000) == ""


def test_one_whose_task_fails_again_and_again_is_given_up_though_it_says_something_each_time() -> None:
    desk, shown = board()
    watch = Watch(SPOT.venue)
    for restarts in range(RESTARTS_MOST):
        desk.at(restarts).delta([(100, 1 + restarts)], [])
        desk.intake.publish()
        shown.tasks = (replace(TASK, restarts=restarts, error="ValueError: no"),)
        assert watch.look(shown, NOW_S + restarts) == ""
    shown.tasks = (replace(TASK, restarts=RESTARTS_MOST, error="ValueError: no"),)
    assert watch.look(shown, NOW_S + 20) == "ValueError: no"


def test_a_failure_a_day_ends_nothing() -> None:
    desk, shown = board()
    watch = Watch(SPOT.venue)
    for restarts in range(20):
        desk.at(restarts).delta([(100, 1 + restarts)], [])
        desk.intake.publish()
        shown.tasks = (replace(TASK, restarts=restarts, error="ValueError: no"),)
        assert watch.look(shown, NOW_S + 86_400 * restarts) == ""


def test_the_command_says_why_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry(START)
    telemetry.board.engine = replace(telemetry.board.engine, state="running")
    telemetry.board.tasks = (TaskView("built-in exchange", "failed", 0, "StorageError: the disk is full", 0),)
    assert asyncio.run(follow(telemetry, "builtin", (), 0, asyncio.Event())) == 1
    assert (
        capsys.readouterr().err == "venuescope: nothing arrives of builtin: StorageError: the disk is full\n"
    )


def test_a_line_counts_the_gaps_of_its_own_session() -> None:
    recording = RecordingView("builtin", ("BTC-USDT",), ("book",), START, 5, 5.0, 100, "recording", "")
    gaps = tuple(
        GapView("builtin", "BTC-USDT", "book", START + from_s, START + from_s + 5, "", "open", 0)
        for from_s in (-100, -1, 2)
    )
    line = console._line(StorageView(recordings=(recording,), gaps=gaps), "builtin", 1.0)
    assert line.endswith("gaps 1")
