"""What market orders of some amounts of quote would pay now, by walking the book of the symbol looked at: its best
levels as they are now and, where an amount takes more than those, the levels past them as the newest second left them.
"""

from __future__ import annotations

from typing import Final

from dashboards.streams.common import Json, head
from dashboards.streams.depth import past, whole_of
from dashboards.streams.market import market_key
from dashboards.view import View
from engine.market.impact import MORE_DECIMALS, Ladder, Side, amount_of, quote_text, take
from engine.market.instruments import format_decimal, parse_decimal
from engine.telemetry.board import BookView

AMOUNTS: Final = ("1000", "10000", "100000", "1000000")  # quote
AMOUNT_DECIMALS: Final = 8
AMOUNT_DIGITS: Final = 12
SIDES: Final[tuple[Side, ...]] = ("buy", "sell")


def impact(view: View, cursor: Json) -> tuple[Json, Json]:
    """Both sides of every amount; without rows when neither the book nor the amount changed."""
    key, book = market_key(view), view.book
    own = own_amount(view.params.amount)
    if book is None:
        return head(view, key, cursor, 0, 0) | {"state": "EMPTY", "rows": []}, {"k": key}
    shown = len(book.bids) + len(book.asks)
    stream = head(view, key, cursor, book.ts_recv_ns, shown) | {"state": book.state}
    place = {"k": key, "q": book.sequence, "s": book.state, "r": book.instrument.revision, "a": own}
    whole = whole_of(book)
    place["w"] = whole.sequence if whole is not None else None
    if place != cursor:
        stream["rows"] = rows_of(book, own)
    return stream, place


def rows_of(book: BookView, own: str) -> list[Json]:
    """Both sides of every amount that is always shown, and of the one asked for ("" = none)."""
    asked = (*AMOUNTS, *((own,) if own and own not in AMOUNTS else ()))
    whole, bids, asks = whole_of(book), [book.bids], [book.asks]
    if whole is not None and len(book.bids) and len(book.asks):
        bids.append(past(book.bids, whole.bids, -1))
        asks.append(past(book.asks, whole.asks, 1))
    sides = {"buy": Ladder(*asks), "sell": Ladder(*bids)}
    return [
        {
            "amount": amount,
            "own": amount == own,
            "buy": taken(book, sides["buy"], sides["sell"], "buy", amount),
            "sell": taken(book, sides["sell"], sides["buy"], "sell", amount),
        }
        for amount in asked
    ]


def own_amount(text: str) -> str:
    """The amount asked for, without needless zeros; "" for anything that is no positive amount."""
    try:
        units = parse_decimal(text, AMOUNT_DECIMALS)
    except ValueError:
        return ""
    if not 0 < units < 10 ** (AMOUNT_DIGITS + AMOUNT_DECIMALS):
        return ""
    return format_decimal(units, AMOUNT_DECIMALS).rstrip("0").rstrip(".")


def taken(book: BookView, takes: Ladder, other: Ladder, side: Side, amount: str) -> Json | None:
    """One walk for the wire. None where sizes count contracts, a side has no book, or not one lot is paid for."""
    unit = book.instrument
    asked = amount_of(unit, amount)
    if unit.contracts or asked <= 0:
        return None
    found = take(takes, other.best(), side, asked, unit.lot_size)
    average = found.average() if found is not None else None
    bp = found.impact_bp() if found is not None else None
    if found is None or average is None or bp is None:
        return None
    finer: int = 10**MORE_DECIMALS
    return {
        "average": format_decimal((average + finer // 2) // finer, unit.price_decimals),
        "worst": format_decimal(found.worst, unit.price_decimals),
        "bp": bp,
        "filled": format_decimal(found.base, unit.size_decimals),
        "cost": quote_text(unit, found.quote).split(".")[0],
        "levels": found.levels,
        "exhausted": found.exhausted,
    }
