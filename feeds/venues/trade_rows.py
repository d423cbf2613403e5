"""Trades as REST tells them, a thousand at a time, as TRADE rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.market.batches import LEVEL, TRADE, Rows
from engine.market.instruments import Instrument
from feeds.levels import parse_levels
from feeds.venues.fields import BadField, scaled

# The venue's time in ns, number, price, size, aggressor.
Told = tuple[int, int, str, str, int]
TELL_MOST: Final = 10_000  # trades in one answer


def trade_rows(
    price_field: str, size_field: str, trades: Sequence[Told], instrument: Instrument, recv_ns: int
) -> Rows:
    """TRADE rows in the trades' order and the instrument's units, those without price or size left out.

    BadField names what does not fit. Some 2 us a trade: prices and sizes go through the compiled parser, as the pairs
    of a book's levels. A text that smuggles quotes in makes another count of pairs, and is read patiently.
    """
    if len(trades) > TELL_MOST:
        raise BadField("their number")
    rows = np.zeros(len(trades), TRADE)
    if not trades:
        return rows
    times, numbers, prices, sizes, sides = zip(*trades, strict=True)
    pairs = ",".join([f'["{price}","{size}"]' for price, size in zip(prices, sizes, strict=True)])
    levels = np.empty(len(trades), LEVEL)
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    text = f"[{pairs}]".encode("utf-8", "replace")
    if parse_levels(text, price_decimals, size_decimals, levels) == len(trades):
        rows["price"], rows["size"] = levels["price"], levels["size"]
    else:
        rows["price"] = [scaled(price_field, price, price_decimals) for price in prices]
        rows["size"] = [scaled(size_field, size, size_decimals) for size in sizes]
    rows["ts_event_ns"], rows["trade_id"], rows["aggressor"] = times, numbers, sides
    rows["ts_recv_ns"] = recv_ns
    real = (rows["price"] > 0) & (rows["size"] > 0)
    return rows if real.all() else rows[real]
