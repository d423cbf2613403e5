"""Sessions of browsers that logged in: bounded, ended by time, by hand, and with the key behind them. Pure."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from engine.access.identity import Role
from engine.access.keys import AccessKey
from engine.access.rates import SECOND_NS

SESSIONS: Final = 256
IDLE_NS: Final = 12 * 3_600 * SECOND_NS
LIFE_S: Final = 7 * 86_400
NAME_CHARACTERS: Final = 64


@dataclass(slots=True)
class Session:
    """One browser's session. `key` None: it came with the start-up token, and may do all."""

    key: AccessKey | None
    made_ns: int
    seen_ns: int

    @property
    def role(self) -> Role:
        """What it may do."""
        return self.key.role if self.key is not None else "admin"


class Sessions:
    """Sessions by their secret names, of which digests are kept. The least recently seen makes room for a new one."""

    def __init__(self, most: int = SESSIONS) -> None:
        self.most: Final = most
        self.dropped = 0  # that made room for others
        self._held: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        """Those that have not been found to be over."""
        return len(self._held)

    def open(self, key: AccessKey | None, now_ns: int) -> str:
        """The secret name of a new session."""
        name = secrets.token_urlsafe(32)
        self._held[_digest(name)] = Session(key, now_ns, now_ns)
        if len(self._held) > self.most:
            self._held.popitem(last=False)
            self.dropped += 1
        return name

    def find(self, name: str, now_ns: int) -> Session | None:
        """The session of that name, seen now; None when there is none, or it is over."""
        if len(name) > NAME_CHARACTERS:
            return None
        digest = _digest(name)
        found = self._held.get(digest)
        if found is None:
            return None
        if now_ns >= min(found.seen_ns + IDLE_NS, found.made_ns + LIFE_S * SECOND_NS):
            del self._held[digest]
            return None
        found.seen_ns = max(found.seen_ns, now_ns)
        self._held.move_to_end(digest)
        return found

    def close(self, name: str) -> None:
        """There is no session of that name any more."""
        self._held.pop(_digest(name), None)


def _digest(name: str) -> bytes:
    return sha256(name.encode("utf-8", "replace")).digest()
