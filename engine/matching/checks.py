"""What keeps an order out: the reasons for a rejection, in the order RULES.md gives."""

from __future__ import annotations

from typing import Any

from engine.market.batches import BUY, SELL
from engine.matching.book import find_slot, is_full
from engine.matching.compiled import compiled
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    B_FREE,
    H_ACCOUNTS,
    H_ASSETS,
    H_SLOTS,
    H_SYMBOLS,
    ICEBERG,
    LINKED,
    O_LOTS,
    O_META,
    O_PRICE,
    P_BUY_LOTS,
    P_OPEN,
    P_POSITION,
    P_SELL_LOTS,
    POST,
    S_ACCOUNTING,
    S_ANCHOR_BID,
    S_BASE,
    S_BEST_BID,
    S_HIGHEST,
    S_LAST,
    S_LOT_ATOMS,
    S_LOWEST,
    S_NOTIONAL_ATOMS,
    S_PARAMETERS,
    S_PARTS,
    S_PHASE,
    S_QUOTE,
    S_TRAILING,
    SELLING,
    T_NOW,
    WAITING,
    WIDTH,
    X_DISPLAY,
    X_HIDDEN,
    Words,
    balances_of,
    extra_of,
    orders_of,
    positions_of,
    state_of,
)
from engine.matching.orders import (
    AUCTION,
    BAD_DISPLAY,
    BAD_EXPIRY,
    BAD_FLAGS,
    BAD_ID,
    BAD_LINK,
    BAD_LOTS,
    BAD_PRICE,
    BAD_SELF_TRADE,
    BAD_SIDE,
    BAD_TIME_IN_FORCE,
    BAD_TRIGGER,
    BOOK_FULL,
    C_DISPLAY,
    C_EXPIRE,
    C_HEAD,
    C_ID,
    C_LINK,
    C_LOTS,
    C_PARTIES,
    C_PRICE,
    C_TRIGGER,
    CONTINUOUS,
    DECREMENT,
    DUPLICATE_ID,
    FOK,
    GTC,
    GTD,
    INSUFFICIENT_FUNDS,
    LIMIT,
    LINEAR,
    LOT_STEP,
    MARKET,
    MAX_ATOMS,
    MAX_ICEBERG_PARTS,
    MAX_LOTS,
    MAX_OPEN_ORDERS,
    MAX_POSITION_LOTS,
    MAX_PRICE_TICKS,
    MAX_TRAILING,
    MIN_NOTIONAL,
    NO_REASON,
    NOT_OWNER,
    NOT_RESTING,
    NOTIONAL_TOO_LARGE,
    NOTIONAL_TOO_SMALL,
    OFF_LOT,
    OFF_TICK,
    OUTSIDE_BAND,
    POSITION_LIMIT,
    POST_ONLY,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT_LIMIT,
    TICK_STEP,
    TOO_MANY_ORDERS,
    TRAILING_STOP,
    UNACCOUNTED,
    UNKNOWN_ACCOUNT,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
    WOULD_TAKE,
    WOULD_TRIGGER,
    WRONG_PHASE,
)


