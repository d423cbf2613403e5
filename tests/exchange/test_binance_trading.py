"""Orders over the Binance dialect's REST: what each type does, what is answered, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest

from engine.exchange.dialects.binance_trading_errors import refused_by_engine
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.trading import DESK_REASONS
from engine.matching.orders import CONTINUOUS, HALTED, REASONS
from tests.exchange.binance_calls import Client

NO_MONEY = (-2010, "Account has insufficient balance for requested action.")
UNKNOWN = (-2011, "Unknown order sent.")


def mandatory(name: str) -> tuple[int, str]:
    return -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def unneeded(name: str) -> tuple[int, str]:
    return -1106, f"Parameter '{name}' sent when not required."


def failed(name: str) -> tuple[int, str]:
    return -1013, f"Filter failure: {name}"


def test_a_limit_order_rests_and_is_answered_in_full() -> None:
    client = Client()
    body = client.place(newClientOrderId="mine-1")
    now_ms = client.rig.now_ns // 1_000_000
    assert body == {
        "symbol": "BTCUSDT",
        "orderId": body["orderId"],
        "orderListId": -1,
        "clientOrderId": "mine-1",
        "transactTime": now_ms,
        "price": "100000.00000000",
        "origQty": "0.01000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "workingTime": now_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "fills": [],
    }
    assert [each.order_id for each in client.rig.desk.open_orders(client.rig.account)] == [body["orderId"]]
    row = client.good("GET", "/order", symbol="BTCUSDT", orderId=body["orderId"])
    assert row["isWorking"] is True
    assert row["time"] == row["updateTime"] == row["workingTime"] == now_ms
    assert row["stopPrice"] == row["icebergQty"] == "0.00000000"


def test_a_market_order_is_answered_with_its_fills_and_fees() -> None:
    client = Client()
    body = client.place(type="MARKET", timeInForce=None, price=None, quantity="1.5")
    assert body["status"] == "FILLED"
    assert body["cummulativeQuoteQty"] == f"{104_100 + 104_200 * 0.5:.8f}"
    assert body["fills"] == [
        {
            "price": "104100.00000000",
            "qty": "1.00000000",
            "commission": "0.00100000",
            "commissionAsset": "BTC",
            "tradeId": 2,
        },
        {
            "price": "104200.00000000",
            "qty": "0.50000000",
            "commission": "0.00050000",
            "commissionAsset": "BTC",
            "tradeId": 3,
        },
    ]
    trades = client.good("GET", "/myTrades", symbol="BTCUSDT")
    assert [(each["id"], each["isBuyer"], each["isMaker"]) for each in trades] == [
        (2, True, False),
        (3, True, False),
    ]


@pytest.mark.parametrize(("form", "fields"), [("ACK", 5), ("RESULT", 16), ("FULL", 17)])
def test_answers_are_as_long_as_asked_for(form: str, fields: int) -> None:
    assert len(Client().place(newOrderRespType=form)) == fields


@pytest.mark.parametrize(
    ("params", "form"),
    [
        ({}, "FULL"),
        ({"type": "MARKET", "timeInForce": None, "price": None}, "FULL"),
        ({"type": "LIMIT_MAKER", "timeInForce": None}, "ACK"),
        ({"type": "STOP_LOSS", "timeInForce": None, "price": None, "stopPrice": "105000"}, "ACK"),
        ({"type": "STOP_LOSS_LIMIT", "price": "105000", "stopPrice": "105000"}, "ACK"),
        ({"type": "TAKE_PROFIT", "timeInForce": None, "price": None, "stopPrice": "103000"}, "ACK"),
        ({"type": "TAKE_PROFIT_LIMIT", "stopPrice": "103000"}, "ACK"),
        ({"type": "STOP_LOSS", "timeInForce": None, "price": None, "trailingDelta": "100"}, "ACK"),
    ],
)
def test_every_type_is_placed_and_told_as_it_was_asked_for(params: dict[str, Any], form: str) -> None:
    client = Client()
    body = client.place(**params)
    assert ("fills" in body) == (form == "FULL")
    row = client.good("GET", "/order", symbol="BTCUSDT", orderId=body["orderId"])
    assert row["type"] == params.get("type", "LIMIT")
    waits = "stopPrice" in params or "trailingDelta" in params
    assert row["isWorking"] is not waits
    assert (row["workingTime"] == -1) == waits
    assert float(row["stopPrice"]) == float(params.get("stopPrice", 0))
    assert row.get("trailingDelta") == (100 if "trailingDelta" in params else None)


def test_a_stop_works_once_the_market_reaches_it() -> None:
    client = Client()
    stop = client.place(type="STOP_LOSS", timeInForce=None, price=None, stopPrice="104100", quantity="0.5")
    client.rig.take("BTCUSDT", 1, "0.5")
    row = client.good("GET", "/order", symbol="BTCUSDT", orderId=stop["orderId"])
    assert (row["status"], row["executedQty"], row["type"]) == ("FILLED", "0.50000000", "STOP_LOSS")
    assert row["workingTime"] > 0


def test_quote_order_quantity_buys_as_many_lots_as_it_pays() -> None:
    client = Client()
    body = client.place(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="1041")
    assert (body["executedQty"], body["origQuoteOrderQty"]) == ("0.01000000", "1041.00000000")
    sold = client.place(
        side="SELL", type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="104000"
    )
    assert sold["executedQty"] == "1.00000000"
    tiny = client.order(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="0.5")
    assert client.refused("POST", "/order", **tiny) == failed("NOTIONAL")


def test_an_iceberg_shows_only_its_part() -> None:
    client = Client()
    body = client.place(quantity="1", icebergQty="0.1", price="104010.0")
    assert body["icebergQty"] == "0.10000000"
    assert client.rig.engine.bbo("BTC-USDT").bid_lots == 10_000


@pytest.mark.parametrize(("time_in_force", "status"), [("IOC", "EXPIRED"), ("FOK", "EXPIRED")])
def test_what_cannot_be_taken_expires(time_in_force: str, status: str) -> None:
    body = Client().place(timeInForce=time_in_force, price="104100.0", quantity="2")
    assert body["status"] == status
    assert body["executedQty"] == ("1.00000000" if time_in_force == "IOC" else "0.00000000")


@pytest.mark.parametrize(
    ("mode", "taker", "maker"),
    [
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_MAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        ("DECREMENT", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        ("NONE", "FILLED", "FILLED"),
    ],
)
def test_self_trades_end_as_the_mode_says(mode: str, taker: str, maker: str) -> None:
    client = Client()
    first = client.place(price="104050.0")
    second = client.place(side="SELL", price="104050.0", selfTradePreventionMode=mode)
    statuses = [
        client.good("GET", "/order", symbol="BTCUSDT", orderId=each["orderId"])["status"]
        for each in (second, first)
    ]
    assert statuses == [taker, maker]


def test_a_test_order_places_nothing() -> None:
    client = Client()
    before = client.rig.engine.state_hash()
    assert client.good("POST", "/order/test", **client.order()) == {}
    rates = client.good("POST", "/order/test", **client.order(computeCommissionRates="true"))
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert client.refused("POST", "/order/test", **client.order(quantity="0.00001")) == failed("NOTIONAL")
    assert client.rig.engine.state_hash() == before
    assert client.rig.desk.open_orders(client.rig.account) == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"symbol": None}, mandatory("symbol")),
        ({"symbol": ""}, mandatory("symbol")),
        ({"symbol": "NOPEUSDT"}, (-1121, "Invalid symbol.")),
        (
            {"symbol": "BTC/USDT"},
            (-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."),
        ),
        ({"side": None}, mandatory("side")),
        ({"side": "buy"}, (-1117, "Invalid side.")),
        ({"type": None}, mandatory("type")),
        ({"type": "PEGGED"}, (-1116, "Invalid orderType.")),
        ({"timeInForce": None}, mandatory("timeInForce")),
        ({"timeInForce": "GTD"}, (-1115, "Invalid timeInForce.")),
        ({"quantity": None}, mandatory("quantity")),
        ({"quantity": ""}, (-1105, "Parameter 'quantity' was empty.")),
        ({"price": None}, mandatory("price")),
        (
            {"price": "-1"},
            (
                -1100,
                "Illegal characters found in parameter 'price'; legal range is "
                "'^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
            ),
        ),
        ({"price": "100000.000000001"}, (-1111, "Parameter 'price' has too much precision.")),
        ({"price": "100000.05"}, failed("PRICE_FILTER")),
        ({"price": "0"}, failed("PRICE_FILTER")),
        ({"price": "99999999"}, failed("PRICE_FILTER")),
        ({"quantity": "0.000001"}, failed("LOT_SIZE")),
        ({"quantity": "0"}, failed("LOT_SIZE")),
        ({"quantity": "1001"}, failed("LOT_SIZE")),
        ({"quantity": "0.00001"}, failed("NOTIONAL")),
        ({"quantity": "999"}, failed("NOTIONAL")),
        ({"quantity": "20", "price": "90000"}, NO_MONEY),
        ({"side": "SELL", "price": "110000", "quantity": "11"}, NO_MONEY),
        ({"price": "80000"}, failed("PERCENT_PRICE_BY_SIDE")),
        ({"side": "SELL", "price": "130000"}, failed("PERCENT_PRICE_BY_SIDE")),
        ({"stopPrice": "99000"}, unneeded("stopPrice")),
        ({"trailingDelta": "100"}, unneeded("trailingDelta")),
        ({"quoteOrderQty": "100"}, unneeded("quoteOrderQty")),
        ({"type": "LIMIT_MAKER"}, unneeded("timeInForce")),
        (
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "104100"},
            (-2010, "Order would immediately match and take."),
        ),
        ({"type": "MARKET", "timeInForce": None}, unneeded("price")),
        ({"type": "MARKET", "price": None}, unneeded("timeInForce")),
        (
            {"type": "MARKET", "timeInForce": None, "price": None, "quantity": None},
            (-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
        ),
        (
            {"type": "MARKET", "timeInForce": None, "price": None, "quoteOrderQty": "5"},
            (-1128, "Combination of optional parameters invalid."),
        ),
        (
            {"type": "MARKET", "timeInForce": None, "price": None, "quantity": "101"},
            failed("MARKET_LOT_SIZE"),
        ),
        ({"type": "MARKET", "timeInForce": None, "price": None, "quantity": "0.00001"}, failed("NOTIONAL")),
        ({"type": "MARKET", "timeInForce": None, "price": None, "side": "SELL", "quantity": "11"}, NO_MONEY),
        (
            {"type": "STOP_LOSS", "timeInForce": None, "price": None},
            (-1102, "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!"),
        ),
        (
            {"type": "STOP_LOSS", "timeInForce": None, "price": None, "stopPrice": "104000"},
            (-2010, "Order would trigger immediately."),
        ),
        (
            {"type": "STOP_LOSS", "timeInForce": None, "price": None, "trailingDelta": "5"},
            failed("TRAILING_DELTA"),
        ),
        (
            {"type": "STOP_LOSS_LIMIT", "trailingDelta": "100"},
            (-1128, "Combination of optional parameters invalid."),
        ),
        ({"icebergQty": "0.02"}, (-2010, "IcebergQty exceeds QTY.")),
        ({"icebergQty": "0.005", "timeInForce": "IOC"}, (-1014, "Unsupported order combination.")),
        ({"quantity": "1", "icebergQty": "0.00999"}, failed("ICEBERG_PARTS")),
        (
            {"icebergQty": "0.01", "type": "STOP_LOSS_LIMIT", "stopPrice": "105000", "price": "105000"},
            (-2010, "Iceberg orders are not supported for this symbol."),
        ),
        (
            {
                "type": "MARKET",
                "timeInForce": None,
                "price": None,
                "quantity": None,
                "quoteOrderQty": "9" * 20,
            },
            (-1108, "Parameter 'quoteOrderQty' overflowed."),
        ),
        ({"strategyId": "9" * 20}, (-1108, "Parameter 'strategyId' overflowed.")),
        ({"strategyType": "5"}, (-1134, "strategyType was less than 1000000.")),
        ({"newOrderRespType": "SHORT"}, (-1130, "Data sent for parameter 'newOrderRespType' is not valid.")),
        (
            {"selfTradePreventionMode": "TRANSFER"},
            (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
        ),
        (
            {"newClientOrderId": "x" * 37},
            (
                -1100,
                "Illegal characters found in parameter 'newClientOrderId'; legal range is "
                "'^[\\.A-Z\\:/a-z0-9_-]{1,36}$'.",
            ),
        ),
        (
            {"pegPriceType": "PRIMARY_PEG"},
            (-1104, "Not all sent parameters were read; read '9' parameter(s) but was sent '10'."),
        ),
    ],
)
def test_a_wrong_order_is_refused_in_the_venues_words(params: dict[str, Any], error: tuple[int, str]) -> None:
    assert Client().refuse(**params) == error


def test_a_fault_on_command_rejects_in_words_of_its_own() -> None:
    client = Client()
    client.rig.desk.reject = lambda _: True
    assert client.refuse() == (-2010, "Rejected by a fault on command.")
    client.rig.desk.reject = None
    client.place()


def test_a_client_id_is_free_again_when_its_order_has_ended() -> None:
    client = Client()
    first = client.place(newClientOrderId="a")
    assert client.refuse(newClientOrderId="a") == (-2010, "Duplicate order sent.")
    client.good("DELETE", "/order", symbol="BTCUSDT", orderId=first["orderId"])
    assert client.place(newClientOrderId="a")["orderId"] > first["orderId"]


def test_a_halted_market_is_closed_but_lets_cancel() -> None:
    client = Client()
    order = client.place()
    client.rig.desk.set_phase(0, HALTED)
    client.rig.turn()
    assert client.refuse() == (-2010, "Market is closed.")
    client.good("DELETE", "/order", symbol="BTCUSDT", orderId=order["orderId"])
    client.rig.desk.set_phase(0, CONTINUOUS)
    client.rig.turn()
    client.place()


def test_a_market_order_for_more_than_the_account_has_is_refused_whole() -> None:
    client = Client(book=False)
    client.rig.trade_at("BTCUSDT", "104050.0")
    client.rig.rest("BTCUSDT", -1, "104100", "50")
    order = client.order(type="MARKET", timeInForce=None, price=None, quantity="20")
    assert client.refused("POST", "/order", **order) == NO_MONEY
    quoted = client.order(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="1000001")
    assert client.refused("POST", "/order", **quoted) == NO_MONEY
    client.rig.leave("BTCUSDT")
    nothing = client.order(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="100")
    assert client.refused("POST", "/order", **nothing)[0] == -2010
    assert client.place(type="MARKET", timeInForce=None, price=None)["status"] == "EXPIRED"


def test_an_account_has_at_most_200_open_orders_in_a_symbol() -> None:
    client = Client()
    for _ in range(200):
        client.place(quantity="0.0001", newOrderRespType="ACK")
        client.rig.now_ns += 200_000_000  # no more than the limit of orders allows
    assert client.refuse() == failed("MAX_NUM_ORDERS")
    assert len(client.good("DELETE", "/openOrders", symbol="BTCUSDT")) == 200


def test_a_cancel_answers_with_its_own_id_and_comes_once() -> None:
    client = Client()
    order = client.place(newClientOrderId="a", price="104100", quantity="1.5")
    body = client.good("DELETE", "/order", symbol="BTCUSDT", origClientOrderId="a", newClientOrderId="c")
    assert (body["origClientOrderId"], body["clientOrderId"], body["status"]) == ("a", "c", "CANCELED")
    assert (body["origQty"], body["executedQty"]) == ("1.50000000", "1.00000000")
    again = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert client.refused("DELETE", "/order", **again) == UNKNOWN
    filled = client.place(type="MARKET", timeInForce=None, price=None)
    assert client.refused("DELETE", "/order", symbol="BTCUSDT", orderId=filled["orderId"]) == UNKNOWN
    assert client.refused("DELETE", "/order", symbol="ETHUSDT", orderId=order["orderId"]) == UNKNOWN
    assert client.refused("DELETE", "/order", symbol="BTCUSDT") == (
        -1102,
        "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    )
    assert client.refused("DELETE", "/openOrders", symbol="BTCUSDT") == UNKNOWN


def test_a_cancel_may_be_restricted() -> None:
    client = Client()
    order = client.place()
    named = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert client.refused("DELETE", "/order", **named, cancelRestrictions="ONLY_PARTIALLY_FILLED") == (
        -2011,
        "Order was not canceled due to cancel restrictions.",
    )
    assert client.refused("DELETE", "/order", **named, cancelRestrictions="NO") == (
        -1145,
        "Invalid cancelRestrictions",
    )
    client.good("DELETE", "/order", **named, cancelRestrictions="ONLY_NEW")


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_cancel_replace_tells_what_became_of_either_half(mode: str) -> None:
    client = Client()
    old = client.place()

    def replace(**params: Any) -> tuple[int, Any]:
        return client.call("POST", "/order/cancelReplace", **client.order(cancelReplaceMode=mode, **params))

    status, body = replace(cancelOrderId=old["orderId"], price="100001.0")
    assert (status, body["cancelResult"], body["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    assert body["cancelResponse"]["orderId"] == old["orderId"]
    new = body["newOrderResponse"]
    assert (new["price"], new["fills"]) == ("100001.00000000", [])

    status, body = replace(cancelOrderId=old["orderId"])
    stopped = mode == "STOP_ON_FAILURE"
    assert (status, body["code"]) == ((400, -2022) if stopped else (409, -2021))
    assert body["data"]["cancelResult"] == "FAILURE"
    assert body["data"]["cancelResponse"] == {"code": UNKNOWN[0], "msg": UNKNOWN[1]}
    assert body["data"]["newOrderResult"] == ("NOT_ATTEMPTED" if stopped else "SUCCESS")
    assert (body["data"]["newOrderResponse"] is None) == stopped

    status, body = replace(cancelOrderId=new["orderId"], price="90000", quantity="20")
    assert (status, body["code"]) == (409, -2021)
    assert body["data"]["cancelResult"] == "SUCCESS"
    assert body["data"]["newOrderResponse"] == {"code": NO_MONEY[0], "msg": NO_MONEY[1]}

    status, body = replace(cancelOrderId=new["orderId"], price="90000", quantity="20")
    assert (status, body["code"], body["msg"]) == (400, -2022, "Order cancel-replace failed.")


def test_cancel_replace_looks_at_the_new_order_before_it_cancels() -> None:
    client = Client()
    old = client.place()
    wrong = client.order(cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=old["orderId"], price="0.05")
    assert client.refused("POST", "/order/cancelReplace", **wrong) == failed("PRICE_FILTER")
    assert len(client.good("GET", "/openOrders", symbol="BTCUSDT")) == 1


def test_over_the_limit_of_orders_cancel_replace_does_nothing_or_cancels_alone() -> None:
    client = Client()
    old = client.place(quantity="0.0001")

    def replace(mode: str = "STOP_ON_FAILURE", **params: Any) -> tuple[int, Any]:
        filled = {"quantity": "0.0001", "cancelReplaceMode": mode, **params}
        return client.call("POST", "/order/cancelReplace", **client.order(**filled))

    def is_open() -> bool:
        return client.good("GET", "/order", symbol="BTCUSDT", orderId=old["orderId"])["status"] == "NEW"

    status, body = replace(cancelOrderId=old["orderId"], orderRateLimitExceededMode="CANCEL_ONLY")
    assert (status, body["newOrderResult"]) == (200, "SUCCESS")  # within it, nothing is different
    old = body["newOrderResponse"]
    for _ in range(98):
        client.place(quantity="0.0001")
    many = (-1015, "Too many new orders; current limit is 100 orders per 10 SECOND.")
    for mode in ({}, {"orderRateLimitExceededMode": "DO_NOTHING"}):
        status, body = replace(cancelOrderId=old["orderId"], **mode)
        assert (status, body["code"], body["msg"]) == (429, *many)
        assert is_open()
    status, body = replace(cancelOrderId=old["orderId"], orderRateLimitExceededMode="NOTHING")
    assert (status, body["code"]) == (400, -1130)
    assert is_open()

    status, body = replace(cancelOrderId=old["orderId"], orderRateLimitExceededMode="CANCEL_ONLY")
    assert (status, body["code"], body["msg"]) == (409, -2021, "Order cancel-replace partially failed.")
    assert body["data"]["cancelResult"] == "SUCCESS"
    assert body["data"]["cancelResponse"]["orderId"] == old["orderId"]
    assert body["data"]["newOrderResult"] == "FAILURE"
    assert body["data"]["newOrderResponse"] == {"code": many[0], "msg": many[1]}
    assert not is_open()
    assert len(client.good("GET", "/openOrders", symbol="BTCUSDT")) == 98
    used = client.good("GET", "/rateLimit/order")
    assert [each["count"] for each in used] == [100, 100]

    for mode, second in (("STOP_ON_FAILURE", "NOT_ATTEMPTED"), ("ALLOW_FAILURE", "FAILURE")):
        status, body = replace(mode, cancelOrderId=old["orderId"], orderRateLimitExceededMode="CANCEL_ONLY")
        assert (status, body["code"]) == (400, -2022)
        assert body["data"]["cancelResponse"] == {"code": UNKNOWN[0], "msg": UNKNOWN[1]}
        assert body["data"]["newOrderResult"] == second
    assert len(client.good("GET", "/openOrders", symbol="BTCUSDT")) == 98
    assert [each["count"] for each in client.good("GET", "/rateLimit/order")] == [100, 100]


def test_an_order_can_be_made_smaller_in_its_place() -> None:
    client = Client()
    order = client.place(price="104010", newClientOrderId="a")
    client.rig.rest("BTCUSDT", 1, "104010", "1")
    named = {"symbol": "BTCUSDT", "origClientOrderId": "a"}
    body = client.good("PUT", "/order/amend/keepPriority", **named, newQty="0.004")
    assert body["amendedOrder"]["qty"] == "0.00400000"
    assert body["amendedOrder"]["orderId"] == order["orderId"]
    client.rig.take("BTCUSDT", -1, "0.004")
    assert client.good("GET", "/order", **named)["status"] == "FILLED"
    more = client.place(newClientOrderId="b")
    named = {"symbol": "BTCUSDT", "orderId": more["orderId"]}
    amend = "/order/amend/keepPriority"
    assert client.refused("PUT", amend, **named, newQty="1") == (
        -2038,
        "Order amend (quantity increase) is not supported.",
    )
    assert client.refused("PUT", amend, **named, newQty="0.01") == (
        -2038,
        "The requested action would change no state; rejecting.",
    )
    assert client.refused("PUT", amend, symbol="BTCUSDT", orderId=1, newQty="1") == (
        -2038,
        "Unknown order sent.",
    )


@pytest.mark.parametrize("reason", sorted({**REASONS, **DESK_REASONS}))
@pytest.mark.parametrize("verb", ["place", "cancel", "amend"])
def test_every_reason_has_words_of_the_venue(reason: int, verb: Any) -> None:
    refusal = refused_by_engine(reason, verb)
    assert isinstance(refusal, VenueRefusal)
    assert -9_999 <= refusal.code <= -1_000
    assert 400 <= refusal.status <= 503
    assert refusal.message.endswith(
        (".", "_FILTER", "SIDE", "SIZE", "NOTIONAL", "PARTS", "ORDERS", "POSITION")
    )
