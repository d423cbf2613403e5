"""ccxt, ccxt.pro and pybit trade on the built-in exchange as on Bybit, and see what the desk and the engine have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from engine.exchange.accounts import Key
from engine.exchange.trading import Fill, Order
from engine.exchange.units import Units, atoms_text
from engine.flow.symbols import SYMBOLS
from engine.market.batches import BUY
from tests.clients.environment import run
from tests.exchange.running import RunningExchange

COINS = ("USDT", "BTC")


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=1_000, history_s=600) as running:
        yield running


class Truth:
    """What the desk has of one key's account when its client is done."""

    def __init__(self, exchange: RunningExchange, key: Key) -> None:
        self.units: Units = exchange.floor(lambda floor: floor.units["BTCUSDT"])
        self.fills: list[Fill] = exchange.floor(lambda floor: floor.desk.fills(key.account))
        self.ended: list[Order] = exchange.floor(lambda floor: floor.desk.ended_orders(key.account))
        self.open: list[Order] = exchange.floor(lambda floor: floor.desk.open_orders(key.account))
        self.balances: dict[str, str] = exchange.floor(
            lambda floor: {
                each.asset: atoms_text(each.free + each.reserved) for each in floor.desk.balances(key.account)
            }
        )

    def trades(self) -> list[dict[str, Any]]:
        """Its fills as ccxt has them, oldest first."""
        units = self.units
        return [
            {
                "id": f"2{each.trade_id:018d}",
                "order": str(each.order_id),
                "side": "buy" if each.side == BUY else "sell",
                "price": float(units.price_text(each.price_ticks)),
                "amount": float(units.size_text(each.lots)),
                "cost": float(atoms_text(units.notional_atoms(each.price_ticks * each.lots))),
                "takerOrMaker": "maker" if each.maker else "taker",
                "fee": {
                    "currency": each.fee_asset,
                    "cost": float(atoms_text(each.fee_atoms)),
                    "rate": 0.001,
                },
            }
            for each in self.fills
        ]

    def check_order(self, seen: dict[str, Any], order: Order) -> None:
        """One order of ccxt's against the desk's."""
        units = self.units
        assert seen["id"] == str(order.order_id)
        assert seen["status"] == {"filled": "closed"}.get(
            order.status, order.status.replace("expired", "canceled")
        )
        assert seen["side"] == ("buy" if order.side == BUY else "sell")
        assert seen["filled"] == float(units.size_text(order.filled_lots))
        assert seen["cost"] == float(atoms_text(units.notional_atoms(order.filled_notional)))
        if seen["type"] == "limit":
            assert seen["price"] == float(units.price_text(order.price_ticks))
            assert seen["amount"] == float(units.size_text(order.lots))
        fee = sum(each.fee_atoms for each in self.fills if each.order_id == order.order_id)
        assert (seen["fee"] or {}).get("cost", 0) == float(atoms_text(fee))

    def check_balances(self, seen: dict[str, float], coins: Sequence[str] = COINS) -> None:
        """Totals of ccxt's against the engine's."""
        assert {coin: float(self.balances[coin]) for coin in coins} == seen


def test_ccxt_trades(exchange: RunningExchange) -> None:
    key = exchange.key("ccxt")
    seen = run("bybit_ccxt.py", part="trade", url=exchange.url, key=key.api_key, secret=key.secret)
    truth = Truth(exchange, key)
    assert seen["markets"] == sorted(f"{each.instrument.base}/USDT" for each in SYMBOLS)
    assert set(seen["currencies"]) >= set(truth.balances)
    assert seen["limits"] == [5.0, 10.0, 0.1, 1e-05]
    assert (seen["book"], seen["trades"], seen["candles"]) == ([10, 10, True], 5, 3)
    same, opened = seen["opened"]
    assert same
    assert (opened["clientOrderId"], opened["status"], opened["remaining"]) == ("ccxt-1", "open", 0.01)
    reserved = round(seen["low"] * 0.01, 8)
    assert seen["held"]["USDT"] == pytest.approx([1_000_000 - reserved, reserved], abs=1e-8)
    assert seen["held"]["BTC"] == [10.0, 0.0]
    assert seen["edited"] == [True, 0.02, True]
    assert seen["stop"] == [True, "open", True]
    assert (seen["post_only"], seen["all_canceled"], seen["eager"]) == ([True, True], [True], ["rejected"])
    assert len(seen["ended"]) == len(truth.ended) == 7
    # ccxt sorts by the millisecond, in which several may lie.
    ended = {str(each.order_id): each for each in truth.ended}
    for row in seen["ended"]:
        truth.check_order(row, ended.pop(row["id"]))
    assert sorted(seen["filled"]) == [str(each.order_id) for each in truth.ended if each.status == "filled"]
    assert sorted(seen["my_trades"], key=lambda each: each["id"]) == truth.trades()
    truth.check_balances(seen["balances"])
    assert truth.open == []
    assert seen["refused"] == {
        "funds": ["InsufficientFunds", "170131"],
        "notional": ["InvalidOrder", "170140"],
        "duplicate": ["InvalidOrder", "170141"],
        "unknown": ["OrderNotFound", "170213"],
        "contract": ["PermissionDenied", "10005"],
        "secret": ["AuthenticationError", "10004"],
    }


