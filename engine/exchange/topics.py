"""Streams of one symbol, as far as they do not depend on a venue: when something is said, not how it is written.

A topic belongs to a market and exists while it has subscribers. It is told each change of its symbol, and asked
at each turn whether something is due. It answers texts: whole messages of a venue's raw form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from engine.exchange.market import Change, Snapshot
from engine.exchange.past import SECOND_NS, Candle, aligned
from engine.exchange.served import ServedMarket

Texts = Sequence[str]
NOTHING: Final[Texts] = ()


def waits(now_ns: int, due_ns: int, every_ns: int) -> bool:
    """Whether something due at `due_ns` has to wait: not longer than its period, even when the clock is set back."""
    return due_ns - every_ns <= now_ns < due_ns


class Topic(Protocol):
    """One stream. `conflates`: only the newest message matters to a slow client. `book`: it carries the book."""

    name: str
    symbol: str
    conflates: bool
    book: bool

    def on_change(self, change: Change) -> Texts:
        """What is said of a change at once."""
        ...

    def on_turn(self, now_ns: int) -> Texts:
        """What is due by now."""
        ...

    def greeting(self, now_ns: int) -> Texts:
        """What a new subscriber is told first."""
        ...


class ChangeTopic:
    """Says something of each change at once, or nothing: trades, quotes."""

    book = False

    def __init__(
        self, name: str, symbol: str, write: Callable[[Change], Texts], *, conflates: bool = False
    ) -> None:
        self.name, self.symbol, self.conflates = name, symbol, conflates
        self.on_change = write

    def on_turn(self, now_ns: int) -> Texts:  # noqa: ARG002 - nothing of it depends on time
        """Nothing."""
        return NOTHING

    def greeting(self, now_ns: int) -> Texts:  # noqa: ARG002
        """Nothing."""
        return NOTHING


class TimedTopic:
    """Says something every so often: mark prices, day statistics, the best levels."""

    book = False
    conflates = True

    def __init__(
        self, name: str, symbol: str, every_ns: int, write: Callable[[int], Texts], *, first: bool = False
    ) -> None:
        self.name, self.symbol = name, symbol
        self._every_ns, self._write, self._first = every_ns, write, first
        self._due_ns = 0

    def on_change(self, change: Change) -> Texts:  # noqa: ARG002
        """Nothing."""
        return NOTHING

    def on_turn(self, now_ns: int) -> Texts:
        """The message, once every period."""
        if waits(now_ns, self._due_ns, self._every_ns):
            return NOTHING
        self._due_ns = (now_ns // self._every_ns + 1) * self._every_ns
        return self._write(now_ns)

    def greeting(self, now_ns: int) -> Texts:
        """The message, where the venue begins with it."""
        return self._write(now_ns) if self._first else NOTHING


class CandleTopic:
    """The running candle every so often, and each one once more when it has closed."""

    book = False
    conflates = False

    def __init__(
        self,
        name: str,
        symbol: str,
        market: ServedMarket,
        interval_s: int,
        every_ns: int,
        write: Callable[[Candle, bool, int], str],
    ) -> None:
        self.name, self.symbol = name, symbol
        self._market, self._interval_s, self._every_ns, self._write = market, interval_s, every_ns, write
        self._due_ns = 0
        self._open_s = 0

    def on_change(self, change: Change) -> Texts:  # noqa: ARG002
        """Nothing."""
        return NOTHING

    def on_turn(self, now_ns: int) -> Texts:
        """The closed candle when there is a new one, then the running one."""
        ended = 0 < self._open_s < aligned(now_ns // SECOND_NS, self._interval_s)
        if waits(now_ns, self._due_ns, self._every_ns) and not ended:
            return NOTHING
        candle = self._market.follow(self.symbol, self._interval_s, now_ns)
        self._due_ns = (now_ns // self._every_ns + 1) * self._every_ns
        texts = []
        closed = self._market.newest_closed(self.symbol, self._interval_s, now_ns) if ended else None
        if closed is not None:
            texts.append(self._write(closed, True, now_ns))
        self._open_s = candle.open_s
        texts.append(self._write(candle, False, now_ns))
        return texts

    def greeting(self, now_ns: int) -> Texts:  # noqa: ARG002
        """Nothing."""
        return NOTHING


class DiffTopic:
    """Changed levels since the last message, every so often (0: at once), with the numbers that show a gap."""

    book = True
    conflates = False

    def __init__(self, name: str, symbol: str, every_ns: int, write: Callable[[Change, int], str]) -> None:
        self.name, self.symbol = name, symbol
        self._every_ns, self._write = every_ns, write
        self._due_ns = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._pending: Change | None = None
        self._last_update = 0  # of the last message

    def on_change(self, change: Change) -> Texts:
        """The change, where the stream has no pace; else it waits for its turn."""
        if not self._every_ns:
            return (self._write(change, change.ts_ns),)
        pending = self._pending
        self._pending = change if pending is None else pending._replace(last_update=change.last_update)
        self._bids.update(change.bids)
        self._asks.update(change.asks)
        return NOTHING

    def on_turn(self, now_ns: int) -> Texts:
        """All that changed since the last message, each level once."""
        pending = self._pending
        if pending is None or waits(now_ns, self._due_ns, self._every_ns):
            return NOTHING
        self._due_ns = (now_ns // self._every_ns + 1) * self._every_ns
        whole = pending._replace(
            bids=sorted(self._bids.items(), reverse=True), asks=sorted(self._asks.items())
        )
        self._pending = None
        self._bids, self._asks = {}, {}
        return (self._write(whole, now_ns),)

    def greeting(self, now_ns: int) -> Texts:  # noqa: ARG002
        """Nothing: the book is asked for by REST."""
        return NOTHING


class ViewTopic:
    """The best levels of a book: whole at subscription, then what changed in view, numbered by message.

    Bybit's way: `u` grows by one a message and is the topic's own; 1 after the venue's restart, with a whole
    book.
    """

    book = True

    def __init__(
        self,
        name: str,
        symbol: str,
        market: ServedMarket,
        levels: int,
        every_ns: int,
        write: Callable[[str, Snapshot, int, int], str],
        *,
        first_number: int,
        always_whole: bool = False,
    ) -> None:
        self.name, self.symbol, self.conflates = name, symbol, always_whole
        self._market, self._levels, self._every_ns, self._write = market, levels, every_ns, write
        self._whole = always_whole
        self.number = first_number  # of the last message
        self._due_ns = 0
        self._changed = False
        self._restarted = False
        self._shown: Snapshot | None = None

    def on_change(self, change: Change) -> Texts:
        """Nothing at once."""
        self._changed = bool(change.bids or change.asks) or self._changed
        return NOTHING

    def on_turn(self, now_ns: int) -> Texts:
        """What changed in view since the last message."""
        if self._restarted:
            self._restarted = False
            self.number = 1
            self._shown = self._market.snapshot(self.symbol, self._levels, now_ns)
            return (self._write("snapshot", self._shown, self.number, now_ns),)
        if not self._changed or self._shown is None or waits(now_ns, self._due_ns, self._every_ns):
            return NOTHING
        self._changed = False
        self._due_ns = (now_ns // self._every_ns + 1) * self._every_ns
        shown, new = self._shown, self._market.snapshot(self.symbol, self._levels, now_ns)
        bids, asks = _difference(shown.bids, new.bids), _difference(shown.asks, new.asks)
        self._shown = new
        if not bids and not asks:
            return NOTHING
        self.number += 1
        if self._whole:
            return (self._write("snapshot", new, self.number, now_ns),)
        return (self._write("delta", new._replace(bids=bids, asks=asks), self.number, now_ns),)

    def greeting(self, now_ns: int) -> Texts:
        """The levels in view, as of the last message."""
        if self._shown is None:
            self._shown = self._market.snapshot(self.symbol, self._levels, now_ns)
        return (self._write("snapshot", self._shown, self.number, now_ns),)

    def restart(self) -> None:
        """Number from 1 again with the next message, as after a restart of the venue's service."""
        self._restarted = True


def _difference(old: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Levels to change `old` into `new`, in `new`'s order; those that left come last with size 0."""
    before, after = dict(old), dict(new)
    changed = [(price, size) for price, size in new if before.get(price) != size]
    changed += [(price, 0) for price in before if price not in after]
    return changed
