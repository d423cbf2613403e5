"""The matching engine: commands in, events out, as arrays; and its books, accounts and statistics as they stand.

A plain object around the kernel's memory. Not safe for two threads: it has one writer, its sequencer. Calls
release the interpreter lock, so engines of different symbols run on different threads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from engine.errors import KernelError
from engine.market.batches import BUY, SELL, Rows
from engine.matching import kernel, layout, money
from engine.matching.book import depth, level_at
from engine.matching.layout import Words
from engine.matching.orders import (
    COMMAND,
    EVENT,
    GTC,
    GTD,
    LEVEL_CHANGE,
    LEVEL_TICKS,
    LINEAR,
    LOT_STEP,
    MAX_ATOMS,
    MAX_LOTS,
    MAX_OPEN_ORDERS,
    MAX_POSITION_LOTS,
    MAX_PRICE_TICKS,
    PARAMETERS,
    SPOT,
    TICK_STEP,
    UNACCOUNTED,
    Matrix,
    as_matrix,
    as_rows,
)
from engine.matching.statistics import EngineStatistics, SymbolStatistics

ORDERS_PER_SYMBOL: Final = 1 << 14
ACCOUNTS: Final = 64
MAX_ACCOUNTS: Final = 1 << 24
MAX_SYMBOLS: Final = 1 << 12
MAX_POSITIONS: Final = 1 << 26
PAGE_WORDS: Final = 512
SNAPSHOT_VERSION: Final = 1


class Bbo(NamedTuple):
    """Best bid and offer, in ticks and displayed lots; a side without orders is 0, 0."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class Events:
    """What one batch of commands did. `changed` has each touched level once, with what it displays at last."""

    rows: Rows  # EVENT, in order
    changed: Rows  # LEVEL_CHANGE, in order of first touch


@dataclass(frozen=True, slots=True)
class BookSpec:
    """A symbol to trade. Assets, and what a lot and a tick times a lot are worth, only count when accounted."""

    symbol: str
    base: str = ""
    quote: str = ""
    accounting: int = UNACCOUNTED
    lot_atoms: int = 1  # of the base asset
    notional_atoms: int = 1  # of the quote asset


