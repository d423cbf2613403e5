"""Group commit: one thread makes appended data durable, all that has come at once, and wakes who waits for it.

There is no waiting to collect: a sync starts as soon as there is something to sync, and what is appended
meanwhile goes with the next. With a pace, a sync starts so long after the first unsynced append, or at once
when somebody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Final

from engine.errors import StorageError

JOIN_TIMEOUT_S: Final = 8.0  # below the 10 s a process has to end

_Waiter = tuple[int, int, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class GroupCommit:
    """Calls `sync()` on a thread of its own, never two at once; all appended before a call is durable after it.

    A position is a sequence: everything below it is appended, or durable. Any exception of `sync` is final:
    whether the data reached the disk is not known then, and a second try could succeed without writing it.
    """

    def __init__(self, sync: Callable[[], None], sequence: int, pace_s: float = 0.0) -> None:
        self._sync, self._pace_s = sync, pace_s
        self._lock = threading.Lock()
        self._work, self._done = threading.Condition(self._lock), threading.Condition(self._lock)
        self._syncing = threading.Lock()
        self._appended = self._durable = sequence
        self._appended_bytes = self._durable_bytes = 0
        self._hurry = self._closing = self._ended = False
        self._failure: Exception | None = None
        self._waiting: list[_Waiter] = []  # a heap by sequence
        self._count = itertools.count()
        self.syncs = 0
        self._thread = threading.Thread(target=self._run, name="group commit", daemon=True)
        self._thread.start()

    @property
    def durable(self) -> int:
        """Everything below this sequence is durable."""
        return self._durable

    @property
    def backlog_bytes(self) -> int:
        """How much is appended and not known to be durable."""
        return self._appended_bytes - self._durable_bytes

    @property
    def failure(self) -> Exception | None:
        """Why nothing more becomes durable; None while all is well."""
        return self._failure

    def advance(self, sequence: int, size_bytes: int) -> None:
        """Everything below `sequence` is appended now, `size_bytes` more than before."""
        with self._lock:
            idle = self._appended == self._durable
            self._appended = sequence
            self._appended_bytes += size_bytes
            if idle:  # otherwise the thread looks again by itself
                self._work.notify()

    def hurry(self) -> None:
        """Sync at once, whatever the pace."""
        with self._lock:
            self._hasten()

    def wait(self, sequence: int, timeout_s: float) -> bool:
        """Whether everything below `sequence` is durable, after at most `timeout_s`. Raises the failure, if any."""
        with self._lock:
            if self._durable < sequence:
                self._hasten()
                self._done.wait_for(lambda: self._durable >= sequence or self._ended, timeout_s)
            if self._durable < sequence and self._failure is not None:
                raise self._reason()
            return self._durable >= sequence

    async def reached(self, sequence: int) -> None:
        """Returns once everything below `sequence` is durable; the loop stays free. Raises the failure, if any."""
        if self._durable >= sequence:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._durable >= sequence:
                return
            if self._ended:
                raise self._reason()
            heapq.heappush(self._waiting, (sequence, next(self._count), loop, future))
            self._hasten()
        await future

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No sync runs inside; one that runs is waited for."""
        with self._syncing:
            yield

    def close(self) -> bool:
        """Sync what is left, end the thread; whether it ended in time."""
        with self._lock:
            self._closing = True
            self._work.notify()
        self._thread.join(JOIN_TIMEOUT_S)
        return not self._thread.is_alive()

    def _hasten(self) -> None:
        if not self._hurry:
            self._hurry = True
            self._work.notify()

    def _reason(self) -> Exception:
        if self._failure is None:
            return StorageError("closed before it was durable")
        return self._failure.with_traceback(None)  # which would grow each time it is raised

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001  the thread's outer edge: who waits must hear of it
            self._failure = error
        with self._lock:
            self._ended = True
            self._done.notify_all()
            waiting, self._waiting = self._waiting, []
        _settle(waiting, self._reason())

    def _turn(self) -> bool:
        """One sync, once there is something to sync; False when closing and nothing is left."""
        with self._lock:
            self._work.wait_for(lambda: self._appended > self._durable or self._closing)
            if self._pace_s:
                self._work.wait_for(lambda: self._hurry or self._closing, self._pace_s)
            if self._appended == self._durable:
                return False
            sequence, size_bytes = self._appended, self._appended_bytes
            self._hurry = False
        with self._syncing:
            self._sync()
        with self._lock:
            self.syncs += 1
            self._durable, self._durable_bytes = sequence, size_bytes
            self._done.notify_all()
            reached = []
            while self._waiting and self._waiting[0][0] <= sequence:
                reached.append(heapq.heappop(self._waiting))
            self._hurry = bool(self._waiting)
        _settle(reached, None)
        return True


def _settle(waiting: list[_Waiter], error: Exception | None) -> None:
    """Wake these waiters, with one call into each of their loops."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for _, _, loop, future in waiting:
        loops.setdefault(loop, []).append(future)
    for loop, futures in loops.items():
        with contextlib.suppress(RuntimeError):  # a loop that has closed since has nobody waiting
            loop.call_soon_threadsafe(_wake, futures, error)


def _wake(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():  # its task was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
