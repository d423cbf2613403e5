"""Limits over real sockets: what an ordinary client sees of them, and the venue as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.exchange.serve import limits
from engine.exchange.server import LocalVenue
from engine.exchange.venue_rules import BINANCE_SPOT, BYBIT
from tests.exchange.support import get, with_venue

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400
# A window that does not end while a test runs.
LONG = {
    "binance_spot": replace(BINANCE_SPOT.with_window("REQUEST_WEIGHT", DAY, 60), refusals_before_ban=2),
    "bybit": BYBIT.with_window("RAW_REQUESTS", DAY, 5),
}


def test_weight_headers_then_429_then_418() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        seen = []
        for limit in (1000, 5, 5, 5, 5):
            async with session.get(
                "/binance_spot/api/v3/depth", params={"symbol": "BTCUSDT", "limit": limit}
            ) as a:
                seen.append((a.status, a.headers.get("X-MBX-USED-WEIGHT-1D"), "Retry-After" in a.headers))
                body = await a.json()
        assert seen == [
            (200, "50", False),
            (200, "55", False),
            (200, "60", False),
            (429, "65", True),
            (429, "70", True),
        ]
        assert body["code"] == -1003
        async with session.get("/binance_spot/api/v3/time") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (418, "120")
            assert "IP banned until" in (await answer.json())["msg"]
        window = (await get(session, "/statistics"))["budgets"]["binance_spot"]["windows"][
            "REQUEST_WEIGHT 1D"
        ]
        assert (window["highest"], window["refused"]) == (60, 3)

    with_venue(test, rules=LONG)


def test_bybit_counts_its_three_markets_together_and_then_answers_403() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        for at, category in enumerate(("spot", "linear", "inverse", "spot", "linear")):
            async with session.get("/bybit/v5/market/tickers", params={"category": category}) as answer:
                assert answer.status == 200
                assert answer.headers["X-Bapi-Limit-Status"] == str(4 - at)
        async with session.get("/bybit/v5/market/time") as answer:
            assert (answer.status, await answer.text()) == (403, "access too frequent")

    with_venue(test, rules=LONG)


def test_wrong_calls_get_the_venues_own_codes_and_count_as_well() -> None:
    depth, klines = "/binance_usdm/fapi/v1/depth", "/binance_usdm/fapi/v1/klines"
    cases: list[tuple[str, dict[str, str], int]] = [
        (depth, {"symbol": "NOPE"}, -1121),
        (depth, {}, -1102),
        (depth, {"symbol": "BTCUSDT", "limit": "x"}, -1100),
        (depth, {"symbol": "BTCUSDT", "limit": "7"}, -4021),
        (depth, {"symbol": "BTCUSDT", "limit": "5000"}, -1130),
        (klines, {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        (klines, {"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
        ("/binance_usdm/fapi/v1/nothing", {}, -5000),
    ]

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        for path, arguments, code in cases:
            async with session.get(path, params=arguments) as answer:
                assert 400 <= answer.status < 500
                assert (await answer.json())["code"] == code
        for path, arguments in (
            ("kline", {"category": "linear", "symbol": "BTCUSDT", "interval": "7"}),
            ("orderbook", {"category": "linear", "symbol": "NOPE"}),
            ("tickers", {"category": "nope"}),
            ("instruments-info", {"category": "linear", "limit": "x"}),
            ("instruments-info", {"category": "linear", "cursor": "zz"}),
        ):
            assert (await get(session, f"/bybit/v5/market/{path}", **arguments))["retCode"] == 10001
        budgets = (await get(session, "/statistics"))["budgets"]
        assert budgets["binance_usdm"]["requests"] == len(cases)
        assert budgets["bybit"]["requests"] == 5

    with_venue(test)


def test_bybits_pages_make_the_whole_list() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        found: list[str] = []
        arguments: dict[str, Any] = {"category": "linear", "limit": 3}
        while True:
            result = (await get(session, "/bybit/v5/market/instruments-info", **arguments))["result"]
            found += [each["symbol"] for each in result["list"]]
            if not result["nextPageCursor"]:
                break
            arguments["cursor"] = result["nextPageCursor"]
        assert len(found) == len(set(found)) == 8

    with_venue(test, symbols=8)


def test_a_neighbour_can_be_let_loose_over_the_wire() -> None:
    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.post("/neighbour", json={"budget": "binance_spot", "weight": 59}) as answer:
            assert await answer.json() == {"served": True}
        async with session.get("/binance_spot/api/v3/time") as answer:
            assert answer.headers["X-MBX-USED-WEIGHT-1D"] == "60"
        async with session.post("/neighbour", json={"budget": "binance_spot", "weight": 0}) as answer:
            assert answer.status == 400
            assert "$.weight" in (await answer.json())["error"]
        assert not venue.consume("binance_spot", "127.0.0.1", 1)

    with_venue(test, rules=LONG)


def test_connects_are_counted() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        for _unused in range(3):
            async with session.ws_connect("/binance_coinm/ws"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/binance_coinm/ws")
        assert refused.value.status == 429

    with_venue(test, rules=limits(["binance_coinm:CONNECTIONS:300:3"]))


def test_what_is_wrong_with_a_window_is_said() -> None:
    assert limits(["binance_spot:REQUEST_WEIGHT:6:100"])["binance_spot"].windows[0].limit == 100
    assert limits(first_ban_s=5)["bybit"].first_ban_s == 5
    changed = limits(refusals_before_ban=0, first_ban_s=5, connection_lasts_s=60)
    spot, bybit = changed["binance_spot"], changed["bybit"]
    assert (spot.refusals_before_ban, spot.first_ban_s, spot.connection_lasts_s) == (0, 5, 60)
    assert bybit.connection_lasts_s == 0  # it has no such end
    for text in ("okx:REQUEST_WEIGHT:6:1", "bybit:RAW_REQUESTS:6", "bybit:ORDERS:1:1"):
        with pytest.raises(ValueError, match=r"window"):
            limits([text])


def test_many_calls_at_once_are_served_and_counted_once_each() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async def some() -> None:
            for _unused in range(50):
                await get(session, "/binance_usdm/fapi/v1/time")

        await asyncio.gather(*(some() for _ in range(8)))
        assert (await get(session, "/statistics"))["budgets"]["binance_usdm"]["served"] == 400

    with_venue(test)


def test_the_venue_runs_as_a_process_and_ends_on_a_signal() -> None:
    command = [sys.executable, "-m", "engine.exchange.serve", "--port", "0", "--symbols", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/binance_spot/api/v3/exchangeInfo", timeout=5) as answer:
            names = [each["symbol"] for each in json.load(answer)["symbols"]]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert names == ["BTCUSDT", "ETHUSDT"]
