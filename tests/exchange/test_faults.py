"""Every fault on command is seen by an ordinary client, and only as often as it was ordered."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.faults import KINDS, MAX_ACTIVE, BadFault, Fault, Faults, read
from engine.exchange.server import LocalVenue
from tests.exchange.support import get, messages, order, with_venue

SPOT_BOOK = "/binance_spot/ws/btcusdt@depth@100ms"
S = 1_000_000_000


def gaps(books: list[Any]) -> int:
    return sum(1 for a, b in itertools.pairwise(books) if b["U"] != a["u"] + 1)


def test_a_dropped_delta_is_one_gap() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK) as socket:
            before = await messages(socket, 3)
            await order(session, kind="drop", symbol="BTC-USDT", market="binance_spot")
            books = before + await messages(socket, 8)
            assert gaps(books) == 1
        state = await get(session, "/faults")
        assert state == {"active": [], "done": {"drop": 1}}

    with_venue(test, rate=50.0)


def test_a_duplicated_delta_comes_twice() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK) as socket:
            await order(session, kind="duplicate", budget="binance_spot", count=2)
            books = await messages(socket, 8)
            assert sum(1 for a, b in itertools.pairwise(books) if a == b) == 2

    with_venue(test, rate=50.0)


def test_a_reordered_delta_comes_after_the_next() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK) as socket:
            await messages(socket, 1)
            await order(session, kind="reorder", symbol="BTCUSDT")
            firsts = [each["U"] for each in await messages(socket, 6)]
            swaps = [at for at in range(5) if firsts[at] > firsts[at + 1]]
            assert len(swaps) == 1
            assert sorted(firsts) != firsts

    with_venue(test, rate=50.0)


def test_a_malformed_frame_is_no_json_and_the_next_one_is() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK) as socket:
            await messages(socket, 1)
            await order(session, kind="malformed")
            good = []
            for _unused in range(6):
                try:
                    msgspec.json.decode(await socket.receive_str())
                    good.append(True)
                except msgspec.DecodeError:
                    good.append(False)
            assert good.count(False) == 1
            assert good[-1]

    with_venue(test, rate=50.0)


def test_a_huge_frame_comes_whole_before_the_next_delta() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK, max_msg_size=16 << 20) as socket:
            (before,) = await messages(socket, 1)
            await order(session, kind="huge", bytes=8 << 20)
            sizes = [len(await socket.receive_str()) for _ in range(4)]
            assert sum(1 for each in sizes if each > 8 << 20) == 1
            assert before["e"] == "depthUpdate"
        async with session.ws_connect(SPOT_BOOK, max_msg_size=1 << 20) as socket:
            await messages(socket, 1)
            await order(session, kind="huge", bytes=2 << 20)
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
            assert message.data == 1009 or socket.close_code == 1009

    with_venue(test, rate=50.0)


def test_a_stalled_connection_is_open_and_silent() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with (
            session.ws_connect(SPOT_BOOK) as socket,
            session.ws_connect("/binance_spot/ws/ethusdt@depth@100ms") as other,
        ):
            await messages(socket, 1)
            await messages(other, 1)
            await order(session, kind="stall", symbol="BTC-USDT", duration_s=1.0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.6):
                    await messages(socket, 5)
            await messages(other, 3)
            assert not socket.closed
            books = await messages(socket, 2)
            assert books[0]["e"] == "depthUpdate"

    with_venue(test, rate=50.0)


def test_close_is_1006_for_as_many_as_ordered_and_cut_is_for_all() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        sockets = [await session.ws_connect(SPOT_BOOK) for _ in range(3)]
        bybit = await session.ws_connect("/bybit/v5/public/spot")
        for socket in sockets:
            await messages(socket, 1)
        assert await order(session, kind="close", budget="binance_spot", count=1) == 1
        while (await sockets[0].receive()).type is WSMsgType.TEXT:
            pass
        assert sockets[0].close_code == 1006
        await messages(sockets[1], 1)
        assert await order(session, kind="cut") == 3
        for socket in (*sockets[1:], bybit):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
            assert socket.close_code == 1001

    with_venue(test, rate=50.0)


def test_one_connection_can_be_named() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/bybit/v5/public/spot"), session.ws_connect("/bybit/v5/public/spot"):
            rows = (await get(session, "/statistics"))["budgets"]["bybit"]["sockets"]["connections"]
            assert await order(session, kind="close", connection=rows[1]["id"]) == 1
            await asyncio.sleep(0.05)
            left = (await get(session, "/statistics"))["budgets"]["bybit"]["sockets"]["connections"]
            assert [each["id"] for each in left] == [rows[0]["id"]]

    with_venue(test)


def test_a_planned_end_is_told_before_it_comes() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/binance_spot/ws") as socket:
            await order(session, kind="shutdown", budget="binance_spot", delay_s=0.3)
            (event,) = await messages(socket, 1)
            assert event["e"] == "serverShutdown"
            assert (await socket.receive()).type is WSMsgType.CLOSE

    with_venue(test)


def test_connects_can_be_refused_for_a_time() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        await order(session, kind="refuse", market="bybit_linear", count=4)
        for _unused in range(2):
            # This client tries each broken connect once more by itself.
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await session.ws_connect("/bybit/v5/public/linear")
        async with session.ws_connect("/bybit/v5/public/spot"):
            pass
        async with session.ws_connect("/bybit/v5/public/linear"):
            pass

    with_venue(test)


def test_bybits_books_begin_at_1_after_a_restart() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/bybit/v5/public/linear") as socket:
            await socket.send_json({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]})
            await messages(socket, 3)
            assert await order(session, kind="restart", budget="bybit") == 1
            seen = [(each["type"], each["data"]["u"]) for each in await messages(socket, 10)]
            at = seen.index(("snapshot", 1))
            assert seen[at + 1 : at + 3] == [("delta", 2), ("delta", 3)]

    with_venue(test, rate=50.0)


@pytest.mark.parametrize(
    ("path", "arguments", "number"),
    [
        ("/binance_usdm/fapi/v1/depth", {"symbol": "BTCUSDT"}, lambda body: body["lastUpdateId"]),
        (
            "/bybit/v5/market/orderbook",
            {"symbol": "BTCUSDT", "category": "spot"},
            lambda body: body["result"]["seq"],
        ),
    ],
)
def test_snapshots_can_be_slow_or_old(path: str, arguments: dict[str, str], number: Any) -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        now = number(await get(session, path, **arguments))
        await order(session, kind="old_snapshot", symbol="BTCUSDT", lag=50_000)
        assert number(await get(session, path, **arguments)) < now - 40_000
        assert number(await get(session, path, **arguments)) >= now
        await order(session, kind="slow_snapshot", delay_s=0.4)
        began = time.monotonic()
        await get(session, path, **arguments)
        assert time.monotonic() - began >= 0.39

    with_venue(test)


def test_refusals_can_be_forced_in_each_venues_form() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        spot, bybit = "/binance_spot/api/v3/time", "/bybit/v5/market/time"
        await order(session, kind="429", budget="binance_spot", retry_after_s=3)
        async with session.get(spot) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
            assert (await answer.json())["code"] == -1003
        await get(session, spot)
        await order(session, kind="418", budget="binance_spot", ban_s=1)
        async with session.get(spot) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (418, "1")
        async with session.ws_connect("/binance_usdm/public/ws"):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect("/binance_spot/ws")
        await asyncio.sleep(1.05)
        await get(session, spot)
        await order(session, kind="429", budget="bybit")
        assert (await get(session, bybit))["retCode"] == 10006
        await order(session, kind="403", budget="bybit", ban_s=60)
        async with session.get(bybit) as answer:
            assert (answer.status, await answer.text()) == (403, "access too frequent")
        refusals = {
            name: each["refusals"] for name, each in (await get(session, "/statistics"))["budgets"].items()
        }
        assert refusals["binance_spot"] == {"429": 1, "418": 2}
        assert refusals["bybit"] == {"10006": 1, "403": 1}

    with_venue(test)


def test_calls_can_be_lost_or_broken_or_late() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        await order(session, kind="unreachable", budget="binance_coinm")
        # A pooled connection would be tried again by the client: a new one is not.
        async with aiohttp.ClientSession(str(session._base_url)) as fresh:
            with pytest.raises(aiohttp.ClientError):
                await fresh.post("/binance_coinm/dapi/v1/ping")
        await order(session, kind="broken", budget="binance_coinm")
        async with session.get("/binance_coinm/dapi/v1/ping") as answer:
            assert answer.status == 503
        await order(session, kind="jitter", budget="binance_coinm", duration_s=30, delay_s=0.2)
        began = time.monotonic()
        await asyncio.gather(*(get(session, "/binance_coinm/dapi/v1/ping") for _ in range(20)))
        assert time.monotonic() - began >= 0.05
        async with session.delete("/faults") as answer:
            assert await answer.json() == {"forgotten": 1}

    with_venue(test)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"kind":"fly"}', "kind"),
        (b'{"kind":"drop","count":-1}', "count"),
        (b'{"kind":"drop","count":"1"}', "count"),
        (b'{"kind":"drop","often":1}', "often"),
        (b'{"kind":"stall"}', "duration_s"),
        (b'{"kind":"drop","market":"okx"}', "market"),
        (b'{"kind":"drop","budget":"okx"}', "budget"),
        (b'{"kind":"drop","symbol":"NOPE-USDT"}', "symbol"),
        (b'{"kind":"huge","bytes":999999999}', "bytes"),
        (b"[]", "body"),
        (b"{", "body"),
    ],
)
def test_a_bad_order_is_refused_naming_the_field(body: bytes, where: str) -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.post("/faults", data=body) as answer:
            assert answer.status == 400
            assert where in (await answer.json())["error"]
        assert (await get(session, "/faults"))["active"] == []

    with_venue(test)


@given(
    kinds=st.lists(st.sampled_from(["drop", "429"]), max_size=20),
    count=st.integers(1, 5),
    duration=st.integers(0, 3),
    waits=st.lists(st.integers(0, S), max_size=20),
)
def test_faults_happen_no_more_often_and_no_longer_than_ordered(
    kinds: list[Any], count: int, duration: int, waits: list[int]
) -> None:
    faults, now = Faults(), 10 * S
    for kind in kinds:
        faults.add(now, Fault(kind, count=count, duration_s=duration))
    began, taken = now, 0
    for wait in waits:
        now += wait
        fault = faults.take(now, frozenset({"drop"}), "binance_spot")
        over = duration and now >= began + duration * S
        assert (fault is not None) == (taken < count * kinds.count("drop") and not over)
        taken += fault is not None
    assert faults.done.get("drop", 0) == taken


def test_faults_are_bounded_in_number_and_every_kind_can_be_read() -> None:
    faults = Faults()
    for at in range(MAX_ACTIVE):
        faults.add(at, Fault("drop"))
    with pytest.raises(BadFault, match="active already"):
        faults.add(0, Fault("drop"))
    assert faults.clear(5) == 1
    assert faults.clear() == MAX_ACTIVE - 1
    for kind in KINDS:
        assert read(msgspec.json.encode({"kind": kind, "duration_s": 1})).kind == kind
