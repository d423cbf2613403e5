"""The API's connections: how many an address may hold, and which are cut because nothing moves on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod

from engine.access.rates import caller_of
from engine.api.counts import Counts
from engine.api.problems import Problem
from engine.api.replies import PROBLEM, problem_body, refuse
from engine.api.request_ids import RequestIds

IDLE_S: Final = 15.0  # a connection that asks nothing for so long, or does not end its head, is closed
LINGER_S: Final = 1.0  # a body that nobody wants is read so long before its connection is closed
ANSWER_S: Final = 30.0  # an answer that is not taken for so long is given up
TOTAL: Final = 8_192  # connections of all addresses together
MAX_LINE: Final = 4_096
MAX_FIELD: Final = 8_190
MAX_HEADERS: Final = 64


class Connection(web.RequestHandler):
    """One connection. What is no HTTP is answered with a problem, and ends it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """The answer to what could not be read as a request."""
        server = self._manager
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone
        if request.writer.output_size > 0 or not isinstance(server, Connections):
            raise ConnectionError("a part of the answer is sent already")
        server.counts.bad_requests += 1
        what = "the method" if isinstance(exc, BadHttpMethod) else "the request"
        problem = Problem("bad_request", f"{what} cannot be read as HTTP/1.1; the connection ends here")
        answer = refuse(problem, server.ids.of(None))
        answer.force_close()
        return answer


class Connections(web.Server):
    """aiohttp's low-level server with a bound for each address, and for all of them."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        counts: Counts,
        ids: RequestIds,
        each: int,
    ) -> None:
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self.counts: Final = counts
        self.ids: Final = ids
        self._each = each
        self._by_address: Counter[Any] = Counter()
        self._callers: dict[web.RequestHandler, Any] = {}
        self._unsent: dict[web.RequestHandler, tuple[int, float]] = {}  # bytes, since when

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    @property
    def open(self) -> int:
        """Connections that are held now."""
        return len(self._callers)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count it, or turn it away."""
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        caller = caller_of(peer[0] if peer else "")
        if len(self._callers) >= TOTAL or self._by_address[caller] >= self._each:
            self.counts.turned_away += 1
            transport.write(self._full())
            transport.close()
            return
        self._by_address[caller] += 1
        self._callers[handler] = caller
        self.counts.connections_most = max(self.counts.connections_most, len(self._callers))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """It has ended."""
        super().connection_lost(handler, exc)
        caller = self._callers.pop(handler, None)
        if caller is not None:
            self._by_address[caller] -= 1
            if not self._by_address[caller]:
                del self._by_address[caller]
        self._unsent.pop(handler, None)

    def cut_stalled(self, now: float) -> None:
        """Cut connections of which no byte was taken for too long. To be called each second or so, `now` in s."""
        for handler in list(self._callers):
            transport = handler.transport
            unsent = transport.get_write_buffer_size() if transport is not None else 0
            if transport is None or not unsent:
                self._unsent.pop(handler, None)
                continue
            before, since = self._unsent.get(handler, (0, now))
            if before != unsent:
                self._unsent[handler] = unsent, now
            elif now - since > ANSWER_S:
                self.counts.stalled += 1
                transport.abort()

    def _full(self) -> bytes:
        body = problem_body(
            Problem("too_many_connections", f"this address holds {self._each:,} connections; close some"),
            self.ids.of(None),
        )
        head = (
            f"HTTP/1.1 429 Too Many Requests\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
            "Retry-After: 1\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body
