"""Bybit's texts as rows have them: exact, or a `BadField` that names what is wrong. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import numpy as np

from engine.market.batches import CANDLE, LEVEL, Rows
from engine.market.candles import WORD
from engine.market.instruments import INT64_MAX, Instrument, needed_decimals
from feeds.levels import parse_levels
from feeds.venues.fields import NOTIONAL_LIMIT
from feeds.venues.fields import BadField as BadField
from feeds.venues.fields import rate_of as rate_of
from feeds.venues.fields import scaled as scaled

MS: Final = 1_000_000
MAX_MILLIS: Final = INT64_MAX // MS  # in April of 2262
MAX_DECIMALS: Final = 12  # the finest prices have 10; more would only serve to overflow a book
TURNOVER_DECIMALS: Final = 8  # that the compiled parser takes; it is given with up to 8
CandleTexts = tuple[
    str, str, str, str, str, str, str
]  # start in ms, open, high, low, close, volume, turnover
UNKNOWN: Final = "json"  # the field named where it is no JSON of any shape we know
ID_DIGITS: Final = 15  # hexadecimal: 60 bits
MAX_DIGITS: Final = 32  # on either side of a point


def decoded(decoder: msgspec.json.Decoder[Any], text: bytes | memoryview | msgspec.Raw) -> Any:
    """What the text says in the decoder's shape. BadField naming the innermost field that is missing or wrong."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadField(field_of(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField(UNKNOWN) from error


def field_of(message: str) -> str:
    """The field msgspec complains of: it writes "... `u`" when one is missing, "... - at `$.data.u`" otherwise."""
    missing = re.search(r"field `([^`]+)`", message)
    if missing:
        return missing.group(1)
    at = re.search(r"at `\$\.([^`]+)`", message)
    names = re.findall(r"\.?([A-Za-z]\w*)", at.group(1)) if at else []
    return names[-1] if names else UNKNOWN


def rounded(field: str, text: str, decimals: int) -> int:
    """As `scaled`, but digits behind the last unit are rounded, half up: what the venue computed has many."""
    value = large(field, text, decimals)
    if value > INT64_MAX:
        raise BadField(field)
    return value


def large(field: str, text: str, decimals: int) -> int:
    """As `rounded`, but it may pass int64."""
    whole, point, fraction = text.partition(".")
    for digits in (whole, fraction) if point else (whole,):
        if not digits.isascii() or not digits.isdigit() or len(digits) > MAX_DIGITS:
            raise BadField(field)
    kept = int(whole + fraction[:decimals].ljust(decimals, "0"))
    return kept + (fraction[decimals : decimals + 1] >= "5")


def millis_of(field: str, text: str) -> int:
    """A time in milliseconds, as text, in nanoseconds. BadField when it is none, or past int64."""
    if not text.isascii() or not text.isdigit() or len(text) > 13 or int(text) > MAX_MILLIS:
        raise BadField(field)
    return int(text) * MS


def hours_of(field: str, text: str) -> int:
    """Whole hours, as text, in seconds; at most a year of them."""
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise BadField(field)
    return int(text) * 3600


def decimals_of(field: str, text: str) -> int:
    """How many decimals hold the number. BadField when it is none, or needs more than any of Bybit's."""
    try:
        decimals = needed_decimals(text)
    except ValueError as error:
        raise BadField(field) from error
    if decimals > MAX_DECIMALS or text.startswith("-"):
        raise BadField(field)
    return decimals


def trade_id_of(text: str) -> int:
    """A trade's id as an int64: spot's are numbers, the derivatives' random UUIDs, of which the first 60 bits count."""
    if len(text) < 19 and text.isascii() and text.isdigit():
        return int(text)
    try:
        number = int(text) if text.isdigit() else int(text.replace("-", "")[:ID_DIGITS], 16)
    except ValueError as error:
        raise BadField("i") from error
    if not 0 <= number < 1 << 63:
        raise BadField("i")
    return number


