"""The matching engine: commands in, events out, as arrays; and the books as they stand.

A plain object around the kernel's arrays. Not safe for two threads: it has one writer, its sequencer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from engine.errors import KernelError
from engine.market.batches import BUY, SELL, Rows
from engine.matching import kernel
from engine.matching.orders import COMMAND, EVENT, LEVEL_CHANGE, LEVEL_TICKS, Matrix, as_matrix, as_rows

ORDERS_PER_SYMBOL: Final = 1 << 14
MAX_ORDERS_PER_SYMBOL: Final = 1 << 18
SPARE_EVENTS: Final = 1 << 16


class Bbo(NamedTuple):
    """Best bid and offer, in ticks and lots; a side without orders is 0, 0."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class Events:
    """What one batch of commands did. `changed` has each touched level once, with its final lots."""

    rows: Rows  # EVENT, in order; `command` indexes the batch
    changed: Rows  # LEVEL_CHANGE, in order of first touch


@dataclass(frozen=True, slots=True)
class BookSpec:
    """A symbol to trade: prices from 1 tick or `centre_ticks` less 2**17, whichever is more, 2**18 in all."""

    symbol: str
    centre_ticks: int


class MatchingEngine:
    """Price-time books of several symbols, each with its own range of prices and room for orders.

    Memory is set aside at once (some 17 MB a symbol of address space, used only where orders come to lie).
    """

    def __init__(self, books: Sequence[BookSpec], orders_per_symbol: int = ORDERS_PER_SYMBOL) -> None:
        if not books or not 1 <= orders_per_symbol <= MAX_ORDERS_PER_SYMBOL:
            raise KernelError(
                f"a matching engine needs a symbol, and room for 1 to {MAX_ORDERS_PER_SYMBOL:,} orders in each"
            )
        self.symbols: Final = tuple(book.symbol for book in books)
        self.orders_per_symbol: Final = orders_per_symbol
        count = len(books)
        slots = count * orders_per_symbol
        self._index = {symbol: at for at, symbol in enumerate(self.symbols)}
        self.orders: Matrix = np.zeros((slots + 1, 8), np.int64)
        self.ids: Matrix = np.zeros((1 << (2 * slots - 1).bit_length(), 2), np.int64)
        self.levels: Any = np.zeros((2 * count, kernel.WIDTH, 4), np.int64)
        self.bits: Matrix = np.zeros((2 * count, kernel.BIT_WORDS), np.int64)
        self.state: Matrix = np.zeros((count + 1, kernel.STATE_WORDS), np.int64)
        # One command makes at most 2 rows for each resting order it meets, and 2 of its own.
        room = 2 * orders_per_symbol + SPARE_EVENTS
        assert room <= 1 << kernel.MARK_SHIFT
        self.events: Matrix = np.zeros((room, EVENT.itemsize // 8), np.int64)
        self.changed: Matrix = np.zeros((room, LEVEL_CHANGE.itemsize // 8), np.int64)
        for at, book in enumerate(books):
            first = 1 + at * orders_per_symbol
            state = self.state[at]
            state[kernel.S_BEST_BID] = state[kernel.S_BEST_ASK] = kernel.WIDTH
            state[kernel.S_LOW] = max(1, book.centre_ticks - kernel.WIDTH // 2)
            state[kernel.S_FREE] = state[kernel.S_FIRST] = state[kernel.S_HIGH] = first
            chain = np.arange(first + 1, first + orders_per_symbol + 1)
            chain[-1] = 0
            self.orders[first : first + orders_per_symbol, kernel.O_NEXT] = chain
        self.begin()

    def index(self, symbol: str) -> int:
        """The number that stands for `symbol` in commands and events. KeyError if there is none."""
        return self._index[symbol]

    def begin(self) -> None:
        """Start a run: rows of events and changed levels are written from the top again."""
        totals = self.state[-1]
        totals[kernel.T_RUN] += 1
        totals[kernel.T_EVENTS] = totals[kernel.T_CHANGED] = totals[kernel.T_COMMANDS] = 0

    def submit(self, commands: Rows) -> Events:
        """Everything these COMMAND rows do, in their order. The result is the caller's to keep.

        A bad command is a REJECTED event with its reason, and changes nothing.
        """
        matrix = as_matrix(np.require(commands, COMMAND, ("C", "A", "W")))  # one kind of array, one kernel
        rows, changed = [], []
        taken = 0
        while True:
            self.begin()
            before = taken
            taken += self.match(matrix, taken, len(matrix))
            part = self.event_rows().copy()
            part["command"] += before
            rows.append(part)
            changed.append(self.changed_rows().copy())
            if taken == len(matrix):
                break
        if len(rows) == 1:
            return Events(rows[0], changed[0])
        return Events(np.concatenate(rows), _last_of_each(np.concatenate(changed)))

    def match(self, commands: Matrix, first: int, last: int) -> int:
        """How many of `commands[first:last]` (COMMAND columns) were taken, appending to the current run."""
        return int(
            kernel.match(
                *(commands, first, last, self.events, self.changed, self.orders),
                *(self.ids, self.levels, self.bits, self.state),
            )
        )

    def event_rows(self) -> Rows:
        """The run's events so far: a view, overwritten by the next run."""
        return as_rows(self.events[: self.state[-1, kernel.T_EVENTS]], EVENT)

    def changed_rows(self) -> Rows:
        """The run's changed levels so far: a view, overwritten by the next run."""
        return as_rows(self.changed[: self.state[-1, kernel.T_CHANGED]], LEVEL_CHANGE)

    def top(self, symbol: str, n: int) -> tuple[Rows, Rows]:
        """Bids and asks (LEVEL_TICKS), each best first, at most `n` of them."""
        at = self._index[symbol]
        low = int(self.state[at, kernel.S_LOW])
        sides = []
        for row in (2 * at, 2 * at + 1):
            out = np.empty((n, 2), np.int64)
            count = kernel.depth(row, out, self.levels, self.bits, low)
            sides.append(as_rows(out[:count], LEVEL_TICKS))
        return sides[0], sides[1]

    def bbo(self, symbol: str) -> Bbo:
        """Best prices and what rests there."""
        at = self._index[symbol]
        low, bid, ask = (
            int(self.state[at, column]) for column in (kernel.S_LOW, kernel.S_BEST_BID, kernel.S_BEST_ASK)
        )
        bids = asks = (0, 0)
        if bid < kernel.WIDTH:
            bids = (low + kernel.WIDTH - 1 - bid, int(self.levels[2 * at, bid, kernel.LOTS]))
        if ask < kernel.WIDTH:
            asks = (low + ask, int(self.levels[2 * at + 1, ask, kernel.LOTS]))
        return Bbo(*bids, *asks)

    def sequence(self, symbol: str) -> int:
        """The symbol's update number: grows by one with every change of a level."""
        return int(self.state[self._index[symbol], kernel.S_SEQUENCE])

    def live(self, symbol: str) -> int:
        """How many orders rest in this symbol."""
        return int(self.state[self._index[symbol], kernel.S_LIVE])

    def resting(self, symbol: str) -> list[tuple[int, int, int, int, int]]:
        """Every resting order: (side, price_ticks, order_id, owner, lots), bids first, best level first,
        each level first in first out. For tests and hashes: 2 us an order."""
        at = self._index[symbol]
        found = []
        for row, levels in enumerate(self.top(symbol, self.orders_per_symbol)):
            for price in levels["price_ticks"].tolist():
                offset = price - int(self.state[at, kernel.S_LOW])
                key = offset if row else kernel.WIDTH - 1 - offset
                slot = self.levels[2 * at + row, key, kernel.HEAD]
                while slot:
                    order = self.orders[slot].tolist()
                    found.append(
                        (
                            SELL if row else BUY,
                            price,
                            order[kernel.O_ID],
                            order[kernel.O_OWNER],
                            order[kernel.O_LOTS],
                        )
                    )
                    slot = order[kernel.O_NEXT]
        return found

    def state_hash(self) -> str:
        """SHA-256 over every resting order in book order, the update numbers and the trade counts."""
        digest = hashlib.sha256()
        for at, symbol in enumerate(self.symbols):
            counts = self.state[at, [kernel.S_SEQUENCE, kernel.S_TRADES, kernel.S_LOW]].tolist()
            digest.update(repr((symbol, counts, self.resting(symbol))).encode())
        return digest.hexdigest()


def _last_of_each(changed: Rows) -> Rows:
    """Each (symbol, side, price) once, where it came first, with its last lots."""
    last: dict[tuple[int, int, int], int] = {}
    for symbol, side, price, lots in changed.tolist():
        last[symbol, side, price] = lots
    return np.array([(*level, lots) for level, lots in last.items()], LEVEL_CHANGE)
