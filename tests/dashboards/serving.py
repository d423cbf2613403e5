"""An application on a port of its own, served as the program serves it."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from dashboards import server


class Serving:
    """Served by a thread while it is entered."""

    def __init__(self, app: server.Wsgi, tls: server.Tls | None = None) -> None:
        self.app, self.tls, self.files = app, tls, 0
        self._sock = server.listen("127.0.0.1", 0)
        self.port: int = self._sock.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await server.serve(self.app, self._sock, self._stop, self.tls, self.files)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
