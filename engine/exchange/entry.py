"""How clients come in: calls and sessions as a dialect sees them, apart from the sockets that carry them.

A dialect translates between these and the desk. It waits for nothing but the desk's answers, opens no sockets and reads
no clock: the time comes with each call and message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import msgspec


class RestCall(msgspec.Struct, frozen=True):
    """One REST call below the dialect's prefix."""

    method: str
    path: str  # "/api/v3/order"
    query: str  # as sent, without "?"
    body: bytes
    headers: Mapping[str, str]  # looked up without regard to case
    address: str
    now_ns: int  # wall clock when it arrived


class RestAnswer(NamedTuple):
    """What is sent back; headers beside those of the limits."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Link(Protocol):
    """A client's socket as a session sees it. Sends never wait; a client that does not read is cut.

    The edge counts rate, traffic and queue of each; the session says who the client is and what was refused.
    """

    id: str
    address: str

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        ...

    def send(self, message: str | bytes) -> None:
        """A text message (`str`, or UTF-8 `bytes`). Never dropped: when too much waits the client is disconnected."""
        ...

    def send_binary(self, message: bytes) -> None:
        """A binary message, under the same rule."""
        ...

    def ack(self, message: bytes) -> None:
        """A text message that answers one order with good news, counted as such."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End it in an orderly way: 1000 normal, 1002 bad protocol, 1008 policy, 1009 too big.

        The session's `on_close` is called within, and nothing of the client reaches it any more.
        """
        ...

    def identify(self, account: int, label: str) -> None:
        """Tell the edge whose it is, once known, for the list of clients."""
        ...

    def count(self, orders: int = 0, acks: int = 0, reject: int | str | None = None) -> None:
        """Note orders sent, answers to them (refusals too), and one refusal of whatever it may be, by its code."""
        ...


class Session(Protocol):
    """One client's conversation on a socket that takes orders or tells private events."""

    def on_text(self, message: bytes, now_ns: int) -> None:
        """One whole text message, UTF-8 unchecked. Must not raise for anything a client may send."""
        ...

    def on_binary(self, message: bytes, now_ns: int) -> None:
        """One whole binary message."""
        ...

    def on_turn(self, now_ns: int) -> None:
        """Called some ten times a second: keep-alive, expiry of logins."""
        ...

    def on_revoked(self, api_key: str, now_ns: int) -> None:
        """A key, of anyone's, is no more: what this session does by it ends at once."""
        ...

    def on_close(self) -> None:
        """The socket has ended: stop listening. Called once."""
        ...


class TradingDialect(Protocol):
    """One venue's private side: signed REST, and sockets that take orders or tell private events."""

    def takes(self, method: str, path: str) -> bool:
        """Whether a REST call is its to answer; all others are market data."""
        ...

    def caller(self, call: RestCall) -> str:
        """Whose key it names, for the list of clients; "" when unknown. Signatures are not checked."""
        ...

    def orders_in(self, call: RestCall) -> int:
        """How many orders it would place, for the list of clients."""
        ...

    async def answer(self, call: RestCall) -> RestAnswer:
        """The answer, errors included. Raises nothing that a client can cause."""
        ...

    def session(self, path: str, query: str, link: Link, now_ns: int) -> Session | None:
        """A session for a socket opened at this path; None when the path is not its."""
        ...
