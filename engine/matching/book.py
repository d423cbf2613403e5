"""The book's parts: ids, levels in the ladder and far from it, orders joining and leaving them.

Everything here keeps to the layout of `layout.py`. Functions that take views are part of the hot path and are
inlined; those that take `memory` are called rarely.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.market.batches import BUY, SELL
from engine.matching import heap
from engine.matching.bits import trailing_zeros
from engine.matching.compiled import compiled, inlined
from engine.matching.layout import (
    F_KEY,
    F_NEXT,
    F_PLACE,
    H_KEY,
    H_SLOTS,
    H_SYMBOLS,
    HEAD,
    LOTS,
    MARK,
    MARK_ROW,
    MARK_SHIFT,
    MIDDLE,
    O_ID,
    O_LOTS,
    O_META,
    O_NEXT,
    O_PREVIOUS,
    O_PRICE,
    S_ANCHOR_BID,
    S_BEST_BID,
    S_END,
    S_FAR_BIDS,
    S_FAR_FREE_BID,
    S_FAR_HIGH_BID,
    S_FREE,
    S_HIGH,
    S_OPEN,
    S_UPDATES,
    SELLING,
    T_CHANGED,
    T_RUN,
    TAIL,
    TOP,
    WIDTH,
    Words,
    bits_of,
    changed_of,
    far_index_of,
    far_of,
    heaps_of,
    ids_of,
    levels_of,
    orders_of,
    state_of,
)
from engine.matching.orders import L_LOTS, L_PRICE, L_SIDE, L_SYMBOL, Matrix

SPREADER: Final = -7046029254386353131  # 2**64 / golden ratio
STIRRER: Final = -4417276706812531889  # odd, from xxHash
HOME: Final = WIDTH >> 2  # the key of the best level after its ladder has moved


@inlined
def home_of(order_id: int, key: int, mask: int) -> Any:
    """Where the search for an id starts. Clients choose ids but don't know the key, so they cannot pile them up."""
    mixed = (order_id ^ key) * SPREADER
    return ((mixed ^ (mixed >> 32)) * STIRRER >> 24) & mask


@inlined
def find(ids: Matrix, order_id: int, key: int) -> Any:
    """The row of `order_id` in the table, or the free row where it belongs."""
    mask = ids.shape[0] - 1
    at = home_of(order_id, key, mask)
    while ids[at, 0] != 0 and ids[at, 0] != order_id:
        at = (at + 1) & mask
    return at


@inlined
def forget_row(ids: Matrix, gap: int, key: int) -> None:
    """Empty a row of the table, and close the gap so that no search ends early."""
    mask = ids.shape[0] - 1
    at = gap
    while True:
        at = (at + 1) & mask
        if ids[at, 0] == 0:
            break
        home = home_of(ids[at, 0], key, mask)
        if ((at - home) & mask) >= ((at - gap) & mask):
            ids[gap, 0] = ids[at, 0]
            ids[gap, 1] = ids[at, 1]
            gap = at
    ids[gap, 0] = 0


@inlined
def set_bit(bits: Matrix, side_row: int, key: int) -> None:
    """Mark a key as occupied."""
    bits[side_row, key >> 6] |= 1 << (key & 63)
    bits[side_row, MIDDLE + (key >> 12)] |= 1 << ((key >> 6) & 63)
    bits[side_row, TOP] |= 1 << (key >> 12)


@inlined
def clear_bit(bits: Matrix, side_row: int, key: int) -> None:
    """Mark a key as empty."""
    word = bits[side_row, key >> 6] & ~(1 << (key & 63))
    bits[side_row, key >> 6] = word
    if word == 0:
        word = bits[side_row, MIDDLE + (key >> 12)] & ~(1 << ((key >> 6) & 63))
        bits[side_row, MIDDLE + (key >> 12)] = word
        if word == 0:
            bits[side_row, TOP] &= ~(1 << (key >> 12))


@inlined
def best_key(bits: Matrix, side_row: int) -> Any:
    """The lowest key occupied, WIDTH if none is."""
    top = bits[side_row, TOP]
    if top == 0:
        return WIDTH
    word = trailing_zeros(top)
    word = word << 6 | trailing_zeros(bits[side_row, MIDDLE + word])
    return word << 6 | trailing_zeros(bits[side_row, word])


