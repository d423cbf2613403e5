"""The house: what pages see of an exchange that trades, its seconds, and its start and stop."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from engine.exchange.faults import Fault
from engine.exchange.house_views import SHOWN_ROWS
from engine.matching.orders import HALTED
from tests.exchange.running import RunningExchange
from tests.exchange.test_doors import CLOSE, TEXT, connected, logged_in

FAR = "95000.0"


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=500) as running:
        yield running


def until(condition: Callable[[], Any], within_s: float = 8.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return found


def view(exchange: RunningExchange) -> Any:
    return exchange.do(lambda house: house.view(time.time_ns()))


def placed(client: Any, **more: Any) -> Any:
    order = {"op": "place", "symbol": "BTC-USDT", "side": "buy", "price": FAR, "size": "0.01"} | more
    return client.say(order)


def test_the_view_tells_of_clients_accounts_and_orders(exchange: RunningExchange) -> None:
    with logged_in(exchange, "own") as client, connected(exchange, "shared"):
        first = placed(client, client_id="mine")
        placed(client, type="market", price="", size="0.002")
        assert not placed(client, size="500")["ok"]
        seen = view(exchange)
        assert (seen.state, seen.url, seen.order_url) == ("serving", exchange.url, exchange.order_url)
        assert seen.client_count == 2
        mine = next(each for each in seen.clients if each.account == "main")
        assert (mine.dialect, mine.use, mine.address) == ("native", "orders", "127.0.0.1")
        assert (mine.orders, mine.in_flight) == (3, 0)
        assert sum(count for _, count in mine.rejects) == seen.rejected == 1
        main = next(each for each in seen.accounts if each.name == "main")
        (mine_open,) = main.open
        assert (mine_open.order_id, mine_open.client_id) == (first["order_id"], "mine")
        assert (mine_open.price, mine_open.size, mine_open.status) == (FAR, "0.01000", "new")
        assert [each.status for each in main.ended] == ["filled"]
        assert sum(Decimal(each.size) for each in main.fills) == Decimal("0.002")
        assert seen.trades >= seen.fills >= 1
        assert [symbol for symbol, _ in seen.symbols][:2] == ["BTC-USDT", "ETH-USDT"]
        assert {phase for _, phase in seen.symbols} == {"trading"}
        assert [each.account for each in seen.keys] == ["main"]
        assert "secret" not in repr(seen.keys)
        client.send(CLOSE, b"\x03\xe8")
        client.closed()
    until(lambda: view(exchange).client_count == 0)
    balances = {each.asset: each for each in view(exchange).accounts[0].balances}
    assert Decimal(balances["USDT"].reserved) == Decimal(FAR) * Decimal("0.01")


def test_only_the_newest_rows_are_shown(exchange: RunningExchange) -> None:
    with logged_in(exchange, "own") as client:
        for _ in range(SHOWN_ROWS + 5):
            last = placed(client, size="0.0001")
        main = view(exchange).accounts[0]
        assert len(main.open) == SHOWN_ROWS
        assert main.open[0].order_id == last["order_id"]
        assert main.open_count == SHOWN_ROWS + 5


def test_faults_and_halts_are_shown(exchange: RunningExchange) -> None:
    exchange.do(lambda house: house.server.inject(Fault("slow_ack", delay_s=0.01, duration_s=60)))
    exchange.floor(lambda floor: floor.desk.set_phase(4, HALTED))
    until(lambda: dict(view(exchange).symbols)["XRP-USDT"] == "halted")
    assert len(view(exchange).faults) == 1
    with logged_in(exchange, "own") as client:
        assert placed(client)["ok"]
    assert dict(view(exchange).faults_done)["slow_ack"] == 1


def test_seconds_count_what_came_since_the_last(exchange: RunningExchange) -> None:
    with logged_in(exchange, "own") as client:
        exchange.do(lambda house: house.close_second(exchange.telemetry, 1_000_000_000))
        for _ in range(7):
            placed(client)
        placed(client, size="0")
        exchange.do(lambda house: house.close_second(exchange.telemetry, 2_000_000_000))
        seen = view(exchange)
        assert (seen.orders_per_s, seen.acks_per_s, seen.fills_per_s) == (7.0, 7.0, 0.0)
        mine = next(each for each in seen.clients if each.account == "main")
        assert mine.messages_per_s == 8.0
        exchange.do(lambda house: house.close_second(exchange.telemetry, 3_000_000_000))
        assert view(exchange).orders_per_s == 0.0


def test_statistics_and_faults_are_served_beside_the_dialects(exchange: RunningExchange) -> None:
    with urllib.request.urlopen(f"{exchange.url}/statistics", timeout=5) as answer:
        assert set(json.load(answer)["budgets"]) == {"binance_spot", "bybit"}
    with urllib.request.urlopen(f"{exchange.url}/faults", timeout=5) as answer:
        assert json.load(answer)["active"] == []


def test_both_ports_are_free_again_after_the_end_and_clients_are_gone() -> None:
    with RunningExchange(rate=100) as exchange:
        ports = [int(url.rpartition(":")[2]) for url in (exchange.url, exchange.order_url)]
        clients = [connected(exchange, door) for door in ("shared", "own")]
    for client in clients:
        assert client.closed() in (1012, 1001, -1)
        client.socket.close()
    for port in ports:
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))


def test_slow_sessions_turns_do_not_wait_for_traffic(exchange: RunningExchange) -> None:
    """A revoked key's socket ends though it says nothing."""
    with logged_in(exchange, "shared", "quiet") as client:
        client.send(TEXT, b'{"op":"ping"}')
        client.value()
        for key in exchange.floor(lambda floor: floor.accounts.keys):
            exchange.do(lambda house, key=key: house.admin.revoke(key.api_key))
        assert client.closed() == 1008
