"""Where everything of a matching engine lies: one array of int64 words, so that a call passes one array, and a
snapshot copies one.

The first words are the header: sizes, where each section begins, and the engine's own scalars. A section is a
matrix; the functions `*_of` give it as a view that costs nothing in compiled code. Sections:

- `state[symbol]`: the symbol's scalars (S_*).
- `orders[slot]`: one cache line an order (O_*), linked into its level; slot 0 is null. Each symbol has slots of
  its own, so a flood in one cannot starve another. `extra[slot]` (X_*) counts only for orders with SPECIAL flags.
- `ids`: open addressing, order id to slot, at most half full.
- `levels[row]`: head and tail order, displayed lots, mark. Row `side_row * WIDTH + key`, side_row = 2 * symbol
  (bids) or 2 * symbol + 1 (asks). A key counts ticks from the side's anchor towards worse prices, so the best level of
  either side is its lowest key, and buying and selling are one code path. No order is better than key 0.
- `bits[side_row]`: which keys are occupied, 64-ary in three levels: the next best level in three words.
- Levels WIDTH or more ticks behind the anchor are *far*: rows of `levels` behind the ladders, found by price in
  `far_index`, ordered by a heap; `far` has their keys and places. All of them are worse than any level of the
  ladder; a ladder that runs empty, or that the market leaves, is moved.
- `heaps`: of each side the far levels; of each symbol the waiting orders that trigger upwards, downwards, and
  its trailing stops (a plain list); of the engine the orders with an expiry.
- `positions[symbol * accounts + account]`, `balances[account * assets + asset]`, `assets[asset]`: the money.
- `events` and `changed`: what the current run has put out.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from engine.matching.compiled import compiled, inlined
from engine.matching.orders import EVENT, LEVEL_CHANGE, Matrix

Words = Any  # a one-dimensional int64 array

LADDER_BITS: Final = 18
WIDTH: Final = 1 << LADDER_BITS
MIDDLE: Final = WIDTH >> 6  # where the bitmap's second level starts
TOP: Final = MIDDLE + (WIDTH >> 12)  # its one word that sums up all
BIT_WORDS: Final = TOP + 1
SPARE_EVENTS: Final = 1 << 16
MAX_ORDERS_PER_SYMBOL: Final = 1 << 17  # events of one command stay below 2**MARK_SHIFT rows

# The header: sizes, then where sections begin, then scalars of the engine.
(
    H_SYMBOLS,
    H_ACCOUNTS,
    H_ASSETS,
    H_SLOTS,  # of each symbol
    H_IDS,  # rows of the id table, a power of two
    H_FAR,  # rows of a side's far index, a power of two
    H_ROOM,  # rows of events, and of changed
    H_STATE_AT,
    H_ORDERS_AT,
    H_EXTRA_AT,
    H_IDS_AT,
    H_LEVELS_AT,
    H_BITS_AT,
    H_FAR_AT,
    H_FAR_INDEX_AT,
    H_HEAPS_AT,
    H_POSITIONS_AT,
    H_BALANCES_AT,
    H_ASSETS_AT,
    H_EVENTS_AT,
    H_CHANGED_AT,
    H_END,
    H_KEY,  # of the hash tables, secret
) = range(23)
T_EVENTS: Final = 32  # rows of the current run
T_CHANGED: Final = 33
T_RUN: Final = 34  # its number; moving a ladder counts as one too
T_SEQUENCE: Final = 35  # commands taken since the start
T_NOW: Final = 36
T_NEXT_EXPIRY: Final = 37
T_EXPIRIES: Final = 38  # orders in the expiry heap
T_QUEUE_HEAD: Final = 39  # triggered orders that were not activated yet
T_QUEUE_TAIL: Final = 40
T_LEVELS_SEEN: Final = 41  # levels that fill-or-kill orders have looked through
HEADER_WORDS: Final = 64

NEVER: Final = (1 << 62) + 1

STATE_WORDS: Final = 64
(
    S_BEST_BID,  # keys, WIDTH when the ladder is empty
    S_BEST_ASK,
    S_ANCHOR_BID,  # price of key 0
    S_ANCHOR_ASK,
    S_FREE,  # first freed slot
    S_HIGH,  # first slot never used
    S_OPEN,  # orders resting and waiting
    S_UPDATES,
    S_TRADES,
    S_LAST,  # price, 0 before the first trade
    S_LOWEST,  # prices allowed for a LIMIT
    S_HIGHEST,
    S_PHASE,
    S_ACCOUNTING,
    S_RISE,  # the next trigger upwards, NEVER if none
    S_FALL,  # the next trigger downwards, -NEVER if none
    S_CAREFUL,  # not 0: orders are looked at closely (phase, steps)
    S_BANDED,  # not 0: prices have a band
    S_MOST_LOTS,  # what the hot path takes without looking closer: lots, and price times lots
    S_MOST_NOTIONAL,
    S_LOT_ATOMS,
    S_NOTIONAL_ATOMS,
    S_BASE,
    S_QUOTE,
    S_FIRST,  # slots of this symbol
    S_END,
    S_WAITING,
    S_PARTS,  # hidden parts of icebergs
    S_TRAILING,
    S_RISING,
    S_FALLING,
    S_FAR_BIDS,
    S_FAR_ASKS,
    S_FAR_FREE_BID,
    S_FAR_FREE_ASK,
    S_FAR_HIGH_BID,
    S_FAR_HIGH_ASK,
    S_PARAMETERS,  # nine of them
) = range(38)

# O_ID 0 = free slot; O_LOTS is what is displayed.
O_ID, O_LOTS, O_NEXT, O_PREVIOUS, O_META, O_PRICE, O_SEQUENCE = range(7)
ORDER_WORDS: Final = 8
# O_META: special flags, side, self-trade mode, post-only, account.
ICEBERG: Final = 1
LINKED: Final = 2
DATED: Final = 4
WAITING: Final = 8
SPECIAL: Final = ICEBERG | LINKED | DATED | WAITING
SELLING: Final = 1 << 8
SELF_TRADE_SHIFT: Final = 9
SELF_TRADE_MASK: Final = 7
POST: Final = 1 << 12
ACCOUNT_SHIFT: Final = 16

# X_SEQUENCE breaks ties in heaps and is column 0 of every matrix a heap orders.
(
    X_SEQUENCE,
    X_KEY,  # of a waiting order's trigger: trigger upwards, -trigger downwards
    X_PLACE,
    X_EXPIRY,
    X_EXPIRY_PLACE,
    X_HIDDEN,
    X_DISPLAY,
    X_PARTNER,
    X_KIND,
    X_TIF,
    X_DISTANCE,
    X_EXTREME,
    X_TRAILING_PLACE,
    X_SYMBOL,
    X_SEEN,  # number of the look that passed it last
) = range(15)
EXTRA_WORDS: Final = 16

HEAD, TAIL, LOTS, MARK = range(4)  # of a level; mark = run << MARK_SHIFT | its row in `changed`
LEVEL_WORDS: Final = 4
MARK_SHIFT: Final = 20  # a run's number wraps at 2**43: after a hundred days of a million runs a second
MARK_ROW: Final = (1 << MARK_SHIFT) - 1

F_TIE, F_KEY, F_PLACE, F_NEXT = range(4)  # F_TIE stays 0: keys of a side differ
FAR_WORDS: Final = 4

# Of an account in a symbol; cash is high << CASH_SHIFT | low.
P_OPEN, P_BUY_LOTS, P_SELL_LOTS, P_POSITION, P_CASH_LOW, P_CASH_HIGH = range(6)
POSITION_WORDS: Final = 8
CASH_SHIFT: Final = 60
B_FREE, B_RESERVED = range(2)
BALANCE_WORDS: Final = 2
A_SUPPLY, A_FEES, A_CASH_FEES_LOW, A_CASH_FEES_HIGH = range(4)
ASSET_WORDS: Final = 4

EVENT_WORDS: Final = EVENT.itemsize // 8
CHANGED_WORDS: Final = LEVEL_CHANGE.itemsize // 8

view: Any
if config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import, from the environment

    def _view(memory: Words, at: int, rows: int, columns: int) -> Matrix:
        """The same memory as a matrix."""
        return memory[at : at + rows * columns].reshape(rows, columns)  # type: ignore[no-any-return]

    view = _view
else:

    @intrinsic
    def _view(typing_context: Any, memory: Any, at: Any, rows: Any, columns: Any) -> Any:  # noqa: ARG001
        """A matrix over part of `memory`: neither counted nor checked, so it costs a few moves."""
        matrix = types.Array(memory.dtype, 2, "C")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            make_array: Any = arrayobj.make_array  # numba ships no types
            populate_array: Any = arrayobj.populate_array
            pack: Any = cgutils.pack_array
            source = make_array(signature.args[0])(context, builder, values[0])
            result = make_array(signature.return_type)(context, builder)
            word = context.get_constant(types.intp, 8)
            populate_array(
                result,
                data=builder.gep(source.data, [values[1]]),
                shape=pack(builder, values[2:]),
                strides=pack(builder, [builder.mul(values[3], word), word]),
                itemsize=word,
                meminfo=None,
            )
            return result._getvalue()

        return matrix(memory, types.int64, types.int64, types.int64), code

    view = _view


@compiled
def state_of(memory: Words) -> Any:
    """(symbol, S_*)."""
    return view(memory, memory[H_STATE_AT], memory[H_SYMBOLS], STATE_WORDS)


@compiled
def orders_of(memory: Words) -> Any:
    """(slot, O_*)."""
    return view(memory, memory[H_ORDERS_AT], memory[H_SYMBOLS] * memory[H_SLOTS] + 1, ORDER_WORDS)


@compiled
def extra_of(memory: Words) -> Any:
    """(slot, X_*)."""
    return view(memory, memory[H_EXTRA_AT], memory[H_SYMBOLS] * memory[H_SLOTS] + 1, EXTRA_WORDS)


@compiled
def ids_of(memory: Words) -> Any:
    """(row, order id and slot)."""
    return view(memory, memory[H_IDS_AT], memory[H_IDS], 2)


@compiled
def levels_of(memory: Words) -> Any:
    """(row, level columns): the ladders, then the far levels."""
    return view(memory, memory[H_LEVELS_AT], 2 * memory[H_SYMBOLS] * (WIDTH + memory[H_SLOTS]), LEVEL_WORDS)


@compiled
def bits_of(memory: Words) -> Any:
    """(side row, words)."""
    return view(memory, memory[H_BITS_AT], 2 * memory[H_SYMBOLS], BIT_WORDS)


@compiled
def far_of(memory: Words) -> Any:
    """(side row * slots + number, F_*)."""
    return view(memory, memory[H_FAR_AT], 2 * memory[H_SYMBOLS] * memory[H_SLOTS], FAR_WORDS)


@compiled
def far_index_of(memory: Words, side_row: int) -> Any:
    """(row, price and number + 1) of one side."""
    return view(memory, memory[H_FAR_INDEX_AT] + side_row * memory[H_FAR] * 2, memory[H_FAR], 2)


@compiled
def heaps_of(memory: Words) -> Any:
    """(number, entries): far levels by side row; then of each symbol rising, falling, trailing; then expiries."""
    rows = 5 * memory[H_SYMBOLS]
    return view(memory, memory[H_HEAPS_AT], rows, memory[H_SLOTS])


@inlined
def heap_row(memory: Words, symbol: int) -> Any:
    """The row of a symbol's first heap of waiting orders."""
    return 2 * memory[H_SYMBOLS] + 3 * symbol


