"""Orders placed uniformly up to 20 % from a wandering mid, made in blocks without end: wide books, long runs.

Of the new orders 95 % rest (a few trade, as the mid moves) and 5 % take at once. `OPEN` new orders after its own, each
is canceled, if it is still there; one in ten commands reprices a random recent order instead. So a book holds at
most `OPEN` orders, however long the run, and ids only grow.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.market.batches import BUY, SELL
from engine.matching.orders import (
    C_HEAD,
    C_ID,
    C_LOTS,
    C_PRICE,
    CANCEL,
    COMMAND,
    GTC,
    IOC,
    LIMIT,
    REPLACE,
    Matrix,
    as_matrix,
)

OPEN: Final = 10_000
SEED: Final = 23
REACH: Final = 5  # prices go up to mid / REACH away
MID, RANDOM, PLACED, DUE = range(4)


class WideFlow:
    """A stream of commands for symbol 0. The same mid and block lengths always give the same stream."""

    def __init__(self, mid_ticks: int) -> None:
        self._start_ticks = mid_ticks
        self._state = np.array([mid_ticks, SEED, 0, 0], np.int64)

    @property
    def placed(self) -> int:
        """New orders made so far."""
        return int(self._state[PLACED])

    def fill(self, commands: Matrix) -> None:
        """The next commands, into all rows of this matrix (COMMAND columns)."""
        _fill(commands, self._state, self._start_ticks)

    def block(self, count: int) -> Matrix:
        """The next `count` commands in a matrix of their own."""
        commands = as_matrix(np.zeros(count, COMMAND))
        self.fill(commands)
        return commands


@njit(cache=True)
def _below(state: Any, bound: int) -> int:
    """A number from 0 to `bound` - 1 (xorshift, seeded by the state)."""
    word = np.uint64(state[RANDOM])
    word ^= word << np.uint64(13)
    word ^= word >> np.uint64(7)
    word ^= word << np.uint64(17)
    state[RANDOM] = np.int64(word)
    return np.int64(word >> np.uint64(1)) % bound


@njit(cache=True)
def _side(order_id: int) -> int:
    """An order's side follows from its id, so that repricing needs no table."""
    return BUY if (order_id * 0x5851F42D4C957F2D) >> 40 & 1 else SELL


@njit(cache=True)
def _fill(commands: Any, state: Any, start_ticks: int) -> None:
    step = max(1, start_ticks // 100_000)
    for n in range(len(commands)):
        commands[n] = 0
        row = commands[n]
        if state[DUE]:
            state[DUE] = 0
            row[C_HEAD] = CANCEL
            row[C_ID] = state[PLACED] - OPEN
            continue
        order_id = state[PLACED] + 1
        kind, time_in_force = LIMIT, GTC
        if state[PLACED] > OPEN and _below(state, 10) == 0:
            kind = REPLACE
            order_id -= 1 + _below(state, OPEN - 1)
        else:
            state[PLACED] = order_id
            state[DUE] = order_id > OPEN
            mid = state[MID] + _below(state, 2 * step + 1) - step
            state[MID] = min(max(mid, start_ticks // 2), 2 * start_ticks)
            if _below(state, 20) == 0:
                time_in_force = IOC
        side = _side(order_id)
        away = 1 + _below(state, state[MID] // REACH)
        row[C_HEAD] = kind | (side & 0xFF) << 8 | time_in_force << 16
        row[C_ID] = order_id
        row[C_PRICE] = state[MID] + side * (away if time_in_force == IOC else -away)
        row[C_LOTS] = 1 + _below(state, 100)