class MatchingEngine:
    """Price-time books of several symbols, and the accounts that trade in them: see RULES.md.

    Memory is set aside at once, some 17 MB of address space a symbol, 0.5 kB an order of each and 0.8 kB an order once;
    it is used where orders come to lie. KernelError for sizes out of range and symbols that do not fit.
    """

    def __init__(
        self,
        books: Sequence[BookSpec],
        accounts: int = ACCOUNTS,
        orders_per_symbol: int = ORDERS_PER_SYMBOL,
    ) -> None:
        _check(books, accounts, orders_per_symbol)
        self.books: Final = tuple(books)
        self.symbols: Final = tuple(book.symbol for book in books)
        self.assets: Final = tuple(
            dict.fromkeys(name for book in books if book.accounting for name in (book.base, book.quote))
        )
        self.accounts: Final = accounts
        self.orders_per_symbol: Final = orders_per_symbol
        self._index = {symbol: at for at, symbol in enumerate(self.symbols)}
        self.memory: Words = layout.allocate(len(books), accounts, len(self.assets), orders_per_symbol)
        state = self._state
        for at, book in enumerate(books):
            row = state[at]
            row[[layout.S_BEST_BID, layout.S_BEST_ASK]] = layout.WIDTH
            row[[layout.S_HIGH, layout.S_FIRST]] = 1 + at * orders_per_symbol
            row[layout.S_END] = 1 + (at + 1) * orders_per_symbol
            row[layout.S_LOWEST], row[layout.S_HIGHEST] = 1, MAX_PRICE_TICKS
            row[layout.S_RISE], row[layout.S_FALL] = layout.NEVER, -layout.NEVER
            row[layout.S_ACCOUNTING] = book.accounting
            row[layout.S_LOT_ATOMS], row[layout.S_NOTIONAL_ATOMS] = book.lot_atoms, book.notional_atoms
            row[layout.S_MOST_LOTS] = min(MAX_LOTS, MAX_ATOMS // book.lot_atoms)
            row[layout.S_MOST_NOTIONAL] = MAX_ATOMS // book.notional_atoms
            if book.accounting:
                row[layout.S_BASE] = self.assets.index(book.base)
                row[layout.S_QUOTE] = self.assets.index(book.quote)
            parameters = row[layout.S_PARAMETERS : layout.S_PARAMETERS + PARAMETERS]
            parameters[[TICK_STEP, LOT_STEP]] = 1
            parameters[[MAX_OPEN_ORDERS, MAX_POSITION_LOTS]] = MAX_LOTS
        self._event_words = self._matrix(layout.H_EVENTS_AT, layout.EVENT_WORDS)
        self._changed = self._matrix(layout.H_CHANGED_AT, layout.CHANGED_WORDS)

    def index(self, symbol: str) -> int:
        """The number that stands for `symbol` in commands and events. KeyError if there is none."""
        return self._index[symbol]

    def begin(self) -> None:
        """Start a run: rows of events and changed levels are written from the top again."""
        self.memory[layout.T_RUN] += 1
        self.memory[layout.T_EVENTS] = 0
        self.memory[layout.T_CHANGED] = 0

    def submit(self, commands: Rows) -> Events:
        """Everything these COMMAND rows do, in their order. The result is the caller's to keep.

        A bad command is a REJECTED event with its reason, and changes nothing.
        """
        matrix = as_matrix(np.require(commands, COMMAND, ("C", "A", "W")))  # one kind of array, one kernel
        runs = self.memory[layout.T_RUN]
        taken = self.run(matrix, 0, len(matrix))
        whole = taken == len(matrix) and not self.unfinished
        if whole and self.memory[layout.T_RUN] == runs + 1:  # and no ladder was moved
            # As words: structured rows are copied field by field.
            words = self.event_words().copy(), self._changed_words().copy()
            return Events(as_rows(words[0], EVENT), as_rows(words[1], LEVEL_CHANGE))
        rows, changed = [self.event_words().copy()], [self._changed_words().copy()]
        while taken < len(matrix) or self.unfinished:
            taken += self.run(matrix, taken, len(matrix))
            rows.append(self.event_words().copy())
            changed.append(self._changed_words().copy())
        return Events(
            as_rows(np.concatenate(rows), EVENT),
            last_of_each(as_rows(np.concatenate(changed), LEVEL_CHANGE)),
        )

    def run(self, commands: Matrix, first: int, last: int) -> int:
        """How many of `commands[first:last]` (COMMAND words) were taken in a new run.

        Fewer than all, or `unfinished` afterwards, when the run is full: run the rest.
        """
        return kernel.match(self.memory, commands, first, last, True)  # type: ignore[no-any-return]

    def match(self, commands: Matrix, first: int, last: int) -> int:
        """The same, appending to the run that is there."""
        return kernel.match(self.memory, commands, first, last, False)  # type: ignore[no-any-return]

    @property
    def unfinished(self) -> bool:
        """Whether triggered orders wait to be matched in the next run."""
        return bool(self.memory[layout.T_QUEUE_HEAD])

    @property
    def commands_taken(self) -> int:
        """How many commands were taken since the start: the sequence of the next one."""
        return int(self.memory[layout.T_SEQUENCE])

    @property
    def now_ns(self) -> int:
        """The engine's time: the greatest a command has brought."""
        return int(self.memory[layout.T_NOW])

    def event_words(self) -> Matrix:
        """The run's events so far as a matrix of words: a view, overwritten by the next run."""
        return self._event_words[: self.memory[layout.T_EVENTS]]

    def event_rows(self) -> Rows:
        """The run's events so far (EVENT): a view, overwritten by the next run."""
        return as_rows(self.event_words(), EVENT)

    def changed_rows(self) -> Rows:
        """The run's changed levels so far (LEVEL_CHANGE): a view, overwritten by the next run.

        A level is there once, unless its ladder was moved meanwhile: then its last row counts.
        """
        return as_rows(self._changed_words(), LEVEL_CHANGE)

    def _changed_words(self) -> Matrix:
        return self._changed[: self.memory[layout.T_CHANGED]]

    # What the books and accounts hold.

    def top(self, symbol: str, n: int) -> tuple[Rows, Rows]:
        """Bids and asks (LEVEL_TICKS, displayed lots), each best first, at most `n` of them."""
        at = self._index[symbol]
        return self._side(2 * at, n), self._side(2 * at + 1, n)

    def _side(self, side_row: int, n: int) -> Rows:
        out = np.empty((n, 2), np.int64)
        count = int(depth(self.memory, side_row, out))
        rows = as_rows(out[:count], LEVEL_TICKS)
        far = self._far_rows(side_row)
        if count == n or not len(far):
            return rows
        beyond = np.empty(len(far), LEVEL_TICKS)
        keys = self._matrix(layout.H_FAR_AT, layout.FAR_WORDS)[far, layout.F_KEY]
        ladders = 2 * len(self.books) * layout.WIDTH
        beyond["price_ticks"] = np.abs(keys)
        beyond["lots"] = self._matrix(layout.H_LEVELS_AT, layout.LEVEL_WORDS)[ladders + far, layout.LOTS]
        return np.concatenate([rows, beyond[np.argsort(keys)][: n - count]])

    def _far_rows(self, side_row: int) -> Any:
        count = self._state[side_row >> 1, layout.S_FAR_BIDS + (side_row & 1)]
        start = self.memory[layout.H_HEAPS_AT] + side_row * self.orders_per_symbol
        return self.memory[start : start + count]

    def bbo(self, symbol: str) -> Bbo:
        """Best prices and what they display."""
        at = self._index[symbol]
        bids, asks = (self._side(side_row, 1).tolist() for side_row in (2 * at, 2 * at + 1))
        return Bbo(*(bids or [(0, 0)])[0], *(asks or [(0, 0)])[0])

    def update_number(self, symbol: str) -> int:
        """The symbol's update number: grows by one with every change of a level."""
        return int(self._state[self._index[symbol], layout.S_UPDATES])

    def live(self, symbol: str) -> int:
        """How many orders are open in this symbol, waiting ones included."""
        return int(self._state[self._index[symbol], layout.S_OPEN])

    def trades(self) -> int:
        """How many trades there were, all symbols together."""
        return int(self._state[:, layout.S_TRADES].sum())

    def statistics(self) -> EngineStatistics:
        """How full the books are, and how far the engine is. Some 10 us a symbol, no state is changed."""
        near = self._near_levels()
        symbols = []
        for at, (symbol, row) in enumerate(zip(self.symbols, self._state.tolist(), strict=True)):
            far_bids, far_asks = row[layout.S_FAR_BIDS], row[layout.S_FAR_ASKS]
            symbols.append(
                SymbolStatistics(
                    symbol=symbol,
                    phase=row[layout.S_PHASE],
                    resting=row[layout.S_OPEN] - row[layout.S_WAITING],
                    waiting=row[layout.S_WAITING],
                    most=row[layout.S_HIGH] - row[layout.S_FIRST],
                    slots=self.orders_per_symbol,
                    bid_levels=near[2 * at] + far_bids,
                    ask_levels=near[2 * at + 1] + far_asks,
                    far_bid_levels=far_bids,
                    far_ask_levels=far_asks,
                    trades=row[layout.S_TRADES],
                )
            )
        return EngineStatistics(self.commands_taken, self.now_ns, self.memory.nbytes, tuple(symbols))

    def _near_levels(self) -> list[int]:
        """How many levels each side row has on its ladder. Only stretches that hold some are counted."""
        bits = self._matrix(layout.H_BITS_AT, layout.BIT_WORDS).view(np.uint64)
        sides, stretches = np.nonzero(bits[:, layout.MIDDLE : layout.TOP])
        words = bits[:, : layout.MIDDLE].reshape(len(bits), -1, 64)[sides, stretches]
        levels = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
        return [int(levels[sides == side].sum()) for side in range(len(bits))]

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """(free, reserved) atoms."""
        row = self._matrix(layout.H_BALANCES_AT, layout.BALANCE_WORDS)[account * len(self.assets) + asset]
        return int(row[layout.B_FREE]), int(row[layout.B_RESERVED])

    def free_balances(self) -> Matrix:
        """Free atoms, shape (accounts, assets): a view."""
        rows = self._matrix(layout.H_BALANCES_AT, layout.BALANCE_WORDS)
        return rows[:, layout.B_FREE].reshape(self.accounts, len(self.assets))

    def picture(self) -> dict[str, Any]:
        """Everything that decides what happens next, but the clock and the number of the next command.

        `symbols`: of each (symbol, phase, last_ticks, update number, trades, parameters, resting, waiting);
        `balances[account, asset]`: (free, reserved); `accounts[account, symbol]`: (open orders, buy lots, sell
        lots, position, cash); `fees` and `supply` of each asset. For tests and hashes: some 5 us an order.
        """
        state = self._state
        symbols = []
        for at, symbol in enumerate(self.symbols):
            row = state[at].tolist()
            parameters = tuple(row[layout.S_PARAMETERS : layout.S_PARAMETERS + PARAMETERS])
            head = (
                row[column] for column in (layout.S_PHASE, layout.S_LAST, layout.S_UPDATES, layout.S_TRADES)
            )
            symbols.append((symbol, *head, parameters, self._resting(at), self._waiting(at)))
        balances = self._matrix(layout.H_BALANCES_AT, layout.BALANCE_WORDS)
        positions = self._matrix(layout.H_POSITIONS_AT, layout.POSITION_WORDS)
        assets = self._matrix(layout.H_ASSETS_AT, layout.ASSET_WORDS)
        count = max(1, len(self.assets))
        accounts = {}
        for row_number in np.flatnonzero(positions.any(axis=1)).tolist():
            at, account = divmod(row_number, self.accounts)
            facts = positions[row_number]
            numbers = (*facts[: layout.P_CASH_LOW].tolist(), money.cash(facts, layout.P_CASH_LOW))
            if any(numbers):
                accounts[account, at] = numbers
        return {
            "symbols": symbols,
            "balances": {
                divmod(at, count): tuple(balances[at].tolist())
                for at in np.flatnonzero(balances.any(axis=1)).tolist()
            },
            "accounts": dict(sorted(accounts.items())),
            "fees": [int(row[layout.A_FEES]) + money.cash(row, layout.A_CASH_FEES_LOW) for row in assets],
            "supply": assets[:, layout.A_SUPPLY].tolist(),
        }

    def state_hash(self) -> str:
        """SHA-256 of `picture()`."""
        return hashlib.sha256(repr(self.picture()).encode()).hexdigest()

    def _resting(self, at: int) -> list[tuple[int, ...]]:
        orders = self._matrix(layout.H_ORDERS_AT, layout.ORDER_WORDS)
        levels = self._matrix(layout.H_LEVELS_AT, layout.LEVEL_WORDS)
        found = []
        for side, side_row in ((BUY, 2 * at), (SELL, 2 * at + 1)):
            for price in self._side(side_row, self.orders_per_symbol)["price_ticks"].tolist():
                slot = levels[level_at(self.memory, side_row, price), layout.HEAD]
                while slot:
                    found.append((side, price, *self._terms(int(slot))))
                    slot = orders[slot, layout.O_NEXT]
        return found

    def _terms(self, slot: int) -> tuple[int, ...]:
        order = self._matrix(layout.H_ORDERS_AT, layout.ORDER_WORDS)[slot].tolist()
        extra = self._matrix(layout.H_EXTRA_AT, layout.EXTRA_WORDS)[slot].tolist()
        meta = order[layout.O_META]
        iceberg, dated = meta & layout.ICEBERG, meta & layout.DATED
        return (
            order[layout.O_ID],
            meta >> layout.ACCOUNT_SHIFT,
            order[layout.O_LOTS],
            order[layout.O_LOTS] + (extra[layout.X_HIDDEN] if iceberg else 0),
            GTD if dated else GTC,
            meta >> layout.SELF_TRADE_SHIFT & layout.SELF_TRADE_MASK,
            int(meta & layout.POST != 0),
            extra[layout.X_DISPLAY] if iceberg else 0,
            extra[layout.X_EXPIRY] if dated else 0,
            self._partner_id(meta, extra),
            order[layout.O_SEQUENCE],
        )

    def _partner_id(self, meta: int, extra: list[int]) -> int:
        if not meta & layout.LINKED:
            return 0
        return int(self._matrix(layout.H_ORDERS_AT, layout.ORDER_WORDS)[extra[layout.X_PARTNER], layout.O_ID])

    def _waiting(self, at: int) -> list[tuple[int, ...]]:
        orders = self._matrix(layout.H_ORDERS_AT, layout.ORDER_WORDS)
        extras = self._matrix(layout.H_EXTRA_AT, layout.EXTRA_WORDS)
        first, high = self._state[at, [layout.S_FIRST, layout.S_HIGH]].tolist()
        found = []
        for slot in range(first, high):
            order, extra = orders[slot].tolist(), extras[slot].tolist()
            meta = order[layout.O_META]
            if order[layout.O_ID] == 0 or not meta & layout.WAITING:
                continue
            key = abs(extra[layout.X_KEY])
            dated = meta & layout.DATED
            found.append(
                (
                    order[layout.O_ID],
                    SELL if meta & layout.SELLING else BUY,
                    extra[layout.X_KIND],
                    meta >> layout.ACCOUNT_SHIFT,
                    order[layout.O_PRICE],
                    order[layout.O_LOTS],
                    0 if key == layout.NEVER else key,
                    extra[layout.X_DISTANCE],
                    extra[layout.X_EXTREME],
                    extra[layout.X_TIF],
                    meta >> layout.SELF_TRADE_SHIFT & layout.SELF_TRADE_MASK,
                    extra[layout.X_EXPIRY] if dated else 0,
                    self._partner_id(meta, extra),
                    order[layout.O_SEQUENCE],
                )
            )
        return sorted(found, key=lambda order: order[-1])

    # Its memory, whole.

    def snapshot(self) -> bytes:
        """All of it, between two runs: what `restore` makes an equal engine of. Empty pages are left out.

        Takes some 0.2 ms a MB of address space, in which no command may be taken.
        """
        end = int(self.memory[layout.H_EVENTS_AT])  # what a run puts out is not kept
        pages = self.memory[: end // PAGE_WORDS * PAGE_WORDS].reshape(-1, PAGE_WORDS)
        tail = self.memory[pages.size : end]
        used = np.flatnonzero(pages.any(axis=1))
        about = {
            "version": SNAPSHOT_VERSION,
            "books": [asdict(book) for book in self.books],
            "accounts": self.accounts,
            "orders_per_symbol": self.orders_per_symbol,
            "words": end,
            "pages": len(used),
        }
        return b"".join(
            (json.dumps(about).encode(), b"\n", used.tobytes(), pages[used].tobytes(), tail.tobytes())
        )

    @classmethod
    def restore(cls, data: bytes) -> MatchingEngine:
        """The engine whose `snapshot()` this is. KernelError if it is none, or of another version."""
        line, _, rest = data.partition(b"\n")
        try:
            about = json.loads(line)
            version, words, count = about["version"], about["words"], about["pages"]
        except (ValueError, KeyError, TypeError) as error:
            raise KernelError("this is not a snapshot of a matching engine") from error
        if version != SNAPSHOT_VERSION:
            raise KernelError(f"the snapshot has version {version}, this program reads {SNAPSHOT_VERSION}")
        engine = cls(
            [BookSpec(**book) for book in about["books"]], about["accounts"], about["orders_per_symbol"]
        )
        header = engine.memory[: layout.H_END + 1].copy()
        whole = words // PAGE_WORDS * PAGE_WORDS
        if words != engine.memory[layout.H_EVENTS_AT] or len(rest) != 8 * (
            count * (1 + PAGE_WORDS) + words - whole
        ):
            raise KernelError("the snapshot is cut short or damaged")
        content = np.frombuffer(rest, np.int64)
        pages = engine.memory[:whole].reshape(-1, PAGE_WORDS)
        if count and not 0 <= content[:count].min() <= content[:count].max() < len(pages):
            raise KernelError("the snapshot is damaged: it names pages that are not there")
        pages[content[:count]] = content[count : count * (1 + PAGE_WORDS)].reshape(count, PAGE_WORDS)
        engine.memory[whole:words] = content[count * (1 + PAGE_WORDS) :]
        if not np.array_equal(engine.memory[: layout.H_END + 1], header):
            raise KernelError("the snapshot is damaged: its sizes are not those of its books")
        engine.begin()
        return engine

    @property
    def _state(self) -> Matrix:
        return self._matrix(layout.H_STATE_AT, layout.STATE_WORDS)

    def _matrix(self, section: int, words: int) -> Matrix:
        """A section as a matrix, without the words that only align the next one."""
        start, end = self.memory[[section, section + 1]].tolist()
        rows = (end - start) // words
        if section in (layout.H_POSITIONS_AT, layout.H_BALANCES_AT, layout.H_ASSETS_AT):
            rows = {
                layout.H_POSITIONS_AT: len(self.books) * self.accounts,
                layout.H_BALANCES_AT: len(self.assets) * self.accounts,
                layout.H_ASSETS_AT: len(self.assets),
            }[section]
        return self.memory[start : start + rows * words].reshape(rows, words)  # type: ignore[no-any-return]


def _check(books: Sequence[BookSpec], accounts: int, orders_per_symbol: int) -> None:
    """KernelError if an engine cannot be made of this."""
    if not 1 <= len(books) <= MAX_SYMBOLS:
        raise KernelError(f"a matching engine needs 1 to {MAX_SYMBOLS:,} symbols, not {len(books):,}")
    if not 1 <= orders_per_symbol <= layout.MAX_ORDERS_PER_SYMBOL:
        raise KernelError(
            f"orders_per_symbol is 1 to {layout.MAX_ORDERS_PER_SYMBOL:,}, not {orders_per_symbol:,}"
        )
    if not 1 <= accounts <= MAX_ACCOUNTS:
        raise KernelError(f"accounts is 1 to {MAX_ACCOUNTS:,}, not {accounts:,}")
    if len(books) * accounts > MAX_POSITIONS:
        raise KernelError(f"symbols times accounts is at most {MAX_POSITIONS:,}")
    for book in books:
        if sum(book.symbol == other.symbol for other in books) > 1:
            raise KernelError(f"symbol {book.symbol} is there twice")
        if book.accounting not in (UNACCOUNTED, SPOT, LINEAR):
            raise KernelError(f"{book.symbol}: unknown accounting {book.accounting}")
        if book.accounting and (not book.base or not book.quote or book.base == book.quote):
            raise KernelError(f"{book.symbol}: an accounted symbol needs two assets")
        if not (1 <= book.lot_atoms <= MAX_ATOMS and 1 <= book.notional_atoms <= MAX_ATOMS):
            raise KernelError(f"{book.symbol}: lot_atoms and notional_atoms are 1 to {MAX_ATOMS:,}")


def last_of_each(changed: Rows) -> Rows:
    """Each (symbol, side, price) once, where it came first, with its last lots."""
    levels = np.stack([changed["symbol"], changed["side"], changed["price_ticks"]], axis=1)
    if len(changed) == len(np.unique(levels, axis=0)):
        return changed
    last: dict[tuple[int, int, int], int] = {}
    for symbol, side, price, lots in changed.tolist():
        last[symbol, side, price] = lots
    return np.array([(*level, lots) for level, lots in last.items()], LEVEL_CHANGE)
