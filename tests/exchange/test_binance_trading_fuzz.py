"""Whatever is sent, the Binance dialect answers in the venue's form, and what it refuses changes nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.exchange.dialects.binance_trading import PATHS
from engine.exchange.dialects.binance_trading_wallet import WALLET
from tests.exchange.binance_calls import Client, Socket

CLIENT = Client()
SOCKET = Socket(CLIENT)
SOCKET.good("userDataStream.subscribe.signature")
CALLS = (*PATHS, *WALLET)
METHODS = (
    *CLIENT.dialect.table,
    "userDataStream.unsubscribe",
    "session.status",
    "depth",
    "klines",
    "nothing",
)

MOSTLY = st.sampled_from([True] * 9 + [False])
NUMBERS = st.one_of(
    st.sampled_from(["0", "0.01", "1", "104000.0", "104100", "99999", "1e5", "-1", "0.000000001", "nan"]),
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.decimals(0, 200_000, allow_nan=False, places=1).map(str),
)
CHOICES = st.sampled_from(
    [
        "BTCUSDT", "ETHUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT",
        "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "GTC", "IOC", "FOK", "ACK", "FULL", "NONE", "DECREMENT",
        "STOP_ON_FAILURE", "ALLOW_FAILURE", "ONLY_NEW", "true", "",
    ]
)  # fmt: skip
NAMES = sorted({name for call in CLIENT.dialect.table.values() for name in call.arguments})
PRICES = st.sampled_from(["100000", "104050", "104100", "110000", "1"])
STOPS = st.sampled_from(["103000", "105000"])
NEEDED: dict[str, dict[str, Any]] = {
    "LIMIT": {"timeInForce": st.sampled_from(["GTC", "IOC", "FOK"]), "price": PRICES},
    "LIMIT_MAKER": {"price": PRICES},
    "MARKET": {},
    "STOP_LOSS": {"stopPrice": STOPS},
    "TAKE_PROFIT_LIMIT": {"timeInForce": st.just("GTC"), "price": PRICES, "stopPrice": STOPS},
}


def orders(kind: str) -> st.SearchStrategy[dict[str, str]]:
    """What an order of this type needs, so that many come through."""
    return st.fixed_dictionaries(
        {
            "symbol": st.just("BTCUSDT"),
            "side": st.sampled_from(["BUY", "SELL"]),
            "type": st.just(kind),
            "quantity": st.sampled_from(["0.01", "0.5", "20", "0.00001"]),
            **NEEDED[kind],
        },
        optional={
            "icebergQty": st.sampled_from(["0.01", "0.1"]),
            "selfTradePreventionMode": st.sampled_from(["NONE", "EXPIRE_BOTH", "DECREMENT"]),
            "cancelReplaceMode": st.sampled_from(["STOP_ON_FAILURE", "ALLOW_FAILURE"]),
            "cancelOrderId": st.integers(1_000_001, 1_000_200).map(str),
            "orderId": st.integers(1_000_001, 1_000_200).map(str),
            "newQty": st.sampled_from(["0.005", "0.01"]),
            "aboveType": st.sampled_from(["LIMIT_MAKER", "STOP_LOSS"]),
            "belowType": st.sampled_from(["LIMIT_MAKER", "STOP_LOSS"]),
            "abovePrice": st.just("105000"),
            "belowPrice": st.just("100000"),
            "aboveStopPrice": st.just("106000"),
            "belowStopPrice": st.just("101000"),
        },
    )


ORDERS = st.sampled_from(sorted(NEEDED)).flatmap(orders)
ANYTHING = st.dictionaries(st.sampled_from(NAMES), NUMBERS | CHOICES | st.text(max_size=6), max_size=8)
PARAMS = ORDERS | ANYTHING | st.builds(lambda a, b: a | b, ORDERS, ANYTHING)


def untouched(error: dict[str, Any]) -> bool:
    """Whether nothing was done at all: cancelReplace may do one half."""
    data = error.get("data")
    return data is None or "SUCCESS" not in (data.get("cancelResult"), data.get("newOrderResult"))


def fitting(params: dict[str, str], names: frozenset[str] | None, fits: bool) -> dict[str, str]:
    """Only what a call takes, so that more than the first check is met."""
    return {name: each for name, each in params.items() if not fits or names is None or name in names}


def tidy() -> None:
    """Keep the account below its 200 orders."""
    if len(CLIENT.rig.desk.open_orders(CLIENT.rig.account)) > 150:
        for at in range(2):
            CLIENT.rig.desk.cancel_all(CLIENT.rig.account, at)
        CLIENT.rig.turn()


@given(call=st.sampled_from(CALLS), params=PARAMS, fits=MOSTLY)
@example(
    "POST /order", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "9" * 20}, True
)
@example("POST /order", {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "٣"}, True)
@example("GET /allOrders", {"symbol": "BTCUSDT", "startTime": "9" * 19}, True)
@example("GET /order", {"symbol": "BTCUSDT", "orderId": "9" * 20}, True)
def test_any_call_is_answered_or_refused_and_a_refusal_changes_nothing(
    call: str, params: dict[str, str], fits: bool
) -> None:
    tidy()
    before = CLIENT.rig.engine.state_hash()
    method, path = call.split(" ")
    CLIENT.rig.now_ns += 1_000_000
    names = CLIENT.dialect.table[PATHS[call]].arguments if call in PATHS else None
    status, body = CLIENT.call(method, path, **fitting(params, names, fits))
    assert status == 200 or 400 <= status < 500
    if status != 200:
        assert -9_999 <= body["code"] <= -1_000
        assert body["msg"]
        if untouched(body):
            assert CLIENT.rig.engine.state_hash() == before


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.sampled_from([each.split(" ")[1] for each in CALLS]),
    query=st.text(max_size=40),
    body=st.text(max_size=40),
    key=st.text(max_size=10) | st.just(CLIENT.key.api_key),
)
@example("POST", "/order", "timestamp=1&signature=é", "%ff=%", CLIENT.key.api_key)
def test_unsigned_calls_never_get_through(method: str, path: str, query: str, body: str, key: str) -> None:
    before = CLIENT.rig.engine.state_hash()
    path = path if path.startswith("/sapi") else f"/api/v3{path}"
    status, answer = CLIENT.raw(method, path, query, body, {"X-MBX-APIKEY": key})
    assert status in (400, 401, 404, 405)
    assert answer["code"] < 0
    assert CLIENT.rig.engine.state_hash() == before


@given(
    method=st.sampled_from(METHODS),
    params=PARAMS,
    sign=MOSTLY,
    fits=MOSTLY,
)
def test_any_request_is_answered_once_and_a_refusal_changes_nothing(
    method: str, params: dict[str, str], sign: bool, fits: bool
) -> None:
    tidy()
    SOCKET.link.sent.clear()
    before = CLIENT.rig.engine.state_hash()
    CLIENT.rig.now_ns += 1_000_000_000  # within the limits of orders
    known = CLIENT.dialect.table.get(method)
    names = None if known is None else known.arguments
    answer = SOCKET.ask(method, sign=sign, **fitting(params, names, fits))
    assert sum("id" in each for each in SOCKET.said()) == 1
    if answer["status"] != 200:
        assert 400 <= answer["status"] < 500
        if untouched(answer["error"]):
            assert CLIENT.rig.engine.state_hash() == before
    if not CLIENT.dialect.calls.desk._listeners:
        SOCKET.good("userDataStream.subscribe.signature")


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "method", "params", "apiKey", "symbol"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(message=JSON | st.binary(max_size=40))
@example({"id": 1, "method": "order.place", "params": {"apiKey": 5, "timestamp": 1e300, "price": {"a": []}}})
def test_any_message_gets_one_answer_that_is_json(message: Any) -> None:
    socket = Socket(CLIENT)
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    socket.session.on_text(raw, CLIENT.rig.now_ns)
    (answer,) = socket.said()
    assert answer["status"] == 200 or answer["error"]["code"] < 0
    socket.session.on_close()
