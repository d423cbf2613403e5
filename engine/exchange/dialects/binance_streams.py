"""Binance's WebSocket streams: spot, USD-M (split into /public and /market) and COIN-M.

A stream that does not exist is taken without a word and stays silent, as with the venue; so does one asked for
on USD-M's wrong path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from engine.exchange.dialects.binance import INTERVALS, encode
from engine.exchange.dialects.binance_texts import marks, pair_of, texts_of, turnover
from engine.exchange.dialects.sessions import Opening, Reaction
from engine.exchange.market import Change, Listing, aggregated
from engine.exchange.past import Candle
from engine.exchange.served import ServedMarket
from engine.exchange.topics import CandleTopic, ChangeTopic, DiffTopic, TimedTopic, Topic
from engine.exchange.wire import decimal, levels

MS: Final = 1_000_000
MAX_STREAMS: Final = 1024
ALL_TICKERS: Final = ("!miniTicker@arr", "!ticker@arr")
METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_DEPTH: Final = re.compile(r"depth(5|10|20)?(?:@(0ms|100ms|250ms|500ms|1000ms))?")
_CANDLE: Final = re.compile(r"kline_(\w{1,3})")
_MARK: Final = re.compile(r"markPrice(@1s)?")
_PUBLIC: Final = re.compile(r"(depth|bookTicker$|trade$)")  # USD-M's /public; all else is on /market


class BinanceStreams:
    """One Binance market's streams."""

    def __init__(self, market: ServedMarket) -> None:
        self.market: Final = market
        self.spot: Final = market.key == "binance_spot"
        self.coin: Final = market.key == "binance_coinm"
        self.split: Final = market.key == "binance_usdm"
        self._names = {name.lower(): name for name in market.listings}

    def opening(self, path: str, query: str) -> Opening | None:
        """`/ws`, `/ws/<streams>`, `/stream?streams=`; on USD-M below /public, /market or /private.

        USD-M's old addresses without those are still there for public streams.
        """
        route = "public" if self.split else ""
        if self.split:
            head, _, rest = path.lstrip("/").partition("/")
            if head in ("public", "market", "private"):
                route, path = head, f"/{rest}"
        if path == "/ws" or path.startswith("/ws/"):
            streams = tuple(name for name in path[4:].split("/") if "@" in name)
            return Opening(self.market.key, combined=False, route=route, streams=streams)
        if path == "/stream":
            given = next((part[8:] for part in query.split("&") if part.startswith("streams=")), "")
            streams = tuple(name for name in unquote(given).split("/") if name)
            return Opening(self.market.key, combined=True, route=route, streams=streams)
        return None

    def envelope(self, name: str, text: str) -> str:
        """`{"stream":..,"data":..}`."""
        return f'{{"stream":"{name}","data":{text}}}'

    def shutdown(self, now_ns: int) -> str:
        """Spot's `serverShutdown`."""
        return f'{{"e":"serverShutdown","E":{now_ns // MS}}}' if self.spot else ""

    def on_message(self, text: str, opening: Opening, held: Collection[str], connection: str) -> Reaction:
        """Answers to SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and the `combined` property; ids as given."""
        del connection
        try:
            message: Any = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            return Reaction(_error(3, f"Invalid JSON: {error}", None))
        if not isinstance(message, dict):
            return Reaction(_error(2, "Invalid request: expected an object", None))
        number = message.get("id")
        if not isinstance(number, int | str | None) or (isinstance(number, str) and len(number) > 36):
            return Reaction(_error(2, "Invalid request: request ID must be an integer or a short text", None))
        method, params = message.get("method"), message.get("params", [])
        if method not in METHODS:
            wanted = ", ".join(f"`{name}`" for name in METHODS)
            return Reaction(
                _error(2, f"Invalid request: unknown variant {method!r}, expected one of {wanted}", number)
            )
        if method == "LIST_SUBSCRIPTIONS":
            return Reaction(_result(list(held), number))
        if method == "GET_PROPERTY":
            return Reaction(_result(opening.combined, number))
        if not isinstance(params, list):
            return Reaction(_error(2, "Invalid request: params must be a list", number))
        if method == "SET_PROPERTY":
            if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):
                return Reaction(_error(0, "Unknown property", number))
            return Reaction(_result(None, number), combined=params[1])
        names = tuple(dict.fromkeys(name for name in params if isinstance(name, str)))
        if len(names) != len(set(map(str, params))) or not all(map(str.strip, names)):
            return Reaction(_error(2, "Invalid request: params must be names of streams", number))
        if method == "UNSUBSCRIBE":
            return Reaction(_result(None, number), unsubscribe=names)
        if len({*held, *names}) > MAX_STREAMS:
            return Reaction(cut="too many streams")
        return Reaction(_result(None, number), subscribe=names)

    def topic(self, opening: Opening, name: str) -> Topic | None:
        """The stream, if it exists on this address."""
        if self.spot and name in ALL_TICKERS:
            return self._all_tickers(name)
        symbol, _, channel = name.partition("@")
        native = self._names.get(symbol)  # lower case only, as with the venue
        if native is None:
            return None
        if self.split and bool(_PUBLIC.match(channel)) != (opening.route == "public"):
            return None
        if opening.route == "private":
            return None
        listing = self.market.listings[native]
        if channel == "trade":
            return ChangeTopic(name, native, self._trade_writer(listing))
        if channel == "aggTrade":
            return ChangeTopic(name, native, self._aggregate_writer(listing))
        if channel == "bookTicker":
            return ChangeTopic(name, native, self._quote_writer(listing), conflates=True)
        if (found := _DEPTH.fullmatch(channel)) is not None:
            return self._depth_topic(name, listing, found[1], found[2])
        if (found := _CANDLE.fullmatch(channel)) is not None:
            interval_s = INTERVALS.get(found[1])
            if interval_s is None or (interval_s == 1 and not self.spot):
                return None
            every_ms = 1_000 if interval_s == 1 else 2_000 if self.spot else 250
            write = self._candle_writer(listing, found[1])
            return CandleTopic(name, native, self.market, interval_s, every_ms * MS, write)
        if channel in ("miniTicker", "ticker"):
            return TimedTopic(name, native, 1_000 * MS, self._day_writer(listing, channel == "ticker"))
        if not self.spot and (found := _MARK.fullmatch(channel)) is not None:
            return TimedTopic(name, native, (1_000 if found[1] else 3_000) * MS, self._mark_writer(listing))
        return None

    def _all_tickers(self, name: str) -> Topic:
        """Every symbol's day in one message."""
        writers = [
            self._day_writer(listing, name == "!ticker@arr") for listing in self.market.listings.values()
        ]

        def write(now_ns: int) -> list[str]:
            return [f"[{','.join(text for writer in writers for text in writer(now_ns))}]"]

        return TimedTopic(name, next(iter(self.market.listings)), 1_000 * MS, write)

    def _depth_topic(self, name: str, listing: Listing, most: str | None, pace: str | None) -> Topic | None:
        allowed = (
            {None: 1_000, "1000ms": 1_000, "100ms": 100}
            if self.spot
            else {None: 250, "250ms": 250, "500ms": 500, "100ms": 100, "0ms": 0}
        )
        if pace not in allowed or (most and pace == "0ms"):
            return None
        every_ns = allowed[pace] * MS
        if most is None:
            return DiffTopic(name, listing.native, every_ns, self._diff_writer(listing))
        return TimedTopic(name, listing.native, every_ns, self._view_writer(listing, int(most)))

    def _diff_writer(self, listing: Listing) -> Callable[[Change, int], str]:
        price, size = texts_of(listing)
        name, spot = listing.native, self.spot
        pair = f',"ps":"{pair_of(name)}"' if self.coin else ""
        last_update = 0

        def write(change: Change, now_ns: int) -> str:
            nonlocal last_update
            sides = f'"b":{levels(change.bids, price, size)},"a":{levels(change.asks, price, size)}}}'
            first, last = change.first_update, change.last_update
            if spot:
                return f'{{"e":"depthUpdate","E":{now_ns // MS},"s":"{name}","U":{first},"u":{last},{sides}'
            previous = last_update or change.previous_update
            last_update = last
            return (
                f'{{"e":"depthUpdate","E":{now_ns // MS},"T":{change.ts_ns // MS},"s":"{name}"{pair},'
                f'"U":{first},"u":{last},"pu":{previous},{sides}'
            )

        return write

    def _view_writer(self, listing: Listing, most: int) -> Callable[[int], list[str]]:
        price, size = texts_of(listing)
        name = listing.native
        pair = f',"ps":"{pair_of(name)}"' if self.coin else ""
        sent = 0

        def write(now_ns: int) -> list[str]:
            nonlocal sent
            book = self.market.snapshot(name, most, now_ns)
            if book.last_update == sent:
                return []
            previous, sent = sent or book.last_update, book.last_update
            bids, asks = levels(book.bids, price, size), levels(book.asks, price, size)
            if self.spot:
                return [f'{{"lastUpdateId":{sent},"bids":{bids},"asks":{asks}}}']
            return [
                f'{{"e":"depthUpdate","E":{now_ns // MS},"T":{book.ts_ns // MS},"s":"{name}"{pair},'
                f'"U":{sent},"u":{sent},"pu":{previous},"b":{bids},"a":{asks}}}'
            ]

        return write

    def _quote_writer(self, listing: Listing) -> Callable[[Change], list[str]]:
        price, size = texts_of(listing)
        name = listing.native

        def write(change: Change) -> list[str]:
            if not change.quote_changed:
                return []
            quote, update, time_ms = change.quote, change.last_update, change.ts_ns // MS
            best = (
                f'"b":"{price(quote.bid)}","B":"{size(quote.bid_size)}",'
                f'"a":"{price(quote.ask)}","A":"{size(quote.ask_size)}"'
            )
            if self.spot:
                return [f'{{"u":{update},"s":"{name}",{best}}}']
            if self.coin:
                head = f'"u":{update},"e":"bookTicker","s":"{name}","ps":"{pair_of(name)}"'
            else:
                head = f'"e":"bookTicker","u":{update},"s":"{name}"'
            return [f'{{{head},{best},"T":{time_ms},"E":{time_ms}}}']

        return write

    def _trade_writer(self, listing: Listing) -> Callable[[Change], list[str]]:
        price, size = texts_of(listing)
        name, spot = listing.native, self.spot

        def write(change: Change) -> list[str]:
            texts = []
            for each in change.trades:
                number, time_ms = each.trade_id, each.ts_ns // MS
                what = f'"p":"{price(each.price)}","q":"{size(each.size)}"'
                maker = "true" if each.buyer_is_maker else "false"
                if spot:
                    texts.append(
                        f'{{"e":"trade","E":{time_ms},"s":"{name}","t":{number},{what},"T":{time_ms},'
                        f'"m":{maker},"M":true}}'
                    )
                else:
                    texts.append(
                        f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"{name}","t":{number},{what},'
                        f'"X":"MARKET","m":{maker}}}'
                    )
            return texts

        return write

    def _aggregate_writer(self, listing: Listing) -> Callable[[Change], list[str]]:
        price, size = texts_of(listing)
        name, spot = listing.native, self.spot

        def write(change: Change) -> list[str]:
            texts = []
            for each in aggregated(change.trades):
                number, time_ms = each.first_id, each.ts_ns // MS
                what = f'"p":"{price(each.price)}","q":"{size(each.size)}"'
                maker = "true" if each.buyer_is_maker else "false"
                ids = f'"f":{number},"l":{each.last_id},"T":{time_ms},"m":{maker}'
                head = f'"s":"{name}","a":{number}' if spot else f'"a":{number},"s":"{name}"'
                end = ',"M":true}' if spot else "}"
                texts.append(f'{{"e":"aggTrade","E":{time_ms},{head},{what},{ids}{end}')
            return texts

        return write

    def _candle_writer(self, listing: Listing, interval: str) -> Callable[[Candle, bool, int], str]:
        price, size = texts_of(listing)
        name = listing.native

        def write(candle: Candle, closed: bool, now_ns: int) -> str:
            opened = candle.open_s * 1_000
            return (
                f'{{"e":"kline","E":{now_ns // MS},"s":"{name}","k":{{"t":{opened},'
                f'"T":{opened + candle.interval_s * 1_000 - 1},"s":"{name}","i":"{interval}",'
                f'"f":{candle.first_trade},"L":{candle.last_trade},"o":"{price(candle.open)}",'
                f'"c":"{price(candle.close)}","h":"{price(candle.high)}","l":"{price(candle.low)}",'
                f'"v":"{size(candle.volume)}","n":{candle.trades},"x":{"true" if closed else "false"},'
                f'"q":"{turnover(listing, candle)}","V":"{size(candle.taker_volume)}",'
                f'"Q":"{turnover(listing, candle, taker=True)}","B":"0"}}}}'
            )

        return write

    def _day_writer(self, listing: Listing, full: bool) -> Callable[[int], list[str]]:
        price, size = texts_of(listing)
        instrument = listing.instrument
        money = decimal(instrument.price_decimals + instrument.size_decimals)

        def write(now_ns: int) -> list[str]:
            day, quote = self.market.day(listing.native, now_ns), self.market.quote(listing.native, now_ns)
            row: dict[str, Any] = {"e": "24hrMiniTicker", "E": now_ns // MS, "s": listing.native}
            ends = {
                "c": price(day.last),
                "o": price(day.open),
                "h": price(day.high),
                "l": price(day.low),
                "v": size(day.volume),
                "q": money(day.notional),
            }
            if full:
                row |= {
                    "e": "24hrTicker",
                    "p": price(day.last - day.open),
                    "P": f"{(day.last / day.open - 1) * 100:.3f}",
                    "w": price(day.notional // max(day.volume, 1)),
                    "b": price(quote.bid),
                    "B": size(quote.bid_size),
                    "a": price(quote.ask),
                    "A": size(quote.ask_size),
                    "O": now_ns // MS - 86_400_000,
                    "C": now_ns // MS,
                    "n": day.trades,
                }
            return [encode(row | ends).decode()]

        return write

    def _mark_writer(self, listing: Listing) -> Callable[[int], list[str]]:
        name = listing.native

        def write(now_ns: int) -> list[str]:
            mark, index = marks(self.market, name, now_ns)
            funding = self.market.funding(name, now_ns)
            rate = decimal(8)(funding.rate_e8)
            return [
                f'{{"e":"markPriceUpdate","E":{now_ns // MS},"s":"{name}","p":"{mark}","P":"{index}",'
                f'"i":"{index}","r":"{rate}","T":{funding.next_s * 1_000}}}'
            ]

        return write


def _result(value: object, number: int | str | None) -> str:
    return encode({"result": value, "id": number}).decode()


def _error(code: int, message: str, number: int | str | None) -> str:
    return encode({"error": {"code": code, "msg": message}, "id": number}).decode()
