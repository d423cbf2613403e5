"""A light market for tests and for serving many symbols: seeded, plain Python, no kernels.

Each symbol's book follows its price path (`history`): levels that the price has passed go, new ones come, some
sizes change, trades happen at the best price. Only symbols that someone asked for move. The same seed and
times of turns give the same market.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

from engine.exchange.history import History
from engine.exchange.market import Change, Level, Listing, Quote, Snapshot, Trade
from engine.exchange.update_numbers import FIRST_ID, UpdateNumbers

LEVELS: Final = 1_000  # of each side
SPREAD: Final = 1e-5  # of the price
GAP: Final = 3e-6  # of the price, between levels near the best on average
NOTIONAL: Final = 8_000.0  # a level's, in quote money
MAX_RATE: Final = 1_000.0
TRADES_PER_S: Final = 4.0


class RandomMarket:
    """N symbols moving `rate` times a second each. A turn of one symbol takes some 50 us."""

    def __init__(
        self,
        key: str,
        listings: Sequence[Listing],
        seed: int = 1,
        rate: float = 10.0,
        levels: int = LEVELS,
    ) -> None:
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"a symbol's rate is above 0, at most {MAX_RATE:g} a second, not {rate:g}")
        if levels < 1:
            raise ValueError(f"a book has at least one level a side, not {levels}")
        self.key: Final = key
        self.listings: Final[Sequence[Listing]] = tuple(listings)
        self.past: Final = None  # nothing is recorded: `InventedPast` makes it
        self.rate: Final = rate
        self._seed = seed
        self._levels = levels
        self._by_name = {each.native: each for each in listings}
        self._numbers = UpdateNumbers(shared=any(each.kind != "spot" for each in listings))
        self._books: dict[str, _Symbol] = {}

    def activate(self, symbol: str, now_ns: int) -> None:
        """Fill the symbol's book around its price of now. Takes some 2 ms. KeyError for an unknown one."""
        if symbol in self._books:
            return
        listing = self._by_name[symbol]
        # Symbols do not all move at once: that would send their frames in bursts.
        phase_ns = int(random.Random(f"{self._seed}:{symbol}:phase").random() * 1e9 / self.rate)  # noqa: S311
        self._books[symbol] = _Symbol(
            listing, self._seed, self._levels, self.rate, self._numbers, now_ns, phase_ns
        )

    def deactivate(self, symbol: str) -> None:
        """Nothing: it goes on for those who ask by REST."""

    def advance(self, now_ns: int) -> list[Change]:
        """What moved since the last turn. A symbol that is late by several moves makes one."""
        return [book.step(now_ns) for book in self._books.values() if book.is_due(now_ns)]

    def snapshot(self, symbol: str, levels: int) -> Snapshot:
        """The best `levels` of each side. KeyError when the symbol is not active."""
        return self._books[symbol].snapshot(levels)

    def last_update(self, symbol: str) -> int:
        """The number of the symbol's last update. KeyError when it is not active."""
        return self._books[symbol].last_update

    def is_halted(self, symbol: str) -> bool:
        """Never."""
        del symbol
        return False


class _Side:
    """One side of a book: sizes by price, and the prices in ascending order."""

    __slots__ = ("prices", "sizes")

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.prices: list[int] = []

    def put(self, price: int, size: int) -> None:
        if size:
            if price not in self.sizes:
                insort(self.prices, price)
            self.sizes[price] = size
        elif price in self.sizes:
            del self.sizes[price]
            del self.prices[bisect_left(self.prices, price)]

    def top(self, levels: int, highest_first: bool) -> list[Level]:
        prices = self.prices[: -levels - 1 : -1] if highest_first else self.prices[:levels]
        sizes = self.sizes
        return [(price, sizes[price]) for price in prices]


