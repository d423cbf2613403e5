"""The exchange's owner at the command line: keys and profiles, asked of a running exchange, keys else in their file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from engine.bots.errors import NoExchange
from engine.bots.keys import address
from engine.errors import BadSetting
from engine.exchange.accounts import PASSING_FROM, Accounts
from engine.exchange.keystore import KeyStore
from engine.flow.simulator import ACCOUNTS
from engine.profiling import from_fields, report

ANSWER_WITHIN_S: Final = 10.0


class _NothingThere(NoExchange):
    """Nobody listens at the address: no exchange has the keys' file in its hands."""


async def asked(
    url: str,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    within_s: float = ANSWER_WITHIN_S,
) -> Any:
    """What a running exchange answers. NoExchange when none does; BadSetting with its words when it refuses."""
    at = address(url)
    try:
        timeout = aiohttp.ClientTimeout(total=within_s)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(method, f"{at.url}{path}", json=body) as answer,
        ):
            said = msgspec.json.decode(await answer.read())
            refused = answer.status != 200
    except TimeoutError:
        raise NoExchange(at.url, "no answer in time") from None
    except aiohttp.ClientConnectorError as error:
        raise _NothingThere(at.url, error.os_error.strerror or "no connection") from None
    except (aiohttp.ClientError, msgspec.MsgspecError) as error:
        raise NoExchange(at.url, f"it does not answer as an exchange: {error}") from None
    if refused:
        raise BadSetting(
            "exchange", path, str(said.get("error", said)) if isinstance(said, dict) else str(said)
        )
    return said


async def create_key(url: str, store: KeyStore, account: str, label: str, *, trade: bool) -> dict[str, Any]:
    """A new key with its secret: of the exchange that runs at `url`, else for its next start."""
    order = {"account": account, "label": label, "trade": trade}
    try:
        made: dict[str, Any] = (await asked(url, "POST", "/admin/keys", order))["keys"][0]
        return made
    except _NothingThere:
        accounts = _kept(store)
        key = accounts.create(account, label, time.time_ns(), trade=trade)
        store.save(accounts.keys, accounts.table)
        return {"api_key": key.api_key, "secret": key.secret, "account": key.name}


async def list_keys(url: str, store: KeyStore) -> list[dict[str, Any]]:
    """All keys without their secrets, oldest first."""
    try:
        rows: list[dict[str, Any]] = (await asked(url, "GET", "/admin/keys"))["keys"]
        return rows
    except _NothingThere:
        return [
            {"api_key": each.api_key, "account": each.name, "label": each.label, "trade": each.trade}
            for each in store.load()
        ]


async def revoke_key(url: str, store: KeyStore, api_key: str) -> bool:
    """Whether there was such a key; there is none any more."""
    if not api_key.replace("-", "").replace("_", "").isalnum():
        raise BadSetting("key", api_key, "it is letters, digits, - and _")
    try:
        return bool((await asked(url, "DELETE", f"/admin/keys?api_key={api_key}"))["revoked"])
    except _NothingThere:
        accounts = _kept(store)
        found = accounts.revoke(api_key)
        if found:
            store.save(accounts.keys, accounts.table)
        return found


def _kept(store: KeyStore) -> Accounts:
    """Accounts as the next start will have them."""
    held = store.read()
    return Accounts(ACCOUNTS, held.keys, held.table, passing_from=PASSING_FROM)


async def profile(url: str, seconds: int) -> str:
    """A profile of the engine's thread of the program that runs at `url`, as a table."""
    said = await asked(url, "POST", "/admin/profile", {"seconds": seconds}, seconds + ANSWER_WITHIN_S)
    return report(from_fields(said))
