"""Rows of rings and books as messages have them: exact decimal text, and times twice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from engine.api.models import Candle, Tick, Trade
from engine.api.push.messages import Level, iso
from engine.market.batches import BUY, SELL, Rows
from engine.market.candles import notional
from engine.market.instruments import Instrument, format_decimal
from engine.telemetry.board import BookView, SourceView

MS_NS: Final = 1_000_000
_SIDES: Final = {BUY: "buy", SELL: "sell"}


def candle_of(row: Rows, instrument: Instrument, interval: str, final: bool) -> Candle:
    """One CANDLE row, shape (1,), as a message has it."""
    opened, first, high, low, close, volume, _, _, trades = row[0].tolist()
    price, size = instrument.price_decimals, instrument.size_decimals
    return Candle(
        ts=iso(opened),
        ts_ms=opened // MS_NS,
        interval=cast("Any", interval),
        open=format_decimal(first, price),
        high=format_decimal(high, price),
        low=format_decimal(low, price),
        close=format_decimal(close, price),
        volume=format_decimal(volume, size),
        vwap=_vwap(row, volume, price),
        trades=trades,
        final=final,
    )


def candles_of(rows: Rows, instrument: Instrument, interval: str, final: bool) -> list[Candle]:
    """CANDLE rows as messages have them."""
    return [candle_of(rows[at : at + 1], instrument, interval, final) for at in range(len(rows))]


def trades_of(rows: Rows, instrument: Instrument) -> list[Trade]:
    """TRADE rows as messages have them. About 2 us a row."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return [
        Trade(
            ts=iso(event_ns or recv_ns),
            ts_ms=(event_ns or recv_ns) // MS_NS,
            id=number,
            price=format_decimal(at, price),
            size=format_decimal(of, size),
            side=cast("Any", _SIDES.get(aggressor)),
        )
        for event_ns, recv_ns, number, at, of, aggressor in rows.tolist()
    ]


def levels_of(rows: Sequence[tuple[int, int]], instrument: Instrument) -> list[Level]:
    """(price, size) pairs as text; size 0, that of a level that went, is "0"."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return [Level(format_decimal(at, price), format_decimal(of, size) if of else "0") for at, of in rows]


def tick_of(source: SourceView, view: BookView) -> Tick:
    """Best prices and last trade of a book as it was published."""
    instrument = view.instrument
    price, size = instrument.price_decimals, instrument.size_decimals
    bids: list[tuple[int, int]] = view.bids[:1].tolist()
    asks: list[tuple[int, int]] = view.asks[:1].tolist()
    mid = spread = spread_bp = None
    if bids and asks:
        bid, ask = bids[0][0], asks[0][0]
        mid, spread = format_decimal((bid + ask) * 5, price + 1), format_decimal(ask - bid, price)
        spread_bp = round(20_000 * (ask - bid) / (bid + ask), 4) if bid + ask else None
    return Tick(
        venue=source.source.venue,
        source=source.source.key,
        symbol=instrument.symbol,
        state=cast("Any", view.state),
        source_state=source.state,
        sequence=view.sequence,
        bid=format_decimal(bids[0][0], price) if bids else None,
        bid_size=format_decimal(bids[0][1], size) if bids else None,
        ask=format_decimal(asks[0][0], price) if asks else None,
        ask_size=format_decimal(asks[0][1], size) if asks else None,
        last=format_decimal(view.last_price, price) if view.last_trade_ns else None,
        mid=mid,
        spread=spread,
        spread_bp=spread_bp,
        ts=iso(view.ts_event_ns) if view.ts_event_ns else None,
        ts_ms=view.ts_event_ns // MS_NS if view.ts_event_ns else None,
        received_ts=iso(view.ts_recv_ns) if view.ts_recv_ns else None,
        received_ts_ms=view.ts_recv_ns // MS_NS if view.ts_recv_ns else None,
        last_ts=iso(view.last_trade_ns) if view.last_trade_ns else None,
        last_ts_ms=view.last_trade_ns // MS_NS if view.last_trade_ns else None,
    )


def _vwap(row: Rows, volume: int, decimals: int) -> str | None:
    """The mean price by volume, rounded half up to the instrument's decimals and four more."""
    if not volume:
        return None
    more = 4
    return format_decimal((2 * notional(row) * 10**more + volume) // (2 * volume), decimals + more)
