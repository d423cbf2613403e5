"""How orders that are not plain trade, and what trades set off."""

from __future__ import annotations

from typing import Any

from engine.market.batches import BUY, SELL
from engine.matching import heap
from engine.matching.book import level_at, next_key, note, unlink
from engine.matching.checks import symbol_of
from engine.matching.compiled import compiled
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    H_SYMBOLS,
    HEAD,
    ICEBERG,
    LINKED,
    LOTS,
    O_ID,
    O_LOTS,
    O_META,
    O_NEXT,
    O_PREVIOUS,
    O_PRICE,
    S_ANCHOR_BID,
    S_BANDED,
    S_BEST_BID,
    S_FALLING,
    S_FAR_BIDS,
    S_HIGHEST,
    S_LAST,
    S_LOWEST,
    S_PARAMETERS,
    S_PARTS,
    S_RISING,
    S_TRADES,
    S_TRAILING,
    SELLING,
    T_LEVELS_SEEN,
    T_QUEUE_HEAD,
    T_QUEUE_TAIL,
    TAIL,
    WAITING,
    WIDTH,
    X_DISPLAY,
    X_DISTANCE,
    X_EXTREME,
    X_HIDDEN,
    X_KEY,
    X_PARTNER,
    X_PLACE,
    X_SEEN,
    Words,
    bits_of,
    events_of,
    extra_of,
    heap_row,
    heaps_of,
    levels_of,
    orders_of,
    state_of,
)
from engine.matching.lifecycle import cancel, finish, release_partner
from engine.matching.money import affordable, hold, settle
from engine.matching.orders import (
    BAND_DOWN_PPM,
    BAND_UP_PPM,
    DECREMENT,
    E_FEE,
    E_MAKER_FEE,
    E_TRADE,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    MAX_PRICE_TICKS,
    NO_REASON,
    NONE,
    OUT_OF_FUNDS,
    PREVENTED,
    REFRESHED,
    SELF_TRADE,
    TRADED,
    TRIGGERED,
)
from engine.matching.output import put, put_order
from engine.matching.waiting import FALLING, RISING, TRAILING, disarm, next_triggers, trailing_trigger


@compiled
def fillable(memory: Words, symbol: int, side: int, account: int, mode: int, bound: int, lots: int) -> Any:
    """Whether a taker would be filled whole."""
    bits = bits_of(memory)
    levels = levels_of(memory)
    other = 1 if side == BUY else 0
    side_row = 2 * symbol + other
    state = state_of(memory)[symbol]
    key = state[S_BEST_BID + other]
    while key < WIDTH:
        if side * (bound - (state[S_ANCHOR_BID + other] + side * key)) < 0:
            return False
        found, own = takeable(memory, levels[side_row * WIDTH + key, HEAD], account, mode)
        lots -= found
        if lots <= 0 or own:
            return lots <= 0
        key = next_key(bits, side_row, key + 1)
    return lots <= _takeable_far(memory, side_row, side, account, mode, bound)


@compiled
def takeable(memory: Words, slot: int, account: int, mode: int) -> Any:
    """(lots a taker could take of the level that begins with `slot`, whether its own order stops it there)."""
    orders = orders_of(memory)
    extra = extra_of(memory)
    look = memory[T_LEVELS_SEEN] + 1
    memory[T_LEVELS_SEEN] = look
    shown = 0
    hidden = 0
    while slot != 0:
        meta = orders[slot, O_META]
        if meta & LINKED:
            extra[slot, X_SEEN] = look
        if meta & LINKED and _goes_first(memory, extra[slot, X_PARTNER], slot, look):
            pass  # its partner's trade will have canceled it
        elif mode == NONE or meta >> ACCOUNT_SHIFT != account:
            shown += orders[slot, O_LOTS]
            if meta & ICEBERG:
                hidden += extra[slot, X_HIDDEN]
        elif mode != EXPIRE_MAKER:
            return shown, True
        slot = orders[slot, O_NEXT]
    return shown + hidden, False


@compiled
def _goes_first(memory: Words, partner: int, slot: int, look: int) -> Any:
    """Whether a taker reaches an order's partner before it; in the same level, if this look has passed it."""
    orders = orders_of(memory)
    meta = orders[partner, O_META]
    if meta & WAITING or (meta ^ orders[slot, O_META]) & SELLING:
        return False
    further = orders[partner, O_PRICE] - orders[slot, O_PRICE]
    if further != 0:
        return (further < 0) == (meta & SELLING != 0)
    return extra_of(memory)[partner, X_SEEN] == look


