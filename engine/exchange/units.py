"""A symbol's units as clients write them: decimal text on one side, ticks, lots and atoms on the other, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.market.instruments import Instrument, format_decimal, parse_decimal
from engine.matching.engine import BookSpec

ATOM_DECIMALS: Final = 8


@dataclass(frozen=True, slots=True)
class Units:
    """One traded symbol: its place in the engine, and how its numbers are written."""

    index: int
    instrument: Instrument
    spec: BookSpec

    def ticks(self, text: str) -> int:
        """A price in ticks. ValueError when it is no decimal text or no multiple of the tick."""
        return _multiple(text, self.instrument.price_decimals, self.instrument.tick_size)

    def lots(self, text: str) -> int:
        """A quantity in lots. ValueError when it is no decimal text or no multiple of the lot."""
        return _multiple(text, self.instrument.size_decimals, self.instrument.lot_size)

    def price_text(self, ticks: int) -> str:
        """A price with all its decimals."""
        return format_decimal(ticks * self.instrument.tick_size, self.instrument.price_decimals)

    def size_text(self, lots: int) -> str:
        """A quantity with all its decimals."""
        return format_decimal(lots * self.instrument.lot_size, self.instrument.size_decimals)

    def notional_atoms(self, tick_lots: int) -> int:
        """A sum of price times lots as money."""
        return tick_lots * self.spec.notional_atoms


def atoms(text: str) -> int:
    """Money in atoms. ValueError when it is no decimal text or finer than an atom."""
    return parse_decimal(text, ATOM_DECIMALS)


def atoms_text(value: int) -> str:
    """Money with all 8 decimals."""
    return format_decimal(value, ATOM_DECIMALS)


def units_of(instruments: Iterable[Instrument], books: Sequence[BookSpec]) -> dict[str, Units]:
    """Units by native name ("BTCUSDT"), for an engine of these books."""
    places = {book.symbol: at for at, book in enumerate(books)}
    return {each.native: Units(places[each.symbol], each, books[places[each.symbol]]) for each in instruments}


def _multiple(text: str, decimals: int, step: int) -> int:
    value = parse_decimal(text, decimals)
    if value % step:
        raise ValueError(f"{text!r} is not a multiple of {format_decimal(step, decimals)}")
    return value // step
