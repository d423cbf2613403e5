"""What the matching engine says of itself is what its books hold."""

from __future__ import annotations

import numpy as np
import pytest

from engine.market.batches import BUY, SELL
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.layout import WIDTH
from engine.matching.orders import AUCTION, CONTINUOUS
from tests.matching.streams import (
    ACCOUNTS,
    BOOKS,
    FUNDS,
    ROOM,
    cancel,
    limit,
    moving_stream,
    phase,
    rows,
    stop,
)

PRICE = 1_000_000


def test_orders_levels_and_slots_are_counted() -> None:
    engine = MatchingEngine([BookSpec("A"), BookSpec("B")], orders_per_symbol=16)
    engine.submit(
        rows(
            [
                *(limit(at, BUY, PRICE - at % 3, 5) for at in range(1, 7)),
                limit(7, SELL, PRICE + 10, 5),
                limit(8, SELL, PRICE + 10 + 2 * WIDTH, 5),
                stop(9, BUY, PRICE + 10, 5),
                cancel(3),
                phase(AUCTION, symbol=1),
            ]
        )
    )
    found = engine.statistics()
    assert found.commands == 11
    assert found.memory_bytes == engine.memory.nbytes
    first, second = found.symbols
    assert (first.symbol, first.phase, first.resting, first.waiting) == ("A", CONTINUOUS, 7, 1)
    assert (first.most, first.slots) == (9, 16)
    assert (first.bid_levels, first.far_bid_levels) == (3, 0)
    assert (first.ask_levels, first.far_ask_levels) == (2, 1)
    assert second == ("B", AUCTION, 0, 0, 0, 16, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_they_are_those_of_the_picture_and_change_nothing(seed: int) -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    engine.submit(rows(FUNDS))
    stream = rows(moving_stream(seed, 1_500))
    for batch in np.array_split(stream, 15):
        engine.submit(batch)
        before = engine.state_hash()
        found = engine.statistics()
        assert engine.state_hash() == before
        assert found.commands == engine.commands_taken
        for row, (symbol, now, _, _, trades, _, resting, waiting) in zip(
            found.symbols, engine.picture()["symbols"], strict=True
        ):
            levels = {(order[0], order[1]) for order in resting}
            bids = sum(side == BUY for side, _ in levels)
            assert (row.symbol, row.phase, row.trades) == (symbol, now, trades)
            assert (row.resting, row.waiting) == (len(resting), len(waiting))
            assert (row.bid_levels, row.ask_levels) == (bids, len(levels) - bids)
            assert row.resting + row.waiting <= row.most <= row.slots == ROOM
