"""A recorded Binance market in plain Python, as a good programmer would write it: msgspec, dicts and bisect.

The rival of `bench_feed` and an independent answer for the tests: typed msgspec decoding, one dict of levels and one
sorted list of prices a side, floats. It checks sequences, and after each delta compares its top with the last quote
not newer than it, waiting for that quote as `engine.market.top_check` does.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

import msgspec

Pairs = list[tuple[str, str]]


class Depth(msgspec.Struct):
    U: int
    u: int
    b: Pairs
    a: Pairs
    E: int
    pu: int = -1


class Ticker(msgspec.Struct):
    u: int
    b: str
    B: str
    a: str
    A: str


class Trade(msgspec.Struct):
    t: int
    p: str
    q: str
    T: int
    m: bool


class DepthFrame(msgspec.Struct):
    data: Depth


class TickerFrame(msgspec.Struct):
    data: Ticker


class TradeFrame(msgspec.Struct):
    data: Trade


class Snapshot(msgspec.Struct):
    lastUpdateId: int  # noqa: N815
    bids: Pairs
    asks: Pairs


class PlainFeed:
    def __init__(self, futures: bool) -> None:
        self.futures = futures
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.bid_prices: list[float] = []  # ascending
        self.ask_prices: list[float] = []
        self.sequence = 0
        self.synced = self.bridged = False
        self.waiting: list[Depth] = []
        self.applied = self.gaps = self.agreed = self.checked = 0
        self.trades: list[tuple[int, float, float, bool]] = []
        self.tops: deque[tuple[int, tuple[float, float, float, float]]] = deque()
        self.quotes: deque[tuple[int, tuple[float, float, float, float]]] = deque()
        self.reference: tuple[float, float, float, float] | None = None
        self._depth = msgspec.json.Decoder(DepthFrame).decode
        self._ticker = msgspec.json.Decoder(TickerFrame).decode
        self._trade = msgspec.json.Decoder(TradeFrame).decode
        self._snapshot = msgspec.json.Decoder(Snapshot).decode

    def on_frame(self, frame: bytes) -> None:
        at = frame.find(b"@", 11, 48)
        kind = frame[at + 1 : at + 2] if at > 0 else b""
        if kind == b"b":
            quote = self._ticker(frame).data
            self.quotes.append((quote.u, (float(quote.b), float(quote.B), float(quote.a), float(quote.A))))
            if self.tops and self.tops[0][0] < quote.u:
                self.compare(quote.u)
        elif kind == b"t":
            trade = self._trade(frame).data
            self.trades.append((trade.T, float(trade.p), float(trade.q), trade.m))
        elif kind == b"d":
            delta = self._depth(frame).data
            if self.synced:
                self.on_delta(delta)
            else:
                self.waiting.append(delta)
        else:
            self.on_snapshot(self._snapshot(frame))

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.bids = {float(price): float(size) for price, size in snapshot.bids}
        self.asks = {float(price): float(size) for price, size in snapshot.asks}
        self.bid_prices, self.ask_prices = sorted(self.bids), sorted(self.asks)
        self.sequence, self.synced, self.bridged = snapshot.lastUpdateId, True, False
        for delta in self.waiting:
            self.on_delta(delta)
        self.waiting = []

    def on_delta(self, delta: Depth) -> None:
        if self.futures:
            if not self.bridged:
                if delta.u < self.sequence:
                    return
                follows = delta.pu <= self.sequence
            else:
                follows = delta.pu == self.sequence
        else:
            if delta.u <= self.sequence:
                return
            follows = self.sequence + 1 >= delta.U
        if not follows:
            self.gaps += 1
            return
        self.bridged = True
        self.sequence = delta.u
        self.applied += 1
        for levels, prices, changes in (
            (self.bids, self.bid_prices, delta.b),
            (self.asks, self.ask_prices, delta.a),
        ):
            for price_text, size_text in changes:
                price, size = float(price_text), float(size_text)
                if size:
                    if price not in levels:
                        insort(prices, price)
                    levels[price] = size
                elif price in levels:
                    del levels[price]
                    del prices[bisect_left(prices, price)]
        self.tops.append((delta.u, self.top()))

    def top(self) -> tuple[float, float, float, float]:
        bid, ask = self.bid_prices[-1], self.ask_prices[0]
        return bid, self.bids[bid], ask, self.asks[ask]

    def compare(self, newer_than: float) -> None:
        tops, quotes = self.tops, self.quotes
        while tops and tops[0][0] < newer_than:
            sequence, top = tops.popleft()
            while quotes and quotes[0][0] <= sequence:
                self.reference = quotes.popleft()[1]
            if self.reference is not None:
                self.checked += 1
                self.agreed += top == self.reference
