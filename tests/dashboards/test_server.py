"""The dashboard's server over real sockets: who is let in, what is refused, and what half-open clients cost."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import http.client
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from dashboards import connections, server
from dashboards.login import FAILURES, Login
from engine.access.keys import LOOK_EVERY_NS, KeyRing
from engine.access.sessions import IDLE_NS, LIFE_S
from engine.errors import BadSetting
from tests.dashboards.serving import Serving

SECOND_NS = 10**9
NOW_NS = 1_795_000_000 * SECOND_NS
HALF_OPEN = 150


def pages(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """An application that says which role it was told."""
    start("200 OK", [("Content-Type", "text/html")])
    return [f"{environ['PATH_INFO']} for {environ.get(server.ROLE, 'nobody')}".encode()]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Served(Serving):
    """An application served on a port of its own, by a thread; with a login whose clocks the test moves."""

    def __init__(self, folder: Path | None = None, tls: server.Tls | None = None) -> None:
        self.now_ns, self.steady_ns = NOW_NS, 0
        self.keys = KeyRing(folder, lambda: self.steady_ns) if folder is not None else None
        self.login = Login(self.keys, lambda: self.now_ns) if self.keys is not None else None
        self.app = server.guarded(pages, ["desk.example"], self.login, ["'sha256-AAAA'"])
        super().__init__(self.app, tls)

    def ask(self, path: str = "/", method: str = "GET", body: str = "", **headers: str) -> Answer:
        if self.tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        else:
            trust = ssl.create_default_context(cafile=str(self.tls[0]))
            trust.check_hostname = False
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=trust)
        with_dashes = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body or None, with_dashes)
            found = connection.getresponse()
            return Answer(found.status, dict(found.getheaders()), found.read().decode())
        finally:
            connection.close()

    def submit(self, credential: str, onward: str = "/", **headers: str) -> Answer:
        """The form, sent."""
        form = urlencode({"credential": credential, "next": onward})
        return self.ask("/login", "POST", form, Content_Type="application/x-www-form-urlencoded", **headers)

    def cookie(self, credential: str | None = None) -> str:
        """A cookie of a new session."""
        assert self.login is not None
        return cookie_of(self.submit(credential or self.login.token))


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].split(";")[0]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def free() -> Iterator[Served]:
    """One that demands no login."""
    with Served() as found:
        yield found


def test_a_page_is_served_with_what_it_may_run(free: Served) -> None:
    answer = free.ask("/book")
    assert (answer.status, answer.body) == (200, "/book for nobody")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "script-src 'self' 'sha256-AAAA'" in policy
    assert {"default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"} < set(
        policy
    )
    assert "unsafe-eval" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example", "Origin": "http://rebound.example"},
        {"Origin": "https://other.example"},
        {"Origin": "null"},
        {"Host": "192.0.2.1:8050"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/login", "/assets/10_tokens.css", "/_dash-update-component"])
def test_foreign_and_rebound_requests_are_refused_whoever_sends_them(
    free: Served, headers: dict[str, str], path: str
) -> None:
    for method in ("GET", "POST"):
        assert free.ask(path, method, **headers).status == 403


@pytest.mark.parametrize(
    ("method", "where", "status"),
    [
        ("POST", "cross-site", 403),
        ("POST", "same-site", 403),  # a page of another port of this machine
        ("POST", "same-origin", 200),
        ("POST", "none", 200),
        ("GET", "cross-site", 200),
    ],
)
def test_what_changes_something_comes_from_our_own_pages(
    free: Served, method: str, where: str, status: int
) -> None:
    assert free.ask("/", method, Sec_Fetch_Site=where).status == status


def test_a_logged_in_browser_does_not_let_foreign_pages_in(served: Served) -> None:
    cookie = served.cookie()
    assert served.ask(Cookie=cookie).status == 200
    for headers in ({"Host": "rebound.example"}, {"Origin": "http://other.example"}):
        assert served.ask(Cookie=cookie, **headers).status == 403
    assert served.submit(served.login.token, Origin="http://other.example").status == 403


def test_without_a_login_pages_lead_to_the_form_and_the_rest_is_refused(served: Served) -> None:
    answer = served.ask("/book?symbol=BTC-USDT&x=%22", Accept="text/html")
    assert answer.status == 303
    assert answer.headers["location"] == "/login?next=" + quote("/book?symbol=BTC-USDT&x=%22", safe="")
    for path, method in (
        ("/_dash-update-component", "POST"),
        ("/_dash-layout", "GET"),
        ("/history/exports/1", "GET"),
        ("/book", "DELETE"),
        ("//assets/", "GET"),
        ("/assets", "GET"),
        ("/assets/", "POST"),
    ):
        answer = served.ask(path, method)
        assert (answer.status, answer.body) == (401, "Log in at /login.\n"), path
    assert served.ask("/assets/10_tokens.css").body == "/assets/10_tokens.css for nobody"


def test_the_form_takes_the_token_and_leads_on(served: Served) -> None:
    page = served.ask("/login?next=%2Fbook%3Fx%3D%2522")
    assert page.status == 200
    assert 'name="next" value="/book?x=%22"' in page.body
    answer = served.submit(served.login.token, "/book?x=%22")
    assert (answer.status, answer.headers["location"]) == (303, "/book?x=%22")
    made = answer.headers["set-cookie"]
    assert made.startswith(f"venuescope-{served.port}=")
    assert made.endswith(f"; Path=/; Max-Age={LIFE_S}; HttpOnly; SameSite=Strict")
    assert served.ask("/book", Cookie=f"a=b; {cookie_of(answer)}").body == "/book for admin"
    assert served.login.token not in page.body + answer.body


def test_the_link_is_answered_with_a_page_that_goes_on(served: Served) -> None:
    answer = served.ask(served.login.link("") + "&next=%2Fbook")
    assert answer.status == 200
    assert '<meta http-equiv="refresh" content="0;url=/book">' in answer.body
    assert 'href="/book"' in answer.body
    assert served.login.token not in answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert served.ask(Cookie=cookie_of(answer)).body == "/ for admin"
    assert served.login.link("http://desk:8050") == f"http://desk:8050/login?token={served.login.token}"


def test_who_is_logged_in_and_comes_from_another_site_is_let_in(served: Served) -> None:
    """The first request has no cookie, which is strict; what that page leads to has."""
    answer = served.ask("/book", Accept="text/html", Sec_Fetch_Site="cross-site")
    assert (answer.status, "set-cookie" in answer.headers) == (200, False)
    assert '<meta http-equiv="refresh" content="0;url=/login?next=%2Fbook">' in answer.body
    assert served.ask("/login?next=%2Fbook").status == 200
    answer = served.ask("/login?next=%2Fbook", Cookie=served.cookie())
    assert (answer.status, answer.headers["location"]) == (303, "/book")


def test_no_page_of_the_login_has_inline_scripts_or_styles(served: Served) -> None:
    for path in ("/login", served.login.link(""), "/logout"):
        answer = served.ask(path)
        assert not re.search(r"<style|<script(?! src=)| style=| on[a-z]+=", answer.body)
        assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "/a\\b", "/login", "/logout?x",
     "/x\r\nSet-Cookie: a=b", "/é", "javascript:alert(1)", "", "/" + "x" * 3_000],
)  # fmt: skip
def test_a_login_leads_to_our_own_pages_alone(served: Served, onward: str) -> None:
    assert served.submit(served.login.token, onward).headers["location"] == "/"
    page = served.ask(f"/login?next={quote(onward)}")
    assert 'name="next" value="/"' in page.body


def test_what_is_given_is_written_as_text(served: Served) -> None:
    page = served.ask("/login?next=/%22%3E%3Cb%3E")
    assert "<b>" not in page.body
    assert "&lt;b&gt;" in page.body


@pytest.mark.parametrize("role", ["read", "trade", "admin"])
def test_a_key_gives_a_session_of_its_role(served: Served, role: str) -> None:
    key, text = served.keys.create(role, "", NOW_NS)
    cookie = served.cookie(f" {text}\n")
    assert served.ask(Cookie=cookie).body == f"/ for {role}"
    KeyRing(served.keys.path.parent).revoke(key.id)
    served.steady_ns += LOOK_EVERY_NS
    assert served.ask(Cookie=cookie).status == 401
    assert served.submit(text).status == 401


def test_a_session_ends_with_its_key_with_time_and_by_hand(served: Served) -> None:
    _, text = served.keys.create("read", "", NOW_NS, NOW_NS + 60 * SECOND_NS)
    short, idle, busy, left = served.cookie(text), served.cookie(), served.cookie(), served.cookie()
    served.now_ns += 60 * SECOND_NS
    assert [served.ask(Cookie=each).status for each in (short, idle, busy, left)] == [401, 200, 200, 200]
    gone = served.ask("/logout", Cookie=left)
    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert served.ask(Cookie=left).status == 401
    for _ in range(LIFE_S * SECOND_NS // (IDLE_NS - SECOND_NS) - 1):
        served.now_ns += IDLE_NS - SECOND_NS
        assert served.ask(Cookie=busy).status == 200
    assert served.ask(Cookie=idle).status == 401
    served.now_ns += IDLE_NS - SECOND_NS
    assert served.ask(Cookie=busy).status == 401


def test_a_new_login_ends_the_browsers_session_before(served: Served) -> None:
    first = served.cookie()
    second = cookie_of(served.submit(served.login.token, Cookie=first))
    assert [served.ask(Cookie=each).status for each in (first, second)] == [401, 200]


@pytest.mark.parametrize("credential", ["", "x", "vsk_1_2", "é", "x" * 300, "vsk__", "\x00"])
def test_a_wrong_credential_is_refused_and_not_repeated(served: Served, credential: str) -> None:
    for answer in (served.submit(credential), served.ask(f"/login?token={quote(credential or 'x')}")):
        assert answer.status == 401
        assert "set-cookie" not in answer.headers
        assert 'role="alert"' in answer.body
        assert not credential[8:] or credential not in answer.body
    made_up = f"venuescope-{served.port}={credential or 'x'}"
    assert served.ask(Cookie=made_up.encode("latin-1", "replace").decode("latin-1")).status in (400, 401)


def test_failed_logins_are_limited_and_sessions_stay(served: Served) -> None:
    cookie = served.cookie()
    assert [served.submit("wrong").status for _ in range(FAILURES)] == [401] * FAILURES
    answer = served.submit(served.login.token)
    assert (answer.status, answer.headers["retry-after"]) == (429, "6")
    assert served.ask(served.login.link("")).status == 429
    assert served.ask(Cookie=cookie).status == 200
    served.now_ns += 6 * SECOND_NS
    assert served.submit(served.login.token).status == 303
    assert (served.login.failed, served.login.blocked) == (FAILURES, 2)


def test_sessions_are_bounded(tmp_path: Path) -> None:
    from engine.access.sessions import Sessions

    sessions = Sessions(3)
    names = [sessions.open(None, NOW_NS) for _ in range(3)]
    assert sessions.find(names[0], NOW_NS) is not None
    names.append(sessions.open(None, NOW_NS))
    assert [sessions.find(name, NOW_NS) is not None for name in names] == [True, False, True, True]
    assert (len(sessions), sessions.dropped) == (3, 1)


def test_forms_are_bounded_and_other_methods_refused(served: Served) -> None:
    assert served.submit("x" * 10_000).status == 413
    assert served.ask("/login", "PUT").headers["allow"] == "GET, HEAD, POST"
    assert served.ask(served.login.link(""), "HEAD").headers.get("set-cookie") is None
    many = "&".join(f"a{n}=1" for n in range(100))
    assert served.ask("/login", "POST", f"credential={served.login.token}&{many}").status == 401


def half_open(port: int, count: int) -> list[socket.socket]:
    """Clients that sent half a request's head, and wait."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    return clients