@compiled
def expiries_of(memory: Words) -> Any:
    """(1, slots of all symbols): the heap of orders with an expiry."""
    size = memory[H_SYMBOLS] * memory[H_SLOTS]
    return view(memory, memory[H_HEAPS_AT] + 5 * size, 1, size)


@compiled
def positions_of(memory: Words) -> Any:
    """(symbol * accounts + account, P_*)."""
    return view(memory, memory[H_POSITIONS_AT], memory[H_SYMBOLS] * memory[H_ACCOUNTS], POSITION_WORDS)


@compiled
def balances_of(memory: Words) -> Any:
    """(account * assets + asset, B_*)."""
    return view(memory, memory[H_BALANCES_AT], memory[H_ACCOUNTS] * memory[H_ASSETS], BALANCE_WORDS)


@compiled
def assets_of(memory: Words) -> Any:
    """(asset, A_*)."""
    return view(memory, memory[H_ASSETS_AT], memory[H_ASSETS], ASSET_WORDS)


@compiled
def events_of(memory: Words) -> Any:
    """(row, E_*)."""
    return view(memory, memory[H_EVENTS_AT], memory[H_ROOM], EVENT_WORDS)


@compiled
def changed_of(memory: Words) -> Any:
    """(row, L_*)."""
    return view(memory, memory[H_CHANGED_AT], memory[H_ROOM], CHANGED_WORDS)


