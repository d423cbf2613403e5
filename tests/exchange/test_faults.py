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
from engine.exchange.order_faults import OrderFaults, resumed
from engine.exchange.server import LocalVenue
from engine.exchange.trading import Order
from engine.flow.symbols import SYMBOLS
from engine.matching.orders import AUCTION, CLOSED, CONTINUOUS, HALTED
from engine.telemetry.board import FaultView
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
        (b'{"kind":"halt"}', "duration_s"),
        (b'{"kind":"drop","rate":0}', "rate"),
        (b'{"kind":"drop","rate":1.5}', "rate"),
        (b'{"kind":"cut","rate":0.5}', "rate"),
        (b'{"kind":"drop","account":"main"}', "account"),
        (b'{"kind":"drop","data":"candles"}', "data"),
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


@given(
    seed=st.integers(0, 99),
    rate=st.floats(0.05, 1.0),
    count=st.integers(0, 6),
    occasions=st.lists(st.sampled_from(["book", "trades"]), max_size=80),
    others=st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_the_same_seed_and_occasions_give_the_same_faults_whatever_others_do(
    seed: int, rate: float, count: int, occasions: list[str], others: list[bool]
) -> None:
    def run(seed: int, others: list[bool]) -> list[bool]:
        faults = Faults(seed)
        faults.add(0, Fault("429", duration_s=60, rate=0.5))
        faults.add(0, Fault("drop", duration_s=60, count=count, rate=rate, data="all"))
        happened = []
        for data, other in zip(occasions, others, strict=False):
            if other:
                faults.take(S, frozenset({"429"}), "bybit")
            happened.append(faults.take(S, frozenset({"drop"}), "bybit", data=data) is not None)
        assert faults.done.get("drop", 0) == sum(happened)
        return happened

    happened = run(seed, others)
    assert happened == run(seed, others) == run(seed, [False] * 80)
    assert sum(happened) <= (count or 80)
    if rate == 1.0 and not count:
        assert all(happened)


def test_a_rate_is_the_share_of_occasions() -> None:
    for rate in (0.1, 0.5, 0.9):
        faults = Faults(7)
        faults.add(0, Fault("drop", duration_s=60, rate=rate))
        times = sum(faults.take(S, frozenset({"drop"}), "bybit") is not None for _ in range(4_000))
        assert abs(times / 4_000 - rate) < 0.03
        assert faults.done == {"drop": times}
    assert [Faults(seed).seed for seed in (1, 2)] == [1, 2]


def test_another_seed_gives_other_faults() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(0, Fault("drop", duration_s=60, rate=0.5))
        return [faults.take(S, frozenset({"drop"}), "bybit") is not None for _ in range(100)]

    assert run(1) != run(2)


@pytest.mark.parametrize(
    ("stream", "data"), [("trade", "trades"), ("bookTicker", "all"), ("depth@100ms", "book")]
)
def test_messages_of_any_stream_are_doubled_at_a_rate(stream: str, data: str) -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"/binance_spot/ws/btcusdt@{stream}") as socket:
            wrong = "book" if data == "trades" else "trades"
            await order(session, kind="duplicate", duration_s=60, data=wrong)
            before = await messages(socket, 6)
            assert all(a != b for a, b in itertools.pairwise(before))
            await order(session, kind="duplicate", duration_s=60, data=data, rate=0.5)
            pairs = list(itertools.pairwise(await messages(socket, 40)))
            doubled = sum(1 for a, b in pairs if a == b)
            assert 3 < doubled < 20  # of 20 and more that came

    with_venue(test, rate=50.0)


def test_a_share_of_books_is_lost() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(SPOT_BOOK) as socket:
            await order(session, kind="drop", duration_s=60, rate=0.5)
            books = await messages(socket, 16)
            assert 1 < gaps(books) < 15

    with_venue(test, rate=50.0)


def test_connections_are_broken_off_as_they_are_sent_something() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        sockets = [await session.ws_connect(SPOT_BOOK) for _ in range(3)]
        for socket in sockets:
            await messages(socket, 1)
        await order(session, kind="disconnect", count=2)
        ended = 0
        for socket in sockets:
            for _unused in range(4):
                message = await socket.receive()
                if message.type is not WSMsgType.TEXT:
                    assert socket.close_code == 1006
                    ended += 1
                    break
        assert ended == 2

    with_venue(test, rate=50.0)


