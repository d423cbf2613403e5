"""How orders that are not plain come, change and go."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.market.batches import SELL
from engine.matching import heap
from engine.matching.book import (
    attach,
    find_slot,
    forget,
    free_slot,
    level_at,
    note,
    remember,
    take_slot,
    unlink,
)
from engine.matching.checks import not_yours, open_lots, parts_of, replace_refusal, symbol_of
from engine.matching.compiled import compiled
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    DATED,
    H_ACCOUNTS,
    H_SYMBOLS,
    ICEBERG,
    LINKED,
    LOTS,
    NEVER,
    O_ID,
    O_LOTS,
    O_META,
    O_PRICE,
    O_SEQUENCE,
    POST,
    S_FIRST,
    S_HIGH,
    S_OPEN,
    S_PARAMETERS,
    S_PARTS,
    SELF_TRADE_SHIFT,
    SELLING,
    SPECIAL,
    T_CHANGED,
    T_EVENTS,
    T_EXPIRIES,
    T_NEXT_EXPIRY,
    T_NOW,
    WAITING,
    X_DISPLAY,
    X_EXPIRY,
    X_EXPIRY_PLACE,
    X_HIDDEN,
    X_KIND,
    X_PARTNER,
    X_SEQUENCE,
    X_SYMBOL,
    X_TIF,
    Words,
    events_of,
    expiries_of,
    extra_of,
    levels_of,
    orders_of,
    state_of,
)
from engine.matching.money import hold
from engine.matching.orders import (
    ALL_CANCELED,
    AMENDED,
    BAD_LOTS,
    BY_CANCEL_ALL,
    C_DISPLAY,
    C_EXPIRE,
    C_HEAD,
    C_ID,
    C_LINK,
    C_LOTS,
    C_PARTIES,
    C_PRICE,
    CANCELED,
    E_MAKER,
    EXPIRED,
    GTD,
    LIMIT,
    LOT_STEP,
    NO_REASON,
    NOT_RESTING,
    OFF_LOT,
    PARTNER,
    POST_ONLY,
    REPLACED,
    STOP_LIMIT,
    TAKE_PROFIT_LIMIT,
    UNKNOWN_ACCOUNT,
    UNKNOWN_SYMBOL,
)
from engine.matching.output import put, put_order, reject
from engine.matching.waiting import disarm


@compiled
def prepare(memory: Words, sequence: int, commands: Any, at: int) -> Any:
    """The slot of a new order that may rest or wait, entered with all its terms; it is in no level yet."""
    head = commands[at, C_HEAD]
    kind = head & 0xFF
    tif = (head >> 16) & 0xFF
    symbol = (commands[at, C_PARTIES] << 32) >> 32
    lots = commands[at, C_LOTS]
    display = commands[at, C_DISPLAY]
    link = commands[at, C_LINK]
    slot = take_slot(memory, symbol)
    orders = orders_of(memory)
    extra = extra_of(memory)
    meta = (commands[at, C_PARTIES] >> 32) << ACCOUNT_SHIFT | ((head >> 24) & 0xFF) << SELF_TRADE_SHIFT
    if (head << 48) >> 56 == SELL:
        meta |= SELLING
    if (head >> 32) & POST_ONLY:
        meta |= POST
    extra[slot] = 0
    extra[slot, X_SEQUENCE] = sequence
    extra[slot, X_SYMBOL] = symbol
    extra[slot, X_KIND] = kind
    extra[slot, X_TIF] = tif
    if 0 < display < lots:
        meta |= ICEBERG
        extra[slot, X_DISPLAY] = display
    if tif == GTD:
        meta |= DATED
        extra[slot, X_EXPIRY] = commands[at, C_EXPIRE]
        count = memory[T_EXPIRIES]
        entries = expiries_of(memory)[0]
        heap.push(entries, count, slot, extra, X_EXPIRY, X_EXPIRY_PLACE)
        memory[T_EXPIRIES] = count + 1
        memory[T_NEXT_EXPIRY] = extra[entries[0], X_EXPIRY]
    if link != 0:
        partner = find_slot(memory, link)
        if not orders[partner, O_META] & SPECIAL:
            extra[partner] = 0
        meta |= LINKED
        orders[partner, O_META] |= LINKED
        extra[partner, X_PARTNER] = slot
        extra[slot, X_PARTNER] = partner
    limited = kind == LIMIT or kind == STOP_LIMIT or kind == TAKE_PROFIT_LIMIT
    orders[slot, O_ID] = commands[at, C_ID]
    orders[slot, O_LOTS] = lots
    orders[slot, O_META] = meta
    orders[slot, O_PRICE] = commands[at, C_PRICE] if limited else 0
    orders[slot, O_SEQUENCE] = sequence
    remember(memory, commands[at, C_ID], slot)
    return slot


@compiled
def rest(memory: Words, symbol: int, slot: int, lots: int) -> Any:
    """What an order displays that now rests with `lots` in all, at its price, at the back of its level."""
    orders = orders_of(memory)
    shown = lots
    if orders[slot, O_META] & ICEBERG:
        extra = extra_of(memory)
        shown = min(lots, extra[slot, X_DISPLAY])
        extra[slot, X_HIDDEN] = lots - shown
        state_of(memory)[symbol, S_PARTS] += parts_of(lots - shown, extra[slot, X_DISPLAY])
    orders[slot, O_LOTS] = shown
    hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], lots, 1)
    attach(memory, symbol, slot)
    return shown


@compiled
def withdraw(memory: Words, symbol: int, slot: int) -> None:
    """Take a resting order out of its level and of all counts; it keeps its slot, id and terms."""
    orders = orders_of(memory)
    lots = open_lots(memory, slot)
    hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], -lots, -1)
    unlink(memory, symbol, slot)
    drop_hidden(memory, symbol, slot)
    orders[slot, O_LOTS] = lots


@compiled
def drop_hidden(memory: Words, symbol: int, slot: int) -> None:
    """An iceberg's hidden part is no more."""
    if orders_of(memory)[slot, O_META] & ICEBERG:
        extra = extra_of(memory)
        state_of(memory)[symbol, S_PARTS] -= parts_of(extra[slot, X_HIDDEN], extra[slot, X_DISPLAY])
        extra[slot, X_HIDDEN] = 0


