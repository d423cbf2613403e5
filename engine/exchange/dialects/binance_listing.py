"""Binance's exchangeInfo: what it says of each symbol."""

from __future__ import annotations

from typing import Any, Final

from engine.exchange.dialects.binance_texts import pair_of, texts_of
from engine.exchange.market import Listing

FOREVER_MS: Final = 4_133_404_800_000


def symbol_row(listing: Listing) -> dict[str, Any]:
    """One listing as `symbols` of exchangeInfo has it."""
    spot, coin = listing.kind == "spot", listing.kind == "inverse"
    instrument, (price, size) = listing.instrument, texts_of(listing)
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price(instrument.tick_size),
            "maxPrice": price(listing.start_price * 20),
            "tickSize": price(instrument.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": size(instrument.lot_size),
            "maxQty": size(instrument.lot_size * 1_000_000),
            "stepSize": size(instrument.lot_size),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": size(0 if spot else instrument.lot_size),
            "maxQty": size(instrument.lot_size * 100_000),
            "stepSize": size(0 if spot else instrument.lot_size),
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
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        }
        return base | {
            "status": "TRADING",
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "icebergAllowed": True,
            "ocoAllowed": True,
            "otoAllowed": True,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [*filters, notional],
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
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
