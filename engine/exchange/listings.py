"""What each market key lists: believable instruments, up to 200 a market, the same at every start."""

from __future__ import annotations

import math
import zlib
from typing import Final

from engine.exchange.market import Kind, Listing
from engine.market.instruments import Instrument

MAX_SYMBOLS: Final = 200
MARKETS: Final[dict[str, Kind]] = {
    "binance_spot": "spot",
    "binance_usdm": "linear",
    "binance_coinm": "inverse",
    "bybit_spot": "spot",
    "bybit_linear": "linear",
    "bybit_inverse": "inverse",
}
LISTED_S: Final = 1_577_836_800  # 2020-01-01, of the first; each later one a week after
WEEK_S: Final = 7 * 86_400

# Prices are invented in the neighbourhood of real markets.
_KNOWN: Final = (
    ("BTC", 104_238.70), ("ETH", 3_904.62), ("SOL", 187.35), ("BNB", 912.80), ("XRP", 2.4173),
    ("DOGE", 0.20713), ("ADA", 0.6618), ("TRX", 0.3174), ("LINK", 18.21), ("AVAX", 20.34),
    ("SUI", 2.4911), ("XLM", 0.3187), ("LTC", 96.42), ("BCH", 498.10), ("DOT", 3.114),
    ("UNI", 6.482), ("NEAR", 2.291), ("APT", 3.347), ("ICP", 4.812), ("ETC", 16.07),
    ("ATOM", 3.102), ("FIL", 1.614), ("ARB", 0.3122), ("OP", 0.4410), ("INJ", 8.663),
    ("AAVE", 228.40), ("MKR", 1_702.0), ("ALGO", 0.1817), ("VET", 0.01731), ("SAND", 0.2144),
    ("MANA", 0.2390), ("AXS", 1.5220), ("THETA", 0.5433), ("EGLD", 9.870), ("EOS", 0.4131),
    ("XTZ", 0.6012), ("GRT", 0.0654), ("CRV", 0.5338), ("COMP", 39.60), ("SNX", 1.0870),
    ("ZEC", 261.50), ("DASH", 48.33), ("ONT", 0.0899), ("IOTA", 0.1512), ("BAT", 0.1644),
    ("NEO", 5.212), ("QTUM", 2.013), ("ZIL", 0.00871), ("ENJ", 0.0512), ("CHZ", 0.03388),
)  # fmt: skip


def listings(key: str, count: int) -> tuple[Listing, ...]:
    """The first `count` symbols of a market. ValueError for an unknown key, or a count outside 1 to 200."""
    kind = MARKETS.get(key)
    if kind is None:
        raise ValueError(f"there is no market {key!r}; there are {', '.join(MARKETS)}")
    if not 1 <= count <= MAX_SYMBOLS:
        raise ValueError(f"a market lists 1 to {MAX_SYMBOLS} symbols, not {count}")
    return tuple(_listing(key, kind, at) for at in range(count))


def _listing(key: str, kind: Kind, at: int) -> Listing:
    base, price = _KNOWN[at] if at < len(_KNOWN) else _invented(at)
    magnitude = math.floor(math.log10(price))
    price_decimals = min(8, max(2, 4 - magnitude))
    quote = "USD" if kind == "inverse" else "USDT"
    coarse = kind != "spot" and base == "BTC"
    size_decimals = {"spot": max(1, min(5, magnitude)), "linear": max(0, min(3, magnitude)), "inverse": 0}[
        kind
    ]
    native = base + quote + ("_PERP" if key == "binance_coinm" else "")
    symbol = f"{base}-{quote}" + ("" if kind == "spot" else "-PERP")
    return Listing(
        Instrument(
            key,
            symbol,
            base,
            quote,
            price_decimals,
            size_decimals,
            tick_size=10 if coarse else 1,
            native=native,
            contracts=kind == "inverse",
        ),
        kind,
        start_price=round(price * 10**price_decimals),
        listed_s=LISTED_S + at * WEEK_S,
        contract_size=(100 if base == "BTC" else 10) if key == "binance_coinm" else 0,
        funding_interval_s=0 if kind == "spot" else 8 * 3_600,
    )


def _invented(at: int) -> tuple[str, float]:
    """A name and price of its own for the rest, from its number alone."""
    spread = zlib.crc32(b"price %d" % at) / 2**32
    return f"VS{at:03d}", round(10 ** (4 * spread - 2), 4)
