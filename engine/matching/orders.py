"""What goes into the matching engine and what comes out: dtypes, codes and their constants.

`RULES.md` beside this file says what each of them does. Prices are ticks and quantities lots of the symbol's
instrument; `symbol` and `account` are indices of the engine's lists; times are nanoseconds UTC; money is in
atoms, the smallest unit of an asset. Rows are made of 8-byte words, so kernels see the same memory as an int64
matrix (`as_matrix`); the constants C_*, E_*, L_* name its columns, and the first two words are packed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows

Matrix = npt.NDArray[np.int64]

COMMAND: Final = np.dtype(
    [
        ("kind", "i1"),
        ("side", "i1"),  # BUY or SELL
        ("time_in_force", "i1"),
        ("self_trade", "i1"),
        ("flags", "i2"),
        ("parameter", "i2"),  # of CONFIGURE; of PHASE the new phase
        ("symbol", "i4"),  # of DEPOSIT and WITHDRAW: the asset
        ("account", "i4"),
        ("order_id", "i8"),
        ("price_ticks", "i8"),
        ("lots", "i8"),  # of CONFIGURE: the value; of DEPOSIT and WITHDRAW: atoms
        ("ts_ns", "i8"),
        ("trigger_ticks", "i8"),  # of stops; of TRAILING_STOP the distance
        ("display_lots", "i8"),  # 0 = all; less than lots = an iceberg
        ("expire_ns", "i8"),  # with GTD
        ("link_id", "i8"),  # one-cancels-other: the live partner; of REPLACE: the new id, 0 = keep
    ]
)
# Word 0 is kind | side << 8 | time_in_force << 16 | self_trade << 24 | flags << 32 | parameter << 48; word 1 is
# symbol | account << 32.
C_HEAD, C_PARTIES, C_ID, C_PRICE, C_LOTS, C_TS, C_TRIGGER, C_DISPLAY, C_EXPIRE, C_LINK = range(10)

# Kinds of commands. The first ten place orders or change them.
LIMIT: Final = 1
MARKET: Final = 2
CANCEL: Final = 3
REPLACE: Final = 4
AMEND: Final = 5
STOP: Final = 6
STOP_LIMIT: Final = 7
TAKE_PROFIT: Final = 8
TAKE_PROFIT_LIMIT: Final = 9
TRAILING_STOP: Final = 10
CANCEL_ALL: Final = 11
PHASE: Final = 12
CONFIGURE: Final = 13
DEPOSIT: Final = 14
WITHDRAW: Final = 15
TIME: Final = 16

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2
GTD: Final = 3

# Self-trade prevention: the taker's mode decides.
NONE: Final = 0
EXPIRE_TAKER: Final = 1
EXPIRE_MAKER: Final = 2
EXPIRE_BOTH: Final = 3
DECREMENT: Final = 4

POST_ONLY: Final = 1  # the one flag of a command

# Phases of a symbol.
CONTINUOUS: Final = 0
AUCTION: Final = 1
HALTED: Final = 2
CLOSED: Final = 3

# Accounting of a symbol.
UNACCOUNTED: Final = 0
SPOT: Final = 1
LINEAR: Final = 2

# Parameters of CONFIGURE, all of one symbol.
TICK_STEP: Final = 0  # prices must be multiples of it
LOT_STEP: Final = 1
MIN_NOTIONAL: Final = 2  # price_ticks * lots
BAND_UP_PPM: Final = 3  # prices at most so far above the last trade; 0 = no band
BAND_DOWN_PPM: Final = 4
MAX_OPEN_ORDERS: Final = 5  # of an account, stops included
MAX_POSITION_LOTS: Final = 6  # of an account, either way, open orders counted as if filled
MAKER_PPM: Final = 7  # of what is received (spot) or of the notional (linear); negative = rebate
TAKER_PPM: Final = 8
PARAMETERS: Final = 9

EVENT: Final = np.dtype(
    [
        ("kind", "i1"),
        ("side", "i1"),
        ("reason", "i1"),
        ("flags", "i1"),
        ("symbol", "i4"),
        ("sequence", "i8"),  # number of the command that caused it, from 0
        ("order_id", "i8"),
        ("account", "i4"),
        ("maker_account", "i4"),
        ("price_ticks", "i8"),
        ("lots", "i8"),
        ("remaining_lots", "i8"),
        ("maker_id", "i8"),
        ("maker_remaining_lots", "i8"),
        ("fee", "i8"),  # atoms
        ("maker_fee", "i8"),
        ("trade_id", "i8"),  # of the symbol, from 1
    ]
)
# Word 0 is kind | side << 8 | reason << 16 | flags << 24 | symbol << 32; E_PARTIES is account | maker_account << 32.
(
    E_HEAD,
    E_SEQUENCE,
    E_ID,
    E_PARTIES,
    E_PRICE,
    E_LOTS,
    E_REMAINING,
    E_MAKER,
    E_MAKER_REMAINING,
    E_FEE,
    E_MAKER_FEE,
    E_TRADE,
) = range(12)

# Kinds of events.
ACCEPTED: Final = 1
REJECTED: Final = 2
TRADED: Final = 3
CANCELED: Final = 4
REPLACED: Final = 5
AMENDED: Final = 6
ARMED: Final = 7
TRIGGERED: Final = 8
REFRESHED: Final = 9
PREVENTED: Final = 10
PHASE_CHANGED: Final = 11
CONFIGURED: Final = 12
DEPOSITED: Final = 13
WITHDRAWN: Final = 14
ALL_CANCELED: Final = 15

IN_AUCTION: Final = 1  # flag of a TRADED event: no taker; order_id is the buy order, maker_id the sell order

# Why a command was rejected. Stable codes: clients see them.
NO_REASON: Final = 0
BAD_KIND: Final = 1
UNKNOWN_SYMBOL: Final = 2
UNKNOWN_ACCOUNT: Final = 3
BAD_ID: Final = 4
BAD_SIDE: Final = 5
BAD_TIME_IN_FORCE: Final = 6
BAD_SELF_TRADE: Final = 7
BAD_FLAGS: Final = 8
BAD_LOTS: Final = 9
OFF_LOT: Final = 10
BAD_PRICE: Final = 11
OFF_TICK: Final = 12
BAD_DISPLAY: Final = 13
BAD_TRIGGER: Final = 14
BAD_EXPIRY: Final = 15
NOTIONAL_TOO_LARGE: Final = 16
WRONG_PHASE: Final = 17
OUTSIDE_BAND: Final = 18
NOTIONAL_TOO_SMALL: Final = 19
DUPLICATE_ID: Final = 20
BAD_LINK: Final = 21
WOULD_TRIGGER: Final = 22
WOULD_TAKE: Final = 23
TOO_MANY_ORDERS: Final = 24
POSITION_LIMIT: Final = 25
INSUFFICIENT_FUNDS: Final = 26
BOOK_FULL: Final = 27
UNKNOWN_ID: Final = 28
NOT_OWNER: Final = 29
NOT_RESTING: Final = 30
BAD_PARAMETER: Final = 31
BAD_VALUE: Final = 32
UNKNOWN_ASSET: Final = 33
# Why an order was canceled, beside NO_REASON: its owner asked for it, by its id.
BY_CANCEL_ALL: Final = 40
IOC_REMAINDER: Final = 41
FOK_UNFILLED: Final = 42
SELF_TRADE: Final = 43
EXPIRED: Final = 44
PARTNER: Final = 45
OUT_OF_FUNDS: Final = 46
REASONS: Final = {
    BAD_KIND: "unknown command",
    UNKNOWN_SYMBOL: "unknown symbol",
    UNKNOWN_ACCOUNT: "unknown account",
    BAD_ID: "order id is not positive",
    BAD_SIDE: "side is neither buy nor sell, or not the order's",
    BAD_TIME_IN_FORCE: "time in force does not exist, or not for this order",
    BAD_SELF_TRADE: "unknown self-trade prevention mode",
    BAD_FLAGS: "flags do not exist, or not for this order",
    BAD_LOTS: "quantity out of range",
    OFF_LOT: "quantity is not a multiple of the lot size",
    BAD_PRICE: "price out of range",
    OFF_TICK: "price is not a multiple of the tick size",
    BAD_DISPLAY: "displayed quantity out of range",
    BAD_TRIGGER: "trigger price out of range",
    BAD_EXPIRY: "expiry is not in the future",
    NOTIONAL_TOO_LARGE: "price times quantity is too large",
    WRONG_PHASE: "not in this phase of trading",
    OUTSIDE_BAND: "price is outside the band around the last trade",
    NOTIONAL_TOO_SMALL: "price times quantity is below the minimum",
    DUPLICATE_ID: "an order with this id is open",
    BAD_LINK: "the linked order is not open, not yours or linked already",
    WOULD_TRIGGER: "the order would trigger at once",
    WOULD_TAKE: "the post-only order would trade at once",
    TOO_MANY_ORDERS: "too many open orders",
    POSITION_LIMIT: "the position could pass its limit",
    INSUFFICIENT_FUNDS: "not enough free balance",
    BOOK_FULL: "no room for another open order",
    UNKNOWN_ID: "no open order with this id",
    NOT_OWNER: "the order is another account's",
    NOT_RESTING: "the order waits for its trigger",
    BAD_PARAMETER: "unknown parameter",
    BAD_VALUE: "value out of range",
    UNKNOWN_ASSET: "unknown asset",
    BY_CANCEL_ALL: "canceled with all of the account's orders",
    IOC_REMAINDER: "nothing left to take at once",
    FOK_UNFILLED: "could not be filled whole",
    SELF_TRADE: "would have traded with the same account",
    EXPIRED: "good-till date reached",
    PARTNER: "its linked order traded, triggered or ended",
    OUT_OF_FUNDS: "free balance used up",
}

MAX_PRICE_TICKS: Final = 1 << 40
MAX_LOTS: Final = 1 << 40  # times the orders of a symbol (at most 2**17) still fits a level's sum
MAX_ATOMS: Final = 1 << 60  # of one order's notional or base amount, and of one deposit
MAX_SUPPLY: Final = 1 << 62  # of an asset, all accounts together
MAX_ICEBERG_PARTS: Final = 100
MAX_TRAILING: Final = 1_024  # trailing stops of a symbol: each is looked at after each trade
MAX_TS_NS: Final = 1 << 62

LEVEL_CHANGE: Final = np.dtype(
    [("symbol", "i8"), ("side", "i8"), ("price_ticks", "i8"), ("lots", "i8")]  # lots: displayed now, 0 = gone
)
L_SYMBOL, L_SIDE, L_PRICE, L_LOTS = range(4)

LEVEL_TICKS: Final = np.dtype([("price_ticks", "i8"), ("lots", "i8")])


def as_matrix(rows: Rows) -> Matrix:
    """The same memory as int64 words, shape (n, words a row). `rows` must be contiguous."""
    return rows.view(np.int64).reshape(len(rows), rows.dtype.itemsize // 8)


def as_rows(matrix: Matrix, dtype: np.dtype[Any]) -> Rows:
    """The same memory as structured rows, shape (n,). `matrix` must be contiguous and as wide as `dtype`."""
    return matrix.view(dtype).reshape(len(matrix))
