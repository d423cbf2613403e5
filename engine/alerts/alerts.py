"""Alerts: rules judged four times a second, firings kept and told, deliveries sent. On the engine's loop.

Commands change what is kept and return once that is on the disk. Where the disk fails, alerts stop with a sentence, and
begin again with what is stored once it works.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import orjson

from engine.alerts.courier import WAITING_MOST, Courier
from engine.alerts.deliver import Answer, Target, outgoing, target_of
from engine.alerts.post import HttpPost, Post
from engine.alerts.records import DeliveryRecord, FiringRecord, Kept, RuleRecord, WebhookRecord
from engine.alerts.rules import BadRule, Rule, parse
from engine.alerts.store import AlertsUnusable, Database, Pen, Step, drop, save
from engine.alerts.values import Values
from engine.alerts.views import AlertsView, FiringView, WebhookView
from engine.alerts.watched import Watched
from engine.errors import BadCommand, VenuescopeError, sentence_of
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

RULES_MOST: Final = 200
WEBHOOKS_MOST: Final = 20
FIRINGS_KEPT: Final = 2_000
FIRINGS_SHOWN: Final = 200
LOOK_S: Final = 0.25
SLICE: Final = 16  # rules judged without a pause: some 0.5 ms with ten sources
RETRY_S: Final = 10.0  # after the disk failed
UNKNOWN: Final = "the program ended while it was sent; it may have arrived, so it is not sent again"
ALWAYS: Final = ("builtin", "engine", "page")  # can be named in rules, whatever is open

What = Literal["fired", "ended", "acknowledged"]
Note = Callable[[Level, str, str, str], None]  # (level, source or "", what, text) into the event log
OnEvent = Callable[[What, FiringView], None]


class NoSuch(BadCommand):
    """There is no rule, firing or webhook of that name."""


class NotRunning(BadCommand):
    """Alerts have not begun yet, or stopped because of the disk."""


class Seals(Protocol):
    """What keeps secrets on the disk: `engine.sealing.Sealer`."""

    def seal(self, plain: bytes, context: bytes) -> str:
        """`plain` as text that only `open` with the same context reads."""

    def open(self, text: str, context: bytes) -> bytes:
        """What was sealed; VenuescopeError when it does not open."""


class Alerts:
    """All of alerts. `view` is replaced whole; `on_event` is told once a firing's news is on the disk."""

    def __init__(
        self,
        folder: Path,
        sealer: Seals,
        telemetry: Telemetry,
        clock: Callable[[], int],
        note: Note,
        post: Post | None = None,
        on_event: OnEvent = lambda _what, _firing: None,
    ) -> None:
        self.view = AlertsView(rules_most=RULES_MOST)
        self.on_event = on_event
        self._folder, self._sealer, self._telemetry = folder, sealer, telemetry
        self._clock, self._note, self._post = clock, note, post or HttpPost()
        self._values = Values(telemetry)
        self._pen: Pen | None = None
        self._courier: Courier | None = None
        self._clear()

    # --- running -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. What cannot be opened is tried again each 10 s."""
        try:
            while True:
                try:
                    database, kept = await asyncio.to_thread(_opened, self._folder)
                except AlertsUnusable as error:
                    self._fail(error)
                else:
                    await self._serve(database, kept)
                await asyncio.sleep(RETRY_S)
        finally:
            await self._post.close()

    async def _serve(self, database: Database, kept: Kept) -> None:
        """Judge and deliver until the disk fails."""
        pen = self._pen = Pen(database, self._fail)
        courier = self._courier = Courier(pen, self._post, self._clock, self._find, self._settled)
        carrying = asyncio.create_task(courier.run(), name="deliveries")
        try:
            self._take(kept, pen, courier)
            while pen.failure is None:
                for _ in self._looks(self._clock()):
                    await asyncio.sleep(0)
                if carrying.done():
                    carrying.result()
                await asyncio.sleep(LOOK_S)
        finally:
            self._pen = self._courier = None
            carrying.cancel()
            try:
                await asyncio.wait([carrying])  # awaiting it alone would mix up its cancellation and ours
                await courier.close()
            finally:
                await pen.close()

    def _take(self, kept: Kept, pen: Pen, courier: Courier) -> None:
        """Go on with what is stored."""
        self._clear()
        now_ns = self._clock()
        steps: list[Step] = []
        self._next_firing = kept.next_firing
        for webhook in kept.webhooks:
            self._webhooks[webhook.name] = webhook
            self._open(webhook)
        for firing in kept.firings:
            self._firings[firing.id] = firing
            for delivery in firing.deliveries:
                if delivery.state == "sending":
                    delivery.state, delivery.detail = "unknown", UNKNOWN
                    steps.append(save(delivery))
        true = {firing.rule: firing for firing in kept.firings if not firing.ended_ns}
        for record in kept.rules:
            try:
                rule = parse(record.text)
            except BadRule as error:
                self._note(
                    "error", "", "alert", f"a rule that was kept cannot be read, and is left out: {error}"
                )
                continue
            self._rules[record.id] = Watched(
                record, rule, now_ns, true.get(record.id) if record.enabled else None
            )
        going = {watched.firing.id for watched in self._rules.values() if watched.firing is not None}
        for firing in kept.firings:
            if not firing.ended_ns and firing.id not in going:
                firing.ended_ns = now_ns
                steps.append(save(firing))
        if steps:
            pen.put(*steps)
        for firing in kept.firings:
            courier.add(firing.deliveries)

    def _clear(self) -> None:
        self._rules: dict[str, Watched] = {}
        self._firings: dict[int, FiringRecord] = {}  # oldest first
        self._shown: dict[int, FiringView] = {}  # views of firings that have not changed since
        self._webhooks: dict[str, WebhookRecord] = {}
        self._targets: dict[str, Target] = {}
        self._next_firing = 1
        self._changed = True

    def _fail(self, error: AlertsUnusable) -> None:
        if self.view.state != "failed" or self.view.detail != str(error):
            self._note("error", "", "alert", f"alerts stopped: {error}")
        self.view = AlertsView(state="failed", detail=str(error), rules_most=RULES_MOST)

    def _open(self, webhook: WebhookRecord) -> None:
        try:
            told = orjson.loads(self._sealer.open(webhook.sealed, _context(webhook.name)))
            target = Target(webhook.name, webhook.template, told["url"], told["secret"], told["given"])
        except (VenuescopeError, OSError, ValueError, KeyError, TypeError) as error:
            webhook.detail = f"its address cannot be opened: {sentence_of(error)}; remove it and add it again"
            self._note("error", "", "webhook", f"{webhook.name}: {webhook.detail}")
            return
        self._targets[webhook.name] = target

    # --- judging -----------------------------------------------------------------------------------------

    def look(self, now_ns: int) -> None:
        """Judge every rule once and show what came of it."""
        for _ in self._looks(now_ns):
            pass

    def _looks(self, now_ns: int) -> Iterator[None]:
        """As `look`, a slice of the rules at a time: with many sources all of them take the loop longer than it may be
        held. Commands may change rules between slices.
        """
        self._values.begin(now_ns)
        for at, watched in enumerate(list(self._rules.values())):
            if at % SLICE == SLICE - 1:
                yield
            if self._pen is None or self._pen.failure is not None:
                return
            if not watched.record.enabled or watched.record.id not in self._rules:
                continue
            turn = watched.judge.look(now_ns, self._values.of(watched.rule))
            if turn is None:
                continue
            if turn.what == "fired":
                self._fire(watched, turn.source, turn.value, now_ns)
            else:
                self._end(watched, now_ns)
        yield
        self._publish()

    def _fire(self, watched: Watched, source: str, value: str, now_ns: int) -> None:
        record = watched.record
        firing = FiringRecord(
            self._next_firing, record.id, record.text, source, watched.rule.symbol, value, now_ns
        )
        self._next_firing += 1
        for name in record.webhooks:
            delivery = DeliveryRecord(secrets.token_hex(16), firing.id, name, now_ns, next_ns=now_ns)
            if self._running_courier().waiting + len(firing.deliveries) >= WAITING_MOST:
                delivery.state, delivery.detail, delivery.next_ns = (
                    "failed",
                    "too many deliveries wait already",
                    0,
                )
                self._count(delivery)
            firing.deliveries.append(delivery)
        record.fired += 1
        record.fired_ns = now_ns
        watched.firing = self._firings[firing.id] = firing
        steps = [save(record), save(firing), *(save(delivery) for delivery in firing.deliveries)]
        self._note("warn", source, "alert", f"{record.text}: {value}")
        self._keep(("fired", (firing,)), *steps, *self._make_room())

    def _end(self, watched: Watched, now_ns: int) -> None:
        """End the rule's firing, if it has one."""
        firing, watched.firing = watched.firing, None
        if firing is None:
            return
        firing.ended_ns = now_ns
        self._note("info", firing.source, "alert", f"no longer: {firing.text}")
        self._keep(("ended", (firing,)), save(firing))

    def _make_room(self) -> tuple[Step, ...]:
        """Drop the oldest firing that is acknowledged, else the oldest that is over, where there are too many."""
        if len(self._firings) <= FIRINGS_KEPT:
            return ()
        over = [
            f for f in self._firings.values() if f.ended_ns and not any(map(_open_delivery, f.deliveries))
        ]
        oldest = next((firing for firing in over if firing.acknowledged_ns), over[0] if over else None)
        if oldest is None:
            return ()
        del self._firings[oldest.id]
        self._shown.pop(oldest.id, None)
        return drop(oldest)

    def _keep(self, news: tuple[What, Sequence[FiringRecord]] | None, *steps: Step) -> asyncio.Future[None]:
        """Store; then tell the news, and carry the deliveries of what fired."""
        pen, courier = self._running_pen(), self._running_courier()
        self._changed = True
        done = pen.put(*steps)
        if news is None:
            return done
        what, firings = news
        for firing in firings:
            self._shown.pop(firing.id, None)
        views = [firing.view() for firing in firings]

        def stored(future: asyncio.Future[None]) -> None:
            if future.cancelled() or future.exception() is not None:
                return
            if what == "fired":
                for firing in firings:
                    courier.add(firing.deliveries)
            for view in views:
                self.on_event(what, view)

        done.add_done_callback(stored)
        return done

    # --- commands ----------------------------------------------------------------------------------------

    def venues(self) -> frozenset[str]:
        """What rules can name: every venue there is, open or not, and what measures itself."""
        board = self._telemetry.board
        names = {venue.venue for venue in board.venues} | {source.source.venue for source in board.sources}
        return frozenset(names) | frozenset(self._telemetry.limits) | frozenset(ALWAYS)

    async def add(self, rule: Rule, webhooks: Sequence[str] = (), enabled: bool = True) -> str:
        """A new rule's id. BadCommand when there are too many, or a webhook is not known."""
        self._running_pen()
        if len(self._rules) >= RULES_MOST:
            raise BadCommand(f"there are {RULES_MOST} rules already; remove one first")
        newest_ns = max((watched.record.created_ns for watched in self._rules.values()), default=0)
        created_ns = max(self._clock(), newest_ns + 1)  # they are read back in this order
        record = RuleRecord(secrets.token_hex(4), rule.text, self._named(webhooks), enabled, created_ns)
        self._rules[record.id] = Watched(record, rule, self._clock(), None)
        await self._kept(None, save(record))
        return record.id

    async def change(
        self,
        id_: str,
        rule: Rule | None = None,
        webhooks: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> None:
        """Change what is given. A rule that says something else, or is switched off, starts anew."""
        watched = self._rule(id_)
        names = None if webhooks is None else self._named(webhooks)
        now_ns = self._clock()
        record = watched.record
        anew = (rule is not None and rule != watched.rule) or (
            enabled is not None and enabled != record.enabled
        )
        if anew:
            self._end(watched, now_ns)
        if names is not None:
            record.webhooks = names
        if enabled is not None:
            record.enabled = enabled
        if anew:
            watched.begin_anew(rule or watched.rule, now_ns)
        watched.touched()
        await self._kept(None, save(record))

    async def remove(self, id_: str) -> None:
        """Forget a rule; its firings stay."""
        watched = self._rule(id_)
        self._end(watched, self._clock())
        del self._rules[id_]
        await self._kept(None, *drop(watched.record))

    async def acknowledge(self, id_: int) -> int:
        """Note that somebody saw this firing, or all with 0; how many were new."""
        self._running_pen()
        if id_ and id_ not in self._firings:
            raise NoSuch(f"there is no firing {id_}; it may have been too long ago")
        asked = [self._firings[id_]] if id_ else list(self._firings.values())
        new = [firing for firing in asked if not firing.acknowledged_ns]
        now_ns = self._clock()
        for firing in new:
            firing.acknowledged_ns = now_ns
            self._shown.pop(firing.id, None)
        if new:
            await self._kept(("acknowledged", new[-FIRINGS_SHOWN:]), *map(save, new))
        return len(new)

    async def add_webhook(self, name: str, args: Mapping[str, Any]) -> str:
        """The secret its deliveries are signed with, told this once. BadCommand says what is wrong with it."""
        self._running_pen()
        if name in self._webhooks:
            raise BadCommand(f"there is a webhook {name} already; remove it first, or choose another name")
        if len(self._webhooks) >= WEBHOOKS_MOST:
            raise BadCommand(f"there are {WEBHOOKS_MOST} webhooks already; remove one first")
        target = target_of(name, args, "whsec_" + secrets.token_urlsafe(32))
        told = orjson.dumps({"url": target.url, "secret": target.secret, "given": dict(target.given)})
        try:
            sealed = self._sealer.seal(told, _context(name))
        except (VenuescopeError, OSError) as error:
            raise BadCommand(f"its address cannot be sealed: {sentence_of(error)}") from error
        webhook = WebhookRecord(name, target.template, target.host, sealed, self._clock())
        self._webhooks[name], self._targets[name] = webhook, target
        await self._kept(None, save(webhook))
        return target.secret

    async def remove_webhook(self, name: str) -> None:
        """Forget a webhook: rules name it no more, and what waits for it is given up."""
        webhook = self._webhook(name)
        del self._webhooks[name]
        self._targets.pop(name, None)
        steps = list(drop(webhook))
        for watched in self._rules.values():
            record = watched.record
            if name in record.webhooks:
                record.webhooks = tuple(other for other in record.webhooks if other != name)
                watched.touched()
                steps.append(save(record))
        for firing in self._firings.values():
            for delivery in firing.deliveries:
                if delivery.webhook == name and delivery.state == "waiting":
                    self._running_courier().forget(delivery)
                    delivery.state, delivery.detail, delivery.next_ns = "failed", "the webhook was removed", 0
                    self._shown.pop(firing.id, None)
                    steps.append(save(delivery))
        await self._kept(None, *steps)

    async def test_webhook(self, name: str) -> Answer:
        """What comes of one delivery that says it is a test; it is sent once, and not kept. Up to 10 s."""
        webhook = self._webhook(name)
        target = self._targets.get(name)
        if target is None:
            raise BadCommand(webhook.detail)
        now_ns = self._clock()
        delivery = DeliveryRecord("test-" + secrets.token_hex(14), 0, name, now_ns)
        firing = FiringRecord(0, "", "This is a test of Venuescope's alerts", "", "", "", now_ns)
        answer = await self._post(outgoing(target, delivery, firing, now_ns))
        if self._webhooks.get(name) is webhook:
            well = 200 <= answer.status < 300
            webhook.detail = "" if well else f"test: {answer.detail or f'HTTP {answer.status}'}"
            self._changed = True
        return answer

    async def _kept(self, news: tuple[What, Sequence[FiringRecord]] | None, *steps: Step) -> None:
        """Store, show it, and return once it is on the disk."""
        done = self._keep(news, *steps)
        self._publish()
        try:
            await done
        except AlertsUnusable as error:
            raise BadCommand(f"it could not be stored: {error}") from error

    # --- what deliveries ask and say ---------------------------------------------------------------------

    def _find(self, delivery: DeliveryRecord) -> tuple[FiringRecord, Target] | str:
        firing, target = self._firings.get(delivery.firing), self._targets.get(delivery.webhook)
        if target is None:
            webhook = self._webhooks.get(delivery.webhook)
            return webhook.detail if webhook is not None else "the webhook was removed"
        return (firing, target) if firing is not None else "its firing is no longer kept"

    def _settled(self, delivery: DeliveryRecord) -> WebhookRecord | None:
        """Count what came of an attempt; the webhook it belongs to."""
        self._shown.pop(delivery.firing, None)
        self._changed = True
        return self._count(delivery)

    def _count(self, delivery: DeliveryRecord) -> WebhookRecord | None:
        webhook = self._webhooks.get(delivery.webhook)
        if webhook is None:
            return None
        if delivery.state == "delivered":
            webhook.delivered += 1
            webhook.detail = ""
            return webhook
        webhook.detail = delivery.detail
        if delivery.state != "waiting":
            webhook.failed += 1
            self._note("warn", "", "webhook", f"{delivery.webhook}: {delivery.state}: {delivery.detail}")
        return webhook

    # --- showing -----------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Replace the view, where something changed."""
        moved = [watched.refresh() for watched in self._rules.values()]
        if self._pen is None or self._pen.failure is not None or not (self._changed or any(moved)):
            return
        before = self.view
        if self._changed:
            newest = [
                self._show(firing) for firing in islice(reversed(self._firings.values()), FIRINGS_SHOWN)
            ]
            firings, webhooks = tuple(newest), self._webhook_views()
            unacknowledged = sum(not firing.acknowledged_ns for firing in self._firings.values())
            self._changed = False
        else:
            firings, webhooks, unacknowledged = before.firings, before.webhooks, before.unacknowledged
        rules = tuple(watched.view for watched in self._rules.values())
        self.view = AlertsView(
            state="running",
            rules=rules,
            firings=firings,
            webhooks=webhooks,
            unacknowledged=unacknowledged,
            firing=sum(rule.state == "firing" for rule in rules),
            rules_most=RULES_MOST,
        )

    def _show(self, firing: FiringRecord) -> FiringView:
        shown = self._shown.get(firing.id)
        if shown is None or any(map(_open_delivery, firing.deliveries)):
            shown = self._shown[firing.id] = firing.view()
        return shown

    def _webhook_views(self) -> tuple[WebhookView, ...]:
        waiting: dict[str, int] = {}
        for firing in self._firings.values():
            for delivery in firing.deliveries:
                if _open_delivery(delivery):
                    waiting[delivery.webhook] = waiting.get(delivery.webhook, 0) + 1
        return tuple(
            WebhookView(w.name, w.host, w.template, w.delivered, w.failed, waiting.get(w.name, 0), w.detail)
            for w in self._webhooks.values()
        )

    # --- finding -----------------------------------------------------------------------------------------

    def _running_pen(self) -> Pen:
        if self._pen is None or self._pen.failure is not None:
            raise NotRunning(f"alerts do not run{': ' + self.view.detail if self.view.detail else ' yet'}")
        return self._pen

    def _running_courier(self) -> Courier:
        assert self._courier is not None
        return self._courier

    def _rule(self, id_: str) -> Watched:
        self._running_pen()
        if id_ not in self._rules:
            raise NoSuch(f"there is no rule {id_[:40]!r}")
        return self._rules[id_]

    def _webhook(self, name: str) -> WebhookRecord:
        self._running_pen()
        if name not in self._webhooks:
            known = ", ".join(self._webhooks) or "none yet"
            raise NoSuch(f"there is no webhook {name[:40]!r}; there are: {known}")
        return self._webhooks[name]

    def _named(self, webhooks: Sequence[str]) -> tuple[str, ...]:
        unknown = next((name for name in webhooks if name not in self._webhooks), None)
        if unknown is not None:
            known = ", ".join(self._webhooks) or "none yet; add it first"
            raise BadRule(unknown, f"is no webhook; there are: {known}")
        return tuple(dict.fromkeys(webhooks))


def _opened(folder: Path) -> tuple[Database, Kept]:
    database = Database(folder)
    try:
        return database, database.load()
    except AlertsUnusable:
        database.close()
        raise


def _open_delivery(delivery: DeliveryRecord) -> bool:
    return delivery.state in ("waiting", "sending")


def _context(name: str) -> bytes:
    return b"alerts webhook " + name.encode()
