"""The engine's thread: one asyncio loop, supervised tasks, a bounded command queue, a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from engine.errors import BadCommand
from engine.telemetry.board import QueueView, TaskView

log = structlog.get_logger(__name__)

COMMANDS_MAX: Final = 1_000
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_CAP_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0
STOP_TIMEOUT_S: Final = (
    8.5  # longer than a journal may take to write what waits, below the 10 s a process has
)

TaskState = Literal["running", "backing off", "ended", "failed"]
Factory = Callable[[], Coroutine[Any, Any, None]]
Report = Callable[[str, str], None]  # what happened to which task, as (task, sentence)


def backoff_s(failures: int) -> float:
    """Seconds before restart number `failures` (from 1): doubling from 0.1 to 10."""
    return float(min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** min(failures - 1, 20)))


@dataclass(slots=True)
class _Task:
    name: str
    state: TaskState = "running"
    restarts: int = 0
    error: str = ""
    since_ns: int = 0


class Runtime:
    """One daemon thread with its own event loop (uvloop where present).

    `start()` returns once the loop runs; `stop()` cancels every task and joins, within 9 s. Tasks given to
    `supervise` are restarted with backoff when they raise; each restart is counted, logged and reported.
    `submit` may be called from any thread; everything else from the loop's own.
    """

    def __init__(self, report: Report | None = None) -> None:
        self._report = report or (lambda _task, _sentence: None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: dict[str, _Task] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lock = threading.Lock()
        self._waiting = 0
        self._peak = 0
        self._refused = 0

    def start(self, main: Factory) -> None:
        """Start the thread and supervise `main` as the first task, which starts the others."""
        if self._thread is not None:
            raise RuntimeError("the engine's thread was started before")
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(main, ready), name="engine", daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> bool:
        """Cancel every task, end the loop, join the thread; False when it did not end in time."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return True
        with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
            loop.call_soon_threadsafe(self._cancel)
        thread.join(STOP_TIMEOUT_S)
        return not thread.is_alive()

    def submit(self, command: Callable[[], Any]) -> Future[Any]:
        """Run `command()` on the loop's thread; -> its result, awaited if need be. BadCommand when 1,000 wait."""
        loop = self._loop
        if loop is None or loop.is_closed():
            raise BadCommand("the engine is not running")
        with self._lock:
            if self._waiting >= COMMANDS_MAX:
                self._refused += 1
                raise BadCommand(f"the engine has {COMMANDS_MAX:,} commands waiting; try again")
            self._waiting += 1
            self._peak = max(self._peak, self._waiting)
        done: Future[Any] = Future()
        try:
            loop.call_soon_threadsafe(self._execute, command, done)
        except RuntimeError as error:  # the loop closed since we looked
            with self._lock:
                self._waiting -= 1
            raise BadCommand("the engine is not running") from error
        return done

    def supervise(
        self,
        name: str,
        factory: Factory,
        *,
        restart: bool = True,
        final: tuple[type[Exception], ...] = (),
    ) -> None:
        """Run `factory()` as the task `name`; a raise restarts it with backoff, unless it is one of `final`.

        One of that name that is running is cancelled first, and has ended before the new one begins.
        """
        before = self.cancel(name)
        self._tasks[name] = _Task(name, since_ns=time.time_ns())
        self._running[name] = asyncio.get_running_loop().create_task(
            self._supervised(self._tasks[name], factory, final if restart else (Exception,), before),
            name=name,
        )

    def cancel(self, name: str) -> asyncio.Task[None] | None:
        """End the task `name`, if there is one; it vanishes from the list, and is returned to be awaited."""
        self._tasks.pop(name, None)
        running = self._running.pop(name, None)
        if running is not None:
            running.cancel()
        return running

    def tasks(self) -> tuple[TaskView, ...]:
        """Every supervised task, in order of starting."""
        return tuple(TaskView(t.name, t.state, t.restarts, t.error, t.since_ns) for t in self._tasks.values())

    def queue(self) -> QueueView:
        """The command queue's fill."""
        with self._lock:
            return QueueView("commands", self._waiting, self._peak, COMMANDS_MAX, self._refused)

    def _execute(self, command: Callable[[], Any], done: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = command()
        except Exception as error:  # noqa: BLE001  it is handed to whoever asked
            done.set_exception(error)
            return
        if asyncio.iscoroutine(result):
            _hand_on(asyncio.ensure_future(result), done)
        else:
            done.set_result(result)

    async def _supervised(
        self,
        task: _Task,
        factory: Factory,
        final: tuple[type[Exception], ...],
        before: asyncio.Task[None] | None,
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        failures = 0  # in a row: they decide the backoff; `restarts` counts all
        while True:
            started = time.monotonic()
            try:
                await factory()
            except Exception as error:
                if time.monotonic() - started > HEALTHY_AFTER_S:
                    failures = 0
                task.error = f"{type(error).__name__}: {error}"
                log.error("task failed", task=task.name, restarts=task.restarts, exc_info=error)
                ends = isinstance(error, final)
                self._set(task, "failed" if ends else "backing off")
                self._report(task.name, task.error)
                if ends:
                    return
                task.restarts += 1
                failures += 1
                await asyncio.sleep(backoff_s(failures))
                self._set(task, "running")
            else:
                self._set(task, "ended")
                return

    @staticmethod
    def _set(task: _Task, state: TaskState) -> None:
        task.state, task.since_ns = state, time.time_ns()

    def _cancel(self) -> None:
        for running in self._running.values():
            running.cancel()

    def _run(self, main: Factory, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(self._main(main, ready))

    async def _main(self, main: Factory, ready: threading.Event) -> None:
        self.supervise("start", main)
        ready.set()
        # Tasks may start others, so wait until none is left rather than for a fixed set.
        while pending := [task for task in self._running.values() if not task.done()]:
            await asyncio.wait(pending)


def _hand_on(running: asyncio.Future[Any], done: Future[Any]) -> None:
    """Give `done` what comes of `running`."""

    def ended(_: asyncio.Future[Any]) -> None:
        if running.cancelled():
            done.set_exception(BadCommand("the engine is not running"))
        elif (error := running.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(running.result())

    running.add_done_callback(ended)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def watch_lag(period_s: float, note: Callable[[int], None]) -> None:
    """Measure for ever how late the loop wakes: every `period_s`, `note(lag_ns)`."""
    period_ns = int(period_s * 1e9)
    due = time.monotonic_ns() + period_ns
    while True:
        await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        now = time.monotonic_ns()
        note(max(0, now - due))
        # The next due time stays on the grid, so one long stall counts as one, not as many.
        due = max(due + period_ns, now + period_ns // 2)


async def every(period_s: float, step: Callable[[], Awaitable[None] | None]) -> None:
    """Call `step()` each `period_s` on a fixed grid; periods missed in a stall are left out."""
    due = time.monotonic()
    while True:
        outcome = step()
        if outcome is not None:
            await outcome
        due = max(due + period_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
