"""The engine's thread: supervision, commands from other threads, a stop that ends in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from engine.errors import BadCommand
from engine.runtime import BACKOFF_CAP_S, COMMANDS_MAX, Runtime, backoff_s, every, watch_lag


async def forever() -> None:
    await asyncio.Event().wait()


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    assert made.stop()


def test_a_failing_task_is_restarted_counted_and_reported() -> None:
    reports: list[tuple[str, str]] = []
    runs: list[float] = []

    async def fails_twice() -> None:
        runs.append(time.monotonic())
        if len(runs) < 3:
            raise ValueError("no luck")
        await forever()

    runtime = Runtime(lambda task, sentence: reports.append((task, sentence)))
    runtime.start(fails_twice)
    until(lambda: len(runs) == 3)
    (task,) = runtime.tasks()
    assert (task.state, task.restarts, task.error) == ("running", 2, "ValueError: no luck")
    assert reports == [("start", "ValueError: no luck")] * 2
    assert runs[1] - runs[0] >= 0.09
    assert runs[2] - runs[1] >= 0.19
    assert runtime.stop()


def test_a_task_is_not_restarted_after_what_is_final(runtime: Runtime) -> None:
    errors = [ValueError("again"), KeyError("no more")]

    async def fails() -> None:
        raise errors.pop(0)

    async def main() -> None:
        runtime.supervise("fragile", fails, final=(LookupError,))

    runtime.start(main)
    until(lambda: any(task.state == "failed" for task in runtime.tasks()))
    task = next(task for task in runtime.tasks() if task.name == "fragile")
    assert (task.restarts, task.error, errors) == (1, "KeyError: 'no more'", [])


def test_a_task_that_shall_not_restart_stays_failed(runtime: Runtime) -> None:
    async def fails() -> None:
        raise RuntimeError("once")

    async def main() -> None:
        runtime.supervise("fragile", fails, restart=False)
        await forever()

    runtime.start(main)
    until(lambda: any(t.state == "failed" for t in runtime.tasks()))
    assert {t.name: t.state for t in runtime.tasks()} == {"start": "running", "fragile": "failed"}


def test_backoff_doubles_to_its_cap() -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert backoff_s(10**6) == BACKOFF_CAP_S


def test_commands_run_on_the_engines_thread_in_order(runtime: Runtime) -> None:
    runtime.start(forever)
    seen: list[int] = []
    names: set[str] = set()

    def command(number: int) -> int:
        seen.append(number)
        names.add(threading.current_thread().name)
        return number * 2

    futures = [runtime.submit(lambda number=number: command(number)) for number in range(100)]
    assert [future.result(2) for future in futures] == [2 * number for number in range(100)]
    assert seen == list(range(100))
    assert names == {"engine"}


def test_a_commands_error_reaches_who_asked_and_nobody_else(runtime: Runtime) -> None:
    runtime.start(forever)

    def bad() -> None:
        raise BadCommand("no such thing")

    with pytest.raises(BadCommand, match="no such thing"):
        runtime.submit(bad).result(2)
    assert runtime.submit(lambda: 7).result(2) == 7


def test_a_full_command_queue_refuses_and_counts(runtime: Runtime) -> None:
    runtime.start(forever)
    gate = threading.Event()
    runtime.submit(gate.wait)
    until(lambda: runtime.queue().depth == 0)
    futures = [runtime.submit(lambda: None) for _ in range(COMMANDS_MAX)]
    with pytest.raises(BadCommand, match="1,000 commands waiting"):
        runtime.submit(lambda: None)
    gate.set()
    for future in futures:
        future.result(5)
    queue = runtime.queue()
    assert (queue.depth, queue.peak, queue.dropped) == (0, COMMANDS_MAX, 1)


def test_a_command_to_a_stopped_engine_is_refused() -> None:
    runtime = Runtime()
    runtime.start(forever)
    assert runtime.stop()
    with pytest.raises(BadCommand, match="not running"):
        runtime.submit(lambda: None)


def test_stop_cancels_tasks_and_lets_them_clean_up() -> None:
    cleaned = threading.Event()

    async def holds() -> None:
        try:
            await forever()
        finally:
            cleaned.set()

    runtime = Runtime()
    runtime.start(holds)
    started = time.monotonic()
    assert runtime.stop()
    assert time.monotonic() - started < 5
    assert cleaned.is_set()
    assert not any(thread.name == "engine" for thread in threading.enumerate())


def test_a_task_of_the_same_name_replaces_the_former(runtime: Runtime) -> None:
    ended: list[str] = []

    def named(name: str) -> Callable[[], object]:
        async def run() -> None:
            try:
                await forever()
            finally:
                ended.append(name)

        return run

    runtime.start(forever)
    runtime.submit(lambda: runtime.supervise("feed", named("first"))).result(2)
    until(lambda: len(runtime.tasks()) == 2)
    runtime.submit(lambda: runtime.supervise("feed", named("second"))).result(2)
    assert len(runtime.tasks()) == 2
    assert "second" not in ended


def test_lag_is_what_the_loop_was_late() -> None:
    lags: list[int] = []

    async def main() -> None:
        watcher = asyncio.create_task(watch_lag(0.01, lags.append))
        await asyncio.sleep(0.1)
        time.sleep(0.15)  # a stall, on purpose
        await asyncio.sleep(0.1)
        watcher.cancel()

    asyncio.run(main())
    assert max(lags) > 100_000_000
    assert sum(lag > 50_000_000 for lag in lags) == 1


def test_every_keeps_its_grid_and_leaves_out_what_a_stall_missed() -> None:
    calls: list[float] = []

    def step() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            time.sleep(0.2)  # a stall, on purpose

    async def main() -> None:
        task = asyncio.create_task(every(0.02, step))
        await asyncio.sleep(0.4)
        task.cancel()

    asyncio.run(main())
    assert 5 <= len(calls) <= 14
