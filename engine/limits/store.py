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
    """Bans and spent units by venue, on disk. OSError when the directory cannot be made or is not writable."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)  # it may have been there, and the umask may have kept more from us
        try:
            self._cache = diskcache.Cache(
                str(directory), disk=diskcache.JSONDisk, timeout=1.0, size_limit=1 << 20
            )
        except sqlite3.Error as error:
            raise OSError(f"{directory} cannot be used: {error}") from error

    def keep(self, venue: str, ban: Ban, wall_ns: int) -> bool:
        """Store a ban; False when the disk refuses."""
        left_s = max((ban.until_ns - wall_ns) / SECOND_NS, 0.001)
        try:
            return bool(self._cache.set(venue, [ban.until_ns, ban.status, ban.reason], expire=left_s + 1.0))
        except (sqlite3.Error, OSError, diskcache.Timeout):
            return False

    def find(self, venue: str, wall_ns: int) -> Ban | None:
        """The ban that is on, if any. What was not written by `keep` is no ban."""
        try:
            found = self._cache.get(venue)
        except (sqlite3.Error, OSError, ValueError, diskcache.Timeout):
            return None
        match found:
            case [int(until), int(status), str(reason)] if until > wall_ns:
                return Ban(until, status, reason)
        return None

    def lift(self, venue: str) -> None:
        """Forget a venue's ban."""
        with contextlib.suppress(sqlite3.Error, OSError, diskcache.Timeout):
            self._cache.delete(venue)

    def keep_spent(self, venue: str, spent: list[Any]) -> bool:
        """Store what was spent, as `engine.limits.spent` writes it, in place of what was; False when the disk refuses.

        About 0.2 ms.
        """
        try:
            return bool(self._cache.set(f"{venue} spent", spent))
        except (sqlite3.Error, OSError, diskcache.Timeout):
            return False

    def find_spent(self, venue: str) -> object:
        """What lies there, whatever it is; None when nothing does."""
        try:
            return self._cache.get(f"{venue} spent")
        except (sqlite3.Error, OSError, ValueError, RecursionError, diskcache.Timeout):
            return None

    def close(self) -> None:
        """Release the files."""
        self._cache.close()
