"""The command line as a user meets it: mistakes are one sentence and exit code 2; signals end it cleanly."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import settings
from engine.clock import SteadyClock
from engine.errors import BadLimits, BadSetting
from engine.exchange_log import ExchangeLog
from feeds import wiring
from tests.benchmarks.served import FREE_PORTS, answers, free_port

ROOT = Path(__file__).resolve().parent.parent
KEPT = {
    "VENUESCOPE_CACHE_DIR": str(ROOT / ".venuescope"),
    "VENUESCOPE_CONFIG_DIR": str(ROOT / ".venuescope" / "config"),
}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env=os.environ | KEPT | FREE_PORTS | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*arguments: str, **environment: str) -> str:
    """What the program says as it ends with exit code 2."""
    process = start(*arguments, **environment)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert "Venuescope on" not in out
    return said.strip()


def truncated(path: Path) -> Path:
    whole = gzip.compress(b"".join(b'%d {"stream":"x@trade"}\n' % (10**18 + n) for n in range(9_000)))
    path.write_bytes(whole[: len(whole) // 2])
    return path


def test_a_missing_capture_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "none.gz"
    assert refused("--replay", str(path)) == f"venuescope: cannot replay {path}: there is no such file"


def test_a_truncated_or_foreign_capture_names_file_and_line(tmp_path: Path) -> None:
    cut = truncated(tmp_path / "cut.gz")
    said = refused("--replay", str(cut))
    assert f"cannot replay {cut}, line " in said
    assert len(said.splitlines()) == 1
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("price,size\n1,2\n")
    assert f"cannot replay {foreign}, line 1" in refused("--replay", str(foreign))


def test_an_exchange_kept_with_another_seed_names_the_folder_and_what_to_do(tmp_path: Path) -> None:
    kept = tmp_path / "exchange" / "exchange.json"
    environment = {"VENUESCOPE_COMMAND_LOG": "sync", "VENUESCOPE_DATA_DIR": str(tmp_path)}
    kept.parent.mkdir()
    kept.write_text("{}")
    assert "exchange.json that is damaged: restore that file" in refused(**environment)
    log = ExchangeLog(kept.parent, "sync", seed=5)
    kept.write_text(json.dumps(log._make_up))
    said = refused("--port", str(free_port()), "--seed", "7", **environment)
    assert said.startswith(
        f"venuescope: {kept.parent} holds an exchange with seed 5, not 7: start with seed 5,"
    )
    assert len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["exchange", "exchange.json"]


def test_a_port_in_use_names_the_port_and_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--port", str(port))
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port", "99999"], {}, "setting port cannot be 99999"),
        (["--port", "eighty"], {}, "setting port cannot be 'eighty': input should be a valid integer"),
        (["--speed", "10"], {}, "it goes with --replay"),
        (["--speed", "3"], {}, "setting speed cannot be '3': choose one of 1, 10, 100, max"),
        ([], {"VENUESCOPE_RATE": "-4"}, "setting rate cannot be '-4'"),
        ([], {"VENUESCOPE_HOST": "desk.example"}, "setting host cannot be 'desk.example'"),
    ],
)
def test_a_bad_setting_names_its_key(arguments: list[str], environment: dict[str, str], says: str) -> None:
    assert says in refused(*arguments, **environment)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = start("--port", str(port))
    until = time.monotonic() + 60
    while not answers(port):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    yield process, port
    process.kill()


def ask(port: int, headers: dict[str, str], path: str = "/", method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_every_page_is_served_and_foreign_names_are_not(served: tuple[subprocess.Popen[str], int]) -> None:
    _, port = served
    for path in ("/", "/book", "/market", "/latency", "/throughput", "/limits", "/health"):
        assert ask(port, {}, path) == 200
    assert ask(port, {"Host": "rebound.example"}) == 403
    assert ask(port, {"Origin": "https://rebound.example"}) == 403
    assert ask(port, {"Origin": f"http://localhost:{port}"}) == 200


def test_answers_without_a_body_are_whole(served: tuple[subprocess.Popen[str], int]) -> None:
    _, port = served
    address = f"http://127.0.0.1:{port}/assets/10_tokens.css"
    with urllib.request.urlopen(address, timeout=10) as answer:
        tag = answer.headers["ETag"]
    assert ask(port, {"If-None-Match": tag}, "/assets/10_tokens.css") == 304
    assert ask(port, {}, "/", "HEAD") == 200


def test_half_open_clients_starve_nobody_and_are_dropped(served: tuple[subprocess.Popen[str], int]) -> None:
    _, port = served
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    started = time.monotonic()
    assert ask(port, {}) == 200
    assert time.monotonic() - started < 5
    for client in clients:
        client.settimeout(20)
        assert client.recv(10) == b""
        client.close()


def test_a_signal_ends_it_within_five_seconds_with_exit_code_0(
    served: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = served
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 5
    assert not answers(port)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_sigterm_while_compiling_ends_it_too(tmp_path: Path) -> None:
    port = free_port()
    process = start("--port", str(port), VENUESCOPE_CACHE_DIR=str(tmp_path))
    until = time.monotonic() + 60
    while not answers(port) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.terminate()
    assert process.wait(10) == 0  # the kernels alone take longer


def test_help_lists_every_flag() -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for flag in ("--host", "--port", "--rate", "--seed", "--replay", "--speed"):
        assert flag in done.stdout


def test_no_file_of_the_project_names_a_registry_or_is_a_lock_file() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "uv.lock" not in files
    texts = {name: (ROOT / name).read_bytes() for name in files if (ROOT / name).is_file()}
    registries = [
        b"pypi" + b".org",
        b"pythonhosted" + b".org",
        b"registry.npmjs" + b".org",
        b"deb.debian" + b".org",
    ]
    assert [(name, r) for name, text in texts.items() for r in registries if r in text] == []


def test_what_a_local_venue_gives_is_kept_apart() -> None:
    real, local = settings.load(), settings.load(venue_url="http://127.0.0.1:8051")
    assert (wiring.kept("history", real), wiring.kept("history", local)) == ("history", "history-local")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"venues": "binance_spot,binance_sport"}, "binance_sport"),
        ({"symbols": {"nowhere": ("BTC-USDT",)}}, "nowhere"),
        ({"polls": {"binance_usdm": {"fundng": 30}}}, "time, instruments, funding, candles"),
    ],
)
def test_markets_and_endpoints_that_are_not_there_are_refused_at_start(
    given: dict[str, object], says: str
) -> None:
    with pytest.raises(BadSetting, match=says):
        wiring.market_opener(settings.load(**given), SteadyClock())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda document: document.pop("binance_usdm"),
            "binance_usdm: it is missing, and binance_usdm needs it",
        ),
        (lambda document: document.update(foo=document["bybit"]), "foo: no market spends it"),
    ],
)
def test_a_file_of_limits_names_every_budget_and_no_other(
    tmp_path: Path, change: Callable[[dict[str, object]], object], says: str
) -> None:
    document = json.loads((ROOT / "engine" / "limits" / "rate_limits.json").read_text())
    change(document)
    path = tmp_path / "limits.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadLimits, match=says):
        wiring.market_opener(settings.load(rate_limits=path), SteadyClock())
