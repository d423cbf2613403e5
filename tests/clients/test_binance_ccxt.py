"""ccxt and ccxt.pro trade on the built-in exchange as on Binance, and see what the desk has."""

from __future__ import annotations

from engine.flow.symbols import SYMBOLS
from tests.clients.environment import run
from tests.exchange.running import RunningExchange


def test_ccxt_trades() -> None:
    with RunningExchange(rate=2_000, history_s=240) as exchange:
        key = exchange.key()
        seen = run("ccxt_binance.py", part="trade", url=exchange.url, key=key.api_key, secret=key.secret)
        fills = exchange.floor(lambda floor: floor.desk.fills(key.account))
        left = exchange.floor(lambda floor: floor.desk.open_orders(key.account))
    instrument = SYMBOLS[0].instrument
    unit, lot = 10.0**instrument.price_decimals, 10.0**instrument.size_decimals
    assert seen["markets"] == sorted(f"{each.instrument.base}/USDT" for each in SYMBOLS)
    assert seen["limits"] == [5.0, 0.1, 1e-05]
    assert seen["book"] == [10, 10, True]
    assert (seen["trades"], seen["candles"]) == (5, 3)
    assert seen["placed"] == ["open", True, 0.01]
    assert (seen["fetched"], seen["open"]) == ("open", [True])
    assert abs(seen["used"] - seen["reserved"]) < 1e-6
    assert seen["edited"] == [True, 0.02]
    assert seen["canceled"] == "canceled"
    assert seen["bought"] == ["closed", 0.05, True]
    assert (seen["stop"], seen["post_only"], seen["all_canceled"]) == (True, True, 2)
    assert seen["closed"] == 2
    assert seen["my_trades"] == [[str(f.trade_id), f.lots / lot, f.price_ticks / unit] for f in fills]
    assert seen["errors"] == {
        "funds": "InsufficientFunds",
        "notional": "BadRequest",
        "unknown": "OrderNotFound",
    }
    assert left == []


def test_ccxt_pro_watches() -> None:
    with RunningExchange(rate=2_000) as exchange:
        key = exchange.key()
        seen = run("ccxt_binance.py", part="watch", url=exchange.url, key=key.api_key, secret=key.secret)
        ended = exchange.floor(lambda floor: floor.desk.ended_orders(key.account))
    assert seen == {
        "book": True,
        "trades": True,
        "order": [True, "open"],
        "used": True,
        "canceled": "canceled",
    }
    assert [each.status for each in ended] == ["canceled"]
