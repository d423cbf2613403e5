"""What the engine asks of live venues; `feeds.live` has them. All of it runs on the engine's loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.market.batches import Rows
from engine.market.instruments import Instrument
from engine.market.sink import Sink
from engine.telemetry.board import LimitsView, VenueView
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

Note = Callable[[Level, str, str, str], None]  # (level, venue, what, text) into the event log


@dataclass(frozen=True, slots=True)
class Filled:
    """What was fetched afterwards of a hole in a symbol's data. Prices and sizes are in `instrument`'s units."""

    instrument: Instrument
    trades: Rows  # TRADE, oldest first, numbered as the stream numbers them; none that was known before
    candles: Rows  # CANDLE, the venue's own, closed ones, oldest first: they cover the hole and its edges
    interval_ns: int  # of the candles
    complete: bool  # every trade of the hole is there
    detail: str  # what there is and what there is not, as a sentence


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

    async def backfill(
        self, venue: str, symbol: str, from_ns: int, to_ns: int, *, after_id: int = 0, before_id: int = 0
    ) -> Filled:
        """Fetch what a hole in [from_ns, to_ns), by the venue's clock, has left out, as far as the venue still has it.

        `after_id` and `before_id` are the numbers of the last trade before the hole and the first one behind it, 0 =
        not known: with them the edges are exact, else trades are told by their times. Waits its turn, and goes easy
        on the limits: it may take minutes, and can be cancelled. BadCommand when the market is not connected, lists
        no such symbol, or too many wait; what a venue fails to answer is no error, but said in `detail`.
        """

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
