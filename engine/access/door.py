"""The door of the API: who calls, and whether they may call now. Every program's call passes here first.

Time is an argument. Credentials are neither kept nor told: what is remembered of a good one is its SHA-256.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog

from engine.access.identity import Identity
from engine.access.keys import KEY_CHARACTERS, PREFIX, AccessKey, KeyRing
from engine.access.rates import SECOND_NS, Connections, Rates, Verdict, caller_of
from engine.access.tokens import TOKEN_CHARACTERS, Tokens
from engine.api.problems import Problem

log = structlog.get_logger(__name__)

FAILURES: Final = 10  # failed logins a minute that an address may make
FAILURES_PER_NS: Final = 60 * SECOND_NS
REMEMBERED: Final = 4_096
_HOW: Final = "`Authorization: Bearer <key or token>` or `X-Api-Key: <key>`"


@dataclass(frozen=True, slots=True)
class DoorView:
    """What has passed the door since the start, and what was refused."""

    demanded: bool
    keys: int
    trouble: str  # why the file of keys cannot be used; "" when it can
    admitted: int
    limited: int  # requests over a limit
    turned_away: int  # connections over a limit
    failures: int  # wrong or expired credentials
    blocked: int  # logins not looked at, after too many failures
    callers: int  # buckets held, for addresses and keys
    forgotten: int  # buckets given up for others
    connected: int  # addresses and keys that hold connections


class Door:
    """Tells who calls, and counts their calls and connections. `rate` is requests a second, with a second's burst.

    For one thread: the engine's loop.
    """

    def __init__(self, keys: KeyRing, tokens: Tokens, *, demanded: bool, rate: int, connections: int) -> None:
        self.keys: Final = keys
        self.tokens: Final = tokens
        self.demanded: Final = demanded
        self._requests = Rates(rate)
        self._failures = Rates(FAILURES, FAILURES_PER_NS)
        self._connections = Connections(connections)
        self._known: OrderedDict[bytes, tuple[Identity, AccessKey | None]] = OrderedDict()
        self._admitted = self._limited = self._turned_away = self._failed = self._blocked = 0

    def identify(self, headers: Mapping[str, str], address: str, now_ns: int) -> Identity:
        """Who sends these headers (looked up without regard to case). Credentials that are given must be right.

        Problem unauthenticated, bad_credentials, expired or too_many_failures.
        """
        authorization, key = headers.get("Authorization"), headers.get("X-Api-Key")
        if authorization is None and key is None:
            if self.demanded:
                raise Problem("unauthenticated", f"Send {_HOW}; `uv run app.py keys create` makes a key.")
            return Identity(address, "admin")
        if authorization is not None and key is not None:
            raise Problem("bad_credentials", f"Send {_HOW}, not both.")
        if authorization is None:
            assert key is not None
            return self.identify_text(key, address, now_ns)
        scheme, _, credential = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise self._failed_by(
                address, now_ns, Problem("bad_credentials", f"Only Bearer is taken: send {_HOW}.")
            )
        return self.identify_text(credential, address, now_ns)

    def identify_text(self, credential: str, address: str, now_ns: int) -> Identity:
        """Whose key or token this is. Problem bad_credentials, expired or too_many_failures.

        After too many failures an address is refused unseen, but for credentials that were good before: one
        program's mistake does not lock out its neighbours.
        """
        credential = credential.strip()
        digest = sha256(credential.encode("utf-8", "replace")).digest()
        known = self._remembered(digest, now_ns)
        if known is not None:
            return known
        verdict = self._failures.look(caller_of(address), now_ns)
        if not verdict.ok:
            self._blocked += 1
            raise Problem(
                "too_many_failures",
                "Too many wrong keys or tokens came from this address; try again later.",
                retry_after_s=verdict.retry_after_s,
            )
        try:
            found = self._checked(credential, now_ns)
        except Problem as problem:
            raise self._failed_by(address, now_ns, problem) from None
        self._known[digest] = found, self.keys.get(found.key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def still_good(self, identity: Identity, now_ns: int) -> bool:
        """Whether what let it in is still good: its key is not revoked, nothing has expired."""
        if identity.expires_ns and now_ns >= identity.expires_ns:
            return False
        if not identity.key:
            return True
        key = self.keys.get(identity.key)
        return key is not None and key.good(now_ns)

    def admit(self, identity: Identity | None, address: str, now_ns: int) -> Verdict:
        """Whether one more request passes: of the address (/64 for IPv6), and of the key where there is one.

        Told is the tighter of the two. What is refused costs neither.
        """
        caller = caller_of(address)
        if identity is None or not identity.key:
            verdict = self._requests.take(caller, now_ns)
        else:
            key = (identity.key,)  # cannot be any address
            verdict = self._requests.look(key, now_ns)
            if verdict.ok:
                verdict = self._requests.take(caller, now_ns)
                if verdict.ok:
                    verdict = min(verdict, self._requests.take(key, now_ns), key=lambda each: each.remaining)
        if verdict.ok:
            self._admitted += 1
        else:
            self._limited += 1
        return verdict

    def connect(self, identity: Identity | None, address: str) -> bool:
        """Whether the address, and the key where there is one, may hold one more connection; it is counted."""
        taken = self._connections.open(*_callers(identity, address))
        if not taken:
            self._turned_away += 1
        return taken

    def disconnect(self, identity: Identity | None, address: str) -> None:
        """A connection that `connect` counted has ended; the same arguments."""
        self._connections.close(*_callers(identity, address))

    def view(self) -> DoorView:
        """Counters as of now."""
        return DoorView(
            self.demanded,
            self.keys.count(),
            self.keys.trouble,
            self._admitted,
            self._limited,
            self._turned_away,
            self._failed,
            self._blocked,
            len(self._requests) + len(self._failures),
            self._requests.forgotten + self._failures.forgotten,
            len(self._connections),
        )

    def _remembered(self, digest: bytes, now_ns: int) -> Identity | None:
        """Whose it was, if it is still good: a hash instead of a signature for each request."""
        identity, key = self._known.get(digest, (None, None))
        # A key with the same id may have another secret since.
        if identity is None or self.keys.get(identity.key) != key or not self.still_good(identity, now_ns):
            self._known.pop(digest, None)
            return None
        self._known.move_to_end(digest)
        return identity

    def _checked(self, credential: str, now_ns: int) -> Identity:
        if not credential or len(credential) > max(KEY_CHARACTERS, TOKEN_CHARACTERS):
            raise Problem("bad_credentials", f"This is neither a key nor a token; send {_HOW}.")
        if not credential.startswith(f"{PREFIX}_"):
            return self.tokens.read(credential, now_ns)
        key = self.keys.find(credential)
        if key is None:
            raise Problem(
                "bad_credentials",
                "There is no such key, or it was revoked; `uv run app.py keys list` names them.",
            )
        if not key.good(now_ns):
            raise Problem("expired", "The key has expired; `uv run app.py keys create` makes another.")
        return Identity(f"key {key.id}", key.role, "key", key.id, key.expires_ns)

    def _failed_by(self, address: str, now_ns: int, problem: Problem) -> Problem:
        self._failed += 1
        self._failures.take(caller_of(address), now_ns)
        log.warning("credentials refused", address=address, code=problem.code)
        return problem


def _callers(identity: Identity | None, address: str) -> tuple[object, ...]:
    caller = caller_of(address)
    return (caller, (identity.key,)) if identity is not None and identity.key else (caller,)
