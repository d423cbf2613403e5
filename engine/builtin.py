"""The built-in exchange as a source: the simulator's turns, delivered like any venue's data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from engine.flow.simulator import SOURCE, Simulator
from engine.intake import Intake
from engine.market.sequencing import Rule
from engine.resident import resident_bytes

TURN_S: Final = 0.005
HISTORY_SLICE_NS: Final = 3_000_000
SNAPSHOT_LEVELS: Final = 1_000
ACTUAL_OVER_S: Final = 1.0


class BuiltIn:
    """The simulated market. `rate` is set live, from the engine's loop; everything else reads."""

    def __init__(self, seed: int, rate: int, history_s: int, clock: Callable[[], int] = time.time_ns) -> None:
        self.rate = rate
        self.rate_actual = 0.0
        self.skipped = 0
        self._seed, self._history_s, self._clock = seed, history_s, clock

    async def run(self, intake: Intake) -> None:
        """Open the source, fill its past, then take a turn each 5 ms for ever."""
        simulator = await asyncio.to_thread(Simulator, self._seed)
        intake.open_source(
            SOURCE, "Built-in", simulator.instruments, Rule.BINANCE_SPOT, clock=lambda wall_ns: wall_ns
        )
        await self._fill_past(simulator, intake)
        for instrument in simulator.instruments:
            intake.on_batch(simulator.snapshot(instrument.symbol, SNAPSHOT_LEVELS))
        self._report(simulator, intake)
        counted, since = 0, time.monotonic()
        due = time.monotonic()
        while True:
            simulator.rate = self.rate
            counted += self._turn(simulator, intake)
            now = time.monotonic()
            if now - since >= ACTUAL_OVER_S:
                self.rate_actual = counted / (now - since)
                counted, since = 0, now
                self._report(simulator, intake)
            due = max(due + TURN_S, now)
            await asyncio.sleep(due - now)

    def _turn(self, simulator: Simulator, intake: Intake) -> int:
        started = time.perf_counter_ns()
        turn = simulator.turn(self._clock())
        match_ns = time.perf_counter_ns() - started
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

    async def _fill_past(self, simulator: Simulator, intake: Intake) -> None:
        if not self._history_s:
            return
        until_ns = self._clock()
        rested = time.perf_counter_ns()
        for batch in simulator.warm_up_history(self._history_s, until_ns):
            intake.backfill(batch)
            if time.perf_counter_ns() - rested > HISTORY_SLICE_NS:
                await asyncio.sleep(0)
                rested = time.perf_counter_ns()
