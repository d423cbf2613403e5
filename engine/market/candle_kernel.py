"""The compiled half of the candle builder: trades in, closed candles out.

`running` is int64 (RUNNING,): a CANDLE row's fields in order, `trades` 0 while no interval runs, then the
counters.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

OPEN_NS: Final = 0
OPEN: Final = 1
HIGH: Final = 2
LOW: Final = 3
CLOSE: Final = 4
VOLUME: Final = 5
NOTIONAL_HIGH: Final = 6
NOTIONAL_LOW: Final = 7
TRADES: Final = 8
LATE: Final = 9  # trades older than the running interval
FLOOR_NS: Final = 10  # end of the last closed interval: older trades are late even while none runs
RUNNING: Final = 11

Ints = npt.NDArray[np.int64]


@nb.njit(nogil=True, cache=True)
def add_product(words: Ints, at: int, price: int, size: int) -> None:
    """Add price * size to the two words words[at] * 2**40 + words[at + 1].

    Exact for 0 <= price, size < 2**61 with a sum below 2**103.
    """
    price_high, price_low = price >> 20, price & 0xFFFFF
    size_high, size_low = size >> 20, size & 0xFFFFF
    middle = price_high * size_low + size_high * price_low
    low = words[at + 1] + ((middle & 0xFFFFF) << 20) + price_low * size_low
    words[at] += price_high * size_high + (middle >> 20) + (low >> 40)
    words[at + 1] = low & 0xFFFFFFFFFF


@nb.njit(nogil=True, cache=True)
def fold_trades(running: Ints, rows: Any, first: int, interval_ns: int, closed: Ints) -> tuple[int, int]:
    """Fold TRADE `rows` from `first` on into `running`; returns (rows consumed so far, candles closed).

    `closed` is int64 (k, 9). Stops before the trade that would close one candle too many.
    """
    count = 0
    for i in range(first, rows.size):
        row = rows[i]
        when = row["ts_event_ns"]
        if when == 0:
            when = row["ts_recv_ns"]
        start = when - when % interval_ns
        if running[TRADES] != 0 and start > running[OPEN_NS]:
            if count == closed.shape[0]:
                return i, count
            for k in range(9):
                closed[count, k] = running[k]
            count += 1
            running[FLOOR_NS] = running[OPEN_NS] + interval_ns
            running[TRADES] = 0
        if start < (running[OPEN_NS] if running[TRADES] != 0 else running[FLOOR_NS]):
            running[LATE] += 1
            continue
        price, size = row["price"], row["size"]
        if running[TRADES] == 0:
            running[OPEN_NS] = start
            running[OPEN] = running[HIGH] = running[LOW] = price
            running[VOLUME] = running[NOTIONAL_HIGH] = running[NOTIONAL_LOW] = 0
        running[HIGH] = max(running[HIGH], price)
        running[LOW] = min(running[LOW], price)
        running[CLOSE] = price
        running[VOLUME] += size
        running[TRADES] += 1
        add_product(running, NOTIONAL_HIGH, price, size)
    return rows.size, count


def warm_up() -> None:
    """Compile the kernels for the types the builder calls them with."""
    from engine.market.batches import TRADE

    fold_trades(np.zeros(RUNNING, np.int64), np.ones(2, TRADE), 0, 1_000_000_000, np.empty((2, 9), np.int64))
