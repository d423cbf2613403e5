"""What the exchange's owner does over HTTP, on this machine alone: keys, money, profiles.

POST   /admin/keys     {"account":"main","label":"","count":1,"trade":true,"keep":true}
GET    /admin/keys
DELETE /admin/keys?api_key=..
POST   /admin/faucet   {"account":"main","asset":"USDT","amount":"1000"}
POST   /admin/profile  {"seconds":10}
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from engine.errors import UserError
from engine.exchange.accounts import MAIN, MAX_NAME, BadAccount, Key
from engine.exchange.floor import SLICE, Floor, ask
from engine.exchange.keystore import KeyStore
from engine.exchange.trading import Outcome, sentence
from engine.exchange.units import atoms, atoms_text
from engine.profiling import Profiler, ProfileView, fields

MAX_BODY: Final = 4_096
MAX_COUNT: Final = 2_000
SHOWN_ACCOUNTS: Final = 16
MAX_PASSING: Final = 4_000  # keys that are not kept: beyond it the oldest is revoked
MAX_KEPT: Final = 500
MAX_DEPOSIT_ATOMS: Final = 10**17  # a billion coins


class KeyOrder(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which keys to make. With a count above 1 each gets an account of its own, "<account>-1" and on."""

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=40)] = MAIN
    label: Annotated[str, msgspec.Meta(max_length=40)] = ""
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] = 1
    trade: bool = True
    keep: bool = True


