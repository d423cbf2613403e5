"""What goes into the matching engine and what comes out: dtypes and their constants.

All fields are int64, so the kernels see the same memory as plain matrices: `as_matrix` is the view, and
the constants C_*, E_*, L_* name its columns in field order. Prices are ticks and quantities lots of the
symbol's instrument; `symbol` is the index in the engine's list; times are nanoseconds UTC.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows

Matrix = npt.NDArray[np.int64]


def _dtype(*names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names])


COMMAND: Final = _dtype(
    "kind", "symbol", "side", "time_in_force", "order_id", "owner", "price_ticks", "lots", "ts_ns"
)
C_KIND, C_SYMBOL, C_SIDE, C_TIF, C_ID, C_OWNER, C_PRICE, C_LOTS, C_TS = range(9)

LIMIT: Final = 1
MARKET: Final = 2  # price_ticks is not looked at; what finds no counterpart is canceled
CANCEL: Final = 3  # symbol, order_id and owner count

GTC: Final = 0
IOC: Final = 1

# A trade has order_id, owner and side of the taker, the maker's price, and the taker's remaining_lots.
EVENT: Final = _dtype(
    *("kind", "command", "symbol", "side", "order_id", "owner", "price_ticks", "lots", "remaining_lots"),
    *("maker_id", "maker_owner", "reason"),
)
(
    E_KIND,
    E_COMMAND,
    E_SYMBOL,
    E_SIDE,
    E_ID,
    E_OWNER,
    E_PRICE,
    E_LOTS,
    E_REMAINING,
    E_MAKER,
    E_MAKER_OWNER,
    E_REASON,
) = range(12)

ACCEPTED: Final = 1  # lots = ordered
REJECTED: Final = 2  # nothing changed; `reason` says why
TRADED: Final = 3
DONE: Final = 4  # filled to the last lot: the maker right after its last trade, the taker after all of its
CANCELED: Final = 5  # lots = what was canceled: by command, or the rest of an IOC or market order

# Stable codes: clients see them.
NO_REASON: Final = 0
UNKNOWN_SYMBOL: Final = 1
BAD_KIND: Final = 2
BAD_SIDE: Final = 3
BAD_TIME_IN_FORCE: Final = 4
BAD_ID: Final = 5  # ids are positive
BAD_LOTS: Final = 6  # 1 to MAX_LOTS
PRICE_OUT_OF_RANGE: Final = 7  # outside the symbol's ladder
DUPLICATE_ID: Final = 8  # an order with this id is resting, in whichever symbol
UNKNOWN_ID: Final = 9  # no order with this id is resting in this symbol
NOT_OWNER: Final = 10
BOOK_FULL: Final = 11  # the symbol has no room for another resting order
REASONS: Final = {
    UNKNOWN_SYMBOL: "unknown symbol",
    BAD_KIND: "unknown command",
    BAD_SIDE: "side is neither buy nor sell",
    BAD_TIME_IN_FORCE: "unknown time in force",
    BAD_ID: "order id is not positive",
    BAD_LOTS: "quantity out of range",
    PRICE_OUT_OF_RANGE: "price too far from the market",
    DUPLICATE_ID: "an order with this id is open",
    UNKNOWN_ID: "no open order with this id",
    NOT_OWNER: "the order is another owner's",
    BOOK_FULL: "no room for another open order",
}
MAX_LOTS: Final = 1 << 40  # times the orders of a symbol (at most 2**18) still fits a level's sum

LEVEL_CHANGE: Final = _dtype("symbol", "side", "price_ticks", "lots")  # lots: the level's new total, 0 = gone
L_SYMBOL, L_SIDE, L_PRICE, L_LOTS = range(4)

LEVEL_TICKS: Final = _dtype("price_ticks", "lots")


def as_matrix(rows: Rows) -> Matrix:
    """The same memory as int64 columns, shape (n, fields). `rows` must be contiguous."""
    return rows.view(np.int64).reshape(len(rows), rows.dtype.itemsize // 8)


def as_rows(matrix: Matrix, dtype: np.dtype[Any]) -> Rows:
    """The same memory as structured rows, shape (n,). `matrix` must be contiguous and as wide as `dtype`."""
    return matrix.view(dtype).reshape(len(matrix))
