"""The built-in exchange as a source: the simulator's turns, delivered like any venue's data.

With a log, what a turn did is written before it is delivered, and the exchange goes on from it after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from engine.errors import UserError
from engine.exchange.accounts import PASSING_FROM, Accounts
from engine.exchange.floor import Floor
from engine.exchange.house import House, PortTaken
from engine.exchange.keystore import Held, KeyStore
from engine.exchange.order_faults import resumed
from engine.exchange_log import FINAL, ExchangeLog
from engine.flow.simulator import SOURCE, Simulator
from engine.flow.symbols import SYMBOLS
from engine.intake import Intake
from engine.limits.rules import Rules
from engine.market.batches import Batch
from engine.market.sequencing import Rule
from engine.matching.orders import Matrix
from engine.resident import resident_bytes
from engine.telemetry.events import Level

log = structlog.get_logger(__name__)

TURN_S: Final = 0.005
HISTORY_SLICE_NS: Final = 3_000_000
SNAPSHOT_LEVELS: Final = 1_000
ACTUAL_OVER_S: Final = 1.0
RETRY_S: Final = 5.0
LOG_LEVELS: Final[dict[Level, int]] = {
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Served:
    """Where the exchange is served, and by which rules."""

    host: str
    port: int  # 0: any free one, as below
    order_port: int
    store: KeyStore | None = None  # None: keys are not kept
    limits: Rules | None = None  # that it enforces; those of our own file otherwise


class BuiltIn:
    """The simulated market, and the clients that trade in it. `rate` is set from the engine's loop; all else reads.

    `house` is there while the exchange runs, if it is to be served; `trouble` says why it is not served yet.
    """

    def __init__(
        self,
        seed: int,
        rate: int,
        history_s: int,
        clock: Callable[[], int] = time.time_ns,
        command_log: ExchangeLog | None = None,
        served: Served | None = None,
    ) -> None:
        self.rate = rate
        self.rate_actual = 0.0
        self.skipped = 0
        self.command_log = command_log
        self.served: Final = served
        self.house: House | None = None
        self.trouble = ""
        self._floor: Floor | None = None
        self._seed, self._history_s, self._clock = seed, history_s, clock

    async def run(self, intake: Intake) -> None:
        """Open the source, fill its past, then take a turn each 5 ms for ever.

        A log that fails ends it, with what was delivered safe: StorageError, or BadDataFolder at the start.
        """
        instruments = [each.instrument for each in SYMBOLS]
        intake.open_source(SOURCE, "Built-in", instruments, Rule.BINANCE_SPOT, clock=lambda wall_ns: wall_ns)
        try:
            await self._trade(intake)
        except FINAL as error:
            intake.close_source(SOURCE, str(error))
            raise
        finally:
            self.rate_actual = 0.0
            if self.house is not None:
                await self.house.stop()
            self._floor = self.house = None
            if self.command_log is not None:
                await self.command_log.close()

    async def _trade(self, intake: Intake) -> None:
        command_log = self.command_log
        engine = await command_log.open(partial(_note, intake)) if command_log is not None else None
        on_commands = command_log.take if command_log is not None else None
        simulator = await asyncio.to_thread(
            lambda: Simulator(self._seed, engine=engine, on_commands=on_commands, on_events=self._on_events)
        )
        floor = self._open_floor(simulator, intake) if self.served is not None else None
        if not simulator.engine.now_ns:  # a market that has a past gets no invented one
            await self._fill_past(simulator, intake)
        await self._write()
        if command_log is not None:
            await command_log.save(simulator.engine, at_once=True)
        for instrument in simulator.instruments:
            intake.on_batch(simulator.snapshot(instrument.symbol, SNAPSHOT_LEVELS, self._clock()))
        self._report(simulator, intake)
        if floor is None or self.house is None or self.served is None:
            await self._turn_for_ever(simulator, intake)
            return
        doors = asyncio.create_task(self._open_doors(self.house, self.served, intake))
        try:
            await self._turn_for_ever(simulator, intake)
        finally:
            doors.cancel()
            await asyncio.wait([doors])

    async def _turn_for_ever(self, simulator: Simulator, intake: Intake) -> None:
        command_log = self.command_log
        counted, since = 0, time.monotonic()
        due = time.monotonic()
        while True:
            simulator.rate = self.rate
            counted += await self._turn(simulator, intake)
            if command_log is not None:
                await command_log.save(simulator.engine)
            now = time.monotonic()
            if now - since >= ACTUAL_OVER_S:
                self.rate_actual = counted / (now - since)
                counted, since = 0, now
                self._report(simulator, intake)
            due = max(due + TURN_S, now)
            if command_log is not None and self._floor is not None:
                await self._match_until(self._floor, due)
            else:
                await asyncio.sleep(due - now)

    async def _match_until(self, floor: Floor, due: float) -> None:
        """Match what clients send until the next turn, telling nobody before it is written."""
        while (left_s := due - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await floor.pending.wait()
            except TimeoutError:
                return
            told = floor.match()
            await self._write()
            floor.tell(told)

    async def _turn(self, simulator: Simulator, intake: Intake) -> int:
        floor = self._floor
        told = floor.match() if floor is not None else None
        started = time.perf_counter_ns()
        turn = simulator.turn(self._clock())
        match_ns = time.perf_counter_ns() - started
        await self._write()
        ack_ns = self._clock() - turn.arrivals_ns
        if floor is not None and told is not None:
            floor.tell(told)
            floor.tell(floor.crowd())
            floor.on_turn(turn)
        if self.house is not None:
            self.house.care(turn.now_ns)
        for batch in turn.batches:
            intake.on_batch(batch)
        intake.on_orders(
            *(SOURCE, turn.orders, turn.skipped, ack_ns, match_ns),
            events=turn.events,
            rejects=turn.rejects,
        )
        self.skipped += turn.skipped
        for symbol in intake.wants_snapshot(SOURCE):
            intake.on_batch(simulator.snapshot(symbol, SNAPSHOT_LEVELS))
        return turn.orders

    def _on_events(self, events: Matrix) -> None:
        if self._floor is not None:
            self._floor.on_events(events)

    def _open_floor(self, simulator: Simulator, intake: Intake) -> Floor:
        """The floor that clients meet, and its house, not served yet."""
        assert self.served is not None
        held, complete = Held(), True
        store = self.served.store
        if store is not None:
            try:
                held = store.read()
            except UserError as error:  # the market goes on without them; they are not overwritten
                store, complete = None, False
                _note(intake, "error", f"API keys are not known, and new ones are not kept: {error}")
        floor = Floor(
            simulator,
            Accounts(
                *(simulator.engine.accounts, held.keys, held.table),
                passing_from=PASSING_FROM,
                complete=complete,
            ),
            wall=self._clock,
            logged=self.command_log is not None,
            seed=self._seed,
        )
        if store is not None and held.keys and held.table is None:
            try:
                store.save(held.keys, floor.accounts.table)
            except UserError as error:
                _note(intake, "error", f"the numbers of accounts are not kept: {error}")
        self._floor = floor
        self.house = House(floor, store, self.served.limits)
        return floor

    async def _open_doors(self, house: House, served: Served, intake: Intake) -> None:
        """Serve; where a port is taken, say so and try again until it is free."""
        await house.floor.open()
        desk = house.floor.desk
        for symbol, phase in resumed([each.phase for each in desk.engine.statistics().symbols]):
            desk.set_phase(symbol, phase)
        told = ""
        while True:
            try:
                url = await house.start(served.port, served.order_port, served.host)
            except Exception as error:
                if not isinstance(error, PortTaken):
                    log.error("the exchange could not be served", exc_info=error)
                # Where the port of orders alone is taken, the other takes orders too.
                self.trouble = "" if house.url else str(error)
                how = f"served on {house.url} alone" if house.url else "not served"
                if (said := f"the exchange is {how}: {error}") != told:
                    told = said
                    intake.note("error", SOURCE, "served", said)
                    log.error(f"{said}; choose others with exchange_port and order_port")
                await asyncio.sleep(RETRY_S)
                continue
            self.trouble = ""
            intake.note("info", SOURCE, "served", f"the exchange is served on {url}")
            return

    def _report(self, simulator: Simulator, intake: Intake) -> None:
        engine = simulator.engine
        intake.on_matching(SOURCE, engine.statistics(), resident_bytes(engine.memory))

    async def _write(self) -> None:
        """Returns when what the simulator did may be delivered."""
        if self.command_log is not None:
            await self.command_log.write()

    async def _fill_past(self, simulator: Simulator, intake: Intake) -> None:
        if not self._history_s:
            return
        until_ns = self._clock()
        rested = time.perf_counter_ns()
        past: list[Batch] = []
        for batch in simulator.warm_up_history(self._history_s, until_ns):
            past.append(batch)
            if time.perf_counter_ns() - rested > HISTORY_SLICE_NS:
                await self._deliver_past(past, simulator, intake)
                rested = time.perf_counter_ns()
        await self._deliver_past(past, simulator, intake)

    async def _deliver_past(self, past: list[Batch], simulator: Simulator, intake: Intake) -> None:
        await self._write()
        for batch in past:
            intake.backfill(batch)
            if self._floor is not None:
                self._floor.on_past(batch)
        past.clear()
        if self.command_log is not None:
            await self.command_log.save(simulator.engine)
        await asyncio.sleep(0)


def _note(intake: Intake, level: Level, text: str) -> None:
    """Tell what the log has to tell: in the event log and as a line of the program's log."""
    intake.note(level, SOURCE, "log", text)
    log.log(LOG_LEVELS[level], text)