@compiled
def _takeable_far(memory: Words, side_row: int, side: int, account: int, mode: int, bound: int) -> Any:
    """Lots that a taker could take of the far levels: two passes, for they are in no order."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    entries = heaps_of(memory)[side_row]
    count = state_of(memory)[side_row >> 1, S_FAR_BIDS + (side_row & 1)]
    ladders = 2 * memory[H_SYMBOLS] * WIDTH
    for place in range(count):
        head = levels[ladders + entries[place], HEAD]
        price = orders[head, O_PRICE]
        if side * (bound - price) >= 0 and takeable(memory, head, account, mode)[1]:
            bound = price  # the best level that stops it is the last one it reaches
    total = 0
    for place in range(count):
        head = levels[ladders + entries[place], HEAD]
        if side * (bound - orders[head, O_PRICE]) >= 0:
            total += takeable(memory, head, account, mode)[0]
    return total


@compiled
def meet(
    memory: Words,
    sequence: int,
    symbol: int,
    side: int,
    order_id: int,
    account: int,
    mode: int,
    capped: bool,
    left: int,
) -> Any:
    """(lots left of the taker, why it goes no further or 0) after meeting the best order of the other side.

    `capped`: a market buy pays from the free balance, as far as that goes.
    """
    orders = orders_of(memory)
    extra = extra_of(memory)
    levels = levels_of(memory)
    state = state_of(memory)[symbol]
    other = 1 if side == BUY else 0
    side_row = 2 * symbol + other
    row = side_row * WIDTH + state[S_BEST_BID + other]
    slot = levels[row, HEAD]
    meta = orders[slot, O_META]
    maker = meta >> ACCOUNT_SHIFT
    price = orders[slot, O_PRICE]
    prevented = mode != NONE and maker == account
    if prevented and mode != DECREMENT:
        if mode != EXPIRE_TAKER:
            cancel(memory, sequence, symbol, slot, SELF_TRADE)
        return left, (NO_REASON if mode == EXPIRE_MAKER else SELF_TRADE)
    lots = min(left, orders[slot, O_LOTS])
    short = False
    if capped and not prevented:
        means = affordable(memory, symbol, account, price)
        short = means < lots
        lots = min(lots, means)
        if lots == 0:
            return left, OUT_OF_FUNDS
    left -= lots
    orders[slot, O_LOTS] -= lots
    levels[row, LOTS] -= lots
    note(memory, symbol, side_row, row, price)
    hidden = extra[slot, X_HIDDEN] if meta & ICEBERG else 0
    event = put(
        memory,
        sequence,
        (PREVENTED if prevented else TRADED) | (side & 0xFF) << 8 | symbol << 32,
        order_id,
        account | maker << 32,
        price,
        lots,
        left,
        orders[slot, O_ID],
        orders[slot, O_LOTS] + hidden,
    )
    if prevented:
        hold(memory, symbol, meta, price, -lots, 0)
    else:
        fees = settle(memory, symbol, side, account, maker, price, lots)
        state[S_TRADES] += 1
        state[S_LAST] = price
        events = events_of(memory)
        events[event, E_FEE] = fees[0]
        events[event, E_MAKER_FEE] = fees[1]
        events[event, E_TRADE] = state[S_TRADES]
    after_fill(memory, sequence, symbol, slot)
    return left, (OUT_OF_FUNDS if short else NO_REASON)


@compiled
def after_fill(memory: Words, sequence: int, symbol: int, slot: int) -> None:
    """What follows a resting order's trade: its partner goes, its next part shows, or it is done."""
    release_partner(memory, sequence, symbol, slot)
    orders = orders_of(memory)
    if orders[slot, O_LOTS] > 0:
        return
    meta = orders[slot, O_META]
    if meta & ICEBERG:
        extra = extra_of(memory)
        hidden = extra[slot, X_HIDDEN]
        if hidden > 0:
            shown = min(hidden, extra[slot, X_DISPLAY])
            extra[slot, X_HIDDEN] = hidden - shown
            state_of(memory)[symbol, S_PARTS] -= 1
            orders[slot, O_LOTS] = shown
            _to_the_back(memory, symbol, slot)
            put_order(memory, sequence, REFRESHED, NO_REASON, symbol, slot, shown, hidden, 0)
            return
    unlink(memory, symbol, slot)
    hold(memory, symbol, meta, orders[slot, O_PRICE], 0, -1)
    finish(memory, symbol, slot)