@compiled
def next_key(bits: Matrix, side_row: int, start: int) -> Any:
    """The lowest key occupied from `start` on, WIDTH if none is."""
    if start >= WIDTH:
        return WIDTH
    word = bits[side_row, start >> 6] & (-1 << (start & 63))
    if word != 0:
        return start >> 6 << 6 | trailing_zeros(word)
    at = (start >> 6) + 1
    if at & 63:
        middle = bits[side_row, MIDDLE + (at >> 6)] & (-1 << (at & 63))
        if middle != 0:
            at = at >> 6 << 6 | trailing_zeros(middle)
            return at << 6 | trailing_zeros(bits[side_row, at])
        at = (at >> 6) + 1
    else:
        at >>= 6
    if at >= 64:
        return WIDTH
    top = bits[side_row, TOP] & (-1 << at)
    if top == 0:
        return WIDTH
    at = trailing_zeros(top)
    at = at << 6 | trailing_zeros(bits[side_row, MIDDLE + at])
    return at << 6 | trailing_zeros(bits[side_row, at])


@inlined
def touch(level: Any, changed: Matrix, count: int, run: int, side_row: int, price: int) -> Any:
    """How many levels the run has changed, this one noted with what it displays now."""
    mark = level[MARK]
    if mark >> MARK_SHIFT != run:
        mark = run << MARK_SHIFT | count
        level[MARK] = mark
        fresh = changed[count]
        fresh[L_SYMBOL] = side_row >> 1
        fresh[L_SIDE] = 1 - 2 * (side_row & 1)
        fresh[L_PRICE] = price
        count += 1
    changed[mark & MARK_ROW, L_LOTS] = level[LOTS]
    return count


@compiled
def find_slot(memory: Words, order_id: int) -> Any:
    """The slot of an open order, 0 if there is none."""
    ids = ids_of(memory)
    row = find(ids, order_id, memory[H_KEY])
    return ids[row, 1] if ids[row, 0] != 0 else 0


@compiled
def remember(memory: Words, order_id: int, slot: int) -> None:
    """Enter an id that is not in the table."""
    ids = ids_of(memory)
    row = find(ids, order_id, memory[H_KEY])
    ids[row, 0] = order_id
    ids[row, 1] = slot


@compiled
def forget(memory: Words, order_id: int) -> None:
    """Take an id, which is present, out of the table."""
    ids = ids_of(memory)
    forget_row(ids, find(ids, order_id, memory[H_KEY]), memory[H_KEY])


@compiled
def take_slot(memory: Words, symbol: int) -> Any:
    """A free slot of the symbol, now counted as open. There must be one."""
    state = state_of(memory)
    orders = orders_of(memory)
    slot = state[symbol, S_FREE]
    if slot != 0:
        state[symbol, S_FREE] = orders[slot, O_NEXT]
    else:
        slot = state[symbol, S_HIGH]
        state[symbol, S_HIGH] = slot + 1
    state[symbol, S_OPEN] += 1
    return slot


@compiled
def free_slot(memory: Words, symbol: int, slot: int) -> None:
    """Give a slot back, and its order's id."""
    state = state_of(memory)
    orders = orders_of(memory)
    forget(memory, orders[slot, O_ID])
    orders[slot, O_ID] = 0
    orders[slot, O_NEXT] = state[symbol, S_FREE]
    state[symbol, S_FREE] = slot
    state[symbol, S_OPEN] -= 1


@compiled
def is_full(state: Matrix, symbol: int) -> Any:
    """Whether the symbol has no free slot."""
    return state[symbol, S_FREE] == 0 and state[symbol, S_HIGH] == state[symbol, S_END]


# Levels far from the market.


@compiled
def find_far(memory: Words, side_row: int, price: int) -> Any:
    """The level's row, -1 if there is none."""
    index = far_index_of(memory, side_row)
    row = find(index, price, memory[H_KEY])
    if index[row, 0] == 0:
        return -1
    return 2 * memory[H_SYMBOLS] * WIDTH + side_row * memory[H_SLOTS] + index[row, 1]


@compiled
def open_far(memory: Words, side_row: int, price: int) -> Any:
    """The row of a new far level, all zeros."""
    state = state_of(memory)[side_row >> 1]
    far = far_of(memory)
    levels = levels_of(memory)
    ask = side_row & 1
    first = side_row * memory[H_SLOTS]
    number = state[S_FAR_FREE_BID + ask] - 1
    if number >= 0:
        state[S_FAR_FREE_BID + ask] = far[first + number, F_NEXT]
    else:
        number = state[S_FAR_HIGH_BID + ask]
        state[S_FAR_HIGH_BID + ask] = number + 1
    index = far_index_of(memory, side_row)
    row = find(index, price, memory[H_KEY])
    index[row, 0] = price
    index[row, 1] = number
    far[first + number, F_KEY] = price if ask else -price
    heap.push(heaps_of(memory)[side_row], state[S_FAR_BIDS + ask], first + number, far, F_KEY, F_PLACE)
    state[S_FAR_BIDS + ask] += 1
    level = 2 * memory[H_SYMBOLS] * WIDTH + first + number
    levels[level] = 0
    return level


