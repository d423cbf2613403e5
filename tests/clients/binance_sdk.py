"""Binance's own SDK as a client: REST, the WebSocket API with user data, and streams."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_spot.rest_api.models import NewOrderSideEnum, NewOrderTimeInForceEnum, NewOrderTypeEnum
from binance_sdk_spot.spot import Spot
from binance_sdk_spot.websocket_api.models import (
    OrderPlaceSideEnum,
    OrderPlaceTimeInForceEnum,
    OrderPlaceTypeEnum,
)

SYMBOL = "BTCUSDT"


def plain(value: Any) -> Any:
    """A model as JSON would have it."""
    value = getattr(value, "actual_instance", None) or value
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def over_rest(client: Any, seen: dict[str, Any]) -> float:
    rest = client.rest_api
    info = plain(rest.exchange_info(symbol=SYMBOL).data())
    seen["types"] = info["symbols"][0]["orderTypes"]
    answer = rest.depth(symbol=SYMBOL, limit=5)
    book = plain(answer.data())
    seen["book"] = [len(book["bids"]), len(book["asks"])]
    seen["limits"] = [[each.rateLimitType, each.count > 0] for each in answer.rate_limits]
    low = round(float(book["bids"][0][0]) * 0.9, 1)
    order = plain(
        rest.new_order(
            symbol=SYMBOL, side=NewOrderSideEnum["BUY"].value, type=NewOrderTypeEnum["LIMIT"].value,
            time_in_force=NewOrderTimeInForceEnum["GTC"].value, quantity=0.01, price=low,
        ).data()
    )  # fmt: skip
    seen["placed"] = [order["status"], float(order["price"]) == low]
    found = plain(rest.get_order(symbol=SYMBOL, order_id=order["orderId"]).data())
    seen["found"] = [found["clientOrderId"] == order["clientOrderId"], found["isWorking"]]
    seen["open"] = len(plain(rest.get_open_orders(symbol=SYMBOL).data()))
    gone = plain(rest.delete_order(symbol=SYMBOL, order_id=order["orderId"]).data())
    seen["gone"] = gone["status"]
    account = plain(rest.get_account(omit_zero_balances=True).data())
    seen["assets"] = sorted(each["asset"] for each in account["balances"])
    try:
        rest.delete_order(symbol=SYMBOL, order_id=order["orderId"])
    except BadRequestError as error:
        seen["refused"] = str(error)
    return low


async def over_sockets(client: Any, low: float, seen: dict[str, Any]) -> None:
    connection = await client.websocket_api.create_connection()
    events: asyncio.Queue[Any] = asyncio.Queue()
    try:
        user = await connection.user_data_stream_subscribe_signature()
        seen["subscribed"] = plain(user.response.data())
        user.stream.on("message", lambda event: events.put_nowait(plain(event)))
        answer = await connection.order_place(
            symbol=SYMBOL, side=OrderPlaceSideEnum["BUY"].value, type=OrderPlaceTypeEnum["LIMIT"].value,
            time_in_force=OrderPlaceTimeInForceEnum["GTC"].value, quantity=0.02, price=low,
        )  # fmt: skip
        order = plain(answer.data())["result"]
        seen["socket_placed"] = [order["status"], float(order["origQty"])]
        seen["socket_limits"] = sorted(each.rateLimitType for each in answer.rate_limits)
        event = await asyncio.wait_for(events.get(), 5)
        seen["event"] = [event["x"], event["i"] == order["orderId"]]
        found = plain((await connection.order_status(symbol=SYMBOL, order_id=order["orderId"])).data())
        seen["socket_found"] = found["result"]["status"]
        gone = plain((await connection.order_cancel(symbol=SYMBOL, order_id=order["orderId"])).data())
        seen["socket_gone"] = gone["result"]["status"]
    finally:
        await connection.close_connection(close_session=True)


async def over_streams(client: Any, seen: dict[str, Any]) -> None:
    connection = await client.websocket_streams.create_connection()
    events: asyncio.Queue[Any] = asyncio.Queue()
    try:
        depth = await connection.diff_book_depth(symbol=SYMBOL.lower(), update_speed="100ms")
        depth.on("message", lambda event: events.put_nowait(plain(event)))
        first, second = [await asyncio.wait_for(events.get(), 5) for _ in range(2)]
        seen["depth"] = [first["e"], second["U"] == first["u"] + 1]
    finally:
        await connection.close_connection(close_session=True)


async def main() -> None:
    given = json.load(sys.stdin)
    base = given["url"] + "/binance_spot"
    socket = base.replace("http", "ws", 1)
    keys = {"api_key": given["key"], "api_secret": given["secret"]}
    client = Spot(
        config_rest_api=ConfigurationRestAPI(**keys, base_path=base),
        config_ws_api=ConfigurationWebSocketAPI(
            **keys, stream_url=given["orders"] + "/binance_spot/ws-api/v3"
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=socket),
    )
    seen: dict[str, Any] = {}
    low = over_rest(client, seen)
    await over_sockets(client, low, seen)
    await over_streams(client, seen)
    print(json.dumps(seen))


asyncio.run(main())
