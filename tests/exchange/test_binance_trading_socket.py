"""The WebSocket API: requests, answers, and the user data that comes between them."""

from __future__ import annotations

import pytest

from engine.exchange.dialects import binance_trading_session
from tests.exchange.binance_calls import Client, Socket


def with_user_data() -> Socket:
    socket = Socket(Client())
    assert socket.good("userDataStream.subscribe.signature") == {"subscriptionId": 0}
    return socket


def test_orders_are_placed_asked_for_and_canceled() -> None:
    socket = Socket(Client())
    order = socket.good("order.place", **socket.client.order(newClientOrderId="a"))
    assert (order["status"], order["fills"]) == ("NEW", [])
    assert socket.good("order.status", symbol="BTCUSDT", origClientOrderId="a")["orderId"] == order["orderId"]
    assert len(socket.good("openOrders.status")) == 1
    assert socket.good("order.test", **socket.client.order()) == {}
    gone = socket.good("order.cancel", symbol="BTCUSDT", orderId=order["orderId"])
    assert gone["status"] == "CANCELED"
    socket.good("order.place", **socket.client.order())
    assert len(socket.good("openOrders.cancelAll", symbol="BTCUSDT")) == 1
    assert len(socket.good("allOrders", symbol="BTCUSDT")) == 2
    assert socket.good("myTrades", symbol="BTCUSDT") == []
    assert socket.good("account.status")["accountType"] == "SPOT"
    assert socket.good("account.commission", symbol="BTCUSDT")["symbol"] == "BTCUSDT"
    assert socket.link.orders == 2
    assert socket.link.account == socket.client.rig.account


def test_a_refusal_has_the_status_and_words_of_rest() -> None:
    socket = Socket(Client())
    answer = socket.ask("order.place", **socket.client.order(price="0.05"))
    assert (answer["status"], answer["error"]) == (
        400,
        {"code": -1013, "msg": "Filter failure: PRICE_FILTER"},
    )
    assert socket.link.rejects == [-1013]
    replace = socket.client.order(cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=1)
    answer = socket.ask("order.cancelReplace", **replace)
    assert (answer["status"], answer["error"]["code"]) == (409, -2021)
    assert answer["error"]["data"]["newOrderResult"] == "SUCCESS"


def test_public_requests_are_answered_without_a_key() -> None:
    socket = Socket(Client())
    assert socket.ask("ping", sign=False)["result"] == {}
    assert socket.ask("time", sign=False)["result"]["serverTime"] == socket.client.rig.now_ns // 1_000_000
    info = socket.ask("exchangeInfo", sign=False, symbols=["BTCUSDT"])["result"]
    assert [each["symbol"] for each in info["symbols"]] == ["BTCUSDT"]
    depth = socket.ask("depth", sign=False, symbol="BTCUSDT", limit=5)["result"]
    assert depth["bids"][0] == ["104000.00000000", "1.00000000"]
    for method in ("trades.recent", "trades.aggregate", "ticker.24hr", "ticker.price", "ticker.book"):
        assert socket.ask(method, sign=False, symbol="BTCUSDT")["status"] == 200, method
    assert socket.ask("klines", sign=False, symbol="BTCUSDT", interval="1m", limit=2)["status"] == 200
    assert socket.ask("depth", sign=False, symbol="NOPE")["error"] == {
        "code": -1121,
        "msg": "Invalid symbol.",
    }


def test_the_use_of_limits_is_told_unless_it_is_not_wanted() -> None:
    socket = Socket(Client(), query="")
    answer = socket.ask("order.place", **socket.client.order())
    rows = {(each["rateLimitType"], each["intervalNum"]): each["count"] for each in answer["rateLimits"]}
    assert rows == {("REQUEST_WEIGHT", 1): 1, ("ORDERS", 10): 1, ("ORDERS", 1): 1}
    assert "rateLimits" not in socket.ask("ping", sign=False, returnRateLimits=False)
    assert "rateLimits" not in Socket(socket.client).ask("ping", sign=False)
    assert "rateLimits" in Socket(socket.client).ask("ping", sign=False, returnRateLimits=True)


