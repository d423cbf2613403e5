"""The routes of symbols: which can be followed, which are, to follow one more, to follow one no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from engine.api import answers, models
from engine.api.arguments import NAMED_MOST
from engine.api.market_routes import SYMBOL, VENUE
from engine.api.problems import Problem
from engine.api.reading import Markets
from engine.api.route import Call, Parameter, Route
from engine.errors import BadCommand
from engine.telemetry.board import SourceView, VenueView
from engine.telemetry.hub import Telemetry

Command = Callable[
    [str, dict[str, Any]], Awaitable[Any]
]  # an engine's command, done on its loop; raises BadCommand

LISTED_MOST: Final = 5_000


class SymbolRoutes:
    """Handlers over the board and the engine's commands."""

    def __init__(self, markets: Markets, telemetry: Telemetry, command: Command) -> None:
        self._markets, self._telemetry, self._command = markets, telemetry, command

    def available(self, call: Call) -> models.AvailableSymbols:
        """What each venue lists."""
        given, board = call.arguments, self._telemetry.board
        live = {one.source.venue: one for one in board.sources if one.source.run == "live"}
        found = [
            self._listed(source.source.venue, source.label, source.state, source.symbols, given)
            for source in board.sources
            if source.source.run == "sim"
        ]
        for view in board.venues:
            source_view = live.get(view.venue)
            state = answers.venue_state(view, source_view)
            found.append(self._listed(view.venue, view.label, state, view.listed, given))
        if given["venue"]:
            wanted = given["venue"].strip().lower().removesuffix(":live").removesuffix(":sim")
            known = [one.venue for one in found]
            found = [one for one in found if one.venue.lower() == wanted]
            if not found:
                raise Problem(
                    "unknown_venue",
                    f"there is no venue {wanted[:40]!r}; there are {', '.join(known) or 'none yet'}",
                    venues=known,
                )
        return models.AvailableSymbols(venues=found)

    @staticmethod
    def _listed(
        venue: str, label: str, state: str, symbols: tuple[str, ...], given: Any
    ) -> models.AvailableVenue:
        return answers.available_venue(venue, label, state, symbols, given["contains"], given["limit"])

    def active(self, call: Call) -> models.ActiveSymbols:
        """Every symbol that is followed."""
        venue = call.arguments["venue"]
        sources = (self._markets.source(venue),) if venue else self._markets.sources(replays=True)
        found = []
        for source in sources:
            for symbol in source.symbols:
                state = self._markets.intake.state_of(source.source, symbol)
                if state is not None:  # it may have been removed since the sources were published
                    found.append(answers.active_symbol(source, symbol, state.instrument, state.state.name))
        return models.ActiveSymbols(symbols=found)

    async def add(self, call: Call) -> models.SymbolChange:
        """Follow one more symbol of a live market."""
        wanted: models.NewSymbol = call.body
        view = self._live(wanted.venue) if wanted.venue.strip() else self._listing(wanted.symbol)
        name = self._markets.listed_as(view, wanted.symbol) or wanted.symbol.strip()
        try:
            await self._command("add_symbol", {"venue": view.venue, "symbol": name})
        except BadCommand as error:
            raise self._refused(view, name, error) from error
        if view.state == "off":
            detail = (
                f"{name} is followed as soon as {view.label} is connected, which is done on the dashboard"
            )
            return models.SymbolChange(venue=view.venue, symbol=name, state="waiting", detail=detail)
        return models.SymbolChange(
            venue=view.venue, symbol=name, state="followed", detail=f"{view.label} follows {name}"
        )

    async def remove(self, call: Call) -> models.SymbolChange:
        """Follow a symbol no more. Where no venue is named, one alone may follow it."""
        given = call.arguments
        view, name = self._followed(given["venue"], given["symbol"])
        try:
            await self._command("remove_symbol", {"venue": view.venue, "symbol": name})
        except BadCommand as error:
            raise Problem("not_subscribed", f"{error}") from error
        return models.SymbolChange(
            venue=view.venue, symbol=name, state="removed", detail=f"{view.label} follows {name} no more"
        )

    def _followed(self, venue: str, symbol: str) -> tuple[VenueView, str]:
        live = [one for one in self._telemetry.board.sources if one.source.run == "live"]
        if venue:
            view = self._live(venue)
            source = next((one for one in live if one.source.venue == view.venue), None)
            return view, self._markets.symbol(source, symbol) if source is not None else symbol.strip()
        having: list[tuple[SourceView, str]] = []
        for one in live:
            name = self._markets.followed_as(one, symbol)
            if name is not None:
                having.append((one, name))
        if not having:
            source, name = self._markets.find("", symbol)  # says why where nobody has it
            raise Problem(
                "conflict", f"{name} is of {source.source.key}: only live markets' symbols can be removed"
            )
        if len(having) > 1:
            venues = ", ".join(one.source.venue for one, _ in having)
            raise Problem(
                "bad_argument", f"{having[0][1]} is followed at {venues}: name one by venue", argument="venue"
            )
        source, name = having[0]
        return self._markets.venue(source.source.venue), name

    def _listing(self, symbol: str) -> VenueView:
        """The first live market that lists the symbol; Problem bad_argument, with what to name, where there is none."""
        venues = self._telemetry.board.venues
        listing = [one for one in venues if self._markets.listed_as(one, symbol) is not None]
        found = next((one for one in listing if one.state == "live"), None)
        if found is not None:
            return found
        if not venues:
            return self._markets.venue("")  # says that there are none
        shown = symbol.strip()[:NAMED_MOST]
        if listing:
            why = f"{', '.join(one.venue for one in listing)} list{'s' * (len(listing) == 1)} it, and none is live now"
        else:
            why = f"it may be {', '.join(one.venue for one in venues)}"
        raise Problem(
            "bad_argument",
            f"no live venue lists {shown!r}: name the one that is meant by venue; {why}",
            argument="venue",
        )

    def _live(self, venue: str) -> VenueView:
        """The live market; Problem conflict for the built-in exchange and for replays, which list what they have."""
        asked = venue.strip().lower()
        for one in self._telemetry.board.sources:
            if one.source.run != "live" and asked in (one.source.key, one.source.venue):
                if any(view.venue == asked for view in self._telemetry.board.venues):
                    break
                live = ", ".join(view.venue for view in self._telemetry.board.venues) or "none here"
                raise Problem(
                    "conflict", f"{one.source.key} has its own symbols, which stay; live markets are {live}"
                )
        return self._markets.venue(asked)

    def _refused(self, view: VenueView, name: str, error: BadCommand) -> Problem:
        if view.listed and self._markets.listed_as(view, name) is None:
            return Problem("unknown_symbol", str(error), venue=view.venue)
        return Problem("conflict", str(error), venue=view.venue)


