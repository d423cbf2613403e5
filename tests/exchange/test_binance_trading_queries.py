"""What the Binance dialect's REST tells: orders, trades, the account, and rules that it keeps to."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import Any

import msgspec

from engine.exchange.trading import Order
from engine.flow.symbols import SYMBOLS
from engine.market.batches import BUY
from engine.matching.orders import LIMIT, STOP_LIMIT, TRAILING_STOP
from tests.exchange.binance_calls import Client

UNKNOWN = (-2011, "Unknown order sent.")


def test_orders_and_trades_are_listed_from_an_id_a_time_or_the_end() -> None:
    client = Client()
    ids = []
    for at in range(6):
        client.rig.now_ns += 1_000_000_000
        ids.append(
            client.place(type="MARKET", timeInForce=None, price=None, newClientOrderId=f"m{at}")["orderId"]
        )
    open_one = client.place()["orderId"]

    def listed(**params: Any) -> list[int]:
        return [each["orderId"] for each in client.good("GET", "/allOrders", symbol="BTCUSDT", **params)]

    assert listed() == [*ids, open_one]
    assert listed(limit=2) == [ids[-1], open_one]
    assert listed(orderId=ids[2], limit=2) == ids[2:4]
    start = client.rig.now_ns // 1_000_000 - 3_000
    assert listed(startTime=start, limit=2) == ids[2:4]
    assert listed(startTime=start, endTime=start + 1) == [ids[2]]
    trades = client.good("GET", "/myTrades", symbol="BTCUSDT", orderId=ids[3])
    assert [each["orderId"] for each in trades] == [ids[3]]
    later = client.good("GET", "/myTrades", symbol="BTCUSDT", fromId=trades[0]["id"])
    assert [each["orderId"] for each in later] == ids[3:]
    assert client.refused("GET", "/allOrders", symbol="BTCUSDT", startTime=0, endTime=90_000_000) == (
        -1127,
        "More than 24 hours between startTime and endTime.",
    )
    assert client.refused("GET", "/order", symbol="BTCUSDT", orderId=ids[0], origClientOrderId="m1") == (
        -2039,
        "Client order ID is not correct for this order ID.",
    )


def test_the_account_is_what_the_engine_holds() -> None:
    client = Client()
    client.place(quantity="1")
    body = client.good("GET", "/account", omitZeroBalances="true")
    held = {each["asset"]: (each["free"], each["locked"]) for each in body["balances"]}
    assert held["USDT"] == ("900000.00000000", "100000.00000000")
    assert (body["canTrade"], body["makerCommission"]) == (True, 10)
    rates = client.good("GET", "/account/commission", symbol="BTCUSDT")["standardCommission"]
    assert rates["taker"] == "0.00100000"
    used = client.good("GET", "/rateLimit/order")
    assert [(each["interval"], each["intervalNum"], each["count"]) for each in used] == [
        ("SECOND", 10, 1),
        ("DAY", 1, 1),
    ]
    coins = client.good("GET", "/sapi/v1/capital/config/getall")
    assert {each["coin"] for each in coins} == set(client.rig.engine.assets)
    assert client.good("GET", "/sapi/v1/margin/allPairs") == []


def test_orders_of_other_dialects_are_told_as_the_nearest_type() -> None:
    client = Client()
    for kind, more, expected in (
        (LIMIT, {"post_only": True, "price_ticks": 1_000_000}, ("LIMIT_MAKER", "0.00000000")),
        (
            STOP_LIMIT,
            {"price_ticks": 1_050_000, "trigger_ticks": 1_050_000},
            ("STOP_LOSS_LIMIT", "105000.00000000"),
        ),
        (TRAILING_STOP, {"trigger_ticks": 500}, ("STOP_LOSS", "0.00000000")),
    ):
        order = Order(client.rig.account, 0, BUY, kind, 1_000, dialect="native", **more)
        client.rig.desk.place(order)
        client.rig.turn()
        row = client.good("GET", "/order", symbol="BTCUSDT", orderId=order.order_id)
        assert (row["type"], row["stopPrice"]) == expected
        assert (row["clientOrderId"], row["orderListId"]) == ("", -1)
    assert len(client.good("DELETE", "/openOrders", symbol="BTCUSDT")) == 3


def test_what_exchange_info_says_is_what_is_enforced() -> None:
    client = Client(book=False)
    info = msgspec.json.decode(
        client.dialect.public.answer("GET", "/api/v3/exchangeInfo", {}, client.rig.now_ns)
    )
    assert len(info["symbols"]) == len(SYMBOLS)
    for row, simulated in zip(info["symbols"], SYMBOLS, strict=True):
        name = row["symbol"]
        price = Decimal(simulated.start_ticks) / 10**simulated.instrument.price_decimals
        client.rig.trade_at(name, f"{price}", "10")
        filters = {each["filterType"]: each for each in row["filters"]}
        tick, lot = Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])
        least = Decimal(filters["NOTIONAL"]["minNotional"])
        down = Decimal(filters["PERCENT_PRICE_BY_SIDE"]["bidMultiplierDown"])
        lowest = (price * down / tick).to_integral_value(ROUND_UP) * tick
        enough = (least / lowest / lot).to_integral_value(ROUND_UP) * lot
        good = {"symbol": name, "price": lowest, "quantity": enough}
        client.place(**good)
        for wrong, failed_one in (
            ({"price": lowest + tick / 10}, "PRICE_FILTER"),
            ({"quantity": enough + lot / 10}, "LOT_SIZE"),
            ({"quantity": Decimal(filters["LOT_SIZE"]["maxQty"]) + lot}, "LOT_SIZE"),
            ({"price": Decimal(filters["PRICE_FILTER"]["maxPrice"]) + tick}, "PRICE_FILTER"),
            ({"quantity": enough - lot}, "NOTIONAL"),
            ({"price": lowest - tick, "quantity": enough * 2}, "PERCENT_PRICE_BY_SIDE"),
        ):
            assert client.refuse(**(good | wrong)) == (-1013, f"Filter failure: {failed_one}"), (name, wrong)
        assert row["defaultSelfTradePreventionMode"] == client.place(**good)["selfTradePreventionMode"]


def test_listen_keys_are_gone_as_at_the_venue() -> None:
    status, body = Client().call("POST", "/userDataStream")
    assert (status, body["code"]) == (410, -1020)


def test_nobody_sees_or_cancels_orders_of_another_account() -> None:
    client = Client()
    order = client.place()
    client.key = client.rig.other()
    named = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert client.refused("GET", "/order", **named) == (-2013, "Order does not exist.")
    assert client.refused("DELETE", "/order", **named) == UNKNOWN
    assert client.good("GET", "/openOrders") == []