@compiled
def close_far(memory: Words, side_row: int, level: int) -> None:
    """Forget a far level. T_RUN grows."""
    state = state_of(memory)[side_row >> 1]
    far = far_of(memory)
    ask = side_row & 1
    first = side_row * memory[H_SLOTS]
    at = level - 2 * memory[H_SYMBOLS] * WIDTH
    price = far[at, F_KEY] if ask else -far[at, F_KEY]
    index = far_index_of(memory, side_row)
    forget_row(index, find(index, price, memory[H_KEY]), memory[H_KEY])
    heap.remove(heaps_of(memory)[side_row], state[S_FAR_BIDS + ask], at, far, F_KEY, F_PLACE)
    state[S_FAR_BIDS + ask] -= 1
    far[at, F_NEXT] = state[S_FAR_FREE_BID + ask]
    state[S_FAR_FREE_BID + ask] = at - first + 1
    memory[T_RUN] += 1  # its row may soon stand for another price, so marks are void


# Moving ladders.


@compiled
def _move_level(memory: Words, side_row: int, key: int, to: int) -> None:
    """Move one level of the ladder to another key, or out of the ladder if that is WIDTH or more."""
    levels = levels_of(memory)
    bits = bits_of(memory)
    row = side_row * WIDTH + key
    if to < WIDTH:
        target = side_row * WIDTH + to
        set_bit(bits, side_row, to)
    else:
        target = open_far(memory, side_row, orders_of(memory)[levels[row, HEAD], O_PRICE])
    levels[target] = levels[row]
    levels[row] = 0
    clear_bit(bits, side_row, key)


@compiled
def _shift(memory: Words, side_row: int, by: int) -> None:
    """Add `by` to all keys of the ladder: some 40 ns a level, and 80 ns for one that crosses its end."""
    bits = bits_of(memory)
    step = -1 if by > 0 else 1  # the levels that others would land on go first
    start = 63 if by > 0 else 0
    for a in range(64):
        upper = start + step * a
        if not (bits[side_row, TOP] >> upper) & 1:
            continue
        for b in range(64):
            middle = upper << 6 | (start + step * b)
            if not (bits[side_row, MIDDLE + upper] >> (middle & 63)) & 1:
                continue
            for c in range(64):
                key = middle << 6 | (start + step * c)
                if (bits[side_row, middle] >> (key & 63)) & 1:
                    _move_level(memory, side_row, np.int64(key), np.int64(key + by))


@compiled
def anchor_at(memory: Words, side_row: int, price: int) -> None:
    """Move a side's ladder so that `price` has the key HOME; levels cross its far end either way.

    No order may be better than `price` by more than HOME ticks.
    """
    state = state_of(memory)[side_row >> 1]
    ask = side_row & 1
    levels = levels_of(memory)
    bits = bits_of(memory)
    side = SELL if ask else BUY
    anchor = price + side * HOME
    if state[S_BEST_BID + ask] < WIDTH:
        _shift(memory, side_row, (anchor - state[S_ANCHOR_BID + ask]) * side)
    state[S_ANCHOR_BID + ask] = anchor
    # What is near now comes in from afar.
    entries = heaps_of(memory)[side_row]
    far = far_of(memory)
    while state[S_FAR_BIDS + ask] > 0:
        at = entries[0]
        far_price = far[at, F_KEY] if ask else -far[at, F_KEY]
        key = (anchor - far_price) * side
        if key >= WIDTH:
            break
        level = 2 * memory[H_SYMBOLS] * WIDTH + at
        levels[side_row * WIDTH + key] = levels[level]
        set_bit(bits, side_row, key)
        close_far(memory, side_row, level)
    state[S_BEST_BID + ask] = best_key(bits, side_row)
    memory[T_RUN] += 1  # rows of the ladder stand for other prices now, so marks are void


@compiled
def refill(memory: Words, side_row: int) -> None:
    """Move a ladder that ran empty to the best far level. There must be one."""
    far = far_of(memory)
    at = heaps_of(memory)[side_row, 0]
    anchor_at(memory, side_row, far[at, F_KEY] if side_row & 1 else -far[at, F_KEY])


@compiled
def open_level(memory: Words, side_row: int, price: int) -> Any:
    """The row of the level at `price`, made if need be: for prices outside the ladder.

    T_RUN may have grown afterwards, and the best keys have changed.
    """
    state = state_of(memory)[side_row >> 1]
    ask = side_row & 1
    side = SELL if ask else BUY
    best = state[S_BEST_BID + ask]
    key = (state[S_ANCHOR_BID + ask] - price) * side
    if not 0 <= key < WIDTH:
        if key < 0 or best == WIDTH:
            anchor_at(memory, side_row, price)
        elif best > WIDTH >> 1:
            anchor_at(memory, side_row, state[S_ANCHOR_BID + ask] - side * best)
        key = (state[S_ANCHOR_BID + ask] - price) * side
    if 0 <= key < WIDTH:
        return side_row * WIDTH + key
    row = find_far(memory, side_row, price)
    return row if row >= 0 else open_far(memory, side_row, price)


