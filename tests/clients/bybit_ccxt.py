"""ccxt and ccxt.pro as Bybit clients: everything a bot does, over REST and sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro

SYMBOL = "BTC/USDT"
ORDER = ("id", "clientOrderId", "status", "type", "side", "price", "amount", "filled", "remaining", "cost")
TRADE = ("id", "order", "side", "price", "amount", "cost", "takerOrMaker")


def redirected(given: dict[str, str]) -> Any:
    """A client of the built-in exchange."""
    client = ccxt.pro.bybit({"apiKey": given["key"], "secret": given["secret"], "enableRateLimit": False})
    base = given["url"] + "/bybit"

    def local(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: local(each) for name, each in value.items()}
        path = value[value.index("/v5") :] if "/v5" in value else ""
        return base.replace("http", "ws", 1) + path if value.startswith("wss") else base

    client.urls["api"] = local(client.urls["api"])
    return client


def some(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields that are compared."""
    return {name: row[name] for name in names} | {"fee": row["fee"]}


async def refusal(call: Awaitable[Any]) -> list[str]:
    """What ccxt makes of a refusal, and the venue's code."""
    try:
        await call
    except ccxt.BaseError as error:
        text = str(error)
        return [type(error).__name__, text.partition('"retCode":')[2].partition(",")[0]]
    return []


async def trade(client: Any) -> dict[str, Any]:
    """REST, from markets to trades."""
    seen: dict[str, Any] = {}
    markets = await client.load_markets()
    market = markets[SYMBOL]
    seen["markets"] = sorted(markets)
    seen["currencies"] = sorted(client.currencies)
    limits, precision = market["limits"], market["precision"]
    seen["limits"] = [limits["cost"]["min"], limits["amount"]["max"], precision["price"], precision["amount"]]
    book = await client.fetch_order_book(SYMBOL, 10)
    seen["book"] = [len(book["bids"]), len(book["asks"]), book["bids"][0][0] < book["asks"][0][0]]
    seen["trades"] = len(await client.fetch_trades(SYMBOL, limit=5))
    seen["candles"] = len(await client.fetch_ohlcv(SYMBOL, "1m", limit=3))
    low, high = (round(book["bids"][0][0] * factor, 1) for factor in (0.9, 1.1))
    first = await client.create_order(SYMBOL, "limit", "buy", 0.01, low, {"clientOrderId": "ccxt-1"})
    (opened,) = await client.fetch_open_orders(SYMBOL)
    seen["opened"] = [opened["id"] == first["id"], some(opened, ORDER)]
    seen["low"] = low
    balance = await client.fetch_balance()
    seen["held"] = {coin: [balance[coin]["free"], balance[coin]["used"]] for coin in ("USDT", "BTC")}
    await client.edit_order(first["id"], SYMBOL, "limit", "buy", 0.02, low + 100)
    (edited,) = await client.fetch_open_orders(SYMBOL)
    seen["edited"] = [edited["id"] == first["id"], edited["amount"], edited["price"] == low + 100]
    await client.cancel_order(first["id"], SYMBOL)
    await client.create_order(SYMBOL, "market", "buy", 0.05)
    await client.create_market_buy_order_with_cost(SYMBOL, 500)
    await client.create_order(SYMBOL, "market", "sell", 0.01)
    stop = await client.create_order(SYMBOL, "limit", "sell", 0.01, low, {"triggerPrice": low})
    (waiting,) = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
    seen["stop"] = [waiting["id"] == stop["id"], waiting["status"], waiting["triggerPrice"] == low]
    await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    profit = await client.create_order(SYMBOL, "market", "sell", 0.01, None, {"takeProfitPrice": high})
    await client.cancel_order(profit["id"], SYMBOL, {"orderFilter": "tpslOrder"})
    maker = await client.create_order(SYMBOL, "limit", "sell", 0.01, high, {"postOnly": True})
    (resting,) = await client.fetch_open_orders(SYMBOL)
    seen["post_only"] = [resting["id"] == maker["id"], resting["postOnly"]]
    seen["all_canceled"] = [each["id"] == maker["id"] for each in await client.cancel_all_orders(SYMBOL)]
    eager = await client.create_order(SYMBOL, "limit", "buy", 0.01, high, {"postOnly": True})
    orders = await client.fetch_canceled_and_closed_orders(SYMBOL)
    seen["eager"] = [each["status"] for each in orders if each["id"] == eager["id"]]
    seen["ended"] = [some(each, ORDER) for each in orders if each["id"] != eager["id"]]
    seen["filled"] = [each["id"] for each in await client.fetch_closed_orders(SYMBOL)]
    seen["my_trades"] = [some(each, TRADE) for each in await client.fetch_my_trades(SYMBOL)]
    balance = await client.fetch_balance()
    seen["balances"] = {coin: balance["total"][coin] for coin in ("USDT", "BTC")}
    seen["refused"] = {
        "funds": await refusal(client.create_order(SYMBOL, "limit", "buy", 10, high)),
        "notional": await refusal(client.create_order(SYMBOL, "limit", "buy", 0.00001, low)),
        "duplicate": await refusal(
            client.create_order(SYMBOL, "limit", "buy", 0.01, low, {"clientOrderId": "ccxt-1"})
        ),
        "unknown": await refusal(client.cancel_order("1", SYMBOL)),
        "contract": await refusal(
            client.privatePostV5OrderCreate({"category": "linear", "symbol": "BTCUSDT"})
        ),
    }
    client.secret = "another"
    seen["refused"]["secret"] = await refusal(client.fetch_open_orders(SYMBOL))
    return seen


