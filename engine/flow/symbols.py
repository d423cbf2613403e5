"""What the built-in exchange trades: instruments with believable prices, ticks, lots and temperament.

Start prices and the rest are invented in the neighbourhood of real markets. `volatility` is a year's, in
parts of the price; `weight` the share of orders; the others are in ticks and lots of the instrument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.market.instruments import Instrument, parse_decimal

VENUE: Final = "builtin"


@dataclass(frozen=True, slots=True)
class SimulatedSymbol:
    """One symbol and how its traders behave."""

    instrument: Instrument
    start_ticks: int
    weight: float
    volatility: float
    half_spread_ticks: float  # quoted by makers in calm times, to either side of the fair price
    depth_ticks: float  # scale of the power law of placement: half of the patient orders lie nearer
    reach_ticks: int  # no order is placed further away
    median_lots: int
    resting_orders: int  # both sides together; the flow cancels what is too many


def _symbol(
    base: str,
    price: str,
    decimals: tuple[int, int],
    *,
    weight: float,
    volatility: float,
    half_spread_ticks: float,
    depth_ticks: float,
    reach_ticks: int,
    median: str,
    resting_orders: int,
) -> SimulatedSymbol:
    """Tick and lot are one unit of the given price and size decimals."""
    price_decimals, size_decimals = decimals
    return SimulatedSymbol(
        Instrument(VENUE, f"{base}-USDT", base, "USDT", price_decimals, size_decimals, native=f"{base}USDT"),
        start_ticks=parse_decimal(price, price_decimals),
        weight=weight,
        volatility=volatility,
        half_spread_ticks=half_spread_ticks,
        depth_ticks=depth_ticks,
        reach_ticks=reach_ticks,
        median_lots=parse_decimal(median, size_decimals),
        resting_orders=resting_orders,
    )


SYMBOLS: Final = (
    _symbol(
        "BTC",
        "104238.7",
        (1, 5),
        weight=0.40,
        volatility=0.35,
        half_spread_ticks=0.4,
        depth_ticks=260,
        reach_ticks=6_000,
        median="0.02",
        resting_orders=6_000,
    ),
    _symbol(
        "ETH",
        "3904.62",
        (2, 4),
        weight=0.26,
        volatility=0.45,
        half_spread_ticks=0.4,
        depth_ticks=200,
        reach_ticks=5_000,
        median="0.4",
        resting_orders=5_000,
    ),
    _symbol(
        "SOL",
        "187.35",
        (2, 3),
        weight=0.15,
        volatility=0.65,
        half_spread_ticks=0.3,
        depth_ticks=110,
        reach_ticks=2_000,
        median="6",
        resting_orders=4_000,
    ),
    _symbol(
        "BNB",
        "912.80",
        (2, 3),
        weight=0.10,
        volatility=0.40,
        half_spread_ticks=0.4,
        depth_ticks=130,
        reach_ticks=3_000,
        median="1.2",
        resting_orders=4_000,
    ),
    _symbol(
        "XRP",
        "2.4173",
        (4, 1),
        weight=0.09,
        volatility=0.70,
        half_spread_ticks=0.3,
        depth_ticks=110,
        reach_ticks=2_000,
        median="450",
        resting_orders=4_000,
    ),
)
