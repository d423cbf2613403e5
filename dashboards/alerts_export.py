"""CSV of what the Alerts page shows, from the view the browser names; cells are guarded as in `export.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dashboards.sheet import TIMES, Table, csv_text, iso, when
from dashboards.streams.alerts import away
from dashboards.streams.common import Json
from dashboards.view import View
from engine.errors import BadCommand


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of one panel; BadCommand when there is no such table."""
    part = str(request.get("part") or "")
    make = _PARTS.get(part)
    if make is None:
        raise BadCommand(f"there is no table named {part[:40]!r}")
    text = csv_text(*make(view))
    at = iso(view.wall_ns)[:19].replace(":", "") + "Z"
    return f"venuescope_alerts_{part}_{at}.csv", text


def _utc(at_ns: int) -> str:
    return iso(at_ns) if at_ns else ""


def _rules(view: View) -> Table:
    columns = (
        *(*TIMES, "id", "rule", "metric", "symbol", "venue", "above", "threshold", "for_s", "webhooks"),
        *("enabled", "state", "since_utc", "value", "away", "where", "fired", "fired_utc"),
    )
    return columns, [
        (
            *when(view.wall_ns),
            *(rule.id, rule.text, rule.metric, rule.symbol, rule.venue, rule.above, rule.threshold),
            *(rule.for_s, "/".join(rule.webhooks), rule.enabled, rule.state, _utc(rule.since_ns)),
            *(rule.value, away(rule), rule.where, rule.fired, _utc(rule.fired_ns)),
        )
        for rule in view.alerts.rules
    ]


def _firings(view: View) -> Table:
    """All that are kept, also those the page has no room for."""
    columns = (
        *(*TIMES, "id", "rule_id", "rule", "source", "symbol", "value", "ended_utc", "acknowledged_utc"),
        "deliveries",
    )
    return columns, [
        (
            *when(firing.started_ns),
            *(firing.id, firing.rule, firing.text, firing.source, firing.symbol, firing.value),
            *(_utc(firing.ended_ns), _utc(firing.acknowledged_ns)),
            "; ".join(f"{each.webhook} {each.state} {each.attempts}" for each in firing.deliveries),
        )
        for firing in view.alerts.firings
    ]


def _webhooks(view: View) -> Table:
    columns = (*TIMES, "name", "host", "template", "delivered", "failed", "waiting", "detail")
    return columns, [
        (
            *when(view.wall_ns),
            *(hook.name, hook.host, hook.template, hook.delivered, hook.failed, hook.waiting, hook.detail),
        )
        for hook in view.alerts.webhooks
    ]


_PARTS: Final[dict[str, Callable[[View], Table]]] = {
    "rules": _rules,
    "firings": _firings,
    "webhooks": _webhooks,
}
