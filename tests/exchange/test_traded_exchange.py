"""The built-in exchange's public side as it is served: every call and stream over sockets, limits, and faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from engine.exchange.desk import FIRST_CLIENT
from engine.exchange.faults import Fault
from engine.exchange.trading import Order, Outcome
from engine.limits import rules as limits_file
from engine.matching.orders import CONTINUOUS, HALTED, LIMIT
from tests.exchange.running import RunningExchange

BTC = {"symbol": "BTCUSDT"}
Act = Callable[[RunningExchange, aiohttp.ClientSession], Awaitable[None]]


def play(act: Act, **settings: Any) -> None:
    async def run(exchange: RunningExchange) -> None:
        async with asyncio.timeout(15), aiohttp.ClientSession(exchange.url) as session:
            await act(exchange, session)

    with RunningExchange(**({"rate": 3_000} | settings)) as exchange:
        asyncio.run(run(exchange))


async def get(session: aiohttp.ClientSession, path: str, **arguments: Any) -> Any:
    async with session.get(path, params=arguments) as answer:
        body = await answer.read()
        assert answer.status == 200, (path, body)
        return msgspec.json.decode(body)


@pytest.fixture(scope="module")
def spot() -> str:
    return "/binance_spot/api/v3"


def test_every_public_call_is_answered_with_the_engines_market(spot: str) -> None:
    async def act(exchange: RunningExchange, session: aiohttp.ClientSession) -> None:
        assert await get(session, f"{spot}/ping") == {}
        server_ms = (await get(session, f"{spot}/time"))["serverTime"]
        assert abs(server_ms - time.time() * 1_000) < 5_000
        info = await get(session, f"{spot}/exchangeInfo")
        assert [row["symbol"] for row in info["symbols"]] == [
            "BTCUSDT",
            "ETHUSDT",
            "SOLUSDT",
            "BNBUSDT",
            "XRPUSDT",
        ]
        first = await get(session, f"{spot}/depth", **BTC, limit=5)
        assert [len(first[side]) for side in ("bids", "asks")] == [5, 5]
        assert float(first["bids"][0][0]) < float(first["asks"][0][0])
        trades = await get(session, f"{spot}/trades", **BTC, limit=10)
        whole = await get(session, f"{spot}/aggTrades", **BTC, limit=10)
        assert len(trades) == len(whole) == 10
        minutes = await get(session, f"{spot}/klines", **BTC, interval="1m")
        # A minute of history at least, and nothing before it.
        assert 2 <= len(minutes) <= 4
        assert all(row[8] for row in minutes)
        for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
            assert (await get(session, f"{spot}/{path}", **BTC))["symbol"] == "BTCUSDT"
            assert len(await get(session, f"{spot}/{path}")) == 5
        v5 = {"category": "spot", **BTC}
        for path, more in (
            ("time", {}), ("instruments-info", {}), ("orderbook", {"limit": 50}), ("recent-trade", {}),
            ("kline", {"interval": "1"}), ("tickers", {}),
        ):  # fmt: skip
            answer = await get(session, f"/bybit/v5/market/{path}", **v5, **more)
            assert (answer["retCode"], answer["retMsg"]) == (0, "OK")
            assert answer["result"]
        for category in ("linear", "inverse", "option"):
            listed = await get(session, "/bybit/v5/market/instruments-info", category=category)
            assert listed["result"]["list"] == []

    play(act, history_s=120)


STREAMS = (
    "depth", "depth@100ms", "depth5@100ms", "trade", "aggTrade", "bookTicker", "kline_1s", "kline_1m", "miniTicker",
    "ticker",
)  # fmt: skip


def test_every_stream_speaks_raw_combined_and_by_subscription() -> None:
    async def act(exchange: RunningExchange, session: aiohttp.ClientSession) -> None:
        async def heard(path: str, request: Any, wanted: set[str], name_of: Callable[[Any], str]) -> None:
            async with session.ws_connect(path) as socket:
                if request is not None:
                    await socket.send_json(request)
                left = set(wanted)
                while left:
                    message = msgspec.json.decode(await socket.receive_str())
                    left.discard(name_of(message))

        names = {f"btcusdt@{each}" for each in STREAMS}
        await heard(
            f"/binance_spot/stream?streams={'/'.join(names)}",
            None,
            names,
            lambda said: said.get("stream", ""),
        )
        await heard(
            "/binance_spot/ws",
            {"method": "SUBSCRIBE", "params": sorted(names), "id": 1},
            {"depthUpdate", "trade", "aggTrade", "kline", "24hrMiniTicker", "24hrTicker"},
            lambda said: said.get("e", ""),
        )
        topics = ["orderbook.1", "orderbook.50", "orderbook.200", "publicTrade", "tickers", "kline.1"]
        await heard(
            "/bybit/v5/public/spot",
            {"op": "subscribe", "args": [f"{each}.BTCUSDT" for each in topics]},
            {f"{each}.BTCUSDT" for each in topics},
            lambda said: said.get("topic", ""),
        )

    play(act)


def test_who_edits_the_limits_file_changes_what_the_exchange_enforces(spot: str) -> None:
    document = json.loads(limits_file.PACKAGED.read_text())
    document["bybit"]["windows"][0] |= {"limit": 3, "window_s": 3_600, "share": 1.0}
    document["bybit"]["reserve"] = 0
    document["binance_spot"]["endpoints"]["GET /api/v3/depth"] = {"weight": 77}
    edited = limits_file.parse(json.dumps(document))

    async def act(exchange: RunningExchange, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{spot}/depth", params={**BTC, "limit": 1000}) as answer:
            assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "77"
        for left in ("2", "1", "0"):
            async with session.get("/bybit/v5/market/time") as answer:
                assert answer.headers["X-Bapi-Limit-Status"] == left
        async with session.get("/bybit/v5/market/time") as answer:
            assert (answer.status, await answer.text()) == (403, "access too frequent")

    play(act, limits=edited, rate=0)


def placed(exchange: RunningExchange, symbol: int, dialect: str) -> tuple[Outcome | None, float]:
    """What became of an order far from the market, and how long its answer took."""
    outcomes: list[Outcome] = []

    def place(house: Any) -> None:
        desk = house.floor.desk
        best = desk.engine.bbo(desk.engine.symbols[symbol])
        order = Order(FIRST_CLIENT, symbol, 1, LIMIT, 1_000, best.bid_ticks - 50, dialect=dialect)
        desk.place(order, outcomes.append)

    began = time.monotonic()
    exchange.do(place)
    while not outcomes and time.monotonic() < began + 5:
        time.sleep(0.005)
    return outcomes[0] if outcomes else None, time.monotonic() - began


def test_orders_meet_the_faults_that_were_ordered(spot: str) -> None:
    async def act(exchange: RunningExchange, session: aiohttp.ClientSession) -> None:
        def inject(**fault: Any) -> None:
            exchange.do(lambda house: house.server.inject(Fault(**fault)))

        inject(kind="reject", market="bybit_spot", symbol="ETHUSDT", count=1)
        reasons = [
            outcome.reason
            for outcome, _ in (
                placed(exchange, at, dialect)
                for at, dialect in ((1, "binance"), (0, "bybit"), (1, "bybit"), (1, "bybit"))
            )
            if outcome is not None
        ]
        assert reasons[:2] == [0, 0]
        assert reasons[2] != 0
        assert reasons[3] == 0
        inject(kind="slow_ack", count=1, delay_s=0.4)
        outcome, took_s = placed(exchange, 0, "binance")
        assert outcome is not None
        assert outcome.reason == 0
        assert took_s >= 0.39  # a loop may fire a timer a clock's grain early
        inject(kind="halt", symbol="SOL-USDT", duration_s=0.6)
        phases: list[int] = []
        status: list[str] = []
        until = time.monotonic() + 4
        while time.monotonic() < until and not (HALTED in phases and phases[-1] == CONTINUOUS):
            phases.append(exchange.do(lambda h: h.floor.desk.engine.statistics().symbols[2].phase))
            if phases[-1] == HALTED and not status:
                info = await get(session, f"{spot}/exchangeInfo", symbol="SOLUSDT")
                status.append(info["symbols"][0]["status"])
                halted, _ = placed(exchange, 2, "binance")
                assert halted is not None
                assert halted.reason != 0
            await asyncio.sleep(0.02)
        assert HALTED in phases
        assert phases[-1] == CONTINUOUS
        assert status == ["HALT"]
        after, _ = placed(exchange, 2, "binance")
        assert after is not None
        assert after.reason == 0

    play(act, rate=500)
