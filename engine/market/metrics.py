"""Numbers people read off a market: spread, mid, imbalance, VWAP.

A top is what `L2Book.bbo` gives, (bid price, bid size, ask price, ask size), zeros for an empty side. Where a
side is empty the answer is None, never a made-up number. Results are in the instrument's scaled units.
"""

from __future__ import annotations

from engine.market.batches import Rows
from engine.market.candles import notional

Top = tuple[int, int, int, int]


def spread(top: Top) -> int | None:
    """Best ask less best bid, in price units; negative when crossed. None when a side is empty."""
    bid_price, bid_size, ask_price, ask_size = top
    return ask_price - bid_price if bid_size and ask_size else None


def doubled_mid(top: Top) -> int | None:
    """Best bid plus best ask: twice the mid, so that it stays whole. None when a side is empty."""
    bid_price, bid_size, ask_price, ask_size = top
    return bid_price + ask_price if bid_size and ask_size else None


def spread_basis_points(top: Top) -> float | None:
    """Spread over mid, in hundredths of a percent. None when a side is empty or the mid is 0."""
    gap, twice = spread(top), doubled_mid(top)
    return 20_000 * gap / twice if gap is not None and twice else None


def imbalance(bids: Rows, asks: Rows, levels: int) -> float | None:
    """(bid size - ask size) / (bid size + ask size) over the best `levels` of each side, -1 to 1.

    LEVEL rows, best first, as `L2Book.top` gives them. 1 means only bids. None when both sides are empty.
    """
    bid_size = int(bids["size"][:levels].sum())
    ask_size = int(asks["size"][:levels].sum())
    total = bid_size + ask_size
    return (bid_size - ask_size) / total if total else None


def vwap(candles: Rows) -> float | None:
    """Volume-weighted average price over CANDLE rows, in price units (a float: it falls between ticks).

    Divided once, from exact sums. None when nothing traded.
    """
    volume = int(candles["volume"].sum())
    return notional(candles) / volume if volume else None
