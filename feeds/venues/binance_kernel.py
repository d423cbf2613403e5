"""Compiled reader of Binance market frames: many frames in, rows out, one call.

It knows depthUpdate, bookTicker, trade and aggTrade, with or without the combined-stream envelope, fields in
any order as long as the symbol precedes the numbers that need its decimals. It does not judge: at the first frame it
cannot take (other kinds, escapes, spaces, too many decimals, anything malformed) it stops, and the patient
decoder in `binance` says what that frame is. So nothing here needs to name an error.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np

from engine.market.batches import BBO, BUY, LEVEL, SELL, TRADE
from feeds.frames import as_text
from feeds.levels import COMMA, OK, OPEN, QUOTE, TOO_MANY, ZERO, scan_decimal, scan_levels

# What a call ends with, in `result`.
NEXT: Final = 0  # the frame to go on with
DELTAS: Final = 1  # rows written, by kind
QUOTES: Final = 2
TRADES: Final = 3
LEVELS: Final = 4
STOPPED: Final = 5  # why: DONE, ODD or FULL
RESULT: Final = 6

DONE: Final = 0
ODD: Final = 1
FULL: Final = 2  # no room for this frame's levels

# Columns of a delta's int64 row. Not a structured dtype: its `tolist` takes several times as long.
D_SYMBOL: Final = 0
D_BIDS: Final = 1
D_FIRST_SEQUENCE: Final = 2
D_LAST_SEQUENCE: Final = 3
D_PREVIOUS_SEQUENCE: Final = 4
D_EVENT_NS: Final = 5
D_RECV_NS: Final = 6
D_FIRST_LEVEL: Final = 7
D_END_LEVEL: Final = 8
DELTA: Final = 9

COLON: Final = 0x3A
BRACE: Final = 0x7B
END_BRACE: Final = 0x7D
BACKSLASH: Final = 0x5C
MAX_MILLIS: Final = (2**63 - 1) // 1_000_000  # above, times are microseconds: spot offers them

TIME_LIMIT: Final = (2**63 - 1) // 1_000  # in microseconds: nanoseconds reach to the year 2262

# Keys, as byte values; "pu" as two bytes.
E_LOW, E_UP, S_LOW, T_LOW, T_UP = ord("e"), ord("E"), ord("s"), ord("t"), ord("T")
U_LOW, U_UP, P_LOW, Q_LOW, M_LOW = ord("u"), ord("U"), ord("p"), ord("q"), ord("m")
A_LOW, A_UP, B_LOW, B_UP, D_LOW = ord("a"), ord("A"), ord("b"), ord("B"), ord("d")
PU: Final = (ord("p") << 8) + ord("u")
DATA: Final = (((((ord("d") << 8) + ord("a")) << 8) + ord("t")) << 8) + ord("a")

# One bit for each field seen.
HAS_E, HAS_EVENT, HAS_SYMBOL, HAS_FIRST, HAS_LAST, HAS_PREVIOUS = 1, 2, 4, 8, 16, 32
HAS_BIDS, HAS_ASKS, HAS_BID, HAS_BID_SIZE, HAS_ASK, HAS_ASK_SIZE = 64, 128, 256, 512, 1024, 2048
HAS_ID, HAS_PRICE, HAS_SIZE, HAS_TIME, HAS_MAKER, HAS_AGGREGATE = 4096, 8192, 16384, 32768, 65536, 131072
DELTA_FIELDS: Final = HAS_E | HAS_EVENT | HAS_SYMBOL | HAS_FIRST | HAS_LAST | HAS_BIDS | HAS_ASKS
QUOTE_FIELDS: Final = HAS_SYMBOL | HAS_LAST | HAS_BID | HAS_BID_SIZE | HAS_ASK | HAS_ASK_SIZE
FILL_FIELDS: Final = HAS_E | HAS_SYMBOL | HAS_PRICE | HAS_SIZE | HAS_TIME | HAS_MAKER
TRADE_FIELDS: Final = FILL_FIELDS | HAS_ID
AGGREGATE_FIELDS: Final = FILL_FIELDS | HAS_AGGREGATE


@nb.njit(nogil=True, cache=True)
def _hash(text: Any, first: int, end: int) -> Any:
    value: Any = 0
    for i in range(first, end):
        value = (value * 31 + np.int64(text[i])) & 0x7FFFFFFF
    return value ^ (value >> 11)


@nb.njit(nogil=True, cache=True)
def _is_named(text: Any, first: int, end: int, names: Any, units: Any, index: int) -> Any:
    same = units[index, 2] == end - first and end > first
    for i in range(end - first):
        if not same:
            break
        same = names[index, i] == text[first + i]
    return same


@nb.njit(nogil=True, cache=True)
def _find_symbol(text: Any, first: int, end: int, names: Any, units: Any, slots: Any, guess: int) -> Any:
    """Index of the symbol named by text[first:end], -1 when unknown. units[i, 2] is its name's length.

    The guess is mostly right where few symbols are followed, the table answers for hundreds in the same time.
    """
    if _is_named(text, first, end, names, units, guess):
        return guess
    slot = _hash(text, first, end) & (slots.size - 1)
    while slots[slot] >= 0:
        if _is_named(text, first, end, names, units, slots[slot]):
            return slots[slot]
        slot = (slot + 1) & (slots.size - 1)
    return -1


@nb.njit(nogil=True, cache=True)
def fill_slots(names: Any, units: Any, slots: Any) -> None:
    """Make the table of symbols anew: int64 `slots`, a power of two, at least twice as many as symbols.

    Rows of `units` with a name's length of 0 are free.
    """
    slots[:] = -1
    for index in range(names.shape[0]):
        if units[index, 2] == 0:
            continue
        slot = _hash(names[index], 0, units[index, 2]) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = index


@nb.njit(nogil=True, cache=True)
def _scan_whole_number(text: Any, at: int, end: int) -> tuple[int, int]:
    """Digits at `at` -> (value, position behind them); -1 when there are none or more than 18."""
    first = at
    value: Any = 0
    while at < end:
        digit = np.int64(text[at]) - ZERO
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    if at == first or at - first > 18:
        return -1, at
    return value, at


@nb.njit(nogil=True, cache=True)
def _nanoseconds(time: int) -> int:
    """Nanoseconds of a venue time in milli- or microseconds."""
    return time * 1_000_000 if time <= MAX_MILLIS else time * 1000


@nb.njit(nogil=True, cache=True)
def read_frames(
    text: Any,
    starts: Any,
    ends: Any,
    recv_ns: Any,
    first: int,
    names: Any,
    units: Any,
    slots: Any,
    futures: bool,
    aggregates: bool,
    levels: Any,
    deltas: Any,
    quotes: Any,
    trades: Any,
    owners: Any,
    result: Any,
) -> None:
    """Read frames from `first` on until one is ODD, the levels are FULL, or all are DONE.

    `names` uint8 (s, 32) and `units` int64 (s, 3): native name; price decimals, size decimals, name length
    (0 = free); `slots` is their table. Trades come from aggTrade where `aggregates`, else from trade.
    Rows go to LEVEL, int64 (n, DELTA), BBO and TRADE arrays, the last three with room for every frame;
    `owners` int64 (2, n) takes the symbol of each quote and of each trade.
    """
    n_levels, n_deltas, n_quotes, n_trades = 0, 0, 0, 0
    symbol = 0
    stopped = DONE
    frame = first
    while frame < starts.size:
        at, end = starts[frame], ends[frame]
        level = n_levels
        bids_end = n_levels
        kind = 0
        seen = 0
        price_decimals, size_decimals = 0, 0
        event, time, first_sequence, last_sequence, previous_sequence = 0, 0, 0, 0, -1
        trade_id, aggregate_id = 0, 0
        bid, bid_size, ask, ask_size, price, size = 0, 0, 0, 0, 0, 0
        buyer_is_maker = False
        depth = 1
        good = False
        if at >= end or text[at] != BRACE:
            stopped = ODD
            break
        at += 1
        while True:
            # A key: up to its last 8 bytes as one number, which tells all we look for apart.
            if at >= end or text[at] != QUOTE:
                break
            at += 1
            key: Any = 0
            length = 0
            while at < end and text[at] != QUOTE:
                key = (key << 8) + np.int64(text[at])
                length += 1
                at += 1
            if at + 2 >= end or length > 7 or text[at + 1] != COLON:
                break
            at += 2
            opening = text[at]
            if opening == QUOTE:
                if length == 1 and key in (B_LOW, B_UP, A_LOW, A_UP, P_LOW, Q_LOW):
                    if not seen & HAS_SYMBOL:
                        break
                    if key == B_LOW:
                        bid, at, error = scan_decimal(text, at, end, price_decimals)
                        seen |= HAS_BID
                    elif key == A_LOW:
                        ask, at, error = scan_decimal(text, at, end, price_decimals)
                        seen |= HAS_ASK
                    elif key == P_LOW:
                        price, at, error = scan_decimal(text, at, end, price_decimals)
                        seen |= HAS_PRICE
                    elif key == B_UP:
                        bid_size, at, error = scan_decimal(text, at, end, size_decimals)
                        seen |= HAS_BID_SIZE
                    elif key == A_UP:
                        ask_size, at, error = scan_decimal(text, at, end, size_decimals)
                        seen |= HAS_ASK_SIZE
                    else:
                        size, at, error = scan_decimal(text, at, end, size_decimals)
                        seen |= HAS_SIZE
                    if error != OK:
                        break
                else:
                    at += 1
                    begin = at
                    while at < end and text[at] != QUOTE and text[at] != BACKSLASH:
                        at += 1
                    if at >= end or text[at] == BACKSLASH:
                        break
                    if length == 1 and key == S_LOW:
                        symbol = _find_symbol(text, begin, at, names, units, slots, max(symbol, 0))
                        if symbol < 0 or seen & HAS_SYMBOL:
                            break
                        price_decimals, size_decimals = units[symbol, 0], units[symbol, 1]
                        seen |= HAS_SYMBOL
                    elif length == 1 and key == E_LOW:
                        # depthUpdate, bookTicker, trade: first letter and length tell them from all others.
                        kind = text[begin] * 100 + (at - begin)
                        seen |= HAS_E
                    at += 1
            elif opening == OPEN:
                if length != 1 or not seen & HAS_SYMBOL:
                    break
                if key == B_LOW and not seen & (HAS_BIDS | HAS_ASKS):
                    at, n_levels, error = scan_levels(
                        text, at, end, price_decimals, size_decimals, levels, n_levels
                    )
                    bids_end = n_levels
                    seen |= HAS_BIDS
                elif key == A_LOW and seen & HAS_BIDS and not seen & HAS_ASKS:
                    at, n_levels, error = scan_levels(
                        text, at, end, price_decimals, size_decimals, levels, n_levels
                    )
                    seen |= HAS_ASKS
                else:
                    break
                if error != OK:
                    if error == TOO_MANY and level > 0:
                        stopped = FULL
                    break
            elif opening == BRACE:
                if length != 4 or key != DATA or depth != 1:
                    break
                depth = 2
                at += 1
                continue
            elif ZERO <= opening <= ZERO + 9:
                value, at = _scan_whole_number(text, at, end)
                if value < 0:
                    break
                if length == 1:
                    if key == E_UP:
                        event = value
                        seen |= HAS_EVENT
                    elif key == U_LOW:
                        last_sequence = value
                        seen |= HAS_LAST
                    elif key == U_UP:
                        first_sequence = value
                        seen |= HAS_FIRST
                    elif key == T_UP:
                        time = value
                        seen |= HAS_TIME
                    elif key == T_LOW:
                        trade_id = value
                        seen |= HAS_ID
                    elif key == A_LOW:
                        aggregate_id = value
                        seen |= HAS_AGGREGATE
                elif length == 2 and key == PU:
                    previous_sequence = value
                    seen |= HAS_PREVIOUS
            elif opening == 0x74 and at + 4 < end:  # true
                if text[at + 1] != 0x72 or text[at + 2] != 0x75 or text[at + 3] != 0x65:
                    break
                if length == 1 and key == M_LOW:
                    buyer_is_maker = True
                    seen |= HAS_MAKER
                at += 4
            elif opening == 0x66 and at + 5 < end:  # false
                if text[at + 1] != 0x61 or text[at + 2] != 0x6C or text[at + 3] != 0x73:
                    break
                if text[at + 4] != 0x65:
                    break
                if length == 1 and key == M_LOW:
                    seen |= HAS_MAKER
                at += 5
            else:
                break
            if at >= end:
                break
            if text[at] == COMMA:
                at += 1
                continue
            while depth > 0 and at < end and text[at] == END_BRACE:
                at += 1
                depth -= 1
            good = depth == 0 and at == end
            break
        if good and event <= TIME_LIMIT and time <= TIME_LIMIT:
            if kind == D_LOW * 100 + 11 and seen & DELTA_FIELDS == DELTA_FIELDS:
                good = last_sequence >= first_sequence and futures == (seen & HAS_PREVIOUS != 0)
                if good:
                    row = deltas[n_deltas]
                    row[D_SYMBOL] = symbol
                    row[D_BIDS] = bids_end - level
                    row[D_FIRST_SEQUENCE] = first_sequence
                    row[D_LAST_SEQUENCE] = last_sequence
                    row[D_PREVIOUS_SEQUENCE] = previous_sequence
                    row[D_EVENT_NS] = _nanoseconds(event)
                    row[D_RECV_NS] = recv_ns[frame]
                    row[D_FIRST_LEVEL] = level
                    row[D_END_LEVEL] = n_levels
                    n_deltas += 1
            elif (kind == B_LOW * 100 + 10 or not seen & HAS_E) and seen & QUOTE_FIELDS == QUOTE_FIELDS:
                owners[0, n_quotes] = symbol
                row_quote = quotes[n_quotes]
                row_quote["ts_event_ns"] = _nanoseconds(event)
                row_quote["ts_recv_ns"] = recv_ns[frame]
                row_quote["sequence"] = last_sequence
                row_quote["bid_price"] = bid
                row_quote["bid_size"] = bid_size
                row_quote["ask_price"] = ask
                row_quote["ask_size"] = ask_size
                n_quotes += 1
            elif (
                (kind == T_LOW * 100 + 5 and seen & TRADE_FIELDS == TRADE_FIELDS and not aggregates)
                or (kind == A_LOW * 100 + 8 and seen & AGGREGATE_FIELDS == AGGREGATE_FIELDS and aggregates)
            ) and (price > 0 and size > 0):
                owners[1, n_trades] = symbol
                row_trade = trades[n_trades]
                row_trade["ts_event_ns"] = _nanoseconds(time)
                row_trade["ts_recv_ns"] = recv_ns[frame]
                row_trade["trade_id"] = aggregate_id if aggregates else trade_id
                row_trade["price"] = price
                row_trade["size"] = size
                row_trade["aggressor"] = SELL if buyer_is_maker else BUY
                n_trades += 1
            else:
                good = False
        else:
            good = False
        if not good:
            n_levels = level
            if stopped == DONE:
                stopped = ODD
            break
        frame += 1
    result[NEXT] = frame
    result[DELTAS] = n_deltas
    result[QUOTES] = n_quotes
    result[TRADES] = n_trades
    result[LEVELS] = n_levels
    result[STOPPED] = stopped


def warm_up() -> None:
    """Compile the frame reader and the symbols' table for the types the decoder calls them with."""
    text = as_text(b"{}")
    ends = np.full(1, 2, np.int64)
    names, units, slots = np.zeros((1, 32), np.uint8), np.zeros((1, 3), np.int64), np.zeros(2, np.int64)
    fill_slots(names, units, slots)
    read_frames(
        text,
        np.zeros(1, np.int64),
        ends,
        ends,
        0,
        names,
        units,
        slots,
        False,
        False,
        np.empty(1, LEVEL),
        np.empty((1, DELTA), np.int64),
        np.empty(1, BBO),
        np.empty(1, TRADE),
        np.empty((2, 1), np.int64),
        np.zeros(RESULT, np.int64),
    )
