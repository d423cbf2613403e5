"""API keys of the exchange on the disk, their secrets sealed by the master key of another folder: see `engine.sealing`.

    data_dir/exchange-keys.json      keys, labels, and every account's number for ever; secrets sealed

HMAC needs the secrets themselves, so they cannot be hashed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from engine import durable_files
from engine.errors import BadDataFolder
from engine.exchange.accounts import Accounts, Key, Table
from engine.exchange.desk import FIRST_CLIENT
from engine.flow.simulator import ACCOUNTS
from engine.sealing import BadMaster, BadSeal, Sealer

NAME: Final = "exchange-keys.json"
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
        self._sealer: Final = Sealer(master_folder)
        self.master_path: Final = self._sealer.path

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
        found = []
        for each in held.keys:
            try:
                secret = self._sealer.open(each.sealed, each.api_key.encode())
            except BadMaster as error:
                raise self._bad(
                    f"cannot be opened without {self.master_path.name}", "restore that file, or remove both"
                ) from error
            except BadSeal as error:
                if not error.damaged:
                    raise self._bad(
                        f"has a key that {self.master_path.name} does not open",
                        "restore the file that belongs to it",
                    ) from error
                raise self._bad(
                    f"is damaged: the secret of a key cannot be read: {error}",
                    "restore it, or remove it and make new keys",
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
            rows = [
                _Kept(
                    key.api_key,
                    self._sealer.seal(key.secret.encode(), key.api_key.encode()),
                    key.account,
                    key.name,
                    key.label,
                    key.trade,
                    key.created_ns,
                )
                for key in keys
            ]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written = _File(VERSION, rows, _Table(table.next, table.numbers))
            durable_files.write_whole(self.path, (msgspec.json.encode(written),))
            self.path.chmod(0o600)
        except OSError as error:
            remedy = "make room for it, and its folders writable"
            raise self._bad(f"cannot be written: {error.strerror}", remedy) from error
        except BadMaster as error:
            raise self._bad(f"cannot be written: {error}", "restore that file, or remove both") from error

    def _bad(self, reason: str, remedy: str) -> BadDataFolder:
        return BadDataFolder(str(self.path), reason, remedy)
