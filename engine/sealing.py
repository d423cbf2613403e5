"""Secrets on the disk. A stolen file is not a stolen secret: what opens it (AES-256-GCM) lies in another folder.

    config_dir/exchange-master.key   32 random bytes, for the owner's eyes alone (mode 0600)

The file's name is older than its other uses. It is made when the first secret is sealed, or key derived.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine import durable_files
from engine.errors import VenuescopeError

MASTER: Final = "exchange-master.key"
MASTER_BYTES: Final = 32
NONCE_BYTES: Final = 12


class BadMaster(VenuescopeError):
    """The master key is missing, cannot be read, or is no key."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


class BadSeal(VenuescopeError):
    """A sealed text is not opened. `damaged`: it is no sealed text; else it is another key's or another context's."""

    def __init__(self, damaged: bool, reason: str) -> None:
        super().__init__(damaged, reason)
        self.damaged, self.reason = damaged, reason

    def __str__(self) -> str:
        return self.reason


class Sealer:
    """Seals and opens secrets, and derives keys, by the one master key of `folder`. Each call reads its file."""

    def __init__(self, folder: Path) -> None:
        self.path: Final = folder / MASTER

    def seal(self, plain: bytes, context: bytes) -> str:
        """`plain` as base64 of nonce and ciphertext; opened only with the same `context`, which is not in it.

        OSError when the master key cannot be made or read; BadMaster when it is none.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + AESGCM(self._key()).encrypt(nonce, plain, context)).decode()

    def open(self, text: str, context: bytes) -> bytes:
        """What was sealed. BadMaster without a usable master key, none is made; BadSeal when it does not open."""
        try:
            cipher = AESGCM(self._checked(self.path.read_bytes()))
        except OSError as error:
            raise BadMaster(self.path.name, f"cannot be read: {error.strerror}") from error
        try:
            sealed = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise BadSeal(True, str(error)) from error
        if len(sealed) <= NONCE_BYTES:
            raise BadSeal(True, "it is cut short")
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag as error:
            raise BadSeal(False, f"{self.path.name} does not open it") from error

    def derive(self, purpose: str) -> bytes:
        """32 bytes that are the same for the same purpose and master key, and tell nothing of either.

        OSError and BadMaster as `seal`.
        """
        return HKDF(SHA256(), 32, None, purpose.encode()).derive(self._key())

    def _checked(self, key: bytes) -> bytes:
        if len(key) != MASTER_BYTES:
            raise BadMaster(self.path.name, f"is not a key of {MASTER_BYTES} bytes")
        return key

    def _key(self) -> bytes:
        """The master key, made if there is none."""
        try:
            return self._checked(self.path.read_bytes())
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole and on the disk before anything is sealed with it, and never over another's.
        made = secrets.token_bytes(MASTER_BYTES)
        draft = self.path.with_name(f"{MASTER}.{secrets.token_hex(4)}{durable_files.DRAFT}")
        try:
            _write_new(draft, made)
            try:
                os.link(draft, self.path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                self._write_in_place(made)
        except FileExistsError:
            return self._checked(self.path.read_bytes())
        finally:
            draft.unlink(missing_ok=True)
        durable_files.sync_folder(self.path.parent)
        return made

    def _write_in_place(self, made: bytes) -> None:
        """The key in its place at once. FileExistsError when there is one; none is left when it cannot be written."""
        try:
            _write_new(self.path, made)
        except FileExistsError:
            raise
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise


def signing_secret(sealer: Sealer, purpose: str) -> tuple[bytes, str]:
    """32 bytes to sign with, and why they are good for this run alone; "" = they outlive it."""
    try:
        return sealer.derive(purpose), ""
    except (OSError, BadMaster) as error:
        return secrets.token_bytes(MASTER_BYTES), str(error)


def _write_new(path: Path, data: bytes) -> None:
    """A new file for its owner alone, on the disk. FileExistsError when there is one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        durable_files.write_all(handle, data)
        durable_files.sync_file(handle)
    finally:
        os.close(handle)
