"""Every private answer and event has the fields that the venue's own models declare, and no others."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.clients.environment import run
from tests.exchange.binance_calls import Client, Socket

# Fields that only some orders have, or none here: pegged prices, order routing, allocations, prevented matches.
SOMETIMES = {
    "expiryReason", "icebergQty", "listStatus", "pegOffsetType", "pegOffsetValue", "pegPriceType", "peggedPrice",
    "preventedMatchId", "preventedQuantity", "stopPrice", "strategyId", "strategyType", "trailingDelta",
    "trailingTime", "usedSor", "workingFloor",
}  # fmt: skip
SOMETIMES_IN_EVENTS = {
    "A", "B", "Cs", "D", "J", "U", "W", "a", "b", "d", "eR", "gOT", "gOV", "gP", "gp", "j", "k", "pL", "pY", "pl",
    "u", "uS", "v",
}  # fmt: skip
EVENTS = {
    "executionReport": "ExecutionReport",
    "outboundAccountPosition": "OutboundAccountPosition",
    "balanceUpdate": "BalanceUpdate",
    "listStatus": "ListStatus",
    "eventStreamTerminated": "EventStreamTerminated",
}


def answers(client: Client, socket: Socket) -> dict[str, list[dict[str, Any]]]:
    """By model: what the dialect says, with orders of many kinds."""
    socket.good("userDataStream.subscribe.signature")
    order = client.place(price="104100", quantity="1.5")
    named = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    special = [
        client.place(
            quantity="1", icebergQty="0.1", strategyId=7, strategyType=1_000_000, newOrderRespType="FULL"
        ),
        client.place(
            type="STOP_LOSS", timeInForce=None, price=None, trailingDelta="100", newOrderRespType="FULL"
        ),
        client.place(
            type="TAKE_PROFIT", timeInForce=None, price=None, stopPrice="103000", newOrderRespType="FULL"
        ),
    ]
    rows = [client.good("GET", "/order", **named), *client.good("GET", "/openOrders", symbol="BTCUSDT")]
    amended = client.good("PUT", "/order/amend/keepPriority", **named, newQty="1.4")
    pair = client.good(
        "POST", "/orderList/oco", symbol="BTCUSDT", side="SELL", quantity="0.5", aboveType="LIMIT_MAKER",
        abovePrice="105000", belowType="STOP_LOSS", belowStopPrice="103000",
    )  # fmt: skip
    lists = [client.good("GET", "/orderList", orderListId=pair["orderListId"])]
    gone = [client.good("DELETE", "/order", **named)]
    gone += client.good("DELETE", "/openOrders", symbol="BTCUSDT")
    client.rig.desk.deposit(client.rig.account, "USDT", 5)
    client.rig.turn()
    socket.ask("userDataStream.unsubscribe", sign=False)
    info = client.dialect.public.answer("GET", "/api/v3/exchangeInfo", {}, client.rig.now_ns)
    found: dict[str, list[dict[str, Any]]] = {
        "NewOrderResponse": [order, *special],
        "GetOrderResponse": rows,
        "GetOpenOrdersResponseInner": rows,
        "OrderAmendKeepPriorityResponse": [amended],
        "OrderAmendKeepPriorityResponseAmendedOrder": [amended["amendedOrder"]],
        "DeleteOrderResponse": gone,
        "GetAccountResponse": [client.good("GET", "/account")],
        "MyTradesResponseInner": client.good("GET", "/myTrades", symbol="BTCUSDT"),
        "AccountCommissionResponse": [client.good("GET", "/account/commission", symbol="BTCUSDT")],
        "RateLimitOrderResponseInner": client.good("GET", "/rateLimit/order"),
        "OrderListOcoResponse": [pair],
        "GetOrderListResponse": lists,
        "SessionStatusResponseResult": [socket.ask("session.status", sign=False)["result"]],
        "ExchangeInfoResponseSymbolsInner": msgspec.json.decode(info)["symbols"],
    }
    for event in socket.events():
        found.setdefault(EVENTS[event.pop("e")], []).append(event)
    return found


def test_answers_have_the_fields_of_the_venues_own_models() -> None:
    client = Client()
    found = answers(client, Socket(client))
    assert set(EVENTS.values()) <= set(found)
    declared = run("binance_models.py", models=list(found))
    for model, rows in found.items():
        sometimes = SOMETIMES_IN_EVENTS if model == "ExecutionReport" else SOMETIMES
        for row in rows:
            assert set(row) - set(declared[model]) <= sometimes, model
            assert set(declared[model]) - set(row) <= sometimes, model
