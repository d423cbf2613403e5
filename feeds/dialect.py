"""All that differs between venues: one market's calls, streams and answers, as pure functions.

`feeds/venues/<venue>.py` has one `Dialect` for each market of the venue; the machinery (`feeds/live.py`,
`feeds/stream.py`, `feeds/rest.py`, `feeds/history.py`) knows nothing else of it. Nothing here reads a clock or
opens a socket. Parsers raise `BadAnswer` naming the field for a body of another form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import BadFrame
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds.frames import Frames

Decoded = Batch | Instrument | BadFrame


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a market is: bases without a slash at the end."""

    rest: str  # "https://api.binance.com"
    stream: str  # "wss://stream.binance.com:9443"


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call, as the limits file names its endpoint: method and path, arguments apart."""

    path: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    method: str = "GET"

    @property
    def endpoint(self) -> str:
        """`GET /api/v3/depth`."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue lists, or one page of it."""

    instruments: tuple[Instrument, ...]  # tradable ones, with tick, lot and decimals
    limits: tuple[tuple[str, int, int], ...] = ()  # announced: (type, window in seconds, limit)
    more: Call | None = None  # the next page


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What the client has to say so that the venue keeps the connection: a text each so many seconds."""

    text: str
    every_s: float


@dataclass(frozen=True, slots=True)
class StreamRules:
    """How a venue wants its WebSocket connections used."""

    messages_per_s: float  # that it takes from us on one connection, pings included
    topics_per_message: int
    topics_per_connection: int
    characters_per_message: int = 21_000
    keep_alive: KeepAlive | None = None
    rotate_after_s: float = 23.5 * 3600  # before the venue's own cut; 0 = it has none
    silent_after_s: float = 6.0  # without data, a stream that should move is dead


@dataclass(frozen=True, slots=True)
class Topics:
    """What one instrument needs on one connection path."""

    path: str  # below `Endpoints.stream`: "/public/stream", "/v5/public/linear"
    topics: tuple[str, ...]
    book: tuple[
        str, ...
    ] = ()  # of these, those that carry the book: resubscribed where the snapshot is streamed


@dataclass(frozen=True, slots=True)
class Control:
    """A frame that is no market data: what it says of the connection."""

    kind: str  # "ack", "refused", "pong", "shutdown"
    request: str = ""  # the id of what it answers
    text: str = ""


class Decoder(Protocol):
    """Frames of one market into batches; keeps units and counters, nothing of the market."""

    def decode(self, frames: Frames) -> list[Decoded]:
        """As `BinanceDecoder.decode`. Never raises for bad input."""
        ...

    def snapshot(self, symbol: str, body: bytes, recv_ns: int) -> list[Decoded]:
        """A REST book snapshot of one symbol, which it may not name."""
        ...

    def add(self, instrument: Instrument) -> None:
        """Take frames of one more instrument. ValueError when there is no room."""
        ...

    def remove(self, symbol: str) -> None:
        """Frames of the symbol are ignored from here on."""
        ...

    @property
    def instruments(self) -> list[Instrument]:
        """In the revisions decoded so far."""
        ...


class Dialect(Protocol):
    """One market of a venue."""

    key: str  # "binance_spot": the source's venue
    label: str
    limits: str  # the entry of the limits file whose budget it spends
    rule: Rule
    streams: StreamRules
    candle_intervals_s: tuple[int, ...]  # that the venue offers, ascending
    candles_most: int  # in one call
    trades_most: int  # in one call of `trades_call`
    default_symbols: tuple[str, ...]  # followed when the settings name none

    def endpoints(self, base: str = "") -> Endpoints:
        """The venue's own; with `base` ("http://127.0.0.1:8051"), a local venue's for this market."""
        ...

    def instruments_call(self) -> Call: ...
    def parse_instruments(self, body: bytes) -> Listing: ...

    def time_call(self) -> Call: ...
    def parse_time(self, body: bytes) -> int:
        """The venue's clock, ns UTC."""
        ...

    def snapshot_call(self, instrument: Instrument) -> Call | None:
        """The book by REST; None where the stream brings it at each subscription."""
        ...

    def candles_call(
        self, instrument: Instrument, interval_s: int, start_ns: int, end_ns: int, most: int
    ) -> Call: ...
    def parse_candles(
        self, instrument: Instrument, interval_s: int, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        """CANDLES, oldest first, in the instrument's units."""
        ...

    def first_trade_call(self, instrument: Instrument, start_ns: int) -> Call | None:
        """Asks for the number of the first trade at or after a time; None where trades are not found by number."""
        ...

    def parse_first_trade(self, body: bytes) -> int | None:
        """Its number; None when nothing has traded since."""
        ...

    def trades_call(self, instrument: Instrument, first_id: int) -> Call:
        """Trades from this number on, the oldest `trades_most`; where they are not found by number, the newest."""
        ...

    def parse_trades(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        """TRADES as the stream numbers them, oldest first, in the instrument's units."""
        ...

    def funding_call(self, instrument: Instrument) -> Call | None:
        """The running rate; None where there is no funding."""
        ...

    def parse_funding(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch: ...
    def funding_history_call(
        self, instrument: Instrument, start_ns: int, end_ns: int, most: int
    ) -> Call | None: ...
    def parse_funding_history(
        self, instrument: Instrument, body: bytes, source: Source, recv_ns: int
    ) -> Batch: ...

    def error_code(self, status: int, body: bytes) -> tuple[int, str]:
        """(the venue's code, its sentence) of an answer that is no success; (0, "") when the body is one.

        Bybit answers 200 with `retCode` 10006, Binance 4xx with `code`.
        """
        ...

    def topics(self, instrument: Instrument) -> tuple[Topics, ...]: ...
    def subscribe(self, topics: Sequence[str], request: str) -> str: ...
    def unsubscribe(self, topics: Sequence[str], request: str) -> str: ...
    def control(self, frame: bytes) -> Control | None:
        """What a frame says that is no market data; None when it is market data or unknown. Cheap to ask."""
        ...

    def decoder(self, source: Source, instruments: Sequence[Instrument]) -> Decoder: ...
