"""The API's server: each request on its short way from the socket to a route's handler and back.

The way: Host and Origin, the route, who calls, whether they may now, arguments and body, the handler, the answer in
the form that Accept wishes. Whatever is refused on it is told as a problem (RFC 9457) with a stable code.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from aiohttp import web

from engine import guard
from engine.access.identity import Identity, may
from engine.access.rates import Verdict
from engine.api.arguments import body_of, values_of
from engine.api.connections import Connections
from engine.api.counts import OTHER, ApiView, Counts, ServingState
from engine.api.docs_page import pages
from engine.api.encoding import CONTENT_TYPES, Format, encode, negotiate
from engine.api.openapi import describe
from engine.api.options import ApiOptions
from engine.api.problems import Problem
from engine.api.ready import ready, takes_ready
from engine.api.replies import page, refuse, reply
from engine.api.request_ids import HEADER, RequestIds
from engine.api.route import Call, Route
from engine.api.route_table import VERSION, RouteTable
from engine.telemetry.events import Level

log = structlog.get_logger(__name__)

MAX_BODY: Final = 65_536
BODY_WITHIN_S: Final = 5.0
RETRY_S: Final = 5.0  # until a port that is taken is tried again
LOOK_S: Final = 1.0
STOP_WITHIN_S: Final = 0.4  # aiohttp waits twice so long for what is being answered
BACKLOG: Final = 1_024
KEPT_CALLS: Final = 1_024  # arguments that are kept, by the request's target
KEPT_TARGET: Final = 256  # characters of the longest one
SHOWN: Final = 200  # characters of a path that a problem repeats
PUSH: Final = frozenset({"/ws", VERSION + "/ws"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})  # that are counted by name
READING: Final = frozenset({"GET", "HEAD"})
_ENDING: Final = frozenset({"too_large", "too_slow"})  # what still comes is no request
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104

Note = Callable[[Level, str, str, str], None]  # level, source, what, text


class Door(Protocol):
    """Who calls, and whether they may now: `engine.access.door`."""

    def identify(self, headers: Mapping[str, str], address: str, now_ns: int) -> Identity:
        """The caller. Problem when the credentials are missing or not good."""
        ...

    def admit(self, identity: Identity | None, address: str, now_ns: int) -> Verdict:
        """Whether one more request fits."""
        ...


class Push(Protocol):
    """What takes WebSockets: `engine.api.push`."""

    async def serve(
        self, request: web.BaseRequest, identity: Identity | None, address: str
    ) -> web.StreamResponse:
        """Serve a connection until it ends. Identity None: it has to say first who it is."""
        ...


class ApiServer:
    """Serves `routes` at one address until cancelled. For one loop: the engine's.

    `clock` is the wall clock in ns; `note` takes what the health page should tell.
    """

    def __init__(
        self,
        options: ApiOptions,
        routes: Sequence[Route],
        door: Door,
        push: Push,
        clock: Callable[[], int],
        note: Note,
    ) -> None:
        self.url = ""
        self.table: Final = RouteTable(routes)
        self._options = options
        self._door = door
        self._push = push
        self._clock = clock
        self._note = note
        self._counts = Counts()
        self._ids = RequestIds()
        self._pages = pages(self.table.routes, describe(self.table.routes), demanded=options.demanded)
        self._calls: dict[str, tuple[Route, Mapping[str, Any]]] = {}
        self._connections: Connections | None = None
        self._state: ServingState = "starting"
        self._detail = ""
        names = options.allowed_hosts
        if options.host not in WILDCARDS:
            names = (*names, options.host)
        self._foreign = functools.lru_cache(maxsize=256)(functools.partial(guard.refusal, allowed=names))

    async def run(self) -> None:
        """Serve until cancelled; then all is closed within a second. A taken port is noted once and tried again."""
        while True:
            runner = await self._listen()
            if runner is not None:
                break
            await asyncio.sleep(RETRY_S)
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._connections is not None:
                    self._connections.cut_stalled(time.monotonic())
        finally:
            self._state, self.url = "stopped", ""
            await runner.cleanup()

    def view(self) -> ApiView:
        """Counters as of now."""
        connections = self._connections.open if self._connections is not None else 0
        return self._counts.view(self.url, self._state, self._detail, connections)

    async def _listen(self) -> web.ServerRunner | None:
        """A runner that serves, or None: the port is taken, or there is no usable certificate."""
        options = self._options
        self._connections = Connections(self._handle, self._counts, self._ids, options.connections)
        runner = web.ServerRunner(self._connections, shutdown_timeout=STOP_WITHIN_S)
        await runner.setup()
        try:
            tls = _tls(*options.tls) if options.tls is not None else None
            await _site(runner, options.host, options.port, tls).start()
        except OSError as error:
            await runner.cleanup()
            detail = f"port {options.port} of {options.host} cannot be served: {error.strerror or error}"
            if detail != self._detail:
                told = f"the API is not served: {detail}; trying every {RETRY_S:.0f} s"
                self._note("error", "", "api", told)
                log.error(told)  # the terminal tells it too
            self._state, self._detail = ("failed" if options.tls else "port taken"), detail
            return None
        except asyncio.CancelledError:
            await runner.cleanup()
            raise
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{port}"
        self._state, self._detail = "serving", ""
        self._note("info", "", "api", f"the API is served at {self.url}")
        return runner

    # --- one request -------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started_ns = time.perf_counter_ns()
        counts = self._counts
        counts.requests += 1
        counts.in_flight += 1
        request_id = self._ids.of(request.headers.get(HEADER))
        host, target = _aim(request)
        path = target.partition("?")[0]
        told = _Told()
        response: web.StreamResponse
        try:
            self._check_site(request, host, path)
            if path in PUSH:
                return await self._serve_push(request, told)
            fixed = self._pages.get(path)
            if fixed is not None:
                response, told.path = self._page(request, fixed, told), path
            else:
                response = await self._answer(request, target, path, request_id, told)
        except Problem as problem:
            counts.refused(problem.code)
            response = refuse(problem, request_id, path[:SHOWN], told.verdict, told.allow)
            if problem.code in _ENDING or path in PUSH:  # what comes after a handshake may be no HTTP
                response.force_close()
        except ConnectionError:
            raise
        except web.HTTPException as error:
            if request.writer.output_size:
                raise ConnectionResetError("the connection cannot go on") from error
            counts.refused("bad_request")
            unread = Problem("bad_request", f"the request is not as HTTP wants it: {error.reason}")
            response = refuse(unread, request_id, path[:SHOWN], told.verdict)
            response.force_close()
        except Exception as error:
            counts.broken += 1
            log.exception("request failed", request_id=request_id, method=request.method, route=told.path)
            if request.writer.output_size:  # an open WebSocket: there is no telling it by HTTP any more
                raise ConnectionResetError("the connection cannot go on") from error
            counts.refused("broken")
            ours = Problem("broken", f"This is our mistake; the log has it under request {request_id}.")
            response = refuse(ours, request_id, path[:SHOWN], told.verdict)
        finally:
            counts.in_flight -= 1
        method = request.method if request.method in METHODS else OTHER
        counts.answered(method, told.path, response.status, time.perf_counter_ns() - started_ns)
        return response

    def _check_site(self, request: web.BaseRequest, host: str | None, path: str) -> None:
        """Problem where another site's page sends the request, or it came by a name that is not ours."""
        headers = request.headers
        origin = headers.get("Origin")
        foreign = self._foreign(host, origin)
        if foreign is None and (request.method not in READING or path in PUSH):
            foreign = guard.foreign_page(host, origin, headers.get("Sec-Fetch-Site"))
        if foreign is not None:
            raise Problem("foreign", foreign)

    async def _answer(
        self, request: web.BaseRequest, target: str, path: str, request_id: str, told: _Told
    ) -> web.StreamResponse:
        """The answer of the route that the request means. Problem when it is refused."""
        method = request.method
        kept = self._calls.get(target) if method in READING else None
        if kept is not None:
            route, values = kept
            told.path = route.path
            identity, address = self._admit(request, route, told)
        else:
            found = self.table.find(path)
            if found is None:
                self._admit(request, None, told)
                raise Problem("no_route", f"There is nothing at {path[:SHOWN]}; /docs tells what there is.")
            place, texts = found
            told.path = place.path
            wanted = place.methods.get("GET" if method == "HEAD" else method)
            if wanted is None:
                self._admit(request, None, told)
                told.allow = place.allowed
                raise Problem("bad_method", f"{place.path} takes {place.allowed}, not {method[:16]}.")
            route = wanted
            identity, address = self._admit(request, route, told)
            values = values_of(route, texts, target[len(path) + 1 :], self._clock())
            self._keep(route, target, values)
        form: Format = "json"
        if not route.text and route.answer is not None:
            form = negotiate(request.headers.get("Accept"))
        body = await self._body(request, route) if route.body is not None else None
        answer = route.handler(Call(values, body, identity, address, request_id, self._clock()))
        if hasattr(answer, "__await__"):
            answer = await answer
        if route.text:
            data = answer if isinstance(answer, bytes) else str(answer).encode()
            return reply(data, route.text, request_id, told.verdict, route.status)
        if route.answer is None:
            return reply(b"", "", request_id, told.verdict, 204)
        # Long CSV takes too long for the loop; JSON and msgpack of the longest answers take less than a millisecond.
        data = await asyncio.to_thread(encode, answer, form) if form == "csv" else encode(answer, form)
        if told.verdict is not None and takes_ready(request):
            return ready(data, CONTENT_TYPES[form], request_id, told.verdict, route.status)
        return reply(data, CONTENT_TYPES[form], request_id, told.verdict, route.status)

    def _admit(self, request: web.BaseRequest, route: Route | None, told: _Told) -> tuple[Identity, str]:
        """Who sends the request, and from where. Problem where it may not pass.

        Credentials are looked at even where none are needed: wrong ones are told early, and tried slowly.
        """
        address, headers, now_ns = request.remote or "", request.headers, self._clock()
        try:
            if (route is None or route.role is None) and not _has_credentials(headers):
                identity = Identity(address, "read")
            else:
                identity = self._door.identify(headers, address, now_ns)
        except Problem:
            told.verdict = self._door.admit(None, address, now_ns)
            _pass(told.verdict)
            raise
        told.verdict = self._door.admit(identity, address, now_ns)
        _pass(told.verdict)
        if route is not None and route.role is not None and not may(identity, route.role):
            raise Problem(
                "forbidden",
                f"This takes the role {route.role}; yours is {identity.role}. "
                f"`uv run app.py keys create --role {route.role}` makes a key that may.",
                needs=route.role,
            )
        return identity, address

    def _keep(self, route: Route, target: str, values: Mapping[str, Any]) -> None:
        """Remember a call's arguments, where the same text always means the same."""
        if route.method != "GET" or len(target) > KEPT_TARGET:
            return
        if any(each.kind == "moment" for each in route.parameters):
            return
        if len(self._calls) >= KEPT_CALLS:
            self._calls.clear()
        self._calls[target] = (route, values)

    async def _body(self, request: web.BaseRequest, route: Route) -> Any:
        headers = request.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise Problem("unsupported_media", "A body is taken uncompressed: leave Content-Encoding out.")
        return body_of(route, await _read(request), headers.get("Content-Type", ""))

    async def _serve_push(self, request: web.BaseRequest, told: _Told) -> web.StreamResponse:
        """Hand a WebSocket on. Without credentials, where they are demanded, its first message brings them."""
        address, headers, now_ns = request.remote or "", request.headers, self._clock()
        identity: Identity | None = None
        if _has_credentials(headers) or not self._options.demanded:
            identity = self._door.identify(headers, address, now_ns)
        told.verdict = self._door.admit(identity, address, now_ns)
        _pass(told.verdict)
        if request.method != "GET":
            told.allow = "GET"
            raise Problem("bad_method", f"A WebSocket begins with GET, not {request.method[:16]}.")
        self._counts.in_flight -= 1  # it is open, and may be for days
        try:
            return await self._push.serve(request, identity, address)
        finally:
            self._counts.in_flight += 1

    def _page(self, request: web.BaseRequest, fixed: tuple[bytes, str], told: _Told) -> web.Response:
        """A page that is the same for all. It counts against the address's limit, as any request."""
        self._admit(request, None, told)
        if request.method not in READING:
            told.allow = "GET, HEAD"
            raise Problem("bad_method", f"This page takes GET, not {request.method[:16]}.")
        host = guard.host_of(request.headers.get("Host", "")) or ""
        return page(*fixed, trusted=request.secure or host in guard.LOOPBACK)