def test_150_half_open_clients_starve_nobody(free: Served) -> None:
    clients = half_open(free.port, HALF_OPEN)
    try:
        assert [free.ask().status for _ in range(20)] == [200] * 20
    finally:
        for client in clients:
            client.close()


@pytest.mark.nightly
def test_150_half_open_clients_are_dropped(free: Served) -> None:
    clients = half_open(free.port, HALF_OPEN)
    for client in clients:
        client.settimeout(2 * server.KEEP_ALIVE_S)
        assert client.recv(10) == b""
        client.close()
    assert free.ask().status == 200


def drip(port: int) -> socket.socket:
    """A client in the middle of its request's body."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
    return client


def ended(client: socket.socket) -> bytes:
    """What it is told before its connection ends."""
    told = b""
    with client, contextlib.suppress(ConnectionError):
        while got := client.recv(1_000):
            told += got
    return told


def test_a_body_that_drips_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ARRIVAL_S", 0.2)
    with Served() as served, drip(served.port) as client:
        client.settimeout(0.05)
        for _ in range(100):
            client.sendall(b"x")
            try:
                told = client.recv(1_000)
                break
            except TimeoutError:
                continue
        assert told.startswith(b"HTTP/1.1 408 ")
        assert served.ask().status == 200


def test_an_answer_may_take_longer_than_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ARRIVAL_S", 0.1)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.1)
    never = threading.Event()

    def slow(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        for part in (b"a", b"b", b"c"):
            never.wait(0.15)
            yield part

    served = Served()
    served.app = slow
    with served:
        assert served.ask("/", "POST", "all of it").body == "abc"


def test_a_request_that_is_broken_off_is_not_run() -> None:
    run: list[str] = []

    def noted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        run.append(environ["PATH_INFO"])
        return pages(environ, start)

    served = Served()
    served.app = noted
    with served:
        client = drip(served.port)
        client.shutdown(socket.SHUT_WR)
        assert b" 200 " not in ended(client)
        assert served.ask("/whole").status == 200
    assert run == ["/whole"]


@pytest.mark.parametrize(("own", "all_together"), [(8, 1_024), (1_024, 16)])
@pytest.mark.parametrize("begin", [drip, lambda port: half_open(port, 1)[0]])
def test_who_waits_longest_makes_room(
    monkeypatch: pytest.MonkeyPatch, own: int, all_together: int, begin: Callable[[int], socket.socket]
) -> None:
    monkeypatch.setattr(connections, "PER_ADDRESS", own)
    served = Served()
    served.files = 2 * all_together
    with served, contextlib.ExitStack() as stack, capture_logs() as lines:
        clients = [stack.enter_context(begin(served.port)) for _ in range(30)]
        assert [served.ask().status for _ in range(5)] == [200] * 5
        for client in clients[:14]:
            client.settimeout(10)
            assert ended(client) == b""
    assert [line["event"] for line in lines] == ["connections that wait are dropped"]


def test_who_is_being_answered_makes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PER_ADDRESS", 2)
    under_way, go_on = threading.Semaphore(0), threading.Event()

    def held(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        under_way.release()
        assert go_on.wait(10)
        return pages(environ, start)

    served = Served()
    served.app = held
    with served, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
            for _ in "ab"
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert under_way.acquire(timeout=10)
        assert ended(socket.create_connection(("127.0.0.1", served.port), timeout=10)) == b""
        go_on.set()
        assert all(b" 200 " in ended(client) for client in clients)


def test_who_says_nothing_over_tls_makes_room_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PER_ADDRESS", 8)
    with Served(tmp_path, certificate(tmp_path)) as served, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
            for _ in range(30)
        ]
        assert served.ask("/login").status == 200
        assert ended(clients[0]) == b""


def test_a_system_that_has_no_more_files_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = asyncio.SelectorEventLoop
    real, left = kind.sock_accept, [3]

    async def accept(loop: Any, sock: socket.socket) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return await real(loop, sock)

    monkeypatch.setattr(kind, "sock_accept", accept)
    monkeypatch.setattr(connections, "RETRY_S", 0.01)
    with capture_logs() as lines, Served() as served:
        assert served.ask().status == 200
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("no more connections can be taken", "warning")
    ]


def test_an_end_with_half_open_requests_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), capture_logs() as lines:
        with Served() as served:
            clients = [*half_open(served.port, 5), *(drip(served.port) for _ in range(5))]
            assert served.ask().status == 200
        for client in clients:
            client.close()
    assert (caplog.records, lines) == ([], [])


def certificate(folder: Path) -> server.Tls:
    """A certificate of this machine and its key, in files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(form))
    files[1].write_bytes(
        key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_over_tls_the_cookie_is_secure_and_plain_requests_get_nothing(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    server.check_tls(files)
    with Served(tmp_path / "data", files) as served:
        made = served.submit(served.login.token).headers["set-cookie"]
        assert made.startswith(f"__Host-venuescope-{served.port}=")
        assert made.endswith("; Secure")
        assert served.ask(Cookie=made.split(";")[0]).body == "/ for admin"
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP/1.1 2")


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    (tmp_path / "b").mkdir()
    other = certificate(tmp_path / "b")[1]
    for files in ((tmp_path / "none.pem", key), (cert, cert), (cert, other), (tmp_path, key)):
        with pytest.raises(BadSetting, match=r"tls_cert cannot be .* tls_key .*(cannot be read|in PEM)"):
            server.check_tls(files)
