"""One symbol's tops of book over venues: who bids most, who asks least, how far the mids are apart. Pure.

Prices of venues have different decimals; they are compared as whole numbers in the finest of them, never as floats. A
mid is kept as bid plus ask, the median as the sum of the two middle ones (or twice the middle one), so both stay whole.
Only live books that are synced count: a simulated or replayed price is of another world or time, and a stale one is of
the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.market.batches import Rows

BASIS_POINTS: Final = 10_000
SYNCED: Final = "SYNCED"
LIVE: Final = ("live", "resyncing")  # of a source: another symbol's gap does not make this book wrong


@dataclass(frozen=True, slots=True)
class Quote:
    """A top of book in the units of the comparison; a side without size is None."""

    place: int  # among the rows
    bid: int | None
    ask: int | None

    @property
    def mid2(self) -> int | None:
        """Twice the mid."""
        return None if self.bid is None or self.ask is None else self.bid + self.ask


def left_out(run: str, source_state: str, book_state: str, symbol: str, compared: str) -> str:
    """Why a book is left out where `compared` is compared, in a word or two; "" when it counts."""
    if run == "sim":
        return "simulated"
    if run == "replay":
        return "replayed"
    if source_state not in LIVE:
        return source_state
    if book_state != SYNCED:
        return {"EMPTY": "no book yet", "BUFFERING": "resyncing"}.get(book_state, "stale")
    return "" if symbol == compared else "other form"


def top(levels: Rows) -> tuple[int, int] | None:
    """(price, size) of the best level; None for an empty side."""
    return (int(levels["price"][0]), int(levels["size"][0])) if len(levels) else None


def median4(mids2: Sequence[int]) -> int | None:
    """Four times the median of mids that are given doubled; None with fewer than two, which agree with nobody."""
    if len(mids2) < 2:
        return None
    ordered, half = sorted(mids2), len(mids2) // 2
    return 2 * ordered[half] if len(ordered) % 2 else ordered[half - 1] + ordered[half]


def basis_points(difference: int, whole: int) -> float | None:
    """`difference` in basis points of `whole`, to four decimals; None of nothing."""
    return round(difference * BASIS_POINTS / whole, 4) if whole else None


def compare(quotes: Sequence[Quote]) -> dict[str, Any]:
    """Best bid and ask anywhere, the spread between venues, the consensus, and the mids that are farthest apart.

    Whole numbers in the units of the quotes. `between` is best ask less best bid: negative when one venue bids
    more than another asks. At the same price the first row is named.
    """
    bids = [(quote.bid, quote.place) for quote in quotes if quote.bid is not None]
    asks = [(quote.ask, quote.place) for quote in quotes if quote.ask is not None]
    mids = [(quote.mid2, quote.place) for quote in quotes if quote.mid2 is not None]
    bid = max(bids, key=lambda pair: (pair[0], -pair[1]), default=None)
    ask = min(asks, default=None)
    low, high = min(mids, default=None), max(mids, key=lambda pair: (pair[0], -pair[1]), default=None)
    apart = high[0] - low[0] if low and high and len(mids) > 1 else None
    return {
        "bid": bid,
        "ask": ask,
        "between": ask[0] - bid[0] if bid and ask else None,
        "between_bp": basis_points(2 * (ask[0] - bid[0]), ask[0] + bid[0]) if bid and ask else None,
        "consensus4": median4([mid for mid, _ in mids]),
        "apart2": apart,
        "apart_bp": basis_points(2 * apart, low[0] + high[0]) if apart is not None and low and high else None,
        "lowest": low[1] if apart is not None and low else None,
        "highest": high[1] if apart is not None and high else None,
        "compared": len(mids),
    }
