"""What a user says of a bulk history, and what is said back: texts to values, values to texts. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from engine.errors import BadSetting
from engine.market.instruments import Instrument
from engine.moments import UNITS_S
from feeds.dialect import Dialect
from feeds.history_plan import SECOND_NS, Verdict

MOST_SYMBOLS: Final = 1_000


def interval_of(dialect: Dialect, text: str) -> int:
    """`1m`, `4h`, in seconds. BadSetting when the venue has no such candles."""
    parts = re.fullmatch(r"(\d{1,4})([smhdw])", text)
    seconds = int(parts[1]) * UNITS_S[parts[2]] if parts else 0
    if seconds not in dialect.candle_intervals_s:
        known = ", ".join(map(interval_text, dialect.candle_intervals_s))
        raise BadSetting("--interval", text, f"{dialect.label} has candles of {known}")
    return seconds


def interval_text(seconds: int) -> str:
    """60 -> `1m`."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % UNITS_S[unit] == 0)
    return f"{seconds // UNITS_S[unit]}{unit}"


def numbers_of(key: str, text: str, most: int) -> tuple[int, ...]:
    """`1,4,16`: whole numbers from 1 to `most`. BadSetting otherwise."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= most for part in parts):
        raise BadSetting(key, text, f"whole numbers from 1 to {most:,}, with commas between them")
    return tuple(dict.fromkeys(map(int, parts)))


def chosen(listed: Sequence[Instrument], names: Sequence[str]) -> dict[str, Instrument]:
    """The instruments that are named, universally or natively, by universal symbol. BadSetting for unknown ones."""
    known = {instrument.symbol: instrument for instrument in listed}
    native = {instrument.native: instrument for instrument in listed}
    found = {}
    for name in names:
        instrument = known.get(name.upper()) or native.get(name) or native.get(name.upper())
        if instrument is None:
            close = difflib.get_close_matches(name.upper(), [*known, *native], 3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"{len(known):,} symbols are listed"
            raise BadSetting("symbols", name, f"the venue lists none such; {hint}")
        found[instrument.symbol] = instrument
    if not 1 <= len(found) <= MOST_SYMBOLS:
        raise BadSetting("symbols", ", ".join(names), f"1 to {MOST_SYMBOLS:,} of them")
    return found


def sentence_of(verdict: Verdict, interval_s: int) -> str:
    """What a user wants to know of a symbol's candles."""
    text = f"{verdict.symbol}: {verdict.candles:,} of {verdict.expected:,} candles"
    if verdict.wrong:
        text += "; " + ", ".join(verdict.wrong)
    if not verdict.gap_count:
        return text + ", no gaps" if not verdict.wrong else text
    named = ", ".join(
        f"{time_text(first)} to {time_text(last - interval_s * SECOND_NS)}"
        for first, last in verdict.gaps[:3]
    )
    more = f" and {verdict.gap_count - 3:,} more" if verdict.gap_count > 3 else ""
    return f"{text}; {verdict.gap_count:,} gaps: {named}{more}"


def time_text(time_ns: int) -> str:
    """UTC to the second."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one pair of concurrency and batch size achieved."""

    concurrency: int
    batch: int
    candles: int
    calls: int
    seconds: float
    candles_per_s: float
    calls_per_s: float
    mean_ms: float  # of a call, from sending to the whole answer
    p99_ms: float
    waited_ms: float  # of a call for its permit, mean
    weight: int
    refused: int  # answers that say too many: 429, 418, 403, 10006


COLUMNS: Final = (
    ("concurrency", "calls at once", "{:,}"),
    ("batch", "batch", "{:,}"),
    ("candles_per_s", "candles/s", "{:,.0f}"),
    ("calls_per_s", "calls/s", "{:,.1f}"),
    ("mean_ms", "mean ms", "{:,.1f}"),
    ("p99_ms", "p99 ms", "{:,.1f}"),
    ("waited_ms", "held back ms", "{:,.1f}"),
    ("weight", "weight", "{:,}"),
    ("refused", "refused", "{:,}"),
)


def table(cells: Sequence[Cell]) -> str:
    """The cells as aligned text, the fastest marked."""
    fastest = max(cells, key=lambda cell: cell.candles_per_s, default=None)
    lines = [[head for _, head, _ in COLUMNS]]
    lines += [[form.format(getattr(cell, name)) for name, _, form in COLUMNS] for cell in cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = ["  ".join(part.rjust(width) for part, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(
        line + ("  <- most candles" if at and cells[at - 1] is fastest else "")
        for at, line in enumerate(text)
    )
