"""Answers and messages have the keys and types that were recorded from the venues."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from engine.exchange.server import LocalVenue
from tests.exchange.support import get, messages, with_venue

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded samples at {DATA}")


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where our value lacks a recorded key, or has another type. Lists are compared by their first elements."""
    if isinstance(theirs, bool) or isinstance(ours, bool) or theirs is None:
        return [] if theirs is None or type(ours) is type(theirs) else [f"{path}: {ours!r} for {theirs!r}"]
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{path}.{key} is missing" for key in theirs if key and key not in ours]
        for key in set(ours) & set(theirs):
            found += differences(ours[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        return differences(ours[0], theirs[0], f"{path}[]") if ours and theirs else []
    if type(ours) is not type(theirs):
        return [f"{path}: {ours!r} for {theirs!r}"]
    if isinstance(theirs, str) and is_decimal(theirs) and ours != "":
        return [] if is_decimal(ours) else [f"{path}: {ours!r} for {theirs!r}"]
    return []


def is_decimal(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


BINANCE = [
    ("/api/v3/depth", {"limit": 5}),
    ("/api/v3/trades", {}),
    ("/api/v3/aggTrades", {}),
    ("/api/v3/klines", {"interval": "5m"}),
    ("/api/v3/ticker/24hr", {}),
    ("/api/v3/ticker/bookTicker", {}),
    ("/api/v3/exchangeInfo", {}),
    ("/fapi/v1/depth", {"limit": 5}),
    ("/fapi/v1/trades", {}),
    ("/fapi/v1/aggTrades", {}),
    ("/fapi/v1/klines", {"interval": "5m"}),
    ("/fapi/v1/ticker/24hr", {}),
    ("/fapi/v1/ticker/bookTicker", {}),
    ("/fapi/v1/premiumIndex", {}),
    ("/fapi/v1/fundingRate", {}),
    ("/fapi/v1/fundingInfo", {}),
    ("/fapi/v1/exchangeInfo", {}),
    ("/dapi/v1/depth", {"limit": 5}),
    ("/dapi/v1/trades", {}),
    ("/dapi/v1/aggTrades", {}),
    ("/dapi/v1/klines", {"interval": "5m"}),
    ("/dapi/v1/ticker/24hr", {}),
    ("/dapi/v1/ticker/bookTicker", {}),
    ("/dapi/v1/premiumIndex", {}),
    ("/dapi/v1/fundingRate", {}),
    ("/dapi/v1/exchangeInfo", {}),
]
PREFIX = {"api": "/binance_spot", "fapi": "/binance_usdm", "dapi": "/binance_coinm"}


def test_binance_rest_answers_have_the_recorded_form() -> None:
    recorded = json.loads(
        gzip.decompress((DATA / "shapes/gocryptotrader_binance_rest_mock.json.gz").read_bytes())
    )["routes"]

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        wrong = []
        for path, arguments in BINANCE:
            root = path.split("/")[1]
            symbol = "BTCUSD_PERP" if root == "dapi" else "BTCUSDT"
            named = {} if "Info" in path else {"symbol": symbol}
            ours = await get(session, PREFIX[root] + path, **named, **arguments)
            samples = [
                each["data"]
                for each in recorded[path]["GET"]
                if each["data"] and type(each["data"]) is type(ours) and "code" not in each["data"]
            ]
            assert samples, path
            # Forms changed over the years: the one nearest to ours counts.
            wrong += [f"{path}{each}" for each in min((differences(ours, each) for each in samples), key=len)]
        assert wrong == []

    with_venue(test)


def test_bybit_rest_answers_have_the_recorded_form() -> None:
    cases = {
        "GetKlines": ("kline", {"category": "inverse", "symbol": "BTCUSD", "interval": "1"}),
        "GetLinearInverseSymbols": ("instruments-info", {"category": "linear"}),
        "GetSpotSymbols": ("instruments-info", {"category": "spot"}),
        "GetLinearInverseTickers": ("tickers", {"category": "inverse"}),
        "GetSpotTickers": ("tickers", {"category": "spot"}),
        "GetOrderbook": ("orderbook", {"category": "linear", "symbol": "BTCUSDT"}),
        "GetTradeHistory": ("recent-trade", {"category": "spot", "symbol": "BTCUSDT"}),
        "GetFundingRateHistory": ("funding/history", {"category": "linear", "symbol": "BTCUSDT"}),
    }
    texts = _samples("jkorf_bybit.net_samples.tar.gz")

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        wrong = []
        for name, (path, arguments) in cases.items():
            text = next(body for file, body in texts.items() if file.endswith(f"ExchangeData/{name}.txt"))
            theirs = json.loads(text[text.index("{") :])
            ours = await get(session, f"/bybit/v5/market/{path}", **arguments)
            wrong += [f"{name}{each}" for each in differences(ours, theirs)]
        assert wrong == []

    with_venue(test)


def test_binance_streams_have_the_recorded_form() -> None:
    files = {
        "binance_spot": ("binance_spot/hftbacktest_btcusdt_20240808.gz", "/binance_spot/stream", "btcusdt"),
        "binance_usdm": (
            "binance_usdm/hftbacktest_btcusdt_20240808.gz",
            "/binance_usdm/public/stream",
            "btcusdt",
        ),
        "binance_coinm": (
            "binance_coinm/hftbacktest_btcusd_perp_20240808.gz",
            "/binance_coinm/stream",
            "btcusd_perp",
        ),
    }

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        for file, path, symbol in files.values():
            recorded: dict[str, Any] = {}
            with gzip.open(DATA / file, "rt") as lines:
                for line in lines:
                    message = json.loads(line.partition(" ")[2])
                    data = message.get("data", {})
                    if "stream" in message and data.get("b") and data.get("a", True):
                        recorded.setdefault(message["stream"].partition("@")[2], message)
                    if "stream" in message and "t" in data:
                        recorded.setdefault("trade", message)
                    if len(recorded) == 3:
                        break
            names = "/".join(f"{symbol}@{channel}" for channel in recorded)
            seen: dict[str, Any] = {}
            async with session.ws_connect(f"{path}?streams={names}") as socket:
                while len(seen) < 3:
                    (message,) = await messages(socket, 1)
                    data = message["data"]
                    if "t" in data or (data["b"] and data["a"]):
                        seen.setdefault(message["stream"].partition("@")[2], message)
            for channel, theirs in recorded.items():
                ours = seen[channel]
                assert differences(ours, theirs) == [], channel
                assert list(ours["data"]) == list(theirs["data"]), channel  # in this order, too

    with_venue(test, rate=50.0)


def test_bybit_streams_have_the_recorded_form() -> None:
    samples = _samples("jkorf_bybit.net_samples.tar.gz")
    tardis = msgspec.json.decode(
        gzip.decompress((DATA / "shapes/tardis_node_messages.json.gz").read_bytes())
    )["bybit spot"]
    recorded = {
        "spot": [
            m for m in tardis if str(m.get("topic", "")).startswith(("orderbook.50", "publicTrade.BTCUSDT"))
        ]
        + [_pushed(samples, "V5/Spot/Ticker.txt")],
        "linear": [_pushed(samples, f"V5/Linear/{name}.txt") for name in ("Trades", "Ticker")],
    }

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        for category, theirs in recorded.items():
            topics = sorted({each["topic"] for each in theirs})
            async with session.ws_connect(f"/bybit/v5/public/{category}") as socket:
                await socket.send_json({"op": "subscribe", "args": topics, "req_id": "1"})
                (ack,) = await messages(socket, 1)
                assert ack["success"], ack
                seen: dict[tuple[str, str], Any] = {}
                wanted = {(each["topic"], each["type"]) for each in theirs}
                while not wanted <= set(seen):
                    (message,) = await messages(socket, 1)
                    full = not isinstance(message["data"], dict) or all(
                        message["data"].get(k, True) for k in "ab"
                    )
                    if full:
                        seen.setdefault((message["topic"], message["type"]), message)
            for each in theirs:
                found = differences(seen[each["topic"], each["type"]], each)
                assert [line for line in found if "tickDirection" not in line] == []

    with_venue(test, rate=50.0)


def _samples(archive: str) -> dict[str, str]:
    with tarfile.open(DATA / "shapes" / archive) as files:
        return {
            member.name: files.extractfile(member).read().decode("utf-8-sig", "replace")  # type: ignore[union-attr]
            for member in files.getmembers()
            if member.isfile() and member.name.endswith(".txt")
        }


def _pushed(samples: dict[str, str], name: str) -> Any:
    """The message that a recorded subscription brought: what stands behind the last `=`."""
    text = next(body for file, body in samples.items() if file.endswith(name))
    return json.loads(text[text.index("\n=") + 2 :])
