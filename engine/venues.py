"""What the engine asks of live venues; `feeds.live` has them. All of it runs on the engine's loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.market.sink import Sink
from engine.telemetry.board import LimitsView, VenueView
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

Note = Callable[[Level, str, str, str], None]  # (level, venue, what, text) into the event log


class Venues(Protocol):
    """Every live market that can be connected. Commands take effect at once, their work goes on in tasks."""

    async def run(self, sink: Sink) -> None:
        """Serve until cancelled: markets that are wanted are connected and kept so; all is closed on the way out."""

    def connect(self, venue: str) -> None:
        """Connect a market, by its key (`binance_spot`). BadCommand when there is none; none when it is on."""

    def disconnect(self, venue: str) -> None:
        """Close a market's connections and forget its data. BadCommand when there is no such market."""

    def add_symbol(self, venue: str, symbol: str) -> None:
        """Follow one more universal symbol (`BTC-USDT-PERP`) or native one. BadCommand when the venue lists none
        such, naming close ones, or when it has as many as it may.
        """

    def remove_symbol(self, venue: str, symbol: str) -> None:
        """Stop following a symbol. BadCommand when it is not followed."""

    def set_poll(self, venue: str, endpoint: str, interval_s: int) -> None:
        """Fetch an endpoint each `interval_s` seconds, 0 = never. BadCommand when out of range or unknown."""

    def views(self, now_ns: int) -> tuple[VenueView, ...]:
        """Every market, in a fixed order, as it stands at the wall time `now_ns`."""


class Limits(Protocol):
    """What the engine shows of the rate limits; `engine.limits.desk.LimitDesk`."""

    def views(self, wall_ns: int) -> tuple[LimitsView, ...]:
        """Every budget as it stands."""

    def close_second(self, telemetry: Telemetry, second_ns: int) -> None:
        """Publish one LIMIT row of each budget for the second that is over."""

    def close(self) -> None:
        """The end: what a next start has to know is stored."""


@dataclass(frozen=True, slots=True)
class LiveMarkets:
    """Live venues and the limits all their calls go through."""

    venues: Venues
    limits: Limits


OpenMarkets = Callable[[Note], LiveMarkets]
