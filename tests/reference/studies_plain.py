"""Studies as they are defined, in exact fractions, one candle after another."""

from __future__ import annotations

from fractions import Fraction

Trade = tuple[int, int]  # mean price in units, rounded down, and volume


def sma(closes: list[int], period: int) -> list[Fraction | None]:
    """The mean of the last `period` closes."""
    return [
        None if i + 1 < period else Fraction(sum(closes[i + 1 - period : i + 1]), period)
        for i in range(len(closes))
    ]


def ema(closes: list[int], period: int) -> list[Fraction | None]:
    """The mean of the first `period`, then 2 / (period + 1) of the way to each close."""
    out: list[Fraction | None] = []
    value: Fraction | None = None
    for i, close in enumerate(closes):
        if i + 1 == period:
            value = Fraction(sum(closes[:period]), period)
        elif value is not None:
            value += (close - value) * Fraction(2, period + 1)
        out.append(value)
    return out


def variance(closes: list[int], period: int) -> list[Fraction | None]:
    """Of the population of the last `period` closes."""
    out: list[Fraction | None] = []
    for i, mean in enumerate(sma(closes, period)):
        out.append(
            None
            if mean is None
            else sum(((close - mean) ** 2 for close in closes[i + 1 - period : i + 1]), Fraction(0)) / period
        )
    return out


def profile(trades: list[Trade], most_rows: int) -> tuple[dict[int, int], int, int, int, int] | None:
    """(volume by the lowest price of its row, row height, point of control, lowest and highest row of the value area);
    rows named by their lowest price; None when nothing traded.
    """
    trades = [(price, volume) for price, volume in trades if volume]
    if not trades:
        return None
    prices = [price for price, _ in trades]
    span = max(prices) - min(prices) + 1
    step = next(s for k in range(40) for s in (10**k, 2 * 10**k, 5 * 10**k) if s * most_rows >= span)
    rows: dict[int, int] = {}
    for price in range(min(prices) // step * step, max(prices) + 1, step):
        rows[price] = sum(volume for at, volume in trades if price <= at < price + step)
    control = min(rows, key=lambda price: (-rows[price], price))
    low = high = control
    while sum(rows[price] for price in rows if low <= price <= high) * 10 < sum(rows.values()) * 7:
        above, below = rows.get(high + step), rows.get(low - step)
        if below is None or (above is not None and above >= below):
            high += step
        else:
            low -= step
    return rows, step, control, low, high
