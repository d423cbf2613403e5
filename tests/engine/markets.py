"""Small markets for the tests of the engine and the dashboards: batches by hand, a clock one can set."""

from __future__ import annotations

import numpy as np

from engine.intake import Intake
from engine.market.batches import BUY, LEVEL, SELL, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.telemetry.hub import Telemetry

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
SPOT = Source("binance_spot", "replay")
SIM = Source("builtin", "sim")
BTC = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 5)


class Desk:
    """An intake with one open spot source and a wall clock that only moves when told to."""

    def __init__(self, source: Source = SPOT) -> None:
        self.now = START
        self.source = source
        self.telemetry = Telemetry(START)
        self.intake = Intake(self.telemetry, lambda: self.now)
        self.sequence = 0
        self.trade_id = 0
        self.intake.open_source(source, "Test venue", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)

    def at(self, seconds: float) -> Desk:
        """Move the clock to `seconds` after the start and publish."""
        self.now = START + round(seconds * SECOND)
        self.intake.publish()
        return self

    def snapshot(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Desk:
        self.sequence += 1
        self.intake.on_batch(self._levels(Kind.SNAPSHOT, bids, asks, self.sequence, self.sequence))
        return self

    def delta(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], skip: int = 0) -> Desk:
        first = self.sequence + 1 + skip
        self.sequence = first
        self.intake.on_batch(self._levels(Kind.DELTA, bids, asks, first, first))
        return self

    def trade(self, price: int, size: int = 100, side: int = BUY, latency_ns: int = 0) -> Desk:
        self.trade_id += 1
        row = np.array([(self.now - latency_ns, self.now, self.trade_id, price, size, side)], TRADE)
        self.intake.on_batch(Batch(Kind.TRADES, self.source, "BTC-USDT", row))
        return self

    def _levels(
        self, kind: Kind, bids: list[tuple[int, int]], asks: list[tuple[int, int]], first: int, last: int
    ) -> Batch:
        rows = np.array(bids + asks, LEVEL)
        return Batch(
            *(kind, self.source, "BTC-USDT", rows, len(bids), first, last),
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
        )


__all__ = ["BTC", "BUY", "SECOND", "SELL", "SIM", "SPOT", "START", "Desk"]
