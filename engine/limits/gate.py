"""The one thin awaiting shell around a budget: callers await their turn, one timer wakes the queue.

Nothing polls. The timer is set for the moment that time alone makes room; answers, returned permits and arrivals
look at the queue as they come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from engine.limits.foreign import NEVER
from engine.limits.limiter import EMPTY, Call, Limiter, Priority, Stop
from engine.limits.spent import EVERY_NS

SECOND_NS = 1_000_000_000
LEAST_DELAY_S = 0.001  # wakes that are closer together are one: each costs more than it lets go


class Permit(Call):
    """The right to send one call now; exactly one of `answered`, `lost`, `unsent` must follow. More do nothing."""

    __slots__ = ("_gate", "future")

    def __init__(self, gate: Gate) -> None:
        self.granted = self.done = self.cancelled = False
        self._gate = gate
        self.future: asyncio.Future[None] | None = None

    def answered(self, status: int, headers: Mapping[str, str], code: int = 0) -> None:
        """The whole answer is here; `code` is the venue's own (10006), 0 = none."""
        self._gate.on_answer(self, status, headers, code)

    def lost(self) -> None:
        """Sent, and no answer came in time: it may have arrived, or may arrive yet."""
        self._gate.on_lost(self)

    def unsent(self) -> None:
        """Never sent: gives back all it held."""
        self._gate.on_unsent(self)


def _no_stop(stop: Stop) -> None:
    del stop


class Gate:
    """One budget ("binance_spot"); belongs to one asyncio loop. Made by `LimitDesk`."""

    def __init__(
        self,
        limiter: Limiter,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        on_stop: Callable[[Stop], None] = _no_stop,
        on_change: Callable[[str], None] | None = None,
        on_use: Callable[[bool], None] | None = None,
    ) -> None:
        """`on_use` hears before the first call after a rest, each second of use, and (True) as it comes to rest."""
        self.venue = limiter.rules.venue
        self.limiter = limiter
        self._wall, self._monotonic = wall, monotonic
        self._on_stop, self._on_change = on_stop, on_change
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._on_use = on_use
        self._use_at = NEVER if on_use is None else 0  # when a call is to be told of before it is sent
        self._rest: asyncio.TimerHandle | None = None

    async def acquire(
        self,
        endpoint: str,
        arguments: Mapping[str, object] = EMPTY,
        *,
        priority: Priority = Priority.NORMAL,
        account: str = "",
    ) -> Permit:
        """A permit, once it is this call's turn and it fits; about 2 us, without a task switch, when it fits at once.

        `endpoint` is "GET /api/v3/depth", or "CONNECT" for opening a WebSocket; `account` tells whose orders they
        are. TooHeavy, QueueFull at once, TooHeavy also when the venue lowers a limit below a call that waits; a
        cancelled wait gives back what it held.
        """
        permit = Permit(self)
        now = self._monotonic()
        if now >= self._use_at:
            self._tell_use(now)
        if self.limiter.take(permit, endpoint, arguments, priority, account, now):
            return permit
        return await self._wait(permit)

    def adopt(self, announced: Sequence[tuple[str, int, int]]) -> None:
        """exchangeInfo's own limits, as (type, window in seconds, limit): where they differ, they count."""
        for sentence in self.limiter.adopt(announced):
            if self._on_change is not None:
                self._on_change(sentence)
        self._pump()

    def stop(self, stop: Stop) -> None:
        """Send nothing of a scope until a time, as after a ban in an earlier run."""
        self.limiter.stop(stop)
        self._pump()

    def sweep(self) -> int:
        """Count as lost what was sent long ago and never told of; how many there were."""
        found = self.limiter.sweep(self._monotonic())
        if found:
            self._pump()
        return found

    def close(self) -> None:
        """Cancel the timers. Who waits goes on waiting; cancel the tasks."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_answer(self, permit: Permit, status: int, headers: Mapping[str, str], code: int) -> None:
        """`Permit.answered`."""
        wall = self._wall() if code or status >= 400 else 0  # only a refusal is told by the wall clock
        stop = self.limiter.answered(permit, status, headers, code, self._monotonic(), wall)
        if stop is not None:
            self._on_stop(stop)
        if stop is not None or self.limiter.listening:
            self._pump()

    def on_lost(self, permit: Permit) -> None:
        """`Permit.lost`."""
        self.limiter.lost(permit, self._monotonic())
        self._pump()

    def on_unsent(self, permit: Permit) -> None:
        """`Permit.unsent`."""
        self.limiter.unsent(permit, self._monotonic())
        self._pump()

    async def _wait(self, permit: Permit) -> Permit:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self.limiter.enqueue(permit, self._monotonic()):
            self._pump()
            if permit.granted:
                return permit
        self.limiter.held_back(permit)
        permit.future = self._loop.create_future()
        try:
            await permit.future
        except asyncio.CancelledError:
            self.limiter.cancel(permit, self._monotonic())
            self._pump()
            raise
        return permit

    def _pump(self) -> None:
        if not self.limiter.waiting:
            return
        now = self._monotonic()
        if now >= self._use_at:
            self._tell_use(now)
        for call in self.limiter.pump(now):
            future = call.future if isinstance(call, Permit) else None
            if future is not None and not future.done():  # a cancelled one gives back as its task wakes
                future.set_result(None)
        if self.limiter.failed:
            failed, self.limiter.failed = self.limiter.failed, []
            for call, fault in failed:
                future = call.future if isinstance(call, Permit) else None
                if future is not None and not future.done():
                    future.set_exception(fault)
        self._arm()

    def _tell_use(self, now: int) -> None:
        assert self._on_use is not None
        self._use_at = now + EVERY_NS
        self._on_use(False)
        if self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(EVERY_NS / SECOND_NS, self._look_for_rest)

    def _look_for_rest(self) -> None:
        self._rest = None
        if self.limiter.waiting or self.limiter.flying:
            self._tell_use(self._monotonic())
        elif self._on_use is not None:
            self._use_at = 0
            self._on_use(True)

    def _arm(self) -> None:
        """One timer, for when time alone lets a waiting call go."""
        at = self.limiter.wake_at() if self.limiter.waiting else NEVER
        if at == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at != NEVER and self._loop is not None:
            delay = max((at - self._monotonic()) / SECOND_NS, LEAST_DELAY_S)
            self._timer = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._timer_at = NEVER
        self._pump()
