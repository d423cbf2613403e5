"""What `bench_api.py` measures the API beside: a bare aiohttp handler, and the usual FastAPI broadcaster.

`python api_rivals.py bare|fastapi` serves on a free port of 127.0.0.1, printed first, until its standard input ends;
lines of JSON on it are orders. uvloop, no access log, no compression, like the API.

bare      `web.Application` with one `add_get`; the body it answers comes with `{"body": "..."}`.
fastapi   a connection manager as tutorials have it: every message is `json.dumps`ed for each listener and sent by
          `send_text`, all in one `asyncio.gather`. `{"messages": [...], "seconds": 3}` broadcasts them in turn as
          fast as it can; with `"every_s": 1.0` one on each second of the clock. Each is stamped with the time it is
          made.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import uvloop

Order = dict[str, Any]


def watch(take: Callable[[Order], None], loop: asyncio.AbstractEventLoop) -> None:
    """Orders from standard input go to the loop; the process ends with them."""

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(take, json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()


async def bare() -> None:
    """The bare handler."""
    from aiohttp import web

    body = b"{}"

    async def tick(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    def take(order: Order) -> None:
        nonlocal body
        body = order["body"].encode()
        print("ok", flush=True)

    application = web.Application()
    application.router.add_get("/v1/tick/{symbol}", tick)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
    print(runner.addresses[0][1], flush=True)
    watch(take, asyncio.get_running_loop())
    await asyncio.Event().wait()


class ConnectionManager:
    """Listeners, as FastAPI's own tutorial keeps them."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    async def broadcast(self, message: Order) -> None:
        """The message, to all."""
        await asyncio.gather(*(self.send(each, message) for each in self.listeners))

    async def send(self, listener: Any, message: Order) -> None:
        """The message, to one."""
        await listener.send_text(json.dumps(message))


async def fastapi() -> None:
    """The broadcaster."""
    import uvicorn
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    application = FastAPI()
    manager = ConnectionManager()

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        manager.listeners.append(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            manager.listeners.remove(websocket)

    serve.__annotations__["websocket"] = WebSocket  # imported here, so its name says nothing to FastAPI
    application.websocket("/v1/ws")(serve)

    async def broadcast(order: Order) -> None:
        until, every_s = time.monotonic() + order["seconds"], order.get("every_s", 0.0)
        at, messages = 0, order["messages"]
        while time.monotonic() < until:
            if every_s:
                await asyncio.sleep(every_s - time.time() % every_s)
            await manager.broadcast(
                {**messages[at % len(messages)], "seq": at, "ts_ms": time.time_ns() // 1_000_000}
            )
            at += 1
        print(json.dumps({"broadcast": at, "listeners": len(manager.listeners)}), flush=True)

    tasks = set()

    def take(order: Order) -> None:
        task = asyncio.get_running_loop().create_task(broadcast(order))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1_024)
    print(sock.getsockname()[1], flush=True)
    watch(take, asyncio.get_running_loop())
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        ws_per_message_deflate=False,
        lifespan="off",
    )
    await uvicorn.Server(config).serve(sockets=[sock])


if __name__ == "__main__":
    uvloop.run({"bare": bare, "fastapi": fastapi}[sys.argv[1]]())
