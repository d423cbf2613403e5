"""The built-in exchange with a log, trading until it is killed, for `test_exchange_log.py`.

After each turn it prints what it delivered: {"sequence": commands taken, "books": {symbol: (update number, best
bids, best asks)}, "trades": [(symbol, id, price, size)]}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from app import KERNEL_MODULES
from engine import kernels
from engine.builtin import BuiltIn
from engine.clock import SteadyClock
from engine.exchange_log import ExchangeLog
from engine.intake import Intake
from engine.market.batches import Batch, Kind
from engine.telemetry.hub import Telemetry

LEVELS: Final = 5
SEED: Final = 11


class Teller(Intake):
    """Takes what is delivered, and says so."""

    def __init__(self, clock: SteadyClock, log: ExchangeLog) -> None:
        super().__init__(Telemetry(clock()), clock)
        self._log = log
        self._trades: list[tuple[Any, ...]] = []

    def on_batch(self, batch: Batch) -> None:
        super().on_batch(batch)
        if batch.kind is Kind.TRADES:
            rows = batch.rows[["trade_id", "price", "size"]].tolist()
            self._trades += [(batch.symbol, *row) for row in rows]

    def on_orders(self, source: Any, orders: int, *given: Any, **named: Any) -> None:
        super().on_orders(source, orders, *given, **named)
        books = {}
        for symbol, market in self._desks[source].markets.items():
            tops = (side.tolist() for side in market.state.book.top(LEVELS))
            books[symbol] = (market.state.sync.sequence, *tops)
        said = {"sequence": self._log.view().sequence, "books": books, "trades": self._trades}
        os.write(1, json.dumps(said).encode() + b"\n")
        self._trades = []


def main(folder: str, mode: Any, rate: str) -> None:
    """Trade for ever."""
    kernels.load(KERNEL_MODULES)
    clock, log = SteadyClock(), ExchangeLog(Path(folder), mode, SEED)
    asyncio.run(BuiltIn(SEED, int(rate), 0, clock, log).run(Teller(clock, log)))


if __name__ == "__main__":
    main(*sys.argv[1:])
