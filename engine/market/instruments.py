"""Instruments, and the exact way between decimal text and scaled integers.

A price or size is an int64 in units of 10^-decimals. The decimals belong to one *revision* of an instrument:
when a venue starts quoting finer, a new revision opens and everything held for the instrument is rescaled
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MAX_DECIMALS: Final = 18  # 10^18 is the largest power of ten an int64 holds
INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable thing at one venue, with the units its numbers are in.

    `symbol` is the universal form: `BTC-USDT` spot, `BTC-USDT-PERP` and `BTC-USD-PERP` perpetuals,
    `BTC-USDT-240927` dated. `native` is the venue's own name ("BTCUSDT"). `tick_size` and `lot_size` are
    filters in scaled units, 1 where unknown: every representable price passes. `size_unit` is what sizes count:
    the base, or "contracts" where the venue trades those.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    price_decimals: int
    size_decimals: int
    tick_size: int = 1
    lot_size: int = 1
    revision: int = 0
    native: str = ""
    contracts: bool = False

    @property
    def size_unit(self) -> str:
        """The word behind a size."""
        return "contracts" if self.contracts else self.base

    def __post_init__(self) -> None:
        for decimals in (self.price_decimals, self.size_decimals):
            if not 0 <= decimals <= MAX_DECIMALS:
                raise ValueError(f"{self.symbol}: {decimals} decimals are outside 0 to {MAX_DECIMALS}")
        if self.tick_size < 1 or self.lot_size < 1:
            raise ValueError(f"{self.symbol}: tick and lot size must be at least 1 unit")

    def with_decimals(self, price_decimals: int, size_decimals: int) -> Instrument:
        """The next revision, in finer units; tick and lot keep their value. ValueError when coarser."""
        price_factor, size_factor = rescale_factors(self, price_decimals, size_decimals)
        return replace(
            self,
            price_decimals=price_decimals,
            size_decimals=size_decimals,
            tick_size=self.tick_size * price_factor,
            lot_size=self.lot_size * size_factor,
            revision=self.revision + 1,
        )


def rescale_factors(instrument: Instrument, price_decimals: int, size_decimals: int) -> tuple[int, int]:
    """What to multiply prices and sizes of `instrument` by to bring them to finer decimals.

    ValueError when either would get coarser, since digits could be lost.
    """
    finer = (price_decimals - instrument.price_decimals, size_decimals - instrument.size_decimals)
    if min(finer) < 0:
        raise ValueError(f"{instrument.symbol}: a revision cannot take decimals away")
    return 10 ** finer[0], 10 ** finer[1]


def parse_decimal(text: str, decimals: int) -> int:
    """Decimal text as an integer in units of 10^-decimals, exactly.

    Takes an optional sign, ASCII digits and at most one point with a digit on either side of it. ValueError
    when it is anything else, when digits would be lost (zeros behind the last unit are fine) or when int64 is
    too small.
    """
    if not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"{decimals} decimals are outside 0 to {MAX_DECIMALS}")
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text)
    whole, point, fraction = digits.partition(".")
    if not _is_digits(whole) or (point and not _is_digits(fraction)):
        raise ValueError(f"{text!r} is not decimal text")
    if fraction[decimals:].strip("0"):
        raise ValueError(f"{text!r} has more than {decimals} decimals")
    value = int(whole + fraction[:decimals].ljust(decimals, "0"))
    if value > INT64_MAX:
        raise ValueError(f"{text!r} with {decimals} decimals passes int64")
    return sign * value


def format_decimal(value: int, decimals: int) -> str:
    """The text of an integer in units of 10^-decimals, with all its decimals: (1250, 2) -> "12.50"."""
    if decimals == 0:
        return str(value)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def needed_decimals(text: str) -> int:
    """How many decimals hold `text` exactly: trailing zeros need none. ValueError when not decimal."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    if not _is_digits(whole) or (point and not _is_digits(fraction)):
        raise ValueError(f"{text!r} is not decimal text")
    return len(fraction.rstrip("0"))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
