"""Who may trade: accounts, their API keys, and what a signature may be used for. Pure; `keystore.py` keeps it.

Accounts are numbers of the engine from `desk.FIRST_CLIENT` on, known to people by names ("main"). A key acts for one
account; an account may have several. A secret is shown once, when its key is made.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from engine.errors import UserError
from engine.exchange.desk import FIRST_CLIENT

MAIN: Final = "main"
MAX_KEYS: Final = 5_000
MAX_NAME: Final = 40
MAX_SEEN: Final = 400_000  # signatures remembered at a time
MAX_SEEN_OF_KEY: Final = 100_000  # 10,000 orders a second that are good for 10 s
STEP_NS: Final = 100_000_000
MARK: Final = 32  # characters of a signature that tell it from all others
API_KEY_BYTES: Final = 24
PASSING_FROM: Final = FIRST_CLIENT + 1_000  # accounts of the built-in exchange from here on are for one run


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


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose each number is, for ever: a number that was somebody's is never another's."""

    next: int  # this and those after it were nobody's yet
    numbers: dict[str, int]  # by name


class Accounts:
    """All accounts and keys of the exchange. One thread.

    Kept accounts are numbered upward and keep their numbers over restarts (`table`). Passing ones, which nobody knows
    after the run, have a range of their own from `passing_from` on, so that neither ever becomes the other.
    """

    def __init__(
        self,
        most: int,
        keys: tuple[Key, ...] = (),
        table: Table | None = None,
        *,
        passing_from: int | None = None,
        complete: bool = True,
    ) -> None:
        """`most` accounts the engine has room for; `keys` and `table` as they were kept, None: keys alone were.

        `complete`: these are all there are; otherwise others' accounts may exist, which are left alone.
        """
        self._most = most
        self._split = most if passing_from is None else min(passing_from, most)
        self._complete = complete
        self._keys: dict[str, Key] = {each.api_key: each for each in keys}
        self.used_ns: dict[str, int] = {}  # of keys that were used since the start
        self.on_revoke: Callable[[Key], None] | None = None  # told at once of each key that is no more
        self._asked: set[str] = set()
        self._numbers: dict[str, int] = dict(table.numbers) if table is not None else {}
        self._numbers |= {each.name: each.account for each in keys}
        self._names: dict[int, str] = {number: name for name, number in self._numbers.items()}
        self._passing: set[str] = set()  # names
        self._free: list[int] = []  # numbers of passing accounts of a former run
        self._taken: set[int] = set()  # numbers of accounts whose names nobody knows
        if FIRST_CLIENT not in self._names and MAIN not in self._numbers:
            self._name(MAIN, FIRST_CLIENT)  # whoever else has keys, its money is there
        below = [number for number in self._names if number < self._split]
        self._next = max(below, default=FIRST_CLIENT - 1) + 1
        if table is not None:
            self._next = max(self._next, table.next)
        self._next_passing = self._split
        self.account(MAIN)

    def account(self, name: str, *, passing: bool = False) -> int:
        """The account's number; a new one for a new name. BadAccount when the name is no good or all are taken.

        `passing`: if it is new it is for this run alone. One that is not asked for so is kept from then on.
        """
        found = self._numbers.get(name)
        if found is not None:
            if not passing:
                self._passing.discard(name)
            return found
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise BadAccount("account", f"a name has 1 to {MAX_NAME} printable characters, no space around")
        apart = passing and self._split < self._most
        number = self._passing_number() if apart else self._kept_number()
        if passing:
            self._passing.add(name)
        return self._name(name, number)

    def forget(self, name: str) -> None:
        """Take back a new account that has neither money nor a key yet."""
        number = self._numbers.pop(name, None)
        if number is None:
            return
        del self._names[number]
        if name in self._passing:
            self._passing.discard(name)
            self._free.append(number)
        elif number == self._next - 1:
            self._next -= 1

    def _name(self, name: str, number: int) -> int:
        self._numbers[name] = number
        self._names[number] = name
        return number

    def _kept_number(self) -> int:
        while self._next in self._names or self._next in self._taken:
            self._next += 1
        if self._next >= self._split:
            raise BadAccount("account", f"all {self._split - FIRST_CLIENT:,} accounts are taken")
        self._next += 1
        return self._next - 1

    def _passing_number(self) -> int:
        if self._free:
            return self._free.pop()
        while self._next_passing in self._names or self._next_passing in self._taken:
            self._next_passing += 1
        if self._next_passing >= self._most:
            raise BadAccount("account", f"all {self._most - self._split:,} passing accounts are taken")
        self._next_passing += 1
        return self._next_passing - 1

    def go_on(self, known: Iterable[int]) -> list[int]:
        """Take over from a former run, of which these accounts have money or orders; those nobody can reach any more.

        The numbers of passing ones among them may be used again, by passing ones.
        """
        unnamed = {each for each in known if each >= FIRST_CLIENT and each not in self._names}
        self._taken |= unnamed
        if not self._complete:
            return []
        self._next = max([self._next, *(each + 1 for each in unnamed if each < self._split)])
        self._free = sorted((each for each in unnamed if each >= self._split), reverse=True)
        return sorted(unnamed)

    @property
    def table(self) -> Table:
        """Names and numbers to be kept: for the keystore."""
        kept = {name: number for name, number in self._numbers.items() if name not in self._passing}
        return Table(self._next, kept)

    @property
    def room(self) -> int:
        """How many new accounts there can be that are kept."""
        return self._room(self._next, self._split)

    @property
    def passing_room(self) -> int:
        """How many new accounts there can be that are not kept."""
        if self._split == self._most:
            return self.room
        return len(self._free) + self._room(self._next_passing, self._most)

    def _room(self, first: int, end: int) -> int:
        return sum(each not in self._names and each not in self._taken for each in range(first, end))

    def number(self, name: str) -> int | None:
        """The account of this name, if there is one."""
        return self._numbers.get(name)

    def name(self, account: int) -> str:
        """The account's name, "" for one that has none."""
        return self._names.get(account, "")

    def is_passing(self, name: str) -> bool:
        """Whether the account is for this run alone."""
        return name in self._passing

    @property
    def numbers(self) -> Mapping[str, int]:
        """All accounts as they are at any time: name -> number."""
        return MappingProxyType(self._numbers)

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

    def create(self, name: str, label: str, now_ns: int, *, trade: bool = True, passing: bool = False) -> Key:
        """A new key for the account of this name, a `passing` one if it is new. BadAccount when there are too many."""
        if len(self._keys) >= MAX_KEYS:
            raise BadAccount("key", f"there are {MAX_KEYS:,} keys already; revoke some")
        if len(label) > MAX_NAME or not (label.isprintable() or not label):
            raise BadAccount("label", f"it has at most {MAX_NAME} printable characters")
        key = Key(
            secrets.token_urlsafe(API_KEY_BYTES), secrets.token_urlsafe(API_KEY_BYTES * 2),
            self.account(name, passing=passing), name, label, trade, now_ns,
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
    """Remembers signatures until they are too old to be used again.

    None is forgotten before its time: when there are too many, new ones are refused, first those of the key that has
    the most. What was signed before `opened_ns` may have been used in a former run: whoever checks times refuses it.
    """

    def __init__(self, most: int = MAX_SEEN, most_of_key: int = MAX_SEEN_OF_KEY, opened_ns: int = 0) -> None:
        self.opened_ns: Final = opened_ns
        self.refused = 0  # because there were too many
        self._most, self._most_of_key = most, most_of_key
        self._seen: dict[str, set[str]] = {}  # by key
        self._due: dict[int, list[tuple[set[str], str]]] = {}  # by when they are too old, in steps
        self._steps: list[int] = []  # of those, a heap
        self._count = 0

    def admit(self, api_key: str, signature: str, now_ns: int, until_ns: int) -> bool:
        """Whether this signature is new; it counts as used from here on, until `until_ns`. Of signatures that are
        right alone, so that nobody fills what is another's.
        """
        if self._steps and self._steps[0] * STEP_NS <= now_ns:
            self._forget(now_ns)
        mark = signature[:MARK]
        seen = self._seen.get(api_key)
        if seen is None:
            seen = self._seen[api_key] = set()
        elif mark in seen:
            return False
        if len(seen) >= self._most_of_key or self._count >= self._most:
            self.refused += 1
            return False
        seen.add(mark)
        self._count += 1
        step = until_ns // STEP_NS + 1
        due = self._due.get(step)
        if due is None:
            due = self._due[step] = []
            heapq.heappush(self._steps, step)
        due.append((seen, mark))
        return True

    def _forget(self, now_ns: int) -> None:
        while self._steps and self._steps[0] * STEP_NS <= now_ns:
            gone = self._due.pop(heapq.heappop(self._steps))
            self._count -= len(gone)
            for seen, mark in gone:
                seen.discard(mark)
        for api_key in [each for each, seen in self._seen.items() if not seen]:
            del self._seen[api_key]


def hmac_hex(secret: str, payload: bytes) -> str:
    """Hex HMAC-SHA256, as Binance and Bybit sign."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def signed(secret: str, payload: bytes, signature: str) -> bool:
    """Whether `signature` is that of the payload; takes the same time for any wrong one."""
    return hmac.compare_digest(hmac_hex(secret, payload).encode(), signature.lower().encode())
