"""What the API refuses, each with a stable code, as RFC 9457 writes it. Pure."""

from __future__ import annotations

from typing import Any, Final

from engine.errors import VenuescopeError

# code -> (HTTP status, what kind of trouble it is). Codes are stable: programs tell problems apart by them.
CODES: Final[dict[str, tuple[int, str]]] = {
    "bad_argument": (400, "An argument is not as described"),
    "bad_interval": (400, "There are no candles of that length"),
    "bad_request": (400, "The request is no HTTP"),
    "bad_body": (400, "The body is not as described"),
    "bad_rule": (400, "The alert's rule cannot be used"),
    "unauthenticated": (401, "Say who you are"),
    "bad_credentials": (401, "The key or token is not valid"),
    "expired": (401, "The token has expired"),
    "forbidden": (403, "Your role does not allow this"),
    "foreign": (403, "The Host or Origin header names another site"),
    "no_route": (404, "There is nothing at this path"),
    "unknown_venue": (404, "There is no such venue"),
    "unknown_symbol": (404, "The venue lists no such symbol"),
    "not_subscribed": (404, "The symbol is not followed"),
    "not_found": (404, "There is no such thing"),
    "no_data": (404, "There is no data yet"),
    "bad_method": (405, "The path does not take this method"),
    "not_acceptable": (406, "None of the accepted formats is offered"),
    "too_slow": (408, "The body did not come in time"),
    "conflict": (409, "It cannot be done as things stand"),
    "too_large": (413, "The body is too large"),
    "unsupported_media": (415, "The body's type is not taken"),
    "upgrade_required": (426, "The path speaks WebSocket, version 13"),
    "too_many_requests": (429, "Too many requests"),
    "too_many_connections": (429, "Too many connections"),
    "too_many_failures": (429, "Too many failed logins"),
    "broken": (500, "An error in the program"),
    "not_ready": (503, "Not ready yet"),
}


class Problem(VenuescopeError):
    """A call that is refused. `detail` says what would work; `more` goes into the answer beside it."""

    def __init__(self, code: str, detail: str, *, retry_after_s: float = 0.0, **more: Any) -> None:
        super().__init__(code, detail)
        self.code, self.detail, self.retry_after_s, self.more = code, detail, retry_after_s, more

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code][0]

    def __str__(self) -> str:
        return self.detail
