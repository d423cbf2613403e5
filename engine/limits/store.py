"""What survives a restart: who comes back must not call a venue that has banned the address, nor spend anew what
the venue still counts.

A small disk cache with values as JSON (never pickled objects), in a directory that only its owner may enter.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diskcache

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ban:
    """A venue's ban; times wall clock."""

    until_ns: int
    status: int
    reason: str


class BanStore:
    """Bans and spent units by venue, on disk. The directory is made when something is to be kept, not before; where
    it cannot be used nothing is found, and keeping says False.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: diskcache.Cache | None = None

    def _cache(self) -> diskcache.Cache:
        """The files, made where they are not. OSError, sqlite3.Error when they cannot be."""
        if self._opened is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)  # it may have been there, and the umask may have kept more from us
            self._opened = diskcache.Cache(
                str(self._directory), disk=diskcache.JSONDisk, timeout=1.0, size_limit=1 << 20
            )
        return self._opened

    def _found(self, key: str) -> object:
        """What lies under a key; None when nothing does, or it cannot be read."""
        if self._opened is None and not self._directory.exists():
            return None
        try:
            found: object = self._cache().get(key)
        except (sqlite3.Error, OSError, ValueError, RecursionError, diskcache.Timeout):
            return None
        return found

    def keep(self, venue: str, ban: Ban, wall_ns: int) -> bool:
        """Store a ban; False when the disk refuses."""
        left_s = max((ban.until_ns - wall_ns) / SECOND_NS, 0.001)
        try:
            return bool(self._cache().set(venue, [ban.until_ns, ban.status, ban.reason], expire=left_s + 1.0))
        except (sqlite3.Error, OSError, diskcache.Timeout):
            return False

    def find(self, venue: str, wall_ns: int) -> Ban | None:
        """The ban that is on, if any. What was not written by `keep` is no ban."""
        match self._found(venue):
            case [int(until), int(status), str(reason)] if until > wall_ns:
                return Ban(until, status, reason)
        return None

    def lift(self, venue: str) -> None:
        """Forget a venue's ban."""
        if self._found(venue) is None:
            return
        with contextlib.suppress(sqlite3.Error, OSError, diskcache.Timeout):
            self._cache().delete(venue)

    def keep_spent(self, venue: str, spent: list[Any]) -> bool:
        """Store what was spent, as `engine.limits.spent` writes it, in place of what was; False when the disk refuses.

        About 0.2 ms.
        """
        try:
            return bool(self._cache().set(f"{venue} spent", spent))
        except (sqlite3.Error, OSError, diskcache.Timeout):
            return False

    def find_spent(self, venue: str) -> object:
        """What lies there, whatever it is; None when nothing does."""
        return self._found(f"{venue} spent")

    def close(self) -> None:
        """Release the files."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
