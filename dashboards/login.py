"""Logging in to the dashboard: by the link printed at the start, or by a form that takes its token or an API key.

The cookie is strict: another site's link brings none along. So the start-up link is answered with a page that goes
on by itself, from where the cookie is sent; a redirect would belong to the other site's navigation and lack it.
"""

from __future__ import annotations

import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import structlog

from dashboards import login_page
from engine.access.identity import Role
from engine.access.keys import KEY_CHARACTERS, AccessKey, KeyRing
from engine.access.rates import SECOND_NS, Rates, caller_of
from engine.access.sessions import LIFE_S, Sessions

log = structlog.get_logger(__name__)

Environ = dict[str, Any]
Start = Callable[..., Any]

FAILURES: Final = 10  # failed logins a minute that an address may make
FORM_BYTES: Final = 8 << 10
ONWARD_CHARACTERS: Final = 2_000
COOKIES: Final = 8  # of one name that are looked at; another path's may stand before ours
PAGES: Final = ("/login", "/logout")
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_WRONG: Final = "This is neither the program's token nor a key that is good."


class Login:
    """Who is logged in. Safe to use from several threads. `token` is good for the run of the program."""

    def __init__(self, keys: KeyRing, wall: Callable[[], int] = time.time_ns) -> None:
        self.token: Final = secrets.token_urlsafe(32)
        self.failed = 0  # wrong tokens and keys
        self.blocked = 0  # logins not looked at, after too many of them
        self._keys = keys
        self._wall = wall
        self._failures = Rates(FAILURES, 60 * SECOND_NS)
        self._sessions = Sessions()
        self._lock = threading.Lock()

    def link(self, url: str) -> str:
        """The link that logs in, of a dashboard at `url` ("http://desk:8050"). It is a secret."""
        return f"{url}/login?token={self.token}"

    def role(self, environ: Environ) -> Role | None:
        """What the browser that sends this request may do; None when it is not logged in."""
        now_ns = self._wall()
        with self._lock:
            for name in _cookies(environ):
                session = self._sessions.find(name, now_ns)
                if session is None:
                    continue
                if session.key is None or (
                    self._keys.get(session.key.id) == session.key and session.key.good(now_ns)
                ):
                    return session.role
                self._sessions.close(name)  # its key was revoked, or has expired
        return None

    def serves(self, path: str) -> bool:
        """Whether `answer` answers this path."""
        return path in PAGES

    def answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """The answer to a request for one of PAGES."""
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == "/logout":
            return self._log_out(environ, start)
        if method == "POST":
            return self._log_in_by_form(environ, start)
        if method not in ("GET", "HEAD"):
            return _ask(start, "405 Method Not Allowed", "/", headers=[("Allow", "GET, HEAD, POST")])
        given = _fields(environ.get("QUERY_STRING", ""))
        onward = _onward(given.get("next", ""))
        if "token" not in given or method == "HEAD":
            if self.role(environ) is not None:
                return _say(start, "303 See Other", b"", [("Location", onward)])
            return _ask(start, "200 OK", onward)
        return self._log_in(
            environ,
            start,
            given["token"],
            onward,
            lambda cookie: _say(start, "200 OK", login_page.welcome(onward), [cookie]),
        )

    def turn_away(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """The answer to a request of a browser that is not logged in: the login page to who opens a page, else 401."""
        opens = environ["REQUEST_METHOD"] in ("GET", "HEAD") and "text/html" in environ.get("HTTP_ACCEPT", "")
        if not opens:
            said = [("WWW-Authenticate", 'Form realm="Venuescope"')]
            return _say(start, "401 Unauthorized", b"Log in at /login.\n", said, "text/plain; charset=utf-8")
        query = environ.get("QUERY_STRING", "")
        # As it came in: the server has taken the path apart.
        wanted = quote(environ["PATH_INFO"].encode("latin-1")) + (f"?{query}" if query else "")
        to = f"/login?next={quote(_onward(wanted), safe='')}"
        if (
            environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"
        ):  # it may be logged in, and its cookie stayed behind
            return _say(start, "200 OK", login_page.passage(to))
        return _say(start, "303 See Other", b"", [("Location", to)])

    def _log_in_by_form(self, environ: Environ, start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(FORM_BYTES + 1)
        if len(body) > FORM_BYTES:
            return _ask(start, "413 Content Too Large", "/", "That was too long.")
        given = _fields(body.decode("utf-8", "replace"))
        onward = _onward(given.get("next", ""))
        return self._log_in(
            environ,
            start,
            given.get("credential", ""),
            onward,
            lambda cookie: _say(start, "303 See Other", b"", [("Location", onward), cookie]),
        )

    def _log_in(
        self,
        environ: Environ,
        start: Start,
        credential: str,
        onward: str,
        welcome: Callable[[tuple[str, str]], Iterable[bytes]],
    ) -> Iterable[bytes]:
        now_ns = self._wall()
        caller = caller_of(environ.get("REMOTE_ADDR", ""))
        with self._lock:
            wait_s = self._failures.look(caller, now_ns).retry_after_s
            if wait_s:
                self.blocked += 1
                wait = max(1, math.ceil(wait_s))
                trouble = f"Too many wrong tokens came from your address; try again in {wait} s."
                return _ask(start, "429 Too Many Requests", onward, trouble, [("Retry-After", str(wait))])
            right, key = self._check(credential.strip(), now_ns)
            if not right:
                self.failed += 1
                self._failures.take(caller, now_ns)
                log.warning("login refused", address=environ.get("REMOTE_ADDR", ""))
                return _ask(start, "401 Unauthorized", onward, _WRONG)
            for name in _cookies(environ):
                self._sessions.close(name)
            session = self._sessions.open(key, now_ns)
        who = f"key {key.id}" if key is not None else "the start-up link"
        log.info("logged in", address=environ.get("REMOTE_ADDR", ""), by=who)
        return welcome(_cookie(environ, session, LIFE_S))

    def _check(self, credential: str, now_ns: int) -> tuple[bool, AccessKey | None]:
        """Whether it is the token or a good key, and which key."""
        if not credential or len(credential) > KEY_CHARACTERS:
            return False, None
        if hmac.compare_digest(credential.encode("utf-8", "replace"), self.token.encode()):
            return True, None
        key = self._keys.find(credential)
        return key is not None and key.good(now_ns), key

    def _log_out(self, environ: Environ, start: Start) -> Iterable[bytes]:
        with self._lock:
            for name in _cookies(environ):
                self._sessions.close(name)
        return _say(start, "200 OK", login_page.farewell(), [_cookie(environ, "", 0)])


def _ask(
    start: Start, status: str, onward: str, trouble: str = "", headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """The form. A page that sends no referrer sends its form with `Origin: null`, which is refused as foreign."""
    return _say(start, status, login_page.form(onward, trouble), headers, referrer="same-origin")


def _say(
    start: Start,
    status: str,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (),
    form: str = "text/html; charset=utf-8",
    referrer: str = "no-referrer",
) -> Iterable[bytes]:
    start(
        status,
        [
            ("Content-Type", form),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", CSP),
            ("Referrer-Policy", referrer),
            *headers,
        ],
    )
    return [body]


def _fields(text: str) -> dict[str, str]:
    """First value of each field of a form or query; nothing of what is none."""
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=16).items()}
    except ValueError:
        return {}


def _onward(path: str) -> str:
    """`path` where it is one of this server's pages, else the first page: a login leads nowhere else."""
    parts = urlsplit(path) if path.startswith("/") and path.isascii() and path.isprintable() else None
    foreign = parts is None or path[1:2] in ("/", "\\") or parts.netloc or parts.path in PAGES
    return "/" if foreign or "\\" in path or len(path) > ONWARD_CHARACTERS else path


def _secure(environ: Environ) -> bool:
    return environ.get("wsgi.url_scheme") == "https"


def _cookie_name(environ: Environ) -> str:
    """Browsers share cookies between a host's ports, so the name has the port."""
    return f"{'__Host-' if _secure(environ) else ''}venuescope-{environ.get('SERVER_PORT', '')}"


def _cookies(environ: Environ) -> Iterator[str]:
    """Values of our cookie in a request."""
    wanted, seen = _cookie_name(environ), 0
    for part in environ.get("HTTP_COOKIE", "").replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted and seen < COOKIES:
            seen += 1
            yield value


def _cookie(environ: Environ, value: str, age_s: int) -> tuple[str, str]:
    secure = "; Secure" if _secure(environ) else ""
    return (
        "Set-Cookie",
        f"{_cookie_name(environ)}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}",
    )
