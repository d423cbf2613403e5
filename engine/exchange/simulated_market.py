"""The matching engine under simulated traders, served under any market key.

One simulator moves all markets: each shows the same books under its own names, numbers and units. Kernels must be
loaded before a simulator is made (`engine.kernels.load`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from engine.exchange.listings import LISTED_S, MARKETS
from engine.exchange.market import Change, Kind, Level, Listing, Market, Quote, Snapshot, Trade
from engine.exchange.update_numbers import FIRST_ID, UpdateNumbers
from engine.flow.simulator import Simulator, Turn
from engine.flow.symbols import SimulatedSymbol
from engine.market.batches import SELL
from engine.market.batches import Kind as BatchKind

CONTRACT_USD: Final = {"binance_coinm": (100, 10), "bybit_inverse": (1, 1)}  # of BTC, of the others
OTHERS_BETWEEN: Final = 7  # numbers of a shared counter that nobody here sees


def simulated_markets(simulator: Simulator) -> Callable[[str], Market]:
    """Makes a market for each key, all moved by `simulator`. ValueError for an unknown key."""
    shared = _Shared(simulator)

    def make(key: str) -> Market:
        if key not in MARKETS:
            raise ValueError(f"there is no market {key!r}; there are {', '.join(MARKETS)}")
        return SimulatedMarket(key, shared)

    return make


class _Shared:
    """The simulator, turned once for all markets."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.turns = 0
        self.turn: Turn | None = None

    def advance(self, now_ns: int, seen: int) -> tuple[Turn | None, int]:
        """The next turn for a market that has seen `seen` of them; the newest if others turned meanwhile."""
        if seen == self.turns:
            self.turn = self.simulator.turn(now_ns)
            self.turns += 1
        return self.turn, self.turns


class SimulatedMarket:
    """One market key's view of the simulator. All markets must be advanced together, as the venue does."""

    def __init__(self, key: str, shared: _Shared) -> None:
        self.key: Final = key
        self._kind: Final = MARKETS[key]
        self._shared = shared
        self._seen = shared.turns
        simulated = shared.simulator.symbols
        self.listings: Final[Sequence[Listing]] = tuple(_listing(key, self._kind, each) for each in simulated)
        pairs = list(zip(simulated, self.listings, strict=True))
        self._by_symbol = {each.instrument.symbol: listing for each, listing in pairs}
        self._universal = {listing.native: each.instrument.symbol for each, listing in pairs}
        self._sizes = {listing.native: _size_rule(key, self._kind, each, listing) for each, listing in pairs}
        self._numbers = UpdateNumbers(shared=self._kind != "spot")
        self._last = {each.native: FIRST_ID for each in self.listings}
        self._quotes: dict[str, Quote] = {}
        self._active: set[str] = set()

    def activate(self, symbol: str, now_ns: int) -> None:
        """Say what the symbol does from here on. KeyError for an unknown one."""
        del now_ns
        if symbol not in self._last:
            raise KeyError(symbol)
        self._active.add(symbol)

    def advance(self, now_ns: int) -> list[Change]:
        """What the simulator's next turn did to active symbols."""
        turn, self._seen = self._shared.advance(now_ns, self._seen)
        if turn is None:
            return []
        trades: dict[str, list[Trade]] = {}
        sides: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        for batch in turn.batches:
            listing = self._by_symbol[batch.symbol]
            name, size_of = listing.native, self._sizes[listing.native]
            if batch.kind is BatchKind.TRADES:
                trades[name] = [
                    Trade(number, now_ns, price, max(size_of(size, price), 1), aggressor == SELL)
                    for _, _, number, price, size, aggressor in batch.rows.tolist()
                ]
            elif batch.kind is BatchKind.DELTA:
                rows = [(price, size_of(size, price)) for price, size in batch.rows.tolist()]
                sides[name] = (dict(rows[: batch.bids]), dict(rows[batch.bids :]))
        changes = []
        for name, (bids, asks) in sides.items():
            previous = self._last[name]
            first, last = self._numbers.take(max(1, len(bids) + len(asks)), previous, OTHERS_BETWEEN)
            self._last[name] = last
            if name not in self._active:
                continue
            book = self.snapshot(name, 1)
            quote = Quote(*(book.bids[0] if book.bids else (0, 0)), *(book.asks[0] if book.asks else (0, 0)))
            changed = quote != self._quotes.get(name)
            self._quotes[name] = quote
            changes.append(
                Change(
                    *(name, now_ns, first, last, previous),
                    sorted(bids.items(), reverse=True),
                    sorted(asks.items()),
                    trades.get(name, []),
                    quote,
                    changed,
                )
            )
        return changes

    def snapshot(self, symbol: str, levels: int) -> Snapshot:
        """The best `levels` of each side. KeyError for an unknown symbol."""
        batch = self._shared.simulator.snapshot(self._universal[symbol], levels)
        size_of = self._sizes[symbol]
        rows: list[Level] = [(price, size_of(size, price)) for price, size in batch.rows.tolist()]
        return Snapshot(symbol, batch.ts_event_ns, self._last[symbol], rows[: batch.bids], rows[batch.bids :])

    def last_update(self, symbol: str) -> int:
        """The number of the symbol's last update."""
        return self._last[symbol]


def _listing(key: str, kind: Kind, simulated: SimulatedSymbol) -> Listing:
    """The symbol under a market's own name."""
    instrument = simulated.instrument
    inverse, base = kind == "inverse", instrument.base
    quote = "USD" if inverse else instrument.quote
    return Listing(
        replace(
            instrument,
            venue=key,
            symbol=f"{base}-{quote}" + ("" if kind == "spot" else "-PERP"),
            quote=quote,
            native=base + quote + ("_PERP" if key == "binance_coinm" else ""),
            size_decimals=0 if inverse else instrument.size_decimals,
            lot_size=1 if inverse else instrument.lot_size,
            contracts=inverse,
        ),
        kind,
        start_price=simulated.start_ticks * instrument.tick_size,
        listed_s=LISTED_S,
        contract_size=_contract_usd(key, base) if key == "binance_coinm" else 0,
        funding_interval_s=0 if kind == "spot" else 8 * 3_600,
    )


def _contract_usd(key: str, base: str) -> int:
    return CONTRACT_USD[key][0 if base == "BTC" else 1]


def _size_rule(
    key: str, kind: Kind, simulated: SimulatedSymbol, listing: Listing
) -> Callable[[int, int], int]:
    """From the simulator's size and price to the market's size: contracts on inverse markets, at least one."""
    if kind != "inverse":
        return lambda size, price: size  # noqa: ARG005
    instrument = simulated.instrument
    unit = 10 ** (instrument.price_decimals + instrument.size_decimals) * _contract_usd(
        key, listing.instrument.base
    )

    def contracts(size: int, price: int) -> int:
        return max(1, size * price // unit) if size else 0

    return contracts
