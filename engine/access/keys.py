"""API and dashboard keys on the disk: `data_dir/access-keys.json`, of each key what recognises it, never the key.

A key is `vsk_<id>_<secret>` with 256 random bits of secret, of which the file has the SHA-256: nothing slower is
needed where nothing can be guessed. The file is looked at again when it has changed, so that what the command line
revokes is refused at once by the program that runs.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from engine import durable_files
from engine.access.identity import ROLES, Role
from engine.errors import BadDataFolder, BadSetting

NAME: Final = "access-keys.json"
VERSION: Final = 1
PREFIX: Final = "vsk"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
KEY_CHARACTERS: Final = 128  # none is longer
KEYS: Final = 1_000
LABEL_CHARACTERS: Final = 40
LOOK_EVERY_NS: Final = 100_000_000
LOCKED_WITHIN_S: Final = 2.0
_NOBODYS: Final = sha256(b"").hexdigest()


class AccessKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key. `digest` is the SHA-256 of its secret in hexadecimal; `expires_ns` 0 = it does not."""

    id: str
    label: str
    role: Role
    created_ns: int
    expires_ns: int
    digest: str

    def good(self, now_ns: int) -> bool:
        """Whether it has not expired."""
        return self.expires_ns == 0 or now_ns < self.expires_ns


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    keys: list[AccessKey]


class KeyRing:
    """The keys of a data folder. Reads its file when there is a new one; safe to read from several threads."""

    def __init__(self, folder: Path, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self.path: Final = folder / NAME
        self.trouble = ""  # why the file cannot be used: nobody's key is good until it can
        self._steady = steady
        self._looked_ns = -LOOK_EVERY_NS
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, AccessKey] = {}

    def all(self) -> tuple[AccessKey, ...]:
        """All keys, oldest first, expired ones too. BadDataFolder when the file cannot be read."""
        return tuple(self._read())

    def count(self) -> int:
        """How many there are, as last seen."""
        return len(self._keys)

    def get(self, key_id: str) -> AccessKey | None:
        """The key with this id, expired or not; None when it is revoked or never was."""
        self._look()
        return self._keys.get(key_id)

    def find(self, text: str) -> AccessKey | None:
        """The key that `text` is, expired or not; None for anything else. Takes as long for a wrong secret."""
        self._look()
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._keys.get(key_id)
        digest = sha256(secret.encode("utf-8", "replace")).hexdigest()
        right = hmac.compare_digest(digest, key.digest if key is not None else _NOBODYS)
        return key if right and prefix == PREFIX and secret else None

    def create(self, role: str, label: str, now_ns: int, expires_ns: int = 0) -> tuple[AccessKey, str]:
        """A new key and its text, which nothing keeps. BadSetting for what cannot be; BadDataFolder for the disk."""
        if role not in ROLES:
            raise BadSetting("role", role, f"choose {', '.join(ROLES)}")
        if len(label) > LABEL_CHARACTERS or not label.isprintable():
            raise BadSetting("label", label, f"at most {LABEL_CHARACTERS} printable characters")
        if expires_ns and expires_ns <= now_ns:
            raise BadSetting("expires", expires_ns, "it must lie ahead")
        with self._locked():
            kept = self._read()
            if len(kept) >= KEYS:
                raise BadSetting("keys", len(kept), f"{KEYS} is the most; revoke those that are not used")
            secret = secrets.token_urlsafe(SECRET_BYTES)
            key = AccessKey(
                secrets.token_hex(ID_BYTES),
                label,
                role,
                now_ns,
                expires_ns,
                sha256(secret.encode()).hexdigest(),
            )
            self._write([*kept, key])
        return key, f"{PREFIX}_{key.id}_{secret}"

    def revoke(self, key_id: str) -> bool:
        """Whether there was such a key; there is none any more. BadDataFolder for what the disk refuses."""
        with self._locked():
            kept = self._read()
            left = [key for key in kept if key.id != key_id]
            if len(left) < len(kept):
                self._write(left)
        return len(left) < len(kept)

    def _look(self) -> None:
        """Have the keys of the file, looked at no more often than each 100 ms. A file that is no good has none."""
        now_ns = self._steady()
        if now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        try:
            seen = self._stamp()
            if seen == self._seen and not self.trouble:
                return
            keys = {key.id: key for key in self._read()}
            self.trouble = ""
        except (BadDataFolder, OSError) as error:
            seen, keys, self.trouble = None, {}, str(error)
        self._keys, self._seen = keys, seen

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file is replaced; None where there is none."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> list[AccessKey]:
        try:
            held = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._bad(f"cannot be read: {error.strerror}", "make it readable") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad("is damaged", "restore it, or remove it and make new keys") from error
        if held.version != VERSION:
            raise self._bad(f"is of version {held.version}", "start the version that wrote it")
        return held.keys

    def _write(self, keys: list[AccessKey]) -> None:
        try:
            durable_files.write_whole(self.path, (msgspec.json.encode(_File(VERSION, keys)),))
            self.path.chmod(0o600)
        except OSError as error:
            raise self._bad(
                f"cannot be written: {error.strerror}", "make room for it, and its folder writable"
            ) from error
        self._looked_ns = -LOOK_EVERY_NS
        self._seen = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile. BadDataFolder when another does so for long."""
        end = time.monotonic() + LOCKED_WITHIN_S
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    lock = durable_files.lock_folder(self.path.parent)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.01)
        except BlockingIOError as error:
            raise self._bad("is being changed by another program", "wait until it has ended") from error
        except OSError as error:
            raise self._bad(f"cannot be written: {error.strerror}", "make its folder writable") from error
        try:
            yield
        finally:
            os.close(lock)

    def _bad(self, reason: str, remedy: str) -> BadDataFolder:
        return BadDataFolder(str(self.path), reason, remedy)
