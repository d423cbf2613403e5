"""A client of the Binance dialect without sockets: signs calls, and reads what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from engine.exchange.accounts import Key, hmac_hex
from engine.exchange.dialects.binance_trading import BinanceTrading
from engine.exchange.enforcement import Enforcement
from engine.exchange.entry import RestCall, Session
from engine.exchange.venue_rules import RULES
from tests.exchange.desk_rig import Link, Rig

BOOK = (("104000.0", "104100.0"), ("103900.0", "104200.0"), ("103800.0", "104300.0"))


class Headers(dict[str, str]):
    """Looked up whatever the case."""

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self.items() if key.lower() == name.lower()), default)


class Client:
    """Calls a dialect over a rig with a small BTCUSDT book of the crowd's: 1 BTC at each of three levels a side."""

    def __init__(self, rig: Rig | None = None, *, book: bool = True) -> None:
        self.rig = rig or Rig()
        rig = self.rig
        self.dialect = BinanceTrading(
            rig.desk, rig.accounts, rig.guard, rig.market("binance_spot"), Enforcement(RULES["binance_spot"])
        )
        self.key: Key = rig.key
        self.calls = 0
        if book:
            rig.trade_at("BTCUSDT", "104050.0")
            for bid, ask in BOOK:
                rig.rest("BTCUSDT", 1, bid, "1")
                rig.rest("BTCUSDT", -1, ask, "1")

    def raw(
        self,
        method: str,
        path: str,
        query: str = "",
        body: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """(status, body) of a call as it is."""
        sent = Headers({"x-mbx-apikey": self.key.api_key} if headers is None else headers)
        call = RestCall(method, path, query, body.encode(), sent, "127.0.0.1", self.rig.now_ns)
        dialect = self.dialect  # the server counts the call first
        dialect.enforcement.request(
            self.rig.now_ns,
            call.address,
            f"{method} {path}",
        )
        answer = self.rig.run(dialect.answer(call))
        return answer.status, json.loads(answer.body)

    def signed(self, params: Mapping[str, Any], key: Key | None = None) -> str:
        """A query with its signature; each is another."""
        self.calls += 1
        filled = {"timestamp": self.rig.now_ns // 1_000_000, "recvWindow": f"5000.{self.calls % 900 + 1:03d}"}
        text = urlencode({**filled, **params})
        return f"{text}&signature={hmac_hex((key or self.key).secret, text.encode())}"

    def call(self, method: str, path: str, **params: Any) -> tuple[int, Any]:
        """(status, body) of a signed call below /api/v3."""
        path = path if path.startswith("/sapi") else f"/api/v3{path}"
        return self.raw(method, path, self.signed(params))

    def good(self, method: str, path: str, **params: Any) -> Any:
        """The body of a call that must be served."""
        status, body = self.call(method, path, **params)
        assert status == 200, body
        return body

    def refused(self, method: str, path: str, **params: Any) -> tuple[int, str]:
        """(code, message) of a call that must change nothing."""
        before = self.rig.engine.state_hash()
        status, body = self.call(method, path, **params)
        assert 400 <= status < 500, body
        assert self.rig.engine.state_hash() == before
        return body["code"], body["msg"]

    def order(self, **params: Any) -> dict[str, Any]:
        """Parameters of a limit order far from the market, with changes; None takes one away."""
        usual = {
            "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
            "price": "100000.0",
        }  # fmt: skip
        return {name: value for name, value in {**usual, **params}.items() if value is not None}

    def place(self, **params: Any) -> Any:
        """The answer to a new order."""
        return self.good("POST", "/order", **self.order(**params))

    def refuse(self, **params: Any) -> tuple[int, str]:
        """(code, message) of an order that must not come to be."""
        return self.refused("POST", "/order", **self.order(**params))


class Socket:
    """A WebSocket API session of a client."""

    def __init__(self, client: Client, query: str = "returnRateLimits=false") -> None:
        self.client = client
        self.link = Link()
        session = client.dialect.session("/ws-api/v3", query, self.link, client.rig.now_ns)
        assert session is not None
        self.session: Session = session
        self._number = 0
        self._last = b""

    def send(self, method: str, *, sign: bool = True, **params: Any) -> None:
        """Send a request; what follows from it comes with the next turn."""
        self._number += 1
        rig = self.client.rig
        if sign:
            params |= {"apiKey": self.client.key.api_key, "timestamp": rig.now_ns // 1_000_000}
            params.setdefault("recvWindow", 5_000 + self._number)
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            params["signature"] = hmac_hex(self.client.key.secret, payload.encode())
        self._last = json.dumps({"id": self._number, "method": method, "params": params}).encode()
        self.session.on_text(self._last, rig.now_ns)

    def repeat(self) -> None:
        """Send the last request once more, as it was."""
        self.session.on_text(self._last, self.client.rig.now_ns)
        self.client.rig.turn()

    def ask(self, method: str, *, sign: bool = True, **params: Any) -> dict[str, Any]:
        """The answer to a request; what was pushed before it is passed over."""
        self.send(method, sign=sign, **params)
        while self.client.rig.desk.waiting:  # a command may be followed by another
            self.client.rig.turn()
        return next(each for each in self.said() if each.get("id") == self._number)

    def good(self, method: str, **params: Any) -> Any:
        """The result of a request that must be served."""
        answer = self.ask(method, **params)
        assert answer["status"] == 200, answer
        return answer["result"]

    def said(self) -> list[dict[str, Any]]:
        """Everything sent so far."""
        return [json.loads(each) for each in self.link.sent]

    def events(self) -> list[dict[str, Any]]:
        """User data so far."""
        return [each["event"] for each in self.said() if "event" in each]
