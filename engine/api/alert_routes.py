"""Routes of alerts: rules, what fired, and webhooks. What is secret of a webhook is told once, when it is added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from engine.alerts.alerts import Alerts, NoSuch, NotRunning
from engine.alerts.commands import rule_in, told, webhook_name
from engine.alerts.deliver import BadTarget
from engine.alerts.rules import EXAMPLE, BadRule
from engine.alerts.views import DeliveryState, DeliveryView, FiringView, RuleState, RuleView, WebhookView
from engine.api.answers import moment
from engine.api.models import Moment, Ms, Whole
from engine.api.problems import Problem
from engine.api.route import Call, Parameter, Route
from engine.errors import BadCommand

GROUP: Final = "Alerts"

Sentence = Annotated[str, Meta(description="The rule as a sentence, in its one form", examples=[EXAMPLE])]
Names = Annotated[list[str], Meta(max_length=20, description="Names of webhooks it is delivered to")]
Number = Annotated[str, Meta(description="Exact decimal text", examples=["70000"])]


class Rule(Struct, kw_only=True, frozen=True):
    """One rule as it stands."""

    id: str
    text: Sentence
    metric: str
    symbol: Annotated[str, Meta(description="Universal name; empty where the metric is counted by venue")]
    venue: Annotated[str, Meta(description="Empty: any venue")]
    stage: Annotated[str, Meta(description="Of p99_ms: the stage of the latency")]
    above: bool
    threshold: Number
    for_s: Annotated[float, Meta(ge=0, description="How long it must hold")]
    webhooks: Names
    enabled: bool
    state: RuleState
    since: Moment | None
    since_ms: Ms | None
    value: Annotated[str, Meta(description="Of the source nearest to firing; empty: no data")]
    where: Annotated[str, Meta(description="That source")]
    fired: Whole
    fired_at: Moment | None
    fired_ms: Ms | None
    created: Moment | None
    created_ms: Ms | None


class Rules(Struct, kw_only=True, frozen=True):
    """Every rule."""

    rules: list[Rule]
    most: Annotated[int, Meta(description="How many there can be")]


class Delivery(Struct, kw_only=True, frozen=True):
    """One firing on its way to one webhook. `unknown`: it may have arrived, and is not sent again."""

    id: str
    webhook: str
    state: DeliveryState
    attempts: Whole
    detail: str
    next: Moment | None
    next_ms: Ms | None
    delivered: Moment | None
    delivered_ms: Ms | None


class Firing(Struct, kw_only=True, frozen=True):
    """One time a rule came true."""

    id: Annotated[int, Meta(description="Ascending, never used again")]
    rule: str
    text: Sentence
    source: str
    symbol: str
    value: str
    started: Moment | None
    started_ms: Ms | None
    ended: Annotated[Moment | None, Meta(description="Null: still true")]
    ended_ms: Ms | None
    acknowledged: Moment | None
    acknowledged_ms: Ms | None
    deliveries: list[Delivery]


class Firings(Struct, kw_only=True, frozen=True):
    """What fired, newest first."""

    firings: list[Firing]
    unacknowledged: Whole


class Acknowledged(Struct, kw_only=True, frozen=True):
    """How many were not acknowledged before."""

    acknowledged: Whole


class Webhook(Struct, kw_only=True, frozen=True):
    """One target of deliveries. Of its address only the host is shown."""

    name: str
    host: str
    template: str
    delivered: Whole
    failed: Whole
    waiting: Whole
    detail: Annotated[str, Meta(description="Of the newest failure; empty: the newest attempt went well")]


class Webhooks(Struct, kw_only=True, frozen=True):
    """Every webhook."""

    webhooks: list[Webhook]


class Added(Struct, kw_only=True, frozen=True):
    """A new webhook, and the secret its deliveries are signed with: it is told this once."""

    name: str
    secret: str


class Tested(Struct, kw_only=True, frozen=True):
    """What came of a test."""

    arrived: bool
    status: Annotated[int, Meta(ge=0, description="HTTP status of the answer; 0: there was none")]
    detail: str


class RuleOrder(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A rule: its sentence in `text`, or its parts. Decimal numbers are text, so that none is rounded."""

    text: Annotated[str, Meta(max_length=200, examples=[EXAMPLE])] | UnsetType = UNSET
    metric: Annotated[str, Meta(max_length=24, examples=["mid"])] | UnsetType = UNSET
    symbol: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET
    venue: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    stage: Annotated[str, Meta(max_length=24)] | UnsetType = UNSET
    above: bool | UnsetType = UNSET
    threshold: Annotated[str, Meta(max_length=40, examples=["70000"])] | UnsetType = UNSET
    for_s: Annotated[float, Meta(ge=0, le=86_400)] | UnsetType = UNSET
    webhooks: Names | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhookOrder(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A webhook. json needs `url`; telegram `chat_id` and `token` or `url`; twilio `account`, `token`, `from`, `to`."""

    name: Annotated[str, Meta(max_length=40, examples=["ops"])]
    template: Literal["json", "telegram", "twilio"] = "json"
    url: Annotated[str, Meta(max_length=1_000, examples=["https://example.org/alerts"])] | UnsetType = UNSET
    token: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    chat_id: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    account: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    from_: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    to: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET


ZONE: Final = Parameter(
    "tz", "query", "zone", "Time zone of the times as text", default=UTC, example="Europe/Berlin"
)
RULE: Final = Parameter("id", "path", "text", "The rule's id, as GET /alerts has it", example="3f2a9c01")
FIRING: Final = Parameter(
    "id", "path", "whole", "The firing's number, or 0 for all there are", example="12", most=2**53
)
NAME: Final = Parameter("name", "path", "text", "The webhook's name", example="ops")
LIMIT: Final = Parameter("limit", "query", "whole", "How many at most", default=100, least=1, most=200)


class AlertRoutes:
    """Handlers over `Alerts`."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    def rules(self, call: Call) -> Rules:
        """Every rule."""
        self._running()
        view = self._alerts.view
        zone = call.arguments["tz"]
        return Rules(rules=[_rule(rule, zone) for rule in view.rules], most=view.rules_most)

    def rule(self, call: Call) -> Rule:
        """One rule."""
        return self._one(call.arguments["id"], call.arguments["tz"])

    async def add(self, call: Call) -> Rule:
        """A new rule."""
        body = _given(call.body)
        with _refusing():
            rule = rule_in(self._alerts, body)
            if rule is None:
                raise BadRule(
                    "", f"give the rule's sentence in text, as {EXAMPLE}, or metric, threshold and the rest"
                )
            id_ = await self._alerts.add(rule, body.get("webhooks", []), body.get("enabled", True))
        return self._one(id_, call.arguments["tz"])

    async def change(self, call: Call) -> Rule:
        """A rule with what is given changed."""
        body = _given(call.body)
        id_ = call.arguments["id"]
        with _refusing():
            rule = rule_in(self._alerts, body)
            if rule is None and set(body) - {"webhooks", "enabled"}:
                raise BadRule(
                    "", "to change what a rule says give all of it: its sentence, or metric and the rest"
                )
            await self._alerts.change(id_, rule, body.get("webhooks"), body.get("enabled"))
        return self._one(id_, call.arguments["tz"])

    async def remove(self, call: Call) -> None:
        """Forget a rule."""
        with _refusing():
            await self._alerts.remove(call.arguments["id"])

    def firings(self, call: Call) -> Firings:
        """What fired."""
        self._running()
        view = self._alerts.view
        zone, limit = call.arguments["tz"], call.arguments["limit"]
        return Firings(
            firings=[_firing(firing, zone) for firing in view.firings[:limit]],
            unacknowledged=view.unacknowledged,
        )

    async def acknowledge(self, call: Call) -> Acknowledged:
        """Note that somebody saw it."""
        with _refusing():
            return Acknowledged(acknowledged=await self._alerts.acknowledge(call.arguments["id"]))

    def webhooks(self, _call: Call) -> Webhooks:
        """Every webhook."""
        self._running()
        return Webhooks(webhooks=[_webhook(webhook) for webhook in self._alerts.view.webhooks])

    async def add_webhook(self, call: Call) -> Added:
        """A new webhook."""
        body = _given(call.body)
        with _refusing():
            name = webhook_name(body)
            return Added(name=name, secret=await self._alerts.add_webhook(name, body))

    async def remove_webhook(self, call: Call) -> None:
        """Forget a webhook."""
        with _refusing():
            await self._alerts.remove_webhook(call.arguments["name"])

    async def test_webhook(self, call: Call) -> Tested:
        """Send it one message that says it is a test."""
        with _refusing():
            answer = await self._alerts.test_webhook(call.arguments["name"])
        return Tested(arrived=200 <= answer.status < 300, status=answer.status, detail=told(answer))

    def _running(self) -> None:
        view = self._alerts.view
        if view.state != "running":
            why = f": {view.detail}" if view.detail else " yet; try again in a moment"
            raise Problem("not_ready", f"alerts do not run{why}", retry_after_s=1.0)

    def _one(self, id_: str, zone: tzinfo) -> Rule:
        self._running()
        found = next((rule for rule in self._alerts.view.rules if rule.id == id_), None)
        if found is None:
            raise Problem("not_found", f"there is no rule {id_[:40]!r}; GET /alerts lists those there are")
        return _rule(found, zone)


def routes(alerts: Alerts) -> tuple[Route, ...]:
    """The table of what alerts offer."""
    made = AlertRoutes(alerts)
    ready, changes = ("not_ready",), ("not_found", "bad_rule", "conflict", "not_ready")
    return (
        Route("GET", "/alerts", "read", GROUP, "Every alert rule, and how it stands", made.rules, Rules, (ZONE,),
              problems=ready),
        Route("POST", "/alerts", "trade", GROUP, "Add a rule, as a sentence or by its parts", made.add, Rule, (ZONE,),
              body=RuleOrder, problems=("bad_rule", "conflict", "not_ready"), status=201),
        Route("GET", "/alerts/{id}", "read", GROUP, "One rule", made.rule, Rule, (RULE, ZONE),
              problems=("not_found", "not_ready")),
        Route("PUT", "/alerts/{id}", "trade", GROUP, "Change what is given of a rule; what it says begins anew",
              made.change, Rule, (RULE, ZONE), body=RuleOrder, problems=changes),
        Route("DELETE", "/alerts/{id}", "trade", GROUP, "Remove a rule; what it fired stays", made.remove, None,
              (RULE,), problems=("not_found", "conflict", "not_ready"), status=204),
        Route("GET", "/alerts/firings", "read", GROUP, "What fired, newest first, and its deliveries", made.firings,
              Firings, (LIMIT, ZONE), problems=ready),
        Route("POST", "/alerts/firings/{id}/acknowledge", "trade", GROUP, "Acknowledge a firing, or all with 0",
              made.acknowledge, Acknowledged, (FIRING,), problems=("not_found", "conflict", "not_ready")),
        Route("GET", "/webhooks", "admin", GROUP, "Where alerts are delivered", made.webhooks, Webhooks,
              problems=ready),
        Route("POST", "/webhooks", "admin", GROUP, "Add a webhook; its signing secret is told this once",
              made.add_webhook, Added, body=WebhookOrder, problems=("conflict", "not_ready"), status=201),
        Route("DELETE", "/webhooks/{name}", "admin", GROUP, "Remove a webhook; what waits for it is given up",
              made.remove_webhook, None, (NAME,), problems=("not_found", "conflict", "not_ready"), status=204),
        Route("POST", "/webhooks/{name}/test", "admin", GROUP, "Send a webhook one test message", made.test_webhook,
              Tested, (NAME,), problems=("not_found", "conflict", "not_ready")),
    )  # fmt: skip


@contextmanager
def _refusing() -> Iterator[None]:
    """What alerts refuse, as problems of the API."""
    try:
        yield
    except BadRule as error:
        raise Problem("bad_rule", str(error), word=error.word) from error
    except BadTarget as error:
        raise Problem("bad_body", str(error)) from error
    except NoSuch as error:
        raise Problem("not_found", str(error)) from error
    except NotRunning as error:
        raise Problem("not_ready", str(error), retry_after_s=1.0) from error
    except BadCommand as error:
        raise Problem("conflict", str(error)) from error


def _given(body: Any) -> dict[str, Any]:
    """The fields a body has."""
    if body is None:
        raise Problem("bad_body", "the call needs a JSON body")
    fields: dict[str, Any] = msgspec.to_builtins(body)
    return fields


def _rule(view: RuleView, zone: tzinfo) -> Rule:
    since, since_ms = moment(view.since_ns, zone)
    fired_at, fired_ms = moment(view.fired_ns, zone)
    created, created_ms = moment(view.created_ns, zone)
    return Rule(
        id=view.id, text=view.text, metric=view.metric, symbol=view.symbol, venue=view.venue, stage=view.stage,
        above=view.above, threshold=view.threshold, for_s=view.for_s, webhooks=list(view.webhooks),
        enabled=view.enabled, state=view.state, since=since, since_ms=since_ms, value=view.value, where=view.where,
        fired=view.fired, fired_at=fired_at, fired_ms=fired_ms, created=created, created_ms=created_ms,
    )  # fmt: skip


def _firing(view: FiringView, zone: tzinfo) -> Firing:
    started, started_ms = moment(view.started_ns, zone)
    ended, ended_ms = moment(view.ended_ns, zone)
    acknowledged, acknowledged_ms = moment(view.acknowledged_ns, zone)
    return Firing(
        id=view.id, rule=view.rule, text=view.text, source=view.source, symbol=view.symbol, value=view.value,
        started=started, started_ms=started_ms, ended=ended, ended_ms=ended_ms, acknowledged=acknowledged,
        acknowledged_ms=acknowledged_ms, deliveries=[_delivery(delivery, zone) for delivery in view.deliveries],
    )  # fmt: skip


def _delivery(view: DeliveryView, zone: tzinfo) -> Delivery:
    next_, next_ms = moment(view.next_ns, zone)
    delivered, delivered_ms = moment(view.delivered_ns, zone)
    return Delivery(
        id=view.id, webhook=view.webhook, state=view.state, attempts=view.attempts, detail=view.detail,
        next=next_, next_ms=next_ms, delivered=delivered, delivered_ms=delivered_ms,
    )  # fmt: skip


def _webhook(view: WebhookView) -> Webhook:
    return Webhook(
        name=view.name, host=view.host, template=view.template, delivered=view.delivered, failed=view.failed,
        waiting=view.waiting, detail=view.detail,
    )  # fmt: skip