class _Symbol:
    """One symbol's book, and how it moves."""

    def __init__(
        self,
        listing: Listing,
        seed: int,
        levels: int,
        rate: float,
        numbers: UpdateNumbers,
        now_ns: int,
        phase_ns: int,
    ) -> None:
        self.listing = listing
        self.next_ns = now_ns + phase_ns
        self._every_ns = int(1e9 / rate)
        self._trade_chance = min(0.9, TRADES_PER_S / rate)
        self._random = random.Random(f"{seed}:{listing.instrument.venue}:{listing.native}")  # noqa: S311 - a market, not a secret
        self._history = History(listing, seed)
        self._numbers = numbers
        self._levels = levels
        self._tick = listing.instrument.tick_size
        self._ts_ns = now_ns
        self.last_update = numbers.take(1, FIRST_ID, 0)[1]
        self._trade_id = FIRST_ID + now_ns // 1_000_000_000 % 100_000_000
        price = self._history.price(now_ns / 1e9) / self._tick
        self._spread = max(1, round(price * SPREAD))
        self._gap = max(1.0, price * GAP)
        self._bids, self._asks = _Side(), _Side()
        self._fill(math.floor(price))

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time to move; a clock that was set back does not stop the symbol."""
        return now_ns >= self.next_ns or self.next_ns - now_ns > 2 * self._every_ns

    def step(self, now_ns: int) -> Change:
        """Move to `now_ns`."""
        self.next_ns += self._every_ns
        if abs(self.next_ns - now_ns) > 2 * self._every_ns:
            self.next_ns = now_ns + self._every_ns
        self._ts_ns = now_ns
        chance = self._random
        bid, ask = self._bids.prices[-1], self._asks.prices[0]
        before = Quote(bid, self._bids.sizes[bid], ask, self._asks.sizes[ask])
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        trades = self._trade(now_ns, before, bids, asks) if chance.random() < self._trade_chance else ()
        jitter = chance.gauss(0.0, 0.4 * self._spread)
        best = math.floor(self._history.price(now_ns / 1e9) / self._tick + jitter)
        best = max(best, 1)
        self._move(self._bids, bids, best, -1)
        self._move(self._asks, asks, best + self._spread, 1)
        bid, ask = self._bids.prices[-1], self._asks.prices[0]
        quote = Quote(bid, self._bids.sizes[bid], ask, self._asks.sizes[ask])
        previous = self.last_update
        count = max(1, len(bids) + len(asks))
        first, last = self._numbers.take(count, previous, chance.randrange(1, 3_000))
        self.last_update = last
        return Change(
            *(self.listing.native, now_ns, first, last, previous),
            *(sorted(bids.items(), reverse=True), sorted(asks.items()), trades, quote, quote != before),
        )

    def snapshot(self, levels: int) -> Snapshot:
        return Snapshot(
            *(self.listing.native, self._ts_ns, self.last_update),
            *(self._bids.top(levels, highest_first=True), self._asks.top(levels, highest_first=False)),
        )

    def _trade(self, now_ns: int, quote: Quote, bids: dict[int, int], asks: dict[int, int]) -> list[Trade]:
        """Some trades at one side's best price; what they leave of the level is a change."""
        chance = self._random
        sells = chance.random() < 0.5
        price, left = (quote.bid, quote.bid_size) if sells else (quote.ask, quote.ask_size)
        lot = self.listing.instrument.lot_size
        trades = []
        for _ in range(chance.randrange(1, 4)):
            size = int(left * chance.uniform(0.02, 0.3)) // lot * lot
            if size < lot or size >= left:
                break
            left -= size
            self._trade_id += 1
            trades.append(Trade(self._trade_id, now_ns, price, size, sells))
        if trades:
            side, changed = (self._bids, bids) if sells else (self._asks, asks)
            side.put(price, left)
            changed[price] = left
        return trades

    def _move(self, side: _Side, changed: dict[int, int], best_ticks: int, away: int) -> None:
        """Bring one side's best to `best_ticks`; `away` is the direction in which its levels lie."""
        chance, tick, prices = self._random, self._tick, side.prices
        best = best_ticks * tick

        def put(price: int, size: int) -> None:
            if price > 0:
                side.put(price, size)
                changed[price] = size

        near = -1 if away < 0 else 0
        while prices and (best - prices[near]) * away > 0:
            put(prices[near], 0)
        old = prices[near] if prices else best + away * tick
        for _ in range(min(8, int((old - best) * away / tick / self._gap))):
            put(chance.randrange(min(old, best), max(old, best) + 1, tick), self._size())
        if best not in side.sizes:
            put(best, self._size())
        for _ in range(chance.randrange(1, 7)):
            price = best + away * tick * int(chance.expovariate(1.0) * 15 * self._gap)
            if price in side.sizes and price != best and chance.random() < 0.4:
                put(price, 0)
            elif (price - best) * away >= 0:
                put(price, self._size())
        far = 0 if away < 0 else -1
        while len(prices) > self._levels + 50:
            put(prices[far], 0)
        while len(prices) < self._levels:
            further = prices[far] + away * tick * (1 + int(chance.expovariate(1.0) * self._gap))
            if further <= 0:
                break
            put(further, self._size())

    def _fill(self, best_ticks: int) -> None:
        for side, away, ticks in (
            (self._bids, -1, best_ticks),
            (self._asks, 1, best_ticks + self._spread),
        ):
            for _ in range(self._levels):
                if ticks <= 0:
                    break
                side.put(ticks * self._tick, self._size())
                ticks += away * (1 + int(self._random.expovariate(1.0) * self._gap))

    def _size(self) -> int:
        price = self._history.listing.start_price
        return self._history.size_of(NOTIONAL * self._random.lognormvariate(0.0, 1.0), price)
