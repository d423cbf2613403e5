"""The built-in exchange's floor: the crowd, the clients' desk and everyone who looks on, at one engine.

The crowd is turned by `BuiltIn`; what clients send is matched as soon as the loop has read all sockets that had
something, in one call. With a command log, matching waits for `BuiltIn`, which tells nobody before it is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import structlog

from engine.exchange.accounts import Accounts, ReplayGuard
from engine.exchange.clients import Clients
from engine.exchange.desk import NOTHING, Desk, Told
from engine.exchange.dialects.native import Native
from engine.exchange.dialects.native_feed import NativeFeed
from engine.exchange.stages import Stages
from engine.exchange.traded_market import TradedMarket, traded_markets
from engine.exchange.trading import TOO_MANY_WAITING, Outcome
from engine.exchange.units import Units, units_of
from engine.flow.simulator import ATOM_DECIMALS, Simulator, Turn
from engine.market.batches import Batch
from engine.matching.engine import MatchingEngine
from engine.matching.orders import Matrix

log = structlog.get_logger(__name__)

ENDOWMENT: Final = {  # of each new account, in whole coins
    "USDT": 1_000_000,
    "BTC": 10,
    "ETH": 100,
    "SOL": 2_000,
    "BNB": 500,
    "XRP": 200_000,
}
MS: Final = 1_000_000
SLICE: Final = 50  # accounts that are made or paid in between two turns of the loop
OWED_S: Final = 0.001


class _Timed:
    """The simulator as the desk's matcher, with stamps around each batch."""

    def __init__(self, simulator: Simulator) -> None:
        self.engine: Final = simulator.engine
        self._match = simulator.match
        self.began = self.ended = 0

    def stamp(self) -> None:
        """A batch begins: of one that has nothing for the engine, that is also when matching ended."""
        self.began = self.ended = time.perf_counter_ns()

    def match(self, commands: Matrix, count: int) -> list[list[int]]:
        """Match, and note when."""
        self.began = time.perf_counter_ns()
        events = self._match(commands, count)
        self.ended = time.perf_counter_ns()
        return events


