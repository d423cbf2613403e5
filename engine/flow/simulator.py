"""The built-in exchange's market: simulated traders and the matching engine, turned by whoever has the time.

No clock is read here: `turn(now_ns)` makes, matches and publishes the orders that were meant to arrive by
then. The same seed, rates and times of turns give the same market.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.errors import KernelError
from engine.flow import kernel
from engine.flow.schedule import SLOT_NS, Schedule
from engine.flow.symbols import SYMBOLS, VENUE, SimulatedSymbol
from engine.market.batches import BBO, LEVEL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.layout import T_EVENTS, T_NEXT_EXPIRY
from engine.matching.orders import (
    BAND_DOWN_PPM,
    BAND_UP_PPM,
    C_HEAD,
    C_TS,
    COMMAND,
    CONFIGURE,
    DEPOSIT,
    MAKER_PPM,
    MIN_NOTIONAL,
    SPOT,
    TAKER_PPM,
    TIME,
    WITHDRAW,
    Matrix,
    as_matrix,
    as_rows,
)

SOURCE: Final = Source(VENUE, "sim")
MAX_RATE: Final = 1_000_000
ORDERS_PER_TURN: Final = 12_288  # about 1 ms of kernel time
MAX_BACKLOG_NS: Final = 200_000_000
QUIET_RATE: Final = 1_000.0  # below it market time slows down: too few orders to carry the usual movement
USUAL_SWEEP_RATE: Final = 20_000.0  # below it takers hit stale quotes with more than a usual order's size
MAX_SWEEP: Final = 64.0
HISTORY_RATE: Final = 1_000.0
HISTORY_STEP_NS: Final = 250_000_000
YEAR_S: Final = 365.25 * 86_400
BAND_PPM: Final = 200_000  # further than any simulated trader goes
ATOM_DECIMALS: Final = 8
FEE_PPM: Final = 1_000  # of makers and takers alike, as both venues charge those who are new to them
LEAST_NOTIONAL_ATOMS: Final = 5 * 10**ATOM_DECIMALS  # of an order, in the quote asset
ACCOUNTS: Final = 4_096  # the crowd's and clients'
ENDOWMENT_ATOMS: Final = 1 << 56  # of each asset, for each trader: some 700 million coins


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did, at `now_ns`."""

    now_ns: int
    orders: int  # commands matched: orders and cancels
    trades: int
    events: int
    rejects: int
    skipped: int  # orders given up because they were later than the backlog allows
    arrivals_ns: npt.NDArray[np.int64]  # intended, ascending, one an order
    batches: list[Batch]  # of each symbol that changed: trades, delta, quote

    @property
    def ack_ns(self) -> npt.NDArray[np.int64]:
        """How long each order waited, from its intended arrival to this turn; the turn's own work comes on top."""
        return self.now_ns - self.arrivals_ns


