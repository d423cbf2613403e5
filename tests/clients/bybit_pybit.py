"""pybit as a client of the built-in exchange: HTTP, public and private streams, orders by WebSocket."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import pybit._websocket_trading
import pybit.unified_trading
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

BTC = {"category": "spot", "symbol": "BTCUSDT"}
WITHIN_S = 8.0


def redirect(url: str) -> str:
    """Sockets go to the built-in exchange; the base address of its REST."""
    base = url + "/bybit"
    sockets = base.replace("http", "ws", 1) + "/v5"
    pybit.unified_trading.PUBLIC_WSS = sockets + "/public/{CHANNEL_TYPE}"
    pybit.unified_trading.PRIVATE_WSS = sockets + "/private"
    pybit._websocket_trading.TRADE_WSS = sockets + "/trade"
    return base


def refusal(call: Callable[..., Any], **arguments: Any) -> int:
    """The venue's code."""
    try:
        call(**arguments)
    except InvalidRequestError as error:
        return int(error.status_code)
    return 0


def until(done: Callable[[], bool]) -> None:
    """Wait for what comes in another thread; TimeoutError when it does not come."""
    end = time.monotonic() + WITHIN_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def http(session: HTTP) -> dict[str, Any]:
    """REST, from the time to the wallet."""
    seen: dict[str, Any] = {}
    seen["late_s"] = abs(int(session.get_server_time()["result"]["timeSecond"]) - time.time())
    (listed,) = session.get_instruments_info(**BTC)["result"]["list"]
    seen["listed"] = [listed["priceFilter"]["tickSize"], listed["lotSizeFilter"]["minOrderAmt"]]
    book = session.get_orderbook(**BTC, limit=50)["result"]
    seen["book"] = [len(book["b"]), len(book["a"])]
    seen["candles"] = len(session.get_kline(**BTC, interval=1, limit=3)["result"]["list"])
    low = f"{float(book['b'][0][0]) * 0.9:.1f}"
    limit = {**BTC, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": low}
    placed = session.place_order(**limit, orderLinkId="pybit-1")["result"]
    seen["placed"] = placed
    session.amend_order(**BTC, orderLinkId="pybit-1", qty="0.02")
    (row,) = session.get_open_orders(**BTC)["result"]["list"]
    seen["open"] = [row["orderId"] == placed["orderId"], row["orderStatus"], row["qty"], row["price"] == low]
    (wallet,) = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"]
    seen["locked"] = [wallet["coin"][0]["locked"], float(low) * 0.02]
    session.cancel_order(**BTC, orderId=placed["orderId"])
    session.place_order(**BTC, side="Buy", orderType="Market", qty="1000")
    session.place_order(**BTC, side="Sell", orderType="Market", qty="0.005")
    batch = session.place_batch_order(category="spot", request=[limit, limit])
    seen["batch"] = [each["code"] for each in batch["retExtInfo"]["list"]]
    stop = session.place_order(**(limit | {"side": "Sell"}), triggerPrice=low, orderFilter="StopOrder")[
        "result"
    ]
    seen["waits"] = [
        each["orderStatus"]
        for each in session.get_open_orders(**BTC, orderFilter="StopOrder")["result"]["list"]
        if each["orderId"] == stop["orderId"]
    ]
    seen["canceled"] = [
        len(session.cancel_all_orders(**BTC, **filters)["result"]["list"])
        for filters in ({}, {"orderFilter": "StopOrder"})
    ]
    history = session.get_order_history(**BTC)["result"]["list"]
    seen["history"] = [[each["orderId"], each["orderStatus"], each["cumExecQty"]] for each in history]
    fills, cursor = [], ""
    while True:
        page = session.get_executions(**BTC, limit=1, cursor=cursor)["result"]
        fills += page["list"]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    seen["executions"] = fills
    (wallet,) = session.get_wallet_balance(accountType="UNIFIED")["result"]["list"]
    seen["wallet"] = {each["coin"]: each["walletBalance"] for each in wallet["coin"]}
    seen["refused"] = [
        refusal(session.cancel_order, **BTC, orderId=placed["orderId"]),
        refusal(session.place_order, **(limit | {"qty": "10", "price": str(float(low) * 1.2)[:8]})),
        refusal(session.place_order, **limit, orderLinkId="pybit-1"),
        refusal(session.place_order, **(limit | {"price": "0.01"})),
    ]
    seen["positions"] = session.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"]
    return seen


def sockets(key: str, secret: str) -> dict[str, Any]:
    """Streams, and orders by WebSocket."""
    seen: dict[str, Any] = {"order": [], "execution": [], "wallet": []}
    books: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    login = {"testnet": False, "api_key": key, "api_secret": secret, "restart_on_error": False}
    public = WebSocket(testnet=False, channel_type="spot")
    public.orderbook_stream(50, "BTCUSDT", books.append)
    private = WebSocket(channel_type="private", **login)
    private.order_stream(lambda message: seen["order"].extend(message["data"]))
    private.execution_stream(lambda message: seen["execution"].extend(message["data"]))
    private.wallet_stream(lambda message: seen["wallet"].extend(message["data"]))
    trading = WebSocketTrading(**login)
    until(lambda: len(books) > 3 and trading.auth and private.auth)
    time.sleep(0.6)  # subscriptions begin with their acks, which pybit does not tell
    low = f"{float(books[0]['data']['b'][0][0]) * 0.9:.1f}"
    limit = {**BTC, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": low}

    def ask(call: Callable[..., None], **arguments: Any) -> dict[str, Any]:
        count = len(answers)
        call(answers.append, error_callback=answers.append, **arguments)
        until(lambda: len(answers) > count)
        return answers[-1]

    placed = ask(trading.place_order, **limit)
    seen["placed"] = placed["data"]["orderId"]
    seen["headers"] = sorted(placed["header"])
    ask(trading.amend_order, **BTC, orderId=seen["placed"], qty="0.02")
    ask(trading.cancel_order, **BTC, orderId=seen["placed"])
    bought = ask(trading.place_order, **BTC, side="Buy", orderType="Market", qty="1000")
    ask(trading.place_order, **(limit | {"qty": "11"}))
    until(lambda: any(each["orderId"] == bought["data"]["orderId"] for each in seen["execution"]))
    until(lambda: any(each["orderStatus"] == "Filled" for each in seen["order"]))
    time.sleep(0.2)
    seen["codes"] = [each["retCode"] for each in answers]
    seen["book"] = [len(books) > 3, all(each["type"] in ("snapshot", "delta") for each in books)]
    for each in (public, private, trading):
        each.exit()
    return seen


def main() -> None:
    """Do the part asked for."""
    logging.disable(logging.CRITICAL)
    given = json.load(sys.stdin)
    base = redirect(given["url"])
    session = HTTP(api_key=given["key"], api_secret=given["secret"])
    session.endpoint = base
    seen = sockets(given["key"], given["secret"]) if given["part"] == "sockets" else http(session)
    print(json.dumps(seen))


main()