async def read(client: Any) -> dict[str, Any]:
    """What another client did on the same account."""
    await client.load_markets()
    balance = await client.fetch_balance()
    return {
        "ended": [some(each, ORDER) for each in await client.fetch_canceled_and_closed_orders(SYMBOL)],
        "open": [each["id"] for each in await client.fetch_open_orders(SYMBOL)],
        "my_trades": [some(each, TRADE) for each in await client.fetch_my_trades(SYMBOL)],
        "balances": {coin: balance["total"][coin] for coin in ("USDT", "BTC")},
    }


async def watch(client: Any) -> dict[str, Any]:
    """Sockets: the public ones, orders by message, and what they bring on the private one."""
    seen: dict[str, Any] = {"orders": [], "my_trades": []}
    await client.load_markets()
    for _ in range(5):
        book = await client.watch_order_book(SYMBOL)
    seen["book"] = [book["bids"][0][0] < book["asks"][0][0], len(book["bids"]) > 20]
    seen["trades"] = len(await client.watch_trades(SYMBOL)) > 0

    async def keep(name: str, watched: Callable[[str], Awaitable[Any]], fields: tuple[str, ...]) -> None:
        while True:
            seen[name] += [some(each, fields) for each in await watched(SYMBOL)]

    async def wallet() -> None:
        while True:
            balance = await client.watch_balance()
            seen["balances"] = {coin: balance["total"][coin] for coin in ("USDT", "BTC") if coin in balance}

    tasks = [
        asyncio.ensure_future(each)
        for each in (
            keep("orders", client.watch_orders, ORDER),
            keep("my_trades", client.watch_my_trades, TRADE),
            wallet(),
        )
    ]
    await asyncio.sleep(1.0)  # subscriptions begin with their acks, which ccxt does not tell
    low = round(book["bids"][0][0] * 0.9, 1)
    placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.01, low)
    await client.edit_order_ws(placed["id"], SYMBOL, "limit", "buy", 0.02, low)
    await client.cancel_order_ws(placed["id"], SYMBOL)
    bought = await client.create_order_ws(SYMBOL, "market", "buy", 0.05)
    seen["refused"] = await refusal(client.create_order_ws(SYMBOL, "limit", "buy", 10, low * 1.2))
    # A stop a little below the market, and an order that surely takes the market there.
    trigger = round((await client.fetch_ticker(SYMBOL))["bid"] - 1, 1)
    stop = await client.create_order_ws(SYMBOL, "market", "sell", 0.01, None, {"triggerPrice": trigger})
    await client.create_order_ws(SYMBOL, "market", "sell", 9.9)
    seen["stop"] = stop["id"]
    seen["placed"] = placed["id"]
    for _ in range(80):
        await asyncio.sleep(0.1)
        closed = {each["id"] for each in seen["orders"] if each["status"] == "closed"}
        if {bought["id"], stop["id"]} <= closed:
            break
    await asyncio.sleep(0.3)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    return seen


async def main() -> None:
    """Do the part asked for."""
    given = json.load(sys.stdin)
    client = redirected(given)
    try:
        seen = await {"trade": trade, "read": read, "watch": watch}[given["part"]](client)
    finally:
        await client.close()
    print(json.dumps(seen))


asyncio.run(main())
