"""Orders that wait for a trigger: two heaps a symbol, and a list of its trailing stops."""

from __future__ import annotations

from typing import Any, Final

from engine.market.batches import BUY, SELL
from engine.matching import heap
from engine.matching.compiled import compiled
from engine.matching.layout import (
    NEVER,
    O_LOTS,
    O_META,
    O_PRICE,
    S_FALL,
    S_FALLING,
    S_LAST,
    S_RISE,
    S_RISING,
    S_TRAILING,
    S_WAITING,
    SELLING,
    WAITING,
    X_DISTANCE,
    X_EXTREME,
    X_KEY,
    X_KIND,
    X_PLACE,
    X_TRAILING_PLACE,
    Words,
    events_of,
    extra_of,
    heap_row,
    heaps_of,
    orders_of,
    state_of,
)
from engine.matching.money import hold
from engine.matching.orders import ARMED, E_PRICE, NO_REASON, STOP, STOP_LIMIT, TRAILING_STOP
from engine.matching.output import put_order

RISING: Final = 0  # heaps of a symbol, after those of all sides
FALLING: Final = 1
TRAILING: Final = 2


@compiled
def arm(memory: Words, sequence: int, symbol: int, slot: int, trigger: int) -> None:
    """Let a prepared order wait for its trigger (of a trailing stop: the distance)."""
    orders = orders_of(memory)
    extra = extra_of(memory)
    state = state_of(memory)[symbol]
    kind = extra[slot, X_KIND]
    side = SELL if orders[slot, O_META] & SELLING else BUY
    orders[slot, O_META] |= WAITING
    rises = (kind == STOP or kind == STOP_LIMIT or kind == TRAILING_STOP) == (side == BUY)
    price = trigger
    if kind == TRAILING_STOP:
        extra[slot, X_DISTANCE] = trigger
        extra[slot, X_EXTREME] = state[S_LAST]
        price = trailing_trigger(side, state[S_LAST], trigger)
        listed = heaps_of(memory)[heap_row(memory, symbol) + TRAILING]
        listed[state[S_TRAILING]] = slot
        extra[slot, X_TRAILING_PLACE] = state[S_TRAILING]
        state[S_TRAILING] += 1
    extra[slot, X_KEY] = price if rises else -price
    if price == 0:
        extra[slot, X_KEY] = NEVER
    which = RISING if rises else FALLING
    count = S_RISING if rises else S_FALLING
    entries = heaps_of(memory)[heap_row(memory, symbol) + which]
    heap.push(entries, state[count], slot, extra, X_KEY, X_PLACE)
    state[count] += 1
    state[S_WAITING] += 1
    next_triggers(memory, symbol)
    hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], orders[slot, O_LOTS], 1)
    row = put_order(memory, sequence, ARMED, NO_REASON, symbol, slot, orders[slot, O_LOTS], 0, 0)
    events_of(memory)[row, E_PRICE] = price


@compiled
def disarm(memory: Words, symbol: int, slot: int) -> None:
    """Take a waiting order out of what is watched."""
    orders = orders_of(memory)
    extra = extra_of(memory)
    state = state_of(memory)[symbol]
    kind = extra[slot, X_KIND]
    first = heap_row(memory, symbol)
    heaps = heaps_of(memory)
    selling = orders[slot, O_META] & SELLING != 0
    rises = (kind == STOP or kind == STOP_LIMIT or kind == TRAILING_STOP) != selling
    count = S_RISING if rises else S_FALLING
    heap.remove(heaps[first + (RISING if rises else FALLING)], state[count], slot, extra, X_KEY, X_PLACE)
    state[count] -= 1
    state[S_WAITING] -= 1
    if kind == TRAILING_STOP:
        listed = heaps[first + TRAILING]
        state[S_TRAILING] -= 1
        moved = listed[state[S_TRAILING]]
        place = extra[slot, X_TRAILING_PLACE]
        listed[place] = moved
        extra[moved, X_TRAILING_PLACE] = place
    next_triggers(memory, symbol)
    orders[slot, O_META] &= ~WAITING


@compiled
def trailing_trigger(side: int, extreme: int, distance: int) -> Any:
    """Where a trailing stop triggers, 0 before any trade."""
    if extreme == 0:
        return 0
    return max(1, extreme - distance) if side == SELL else extreme + distance


@compiled
def next_triggers(memory: Words, symbol: int) -> None:
    """Note the nearest triggers for the hot path."""
    extra = extra_of(memory)
    state = state_of(memory)[symbol]
    heaps = heaps_of(memory)
    first = heap_row(memory, symbol)
    state[S_RISE] = extra[heaps[first + RISING, 0], X_KEY] if state[S_RISING] > 0 else NEVER
    state[S_FALL] = -extra[heaps[first + FALLING, 0], X_KEY] if state[S_FALLING] > 0 else -NEVER
