"""ccxt and python-binance on one account, by turns: many orders of all kinds, then what either of them sees."""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import ccxt
from binance import Client
from binance.exceptions import BinanceAPIException

SYMBOLS = {"BTC/USDT": ("BTCUSDT", 0.001, 1), "SOL/USDT": ("SOLUSDT", 0.5, 2)}


def clients(given: dict[str, Any]) -> tuple[Any, Any]:
    base = given["url"] + "/binance_spot"
    first = ccxt.binance(
        {
            "apiKey": given["key"],
            "secret": given["secret"],
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["spot"]}},
        }
    )
    first.urls["api"] |= {"public": base + "/api/v3", "private": base + "/api/v3", "sapi": base + "/sapi/v1"}
    Client.API_URL = base + "/api"
    return first, Client(given["key"], given["secret"])


def act(chance: random.Random, first: Any, second: Any) -> None:
    """One order or cancel, by one of the two."""
    symbol, (name, size, decimals) = chance.choice(list(SYMBOLS.items()))
    book = first.fetch_order_book(symbol, 5)
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    side = chance.choice(["buy", "sell"])
    near = bid if side == "buy" else ask
    price = round(near * chance.choice([0.98, 1.0, 1.02]), decimals)
    size = round(size * chance.randint(10, 30), 3)
    kind = chance.choice(["limit", "limit", "market", "maker", "ioc", "cancel", "cancel", "replace"])
    if kind in ("cancel", "replace"):
        orders = second.get_open_orders(symbol=name)
        if not orders:
            return
        order = chance.choice(orders)
        if kind == "cancel" and chance.random() < 0.5:
            first.cancel_order(str(order["orderId"]), symbol)
        elif kind == "cancel":
            second.cancel_order(symbol=name, orderId=order["orderId"])
        else:
            first.edit_order(
                str(order["orderId"]), symbol, "limit", order["side"].lower(), size, float(order["price"])
            )
    elif chance.random() < 0.5:
        more = {"maker": {"postOnly": True}, "ioc": {"timeInForce": "IOC"}}.get(kind, {})
        market = kind == "market"
        first.create_order(
            symbol, "market" if market else "limit", side, size, None if market else price, more
        )
    else:
        order = {"symbol": name, "side": side.upper(), "quantity": size}
        if kind == "market":
            order |= {"type": "MARKET"}
        elif kind == "maker":
            order |= {"type": "LIMIT_MAKER", "price": price}
        else:
            order |= {"type": "LIMIT", "price": price, "timeInForce": "IOC" if kind == "ioc" else "GTC"}
        second.create_order(**order)


def main() -> None:
    given = json.load(sys.stdin)
    first, second = clients(given)
    first.load_markets()
    chance = random.Random(given["seed"])
    refused = 0
    for _ in range(given["steps"]):
        time.sleep(given["pause_s"])
        try:
            act(chance, first, second)
        except (ccxt.BaseError, BinanceAPIException):
            refused += 1
    for symbol, (name, _, _) in SYMBOLS.items():
        if second.get_open_orders(symbol=name):
            first.cancel_all_orders(symbol)
    seen: dict[str, Any] = {"refused": refused, "orders": [], "trades": [], "balances": []}
    ours: dict[str, Any] = {"orders": [], "trades": []}
    for symbol, (name, _, _) in SYMBOLS.items():
        ours["orders"] += [[o["id"], o["filled"]] for o in first.fetch_orders(symbol, limit=1000)]
        seen["orders"] += [
            [o["orderId"], o["status"], o["origQty"], o["executedQty"], o["cummulativeQuoteQty"]]
            for o in second.get_all_orders(symbol=name, limit=1000)
        ]
        ours["trades"] += [
            [t["id"], t["amount"], t["price"]] for t in first.fetch_my_trades(symbol, limit=1000)
        ]
        seen["trades"] += [
            [t["id"], t["orderId"], t["price"], t["qty"], t["commission"], t["isMaker"]]
            for t in second.get_my_trades(symbol=name, limit=1000)
        ]
    balances = second.get_account()["balances"]
    seen["balances"] = {b["asset"]: [b["free"], b["locked"]] for b in balances}
    seen["agree"] = [
        ours["orders"] == [[str(o[0]), float(o[3])] for o in seen["orders"]],
        ours["trades"] == [[str(t[0]), float(t[3]), float(t[2])] for t in seen["trades"]],
        {name: total for name, total in first.fetch_balance()["total"].items() if total}
        == {name: float(free) for name, (free, _) in seen["balances"].items() if float(free)},
    ]
    print(json.dumps(seen))


main()