def test_ccxt_pro_watches(exchange: RunningExchange) -> None:
    key = exchange.key("ccxt-pro")
    seen = run("bybit_ccxt.py", part="watch", url=exchange.url, key=key.api_key, secret=key.secret)
    truth = Truth(exchange, key)
    assert seen["book"] == [True, True]
    assert seen["trades"]
    assert seen["refused"] == ["InsufficientFunds", "170131"]
    rows = {each["id"]: each for each in seen["orders"]}  # the last of each
    assert len(rows) == len(truth.ended) == 4
    for order in truth.ended:
        truth.check_order(rows[str(order.order_id)], order)
    amounts = [each["amount"] for each in seen["orders"] if each["id"] == seen["placed"]]
    assert (amounts[0], amounts[-1]) == (0.01, 0.02)
    stop = next(each for each in truth.ended if str(each.order_id) == seen["stop"])
    assert (stop.triggered, stop.status) == (True, "filled")
    assert next(each["status"] for each in seen["orders"] if each["id"] == seen["stop"]) == "open"
    # ccxt gives the newest of what it keeps with each message: the last has all.
    known = {each["id"]: each for each in seen["my_trades"]}
    assert [known[each["id"]] for each in truth.trades()] == truth.trades()
    truth.check_balances(seen["balances"])


def test_pybit_trades(exchange: RunningExchange) -> None:
    key = exchange.key("pybit")
    seen = run("bybit_pybit.py", part="http", url=exchange.url, key=key.api_key, secret=key.secret)
    truth = Truth(exchange, key)
    assert seen["late_s"] < 60
    assert seen["listed"] == ["0.1", "5"]
    assert (seen["book"], seen["candles"]) == ([50, 50], 3)
    assert seen["placed"]["orderLinkId"] == "pybit-1"
    assert seen["open"] == [True, "New", "0.02000", True]
    assert float(seen["locked"][0]) == pytest.approx(seen["locked"][1], abs=1e-8)
    assert (seen["batch"], seen["waits"], seen["canceled"]) == ([0, 0], ["Untriggered"], [2, 1])
    ends = {"filled": "Filled", "canceled": "Cancelled"}
    assert seen["history"] == [
        [
            str(each.order_id),
            "Deactivated" if each.trigger_ticks else ends[each.status],
            truth.units.size_text(each.filled_lots),
        ]
        for each in sorted(truth.ended, key=lambda each: each.order_id, reverse=True)
    ]
    assert_executions(seen["executions"], truth.fills[::-1], truth.units)
    assert {coin: float(held) for coin, held in seen["wallet"].items()} == {
        coin: float(held) for coin, held in truth.balances.items()
    }
    assert seen["refused"] == [170213, 170131, 170141, 170134]
    # Two clients that know nothing of each other read the same.
    read = run("bybit_ccxt.py", part="read", url=exchange.url, key=key.api_key, secret=key.secret)
    ended = {str(each.order_id): each for each in truth.ended}
    for row in read["ended"]:
        truth.check_order(row, ended.pop(row["id"]))
    assert (ended, read["open"]) == ({}, [])
    assert sorted(read["my_trades"], key=lambda each: each["id"]) == truth.trades()
    truth.check_balances(read["balances"])
    assert seen["positions"] == []


def test_pybit_streams_and_trades_by_websocket(exchange: RunningExchange) -> None:
    key = exchange.key("pybit-sockets")
    seen = run("bybit_pybit.py", part="sockets", url=exchange.url, key=key.api_key, secret=key.secret)
    truth = Truth(exchange, key)
    canceled, bought = truth.ended
    assert seen["placed"] == str(canceled.order_id)
    assert seen["codes"] == [0, 0, 0, 0, 170135]
    assert seen["headers"] == [
        "Timenow", "Traceid", "X-Bapi-Limit", "X-Bapi-Limit-Reset-Timestamp", "X-Bapi-Limit-Status"
    ]  # fmt: skip
    assert seen["book"] == [True, True]
    told = [[each["orderId"], each["orderStatus"]] for each in seen["order"]]
    assert told[:3] == [[seen["placed"], "New"], [seen["placed"], "New"], [seen["placed"], "Cancelled"]]
    assert told[-1] == [str(bought.order_id), "Filled"]
    assert seen["order"][-1]["cumExecQty"] == truth.units.size_text(bought.filled_lots)
    assert_executions(seen["execution"], truth.fills, truth.units)
    last = {each["coin"]: each["walletBalance"] for each in seen["wallet"][-1]["coin"]}
    assert last == {coin: truth.balances[coin] for coin in COINS}


def assert_executions(rows: list[dict[str, Any]], fills: Sequence[Fill], units: Units) -> None:
    assert [
        (r["orderId"], r["execPrice"], r["execQty"], r["execFee"], r["feeCurrency"], r["isMaker"], r["seq"])
        for r in rows
    ] == [
        (
            str(f.order_id), units.price_text(f.price_ticks), units.size_text(f.lots), atoms_text(f.fee_atoms),
            f.fee_asset, f.maker, f.trade_id,
        )
        for f in fills
    ]  # fmt: skip
