"""What listeners are told. One envelope for all formats; what a message does not have is left out of it.

Prices and sizes are exact decimal text. Each time is there twice: `ts` is ISO 8601 in UTC, `ts_ms` epoch milliseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from engine.api.models import Candle, Tick, Trade


class Level(NamedTuple):
    """A price and the size there; in a diff size "0" takes the level away."""

    price: str
    size: str


class Book(msgspec.Struct, frozen=True):
    """The best levels, best first; in a diff those that changed. `sequence` is the venue's own."""

    venue: str
    source: str
    symbol: str
    depth: int
    state: str
    sequence: int
    ts: str | None
    ts_ms: int | None
    bids: list[Level]
    asks: list[Level]


class LatencyRow(msgspec.Struct, frozen=True):
    """One stage of a source in one second."""

    source: str
    stage: str
    ts: str
    ts_ms: int
    count: int
    p50_us: float
    p90_us: float
    p95_us: float
    p99_us: float
    p999_us: float
    max_us: float


class ThroughputRow(msgspec.Struct, frozen=True):
    """What a source brought in one second."""

    source: str
    ts: str
    ts_ms: int
    messages: int
    orders: int
    events: int
    rejects: int
    trades: int
    size_bytes: int
    gaps: int
    malformed: int
    skipped: int


class Alert(msgspec.Struct, frozen=True):
    """One time a rule came true. `what` happened: fired, ended, acknowledged."""

    what: str
    id: int
    rule: str
    text: str
    source: str
    symbol: str
    value: str
    ts: str
    ts_ms: int
    ended_ts: str | None
    ended_ts_ms: int | None
    acknowledged_ts: str | None
    acknowledged_ts_ms: int | None


class Available(msgspec.Struct, frozen=True):
    """A source that can be followed."""

    venue: str
    source: str
    state: str
    symbols: list[str]


class Envelope(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message. `type` says what it is; of the rest it has what belongs to that.

    snapshot: how a topic stands, first after subscribing. candle, tick, trades, diff, latency, throughput, alert: news.
    subscribed, unsubscribed, pong, authenticated, topics, error: answers, with the `id` of what was asked.
    welcome, heartbeat; conflated: `skipped` messages were left out, newer ones follow; ended: the topic is no more.
    """

    type: str
    topic: str | None = None
    seq: int | None = None  # of the topic, one more with each message
    ts_ms: int  # when it was made
    id: int | str | None = None
    epoch: str | None = None
    resumed: bool | None = None  # True: what was missed follows; False: a snapshot follows
    candle: Candle | None = None
    candles: list[Candle] | None = None
    tick: Tick | None = None
    trades: list[Trade] | None = None
    book: Book | None = None
    latency: list[LatencyRow] | None = None
    throughput: list[ThroughputRow] | None = None
    alert: Alert | None = None
    alerts: list[Alert] | None = None
    lost: int | None = None  # trades or rows that came too fast to be passed on
    skipped: int | None = None
    code: str | None = None
    detail: str | None = None
    reason: str | None = None
    topics: list[str] | None = None
    channels: list[str] | None = None
    available: list[Available] | None = None
