"""A telemetry that tests write by hand: sources, books, counts and latencies, at a time they choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.market.batches import LEVEL, Source
from engine.market.instruments import Instrument
from engine.telemetry.board import BookView, SourceView
from engine.telemetry.hub import Telemetry

SECOND = 10**9
START = 1_795_000_000 * SECOND


class Market:
    """`now_ns` is the wall clock."""

    def __init__(self) -> None:
        self.now_ns = START
        self.telemetry = Telemetry(START)

    def clock(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> int:
        """Time passes, and every source goes on giving data; the time now."""
        self.now_ns += round(seconds * SECOND)
        board = self.telemetry.board
        board.sources = tuple(
            replace(s, newest_ns=self.now_ns) if s.state == "live" else s for s in board.sources
        )
        return self.now_ns

    def source(
        self, venue: str, run: str = "live", state: str = "live", symbols: tuple[str, ...] = ("BTC-USDT",)
    ) -> str:
        """Open a source, or put it into another state; its key."""
        source = Source(venue, run)
        board = self.telemetry.board
        view = SourceView(
            source=source, label=venue, colour=1, opened_ns=self.now_ns, state=state, detail="",
            since_ns=self.now_ns, newest_ns=self.now_ns, clock=lambda wall_ns: wall_ns, symbols=symbols,
            stages=("ack", "match") if run == "sim" else ("receive", "decode"),
            books_synced=1, frames=0, gaps=0, resyncs=0, dropped=0, malformed=0,
            offset_ns=None, agreement=(0, 0), unchecked=0, late=0, levels_dropped=0,
        )  # fmt: skip
        board.sources = (*(s for s in board.sources if s.source != source), view)
        return source.key

    def close(self, key: str) -> None:
        board = self.telemetry.board
        board.sources = tuple(s for s in board.sources if s.source.key != key)

    def book(
        self,
        key: str,
        bid: int | None,
        ask: int | None,
        *,
        last: int = 0,
        decimals: int = 2,
        state: str = "SYNCED",
        symbol: str = "BTC-USDT",
    ) -> BookView:
        """Put a book of one level a side on the board; prices in units of its decimals."""
        base, quote = symbol.split("-")[:2]
        view = BookView(
            instrument=Instrument(key.partition(":")[0], symbol, base, quote, decimals, 5),
            state=state, sequence=1, ts_event_ns=0, ts_recv_ns=self.now_ns, bids=_side(bid), asks=_side(ask),
            counts=(1, 1), candle=None, last_price=last, last_trade_ns=0, outages=(),
        )  # fmt: skip
        self.telemetry.board.books[key, symbol] = view
        return view


def _side(price: int | None) -> np.ndarray:
    rows = np.zeros(0 if price is None else 1, LEVEL)
    if price is not None:
        rows["price"] = price
        rows["size"] = 1
    return rows
