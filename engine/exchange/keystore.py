"""API keys on the disk. A stolen file is not a stolen key: secrets are sealed (AES-256-GCM), their key lies elsewhere.

    data_dir/exchange-keys.json      keys, labels, and every account's number for ever; secrets sealed
    config_dir/exchange-master.key   32 random bytes, for the owner's eyes alone (mode 0600)

HMAC needs the secrets themselves, so they cannot be hashed.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine import durable_files
from engine.errors import BadDataFolder
from engine.exchange.accounts import Accounts, Key, Table
from engine.exchange.desk import FIRST_CLIENT
from engine.flow.simulator import ACCOUNTS

NAME: Final = "exchange-keys.json"
MASTER: Final = "exchange-master.key"
MASTER_BYTES: Final = 32
NONCE_BYTES: Final = 12
VERSION: Final = 2
KEYS_ALONE: Final = 1  # the version that did not know accounts without keys


_Number = Annotated[int, msgspec.Meta(ge=FIRST_CLIENT, lt=ACCOUNTS)]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    next: Annotated[int, msgspec.Meta(ge=FIRST_CLIENT, le=ACCOUNTS)]
    numbers: dict[str, _Number]


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    api_key: str
    sealed: str  # base64 of nonce and ciphertext
    account: _Number
    name: str
    label: str
    trade: bool
    created_ns: int


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    keys: list[_Kept]
    accounts: _Table | None = None


class Held(NamedTuple):
    """What the file holds. `table` is None where there is no file, or one of a version that had none."""

    keys: tuple[Key, ...] = ()
    table: Table | None = None


class KeyStore:
    """Reads and writes the keys. Both files are made when the first key is."""

    def __init__(self, folder: Path, master_folder: Path) -> None:
        self.path: Final = folder / NAME
        self.master_path: Final = master_folder / MASTER

    def load(self) -> tuple[Key, ...]:
        """All keys. BadDataFolder when they cannot be read or opened."""
        return self.read().keys

    def read(self) -> Held:
        """All keys, and whose the accounts are. BadDataFolder when they cannot be read or opened."""
        try:
            held = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return Held()
        except OSError as error:
            raise self._bad(f"cannot be read: {error.strerror}", "make it readable") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(f"is damaged: {error}", "restore it, or remove it and make new keys") from error
        if held.version not in (KEYS_ALONE, VERSION):
            raise self._bad(f"is of version {held.version}", "start the version that wrote it")
        table = None
        if held.version == VERSION:
            given = held.accounts
            if given is None or len(set(given.numbers.values())) < len(given.numbers):
                raise self._bad("is damaged: its accounts", "restore it, or remove it and make new keys")
            table = Table(given.next, given.numbers)
        if not held.keys:
            return Held((), table)
        try:
            cipher = AESGCM(self.master_path.read_bytes())
        except (OSError, ValueError) as error:
            raise self._bad(
                f"cannot be opened without {self.master_path.name}", "restore that file, or remove both"
            ) from error
        found = []
        for each in held.keys:
            try:
                sealed = base64.b64decode(each.sealed, validate=True)
                if len(sealed) <= NONCE_BYTES:
                    raise binascii.Error("it is cut short")
                secret = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], each.api_key.encode())
            except ValueError as error:
                raise self._bad(
                    f"is damaged: the secret of a key cannot be read: {error}",
                    "restore it, or remove it and make new keys",
                ) from error
            except InvalidTag as error:
                raise self._bad(
                    f"has a key that {self.master_path.name} does not open",
                    "restore the file that belongs to it",
                ) from error
            found.append(
                Key(
                    each.api_key,
                    secret.decode(),
                    each.account,
                    each.name,
                    each.label,
                    each.trade,
                    each.created_ns,
                )
            )
        return Held(tuple(found), table)

    def save(self, keys: tuple[Key, ...], table: Table | None = None) -> None:
        """Write all keys and accounts (None: those of the keys), whole or not at all. BadDataFolder when that fails."""
        if table is None:
            table = Accounts(ACCOUNTS, keys).table
        try:
            cipher = AESGCM(self._master()) if keys else None
            rows = []
            for key in keys:
                assert cipher is not None
                nonce = secrets.token_bytes(NONCE_BYTES)
                sealed = nonce + cipher.encrypt(nonce, key.secret.encode(), key.api_key.encode())
                rows.append(
                    _Kept(
                        key.api_key,
                        base64.b64encode(sealed).decode(),
                        key.account,
                        key.name,
                        key.label,
                        key.trade,
                        key.created_ns,
                    )
                )
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written = _File(VERSION, rows, _Table(table.next, table.numbers))
            durable_files.write_whole(self.path, (msgspec.json.encode(written),))
            self.path.chmod(0o600)
        except OSError as error:
            remedy = "make room for it, and its folders writable"
            raise self._bad(f"cannot be written: {error.strerror}", remedy) from error
        except ValueError as error:
            reason = f"cannot be written: {self.master_path.name} is not a key of {MASTER_BYTES} bytes"
            raise self._bad(reason, "restore that file, or remove both") from error

    def _master(self) -> bytes:
        """The key that opens the file, made if there is none."""
        try:
            return self.master_path.read_bytes()
        except FileNotFoundError:
            self.master_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole and on the disk before anything is sealed with it, and never over another's.
        made = secrets.token_bytes(MASTER_BYTES)
        draft = self.master_path.with_name(f"{MASTER}.{secrets.token_hex(4)}{durable_files.DRAFT}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            try:
                durable_files.write_all(handle, made)
                durable_files.sync_file(handle)
            finally:
                os.close(handle)
            try:
                os.link(draft, self.master_path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                self._write_master(made)
        except FileExistsError:
            return self.master_path.read_bytes()
        finally:
            draft.unlink(missing_ok=True)
        durable_files.sync_folder(self.master_path.parent)
        return made

    def _write_master(self, made: bytes) -> None:
        """The key in its place at once. FileExistsError when there is one; none is left when it cannot be written."""
        handle = os.open(
            self.master_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
        )
        try:
            try:
                durable_files.write_all(handle, made)
                durable_files.sync_file(handle)
            finally:
                os.close(handle)
        except BaseException:
            self.master_path.unlink(missing_ok=True)
            raise

    def _bad(self, reason: str, remedy: str) -> BadDataFolder:
        return BadDataFolder(str(self.path), reason, remedy)
