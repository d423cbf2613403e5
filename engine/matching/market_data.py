"""What an engine's runs publish: quotes (L1), levels (L2) and orders (L3), each with numbers that show a gap.

L1 and L2 follow from the levels a run has changed, L3 from its events. All of it takes time in proportion to these
rows, not to the books.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from engine.market.batches import BUY, Rows
from engine.matching.book import find, forget_row, level_at
from engine.matching.compiled import compiled
from engine.matching.engine import MatchingEngine
from engine.matching.layout import (
    H_KEY,
    H_SYMBOLS,
    HEAD,
    LOTS,
    O_ID,
    O_LOTS,
    O_NEXT,
    O_SEQUENCE,
    S_ANCHOR_BID,
    S_BEST_BID,
    S_UPDATES,
    WIDTH,
    Words,
    levels_of,
    orders_of,
    power_of_two,
    state_of,
)
from engine.matching.orders import (
    ACCEPTED,
    AMENDED,
    CANCELED,
    E_HEAD,
    E_ID,
    E_LOTS,
    E_MAKER,
    E_MAKER_REMAINING,
    E_PRICE,
    E_REMAINING,
    E_SEQUENCE,
    E_TRADE,
    IN_AUCTION,
    L_LOTS,
    L_PRICE,
    L_SIDE,
    L_SYMBOL,
    LEVEL_TICKS,
    MAX_LOTS,
    PREVENTED,
    REFRESHED,
    REPLACED,
    TRADED,
    TRIGGERED,
    Matrix,
    as_matrix,
    as_rows,
)

QUOTE: Final = np.dtype(
    [
        ("symbol", "i8"),
        ("update", "i8"),  # the symbol's update number
        ("bid_ticks", "i8"),  # 0, 0: a side without orders
        ("bid_lots", "i8"),
        ("ask_ticks", "i8"),
        ("ask_lots", "i8"),
    ]
)
Q_SYMBOL, Q_UPDATE, Q_BID = range(3)

# L3: what happens to a displayed order.
ADD: Final = 1  # at the back of its level: a new order, a replaced one, or an iceberg's next part
EXECUTE: Final = 2  # `lots` of it trade; it keeps its place
REDUCE: Final = 3  # `lots` of it leave without a trade; it keeps its place
DELETE: Final = 4  # all that it displays leaves without a trade

ORDER_CHANGE: Final = np.dtype(
    [
        ("kind", "i1"),
        ("side", "i1"),  # of the order
        ("flags", "i2"),  # IN_AUCTION: of the trade's two orders each has a row
        ("symbol", "i4"),
        ("number", "i8"),  # of the symbol's L3 rows, from 1
        ("sequence", "i8"),  # number of the command that caused it
        ("order_id", "i8"),
        ("price_ticks", "i8"),  # of its level
        ("lots", "i8"),  # that come or go
        ("displayed_lots", "i8"),  # after this; 0: it is in the queue no longer
        ("trade_ticks", "i8"),  # of EXECUTE; in an auction not the level's price
        ("trade_id", "i8"),
    ]
)
CHANGE_WORDS: Final = ORDER_CHANGE.itemsize // 8
# Word 0 is kind | side << 8 | flags << 16 | symbol << 32.
(
    M_HEAD,
    M_NUMBER,
    M_SEQUENCE,
    M_ID,
    M_PRICE,
    M_LOTS,
    M_DISPLAYED,
    M_TRADE_PRICE,
    M_TRADE,
) = range(9)


class DepthSnapshot(NamedTuple):
    """A symbol's levels (LEVEL_TICKS, displayed lots), each side best first, as of an update number."""

    symbol: str
    last_update: int
    bids: Rows
    asks: Rows


class DepthDiff(NamedTuple):
    """The levels (LEVEL_TICKS, displayed lots, 0 = gone) that a symbol's updates `first` to `last` have changed.

    As Binance's U and u: a consumer drops what its snapshot has, and has missed something unless each `first_update`
    is the `last_update` before plus 1. A level that is gone may never have been in an earlier diff.
    """

    symbol: str
    first_update: int
    last_update: int
    bids: Rows
    asks: Rows


