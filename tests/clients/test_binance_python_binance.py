"""python-binance trades on the built-in exchange as on Binance, and sees what the desk has."""

from __future__ import annotations

from engine.exchange.units import atoms_text
from tests.clients.environment import run
from tests.exchange.running import RunningExchange


def test_python_binance_trades() -> None:
    with RunningExchange(rate=2_000, history_s=120) as exchange:
        key = exchange.key()
        seen = run("python_binance.py", url=exchange.url, key=key.api_key, secret=key.secret)
        desk = exchange.floor(lambda floor: floor.desk)
        fills = exchange.do(lambda _: desk.fills(key.account))
        ended = exchange.do(lambda _: desk.ended_orders(key.account))
        left = exchange.do(lambda _: desk.open_orders(key.account))
        balances = exchange.do(lambda _: desk.balances(key.account))
    assert seen["filters"] == [
        "ICEBERG_PARTS",
        "LOT_SIZE",
        "MARKET_LOT_SIZE",
        "MAX_NUM_ALGO_ORDERS",
        "MAX_NUM_ORDERS",
        "NOTIONAL",
        "PERCENT_PRICE_BY_SIDE",
        "PRICE_FILTER",
        "TRAILING_DELTA",
    ]
    assert (seen["book"], seen["klines"], seen["depth"]) == ([5, 5], 12, ["depthUpdate", "BTCUSDT"])
    assert seen["placed"] == ["NEW", True]
    assert seen["events"] == ["NEW", True, "outboundAccountPosition"]
    assert seen["gone"] == ["CANCELED", True]
    assert seen["open"] == [seen["socket"]]
    assert seen["bought"] == ["FILLED", f"{sum(each.lots for each in fills) / 100_000:.8f}"]
    assert seen["pair"] == ["EXECUTING", 2]
    assert (len(left), seen["trades"], seen["orders"]) == (2, len(fills), len(ended) + 2)
    assert seen["balances"] == {
        each.asset: [atoms_text(each.free), atoms_text(each.reserved)] for each in balances
    }
    assert seen["fee"] == "0.00100000"
    assert seen["refused"] == [400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"]
