"""One market as it is served: the moving part, and what is remembered of it.

On top of a `Market` this answers REST and streams from the market's own recorded past, or from one made up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from engine.exchange.invented_past import InventedPast
from engine.exchange.market import Aggregate, Change, Listing, Market, Quote, Snapshot, Trade
from engine.exchange.past import SECOND_NS, Candle, Day, Past, aligned

Timed = TypeVar("Timed", Trade, Aggregate)

MAX_CANDLES: Final = 1_500  # in one answer


class Funding(NamedTuple):
    """Running rate in units of 10^-8, and when (Unix seconds) it will be paid."""

    rate_e8: int
    next_s: int
    interval_s: int


class ServedMarket:
    """A market with its past. KeyError for a symbol that is not listed. One thread."""

    def __init__(self, market: Market, seed: int = 1) -> None:
        self.key: Final = market.key
        self.market: Final = market
        self.listings: Final[dict[str, Listing]] = {each.native: each for each in market.listings}
        self.by_symbol: Final = {each.instrument.symbol: each for each in market.listings}
        recorded = market.past
        self._moves = recorded is not None  # by itself, asked for or not
        self._past: Past = InventedPast(self.listings, seed) if recorded is None else recorded
        self._touched: set[str] = set()

    def touch(self, symbol: str, now_ns: int) -> Listing:
        """The listing; from here on the symbol moves, where it does not move by itself."""
        listing = self.listings[symbol]
        if symbol not in self._touched:
            if not self._moves:
                self.market.activate(symbol, now_ns)
            self._past.begin(symbol, now_ns)
            self._touched.add(symbol)
        return listing

    def watch(self, symbol: str, now_ns: int) -> Listing:
        """The listing; from here on its changes come with `advance`."""
        listing = self.touch(symbol, now_ns)
        self.market.activate(symbol, now_ns)
        return listing

    def unwatch(self, symbol: str) -> None:
        """Nobody follows the symbol any more."""
        if self._moves:
            self.market.deactivate(symbol)

    def advance(self, now_ns: int) -> list[Change]:
        """Turn the market; what changed, with its trades already in the candles."""
        changes = list(self.market.advance(now_ns))
        for change in changes:
            self._past.on_change(change)
        return changes

    def snapshot(self, symbol: str, levels: int, now_ns: int) -> Snapshot:
        """The book as of the last turn."""
        self.touch(symbol, now_ns)
        return self.market.snapshot(symbol, levels)

    def last_update(self, symbol: str, now_ns: int) -> int:
        """The number of the symbol's last update."""
        self.touch(symbol, now_ns)
        return self.market.last_update(symbol)

    def quote(self, symbol: str, now_ns: int) -> Quote:
        """Best bid and ask; 0 where a side is empty. Asking for it does not make the symbol move."""
        try:
            book = self.market.snapshot(symbol, 1)
        except KeyError:
            return self._past.still_quote(symbol, now_ns)
        bid = book.bids[0] if book.bids else (0, 0)
        ask = book.asks[0] if book.asks else (0, 0)
        return Quote(*bid, *ask)

    def trades(self, symbol: str, most: int, now_ns: int) -> list[Trade]:
        """The last `most` trades, oldest first; at least 1,000 are kept."""
        self.touch(symbol, now_ns)
        return self._past.trades(symbol, most)

    def trades_from(self, symbol: str, first_id: int, start_ns: int, most: int, now_ns: int) -> list[Trade]:
        """Of those that are kept, the oldest `most` numbered from `first_id` on and not before `start_ns`."""
        self.touch(symbol, now_ns)
        return self._past.trades_from(symbol, first_id, start_ns, most)

    def follow(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle of an interval, kept up to date from here on."""
        self.touch(symbol, now_ns)
        return self._past.follow(symbol, interval_s, now_ns)

    def candles(
        self, symbol: str, interval_s: int, start_s: int | None, end_s: int | None, most: int, now_ns: int
    ) -> list[Candle]:
        """At most `most` candles that open from `start_s` to `end_s` (both included), oldest first.

        With a start the first of them, else the last. None before the market's beginning, none in the future.
        """
        if symbol not in self.listings:
            raise KeyError(symbol)
        most = min(most, MAX_CANDLES)
        now_s = now_ns // SECOND_NS
        last = aligned(min(now_s, now_s if end_s is None else end_s), interval_s)
        first = self._past.begins_s(symbol, interval_s)
        if start_s is not None:
            first = max(first, aligned(start_s + interval_s - 1, interval_s))
            last = min(last, first + (most - 1) * interval_s)
        else:
            first = max(first, last - (most - 1) * interval_s)
        if last < first:
            return []
        return self._past.candles(symbol, interval_s, first, last, now_ns)

    def newest_closed(self, symbol: str, interval_s: int, now_ns: int) -> Candle | None:
        """The last closed candle of a followed interval."""
        return self._past.newest_closed(symbol, interval_s, now_ns)

    def last_trade(self, symbol: str, now_ns: int) -> Trade:
        """The newest trade. Asking for it does not make the symbol move."""
        return self._past.last_trade(symbol, now_ns)

    def day(self, symbol: str, now_ns: int) -> Day:
        """The last 24 hours. The symbol need not move for it."""
        return self._past.day(symbol, now_ns)

    def mark(self, symbol: str, now_ns: int) -> float:
        """The mark price in the instrument's units, not rounded: the middle of the book."""
        quote = self.quote(symbol, now_ns)
        if quote.bid and quote.ask:
            return (quote.bid + quote.ask) / 2
        return self._past.price(symbol, now_ns / 1e9)

    def price_at(self, symbol: str, at_s: int) -> float:
        """The price at a Unix time, in quote money."""
        return self._past.price(symbol, at_s) / 10.0 ** self.listings[symbol].instrument.price_decimals

    def funding(self, symbol: str, now_ns: int) -> Funding:
        """The rate that is running now. Only for listings with funding."""
        interval_s = self.listings[symbol].funding_interval_s
        next_s = (now_ns // SECOND_NS // interval_s + 1) * interval_s
        return Funding(self._past.funding_rate_e8(symbol, next_s), next_s, interval_s)

    def funding_history(
        self, symbol: str, start_s: int | None, end_s: int | None, most: int, now_ns: int
    ) -> list[tuple[int, int]]:
        """(when paid, rate in 10^-8), oldest first; with a start the first `most`, else the last."""
        listing = self.listings[symbol]
        interval_s = listing.funding_interval_s
        now_s = now_ns // SECOND_NS
        last = min(now_s, now_s if end_s is None else end_s) // interval_s * interval_s
        first = -(-listing.listed_s // interval_s) * interval_s
        if start_s is not None:
            first = max(first, -(-start_s // interval_s) * interval_s)
            last = min(last, first + (most - 1) * interval_s)
        else:
            first = max(first, last - (most - 1) * interval_s)
        rate = self._past.funding_rate_e8
        return [(paid, rate(symbol, paid)) for paid in range(first, last + 1, interval_s)]


def usable(trades: Sequence[Timed], start_ms: int | None, end_ms: int | None) -> list[Timed]:
    """The trades or aggregates between two times, both included."""
    first = -1 if start_ms is None else start_ms * 1_000_000
    last = (1 << 63) if end_ms is None else (end_ms + 1) * 1_000_000 - 1
    return [each for each in trades if first <= each.ts_ns <= last]
