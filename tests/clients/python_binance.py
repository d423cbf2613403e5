"""python-binance as a client: REST, the depth and user sockets, and orders over the WebSocket API."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

SYMBOL = "BTCUSDT"


async def work(given: dict[str, str]) -> dict[str, Any]:
    base = given["url"] + "/binance_spot"
    AsyncClient.API_URL = base + "/api"
    AsyncClient.MARGIN_API_URL = base + "/sapi"
    socket = base.replace("http", "ws", 1)
    AsyncClient.WS_API_URL = socket + "/ws-api/v3"
    BinanceSocketManager.STREAM_URL = socket + "/"
    ReconnectingWebsocket.TIMEOUT = 1  # seconds its end waits for a message that does not come
    client = await AsyncClient.create(given["key"], given["secret"])
    seen: dict[str, Any] = {}
    try:
        info = await client.get_symbol_info(SYMBOL)
        seen["filters"] = sorted(each["filterType"] for each in info["filters"])
        book = await client.get_order_book(symbol=SYMBOL, limit=5)
        seen["book"] = [len(book["bids"]), len(book["asks"])]
        seen["klines"] = len((await client.get_klines(symbol=SYMBOL, interval="1m", limit=2))[0])
        low = f"{float(book['bids'][0][0]) * 0.9:.1f}"
        manager = BinanceSocketManager(client)
        async with manager.depth_socket(SYMBOL) as depth:
            event = await depth.recv()
            seen["depth"] = [event["e"], event["s"]]
        async with manager.user_socket() as user:
            order = await client.order_limit_buy(symbol=SYMBOL, quantity="0.01", price=low)
            seen["placed"] = [order["status"], order["price"] == f"{float(low):.8f}"]
            events = [await user.recv() for _ in range(2)]
            seen["events"] = [events[0]["x"], events[0]["i"] == order["orderId"], events[1]["e"]]
            await client.cancel_order(symbol=SYMBOL, orderId=order["orderId"])
            events = [await user.recv() for _ in range(2)]
            seen["gone"] = [events[0]["x"], events[0]["C"] == order["clientOrderId"]]
        await client.create_test_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=low
        )
        over_socket = await client.ws_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=low
        )
        seen["open"] = [each["orderId"] for each in await client.get_open_orders(symbol=SYMBOL)]
        seen["socket"] = over_socket["orderId"]
        await client.ws_cancel_order(symbol=SYMBOL, orderId=over_socket["orderId"])
        bought = await client.order_market_buy(symbol=SYMBOL, quoteOrderQty="1000")
        seen["bought"] = [bought["status"], bought["executedQty"]]
        pair = await client.create_oco_order(
            symbol=SYMBOL, side="SELL", quantity="0.01", aboveType="LIMIT_MAKER",
            abovePrice=f"{float(low) * 1.2:.1f}", belowType="STOP_LOSS", belowStopPrice=low,
        )  # fmt: skip
        seen["pair"] = [pair["listOrderStatus"], len(pair["orders"])]
        seen["trades"] = len(await client.get_my_trades(symbol=SYMBOL))
        seen["orders"] = len(await client.get_all_orders(symbol=SYMBOL))
        account = await client.get_account()
        seen["balances"] = {each["asset"]: [each["free"], each["locked"]] for each in account["balances"]}
        seen["fee"] = (await client.get_trade_fee(symbol=SYMBOL))[0]["takerCommission"]
        try:
            await client.order_limit_buy(symbol=SYMBOL, quantity="0.1", price="70000")
        except BinanceAPIException as error:
            seen["refused"] = [error.status_code, error.code, error.message]
    finally:
        await client.close_connection()
    return seen


print(json.dumps(asyncio.run(work(json.load(sys.stdin)))))
