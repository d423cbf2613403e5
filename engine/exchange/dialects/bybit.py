"""Bybit v5's public REST answers: spot, linear and inverse under one roof, told apart by `category`.

Errors come with status 200 and a `retCode`. Lists are newest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.limit_windows import Verdict
from engine.exchange.market import Listing, Trade
from engine.exchange.past import Candle
from engine.exchange.served import ServedMarket
from engine.exchange.wire import Text, decimal, short_decimal

Arguments = Mapping[str, str]
MARKETS: Final = {"spot": "bybit_spot", "linear": "bybit_linear", "inverse": "bybit_inverse"}
INTERVALS: Final[dict[str, int]] = {
    "1": 60, "3": 180, "5": 300, "15": 900, "30": 1_800, "60": 3_600, "120": 7_200, "240": 14_400,
    "360": 21_600, "720": 43_200, "D": 86_400, "W": 604_800,
}  # fmt: skip
CATEGORIES: Final = ("spot", "linear", "inverse", "option")
BAD: Final = 10001
MS: Final = 1_000_000

encode: Final = msgspec.json.Encoder().encode


class BybitRest:
    """Bybit's public market calls over its three markets. `book_number` gives a symbol's `u`."""

    def __init__(self, markets: Mapping[str, ServedMarket], book_number: Callable[[str, str], int]) -> None:
        self._markets: Final = {category: markets[key] for category, key in MARKETS.items() if key in markets}
        self._book_number = book_number
        self._calls: dict[str, Callable[[Arguments, int], dict[str, Any]]] = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/recent-trade": self._trades,
            "/v5/market/kline": self._klines,
            "/v5/market/tickers": self._tickers,
            "/v5/market/funding/history": self._funding,
        }

    def answer(self, method: str, path: str, arguments: Arguments, now_ns: int) -> bytes:
        """The body of a good answer. VenueRefusal otherwise."""
        call = self._calls.get(path)
        if call is None or method != "GET":
            raise VenueRefusal(404, 404, f"{method} {path} does not exist")
        return encode(_whole_answer(0, "OK", call(arguments, now_ns), now_ns))

    def is_snapshot(self, path: str) -> bool:
        """Whether the call asks for a book."""
        return path == "/v5/market/orderbook"

    def refusal(self, status: int, code: int, message: str, now_ns: int) -> tuple[str, bytes]:
        """(content type, body) of an error."""
        if status == 403:
            return "text/plain", b"access too frequent"
        return "application/json", encode(_whole_answer(code, message, {}, now_ns))

    def refused(self, verdict: Verdict, now_ns: int) -> tuple[str, bytes]:
        """The body to a refusal by limits."""
        return self.refusal(verdict.status, verdict.code, verdict.message, now_ns)

    def _market(self, arguments: Arguments, usual: str = "") -> tuple[str, ServedMarket]:
        category = arguments.get("category", usual)
        market = self._markets.get(category)
        if market is None:
            raise VenueRefusal(200, BAD, "params error: Illegal category")
        return category, market

    def _not_listed(self, arguments: Arguments) -> dict[str, Any] | None:
        """The empty list of a category in which nothing is traded here; None for any other."""
        category = arguments.get("category", "")
        if category not in CATEGORIES or category in self._markets:
            return None
        if arguments.get("symbol"):
            raise VenueRefusal(200, BAD, "Not supported symbols")
        return {"category": category, "list": []}

    def _listing(self, market: ServedMarket, arguments: Arguments) -> Listing:
        listing = market.listings.get(arguments.get("symbol", ""))
        if listing is None:
            raise VenueRefusal(200, BAD, "Not supported symbols")
        return listing

    def _time(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        del arguments
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def _instruments(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        del now_ns
        if (elsewhere := self._not_listed(arguments)) is not None:
            return elsewhere | {"nextPageCursor": ""}
        category, market = self._market(arguments)
        chosen = list(market.listings.values())
        if arguments.get("status", "Trading") != "Trading":
            chosen = []
        if "symbol" in arguments:
            chosen = [self._listing(market, arguments)]
        if "baseCoin" in arguments:
            chosen = [each for each in chosen if each.instrument.base == arguments["baseCoin"]]
        if category == "spot":  # neither limit nor cursor
            return {"category": category, "list": [_spot_row(each) for each in chosen]}
        limit = _number(arguments, "limit", 500, 1_000)
        at = _offset(arguments.get("cursor", ""))
        more = at + limit < len(chosen)
        return {
            "category": category,
            "list": [_contract_row(each) for each in chosen[at : at + limit]],
            "nextPageCursor": quote(f"offset={at + limit}") if more else "",
        }

    def _orderbook(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        category, market = self._market(arguments)
        listing = self._listing(market, arguments)
        limit = _number(arguments, "limit", 1 if category == "spot" else 25, 1_000)
        book = market.snapshot(listing.native, limit, now_ns)
        price, size = texts_of(listing)
        return {
            "s": listing.native,
            "b": [[price(p), size(s)] for p, s in book.bids],
            "a": [[price(p), size(s)] for p, s in book.asks],
            "ts": now_ns // MS,
            "u": self._book_number(market.key, listing.native),
            "seq": book.last_update,
            "cts": book.ts_ns // MS,
        }

    def _trades(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        category, market = self._market(arguments)
        listing = self._listing(market, arguments)
        limit = _number(
            arguments, "limit", 60 if category == "spot" else 500, 60 if category == "spot" else 1_000
        )
        price, size = texts_of(listing)
        rows = [
            {
                "execId": execution_id(listing, each),
                "symbol": listing.native,
                "price": price(each.price),
                "size": size(each.size),
                "side": "Sell" if each.buyer_is_maker else "Buy",
                "time": str(each.ts_ns // MS),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(each.trade_id),
            }
            for each in reversed(market.trades(listing.native, limit, now_ns))
        ]
        return {"category": category, "list": rows}

    def _klines(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        category, market = self._market(arguments, "linear")
        listing = self._listing(market, arguments)
        interval_s = INTERVALS.get(arguments.get("interval", ""))
        if interval_s is None:
            raise VenueRefusal(200, BAD, "Invalid period!")
        limit = _number(arguments, "limit", 200, 1_000)
        start, end = _time_of(arguments, "start"), _time_of(arguments, "end")
        start_s = None if start is None else -(-start // 1_000)
        end_s = None if end is None else end // 1_000
        if start_s is not None and end_s is not None:
            # Of a span that holds more the newest are given.
            start_s = max(start_s, end_s - limit * interval_s + 1)
        candles = market.candles(listing.native, interval_s, start_s, end_s, limit, now_ns)
        price, size = texts_of(listing)
        rows = [
            [
                str(each.open_s * 1_000),
                *(price(value) for value in (each.open, each.high, each.low, each.close)),
                size(each.volume),
                turnover(listing, each),
            ]
            for each in reversed(candles)
        ]
        return {"category": category, "symbol": listing.native, "list": rows}

    def _tickers(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        if (elsewhere := self._not_listed(arguments)) is not None:
            return elsewhere
        category, market = self._market(arguments)
        names = list(market.listings)
        if "symbol" in arguments:
            names = [self._listing(market, arguments).native]
        return {"category": category, "list": [ticker(market, name, now_ns) for name in names]}

    def _funding(self, arguments: Arguments, now_ns: int) -> dict[str, Any]:
        category, market = self._market(arguments)
        if category == "spot":
            raise VenueRefusal(200, BAD, "params error: Illegal category")
        listing = self._listing(market, arguments)
        limit = _number(arguments, "limit", 200, 200)
        start, end = _time_of(arguments, "startTime"), _time_of(arguments, "endTime")
        if start is not None and end is None:
            raise VenueRefusal(200, BAD, "params error: endTime must be given with startTime")
        start_s = None if start is None else -(-start // 1_000)
        end_s = None if end is None else end // 1_000
        paid = market.funding_history(listing.native, None, end_s, limit, now_ns)
        rows = [
            {
                "symbol": listing.native,
                "fundingRate": short_decimal(8)(rate),
                "fundingRateTimestamp": str(at * 1_000),
            }
            for at, rate in reversed(paid)
            if start_s is None or at >= start_s
        ]
        return {"category": category, "list": rows}


def texts_of(listing: Listing) -> tuple[Text, Text]:
    """How Bybit writes a listing's prices and sizes: sizes without zeros at the end."""
    instrument = listing.instrument
    return decimal(instrument.price_decimals), short_decimal(instrument.size_decimals)


