"""Binance's three markets as the machinery sees them: calls, streams and answers. Pure; see `feeds.dialect`.

Spot has one WebSocket base; COIN-M too. USD-M was split: depth and bookTicker come from `/public`, trades,
candles and mark prices from `/market`. Trades are single ones on spot and aggregated ones on futures, where
single ones are not documented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds.dialect import Call, Control, Endpoints, Listing, StreamRules, Topics
from feeds.venues import binance_rest
from feeds.venues.binance import LABELS, BinanceDecoder, Market, rule_of
from feeds.venues.binance_rows import INTERVAL_MARKS

MS: Final = 1_000_000
# Below what the venue takes (5 and 10 messages a second, 1,024 streams), since answers to its pings count too.
SPOT_STREAMS: Final = StreamRules(
    messages_per_s=4, topics_per_message=200, topics_per_connection=1_000, characters_per_message=4_000
)
FUTURES_STREAMS: Final = StreamRules(
    messages_per_s=8, topics_per_message=200, topics_per_connection=200, characters_per_message=4_000
)
SHUTDOWN: Final = b'"serverShutdown"'
SHORT: Final = 512  # no control frame is longer


class Reply(msgspec.Struct):
    """What a frame may be besides market data."""

    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int | msgspec.UnsetType = msgspec.UNSET
    msg: str = ""
    e: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Explained(msgspec.Struct):
    code: int = 0
    msg: str = ""


_reply: Final = msgspec.json.Decoder(Reply)
_explained: Final = msgspec.json.Decoder(Explained)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one market is, and what its paths begin with."""

    rest: str
    stream: str
    prefix: str  # of REST paths
    book_path: str  # of the stream that has the book and its best prices
    trade_path: str  # of the stream that has trades and what is made of them


PLACES: Final[dict[Market, Place]] = {
    "binance_spot": Place(
        "https://api.binance.com", "wss://stream.binance.com:9443", "/api/v3", "/stream", "/stream"
    ),
    "binance_usdm": Place(
        "https://fapi.binance.com", "wss://fstream.binance.com", "/fapi/v1", "/public/stream", "/market/stream"
    ),
    "binance_coinm": Place(
        "https://dapi.binance.com", "wss://dstream.binance.com", "/dapi/v1", "/stream", "/stream"
    ),
}  # fmt: skip
DEFAULT_SYMBOLS: Final[dict[Market, tuple[str, ...]]] = {
    "binance_spot": ("BTC-USDT", "ETH-USDT"),
    "binance_usdm": ("BTC-USDT-PERP", "ETH-USDT-PERP"),
    "binance_coinm": ("BTC-USD-PERP",),
}
MARKS: Final = {seconds: mark for mark, seconds in INTERVAL_MARKS.items()}


