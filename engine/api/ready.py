"""The short way of an answer whose bytes are ready: its head is put together as text and sent with the body at once.

aiohttp's own Response copies, checks and serializes headers for each answer, which costs more than all that a tick's
route does. It still sends every other answer: refusals, pages, HEAD, HTTP/1.0, connections that are to be closed.
"""

from __future__ import annotations

import math
import time
from email.utils import formatdate
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from engine.access.rates import Verdict
from engine.api.replies import data_headers
from engine.api.request_ids import HEADER

_HEADS: dict[tuple[int, str], str] = {}  # by status and content type: as many as routes have


class Ready(web.StreamResponse):
    """One answer with all its bytes. For HTTP/1.1 connections that stay open."""

    def __init__(self, status: int, data: bytes) -> None:
        # Nothing of a StreamResponse's own: no headers, no cookies, no chunks.
        self._status = status
        self._keep_alive = True
        self._data = data

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it, and wait while the client takes nothing."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        transport.write(self._data)
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """All is sent."""


def takes_ready(request: web.BaseRequest) -> bool:
    """Whether the request may be answered on the short way."""
    return request.method != "HEAD" and request.version == HttpVersion11 and request.keep_alive


def ready(body: bytes, content_type: str, request_id: str, verdict: Verdict, status: int) -> Ready:
    """The answer that `replies.reply` makes, as bytes. `request_id` has no line breaks: `RequestIds` sees to it."""
    head = _HEADS.get((status, content_type))
    if head is None:
        lines = [f"{name}: {value}\r\n" for name, value in data_headers(content_type).items()]
        head = _HEADS[status, content_type] = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{''.join(lines)}"
    text = (
        f"{head}Date: {_date.now()}\r\nContent-Length: {len(body)}\r\n{HEADER}: {request_id}\r\n"
        f"RateLimit-Limit: {verdict.limit}\r\nRateLimit-Remaining: {verdict.remaining}\r\n"
        f"RateLimit-Reset: {math.ceil(verdict.reset_s)}\r\n\r\n"
    )
    return Ready(status, text.encode("ascii") + body)


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def now(self) -> str:
        """As RFC 9110 writes it."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


_REASONS: Final = {200: "OK", 201: "Created", 202: "Accepted"}
_date: Final = _Date()
