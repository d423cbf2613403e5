"""Bybit v5's public WebSocket streams: spot, linear and inverse, each at its own address.

Acks come some 50 ms late, as the venue's do: a client that looks its request up on the ack has stored it by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from engine.exchange.dialects.bybit import (
    INTERVALS,
    MARKETS,
    encode,
    execution_id,
    texts_of,
    ticker,
    turnover,
)
from engine.exchange.dialects.sessions import Opening, Reaction
from engine.exchange.market import Change, Listing, Snapshot
from engine.exchange.past import Candle
from engine.exchange.served import ServedMarket
from engine.exchange.topics import NOTHING, CandleTopic, ChangeTopic, Texts, Topic, ViewTopic, waits
from engine.exchange.wire import levels

MS: Final = 1_000_000
ACK_DELAY_S: Final = 0.05
SPOT_ARGUMENTS: Final = 10
MAX_CHARACTERS: Final = 21_000
BOOKS_MS: Final = {  # levels to pace
    "spot": {1: 10, 50: 20, 200: 200, 1000: 200},
    "linear": {1: 10, 50: 20, 200: 100, 1000: 200},
    "inverse": {1: 10, 50: 20, 200: 100, 1000: 200},
}
FIRST_NUMBER: Final = 1_000_000


class BybitStreams:
    """All of Bybit's public streams."""

    def __init__(self, markets: Mapping[str, ServedMarket]) -> None:
        self._markets: Final = markets
        self._numbers: dict[tuple[str, str, int], int] = {}  # last `u` of (market, symbol, levels)

    def book_number(self, market: str, symbol: str) -> int:
        """The `u` that REST answers: that of the 1000-level stream."""
        return self._numbers.get((market, symbol, 1000), FIRST_NUMBER)

    def opening(self, path: str, query: str) -> Opening | None:
        """`/v5/public/spot`, `linear`, `inverse`."""
        del query
        key = MARKETS.get(path.removeprefix("/v5/public/")) if path.startswith("/v5/public/") else None
        return Opening(key) if key in self._markets and key is not None else None

    def envelope(self, name: str, text: str) -> str:
        """The message itself: it names its topic."""
        del name
        return text

    def shutdown(self, now_ns: int) -> str:
        """Nothing."""
        del now_ns
        return ""

    def on_message(self, text: str, opening: Opening, held: Collection[str], connection: str) -> Reaction:
        """Answers to subscribe, unsubscribe and ping."""
        try:
            message: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return _refused("error:json invalid", "", "", connection)
        if not isinstance(message, dict):
            return _refused("error:request invalid", "", "", connection)
        request = message.get("req_id", "")
        request = request if isinstance(request, str) and len(request) <= 64 else ""
        operation, given = message.get("op"), message.get("args", [])
        if operation == "ping":
            return Reaction(_answer(True, "pong", connection, request, "ping"))
        if operation not in ("subscribe", "unsubscribe"):
            return _refused("error:op invalid", request, str(operation)[:32], connection)
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given) or not given:
            return _refused("error:args invalid", request, operation, connection)
        names = tuple(dict.fromkeys(given))
        if opening.market == "bybit_spot" and len(names) > SPOT_ARGUMENTS:
            return _refused("args size >10", request, operation, connection)
        ok = _answer(
            True, operation if opening.market == "bybit_spot" else "", connection, request, operation
        )
        if operation == "unsubscribe":
            return Reaction(ok, unsubscribe=names, delay_s=ACK_DELAY_S)
        if sum(map(len, {*held, *names})) > MAX_CHARACTERS:
            return _refused(f"args characters > {MAX_CHARACTERS}", request, operation, connection)
        for name in names:
            if name in held:
                return _refused(f"error:already subscribed,topic:{name}", request, operation, connection)
            if self._parsed(opening, name) is None:
                return _refused(f"error:handler not found,topic:{name}", request, operation, connection)
        return Reaction(ok, subscribe=names, delay_s=ACK_DELAY_S)

    def topic(self, opening: Opening, name: str) -> Topic | None:
        """The stream of this name."""
        parsed = self._parsed(opening, name)
        if parsed is None:
            return None
        channel, argument, listing = parsed
        market = self._markets[opening.market]
        if channel == "orderbook":
            return self._book_topic(name, market, listing, int(argument))
        if channel == "publicTrade":
            return ChangeTopic(name, listing.native, _trade_writer(name, listing))
        if channel == "kline":
            write = _candle_writer(name, listing, argument)
            return CandleTopic(name, listing.native, market, INTERVALS[argument], 1_000 * MS, write)
        return TickerTopic(name, market, listing)

    def _parsed(self, opening: Opening, name: str) -> tuple[str, str, Listing] | None:
        """(channel, its argument, listing) of a stream that exists."""
        channel, _, rest = name.partition(".")
        argument, symbol = "", rest
        if channel in ("orderbook", "kline"):
            argument, _, symbol = rest.partition(".")
        listing = self._markets[opening.market].listings.get(symbol)
        if listing is None or channel not in ("orderbook", "publicTrade", "tickers", "kline"):
            return None
        if channel == "kline" and argument not in INTERVALS:
            return None
        if channel == "orderbook" and argument not in ("1", "50", "200", "1000"):
            return None
        return channel, argument, listing

    def _book_topic(self, name: str, market: ServedMarket, listing: Listing, most: int) -> ViewTopic:
        price, size = texts_of(listing)
        key = (market.key, listing.native, most)
        spot = listing.kind == "spot"

        def write(what: str, book: Snapshot, number: int, now_ns: int) -> str:
            self._numbers[key] = number
            kind, time = f'"type":"{what}"', f'"ts":{now_ns // MS}'
            head = f"{time},{kind}" if spot else f"{kind},{time}"
            return (
                f'{{"topic":"{name}",{head},"data":{{"s":"{listing.native}",'
                f'"b":{levels(book.bids, price, size)},"a":{levels(book.asks, price, size)},'
                f'"u":{number},"seq":{book.last_update}}},"cts":{book.ts_ns // MS}}}'
            )

        first = self._numbers.setdefault(key, FIRST_NUMBER)
        every_ns = BOOKS_MS[listing.kind][most] * MS
        return ViewTopic(
            name,
            listing.native,
            market,
            most,
            every_ns,
            write,
            first_number=first,
            always_whole=most == 1,
        )


