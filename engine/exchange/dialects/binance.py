"""Binance's REST answers: spot, USD-M and COIN-M, as their documents and recorded answers have them.

Pure: what is asked and the market in, bytes out. A call that is wrong raises `VenueRefusal` with the venue's own
code. Aggregates (`aggTrades`) are numbered by their first trade: they ascend, with jumps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.exchange.dialects.binance_listing import symbol_row
from engine.exchange.dialects.binance_texts import (
    base_text,
    marks,
    notional_text,
    pair_of,
    texts_of,
    turnover,
)
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.enforcement import Enforcement
from engine.exchange.limit_windows import Verdict
from engine.exchange.market import Aggregate, Listing, Snapshot, Trade, aggregated
from engine.exchange.past import KEPT_TRADES
from engine.exchange.served import ServedMarket, usable
from engine.exchange.wire import decimal, levels

Arguments = Mapping[str, str]
ROOTS: Final = {"binance_spot": "/api/v3", "binance_usdm": "/fapi/v1", "binance_coinm": "/dapi/v1"}
INTERVALS: Final[dict[str, int]] = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "2h": 7_200, "4h": 14_400,
    "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400, "3d": 259_200, "1w": 604_800,
}  # fmt: skip
FUTURES_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1000)
MAX_FUTURES_CANDLES_DAYS: Final = 200  # COIN-M's longest span of one klines call
MAX_KEPT_DEPTHS: Final = 256
AVERAGE_MINUTES: Final = 5
EDGE_TRADES: Final = 256  # looked at on either side of what is asked for: an order may go on beyond
TRADES_OF_ONE: Final = 4  # an order's at one price, on average; where they are more, an answer is short
MINI_TICKER: Final = (
    "symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume", "openTime", "closeTime",
    "firstId", "lastId", "count",
)  # fmt: skip
_WHOLE: Final = re.compile(r"\d{1,20}")

encode: Final = msgspec.json.Encoder().encode


class BinanceRest:
    """One Binance market's REST."""

    def __init__(self, market: ServedMarket, enforcement: Enforcement) -> None:
        self.market: Final = market
        self.root: Final = ROOTS[market.key]
        self.spot: Final = market.key == "binance_spot"
        self.coin: Final = market.key == "binance_coinm"
        self._enforcement = enforcement
        self._texts = {name: texts_of(listing) for name, listing in market.listings.items()}
        self._depths: dict[tuple[str, int], tuple[int, bytes]] = {}
        root = self.root
        self._calls: dict[str, Callable[[Arguments, int], bytes]] = {
            f"{root}/ping": lambda *_: b"{}",
            f"{root}/time": lambda _, now_ns: b'{"serverTime":%d}' % (now_ns // 1_000_000),
            f"{root}/exchangeInfo": self._exchange_info,
            f"{root}/depth": self._depth,
            f"{root}/trades": self._trades,
            f"{root}/aggTrades": self._aggregate_trades,
            f"{root}/klines": self._klines,
            f"{root}/ticker/24hr": self._day,
            f"{root}/ticker/price": self._last_price,
            f"{root}/ticker/bookTicker": self._book_ticker,
        }
        if self.spot:
            self._calls |= {
                f"{root}/uiKlines": self._klines,
                f"{root}/avgPrice": self._average_price,
                f"{root}/historicalTrades": self._trades,
            }
        else:
            self._calls |= {
                f"{root}/premiumIndex": self._premium_index,
                f"{root}/fundingRate": self._funding_rate,
                f"{root}/fundingInfo": self._funding_info,
            }

    def answer(self, method: str, path: str, arguments: Arguments, now_ns: int) -> bytes:
        """The body of a good answer. VenueRefusal otherwise."""
        call = self._calls.get(path)
        if call is None:
            raise VenueRefusal(404, -5000, f"Path {path}, Method {method} is invalid")
        if method != "GET":
            raise VenueRefusal(405, -5000, f"Path {path}, Method {method} is invalid")
        return call(arguments, now_ns)

    def is_snapshot(self, path: str) -> bool:
        """Whether the call asks for a book."""
        return path == f"{self.root}/depth"

    def refusal(self, status: int, code: int, message: str, now_ns: int) -> tuple[str, bytes]:
        """(content type, body) of an error. The firewall in front (403) answers in HTML."""
        del now_ns
        if status == 403:
            return "text/html", b"<html><head><title>403 Forbidden</title></head><body>WAF</body></html>"
        return "application/json", encode({"code": code, "msg": message})

    def refused(self, verdict: Verdict, now_ns: int) -> tuple[str, bytes]:
        """The body to a refusal by limits."""
        return self.refusal(verdict.status, verdict.code, verdict.message, now_ns)

    def _listing(self, arguments: Arguments) -> Listing:
        name = arguments.get("symbol", "")
        if not name:
            raise VenueRefusal(
                400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            )
        listing = self.market.listings.get(name)
        if listing is None:
            raise VenueRefusal(400, -1121, "Invalid symbol.")
        return listing

    def _asked(self, arguments: Arguments) -> tuple[list[str], bool]:
        """(symbols, whether one was asked for by name)."""
        if "symbol" in arguments:
            return [self._listing(arguments).native], True
        if "symbols" in arguments:
            try:
                names = msgspec.json.decode(arguments["symbols"], type=list[str])
            except msgspec.DecodeError:
                raise VenueRefusal(400, -1100, _illegal("symbols", '^\\["..."\\]$')) from None
            if any(name not in self.market.listings for name in names):
                raise VenueRefusal(400, -1121, "Invalid symbol.")
            return names, False
        return list(self.market.listings), False

    def _limit(self, arguments: Arguments, usual: int, most: int) -> int:
        limit = _whole(arguments, "limit")
        if limit is None:
            return usual
        if limit == 0 or (limit > most and not self.spot):
            raise VenueRefusal(400, -1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, most)

    def _depth(self, arguments: Arguments, now_ns: int) -> bytes:
        listing = self._listing(arguments)
        limit = self._limit(arguments, 100 if self.spot else 500, 5_000 if self.spot else 1_000)
        if not self.spot and limit not in FUTURES_DEPTHS:
            raise VenueRefusal(400, -4021, f"Depth limit {limit} is not valid.")
        # Many ask while a book stands still: it is written once.
        update, key = self.market.last_update(listing.native, now_ns), (listing.native, limit)
        kept = self._depths.get(key)
        if kept is None or kept[0] != update:
            if len(self._depths) >= MAX_KEPT_DEPTHS:
                del self._depths[next(iter(self._depths))]
            body = self.write_depth(self.market.snapshot(listing.native, limit, now_ns), now_ns)
            kept = self._depths[key] = (update, body)
        return kept[1]

    def write_depth(self, book: Snapshot, now_ns: int) -> bytes:
        """A snapshot as this market's depth call answers it."""
        price, size = self._texts[book.symbol]
        sides = f'"bids":{levels(book.bids, price, size)},"asks":{levels(book.asks, price, size)}}}'
        if self.spot:
            return f'{{"lastUpdateId":{book.last_update},{sides}'.encode()
        pair = f'"symbol":"{book.symbol}","pair":"{pair_of(book.symbol)}",' if self.coin else ""
        times = f'"E":{now_ns // 1_000_000},"T":{book.ts_ns // 1_000_000}'
        return f'{{"lastUpdateId":{book.last_update},{times},{pair}{sides}'.encode()

    def _trades(self, arguments: Arguments, now_ns: int) -> bytes:
        listing = self._listing(arguments)
        limit = self._limit(arguments, 500, 1_000)
        first_id = _whole(arguments, "fromId")
        if first_id is None:
            trades = self.market.trades(listing.native, limit, now_ns)
        else:
            trades = self.market.trades_from(listing.native, first_id, 0, limit, now_ns)
        return encode([self._trade(listing, each) for each in trades])

    def _trade(self, listing: Listing, trade: Trade) -> dict[str, Any]:
        price, size = self._texts[listing.native]
        row: dict[str, Any] = {
            "id": trade.trade_id,
            "price": price(trade.price),
            "qty": size(trade.size),
        }
        if self.coin:
            row["baseQty"] = base_text(listing, trade.size, trade.price)
        else:
            row["quoteQty"] = notional_text(listing, trade.price * trade.size, 8 if self.spot else 2)
        row |= {"time": trade.ts_ns // 1_000_000, "isBuyerMaker": trade.buyer_is_maker}
        if self.spot:
            row["isBestMatch"] = True
        return row

    def _aggregate_trades(self, arguments: Arguments, now_ns: int) -> bytes:
        listing = self._listing(arguments)
        limit = self._limit(arguments, 500, 1_000)
        start, end = _whole(arguments, "startTime"), _whole(arguments, "endTime")
        first_id = _whole(arguments, "fromId")
        oldest = first_id if first_id is not None else None if start is None else 0
        chosen = usable(self._aggregates(listing, oldest, start or 0, limit, now_ns), start, end)
        if first_id is not None:
            chosen = [each for each in chosen if each.first_id >= first_id]
        chosen = chosen[-limit:] if oldest is None else chosen[:limit]
        price, size = self._texts[listing.native]
        rows = [
            {
                "a": each.first_id,
                "p": price(each.price),
                "q": size(each.size),
                "f": each.first_id,
                "l": each.last_id,
                "T": each.ts_ns // 1_000_000,
                "m": each.buyer_is_maker,
                **({"M": True} if self.spot else {}),
            }
            for each in chosen
        ]
        return encode(rows)

    def _aggregates(
        self, listing: Listing, first_id: int | None, start_ms: int, limit: int, now_ns: int
    ) -> list[Aggregate]:
        """Whole ones: the newest, or from a number and a time on at least `limit` where there are so many.

        Those at the edges of what is looked at may go on beyond, and are left out.
        """
        if first_id is None:
            trades = self.market.trades(listing.native, KEPT_TRADES, now_ns)
            whole = aggregated(trades)
            return whole[1:] if len(trades) == KEPT_TRADES and whole[0].last_id > whole[0].first_id else whole
        native, most = listing.native, 2 * EDGE_TRADES + limit * TRADES_OF_ONE
        start_ns = start_ms * 1_000_000
        at = self.market.trades_from(native, first_id, start_ns, 1, now_ns)
        if not at:
            return []
        begin = max(at[0].trade_id - EDGE_TRADES, 0)
        trades = self.market.trades_from(native, begin, 0, most, now_ns)
        whole = aggregated(trades)
        newest = self.market.last_trade(native, now_ns)
        first = 1 if trades[0].trade_id < at[0].trade_id and len(whole) > 1 else 0
        cut = len(whole) - 1 if trades[-1].trade_id < newest.trade_id and len(whole) > first + 1 else None
        return whole[first:cut]

    def _average_price(self, arguments: Arguments, now_ns: int) -> bytes:
        """Over the last five minutes; the last price when nothing traded in them."""
        listing = self._listing(arguments)
        since_s = now_ns // 1_000_000_000 - AVERAGE_MINUTES * 60
        minutes = self.market.candles(listing.native, 60, since_s, None, AVERAGE_MINUTES + 1, now_ns)
        volume = sum(each.volume for each in minutes)
        last = self.market.last_trade(listing.native, now_ns)
        price = sum(each.notional for each in minutes) // volume if volume else last.price
        return encode(
            {
                "mins": AVERAGE_MINUTES,
                "price": self._texts[listing.native][0](price),
                "closeTime": last.ts_ns // 1_000_000,
            }
        )

    def _klines(self, arguments: Arguments, now_ns: int) -> bytes:
        listing = self._listing(arguments)
        interval_s = INTERVALS.get(arguments.get("interval", ""))
        if interval_s is None or (interval_s == 1 and not self.spot):
            raise VenueRefusal(400, -1120, "Invalid interval.")
        limit = self._limit(arguments, 500, 1_000 if self.spot else 1_500)
        start, end = _whole(arguments, "startTime"), _whole(arguments, "endTime")
        longest_ms = MAX_FUTURES_CANDLES_DAYS * 86_400_000
        if self.coin and start is not None and end is not None and end - start > longest_ms:
            raise VenueRefusal(400, -4088, "Maximum time interval is 200 days.")
        start_s = None if start is None else -(-start // 1_000)
        end_s = None if end is None else end // 1_000
        candles = self.market.candles(listing.native, interval_s, start_s, end_s, limit, now_ns)
        price, size = self._texts[listing.native]
        rows = [
            f'[{each.open_s}000,"{price(each.open)}","{price(each.high)}","{price(each.low)}",'
            f'"{price(each.close)}","{size(each.volume)}",{(each.open_s + interval_s) * 1000 - 1},'
            f'"{turnover(listing, each)}",{each.trades},"{size(each.taker_volume)}",'
            f'"{turnover(listing, each, taker=True)}","0"]'
            for each in candles
        ]
        return f"[{','.join(rows)}]".encode()

    def _book_ticker(self, arguments: Arguments, now_ns: int) -> bytes:
        names, single = self._asked(arguments)
        rows = []
        for name in names:
            quote = self.market.quote(name, now_ns)
            price, size = self._texts[name]
            row: dict[str, Any] = {"symbol": name}
            if self.coin:
                row["pair"] = pair_of(name)
            row |= {
                "bidPrice": price(quote.bid),
                "bidQty": size(quote.bid_size),
                "askPrice": price(quote.ask),
                "askQty": size(quote.ask_size),
            }
            if not self.spot:
                row["time"] = now_ns // 1_000_000
            rows.append(row)
        return self._one_or_all(rows, single)

    def _last_price(self, arguments: Arguments, now_ns: int) -> bytes:
        names, single = self._asked(arguments)
        rows: list[dict[str, Any]] = []
        for name in names:
            row: dict[str, Any] = {"symbol": name}
            if self.coin:
                row["ps"] = pair_of(name)
            row["price"] = self._texts[name][0](self.market.day(name, now_ns).last)
            if not self.spot:
                row["time"] = now_ns // 1_000_000
            rows.append(row)
        return self._one_or_all(rows, single)

    def _day(self, arguments: Arguments, now_ns: int) -> bytes:
        names, single = self._asked(arguments)
        rows = [self._day_row(name, now_ns) for name in names]
        kind = arguments.get("type", "FULL") if self.spot else "FULL"
        if kind not in ("FULL", "MINI"):
            raise VenueRefusal(400, -1100, _illegal("type", "^(FULL|MINI)$"))
        if kind == "MINI":
            rows = [{key: row[key] for key in MINI_TICKER} for row in rows]
        return self._one_or_all(rows, single)

    def _day_row(self, name: str, now_ns: int) -> dict[str, Any]:
        listing, (price, size) = self.market.listings[name], self._texts[name]
        day = self.market.day(name, now_ns)
        last = self.market.last_trade(name, now_ns)
        quote = self.market.quote(name, now_ns)
        average = day.notional // max(day.volume, 1)
        row: dict[str, Any] = {"symbol": name}
        if self.coin:
            row["pair"] = pair_of(name)
        row |= {
            "priceChange": price(day.last - day.open),
            "priceChangePercent": f"{(day.last / day.open - 1) * 100:.3f}",
            "weightedAvgPrice": price(average),
            "lastPrice": price(day.last),
            "lastQty": size(last.size),
            "openPrice": price(day.open),
            "highPrice": price(day.high),
            "lowPrice": price(day.low),
            "volume": size(day.volume),
        }
        if self.coin:
            row["baseVolume"] = base_text(listing, day.volume, average)
        else:
            row["quoteVolume"] = notional_text(listing, day.notional, 8 if self.spot else 2)
        if self.spot:
            row |= {
                "prevClosePrice": price(day.open),
                "bidPrice": price(quote.bid),
                "bidQty": size(quote.bid_size),
                "askPrice": price(quote.ask),
                "askQty": size(quote.ask_size),
            }
        now_ms = now_ns // 1_000_000
        return row | {
            "openTime": now_ms - 86_400_000,
            "closeTime": now_ms,
            "firstId": last.trade_id - day.trades + 1 if day.trades else -1,
            "lastId": last.trade_id if day.trades else -1,
            "count": day.trades,
        }

    def _one_or_all(self, rows: Sequence[dict[str, Any]], single: bool) -> bytes:
        # COIN-M answers a list even for one symbol.
        return encode(rows[0] if single and not self.coin else rows)

    def _premium_index(self, arguments: Arguments, now_ns: int) -> bytes:
        names, single = self._asked(arguments)
        rows = []
        for name in names:
            mark, index = marks(self.market, name, now_ns)
            funding = self.market.funding(name, now_ns)
            row: dict[str, Any] = {"symbol": name}
            if self.coin:
                row["pair"] = pair_of(name)
            rows.append(
                row
                | {
                    "markPrice": mark,
                    "indexPrice": index,
                    "estimatedSettlePrice": index,
                    "lastFundingRate": decimal(8)(funding.rate_e8),
                    "interestRate": "0.00010000",
                    "nextFundingTime": funding.next_s * 1_000,
                    "time": now_ns // 1_000_000,
                }
            )
        return self._one_or_all(rows, single)

    def _funding_rate(self, arguments: Arguments, now_ns: int) -> bytes:
        limit = self._limit(arguments, 100, 1_000)
        start, end = _whole(arguments, "startTime"), _whole(arguments, "endTime")
        names = (
            [self._listing(arguments).native] if "symbol" in arguments or self.coin else self._asked({})[0]
        )
        if len(names) > 1:
            limit = max(1, limit // len(names))
        rows = [
            {
                "symbol": name,
                "fundingTime": paid * 1_000,
                "fundingRate": decimal(8)(rate),
                "markPrice": f"{self.market.price_at(name, paid):.8f}",
            }
            for name in names
            for paid, rate in self.market.funding_history(
                name,
                None if start is None else -(-start // 1_000),
                None if end is None else end // 1_000,
                limit,
                now_ns,
            )
        ]
        return encode(sorted(rows, key=lambda row: int(str(row["fundingTime"]))))

    def _funding_info(self, arguments: Arguments, now_ns: int) -> bytes:
        del arguments
        return encode(
            [
                {
                    "symbol": name,
                    "adjustedFundingRateCap": "0.02000000",
                    "adjustedFundingRateFloor": "-0.02000000",
                    "fundingIntervalHours": listing.funding_interval_s // 3_600,
                    "disclaimer": False,
                    "updateTime": now_ns // 86_400_000_000_000 * 86_400_000,
                }
                for name, listing in self.market.listings.items()
            ]
        )

    def _exchange_info(self, arguments: Arguments, now_ns: int) -> bytes:
        names = self._asked(arguments)[0] if self.spot else list(self.market.listings)
        whole: dict[str, Any] = {"timezone": "UTC", "serverTime": now_ns // 1_000_000}
        if not self.spot and not self.coin:
            whole["futuresType"] = "U_MARGINED"
            whole["assets"] = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
        return encode(
            whole
            | {
                "rateLimits": self._enforcement.announced(),
                "exchangeFilters": [],
                "symbols": [self._symbol(name) for name in names],
            }
        )

    def _symbol(self, name: str) -> dict[str, Any]:
        row = symbol_row(self.market.listings[name])
        if self.market.market.is_halted(name):
            row["contractStatus" if self.coin else "status"] = "HALT"
        return row


def _whole(arguments: Arguments, name: str) -> int | None:
    text = arguments.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text, endpos=21) or not text.isascii():
        raise VenueRefusal(400, -1100, _illegal(name, "^[0-9]{1,20}$"))
    value = int(text)
    if value > 1 << 62:
        raise VenueRefusal(400, -1130, f"Data sent for parameter '{name}' is not valid.")
    return value


def _illegal(name: str, pattern: str) -> str:
    return f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."
