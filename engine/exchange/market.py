"""What a local venue serves: the form every market takes before a dialect writes it as a venue would.

Prices and sizes are integers in the instrument's units. A market is turned by whoever has the time
(`advance(now_ns)`), and says what changed. Two markets exist: `random_market.RandomMarket`, light and seeded, and
`traded_market.TradedMarket`, the books of the built-in exchange's matching engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from engine.market.instruments import Instrument

if TYPE_CHECKING:
    from engine.exchange.past import Past

Kind = Literal["spot", "linear", "inverse"]
Level = tuple[int, int]  # price, size; in a change, size 0 deletes the level


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol as a market lists it."""

    instrument: Instrument
    kind: Kind
    start_price: int  # in the instrument's units, at the beginning of its history
    listed_s: int  # Unix time
    contract_size: int = 0  # of Binance's COIN-M, in quote units; 0 elsewhere
    funding_interval_s: int = 0  # 0: no funding

    @property
    def native(self) -> str:
        """The venue's own name."""
        return self.instrument.native


class Trade(NamedTuple):
    """One trade; `buyer_is_maker` is true when the aggressor sold. `taker` is the aggressor's order, 0 = unknown."""

    trade_id: int
    ts_ns: int
    price: int
    size: int
    buyer_is_maker: bool
    taker: int = 0


class Aggregate(NamedTuple):
    """What one taker's order traded at one price: successive trades, numbered by the first of them."""

    first_id: int
    last_id: int
    ts_ns: int
    price: int
    size: int
    buyer_is_maker: bool


def aggregated(trades: Iterable[Trade]) -> list[Aggregate]:
    """The trades by taker and price, in order; a trade whose taker is unknown is an aggregate of its own."""
    made: list[Aggregate] = []
    before: Trade | None = None
    for each in trades:
        if (
            before is not None
            and each.taker
            and each.taker == before.taker
            and each.price == before.price
            and each.buyer_is_maker == before.buyer_is_maker
        ):
            made[-1] = made[-1]._replace(last_id=each.trade_id, size=made[-1].size + each.size)
        else:
            made.append(Aggregate(each.trade_id, *each[:5]))
        before = each
    return made


class Quote(NamedTuple):
    """Best bid and ask."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Change(NamedTuple):
    """What one turn did to one symbol: levels with their new sizes, each price once a side, and the trades.

    Updates are numbered from `first_update` to `last_update`; `previous_update` is the symbol's last one before.
    In futures markets all symbols draw from one counter, so numbers jump and only `previous_update` tells.
    """

    symbol: str
    ts_ns: int
    first_update: int
    last_update: int
    previous_update: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    trades: Sequence[Trade]
    quote: Quote
    quote_changed: bool


class Snapshot(NamedTuple):
    """A book as of `last_update`, each side best first."""

    symbol: str
    ts_ns: int
    last_update: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Market(Protocol):
    """What is served under one market key. Symbols are native names; KeyError for an unknown one."""

    @property
    def key(self) -> str:
        """The market key."""
        ...

    @property
    def listings(self) -> Sequence[Listing]:
        """What it lists."""
        ...

    @property
    def past(self) -> Past | None:
        """What was recorded of it; None: its past is invented."""
        ...

    def activate(self, symbol: str, now_ns: int) -> None:
        """Make the symbol move from here on, and tell its changes. Doing it twice does nothing more."""
        ...

    def deactivate(self, symbol: str) -> None:
        """Its changes are not asked for any more; what moves by itself goes on."""
        ...

    def advance(self, now_ns: int) -> Iterable[Change]:
        """Turn every active symbol to `now_ns`; what changed, at most one change a symbol."""
        ...

    def snapshot(self, symbol: str, levels: int) -> Snapshot:
        """At most `levels` of each side as of the last turn. KeyError for a symbol that has no book yet."""
        ...

    def last_update(self, symbol: str) -> int:
        """The number of an active symbol's last update. Cheap."""
        ...

    def is_halted(self, symbol: str) -> bool:
        """Whether the symbol trades not now. KeyError for an unknown one."""
        ...
