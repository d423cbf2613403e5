"""Host and Origin: what a loopback server answers, and what it does not."""

from __future__ import annotations

import pytest

from engine.guard import host_of, refusal

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
