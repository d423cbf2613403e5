"""Every endpoint of the running exchange, asked with anything: never a 5xx, never a changed state after a refusal."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.exchange.accounts import Key
from engine.exchange.floor import Floor
from tests.exchange.running import RunningExchange, decoded

BINANCE = """
ping time exchangeInfo depth trades historicalTrades aggTrades klines uiKlines avgPrice ticker/24hr
ticker/price ticker/bookTicker order order/test order/cancelReplace openOrders allOrders myTrades
account account/commission rateLimit/order order/oco orderList/oco orderList openOrderList
allOrderList order/amend/keepPriority nothing
"""
BYBIT = """
market/time market/instruments-info market/orderbook market/recent-trade market/kline market/tickers
market/funding/history order/create order/amend order/cancel order/cancel-all order/create-batch
order/amend-batch order/cancel-batch order/realtime order/history execution/list position/list
account/wallet-balance account/info account/fee-rate user/query-api asset/coin/query-info nothing
"""
PATHS = (
    *(f"/binance_spot/api/v3/{name}" for name in BINANCE.split()),
    *(f"/bybit/v5/{name}" for name in BYBIT.split()),
    *(
        "/admin/keys",
        "/admin/faucet",
        "/faults",
        "/neighbour",
        "/statistics",
        "/binance_spot",
        "/",
        "//",
        "/native",
    ),
)
NAMES = """
symbol symbols side type timeInForce quantity quoteOrderQty price stopPrice trailingDelta icebergQty
limit orderId origClientOrderId newClientOrderId cancelReplaceMode interval startTime endTime fromId
category qty orderType orderLinkId triggerPrice orderFilter marketUnit baseCoin coin accountType
cursor recvWindow account asset amount count
"""
words = st.one_of(
    st.sampled_from(
        (
            "BTCUSDT",
            "ETHUSDT",
            "BUY",
            "SELL",
            "Buy",
            "Sell",
            "LIMIT",
            "MARKET",
            "Limit",
            "Market",
            "GTC",
            "IOC",
            "spot",
            "linear",
            "1m",
            "1",
            "UNIFIED",
            "STOP_LOSS",
            "0.001",
            "100000",
            "-1",
            "0",
            "1e9",
            "NaN",
            "9" * 30,
            "0." + "0" * 30,
            "[]",
            "{}",
            '["BTCUSDT"]',
            "null",
            "\x00",
            "ü",
            "%",
            "main",
            "USDT",
        )
    ),
    st.text(max_size=20),
    st.integers(-(1 << 70), 1 << 70).map(str),
)
arguments = st.dictionaries(st.sampled_from(NAMES.split()), words, max_size=7)
methods = st.sampled_from(("GET", "GET", "POST", "POST", "DELETE", "PUT", "PATCH"))


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=0) as running:
        yield running


@pytest.fixture(scope="module")
def key(exchange: RunningExchange) -> Key:
    return exchange.key()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(
    st.sampled_from(PATHS),
    methods,
    arguments,
    st.booleans(),
    st.sampled_from(("form", "json", "raw")),
    st.binary(max_size=80),
)
def test_no_call_breaks_the_exchange(
    exchange: RunningExchange,
    key: Key,
    path: str,
    method: str,
    given_: dict[str, str],
    by_query: bool,
    form: str,
    raw: bytes,
) -> None:
    exchange.do(lambda house: [each.enforcement.forget("127.0.0.1") for each in house.budgets.values()])
    before = exchange.floor(lambda floor: _state(floor, key.account))
    status, body = _call(exchange.url, key, path, method, given_, by_query, form, raw)
    assert status < 500, body[:500]
    refused = status >= 400 or (
        path.startswith("/bybit") and body.startswith(b"{") and decoded(body).get("retCode")
    )
    if refused and "batch" not in path and "cancelReplace" not in path:
        after = exchange.floor(lambda floor: _state(floor, key.account))
        assert after == before
    status, _ = _call(exchange.url, key, "/binance_spot/api/v3/ping", "GET", {}, True, "form", b"")
    assert status == 200


def _state(floor: Floor, account: int) -> object:
    """What a refused call must leave as it is: money, orders, books, phases."""
    engine = floor.desk.engine
    return (
        floor.desk.balances(account),
        [each.order_id for each in floor.desk.open_orders(account)],
        [(engine.update_number(symbol), engine.bbo(symbol)) for symbol in engine.symbols],
        [(each.phase, each.resting, each.waiting) for each in engine.statistics().symbols],
    )


def _call(
    url: str, key: Key, path: str, method: str, given_: dict[str, str], by_query: bool, form: str, raw: bytes
) -> tuple[int, bytes]:
    """Signed as either venue wants it, so that what is asked gets as far as it can."""
    now_ms = time.time_ns() // 1_000_000
    headers: dict[str, str] = {}
    query, body = "", b""
    if path.startswith("/binance"):
        payload = urlencode(
            {**given_, "timestamp": str(now_ms)}, quote_via=quote_plus, errors="surrogatepass"
        )
        payload += "&signature=" + hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        headers["X-MBX-APIKEY"] = key.api_key
        query, body = (payload, b"") if by_query or method == "GET" else ("", payload.encode())
    else:
        query = urlencode(given_, errors="surrogatepass") if by_query or method == "GET" else ""
        if not query and method != "GET":
            body = raw if form == "raw" else json.dumps(given_).encode()
        signed = f"{now_ms}{key.api_key}5000{query}".encode() + body
        headers |= {
            "X-BAPI-API-KEY": key.api_key,
            "X-BAPI-TIMESTAMP": str(now_ms),
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": hmac.new(key.secret.encode(), signed, hashlib.sha256).hexdigest(),
        }
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request(method, path + (f"?{query}" if query else ""), body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
