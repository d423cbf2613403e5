"""The market that alerts are tried on."""

from __future__ import annotations

import pytest

from tests.alerts.market import Market


@pytest.fixture
def market() -> Market:
    """BTC/USDT at 600 on a live venue, at 500 on the built-in exchange; its time stands still until a test moves it."""
    market = Market()
    market.book(market.source("binance_spot"), 60_000, 60_000)
    market.book(market.source("builtin", "sim"), 50_000, 50_000)
    return market