@compiled
def refusal(memory: Words, commands: Any, at: int) -> Any:
    """Why a command that places an order is refused, 0 if it is not."""
    head = commands[at, C_HEAD]
    kind = head & 0xFF
    symbol = (commands[at, C_PARTIES] << 32) >> 32
    account = commands[at, C_PARTIES] >> 32
    if symbol < 0 or symbol >= memory[H_SYMBOLS]:
        return UNKNOWN_SYMBOL
    if account < 0 or account >= memory[H_ACCOUNTS]:
        return UNKNOWN_ACCOUNT
    reason = _bad_terms(memory, commands, at, symbol, kind)
    if reason != NO_REASON:
        return reason
    state = state_of(memory)[symbol]
    side = (head << 48) >> 56
    tif = (head >> 16) & 0xFF
    flags = (head >> 32) & 0xFFFF
    lots = commands[at, C_LOTS]
    price = commands[at, C_PRICE]
    limited = kind == LIMIT or kind == STOP_LIMIT or kind == TAKE_PROFIT_LIMIT
    rests = kind >= STOP or (kind == LIMIT and (tif == GTC or tif == GTD))
    phase = state[S_PHASE]
    if phase > AUCTION or (phase == AUCTION and not rests):
        return WRONG_PHASE
    if kind == LIMIT and (price < state[S_LOWEST] or price > state[S_HIGHEST]):
        return OUTSIDE_BAND
    if limited and price * lots < state[S_PARAMETERS + MIN_NOTIONAL]:
        return NOTIONAL_TOO_SMALL
    if find_slot(memory, commands[at, C_ID]) != 0:
        return DUPLICATE_ID
    link = commands[at, C_LINK]
    if link != 0:
        partner = find_slot(memory, link) if link > 0 else 0
        if not rests or partner == 0:
            return BAD_LINK
        orders = orders_of(memory)
        meta = orders[partner, O_META]
        if meta >> ACCOUNT_SHIFT != account or meta & LINKED or symbol_of(memory, partner) != symbol:
            return BAD_LINK
    waits = kind >= STOP and kind != TRAILING_STOP and state[S_LAST] > 0
    if waits and _due(kind, side, commands[at, C_TRIGGER], state[S_LAST]):
        return WOULD_TRIGGER
    if flags & POST_ONLY and phase == CONTINUOUS and would_cross(memory, symbol, side, price):
        return WOULD_TAKE
    reason = no_means(memory, symbol, side, account, price if limited else 0, lots, rests, 0)
    if reason != NO_REASON:
        return reason
    if rests:
        display = commands[at, C_DISPLAY]
        parts = parts_of(lots - display, display) if 0 < display < lots else 0
        if is_full(state_of(memory), symbol) or state[S_PARTS] + parts > memory[H_SLOTS]:
            return BOOK_FULL
        if kind == TRAILING_STOP and state[S_TRAILING] == MAX_TRAILING:
            return BOOK_FULL
    return NO_REASON


@compiled
def _bad_terms(memory: Words, commands: Any, at: int, symbol: int, kind: int) -> Any:
    """Why an order's own fields are refused, 0 if they are not; in the order RULES.md gives."""
    state = state_of(memory)[symbol]
    head = commands[at, C_HEAD]
    side = (head << 48) >> 56
    tif = (head >> 16) & 0xFF
    mode = (head >> 24) & 0xFF
    flags = (head >> 32) & 0xFFFF
    lots = commands[at, C_LOTS]
    price = commands[at, C_PRICE]
    display = commands[at, C_DISPLAY]
    limited = kind == LIMIT or kind == STOP_LIMIT or kind == TAKE_PROFIT_LIMIT
    may_rest = tif == GTC or tif == GTD
    if commands[at, C_ID] <= 0:
        return BAD_ID
    if side != BUY and side != SELL:
        return BAD_SIDE
    if tif > GTD or (not limited and tif == FOK) or (kind == MARKET and tif == GTD):
        return BAD_TIME_IN_FORCE
    if mode > DECREMENT:
        return BAD_SELF_TRADE
    if flags != 0 and not (flags == POST_ONLY and kind == LIMIT and may_rest):
        return BAD_FLAGS
    if lots < 1 or lots > MAX_LOTS:
        return BAD_LOTS
    if lots % state[S_PARAMETERS + LOT_STEP] != 0:
        return OFF_LOT
    if limited and (price < 1 or price > MAX_PRICE_TICKS):
        return BAD_PRICE
    if limited and price % state[S_PARAMETERS + TICK_STEP] != 0:
        return OFF_TICK
    if display != 0:
        fits = kind == LIMIT and may_rest and 0 < display <= lots
        if not fits or lots > display * MAX_ICEBERG_PARTS:
            return BAD_DISPLAY
    if kind >= STOP:
        trigger = commands[at, C_TRIGGER]
        if trigger < 1 or trigger > MAX_PRICE_TICKS:
            return BAD_TRIGGER
        if kind != TRAILING_STOP and trigger % state[S_PARAMETERS + TICK_STEP] != 0:
            return BAD_TRIGGER
    if tif == GTD and commands[at, C_EXPIRE] <= memory[T_NOW]:
        return BAD_EXPIRY
    return too_large(memory, symbol, price if limited else 0, lots)


