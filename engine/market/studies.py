"""Studies over candles: moving averages, Bollinger bands, VWAP and the volume profile. Pure.

A study counts candles, not seconds: an interval without trades has no candle (`engine.market.candles`), so nothing is
made up for it and the study goes on with the next candle there is. Averages and bands are TA-Lib's over closes, in
float64 around the first close, so that large prices lose nothing; VWAP and the profile are exact whole numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import Rows
from engine.market.candles import WORD

MOST: Final = 6  # studies at once
PERIODS: Final = (2, 200)
WIDTHS: Final = (0.5, 5.0)  # standard deviations of a band
# Candles before the first one shown that an EMA is fed with, in periods: what it began with then weighs
# (1 - 2 / (n + 1)) ** 16n, less than 2e-14: whatever it began with, it comes to the same to all decimals there are.
EMA_WARM_UP: Final = 16
PROFILE_ROWS: Final = 48
VALUE_AREA: Final = (7, 10)  # of the volume
_TOKEN: Final = re.compile(r"(sma|ema|bb)-(\d{1,3})(?:-(\d(?:\.\d)?))?")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Study:
    """One study as its token names it: `sma-20`, `ema-50`, `bb-20-2`, `vwap`, `profile`."""

    kind: str
    period: int = 0
    width: float = 0.0

    @property
    def token(self) -> str:
        """Its only spelling."""
        if not self.period:
            return self.kind
        return f"{self.kind}-{self.period}" + (f"-{self.width:g}" if self.kind == "bb" else "")

    @property
    def warm_up(self) -> int:
        """Candles before the first one shown that its value there rests on."""
        if self.kind == "ema":
            return (EMA_WARM_UP + 1) * self.period
        return max(0, self.period - 1)


def parse(token: str) -> Study | None:
    """The study a token names; None for one that is not known or out of bounds."""
    if token in ("vwap", "profile"):
        return Study(token)
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    kind, period, width = found[1], int(found[2]), float(found[3] or 0)
    if not PERIODS[0] <= period <= PERIODS[1]:
        return None
    if kind != "bb":
        return Study(kind, period) if found[3] is None else None
    return Study(kind, period, width) if WIDTHS[0] <= width <= WIDTHS[1] else None


def parse_all(tokens: list[str]) -> tuple[Study, ...]:
    """The studies that tokens name, each once, the first six; unknown ones are left out."""
    known = dict.fromkeys(study for token in tokens if (study := parse(token)) is not None)
    return tuple(known)[:MOST]


def lines(study: Study, candles: Rows) -> dict[str, Floats]:
    """The lines of an average ("") or a band ("", "upper", "lower") over closes, in price units.

    NaN until there are `period` candles. SMA: mean of the last n. EMA: begins with the mean of the first n, then
    moves by 2 / (n + 1) of the difference. Bands: SMA and `width` standard deviations (of the population, as Bollinger
    has them) round it. About 10 microseconds for 1,000 candles. ValueError for a study that has no lines.
    """
    import talib  # here, since it brings pandas, which costs a start 0.3 s

    if study.kind not in ("sma", "ema", "bb"):
        raise ValueError(f"{study.token} has no lines of its own")
    closes = candles["close"]
    if len(closes) < study.period:
        empty = np.full(len(closes), np.nan)
        return dict.fromkeys(("", "upper", "lower") if study.kind == "bb" else ("",), empty)
    first = int(closes[0])
    moved = (closes - first).astype(np.float64)
    if study.kind == "bb":
        # Two passes over each stretch: sums of squares lose the small differences between large numbers.
        middle = talib.SMA(moved, study.period)
        away = np.full(len(moved), np.nan)
        # Each stretch from its own first close, so that it gives the same to the last bit wherever `candles` begin.
        stretches = np.lib.stride_tricks.sliding_window_view(moved, study.period)
        away[study.period - 1 :] = (stretches - stretches[:, :1]).std(axis=1) * study.width
        return {"": middle + first, "upper": middle + away + first, "lower": middle - away + first}
    average = talib.SMA if study.kind == "sma" else talib.EMA
    return {"": average(moved, study.period) + first}


def notionals(candles: Rows) -> list[int]:
    """Sum of price * size of each candle, exact."""
    words = zip(candles["notional_high"].tolist(), candles["notional_low"].tolist(), strict=True)
    return [(high << WORD) + low for high, low in words]


def running_vwap(candles: Rows) -> list[Fraction | None]:
    """VWAP from the first candle up to each, exact, in price units; None before anything was traded."""
    paid = traded = 0
    out: list[Fraction | None] = []
    for notional, volume in zip(notionals(candles), candles["volume"].tolist(), strict=True):
        paid, traded = paid + notional, traded + volume
        out.append(Fraction(paid, traded) if traded else None)
    return out


def means(candles: Rows) -> list[float | None]:
    """Mean price of each candle by volume, in price units to two decimals; None where it has no volume."""
    pairs = zip(notionals(candles), candles["volume"].tolist(), strict=True)
    return [round(notional / volume, 2) if volume else None for notional, volume in pairs]


@dataclass(frozen=True, slots=True)
class Profile:
    """Volume by price: row i holds prices from `base + i * step` up to the next row, in price units."""

    base: int
    step: int
    volumes: tuple[int, ...]  # size units
    control: int  # the row with most volume, the lowest of equals
    low: int  # the value area: rows low .. high, both in it
    high: int

    @property
    def total(self) -> int:
        """All of the volume."""
        return sum(self.volumes)


def profile(candles: Rows, most_rows: int = PROFILE_ROWS) -> Profile | None:
    """Volume by price of candles as fine as there are; None when nothing traded.

    A candle's volume stands at its mean price, rounded down: of one second that is at most its range from the truth.
    Rows are 1, 2 or 5 times a power of ten units, the least that makes at most `most_rows` + 1 of them. The value area
    grows from the point of control by the larger neighbour, the upper of equals, until it holds 70 % of the volume.
    Whole numbers throughout, without a bound but memory's; about 1 ms for 3,600 candles.
    """
    pairs = [
        (notional // volume, volume)
        for notional, volume in zip(notionals(candles), candles["volume"].tolist(), strict=True)
        if volume > 0
    ]
    if not pairs:
        return None
    lowest, highest = min(price for price, _ in pairs), max(price for price, _ in pairs)
    step = row_step(highest - lowest + 1, most_rows)
    base = lowest - lowest % step
    volumes = [0] * ((highest - base) // step + 1)
    for price, volume in pairs:
        volumes[(price - base) // step] += volume
    control = volumes.index(max(volumes))
    low, high = value_area(volumes, control)
    return Profile(base, step, tuple(volumes), control, low, high)


def row_step(span: int, most_rows: int) -> int:
    """The least of 1, 2, 5, 10, 20 .. of which `most_rows` hold `span`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power * most_rows >= span:
                return digit * power
        power *= 10


def value_area(volumes: list[int], control: int) -> tuple[int, int]:
    """(lowest, highest row) of the least stretch round `control`, grown as `profile` says, that holds 70 %."""
    of, out_of = VALUE_AREA
    total, held = sum(volumes), volumes[control]
    low = high = control
    while held * out_of < total * of:
        above = volumes[high + 1] if high + 1 < len(volumes) else -1
        below = volumes[low - 1] if low else -1
        if above >= below:
            high += 1
            held += above
        else:
            low -= 1
            held += below
    return low, high
