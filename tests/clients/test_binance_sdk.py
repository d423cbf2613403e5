"""Binance's own SDK trades on the built-in exchange, its orders at their own door; its models read every answer."""

from __future__ import annotations

from engine.exchange.dialects.binance_listing import ORDER_TYPES
from tests.clients.environment import run
from tests.exchange.running import RunningExchange


def test_the_venues_own_sdk_trades() -> None:
    with RunningExchange(rate=2_000) as exchange:
        key = exchange.key()
        seen = run(
            "binance_sdk.py", url=exchange.url, orders=exchange.order_url, key=key.api_key, secret=key.secret
        )
        ended = exchange.floor(lambda floor: floor.desk.ended_orders(key.account))
        assets = exchange.floor(lambda floor: sorted(floor.desk.engine.assets))
    assert seen["types"] == list(ORDER_TYPES)
    assert (seen["book"], seen["limits"]) == ([5, 5], [["REQUEST_WEIGHT", True]])
    assert (seen["placed"], seen["found"], seen["open"], seen["gone"]) == (
        ["NEW", True],
        [True, True],
        1,
        "CANCELED",
    )
    assert seen["assets"] == assets
    assert "Unknown order sent." in seen["refused"]
    assert seen["subscribed"]["result"] == {"subscriptionId": 0}
    assert (seen["socket_placed"], seen["socket_found"], seen["socket_gone"]) == (
        ["NEW", 0.02],
        "NEW",
        "CANCELED",
    )
    assert seen["socket_limits"] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    assert seen["event"] == ["NEW", True]
    assert seen["depth"] == ["depthUpdate", True]
    assert [(each.status, each.lots) for each in ended] == [("canceled", 1_000), ("canceled", 2_000)]
