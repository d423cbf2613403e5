"""Bare WebSocket servers that answer an order with an answer of the exchange's size and do nothing else.

`python gateway_echo.py websockets|aiohttp|picows BYTES` serves on a free port of 127.0.0.1, printed first, until its
standard input ends. Each frame is answered by one frame of BYTES that carries the order's number, so that a client that
checks its answers can be measured against either. uvloop, no compression, nothing batched.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable

import uvloop

HEAD = b'{"op":"place","id":'
NUMBER = slice(len(HEAD), len(HEAD) + 9)  # where the load generator's orders have it
BACKLOG = 2_048


def tail(size: int) -> bytes:
    """What follows the number in an answer of that many bytes."""
    start = b',"ok":true,"order_id":'
    return start + b"1" * (size - len(HEAD) - 9 - len(start) - 1) + b"}"


async def serve_websockets(rest: bytes) -> int:
    """The port of an echo by `websockets`."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            raw = message.encode() if isinstance(message, str) else message
            await connection.send(HEAD + raw[NUMBER] + rest, text=True)

    server = await serve(handle, "127.0.0.1", 0, compression=None, backlog=BACKLOG)
    return int(next(iter(server.sockets)).getsockname()[1])


async def serve_aiohttp(rest: bytes) -> int:
    """The port of an echo by aiohttp."""
    from aiohttp import WSMsgType, web

    head, rest_text = HEAD.decode(), rest.decode()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(head + message.data[NUMBER] + rest_text)
        return socket

    application = web.Application()
    application.router.add_get("/native", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
    await site.start()
    return int(runner.addresses[0][1])


async def serve_picows(rest: bytes) -> int:
    """The port of an echo by picows."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    text = WSMsgType.TEXT

    class Echo(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == text:
                transport.send(text, HEAD + frame.get_payload_as_bytes()[NUMBER] + rest)

    server = await ws_create_server(lambda _: Echo(), "127.0.0.1", 0, backlog=BACKLOG)
    return int(server.sockets[0].getsockname()[1])


SERVERS: dict[str, Callable[[bytes], Awaitable[int]]] = {
    "websockets": serve_websockets,
    "aiohttp": serve_aiohttp,
    "picows": serve_picows,
}


def main() -> None:
    """Serve until standard input ends."""
    name, size = sys.argv[1], int(sys.argv[2])

    async def run() -> None:
        print(await SERVERS[name](tail(size)), flush=True)
        await asyncio.Event().wait()

    def watch() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    uvloop.run(run())


if __name__ == "__main__":
    main()
