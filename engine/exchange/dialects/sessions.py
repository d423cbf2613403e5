"""What a dialect makes of a connection and of its client's messages; the server carries it out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from engine.exchange.topics import Topic


@dataclass(frozen=True, slots=True)
class Opening:
    """A WebSocket address that the venue serves: its market, and the streams that the address itself names."""

    market: str
    combined: bool = False  # messages travel in an envelope that names the stream
    route: str = ""  # of Binance USD-M: "public", "market" or "private"
    streams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows from a client's message: a reply (after `delay_s`), then the changes of its streams."""

    reply: str = ""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    delay_s: float = 0.0
    combined: bool | None = None  # the client asks for another envelope
    cut: str = ""  # why the venue ends the connection


class StreamDialect(Protocol):
    """One budget's WebSocket protocol."""

    def opening(self, path: str, query: str) -> Opening | None:
        """What the address is; None: there is nothing."""
        ...

    def topic(self, opening: Opening, name: str) -> Topic | None:
        """The stream of this name; None for one that stays silent."""
        ...

    def on_message(self, text: str, opening: Opening, held: Collection[str], connection: str) -> Reaction:
        """What follows from a client's text. `held` are its streams, `connection` its id."""
        ...

    def envelope(self, name: str, text: str) -> str:
        """A message as a combined connection gets it."""
        ...

    def shutdown(self, now_ns: int) -> str:
        """What clients are told before a planned end; empty: nothing."""
        ...
