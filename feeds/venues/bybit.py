"""Bybit's three markets as the machinery sees them: calls, streams and answers. Pure; see `feeds.dialect`.

All three share one REST host, and one budget: 600 calls in 5 s for an address. Each has a WebSocket path of its own.

The book comes from `orderbook.200`: a snapshot at each subscription, then changes each 100 ms (spot: 200 ms), which is
Binance's pace. `orderbook.50` says the same of fewer levels each 20 ms, five to ten times the frames, and the page
shows more than 50 levels; what moves faster, the best prices, comes each 10 ms from `orderbook.1` beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds import levels
from feeds.dialect import Call, Control, Endpoints, KeepAlive, Listing, StreamRules, Topics
from feeds.venues import bybit_rest
from feeds.venues.bybit_frames import DEPTH, BybitDecoder
from feeds.venues.bybit_rows import MS

Market = Literal["bybit_spot", "bybit_linear", "bybit_inverse"]

REST: Final = "https://api.bybit.com"
STREAM: Final = "wss://stream.bybit.com"
BUDGET: Final = "bybit"
MARKS: Final = {
    60: "1", 180: "3", 300: "5", 900: "15", 1_800: "30", 3_600: "60", 7_200: "120", 14_400: "240", 21_600: "360",
    43_200: "720", 86_400: "D",
}  # fmt: skip
CANDLES_MOST: Final = 1_000
RATES_MOST: Final = 200
PAGE: Final = 1_000  # instruments in one answer; spot gives all at once and takes no such argument
SHORT: Final = 1_024  # no control frame is longer
# Topics of one connection may have 21,000 characters together: 500 of the longest names. Spot takes 10 in a message.
KEEP_ALIVE: Final = KeepAlive('{"op":"ping"}', 20.0)
SPOT_STREAMS: Final = StreamRules(
    messages_per_s=10,
    topics_per_message=10,
    topics_per_connection=500,
    keep_alive=KEEP_ALIVE,
    rotate_after_s=0,
)
DERIVATIVE_STREAMS: Final = StreamRules(
    messages_per_s=10,
    topics_per_message=100,
    topics_per_connection=500,
    keep_alive=KEEP_ALIVE,
    rotate_after_s=0,
)


@dataclass(frozen=True, slots=True)
class Place:
    """What tells the markets apart."""

    category: str  # in REST arguments and in the path of the stream
    label: str
    default_symbols: tuple[str, ...]


PLACES: Final[dict[Market, Place]] = {
    "bybit_spot": Place("spot", "Bybit spot", ("BTC-USDT", "ETH-USDT")),
    "bybit_linear": Place("linear", "Bybit linear", ("BTC-USDT-PERP", "ETH-USDT-PERP")),
    "bybit_inverse": Place("inverse", "Bybit inverse", ("BTC-USD-PERP",)),
}


class Reply(msgspec.Struct):
    """What a frame may be besides market data."""

    op: str = ""
    req_id: str = ""
    success: bool | None = None
    ret_msg: str = ""
    topic: str = ""


class Request(msgspec.Struct):
    op: str
    req_id: str
    args: list[str]


_reply: Final = msgspec.json.Decoder(Reply)


class BybitDialect:
    """One of Bybit's markets; see `feeds.dialect.Dialect`."""

    def __init__(self, market: Market) -> None:
        place = PLACES[market]
        self.key: str = market
        self.label = place.label
        self.limits = BUDGET
        self.rule = Rule.BYBIT
        self.streams = SPOT_STREAMS if market == "bybit_spot" else DERIVATIVE_STREAMS
        self.candle_intervals_s = tuple(MARKS)
        self.candles_most = CANDLES_MOST
        self.trades_most = 60 if market == "bybit_spot" else 1_000
        self.default_symbols = place.default_symbols
        self._spot = market == "bybit_spot"
        self._category = place.category

    def endpoints(self, base: str = "") -> Endpoints:
        """The venue's own; with `base` ("http://127.0.0.1:8051"), a local venue's: one for all three markets."""
        if not base:
            return Endpoints(REST, STREAM)
        rest = f"{base.rstrip('/')}/{BUDGET}"
        return Endpoints(rest, "ws" + rest.removeprefix("http"))

    # --- REST --------------------------------------------------------------------------------------------

    def instruments_call(self) -> Call:
        """The first page."""
        return self._call("instruments-info", {} if self._spot else {"limit": PAGE})

    def parse_instruments(self, body: bytes) -> Listing:
        """One page of what is trading, and the call of the next."""
        return bybit_rest.parse_instruments(self.key, self.instruments_call(), body)

    def time_call(self) -> Call:
        """The venue's clock."""
        return Call("/v5/market/time")

    def parse_time(self, body: bytes) -> int:
        """The venue's clock, ns UTC: the only one that is told so finely."""
        return bybit_rest.parse_time(self.key, self.time_call(), body)

    def snapshot_call(self, instrument: Instrument) -> Call | None:  # noqa: ARG002
        """None: the stream brings the book at each subscription, and REST numbers it otherwise."""
        return None

    def candles_call(
        self, instrument: Instrument, interval_s: int, start_ns: int, end_ns: int, most: int
    ) -> Call:
        """Candles that open in [start_ns, end_ns); the venue takes the end as included."""
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "interval": MARKS[interval_s],
            "start": start_ns // MS,
            "end": (end_ns - 1) // MS,
            "limit": min(most, CANDLES_MOST),
        }
        return self._call("kline", arguments)

    def parse_candles(
        self, instrument: Instrument, interval_s: int, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        """CANDLES, oldest first, in the instrument's units."""
        return bybit_rest.parse_candles(
            instrument, Call("/v5/market/kline"), interval_s, body, source, recv_ns
        )

    def first_trade_call(self, instrument: Instrument, start_ns: int) -> Call | None:  # noqa: ARG002
        """None: only the newest trades are to be had."""
        return None

    def parse_first_trade(self, body: bytes) -> int | None:  # noqa: ARG002
        """None: it is never asked for."""
        return None

    def trades_call(self, instrument: Instrument, first_id: int) -> Call:  # noqa: ARG002
        """The newest, as many as the venue gives."""
        return self._call("recent-trade", {"symbol": instrument.native, "limit": self.trades_most})

    def parse_trades(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        """TRADES, oldest first."""
        return bybit_rest.parse_trades(instrument, Call("/v5/market/recent-trade"), body, source, recv_ns)

    def funding_call(self, instrument: Instrument) -> Call | None:
        """The running rate, which is also the predicted one; None for spot and for dated contracts."""
        if self._spot or not instrument.symbol.endswith("-PERP"):
            return None
        return self._call("tickers", {"symbol": instrument.native})

    def parse_funding(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        """FUNDING, one row."""
        return bybit_rest.parse_funding(instrument, Call("/v5/market/tickers"), body, source, recv_ns)

    def funding_history_call(
        self, instrument: Instrument, start_ns: int, end_ns: int, most: int
    ) -> Call | None:
        """Rates that were paid in [start_ns, end_ns)."""
        if self._spot or not instrument.symbol.endswith("-PERP"):
            return None
        arguments: dict[str, str | int] = {
            "symbol": instrument.native,
            "startTime": start_ns // MS,
            "endTime": (end_ns - 1) // MS,
            "limit": min(most, RATES_MOST),
        }
        return self._call("funding/history", arguments)

    def parse_funding_history(
        self, instrument: Instrument, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        """FUNDING, oldest first."""
        call = Call("/v5/market/funding/history")
        return bybit_rest.parse_funding_history(instrument, call, body, source, recv_ns)

    def error_code(self, status: int, body: bytes) -> tuple[int, str]:
        """Bybit says its own code in the body of a 200."""
        return bybit_rest.error_code(status, body)

    def _call(self, name: str, arguments: dict[str, str | int]) -> Call:
        return Call(f"/v5/market/{name}", {"category": self._category, **arguments})

    # --- streams -----------------------------------------------------------------------------------------

    def topics(self, instrument: Instrument) -> tuple[Topics, ...]:
        """Book, best prices, trades, closed minutes; of perpetuals also what tells the funding."""
        native = instrument.native
        book = f"orderbook.{DEPTH}.{native}"
        topics: tuple[str, ...] = (
            book,
            f"orderbook.1.{native}",
            f"publicTrade.{native}",
            f"kline.1.{native}",
        )
        if not self._spot and instrument.symbol.endswith("-PERP"):
            topics = (*topics, f"tickers.{native}")
        return (Topics(f"/v5/public/{self._category}", topics, (book,)),)

    def subscribe(self, topics: Sequence[str], request: str) -> str:
        """The message that asks for topics."""
        return _request("subscribe", topics, request)

    def unsubscribe(self, topics: Sequence[str], request: str) -> str:
        """The message that ends topics."""
        return _request("unsubscribe", topics, request)

    def control(self, frame: bytes) -> Control | None:
        """Acknowledgements, refusals and pongs: they have an `op` and no topic."""
        if len(frame) > SHORT or frame.startswith(b'{"topic"') or b'"op"' not in frame:
            return None
        try:
            reply = _reply.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if reply.topic or not reply.op:
            return None
        if reply.op in ("ping", "pong"):
            return Control("pong", reply.req_id)
        if reply.success is False:
            return Control("refused", reply.req_id, reply.ret_msg)
        return Control("ack", reply.req_id, reply.ret_msg)

    def decoder(self, source: Source, instruments: Sequence[Instrument]) -> BybitDecoder:
        """A decoder of this market's frames."""
        return BybitDecoder(source, instruments)


def _request(op: str, topics: Sequence[str], request: str) -> str:
    return msgspec.json.encode(Request(op, request, list(topics))).decode()


MARKETS: Final = (
    "bybit_spot",
    "bybit_linear",
    "bybit_inverse",
)  # read by `feeds.venues` before this is imported
DIALECTS: Final = tuple(BybitDialect(market) for market in PLACES)


def warm_up() -> None:
    """Compile every kernel the decoder uses."""
    levels.warm_up()
