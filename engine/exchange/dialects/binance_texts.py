"""How Binance writes numbers, on spot and on its futures."""

from __future__ import annotations

from engine.exchange.market import Listing
from engine.exchange.past import Candle
from engine.exchange.served import ServedMarket
from engine.exchange.wire import Text, decimal


def pair_of(native: str) -> str:
    """`BTCUSD` of `BTCUSD_PERP`."""
    return native.partition("_")[0]


def texts_of(listing: Listing) -> tuple[Text, Text]:
    """How Binance writes a listing's prices and sizes: spot always with eight decimals."""
    instrument = listing.instrument
    shown = 8 if listing.kind == "spot" else -1
    return decimal(instrument.price_decimals, shown), decimal(instrument.size_decimals, shown)


def turnover(listing: Listing, candle: Candle, *, taker: bool = False) -> str:
    """A candle's other volume: quote money, or on COIN-M base coins."""
    volume = candle.taker_volume if taker else candle.volume
    notional = candle.taker_notional if taker else candle.notional
    if listing.kind == "inverse":
        return base_text(listing, volume, notional // volume if volume else candle.close)
    return notional_text(listing, notional, 8 if listing.kind == "spot" else 5)


def marks(market: ServedMarket, name: str, now_ns: int) -> tuple[str, str]:
    """(mark price, index price) as text with eight decimals."""
    price = market.mark(name, now_ns) / 10 ** market.listings[name].instrument.price_decimals
    return f"{price:.8f}", f"{price * 0.9999:.8f}"


def notional_text(listing: Listing, notional: int, shown: int) -> str:
    """Price times size as quote money with `shown` decimals."""
    instrument = listing.instrument
    return decimal(instrument.price_decimals + instrument.size_decimals, shown)(notional)


def base_text(listing: Listing, contracts: int, price: int) -> str:
    """Coins that so many contracts are worth at a price (units)."""
    return f"{contracts * listing.contract_size / max(price, 1) * 10**listing.instrument.price_decimals:.8f}"
