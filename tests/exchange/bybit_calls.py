"""A client of Bybit's private REST calls over a desk: it signs, asks and checks the envelope."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from engine.exchange.accounts import Key, hmac_hex
from engine.exchange.dialects.bybit_trading import BybitTrading
from engine.exchange.enforcement import Enforcement
from engine.exchange.entry import RestAnswer, RestCall
from engine.exchange.trading import Order
from engine.exchange.venue_rules import BYBIT
from engine.market.batches import BUY, SELL
from tests.exchange.desk_rig import Rig

MS = 1_000_000
BTC = "BTCUSDT"


class Venue:
    """Bybit's private side over a rig, and a client that signs."""

    def __init__(self, **settings: Any) -> None:
        self.rig = Rig()
        self.enforcement = Enforcement(BYBIT)
        self.dialect = BybitTrading(
            self.rig.desk,
            self.rig.accounts,
            self.rig.guard,
            {"bybit_spot": self.rig.market("bybit_spot")},
            self.enforcement,
            **({"answer_delay_s": 0.0} | settings),
        )
        self.rig.rest(BTC, BUY, "99990.0", "2")
        self.rig.rest(BTC, SELL, "100010.0", "2")
        self.rig.trade_at(BTC, "100000.0", "0.001")

    def call(self, method: str, path: str, key: Key | None = None, **arguments: Any) -> RestCall:
        """A signed call."""
        key = key or self.rig.key
        query = urlencode(arguments) if method == "GET" else ""
        body = b"" if method == "GET" else json.dumps(arguments).encode()
        return self.signed(method, path, query, body, key)

    def signed(
        self, method: str, path: str, query: str, body: bytes, key: Key, stamp_ms: int | None = None
    ) -> RestCall:
        """A call with headers of its own."""
        self.rig.now_ns += 1_000 * MS  # each call is a second later: limits and replays have their own tests
        stamp = str(self.rig.now_ns // MS if stamp_ms is None else stamp_ms)
        sign = hmac_hex(key.secret, f"{stamp}{key.api_key}5000".encode() + (query.encode() or body))
        headers = {
            "X-BAPI-API-KEY": key.api_key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-SIGN": sign,
            "X-BAPI-RECV-WINDOW": "5000",
        }
        return RestCall(method, path, query, body, headers, "127.0.0.1", self.rig.now_ns)

    def send(self, call: RestCall) -> tuple[RestAnswer, dict[str, Any]]:
        """The answer, and its body."""
        answer: RestAnswer = self.rig.run(self.dialect.answer(call))
        body = json.loads(answer.body)
        assert list(body) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
        assert body["time"] == call.now_ns // MS
        return answer, body

    def get(self, path: str, **arguments: Any) -> dict[str, Any]:
        """The result of a good question."""
        body = self.send(self.call("GET", path, **arguments))[1]
        assert body["retCode"] == 0, body
        return body["result"]

    def post(self, path: str, **arguments: Any) -> dict[str, Any]:
        """The whole body of an order call."""
        return self.send(self.call("POST", f"/v5/order/{path}", **arguments))[1]

    def place(self, **arguments: Any) -> str:
        """The id of a good order, a limit buy far below the market unless told otherwise."""
        body = self.post("create", **asked(**arguments))
        assert body["retCode"] == 0, body
        return body["result"]["orderId"]

    def refused(self, path: str, **arguments: Any) -> int:
        """The code of a refusal that changed nothing."""
        before = self.rig.engine.state_hash()
        body = self.post(path, **arguments)
        assert body["retCode"] != 0, body
        assert body["retMsg"]
        assert body["result"] == {}
        assert self.rig.engine.state_hash() == before
        return body["retCode"]

    def order(self, order_id: str) -> dict[str, Any]:
        """An order's row."""
        rows = self.get("/v5/order/realtime", category="spot", orderId=order_id)["list"]
        assert len(rows) == 1
        return rows[0]

    def desk_order(self, order_id: str) -> Order:
        """The desk's own."""
        order = self.rig.desk.order(self.rig.account, int(order_id))
        assert order is not None
        return order


def asked(**arguments: Any) -> dict[str, Any]:
    """The parameters of an order; None takes one away."""
    usual = {
        "category": "spot",
        "symbol": BTC,
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.01",
        "price": "90000",
    }
    return {name: value for name, value in (usual | arguments).items() if value is not None}