class TickerTopic:
    """`tickers.S`: whole rows on spot; elsewhere one whole row, then the fields that changed."""

    book = False

    def __init__(self, name: str, market: ServedMarket, listing: Listing) -> None:
        self.name, self.symbol = name, listing.native
        self._market, self._spot = market, listing.kind == "spot"
        self.conflates = self._spot
        self._every_ns = (50 if self._spot else 100) * MS
        self._due_ns = 0
        self._row: dict[str, Any] = {}
        self._sequence = 0

    def on_change(self, change: Change) -> Texts:
        """Nothing at once."""
        self._sequence = change.last_update
        return NOTHING

    def on_turn(self, now_ns: int) -> Texts:
        """The row, or what changed of it since the last message."""
        if waits(now_ns, self._due_ns, self._every_ns):
            return NOTHING
        self._due_ns = (now_ns // self._every_ns + 1) * self._every_ns
        row = self._now(now_ns)
        changed = {key: value for key, value in row.items() if self._row.get(key) != value}
        self._row = row
        if not changed:
            return NOTHING
        if self._spot:
            return (self._write("snapshot", row, now_ns),)
        return (self._write("delta", {"symbol": self.symbol, **changed}, now_ns),)

    def greeting(self, now_ns: int) -> Texts:
        """The whole row."""
        if not self._row:
            self._row = self._now(now_ns)
        return (self._write("snapshot", self._row, now_ns),)

    def _now(self, now_ns: int) -> dict[str, Any]:
        row = ticker(self._market, self.symbol, now_ns)
        if self._spot:
            for key in ("bid1Price", "bid1Size", "ask1Price", "ask1Size"):
                del row[key]
        return row

    def _write(self, kind: str, row: dict[str, Any], now_ns: int) -> str:
        head: dict[str, Any] = {"topic": self.name}
        rest: dict[str, Any] = {"cs": self._sequence, "ts": now_ns // MS}
        return encode(head | {"type": kind, "data": row} | rest).decode()


def _trade_writer(name: str, listing: Listing) -> Callable[[Change], Texts]:
    price, size = texts_of(listing)
    spot = listing.kind == "spot"

    def write(change: Change) -> Texts:
        if not change.trades:
            return NOTHING
        rows = ",".join(
            f'{{"T":{each.ts_ns // MS},"s":"{listing.native}","S":"{"Sell" if each.buyer_is_maker else "Buy"}",'
            f'"v":"{size(each.size)}","p":"{price(each.price)}",'
            + ("" if spot else f'"L":"{"MinusTick" if each.buyer_is_maker else "PlusTick"}",')
            + f'"i":"{execution_id(listing, each)}","BT":false,"RPI":false,"seq":{change.last_update}}}'
            for each in change.trades
        )
        return (f'{{"topic":"{name}","type":"snapshot","ts":{change.ts_ns // MS},"data":[{rows}]}}',)

    return write


def _candle_writer(name: str, listing: Listing, interval: str) -> Callable[[Candle, bool, int], str]:
    price, size = texts_of(listing)

    def write(candle: Candle, closed: bool, now_ns: int) -> str:
        start = candle.open_s * 1_000
        return (
            f'{{"topic":"{name}","data":[{{"start":{start},"end":{start + candle.interval_s * 1_000 - 1},'
            f'"interval":"{interval}","open":"{price(candle.open)}","close":"{price(candle.close)}",'
            f'"high":"{price(candle.high)}","low":"{price(candle.low)}","volume":"{size(candle.volume)}",'
            f'"turnover":"{turnover(listing, candle)}","confirm":{"true" if closed else "false"},'
            f'"timestamp":{now_ns // MS}}}],"ts":{now_ns // MS},"type":"snapshot"}}'
        )

    return write


def _answer(success: bool, message: str, connection: str, request: str, operation: str) -> str:
    row: dict[str, Any] = {"success": success, "ret_msg": message, "conn_id": connection}
    if request:
        row["req_id"] = request
    return encode(row | {"op": operation}).decode()


def _refused(message: str, request: str, operation: str, connection: str) -> Reaction:
    return Reaction(_answer(False, message, connection, request, operation), delay_s=ACK_DELAY_S)
