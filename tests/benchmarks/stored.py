"""Stores with something in them, for benchmarks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from engine.market.batches import Rows
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage import packing
from engine.storage.archiver import Archiver
from engine.storage.journal import Journal
from engine.storage.records import Stream
from tests.storage.kept import Kept

DAY_NS = 86_400 * 10**9


def fill_trades(folder: Path, rows: Rows, unit: Instrument) -> None:
    """TRADE rows of one symbol, in the archive."""
    kept = Kept(folder)
    stream = Stream(unit.venue, unit.symbol, unit, Rule.BINANCE_SPOT, unit.venue)
    block = packing.trades(stream, [(1, rows)])
    kept.put(block)
    kept.archive([block])
    kept.close()


def fill_archive(folder: Path, rows: Rows, pairs: int, days: int) -> None:
    """The rows, shared out among so many symbols and days: a file for each of both."""
    kept = Kept(folder)
    each, seq = len(rows) // (pairs * days), 1
    start_ns = int(rows["ts_event_ns"][0]) // DAY_NS * DAY_NS
    for day in range(days):
        for pair in range(pairs):
            at = (day * pairs + pair) * each
            part = rows[at : at + each].copy()
            times = start_ns + day * DAY_NS + np.arange(each) * (DAY_NS // each)
            part["ts_event_ns"] = part["ts_recv_ns"] = times
            unit = Instrument("builtin", f"C{pair:02}-USDT", f"C{pair:02}", "USDT", 2, 5)
            stream = Stream("builtin", unit.symbol, unit, Rule.BINANCE_SPOT, "Built-in exchange")
            block = packing.trades(stream, [(seq, part)])
            kept.put(block)
            kept.archive([block])
            seq += each
    kept.close()


def compact_all(folder: Path) -> None:
    """All that is in the journal becomes files."""
    journal = Journal.open(folder)
    asyncio.run(Archiver(folder, journal).compact_now())
    assert journal.close()
