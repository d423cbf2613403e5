"""Which orders count in Binance's limits of orders: those that go to the book, of one who is surely their owner."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from engine.exchange.accounts import Key, hmac_hex
from engine.exchange.enforcement import Enforcement
from engine.exchange.venue_rules import RULES
from tests.exchange.binance_calls import Client, Socket
from tests.exchange.running import RunningExchange

LIMIT = 3


@pytest.fixture
def client() -> Client:
    """One that may place three orders in ten seconds."""
    made = Client()
    enforcement = Enforcement(RULES["binance_spot"].with_window("ORDERS", 10, LIMIT))
    made.dialect.enforcement = enforcement  # type: ignore[misc]
    return made


def used(client: Client, key: Key | None = None) -> int:
    """What the account has in the shortest window."""
    account = str((key or client.key).account)
    return client.dialect.enforcement.orders_used(client.rig.now_ns, account)[0][1]


def test_who_knows_a_key_and_not_its_secret_takes_nothing_of_its_limit(client: Client) -> None:
    socket = Socket(client)
    for at in range(LIMIT + 2):
        text = client.signed(client.order())
        assert client.raw("POST", "/api/v3/order", text[:-1] + ("0" if text[-1] != "0" else "1"))[0] == 400
        answer = socket.ask(
            "order.place", sign=False, **client.order(), apiKey=client.key.api_key, signature="0" * 64,
            timestamp=client.rig.now_ns // 1_000_000 + at,
        )  # fmt: skip
        assert answer["error"]["code"] == -1022
    assert used(client) == 0
    client.place()
    assert socket.ask("order.place", **client.order())["status"] == 200
    assert used(client) == 2


def test_orders_that_no_filter_lets_pass_do_not_count(client: Client) -> None:
    socket = Socket(client)
    for params in ({"quantity": "0"}, {"price": "0.001"}, {"side": "NOPE"}, {"symbol": "NOPE"}):
        client.refuse(**params)
        assert socket.ask("order.place", **client.order(**params))["status"] == 400
    client.good("POST", "/order/test", **client.order())
    pair = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER"}
    client.refused("POST", "/orderList/oco", **pair)
    assert used(client) == 0


def test_both_ways_share_one_limit_and_say_when_to_come_back(client: Client) -> None:
    socket = Socket(client, query="")
    told = []
    for _ in range(LIMIT):
        answer = socket.ask("order.place", **client.order())
        told += [each["count"] for each in answer["rateLimits"] if each["rateLimitType"] == "ORDERS"][:1]
    assert told == [1, 2, 3]
    for _ in range(2):
        assert client.refuse()[0] == -1015
        answer = socket.ask("order.place", **client.order())
        assert (answer["status"], answer["error"]["code"]) == (429, -1015)
        assert answer["error"]["data"]["retryAfter"] > answer["error"]["data"]["serverTime"]
        rows = [each["count"] for each in answer["rateLimits"] if each["rateLimitType"] == "ORDERS"]
        assert rows == [LIMIT, LIMIT]
    assert used(client) == LIMIT  # refused ones do not count
    client.key = client.rig.other()
    client.place()
    client.rig.now_ns += 10_000_000_000
    assert used(client) == 0


def test_a_list_counts_as_two_and_fits_whole_or_not_at_all(client: Client) -> None:
    pair = {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER",
        "abovePrice": "110000", "belowType": "STOP_LOSS", "belowStopPrice": "90000",
    }  # fmt: skip
    client.good("POST", "/orderList/oco", **pair)
    assert used(client) == 2
    assert client.refused("POST", "/orderList/oco", **pair)[0] == -1015
    client.place()
    assert used(client) == 3


def test_a_replacement_that_is_not_tried_does_not_count(client: Client) -> None:
    order = client.order(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=77)
    assert client.refused("POST", "/order/cancelReplace", **order)[0] == -2022
    assert used(client) == 0
    order["cancelReplaceMode"] = "ALLOW_FAILURE"
    assert client.call("POST", "/order/cancelReplace", **order)[0] == 409
    assert used(client) == 1


def test_over_the_limit_a_replacement_cancels_alone_where_it_is_asked_to(client: Client) -> None:
    old = [client.place() for _ in range(LIMIT)]
    order = client.order(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=old[0]["orderId"])
    assert client.refused("POST", "/order/cancelReplace", **order)[0] == -1015
    order["orderRateLimitExceededMode"] = "CANCEL_ONLY"
    status, body = client.call("POST", "/order/cancelReplace", **order)
    assert (status, body["data"]["cancelResult"], body["data"]["newOrderResult"]) == (
        409,
        "SUCCESS",
        "FAILURE",
    )
    assert body["data"]["newOrderResponse"]["code"] == -1015
    order["cancelOrderId"] = old[1]["orderId"]
    answer = Socket(client).ask("order.cancelReplace", **order)
    assert (answer["status"], answer["error"]["data"]["cancelResult"]) == (409, "SUCCESS")
    assert used(client) == LIMIT
    assert len(client.rig.desk.open_orders(client.rig.account)) == 1


def ask(exchange: RunningExchange, key: Key, clock_ns: int, **params: Any) -> tuple[int, dict[str, str]]:
    """Status and headers of a new order over REST."""
    text = "&".join(f"{name}={value}" for name, value in params.items())
    text += f"&timestamp={clock_ns // 1_000_000}"
    url = f"{exchange.url}/binance_spot/api/v3/order?{text}&signature={hmac_hex(key.secret, text.encode())}"
    request = urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": key.api_key})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_the_exchange_counts_orders_that_stay_and_gives_back_what_its_engine_refuses() -> None:
    with RunningExchange(rate=0) as exchange:
        key = exchange.key()
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "90000"}
        counts = []
        # There is no money for the second, and the last has no size.
        for at, quantity in enumerate(("0.01", "20", "0.01", "0")):
            now_ns = exchange.floor(lambda floor: floor.wall())
            status, headers = ask(exchange, key, now_ns + at * 1_000_000, quantity=quantity, **order)
            counts.append((status, headers.get("X-MBX-ORDER-COUNT-1D"), "X-MBX-USED-WEIGHT-1M" in headers))
        assert counts == [(200, "1", True), (400, "1", True), (200, "2", True), (400, None, True)]
