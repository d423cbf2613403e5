"""Calls side by side: threads that wait for work, for kernels that release the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")
_Call = tuple[int, Callable[[], Any], "SimpleQueue[_Outcome]"]
_Outcome = tuple[int, Any, BaseException | None]

JOIN_TIMEOUT_S: Final = 8.0  # below the 10 s a process has to end


class Workers:
    """Threads beside the caller's own, for one caller at a time. Handing a call over takes some 10 us."""

    def __init__(self, threads: int) -> None:
        self._inboxes: list[SimpleQueue[_Call | None]] = [SimpleQueue() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=_work, args=(inbox,), name=f"worker {at}", daemon=True)
            for at, inbox in enumerate(self._inboxes)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What the calls return, in their order: the last is made here, each other on a thread of its own.

        All have ended when this returns, or raises what the first of them has raised.
        """
        assert 0 < len(calls) <= len(self._threads) + 1
        outbox: SimpleQueue[_Outcome] = SimpleQueue()
        last = len(calls) - 1
        for at, inbox in zip(range(last), self._inboxes, strict=False):
            inbox.put((at, calls[at], outbox))
        outcomes = [_outcome(last, calls[last]), *(outbox.get() for _ in range(last))]
        outcomes.sort(key=lambda outcome: outcome[0])
        for _, _, error in outcomes:
            if error is not None:
                raise error
        return [value for _, value, _ in outcomes]

    def close(self) -> bool:
        """End the threads; whether they ended in time."""
        for inbox in self._inboxes:
            inbox.put(None)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
        return not any(thread.is_alive() for thread in self._threads)


def _work(inbox: SimpleQueue[_Call | None]) -> None:
    while (given := inbox.get()) is not None:
        at, call, outbox = given
        outbox.put(_outcome(at, call))


def _outcome(at: int, call: Callable[[], Any]) -> _Outcome:
    try:
        return at, call(), None
    except BaseException as error:  # noqa: BLE001  the thread's outer edge: the caller raises it
        return at, None, error