def execution_id(listing: Listing, trade: Trade) -> str:
    """A trade's id: digits on spot, in the form of a UUID elsewhere."""
    number = trade.trade_id
    if listing.kind == "spot":
        return f"2{number:018d}"
    return f"{number & 0xFFFFFFFF:08x}-0000-5000-8000-{number & 0xFFFFFFFFFFFF:012x}"


def turnover(listing: Listing, candle: Candle) -> str:
    """Quote money of a candle; on inverse the base coins."""
    instrument = listing.instrument
    if listing.kind == "inverse":
        price = candle.notional / candle.volume if candle.volume else 1
        return f"{candle.volume / max(price, 1) * 10**instrument.price_decimals:.8f}"
    return short_decimal(instrument.price_decimals + instrument.size_decimals)(candle.notional)


def ticker(market: ServedMarket, name: str, now_ns: int) -> dict[str, Any]:
    """A symbol's row of the tickers call; the stream has the same names."""
    listing = market.listings[name]
    price, size = texts_of(listing)
    instrument = listing.instrument
    day, best = market.day(name, now_ns), market.quote(name, now_ns)
    money = short_decimal(instrument.price_decimals + instrument.size_decimals)(day.notional)
    row: dict[str, Any] = {"symbol": name}
    if listing.kind == "inverse":
        average = day.notional // max(day.volume, 1) / 10**instrument.price_decimals
        money = f"{day.volume / max(average, 1e-9):.8f}"
    mark = price(round(market.mark(name, now_ns)))
    row |= {
        "lastPrice": price(day.last),
        "prevPrice24h": price(day.open),
        "price24hPcnt": f"{day.last / day.open - 1:.6f}",
        "highPrice24h": price(day.high),
        "lowPrice24h": price(day.low),
        "turnover24h": money,
        "volume24h": size(day.volume),
        "bid1Price": price(best.bid),
        "bid1Size": size(best.bid_size),
        "ask1Price": price(best.ask),
        "ask1Size": size(best.ask_size),
    }
    if listing.kind == "spot":
        return row | {"usdIndexPrice": mark}
    funding = market.funding(name, now_ns)
    return row | {
        "indexPrice": mark,
        "markPrice": mark,
        "prevPrice1h": price(day.hour_ago),
        "openInterest": size(day.volume // 3),
        "openInterestValue": "0",
        "fundingRate": short_decimal(8)(funding.rate_e8),
        "nextFundingTime": str(funding.next_s * 1_000),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "basis": "",
        "fundingIntervalHour": str(funding.interval_s // 3_600),
    }


def _whole_answer(code: int, message: str, result: dict[str, Any], now_ns: int) -> dict[str, Any]:
    return {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": {},
        "time": now_ns // MS,
    }


def _spot_row(listing: Listing) -> dict[str, Any]:
    instrument, (price, size) = listing.instrument, texts_of(listing)
    return {
        "symbol": listing.native,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": size(instrument.lot_size),
            "quotePrecision": "0.00000001",
            "minOrderQty": size(instrument.lot_size),
            "maxOrderQty": size(instrument.lot_size * 1_000_000),
            "minOrderAmt": "5",
            "maxOrderAmt": "2000000",
        },
        "priceFilter": {"tickSize": price(instrument.tick_size)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _contract_row(listing: Listing) -> dict[str, Any]:
    instrument, (price, size) = listing.instrument, texts_of(listing)
    inverse = listing.kind == "inverse"
    return {
        "symbol": listing.native,
        "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": str(listing.listed_s * 1_000),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": price(instrument.tick_size),
            "maxPrice": price(listing.start_price * 20),
            "tickSize": price(instrument.tick_size),
        },
        "lotSizeFilter": {
            "maxOrderQty": size(instrument.lot_size * 1_000_000),
            "minOrderQty": size(instrument.lot_size),
            "qtyStep": size(instrument.lot_size),
            "postOnlyMaxOrderQty": size(instrument.lot_size * 1_000_000),
            "maxMktOrderQty": size(instrument.lot_size * 100_000),
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": listing.funding_interval_s // 60,
        "settleCoin": instrument.base if inverse else instrument.quote,
        "copyTrading": "none" if inverse else "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _number(arguments: Arguments, name: str, usual: int, most: int) -> int:
    """A count from 1 to `most`; beyond that Bybit refuses."""
    text = arguments.get(name)
    if text is None or text == "":
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise VenueRefusal(200, BAD, f"params error: {name} invalid")
    value = int(text)
    if value < 1:
        raise VenueRefusal(200, BAD, f"params error: {name} invalid")
    return min(value, most)


def _time_of(arguments: Arguments, name: str) -> int | None:
    text = arguments.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise VenueRefusal(200, BAD, f"params error: {name} invalid")
    return int(text)


def _offset(cursor: str) -> int:
    """Where a page begins. The cursor is given out encoded; clients send it back encoded once more or not."""
    text = unquote(unquote(cursor)).removeprefix("offset=")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise VenueRefusal(200, BAD, "params error: cursor invalid")
    return int(text)