@compiled
def too_large(memory: Words, symbol: int, price: int, lots: int) -> Any:
    """NOTIONAL_TOO_LARGE if the order's money passes MAX_ATOMS, else 0. Price and lots are in range."""
    state = state_of(memory)[symbol]
    if price > 0 and lots > MAX_ATOMS // state[S_NOTIONAL_ATOMS] // price:
        return NOTIONAL_TOO_LARGE
    if lots > MAX_ATOMS // state[S_LOT_ATOMS]:
        return NOTIONAL_TOO_LARGE
    return NO_REASON


@compiled
def _due(kind: int, side: int, trigger: int, last: int) -> Any:
    """Whether the last price sets off this trigger."""
    rises = (kind == STOP or kind == STOP_LIMIT) == (side == BUY)
    return last >= trigger if rises else last <= trigger


@compiled
def no_means(
    memory: Words, symbol: int, side: int, account: int, price: int, lots: int, rests: bool, slot: int
) -> Any:
    """Which limit or balance of the account an order would pass, 0 if none. `price` 0 = no limit.

    `slot` is an order that it replaces, 0 if none.
    """
    state = state_of(memory)[symbol]
    accounting = state[S_ACCOUNTING]
    if accounting == UNACCOUNTED:
        return NO_REASON
    position = positions_of(memory)[symbol * memory[H_ACCOUNTS] + account]
    own = 0
    own_price = 0
    if slot != 0:
        own = open_lots(memory, slot)
        own_price = orders_of(memory)[slot, O_PRICE]
    if rests and position[P_OPEN] >= state[S_PARAMETERS + MAX_OPEN_ORDERS]:
        return TOO_MANY_ORDERS
    if accounting == LINEAR:
        counted = position[P_BUY_LOTS if side == BUY else P_SELL_LOTS] - own
        if side * position[P_POSITION] + counted + lots > state[S_PARAMETERS + MAX_POSITION_LOTS]:
            return POSITION_LIMIT
        return NO_REASON
    balances = balances_of(memory)
    if side == SELL:
        free = balances[account * memory[H_ASSETS] + state[S_BASE], B_FREE]
        needs = (lots - own) * state[S_LOT_ATOMS]
    else:
        free = balances[account * memory[H_ASSETS] + state[S_QUOTE], B_FREE]
        needs = (price * lots - own_price * own) * state[S_NOTIONAL_ATOMS]
        if price == 0:
            return NO_REASON
    return INSUFFICIENT_FUNDS if free < needs else NO_REASON