def test_too_many_orders_are_refused_with_when_to_come_back() -> None:
    socket = Socket(Client())
    for _ in range(100):
        socket.good("order.place", **socket.client.order(quantity="0.0001"))
    answer = socket.ask("order.place", **socket.client.order())
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    assert answer["error"]["data"]["retryAfter"] > answer["error"]["data"]["serverTime"]
    assert len(socket.client.rig.desk.open_orders(socket.client.rig.account)) == 100


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("session.logon", 400, -4056),
        ("userDataStream.subscribe", 401, -1002),
        ("userDataStream.unsubscribe", 400, -2036),
        ("nothing", 400, -1020),
        ("", 400, -1102),
    ],
)
def test_what_is_not_served_says_so(method: str, status: int, code: int) -> None:
    answer = Socket(Client()).ask(method, sign=False)
    assert (answer["status"], answer["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", -1135),
        (b"\xff\xfe", -1135),
        (b"[1]", -1135),
        (b"[" * 60_000, -1135),
        (b'{"id":1}', -1102),
        (b'{"id":{"a":1},"method":"ping"}', -1100),
        (b'{"id":"' + b"a" * 37 + b'","method":"ping"}', -1100),
        (b'{"id":1,"method":"ping","params":[]}', -1135),
        (b'{"id":1,"method":"order.place","params":{"apiKey":"a b"}}', -2014),
        (b'{"id":1,"method":"order.place","params":{"apiKey":"nobody"}}', -2015),
    ],
)
def test_what_cannot_be_read_is_answered(message: bytes, code: int) -> None:
    socket = Socket(Client())
    socket.session.on_text(message, socket.client.rig.now_ns)
    (answer,) = socket.said()
    assert (400 <= answer["status"] < 500, answer["error"]["code"]) == (True, code)
    socket.session.on_binary(b"{}", socket.client.rig.now_ns)
    assert socket.said()[-1]["error"]["code"] == -1135


def test_a_used_signature_is_refused() -> None:
    client = Client()
    socket = Socket(client)
    socket.good("order.place", **client.order())
    socket.repeat()
    first, again = socket.said()
    assert (first["status"], again["status"], again["error"]["code"]) == (200, 400, -1022)
    assert len(client.rig.desk.open_orders(client.rig.account)) == 1


def test_user_data_tells_an_order_from_entry_to_end() -> None:
    socket = with_user_data()
    order = socket.good(
        "order.place", **socket.client.order(price="104100", quantity="1.5", newClientOrderId="a")
    )
    new, trade, position = socket.events()
    assert (new["e"], new["x"], new["X"], new["c"], new["z"]) == (
        "executionReport",
        "NEW",
        "NEW",
        "a",
        "0.00000000",
    )
    assert (trade["x"], trade["X"], trade["i"], trade["t"]) == (
        "TRADE",
        "PARTIALLY_FILLED",
        order["orderId"],
        2,
    )
    assert (trade["l"], trade["L"], trade["Y"], trade["z"], trade["Z"]) == (
        "1.00000000",
        "104100.00000000",
        "104100.00000000",
        "1.00000000",
        "104100.00000000",
    )
    assert (trade["n"], trade["N"], trade["m"], trade["w"]) == ("0.00100000", "BTC", False, True)
    assert position == {
        "e": "outboundAccountPosition",
        "E": trade["E"],
        "u": trade["E"],
        "B": [
            {"a": "BTC", "f": "10.99900000", "l": "0.00000000"},
            {"a": "USDT", "f": "843850.00000000", "l": "52050.00000000"},
        ],
    }
    socket.client.rig.take("BTCUSDT", -1, "0.2")
    maker = socket.events()[3]
    assert (maker["x"], maker["m"], maker["l"], maker["N"]) == ("TRADE", True, "0.20000000", "BTC")
    socket.good("order.cancel", symbol="BTCUSDT", orderId=order["orderId"], newClientOrderId="c")
    gone = socket.events()[-2]
    assert (gone["x"], gone["X"], gone["c"], gone["C"], gone["w"]) == (
        "CANCELED",
        "CANCELED",
        "c",
        "a",
        False,
    )
    assert all(set(new) <= set(each) for each in (trade, maker, gone))