class _Told:
    """What is known of a request when it is refused."""

    __slots__ = ("allow", "path", "verdict")

    def __init__(self) -> None:
        self.path = OTHER
        self.verdict: Verdict | None = None
        self.allow = ""


def _aim(request: web.BaseRequest) -> tuple[str | None, str]:
    """Host and target. A target that says both, as a proxy's client writes it, goes before the Host header."""
    host, target = request.headers.get("Host"), request.raw_path
    if target.startswith("/"):
        return host, target
    found = _ABSOLUTE.match(target)
    if found is None:
        return host, target
    rest = target[found.end() :]
    return found[1], rest if rest.startswith("/") else f"/{rest}"


def _has_credentials(headers: Mapping[str, str]) -> bool:
    return "Authorization" in headers or "X-Api-Key" in headers


def _pass(verdict: Verdict) -> None:
    if not verdict.ok:
        raise Problem(
            "too_many_requests",
            f"Requests come faster than {verdict.limit:,} a second; wait {verdict.retry_after_s:.2f} s.",
            retry_after_s=verdict.retry_after_s,
            limit=verdict.limit,
        )


async def _read(request: web.BaseRequest) -> bytes:
    """A request's body. Problem when it is too long, does not come in time, or cannot be read."""
    longest = f"A body has at most {MAX_BODY:,} bytes."
    if (request.content_length or 0) > MAX_BODY:
        raise Problem("too_large", longest)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_BODY:  # sent in chunks, it need not say how long it is
                    raise Problem("too_large", longest)
    except TimeoutError as error:
        raise Problem("too_slow", f"A body has to come within {BODY_WITHIN_S:.0f} s.") from error
    except web.RequestPayloadError as error:
        raise Problem("bad_body", "The body's chunks cannot be read.") from error
    return b"".join(parts)


def _site(runner: web.ServerRunner, host: str, port: int | None, tls: ssl.SSLContext | None) -> web.BaseSite:
    """Where to serve. `::` is every address, of IPv4 too: asyncio alone would take that of IPv6 only. OSError."""
    if host != "::":
        return web.TCPSite(runner, host, port, backlog=BACKLOG, ssl_context=tls)
    both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            both.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind((host, port or 0))
        return web.SockSite(runner, both, backlog=BACKLOG, ssl_context=tls)
    except OSError:
        both.close()
        raise


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a server. OSError when the files cannot be read or used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