@compiled
def replace_refusal(memory: Words, commands: Any, at: int) -> Any:
    """Why a REPLACE is refused, 0 if it is not."""
    parties = commands[at, C_PARTIES]
    symbol = (parties << 32) >> 32
    order_id = commands[at, C_ID]
    new_id = commands[at, C_LINK]
    reason = not_yours(memory, symbol, parties >> 32, order_id, new_id < 0)
    if reason != NO_REASON:
        return reason
    slot = find_slot(memory, order_id)
    orders = orders_of(memory)
    extra = extra_of(memory)
    state = state_of(memory)[symbol]
    meta = orders[slot, O_META]
    side = SELL if meta & SELLING else BUY
    asked = (commands[at, C_HEAD] << 48) >> 56
    lots = commands[at, C_LOTS]
    price = commands[at, C_PRICE]
    if meta & WAITING:
        return NOT_RESTING
    if asked != 0 and asked != side:
        return BAD_SIDE
    if lots < 1 or lots > MAX_LOTS:
        return BAD_LOTS
    if lots % state[S_PARAMETERS + LOT_STEP] != 0:
        return OFF_LOT
    if price < 1 or price > MAX_PRICE_TICKS:
        return BAD_PRICE
    if price % state[S_PARAMETERS + TICK_STEP] != 0:
        return OFF_TICK
    parts = 0
    if meta & ICEBERG:
        display = extra[slot, X_DISPLAY]
        if lots > display * MAX_ICEBERG_PARTS:
            return BAD_DISPLAY
        parts = parts_of(max(lots - display, 0), display) - parts_of(extra[slot, X_HIDDEN], display)
    reason = too_large(memory, symbol, price, lots)
    if reason != NO_REASON:
        return reason
    if state[S_PHASE] > AUCTION:
        return WRONG_PHASE
    if price < state[S_LOWEST] or price > state[S_HIGHEST]:
        return OUTSIDE_BAND
    if price * lots < state[S_PARAMETERS + MIN_NOTIONAL]:
        return NOTIONAL_TOO_SMALL
    if new_id != 0 and new_id != order_id and find_slot(memory, new_id) != 0:
        return DUPLICATE_ID
    if meta & POST and state[S_PHASE] == CONTINUOUS and would_cross(memory, symbol, side, price):
        return WOULD_TAKE
    reason = no_means(memory, symbol, side, meta >> ACCOUNT_SHIFT, price, lots, False, slot)
    if reason != NO_REASON:
        return reason
    if state[S_PARTS] + parts > memory[H_SLOTS]:
        return BOOK_FULL
    return NO_REASON


@compiled
def not_yours(memory: Words, symbol: int, account: int, order_id: int, bad: bool) -> Any:
    """Why an account may not touch an order by this id, 0 if it may."""
    if symbol < 0 or symbol >= memory[H_SYMBOLS]:
        return UNKNOWN_SYMBOL
    if account < 0 or account >= memory[H_ACCOUNTS]:
        return UNKNOWN_ACCOUNT
    if order_id <= 0 or bad:
        return BAD_ID
    slot = find_slot(memory, order_id)
    if slot == 0 or symbol_of(memory, slot) != symbol:
        return UNKNOWN_ID
    if orders_of(memory)[slot, O_META] >> ACCOUNT_SHIFT != account:
        return NOT_OWNER
    return NO_REASON


@compiled
def would_cross(memory: Words, symbol: int, side: int, price: int) -> Any:
    """Whether the best order of the other side is at `price` or better."""
    state = state_of(memory)[symbol]
    other = 1 if side == BUY else 0
    best = state[S_BEST_BID + other]
    return best < WIDTH and side * (price - best_price(memory, symbol, other)) >= 0


@compiled
def best_price(memory: Words, symbol: int, ask: int) -> Any:
    """The best price of a side that is not empty."""
    state = state_of(memory)[symbol]
    side = SELL if ask else BUY
    return state[S_ANCHOR_BID + ask] - side * state[S_BEST_BID + ask]


@compiled
def symbol_of(memory: Words, slot: int) -> Any:
    """The symbol whose slot this is."""
    return (slot - 1) // memory[H_SLOTS]


@compiled
def open_lots(memory: Words, slot: int) -> Any:
    """An order's open quantity, hidden included."""
    orders = orders_of(memory)
    lots = orders[slot, O_LOTS]
    if orders[slot, O_META] & ICEBERG:
        lots += extra_of(memory)[slot, X_HIDDEN]
    return lots


@compiled
def parts_of(hidden: int, display: int) -> Any:
    """How often an iceberg with this much hidden will be refreshed."""
    return -(-hidden // display)
