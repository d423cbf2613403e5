"""What trading on the built-in exchange is made of: orders, fills, answers and reports, before a dialect writes them.

Prices are ticks and quantities lots of the symbol's instrument, money is in atoms of 10^-8 of an asset, times are
nanoseconds UTC, symbols the engine's indices. Codes (LIMIT, BUY, GTC, reasons) are those of `engine.matching.orders`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from engine.matching.orders import BY_CANCEL_ALL, GTC, NO_REASON, NONE, REASONS

Status = Literal["pending", "armed", "new", "partially_filled", "filled", "canceled", "expired", "rejected"]
ReportKind = Literal[
    "new", "armed", "triggered", "trade", "replaced", "amended", "canceled", "expired", "prevented"
]

OPEN: Final = frozenset({"pending", "armed", "new", "partially_filled"})
CANCELED_BY_OWNER: Final = frozenset({NO_REASON, BY_CANCEL_ALL})

# Why the desk itself refuses, beside the engine's reasons.
TOO_MANY_WAITING: Final = 100
ON_COMMAND: Final = 101
NOT_SERVED: Final = 102
NO_PRICE: Final = 103
DESK_REASONS: Final = {
    TOO_MANY_WAITING: "the exchange has too many commands waiting",
    ON_COMMAND: "rejected by a fault on command",
    NOT_SERVED: "the exchange is not running",
    NO_PRICE: "there is nothing to trade against",
}


def sentence(reason: int) -> str:
    """The reason in words."""
    return REASONS.get(reason) or DESK_REASONS.get(reason) or f"reason {reason}"


class Order(msgspec.Struct, eq=False, gc=False):
    """One order of a client, from the moment it is asked for. The desk changes it; everyone else only reads.

    What is asked for comes first, then what has become of it.
    """

    account: int
    symbol: int
    side: int  # BUY or SELL
    kind: int  # LIMIT, MARKET, STOP, ...
    lots: int
    price_ticks: int = 0
    time_in_force: int = GTC
    post_only: bool = False
    trigger_ticks: int = 0  # of stops; of TRAILING_STOP the distance
    display_lots: int = 0
    self_trade: int = NONE
    expire_ns: int = 0
    link_id: int = 0  # one-cancels-other: the partner's order id
    client_id: str = ""
    dialect: str = ""  # that it came through: "native", "binance", "bybit", "page"
    extra: Any = None  # what the dialect keeps with it

    order_id: int = 0
    status: Status = "pending"
    reason: int = 0  # why it was rejected, canceled or expired
    open_lots: int = 0  # still to be filled, 0 once it has ended
    filled_lots: int = 0
    filled_notional: int = 0  # sum of price_ticks * lots
    fee_atoms: int = 0  # paid so far, of what is received
    triggered: bool = False
    created_ns: int = 0
    updated_ns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it can still trade."""
        return self.status in OPEN


class Fill(msgspec.Struct, eq=False, gc=False, frozen=True):
    """One trade as one of its two orders sees it."""

    trade_id: int  # of the symbol, the public one
    order_id: int
    client_id: str
    account: int
    symbol: int
    side: int
    price_ticks: int
    lots: int
    fee_atoms: int
    fee_asset: str
    maker: bool
    ts_ns: int


class Outcome(msgspec.Struct, eq=False, gc=False):
    """What became of one request: `reason` 0 when it was done, else why not (`sentence`).

    `order` is the order placed, canceled or changed, where there is one; `fills` are the trades it made at once;
    `count` how many a cancel-all ended. `status` and what follows are the order's right after this request: later
    ones of the same batch may have changed it since.
    """

    reason: int
    order: Order | None
    ts_ns: int
    fills: Sequence[Fill] = ()
    count: int = 0
    status: Status = "pending"
    filled_lots: int = 0
    filled_notional: int = 0
    open_lots: int = 0


class Report(NamedTuple):
    """One change of an order, as the account's private stream tells it. Read the order at once: it goes on changing.

    `status` and the lots are the order's as of this report, since a batch may bring several.
    """

    kind: ReportKind
    order: Order
    fill: Fill | None
    status: Status
    filled_lots: int
    filled_notional: int
    open_lots: int
    reason: int
    ts_ns: int


class Balance(NamedTuple):
    """An account's holding of one asset, in atoms of 10^-8."""

    asset: str
    free: int
    reserved: int


class Listener(Protocol):
    """Who is told what happens to an account: a private stream."""

    def on_reports(self, reports: Sequence[Report]) -> None:
        """What one batch changed, in order. Balances read now are those after all of it."""
        ...

    def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
        """Money came (positive) or went."""
        ...


Answer = Callable[[Outcome], None]
