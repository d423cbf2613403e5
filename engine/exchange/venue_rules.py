"""The limits of each budget as the venues publish them: weights, windows, connects, messages.

Sources: Binance's spot REST and stream pages (depth 5/25/50/250), the futures pages (depth 2/5/10/20, klines
1/2/5/10), Bybit v5's "Rate limit" and "Connect" pages. Written down here once more, apart from
`engine/limits/rate_limits.json`, since one is tested against the other. A file's limits become rules in `file_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.exchange.limit_windows import Rules, Weigher, Window

Steps = tuple[tuple[int, int], ...]  # (up to this limit, weight), ascending

SPOT_DEPTH: Final[Steps] = ((100, 5), (500, 25), (1000, 50), (5000, 250))
FUTURES_DEPTH: Final[Steps] = ((50, 2), (100, 5), (500, 10), (1000, 20))
FUTURES_KLINES: Final[Steps] = ((99, 1), (499, 2), (1000, 5), (1500, 10))

_SPOT: Final[dict[str, int]] = {
    "GET /api/v3/ping": 1,
    "GET /api/v3/time": 1,
    "GET /api/v3/exchangeInfo": 20,
    "GET /api/v3/trades": 25,
    "GET /api/v3/historicalTrades": 25,
    "GET /api/v3/aggTrades": 4,
    "GET /api/v3/klines": 2,
    "GET /api/v3/uiKlines": 2,
    "GET /api/v3/avgPrice": 2,
    "POST /api/v3/order": 1,
    "DELETE /api/v3/order": 1,
    "GET /api/v3/order": 4,
    "POST /api/v3/order/cancelReplace": 1,
    "DELETE /api/v3/openOrders": 1,
    "GET /api/v3/allOrders": 20,
    "GET /api/v3/account": 20,
    "GET /api/v3/rateLimit/order": 40,
    "GET /api/v3/account/commission": 20,
    "PUT /api/v3/order/amend/keepPriority": 4,
    "POST /api/v3/orderList/oco": 1,
    "POST /api/v3/order/oco": 1,
    "DELETE /api/v3/orderList": 1,
    "GET /api/v3/orderList": 4,
    "GET /api/v3/openOrderList": 6,
    "GET /api/v3/allOrderList": 20,
}
_FUTURES: Final[dict[str, int]] = {
    "ping": 1,
    "time": 1,
    "exchangeInfo": 1,
    "trades": 5,
    "historicalTrades": 200,
    "aggTrades": 20,
    "fundingRate": 1,
    "fundingInfo": 1,
    "openInterest": 1,
}


def weigh_spot(endpoint: str, arguments: Mapping[str, str]) -> int:
    """Weight of a call to Binance spot."""
    known = _SPOT.get(endpoint)
    if known is not None:
        return known
    if endpoint == "GET /api/v3/depth":
        return _by_limit(SPOT_DEPTH, arguments, 100)
    one = "symbol" in arguments
    if endpoint == "GET /api/v3/ticker/24hr":
        if one:
            return 2
        symbols = arguments.get("symbols", "").count(",") + 1 if "symbols" in arguments else 1_000
        return 2 if symbols <= 20 else 40 if symbols <= 100 else 80
    if endpoint in ("GET /api/v3/ticker/bookTicker", "GET /api/v3/ticker/price"):
        return 2 if one else 4
    if endpoint == "GET /api/v3/openOrders":
        return 6 if one else 80
    if endpoint == "GET /api/v3/myTrades":
        return 5 if "orderId" in arguments else 20
    if endpoint == "POST /api/v3/order/test":
        return 20 if arguments.get("computeCommissionRates") == "true" else 1
    return 1


def weigh_futures(root: str) -> Weigher:
    """Weights of Binance's futures below `root` ("/fapi/v1", "/dapi/v1")."""
    known = {f"GET {root}/{name}": weight for name, weight in _FUTURES.items()}
    depth = f"GET {root}/depth"
    klines = {
        f"GET {root}/{name}" for name in ("klines", "continuousKlines", "markPriceKlines", "indexPriceKlines")
    }
    by_symbol = {
        f"GET {root}/ticker/24hr": (1, 40),
        f"GET {root}/ticker/bookTicker": (2, 5),
        f"GET {root}/ticker/price": (1, 2),
        f"GET {root}/premiumIndex": (1, 10) if root == "/fapi/v1" else (10, 10),
    }

    def weigh(endpoint: str, arguments: Mapping[str, str]) -> int:
        weight = known.get(endpoint)
        if weight is not None:
            return weight
        if endpoint == depth:
            return _by_limit(FUTURES_DEPTH, arguments, 500)
        if endpoint in klines:
            return _by_limit(FUTURES_KLINES, arguments, 500)
        pair = by_symbol.get(endpoint)
        if pair is not None:
            return pair[0] if "symbol" in arguments else pair[1]
        return 1

    return weigh


