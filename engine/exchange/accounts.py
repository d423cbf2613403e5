"""Who may trade: accounts, their API keys, and what a signature may be used for. Pure; `keystore.py` keeps it.

Accounts are numbers of the engine from `desk.FIRST_CLIENT` on, known to people by names ("main"). A key acts for one
account; an account may have several. A secret is shown once, when its key is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from engine.errors import UserError
from engine.exchange.desk import FIRST_CLIENT

MAIN: Final = "main"
MAX_KEYS: Final = 5_000
MAX_NAME: Final = 40
MAX_SEEN: Final = 100_000  # signatures remembered, the oldest goes first
API_KEY_BYTES: Final = 24


class BadAccount(UserError):
    """An account or key that cannot be; `key` names the field."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class Key(msgspec.Struct, frozen=True):
    """One API key. The secret signs; it is kept since HMAC needs it, and never shown again."""

    api_key: str
    secret: str
    account: int
    name: str  # the account's
    label: str
    trade: bool  # False: it may only read
    created_ns: int


class Accounts:
    """All accounts and keys of the exchange. One thread."""

    def __init__(self, most: int, keys: tuple[Key, ...] = ()) -> None:
        """`most` accounts the engine has room for; `keys` as they were kept."""
        self._most = most
        self._keys: dict[str, Key] = {each.api_key: each for each in keys}
        self.used_ns: dict[str, int] = {}  # of keys that were used since the start
        self.on_revoke: Callable[[Key], None] | None = None  # told at once of each key that is no more
        self._asked: set[str] = set()
        self._numbers: dict[str, int] = {each.name: each.account for each in keys}
        if FIRST_CLIENT not in self._numbers.values():
            self._numbers.setdefault(MAIN, FIRST_CLIENT)  # whoever else has keys, its money is there
        self._next = max(self._numbers.values(), default=FIRST_CLIENT - 1) + 1
        self.account(MAIN)

    def account(self, name: str) -> int:
        """The account's number; a new one for a new name. BadAccount when the name is no good or all are taken."""
        found = self._numbers.get(name)
        if found is not None:
            return found
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise BadAccount("account", f"a name has 1 to {MAX_NAME} printable characters, no space around")
        if self._next >= self._most:
            raise BadAccount("account", f"all {self._most - FIRST_CLIENT:,} accounts are taken")
        self._numbers[name] = self._next
        self._next += 1
        return self._numbers[name]

    def keep_clear(self, account: int) -> None:
        """New accounts come after this one: someone forgotten has money there, or orders."""
        self._next = max(self._next, account + 1)

    @property
    def room(self) -> int:
        """How many new accounts there can be."""
        return max(0, self._most - self._next)

    def name(self, account: int) -> str:
        """The account's name, "" for one that has none."""
        return next((name for name, number in self._numbers.items() if number == account), "")

    @property
    def numbers(self) -> dict[str, int]:
        """All accounts: name -> number."""
        return dict(self._numbers)

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys, oldest first, secrets included: for the keystore alone."""
        return tuple(self._keys.values())

    def find(self, api_key: str) -> Key | None:
        """The key, if there is such a one."""
        found = self._keys.get(api_key)
        if found is not None:
            self._asked.add(api_key)
        return found

    def note_use(self, now_ns: int) -> None:
        """Keys that were asked for since the last call were used by now."""
        for api_key in self._asked:
            self.used_ns[api_key] = now_ns
        self._asked.clear()

    def create(self, name: str, label: str, now_ns: int, *, trade: bool = True) -> Key:
        """A new key for the account of this name. BadAccount when there are too many."""
        if len(self._keys) >= MAX_KEYS:
            raise BadAccount("key", f"there are {MAX_KEYS:,} keys already; revoke some")
        if len(label) > MAX_NAME or not (label.isprintable() or not label):
            raise BadAccount("label", f"it has at most {MAX_NAME} printable characters")
        key = Key(
            secrets.token_urlsafe(API_KEY_BYTES), secrets.token_urlsafe(API_KEY_BYTES * 2),
            self.account(name), name, label, trade, now_ns,
        )  # fmt: skip
        self._keys[key.api_key] = key
        return key

    def revoke(self, api_key: str) -> bool:
        """Forget a key and tell `on_revoke`; whether there was one. Its account stays."""
        self._asked.discard(api_key)
        self.used_ns.pop(api_key, None)
        key = self._keys.pop(api_key, None)
        if key is not None and self.on_revoke is not None:
            self.on_revoke(key)
        return key is not None


class ReplayGuard:
    """Remembers signatures until they are too old to be used again."""

    def __init__(self, most: int = MAX_SEEN) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()

    def admit(self, api_key: str, signature: str, now_ns: int, until_ns: int) -> bool:
        """Whether this signature is new; it counts as used from here on, until `until_ns`."""
        seen = self._seen
        while seen and (len(seen) >= self._most or next(iter(seen.values())) < now_ns):
            seen.popitem(last=False)
        mark = (api_key, signature)
        if mark in seen:
            return False
        seen[mark] = until_ns
        return True


def hmac_hex(secret: str, payload: bytes) -> str:
    """Hex HMAC-SHA256, as Binance and Bybit sign."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def signed(secret: str, payload: bytes, signature: str) -> bool:
    """Whether `signature` is that of the payload; takes the same time for any wrong one."""
    return hmac.compare_digest(hmac_hex(secret, payload).encode(), signature.lower().encode())
