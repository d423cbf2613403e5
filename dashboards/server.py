"""The web server: Hypercorn in this process, behind a guard on Host and Origin.

Hypercorn drops a client that has not sent a whole request head within the keep-alive time and holds no
worker thread for a body that trickles in, so half-open clients starve nobody. No worker processes: pages
read this process's rings.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from engine.errors import PortInUse
from engine.guard import refusal

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEEP_ALIVE_S = 10.0
READ_TIMEOUT_S = 30
BODY_MAX_BYTES = 1 << 20
BACKLOG = 256

HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


def guarded(app: Wsgi, allowed_hosts: Collection[str] = ()) -> Wsgi:
    """`app`, answering 403 with a sentence to requests whose Host or Origin is foreign.

    Answers say what they cost: `Server-Timing: cpu` is the request thread's own time in ms, which a browser's
    network panel shows.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        why = refusal(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"), allowed_hosts)
        if why is not None:
            body = why.encode()
            start_response(
                "403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
            )
            return [body]

        started_ns = time.thread_time_ns()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            spent_ms = (time.thread_time_ns() - started_ns) / 1e6
            timing = ("Server-Timing", f"cpu;dur={spent_ms:.3f}")
            return start_response(status, [*headers, *HEADERS, timing], exc_info)

        return _with_a_first_chunk(app(environ, start))

    return answer


def _with_a_first_chunk(body: Iterable[bytes]) -> Iterator[bytes]:
    """`body` behind an empty chunk: Hypercorn sends an answer's head with its first chunk, and 304 has none."""
    try:
        yield b""
        yield from body
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket (port 0: any free one); PortInUse when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not on Windows, where the option would let two servers share the port.
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        # Linux reports a taken port here if the other socket reused its address too.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(host, port) from error
        raise
    return sock


async def serve(app: Wsgi, sock: socket.socket, stop: asyncio.Event) -> None:
    """Serve `app` on a bound socket until `stop` is set; requests under way get a second to end."""
    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.read_timeout = READ_TIMEOUT_S
    config.wsgi_max_body_size = BODY_MAX_BYTES
    config.graceful_timeout = 1.0
    config.shutdown_timeout = 1.0
    config.include_server_header = False
    config.loglevel = "WARNING"
    await hypercorn_serve(app, config, shutdown_trigger=stop.wait, mode="wsgi")