@compiled
def finish(memory: Words, symbol: int, slot: int) -> None:
    """Forget an order that is in no level, has no partner and holds nothing any more."""
    orders = orders_of(memory)
    if orders[slot, O_META] & DATED:
        extra = extra_of(memory)
        entries = expiries_of(memory)[0]
        count = memory[T_EXPIRIES]
        heap.remove(entries, count, slot, extra, X_EXPIRY, X_EXPIRY_PLACE)
        memory[T_EXPIRIES] = count - 1
        memory[T_NEXT_EXPIRY] = extra[entries[0], X_EXPIRY] if count > 1 else NEVER
    free_slot(memory, symbol, slot)


@compiled
def release_partner(memory: Words, sequence: int, symbol: int, slot: int) -> None:
    """Cancel an order's partner, if it has one."""
    orders = orders_of(memory)
    if orders[slot, O_META] & LINKED:
        partner = extra_of(memory)[slot, X_PARTNER]
        if open_lots(memory, partner) == 0:
            return  # the two traded with each other in an auction: it goes first
        orders[slot, O_META] &= ~LINKED
        orders[partner, O_META] &= ~LINKED
        end(memory, sequence, symbol, partner, PARTNER)


@compiled
def end(memory: Words, sequence: int, symbol: int, slot: int, reason: int) -> None:
    """Cancel an open order that has no partner."""
    orders = orders_of(memory)
    lots = open_lots(memory, slot)
    put_order(memory, sequence, CANCELED, reason, symbol, slot, lots, 0, 0)
    if orders[slot, O_META] & WAITING:
        disarm(memory, symbol, slot)
        hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], -lots, -1)
    else:
        withdraw(memory, symbol, slot)
    finish(memory, symbol, slot)


@compiled
def cancel(memory: Words, sequence: int, symbol: int, slot: int, reason: int) -> None:
    """Cancel an open order, then its partner."""
    orders = orders_of(memory)
    partner = 0
    if orders[slot, O_META] & LINKED:
        partner = extra_of(memory)[slot, X_PARTNER]
        orders[slot, O_META] &= ~LINKED
        orders[partner, O_META] &= ~LINKED
    end(memory, sequence, symbol, slot, reason)
    if partner != 0:
        end(memory, sequence, symbol, partner, PARTNER)


@compiled
def cancel_command(memory: Words, sequence: int, commands: Any, at: int) -> None:
    """CANCEL, of any order, or its rejection."""
    parties = commands[at, C_PARTIES]
    symbol = (parties << 32) >> 32
    reason = not_yours(memory, symbol, parties >> 32, commands[at, C_ID], False)
    if reason != NO_REASON:
        reject(memory, sequence, commands, at, reason)
    else:
        cancel(memory, sequence, symbol, find_slot(memory, commands[at, C_ID]), NO_REASON)