class OrderSnapshot(NamedTuple):
    """A symbol's displayed orders as ADD rows (ORDER_CHANGE): bids, then asks, best level first, queues in order.

    `last_number` is the number of the symbol's last L3 row so far, and that of all these rows; their `sequence` is
    that of the command that placed the order.
    """

    symbol: str
    last_number: int
    rows: Rows


def quotes(engine: MatchingEngine, changed: Rows) -> Rows:
    """L1 (QUOTE): best prices now, and what they display, of each symbol with rows in `changed` (LEVEL_CHANGE)."""
    out = np.empty((min(len(changed), len(engine.symbols)), QUOTE.itemsize // 8), np.int64)
    count = _quotes(engine.memory, _words(changed), out)
    assert count >= 0, "these are another engine's levels"
    return as_rows(out[:count], QUOTE)


class DepthFeed:
    """L2 of one engine. Whatever it did before is in the snapshots only."""

    def __init__(self, engine: MatchingEngine) -> None:
        self.engine: Final = engine
        self._numbers = np.array([engine.update_number(symbol) for symbol in engine.symbols])
        self._places = np.zeros(len(engine.symbols), np.int64)
        self._found: Matrix = np.zeros((len(engine.symbols), FOUND_WORDS), np.int64)

    def snapshot(self, symbol: str, levels: int) -> DepthSnapshot:
        """The symbol's best `levels` of each side. Between runs whose diffs were made."""
        return DepthSnapshot(symbol, self.engine.update_number(symbol), *self.engine.top(symbol, levels))

    def diffs(self, changed: Rows) -> list[DepthDiff]:
        """What has happened since the last call, one for each symbol; the arrays are the caller's to keep.

        `changed` (LEVEL_CHANGE) has the levels of all runs since then: `Events.changed`, or `changed_rows()` after each
        run. Where that has a level twice, so has the diff, and the later row counts.
        """
        out = np.empty((len(changed), LEVEL_TICKS.itemsize // 8), np.int64)
        count = _sort(self.engine.memory, _words(changed), self._numbers, self._places, self._found, out)
        assert count >= 0, "these are another engine's levels"
        rows, at, diffs = as_rows(out, LEVEL_TICKS), 0, []
        for index, first, last, bids, asks, _, _ in self._found[:count].tolist():
            middle, end = at + bids, at + bids + asks
            if first <= last:
                symbol = self.engine.symbols[index]
                diffs.append(DepthDiff(symbol, first, last, rows[at:middle], rows[middle:end]))
            at = end
        return diffs


class OrderFeed:
    """L3 of one engine: what its events do to the displayed orders.

    What an iceberg hides is in no row: a part that is used up leaves its queue with its last EXECUTE (or DELETE), the
    next one comes by an ADD with the same id. An order that takes on entry is added once it has taken. Orders that wait
    for a trigger, and rejected commands, are not seen. The feed keeps a row for each displayed order, since events do
    not say all of it: what a canceled order displayed, or an auctioned order's level.
    """

    def __init__(self, engine: MatchingEngine) -> None:
        self.engine: Final = engine
        orders = len(engine.symbols) * engine.orders_per_symbol
        self._key = engine.memory[H_KEY]
        self._ids: Matrix = np.zeros((power_of_two(2 * orders), 2), np.int64)
        self._displayed: Matrix = np.zeros((1 + orders, DISPLAYED_WORDS), np.int64)
        self._numbers = np.zeros(len(engine.symbols), np.int64)
        for symbol in engine.symbols:
            _enter_all(self._ids, self._key, self._displayed, as_matrix(self.snapshot(symbol).rows))

    def on_events(self, events: Rows) -> Rows:
        """The L3 rows (ORDER_CHANGE) of these events (EVENT), in order, the caller's to keep.

        Events of whole runs, of each run since the feed began, in their order; as many at a time as one likes.
        Some 35 ns an event, and 4 us a call.
        """
        out = np.empty((2 * len(events), CHANGE_WORDS), np.int64)
        count = _translate(_words(events), self._ids, self._key, self._displayed, self._numbers, out)
        assert count >= 0, "these are not the events that come next"
        return as_rows(out[:count].copy(), ORDER_CHANGE)

    def snapshot(self, symbol: str) -> OrderSnapshot:
        """The symbol's displayed orders now. Between runs whose events were translated."""
        engine, at = self.engine, self.engine.index(symbol)
        number = int(self._numbers[at])
        out: Matrix = np.zeros((engine.live(symbol), CHANGE_WORDS), np.int64)
        count = 0
        for ask, levels in enumerate(engine.top(symbol, engine.orders_per_symbol)):
            prices = np.ascontiguousarray(levels["price_ticks"])
            count = _queues(engine.memory, 2 * at + ask, prices, number, out, count)
        return OrderSnapshot(symbol, number, as_rows(out[:count], ORDER_CHANGE))


def _words(rows: Rows) -> Matrix:
    """The rows as words: always the same kind of array, so that there is one kernel."""
    return np.require(as_matrix(rows), np.int64, ("C", "A", "W"))


@compiled
def _quotes(memory: Words, changed: Matrix, out: Matrix) -> Any:
    """How many quotes were written to `out`; -1 if a symbol does not exist."""
    states = state_of(memory)
    levels = levels_of(memory)
    seen = np.zeros(memory[H_SYMBOLS], np.bool_)
    count = 0
    for at in range(changed.shape[0]):
        symbol = changed[at, L_SYMBOL]
        if not 0 <= symbol < seen.shape[0]:
            return -1
        if seen[symbol]:
            continue
        seen[symbol] = True
        state = states[symbol]
        quote = out[count]
        count += 1
        quote[Q_SYMBOL] = symbol
        quote[Q_UPDATE] = state[S_UPDATES]
        for ask in range(2):
            # The best level of a side is in its ladder: one that runs empty is moved to the levels far from it.
            best = state[S_BEST_BID + ask]
            quote[Q_BID + 2 * ask] = 0
            quote[Q_BID + 2 * ask + 1] = 0
            if best < WIDTH:
                quote[Q_BID + 2 * ask] = state[S_ANCHOR_BID + ask] - (1 - 2 * ask) * best
                quote[Q_BID + 2 * ask + 1] = levels[(2 * symbol + ask) * WIDTH + best, LOTS]
    return count


# Of a symbol with changed levels: its first and last update, how many bids and asks, where the next of them go.
F_SYMBOL, F_FIRST, F_LAST, F_BIDS, F_ASKS, F_NEXT_BID, F_NEXT_ASK = range(7)
FOUND_WORDS: Final = 7


@compiled
def _sort(memory: Words, changed: Matrix, numbers: Words, places: Words, found: Matrix, out: Matrix) -> Any:
    """How many symbols have changed: their rows are in `found`, their levels in `out`, bids before asks; -1 if one
    does not exist.

    `numbers` has the update numbers as far as they are known, and is brought up to date; `places` is all 0.
    """
    states = state_of(memory)
    count = 0
    for at in range(changed.shape[0]):
        symbol = changed[at, L_SYMBOL]
        if not 0 <= symbol < places.shape[0]:
            return -1
        if places[symbol] == 0:
            row = found[count]
            row[F_SYMBOL] = symbol
            row[F_FIRST] = numbers[symbol] + 1
            row[F_LAST] = states[symbol, S_UPDATES]
            row[F_BIDS] = 0
            row[F_ASKS] = 0
            numbers[symbol] = row[F_LAST]
            count += 1
            places[symbol] = count
        found[places[symbol] - 1, F_BIDS if changed[at, L_SIDE] == BUY else F_ASKS] += 1
    start = 0
    for at in range(count):
        found[at, F_NEXT_BID] = start
        found[at, F_NEXT_ASK] = start + found[at, F_BIDS]
        start += found[at, F_BIDS] + found[at, F_ASKS]
    for at in range(changed.shape[0]):
        row = found[places[changed[at, L_SYMBOL]] - 1]
        column = F_NEXT_BID if changed[at, L_SIDE] == BUY else F_NEXT_ASK
        out[row[column], 0] = changed[at, L_PRICE]
        out[row[column], 1] = changed[at, L_LOTS]
        row[column] += 1
    for at in range(count):
        places[found[at, F_SYMBOL]] = 0
    return count


SIDE_AND_SYMBOL: Final = ~0xFFFF00FF  # of an event's first word
OTHER_SIDE: Final = 0xFE00  # changes BUY there to SELL, and back

# A displayed order, in a slot that a table finds by its id as the engine's own does. Slot 0 counts the slots in use
# and begins the list of freed ones.
D_PRICE, D_LOTS = range(2)
D_NEXT: Final = D_PRICE  # of a freed slot
D_HIGH: Final = D_LOTS  # of slot 0
DISPLAYED_WORDS: Final = 2


@compiled
def _enter(ids: Matrix, key: int, displayed: Matrix, order_id: int, price: int, lots: int) -> Any:
    """Remember an order that is displayed now; False if it is displayed already, or more are than there can be."""
    row = find(ids, order_id, key)
    slot = displayed[0, D_NEXT]
    if ids[row, 0] != 0 or (slot == 0 and displayed[0, D_HIGH] + 1 == displayed.shape[0]):
        return False
    if slot != 0:
        displayed[0, D_NEXT] = displayed[slot, D_NEXT]
    else:
        displayed[0, D_HIGH] += 1
        slot = displayed[0, D_HIGH]
    ids[row, 0] = order_id
    ids[row, 1] = slot
    displayed[slot, D_PRICE] = price
    displayed[slot, D_LOTS] = lots
    return True


@compiled
def _enter_all(ids: Matrix, key: int, displayed: Matrix, rows: Matrix) -> None:
    """Remember the orders of a snapshot."""
    for at in range(rows.shape[0]):
        _enter(ids, key, displayed, rows[at, M_ID], rows[at, M_PRICE], rows[at, M_DISPLAYED])


@compiled
def _take(ids: Matrix, key: int, displayed: Matrix, order_id: int, lots: int) -> Any:
    """(price, lots taken, lots left) of a displayed order after at most `lots` of it went; all 0 if there is none."""
    row = find(ids, order_id, key)
    if ids[row, 0] == 0:
        return 0, 0, 0
    slot = ids[row, 1]
    price = displayed[slot, D_PRICE]
    taken = min(lots, displayed[slot, D_LOTS])
    left = displayed[slot, D_LOTS] - taken
    displayed[slot, D_LOTS] = left
    if left == 0:
        forget_row(ids, row, key)
        displayed[slot, D_NEXT] = displayed[0, D_NEXT]
        displayed[0, D_NEXT] = slot
    return price, taken, left


@compiled
def _put(
    out: Matrix,
    count: int,
    numbers: Words,
    head: int,
    sequence: int,
    order_id: int,
    price: int,
    lots: int,
    left: int,
    trade_price: int,
    trade: int,
) -> Any:
    """How many rows there are, with this one. `head` has kind, side, flags and symbol."""
    numbers[head >> 32] += 1
    row = out[count]
    row[M_HEAD] = head
    row[M_NUMBER] = numbers[head >> 32]
    row[M_SEQUENCE] = sequence
    row[M_ID] = order_id
    row[M_PRICE] = price
    row[M_LOTS] = lots
    row[M_DISPLAYED] = left
    row[M_TRADE_PRICE] = trade_price
    row[M_TRADE] = trade
    return count + 1


@compiled
def _add(
    ids: Matrix, key: int, displayed: Matrix, numbers: Words, event: Any, lots: int, out: Matrix, count: int
) -> Any:
    """How many rows there are, after an event's order has joined its level; -1 if it could not."""
    if not _enter(ids, key, displayed, event[E_ID], event[E_PRICE], lots):
        return -1
    head = event[E_HEAD] & SIDE_AND_SYMBOL | ADD
    return _put(out, count, numbers, head, event[E_SEQUENCE], event[E_ID], event[E_PRICE], lots, lots, 0, 0)


@compiled
def _translate(events: Matrix, ids: Matrix, key: int, displayed: Matrix, numbers: Words, out: Matrix) -> Any:
    """How many rows were written to `out`; -1 if the events cannot be those that come next."""
    count = 0
    entering = -1  # the event of an order that rests once its own matching is done
    for at in range(events.shape[0]):
        event = events[at]
        head = event[E_HEAD]
        kind = head & 0xFF
        sequence = event[E_SEQUENCE]
        enters = kind == ACCEPTED or kind == REPLACED or kind == TRIGGERED
        follows = kind == TRADED or kind == PREVENTED or kind == CANCELED or kind == REFRESHED
        if entering >= 0 and not (follows and events[entering, E_SEQUENCE] == sequence):
            lots = events[entering, E_MAKER_REMAINING]
            count = _add(ids, key, displayed, numbers, events[entering], lots, out, count)
            entering = -1
            if count < 0:
                return -1
        if not (enters or follows or kind == AMENDED):
            continue
        if not 0 <= head >> 32 < numbers.shape[0]:
            return -1
        own = head & SIDE_AND_SYMBOL
        if kind == TRADED or kind == PREVENTED:
            auction = (head >> 24) & IN_AUCTION
            for maker in range(0 if auction else 1, 2):  # in an auction both orders are displayed
                order_id = event[E_MAKER] if maker else event[E_ID]
                price, taken, left = _take(ids, key, displayed, order_id, event[E_LOTS])
                if taken != event[E_LOTS]:
                    return -1
                what = EXECUTE
                trade_price = event[E_PRICE]
                if kind == PREVENTED:
                    what = REDUCE if left > 0 else DELETE
                    trade_price = 0
                if maker:
                    own ^= OTHER_SIDE
                count = _put(
                    out, count, numbers, own | what | auction << 16, sequence, order_id, price, taken, left,
                    trade_price, event[E_TRADE],
                )  # fmt: skip
        elif kind == REFRESHED:
            count = _add(ids, key, displayed, numbers, event, event[E_LOTS], out, count)
            if count < 0:
                return -1
        elif kind == CANCELED or kind == REPLACED or kind == AMENDED:
            order_id = event[E_MAKER] if kind == REPLACED else event[E_ID]
            lots = MAX_LOTS
            if kind == AMENDED:
                _, _, shown = _take(ids, key, displayed, order_id, 0)
                lots = shown - event[E_MAKER_REMAINING]
            price, taken, left = _take(ids, key, displayed, order_id, lots)
            if taken > 0:  # else it displayed nothing, or only what it hides was amended
                what = REDUCE if left > 0 else DELETE
                count = _put(out, count, numbers, own | what, sequence, order_id, price, taken, left, 0, 0)
        if enters and event[E_REMAINING] > 0:
            entering = at
    if entering >= 0:
        lots = events[entering, E_MAKER_REMAINING]
        count = _add(ids, key, displayed, numbers, events[entering], lots, out, count)
    return count


@compiled
def _queues(memory: Words, side_row: int, prices: Words, number: int, out: Matrix, count: int) -> Any:
    """How many rows there are, with the orders of these levels."""
    orders = orders_of(memory)
    levels = levels_of(memory)
    side = 1 if side_row & 1 == 0 else 0xFF
    for at in range(prices.shape[0]):
        slot = levels[level_at(memory, side_row, prices[at]), HEAD]
        while slot != 0:
            row = out[count]
            row[M_HEAD] = ADD | side << 8 | (side_row >> 1) << 32
            row[M_NUMBER] = number
            row[M_SEQUENCE] = orders[slot, O_SEQUENCE]
            row[M_ID] = orders[slot, O_ID]
            row[M_PRICE] = prices[at]
            row[M_LOTS] = orders[slot, O_LOTS]
            row[M_DISPLAYED] = orders[slot, O_LOTS]
            row[M_TRADE_PRICE] = 0
            row[M_TRADE] = 0
            count += 1
            slot = orders[slot, O_NEXT]
    return count
