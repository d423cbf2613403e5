"""Bans that survive a restart: who comes back after a crash must not call a venue that has banned the address.

A small disk cache with values as JSON (never pickled objects), in a directory that only its owner may enter.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import diskcache

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ban:
    """A venue's ban; times wall clock."""

    until_ns: int
    status: int
    reason: str


class BanStore:
    """Bans by venue, on disk. OSError when the directory cannot be made or is not writable."""

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

    def close(self) -> None:
        """Release the files."""
        self._cache.close()
