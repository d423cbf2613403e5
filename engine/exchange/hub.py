"""One budget's streams: who follows what, and what every turn of its markets brings them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.exchange.connection import Connection
from engine.exchange.data_faults import fate
from engine.exchange.dialects.sessions import StreamDialect
from engine.exchange.faults import DATA_KINDS, Faults
from engine.exchange.served import ServedMarket
from engine.exchange.topics import ChangeTopic, Texts, Topic, ViewTopic
from engine.websocket_frames import frame

Key = tuple[str, str, str]  # market, route, name
_STALL: Final = frozenset({"stall"})
_DISCONNECT: Final = frozenset({"disconnect"})


class _Followed:
    """A topic with its followers."""

    __slots__ = ("data", "followers", "key", "symbols", "topic")

    def __init__(self, key: Key, topic: Topic, symbols: tuple[str, ...]) -> None:
        self.key, self.topic, self.symbols = key, topic, symbols
        trades = isinstance(topic, ChangeTopic) and not topic.conflates
        self.data = "book" if topic.book else "trades" if trades else "other"
        self.followers: dict[Connection, None] = {}


class Hub:
    """All streams of one budget. One thread."""

    def __init__(
        self, budget: str, markets: Mapping[str, ServedMarket], streams: StreamDialect, faults: Faults
    ) -> None:
        self.budget: Final = budget
        self.markets: Final = markets
        self.streams: Final = streams
        self.connections: Final[dict[str, Connection]] = {}
        self.dirty: Final[dict[Connection, None]] = {}  # something waits for them
        self._faults = faults
        self._followed: dict[Key, _Followed] = {}
        self._by_symbol: dict[tuple[str, str], list[_Followed]] = {}
        self._timed: dict[Key, _Followed] = {}

    @property
    def topics(self) -> int:
        """Streams that someone follows."""
        return len(self._followed)

    def subscribe(self, connection: Connection, name: str, now_ns: int) -> None:
        """Let a connection follow a stream. One that does not exist stays silent."""
        if name in connection.names:
            return
        opening = connection.opening
        key = (opening.market, opening.route, name)
        followed = self._followed.get(key)
        if followed is None:
            topic = self.streams.topic(opening, name)
            if topic is None:
                connection.names[name] = None
                return
            market = self.markets[opening.market]
            listing = market.watch(topic.symbol, now_ns)
            followed = _Followed(key, topic, (listing.native, listing.instrument.symbol))
            self._followed[key] = followed
            same_symbol = self._by_symbol.setdefault((opening.market, topic.symbol), [])
            # Quotes come before the levels behind them, as with the venues.
            same_symbol.insert(len(same_symbol) if topic.book else 0, followed)
            if not isinstance(topic, ChangeTopic):
                self._timed[key] = followed
        connection.names[name] = followed.topic
        for text in followed.topic.greeting(now_ns):
            self._push(connection, followed, self._frame(connection, name, text))
        followed.followers[connection] = None

    def unsubscribe(self, connection: Connection, name: str) -> None:
        """Stop following. One that nobody follows is forgotten."""
        topic = connection.names.pop(name, None)
        connection.held.pop(name, None)
        if topic is None:
            return
        opening = connection.opening
        key = (opening.market, opening.route, name)
        followed = self._followed[key]
        del followed.followers[connection]
        if not followed.followers:
            del self._followed[key]
            self._timed.pop(key, None)
            same_symbol = self._by_symbol[opening.market, topic.symbol]
            same_symbol.remove(followed)
            if not same_symbol:
                del self._by_symbol[opening.market, topic.symbol]
                self.markets[opening.market].unwatch(topic.symbol)

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        for name in list(connection.names):
            self.unsubscribe(connection, name)
        self.connections.pop(connection.id, None)
        self.dirty.pop(connection, None)

    def turn(self, now_ns: int, monotonic_ns: int) -> None:
        """Turn the markets, and hand what they bring to the followers. Nothing is written yet."""
        for key, market in self.markets.items():
            for change in market.advance(now_ns):
                for followed in self._by_symbol.get((key, change.symbol), ()):
                    texts = followed.topic.on_change(change)
                    if texts:
                        self._deliver(followed, texts, monotonic_ns)
        for followed in self._timed.values():
            texts = followed.topic.on_turn(now_ns)
            if texts:
                self._deliver(followed, texts, monotonic_ns)

    def restart(self, market: str, symbol: str) -> int:
        """Let matching books begin at 1 again, as after a restart of Bybit's service; how many."""
        books = 0
        for followed in self._followed.values():
            wanted = market in ("", followed.key[0]) and (not symbol or symbol in followed.symbols)
            if wanted and isinstance(followed.topic, ViewTopic):
                followed.topic.restart()
                books += 1
        return books

    def say(self, connection: Connection, text: str) -> None:
        """Send one text that belongs to no stream."""
        connection.push(frame(text.encode()))
        self.dirty[connection] = None

    def _deliver(self, followed: _Followed, texts: Texts, monotonic_ns: int) -> None:
        """What a topic says at once, written once for all followers of either form, and handed on in one piece."""
        name = followed.key[2]
        key = name if followed.topic.conflates else ""
        faults = self._faults.any
        made: dict[bool, tuple[list[bytes], bytes]] = {}
        for connection in followed.followers:
            combined = connection.opening.combined
            known = made.get(combined)
            if known is None:
                frames = [self._frame(connection, name, text) for text in texts]
                known = made[combined] = frames, b"".join(frames)
            frames, whole = known
            if faults or connection.held:
                for each in frames:
                    self._deliver_with_faults(connection, followed, each, monotonic_ns)
            else:
                connection.push(whole, key, len(frames))
                self.dirty[connection] = None

    def _deliver_with_faults(
        self, connection: Connection, followed: _Followed, whole: bytes, monotonic_ns: int
    ) -> None:
        if connection.transport.is_closing():
            return
        place = (self.budget, followed.key[0], followed.symbols, connection.id)
        if self._faults.take(monotonic_ns, _STALL, *place) is not None:
            return
        if self._faults.take(monotonic_ns, _DISCONNECT, *place) is not None:
            connection.abort()
            return
        name = followed.key[2]
        fault = self._faults.take(monotonic_ns, DATA_KINDS, *place, data=followed.data)
        padding, sent, held = fate(fault, whole, connection.held.pop(name, None), _spoilt)
        if held is not None:
            connection.held[name] = held
        if padding:
            self.say(connection, '{"e":"padding","x":"' + "0" * padding + '"}')
        for each in sent:
            self._push(connection, followed, each)

    def _push(self, connection: Connection, followed: _Followed, whole: bytes) -> None:
        connection.push(whole, followed.key[2] if followed.topic.conflates else "")
        self.dirty[connection] = None

    def _frame(self, connection: Connection, name: str, text: str) -> bytes:
        return frame((self.streams.envelope(name, text) if connection.opening.combined else text).encode())


def _spoilt(whole: bytes) -> bytes:
    """The frame with its text cut in the middle of a level: the frame itself is good."""
    size = whole[1]
    text = whole[2 if size < 126 else 4 if size == 126 else 10 :]
    return frame(text[: -len(text) // 2])
