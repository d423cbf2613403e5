"""Binance's exchangeInfo: what it says of each symbol."""

from __future__ import annotations

from typing import Any, Final

from engine.exchange.dialects.binance_texts import pair_of, texts_of
from engine.exchange.market import Listing

FOREVER_MS: Final = 4_133_404_800_000

# What spot orders must keep to: the trading dialect refuses what passes these, or the engine does.
MOST_TIMES_START: Final = 20  # the highest price, in start prices
MOST_LOTS: Final = 100_000_000
MOST_MARKET_LOTS: Final = 10_000_000
LEAST_NOTIONAL: Final = 5  # of the quote asset
MOST_NOTIONAL: Final = 9_000_000
BAND: Final = 0.2  # from the last trade, either way
MOST_OPEN: Final = 200  # of an account in a symbol
MOST_ICEBERG_PARTS: Final = 100
TRAILING_BIPS: Final = (10, 2_000)
ORDER_TYPES: Final = (
    "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
)  # fmt: skip
SELF_TRADE_MODES: Final = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
USUAL_SELF_TRADE_MODE: Final = "EXPIRE_MAKER"


def symbol_row(listing: Listing) -> dict[str, Any]:
    """One listing as `symbols` of exchangeInfo has it."""
    spot, coin = listing.kind == "spot", listing.kind == "inverse"
    instrument, (price, size) = listing.instrument, texts_of(listing)
    most, most_market = (MOST_LOTS, MOST_MARKET_LOTS) if spot else (1_000_000, 100_000)
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price(instrument.tick_size),
            "maxPrice": price(listing.start_price * MOST_TIMES_START),
            "tickSize": price(instrument.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": size(instrument.lot_size),
            "maxQty": size(instrument.lot_size * most),
            "stepSize": size(instrument.lot_size),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": size(instrument.lot_size),
            "maxQty": size(instrument.lot_size * most_market),
            "stepSize": size(instrument.lot_size),
        },
    ]
    base: dict[str, Any] = {
        "symbol": listing.native,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
    }
    if spot:
        notional = {
            "filterType": "NOTIONAL",
            "minNotional": f"{LEAST_NOTIONAL}.00000000",
            "applyMinToMarket": True,
            "maxNotional": f"{MOST_NOTIONAL}.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 0,  # the last price, or what a market order would meet
        }
        up, down = f"{1 + BAND:.4f}", f"{1 - BAND:.4f}"
        others: list[dict[str, Any]] = [
            {"filterType": "ICEBERG_PARTS", "limit": MOST_ICEBERG_PARTS},
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": TRAILING_BIPS[0],
                "maxTrailingAboveDelta": TRAILING_BIPS[1],
                "minTrailingBelowDelta": TRAILING_BIPS[0],
                "maxTrailingBelowDelta": TRAILING_BIPS[1],
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": up,
                "bidMultiplierDown": down,
                "askMultiplierUp": up,
                "askMultiplierDown": down,
                "avgPriceMins": 0,
            },
            notional,
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MOST_OPEN},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MOST_OPEN},
        ]
        return base | {
            "status": "TRADING",
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": list(ORDER_TYPES),
            "icebergAllowed": True,
            "ocoAllowed": True,
            "otoAllowed": False,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [*filters, *others],
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": USUAL_SELF_TRADE_MODE,
            "allowedSelfTradePreventionModes": list(SELF_TRADE_MODES),
        }
    status = "contractStatus" if coin else "status"
    own: dict[str, Any] = {"permissionSets": ["GRID", "COPY"]}
    if coin:
        own = {"contractSize": listing.contract_size, "equalQtyPrecision": 4}
    if not coin:
        filters.append({"filterType": "MIN_NOTIONAL", "notional": "5"})
    return (
        base
        | own
        | {
            "pair": pair_of(listing.native),
            "contractType": "PERPETUAL",
            "deliveryDate": FOREVER_MS,
            "onboardDate": listing.listed_s * 1_000,
            status: "TRADING",
            "marginAsset": instrument.base if coin else instrument.quote,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "pricePrecision": instrument.price_decimals,
            "quantityPrecision": instrument.size_decimals,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10_000,
            "filters": filters,
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        }
    )
