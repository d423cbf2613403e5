"""The edge of deliveries: one POST, no redirects, ten seconds."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Final, Protocol

import aiohttp

from engine.alerts.deliver import TIMEOUT_S, Answer, Outgoing

HEADER_MAX_BYTES: Final = 8_190


class Post(Protocol):
    """Makes one POST; never raises but for cancellation."""

    async def __call__(self, request: Outgoing) -> Answer:
        """What came of it."""

    async def close(self) -> None:
        """Give its connections back."""


class HttpPost:
    """A `Post` by aiohttp. Its session is made at the first call, on the loop that makes it.

    Connections are not kept: one that the receiver closed meanwhile would look as if a request got lost on it.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: Outgoing) -> Answer:
        """The answer's status. Where there is none: why, and whether the request may have arrived all the same."""
        try:
            async with self._opened().post(
                request.url, data=request.body, headers=dict(request.headers), allow_redirects=False
            ) as answer:
                return Answer(answer.status, retry_after=answer.headers.get("Retry-After", "")[:100])
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ConnectionTimeoutError) as error:
            return Answer(0, f"no connection: {_why(error)}", sent=False)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, f"no answer that can be used: {_why(error)}")

    async def close(self) -> None:
        """Give its connections back."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s, connect=self._timeout_s / 2)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                connector=aiohttp.TCPConnector(force_close=True, limit=8),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=HEADER_MAX_BYTES,
                max_field_size=HEADER_MAX_BYTES,
                trust_env=False,
            )
        return self._session


def _why(error: BaseException) -> str:
    """Why, without the address: it can hold a token."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the host's certificate is not valid"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno  # its own text may be asyncio's, with the address in it
        if code == errno.ECONNREFUSED:
            return "nothing listens there"
        return os.strerror(code) if code and code > 0 else "it cannot be reached"
    if isinstance(error, asyncio.TimeoutError):
        return "it took too long"
    return type(error).__name__
