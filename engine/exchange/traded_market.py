"""The built-in exchange's books, served under a venue's market key: what the matching engine did, in its own numbers.

Update numbers are the engine's: a client's book can be compared with the engine's at every one. The market is not
turned here: whoever turns the simulator says what each turn brought (`on_turn`), and `advance` hands it on, turns
merged. While nobody follows a symbol, nothing but its trades is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from engine.exchange.market import Change, Level, Listing, Quote, Snapshot, Trade
from engine.exchange.recorded_past import RecordedPast
from engine.flow.simulator import Turn
from engine.flow.symbols import SYMBOLS, SimulatedSymbol
from engine.market.batches import SELL, Batch, Kind
from engine.matching.engine import MatchingEngine
from engine.matching.orders import CLOSED, HALTED

KEYS: Final = ("binance_spot", "bybit_spot")
LISTED_S: Final = 1_577_836_800  # 2020-01-01: what the venue says; its past begins with its first trade
MAX_TRADES: Final = 100_000  # of one change; beyond it the oldest are left out


def traded_markets(
    engine: MatchingEngine, symbols: Sequence[SimulatedSymbol] = SYMBOLS, keys: Iterable[str] = KEYS
) -> dict[str, TradedMarket]:
    """A market for each key over one engine, with one recorded past."""
    past = recorded_past(engine, symbols)
    return {key: TradedMarket(key, engine, symbols, past) for key in keys}


def recorded_past(engine: MatchingEngine, symbols: Sequence[SimulatedSymbol]) -> RecordedPast:
    """An empty record of what trades in these symbols."""
    instruments = [each.instrument for each in symbols]
    starts = {each.instrument.native: each.start_ticks * each.instrument.tick_size for each in symbols}

    def price_of(native: str) -> int:
        """The middle of the book, or the start price."""
        instrument = next(each for each in instruments if each.native == native)
        best = engine.bbo(instrument.symbol)
        quoted = [ticks for ticks in (best.bid_ticks, best.ask_ticks) if ticks]
        return sum(quoted) * instrument.tick_size // len(quoted) if quoted else starts[native]

    return RecordedPast(engine, instruments, price_of)


class TradedMarket:
    """One market key's view of the engine. One thread, the engine's.

    `past` may be shared by all markets of an engine, and is recorded through any of them.
    """

    def __init__(
        self,
        key: str,
        engine: MatchingEngine,
        symbols: Sequence[SimulatedSymbol] = SYMBOLS,
        past: RecordedPast | None = None,
    ) -> None:
        self.key: Final = key
        self.past: Final = recorded_past(engine, symbols) if past is None else past
        self.listings: Final[Sequence[Listing]] = tuple(
            Listing(
                replace(each.instrument, venue=key),
                "spot",
                start_price=each.start_ticks * each.instrument.tick_size,
                listed_s=LISTED_S,
            )
            for each in symbols
        )
        self.left_out = 0  # trades that no change had room for
        self._engine = engine
        self._instruments = {each.instrument.native: each.instrument for each in symbols}
        self._gathered: dict[str, _Gathered] = {}  # by universal symbol: those that are followed
        self._now_ns = 0

    def on_past(self, batch: Batch) -> None:
        """What happened before the exchange was open, oldest first."""
        self.past.on_past(batch)

    def on_turn(self, turn: Turn) -> None:
        """What a turn brought: to be told of every turn, before the next. Some 10 us while nobody follows."""
        self._now_ns = turn.now_ns
        self.past.on_turn(turn)
        if not self._gathered:
            return
        takers = self.past.takers
        for batch in turn.batches:
            gathered = self._gathered.get(batch.symbol)
            if gathered is None:
                continue
            if batch.kind is Kind.DELTA:
                rows = batch.rows.tolist()
                gathered.bids.update(rows[: batch.bids])
                gathered.asks.update(rows[batch.bids :])
                gathered.first = gathered.first or batch.first_sequence
                gathered.last = batch.last_sequence
            elif batch.kind is Kind.TRADES:
                known = takers.get(batch.symbol)
                ids = known.tolist() if known is not None else [0] * len(batch.rows)
                gathered.trades += [
                    Trade(number, event_ns, price, size, aggressor == SELL, taker)
                    for (event_ns, _, number, price, size, aggressor), taker in zip(
                        batch.rows.tolist(), ids, strict=True
                    )
                ]
                over = len(gathered.trades) - MAX_TRADES
                if over > 0:
                    self.left_out += over
                    del gathered.trades[:over]
            elif batch.kind is Kind.QUOTES:
                gathered.quote = Quote(*batch.rows[-1].tolist()[3:])

    def activate(self, symbol: str, now_ns: int) -> None:
        """Gather what the symbol does from here on. KeyError for an unknown one."""
        del now_ns
        universal = self._instruments[symbol].symbol
        if universal not in self._gathered:
            self._gathered[universal] = _Gathered(symbol)

    def deactivate(self, symbol: str) -> None:
        """Gather it no more; its trades are still recorded."""
        self._gathered.pop(self._instruments[symbol].symbol, None)

    def advance(self, now_ns: int) -> list[Change]:
        """What the turns since the last call did to followed symbols: one change a symbol."""
        del now_ns
        return [each.change(self._now_ns) for each in self._gathered.values() if each.first]

    def snapshot(self, symbol: str, levels: int) -> Snapshot:
        """The engine's book as it is. KeyError for an unknown symbol."""
        instrument = self._instruments[symbol]
        bids, asks = self._engine.top(instrument.symbol, levels)
        tick, lot = instrument.tick_size, instrument.lot_size
        return Snapshot(
            *(symbol, self._now_ns, self._engine.update_number(instrument.symbol)),
            *([(ticks * tick, lots * lot) for ticks, lots in side.tolist()] for side in (bids, asks)),
        )

    def last_update(self, symbol: str) -> int:
        """The number of the symbol's last update, the engine's."""
        return self._engine.update_number(self._instruments[symbol].symbol)

    def is_halted(self, symbol: str) -> bool:
        """Whether its phase is halted or closed. Some 50 us."""
        at = self._engine.index(self._instruments[symbol].symbol)
        return self._engine.statistics().symbols[at].phase in (HALTED, CLOSED)


class _Gathered:
    """What the turns since the last change did to one symbol."""

    __slots__ = ("asks", "bids", "first", "last", "name", "quote", "told", "trades")

    def __init__(self, name: str) -> None:
        self.name = name
        self.quote = self.told = Quote(0, 0, 0, 0)
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.trades: list[Trade] = []
        self.first = self.last = 0

    def change(self, now_ns: int) -> Change:
        """All of it; what follows begins anew."""
        bids: list[Level] = sorted(self.bids.items(), reverse=True)
        change = Change(
            *(self.name, now_ns, self.first, self.last, self.first - 1),
            *(bids, sorted(self.asks.items()), self.trades, self.quote, self.quote != self.told),
        )
        self.told = self.quote
        self.bids, self.asks, self.trades = {}, {}, []
        self.first = 0
        return change
