"""The built-in exchange as a source: the simulator's turns, delivered like any venue's data.

With a log, what a turn did is written before it is delivered, and the exchange goes on from it after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from engine.exchange_log import FINAL, ExchangeLog
from engine.flow.simulator import SOURCE, Simulator
from engine.flow.symbols import SYMBOLS
from engine.intake import Intake
from engine.market.batches import Batch
from engine.market.sequencing import Rule
from engine.resident import resident_bytes
from engine.telemetry.events import Level

log = structlog.get_logger(__name__)

TURN_S: Final = 0.005
HISTORY_SLICE_NS: Final = 3_000_000
SNAPSHOT_LEVELS: Final = 1_000
ACTUAL_OVER_S: Final = 1.0
LOG_LEVELS: Final[dict[Level, int]] = {
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class BuiltIn:
    """The simulated market. `rate` is set live, from the engine's loop; everything else reads."""

    def __init__(
        self,
        seed: int,
        rate: int,
        history_s: int,
        clock: Callable[[], int] = time.time_ns,
        command_log: ExchangeLog | None = None,
    ) -> None:
        self.rate = rate
        self.rate_actual = 0.0
        self.skipped = 0
        self.command_log = command_log
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
            if self.command_log is not None:
                await self.command_log.close()

    async def _trade(self, intake: Intake) -> None:
        command_log = self.command_log
        engine = await command_log.open(partial(_note, intake)) if command_log is not None else None
        on_commands = command_log.take if command_log is not None else None
        simulator = await asyncio.to_thread(
            lambda: Simulator(self._seed, engine=engine, on_commands=on_commands)
        )
        if not simulator.engine.now_ns:  # a market that has a past gets no invented one
            await self._fill_past(simulator, intake)
        await self._write()
        if command_log is not None:
            await command_log.save(simulator.engine, at_once=True)
        for instrument in simulator.instruments:
            intake.on_batch(simulator.snapshot(instrument.symbol, SNAPSHOT_LEVELS))
        self._report(simulator, intake)
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
            await asyncio.sleep(due - now)

    async def _turn(self, simulator: Simulator, intake: Intake) -> int:
        started = time.perf_counter_ns()
        turn = simulator.turn(self._clock())
        match_ns = time.perf_counter_ns() - started
        await self._write()
        ack_ns = self._clock() - turn.arrivals_ns
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
        past.clear()
        if self.command_log is not None:
            await self.command_log.save(simulator.engine)
        await asyncio.sleep(0)


def _note(intake: Intake, level: Level, text: str) -> None:
    """Tell what the log has to tell: in the event log and as a line of the program's log."""
    intake.note(level, SOURCE, "log", text)
    log.log(LOG_LEVELS[level], text)
