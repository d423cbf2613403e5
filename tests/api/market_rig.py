"""Markets for the tests of the API: live, simulated and replayed sources by hand, on a clock that one can set."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import numpy as np

from engine.access.identity import Identity
from engine.api import market_routes, symbol_routes
from engine.api.arguments import body_of, values_of
from engine.api.ohlc import OhlcHistory
from engine.api.reading import Markets
from engine.api.route import Call, Route
from engine.intake import Intake
from engine.market.batches import CANDLE, LEVEL, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.telemetry.board import VenueView
from engine.telemetry.hub import Telemetry

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_800_000_000 * SECOND  # 2027-01-15T08:00:00Z, a whole minute and hour
SPOT = Source("binance_spot", "live")
BYBIT = Source("bybit_spot", "live")
COINM = Source("binance_coinm", "live")
SIM = Source("builtin", "sim")
REPLAY = Source("binance_spot", "replay")

Levels = list[tuple[int, int]]


def coin(venue: str, decimals: tuple[int, int] = (2, 5), **given: Any) -> Instrument:
    """BTC-USDT at a venue."""
    named = {"symbol": "BTC-USDT", "base": "BTC", "quote": "USDT", "native": "BTCUSDT"} | given
    return Instrument(venue, price_decimals=decimals[0], size_decimals=decimals[1], **named)


def listed(venue: str, state: Any = "live", symbols: tuple[str, ...] = ("BTC-USDT", "ETH-USDT")) -> VenueView:
    """A live market as the board has it."""
    return VenueView(venue, venue.title(), state, "", 0, 0, None, None, (), symbols, (), (), 0, 0, 0)


class Rig:
    """Everything the market routes need, but no server: a call goes through the arguments' checks to its handler."""

    def __init__(self, history: OhlcHistory | None = None) -> None:
        self.now = START
        self.telemetry = Telemetry(START)
        self.telemetry.board.engine = type(self.telemetry.board.engine)(state="running")
        self.intake = Intake(self.telemetry, lambda: self.now)
        self.markets = Markets(self.telemetry, self.intake, lambda: self.now)
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.refusal: Exception | None = None
        self._sequences: dict[tuple[Source, str], int] = {}
        self._trade_id = 0
        routes = (
            *market_routes.routes(self.markets, history or OhlcHistory(None)),
            *symbol_routes.routes(self.markets, self.telemetry, self._command),
        )
        self.routes: dict[str, Route] = {f"{route.method} {route.path}": route for route in routes}

    async def _command(self, name: str, args: dict[str, Any]) -> None:
        self.commands.append((name, args))
        if self.refusal is not None:
            raise self.refusal

    def open(self, source: Source, *instruments: Instrument) -> Rig:
        self.intake.open_source(
            source,
            source.venue.title(),
            instruments or (coin(source.venue),),
            Rule.BINANCE_SPOT,
            lambda ns: ns,
        )
        return self

    def at(self, seconds: float) -> Rig:
        """Move the clock to `seconds` after the start and publish."""
        self.now = START + round(seconds * SECOND)
        self.intake.publish()
        return self

    def snapshot(self, source: Source, bids: Levels, asks: Levels, symbol: str = "BTC-USDT") -> Rig:
        return self._book(Kind.SNAPSHOT, source, bids, asks, symbol, 1)

    def delta(
        self, source: Source, bids: Levels, asks: Levels, symbol: str = "BTC-USDT", skip: int = 0
    ) -> Rig:
        return self._book(Kind.DELTA, source, bids, asks, symbol, 1 + skip)

    def trade(
        self, source: Source, price: int, size: int = 100, side: int = 1, symbol: str = "BTC-USDT"
    ) -> Rig:
        self._trade_id += 1
        row = np.array([(self.now, self.now, self._trade_id, price, size, side)], TRADE)
        self.intake.on_batch(Batch(Kind.TRADES, source, symbol, row))
        return self

    def minutes(self, source: Source, rows: list[tuple[int, ...]], symbol: str = "BTC-USDT") -> Rig:
        """The venue's own minutes: (seconds after the start, open, high, low, close, volume, notional, trades)."""
        made = np.array([(START + at * SECOND, *p, v, 0, n, count) for at, *p, v, n, count in rows], CANDLE)
        self.intake.on_batch(Batch(Kind.CANDLES, source, symbol, made, interval_ns=MINUTE))
        return self

    def _book(self, kind: Kind, source: Source, bids: Levels, asks: Levels, symbol: str, step: int) -> Rig:
        number = self._sequences.get((source, symbol), 0) + step
        self._sequences[source, symbol] = number
        rows = np.array(bids + asks, LEVEL)
        self.intake.on_batch(
            Batch(
                *(kind, source, symbol, rows, len(bids), number, number),
                ts_event_ns=self.now - 5_000_000,
                ts_recv_ns=self.now,
            )
        )
        return self

    def call(self, route: str, query: str = "", body: bytes = b"", **path: str) -> Any:
        """The answer to "GET /tick/{symbol}", checked and handled as a server would; raises Problem."""
        return asyncio.run(self.called(route, query, body, **path))

    async def called(self, route: str, query: str = "", body: bytes = b"", **path: str) -> Any:
        """As `call`, on a loop that runs."""
        found = self.routes[route]
        values = values_of(found, path, query, self.now)
        taken = body_of(found, body, "application/json")
        call = Call(values, taken, Identity("test", "admin"), "127.0.0.1", "request", self.now)
        answer = found.handler(call)
        return await answer if inspect.isawaitable(answer) else answer
