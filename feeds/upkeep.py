"""A market's books, kept right: which are not, what is under way for each, and what nobody else would notice.

What is decided without waiting is elsewhere: what to fetch next (`snapshots`), which books stand still (`book_watch`),
which topics are refused (`refusals`). Frames and batches are the market's business (`live_market`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from engine.errors import CallFailed
from engine.limits.limiter import Priority
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome
from engine.market.sink import Sink
from engine.venues import Note
from feeds.book_watch import BookWatch, Forgotten
from feeds.connection import Timing, reason_of
from feeds.dialect import Dialect, Topics
from feeds.refusals import Refusals
from feeds.repairs import Repairs
from feeds.rest import RestClient
from feeds.stream import Stream

SECOND_NS: Final = 1_000_000_000
WATCH_S: Final = 1.0  # between looks for books that stand still
RENEW_WITHIN_S: Final = 10.0  # for the snapshot of a topic subscribed again

_APPLIED: Final = Outcome.APPLIED
_WRONG: Final = frozenset({Outcome.GAP, Outcome.CROSSED, Outcome.UNUSABLE, Outcome.BUFFERED})


@dataclass(slots=True)
class Followed:
    """One symbol that is followed."""

    instrument: Instrument
    streams: list[tuple[Stream, Topics]]
    book: BookState = BookState.EMPTY
    synced: asyncio.Event | None = None  # somebody waits for a streamed snapshot


class Upkeep:
    """The symbols a market follows, with the state of each book.

    `load(symbol, body, recv_ns)` takes a snapshot that was fetched, and says whether the book is right with it.
    """

    def __init__(
        self,
        dialect: Dialect,
        source: Source,
        sink: Sink,
        client: RestClient,
        load: Callable[[str, bytes, int], bool],
        *,
        base: str,
        wall: Callable[[], int],
        chance: Callable[[], float],
        note: Note,
        timing: Timing,
    ) -> None:
        self.followed: dict[str, Followed] = {}
        self.repairs = Repairs(self._fetched, self._not_fetched, chance)
        self.refusals = Refusals(round(timing.refused_s * SECOND_NS))
        self._dialect, self._source, self._sink = dialect, source, sink
        self._client, self._load, self._base = client, load, base
        self._wall, self._note = wall, note
        self._unsynced: set[str] = set()
        self._watch = BookWatch(round(dialect.streams.silent_after_s * SECOND_NS))
        self._forgotten = Forgotten(round(timing.snapshot_s * SECOND_NS))

    def add(self, instrument: Instrument, streams: list[tuple[Stream, Topics]]) -> None:
        """Follow one more symbol, on these streams."""
        self.followed[instrument.symbol] = Followed(instrument, streams)
        self._unsynced.add(instrument.symbol)

    def remove(self, symbol: str) -> list[Stream]:
        """Follow it no more; its streams that no other symbol needs."""
        followed = self.followed.pop(symbol)
        self.repairs.forget(symbol)
        self._unsynced.discard(symbol)
        self._watch.forget(symbol)
        self.refusals.forget(symbol)
        for stream, topics in followed.streams:
            stream.drop(topics.topics)
        needed = {stream for other in self.followed.values() for stream, _ in other.streams}
        return [
            stream for stream in dict.fromkeys(one for one, _ in followed.streams) if stream not in needed
        ]

    def on_batch(self, batch: Batch, outcome: Outcome) -> None:
        """What became of a batch."""
        if outcome is _APPLIED:
            self._watch.on_book(batch.symbol, batch.ts_recv_ns)
            if batch.symbol in self._unsynced:
                self._is_synced(batch.symbol)
        elif outcome in _WRONG:
            self._is_wrong(batch.symbol, outcome)
        elif batch.kind is Kind.QUOTES:
            self._watch.on_quotes(batch.symbol, batch.rows)

    def subscribed(self, topics: Iterable[str]) -> None:
        """The venue sends these: a book without snapshot gets one, whether or not it moves."""
        now = set(topics)
        self.refusals.accepted(now)
        for symbol, followed in self.followed.items():
            if symbol not in self._unsynced or self._dialect.snapshot_call(followed.instrument) is None:
                continue
            if any(now.intersection(one.book) for _, one in followed.streams):
                self.repairs.want(symbol)

    def refused(self, topic: str, text: str) -> bool:
        """The venue does not send a topic; whether that is news."""
        for symbol, followed in self.followed.items():
            if any(topic in topics.topics for _, topics in followed.streams):
                return self.refusals.refused(symbol, topic, text, time.monotonic_ns())
        return True

    def broken(self, stream: Stream) -> list[str]:
        """A stream broke; the symbols whose books are old until it is back and their snapshots are."""
        symbols = [
            symbol
            for symbol, followed in self.followed.items()
            if any(one is stream and topics.book for one, topics in followed.streams)
        ]
        for symbol in symbols:
            self.repairs.forget(symbol)
            followed = self.followed[symbol]
            followed.book = BookState.STALE if followed.book >= BookState.SYNCED else BookState.EMPTY
            self._unsynced.add(symbol)
        return symbols

    def without_book(self, stream: Stream) -> list[str]:
        """The symbols of which a stream carries something, but not the book."""
        return [
            symbol
            for symbol, followed in self.followed.items()
            if any(one is stream and not topics.book for one, topics in followed.streams)
            and not any(one is stream and topics.book for one, topics in followed.streams)
        ]

    async def watch(self) -> None:
        """Look after books and topics that no frame tells of."""
        while True:
            await asyncio.sleep(WATCH_S)
            self._give_up_silent()
            now_ns = time.monotonic_ns()
            for symbol in self._forgotten.look(filter(self._is_idle, self._unsynced), now_ns):
                self.repairs.want(symbol)
            for symbol, topic in self.refusals.due(now_ns):
                for stream, topics in self.followed[symbol].streams:
                    if topic in topics.topics:
                        stream.want([topic])

    def _is_idle(self, symbol: str) -> bool:
        """Whether nothing is under way for a book: no snapshot, no connection, no answer."""
        if symbol in self.repairs.queue:
            return False
        return all(
            stream.settled and not any(topic in self.refusals for topic in topics.book)
            for stream, topics in self.followed[symbol].streams
            if topics.book
        )

    def _give_up_silent(self) -> None:
        """Give up books that stand still while their quotes move: the venue lost the subscription, or we did."""
        for symbol in self._watch.silent(self.followed.keys() - self._unsynced, self._wall()):
            followed = self.followed[symbol]
            self._sink.interrupted(self._source, [symbol], "its book stands still while its quotes move")
            followed.book = BookState.STALE
            self._unsynced.add(symbol)
            if self._dialect.snapshot_call(followed.instrument) is not None:
                # Where the snapshot is streamed, asking for it subscribes anew by itself.
                for stream, topics in followed.streams:
                    stream.renew(topics.book)
            self.repairs.want(symbol)

    def _is_synced(self, symbol: str) -> None:
        self._unsynced.discard(symbol)
        followed = self.followed[symbol]
        followed.book = BookState.SYNCED
        if followed.synced is not None:
            followed.synced.set()

    def _is_wrong(self, symbol: str, outcome: Outcome) -> None:
        followed = self.followed[symbol]
        self._unsynced.add(symbol)
        if outcome is not Outcome.BUFFERED:
            followed.book = BookState.STALE if followed.book is not BookState.BUFFERING else followed.book
        elif followed.book is BookState.EMPTY:
            followed.book = BookState.BUFFERING
        self.repairs.want(symbol)

    def _not_fetched(self, symbol: str, error: Exception) -> None:
        self._note("warn", self._dialect.key, "snapshot", f"{symbol}: {why(error, self._base)}")

    async def _fetched(self, symbol: str, is_wanted: Callable[[], bool]) -> bool:
        """Whether the book came back, by a snapshot fetched or by subscribing to it again."""
        followed = self.followed.get(symbol)
        if followed is None:
            return False
        call = self._dialect.snapshot_call(followed.instrument)
        if call is None:
            return await self._renewed(symbol, followed)
        answer = await self._client.fetch(call, priority=Priority.RESYNC)
        return is_wanted() and self._load(symbol, answer.body, answer.recv_ns)

    async def _renewed(self, symbol: str, followed: Followed) -> bool:
        """Whether the book came back by subscribing to it again."""
        if symbol not in self._unsynced:
            return True  # the venue sent a snapshot by itself meanwhile
        followed.synced = asyncio.Event()
        try:
            for stream, topics in followed.streams:
                if topics.book and not stream.renew(topics.book):
                    return False
            async with asyncio.timeout(RENEW_WITHIN_S):
                await followed.synced.wait()
        except TimeoutError:
            return False
        finally:
            followed.synced = None
        return True


def why(error: Exception, url: str) -> str:
    """Why a call failed, in the words that streams use where there was no connection at all."""
    system = getattr(error.__cause__, "os_error", None)  # aiohttp's, where it could not connect
    if isinstance(system, OSError):
        return reason_of(system, url)
    return error.reason if isinstance(error, CallFailed) else str(error)