def candle_rows(instrument: Instrument, candles: list[CandleTexts]) -> Rows:
    """CANDLE rows of Bybit's candles, in their order. BadField names what is wrong.

    About 2 us a candle: a thousand of them are one answer, and the loop must not be kept for long. The compiled parser
    takes pairs of a price and a size, so it is given the columns by twos.
    """
    rows = np.zeros(len(candles), CANDLE)
    if not candles:
        return rows
    starts, opens, highs, lows, closes, volumes, turnovers = zip(*candles, strict=True)
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    first = _two_columns(opens, volumes, price_decimals, size_decimals)
    second = _two_columns(highs, turnovers, price_decimals, TURNOVER_DECIMALS)
    third = _two_columns(lows, closes, price_decimals, price_decimals)
    if first is None or second is None or third is None:
        slow = [
            candle_row(instrument, millis_of("start", start), (opened, high, low, close), volume, turnover)
            for start, opened, high, low, close, volume, turnover in candles
        ]
        return np.array(slow, CANDLE)
    rows["ts_open_ns"] = [millis_of("start", start) for start in starts]
    rows["open"], rows["volume"] = first["price"], first["size"]
    rows["high"], rows["low"], rows["close"] = second["price"], third["price"], third["size"]
    totals = [
        notional_of(instrument, size, turnover, TURNOVER_DECIMALS)
        for size, turnover in zip(first["size"].tolist(), second["size"].tolist(), strict=True)
    ]
    if max(totals) >= NOTIONAL_LIMIT:
        raise BadField("turnover")
    rows["notional_high"] = [total >> WORD for total in totals]
    rows["notional_low"] = [total & ((1 << WORD) - 1) for total in totals]
    return rows


def _two_columns(
    left: tuple[str, ...], right: tuple[str, ...], left_decimals: int, right_decimals: int
) -> Rows | None:
    """LEVEL rows of two columns of texts; None where the compiled parser does not take them."""
    pairs = ",".join([f'["{one}","{other}"]' for one, other in zip(left, right, strict=True)])
    out = np.empty(len(left), LEVEL)
    # A text that smuggles quotes in makes another count of pairs.
    count = parse_levels(f"[{pairs}]".encode("utf-8", "replace"), left_decimals, right_decimals, out)
    return out if count == len(left) else None


def notional_of(instrument: Instrument, size: int, turnover: int, turnover_decimals: int) -> int:
    """The sum of price times size, in units of both decimals, of a turnover in units of its own.

    Turnover is in the quote currency, so it is the notional, rounded half up. Inverse contracts are worth 1 USD each
    and their turnover is in the base currency: contracts by turnover is their mean price, and that times the contracts
    is the notional, to within the spread of prices in the candle.
    """
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    if instrument.contracts:
        coins: int = turnover * 10**size_decimals
        return size * size * 10 ** (price_decimals + turnover_decimals) // coins if coins else 0
    missing = price_decimals + size_decimals - turnover_decimals
    unit: int = 10 ** abs(missing)
    return turnover * unit if missing >= 0 else (2 * turnover + unit) // (2 * unit)


def candle_row(
    instrument: Instrument, open_ns: int, prices: tuple[str, str, str, str], volume: str, turnover: str
) -> tuple[int, ...]:
    """One CANDLE row, patiently; Bybit counts no trades. BadField names what is wrong."""
    names = ("open", "high", "low", "close")
    row = [scaled(name, text, instrument.price_decimals) for name, text in zip(names, prices, strict=True)]
    size = rounded("volume", volume, instrument.size_decimals)
    decimals = max(TURNOVER_DECIMALS, len(turnover.partition(".")[2]))
    if decimals > MAX_DIGITS:
        raise BadField("turnover")
    total = notional_of(instrument, size, large("turnover", turnover, decimals), decimals)
    if total >= NOTIONAL_LIMIT:
        raise BadField("turnover")
    return (open_ns, *row, size, total >> WORD, total & ((1 << WORD) - 1), 0)