def allocate(symbols: int, accounts: int, assets: int, slots: int) -> Words:
    """A zeroed memory with its header; sections begin at cache lines.

    Some 17 MB of address space a symbol, 0.5 kB an order of each and 0.8 kB an order once; pages count once
    used.
    """
    sides, orders = 2 * symbols, symbols * slots
    sizes = (
        symbols * STATE_WORDS,
        (orders + 1) * ORDER_WORDS,
        (orders + 1) * EXTRA_WORDS,
        2 * power_of_two(2 * orders),
        sides * (WIDTH + slots) * LEVEL_WORDS,
        sides * BIT_WORDS,
        sides * slots * FAR_WORDS,
        sides * power_of_two(2 * slots) * 2,
        6 * orders,
        symbols * accounts * POSITION_WORDS,
        accounts * assets * BALANCE_WORDS,
        assets * ASSET_WORDS,
        (6 * slots + SPARE_EVENTS) * EVENT_WORDS,
        (6 * slots + SPARE_EVENTS) * CHANGED_WORDS,
    )
    places = [HEADER_WORDS]
    for size in sizes:
        places.append(-(-(places[-1] + size) // 8) * 8)
    memory = _aligned(places[-1])
    memory[H_SYMBOLS : H_ROOM + 1] = (
        *(symbols, accounts, assets, slots),
        *(power_of_two(2 * orders), power_of_two(2 * slots), 6 * slots + SPARE_EVENTS),
    )
    memory[H_STATE_AT : H_END + 1] = places
    memory[H_KEY] = secrets.randbits(62)
    memory[T_NEXT_EXPIRY] = NEVER
    memory[T_RUN] = 1  # marks of 0 are of no run
    return memory


def _aligned(words: int) -> Words:
    """Zeros that begin at a cache line, so that an order is one line and not two halves."""
    whole = np.zeros(words + 8, np.int64)
    skip = -(whole.ctypes.data // 8) % 8
    return whole[skip : skip + words]


def power_of_two(least: int) -> int:
    """The smallest power of two that is `least` or more."""
    return 1 << max(0, least - 1).bit_length()
