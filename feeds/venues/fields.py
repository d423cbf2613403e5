"""Numbers of venues' frames and answers: exact, or a `BadField` that names what is wrong. Pure."""

from __future__ import annotations

from typing import Final

from engine.market.candles import WORD
from engine.market.instruments import parse_decimal

RATE_DECIMALS: Final = 12
NOTIONAL_LIMIT: Final = 1 << (WORD + 62)


class BadField(Exception):
    """A field is missing or wrong; `field` is its name on the wire."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def scaled(field: str, text: str, decimals: int) -> int:
    """Decimal text in units of 10^-decimals, 0 or more. BadField when it doesn't fit exactly."""
    try:
        value = parse_decimal(text, decimals)
    except ValueError as error:
        raise BadField(field) from error
    if value < 0:
        raise BadField(field)
    return value


def rate_of(field: str, text: str) -> int:
    """A funding rate in units of 10^-12; it may be negative."""
    try:
        return parse_decimal(text, RATE_DECIMALS)
    except ValueError as error:
        raise BadField(field) from error