class BinanceDialect:
    """One of Binance's markets; see `feeds.dialect.Dialect`."""

    def __init__(self, market: Market) -> None:
        spot = market == "binance_spot"
        self.market = market
        self.key: str = market
        self.label = LABELS[market]
        self.limits: str = market
        self.rule: Rule = rule_of(market)
        self.streams = SPOT_STREAMS if spot else FUTURES_STREAMS
        self.candle_intervals_s = tuple(sorted(seconds for seconds in MARKS if spot or seconds > 1))
        self.candles_most = 1_000 if spot else 1_500
        self.trades_most = 1_000
        self.default_symbols = DEFAULT_SYMBOLS[market]
        self._spot = spot
        self._place = PLACES[market]
        self._trades_path = "/historicalTrades" if spot else "/aggTrades"

    def endpoints(self, base: str = "") -> Endpoints:
        """The venue's own; with `base` ("http://127.0.0.1:8051"), a local venue's for this market."""
        if not base:
            return Endpoints(self._place.rest, self._place.stream)
        rest = f"{base.rstrip('/')}/{self.key}"
        return Endpoints(rest, "ws" + rest.removeprefix("http"))

    # --- REST --------------------------------------------------------------------------------------------

    def instruments_call(self) -> Call:
        """Spot's list of permissions is most of its answer, and not used."""
        return self._call("/exchangeInfo", {"showPermissionSets": "false"} if self._spot else {})

    def parse_instruments(self, body: bytes) -> Listing:
        """Tradable ones only: spot, perpetual and dated."""
        return binance_rest.parse_instruments(self.market, self.instruments_call().endpoint, body)

    def time_call(self) -> Call:
        """The venue's clock."""
        return self._call("/time", {})

    def parse_time(self, body: bytes) -> int:
        """The venue's clock, ns UTC."""
        return binance_rest.parse_time(self.market, self.time_call().endpoint, body)

    def snapshot_call(self, instrument: Instrument) -> Call | None:
        """1,000 levels a side: 50 of spot's 6,000 a minute, 20 of the futures' 2,400: a hundred fit in one."""
        return self._call("/depth", {"symbol": instrument.native, "limit": 1_000})

    def candles_call(
        self, instrument: Instrument, interval_s: int, start_ns: int, end_ns: int, most: int
    ) -> Call:
        """Candles that open in [start_ns, end_ns); the venue takes the end as included."""
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "interval": MARKS[interval_s],
            "startTime": start_ns // MS,
            "endTime": (end_ns - 1) // MS,
            "limit": min(most, self.candles_most),
        }
        return self._call("/klines", arguments)

    def parse_candles(
        self, instrument: Instrument, interval_s: int, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        """CANDLES, oldest first, in the instrument's units."""
        call = f"GET {self._place.prefix}/klines"
        return binance_rest.parse_candles(instrument, call, interval_s, body, source, recv_ns)

    def first_trade_call(self, instrument: Instrument, start_ns: int) -> Call | None:
        """Aggregates are found by time, and name the trades they are made of."""
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "startTime": -(-start_ns // MS),
            "limit": 1,
        }
        return self._call("/aggTrades", arguments)

    def parse_first_trade(self, body: bytes) -> int | None:
        """As the stream numbers it."""
        return binance_rest.parse_first_trade(self.market, f"GET {self._place.prefix}/aggTrades", body)

    def trades_call(self, instrument: Instrument, first_id: int) -> Call:
        """What the stream has: trades on spot, aggregates on futures. Neither takes a key."""
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "fromId": first_id,
            "limit": self.trades_most,
        }
        return self._call(self._trades_path, arguments)

    def parse_trades(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        """TRADES, oldest first."""
        call = f"GET {self._place.prefix}{self._trades_path}"
        return binance_rest.parse_trades(instrument, call, body, source, recv_ns)

    def funding_call(self, instrument: Instrument) -> Call | None:
        """The running rate; None for spot and for dated contracts."""
        if not instrument.symbol.endswith("-PERP"):
            return None
        return self._call("/premiumIndex", {"symbol": instrument.native})

    def parse_funding(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        """FUNDING, one row."""
        call = f"GET {self._place.prefix}/premiumIndex"
        return binance_rest.parse_funding(instrument, call, body, source, recv_ns)

    def funding_history_call(
        self, instrument: Instrument, start_ns: int, end_ns: int, most: int
    ) -> Call | None:
        """Rates that were paid in [start_ns, end_ns)."""
        if not instrument.symbol.endswith("-PERP"):
            return None
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "startTime": start_ns // MS,
            "endTime": (end_ns - 1) // MS,
            "limit": min(most, 1_000),
        }
        return self._call("/fundingRate", arguments)

    def parse_funding_history(
        self, instrument: Instrument, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        """FUNDING, oldest first."""
        call = f"GET {self._place.prefix}/fundingRate"
        return binance_rest.parse_funding_history(instrument, call, body, source, recv_ns)

    def error_code(self, status: int, body: bytes) -> tuple[int, str]:
        """Binance says its own code in the body of a 4xx."""
        return binance_rest.error_code(status, body)

    # --- streams -----------------------------------------------------------------------------------------

    def topics(self, instrument: Instrument) -> tuple[Topics, ...]:
        """Book each 100 ms, best prices at once, trades, the running minute; futures also the mark price."""
        name, place = instrument.native.lower(), self._place
        book = f"{name}@depth@100ms"
        prices = (book, f"{name}@bookTicker")
        deals = (
            (f"{name}@trade", f"{name}@kline_1m")
            if self._spot
            else (f"{name}@aggTrade", f"{name}@kline_1m", f"{name}@markPrice@1s")
        )
        if place.book_path == place.trade_path:
            return (Topics(place.book_path, prices + deals, (book,)),)
        return Topics(place.book_path, prices, (book,)), Topics(place.trade_path, deals)

    def subscribe(self, topics: Sequence[str], request: str) -> str:
        """Asked for by a request, whose id the answer has."""
        return _request("SUBSCRIBE", topics, request)

    def unsubscribe(self, topics: Sequence[str], request: str) -> str:
        """As `subscribe`."""
        return _request("UNSUBSCRIBE", topics, request)

    def control(self, frame: bytes) -> Control | None:
        """Replies are short and have an id or a code; the notice of a shutdown names itself."""
        if len(frame) > SHORT:
            return None
        if frame.startswith((b'{"stream"', b'{"e":"', b'{"u":')):
            return _notice(frame) if SHUTDOWN in frame else None
        try:
            reply = _reply.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        request = "" if reply.id is None else str(reply.id)
        if not isinstance(reply.error, msgspec.UnsetType):
            return Control("refused", request, _sentence(bytes(reply.error)))
        if not isinstance(reply.code, msgspec.UnsetType):
            return Control("refused", request, f"{reply.code}: {reply.msg}")
        if not isinstance(reply.result, msgspec.UnsetType):
            return Control("ack", request)
        return _notice(frame) if SHUTDOWN in frame else None

    def decoder(self, source: Source, instruments: Sequence[Instrument]) -> BinanceDecoder:
        """Trades come aggregated on futures."""
        return BinanceDecoder(source, self.market, instruments, aggregates=not self._spot)

    def _call(self, path: str, arguments: dict[str, str | int]) -> Call:
        return Call(self._place.prefix + path, arguments)


def _request(method: str, topics: Sequence[str], request: str) -> str:
    number: int | str = int(request) if request.isdigit() else request
    return msgspec.json.encode({"method": method, "params": list(topics), "id": number}).decode()


def _notice(frame: bytes) -> Control | None:
    """The venue says that it will close this connection. Asked only of frames that hold the word."""
    try:
        said = _reply.decode(frame)
        if not isinstance(said.data, msgspec.UnsetType):
            said = _reply.decode(said.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return (
        Control("shutdown", text="the venue announced its shutdown") if said.e == "serverShutdown" else None
    )


def _sentence(error: bytes) -> str:
    try:
        said = _explained.decode(error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return error[: binance_rest.SAID_MAX].decode(errors="replace")
    return f"{said.code}: {said.msg}"[: binance_rest.SAID_MAX]


MARKETS: Final = (
    "binance_spot",
    "binance_usdm",
    "binance_coinm",
)  # read by `feeds.venues` before this is imported
DIALECTS: Final = tuple(BinanceDialect(market) for market in PLACES)
