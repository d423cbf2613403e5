"""Where the pages and the API are reached by the settings, under which names, and whether a login is demanded there."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path

from engine import guard
from engine.settings import Settings


def demanded(chosen: Settings) -> bool:
    """Whether all must say who they are."""
    return chosen.auth == "always" or not guard.is_loopback(chosen.host)


def names(chosen: Settings) -> tuple[str, ...]:
    """What this machine may be called in Host and Origin headers."""
    return (*chosen.allowed_hosts, *sorted(guard.own_names(chosen.host)))


def tls(chosen: Settings) -> tuple[Path, Path] | None:
    """Certificate chain and key, if there are any."""
    if chosen.tls_cert is None or chosen.tls_key is None:
        return None
    return chosen.tls_cert, chosen.tls_key


def everywhere(chosen: Settings) -> bool:
    """Whether every address of this machine is bound."""
    return chosen.host != "localhost" and ip_address(chosen.host).is_unspecified


def url(chosen: Settings) -> str:
    """Where the pages are; by the machine's name where every address is bound."""
    name = "localhost"
    if everywhere(chosen):
        name = socket.gethostname()
    elif chosen.host not in ("localhost", "127.0.0.1"):
        name = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    return f"{'http' if chosen.tls_cert is None else 'https'}://{name}:{chosen.port}"
