"""What must hold of a matching engine's arrays after any run, whatever was submitted."""

from __future__ import annotations

import numpy as np

from engine.market.batches import BUY, SELL
from engine.matching import kernel
from engine.matching.engine import MatchingEngine


def check(engine: MatchingEngine) -> None:
    """Links, sums, bitmaps, free lists and the id table agree, and no book is crossed."""
    found: dict[int, int] = {}
    for at, symbol in enumerate(engine.symbols):
        low = int(engine.state[at, kernel.S_LOW])
        live = 0
        for side, row in ((BUY, 2 * at), (SELL, 2 * at + 1)):
            occupied = np.flatnonzero(engine.levels[row, :, kernel.LOTS])
            assert bits_set(engine.bits[row]) == occupied.tolist()
            assert engine.state[at, row & 1] == (occupied[0] if len(occupied) else kernel.WIDTH)
            for key in occupied.tolist():
                slot, before, total = int(engine.levels[row, key, kernel.HEAD]), 0, 0
                while slot:
                    order = engine.orders[slot]
                    assert order[kernel.O_ID] > 0
                    assert order[kernel.O_LOTS] > 0
                    assert order[kernel.O_PREVIOUS] == before
                    assert (order[kernel.O_ROW], order[kernel.O_KEY]) == (row, key)
                    found[int(order[kernel.O_ID])] = slot
                    total += int(order[kernel.O_LOTS])
                    before, slot, live = slot, int(order[kernel.O_NEXT]), live + 1
                assert engine.levels[row, key, kernel.TAIL] == before
                assert engine.levels[row, key, kernel.LOTS] == total
            bids_or_asks = engine.top(symbol, 1 << 18)[row & 1]["price_ticks"].tolist()
            keys = [price - low if side == SELL else kernel.WIDTH - 1 - price + low for price in bids_or_asks]
            assert keys == occupied.tolist()
        assert engine.state[at, kernel.S_LIVE] == live
        bbo = engine.bbo(symbol)
        assert not (bbo.bid_lots and bbo.ask_lots) or bbo.bid_ticks < bbo.ask_ticks
        free, slot = 0, int(engine.state[at, kernel.S_FREE])
        while slot:
            assert engine.orders[slot, kernel.O_ID] == 0
            free, slot = free + 1, int(engine.orders[slot, kernel.O_NEXT])
        assert free + live == engine.orders_per_symbol
    table = engine.ids[engine.ids[:, 0] != 0]
    assert dict(table.tolist()) == found
    assert len(table) == len(found)
    for order_id in found:
        assert engine.ids[kernel.find(engine.ids, order_id), 0] == order_id


def bits_set(words: np.ndarray) -> list[int]:
    """The keys a three-level bitmap holds, after checking that the levels agree."""
    lower = words[: kernel.MIDDLE]
    middle = words[kernel.MIDDLE : kernel.TOP]
    assert positions(middle) == np.flatnonzero(lower).tolist()
    assert positions(words[kernel.TOP :]) == np.flatnonzero(middle).tolist()
    return positions(lower)


def positions(words: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist()
