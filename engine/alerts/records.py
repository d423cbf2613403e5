"""What is kept of alerts, as it is stored: rules, firings, deliveries and webhooks. One writer: the engine's loop."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.alerts.views import DeliveryState, DeliveryView, FiringView

# Times are wall clock, ns UTC; 0 = none.


@dataclass(slots=True)
class RuleRecord:
    """One rule; what it says is its sentence."""

    id: str
    text: str
    webhooks: tuple[str, ...]
    enabled: bool
    created_ns: int
    fired: int = 0
    fired_ns: int = 0


@dataclass(slots=True)
class DeliveryRecord:
    """One firing on its way to one webhook."""

    id: str
    firing: int
    webhook: str
    created_ns: int
    state: DeliveryState = "waiting"
    attempts: int = 0
    next_ns: int = 0
    detail: str = ""
    delivered_ns: int = 0

    def view(self) -> DeliveryView:
        """As it stands."""
        return DeliveryView(
            self.id, self.webhook, self.state, self.attempts, self.next_ns, self.detail, self.delivered_ns
        )


@dataclass(slots=True)
class FiringRecord:
    """One time a rule came true. `open`: its rule is still firing."""

    id: int
    rule: str
    text: str
    source: str
    symbol: str
    value: str
    started_ns: int
    ended_ns: int = 0
    acknowledged_ns: int = 0
    deliveries: list[DeliveryRecord] = field(default_factory=list)

    def view(self) -> FiringView:
        """As it stands, with its deliveries."""
        return FiringView(
            id=self.id,
            rule=self.rule,
            text=self.text,
            source=self.source,
            symbol=self.symbol,
            value=self.value,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            acknowledged_ns=self.acknowledged_ns,
            deliveries=tuple(delivery.view() for delivery in self.deliveries),
        )


@dataclass(slots=True)
class WebhookRecord:
    """One target. `sealed` holds what is secret of it: its address, its signing secret, its template's fields."""

    name: str
    template: str
    host: str
    sealed: str
    created_ns: int
    delivered: int = 0
    failed: int = 0
    detail: str = ""


Record = RuleRecord | FiringRecord | DeliveryRecord | WebhookRecord


@dataclass(slots=True)
class Kept:
    """Everything there is, as it was found at opening: firings oldest first."""

    rules: list[RuleRecord] = field(default_factory=list)
    firings: list[FiringRecord] = field(default_factory=list)
    webhooks: list[WebhookRecord] = field(default_factory=list)
    next_firing: int = 1
