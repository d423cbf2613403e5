"""Host and Origin: what a loopback server answers, and what it does not."""

from __future__ import annotations

import socket

import pytest

from engine.guard import foreign_page, host_of, is_loopback, own_names, refusal

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
    ("localhost", "http://["),
    ("localhost", "http://[::1"),
    ("localhost", "http://\uff0f"),
    ("localhost", "http://localhost:x"),
]


@pytest.mark.parametrize(("host", "origin"), PASS)
def test_own_names_pass(host: str, origin: str | None) -> None:
    assert refusal(host, origin, ["desk.example"]) is None


@pytest.mark.parametrize(("host", "origin"), REFUSED)
def test_foreign_and_malformed_names_are_refused(host: str | None, origin: str | None) -> None:
    why = refusal(host, origin, ["desk.example"])
    assert why is not None
    assert why.endswith(".")


@pytest.mark.parametrize(
    ("host", "origin", "site", "passes"),
    [
        ("localhost:8052", None, None, True),  # a program
        ("localhost:8052", "http://localhost:8052", None, True),
        ("localhost:8052", "http://localhost:8052", "same-origin", True),
        ("localhost:8052", None, "none", True),  # typed
        ("desk.example", "https://desk.example", None, True),
        ("desk.example", "https://desk.example:443", None, True),
        ("desk.example:80", "http://desk.example", None, True),
        ("[::1]:8052", "http://[::1]:8052", None, True),
        ("localhost:8052", "http://localhost:9999", None, False),
        ("localhost:8052", "http://localhost", None, False),
        ("localhost", "http://localhost:8052", None, False),
        ("localhost:8052", "http://localhost:x", None, False),
        ("localhost:8052", "http://[", None, False),
        ("localhost:8052", None, "cross-site", False),
        ("localhost:8052", "http://localhost:8052", "same-site", False),
    ],
)
def test_a_page_of_another_port_changes_nothing(
    host: str, origin: str | None, site: str | None, passes: bool
) -> None:
    why = foreign_page(host, origin, site)
    assert (why is None) is passes
    assert why is None or why.endswith(".")


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
