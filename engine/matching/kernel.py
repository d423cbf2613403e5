"""The compiled hot path: one flat loop over commands; plain limit orders, cancels and replaces are done in it,
everything else by functions out of line.

Compiled code does not check array bounds: everything a command brings is checked before it is used. What a
command may put out at most is known before it starts (`need`), so events never overflow: the loop stops early
and goes on in the next run.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.market.batches import BUY, SELL
from engine.matching.administration import administer
from engine.matching.book import (
    best_key,
    clear_bit,
    close_far,
    depth,
    find,
    find_far,
    forget_row,
    open_level,
    refill,
    set_bit,
    touch,
)
from engine.matching.checks import refusal, would_cross
from engine.matching.compiled import compiled
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    B_FREE,
    B_RESERVED,
    H_ACCOUNTS,
    H_ASSETS,
    H_KEY,
    H_ROOM,
    H_SLOTS,
    H_SYMBOLS,
    HEAD,
    LOTS,
    O_ID,
    O_LOTS,
    O_META,
    O_NEXT,
    O_PREVIOUS,
    O_PRICE,
    O_SEQUENCE,
    P_BUY_LOTS,
    P_OPEN,
    P_POSITION,
    P_SELL_LOTS,
    POST,
    S_ACCOUNTING,
    S_ANCHOR_BID,
    S_BANDED,
    S_BASE,
    S_BEST_BID,
    S_CAREFUL,
    S_END,
    S_FALL,
    S_FAR_BIDS,
    S_FIRST,
    S_FREE,
    S_HIGH,
    S_HIGHEST,
    S_LAST,
    S_LOT_ATOMS,
    S_LOWEST,
    S_MOST_LOTS,
    S_MOST_NOTIONAL,
    S_NOTIONAL_ATOMS,
    S_OPEN,
    S_PARAMETERS,
    S_PARTS,
    S_PHASE,
    S_QUOTE,
    S_RISE,
    S_TRADES,
    S_TRAILING,
    S_UPDATES,
    SELF_TRADE_MASK,
    SELF_TRADE_SHIFT,
    SELLING,
    SPECIAL,
    T_CHANGED,
    T_EVENTS,
    T_NEXT_EXPIRY,
    T_NOW,
    T_QUEUE_HEAD,
    T_RUN,
    T_SEQUENCE,
    TAIL,
    WIDTH,
    X_TIF,
    Words,
    allocate,
    balances_of,
    bits_of,
    changed_of,
    events_of,
    extra_of,
    ids_of,
    levels_of,
    orders_of,
    positions_of,
    state_of,
)
from engine.matching.lifecycle import (
    amend,
    cancel_all,
    cancel_command,
    expire,
    finish,
    prepare,
    release_partner,
    replace_special,
    rest,
)
from engine.matching.money import settle
from engine.matching.orders import (
    ACCEPTED,
    AMEND,
    BAD_KIND,
    C_DISPLAY,
    C_HEAD,
    C_ID,
    C_LINK,
    C_LOTS,
    C_PARTIES,
    C_PRICE,
    C_TRIGGER,
    C_TS,
    CANCEL,
    CANCEL_ALL,
    CANCELED,
    COMMAND,
    CONTINUOUS,
    DECREMENT,
    E_FEE,
    E_HEAD,
    E_ID,
    E_LOTS,
    E_MAKER,
    E_MAKER_FEE,
    E_MAKER_REMAINING,
    E_PARTIES,
    E_PRICE,
    E_REMAINING,
    E_SEQUENCE,
    E_TRADE,
    FOK,
    FOK_UNFILLED,
    GTC,
    IOC,
    IOC_REMAINDER,
    LIMIT,
    MARKET,
    MAX_OPEN_ORDERS,
    MAX_POSITION_LOTS,
    MAX_PRICE_TICKS,
    MAX_TS_NS,
    MIN_NOTIONAL,
    NO_REASON,
    NONE,
    PHASE,
    REPLACE,
    REPLACED,
    SPOT,
    STOP,
    TIME,
    TRADED,
    TRAILING_STOP,
    UNACCOUNTED,
    WITHDRAW,
    Matrix,
)
from engine.matching.output import put, reject
from engine.matching.trading import activate, fillable, meet, set_band, trigger
from engine.matching.waiting import arm

PLAIN_HEAD: Final = 0xFFFF << 32 | 0xFE << 16  # flags, and times in force other than GTC and IOC
COMMAND_WORDS: Final = COMMAND.itemsize // 8
SMALL: Final = 30  # bits of a price and a quantity whose product needs no closer look


@compiled
def take_special(memory: Words, sequence: int, commands: Matrix, at: int) -> Any:
    """(whether an order now enters the book, its slot if it has one) after a command that is not plain.

    What enters is accepted already: its event is the first of the command.
    """
    head = commands[at, C_HEAD]
    kind = head & 0xFF
    tif = (head >> 16) & 0xFF
    side = (head << 48) >> 56
    symbol = (commands[at, C_PARTIES] << 32) >> 32
    account = commands[at, C_PARTIES] >> 32
    if kind == LIMIT or kind == MARKET or STOP <= kind <= TRAILING_STOP:
        reason = refusal(memory, commands, at)
        if reason != NO_REASON:
            reject(memory, sequence, commands, at, reason)
            return False, 0
        if kind >= STOP:
            arm(memory, sequence, symbol, prepare(memory, sequence, commands, at), commands[at, C_TRIGGER])
            return False, 0
        price = commands[at, C_PRICE] if kind == LIMIT else 0
        lots = commands[at, C_LOTS]
        order_id = commands[at, C_ID]
        order = (head & 0xFF00) | symbol << 32
        put(memory, sequence, ACCEPTED | order, order_id, account, price, lots, 0, 0, 0)
        if kind == MARKET or tif == IOC or tif == FOK:
            return True, 0
        slot = prepare(memory, sequence, commands, at)
    elif kind == REPLACE:
        slot = replace_special(memory, sequence, commands, at)
        if slot == 0:
            return False, 0
    else:
        if kind == CANCEL:
            cancel_command(memory, sequence, commands, at)
        elif kind == AMEND:
            amend(memory, sequence, commands, at)
        elif kind == CANCEL_ALL:
            cancel_all(memory, sequence, commands, at)
        elif PHASE <= kind <= WITHDRAW:
            opened = administer(memory, sequence, commands, at)
            if opened >= 0 and state_of(memory)[opened, S_LAST] > 0:
                trigger(memory, sequence, opened)
        elif kind != TIME:
            reject(memory, sequence, commands, at, BAD_KIND)
        return False, 0
    orders = orders_of(memory)
    side = SELL if orders[slot, O_META] & SELLING else BUY
    if state_of(memory)[symbol, S_PHASE] == CONTINUOUS and would_cross(
        memory, symbol, side, orders[slot, O_PRICE]
    ):
        release_partner(memory, sequence, symbol, slot)
    return True, slot


@compiled
def match(memory: Words, commands: Matrix, first: int, last: int, fresh: bool) -> int:
    """How many of `commands[first:last]` were taken: all, unless events may get too many for the run.

    Appends to the run's events and changed levels, or starts a new run if `fresh`. Orders triggered by a
    command are matched before the next one, in the next call if the run is full (T_QUEUE_HEAD is not 0 then).
    25 to 100 ns a command: the more of the books the CPU's cache holds, the less.
    """
    state = state_of(memory)
    orders = orders_of(memory)
    ids = ids_of(memory)
    levels = levels_of(memory)
    bits = bits_of(memory)
    events = events_of(memory)
    changed = changed_of(memory)
    positions = positions_of(memory)
    balances = balances_of(memory)
    symbols = memory[H_SYMBOLS]
    slots = memory[H_SLOTS]
    accounts = memory[H_ACCOUNTS]
    assets = memory[H_ASSETS]
    room = memory[H_ROOM]
    secret = memory[H_KEY]
    if fresh:
        memory[T_EVENTS] = 0
        memory[T_CHANGED] = 0
        memory[T_RUN] += 1
    n_events = memory[T_EVENTS]
    n_changed = memory[T_CHANGED]
    run = memory[T_RUN]
    sequence = memory[T_SEQUENCE]
    now = memory[T_NOW]
    next_expiry = memory[T_NEXT_EXPIRY]
    queued = memory[T_QUEUE_HEAD]
    at = first
    if commands.shape[1] < COMMAND_WORDS or first < 0:
        return 0
    last = min(last, commands.shape[0])
    while True:
        # What comes next: an order that a trade has triggered, else a command. Either it is done with here, or
        # it becomes an order that enters the book, in the variables that follow.
        enters = False
        plain = False  # its place in the book is made inline
        moved = False  # rows of the id table
        meets = True  # it may trade
        capped = False  # it pays as far as its account's balance goes
        held = 0  # the slot it has already
        cause = sequence
        if queued != 0:
            symbol = (queued - 1) // slots
            book = state[symbol]
            need = 3 * (book[S_OPEN] + book[S_PARTS]) + 16
            if room - n_events < need or room - n_changed < need:
                break
            cause = sequence - 1
            ack = n_events
            memory[T_EVENTS] = n_events
            memory[T_CHANGED] = n_changed
            held = activate(memory, cause)
            queued = memory[T_QUEUE_HEAD]
            n_events = memory[T_EVENTS]
            enters = True
        elif at < last:
            head = commands[at, C_HEAD]
            parties = commands[at, C_PARTIES]
            order_id = commands[at, C_ID]
            price = commands[at, C_PRICE]
            left = commands[at, C_LOTS]
            ts = commands[at, C_TS]
            kind = head & 0xFF
            side = (head << 48) >> 56
            symbol = (parties << 32) >> 32
            account = parties >> 32
            known = 0 <= symbol < symbols
            book = state[symbol if known else 0]
            need = 3 * (book[S_OPEN] + book[S_PARTS]) + 16
            if room - n_events < need or room - n_changed < need:
                break
            if ts > now:
                now = min(ts, MAX_TS_NS)
                memory[T_NOW] = now
            if now >= next_expiry:
                memory[T_EVENTS] = n_events
                memory[T_CHANGED] = n_changed
                complete = expire(memory, sequence, room - need)
                n_events = memory[T_EVENTS]
                n_changed = memory[T_CHANGED]
                run = memory[T_RUN]
                next_expiry = memory[T_NEXT_EXPIRY]
                if not complete:
                    break
            at += 1
            sequence += 1
            ack = n_events
            slot = 0  # of the order to take out
            tif = (head >> 16) & 0xFF
            if known and 0 <= account < accounts and order_id > 0:
                # Plain commands: nothing is special about them and every check passes.
                if kind == LIMIT or kind == REPLACE:
                    plain = (
                        head & PLAIN_HEAD == 0
                        and commands[at - 1, C_LINK] == 0
                        and 0 < left <= book[S_MOST_LOTS]
                        and book[S_LOWEST] <= price <= book[S_HIGHEST]
                        and book[S_CAREFUL] == 0
                        and (price | left) >> SMALL == 0
                        and price * left <= book[S_MOST_NOTIONAL]
                        and price * left >= book[S_PARAMETERS + MIN_NOTIONAL]
                    )
                elif kind == CANCEL:
                    plain = True
                if plain:
                    place = find(ids, order_id, secret)
                    accounting = book[S_ACCOUNTING]
                    freed = 0
                    taken = orders[0]
                    if kind == LIMIT:
                        plain = (
                            (side == BUY or side == SELL)
                            and (head >> 24) & 0xFF <= DECREMENT
                            and commands[at - 1, C_DISPLAY] == 0
                            and ids[place, 0] == 0
                            and (book[S_FREE] != 0 or book[S_HIGH] != book[S_END])
                        )
                        meta = account << ACCOUNT_SHIFT | (head >> 24 & 0xFF) << SELF_TRADE_SHIFT
                        if side == SELL:
                            meta |= SELLING
                    else:
                        if ids[place, 0] != 0:
                            slot = ids[place, 1]
                        taken = orders[slot]
                        meta = taken[O_META]
                        freed = taken[O_LOTS]
                        asked = side
                        side = SELL if meta & SELLING else BUY
                        plain = (
                            slot != 0
                            and meta & SPECIAL == 0
                            and meta >> ACCOUNT_SHIFT == account
                            and book[S_FIRST] <= slot < book[S_END]
                            and (kind == CANCEL or (meta & POST == 0 and (asked == side or asked == 0)))
                        )
                    if plain and accounting != UNACCOUNTED:
                        # What the account may; if it passes, what is taken out is released.
                        position = positions[symbol * accounts + account]
                        lots_column = P_BUY_LOTS if side == BUY else P_SELL_LOTS
                        if accounting == SPOT:
                            balance = balances[account * assets + book[S_BASE]]
                            needed = left * book[S_LOT_ATOMS]
                            released = freed * book[S_LOT_ATOMS]
                            if side == BUY:
                                balance = balances[account * assets + book[S_QUOTE]]
                                needed = price * left * book[S_NOTIONAL_ATOMS]
                                released = taken[O_PRICE] * freed * book[S_NOTIONAL_ATOMS]
                            if kind != CANCEL and balance[B_FREE] + released < needed:
                                plain = False
                        elif kind != CANCEL:
                            counted = position[lots_column] - freed + left
                            counted += side * position[P_POSITION]
                            if counted > book[S_PARAMETERS + MAX_POSITION_LOTS]:
                                plain = False
                        if kind == LIMIT:
                            most = book[S_PARAMETERS + MAX_OPEN_ORDERS]
                            if position[P_OPEN] >= most:
                                plain = False
                        elif plain:
                            position[P_OPEN] -= 1
                            position[lots_column] -= freed
                            if accounting == SPOT:
                                balance[B_FREE] += released
                                balance[B_RESERVED] -= released
            if plain:
                event = events[n_events]
                n_events += 1
                order = (side & 0xFF) << 8 | symbol << 32
                event[E_HEAD] = ACCEPTED | order
                event[E_SEQUENCE] = cause
                event[E_ID] = order_id
                event[E_PARTIES] = account
                event[E_PRICE] = price
                event[E_LOTS] = left
                event[E_REMAINING] = 0
                event[E_MAKER] = 0
                event[E_MAKER_REMAINING] = 0
                event[E_FEE] = 0
                event[E_MAKER_FEE] = 0
                event[E_TRADE] = 0
                enters = True
                if kind != LIMIT:
                    # Out of its level.
                    own_price = taken[O_PRICE]
                    ask = 1 if side == SELL else 0
                    side_row = 2 * symbol + ask
                    key = (book[S_ANCHOR_BID + ask] - own_price) * side
                    row = side_row * WIDTH + key
                    if key >= WIDTH:
                        row = find_far(memory, side_row, own_price)
                    level = levels[row]
                    before = taken[O_PREVIOUS]
                    after = taken[O_NEXT]
                    if before != 0:
                        orders[before, O_NEXT] = after
                    else:
                        level[HEAD] = after
                    if after != 0:
                        orders[after, O_PREVIOUS] = before
                    else:
                        level[TAIL] = before
                    level[LOTS] -= freed
                    n_changed = touch(level, changed, n_changed, run, side_row, own_price)
                    book[S_UPDATES] += 1
                    if before == 0 and after == 0:
                        if key < WIDTH:
                            clear_bit(bits, side_row, key)
                            if key == book[S_BEST_BID + ask]:
                                best = best_key(bits, side_row)
                                book[S_BEST_BID + ask] = best
                                if best == WIDTH and book[S_FAR_BIDS + ask] > 0:
                                    refill(memory, side_row)
                                    run = memory[T_RUN]
                        else:
                            close_far(memory, side_row, row)
                            run = memory[T_RUN]
                    if kind == REPLACE:
                        event[E_HEAD] = REPLACED | order
                        event[E_MAKER] = order_id
                        held = slot
                        tif = GTC
                    else:
                        event[E_HEAD] = CANCELED | order
                        event[E_PRICE] = own_price
                        event[E_LOTS] = freed
                        enters = False
                        forget_row(ids, place, secret)
                        taken[O_ID] = 0
                        taken[O_NEXT] = book[S_FREE]
                        book[S_FREE] = slot
                        book[S_OPEN] -= 1
            else:
                memory[T_EVENTS] = n_events
                memory[T_CHANGED] = n_changed
                enters, held = take_special(memory, cause, commands, at - 1)
                queued = memory[T_QUEUE_HEAD]
                next_expiry = memory[T_NEXT_EXPIRY]
                n_events = memory[T_EVENTS]
                n_changed = memory[T_CHANGED]
                run = memory[T_RUN]
                if enters:
                    meets = book[S_PHASE] == CONTINUOUS
                    side = (head << 48) >> 56
                    meta = account << ACCOUNT_SHIFT | (head >> 24 & 0xFF) << SELF_TRADE_SHIFT
                    if kind == MARKET:
                        price = 0
                        tif = IOC
        else:
            break
        if not enters:
            continue
        if held != 0 and not plain:
            meta = orders[held, O_META]
            side = SELL if meta & SELLING else BUY
            order_id = orders[held, O_ID]
            account = meta >> ACCOUNT_SHIFT
            price = orders[held, O_PRICE]
            left = orders[held, O_LOTS]
            tif = IOC if price == 0 else extra_of(memory)[held, X_TIF]
        if price == 0:
            capped = side == BUY and book[S_ACCOUNTING] == SPOT

        # It trades.
        trades = book[S_TRADES]
        mode = (meta >> SELF_TRADE_SHIFT) & SELF_TRADE_MASK
        reason = NO_REASON
        order = (side & 0xFF) << 8 | symbol << 32
        bound = price
        if price == 0:
            bound = MAX_PRICE_TICKS if side == BUY else 1
        if tif == FOK and not fillable(memory, symbol, side, account, mode, bound, left):
            meets = False
            reason = FOK_UNFILLED
        other = 1 if side == BUY else 0
        side_row = 2 * symbol + other
        best = book[S_BEST_BID + other]
        key = (bound - book[S_ANCHOR_BID + other]) * side  # the worst it takes
        while meets and left > 0 and best <= key and best < WIDTH:
            row = side_row * WIDTH + best
            price_here = book[S_ANCHOR_BID + other] + side * best
            level = levels[row]
            slot = level[HEAD]
            lots = level[LOTS]
            special = capped
            while left > 0 and slot != 0 and not special:
                maker = orders[slot]
                maker_meta = maker[O_META]
                maker_account = maker_meta >> ACCOUNT_SHIFT
                if maker_meta & SPECIAL != 0 or (mode != NONE and maker_account == account):
                    special = True
                    break
                resting = maker[O_LOTS]
                traded = min(left, resting)
                left -= traded
                lots -= traded
                trade = book[S_TRADES] + 1
                book[S_TRADES] = trade
                book[S_UPDATES] += 1
                event = events[n_events]
                n_events += 1
                event[E_HEAD] = TRADED | order
                event[E_SEQUENCE] = cause
                event[E_ID] = order_id
                event[E_PARTIES] = account | maker_account << 32
                event[E_PRICE] = price_here
                event[E_LOTS] = traded
                event[E_REMAINING] = left
                event[E_MAKER] = maker[O_ID]
                event[E_MAKER_REMAINING] = resting - traded
                event[E_TRADE] = trade
                fee, maker_fee = settle(memory, symbol, side, account, maker_account, price_here, traded)
                event[E_FEE] = fee
                event[E_MAKER_FEE] = maker_fee
                if traded < resting:
                    maker[O_LOTS] = resting - traded
                    break
                forget_row(ids, find(ids, maker[O_ID], secret), secret)
                moved = True
                after = maker[O_NEXT]
                maker[O_ID] = 0
                maker[O_NEXT] = book[S_FREE]
                book[S_FREE] = slot
                book[S_OPEN] -= 1
                if book[S_ACCOUNTING] != UNACCOUNTED:
                    positions[symbol * accounts + maker_account, P_OPEN] -= 1
                slot = after
            if lots != level[LOTS]:
                book[S_LAST] = price_here
                level[HEAD] = slot
                level[LOTS] = lots
                n_changed = touch(level, changed, n_changed, run, side_row, price_here)
            if slot == 0:
                level[TAIL] = 0
                clear_bit(bits, side_row, best)
                best = best_key(bits, side_row)
                book[S_BEST_BID + other] = best
                if best == WIDTH and book[S_FAR_BIDS + other] > 0:
                    refill(memory, side_row)
                    run = memory[T_RUN]
                    best = book[S_BEST_BID + other]
                    key = (bound - book[S_ANCHOR_BID + other]) * side
                continue
            orders[slot, O_PREVIOUS] = 0
            if not special:
                break
            memory[T_EVENTS] = n_events
            memory[T_CHANGED] = n_changed
            moved = True
            left, reason = meet(memory, cause, symbol, side, order_id, account, mode, capped, left)
            next_expiry = memory[T_NEXT_EXPIRY]
            n_events = memory[T_EVENTS]
            n_changed = memory[T_CHANGED]
            run = memory[T_RUN]
            if reason != NO_REASON:
                break
            best = book[S_BEST_BID + other]
            key = (bound - book[S_ANCHOR_BID + other]) * side

        # What is left rests or is canceled.
        if left == 0:
            if held != 0:
                finish(memory, symbol, held)
                next_expiry = memory[T_NEXT_EXPIRY]
        elif reason != NO_REASON or tif == IOC or tif == FOK:
            event = events[n_events]
            n_events += 1
            if reason == NO_REASON:
                reason = IOC_REMAINDER
            event[E_HEAD] = CANCELED | order | reason << 16
            event[E_SEQUENCE] = cause
            event[E_ID] = order_id
            event[E_PARTIES] = account
            event[E_PRICE] = price
            event[E_LOTS] = left
            event[E_REMAINING] = 0
            event[E_MAKER] = 0
            event[E_MAKER_REMAINING] = 0
            event[E_FEE] = 0
            event[E_MAKER_FEE] = 0
            event[E_TRADE] = 0
            if held != 0:
                finish(memory, symbol, held)
                next_expiry = memory[T_NEXT_EXPIRY]
        elif plain:
            ask = 1 - other
            side_row ^= 1
            key = (book[S_ANCHOR_BID + ask] - price) * side
            row = side_row * WIDTH + key
            if not 0 <= key < WIDTH:
                row = open_level(memory, side_row, price)
                run = memory[T_RUN]
                key = row - side_row * WIDTH
                if not 0 <= key < WIDTH:
                    key = WIDTH
            slot = held
            if slot == 0:
                slot = book[S_FREE]
                if slot != 0:
                    book[S_FREE] = orders[slot, O_NEXT]
                else:
                    slot = book[S_HIGH]
                    book[S_HIGH] = slot + 1
                book[S_OPEN] += 1
                entered = orders[slot]
                entered[O_ID] = order_id
                entered[O_SEQUENCE] = cause
                entered[O_META] = meta
                if moved:
                    place = find(ids, order_id, secret)
                ids[place, 0] = order_id
                ids[place, 1] = slot
            entered = orders[slot]
            level = levels[row]
            behind = level[TAIL]
            entered[O_LOTS] = left
            entered[O_PRICE] = price
            entered[O_NEXT] = 0
            entered[O_PREVIOUS] = behind
            level[TAIL] = slot
            level[LOTS] += left
            if behind != 0:
                orders[behind, O_NEXT] = slot
            else:
                level[HEAD] = slot
                if key < WIDTH:
                    set_bit(bits, side_row, key)
                    book[S_BEST_BID + ask] = min(book[S_BEST_BID + ask], key)
            n_changed = touch(level, changed, n_changed, run, side_row, price)
            book[S_UPDATES] += 1
            events[ack, E_REMAINING] = left
            events[ack, E_MAKER_REMAINING] = left
            accounting = book[S_ACCOUNTING]
            if accounting != UNACCOUNTED:
                position = positions[symbol * accounts + account]
                position[P_OPEN] += 1
                position[P_BUY_LOTS if side == BUY else P_SELL_LOTS] += left
                if accounting == SPOT:
                    if side == BUY:
                        balance = balances[account * assets + book[S_QUOTE]]
                        needed = price * left * book[S_NOTIONAL_ATOMS]
                    else:
                        balance = balances[account * assets + book[S_BASE]]
                        needed = left * book[S_LOT_ATOMS]
                    balance[B_FREE] -= needed
                    balance[B_RESERVED] += needed
        else:
            memory[T_EVENTS] = n_events
            memory[T_CHANGED] = n_changed
            shown = rest(memory, symbol, held, left)
            n_changed = memory[T_CHANGED]
            run = memory[T_RUN]
            events[ack, E_REMAINING] = left
            events[ack, E_MAKER_REMAINING] = shown

        if book[S_TRADES] != trades:
            if book[S_BANDED] != 0:
                set_band(memory, symbol)
            traded_at = book[S_LAST]
            if traded_at >= book[S_RISE] or traded_at <= book[S_FALL] or book[S_TRAILING] > 0:
                memory[T_EVENTS] = n_events
                memory[T_CHANGED] = n_changed
                trigger(memory, cause, symbol)
                queued = memory[T_QUEUE_HEAD]
                next_expiry = memory[T_NEXT_EXPIRY]
                n_events = memory[T_EVENTS]
                n_changed = memory[T_CHANGED]
                run = memory[T_RUN]
    memory[T_EVENTS] = n_events
    memory[T_CHANGED] = n_changed
    memory[T_SEQUENCE] = sequence
    return at - first


def warm_up() -> None:
    """Compile, or load from the cache, every kernel of this module."""
    memory = allocate(1, 1, 1, 1)
    one = np.zeros((1, COMMAND.itemsize // 8), np.int64)
    match(memory, one, 0, 0, True)
    depth(memory, 0, one)