def test_an_order_is_answered_as_it_was_before_the_next_one_of_its_batch() -> None:
    socket = with_user_data()
    client = socket.client
    other = client.rig.other()
    socket.send("order.place", **client.order(price="104060", quantity="0.5"))
    client.key = other
    socket.send("order.place", **client.order(side="SELL", price="104060", quantity="0.2"))
    client.rig.turn()
    maker, taker = [each["result"] for each in socket.said() if "id" in each][-2:]
    assert (maker["status"], maker["executedQty"], maker["fills"]) == ("NEW", "0.00000000", [])
    assert (taker["status"], taker["executedQty"], len(taker["fills"])) == ("FILLED", "0.20000000", 1)


def test_user_data_tells_stops_expiries_and_changes() -> None:
    socket = with_user_data()
    client = socket.client
    stop = client.order(type="STOP_LOSS", timeInForce=None, price=None, stopPrice="104100", quantity="0.5")
    socket.good("order.place", **stop)
    (armed, _) = socket.events()
    assert (armed["x"], armed["w"], armed["P"], armed["o"], "W" in armed) == (
        "NEW",
        False,
        "104100.00000000",
        "STOP_LOSS",
        False,
    )
    client.rig.take("BTCUSDT", 1, "0.5")
    triggered, traded = socket.events()[2:4]
    assert (triggered["x"], triggered["w"], traded["x"], traded["X"]) == ("NEW", True, "TRADE", "FILLED")
    socket.good("order.place", **client.order(timeInForce="IOC"))
    assert [each["X"] for each in socket.events()[5:7]] == ["NEW", "EXPIRED"]
    order = socket.good("order.place", **client.order())
    socket.good("order.amend.keepPriority", symbol="BTCUSDT", orderId=order["orderId"], newQty="0.004")
    amended = socket.events()[-2]
    assert (amended["x"], amended["X"], amended["q"]) == ("REPLACED", "NEW", "0.00400000")


def test_user_data_tells_when_a_list_begins_and_ends() -> None:
    socket = with_user_data()
    body = socket.good(
        "orderList.place.oco", symbol="BTCUSDT", side="SELL", quantity="0.5", aboveType="LIMIT_MAKER",
        abovePrice="105000", belowType="STOP_LOSS", belowStopPrice="103500", listClientOrderId="both",
    )  # fmt: skip
    begun = [each for each in socket.events() if each["e"] == "listStatus"]
    assert [(each["g"], each["C"], each["l"], each["L"]) for each in begun] == [
        (body["orderListId"], "both", "EXEC_STARTED", "EXECUTING")
    ]
    assert [each["i"] for each in begun[0]["O"]] == [each["orderId"] for each in body["orders"]]
    socket.client.rig.take("BTCUSDT", 1, "3.5")
    told = [each for each in socket.events() if each["e"] in ("listStatus", "executionReport")][3:]
    assert {each["X"] for each in told[:-1]} == {"FILLED", "EXPIRED"}
    assert (told[-1]["l"], told[-1]["L"]) == ("ALL_DONE", "ALL_DONE")


def test_user_data_tells_money_that_comes() -> None:
    socket = with_user_data()
    socket.client.rig.desk.deposit(socket.client.rig.account, "USDT", 10**8)
    socket.client.rig.turn()
    update, position = socket.events()
    assert (update["e"], update["a"], update["d"]) == ("balanceUpdate", "USDT", "1.00000000")
    assert position["B"][0]["f"] == "1000001.00000000"


