"""What market orders of some amounts of quote would pay now, by walking the book of the symbol looked at."""

from __future__ import annotations

from typing import Final

from dashboards.streams.common import Json, head
from dashboards.streams.market import market_key
from dashboards.view import View
from engine.market.impact import MORE_DECIMALS, Side, amount_of, quote_text, walk
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
    if place != cursor:
        stream["rows"] = [
            {
                "amount": amount,
                "own": amount == own,
                **{side: walked(book, side, amount) for side in SIDES},
            }
            for amount in amounts(own)
        ]
    return stream, place


def amounts(asked: str) -> tuple[str, ...]:
    """Those that are always shown, and the one asked for."""
    own = own_amount(asked)
    return (*AMOUNTS, *((own,) if own and own not in AMOUNTS else ()))


def own_amount(text: str) -> str:
    """The amount asked for, without needless zeros; "" for anything that is no positive amount."""
    try:
        units = parse_decimal(text, AMOUNT_DECIMALS)
    except ValueError:
        return ""
    if not 0 < units < 10 ** (AMOUNT_DIGITS + AMOUNT_DECIMALS):
        return ""
    return format_decimal(units, AMOUNT_DECIMALS).rstrip("0").rstrip(".")


def walked(book: BookView, side: Side, amount: str) -> Json | None:
    """One walk for the wire. None where sizes count contracts, a side has no book, or not one lot is paid for."""
    unit = book.instrument
    asked = amount_of(unit, amount)
    if unit.contracts or asked <= 0:
        return None
    found = walk(book.bids, book.asks, side, asked, unit.lot_size)
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
