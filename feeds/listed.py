"""What a venue lists, and what is meant by a name that somebody gave. Pure."""

from __future__ import annotations

import difflib
from typing import Final

from engine.errors import BadCommand
from engine.market.instruments import Instrument
from feeds.dialect import Listing

CLOSE_MATCHES: Final = 3
NAME_MOST: Final = 40  # characters of a symbol


class Listed:
    """A venue's instruments by universal and by native name; of two with one universal name the first counts."""

    def __init__(self, label: str) -> None:
        self.names: tuple[str, ...] = ()  # universal ones, sorted
        self._label = label
        self._universal: dict[str, Instrument] = {}
        self._native: dict[str, Instrument] = {}

    def __contains__(self, symbol: object) -> bool:
        """Whether a universal name is listed."""
        return isinstance(symbol, str) and symbol.upper() in self._universal

    def take(self, listing: Listing) -> None:
        """All that is listed now."""
        self._universal, self._native = {}, {}
        for instrument in listing.instruments:
            if self._universal.setdefault(instrument.symbol.upper(), instrument) is instrument:
                self._native[instrument.native.upper()] = instrument
        self.names = tuple(sorted(one.symbol for one in self._universal.values()))

    def find(self, text: str) -> Instrument:
        """The instrument of this name, universal or native, in any case. BadCommand names close ones."""
        wanted = text.strip().upper()
        found = self._universal.get(wanted) or self._native.get(wanted)
        if found is not None:
            return found
        known = [*self._universal, *self._native] if len(wanted) <= NAME_MOST else []
        close = difflib.get_close_matches(wanted, known, n=CLOSE_MATCHES)
        symbols = dict.fromkeys((self._universal.get(name) or self._native[name]).symbol for name in close)
        hint = f"; did you mean {' or '.join(symbols)}?" if symbols else ""
        raise BadCommand(f"{self._label} lists no {text.strip()[:NAME_MOST]!r}{hint}")