class FaucetOrder(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to pay in."""

    asset: str
    amount: str
    account: str = MAIN


class ProfileOrder(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How long to profile the engine's thread."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10


class Admin:
    """Keys and money of a floor; `store` keeps the keys, None: nothing is kept. One loop."""

    def __init__(
        self,
        floor: Floor,
        store: KeyStore | None = None,
        profiler: Callable[[], Profiler | None] = lambda: None,
    ) -> None:
        self.profiler = profiler
        self._floor, self._store = floor, store
        self._passing: dict[str, None] = {}  # keys that are not kept, oldest first
        self._making = asyncio.Lock()

    def create_key(self, account: str, label: str, *, trade: bool = True, keep: bool = True) -> Key:
        """A new key. A new account has its money with the next batch. BadAccount, BadDataFolder: nothing was made."""
        floor, accounts = self._floor, self._floor.accounts
        is_new = accounts.number(account) is None
        if keep and len(self.shown_keys()) >= MAX_KEPT:
            raise BadAccount("key", f"{MAX_KEPT:,} keys are kept already; revoke some")
        if not keep:
            self._make_room()
        key = accounts.create(account, label, floor.wall(), trade=trade, passing=not keep)
        if keep:
            try:
                self._keep()  # before it has money: a number that has some is never another's
            except UserError:
                accounts.revoke(key.api_key)
                if is_new:
                    accounts.forget(account)
                raise
        else:
            self._passing[key.api_key] = None
        if is_new:
            floor.endow(key.account)
        return key

    def _make_room(self) -> None:
        while len(self._passing) >= MAX_PASSING:
            oldest = next(iter(self._passing))
            del self._passing[oldest]
            self._floor.accounts.revoke(oldest)

    def revoke(self, api_key: str) -> bool:
        """Forget a key; its sessions end. Whether there was one. BadDataFolder when that cannot be kept."""
        accounts = self._floor.accounts
        if api_key in self._passing:
            del self._passing[api_key]
        elif api_key in {each.api_key for each in self.shown_keys()}:
            self._keep(without=api_key)
        return accounts.revoke(api_key)

    def _keep(self, without: str = "") -> None:
        if self._store is not None:
            kept = tuple(each for each in self.shown_keys() if each.api_key != without)
            self._store.save(kept, self._floor.accounts.table)

    def shown_accounts(self) -> list[str]:
        """The names of accounts that people trade with: the main one, and those of kept keys, oldest first."""
        return list(dict.fromkeys((MAIN, *(each.name for each in self.shown_keys()))))[:SHOWN_ACCOUNTS]

    def shown_keys(self) -> list[Key]:
        """Keys that are kept, oldest first; without a store, those that would be."""
        return [each for each in self._floor.accounts.keys if each.api_key not in self._passing]

    async def answer(self, request: web.BaseRequest, path: str, query: str) -> web.Response | None:
        """The answer to a call below /admin; None: it is none of these."""
        from engine.exchange.server import arguments_of, body_of, json_answer

        if not path.startswith("/admin/"):
            return None
        call = f"{request.method} {path}"
        try:
            if call == "GET /admin/keys":
                return json_answer({"keys": [_row(each) for each in self.shown_keys()]})
            if call == "DELETE /admin/keys":
                return json_answer({"revoked": self.revoke(arguments_of(query).get("api_key", ""))})
            if request.method == "POST" and path in ("/admin/keys", "/admin/faucet", "/admin/profile"):
                got = await body_of(request, MAX_BODY)
                if not isinstance(got, bytes):
                    return got
                body = got or b"{}"
                if path == "/admin/keys":
                    return json_answer({"keys": await self._make(msgspec.json.decode(body, type=KeyOrder))})
                if path == "/admin/faucet":
                    return json_answer(await self.pay(msgspec.json.decode(body, type=FaucetOrder)))
                return json_answer(await self._profile(msgspec.json.decode(body, type=ProfileOrder)))
        except (msgspec.MsgspecError, UserError, ValueError) as error:
            return json_answer({"error": str(error)[:300]}, 400)
        return json_answer({"error": f"{call[:100]} does not exist"}, 404)

    async def _make(self, order: KeyOrder) -> list[dict[str, Any]]:
        async with self._making:
            return await self._make_all(order)

    async def _make_all(self, order: KeyOrder) -> list[dict[str, Any]]:
        """Keys and accounts, all or none, some at a time: the exchange goes on meanwhile."""
        names = (
            [order.account]
            if order.count == 1
            else [f"{order.account}-{at + 1}" for at in range(order.count)]
        )
        floor, accounts = self._floor, self._floor.accounts
        # Before the first is made: accounts cannot be taken back once they have money.
        if order.keep and len(self.shown_keys()) + order.count > MAX_KEPT:
            raise BadAccount("count", f"at most {MAX_KEPT:,} keys are kept")
        if len(names[-1]) > MAX_NAME:
            raise BadAccount("account", f"a name has at most {MAX_NAME} characters, its number included")
        new = [name for name in names if accounts.number(name) is None]
        room = accounts.room if order.keep else accounts.passing_room
        if len(new) > room:
            raise BadAccount("count", f"there is room for {room:,} more accounts")
        made: list[Key] = []
        try:
            for at, name in enumerate(names):
                if not order.keep:
                    self._make_room()
                key = accounts.create(
                    name, order.label, floor.wall(), trade=order.trade, passing=not order.keep
                )
                made.append(key)
                if not order.keep:
                    self._passing[key.api_key] = None
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            if order.keep:
                self._keep()  # before they have money: a number that has some is never another's
        except UserError:
            for key in made:
                accounts.revoke(key.api_key)
                self._passing.pop(key.api_key, None)
            for name in new:
                accounts.forget(name)
            raise
        await floor.pay_in([number for name in new if (number := accounts.number(name)) is not None])
        return [
            {"api_key": key.api_key, "secret": key.secret, "account": key.name, "number": key.account}
            for key in made
        ]

    async def pay(self, order: FaucetOrder) -> dict[str, str]:
        """Pay in from the faucet; what the account then has. BadAccount names what is wrong."""
        try:
            amount = atoms(order.amount)
        except ValueError as error:
            raise BadAccount("amount", str(error)) from None
        if not 0 < amount <= MAX_DEPOSIT_ATOMS:
            raise BadAccount("amount", f"it is above 0 and at most {MAX_DEPOSIT_ATOMS // 10**8:,}")
        desk = self._floor.desk
        if order.asset not in desk.engine.assets:
            raise BadAccount(
                "asset", f"there is no {order.asset!r}; there are {', '.join(desk.engine.assets)}"
            )
        number = self._account(order.account)
        outcome: Outcome = await ask(desk.deposit, number, order.asset, amount)
        if outcome.reason:
            raise BadAccount("amount", sentence(outcome.reason))
        free = desk.balance(number, order.asset).free
        return {"account": order.account, "asset": order.asset, "free": atoms_text(free)}

    def _account(self, name: str) -> int:
        """The account of this name; a new one is kept from now on, and paid in."""
        accounts = self._floor.accounts
        found = accounts.number(name)
        if found is not None:
            return found
        number = accounts.account(name)
        try:
            self._keep()
        except UserError:
            accounts.forget(name)
            raise
        self._floor.endow(number)
        return number

    async def _profile(self, order: ProfileOrder) -> dict[str, Any]:
        profiler = self.profiler()
        if profiler is None:
            raise BadAccount("profile", "the engine is not running")
        future: asyncio.Future[ProfileView] = asyncio.get_running_loop().create_future()

        def done(view: ProfileView) -> None:
            if not future.done():
                future.set_result(view)

        profiler.start(order.seconds, done)
        return fields(await future)


def _row(key: Key) -> dict[str, Any]:
    return {
        "api_key": key.api_key,
        "account": key.name,
        "label": key.label,
        "trade": key.trade,
        "created_ns": key.created_ns,
    }
