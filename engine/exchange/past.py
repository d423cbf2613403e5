"""What a served market remembers: trades, candles, the last day; by protocol, since some pasts are made up.

`invented_past.InventedPast` makes up what a random market never did; `recorded_past.RecordedPast` keeps what the
built-in exchange really did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from engine.exchange.market import Change, Quote, Trade

SECOND_NS: Final = 1_000_000_000
KEPT_TRADES: Final = 1_000
DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
MONDAY_S: Final = 4 * DAY_S  # the first Monday after 1970 began


@dataclass(slots=True)
class Candle:
    """One candle in the instrument's units; `notional` is the sum of price times size."""

    open_s: int
    interval_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    trades: int
    taker_volume: int  # of it bought by aggressors
    taker_notional: int
    first_trade: int = -1
    last_trade: int = -1

    def fold(self, trade: Trade) -> None:
        """Take one more trade in."""
        if not self.trades:
            self.open = self.high = self.low = trade.price
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.size
        self.notional += trade.price * trade.size
        self.trades += 1
        if not trade.buyer_is_maker:
            self.taker_volume += trade.size
            self.taker_notional += trade.price * trade.size
        if self.first_trade < 0:
            self.first_trade = trade.trade_id
        self.last_trade = trade.trade_id


class Day(NamedTuple):
    """The last 24 hours of a symbol. Prices are above 0 even when nothing traded."""

    open: int
    high: int
    low: int
    last: int
    volume: int
    notional: int
    trades: int
    hour_ago: int


class Past(Protocol):
    """One market's past by native name. Nothing lies before `begins_s`."""

    def begin(self, symbol: str, now_ns: int) -> None:
        """The symbol is followed from here on. Doing it twice does nothing more."""
        ...

    def on_change(self, change: Change) -> None:
        """The market has gone on."""
        ...

    def begins_s(self, symbol: str, interval_s: int) -> int:
        """When the first candle of this interval opens, in Unix time."""
        ...

    def trades(self, symbol: str, most: int) -> list[Trade]:
        """The last `most` trades, oldest first, of those that are kept: at least 1,000."""
        ...

    def trades_from(self, symbol: str, first_id: int, start_ns: int, most: int) -> list[Trade]:
        """Of those that are kept, the oldest `most` numbered from `first_id` on and not before `start_ns`."""
        ...

    def last_trade(self, symbol: str, now_ns: int) -> Trade:
        """The newest trade; one of size 0 at the symbol's price when there was none."""
        ...

    def follow(self, symbol: str, interval_s: int, now_ns: int) -> Candle:
        """The running candle of an interval."""
        ...

    def newest_closed(self, symbol: str, interval_s: int, now_ns: int) -> Candle | None:
        """The last closed candle of a followed interval."""
        ...

    def candles(self, symbol: str, interval_s: int, first_s: int, last_s: int, now_ns: int) -> list[Candle]:
        """The candles that open from `first_s` to `last_s`, both aligned and included: not before `begins_s`."""
        ...

    def day(self, symbol: str, now_ns: int) -> Day:
        """The last 24 hours."""
        ...

    def still_quote(self, symbol: str, now_ns: int) -> Quote:
        """What a symbol that has no book yet would be quoted at."""
        ...

    def price(self, symbol: str, at_s: float) -> float:
        """The price at a Unix time, in the instrument's units."""
        ...

    def funding_rate_e8(self, symbol: str, paid_s: int) -> int:
        """The rate paid at a funding time, in units of 10^-8."""
        ...


def aligned(at_s: int, interval_s: int) -> int:
    """The opening time of the candle that holds `at_s`; weeks begin on Monday."""
    if interval_s % WEEK_S == 0:
        return (at_s - MONDAY_S) // interval_s * interval_s + MONDAY_S
    return at_s // interval_s * interval_s
