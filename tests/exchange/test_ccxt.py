"""An independent reading of the protocols: ccxt and ccxt.pro against the local venue."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.exchange.server import LocalVenue

ccxt = pytest.importorskip("ccxt.pro")
pytestmark = pytest.mark.nightly
BINANCE = (
    ("https://api.binance.com/api/v3", "/binance_spot/api/v3"),
    ("https://fapi.binance.com/fapi/v1", "/binance_usdm/fapi/v1"),
    ("https://dapi.binance.com/dapi/v1", "/binance_coinm/dapi/v1"),
    ("wss://stream.binance.com:9443", "/binance_spot"),
    ("wss://fstream.binance.com", "/binance_usdm"),
    ("wss://dstream.binance.com", "/binance_coinm"),
)


def redirected(value: Any, base: str) -> Any:
    """ccxt's addresses with the local venue's in their place; others are cut off."""
    if isinstance(value, dict):
        return {key: redirected(each, base) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    for theirs, path in BINANCE:
        if value.startswith(theirs):
            local = base if theirs.startswith("https") else base.replace("http", "ws")
            return local + path + value.removeprefix(theirs)
    if "bybit" in value or "{hostname}" in value:
        if value.startswith("wss"):
            return (
                base.replace("http", "ws") + "/bybit" + value[value.index("/v5") :]
                if "/v5" in value
                else value
            )
        return base + "/bybit"
    return "http://127.0.0.1:1"


def with_client(name: str, test: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), LocalVenue(symbols=3, levels=200, rate=20.0) as venue:
            client = getattr(ccxt, name)({"enableRateLimit": False, "options": options})
            client.has["fetchCurrencies"] = False
            client.urls["api"] = redirected(client.urls["api"], venue.url)
            try:
                await test(client)
            finally:
                await client.close()

    asyncio.run(run())


async def read_rest(client: Any, symbol: str) -> None:
    market = client.market(symbol)
    assert market["active"]
    assert market["precision"]["price"] > 0
    book = await client.fetch_order_book(symbol, 50)
    assert len(book["bids"]) == len(book["asks"]) == 50
    assert book["bids"][0][0] < book["asks"][0][0]
    trades = await client.fetch_trades(symbol, limit=20)
    assert len(trades) == 20
    assert all(
        each["price"] > 0 and each["amount"] > 0 and each["side"] in ("buy", "sell") for each in trades
    )
    candles = await client.fetch_ohlcv(symbol, "1m", limit=30)
    assert len(candles) == 30
    assert all(b[0] - a[0] == 60_000 for a, b in itertools.pairwise(candles))
    since = 1_700_000_000_000 // 3_600_000 * 3_600_000
    old = await client.fetch_ohlcv(symbol, "1h", since=since, limit=5)
    assert [each[0] for each in old] == [since + 3_600_000 * at for at in range(5)]
    ticker = await client.fetch_ticker(symbol)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]


async def watch(client: Any, symbol: str) -> None:
    for _ in range(30):
        book = await client.watch_order_book(symbol)
        assert book["bids"][0][0] < book["asks"][0][0]
    trades = await client.watch_trades(symbol)
    assert trades
    ticker = await client.watch_ticker(symbol)
    assert ticker["last"] > 0


@pytest.mark.parametrize(
    ("kind", "symbol"), [("spot", "BTC/USDT"), ("linear", "BTC/USDT:USDT"), ("inverse", "BTC/USD:BTC")]
)
def test_ccxt_reads_binance(kind: str, symbol: str) -> None:
    async def test(client: Any) -> None:
        await client.load_markets()
        assert len(client.markets) == 3
        await read_rest(client, symbol)
        if kind != "spot":
            assert (await client.fetch_funding_rate(symbol))["fundingRate"] is not None
            assert len(await client.fetch_funding_rate_history(symbol, limit=5)) == 5
        await watch(client, symbol)

    name = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}[kind]
    with_client(name, test, fetchMarkets={"types": [kind]}, defaultType={"spot": "spot"}.get(kind, "future"))


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_ccxt_reads_bybit(symbol: str) -> None:
    async def test(client: Any) -> None:
        await client.load_markets()
        assert len(client.markets) == 9
        await read_rest(client, symbol)
        if ":" in symbol:
            assert len(await client.fetch_funding_rate_history(symbol, limit=5)) == 5
        await watch(client, symbol)

    with_client("bybit", test)
