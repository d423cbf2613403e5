"""Every stream there is, by its name, and whose time it tells."""

from __future__ import annotations

from enum import Enum
from typing import Final

from dashboards import exchange_streams as exchange
from dashboards import history_streams as history
from dashboards.streams import (
    activity,
    alerts,
    book_map,
    impact,
    indexed,
    latency,
    latency_map,
    limits,
    market,
    matching,
    prices,
    studies,
    venues,
)
from dashboards.streams.common import Stream
from dashboards.streams.depth import depth


class Of(Enum):
    """Whose time a stream is of while a page looks at the past."""

    SOURCE = "source"  # of the source looked at, by its clock: of that past
    WALL = "wall"  # of now, whatever is looked at


TABLE: Final[dict[str, tuple[Stream, Of]]] = {
    "depth": (depth, Of.SOURCE),
    "candles": (market.candles, Of.SOURCE),
    "latency": (latency.latency, Of.SOURCE),
    "stages": (latency.stages, Of.SOURCE),
    "distribution": (latency.distribution, Of.SOURCE),
    "latency_map": (latency_map.latency_map, Of.SOURCE),
    "throughput": (activity.throughput, Of.SOURCE),
    "trades": (market.trades, Of.SOURCE),
    "metrics": (market.metrics, Of.SOURCE),
    "limits": (limits.limits, Of.WALL),
    "tiles": (activity.tiles, Of.SOURCE),
    "events": (activity.events, Of.SOURCE),
    "health": (activity.health, Of.WALL),
    "matching": (matching.matching, Of.WALL),
    "prices": (prices.prices, Of.WALL),
    "mids": (prices.mids, Of.WALL),
    "indexed": (indexed.indexed, Of.SOURCE),
    "studies": (studies.studies, Of.SOURCE),
    "funding": (prices.funding, Of.SOURCE),
    "venues": (venues.venues, Of.WALL),
    "listing": (venues.listing, Of.WALL),
    "exchange": (exchange.exchange, Of.WALL),
    "exchange_book": (exchange.book, Of.WALL),
    "exchange_latency": (exchange.latency, Of.WALL),
    "exchange_stages": (exchange.stages, Of.WALL),
    "profile": (exchange.profile, Of.WALL),
    "history": (history.history, Of.WALL),
    "alerts": (alerts.alerts, Of.WALL),
    "impact": (impact.impact, Of.SOURCE),
    "book_map": (book_map.book_map, Of.SOURCE),
}
STREAMS: Final[dict[str, Stream]] = {name: stream for name, (stream, _) in TABLE.items()}
OF_THE_PAST: Final = frozenset(name for name, (_, of) in TABLE.items() if of is Of.SOURCE)
