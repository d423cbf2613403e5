"""Carries deliveries to their webhooks: when they are due, few at once, none twice.

That a delivery is about to be sent is on the disk before it is sent. One that is found so at a start has an unknown
fate, and is not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from engine.alerts.deliver import GIVEN_UP_NS, TEMPLATES, After, Answer, Target, after, outgoing
from engine.alerts.post import Post
from engine.alerts.records import DeliveryRecord, FiringRecord, WebhookRecord
from engine.alerts.rules import SECOND_NS
from engine.alerts.store import AlertsUnusable, Pen, save

AT_ONCE: Final = 4
AT_ONCE_EACH: Final = 2  # to one webhook: a slow one does not hold up the others
WAITING_MOST: Final = 1_000
ENDING_S: Final = 2.0  # for attempts under way when the program ends
LOOK_MOST_S: Final = 1.0

Chance = Callable[[], float]

log = structlog.get_logger(__name__)


class Courier:
    """`find` gives a delivery's firing, webhook and opened target, or the sentence why there is none.

    `settled` is told of each attempt's end, before it is stored; what it returns is stored with it.
    """

    def __init__(
        self,
        pen: Pen,
        post: Post,
        clock: Callable[[], int],
        find: Callable[[DeliveryRecord], tuple[FiringRecord, Target] | str],
        settled: Callable[[DeliveryRecord], WebhookRecord | None],
        chance: Chance = random.random,
    ) -> None:
        self._pen, self._post, self._clock, self._chance = pen, post, clock, chance
        self._find, self._settled = find, settled
        self._waiting: dict[str, DeliveryRecord] = {}
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}  # webhook and attempt by delivery
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Deliveries that are not over."""
        return len(self._waiting) + len(self._running)

    def add(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Carry these too; they are on the disk already."""
        for delivery in deliveries:
            if delivery.state == "waiting":
                self._waiting[delivery.id] = delivery
        self._wake.set()

    def forget(self, delivery: DeliveryRecord) -> None:
        """Carry it no more; an attempt under way goes on."""
        self._waiting.pop(delivery.id, None)

    async def run(self) -> None:
        """Until cancelled, or nothing can be stored any more."""
        while self._pen.failure is None:
            self._wake.clear()
            wait_s = self._begin_due(self._clock())
            with contextlib.suppress(TimeoutError):  # wait_for of Python 3.11 can lose a cancellation
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def close(self) -> None:
        """Wait a moment for attempts under way, so that their fate is known; then give them up."""
        attempts = [attempt for _, attempt in self._running.values()]
        if not attempts:
            return
        _, late = await asyncio.wait(attempts, timeout=ENDING_S)
        for attempt in late:
            attempt.cancel()
        if late:
            await asyncio.wait(late)

    def _begin_due(self, now_ns: int) -> float:
        """Begin what is due and fits; seconds until the next look."""
        wait_s = LOOK_MOST_S
        for delivery in sorted(self._waiting.values(), key=lambda d: (d.next_ns, d.created_ns)):
            if len(self._running) >= AT_ONCE:
                break  # the end of one of them wakes us
            if delivery.next_ns > now_ns:
                return max(0.0, min(wait_s, (delivery.next_ns - now_ns) / SECOND_NS))
            each = sum(webhook == delivery.webhook for webhook, _ in self._running.values())
            if each < AT_ONCE_EACH:
                self._begin(delivery, now_ns)
        return wait_s

    def _begin(self, delivery: DeliveryRecord, now_ns: int) -> None:
        del self._waiting[delivery.id]
        found = self._find(delivery)
        if isinstance(found, str):
            self._give_up(delivery, found)
            return
        if now_ns - delivery.created_ns > GIVEN_UP_NS:
            self._give_up(delivery, "given up after 24 hours")
            return
        attempt = asyncio.get_running_loop().create_task(self._attempt(delivery, *found), name="delivery")
        self._running[delivery.id] = (delivery.webhook, attempt)
        attempt.add_done_callback(lambda _: self._ended(delivery))

    def _give_up(self, delivery: DeliveryRecord, why: str) -> None:
        delivery.state, delivery.detail, delivery.next_ns = "failed", why, 0
        self._store(delivery)

    def _ended(self, delivery: DeliveryRecord) -> None:
        _, attempt = self._running.pop(delivery.id)
        if not attempt.cancelled():
            attempt.result()  # what it raised is a mistake of ours: the loop's handler logs it
        if delivery.state == "waiting":
            self._waiting[delivery.id] = delivery
        self._wake.set()

    async def _attempt(self, delivery: DeliveryRecord, firing: FiringRecord, target: Target) -> None:
        delivery.state, delivery.next_ns = "sending", 0
        delivery.attempts += 1
        try:
            await self._pen.put(save(delivery))
        except AlertsUnusable:
            return  # everything is read again once the disk works; nothing was sent
        came, now_ns = await self._came(delivery, firing, target)
        delivery.state, delivery.detail, delivery.next_ns = came.state, came.detail, came.next_ns
        if came.state == "delivered":
            delivery.delivered_ns = now_ns
        self._store(delivery)

    async def _came(
        self, delivery: DeliveryRecord, firing: FiringRecord, target: Target
    ) -> tuple[After, int]:
        """Send it: what became of it, and when. A mistake of ours is logged and counts as an attempt that failed."""
        repeatable = TEMPLATES[target.template].repeatable
        known = Answer(0, "it could not be written: the log says more", sent=False)
        try:
            request = outgoing(target, delivery, firing, self._clock())
            known = Answer(0, "it could not be sent: the log says more")
            answer = await self._post(request)
            known = Answer(answer.status, answer.detail, answer.sent)
            now_ns = self._clock()
            return after(answer, delivery, repeatable, now_ns, self._chance()), now_ns
        except Exception:  # else it would be found as sent, its fate unknown, at the next start
            log.exception("a delivery went wrong", webhook=delivery.webhook, delivery=delivery.id)
            now_ns = self._clock()
            return after(known, delivery, repeatable, now_ns, self._chance()), now_ns

    def _store(self, delivery: DeliveryRecord) -> None:
        """A failure to store is told by the pen; then the delivery is found as it was stored last."""
        webhook = self._settled(delivery)
        self._pen.put(save(delivery), *([save(webhook)] if webhook is not None else []))
