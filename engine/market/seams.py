"""Candles made here and candles made by the venue, put together. Pure.

Ours are of seconds and begin when the market was connected. For candles of a minute and more the venue's own minutes
stand before that, and for the minute in which ours begin, once the venue has closed it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.market.batches import Rows

MINUTE_NS: Final = 60_000_000_000


def once_each(rows: Rows) -> Rows:
    """CANDLE rows, oldest first, one for each opening time: what was asked for again counts as it came last."""
    rows = rows[np.argsort(rows["ts_open_ns"], kind="stable")]
    opened = rows["ts_open_ns"]
    return rows[np.append(opened[1:] != opened[:-1], True)] if len(rows) else rows


def with_running(seconds: Rows, running: Rows | None) -> Rows:
    """Closed seconds and, where it is newer, the running one behind them."""
    if running is None or (len(seconds) and running["ts_open_ns"][0] <= seconds["ts_open_ns"][-1]):
        return seconds
    return np.concatenate((seconds, running))


def joined(seconds: Rows, minutes: Rows, from_ns: int, ours_ns: int | None = None) -> tuple[Rows, int]:
    """(CANDLE rows, oldest first: the venue's minutes that open at `from_ns` or later, then ours; the time in ns
    before which they are the venue's, 0 where all are ours). `ours_ns` is when ours begin, where `seconds` are but
    the newest of them.
    """
    minutes = once_each(minutes)
    minutes = minutes[minutes["ts_open_ns"] >= from_ns]
    if ours_ns is None and len(seconds):
        ours_ns = int(seconds["ts_open_ns"][0])
    if ours_ns is not None:
        whole = -(-ours_ns // MINUTE_NS) * MINUTE_NS  # the first minute that is all ours
        minutes = minutes[minutes["ts_open_ns"] < whole]
    if not len(minutes):
        return seconds, 0
    seam = int(minutes["ts_open_ns"][-1]) + MINUTE_NS
    return np.concatenate((minutes, seconds[seconds["ts_open_ns"] >= seam])), seam
