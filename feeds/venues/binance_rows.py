"""Binance's numbers and times as rows have them: exact, or a `BadField` that names what is wrong. Pure."""

from __future__ import annotations

from typing import Final

from engine.market.candles import WORD
from engine.market.instruments import INT64_MAX, Instrument, needed_decimals
from feeds.venues.fields import NOTIONAL_LIMIT
from feeds.venues.fields import BadField as BadField
from feeds.venues.fields import rate_of as rate_of
from feeds.venues.fields import scaled as scaled

MAX_DECIMALS: Final = 10  # Binance gives 8; more would only serve to overflow a book
MAX_MILLIS: Final = INT64_MAX // 1_000_000  # above, times are microseconds: spot offers them
TIME_LIMIT: Final = INT64_MAX // 1_000  # in microseconds: nanoseconds reach to the year 2262
# Those whose opening times are aligned to the interval: not weeks, nor months.
INTERVAL_MARKS: Final = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "2h": 7_200,
    "4h": 14_400, "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400,
}  # fmt: skip


def nanoseconds(time: int) -> int:
    """Nanoseconds of a venue time in milli- or microseconds."""
    return time * 1_000_000 if time <= MAX_MILLIS else time * 1000


def rounded(field: str, text: str, decimals: int) -> int:
    """As `scaled`, but digits behind the last unit are rounded, half up."""
    try:
        needed = needed_decimals(text)
    except ValueError as error:
        raise BadField(field) from error
    if needed <= decimals:
        return scaled(field, text, decimals)
    whole, _, fraction = text.partition(".")
    kept = f"{whole}.{fraction[:decimals]}" if decimals else whole
    value = scaled(field, kept, decimals) + (fraction[decimals] >= "5")
    if value > INT64_MAX:
        raise BadField(field)
    return value


def is_zero(field: str, text: str) -> bool:
    """Whether decimal text is 0."""
    try:
        return needed_decimals(text) == 0 and int(text.partition(".")[0]) == 0
    except ValueError as error:
        raise BadField(field) from error


def candle_row(
    field: str, instrument: Instrument, open_ns: int, texts: tuple[str, str, str, str, str, str], trades: int
) -> tuple[int, ...]:
    """One CANDLE row of (open, high, low, close, volume, other volume) in the instrument's units.

    The other volume is in the quote currency, so it is the notional itself. COIN-M says contracts and then the
    base currency; a contract is worth a fixed sum of the quote, which tells their mean price, and that times
    the contracts is the notional, to within the spread of prices in the candle.
    """
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    prices = [scaled(field, text, price_decimals) for text in texts[:4]]
    volume = scaled(field, texts[4], size_decimals)
    if not instrument.contracts:
        total = rounded(field, texts[5], min(price_decimals + size_decimals, 18))
        total *= 10 ** max(0, price_decimals + size_decimals - 18)
    else:
        base = scaled(field, texts[5], MAX_DECIMALS)
        worth = contract_worth(instrument.base) * 10 ** (price_decimals + MAX_DECIMALS)
        # volume * 10^-size contracts, each `worth` of quote, over `base` coins: the mean price in its units.
        mean = volume * worth // (base * 10**size_decimals) if base else 0
        total = mean * volume
    if not 0 <= total < NOTIONAL_LIMIT:
        raise BadField(field)
    return (open_ns, *prices, volume, total >> WORD, total & ((1 << WORD) - 1), trades)


def contract_worth(base: str) -> int:
    """US dollars in one COIN-M contract."""
    return 100 if base == "BTC" else 10
