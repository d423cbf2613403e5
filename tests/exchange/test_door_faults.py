"""What happens at the doors on command, by limits and by revoked keys: ends at once, refusals, stalls."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.builtin import BuiltIn, Served
from engine.exchange import order_sockets
from engine.exchange.accounts import Accounts
from engine.exchange.dialects.bybit_trading_codes import TOO_MANY_VISITS
from engine.exchange.faults import Fault
from engine.exchange.floor import Floor
from engine.exchange.house import House, PortTaken
from engine.flow.simulator import Simulator
from tests.exchange.running import RunningExchange
from tests.exchange.test_doors import (
    TEXT,
    WITHIN_S,
    Raw,
    connected,
    doors,
    is_clean,
    logged_in,
    port_of,
    until,
    works,
)

BINANCE, BYBIT = "/binance_spot/ws-api/v3", "/bybit/v5/trade"
ADDRESS = "127.0.0.1"
ORDER = {"op": "place", "id": 7, "symbol": "BTC-USDT", "side": "buy", "price": "95000.0", "size": "0.001"}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningExchange]:
    with RunningExchange(rate=500) as exchange:
        yield exchange


@pytest.fixture
def exchange(running: RunningExchange) -> Iterator[RunningExchange]:
    """Without faults, bans and clients of other tests."""

    def forget(house: House) -> None:
        house.faults.clear()
        for budget in house.budgets.values():
            budget.enforcement.forget(ADDRESS)

    running.do(forget)
    until(lambda: is_clean(running))
    yield running
    running.do(forget)


def inject(exchange: RunningExchange, kind: Any, **more: Any) -> int:
    return int(exchange.do(lambda house: house.server.inject(Fault(kind, **more))))


def place(client: Raw) -> None:
    client.send(TEXT, json.dumps(ORDER).encode())


def orders_of(exchange: RunningExchange, account: str) -> int:
    return len(exchange.floor(lambda floor: floor.desk.open_orders(floor.accounts.account(account))))


# --- ends --------------------------------------------------------------------------------------------------


@doors
@pytest.mark.parametrize("kind", ["close", "disconnect"])
def test_a_fault_that_ends_a_connection_does_so_at_once(
    exchange: RunningExchange, door: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_sockets, "CLOSE_WITHIN_S", 60.0)
    with connected(exchange, door) as client:
        inject(exchange, kind, budget="native")
        if kind == "disconnect":
            client.send(TEXT, b'{"op":"ping"}')
        assert client.closed() == -1


@doors
def test_a_cut_says_so_before_it_breaks_off(exchange: RunningExchange, door: str) -> None:
    with connected(exchange, door) as client:
        assert inject(exchange, "cut", budget="native") == 1
        assert client.closed() == 1001


@doors
def test_what_comes_after_the_end_is_not_done(
    exchange: RunningExchange, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection itself is still open."""
    for each in (order_sockets._AioClient, order_sockets._PicowsClient):
        monkeypatch.setattr(each, "break_off", lambda _: None, raising=False)
    account = f"ended-{door}"
    with logged_in(exchange, door, account) as client:
        exchange.do(lambda house: [each.abort() for each in list(house.floor.clients.all.values())])
        client.send(TEXT, b'{"op":"subscribe","channels":["account","book:BTC-USDT"]}')
        place(client)
        with logged_in(exchange, door, account) as other:
            assert other.say({"op": "orders"})["orders"] == []
    until(lambda: is_clean(exchange))
    assert orders_of(exchange, account) == 0


def test_the_count_of_a_close_is_of_all_sockets_together(exchange: RunningExchange) -> None:
    done = exchange.do(lambda house: house.faults.done.get("close", 0))
    with Raw(port_of(exchange, "shared")) as stream, connected(exchange, "own"):
        assert stream.open("/binance_spot/ws/btcusdt@trade") == 101
        assert inject(exchange, "close", count=1) == 1
        assert exchange.do(lambda house: house.faults.done["close"]) == done + 1
        left = exchange.do(
            lambda h: len(h.floor.clients.all) + len(h.budgets["binance_spot"].hub.connections)
        )
        assert left in (1, 2)  # the stream's end may not have come yet
        assert exchange.floor(lambda floor: len(floor.clients.all)) == 1
        assert inject(exchange, "close", budget="native", count=5) == 1
        assert exchange.do(lambda house: house.faults.done["close"]) == done + 2


# --- stalls ------------------------------------------------------------------------------------------------


@doors
def test_a_stall_holds_answers_back_until_it_ends(exchange: RunningExchange, door: str) -> None:
    account = f"stalled-{door}"
    with logged_in(exchange, door, account) as client, connected(exchange, door) as other:
        mine = exchange.floor(
            lambda f: next(each.id for each in f.clients.all.values() if each.label == account)
        )
        inject(exchange, "stall", connection=mine, duration_s=60.0)
        place(client)
        client.send(TEXT, b'{"op":"ping","id":8}')
        assert other.say({"op": "ping", "id": 1})["ok"]
        until(lambda: orders_of(exchange, account) == 1)
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.frame()
        client.socket.settimeout(WITHIN_S)
        exchange.do(lambda house: house.faults.clear())
        assert [client.value()["id"] for _ in range(2)] in ([7, 8], [8, 7])
        assert client.say({"op": "ping", "id": 9})["id"] == 9


# --- handshakes --------------------------------------------------------------------------------------------


