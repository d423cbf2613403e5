"""Phases and their auctions, settings, and money in and out: the commands of whoever runs the exchange."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.market.batches import BUY
from engine.matching import heap
from engine.matching.book import note
from engine.matching.checks import open_lots
from engine.matching.compiled import compiled
from engine.matching.layout import (
    A_SUPPLY,
    ACCOUNT_SHIFT,
    B_FREE,
    H_ACCOUNTS,
    H_ASSETS,
    H_SYMBOLS,
    HEAD,
    LOTS,
    O_ID,
    O_LOTS,
    O_META,
    O_PRICE,
    S_ACCOUNTING,
    S_ANCHOR_ASK,
    S_ANCHOR_BID,
    S_BEST_ASK,
    S_BEST_BID,
    S_CAREFUL,
    S_FIRST,
    S_HIGH,
    S_LAST,
    S_OPEN,
    S_PARAMETERS,
    S_PHASE,
    S_TRADES,
    SELLING,
    WAITING,
    WIDTH,
    Words,
    allocate,
    assets_of,
    balances_of,
    events_of,
    levels_of,
    orders_of,
    state_of,
)
from engine.matching.money import settle_auction
from engine.matching.orders import (
    AUCTION,
    BAD_LOTS,
    BAD_PARAMETER,
    BAD_VALUE,
    BAND_DOWN_PPM,
    BAND_UP_PPM,
    C_HEAD,
    C_LOTS,
    C_PARTIES,
    CLOSED,
    COMMAND,
    CONFIGURE,
    CONFIGURED,
    CONTINUOUS,
    DEPOSIT,
    DEPOSITED,
    E_FEE,
    E_MAKER_FEE,
    E_TRADE,
    IN_AUCTION,
    INSUFFICIENT_FUNDS,
    LOT_STEP,
    MAKER_PPM,
    MAX_ATOMS,
    MAX_LOTS,
    MAX_SUPPLY,
    MIN_NOTIONAL,
    NO_REASON,
    PARAMETERS,
    PHASE_CHANGED,
    SPOT,
    TAKER_PPM,
    TICK_STEP,
    TRADED,
    UNKNOWN_ACCOUNT,
    UNKNOWN_ASSET,
    UNKNOWN_SYMBOL,
    WITHDRAW,
    WITHDRAWN,
    WRONG_PHASE,
)
from engine.matching.output import put, reject
from engine.matching.trading import after_fill, set_band

MAX_FEE_PPM: Final = 100_000
MAX_BAND_UP_PPM: Final = 4_000_000
MAX_BAND_DOWN_PPM: Final = 1_000_000


@compiled
def administer(memory: Words, sequence: int, commands: Any, at: int) -> Any:
    """Do a PHASE, CONFIGURE, DEPOSIT or WITHDRAW, or reject it; the symbol that has entered continuous
    trading, else -1."""
    kind = commands[at, C_HEAD] & 0xFF
    place = (commands[at, C_PARTIES] << 32) >> 32
    if kind == DEPOSIT or kind == WITHDRAW:
        reason = _move_money(memory, sequence, commands, at, kind)
    elif place < 0 or place >= memory[H_SYMBOLS]:
        reason = UNKNOWN_SYMBOL
    elif kind == CONFIGURE:
        reason = _configure(memory, sequence, commands, at, place)
    else:
        reason = _change_phase(memory, sequence, commands, at, place)
        if reason == NO_REASON and state_of(memory)[place, S_PHASE] == CONTINUOUS:
            return place
    if reason != NO_REASON:
        reject(memory, sequence, commands, at, reason)
    return -1


@compiled
def _move_money(memory: Words, sequence: int, commands: Any, at: int, kind: int) -> Any:
    asset = (commands[at, C_PARTIES] << 32) >> 32
    account = commands[at, C_PARTIES] >> 32
    atoms = commands[at, C_LOTS]
    if asset < 0 or asset >= memory[H_ASSETS]:
        return UNKNOWN_ASSET
    if account < 0 or account >= memory[H_ACCOUNTS]:
        return UNKNOWN_ACCOUNT
    if atoms < 1 or atoms > MAX_ATOMS:
        return BAD_LOTS
    balance = balances_of(memory)[account * memory[H_ASSETS] + asset]
    supply = assets_of(memory)[asset]
    event = DEPOSITED
    if kind == WITHDRAW:
        if balance[B_FREE] < atoms:
            return INSUFFICIENT_FUNDS
        event = WITHDRAWN
        balance[B_FREE] -= atoms
        supply[A_SUPPLY] -= atoms
    else:
        if supply[A_SUPPLY] > MAX_SUPPLY - atoms:
            return BAD_LOTS
        balance[B_FREE] += atoms
        supply[A_SUPPLY] += atoms
    put(memory, sequence, event | asset << 32, 0, account, 0, atoms, balance[B_FREE], 0, 0)
    return NO_REASON


@compiled
def look_closely(memory: Words, symbol: int) -> None:
    """Note whether plain orders must be looked at closely."""
    state = state_of(memory)[symbol]
    steps = (state[S_PARAMETERS + TICK_STEP] - 1) | (state[S_PARAMETERS + LOT_STEP] - 1)
    state[S_CAREFUL] = state[S_PHASE] | steps


@compiled
def _configure(memory: Words, sequence: int, commands: Any, at: int, symbol: int) -> Any:
    parameter = commands[at, C_HEAD] >> 48
    value = commands[at, C_LOTS]
    least = 0
    most = MAX_LOTS
    if parameter < 0 or parameter >= PARAMETERS:
        return BAD_PARAMETER
    if parameter == MIN_NOTIONAL:
        most = MAX_ATOMS
    elif parameter == BAND_UP_PPM:
        most = MAX_BAND_UP_PPM
    elif parameter == BAND_DOWN_PPM:
        most = MAX_BAND_DOWN_PPM
    elif parameter == MAKER_PPM or parameter == TAKER_PPM:
        # Spot fees are taken of two assets: a rebate in one would not be paid by the fee in the other.
        least = 0 if state_of(memory)[symbol, S_ACCOUNTING] == SPOT else -MAX_FEE_PPM
        most = MAX_FEE_PPM
    else:
        least = 1
    if value < least or value > most:
        return BAD_VALUE
    state_of(memory)[symbol, S_PARAMETERS + parameter] = value
    look_closely(memory, symbol)
    set_band(memory, symbol)
    put(memory, sequence, CONFIGURED | parameter << 24 | symbol << 32, 0, 0, 0, value, 0, 0, 0)
    return NO_REASON


@compiled
def _change_phase(memory: Words, sequence: int, commands: Any, at: int, symbol: int) -> Any:
    state = state_of(memory)[symbol]
    phase = commands[at, C_HEAD] >> 48
    if phase < CONTINUOUS or phase > CLOSED:
        return BAD_VALUE
    before = state[S_PHASE]
    if phase == before:
        return WRONG_PHASE
    state[S_PHASE] = phase
    look_closely(memory, symbol)
    price = 0
    lots = 0
    if phase == CONTINUOUS or (phase == CLOSED and before == AUCTION):
        price, lots = clearing(memory, symbol)
    put(memory, sequence, PHASE_CHANGED | phase << 24 | symbol << 32, 0, 0, price, lots, 0, 0, 0)
    if lots > 0:
        _uncross(memory, sequence, symbol, price)
    set_band(memory, symbol)
    return NO_REASON


@compiled
def clearing(memory: Words, symbol: int) -> Any:
    """(price at which most would trade, how much), 0, 0 if nothing would."""
    orders = orders_of(memory)
    state = state_of(memory)[symbol]
    if state[S_BEST_BID] == WIDTH or state[S_BEST_ASK] == WIDTH:
        return 0, 0
    if state[S_ANCHOR_BID] - state[S_BEST_BID] < state[S_ANCHOR_ASK] + state[S_BEST_ASK]:
        return 0, 0
    slots = np.empty(state[S_OPEN], np.int64)
    prices = np.zeros((state[S_OPEN], 3), np.int64)  # tie, price, place
    entries = np.empty(state[S_OPEN], np.int64)
    count = 0
    buys = 0
    for slot in range(state[S_FIRST], state[S_HIGH]):
        if orders[slot, O_ID] != 0 and not orders[slot, O_META] & WAITING:
            slots[count] = slot
            prices[count, 1] = orders[slot, O_PRICE]
            heap.push(entries, count, count, prices, 1, 2)
            count += 1
            if not orders[slot, O_META] & SELLING:
                buys += open_lots(memory, slot)
    sells = 0
    best = 0
    volume = 0
    surplus = 0
    away = 0
    while count > 0:
        # All orders at the next price up: sells join before it is judged, buys leave after.
        price = prices[entries[0], 1]
        leaving = 0
        while count > 0 and prices[entries[0], 1] == price:
            first = entries[0]
            heap.remove(entries, count, first, prices, 1, 2)
            count -= 1
            lots = open_lots(memory, slots[first])
            if orders[slots[first], O_META] & SELLING:
                sells += lots
            else:
                leaving += lots
        trades = min(buys, sells)
        over = abs(buys - sells)
        distance = abs(price - state[S_LAST]) if state[S_LAST] > 0 else 0
        if trades > volume or (
            trades == volume > 0 and (over < surplus or (over == surplus and distance < away))
        ):
            best, volume, surplus, away = price, trades, over, distance
        buys -= leaving
    return best, volume


@compiled
def _uncross(memory: Words, sequence: int, symbol: int, clearing_price: int) -> None:
    """Trade best bid with best ask until they do not cross: at the clearing price, or, where canceled partners
    left orders that both lie beyond it, at the nearest price that suits both."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    events = events_of(memory)
    state = state_of(memory)[symbol]
    side_row = 2 * symbol
    while state[S_BEST_BID] < WIDTH and state[S_BEST_ASK] < WIDTH:
        bid_row = side_row * WIDTH + state[S_BEST_BID]
        ask_row = (side_row + 1) * WIDTH + state[S_BEST_ASK]
        buy = levels[bid_row, HEAD]
        sell = levels[ask_row, HEAD]
        limit = orders[buy, O_PRICE]
        if limit < orders[sell, O_PRICE]:
            break
        price = min(max(clearing_price, orders[sell, O_PRICE]), limit)
        lots = min(orders[buy, O_LOTS], orders[sell, O_LOTS])
        orders[buy, O_LOTS] -= lots
        orders[sell, O_LOTS] -= lots
        levels[bid_row, LOTS] -= lots
        levels[ask_row, LOTS] -= lots
        note(memory, symbol, side_row, bid_row, limit)
        note(memory, symbol, side_row + 1, ask_row, orders[sell, O_PRICE])
        buyer = orders[buy, O_META] >> ACCOUNT_SHIFT
        seller = orders[sell, O_META] >> ACCOUNT_SHIFT
        sell_id = orders[sell, O_ID]
        event = put(
            memory,
            sequence,
            TRADED | (BUY & 0xFF) << 8 | IN_AUCTION << 24 | symbol << 32,
            orders[buy, O_ID],
            buyer | seller << 32,
            price,
            lots,
            open_lots(memory, buy),
            sell_id,
            open_lots(memory, sell),
        )
        fee, seller_fee = settle_auction(memory, symbol, buyer, seller, limit, price, lots)
        state[S_TRADES] += 1
        state[S_LAST] = price
        events[event, E_FEE] = fee
        events[event, E_MAKER_FEE] = seller_fee
        events[event, E_TRADE] = state[S_TRADES]
        after_fill(memory, sequence, symbol, buy)
        if orders[sell, O_ID] == sell_id:  # else it went as the buy order's partner
            after_fill(memory, sequence, symbol, sell)


def warm_up() -> None:
    """Compile, or load from the cache, what this module does: beside the kernel, which would compile it itself."""
    administer(allocate(1, 1, 1, 1), 0, np.zeros((1, COMMAND.itemsize // 8), np.int64), 0)
