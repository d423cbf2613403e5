"""Live markets of venues: what is connected, how it goes, and what can be followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dashboards.streams.common import Json, head, ms
from dashboards.view import NS_A_SECOND, View
from engine.telemetry.board import Board, LimitsView, SourceView, VenueView
from engine.telemetry.events import Event

SYNCED: Final = "SYNCED"
FAILURES: Final = frozenset(("snapshot", "poll"))  # events that tell of a call that failed


class Market(NamedTuple):
    """How a live market is shown: its fixed colour, its venue and its name beside the venue's."""

    colour: int
    venue: str
    short: str
    budget: str  # whose limits its calls have to fit


MARKETS: Final = {
    "binance_spot": Market(1, "Binance", "Spot", "binance_spot"),
    "binance_usdm": Market(2, "Binance", "USD-M", "binance_usdm"),
    "binance_coinm": Market(3, "Binance", "COIN-M", "binance_coinm"),
    "bybit_spot": Market(4, "Bybit", "Spot", "bybit"),
    "bybit_linear": Market(5, "Bybit", "Linear", "bybit"),
    "bybit_inverse": Market(6, "Bybit", "Inverse", "bybit"),
}
OTHER_COLOUR: Final = 7


def market_of(venue: VenueView) -> Market:
    """How a market is shown; one that is not in the table by its own label, in the colour of others."""
    return MARKETS.get(venue.venue) or Market(OTHER_COLOUR, "", venue.label, venue.limits or venue.venue)


def budget_colour(budget: str) -> int:
    """Colour of a budget: that of the first market that spends it."""
    return next((m.colour for m in MARKETS.values() if m.budget == budget), OTHER_COLOUR)


def live_source(view: View, venue: str) -> SourceView | None:
    """The source of a connected market; None while it has none."""
    return next((s for s in view.sources if s.source.venue == venue and s.source.run == "live"), None)


def connected_budgets(venues: tuple[VenueView, ...]) -> set[str]:
    """Budgets that a connected market spends."""
    return {market_of(venue).budget for venue in venues if venue.state != "off"}


def moment(at_ns: int) -> float | None:
    """A wall-clock time in ms; None for 0, which stands for none."""
    return ms(at_ns) if at_ns else None


# --- what every answer carries --------------------------------------------------------------------------------


def venue_fields(view: View) -> list[Json]:
    """Every live market as the bar shows it."""
    found = []
    for venue in view.venues:
        market = market_of(venue)
        synced = sum(symbol.state == SYNCED for symbol in venue.symbols)
        found.append(
            {
                "id": venue.venue,
                "source": f"{venue.venue}:live",
                "label": venue.label,
                "venue": market.venue,
                "short": market.short,
                "colour": market.colour,
                "budget": market.budget,
                "state": venue.state,
                "detail": venue.detail,
                "since": ms(venue.since_ns),
                "next_try": moment(venue.next_try_ns),
                "books": [synced, len(venue.symbols)],
            }
        )
    return found


def ban_fields(view: View) -> list[Json]:
    """Budgets whose venue refuses this address for a while."""
    return [
        {
            "id": limits.venue,
            "label": limits.label,
            "until": ms(limits.banned_until_ns),
            "reason": limits.ban_reason,
            "waiting": limits.waiting,
        }
        for limits in view.limits
        if is_banned(limits, view.wall_ns)
    ]


def is_banned(limits: LimitsView, wall_ns: int) -> bool:
    """Whether a ban holds at this moment: one whose end has passed is over, whatever the state still says."""
    return limits.banned_until_ns > wall_ns


# --- the off-canvas -------------------------------------------------------------------------------------------


def venues(view: View, cursor: Json) -> tuple[Json, Json]:
    """Every live market in full: symbols, polls; whole, once a second and when something changed."""
    rows = [venue_row(venue) for venue in view.venues]
    place = f"{view.epoch}|{view.wall_ns // NS_A_SECOND}|{hash(view.venues)}"
    stream = head(view, view.epoch, cursor, view.wall_ns, len(rows), wall=True)
    if cursor.get("s") != place:
        stream |= {"rows": rows}
    return stream, {"k": view.epoch, "s": place}


def venue_row(venue: VenueView) -> Json:
    """One market: what is followed, what is polled, what its connections are."""
    return {
        "id": venue.venue,
        "symbols": [
            {"symbol": s.symbol, "native": s.native, "state": s.state, "waiting": s.waiting}
            for s in venue.symbols
        ],
        "listed": len(venue.listed),
        "offset_ms": ms(venue.offset_ns) if venue.offset_ns is not None else None,
        "round_trip_ms": ms(venue.round_trip_ns) if venue.round_trip_ns is not None else None,
        "streams": [sum(stream.state == "open" for stream in venue.streams), len(venue.streams)],
        "frames_per_s": round(sum(stream.frames_per_s for stream in venue.streams), 1),
        "snapshots": [venue.snapshots_waiting, venue.snapshots_done, venue.snapshots_failed],
        "polls": [
            {
                "endpoint": poll.endpoint,
                "call": poll.call,
                "interval_s": poll.interval_s,
                "last": moment(poll.last_ns),
                "next": moment(poll.next_ns),
                "error": poll.error,
                "done": poll.done,
                "failed": poll.failed,
            }
            for poll in venue.polls
        ],
    }


