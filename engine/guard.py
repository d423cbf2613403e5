"""Which requests a loopback server may answer: a rebound DNS name or a foreign page must not reach it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


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
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or host_of(parts.netloc) not in names:
        return "The Origin header names another site."
    return None