@compiled
def cancel_all(memory: Words, sequence: int, commands: Any, at: int) -> None:
    """CANCEL_ALL: the account's orders, oldest first, then their number; or its rejection."""
    parties = commands[at, C_PARTIES]
    symbol = (parties << 32) >> 32
    account = parties >> 32
    if symbol < 0 or symbol >= memory[H_SYMBOLS]:
        reject(memory, sequence, commands, at, UNKNOWN_SYMBOL)
        return
    if account < 0 or account >= memory[H_ACCOUNTS]:
        reject(memory, sequence, commands, at, UNKNOWN_ACCOUNT)
        return
    orders = orders_of(memory)
    state = state_of(memory)[symbol]
    slots = np.empty(state[S_OPEN], np.int64)
    ages = np.zeros((state[S_OPEN], 3), np.int64)  # tie, sequence, place
    entries = np.empty(state[S_OPEN], np.int64)
    count = 0
    for slot in range(state[S_FIRST], state[S_HIGH]):
        if orders[slot, O_ID] != 0 and orders[slot, O_META] >> ACCOUNT_SHIFT == account:
            slots[count] = slot
            ages[count, 1] = orders[slot, O_SEQUENCE]
            heap.push(entries, count, count, ages, 1, 2)
            count += 1
    for left in range(count, 0, -1):
        oldest = entries[0]
        heap.remove(entries, left, oldest, ages, 1, 2)
        if orders[slots[oldest], O_ID] != 0:  # else it went with its partner
            cancel(memory, sequence, symbol, slots[oldest], BY_CANCEL_ALL)
    put(memory, sequence, ALL_CANCELED | symbol << 32, 0, account, 0, count, 0, 0, 0)


@compiled
def amend(memory: Words, sequence: int, commands: Any, at: int) -> None:
    """AMEND: less quantity, same place; or its rejection."""
    parties = commands[at, C_PARTIES]
    symbol = (parties << 32) >> 32
    lots = commands[at, C_LOTS]
    reason = not_yours(memory, symbol, parties >> 32, commands[at, C_ID], False)
    slot = find_slot(memory, commands[at, C_ID]) if reason == NO_REASON else 0
    orders = orders_of(memory)
    if reason == NO_REASON:
        if orders[slot, O_META] & WAITING:
            reason = NOT_RESTING
        elif lots < 1 or lots >= open_lots(memory, slot):
            reason = BAD_LOTS
        elif lots % state_of(memory)[symbol, S_PARAMETERS + LOT_STEP] != 0:
            reason = OFF_LOT
    if reason != NO_REASON:
        reject(memory, sequence, commands, at, reason)
        return
    less = open_lots(memory, slot) - lots
    shown = min(orders[slot, O_LOTS], lots)
    if orders[slot, O_META] & ICEBERG:
        extra = extra_of(memory)
        drop_hidden(memory, symbol, slot)
        extra[slot, X_HIDDEN] = lots - shown
        state_of(memory)[symbol, S_PARTS] += parts_of(lots - shown, extra[slot, X_DISPLAY])
    hold(memory, symbol, orders[slot, O_META], orders[slot, O_PRICE], -less, 0)
    side_row = 2 * symbol + (1 if orders[slot, O_META] & SELLING else 0)
    row = level_at(memory, side_row, orders[slot, O_PRICE])
    levels_of(memory)[row, LOTS] -= orders[slot, O_LOTS] - shown
    orders[slot, O_LOTS] = shown
    note(memory, symbol, side_row, row, orders[slot, O_PRICE])
    put_order(memory, sequence, AMENDED, NO_REASON, symbol, slot, less, lots, shown)


@compiled
def replace_special(memory: Words, sequence: int, commands: Any, at: int) -> Any:
    """The slot of an order taken out to be entered again with new terms, REPLACED; 0 if it was refused."""
    reason = replace_refusal(memory, commands, at)
    if reason != NO_REASON:
        reject(memory, sequence, commands, at, reason)
        return 0
    order_id = commands[at, C_ID]
    new_id = commands[at, C_LINK]
    slot = find_slot(memory, order_id)
    symbol = symbol_of(memory, slot)
    orders = orders_of(memory)
    withdraw(memory, symbol, slot)
    if not orders[slot, O_META] & SPECIAL:
        extra_of(memory)[slot] = 0  # a plain order's are not kept
    if new_id != 0 and new_id != order_id:
        forget(memory, order_id)
        remember(memory, new_id, slot)
        orders[slot, O_ID] = new_id
    orders[slot, O_PRICE] = commands[at, C_PRICE]
    orders[slot, O_LOTS] = commands[at, C_LOTS]
    row = put_order(memory, sequence, REPLACED, NO_REASON, symbol, slot, commands[at, C_LOTS], 0, 0)
    events_of(memory)[row, E_MAKER] = order_id
    return slot


@compiled
def expire(memory: Words, sequence: int, room: int) -> Any:
    """Cancel what is due; False if `room` event rows are too few for all of it."""
    extra = extra_of(memory)
    while memory[T_NEXT_EXPIRY] <= memory[T_NOW]:
        if room - memory[T_EVENTS] < 2 or room - memory[T_CHANGED] < 2:
            return False
        slot = expiries_of(memory)[0, 0]
        cancel(memory, sequence, extra[slot, X_SYMBOL], slot, EXPIRED)
    return True