def weigh_bybit(endpoint: str, arguments: Mapping[str, str]) -> int:  # noqa: ARG001 - every call is one
    """Bybit counts calls, not weights."""
    return 1


def _user(path: str, per_s: int, *, category: str = "") -> Window:
    """A user's calls to one of Bybit's endpoints in any second: of spot, of all else, or of everything.

    A body is not read here, and only spot is traded: a call that does not say is spot's.
    """

    def weigh(endpoint: str, arguments: Mapping[str, str]) -> int:
        del endpoint
        return int(not category or (arguments.get("category", "spot") == "spot") == (category == "spot"))

    name = f"{path} {category}".rstrip()
    return Window(
        *("ENDPOINT", 1, per_s),
        sliding=True,
        endpoints=frozenset({path}),
        by_account=True,
        weigh=weigh,
        name=name,
    )


def _by_limit(steps: Steps, arguments: Mapping[str, str], usual: int) -> int:
    """The weight of the first step that holds the `limit` argument; the last one's beyond."""
    text = arguments.get("limit", "")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else usual
    for most, weight in steps:
        if limit <= most:
            return weight
    return steps[-1][1]


BINANCE_SPOT: Final = Rules(
    style="binance",
    windows=(
        Window("REQUEST_WEIGHT", 60, 6_000),
        Window("ORDERS", 10, 100),
        Window("ORDERS", 86_400, 200_000),
        Window("RAW_REQUESTS", 300, 61_000),
        Window("CONNECTIONS", 300, 300, sliding=True),
    ),
    weigh=weigh_spot,
    messages_per_s=5,
    ping_every_s=20.0,
    pong_within_s=60.0,
)
BINANCE_USDM: Final = Rules(
    style="binance",
    windows=(
        Window("REQUEST_WEIGHT", 60, 2_400),
        Window("ORDERS", 60, 1_200),
        Window("ORDERS", 10, 300),
        Window(
            "ENDPOINT",
            300,
            500,
            endpoints=frozenset({"GET /fapi/v1/fundingRate", "GET /fapi/v1/fundingInfo"}),
        ),
        Window("CONNECTIONS", 300, 300, sliding=True),
    ),
    weigh=weigh_futures("/fapi/v1"),
    messages_per_s=10,
    ping_every_s=180.0,
    pong_within_s=600.0,
)
BINANCE_COINM: Final = Rules(
    style="binance",
    windows=(
        Window("REQUEST_WEIGHT", 60, 2_400),
        Window("ORDERS", 60, 1_200),
        Window("CONNECTIONS", 300, 300, sliding=True),
    ),
    weigh=weigh_futures("/dapi/v1"),
    messages_per_s=10,
    ping_every_s=180.0,
    pong_within_s=600.0,
)
BYBIT: Final = Rules(
    style="bybit",
    windows=(
        Window("RAW_REQUESTS", 5, 600, sliding=True),
        Window("CONNECTIONS", 300, 500, sliding=True),
        _user("POST /v5/order/create", 20, category="spot"),
        _user("POST /v5/order/create", 10, category="other"),
        _user("POST /v5/order/cancel", 20, category="spot"),
        _user("POST /v5/order/cancel", 10, category="other"),
        _user("POST /v5/order/amend", 10),
        _user("GET /v5/position/list", 50),
        _user("GET /v5/account/wallet-balance", 50),
        _user("GET /v5/order/realtime", 50),
        _user("GET /v5/order/history", 50),
    ),
    weigh=weigh_bybit,
    messages_per_s=500,  # none is published
    first_ban_s=600,
    longest_ban_s=600,
    connection_lasts_s=0.0,  # none is published
    silence_s=600.0,
    streams_per_connection=100_000,  # bounded by characters instead
)
RULES: Final[Mapping[str, Rules]] = {
    "binance_spot": BINANCE_SPOT,
    "binance_usdm": BINANCE_USDM,
    "binance_coinm": BINANCE_COINM,
    "bybit": BYBIT,
}
