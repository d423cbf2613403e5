"""The market-data API as a new user meets it: the README's lines against a fresh start, and who is let in."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

import pytest

from tests.benchmarks.served import FREE_PORTS, free_port

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.split("## The market-data API")[1].split("\n## ")[0]
WITHIN_S = 60.0


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class From(urllib.request.HTTPHandler):
    """Connections from one address of this machine: failed logins are counted by it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(http.client.HTTPConnection, request, source_address=(self.address, 0))


def ask(
    url: str, method: str = "GET", body: Any = None, address: str = "127.0.0.1", **headers: str
) -> Answer:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(
        url, data, {name.replace("_", "-"): value for name, value in headers.items()}, method=method
    )
    try:
        with urllib.request.build_opener(From(address)).open(request, timeout=10) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


class Running(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    page: str
    folder: Path


def environment(folder: Path, **more: str) -> dict[str, str]:
    return (
        os.environ
        | FREE_PORTS
        | {
            "VENUESCOPE_CACHE_DIR": str(ROOT / ".venuescope"),
            "VENUESCOPE_CONFIG_DIR": str(folder / "config"),
            "VENUESCOPE_DATA_DIR": str(folder / "data"),
            "VENUESCOPE_HISTORY_S": "60",
        }
        | more
    )


def start(folder: Path, **more: str) -> Running:
    port, api_port = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        env=environment(folder, VENUESCOPE_API_PORT=str(api_port), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{api_port}"
    until = time.monotonic() + WITHIN_S
    while True:
        try:
            if ask(f"{url}/readyz").status == 200:
                return Running(process, url, f"http://127.0.0.1:{port}", folder)
        except OSError:
            pass
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < until, "the API was not ready in time"
        time.sleep(0.1)


def stop(running: Running) -> str:
    running.process.send_signal(signal.SIGTERM)
    said, _ = running.process.communicate(timeout=20)
    assert running.process.returncode == 0, said
    return said


def keys(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "app.py", "keys", *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def made_key(folder: Path, *arguments: str) -> str:
    found = re.search(r"vsk_\S+", keys(folder, "create", *arguments))
    assert found is not None
    return found[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = start(tmp_path_factory.mktemp("api"))
    yield found
    stop(found)


def curl_lines() -> list[str]:
    return re.findall(r"^(curl .*?)(?: {2,}#.*)?$", SECTION, re.MULTILINE)


def test_the_readme_has_lines_to_try() -> None:
    assert len(curl_lines()) >= 6


@pytest.mark.parametrize("line", curl_lines())
def test_a_line_of_the_readme_works_against_a_fresh_start(running: Running, line: str) -> None:
    words = shlex.split(line)[1:]
    headers, url, body, method = {}, "", None, "GET"
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body, method = words.pop(0).encode(), "POST"
        elif word == "-X":
            method = words.pop(0)
        else:
            url = re.sub(r"^(?:http://)?localhost:8052", running.url, word)
    answer = ask(url, method, body, **headers)
    assert answer.status in (200, 201), answer.body
    if "text/csv" in headers.get("Accept", ""):
        assert len(answer.body.splitlines()) > 1
    else:
        assert answer.json


def described(running: Running) -> list[tuple[str, str]]:
    document = ask(f"{running.url}/openapi.json").json
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


def test_the_readme_lists_every_route(running: Running) -> None:
    listed = set(re.findall(r"`(GET|POST|PUT|DELETE) ([^`?]+)[^`]*`", SECTION))
    bare = {(method, path.removeprefix("/v1") or "/") for method, path in described(running)}
    assert bare - listed == set()
    assert listed - bare == set()


def test_the_example_client_prints_candles_each_second(running: Running, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 20
    script = tmp_path / "client.py"
    script.write_text(code[1].replace("localhost:8052", running.url.removeprefix("http://")))
    process = subprocess.Popen(
        [sys.executable, "-u", str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = []
    try:
        finals: list[str] = []
        until = time.monotonic() + 20
        while len(finals) < 3 and time.monotonic() < until:
            lines.append(process.stdout.readline())
            finals = [line.split()[0] for line in lines if " final " in line]
    finally:
        process.kill()
        process.wait()
    assert len(finals) == 3, lines
    assert len(set(finals)) == 3
    assert all(re.search(r":\d\d(\.000)?Z$", each) for each in finals)


class Hook(BaseHTTPRequestHandler):
    heard: Queue[tuple[dict[str, str], bytes]] = Queue()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.put((dict(self.headers), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_alert_fires_on_the_api_and_at_a_webhook_that_can_tell_whose_it_is(running: Running) -> None:
    import hashlib
    import hmac

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        made = ask(
            f"{running.url}/v1/webhooks",
            "POST",
            {"name": "desk", "url": f"http://127.0.0.1:{server.server_port}/hook", "template": "json"},
        )
        assert made.status in (200, 201), made.body
        rule = ask(
            f"{running.url}/v1/alerts",
            "POST",
            {"text": "BTC/USDT mid on any venue above 2 for 1 s", "webhooks": ["desk"]},
        )
        assert rule.status in (200, 201), rule.body
        headers, body = Hook.heard.get(timeout=15)
        told = dict(part.split("=", 1) for part in headers["Venuescope-Signature"].split(","))
        signed = hmac.new(made.json["secret"].encode(), f"{told['t']}.".encode() + body, hashlib.sha256)
        assert told["v1"] == signed.hexdigest()
        firings = ask(f"{running.url}/v1/alerts/firings").json
        rows = firings if isinstance(firings, list) else firings["firings"]
        mine = [each for each in rows if each["rule"] == rule.json["id"]]
        assert len(mine) == 1
        assert ask(f"{running.url}/v1/alerts/firings/{mine[0]['id']}/acknowledge", "POST", {}).status < 300
    finally:
        server.shutdown()
        server.server_close()


def test_foreign_sites_and_rebound_names_are_refused(running: Running) -> None:
    for method, path in described(running):
        where = f"{running.url}{re.sub(r'{[^}]*}', 'x', path)}"
        assert ask(where, method, Origin="https://evil.example").status == 403, (method, path)
        assert ask(where, method, Host="evil.example").json["code"] == "foreign", (method, path)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = start(tmp_path_factory.mktemp("guarded"), VENUESCOPE_AUTH="always")
    yield found
    stop(found)


def token(running: Running, key: str, **more: Any) -> str:
    answer = ask(f"{running.url}/v1/token", "POST", more, Authorization=f"Bearer {key}")
    assert answer.status in (200, 201), answer.body
    found: str = answer.json["token"]
    return found


OPEN = {"/", "/healthz", "/readyz", "/market.proto"}


def test_every_route_refuses_who_may_not_call_it(guarded: Running) -> None:
    import jwt

    reader = made_key(guarded.folder, "--role", "read")
    revoked = made_key(guarded.folder, "--role", "admin")
    admin = made_key(guarded.folder, "--role", "admin")
    short = made_key(guarded.folder, "--role", "admin", "--expires", "1s")
    dead = token(guarded, revoked)
    keys(guarded.folder, "revoke", revoked.split("_")[1])
    time.sleep(1.2)
    good, reading = token(guarded, admin), token(guarded, reader)
    parts = jwt.decode(good, options={"verify_signature": False})
    forged = jwt.encode({**parts, "role": "admin"}, "not the secret of this program, though long", "HS256")
    document = ask(f"{guarded.url}/openapi.json").json
    wrong = {
        "none": "",
        "wrong key": f"Bearer {admin[:-4]}AAAA",
        "revoked key": f"Bearer {revoked}",
        "token of a revoked key": f"Bearer {dead}",
        "expired key": f"Bearer {short}",
        "forged token": f"Bearer {forged}",
        "unsigned token": f"Bearer {jwt.encode(parts, '', 'none')}",
    }
    addresses = (f"127.0.{n // 250}.{n % 250 + 1}" for n in itertools.count(1))
    for path, methods in document["paths"].items():
        bare = path.removeprefix("/v1") or "/"
        for method, route in methods.items():
            where = f"{guarded.url}{re.sub(r'{[^}]*}', '1', path)}"
            if bare in OPEN:
                assert ask(where, method.upper()).status == 200
                continue
            for what, credential in wrong.items():
                headers = {"Authorization": credential} if credential else {}
                answer = ask(where, method.upper(), address=next(addresses), **headers)
                assert answer.status == 401, (what, method, path, answer.body)
            if route.get("x-role") in ("trade", "admin"):
                answer = ask(where, method.upper(), Authorization=f"Bearer {reading}")
                assert (answer.status, answer.json["code"]) == (403, "forbidden"), (method, path)


def test_a_socket_without_a_key_is_ended_and_one_with_a_key_listens(guarded: Running) -> None:
    key = made_key(guarded.folder, "--role", "read")
    assert shake_hands(guarded, f"Bearer {key}").startswith(b"HTTP/1.1 101")
    assert shake_hands(guarded, "Bearer vsk_none_none").startswith((b"HTTP/1.1 401", b"HTTP/1.1 429"))


def shake_hands(running: Running, authorization: str) -> bytes:
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(
            f"GET /v1/ws HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Authorization: {authorization}\r\n\r\n".encode()
        )
        return client.recv(4_096)


def test_the_page_asks_who_is_there_when_all_must_say_so(guarded: Running) -> None:
    assert ask(guarded.page).status == 401
