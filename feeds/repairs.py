"""Carries out what the queue of snapshots lets go: the thin shell around `snapshots`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from engine.errors import CallFailed, LimitError
from feeds.snapshots import SECOND_NS, SnapshotQueue, Ticket

Fetch = Callable[[str, Callable[[], bool]], Awaitable[bool]]


class Repairs:
    """Brings books back, a few at a time.

    `fetch(symbol, is_wanted)` gets and loads one snapshot, unless it is wanted no more when it is there, and says
    whether the book is right with it; it may raise CallFailed and LimitError, which `failed` is told.
    """

    def __init__(
        self, fetch: Fetch, failed: Callable[[str, Exception], None], chance: Callable[[], float]
    ) -> None:
        self.queue = SnapshotQueue()
        self._fetch, self._failed, self._chance = fetch, failed, chance
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def want(self, symbol: str) -> None:
        """This book needs a snapshot; nothing when it is known."""
        if self.queue.want(symbol, time.monotonic_ns(), self._chance()):
            self._changed.set()

    def forget(self, symbol: str) -> None:
        """It needs none now. A fetch under way may wait for hours where the venue banned us: it is given up."""
        self.queue.forget(symbol)
        task = self._tasks.pop(symbol, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._changed.set()

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now_ns = time.monotonic_ns()
                ticket = self.queue.start(now_ns)
                if ticket is not None:
                    task = group.create_task(self._repair(ticket), name=f"snapshot {ticket.symbol}")
                    self._tasks[ticket.symbol] = task
                    continue
                wait_ns = self.queue.wait_ns(now_ns)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if wait_ns is None else max(wait_ns / SECOND_NS, 0.001)):
                        await self._changed.wait()

    async def _repair(self, ticket: Ticket) -> None:
        """One try; the queue is told how it went."""
        repaired = False
        try:
            repaired = await self._fetch(ticket.symbol, lambda: self.queue.is_valid(ticket))
        except (CallFailed, LimitError) as error:
            self._failed(ticket.symbol, error)
        if repaired:
            self.queue.done(ticket)
        else:
            self.queue.failed(ticket, time.monotonic_ns(), self._chance())
        if self._tasks.get(ticket.symbol) is asyncio.current_task():
            del self._tasks[ticket.symbol]
        self._changed.set()
