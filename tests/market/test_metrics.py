from __future__ import annotations

import numpy as np

from engine.market.batches import LEVEL
from engine.market.metrics import doubled_mid, imbalance, spread, spread_basis_points

TOP = (100, 5, 103, 7)
NO_ASK = (100, 5, 0, 0)


def test_spread_and_mid_are_whole_numbers() -> None:
    assert spread(TOP) == 3
    assert doubled_mid(TOP) == 203
    assert spread_basis_points(TOP) == 20_000 * 3 / 203


def test_an_empty_side_gives_no_number() -> None:
    assert spread(NO_ASK) is None
    assert doubled_mid(NO_ASK) is None
    assert spread_basis_points(NO_ASK) is None


def test_a_crossed_spread_is_negative() -> None:
    assert spread((103, 1, 100, 1)) == -3


def test_imbalance_looks_at_the_best_levels_only() -> None:
    bids = np.array([(10, 3), (9, 100)], LEVEL)
    asks = np.array([(11, 1), (12, 100)], LEVEL)
    assert imbalance(bids, asks, 1) == 0.5
    assert imbalance(bids, asks[:0], 5) == 1.0
    assert imbalance(bids[:0], asks[:0], 5) is None
