"""The few calls outside /api/v3 that clients make before they trade: the least that is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.exchange.dialects.binance_trading_calls import Asked, Calls, Done, Run
from engine.exchange.dialects.binance_trading_orders import MS
from engine.exchange.dialects.binance_trading_views import ZERO
from engine.exchange.units import atoms_text


def _coins(calls: Calls) -> Run:
    """Every asset, with no network: money comes from the faucet alone."""

    def run(asked: Asked, done: Done) -> None:
        done(
            [
                {
                    "coin": each.asset,
                    "depositAllEnable": False,
                    "withdrawAllEnable": False,
                    "name": each.asset,
                    "free": atoms_text(each.free),
                    "locked": atoms_text(each.reserved),
                    "freeze": ZERO,
                    "withdrawing": ZERO,
                    "ipoing": ZERO,
                    "ipoable": ZERO,
                    "storage": ZERO,
                    "isLegalMoney": False,
                    "trading": True,
                    "networkList": [],
                }
                for each in calls.desk.balances(asked.key.account)
            ]
        )

    return run


def _nothing(calls: Calls) -> Run:
    """There is no margin."""
    del calls

    def run(asked: Asked, done: Done) -> None:
        del asked
        done([])

    return run


def _restrictions(calls: Calls) -> Run:
    """What the key may do."""
    del calls

    def run(asked: Asked, done: Done) -> None:
        done(
            {
                "ipRestrict": False,
                "createTime": asked.key.created_ns // MS,
                "enableReading": True,
                "enableSpotAndMarginTrading": asked.key.trade,
                "enableWithdrawals": False,
                "enableInternalTransfer": False,
                "permitsUniversalTransfer": False,
                "enableVanillaOptions": False,
                "enableMargin": False,
                "enableFutures": False,
                "enableFixApiTrade": False,
                "enableFixReadOnly": False,
                "enablePortfolioMarginTrading": False,
            }
        )

    return run


def _trade_fees(calls: Calls) -> Run:
    """What each symbol costs."""

    def run(asked: Asked, done: Done) -> None:
        names = [calls.symbol(asked.arguments).name] if asked.arguments.has("symbol") else list(calls.symbols)
        fees = calls.rates
        done(
            [{"symbol": n, "makerCommission": fees["maker"], "takerCommission": fees["taker"]} for n in names]
        )

    return run


Make = Callable[[Calls], Run]
WALLET: Final[dict[str, tuple[Make, frozenset[str]]]] = {
    "GET /sapi/v1/capital/config/getall": (_coins, frozenset()),
    "GET /sapi/v1/margin/allPairs": (_nothing, frozenset({"symbol"})),
    "GET /sapi/v1/margin/isolated/allPairs": (_nothing, frozenset({"symbol"})),
    "GET /sapi/v1/account/apiRestrictions": (_restrictions, frozenset()),
    "GET /sapi/v1/asset/tradeFee": (_trade_fees, frozenset({"symbol"})),
}