class Simulator:
    """A seeded market of several symbols at a rate set live. One thread at a time.

    The books are filled at once (some 10 ms), so kernels must be loaded before (`engine.kernels.load`). With an
    `engine` that traded before, the market goes on from its books; they are only filled if time did not begin.
    `on_commands` is given all that the engine takes, in order: rows that the next turn overwrites. `on_events` is given
    the events (words of EVENT rows, a view) of what each turn matched.

    Others may `match` commands of their own between turns; what those change is published with the next turn.
    """

    def __init__(
        self,
        seed: int,
        rate: float = 0.0,
        symbols: Sequence[SimulatedSymbol] = SYMBOLS,
        orders_per_turn: int = ORDERS_PER_TURN,
        max_backlog_ns: int = MAX_BACKLOG_NS,
        *,
        engine: MatchingEngine | None = None,
        on_commands: Callable[[Rows], None] | None = None,
        on_events: Callable[[Matrix], None] | None = None,
    ) -> None:
        self.symbols: Final = tuple(symbols)
        self.instruments: Final[tuple[Instrument, ...]] = tuple(each.instrument for each in symbols)
        self.engine: Final = new_engine(symbols) if engine is None else engine
        self.orders_per_turn: Final = orders_per_turn
        self.max_backlog_ns: Final = max_backlog_ns
        self.skipped = 0  # orders, since the start
        self.commands: Matrix = np.zeros((orders_per_turn, COMMAND.itemsize // 8), np.int64)
        self._seed = seed
        self._on_commands = on_commands
        self._on_events = on_events
        self._time = as_matrix(np.zeros(1, COMMAND))  # a TIME command
        self._time[0, C_HEAD] = TIME
        self._is_published = True  # the engine's run: the next match begins another
        self._held: list[Batch] = []  # published before its turn, since a run was full
        self._numbers = np.zeros((len(symbols) + 1, 8), np.int64)
        self._floats = np.zeros((len(symbols) + 1, 8))
        taken = self.engine.commands_taken
        # One that goes on does not play its past again.
        random = np.random.default_rng([seed, 1, taken] if taken else [seed, 1])
        self._random = random.integers(0, 1 << 63, 2).astype(np.uint64)
        self._tables = _tables(symbols, np.random.default_rng([seed, 2]))
        self._quotes: Matrix = np.zeros((len(symbols), BBO.itemsize // 8), np.int64)
        self._counts: Matrix = np.zeros((len(symbols), 8), np.int64)
        # Above all used: for each command that was taken, at most a chunk's ids were given.
        self._numbers[-1, kernel.N_ID] = kernel.CHUNK * taken + 1
        traded = [each.trades for each in self.engine.statistics().symbols]
        for at, each in enumerate(symbols):
            symbol = each.instrument.symbol
            self._numbers[at, kernel.I_SEQUENCE] = self.engine.update_number(symbol)
            self._numbers[at, kernel.I_TRADES] = traded[at]
            self._numbers[at, kernel.I_TARGET] = each.resting_orders
            self._numbers[at, kernel.I_TICK] = each.instrument.tick_size
            self._numbers[at, kernel.I_LOT] = each.instrument.lot_size
            own = self._floats[at]
            own[kernel.F_START] = each.start_ticks
            best = self.engine.bbo(symbol)
            quoted = [ticks for ticks in (best.bid_ticks, best.ask_ticks) if ticks]
            own[kernel.F_FAIR] = sum(quoted) / len(quoted) if quoted else each.start_ticks
            own[kernel.F_SIGMA] = each.volatility / math.sqrt(YEAR_S)
            own[kernel.F_VOLATILITY] = 1.0
            own[kernel.F_HALF] = each.half_spread_ticks
        self._rate = 0.0
        self._now_ns = 0
        self._schedule: Schedule | None = None
        if self._is_short():
            self._pay_in()
        if not self.engine.now_ns:
            self._set_rules()
            self._fill_books()
        self.rate = rate

    @property
    def rate(self) -> float:
        """Orders per second over all symbols, 0 to 1,000,000; may be set at any time, from any thread."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not 0 <= rate <= MAX_RATE:
            raise ValueError(f"the simulation rate is 0 to {MAX_RATE:,} orders a second, not {rate:,}")
        self._rate = float(rate)

    def turn(self, now_ns: int) -> Turn:
        """Everything due by `now_ns`, at most `orders_per_turn` of it; the first call starts the schedule.

        What is later than `max_backlog_ns` is skipped, and counted. A clock set back is followed.
        About 30 us, and 0.1 us an order.
        """
        schedule = self._schedule
        if schedule is None:
            schedule = self._schedule = Schedule(self._seed, self._rate, now_ns)
            self._numbers[-1, kernel.N_LAST_NS] = now_ns
        if now_ns < schedule.start_ns:
            schedule.restart(now_ns)
            self._numbers[-1, kernel.N_LAST_NS] = now_ns
        if schedule.rate != self._rate:
            schedule.set_rate(self._rate, self._now_ns)
        if self._is_short():
            self._pay_in()
        skipped = schedule.skip(now_ns - self.max_backlog_ns)
        self.skipped += skipped
        return self._take(now_ns, skipped)

    def snapshot(self, symbol: str, depth: int = 1_000, now_ns: int = 0) -> Batch:
        """The book as of the last turn, at most `depth` levels a side. KeyError for an unknown symbol.

        Before the first turn it is as of `now_ns`.
        """
        as_of_ns = self._now_ns or now_ns
        instrument = self.instruments[self.engine.index(symbol)]
        bids, asks = self.engine.top(symbol, depth)
        rows = np.empty(len(bids) + len(asks), LEVEL)
        rows["price"][: len(bids)] = bids["price_ticks"]
        rows["price"][len(bids) :] = asks["price_ticks"]
        rows["size"][: len(bids)] = bids["lots"]
        rows["size"][len(bids) :] = asks["lots"]
        rows["price"] *= instrument.tick_size
        rows["size"] *= instrument.lot_size
        sequence = self.engine.update_number(symbol)
        return Batch(
            *(Kind.SNAPSHOT, SOURCE, symbol, rows, len(bids), sequence, sequence),
            ts_event_ns=as_of_ns,
            ts_recv_ns=as_of_ns,
        )

    def warm_up_history(self, seconds: int, until_ns: int) -> Iterator[Batch]:
        """Run the market through the `seconds` before `until_ns`, before its first turn, at a low rate.

        Yields what every quarter of a second brought, stamped in that past. Takes some 0.5 ms a second.
        """
        if self._schedule is not None:
            raise KernelError("the market's history can only be made before its first turn")
        rate, self._rate = self._rate, HISTORY_RATE
        start_ns = until_ns - seconds * 1_000_000_000
        self.turn(start_ns)
        for now_ns in range(start_ns + HISTORY_STEP_NS, until_ns + 1, HISTORY_STEP_NS):
            # Nothing is skipped: a step may be longer than the backlog of a live market.
            yield from self._take(now_ns, 0).batches
        self._rate = rate
        self._schedule = None

    def _take(self, now_ns: int, skipped: int) -> Turn:
        """Make, match and publish what is due, as far as one turn goes."""
        schedule = self._schedule
        assert schedule is not None
        self._now_ns = now_ns
        self._open_run()
        before = self.engine.memory[T_EVENTS]
        if self.engine.memory[T_NEXT_EXPIRY] <= now_ns:  # maybe no order of the flow brings the time soon
            self._time[0, C_TS] = now_ns
            self.match(self._time, 1)
        orders = 0
        while True:
            count = min(schedule.due(now_ns), self.orders_per_turn - orders)
            if count:
                taken = self._advance(
                    schedule.done, count, schedule.start_ns, SLOT_NS, schedule.arrivals, orders
                )
                schedule.done += taken
                orders += taken
                if taken < count:
                    break  # the run's event rows are used up: the rest is the next turn's
            if not schedule.roll(now_ns):
                break
        self._tell(as_rows(self.commands[:orders], COMMAND))
        if self._on_events is not None and orders:
            self._on_events(self.engine.event_words()[before:])
        turn = self._published(orders, skipped, now_ns)
        if self._held:
            turn.batches[:0] = self._held
            self._held = []
        return turn

    def _advance(
        self, done: int, count: int, start_ns: int, slot_ns: int, arrivals: npt.NDArray[np.float64], at: int
    ) -> int:
        return int(
            kernel.advance(
                done,
                count,
                start_ns,
                slot_ns,
                arrivals,
                min(1.0, self._rate / QUIET_RATE),
                min(max(USUAL_SWEEP_RATE / max(self._rate, QUIET_RATE), 1.0), MAX_SWEEP),
                self.commands,
                at,
                self._numbers,
                self._floats,
                self._random,
                self._tables,
                self.engine.memory,
            )
        )

    def match(self, commands: Matrix, count: int) -> list[list[int]]:
        """Match the first `count` COMMAND rows between two turns; their events as rows of words, in order."""
        engine = self.engine
        self._open_run()
        before = engine.memory[T_EVENTS]
        taken = engine.match(commands, 0, count)
        events: list[list[int]] = engine.event_words()[before:].tolist()
        while taken < count or engine.unfinished:
            self._held += self._published(0, 0, self._now_ns).batches
            self._open_run()
            taken += engine.match(commands, taken, count)
            events += engine.event_words().tolist()
        self._tell(as_rows(commands[:count], COMMAND))
        return events

    def _set_rules(self) -> None:
        """Set what venues set: the band around the last trade (it keeps ladders still too), fees, least notional."""
        rules = [
            (at, parameter, value)
            for at, book in enumerate(self.engine.books)
            for parameter, value in (
                (BAND_UP_PPM, BAND_PPM),
                (BAND_DOWN_PPM, BAND_PPM),
                (MAKER_PPM, FEE_PPM),
                (TAKER_PPM, FEE_PPM),
                (MIN_NOTIONAL, LEAST_NOTIONAL_ATOMS // book.notional_atoms),
            )
        ]
        rows = np.zeros(len(rules), COMMAND)
        rows["kind"] = CONFIGURE
        rows["symbol"], rows["parameter"], rows["lots"] = zip(*rules, strict=True)
        self._submit(rows)

    def _pay_in(self) -> None:
        """Give each trader the same free balance of every asset again, if one has come to an end of its own."""
        engine = self.engine
        commands = []
        for account in range(1, kernel.TRADERS + 1):
            for asset in range(len(engine.assets)):
                more = ENDOWMENT_ATOMS - engine.balance(account, asset)[0]
                if more:
                    commands.append((DEPOSIT if more > 0 else WITHDRAW, asset, account, abs(more)))
        rows = np.zeros(len(commands), COMMAND)
        if commands:
            rows["kind"], rows["symbol"], rows["account"], rows["lots"] = zip(*commands, strict=True)
        self._submit(rows[np.argsort(rows["kind"] == DEPOSIT, kind="stable")])

    def _submit(self, rows: Rows) -> None:
        if len(rows):
            self.match(as_matrix(rows), len(rows))

    def _tell(self, rows: Rows) -> None:
        if self._on_commands is not None and len(rows):
            self._on_commands(rows)

    def _is_short(self) -> bool:
        """Whether a trader has less than a quarter of its endowment left of some asset."""
        return bool(self.engine.free_balances()[1 : kernel.TRADERS + 1].min() < ENDOWMENT_ATOMS // 4)

    def _fill_books(self) -> None:
        """Let the flow fill the books while no time passes."""
        arrivals = np.linspace(0.0, float(self.orders_per_turn), kernel.SLOTS + 1)
        for _ in range(200):
            if all(
                self.engine.live(each.instrument.symbol) > 0.95 * each.resting_orders for each in self.symbols
            ):
                return
            self._open_run()
            taken = self._advance(0, self.orders_per_turn, 0, 0, arrivals, 0)
            self._tell(as_rows(self.commands[:taken], COMMAND))
            self._published(0, 0, 0)
        raise KernelError("the simulated books do not fill: too few orders a turn for their size")

    def _open_run(self) -> None:
        """Begin a run of the engine, unless there is one whose changes are not published yet."""
        if self._is_published:
            self.engine.begin()
            self._is_published = False

    def _published(self, orders: int, skipped: int, now_ns: int) -> Turn:
        engine = self.engine
        counts = self._counts
        trades = engine.trades() - int(self._numbers[:-1, kernel.I_TRADES].sum())
        trade_rows: Matrix = np.empty((trades, TRADE.itemsize // 8), np.int64)
        level_rows: Matrix = np.empty((len(engine.changed_rows()), LEVEL.itemsize // 8), np.int64)
        rejects = kernel.publish(
            *(now_ns, trade_rows, self._quotes, level_rows, counts),
            *(self._numbers, engine.memory),
        )
        all_trades, all_levels = as_rows(trade_rows, TRADE), as_rows(level_rows, LEVEL)
        quotes = as_rows(self._quotes.copy(), BBO)
        batches: list[Batch] = []
        trade_at = level_at = 0
        for at, symbol in enumerate(engine.symbols):
            traded, bids, asks, first, last = counts[at, :5].tolist()
            if last < first:
                continue
            if traded:
                batches.append(Batch(Kind.TRADES, SOURCE, symbol, all_trades[trade_at : trade_at + traded]))
                trade_at += traded
            batches.append(
                Batch(
                    *(Kind.DELTA, SOURCE, symbol, all_levels[level_at : level_at + bids + asks], bids),
                    *(first, last, -1, now_ns, now_ns),
                )
            )
            level_at += bids + asks
            batches.append(Batch(Kind.QUOTES, SOURCE, symbol, quotes[at : at + 1]))
        arrivals_ns = self.commands[:orders, C_TS].copy()
        events = len(engine.event_rows())
        self._is_published = True
        return Turn(now_ns, orders, trades, events, int(rejects), skipped, arrivals_ns, batches)


def new_engine(symbols: Sequence[SimulatedSymbol] = SYMBOLS) -> MatchingEngine:
    """An engine of these symbols, with room for the crowd's accounts and clients'."""
    return MatchingEngine(books(symbols), ACCOUNTS)


def books(symbols: Sequence[SimulatedSymbol] = SYMBOLS) -> list[BookSpec]:
    """What an engine of these symbols trades."""
    return [_book(each.instrument) for each in symbols]


def _book(instrument: Instrument) -> BookSpec:
    """The instrument as a spot market, its assets in atoms of 10**-ATOM_DECIMALS."""
    unit = 10**ATOM_DECIMALS
    return BookSpec(
        instrument.symbol,
        instrument.base,
        instrument.quote,
        SPOT,
        lot_atoms=instrument.lot_size * unit // 10**instrument.size_decimals,
        notional_atoms=instrument.tick_size
        * instrument.lot_size
        * unit
        // 10 ** (instrument.price_decimals + instrument.size_decimals),
    )


def _tables(symbols: Sequence[SimulatedSymbol], random: np.random.Generator) -> Matrix:
    """Quantile tables: of each symbol distances and lots, then run lengths, then symbols by weight."""
    size = kernel.TABLE
    tables = np.zeros((2 * len(symbols) + 2, size + 1), np.int64)
    quantiles = _normal_quantiles(size + 1)
    for at, each in enumerate(symbols):
        # Power law (exponent of the density 2.1) with scale, cut off at the reach.
        scale = each.depth_ticks / (2 ** (1 / 1.1) - 1)
        least = (1 + each.reach_ticks / scale) ** -1.1
        share = np.linspace(1.0, least, size + 1)
        tables[2 * at] = scale * (share ** (-1 / 1.1) - 1)
        lots = np.exp(random.permutation(quantiles) * 1.1) * each.median_lots
        power = 10 ** np.floor(np.log10(np.maximum(lots, 1)))
        round_lots = np.round(lots / power) * power
        tables[2 * at + 1] = np.maximum(1, np.where(random.random(size + 1) < 0.3, round_lots, lots))
    share = (np.arange(size + 1) + 0.5) / (size + 1)
    tables[-2] = np.minimum(np.ceil(share ** (-1 / 1.5)), 400)
    weights = np.array([each.weight for each in symbols])
    bounds = np.round(np.cumsum(weights) / weights.sum() * (size + 1)).astype(np.int64)
    tables[-1] = np.searchsorted(bounds, np.arange(size + 1), side="right")
    return tables


def _normal_quantiles(count: int) -> npt.NDArray[np.float64]:
    normal = NormalDist()
    return np.array([normal.inv_cdf((at + 0.5) / count) for at in range(count)])
