"""The market as callers name it: which source, which symbol, and what is held of it. On the engine's loop."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final

from engine.api.problems import Problem
from engine.intake import Intake
from engine.market.state import SymbolState
from engine.telemetry.board import BookView, SourceView, VenueView
from engine.telemetry.hub import MarketRings, Telemetry

NAMED: Final = 8
FOUND_KEPT: Final = 1_024
NAME_MOST: Final = 40
ALIKE: Final = 2  # letters that close names have in common at their begin
COMPARED: Final = 40
_SIGNS: Final = {ord(sign): None for sign in "-/_: "}
# Where no venue is named: the first that is live; else the first that is nearly so. Their state goes with the answer.
PREFERRED: Final = ("live", "resyncing", "stale", "reconnecting", "ended", "error", "loading")


class Markets:
    """Sources, symbols, books and rings by the names that callers use. Replays are found only by their own key."""

    def __init__(self, telemetry: Telemetry, intake: Intake, clock: Callable[[], int]) -> None:
        self.telemetry, self.intake, self.clock = telemetry, intake, clock
        self._found: dict[tuple[str, str], tuple[SourceView, str]] = {}
        self._found_in: tuple[SourceView, ...] = ()  # the sources `_found` is of
        self._listed: dict[
            str, tuple[tuple[str, ...], dict[str, str]]
        ] = {}  # by venue: its list, and its plain names

    def sources(self, *, replays: bool = False) -> tuple[SourceView, ...]:
        """Every open source, real ones before the simulated one; replays where they are asked for."""
        found = self.telemetry.board.sources
        return found if replays else tuple(one for one in found if one.source.run != "replay")

    def source(self, venue: str) -> SourceView:
        """The source of a venue: by its name in any case ("builtin", "BINANCE_SPOT") or its key
        ("binance_spot:replay"); "" = the first that is live, real ones before the simulated.

        Problem unknown_venue names those there are; no_data where it is off, or only replayed; not_ready where it is
        being connected, or nothing is open yet.
        """
        if not venue:
            return self._best(self.sources())
        asked = venue.strip().lower()
        for one in self.telemetry.board.sources:
            if one.source.key.lower() == asked:
                return one
        named = [one for one in self.sources() if one.source.venue.lower() == asked]
        if named:
            return named[0]
        raise self._no_source(asked)

    def symbol(self, source: SourceView, name: str) -> str:
        """The universal name of a symbol of a source, however it is written: BTC-USDT, btc/usdt, BTCUSDT.

        Problem not_subscribed where the venue lists it and it is not followed; unknown_symbol, naming close ones,
        otherwise.
        """
        found = self.followed_as(source, name)
        if found is None:
            raise self._no_symbol((source,), name)
        return found

    def find(self, venue: str, name: str) -> tuple[SourceView, str]:
        """(source, universal symbol); where no venue is named, the first live source that has the symbol.

        Problems as of `source` and `symbol`. A call costs a look into a table while the sources stay as they are.
        """
        sources = self.telemetry.board.sources
        if sources is not self._found_in or len(self._found) >= FOUND_KEPT:
            self._found, self._found_in = {}, sources
        key = (venue, name)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._find(venue, name)
        return found

    def book(self, source: SourceView, symbol: str) -> BookView:
        """The book as it was published last, at most 50 ms ago. Problem no_data before there is one."""
        found = self.telemetry.board.books.get((source.source.key, symbol))
        if found is None:
            raise self._no_data(source, symbol)
        return found

    def deep_book(self, source: SourceView, symbol: str, levels: int) -> BookView:
        """The book as it stands now, `levels` a side. Problem no_data before there is one."""
        found = self.intake.book_of(source.source, symbol, levels)
        if found is None:
            raise self._no_data(source, symbol)
        return found

    def rings(self, source: SourceView, symbol: str) -> MarketRings:
        """The rings of a symbol. Problem no_data before there are any."""
        found = self.telemetry.markets.get((source.source.key, symbol))
        if found is None:
            raise self._no_data(source, symbol)
        return found

    def state(self, source: SourceView, symbol: str) -> SymbolState:
        """The engine's own state of a symbol: to be read, on the loop, and not kept. Problem no_data without it."""
        found = self.intake.state_of(source.source, symbol)
        if found is None:
            raise self._no_data(source, symbol)
        return found

    def venue(self, name: str) -> VenueView:
        """A live market, connected or not, by its name in any case or its source's key. Problem unknown_venue names
        those there are.
        """
        asked = name.strip().lower().removesuffix(":live")
        for one in self.telemetry.board.venues:
            if one.venue.lower() == asked:
                return one
        known = [one.venue for one in self.telemetry.board.venues]
        detail = f"venue={name[:NAME_MOST]!r} is no live market; there are {_named(known)}"
        raise Problem("unknown_venue", detail if known else "this program has no live markets", venues=known)

    def followed_as(self, source: SourceView, name: str) -> str | None:
        """The universal name of a symbol of a source, as `symbol`; None where it has none such."""
        upper = name.strip().upper()
        for symbol in source.symbols:
            if symbol.upper() == upper:
                return symbol
        asked = plain(name)
        for symbol in source.symbols:  # the venue's own name goes first: BTCUSDT is a perpetual at some
            state = self.intake.state_of(source.source, symbol)
            if state is not None and asked and plain(state.instrument.native) == asked:
                return symbol
        return next((symbol for symbol in source.symbols if plain(symbol) == asked), None)

    def listed_as(self, venue: VenueView, name: str) -> str | None:
        """The universal name of what a venue lists, in any case and with any sign between; None where it lists none
        such, or its list is not known.
        """
        listed, names = self._listed.get(venue.venue, ((), {}))
        if listed is not venue.listed and listed != venue.listed:
            names = {plain(symbol): symbol for symbol in reversed(venue.listed)}
            self._listed[venue.venue] = venue.listed, names
        return names.get(plain(name))

    def _find(self, venue: str, name: str) -> tuple[SourceView, str]:
        if venue:
            source = self.source(venue)
            return source, self.symbol(source, name)
        sources = self.sources()
        if not sources:
            raise self._not_ready()
        having = [(one, symbol) for one in sources if (symbol := self.followed_as(one, name)) is not None]
        if not having:
            raise self._no_symbol(sources, name)
        return min(having, key=lambda pair: PREFERRED.index(pair[0].state))  # the first of the best

    def _best(self, sources: tuple[SourceView, ...]) -> SourceView:
        if not sources:
            raise self._not_ready()
        return min(sources, key=lambda one: PREFERRED.index(one.state))

    def _no_symbol(self, sources: Iterable[SourceView], name: str) -> Problem:
        """Why a symbol is not there, and what would work."""
        shown, wanted = name[:NAME_MOST], list(sources)
        venues = {one.venue: one for one in self.telemetry.board.venues}
        for one in wanted:
            view = venues.get(one.source.venue) if one.source.run == "live" else None
            listed = self.listed_as(view, name) if view is not None else None
            if listed is not None:
                return Problem(
                    "not_subscribed",
                    f"{one.source.venue} lists {listed} and it is not followed; POST /add_symbol with "
                    f'{{"symbol": "{listed}", "venue": "{one.source.venue}"}} follows it',
                    venue=one.source.venue,
                    symbol=listed,
                )
        followed = sorted({symbol for one in wanted for symbol in one.symbols})
        close = _close(
            name, [*followed, *(s for one in wanted for s in _listed(venues.get(one.source.venue)))]
        )
        where = wanted[0].source.key if len(wanted) == 1 else "no open venue"
        said = f"{where} has no {shown!r}" if len(wanted) == 1 else f"{where} has {shown!r}"
        hint = f"close are {_named(close)}" if close else f"followed are {_named(followed)}"
        return Problem("unknown_symbol", f"{said}; {hint}", symbols=(close or followed)[:NAMED])

    def _no_source(self, asked: str) -> Problem:
        """Why a venue is not there, and what would work."""
        board = self.telemetry.board
        replayed = [one.source.key for one in board.sources if one.source.venue.lower() == asked]
        if replayed:
            return Problem("no_data", f"{asked} is only replayed now: ask for venue={replayed[0]}")
        for view in board.venues:
            if view.venue.lower() == asked:
                if view.state == "off":
                    return Problem("no_data", f"{view.venue} is off; it can be connected on the dashboard")
                why = f": {view.detail}" if view.detail else ""
                return Problem("not_ready", f"{view.venue} is {view.state}{why}", retry_after_s=2.0)
        if not board.sources and not board.venues:
            return self._not_ready()
        known = [
            *(one.source.key if one.source.run == "replay" else one.source.venue for one in board.sources)
        ]
        off = [one.venue for one in board.venues if one.venue not in known]
        detail = f"there is no venue {asked[:NAME_MOST]!r}; open are {_named(known)}"
        if off:
            detail += f"; not connected are {_named(off)}"
        return Problem("unknown_venue", detail, venues=known)

    def _not_ready(self) -> Problem:
        engine = self.telemetry.board.engine
        why = f"the engine is {engine.state}{': ' + engine.detail if engine.detail else ''}"
        if engine.state == "running":
            why = "no market is open yet"
        return Problem("not_ready", f"{why}; try again in a moment", retry_after_s=2.0)

    def _no_data(self, source: SourceView, symbol: str) -> Problem:
        why = f": {source.detail}" if source.detail else ""
        detail = f"nothing of {symbol} has come from {source.source.key} yet; it is {source.state}{why}"
        return Problem("no_data", detail)


def plain(name: str) -> str:
    """A name without the signs between its parts, in capitals: BTC-USDT, btc/usdt and BTC_USDT are one."""
    return name.upper().translate(_SIGNS)


def _listed(view: VenueView | None) -> tuple[str, ...]:
    return view.listed if view is not None else ()


def _close(name: str, known: Iterable[str]) -> list[str]:
    """Those of many names that begin alike and look most alike: some 100 ns a name, so that lists of thousands do."""
    asked = name.strip().upper()[:NAME_MOST]
    alike = {symbol for symbol in known if symbol.startswith(asked[:ALIKE])}
    return difflib.get_close_matches(asked, sorted(alike, key=len)[:COMPARED], NAMED)


def _named(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return (", ".join(found[:NAMED]) or "none") + more
