"""ccxt.pro's Binance handlers on recorded frames: what a user of that library spends on the same data.

Frames go through `orjson.loads` and `handle_message`, as its WebSocket client does it; the snapshot through its own
`parse_order_book` and the unrolling of what waited, as `fetch_order_book_snapshot` does after its REST call. Its book
keeps 1,000 levels a side by default; nothing cuts it here, since only its `limit()` would. Needs no network.
"""

from __future__ import annotations

from typing import Any

import ccxt.pro
import orjson

URLS = {
    "binance_spot": "wss://stream.binance.com:9443/stream",
    "binance_usdm": "wss://fstream.binance.com/public/ws",
    "binance_coinm": "wss://dstream.binance.com/ws",
}


class _Client:
    """The parts of ccxt's WebSocket client that handlers use."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.failed: list[object] = []

    def resolve(self, result: Any, message_hash: str | None = None) -> Any:
        return result

    def reject(self, error: object, message_hash: str | None = None) -> None:
        self.failed.append(error)


class CcxtFeed:
    """One recorded market through ccxt.pro."""

    def __init__(self, market: str, native: str, base: str, quote: str) -> None:
        kind = {"binance_spot": ccxt.pro.binance, "binance_usdm": ccxt.pro.binanceusdm}
        self.exchange = kind.get(market, ccxt.pro.binancecoinm)()
        settle = {"binance_spot": None, "binance_usdm": quote}.get(market, base)
        self.symbol = f"{base}/{quote}" + (f":{settle}" if settle else "")
        self.exchange.set_markets([self._market(market, native, base, quote, settle)])
        self.client = _Client(URLS[market])
        self.linear = market != "binance_spot"
        book = self.exchange.order_book({}, 1_000)
        book["nonce"], book.cache = None, []
        self.exchange.orderbooks[self.symbol] = book
        self.frames = 0

    def _market(
        self, market: str, native: str, base: str, quote: str, settle: str | None
    ) -> dict[str, object]:
        spot = market == "binance_spot"
        return self.exchange.safe_market_structure(
            {
                "id": native,
                "symbol": self.symbol,
                "base": base,
                "quote": quote,
                "settle": settle,
                "baseId": base,
                "quoteId": quote,
                "settleId": settle,
                "type": "spot" if spot else "swap",
                "spot": spot,
                "swap": not spot,
                "contract": not spot,
                "linear": None if spot else settle == quote,
                "inverse": None if spot else settle == base,
                "contractSize": None if spot else 1.0,
                "active": True,
                "precision": {"price": 0.01, "amount": 0.00001},
                "limits": {"amount": {}, "price": {}, "cost": {}},
            }
        )

    def on_frame(self, frame: bytes) -> None:
        """Parse one frame and give it to the handlers."""
        message = orjson.loads(frame)
        self.frames += 1
        if "lastUpdateId" in message:
            self._on_snapshot(message)
        else:
            self.exchange.handle_message(self.client, message)

    def _on_snapshot(self, message: dict[str, Any]) -> None:
        book = self.exchange.orderbooks[self.symbol]
        snapshot = self.exchange.parse_order_book(message, self.symbol, message.get("T"))
        snapshot["nonce"] = message["lastUpdateId"]
        book.reset(snapshot)
        waiting, book.cache = book.cache, []
        for each in waiting:
            u, first, nonce = each["u"], each["U"], book["nonce"]
            if self.linear:
                follows = u >= nonce and (first <= nonce <= u or each.get("pu") == nonce)
            else:
                follows = first - 1 <= nonce <= u - 1
            if follows:
                self.exchange.handle_order_book_message(self.client, each, book)

    def top(self) -> tuple[float, float, float, float]:
        """Best bid and ask with their sizes."""
        book = self.exchange.orderbooks[self.symbol]
        return (*book["bids"][0][:2], *book["asks"][0][:2])
