"""Market data of the native protocol: what each turn of the exchange changed, to all who follow it.

Each message is written once for all followers. Whoever is too slow loses no order: of the book it gets a new snapshot
once it has caught up, of quotes the newest, and of trades a note how many it missed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.exchange.data_faults import fate
from engine.exchange.faults import DATA_KINDS, NATIVE, Faults
from engine.exchange.units import Units
from engine.market.batches import BUY, Batch, Kind
from engine.market.instruments import format_decimal

SNAPSHOT_LEVELS: Final = 1_000
SOFT_LIMIT: Final = 1 << 20  # bytes that wait for a client above which its market data is thinned

Message = tuple[bytes, Callable[[], bytes]]  # as JSON, and as msgpack when someone needs it

_text: Final = msgspec.json.Encoder().encode
_packed: Final = msgspec.msgpack.Encoder().encode


class Follower(Protocol):
    """Who gets market data."""

    @property
    def id(self) -> str:
        """Its connection's, as a fault names it."""
        ...

    @property
    def behind(self) -> bool:
        """Whether so much waits for it that data must be thinned."""
        ...

    def push(self, text: bytes, packed: Callable[[], bytes]) -> None:
        """One message, in the form it speaks."""
        ...


class NativeFeed:
    """Who follows what. One thread."""

    KINDS: Final = ("book", "trades", "bbo")

    def __init__(
        self,
        units: Sequence[Units],
        snapshot: Callable[[str, int], Batch],
        update: Callable[[str], int],
        soft_limit: int = SOFT_LIMIT,
    ) -> None:
        """`snapshot(symbol, levels)` is the book as it stands, `update(symbol)` its number."""
        self.soft_limit: Final = soft_limit
        self.faults: Faults | None = None
        self._held: dict[tuple[Follower, str, str], Message] = {}  # of the fault reorder
        self.thinned = 0  # messages not sent to who was behind
        self._units = {each.instrument.symbol: each.instrument for each in units}
        self._snapshot, self._update = snapshot, update
        self._followers: dict[tuple[str, str], dict[Follower, int]] = {}  # with what each has missed
        self._written: dict[str, tuple[int, bytes, Callable[[], bytes]]] = {}  # each book's last snapshot

    def follow(self, follower: Follower, kind: str, symbol: str) -> None:
        """Begin: a book with a snapshot, quotes with the newest, at once."""
        followers = self._followers.setdefault((kind, symbol), {})
        if follower in followers:
            return
        followers[follower] = 0
        if kind == "book":
            self._send_whole(follower, symbol)
        elif kind == "bbo":
            self._send(follower, self._best(symbol))

    def unfollow(self, follower: Follower, kind: str, symbol: str) -> None:
        """End."""
        followers = self._followers.get((kind, symbol))
        if followers is not None and followers.pop(follower, None) is not None and not followers:
            del self._followers[kind, symbol]
        self._held.pop((follower, kind, symbol), None)

    def drop(self, follower: Follower) -> None:
        """End all of a client's."""
        for kind, symbol in list(self._followers):
            self.unfollow(follower, kind, symbol)

    def on_turn(self, batches: Sequence[Batch]) -> None:
        """Tell followers what these batches of one turn say."""
        if not self._followers:
            return
        for batch in batches:
            if batch.kind is Kind.DELTA:
                self._tell("book", batch, self._delta)
            elif batch.kind is Kind.TRADES:
                self._tell("trades", batch, self._trades)
            elif batch.kind is Kind.QUOTES:
                self._tell("bbo", batch, self._quote)

    def _tell(self, kind: str, batch: Batch, write: Callable[[Batch], dict[str, Any]]) -> None:
        followers = self._followers.get((kind, batch.symbol))
        if not followers:
            return
        message = write(batch)
        text, packed = _text(message), functools.cache(lambda: _packed(message))
        faulty = bool(self._held) or (self.faults is not None and self.faults.any)
        for follower, missed in list(followers.items()):
            if follower.behind:
                followers[follower] = missed + (len(batch.rows) if kind == "trades" else 1)
                self.thinned += 1
                continue
            if missed:
                followers[follower] = 0
                if kind == "book":
                    self._held.pop((follower, kind, batch.symbol), None)  # the snapshot has it
                    self._send_whole(follower, batch.symbol)
                    continue
                if kind == "trades":
                    self._send(follower, {"ch": f"trades:{batch.symbol}", "type": "missed", "count": missed})
            if faulty:
                self._push_with_faults(follower, kind, batch.symbol, text, packed)
            else:
                follower.push(text, packed)

    def _push_with_faults(
        self, follower: Follower, kind: str, symbol: str, text: bytes, packed: Callable[[], bytes]
    ) -> None:
        """As a fault on command says, if one meets it; what it held back before goes with this one."""
        fault = None
        if self.faults is not None:
            names = (symbol, self._units[symbol].native)
            data = kind if kind in ("book", "trades") else "other"
            fault = self.faults.take(
                *(time.monotonic_ns(), DATA_KINDS, NATIVE, "", names, follower.id), data=data
            )
        place = (follower, kind, symbol)
        padding, sent, held = fate(fault, (text, packed), self._held.pop(place, None), _spoilt)
        if held is not None:
            self._held[place] = held
        if padding:
            self._send(follower, {"ch": "padding", "x": "0" * padding})
        for each in sent:
            follower.push(*each)

    @staticmethod
    def _send(follower: Follower, message: dict[str, Any]) -> None:
        follower.push(_text(message), lambda: _packed(message))

    def _send_whole(self, follower: Follower, symbol: str) -> None:
        """A snapshot of the book; who asks for many before it changes is sent the same one."""
        update = self._update(symbol)
        written = self._written.get(symbol)
        if written is None or written[0] != update:
            message = self._whole(symbol)
            written = update, _text(message), functools.cache(lambda: _packed(message))
            self._written[symbol] = written
        follower.push(written[1], written[2])

    def _best(self, symbol: str) -> dict[str, Any]:
        """The best prices now; "0" where a side has no orders."""
        batch = self._snapshot(symbol, 1)
        bids, asks = self._sides(batch)
        instrument = self._units[symbol]
        nothing = [format_decimal(0, each) for each in (instrument.price_decimals, instrument.size_decimals)]
        return {
            "ch": f"bbo:{symbol}",
            "bid": bids[0] if bids else nothing,
            "ask": asks[0] if asks else nothing,
            "last": batch.last_sequence,
            "ts_ns": batch.ts_event_ns,
        }

    def _whole(self, symbol: str) -> dict[str, Any]:
        batch = self._snapshot(symbol, SNAPSHOT_LEVELS)
        bids, asks = self._sides(batch)
        return {
            "ch": f"book:{symbol}",
            "type": "snapshot",
            "first": batch.last_sequence,
            "last": batch.last_sequence,
            "bids": bids,
            "asks": asks,
            "ts_ns": batch.ts_event_ns,
        }

    def _delta(self, batch: Batch) -> dict[str, Any]:
        bids, asks = self._sides(batch)
        return {
            "ch": f"book:{batch.symbol}",
            "type": "delta",
            "first": batch.first_sequence,
            "last": batch.last_sequence,
            "bids": bids,
            "asks": asks,
            "ts_ns": batch.ts_event_ns,
        }

    def _sides(self, batch: Batch) -> tuple[list[list[str]], list[list[str]]]:
        instrument = self._units[batch.symbol]
        price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
        rows = [
            [format_decimal(price, price_decimals), format_decimal(size, size_decimals)]
            for price, size in batch.rows.tolist()
        ]
        return rows[: batch.bids], rows[batch.bids :]

    def _trades(self, batch: Batch) -> dict[str, Any]:
        instrument = self._units[batch.symbol]
        return {
            "ch": f"trades:{batch.symbol}",
            "trades": [
                [
                    number,
                    format_decimal(price, instrument.price_decimals),
                    format_decimal(size, instrument.size_decimals),
                    "buy" if aggressor == BUY else "sell",
                    ts_ns,
                ]
                for ts_ns, _, number, price, size, aggressor in batch.rows.tolist()
            ],
        }

    def _quote(self, batch: Batch) -> dict[str, Any]:
        instrument = self._units[batch.symbol]
        prices, sizes = instrument.price_decimals, instrument.size_decimals
        ts_ns, _, update, bid, bid_size, ask, ask_size = batch.rows.tolist()[0][:7]
        return {
            "ch": f"bbo:{batch.symbol}",
            "bid": [format_decimal(bid, prices), format_decimal(bid_size, sizes)],
            "ask": [format_decimal(ask, prices), format_decimal(ask_size, sizes)],
            "last": update,
            "ts_ns": ts_ns,
        }


def _spoilt(message: Message) -> Message:
    """Cut in the middle, in either form."""
    text, packed = message
    return text[: len(text) // 2], lambda: packed()[: len(packed()) // 2]