@doors
@pytest.mark.parametrize(
    ("path", "budget", "status"), [(BINANCE, "binance_spot", 418), (BYBIT, "bybit", 403)]
)
def test_a_banned_address_opens_no_order_socket(
    exchange: RunningExchange, door: str, path: str, budget: str, status: int
) -> None:
    exchange.do(lambda house: house.budgets[budget].enforcement.ban(house.floor.wall(), ADDRESS, 60, status))
    with Raw(port_of(exchange, door)) as client:
        assert client.open(path) == status
    works(exchange, door)  # the native protocol has no limits


@doors
@pytest.mark.parametrize(("path", "budget"), [(BINANCE, "binance_spot"), (BYBIT, "bybit")])
def test_every_handshake_counts_as_a_connect_once(
    exchange: RunningExchange, door: str, path: str, budget: str
) -> None:
    def connects() -> int:
        return int(exchange.do(lambda house: house.budgets[budget].enforcement.statistics()["connects"]))

    before = connects()
    with Raw(port_of(exchange, door)) as client:
        assert client.open(path) == 101
        assert connects() == before + 1


@doors
@pytest.mark.parametrize(("path", "budget"), [("/native", "native"), (BINANCE, "binance_spot")])
def test_a_fault_refuses_handshakes(exchange: RunningExchange, door: str, path: str, budget: str) -> None:
    inject(exchange, "refuse", budget=budget, count=1)
    with Raw(port_of(exchange, door)) as client:
        client.socket.sendall(client.head(path))
        try:
            answer = client.answer()
        except ConnectionError:
            answer = b""
        assert answer == b"" if door == "shared" else b" 503 " in answer
    with Raw(port_of(exchange, door)) as client:
        assert client.open(path) == 101


@doors
@pytest.mark.parametrize(
    ("path", "request_id", "answer_id"),
    [(BYBIT, "reqId", "reqId"), ("/bybit/v5/private", "req_id", "req_id")],
)
def test_a_banned_address_is_refused_at_sockets_it_has(
    exchange: RunningExchange, door: str, path: str, request_id: str, answer_id: str
) -> None:
    with Raw(port_of(exchange, door)) as client:
        assert client.open(path) == 101
        ping = {request_id: "p", "op": "ping"}
        assert client.say(ping)["op"] == "pong"
        exchange.do(
            lambda house: house.budgets["bybit"].enforcement.ban(house.floor.wall(), ADDRESS, 60, 403)
        )
        refused = client.say(ping)
        assert refused[answer_id] == "p"
        assert refused.get("retCode", TOO_MANY_VISITS) == TOO_MANY_VISITS
        assert "access too frequent" in (refused.get("retMsg"), refused.get("ret_msg"))


# --- keys --------------------------------------------------------------------------------------------------


@doors
def test_a_revoked_key_has_no_session_once_that_is_answered(exchange: RunningExchange, door: str) -> None:
    account = f"revoked-{door}"

    def revoke(house: House) -> tuple[list[str], int]:
        (api_key,) = (each.api_key for each in house.floor.accounts.keys if each.name == account)
        (client,) = (each for each in house.floor.clients.all.values() if each.label == account)
        assert house.admin.revoke(api_key)
        left = [each.label for each in house.floor.clients.all.values()]
        assert client.session is not None
        client.session.on_text(json.dumps(ORDER).encode(), house.floor.wall())  # whatever a door may do
        return left, house.floor.desk.waiting

    with logged_in(exchange, door, account) as client, logged_in(exchange, door, "other") as other:
        assert exchange.do(revoke) == (["other"], 0)
        assert client.closed() == 1008
        assert other.say({"op": "ping"})["ok"]


# --- ports -------------------------------------------------------------------------------------------------


def test_a_taken_port_of_orders_leaves_the_other_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.builtin.RETRY_S", 0.05)
    notes: list[tuple[str, ...]] = []

    class Told:
        def note(self, *given: str) -> None:
            notes.append(given)

    async def main(port: int, free: Any) -> None:
        house = House(Floor(Simulator(1, 100), Accounts(64)))
        served = Served(ADDRESS, 0, port)
        built_in = BuiltIn(1, 100, 0, served=served)
        doors = asyncio.create_task(built_in._open_doors(house, served, Told()))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(WITHIN_S):
                while len(notes) < 1:
                    await asyncio.sleep(0.01)
                assert (house.order_url, built_in.trouble) == ("", "")
                url = house.url
                assert notes[0][0] == "error"
                assert f"served on {url} alone: port {port} on {ADDRESS} cannot be used" in notes[0][-1]
                view = house.view(1)
                assert (view.state, view.order_url) == ("serving", "")
                assert f"port {port}" in view.detail
                reader, writer = await asyncio.open_connection(ADDRESS, int(url.rpartition(":")[2]))
                writer.write(b"GET /binance_spot/api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert b" 200 " in await reader.readline()
                writer.close()
                free()
                await doors
            assert house.order_url == f"ws://{ADDRESS}:{port}"
            assert (house.url, house.view(1).detail, len(notes)) == (url, "", 2)
        finally:
            doors.cancel()
            await house.stop()

    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        asyncio.run(main(taken.getsockname()[1], taken.close))


def test_a_taken_port_is_named() -> None:
    async def main(port: int) -> None:
        house = House(Floor(Simulator(1, 100), Accounts(64)))
        with pytest.raises(PortTaken, match=f"port {port} on {ADDRESS} cannot be used"):
            await house.start(port, 0)
        assert (house.url, house.order_url) == ("", "")

    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        asyncio.run(main(taken.getsockname()[1]))
