"""Calls on several threads: their results in order, and the first one's exception once all have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from engine.workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    before = threading.active_count()
    workers = Workers(3)
    assert threading.active_count() == before + 3
    yield workers
    assert workers.close()
    assert threading.active_count() == before


def test_results_come_in_the_order_of_the_calls(workers: Workers) -> None:
    for count in range(1, 5):
        assert workers.run([partial(pow, at, 2) for at in range(count)]) == [at * at for at in range(count)]


def test_calls_run_at_the_same_time_and_the_last_on_the_callers_thread(workers: Workers) -> None:
    together = threading.Barrier(4, timeout=5)

    def call() -> str:
        together.wait()
        return threading.current_thread().name

    *others, own = workers.run([call] * 4)
    assert own == threading.current_thread().name
    assert len({*others, own}) == 4


@pytest.mark.parametrize("failing", [[0], [1], [2], [0, 2], [1, 2]])
def test_the_first_exception_is_raised_once_all_calls_have_ended(
    workers: Workers, failing: list[int]
) -> None:
    ended = []

    def call(number: int) -> None:
        ended.append(number)
        if number in failing:
            raise ValueError(number)

    with pytest.raises(ValueError, match=str(failing[0])):
        workers.run([partial(call, number) for number in range(3)])
    assert sorted(ended) == [0, 1, 2]
    assert workers.run([lambda: 7]) == [7]  # it goes on


def test_without_threads_a_call_runs_here() -> None:
    workers = Workers(0)
    assert workers.run([threading.current_thread]) == [threading.current_thread()]
    with pytest.raises(AssertionError):
        workers.run([threading.current_thread] * 2)
    assert workers.close()
