"""Streams as clients see them: books that follow by each venue's rule, subscriptions, keep-alive."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from engine.exchange.server import LocalVenue
from engine.exchange.venue_rules import BINANCE_SPOT, BYBIT
from tests.exchange.support import get, messages, with_venue

Book = tuple[dict[str, str], dict[str, str]]


def apply(book: Book, bids: list[list[str]], asks: list[list[str]]) -> None:
    for side, rows in zip(book, (bids, asks), strict=True):
        for price, size in rows:
            side.pop(price, None)
            if float(size):
                side[price] = size


def best(book: Book) -> tuple[float, float]:
    return max(map(float, book[0])), min(map(float, book[1]))


BINANCE = [
    ("binance_spot", "/binance_spot", "/binance_spot/api/v3", "btcusdt", "100ms"),
    ("binance_usdm", "/binance_usdm/public", "/binance_usdm/fapi/v1", "btcusdt", "100ms"),
    ("binance_usdm", "/binance_usdm/public", "/binance_usdm/fapi/v1", "ethusdt", "0ms"),
    ("binance_coinm", "/binance_coinm", "/binance_coinm/dapi/v1", "btcusd_perp", "100ms"),
]


@pytest.mark.parametrize(("key", "ws", "rest", "symbol", "pace"), BINANCE)
def test_a_binance_book_follows_from_snapshot_and_diffs(
    key: str, ws: str, rest: str, symbol: str, pace: str
) -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        names = f"{symbol}@depth@{pace}/{symbol}@bookTicker"
        async with session.ws_connect(f"{ws}/stream?streams={names}") as socket:
            waiting = await messages(socket, 20)
            snapshot = await get(session, f"{rest}/depth", symbol=symbol.upper(), limit=1000)
            last = snapshot["lastUpdateId"]
            book: Book = dict(snapshot["bids"]), dict(snapshot["asks"])
            followed = False
            tickers: list[Any] = []
            checked = 0
            for message in waiting + await messages(socket, 80):
                data = message["data"]
                if message["stream"].endswith("bookTicker"):
                    tickers.append(data)
                    continue
                if data["u"] <= last and not followed:
                    continue
                if not followed and key == "binance_spot":
                    assert data["U"] <= last + 1 <= data["u"]
                elif key == "binance_spot":
                    assert data["U"] == last + 1
                else:
                    assert data["pu"] == last if followed else data["pu"] <= last
                followed, last = True, data["u"]
                apply(book, data["b"], data["a"])
                newest = [each for each in tickers if each["u"] <= last]
                if newest:
                    assert best(book) == (float(newest[-1]["b"]), float(newest[-1]["a"]))
                    checked += 1
            assert checked > 3

    with_venue(test, rate=50.0)


def test_update_ids_of_futures_jump_past_other_symbols() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/binance_usdm/public/ws/btcusdt@depth@0ms") as socket:
            first, *rest = await messages(socket, 10)
            for message in rest:
                assert message["pu"] == first["u"]
                assert message["U"] > message["pu"] + 1
                first = message

    with_venue(test, rate=50.0)


@pytest.mark.parametrize(("category", "depth"), [("spot", 50), ("linear", 200), ("inverse", 50)])
def test_a_bybit_book_follows_one_message_at_a_time(category: str, depth: int) -> None:
    symbol = "BTCUSD" if category == "inverse" else "BTCUSDT"

    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"/bybit/v5/public/{category}") as socket:
            await socket.send_json(
                {"op": "subscribe", "args": [f"orderbook.{depth}.{symbol}"], "req_id": "r"}
            )
            ack, first, *rest = await messages(socket, 20)
            assert ack == {**ack, "success": True, "req_id": "r", "op": "subscribe"}
            assert first["type"] == "snapshot"
            assert len(first["data"]["b"]) == len(first["data"]["a"]) == depth
            book: Book = dict(first["data"]["b"]), dict(first["data"]["a"])
            last, seq = first["data"]["u"], first["data"]["seq"]
            for message in rest:
                data = message["data"]
                assert (message["type"], data["u"]) == ("delta", last + 1)
                assert data["seq"] > seq
                last, seq = data["u"], data["seq"]
                apply(book, data["b"], data["a"])
                assert len(book[0]) == len(book[1]) == depth
                assert best(book)[0] < best(book)[1]
            # A second client begins where the first is.
            async with session.ws_connect(f"/bybit/v5/public/{category}") as other:
                await other.send_json({"op": "subscribe", "args": [f"orderbook.{depth}.{symbol}"]})
                _, second = await messages(other, 2)
            while last < second["data"]["u"]:
                (message,) = await messages(socket, 1)
                last = message["data"]["u"]
                apply(book, message["data"]["b"], message["data"]["a"])
            assert (dict(second["data"]["b"]), dict(second["data"]["a"])) == book

    with_venue(test, rate=50.0, levels=300)


def test_bybits_ack_comes_late_and_before_the_data() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        async with session.ws_connect("/bybit/v5/public/linear") as socket:
            sent = loop.time()
            await socket.send_json(
                {"op": "subscribe", "args": ["publicTrade.BTCUSDT", "orderbook.1.BTCUSDT"]}
            )
            (ack,) = await messages(socket, 1)
            assert loop.time() - sent >= 0.045
            assert ack["op"] == "subscribe"

    with_venue(test)


def test_bybit_refuses_what_it_does_not_have() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async def ask(socket: aiohttp.ClientWebSocketResponse, **message: Any) -> Any:
            await socket.send_json(message)
            while True:
                (answer,) = await messages(socket, 1)
                if "topic" not in answer:
                    return answer

        async with session.ws_connect("/bybit/v5/public/spot") as socket:
            many = [f"kline.{each}.BTCUSDT" for each in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D")]
            assert (await ask(socket, op="subscribe", args=many))["ret_msg"] == "args size >10"
            answer = await ask(socket, op="subscribe", args=["orderbook.7.BTCUSDT"], req_id="9")
            assert (answer["success"], answer["req_id"]) == (False, "9")
            assert "orderbook.7.BTCUSDT" in answer["ret_msg"]
            assert (await ask(socket, op="ping", req_id="p")) == {
                "success": True, "ret_msg": "pong", "conn_id": answer["conn_id"], "req_id": "p", "op": "ping",
            }  # fmt: skip
            assert (await ask(socket, op="subscribe", args=["publicTrade.BTCUSDT"]))["success"]
            assert not (await ask(socket, op="subscribe", args=["publicTrade.BTCUSDT"]))["success"]
            assert (await ask(socket, op="unsubscribe", args=["publicTrade.BTCUSDT"]))["success"]

    with_venue(test)


def test_binance_answers_with_the_id_that_was_given() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/binance_usdm/market/ws") as socket:
            for message, expected in [
                ({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1d"], "id": 1}, {"result": None, "id": 1}),
                ({"method": "LIST_SUBSCRIPTIONS", "id": "a"}, {"result": ["btcusdt@kline_1d"], "id": "a"}),
                (
                    {"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1d"], "id": None},
                    {"result": None, "id": None},
                ),
                ({"method": "LIST_SUBSCRIPTIONS", "id": 3}, {"result": [], "id": 3}),
            ]:
                await socket.send_json(message)
                while "result" not in (answer := (await messages(socket, 1))[0]):
                    assert answer["e"] == "kline"
                assert answer == expected
            for text, code in [
                ("{", 3),
                ('{"method":"FLY","id":1}', 2),
                ('{"method":"SUBSCRIBE","params":[1]}', 2),
            ]:
                await socket.send_str(text)
                assert (await messages(socket, 1))[0]["error"]["code"] == code

    with_venue(test)


def test_usdm_streams_speak_only_on_their_own_path() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(
            "/binance_usdm/market/stream?streams=btcusdt@depth@0ms/btcusdt@markPrice@1s"
        ) as socket:
            assert {each["stream"] for each in await messages(socket, 2)} == {"btcusdt@markPrice@1s"}
        async with session.ws_connect(
            "/binance_usdm/public/stream?streams=btcusdt@depth@0ms/btcusdt@markPrice@1s"
        ) as socket:
            assert {each["stream"] for each in await messages(socket, 20)} == {"btcusdt@depth@0ms"}

    with_venue(test, rate=50.0)


def test_a_closed_candle_is_said_once_more() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/binance_spot/ws/btcusdt@kline_1s") as socket:
            candles = [each["k"] for each in await messages(socket, 5)]
        closed = [each for each in candles if each["x"]]
        assert closed
        for each in closed:
            assert each["T"] == each["t"] + 999
        following = candles[candles.index(closed[0]) + 1]
        assert (following["t"], following["x"]) == (closed[0]["t"] + 1000, False)

    with_venue(test, rate=50.0)


@pytest.mark.parametrize(("path", "allowed"), [("/binance_spot/ws", 5), ("/binance_coinm/ws", 10)])
def test_a_client_that_says_too_much_is_cut(path: str, allowed: int) -> None:
    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(path) as socket:
            for number in range(allowed):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            assert [each["id"] for each in await messages(socket, allowed)] == list(range(allowed))
            await socket.ping()
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1008
        budget = path.split("/")[1]
        assert (await get(session, "/statistics"))["budgets"][budget]["sockets"]["cut_messages"] == 1

    with_venue(test)


def test_the_venue_pings_and_cuts_who_does_not_answer() -> None:
    rules = replace(BINANCE_SPOT, ping_every_s=0.3, pong_within_s=1.0)

    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/binance_spot/ws", autoping=False) as deaf:
            ping = await deaf.receive()
            assert ping.type is WSMsgType.PING
            while (await deaf.receive()).type is WSMsgType.PING:
                pass
            assert deaf.closed
        assert venue.statistics()["budgets"]["binance_spot"]["sockets"]["cut_silent"] == 1

    with_venue(test, rules={"binance_spot": rules})


def test_connections_end_at_their_age_and_silent_bybit_clients_before() -> None:
    rules = {
        "binance_spot": replace(BINANCE_SPOT, connection_lasts_s=0.5),
        "bybit": replace(BYBIT, silence_s=0.5),
    }

    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        for path in ("/binance_spot/ws", "/bybit/v5/public/spot"):
            async with session.ws_connect(path) as socket:
                assert (await socket.receive()).type is WSMsgType.CLOSE
        budgets = venue.statistics()["budgets"]
        assert budgets["binance_spot"]["sockets"]["cut_age"] == 1
        assert budgets["bybit"]["sockets"]["cut_silent"] == 1

    with_venue(test, rules=rules)


def test_a_client_that_does_not_read_is_cut_and_the_others_are_not_kept_waiting() -> None:
    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        url = venue.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(url[0], int(url[1]), limit=1024)
        names = "/".join(f"btcusdt@{each}" for each in ("depth@0ms", "bookTicker", "trade"))
        head = (
            f"GET /binance_usdm/public/stream?streams={names} HTTP/1.1",
            *("Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
            *("Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "", ""),
        )
        writer.write("\r\n".join(head).encode())
        async with session.ws_connect("/binance_usdm/public/ws/btcusdt@depth@0ms") as other:
            await messages(other, 2)
            slow = next(
                each
                for each in venue.budgets["binance_usdm"].hub.connections.values()
                if len(each.names) == 3
            )
            for _ in range(2_000):  # the system's own buffers take some of it
                if slow.slow:
                    break
                slow.push(b"\x81\x7f" + (1 << 17).to_bytes(8, "big") + b"x" * (1 << 17))
                await asyncio.sleep(0)
                venue.turn()
            await messages(other, 5)
            assert slow.slow
        while slow.id in venue.budgets["binance_usdm"].hub.connections:
            await asyncio.sleep(0.01)
        assert venue.statistics()["budgets"]["binance_usdm"]["sockets"]["cut_slow"] == 1
        del reader
        writer.close()

    with_venue(test, rate=100.0)


CHANNELS = {
    "/binance_spot/stream": (
        *("depth", "depth@1000ms", "depth5", "depth10@100ms", "depth20@1000ms", "miniTicker", "ticker"),
        *("kline_1s", "kline_1w", "aggTrade", "trade", "bookTicker"),
    ),
    "/binance_usdm/public/stream": (
        "depth",
        "depth@250ms",
        "depth@500ms",
        "depth5@100ms",
        "depth20",
        "trade",
    ),
    "/binance_usdm/market/stream": (
        "markPrice",
        "markPrice@1s",
        "kline_5m",
        "aggTrade",
        "ticker",
        "miniTicker",
    ),
    "/binance_coinm/stream": ("depth@500ms", "depth10", "markPrice@1s", "kline_1h", "aggTrade", "bookTicker"),
}


@pytest.mark.parametrize("path", CHANNELS)
def test_every_binance_channel_says_something_of_its_symbol(path: str) -> None:
    symbol = "btcusd_perp" if "coinm" in path else "btcusdt"
    names = {f"{symbol}@{channel}" for channel in CHANNELS[path]}

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{path}?streams={'/'.join(names)}") as socket:
            seen: dict[str, Any] = {}
            while set(seen) != names:
                (message,) = await messages(socket, 1)
                seen[message["stream"]] = message["data"]
        for name, data in seen.items():
            if "lastUpdateId" in data:
                assert len(data["bids"]) == len(data["asks"]) == int(name.split("depth")[1].split("@")[0])
            else:
                assert data["s"] == symbol.upper()

    with_venue(test, rate=50.0)


@pytest.mark.parametrize("category", ["spot", "linear", "inverse"])
def test_every_bybit_topic_says_something_of_its_symbol(category: str) -> None:
    symbol = "BTCUSD" if category == "inverse" else "BTCUSDT"
    channels = (
        "orderbook.1",
        "orderbook.50",
        "orderbook.200",
        "orderbook.1000",
        "publicTrade",
        "tickers",
        "kline.1",
    )
    topics = {f"{channel}.{symbol}" for channel in channels}

    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"/bybit/v5/public/{category}") as socket:
            await socket.send_json({"op": "subscribe", "args": sorted(topics)})
            assert (await messages(socket, 1))[0]["success"]
            seen: dict[str, Any] = {}
            numbers = []
            while set(seen) != topics:
                (message,) = await messages(socket, 1)
                seen[message["topic"]] = message
                if message["topic"] == f"orderbook.1000.{symbol}":
                    numbers.append(message["data"]["u"])
            # REST numbers a book as the stream of 1000 levels does.
            book = (await get(session, "/bybit/v5/market/orderbook", category=category, symbol=symbol))[
                "result"
            ]
            while numbers[-1] < book["u"]:
                (message,) = await messages(socket, 1)
                if message["topic"] == f"orderbook.1000.{symbol}":
                    numbers.append(message["data"]["u"])
            assert book["u"] in numbers
        assert seen[f"orderbook.1.{symbol}"]["type"] == "snapshot"
        assert len(seen[f"orderbook.1.{symbol}"]["data"]["b"]) == 1

    with_venue(test, rate=50.0)