@compiled
def _to_the_back(memory: Words, symbol: int, slot: int) -> None:
    """Move an order, whose new part its level does not count yet, to the back of the level."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    price = orders[slot, O_PRICE]
    side_row = 2 * symbol + (1 if orders[slot, O_META] & SELLING else 0)
    row = level_at(memory, side_row, price)
    after = orders[slot, O_NEXT]
    if after != 0:
        before = orders[slot, O_PREVIOUS]
        orders[after, O_PREVIOUS] = before
        if before != 0:
            orders[before, O_NEXT] = after
        else:
            levels[row, HEAD] = after
        behind = levels[row, TAIL]
        orders[behind, O_NEXT] = slot
        orders[slot, O_PREVIOUS] = behind
        orders[slot, O_NEXT] = 0
        levels[row, TAIL] = slot
    levels[row, LOTS] += orders[slot, O_LOTS]
    note(memory, symbol, side_row, row, price)


@compiled
def trigger(memory: Words, sequence: int, symbol: int) -> None:
    """Move trailing stops, then queue all orders that the last price sets off."""
    orders = orders_of(memory)
    extra = extra_of(memory)
    heaps = heaps_of(memory)
    state = state_of(memory)[symbol]
    first = heap_row(memory, symbol)
    last = state[S_LAST]
    for place in range(state[S_TRAILING]):
        slot = heaps[first + TRAILING, place]
        extreme = extra[slot, X_EXTREME]
        side = SELL if orders[slot, O_META] & SELLING else BUY
        if extreme == 0 or side * (extreme - last) > 0:
            extra[slot, X_EXTREME] = last
            price = trailing_trigger(side, last, extra[slot, X_DISTANCE])
            extra[slot, X_KEY] = price if side == BUY else -price
            which = RISING if side == BUY else FALLING
            count = state[S_RISING] if side == BUY else state[S_FALLING]
            heap.reorder(heaps[first + which], count, slot, extra, X_KEY, X_PLACE)
    for which in range(2):
        while True:
            if state[S_RISING + which] == 0:
                break
            slot = heaps[first + which, 0]
            if extra[slot, X_KEY] > (last if which == RISING else -last):
                break
            disarm(memory, symbol, slot)
            orders[slot, O_META] |= WAITING  # still: it holds its reserve until it is activated
            orders[slot, O_NEXT] = 0
            if memory[T_QUEUE_HEAD] == 0:
                memory[T_QUEUE_HEAD] = slot
            else:
                orders[memory[T_QUEUE_TAIL], O_NEXT] = slot
            memory[T_QUEUE_TAIL] = slot
            release_partner(memory, sequence, symbol, slot)
    next_triggers(memory, symbol)


@compiled
def activate(memory: Words, sequence: int) -> Any:
    """The slot of the queue's first order, which is now in no level and holds nothing; TRIGGERED."""
    orders = orders_of(memory)
    slot = memory[T_QUEUE_HEAD]
    symbol = symbol_of(memory, slot)
    memory[T_QUEUE_HEAD] = orders[slot, O_NEXT]
    orders[slot, O_META] &= ~WAITING
    lots = orders[slot, O_LOTS]
    hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], -lots, -1)
    put_order(memory, sequence, TRIGGERED, NO_REASON, symbol, slot, lots, 0, 0)
    return slot


@compiled
def set_band(memory: Words, symbol: int) -> None:
    """Work out which prices are allowed now."""
    state = state_of(memory)[symbol]
    last = state[S_LAST]
    up = state[S_PARAMETERS + BAND_UP_PPM]
    down = state[S_PARAMETERS + BAND_DOWN_PPM]
    state[S_BANDED] = up | down
    state[S_LOWEST] = 1
    state[S_HIGHEST] = MAX_PRICE_TICKS
    if last > 0:
        if up > 0:
            state[S_HIGHEST] = min(MAX_PRICE_TICKS, last + last * up // 1_000_000)
        if down > 0:
            state[S_LOWEST] = max(1, last - last * down // 1_000_000)