def routes(markets: Markets, telemetry: Telemetry, command: Command) -> tuple[Route, ...]:
    """All routes of symbols. `command` does an engine's command on the loop."""
    symbols = SymbolRoutes(markets, telemetry, command)
    return (
        Route(
            "GET",
            "/symbols/available",
            "read",
            "Symbols",
            "What each venue lists and could be followed",
            symbols.available,
            models.AvailableSymbols,
            parameters=(
                Parameter(
                    "contains", "query", "text", "Only symbols with this in them", default="", example="SOL"
                ),
                Parameter(
                    "limit",
                    "query",
                    "whole",
                    "Symbols of a venue at most",
                    default=LISTED_MOST,
                    least=1,
                    most=LISTED_MOST,
                    example="20",
                ),
                VENUE,
            ),
            problems=("unknown_venue",),
        ),
        Route(
            "GET",
            "/symbols",
            "read",
            "Symbols",
            "Every symbol that is followed",
            symbols.active,
            models.ActiveSymbols,
            parameters=(VENUE,),
            problems=("unknown_venue", "not_ready"),
        ),
        Route(
            "POST",
            "/add_symbol",
            "trade",
            "Symbols",
            "Follow one more symbol of a live market",
            symbols.add,
            models.SymbolChange,
            body=models.NewSymbol,
            problems=("bad_argument", "unknown_venue", "unknown_symbol", "conflict"),
        ),
        Route(
            "DELETE",
            "/remove_symbol/{symbol}",
            "trade",
            "Symbols",
            "Follow a symbol no more",
            symbols.remove,
            models.SymbolChange,
            parameters=(SYMBOL, VENUE),
            problems=("unknown_venue", "unknown_symbol", "not_subscribed", "conflict", "not_ready"),
        ),
    )
