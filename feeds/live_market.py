"""One connected market: its list of instruments, its streams, its books kept right, its polls.

The books have their own place (`upkeep`). Pure decisions are elsewhere: what to say (`conversation`), what came twice
(`overlap`), when to poll (`polls`). Here they are put together on the engine's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from engine.errors import BadCommand, BadFrame, CallFailed, LimitError
from engine.limits.gate import Gate, Permit
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Outcome
from engine.market.sink import Sink
from engine.telemetry.board import LiveSymbolView, VenueState, VenueView
from engine.telemetry.hub import TelemetryFull
from engine.venues import Filled, Note
from feeds.backfill import Backfill, Hole
from feeds.backoff import Backoff
from feeds.connection import Timing
from feeds.dialect import Call, Dialect, Listing, Topics
from feeds.frames import join
from feeds.listed import Listed
from feeds.overlap import Overlap
from feeds.polls import Deliver, Poller
from feeds.rest import Answer, RestClient, query_of
from feeds.stream import Stream
from feeds.upkeep import Upkeep, why

SECOND_NS: Final = 1_000_000_000
MOST_SYMBOLS: Final = 128
TURN_NS: Final = 1_000_000  # of decoding between two awaits
EMPTY_NS: Final = 20_000_000  # the most that is decoded at once, where a connection breaks
CHUNK_FIRST: Final = 64
CHUNK_LEAST: Final = 8
CHUNK_MOST: Final = 1_024


class LiveMarket:
    """A market from its connecting to its end: one `run`, cancelled to disconnect.

    `symbols` are those to begin with, asked for once the venue's list is known; what it does not list is left out
    with a note. A broken stream, an unreachable venue, a book that went wrong: all are tried again, told to the sink,
    and touch nothing else.
    """

    def __init__(
        self,
        dialect: Dialect,
        gate: Gate,
        sink: Sink,
        *,
        symbols: Callable[[], Iterable[str]],
        intervals: Mapping[str, int],
        base: str = "",
        wall: Callable[[], int] = time.time_ns,
        random: Random,
        note: Note,
        timing: Timing | None = None,
    ) -> None:
        self.dialect, self.source = dialect, Source(dialect.key, "live")
        self.state: VenueState = "connecting"
        self.detail = ""
        self.offset_ns: int | None = None
        self.round_trip_ns: int | None = None
        self._gate, self._sink = gate, sink
        self._names = symbols
        self._wall, self._random, self._note = wall, random, note
        self._timing = timing or Timing()
        self._since_ns = wall()
        self._next_try_ns = 0
        self._client = RestClient(dialect, gate, base=base, wall=wall, heard=self._on_answer)
        self._no_data = {dialect.time_call().endpoint, dialect.instruments_call().endpoint}
        self._rest_base, self._stream_base = dialect.endpoints(base).rest, dialect.endpoints(base).stream
        self._listed = Listed(dialect.label)
        self._streams: list[Stream] = []
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self._numbers: dict[str, int] = {}  # of streams made on each path
        self._decoder = dialect.decoder(self.source, ())
        self._overlap = Overlap()
        self._books = Upkeep(
            dialect,
            self.source,
            sink,
            self._client,
            self._on_snapshot,
            base=self._rest_base,
            wall=wall,
            chance=random.random,
            note=note,
            timing=self._timing,
        )
        self._arrived = asyncio.Event()
        self._chunk = CHUNK_FIRST
        self._dropped: dict[Stream, int] = {}
        self._told: tuple[bool, str] | None = None
        self._open = False
        self._group: asyncio.TaskGroup | None = None
        self._backfill = Backfill(
            self._client, self.source, gate.limiter.rules, wall=wall, timing=self._timing
        )
        self._poller = Poller(
            self._client,
            self.source,
            lambda: self._decoder.instruments,
            Deliver(self._sink.on_batch, self._take_listing, self._take_offset),
            wall=wall,
            chance=random.random,
        )
        for endpoint, interval_s in intervals.items():
            try:
                self._poller.set(endpoint, interval_s)
            except BadCommand as error:
                self._note("warn", dialect.key, "poll", str(error))

    # --- commands ----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the venue's list is known and the source stands."""
        return self._open

    def native_of(self, text: str) -> str:
        """The venue's own name of a symbol that is followed; "" when it is not."""
        wanted = text.strip().upper()
        names = ((symbol.upper(), one.instrument.native) for symbol, one in self._books.followed.items())
        return next((native for symbol, native in names if wanted in (symbol, native.upper())), "")

    def add(self, text: str) -> str:
        """Follow one more symbol; its universal name. BadCommand when it cannot be."""
        if not self._open:
            raise BadCommand(f"{self.dialect.label} is not connected yet; try again when it is")
        instrument = self._listed.find(text)
        if instrument.symbol in self._books.followed:
            raise BadCommand(f"{self.dialect.label} already follows {instrument.symbol}")
        if len(self._books.followed) >= MOST_SYMBOLS:
            raise BadCommand(f"{self.dialect.label} follows {MOST_SYMBOLS} symbols, the most it may")
        try:
            self._sink.add_symbol(self.source, instrument)
        except TelemetryFull as error:
            raise BadCommand(f"{instrument.symbol} cannot be followed: {error}") from error
        self._follow(instrument)
        self._poller.soon("candles")
        self._judge()
        return instrument.symbol

    def remove(self, text: str) -> str:
        """Follow a symbol no more; its universal name. BadCommand when it is not followed."""
        wanted = text.strip().upper()
        symbol = next(
            (
                s
                for s, one in self._books.followed.items()
                if wanted in (s.upper(), one.instrument.native.upper())
            ),
            None,
        )
        if symbol is None:
            raise BadCommand(f"{self.dialect.label} does not follow {text.strip()[:40]!r}")
        for stream in self._books.remove(symbol):
            self._streams.remove(stream)
            self._dropped.pop(stream, None)
            self._tasks.pop(stream).cancel()
        self._decoder.remove(symbol)
        self._sink.remove_symbol(self.source, symbol)
        self._judge()
        return symbol

    async def backfill(self, text: str, hole: Hole) -> Filled:
        """As `engine.venues.Venues.backfill`."""
        if not self._open:
            raise BadCommand(f"{self.dialect.label} is not connected yet; try again when it is")
        native = self.native_of(text)
        followed = (one for one in self._decoder.instruments if one.native == native)  # in its newest units
        instrument = next(followed, None) or self._listed.find(text)
        return await self._backfill.fill(instrument, hole)

    def set_poll(self, endpoint: str, interval_s: int) -> None:
        """As `Poller.set`."""
        self._poller.set(endpoint, interval_s)

    def view(self, now_ns: int) -> VenueView:
        """The market as it stands at a wall time."""
        stop_ns, stop = self._stopped(now_ns) if self.state != "live" else (0, "")
        return VenueView(
            venue=self.dialect.key,
            label=self.dialect.label,
            state=self.state,
            detail=stop or self.detail,
            since_ns=self._since_ns,
            next_try_ns=stop_ns
            or self._next_try_ns
            or _earliest(stream.next_try_ns for stream in self._streams),
            offset_ns=self.offset_ns,
            round_trip_ns=self.round_trip_ns,
            symbols=tuple(
                LiveSymbolView(
                    symbol, one.instrument.native, one.book.name, symbol in self._books.repairs.queue
                )
                for symbol, one in self._books.followed.items()
            ),
            listed=self._listed.names,
            streams=tuple(stream.view(now_ns) for stream in self._streams),
            polls=self._poller.views(),
            snapshots_waiting=len(self._books.repairs.queue),
            snapshots_done=self._books.repairs.queue.fetched,
            snapshots_failed=self._books.repairs.queue.failures,
            limits=self.dialect.limits,
        )

    # --- its life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; everything is closed on the way out, within two seconds."""
        reason = "stopped"
        try:
            self._take_listing(await self._first_listing())
            self._poller.fetched("instruments")
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._begin()
                group.create_task(self._drain(), name=f"{self.source.key} frames")
                group.create_task(self._books.repairs.run(), name=f"{self.source.key} snapshots")
                group.create_task(self._poller.run(), name=f"{self.source.key} polls")
                group.create_task(self._books.watch(), name=f"{self.source.key} silence")
        except Exception as error:
            reason = sentence_of(error)
            raise
        finally:
            if self._open:
                self._open = False
                self._sink.close_source(self.source, reason)
            self._backfill.close()
            await self._client.close()

    async def _first_listing(self) -> Listing:
        """What the venue lists, however often it takes to ask."""
        backoff = Backoff(self._timing.backoff_s)
        said = False
        while True:
            try:
                return await self._client.instruments()
            except (CallFailed, LimitError) as error:
                detail = self._stopped(self._wall())[1] or why(error, self._rest_base)
            if not said:  # once, not at every try
                said = True
                self._note("warn", self.dialect.key, "connect", f"{self.dialect.label}: {detail}")
            backoff.failed()
            delay_s = backoff.delay_s(self._random.random())
            self._next_try_ns = self._wall() + round(delay_s * SECOND_NS)
            self._enter("reconnecting", detail)
            await asyncio.sleep(delay_s)
            self._next_try_ns = 0

    def _stopped(self, now_ns: int) -> tuple[int, str]:
        """Until when the venue lets nothing through, wall time, and that in a sentence; (0, "") when it does."""
        stop = self._gate.limiter.stops.get(("ip", ""))
        left_ns = stop.until - time.monotonic_ns() if stop is not None else 0
        if stop is None or left_ns <= 0:
            return 0, ""
        until_ns = now_ns + left_ns
        what = "banned by the venue" if stop.ban else "told by the venue to wait"
        return until_ns, f"{what} until {datetime.fromtimestamp(until_ns // SECOND_NS, UTC):%H:%M:%S} UTC"

    def _begin(self) -> None:
        """Open the source with every symbol that the venue lists and there is room for, and follow them."""
        found: dict[str, Instrument] = {}
        for name in dict.fromkeys(self._names()):
            try:
                instrument = self._listed.find(name)
            except BadCommand as error:
                self._note("warn", self.dialect.key, "symbol", str(error))
                continue
            found[instrument.symbol] = instrument
        left = list(found.values())[MOST_SYMBOLS:]
        chosen = list(found.values())[:MOST_SYMBOLS]
        opening = (self.dialect.label, chosen, self.dialect.rule, _same)
        try:
            self._sink.open_source(self.source, *opening)
        except TelemetryFull:
            self._sink.open_source(self.source, self.dialect.label, (), self.dialect.rule, _same)
            chosen, rest = self._admitted(chosen)
            left = rest + left
        self._open = True
        if left:
            names = ", ".join(instrument.symbol for instrument in left[:5])
            self._note("warn", self.dialect.key, "symbol", f"no room for {len(left)} symbols: {names} ...")
        for instrument in chosen:
            self._follow(instrument)
        self._judge()

    def _admitted(self, instruments: Sequence[Instrument]) -> tuple[list[Instrument], list[Instrument]]:
        for at, instrument in enumerate(instruments):
            try:
                self._sink.add_symbol(self.source, instrument)
            except TelemetryFull:
                return list(instruments[:at]), list(instruments[at:])
        return list(instruments), []

    def _follow(self, instrument: Instrument) -> None:
        self._decoder.add(instrument)
        streams = [(self._stream_for(topics), topics) for topics in self.dialect.topics(instrument)]
        self._books.add(instrument, streams)
        for stream, topics in streams:
            stream.want(topics.topics)

    def _stream_for(self, topics: Topics) -> Stream:
        """A stream on the right path with room; a new one when there is none."""
        url = self._stream_base + topics.path
        most = self.dialect.streams.topics_per_connection
        for stream in self._streams:
            if stream.url == url and len(stream.topics) + len(topics.topics) <= most:
                return stream
        number = self._numbers.get(topics.path, 0) + 1
        self._numbers[topics.path] = number
        stream = Stream(
            f"{_short(topics.path)} {number}",
            url,
            self.dialect,
            self._connect,
            self,
            wall=self._wall,
            random=self._random,
            timing=self._timing,
        )
        self._streams.append(stream)
        assert self._group is not None
        self._tasks[stream] = self._group.create_task(stream.run(), name=f"{self.source.key} {stream.name}")
        return stream

    async def _connect(self) -> Permit:
        return await self._gate.acquire("CONNECT")

    def _take_listing(self, listing: Listing) -> None:
        self._listed.take(listing)
        gone = [symbol for symbol in self._books.followed if symbol not in self._listed]
        if gone:
            self._note("warn", self.dialect.key, "symbol", f"no longer listed: {', '.join(gone[:5])}")

    def _take_offset(self, offset_ns: int, round_trip_ns: int) -> None:
        self.offset_ns, self.round_trip_ns = offset_ns, round_trip_ns

    # --- frames ------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Decode what arrived, a millisecond at a time, every stream in its turn."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while waiting := [stream for stream in self._streams if len(stream.inbox)]:
                for stream in waiting:
                    self._deliver(stream)
                    await asyncio.sleep(0)

    def _deliver(self, stream: Stream) -> None:
        texts, recv_ns = stream.take(self._chunk)
        if not texts:
            return
        self._count_dropped(stream)
        if self._sink.wants_raw(self.source):
            path = stream.url.removeprefix(self._stream_base)
            self._sink.on_raw(self.source, path, texts, recv_ns)
        frames = join(texts, recv_ns)
        started_ns = time.perf_counter_ns()
        decoded = self._decoder.decode(frames)
        decode_ns = time.perf_counter_ns() - started_ns
        for item in decoded:
            if isinstance(item, Batch):
                self._on_batch(item)
            elif isinstance(item, BadFrame):
                self._sink.on_bad_frame(self.source, item)
            else:
                self._revise(item)
        sizes = frames.sizes
        total = max(int(sizes.sum()), 1)
        # Frames are decoded together; each gets the share of its bytes.
        self._sink.on_frames(self.source, len(frames), total, (decode_ns * sizes) // total)
        stream.decoded()
        if len(texts) == self._chunk:
            took_ns = time.perf_counter_ns() - started_ns
            fits = self._chunk * TURN_NS // max(took_ns, 1)
            self._chunk = max(CHUNK_LEAST, min(fits, 2 * self._chunk, CHUNK_MOST))

    def _on_answer(self, call: Call, answer: Answer) -> None:
        """A body that becomes market data, as it came."""
        if self._open and call.endpoint not in self._no_data and self._sink.wants_raw(self.source):
            self._sink.on_raw(self.source, raw_path(call), [answer.body], [answer.recv_ns])

    def _empty(self, stream: Stream) -> None:
        """Decode all that arrived on a stream, at once; what is more than a turn can bear is given up, and counted."""
        until_ns = time.perf_counter_ns() + EMPTY_NS
        while len(stream.inbox) and time.perf_counter_ns() < until_ns:
            self._deliver(stream)
        stream.inbox.abandon()
        self._count_dropped(stream)

    def _count_dropped(self, stream: Stream) -> None:
        dropped = stream.inbox.dropped - self._dropped.get(stream, 0)
        if dropped and self._open:
            self._dropped[stream] = stream.inbox.dropped
            self._sink.on_dropped(self.source, dropped)

    def _on_batch(self, batch: Batch) -> Outcome:
        if self._overlap.active:
            fresh = self._overlap.fresh(batch)
            if fresh is None:
                return Outcome.STALE
            batch = fresh
        outcome = self._sink.on_batch(batch)
        self._books.on_batch(batch, outcome)
        return outcome

    def _revise(self, instrument: Instrument) -> None:
        self._books.followed[instrument.symbol].instrument = instrument
        self._sink.revise(self.source, instrument)

    def _on_snapshot(self, symbol: str, body: bytes, recv_ns: int) -> bool:
        """Whether the book is right with it."""
        outcome: Outcome | None = None
        for item in self._decoder.snapshot(symbol, body, recv_ns):
            if isinstance(item, Batch):
                outcome = self._on_batch(item)
            elif isinstance(item, BadFrame):
                self._sink.on_bad_frame(self.source, item)
            else:
                self._revise(item)
        return outcome is Outcome.APPLIED or outcome is Outcome.STALE

    # --- what streams say (`feeds.stream.Listener`) --------------------------------------------------------

    def arrived(self) -> None:
        """Frames wait in a stream's inbox."""
        self._arrived.set()

    def subscribed(self, stream: Stream, topics: tuple[str, ...]) -> None:
        """The venue sends these from here on: a book without snapshot gets one, whether or not it moves."""
        del stream
        self._books.subscribed(topics)

    def refused(self, stream: Stream, topic: str, text: str) -> None:
        """The venue does not send a topic. Said once, however often it is asked for again."""
        if self._books.refused(topic, text):
            self._note("error", self.dialect.key, "refused", f"{stream.name}: {topic} was refused: {text}")

    def broken(self, stream: Stream, reason: str) -> None:
        """Books on this stream are old until it is back and their snapshots are."""
        self._empty(stream)
        symbols = self._books.broken(stream)
        if self._open:
            self._sink.interrupted(self.source, symbols, f"{stream.name}: {reason}")
            self._sink.missed(self.source, self._books.without_book(stream), f"{stream.name}: {reason}")

    def overlapping(self, stream: Stream, begins: bool) -> None:
        """What came twice is dropped while a replacement takes over."""
        del stream
        if begins:
            self._overlap.begin()
        else:
            self._overlap.end()

    def changed(self, stream: Stream) -> None:
        """A stream's state is another."""
        del stream
        self._judge()

    # --- its state -----------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """The market is live when all of its streams are; else say what is the matter with the first that is not."""
        if not self._open:
            return
        down = [stream for stream in self._streams if not stream.ready]
        if not down:
            self._enter("live", self._books.refusals.sentence if self._streams else "no symbol is followed")
        else:
            reason = next((stream.reason for stream in down if stream.reason), "")
            self._enter("reconnecting" if reason else "connecting", reason)
        told = (not down, (self.detail or "connecting") if down else "")
        if told != self._told:
            self._told = told
            self._sink.condition(self.source, *told)

    def _enter(self, state: VenueState, detail: str) -> None:
        if state != self.state:
            self._since_ns = self._wall()
        self.state, self.detail = state, detail


def sentence_of(error: BaseException) -> str:
    """What failed; of a group the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def raw_path(call: Call) -> str:
    """Under what a call's body is kept: its endpoint, with those arguments without which it cannot be read."""
    told = {name: call.arguments[name] for name in ("symbol", "interval") if name in call.arguments}
    return f"{call.endpoint}?{query_of(told)}" if told else call.endpoint


def _same(wall_ns: int) -> int:
    """A live source's clock is the wall's."""
    return wall_ns


def _short(path: str) -> str:
    """What a path of streams is called: "/public/stream" is public, "/v5/public/linear" linear."""
    return path.strip("/").removesuffix("/stream").rsplit("/", 1)[-1]


def _earliest(times: Iterable[int]) -> int:
    return min((moment for moment in times if moment), default=0)
