"""What pages and the API see of alerts: frozen, replaced whole. Times are wall clock, ns UTC; 0 = none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuleState = Literal["off", "no data", "quiet", "pending", "firing"]
DeliveryState = Literal["waiting", "sending", "delivered", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule as it stands."""

    id: str
    text: str  # the whole rule as a sentence: "BTC/USDT mid on any venue above 70000 for 5 s"
    metric: str  # "mid", "bid", "ask", "last", "spread_bp", "p99_ms", "throttled", "stale_s", "gaps"
    symbol: str  # universal; "" where the metric has none
    venue: str  # "binance_spot"; "" = any
    above: bool
    threshold: str  # decimal text
    for_s: float  # how long it must hold
    webhooks: tuple[str, ...]  # names of targets
    enabled: bool
    state: RuleState
    since_ns: int
    value: str  # the newest, as text; "" = no data
    where: str  # source whose value it is: the one nearest to firing
    fired: int
    fired_ns: int  # when it last did
    created_ns: int
    stage: str = ""  # of p99_ms: "receive"; "" = the main one of each source


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One firing on its way to one webhook."""

    id: str
    webhook: str
    state: DeliveryState
    attempts: int
    next_ns: int
    detail: str  # why it failed; "HTTP 200"
    delivered_ns: int


@dataclass(frozen=True, slots=True)
class FiringView:
    """One time a rule came true."""

    id: int  # ascending, never used again
    rule: str  # id of the rule; it may be gone
    text: str  # the rule's sentence then
    source: str  # "binance_spot:live"
    symbol: str
    value: str  # when it fired
    started_ns: int
    ended_ns: int  # 0: still true
    acknowledged_ns: int  # 0: not yet
    deliveries: tuple[DeliveryView, ...]


@dataclass(frozen=True, slots=True)
class WebhookView:
    """One target of deliveries. Its address is a secret but for the host."""

    name: str
    host: str
    template: str  # "json", "telegram", "twilio"
    delivered: int
    failed: int
    waiting: int
    detail: str  # of the newest failure; "" = the newest attempt went well


@dataclass(frozen=True, slots=True)
class AlertsView:
    """All of it. `firings` are the newest 200, newest first."""

    state: Literal["off", "running", "failed"] = "off"
    detail: str = ""  # why it failed
    rules: tuple[RuleView, ...] = ()
    firings: tuple[FiringView, ...] = ()
    webhooks: tuple[WebhookView, ...] = ()
    unacknowledged: int = 0
    firing: int = 0  # rules that are true now
    rules_most: int = 0
