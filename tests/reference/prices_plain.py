"""One symbol over venues, compared in fractions: the slow twin of `engine.market.comparison.compare`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import Any

Top = tuple[Fraction | None, Fraction | None]  # best bid and ask; None for an empty side


def compare(tops: Sequence[Top]) -> dict[str, Any]:
    """Best bid and ask, the spread between venues, the median of the mids and the largest difference of two."""
    bids = [bid for bid, _ in tops if bid is not None]
    asks = [ask for _, ask in tops if ask is not None]
    mids = [(bid + ask) / 2 for bid, ask in tops if bid is not None and ask is not None]
    two = len(mids) > 1
    return {
        "bid": max(bids, default=None),
        "ask": min(asks, default=None),
        "between": min(asks) - max(bids) if bids and asks else None,
        "consensus": median(mids) if two else None,
        "apart": max(mids) - min(mids) if two else None,
    }
