"""Bybit's private and trade sockets over a desk: logging in, what is told, orders by message, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.exchange.accounts import Key, hmac_hex
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_sessions import PrivateSession, TradeSession, silence_of
from engine.market.batches import BUY, SELL
from tests.exchange.bybit_calls import BTC, MS, Venue, asked
from tests.exchange.desk_rig import Link

S = 1_000_000_000


class Socket:
    """A session of either kind and its client."""

    def __init__(self, venue: Venue, path: str, query: str = "") -> None:
        self.venue = venue
        self.link = Link()
        session = venue.dialect.session(path, query, self.link, venue.rig.now_ns)
        assert session is not None
        self.session = session
        self.requests = 0

    def send(self, message: Any) -> None:
        """One message."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.session.on_text(data, self.venue.rig.now_ns)

    def got(self) -> list[dict[str, Any]]:
        """What was sent since the last look."""
        found = [json.loads(each) for each in self.link.sent]
        self.link.sent.clear()
        return found

    def ask(self, message: Any) -> dict[str, Any]:
        """The one answer to a message."""
        self.send(message)
        (answer,) = self.got()
        return answer

    def later(self, seconds: float) -> None:
        """Time goes by, with a turn at its end."""
        self.venue.rig.now_ns += int(seconds * S)
        self.session.on_turn(self.venue.rig.now_ns)

    def login(self, key: Key | None = None, expires: int | str | None = None) -> dict[str, Any]:
        """The answer to a login."""
        return self.ask({"op": "auth", "args": login(self.venue, key, expires)})

    def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait for the ack."""
        self.send({"op": "subscribe", "args": list(topics), "req_id": "s"})
        assert self.got() == []
        self.later(0.1)
        (ack,) = self.got()
        assert ack == {"req_id": "s", "success": True, "ret_msg": "", "op": "subscribe", "conn_id": "link-1"}

    def order(self, operation: str, arguments: dict[str, Any], **header: str) -> dict[str, Any]:
        """The answer to an order call."""
        self.requests += 1
        stamp = {"X-BAPI-TIMESTAMP": str(self.venue.rig.now_ns // MS)} | header
        self.send({"reqId": f"r-{self.requests}", "header": stamp, "op": operation, "args": [arguments]})
        self.venue.rig.turn()
        (answer,) = self.got()
        return answer


def login(venue: Venue, key: Key | None = None, expires: int | str | None = None) -> list[Any]:
    """[key, expires, signature]."""
    key = key or venue.rig.key
    expires = venue.rig.now_ns // MS + 10_000 if expires is None else expires
    return [key.api_key, expires, hmac_hex(key.secret, f"GET/realtime{expires}".encode())]


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def private(venue: Venue) -> Socket:
    socket = Socket(venue, "/v5/private")
    assert socket.login()["success"]
    return socket


@pytest.fixture
def trade(venue: Venue) -> Socket:
    venue.rig.now_ns += MS  # a login of the same millisecond would have the other socket's signature
    socket = Socket(venue, "/v5/trade")
    assert socket.login()["retCode"] == 0
    return socket


def test_sessions_are_at_the_venues_two_paths_alone(venue: Venue) -> None:
    found = {
        path: venue.dialect.session(path, "", Link(), 0)
        for path in ("/v5/private", "/v5/trade", "/v5/public/spot", "/")
    }
    assert isinstance(found["/v5/private"], PrivateSession)
    assert isinstance(found["/v5/trade"], TradeSession)
    assert found["/v5/public/spot"] is found["/"] is None


# --- logging in -------------------------------------------------------------------------------------------------


def test_a_login_is_told_and_known(venue: Venue) -> None:
    private, trade = Socket(venue, "/v5/private"), Socket(venue, "/v5/trade")
    assert private.login() == {"success": True, "ret_msg": "", "op": "auth", "conn_id": "link-1"}
    venue.rig.now_ns += MS
    # ccxt sends the time as text, pybit as a number.
    assert trade.login(expires=str(venue.rig.now_ns // MS + 1_000)) == {
        "retCode": 0, "retMsg": "OK", "op": "auth", "connId": "link-1"
    }  # fmt: skip
    assert private.link.account == trade.link.account == venue.rig.account


def test_bad_logins_are_refused(venue: Venue) -> None:
    now_ms = venue.rig.now_ns // MS
    good = login(venue)
    for path in ("/v5/private", "/v5/trade"):
        for arguments, code in (
            (None, codes.BAD_PARAMETER),
            ([], codes.BAD_PARAMETER),
            ([good[0], "soon", good[2]], codes.BAD_PARAMETER),
            ([good[0], True, good[2]], codes.BAD_PARAMETER),
            ([1, good[1], good[2]], codes.BAD_PARAMETER),
            (["nobody's", *good[1:]], codes.BAD_KEY),
            (login(venue, expires=now_ms), codes.BAD_TIME),
            (login(venue, expires=now_ms + 61_001), codes.BAD_TIME),
            ([*good[:2], "0" * 64], codes.BAD_SIGNATURE),
            ([*good[:2], "é"], codes.BAD_SIGNATURE),
            ([good[0], good[1] + 1, good[2]], codes.BAD_SIGNATURE),
        ):
            socket = Socket(venue, path)
            answer = socket.ask({"op": "auth", "args": arguments})
            assert answer.get("success") is False or answer["retCode"] == code
            assert socket.link.rejects == [code]
            assert socket.link.account == 0
    assert Socket(venue, "/v5/private").ask({"op": "auth", "args": good})["success"]
    replayed = Socket(venue, "/v5/trade").ask({"op": "auth", "args": good})
    assert replayed["retCode"] == codes.REPLAYED


def test_a_second_login_on_a_socket_is_refused(private: Socket, trade: Socket) -> None:
    for socket in (private, trade):
        socket.venue.rig.now_ns += MS
        socket.login()
        assert socket.link.rejects == [codes.REPEATED_LOGIN]


def test_nothing_is_told_or_taken_without_a_login(venue: Venue) -> None:
    private, trade = Socket(venue, "/v5/private"), Socket(venue, "/v5/trade")
    answer = private.ask({"op": "subscribe", "args": ["order"], "req_id": "7"})
    assert answer == {
        "req_id": "7", "success": False, "ret_msg": "Request not authorized", "op": "subscribe", "conn_id": "link-1"
    }  # fmt: skip
    before = venue.rig.engine.state_hash()
    assert trade.order("order.create", asked())["retCode"] == codes.NOT_LOGGED_IN
    assert venue.rig.engine.state_hash() == before


def test_a_revoked_key_ends_its_own_sessions_at_once(private: Socket, trade: Socket) -> None:
    rig = private.venue.rig
    for socket in (private, trade):
        socket.session.on_revoked("another", rig.now_ns)
        assert socket.link.closed is None
        socket.session.on_revoked(rig.key.api_key, rig.now_ns)
        assert socket.link.closed == (1008, "the API key is gone")
        socket.send({"op": "ping"})
        assert socket.got() == []


def test_orders_are_answered_once_each_in_the_counts(trade: Socket) -> None:
    trade.send({"op": "ping"})
    trade.send({"op": "what"})
    assert len(trade.got()) == 2
    assert (trade.link.orders, trade.link.acks) == (0, 0)
    trade.order("order.create", {"category": "spot"})
    trade.order("order.create", {"category": "linear"})
    assert (trade.link.orders, trade.link.acks) == (2, 2)


def test_a_key_that_is_revoked_ends_its_sessions(private: Socket, trade: Socket) -> None:
    private.venue.rig.accounts.revoke(private.venue.rig.key.api_key)
    assert trade.order("order.create", asked())["retCode"] == codes.NOT_LOGGED_IN
    for socket in (private, trade):
        socket.later(0.1)
        assert socket.link.closed is not None
        assert socket.link.closed[0] == 1008


def test_silent_clients_are_cut_after_ten_minutes_or_as_they_wish(venue: Venue) -> None:
    usual, short = Socket(venue, "/v5/private"), Socket(venue, "/v5/private", "max_alive_time=1m")
    short.later(59)
    assert short.ask({"op": "ping"})["op"] == "pong"
    short.later(59)
    assert short.link.closed is None
    short.later(2)
    assert short.link.closed is not None
    usual.later(0)
    assert usual.link.closed is None
    usual.later(601)
    assert usual.link.closed is not None
    assert [silence_of(f"max_alive_time={each}") for each in ("30s", "1s", "900s", "2m", "x", "", "9999m")] == [
        30, 30, 600, 120, 600, 600, 600
    ]  # fmt: skip


def test_pings_are_answered_in_each_sockets_own_form(private: Socket, trade: Socket) -> None:
    now = str(private.venue.rig.now_ns // MS)
    assert private.ask({"op": "ping", "req_id": "9"}) == {
        "req_id": "9", "op": "pong", "args": [now], "conn_id": "link-1"
    }  # fmt: skip
    assert trade.ask({"op": "ping"}) == {
        "retCode": 0, "retMsg": "OK", "op": "pong", "data": [now], "connId": "link-1"
    }  # fmt: skip


# --- what is told -----------------------------------------------------------------------------------------------


def test_subscriptions_begin_with_their_ack(private: Socket) -> None:
    private.send({"op": "subscribe", "args": ["order"]})
    private.later(0.02)
    private.venue.place(qty="0.001")
    assert private.got() == []
    private.later(0.04)
    assert [each["op"] for each in private.got()] == ["subscribe"]
    private.venue.place(qty="0.001")
    assert [each["topic"] for each in private.got()] == ["order"]


def test_an_order_is_told_from_its_placing_to_its_end(private: Socket) -> None:
    private.subscribe("order", "execution", "wallet")
    venue = private.venue
    order_id = venue.place(side="Sell", price="100005", qty="0.02", orderLinkId="mine")
    placed, wallet = private.got()
    assert (placed["topic"], wallet["topic"]) == ("order", "wallet")
    assert placed["creationTime"] == venue.desk_order(order_id).created_ns // MS
    (row,) = placed["data"]
    assert row == {"category": "spot"} | venue.order(order_id)
    (held,) = wallet["data"]
    assert [each["coin"] for each in held["coin"]] == ["USDT", "BTC"] or len(held["coin"]) == 2
    assert {each["coin"]: each["locked"] for each in held["coin"]}["BTC"] == "0.02000000"

    venue.rig.take(BTC, BUY, "0.005")
    order, execution, wallet = private.got()
    assert (order["data"][0]["orderStatus"], order["data"][0]["cumExecQty"]) == ("PartiallyFilled", "0.00500")
    assert order["data"][0]["cumExecFee"] == "0.50002500"
    (fill,) = execution["data"]
    assert (fill["category"], fill["orderId"], fill["execQty"], fill["leavesQty"]) == (
        "spot", order_id, "0.00500", "0.01500"
    )  # fmt: skip
    assert (fill["isMaker"], fill["orderLinkId"], fill["feeCurrency"]) == (True, "mine", "USDT")
    listed = venue.get("/v5/execution/list", category="spot")["list"][0]
    assert {name: fill[name] for name in listed} == listed

    venue.post("cancel", category="spot", symbol=BTC, orderId=order_id)
    order, wallet = private.got()
    assert order["data"][0]["orderStatus"] == "PartiallyFilledCanceled"
    assert {each["coin"]: each["locked"] for each in wallet["data"][0]["coin"]}["BTC"] == "0.00000000"
    identities = {placed["id"], order["id"], execution["id"], wallet["id"]}
    assert len(identities) == 4


def test_an_order_that_meets_many_is_told_in_few_rows_and_all_its_executions(private: Socket) -> None:
    private.subscribe("order", "execution", "execution.fast")
    for at in range(30):
        private.venue.rig.rest(BTC, SELL, f"10000{5 + at // 10}.{at % 10}", "0.001")
    order_id = private.venue.place(price="100020", qty="0.02")
    orders, executions, fast = private.got()
    assert [each["orderStatus"] for each in orders["data"]] == ["New", "Filled"]
    assert {each["orderId"] for each in executions["data"]} == {order_id}
    assert [each["execQty"] for each in executions["data"]] == ["0.00100"] * 20
    assert orders["data"][-1]["cumExecQty"] == "0.02000"
    assert [each["execId"] for each in fast["data"]] == [each["execId"] for each in executions["data"]]
    assert list(fast["data"][0]) == [
        "category", "symbol", "orderId", "isMaker", "orderLinkId", "execId", "execPrice", "execQty", "side",
        "execTime", "seq",
    ]  # fmt: skip


def test_topics_of_spot_tell_the_same_under_their_own_name(private: Socket) -> None:
    private.subscribe("order.spot", "execution.spot", "order.linear", "position")
    private.venue.place(price="100020", qty="0.001")
    assert [each["topic"] for each in private.got()] == ["order.spot", "execution.spot"]


def test_a_triggered_order_is_told_so_and_then_as_it_is(private: Socket) -> None:
    private.subscribe("order")
    venue = private.venue
    venue.place(triggerPrice="101000", price="98000")
    (waiting,) = private.got()
    assert waiting["data"][0]["orderStatus"] == "Untriggered"
    venue.rig.leave(BTC)
    venue.rig.trade_at(BTC, "101000.0", "0.001")
    (triggered,) = private.got()
    assert [each["orderStatus"] for each in triggered["data"]] == ["Triggered", "New"]


def test_a_rejected_post_only_order_is_told(private: Socket) -> None:
    private.subscribe("order")
    order_id = private.venue.place(timeInForce="PostOnly", price="100010")
    (message,) = private.got()
    (row,) = message["data"]
    assert (row["orderId"], row["orderStatus"], row["rejectReason"]) == (
        order_id, "Rejected", "EC_PostOnlyWillTakeLiquidity"
    )  # fmt: skip


def test_deposits_are_told(private: Socket) -> None:
    private.subscribe("wallet")
    private.venue.rig.desk.deposit(private.venue.rig.account, "SOL", 5 * 10**8)
    private.venue.rig.turn()
    (message,) = private.got()
    assert message["data"][0]["coin"][0]["walletBalance"] == "2005.00000000"


def test_others_hear_nothing(private: Socket) -> None:
    private.subscribe("order", "execution", "wallet")
    others = private.venue.rig.other()
    call = private.venue.call("POST", "/v5/order/create", others, **asked())
    assert private.venue.send(call)[1]["retCode"] == 0
    assert private.got() == []


def test_unsubscribing_and_closing_end_it(private: Socket) -> None:
    private.subscribe("order", "wallet")
    private.send({"op": "unsubscribe", "args": ["order"]})
    private.later(0.1)
    assert private.got()[0]["op"] == "unsubscribe"
    private.venue.place(qty="0.001")
    assert [each["topic"] for each in private.got()] == ["wallet"]
    private.session.on_close()
    private.venue.place(qty="0.001")
    private.venue.place(timeInForce="PostOnly", price="100010")
    private.later(1)
    assert private.got() == []


@pytest.mark.parametrize(
    "message",
    [
        b"{", b"[]", b"1", b"\xff", b"[" * 10_000, {"op": "subscribe"}, {"op": "subscribe", "args": []},
        {"op": "subscribe", "args": [1]}, {"op": "subscribe", "args": ["tickers.BTCUSDT"]},
        {"op": "subscribe", "args": ["order", "order.spot"]}, {"op": "unsubscribe", "args": "order"}, {"op": 1},
        {"op": "order.create"}, {},
    ],
)  # fmt: skip
def test_bad_messages_are_refused(private: Socket, message: Any) -> None:
    answer = private.ask(message)
    assert answer["success"] is False
    assert answer["ret_msg"]
    assert len(private.link.rejects) == 1


def test_subscriptions_that_wait_are_bounded(private: Socket) -> None:
    for _ in range(150):
        private.send({"op": "subscribe", "args": ["order"]})
    assert private.link.rejects == [codes.TOO_MANY_VISITS] * 50


# --- orders by message ------------------------------------------------------------------------------------------


def test_orders_are_placed_amended_and_canceled_by_message(trade: Socket) -> None:
    venue = trade.venue
    answer = trade.order("order.create", asked(orderLinkId="x"))
    order_id = answer["data"]["orderId"]
    assert answer | {"header": {}} == {
        "reqId": "r-1", "retCode": 0, "retMsg": "OK", "op": "order.create",
        "data": {"orderId": order_id, "orderLinkId": "x"}, "retExtInfo": {}, "header": {}, "connId": "link-1",
    }  # fmt: skip
    assert answer["header"] == {
        "X-Bapi-Limit": "20",
        "X-Bapi-Limit-Status": "19",
        "X-Bapi-Limit-Reset-Timestamp": str(venue.rig.now_ns // MS),
        "Traceid": answer["header"]["Traceid"],
        "Timenow": str(venue.rig.now_ns // MS),
    }
    arguments = {"category": "spot", "symbol": BTC, "orderId": order_id}
    assert trade.order("order.amend", arguments | {"qty": "0.02"})["retCode"] == 0
    assert venue.desk_order(order_id).lots == 2_000
    assert trade.order("order.cancel", arguments)["retCode"] == 0
    assert venue.desk_order(order_id).status == "canceled"
    batch = {
        "category": "spot",
        "request": [{k: v for k, v in asked().items() if k != "category"}, {"symbol": BTC}],
    }
    answer = trade.order("order.create-batch", batch)
    assert [each["code"] for each in answer["retExtInfo"]["list"]] == [0, codes.EMPTY]
    assert (trade.link.orders, trade.link.acks) == (4, 4)


@pytest.mark.parametrize(
    ("operation", "arguments", "header", "code"),
    [
        ("order.create", asked(qty="10", price="119000"), {}, codes.NO_FUNDS),
        ("order.create", asked(category="linear"), {}, codes.BAD_OPERATION),
        ("order.create", asked(), {"X-BAPI-TIMESTAMP": "1"}, codes.BAD_TIME),
        ("order.create", asked(), {"X-BAPI-TIMESTAMP": "x"}, codes.BAD_PARAMETER),
        (
            "order.cancel",
            {"category": "spot", "symbol": BTC, "orderId": "1"},
            {"X-BAPI-RECV-WINDOW": "8000"},
            codes.NO_ORDER,
        ),
        ("order.buy", asked(), {}, codes.BAD_OPERATION),
    ],
)
def test_order_messages_are_refused_in_the_venues_words(
    trade: Socket, operation: str, arguments: dict[str, Any], header: dict[str, str], code: int
) -> None:
    before = trade.venue.rig.engine.state_hash()
    answer = trade.order(operation, arguments, **header)
    assert (answer["reqId"], answer["retCode"], answer["op"]) == ("r-1", code, operation)
    assert answer["data"] == {}
    assert trade.link.rejects == [code]
    assert trade.venue.rig.engine.state_hash() == before


def test_order_messages_have_a_header_and_one_set_of_arguments(trade: Socket) -> None:
    stamp = {"X-BAPI-TIMESTAMP": str(trade.venue.rig.now_ns // MS)}
    for rest in ({}, {"args": [asked()]}, {"header": stamp}, {"header": stamp, "args": [asked()] * 2}):
        assert trade.ask({"op": "order.create", **rest})["retCode"] == codes.BAD_PARAMETER
    assert trade.venue.rig.desk.open_orders(trade.venue.rig.account) == []


def test_a_key_that_may_only_read_places_nothing_by_message(venue: Venue) -> None:
    trade = Socket(venue, "/v5/trade")
    assert trade.login(venue.rig.accounts.create("main", "", 0, trade=False))["retCode"] == 0
    assert trade.order("order.create", asked())["retCode"] == codes.NO_PERMISSION


def test_a_request_id_is_used_once(trade: Socket) -> None:
    trade.order("order.create", asked())
    trade.requests = 0
    answer = trade.order("order.create", asked())
    assert answer["retCode"] == codes.REPEATED_REQUEST
    assert len(trade.venue.rig.desk.open_orders(trade.venue.rig.account)) == 1


def test_messages_count_against_the_same_limit_as_calls(trade: Socket) -> None:
    venue = trade.venue
    venue.place(qty="0.001")
    for left in range(18, -1, -1):
        answer = trade.order("order.create", asked(qty="0.001"))
        assert (answer["retCode"], answer["header"]["X-Bapi-Limit-Status"]) == (0, str(left))
    answer = trade.order("order.create", asked(qty="0.001"))
    assert answer["retCode"] == codes.TOO_MANY_VISITS
    assert int(answer["header"]["X-Bapi-Limit-Reset-Timestamp"]) > venue.rig.now_ns // MS
    assert venue.enforcement.statistics()["refusals"] == {"10006": 1}
    assert len(venue.rig.desk.open_orders(venue.rig.account)) == 20


def test_answers_come_a_little_late_since_pybit_keeps_a_request_only_once_it_has_sent_it() -> None:
    venue = Venue(answer_delay_s=0.01)
    trade = Socket(venue, "/v5/trade")
    trade.login()

    async def answers() -> list[list[dict[str, Any]]]:
        stamp = {"X-BAPI-TIMESTAMP": str(venue.rig.now_ns // MS)}
        trade.send({"header": stamp, "op": "order.create", "args": [asked()]})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        early = trade.got()
        assert venue.rig.desk.open_orders(venue.rig.account)
        await asyncio.sleep(0.05)
        return [early, trade.got()]

    early, late = venue.rig.run(answers())
    assert early == []
    assert [each["retCode"] for each in late] == [0]


def test_an_answer_to_a_client_that_left_goes_nowhere(trade: Socket) -> None:
    stamp = {"X-BAPI-TIMESTAMP": str(trade.venue.rig.now_ns // MS)}
    trade.send({"header": stamp, "op": "order.create", "args": [asked()]})
    trade.session.on_close()
    trade.venue.rig.turn()
    assert trade.got() == []
    assert len(trade.venue.rig.desk.open_orders(trade.venue.rig.account)) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        {"op": []},
        {"op": "order.create", "reqId": ["x"]},
        {"op": "subscribe"},
    ],
)
def test_bad_order_messages_are_refused(trade: Socket, message: Any) -> None:
    assert trade.ask(message)["retCode"] != 0
    trade.session.on_binary(b"\x00", trade.venue.rig.now_ns)
    assert trade.got()[0]["retCode"] != 0
