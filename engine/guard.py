"""Which requests a server may answer: a rebound DNS name or a foreign page must not reach it."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

import psutil

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SCHEME_PORTS: Final = {"http": 80, "https": 443}  # of an origin that names none


def host_of(authority: str) -> str | None:
    """The host in `host[:port]` or `[v6][:port]`, lower case; None if it is not one."""
    try:
        parts = urlsplit(f"//{authority}")
        valid = parts.port is None or parts.port > 0
    except ValueError:
        return None
    plain = valid and not parts.path and not parts.query and not parts.fragment and parts.username is None
    return parts.hostname.rstrip(".") if plain and parts.hostname else None


def refusal(host: str | None, origin: str | None, allowed: Collection[str] = ()) -> str | None:
    """Why a request with these headers is refused, as a sentence; None = it may pass.

    Host must be present and name this machine or an allowed name. Origin may be absent (typed addresses,
    programs) but if present must name one of them too; "null" is foreign.
    """
    names = LOOPBACK | {name.lower() for name in allowed}
    if host is None or host_of(host) not in names:
        return "The Host header does not name this server; add the name to allowed_hosts if it should."
    if origin is None:
        return None
    try:
        parts = urlsplit(origin)
    except ValueError:  # as "http://["
        return "The Origin header cannot be read."
    if parts.scheme not in SCHEME_PORTS or host_of(parts.netloc) not in names:
        return "The Origin header names another site."
    return None


def foreign_page(host: str | None, origin: str | None, fetch_site: str | None) -> str | None:
    """Why a call that changes something, or opens a WebSocket, is refused though `refusal` lets it pass.

    Its names are this server's, but a page of another port of the same machine is another site too. `fetch_site`
    is the Sec-Fetch-Site header; programs send neither it nor Origin. None = it may pass.
    """
    if fetch_site in ("cross-site", "same-site"):
        return "The request comes from a page of another site."
    if origin is None:
        return None
    try:
        parts = urlsplit(origin)
        own = SCHEME_PORTS.get(parts.scheme)
        same = (parts.port or own) == (urlsplit(f"//{host or ''}").port or own)
    except ValueError:
        return "The Host or Origin header cannot be read."
    return (
        None if same else "The Origin header names another port than the Host header: a page of another site."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`, an IP address or localhost."""
    return host == "localhost" or ip_address(host).is_loopback


def own_names(host: str) -> frozenset[str]:
    """What a server bound to `host` is called beside loopback's names: the address, or all of this machine's.

    Where `host` is every address (0.0.0.0, ::) these are the machine's name, with `.local` too, and the addresses
    it has now. An address can be allowed where a name cannot: it cannot be bound to another machine's page.
    """
    if is_loopback(host):
        return frozenset({host})
    if not ip_address(host).is_unspecified:
        return frozenset({_plain(host)})
    name = socket.gethostname().lower().rstrip(".")
    found = {name, f"{name.partition('.')[0]}.local"} if name else set()
    for each in (each for card in psutil.net_if_addrs().values() for each in card):
        if each.family in (socket.AF_INET, socket.AF_INET6):
            found.add(_plain(each.address))
    return frozenset(found)


def _plain(address: str) -> str:
    """An address as browsers write it, without the network card."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
