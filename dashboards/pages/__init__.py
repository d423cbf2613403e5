"""The pages: each module holds one pure `layout()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dash.development.base_component import Component

from dashboards.pages import (
    alerts,
    book,
    exchange,
    health,
    history,
    latency,
    limits,
    market,
    overview,
    throughput,
)


class Page(NamedTuple):
    """A place in the rail."""

    name: str
    title: str
    path: str
    layout: Callable[..., Component]


PAGES = (
    Page("overview", "Overview", "/", overview.layout),
    Page("book", "Book", "/book", book.layout),
    Page("market", "Market", "/market", market.layout),
    Page("latency", "Latency", "/latency", latency.layout),
    Page("throughput", "Throughput", "/throughput", throughput.layout),
    Page("limits", "Limits", "/limits", limits.layout),
    Page("exchange", "Exchange", "/exchange", exchange.layout),
    Page("history", "History", "/history", history.layout),
    Page("alerts", "Alerts", "/alerts", alerts.layout),
    Page("health", "Health", "/health", health.layout),
)