class Floor:
    """Everything clients meet at one engine, but sockets. One loop, the engine's."""

    def __init__(
        self,
        simulator: Simulator,
        accounts: Accounts,
        *,
        wall: Callable[[], int] = time.time_ns,
        logged: bool = False,
        seed: int = 1,
    ) -> None:
        """`logged`: batches wait until `BuiltIn` matches them (`match`), and tells (`tell`) what is written."""
        self.simulator: Final = simulator
        self.accounts: Final = accounts
        self.wall: Final = wall
        self.seed: Final = seed
        self.guard: Final = ReplayGuard(opened_ns=wall() // MS * MS)  # as clients write times
        self.clients: Final = Clients()
        self.stages: Final = Stages()
        self.pending: Final = asyncio.Event()  # commands wait, when logged
        self._logged = logged
        self._loop = asyncio.get_running_loop()
        self._matcher = _Timed(simulator)
        self._owed = 0  # deposits of new accounts that are on their way
        self._lost: list[int] = []  # accounts with orders, of a former run, that nobody can reach
        engine = simulator.engine
        first_id = max(wall(), engine.now_ns) // 1_000 + 1  # after all that a command log may have
        self.desk: Final = Desk(self._matcher, engine.books, self._wake, first_id=first_id)
        self.desk.failed = _log_failed
        if logged:
            self._go_on(engine)
        self.units: Final[dict[str, Units]] = units_of(simulator.instruments, simulator.engine.books)
        self.markets: Final[dict[str, TradedMarket]] = traded_markets(simulator.engine, simulator.symbols)
        self.feed: Final = NativeFeed(
            tuple(self.units.values()), simulator.snapshot, simulator.engine.update_number
        )
        self.native: Final = Native(self.desk, accounts, self.guard, self.units, self.feed)
        self._crowd: Told = NOTHING

    async def open(self) -> None:
        """Pay in those accounts that have nothing: new ones, and all of them where no command log keeps their money.

        Orders of accounts that nobody can reach any more are canceled. Returns when all is done.
        """
        engine = self.simulator.engine
        lost = [(number, at) for number in self._lost for at in range(len(engine.books))]
        for first in range(0, len(lost), SLICE):
            await asyncio.gather(*(ask(self.desk.cancel_all, *each) for each in lost[first : first + SLICE]))
        await self.pay_in([*self.accounts.numbers.values()])

    def _go_on(self, engine: MatchingEngine) -> None:
        """Take over what a command log left: orders, and accounts nobody knows the name of any more."""
        with_orders = {order.account for order in self.desk.adopt()}
        with_money = np.flatnonzero(engine.free_balances().any(axis=1)).tolist()
        lost = self.accounts.go_on(with_orders.union(with_money))
        self._lost = [number for number in lost if number in with_orders]

    # --- matching ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self.stages.is_pending = True
        if self._logged:
            self.pending.set()
        else:
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self.tell(self.match())

    def match(self) -> Told:
        """Match what clients sent; what is to be told of it."""
        self.pending.clear()
        self.stages.taken()
        self._matcher.stamp()
        return self.desk.match(self.wall())

    def tell(self, told: Told) -> None:
        """Tell everyone concerned of a batch."""
        self.desk.tell(told)
        if told.tickets:
            matcher = self._matcher
            self.stages.drained(matcher.began, matcher.ended, len(told.tickets))

    def on_events(self, events: Matrix) -> None:
        """What the crowd's commands did in the turn that is being taken."""
        self._crowd = self.desk.on_events(events, self.wall())

    def crowd(self) -> Told:
        """What is to be told of the crowd's last turn."""
        told, self._crowd = self._crowd, NOTHING
        return told

    def on_past(self, batch: Batch) -> None:
        """What happened before the exchange opened."""
        next(iter(self.markets.values())).on_past(batch)

    def on_turn(self, turn: Turn) -> None:
        """Show a turn, clients' orders included, to those who follow the market."""
        for market in self.markets.values():
            market.on_turn(turn)
        self.feed.on_turn(turn.batches)

    # --- accounts ----------------------------------------------------------------------------------------

    async def pay_in(self, numbers: Sequence[int]) -> None:
        """Pay in those of the accounts that have nothing, some at a time. Returns when they have it."""
        for first in range(0, len(numbers), SLICE):
            for number in numbers[first : first + SLICE]:
                self.endow(number)
            await self.paid()

    async def paid(self) -> None:
        """Returns when every new account has its money."""
        while self._owed:
            await asyncio.sleep(OWED_S)

    def endow(self, number: int) -> None:
        """Pay a new account in; one that goes on from a command log has its own.

        A passing one may have the number, and the rest of the money, of one that nobody reaches any more.
        """
        balances = self.desk.balances(number)
        anew = self.accounts.is_passing(self.accounts.name(number))
        if not anew and any(each.free or each.reserved for each in balances):
            return
        for each in balances:
            due = ENDOWMENT.get(each.asset, 0) * 10**ATOM_DECIMALS - each.free
            if due:
                self._owed += 1
                self._pay(number, each.asset, due)

    def _pay(self, number: int, asset: str, atoms: int) -> None:
        def paid(outcome: Outcome) -> None:
            if outcome.reason == TOO_MANY_WAITING:  # of this batch
                self._pay(number, asset, atoms)
            else:
                self._owed -= 1

        self.desk.deposit(number, asset, atoms, paid)


def ask(command: Callable[..., object], *given: object) -> asyncio.Future[Outcome]:
    """A desk command's outcome, to be awaited: `await ask(desk.cancel, account, order_id)`."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def answer(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    command(*given, answer)
    return future


def _log_failed(error: Exception) -> None:
    """A mistake of ours met one client; the others are told all the same."""
    log.error("a client could not be told", exc_info=error)
