"""Answers as aiohttp sends them: headers, bodies of problems, pages. No clock, no socket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from engine.access.rates import Verdict
from engine.api.problems import CODES, Problem
from engine.api.request_ids import HEADER as REQUEST_ID

PROBLEM: Final = "application/problem+json"
DOCS: Final = "/docs"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
_SECURITY: Final[Mapping[str, str]] = {
    "Server": "Venuescope",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_DATA: Final = CIMultiDict(
    {
        **_SECURITY,
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Vary": "Accept, Authorization, X-Api-Key",
    }
)
_PAGE: Final = CIMultiDict(
    {
        **_SECURITY,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": PAGE_POLICY,
        "X-Frame-Options": "DENY",
    }
)


def data_headers(content_type: str) -> CIMultiDict[str]:
    """Headers that every answer with data of that type bears."""
    headers = _DATA.copy()
    headers["Content-Type"] = content_type
    return headers


def reply(
    body: bytes, content_type: str, request_id: str, verdict: Verdict | None, status: int
) -> web.Response:
    """An answer with data."""
    headers = _DATA.copy()
    if body or status != 204:
        headers["Content-Type"] = content_type
    headers[REQUEST_ID] = request_id
    if verdict is not None:
        _tell_limits(headers, verdict)
    return web.Response(body=body, status=status, headers=headers)


def page(body: bytes, content_type: str, *, trusted: bool) -> web.Response:
    """An answer that is the same for all: the page of the documentation and what it loads.

    `trusted`: by TLS or on this machine. Browsers take the opener policy from no other, and complain of it.
    """
    headers = _PAGE.copy()
    if trusted:
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Content-Type"] = content_type
    return web.Response(body=body, headers=headers)


def problem_body(problem: Problem, request_id: str, instance: str = "") -> bytes:
    """A problem as RFC 9457 writes it. `instance` is the path that was asked for."""
    status, title = CODES[problem.code]
    told: dict[str, Any] = {
        "type": f"{DOCS}#{problem.code}",
        "title": title,
        "status": status,
        "code": problem.code,
        "detail": problem.detail,
        **({"instance": instance} if instance else {}),
        "request_id": request_id,
    }
    for name, value in problem.more.items():
        told.setdefault(name, value)
    return msgspec.json.encode(told)


def refuse(
    problem: Problem, request_id: str, instance: str = "", verdict: Verdict | None = None, allow: str = ""
) -> web.Response:
    """The answer to a call that is refused. `allow` are the methods of a path that has others."""
    headers = _DATA.copy()
    headers["Content-Type"] = PROBLEM
    headers[REQUEST_ID] = request_id
    if verdict is not None:
        _tell_limits(headers, verdict)
    if problem.retry_after_s > 0:
        headers["Retry-After"] = str(math.ceil(problem.retry_after_s))
    elif problem.status == 429:
        headers["Retry-After"] = "1"
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="venuescope"'
    if problem.status == 426:
        headers["Sec-WebSocket-Version"] = "13"
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade, close"
    if allow:
        headers["Allow"] = allow
    return web.Response(
        body=problem_body(problem, request_id, instance), status=problem.status, headers=headers
    )


def _tell_limits(headers: CIMultiDict[str], verdict: Verdict) -> None:
    headers["RateLimit-Limit"] = str(verdict.limit)
    headers["RateLimit-Remaining"] = str(verdict.remaining)
    headers["RateLimit-Reset"] = str(math.ceil(verdict.reset_s))
