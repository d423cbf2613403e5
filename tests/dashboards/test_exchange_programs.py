"""Programs to connect with, run as a user runs them, against the built-in exchange: each leaves an order resting."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dashboards.exchange_snippets import KINDS, Kind
from tests.exchange.running import RunningExchange

MODULES = {
    "ccxt-binance": "ccxt",
    "ccxt-bybit": "ccxt",
    "python-binance": "binance",
    "pybit": "pybit",
    "native": "websockets",
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    """One exchange with a crowd, for all of them."""
    with RunningExchange(rate=200) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_a_program_places_an_order_that_the_exchange_has(exchange: RunningExchange, kind: Kind) -> None:
    module = MODULES.get(kind.id)
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{kind.needs}: not installed here")
    if kind.language == "shell" and not (shutil.which("curl") and shutil.which("openssl")):
        pytest.skip("curl or openssl is not installed here")
    key = exchange.key(kind.id)
    text = kind.make(exchange.url, exchange.order_url, key.api_key, key.secret)
    start = ["sh", "-c", text] if kind.language == "shell" else [sys.executable, "-c", text]
    ended = subprocess.run(start, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    desk_orders = exchange.floor(
        lambda floor: [*floor.desk.open_orders(key.account), *floor.desk.ended_orders(key.account)]
    )
    assert [order.lots for order in desk_orders] == [100]  # 0.001 BTC
    assert str(desk_orders[0].order_id) in ended.stdout
    assert key.secret not in ended.stdout
