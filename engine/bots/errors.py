"""What can go wrong between a client and the exchange.

ClientError (UserError)  the exchange cannot be used as asked: one sentence, exit code 2
├── NoExchange           nothing answers at the address, or not as an exchange
├── LoginRefused         the exchange does not take the key
└── BadStrategy          a strategy of one's own cannot be loaded, or does what none may
ConnectionLost           a request was on its way when the connection ended: it may have been done
NoAnswer                 a request got no answer in time: it may have been done
TooMany                  a client's requests that wait are at their bound; nothing was sent
"""

from __future__ import annotations

import os

from engine.errors import UserError, VenuescopeError


class ClientError(UserError):
    """The exchange cannot be used as asked."""


class NoExchange(ClientError):
    """Nothing answers at the address, or not as an exchange."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        remedy = "start one with `uv run app.py`, or name another with --url"
        return f"no exchange answers at {self.url} ({self.reason}): {remedy}"


class LoginRefused(ClientError):
    """The exchange does not take the key; `code` is the protocol's (202 no such key, 203 bad signature, ...)."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(url, code, reason)
        self.url, self.code, self.reason = url, code, reason

    def __str__(self) -> str:
        return f"{self.url} refuses the login: {self.reason} (code {self.code})"


class BadStrategy(ClientError):
    """A strategy of one's own cannot be loaded, or does what none may."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"strategy {self.name}: {self.reason}"


class ConnectionLost(VenuescopeError):
    """A request was on its way when the connection ended: it may have been done."""


class NoAnswer(VenuescopeError):
    """A request got no answer in time: it may have been done."""


class TooMany(VenuescopeError):
    """Too many requests wait for an answer; this one was not sent."""


def reason(error: OSError) -> str:
    """Why the system did not connect, in its own words ("connection refused")."""
    return os.strerror(error.errno).lower() if error.errno else str(error) or type(error).__name__
