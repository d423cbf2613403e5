"""The stream of the Alerts page, and what every answer says of alerts: how many want to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from dashboards.streams.common import Json, head, ms
from dashboards.view import View
from engine.alerts.rules import METRICS
from engine.alerts.views import AlertsView, DeliveryView, FiringView, RuleView, WebhookView

FIRINGS_MAX: Final = 100  # told to a page, the newest


# What a rule may be about, as the form offers it: (label, a threshold to begin with).
OFFERED: Final[Mapping[str, tuple[str, str]]] = {
    "mid": ("Mid price", "70000"),
    "bid": ("Best bid", "70000"),
    "ask": ("Best ask", "70000"),
    "last": ("Last price", "70000"),
    "spread_bp": ("Spread", "5"),
    "p99_ms": ("p99 latency", "250"),
    "throttled": ("Throttled calls", "10"),
    "stale_s": ("Staleness", "10"),
    "gaps": ("Sequence gaps", "3"),
}


METRIC_ROWS: Final = [
    [name, label, METRICS[name].words, METRICS[name].unit, METRICS[name].of_symbol, example]
    for name, (label, example) in OFFERED.items()
]


def alerts(view: View, cursor: Json) -> tuple[Json, Json]:
    """Rules, their values, firings and webhooks: each part whole, when it changed."""
    found = view.alerts
    newest = found.firings[0].started_ns if found.firings else 0
    stream = head(view, view.epoch, cursor, newest, len(found.rules), wall=True)
    stream |= {
        "state": found.state,
        "detail": found.detail,
        "most": found.rules_most,
        "kept": len(found.firings),
    }
    again = {} if stream["reset"] else cursor
    parts = {
        "rules": [rule_fields(rule) for rule in found.rules],
        "values": [value_fields(rule) for rule in found.rules],
        "firings": [firing_fields(firing) for firing in found.firings[:FIRINGS_MAX]],
        "webhooks": [webhook_fields(webhook) for webhook in found.webhooks],
        "metrics": METRIC_ROWS,
    }
    place: Json = {"k": view.epoch}
    for name, rows in parts.items():
        place[name] = hash(repr(rows)) & 0xFFFFFFFF
        if again.get(name) != place[name]:
            stream[name] = rows
    return stream, place


def alerts_head(found: AlertsView) -> Json:
    """What every page shows of alerts, whatever else it asks for."""
    newest = found.firings[0] if found.firings else None
    return {
        "state": found.state,
        "unacknowledged": found.unacknowledged,
        "firing": found.firing,
        "newest": None
        if newest is None
        else {
            "id": newest.id,
            "text": newest.text,
            "source": newest.source,
            "value": newest.value,
            "started": ms(newest.started_ns),
            "ended": _time(newest.ended_ns),
            "acknowledged": _time(newest.acknowledged_ns),
        },
    }


def away(rule: RuleView) -> str:
    """How far the newest value is from the threshold, as decimal text in the metric's unit.

    Negative where it is past it, "" unknown.
    """
    unit = METRICS[rule.metric].unit  # stands behind the value, not behind the threshold
    try:
        value, threshold = Decimal(rule.value.removesuffix(f" {unit}")), Decimal(rule.threshold)
    except InvalidOperation:
        return ""
    if not value.is_finite() or not threshold.is_finite():
        return ""
    left = threshold - value if rule.above else value - threshold
    return format(left, "f")


def rule_fields(rule: RuleView) -> Json:
    """What of a rule stays until somebody changes it."""
    return {
        "id": rule.id,
        "text": rule.text,
        "metric": rule.metric,
        "symbol": rule.symbol,
        "venue": rule.venue,
        "above": rule.above,
        "threshold": rule.threshold,
        "for_s": rule.for_s,
        "webhooks": list(rule.webhooks),
        "enabled": rule.enabled,
        "created": _time(rule.created_ns),
    }


def value_fields(rule: RuleView) -> Json:
    """What of a rule changes by itself; in the order of the rules."""
    return {
        "id": rule.id,
        "state": rule.state,
        "since": _time(rule.since_ns),
        "value": rule.value,
        "away": away(rule),
        "where": rule.where,
        "fired": rule.fired,
        "fired_at": _time(rule.fired_ns),
    }


def firing_fields(firing: FiringView) -> Json:
    """One firing with its deliveries."""
    return {
        "id": firing.id,
        "rule": firing.rule,
        "text": firing.text,
        "source": firing.source,
        "symbol": firing.symbol,
        "value": firing.value,
        "started": ms(firing.started_ns),
        "ended": _time(firing.ended_ns),
        "acknowledged": _time(firing.acknowledged_ns),
        "deliveries": [delivery_fields(delivery) for delivery in firing.deliveries],
    }


def delivery_fields(delivery: DeliveryView) -> Json:
    """One firing on its way to one webhook."""
    return {
        "webhook": delivery.webhook,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next": _time(delivery.next_ns),
        "detail": delivery.detail,
        "delivered": _time(delivery.delivered_ns),
    }


def webhook_fields(webhook: WebhookView) -> Json:
    """One target; its address is a secret but for the host."""
    return {
        "name": webhook.name,
        "host": webhook.host,
        "template": webhook.template,
        "delivered": webhook.delivered,
        "failed": webhook.failed,
        "waiting": webhook.waiting,
        "detail": webhook.detail,
    }


def _time(at_ns: int) -> float | None:
    return ms(at_ns) if at_ns else None
