"""Candles one trade at a time with Python integers: the slow twin of `engine.market.candles`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PlainCandle:
    ts_open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    notional: int = 0
    trades: int = 0


class PlainCandles:
    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self.running: PlainCandle | None = None
        self.floor_ns = 0
        self.late = 0

    def on_trade(self, when_ns: int, price: int, size: int) -> list[PlainCandle]:
        start = when_ns // self.interval_ns * self.interval_ns
        closed = []
        if self.running and start > self.running.ts_open_ns:
            closed = [self.close()]
        if start < (self.running.ts_open_ns if self.running else self.floor_ns):
            self.late += 1
            return closed
        if self.running is None:
            self.running = PlainCandle(start, price, price, price, price)
        candle = self.running
        candle.high, candle.low, candle.close = max(candle.high, price), min(candle.low, price), price
        candle.volume += size
        candle.notional += price * size
        candle.trades += 1
        return closed

    def advance(self, now_ns: int) -> list[PlainCandle]:
        if self.running and now_ns >= self.running.ts_open_ns + self.interval_ns:
            return [self.close()]
        return []

    def close(self) -> PlainCandle:
        candle = self.running
        assert candle is not None
        self.running, self.floor_ns = None, candle.ts_open_ns + self.interval_ns
        return candle


def plain_roll_up(candles: list[PlainCandle], interval_ns: int) -> list[PlainCandle]:
    out: list[PlainCandle] = []
    for candle in candles:
        start = candle.ts_open_ns // interval_ns * interval_ns
        if not out or out[-1].ts_open_ns != start:
            out.append(PlainCandle(start, candle.open, candle.high, candle.low, candle.close))
        longer = out[-1]
        longer.high, longer.low = max(longer.high, candle.high), min(longer.low, candle.low)
        longer.close = candle.close
        longer.volume += candle.volume
        longer.notional += candle.notional
        longer.trades += candle.trades
    return out
