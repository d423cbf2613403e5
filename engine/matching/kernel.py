"""The compiled price-time book: one flat loop over commands, events out, no allocation.

Layout (all int64; `width` = 2**18 prices a symbol, rows of sides = 2 * symbol + (0 bids, 1 asks)):

- `levels[row, key, 4]`: head and tail order, total lots, mark. A key counts ticks from the end of the ladder
  where the side's best prices are: asks up from the lowest price, bids down from the highest. So the best
  level of either side is its lowest key, and buying and selling are one code path.
- `bits[row, 4161]`: which keys are occupied, 64-ary in three levels, so the next best level is found in three
  words.
- `orders[slot, 8]`: one cache line an order, linked into its level first in, first out; slot 0 is null. Each
  symbol has its own slots and free list: a flood in one cannot starve another.
- `ids[2**n, 2]`: open addressing, order id to slot, at most half full; ids are any positive number.
- `state[symbol, :]`: the symbol's scalars; its last row belongs to the engine as a whole.

Prices outside the ladder are rejected; the ladder does not move. `levels` is 8 MB a side of address space, of
which only what orders came to lie in is used. Compiled code does not check array bounds: everything a command
brings is checked here first.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.market.batches import BUY, SELL
from engine.matching.bits import trailing_zeros
from engine.matching.orders import (
    ACCEPTED,
    BAD_ID,
    BAD_KIND,
    BAD_LOTS,
    BAD_SIDE,
    BAD_TIME_IN_FORCE,
    BOOK_FULL,
    C_ID,
    C_KIND,
    C_LOTS,
    C_OWNER,
    C_PRICE,
    C_SIDE,
    C_SYMBOL,
    C_TIF,
    C_TS,
    CANCEL,
    CANCELED,
    DONE,
    DUPLICATE_ID,
    E_COMMAND,
    E_ID,
    E_KIND,
    E_LOTS,
    E_MAKER,
    E_MAKER_OWNER,
    E_OWNER,
    E_PRICE,
    E_REASON,
    E_REMAINING,
    E_SIDE,
    E_SYMBOL,
    GTC,
    IOC,
    L_LOTS,
    L_PRICE,
    L_SIDE,
    L_SYMBOL,
    LIMIT,
    MARKET,
    MAX_LOTS,
    NO_REASON,
    NOT_OWNER,
    PRICE_OUT_OF_RANGE,
    REJECTED,
    TRADED,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
    Matrix,
)

WIDTH: Final = 1 << 18
MIDDLE: Final = WIDTH >> 6  # where the bitmap's second level starts
TOP: Final = MIDDLE + (WIDTH >> 12)  # its one word that sums up all
BIT_WORDS: Final = TOP + 1

HEAD, TAIL, LOTS, MARK = range(4)  # of a level; mark = run << MARK_SHIFT | its row in `changed`
MARK_SHIFT: Final = 20
O_ID, O_LOTS, O_NEXT, O_PREVIOUS, O_OWNER, O_ROW, O_KEY, O_TS = range(8)  # of an order; O_ID 0 = free slot
# Of a symbol's state; best keys are WIDTH when the side is empty.
S_BEST_BID, S_BEST_ASK, S_LOW, S_FREE, S_LIVE, S_SEQUENCE, S_TRADES, S_FIRST, S_HIGH = range(9)
# Of the last row: rows written so far in this run, its number, commands taken so far in it.
T_EVENTS, T_CHANGED, T_RUN, T_COMMANDS = range(4)
STATE_WORDS: Final = 16
SPREADER: Final = -7046029254386353131  # 2**64 / golden ratio: spreads consecutive ids over the table


@njit(nogil=True, cache=True)
def find(ids: Matrix, order_id: int) -> Any:
    """The row of `order_id` in the table, or the free row where it belongs."""
    mask = ids.shape[0] - 1
    at = ((order_id * SPREADER) >> 24) & mask
    while ids[at, 0] != 0 and ids[at, 0] != order_id:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def forget(ids: Matrix, order_id: int) -> None:
    """Remove `order_id`, which is present, and close the gap so that no search ends early."""
    mask = ids.shape[0] - 1
    gap = find(ids, order_id)
    at = gap
    while True:
        at = (at + 1) & mask
        if ids[at, 0] == 0:
            break
        home = ((ids[at, 0] * SPREADER) >> 24) & mask
        if ((at - home) & mask) >= ((at - gap) & mask):
            ids[gap, 0] = ids[at, 0]
            ids[gap, 1] = ids[at, 1]
            gap = at
    ids[gap, 0] = 0


@njit(nogil=True, cache=True)
def match(
    commands: Matrix,
    first: int,
    last: int,
    events: Matrix,
    changed: Matrix,
    orders: Matrix,
    ids: Matrix,
    levels: Any,
    bits: Matrix,
    state: Matrix,
) -> int:
    """How many of `commands[first:last]` were taken: all, unless `events` may be too short for the next.

    Appends to `events` and `changed` after the rows the run has already (T_EVENTS, T_CHANGED). `changed`
    has each touched (side, price) once a run, with its newest lots; it must be as long as `events`, at
    most 2**MARK_SHIFT rows. 30 to 100 ns a command: the more of the books the CPU's cache holds, the less.
    """
    symbols = state.shape[0] - 1
    n_events = state[symbols, T_EVENTS]
    n_changed = state[symbols, T_CHANGED]
    run = state[symbols, T_RUN]
    taken = state[symbols, T_COMMANDS] - first
    at = first
    while at < last:
        kind = commands[at, C_KIND]
        symbol = commands[at, C_SYMBOL]
        order_id = commands[at, C_ID]
        owner = commands[at, C_OWNER]
        side = commands[at, C_SIDE]
        price = commands[at, C_PRICE]
        left = commands[at, C_LOTS]
        known = 0 <= symbol < symbols
        room = 4
        if known:
            room = 2 * state[symbol, S_LIVE] + 4
        if events.shape[0] - n_events < room:
            break

        # The edge: nothing below indexes by a value that was not checked here.
        reason = NO_REASON
        place = 0
        slot = 0
        if not known:
            reason = UNKNOWN_SYMBOL
        elif kind == CANCEL:
            if order_id <= 0:
                reason = BAD_ID
            else:
                place = find(ids, order_id)
                slot = ids[place, 1]
                if ids[place, 0] == 0 or orders[slot, O_ROW] >> 1 != symbol:
                    reason = UNKNOWN_ID
                elif orders[slot, O_OWNER] != owner:
                    reason = NOT_OWNER
        elif kind != LIMIT and kind != MARKET:
            reason = BAD_KIND
        elif side != BUY and side != SELL:
            reason = BAD_SIDE
        elif commands[at, C_TIF] != GTC and commands[at, C_TIF] != IOC:
            reason = BAD_TIME_IN_FORCE
        elif order_id <= 0:
            reason = BAD_ID
        elif left <= 0 or left > MAX_LOTS:
            reason = BAD_LOTS
        elif kind == LIMIT and (price < state[symbol, S_LOW] or price >= state[symbol, S_LOW] + WIDTH):
            reason = PRICE_OUT_OF_RANGE
        else:
            place = find(ids, order_id)
            if ids[place, 0] != 0:
                reason = DUPLICATE_ID
            elif state[symbol, S_FREE] == 0 and kind == LIMIT and commands[at, C_TIF] == GTC:
                reason = BOOK_FULL

        event = events[n_events]
        n_events += 1
        event[E_COMMAND] = at + taken
        event[E_SYMBOL] = symbol
        event[E_SIDE] = side
        event[E_ID] = order_id
        event[E_OWNER] = owner
        event[E_PRICE] = price
        event[E_LOTS] = left
        event[E_REMAINING] = left
        event[E_MAKER] = 0
        event[E_MAKER_OWNER] = 0
        event[E_REASON] = reason
        if reason != NO_REASON:
            event[E_KIND] = REJECTED
            at += 1
            continue
        low = state[symbol, S_LOW]
        high = low + WIDTH - 1
        sequence = state[symbol, S_SEQUENCE]

        if kind == CANCEL:
            row = orders[slot, O_ROW]
            key = orders[slot, O_KEY]
            level = levels[row, key]
            before = orders[slot, O_PREVIOUS]
            after = orders[slot, O_NEXT]
            if before != 0:
                orders[before, O_NEXT] = after
            else:
                level[HEAD] = after
            if after != 0:
                orders[after, O_PREVIOUS] = before
            else:
                level[TAIL] = before
            level[LOTS] -= orders[slot, O_LOTS]
            event[E_KIND] = CANCELED
            event[E_SIDE] = SELL if row & 1 else BUY
            event[E_PRICE] = low + key if row & 1 else high - key
            event[E_LOTS] = orders[slot, O_LOTS]
            event[E_REMAINING] = 0
            if level[MARK] >> MARK_SHIFT != run:
                level[MARK] = run << MARK_SHIFT | n_changed
                changed[n_changed, L_SYMBOL] = symbol
                changed[n_changed, L_SIDE] = event[E_SIDE]
                changed[n_changed, L_PRICE] = event[E_PRICE]
                n_changed += 1
            changed[level[MARK] & ((1 << MARK_SHIFT) - 1), L_LOTS] = level[LOTS]
            state[symbol, S_SEQUENCE] = sequence + 1
            state[symbol, S_LIVE] -= 1
            orders[slot, O_ID] = 0
            orders[slot, O_NEXT] = state[symbol, S_FREE]
            state[symbol, S_FREE] = slot
            forget(ids, order_id)
            emptied = level[HEAD] == 0
        else:
            event[E_KIND] = ACCEPTED
            offset = price - low
            row = 2 * symbol + (1 if side == BUY else 0)  # the other side's
            limit = WIDTH - 1
            if kind == MARKET:
                event[E_PRICE] = 0
            elif side == BUY:
                limit = offset
            else:
                limit = WIDTH - 1 - offset
            best = state[symbol, row & 1]
            key = best
            emptied = False
            while left > 0 and best <= limit and best < WIDTH:
                key = best
                level = levels[row, key]
                price_here = low + key if row & 1 else high - key
                if level[MARK] >> MARK_SHIFT != run:
                    level[MARK] = run << MARK_SHIFT | n_changed
                    changed[n_changed, L_SYMBOL] = symbol
                    changed[n_changed, L_SIDE] = -side
                    changed[n_changed, L_PRICE] = price_here
                    n_changed += 1
                slot = level[HEAD]
                lots = level[LOTS]
                while left > 0 and slot != 0:
                    resting = orders[slot, O_LOTS]
                    traded = min(left, resting)
                    left -= traded
                    lots -= traded
                    sequence += 1
                    state[symbol, S_TRADES] += 1
                    event = events[n_events]
                    n_events += 1
                    event[E_KIND] = TRADED
                    event[E_COMMAND] = at + taken
                    event[E_SYMBOL] = symbol
                    event[E_SIDE] = side
                    event[E_ID] = order_id
                    event[E_OWNER] = owner
                    event[E_PRICE] = price_here
                    event[E_LOTS] = traded
                    event[E_REMAINING] = left
                    event[E_MAKER] = orders[slot, O_ID]
                    event[E_MAKER_OWNER] = orders[slot, O_OWNER]
                    event[E_REASON] = NO_REASON
                    if traded < resting:
                        orders[slot, O_LOTS] = resting - traded
                        break
                    event = events[n_events]
                    n_events += 1
                    event[E_KIND] = DONE
                    event[E_COMMAND] = at + taken
                    event[E_SYMBOL] = symbol
                    event[E_SIDE] = -side
                    event[E_ID] = orders[slot, O_ID]
                    event[E_OWNER] = orders[slot, O_OWNER]
                    event[E_PRICE] = price_here
                    event[E_LOTS] = 0
                    event[E_REMAINING] = 0
                    event[E_MAKER] = 0
                    event[E_MAKER_OWNER] = 0
                    event[E_REASON] = NO_REASON
                    forget(ids, orders[slot, O_ID])
                    after = orders[slot, O_NEXT]
                    orders[slot, O_ID] = 0
                    orders[slot, O_NEXT] = state[symbol, S_FREE]
                    state[symbol, S_FREE] = slot
                    state[symbol, S_LIVE] -= 1
                    slot = after
                level[HEAD] = slot
                level[LOTS] = lots
                changed[level[MARK] & ((1 << MARK_SHIFT) - 1), L_LOTS] = lots
                if slot != 0:
                    orders[slot, O_PREVIOUS] = 0
                    break
                level[TAIL] = 0
                # Clear its bit, then the next best: everything better is empty, so the lowest bit set.
                bits[row, key >> 6] &= ~(1 << (key & 63))
                if bits[row, key >> 6] == 0:
                    bits[row, MIDDLE + (key >> 12)] &= ~(1 << ((key >> 6) & 63))
                    if bits[row, MIDDLE + (key >> 12)] == 0:
                        bits[row, TOP] &= ~(1 << (key >> 12))
                best = WIDTH
                if bits[row, TOP] != 0:
                    word = trailing_zeros(bits[row, TOP])
                    word = word << 6 | trailing_zeros(bits[row, MIDDLE + word])
                    best = word << 6 | trailing_zeros(bits[row, word])
                state[symbol, row & 1] = best
            state[symbol, S_SEQUENCE] = sequence
            if left == 0 or kind == MARKET or commands[at, C_TIF] == IOC:
                event = events[n_events]
                n_events += 1
                event[E_KIND] = DONE if left == 0 else CANCELED
                event[E_COMMAND] = at + taken
                event[E_SYMBOL] = symbol
                event[E_SIDE] = side
                event[E_ID] = order_id
                event[E_OWNER] = owner
                event[E_PRICE] = 0 if kind == MARKET else price
                event[E_LOTS] = left
                event[E_REMAINING] = 0
                event[E_MAKER] = 0
                event[E_MAKER_OWNER] = 0
                event[E_REASON] = NO_REASON
            else:
                slot = state[symbol, S_FREE]
                state[symbol, S_FREE] = orders[slot, O_NEXT]
                state[symbol, S_LIVE] += 1
                state[symbol, S_HIGH] = max(state[symbol, S_HIGH], slot + 1)
                state[symbol, S_SEQUENCE] = sequence + 1
                row ^= 1
                key = WIDTH - 1 - limit
                level = levels[row, key]
                behind = level[TAIL]
                orders[slot, O_ID] = order_id
                orders[slot, O_LOTS] = left
                orders[slot, O_NEXT] = 0
                orders[slot, O_PREVIOUS] = behind
                orders[slot, O_OWNER] = owner
                orders[slot, O_ROW] = row
                orders[slot, O_KEY] = key
                orders[slot, O_TS] = commands[at, C_TS]
                place = find(ids, order_id)  # again: what was filled meanwhile may have moved the rows
                ids[place, 0] = order_id
                ids[place, 1] = slot
                level[TAIL] = slot
                level[LOTS] += left
                if behind != 0:
                    orders[behind, O_NEXT] = slot
                else:
                    level[HEAD] = slot
                    bits[row, key >> 6] |= 1 << (key & 63)
                    bits[row, MIDDLE + (key >> 12)] |= 1 << ((key >> 6) & 63)
                    bits[row, TOP] |= 1 << (key >> 12)
                    state[symbol, row & 1] = min(state[symbol, row & 1], key)
                if level[MARK] >> MARK_SHIFT != run:
                    level[MARK] = run << MARK_SHIFT | n_changed
                    changed[n_changed, L_SYMBOL] = symbol
                    changed[n_changed, L_SIDE] = side
                    changed[n_changed, L_PRICE] = price
                    n_changed += 1
                changed[level[MARK] & ((1 << MARK_SHIFT) - 1), L_LOTS] = level[LOTS]

        if emptied:
            bits[row, key >> 6] &= ~(1 << (key & 63))
            if bits[row, key >> 6] == 0:
                bits[row, MIDDLE + (key >> 12)] &= ~(1 << ((key >> 6) & 63))
                if bits[row, MIDDLE + (key >> 12)] == 0:
                    bits[row, TOP] &= ~(1 << (key >> 12))
            if key == state[symbol, row & 1]:
                best = WIDTH
                if bits[row, TOP] != 0:
                    word = trailing_zeros(bits[row, TOP])
                    word = word << 6 | trailing_zeros(bits[row, MIDDLE + word])
                    best = word << 6 | trailing_zeros(bits[row, word])
                state[symbol, row & 1] = best
        at += 1
    state[symbols, T_EVENTS] = n_events
    state[symbols, T_CHANGED] = n_changed
    state[symbols, T_COMMANDS] = at + taken
    return at - first


@njit(nogil=True, cache=True)
def depth(row: int, out: Matrix, levels: Any, bits: Matrix, low: int) -> int:
    """How many levels of a side were written to `out` (price, lots), best first: at most len(out)."""
    written = 0
    top = bits[row, TOP]
    while top != 0 and written < out.shape[0]:
        upper = trailing_zeros(top)
        top &= top - 1
        middle = bits[row, MIDDLE + upper]
        while middle != 0 and written < out.shape[0]:
            word = upper << 6 | trailing_zeros(middle)
            middle &= middle - 1
            lower = bits[row, word]
            while lower != 0 and written < out.shape[0]:
                key = word << 6 | trailing_zeros(lower)
                lower &= lower - 1
                out[written, 0] = low + key if row & 1 else low + WIDTH - 1 - key
                out[written, 1] = levels[row, key, LOTS]
                written += 1
    return written


def warm_up() -> None:
    """Compile, or load from the cache, every kernel of this module."""
    one = np.zeros((1, 12), np.int64)
    levels = np.zeros((2, 1, 4), np.int64)
    bits = np.zeros((2, BIT_WORDS), np.int64)
    state = np.zeros((2, STATE_WORDS), np.int64)
    match(one, 0, 0, one, one, one, one, levels, bits, state)
    depth(0, one, levels, bits, 1)
