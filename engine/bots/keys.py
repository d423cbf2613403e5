"""API keys for robots and load: asked for at the exchange's admin API, good until the exchange ends."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from engine.bots.errors import NoExchange, reason
from engine.errors import BadSetting

TIMEOUT_S: Final = 10.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Key(msgspec.Struct, frozen=True):
    """A key as the exchange hands it out."""

    api_key: str
    secret: str
    account: str


class _Keys(msgspec.Struct):
    keys: list[Key]


class _Failure(msgspec.Struct):
    error: str = ""
    msg: str = ""


class Address(NamedTuple):
    """Where the exchange is."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For calls."""
        return f"http://{self._host}:{self.port}"

    def socket(self, port: int = 0) -> str:
        """For the native protocol, on this port or another."""
        return f"ws://{self._host}:{port or self.port}/native"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def address(url: str) -> Address:
    """The parts of an exchange's URL. BadSetting unless it is plain HTTP on this machine."""
    allowed = "it is the address of an exchange on this machine, like http://127.0.0.1:8051"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise BadSetting("url", url, allowed) from None
    if parts.scheme != "http" or host not in LOOPBACK or not port or parts.path.strip("/"):
        raise BadSetting("url", url, allowed)
    return Address(host, port)


async def borrow(at: Address, account: str, count: int) -> list[Key]:
    """Keys for `count` accounts of their own, "<account>-1" and on, not stored. NoExchange when it hands out none."""
    body = {"account": account, "label": "robots", "count": count, "trade": True, "keep": False}
    try:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(f"{at.url}/admin/keys", json=body) as answer,
        ):
            said = await answer.read()
        if answer.status != 200:
            raise NoExchange(at.url, f"it hands out no keys: {_why(answer.status, said)}")
        keys = msgspec.json.decode(said, type=_Keys).keys
        if len(keys) != count:
            raise NoExchange(at.url, f"it handed out {len(keys)} keys instead of {count}")
    except TimeoutError:
        raise NoExchange(at.url, "no answer in time") from None
    except aiohttp.ClientConnectorError as error:
        raise NoExchange(at.url, reason(error.os_error)) from None
    except aiohttp.ClientError as error:
        raise NoExchange(at.url, str(error) or type(error).__name__) from None
    except msgspec.MsgspecError as error:
        raise NoExchange(at.url, f"it answers, but not as an exchange: {error}") from None
    return keys


def _why(status: int, body: bytes) -> str:
    try:
        said = msgspec.json.decode(body, type=_Failure)
    except msgspec.MsgspecError:
        return f"HTTP {status}"
    return said.error or said.msg or f"HTTP {status}"
