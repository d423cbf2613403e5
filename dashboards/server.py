"""The web server: Hypercorn in this process, behind a guard on Host and Origin, and a login where one is demanded.

Hypercorn drops a client that has not sent a whole request head within the keep-alive time and holds no
worker thread for a body that trickles in, which is bounded in time too, as connections are in number (see
`connections`), so half-open clients starve nobody. No worker processes: pages read this process's rings.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from hypercorn.app_wrappers import WSGIWrapper
from hypercorn.config import Config

from dashboards.connections import IN_ALL, Front
from dashboards.login import Login
from engine.errors import BadSetting, PortInUse
from engine.guard import refusal

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Tls = tuple[Path, Path]  # certificate chain, its key

ROLE = "venuescope.role"
CSP = "Content-Security-Policy"
OPEN = "/assets/"
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


def content_policy(hashes: Collection[str] = ()) -> str:
    """What a page may load and run: this server's files, and the inline scripts with these hashes (`'sha256-...'`)."""
    scripts = " ".join(("'self'", *hashes))
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    )


def script_hashes(app: Any) -> list[str]:
    """Hashes of a Dash application's inline scripts, all of them: it adds one of its own with the first request."""
    app.server.test_client().get("/")
    return list(app.csp_hashes())


def guarded(
    app: Wsgi, allowed_hosts: Collection[str] = (), login: Login | None = None, hashes: Collection[str] = ()
) -> Wsgi:
    """`app`, answering 403 with a sentence to requests that other sites sent, and asking for a login if there is one.

    `hashes` are those of the pages' inline scripts, see `script_hashes`. `environ[ROLE]` is what the browser may do.
    Answers say what they cost: `Server-Timing: cpu` is the request thread's own time in ms, which a browser's
    network panel shows.
    """
    policy = content_policy(hashes)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        why = _refusal(environ, allowed_hosts)
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
            own = {name for name, _ in headers}  # a page that brings its own policy means it
            more = [each for each in (*HEADERS, (CSP, policy)) if each[0] not in own]
            return start_response(status, [*headers, *more, timing], exc_info)

        return _with_a_first_chunk(_behind_login(app, login)(environ, start))

    return answer


def _refusal(environ: dict[str, Any], allowed_hosts: Collection[str]) -> str | None:
    """Why a request is refused, as a sentence; None = it may pass.

    A browser says where a request comes from. A page of this machine's other ports is another site to us, though
    its cookies are the same; links from anywhere may open a page.
    """
    why = refusal(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"), allowed_hosts)
    if why is None and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        from_where = environ.get("HTTP_SEC_FETCH_SITE")
        if from_where in ("cross-site", "same-site"):
            return "The request comes from a page of another site."
    return why


def _behind_login(app: Wsgi, login: Login | None) -> Wsgi:
    """`app` for those who are logged in; its files, which hold nothing of anybody, for the login page too."""
    if login is None:
        return app

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if login.serves(path):
            return login.answer(environ, start)
        role = login.role(environ)
        if role is not None:
            environ[ROLE] = role
            return app(environ, start)
        if path.startswith(OPEN) and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start)
        return login.turn_away(environ, start)

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


def check_tls(files: Tls) -> None:
    """BadSetting when the certificate and its key cannot be used together."""
    cert, key = files
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            cert, key, password=lambda: b""
        )  # nobody is there to be asked
    except (ssl.SSLError, ValueError) as error:
        why = f"it and tls_key {key} are not a certificate and the key that belongs to it, in PEM, without a password"
        raise BadSetting("tls_cert", str(cert), why) from error
    except OSError as error:
        why = f"it or tls_key {key} cannot be read: {error.strerror}"
        raise BadSetting("tls_cert", str(cert), why) from error


async def serve(
    app: Wsgi, sock: socket.socket, stop: asyncio.Event, tls: Tls | None = None, files: int = 0
) -> None:
    """Serve `app` on a bound socket, which it takes over, until `stop` is set; requests under way get a second to end.

    `tls`: certificate chain and key, PEM, checked before with `check_tls`. `files`: how many this process may
    have open (0: nobody knows), of which connections take half at most.
    """
    config = Config()
    if tls is not None:
        config.certfile, config.keyfile = (str(path) for path in tls)
        config.alpn_protocols = ["http/1.1"]  # whose half-open requests are known to be dropped
        config.ssl_handshake_timeout = KEEP_ALIVE_S
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.read_timeout = READ_TIMEOUT_S
    config.graceful_timeout = 1.0
    config.shutdown_timeout = 1.0
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")  # not written past the program's log
    most = min(IN_ALL, files // 2) if files else IN_ALL
    await Front(WSGIWrapper(app, BODY_MAX_BYTES), config, most).run(sock, stop)