def listing(view: View, cursor: Json) -> tuple[Json, Json]:
    """What each market lists; only the lists that changed since the cursor."""
    known = cursor.get("of") if cursor.get("k") == view.epoch else {}
    known = known if isinstance(known, dict) else {}
    marks = {venue.venue: f"{len(venue.listed)}.{hash(venue.listed)}" for venue in view.venues}
    fresh = {
        venue.venue: list(venue.listed)
        for venue in view.venues
        if known.get(venue.venue) != marks[venue.venue]
    }
    stream = head(view, view.epoch, cursor, view.wall_ns, sum(map(len, fresh.values())), wall=True)
    if fresh:
        stream |= {"lists": fresh}
    return stream, {"k": view.epoch, "of": marks}


# --- the health page ------------------------------------------------------------------------------------------


def connection_tables(board: Board, events: Sequence[Event] = ()) -> Json:
    """Streams of connected markets, and each market's clock, books and snapshots; rows as the health page lists
    them. `events`, oldest first, tell what failed last.
    """
    sources = {s.source.venue: s for s in board.sources if s.source.run == "live"}
    failures = {event.source.partition(":")[0]: event for event in events if event.what in FAILURES}
    on = [venue for venue in board.venues if venue.state != "off"]
    return {
        "streams": [stream_row(venue, place) for venue in on for place in streams_of(venue)],
        "venues": [clock_row(venue, sources.get(venue.venue), failures.get(venue.venue)) for venue in on],
    }


def streams_of(venue: VenueView) -> list[Any]:
    """Its connections; one empty place for a market that has none yet, so that it is listed all the same."""
    return list(venue.streams) or [None]


def stream_row(venue: VenueView, stream: Any) -> Json:
    """One connection. A market without one tells its own state and reason."""
    market = market_of(venue)
    return {
        "id": venue.venue,
        "label": venue.label,
        "colour": market.colour,
        "stream": stream.name if stream else "",
        "state": stream.state if stream else venue.state,
        "since": moment(stream.since_ns if stream else venue.since_ns),
        "newest": moment(stream.newest_ns) if stream else None,
        "frames": stream.frames if stream else 0,
        "frames_per_s": round(stream.frames_per_s, 1) if stream else None,
        "bytes": stream.size_bytes if stream else 0,
        "subscriptions": stream.subscriptions if stream else 0,
        "reconnects": stream.reconnects if stream else 0,
        "rotations": stream.rotations if stream else 0,
        "stalls": stream.stalls if stream else 0,
        "dropped": stream.dropped if stream else 0,
        "next_try": moment(stream.next_try_ns if stream else venue.next_try_ns),
        "reason": stream.reason if stream else venue.detail,
    }


def state_of(venue: VenueView, source: SourceView | None) -> str:
    """The state of a market as its chip tells it: connected, that of its data."""
    if venue.state != "live":
        return venue.state
    return source.state if source is not None and source.state != "loading" else "connecting"


def last_error(venue: VenueView, source: SourceView | None, failure: Event | None) -> tuple[str, int]:
    """(what failed last since it was connected, when by the wall clock): a snapshot, else what is polled, which has
    no time of its own; ("", 0) when nothing did.
    """
    if failure is not None and (source is None or failure.ts_ns >= source.opened_ns):
        return failure.text, failure.ts_ns
    failing = next((poll for poll in venue.polls if poll.interval_s and poll.error), None)
    return (f"{failing.endpoint}: {failing.error}", 0) if failing else ("", 0)


def clock_row(venue: VenueView, source: SourceView | None, failure: Event | None) -> Json:
    """One market's clock, books, snapshots and polls."""
    market = market_of(venue)
    polled = [poll for poll in venue.polls if poll.interval_s]
    error, error_ns = last_error(venue, source, failure)
    return {
        "id": venue.venue,
        "label": venue.label,
        "colour": market.colour,
        "state": state_of(venue, source),
        "since": ms(venue.since_ns),
        "offset_ms": ms(venue.offset_ns) if venue.offset_ns is not None else None,
        "round_trip_ms": ms(venue.round_trip_ns) if venue.round_trip_ns is not None else None,
        "books_synced": sum(symbol.state == SYNCED for symbol in venue.symbols),
        "books": len(venue.symbols),
        "gaps": source.gaps if source is not None else None,
        "snapshots_waiting": venue.snapshots_waiting,
        "snapshots_done": venue.snapshots_done,
        "snapshots_failed": venue.snapshots_failed,
        "polled": len(polled),
        "polls_failed": sum(poll.failed for poll in venue.polls),
        "error": error,
        "error_at": moment(error_ns),
    }
