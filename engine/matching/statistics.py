"""How full a matching engine's books are: plain numbers, for whoever watches it."""

from __future__ import annotations

from typing import NamedTuple


class SymbolStatistics(NamedTuple):
    """One symbol's orders and price levels."""

    symbol: str
    phase: int
    resting: int  # open orders in the book
    waiting: int  # open orders that wait for their trigger
    most: int  # the most that were open at the same time
    slots: int  # how many can be
    bid_levels: int  # far ones included
    ask_levels: int
    far_bid_levels: int  # of those, beyond the ladder
    far_ask_levels: int
    trades: int  # since the start


class EngineStatistics(NamedTuple):
    """A matching engine between two runs."""

    commands: int  # taken since the start
    now_ns: int  # the engine's time
    memory_bytes: int  # set aside; used where orders came to lie
    symbols: tuple[SymbolStatistics, ...]