def test_what_is_ordered_is_shown_in_words() -> None:
    faults = Faults()
    faults.add(5 * S, Fault("drop", market="bybit_spot", symbol="BTC-USDT", rate=0.25, duration_s=10))
    faults.add(5 * S, Fault("reject", budget="native", account="main", count=3))
    faults.add(5 * S, Fault("429"))
    faults.take(6 * S, frozenset({"reject"}), "native", account="main")
    assert faults.take(6 * S, frozenset({"reject"}), "native", account="other") is None
    assert faults.views(7 * S, 100 * S) == (
        FaultView(1, "drop", "bybit_spot BTC-USDT", 0.25, 0, -1, 108 * S),
        FaultView(2, "reject", "native main", 1.0, 1, 2, 0),
        FaultView(3, "429", "everywhere", 1.0, 0, 1, 0),
    )
    assert [each.id for each in faults.views(20 * S, 100 * S)] == [2, 3]


INSTRUMENTS = [each.instrument for each in SYMBOLS]


def asked(dialect: str, symbol: int = 0, account: int = 17) -> Order:
    return Order(account, symbol, 1, 0, 5, dialect=dialect)


def test_orders_are_refused_where_it_was_ordered_and_nowhere_else() -> None:
    faults = Faults(3)
    orders = OrderFaults(faults, INSTRUMENTS, lambda number: {17: "main"}.get(number, ""), lambda: S)
    assert not orders.reject(asked("binance"))
    assert orders.delay_s(asked("binance")) == 0.0
    faults.add(0, Fault("reject", duration_s=60, budget="native", symbol="ETHUSDT", account="main"))
    places = [
        asked("binance", 1),
        asked("native", 0),
        asked("native", 1, 18),
        asked("native", 1),
        asked("page", 1),
    ]
    assert [orders.reject(each) for each in places] == [False, False, False, True, False]
    faults.clear()
    faults.add(0, Fault("reject", duration_s=60, market="bybit_spot"))
    assert [orders.reject(asked(each)) for each in ("binance", "bybit", "native")] == [False, True, False]
    faults.clear()
    faults.add(0, Fault("reject", duration_s=60, rate=0.3))
    refused = [orders.reject(asked("bybit")) for _ in range(1_000)]
    assert 240 < sum(refused) < 360
    again = Faults(3)
    for fault in (Fault("429"), Fault("429"), Fault("reject", duration_s=60, rate=0.3)):
        again.add(0, fault)
    twin = OrderFaults(again, INSTRUMENTS, clock=lambda: S)
    assert [twin.reject(asked("native")) for _ in range(1_000)] == refused
    faults.add(0, Fault("slow_ack", count=1, delay_s=0.25))
    faults.add(0, Fault("slow_ack", count=1))
    assert [orders.delay_s(asked("page")) for _ in range(3)] == [0.25, 1.0, 0.0]


def test_symbols_are_halted_for_as_long_as_some_halt_lasts() -> None:
    faults = Faults()
    orders = OrderFaults(faults, INSTRUMENTS)
    assert orders.halts(0) == []
    faults.add(0, Fault("halt", symbol="ETH-USDT", duration_s=10))
    assert orders.halts(S) == [(1, HALTED)]
    assert orders.halts(2 * S) == []
    everywhere = faults.add(2 * S, Fault("halt", duration_s=20))
    assert sorted(orders.halts(3 * S)) == [(at, HALTED) for at in range(5)]
    assert orders.halts(11 * S) == []  # the first is over, the second still holds its symbol
    faults.clear(everywhere)
    assert sorted(orders.halts(12 * S)) == [(at, CONTINUOUS) for at in range(5)]
    assert orders.halts(13 * S) == []
    assert faults.done == {"halt": 2}


def test_a_fault_that_is_over_lets_nothing_trade_that_somebody_halted() -> None:
    faults = Faults()
    orders = OrderFaults(faults, INSTRUMENTS)
    orders.note_halt(0, halted=True)
    orders.note_halt(3, halted=True)
    faults.add(0, Fault("halt", duration_s=10))
    assert not orders.holds(1)
    orders.halts(S)
    assert [orders.holds(at) for at in range(5)] == [True] * 5
    orders.note_halt(1, halted=True)  # while the fault lasts
    orders.note_halt(3, halted=False)
    orders.note_halt(4, halted=False)
    assert sorted(orders.halts(10 * S)) == [(2, CONTINUOUS), (3, CONTINUOUS), (4, CONTINUOUS)]
    assert [orders.holds(at) for at in range(5)] == [False] * 5
    faults.add(10 * S, Fault("halt", symbol="BTC-USDT", duration_s=1))
    assert orders.halts(10 * S) == [(0, HALTED)]
    assert orders.halts(11 * S) == []
    orders.note_halt(0, halted=False)
    faults.add(11 * S, Fault("halt", symbol="BTC-USDT", duration_s=1))
    orders.halts(11 * S)
    assert orders.halts(12 * S) == [(0, CONTINUOUS)]


def test_an_exchange_starts_with_no_symbol_halted() -> None:
    assert resumed([CONTINUOUS, HALTED, AUCTION, CLOSED, HALTED]) == [(1, CONTINUOUS), (4, CONTINUOUS)]
    assert resumed([CONTINUOUS] * 5) == []


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
