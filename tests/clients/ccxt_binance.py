"""ccxt and ccxt.pro as Binance clients: everything a bot does, over REST and sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import ccxt.pro

SYMBOL = "BTC/USDT"


def redirected(given: dict[str, str]) -> Any:
    """A client of the built-in exchange."""
    client = ccxt.pro.binance(
        {
            "apiKey": given["key"],
            "secret": given["secret"],
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["spot"]}},
        }
    )
    base = given["url"] + "/binance_spot"
    socket = base.replace("http", "ws", 1)
    client.urls["api"] |= {
        "public": base + "/api/v3",
        "private": base + "/api/v3",
        "v1": base + "/api/v1",
        "sapi": base + "/sapi/v1",
    }
    client.urls["api"]["ws"] |= {"spot": socket + "/ws", "ws-api": {"spot": socket + "/ws-api/v3"}}
    return client


async def trade(client: Any) -> dict[str, Any]:
    """REST, from markets to trades."""
    seen: dict[str, Any] = {}
    markets = await client.load_markets()
    market = markets[SYMBOL]
    seen["markets"] = sorted(markets)
    seen["limits"] = [
        market["limits"]["cost"]["min"],
        market["precision"]["price"],
        market["precision"]["amount"],
    ]
    book = await client.fetch_order_book(SYMBOL, 10)
    seen["book"] = [len(book["bids"]), len(book["asks"]), book["bids"][0][0] < book["asks"][0][0]]
    seen["trades"] = len(await client.fetch_trades(SYMBOL, limit=5))
    seen["candles"] = len(await client.fetch_ohlcv(SYMBOL, "1m", limit=3))
    low, high = book["bids"][0][0] * 0.9, book["asks"][0][0] * 1.1
    price = float(client.price_to_precision(SYMBOL, low))
    first = await client.create_order(SYMBOL, "limit", "buy", 0.01, price)
    seen["placed"] = [first["status"], first["price"] == price, first["amount"]]
    seen["fetched"] = (await client.fetch_order(first["id"], SYMBOL))["status"]
    seen["open"] = [each["id"] == first["id"] for each in await client.fetch_open_orders(SYMBOL)]
    balance = await client.fetch_balance()
    seen["used"] = balance["USDT"]["used"]
    seen["reserved"] = price * 0.01
    edited = await client.edit_order(first["id"], SYMBOL, "limit", "buy", 0.02, price)
    seen["edited"] = [edited["id"] != first["id"], edited["amount"]]
    seen["canceled"] = (await client.cancel_order(edited["id"], SYMBOL))["status"]
    bought = await client.create_order(SYMBOL, "market", "buy", 0.05)
    seen["bought"] = [bought["status"], bought["filled"], bought["fee"] is not None or bool(bought["fees"])]
    await client.create_order(SYMBOL, "market", "buy", 1, None, {"cost": 500})
    stop = await client.create_order(SYMBOL, "limit", "sell", 0.01, price, {"stopLossPrice": price})
    seen["stop"] = (await client.fetch_order(stop["id"], SYMBOL))["triggerPrice"] == price
    maker = await client.create_order(
        SYMBOL, "limit", "sell", 0.01, float(client.price_to_precision(SYMBOL, high)), {"postOnly": True}
    )
    seen["post_only"] = (await client.fetch_order(maker["id"], SYMBOL))["postOnly"]
    seen["all_canceled"] = len(await client.cancel_all_orders(SYMBOL))
    seen["closed"] = len(await client.fetch_closed_orders(SYMBOL))
    seen["my_trades"] = [
        [each["id"], each["amount"], each["price"]] for each in await client.fetch_my_trades(SYMBOL)
    ]
    errors = {}
    for name, order in {
        "funds": ("limit", "buy", 20, price),
        "notional": ("limit", "buy", 0.00001, price),
    }.items():
        try:
            await client.create_order(SYMBOL, *order)
        except ccxt.BaseError as error:
            errors[name] = type(error).__name__
    try:
        await client.cancel_order("1", SYMBOL)
    except ccxt.BaseError as error:
        errors["unknown"] = type(error).__name__
    seen["errors"] = errors
    return seen


async def watch(client: Any) -> dict[str, Any]:
    """Sockets: the public ones, and what an order brings on the private one."""
    seen: dict[str, Any] = {}
    book = await client.watch_order_book(SYMBOL)
    for _ in range(5):
        book = await client.watch_order_book(SYMBOL)
    seen["book"] = book["bids"][0][0] < book["asks"][0][0]
    seen["trades"] = len(await client.watch_trades(SYMBOL)) > 0
    orders = asyncio.ensure_future(client.watch_orders(SYMBOL))
    balances = asyncio.ensure_future(client.watch_balance())
    await asyncio.sleep(0.3)
    placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.01, float(int(book["bids"][0][0] * 0.9)))
    watched = (await orders)[-1]
    seen["order"] = [watched["id"] == placed["id"], watched["status"]]
    seen["used"] = (await balances)["USDT"]["used"] > 0
    orders = asyncio.ensure_future(client.watch_orders(SYMBOL))
    await client.cancel_order_ws(placed["id"], SYMBOL)
    seen["canceled"] = (await orders)[-1]["status"]
    return seen


async def main() -> None:
    given = json.load(sys.stdin)
    client = redirected(given)
    try:
        seen = await (watch if given["part"] == "watch" else trade)(client)
    finally:
        await client.close()
    print(json.dumps(seen))


asyncio.run(main())
