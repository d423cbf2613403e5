"""Where the pages are reached, and whether a login is demanded there."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from engine import addresses, settings


@pytest.mark.parametrize(
    ("given", "url", "demanded"),
    [
        ({}, "http://localhost:8050", False),
        ({"host": "localhost"}, "http://localhost:8050", False),
        ({"host": "::1"}, "http://[::1]:8050", False),
        ({"auth": "always"}, "http://localhost:8050", True),
        ({"host": "192.0.2.7", "port": 9000}, "http://192.0.2.7:9000", True),
        ({"host": "0.0.0.0"}, f"http://{socket.gethostname()}:8050", True),
        (
            {"host": "::", "tls_cert": "c.pem", "tls_key": "k.pem"},
            f"https://{socket.gethostname()}:8050",
            True,
        ),
    ],
)
def test_the_address_and_the_login_follow_the_settings(
    given: dict[str, Any], url: str, demanded: bool
) -> None:
    chosen = settings.load(**given)
    assert addresses.url(chosen) == url
    assert addresses.demanded(chosen) == demanded
    assert (addresses.tls(chosen) is not None) == url.startswith("https")


def test_names_of_the_settings_come_beside_the_machines_own() -> None:
    chosen = settings.load(host="192.0.2.7", allowed_hosts=("desk.example",))
    assert set(addresses.names(chosen)) == {"desk.example", "192.0.2.7"}