@compiled
def level_at(memory: Words, side_row: int, price: int) -> Any:
    """The row of a level that exists."""
    state = state_of(memory)[side_row >> 1]
    ask = side_row & 1
    key = (state[S_ANCHOR_BID + ask] - price) * (SELL if ask else BUY)
    if 0 <= key < WIDTH:
        return side_row * WIDTH + key
    return find_far(memory, side_row, price)


@compiled
def close_level(memory: Words, side_row: int, row: int) -> None:
    """Take a level that ran empty out of the ladder or from afar; find the side's best again."""
    state = state_of(memory)[side_row >> 1]
    ask = side_row & 1
    if row >= 2 * memory[H_SYMBOLS] * WIDTH:
        close_far(memory, side_row, row)
        return
    bits = bits_of(memory)
    key = row - side_row * WIDTH
    clear_bit(bits, side_row, key)
    if key == state[S_BEST_BID + ask]:
        state[S_BEST_BID + ask] = best_key(bits, side_row)
        if state[S_BEST_BID + ask] == WIDTH and state[S_FAR_BIDS + ask] > 0:
            refill(memory, side_row)


@compiled
def note(memory: Words, symbol: int, side_row: int, row: int, price: int) -> None:
    """Note that a level has changed, and count the update."""
    memory[T_CHANGED] = touch(
        levels_of(memory)[row], changed_of(memory), memory[T_CHANGED], memory[T_RUN], side_row, price
    )
    state_of(memory)[symbol, S_UPDATES] += 1


@compiled
def attach(memory: Words, symbol: int, slot: int) -> None:
    """Put an order at the back of its level."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    state = state_of(memory)
    ask = 1 if orders[slot, O_META] & SELLING else 0
    side_row = 2 * symbol + ask
    price = orders[slot, O_PRICE]
    row = open_level(memory, side_row, price)
    behind = levels[row, TAIL]
    orders[slot, O_NEXT] = 0
    orders[slot, O_PREVIOUS] = behind
    levels[row, TAIL] = slot
    levels[row, LOTS] += orders[slot, O_LOTS]
    if behind != 0:
        orders[behind, O_NEXT] = slot
    else:
        levels[row, HEAD] = slot
        key = row - side_row * WIDTH
        if row < 2 * memory[H_SYMBOLS] * WIDTH:
            set_bit(bits_of(memory), side_row, key)
            state[symbol, S_BEST_BID + ask] = min(state[symbol, S_BEST_BID + ask], key)
    note(memory, symbol, side_row, row, price)


@compiled
def unlink(memory: Words, symbol: int, slot: int) -> None:
    """Take an order out of its level, with what it displays."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    side_row = 2 * symbol + (1 if orders[slot, O_META] & SELLING else 0)
    price = orders[slot, O_PRICE]
    row = level_at(memory, side_row, price)
    before = orders[slot, O_PREVIOUS]
    after = orders[slot, O_NEXT]
    if before != 0:
        orders[before, O_NEXT] = after
    else:
        levels[row, HEAD] = after
    if after != 0:
        orders[after, O_PREVIOUS] = before
    else:
        levels[row, TAIL] = before
    levels[row, LOTS] -= orders[slot, O_LOTS]
    if orders[slot, O_LOTS] != 0:  # else its last trade was noted
        note(memory, symbol, side_row, row, price)
    if levels[row, HEAD] == 0:
        close_level(memory, side_row, row)


@compiled
def depth(memory: Words, side_row: int, out: Matrix) -> Any:
    """How many levels of a side were written to `out` (price, lots), best first, without far ones."""
    levels = levels_of(memory)
    bits = bits_of(memory)
    ask = side_row & 1
    anchor = state_of(memory)[side_row >> 1, S_ANCHOR_BID + ask]
    side = SELL if ask else BUY
    written = 0
    top = bits[side_row, TOP]
    while top != 0 and written < out.shape[0]:
        upper = trailing_zeros(top)
        top &= top - 1
        middle = bits[side_row, MIDDLE + upper]
        while middle != 0 and written < out.shape[0]:
            word = upper << 6 | trailing_zeros(middle)
            middle &= middle - 1
            lower = bits[side_row, word]
            while lower != 0 and written < out.shape[0]:
                key = word << 6 | trailing_zeros(lower)
                lower &= lower - 1
                out[written, 0] = anchor - side * key
                out[written, 1] = levels[side_row * WIDTH + key, LOTS]
                written += 1
    return written