def test_user_data_is_the_accounts_own_and_ends() -> None:
    socket = with_user_data()
    client = socket.client
    assert socket.ask("userDataStream.subscribe.signature")["error"]["code"] == -2035
    assert socket.ask("session.subscriptions", sign=False)["result"] == [{"subscriptionId": 0}]
    mine, client.key = client.key, client.rig.other()
    assert socket.good("userDataStream.subscribe.signature") == {"subscriptionId": 1}
    socket.good("order.place", **client.order())
    numbers = {each["subscriptionId"] for each in socket.said() if "event" in each}
    assert numbers == {1}
    client.key = mine
    assert socket.ask("userDataStream.unsubscribe", sign=False, subscriptionId=1)["result"] == {}
    assert socket.events()[-1]["e"] == "eventStreamTerminated"
    client.place()
    assert {each["subscriptionId"] for each in socket.said() if "event" in each} == {0, 1}
    count = len(socket.link.sent)
    socket.session.on_close()
    client.place()
    assert len(socket.link.sent) == count


def test_subscriptions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = with_user_data()
    socket.client.key = socket.client.rig.other()
    subscribe = "userDataStream.subscribe.signature"
    monkeypatch.setattr(binance_trading_session, "MOST_SUBSCRIPTIONS", 1)
    assert socket.ask(subscribe)["error"] == {
        "code": -1191,
        "msg": "Too many subscriptions. Connection may create up to '1' subscriptions at a time.",
    }
    monkeypatch.setattr(binance_trading_session, "MOST_IN_ALL", 1)
    assert socket.ask(subscribe)["error"]["code"] == -2042


def test_an_answer_that_comes_after_the_end_goes_nowhere() -> None:
    client = Client()
    socket = Socket(client)
    socket.send("order.place", **client.order())
    socket.session.on_close()
    client.rig.turn()
    assert socket.link.sent == []
    assert len(client.rig.desk.open_orders(client.rig.account)) == 1


def test_nothing_is_done_for_a_session_that_has_ended() -> None:
    client = Client()
    socket = Socket(client)
    socket.session.on_close()
    socket.send("userDataStream.subscribe.signature")
    socket.send("order.place", **client.order())
    client.rig.turn()
    client.place()
    assert socket.link.sent == []
    assert len(client.rig.desk.open_orders(client.rig.account)) == 1
    assert not client.rig.desk._listeners


def test_user_data_of_a_revoked_key_ends_with_it_and_no_other() -> None:
    socket = with_user_data()
    client = socket.client
    mine, client.key = client.key, client.rig.other()
    assert socket.good("userDataStream.subscribe.signature") == {"subscriptionId": 1}
    socket.said()
    client.rig.accounts.revoke(mine.api_key)
    socket.session.on_revoked(mine.api_key, client.rig.now_ns)
    terminated = {"e": "eventStreamTerminated", "E": client.rig.now_ns // 1_000_000}
    assert socket.said()[-1] == {"subscriptionId": 0, "event": terminated}
    count = len(socket.link.sent)
    for key in (mine, client.key):
        client.rig.desk.deposit(key.account, "USDT", 10**8)
    client.rig.turn()
    assert {each["subscriptionId"] for each in socket.said()[count:]} == {1}
    client.key = mine
    assert socket.ask("order.place", **client.order())["error"]["code"] == -2015


def test_answers_to_orders_alone_count_as_such_and_once() -> None:
    socket = Socket(Client())
    client = socket.client
    socket.good("order.place", **client.order())
    assert (socket.link.orders, socket.link.acks) == (1, 1)
    socket.ask("time", sign=False)
    socket.good("openOrders.status")
    socket.ask("nothing", sign=False)
    assert (socket.link.orders, socket.link.acks) == (1, 1)
    socket.ask("order.place", **client.order(price="0.05"))
    assert (socket.link.orders, socket.link.acks, len(socket.link.rejects)) == (2, 2, 2)
    socket.ask("order.place", sign=False, apiKey="nobody")
    assert (socket.link.orders, socket.link.acks) == (3, 3)
    socket.good(
        "orderList.place.oco", symbol="BTCUSDT", side="SELL", quantity="0.5", aboveType="LIMIT_MAKER",
        abovePrice="105000", belowType="STOP_LOSS", belowStopPrice="103500",
    )  # fmt: skip
    assert (socket.link.orders, socket.link.acks) == (5, 5)


def test_there_is_no_session_elsewhere() -> None:
    client = Client()
    assert client.dialect.session("/ws/btcusdt@trade", "", Socket(client).link, 0) is None
