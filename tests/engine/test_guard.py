"""Host and Origin: what a loopback server answers, and what it does not."""

from __future__ import annotations

import socket

import pytest

from engine.guard import host_of, is_loopback, own_names, refusal

PASS = [
    ("localhost:8050", None),
    ("127.0.0.1:8050", "http://127.0.0.1:8050"),
    ("[::1]:8050", "http://[::1]:8050"),
    ("LOCALHOST", "http://localhost:8050"),
    ("localhost.", "https://localhost"),
    ("desk.example:8050", "http://desk.example:8050"),
]
REFUSED = [
    (None, None),
    ("", None),
    ("evil.example", None),
    ("evil.example:8050", "http://evil.example:8050"),
    ("localhost.evil.example", None),
    ("localhost@evil.example", None),
    ("evil.example#localhost", None),
    ("localhost/evil", None),
    ("localhost:80:80", None),
    ("localhost:99999", None),
    ("[::1", None),
    ("localhost", "http://evil.example"),
    ("localhost", "null"),
    ("localhost", "file://localhost"),
    ("localhost", ""),
    ("localhost", "http://localhost.evil.example"),
]


@pytest.mark.parametrize(("host", "origin"), PASS)
def test_own_names_pass(host: str, origin: str | None) -> None:
    assert refusal(host, origin, ["desk.example"]) is None


@pytest.mark.parametrize(("host", "origin"), REFUSED)
def test_foreign_and_malformed_names_are_refused(host: str | None, origin: str | None) -> None:
    why = refusal(host, origin, ["desk.example"])
    assert why is not None
    assert why.endswith(".")


def test_a_host_keeps_its_name_without_the_port() -> None:
    assert host_of("[::1]:8050") == "::1"
    assert host_of("Desk.Example:1") == "desk.example"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.5"])
def test_on_loopback_a_server_has_no_other_names(host: str) -> None:
    assert is_loopback(host)
    assert own_names(host) == {host}


def test_a_server_on_one_address_is_called_by_it() -> None:
    assert not is_loopback("192.0.2.7")
    assert own_names("192.0.2.7") == {"192.0.2.7"}
    assert own_names("2001:DB8:0::1") == {"2001:db8::1"}
    assert refusal("[2001:db8::1]:8050", "http://[2001:db8::1]:8050", own_names("2001:DB8::1")) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_on_every_address_is_called_by_this_machines_names_alone(host: str) -> None:
    names = own_names(host)
    assert not is_loopback(host)
    assert {socket.gethostname().lower(), "127.0.0.1"} <= names
    assert not names & {"0.0.0.0", "::", ""}
    for name in names:
        assert refusal(f"[{name}]" if ":" in name else f"{name}:8050", None, names) is None
    for foreign in ("192.0.2.99", "rebound.example", "0.0.0.0", "[2001:db8::99]"):
        assert refusal(foreign, None, names) is not None
        assert refusal("localhost", f"http://{foreign}", names) is not None
