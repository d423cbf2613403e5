"""Order lists over the Binance dialect: one cancels the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.binance_calls import Client


def pair(**params: Any) -> dict[str, Any]:
    usual = {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "aboveType": "LIMIT_MAKER", "abovePrice": "105000",
        "belowType": "STOP_LOSS_LIMIT", "belowStopPrice": "103500", "belowPrice": "103000",
        "belowTimeInForce": "GTC",
    }  # fmt: skip
    return {name: value for name, value in {**usual, **params}.items() if value is not None}


def status(client: Client, order_id: int) -> str:
    row = client.good("GET", "/order", symbol="BTCUSDT", orderId=order_id)
    return str(row["status"])


def test_a_pair_is_placed_whole_and_one_cancels_the_other() -> None:
    client = Client()
    body = client.good("POST", "/orderList/oco", **pair(listClientOrderId="both"))
    assert (body["contingencyType"], body["listStatusType"], body["listOrderStatus"]) == (
        "OCO",
        "EXEC_STARTED",
        "EXECUTING",
    )
    stop, limit = (each["orderId"] for each in body["orders"])
    assert {each["orderListId"] for each in body["orderReports"]} == {body["orderListId"]}
    assert [each["type"] for each in body["orderReports"]] == ["STOP_LOSS_LIMIT", "LIMIT_MAKER"]
    assert client.good("GET", "/orderList", origClientOrderId="both")["orders"] == body["orders"]
    assert len(client.good("GET", "/openOrderList")) == 1
    client.rig.take("BTCUSDT", 1, "3.1")
    assert (status(client, stop), status(client, limit)) == ("EXPIRED", "PARTIALLY_FILLED")
    assert client.good("GET", "/allOrderList")[0]["listOrderStatus"] == "EXECUTING"
    (trade,) = client.good("GET", "/myTrades", symbol="BTCUSDT")
    assert (trade["orderId"], trade["orderListId"]) == (limit, body["orderListId"])


def test_a_pair_is_canceled_whole() -> None:
    client = Client()
    body = client.good("POST", "/orderList/oco", **pair())
    gone = client.good("DELETE", "/orderList", symbol="BTCUSDT", orderListId=body["orderListId"])
    assert gone["listOrderStatus"] == "ALL_DONE"
    assert len(gone["orderReports"]) == 2
    assert client.good("GET", "/openOrders") == []
    assert client.refused("DELETE", "/orderList", symbol="BTCUSDT", orderListId=body["orderListId"]) == (
        -2011,
        "Unknown order sent.",
    )
    assert client.refused("GET", "/orderList", orderListId=5) == (-2018, "Order list does not exist.")


def test_the_older_form_places_the_same() -> None:
    client = Client()
    old = {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "price": "105000", "stopPrice": "103500",
        "stopLimitPrice": "103000", "stopLimitTimeInForce": "GTC", "limitClientOrderId": "l", "stopClientOrderId": "s",
    }  # fmt: skip
    body = client.good("POST", "/order/oco", **old)
    assert [(each["clientOrderId"], each["type"]) for each in body["orderReports"]] == [
        ("s", "STOP_LOSS_LIMIT"),
        ("l", "LIMIT_MAKER"),
    ]
    buy = {**old, "side": "BUY", "price": "103000", "stopPrice": "105000", "stopLimitPrice": "105500"}
    buy |= {"limitClientOrderId": "l2", "stopClientOrderId": "s2"}
    assert len(client.good("POST", "/order/oco", **buy)["orders"]) == 2


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"aboveType": "STOP_LOSS_LIMIT"}, -1197),
        ({"belowType": "LIMIT_MAKER"}, -1168),
        ({"belowType": "TAKE_PROFIT_LIMIT"}, -1199),
        ({"aboveType": "TAKE_PROFIT", "belowType": "LIMIT_MAKER"}, -1166),
        ({"side": "BUY"}, -1165),
        ({"side": "BUY", "aboveType": "TAKE_PROFIT"}, -1196),
        ({"side": "BUY", "aboveType": "TAKE_PROFIT", "belowType": "TAKE_PROFIT"}, -1198),
        ({"aboveType": "MARKET"}, -1130),
        ({"aboveType": None}, -1102),
        ({"abovePrice": "103400"}, -2010),
        ({"abovePrice": "103900"}, -2010),
        ({"aboveClientOrderId": "x", "belowClientOrderId": "x"}, -2010),
        ({"quantity": "6"}, -2010),
        ({"quantity": "11"}, -2010),
        ({"belowStopPrice": "104050"}, -2010),
    ],
)
def test_a_wrong_pair_leaves_nothing_behind(params: dict[str, Any], code: int) -> None:
    client = Client()
    balances = client.rig.desk.balances(client.rig.account)
    answered, body = client.call("POST", "/orderList/oco", **pair(**params))
    assert (answered, body["code"]) == (400, code), body
    assert client.rig.desk.open_orders(client.rig.account) == []
    assert client.rig.desk.balances(client.rig.account) == balances
