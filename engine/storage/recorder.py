"""What is recorded of all that comes in: told by the intake, handed to the journal.

Everything here runs on the engine's loop and is cheap: a batch is remembered with its numbers; making rows of it is
the journal's thread's work (`engine.storage.packing`). Time is what the data says: `ts_recv_ns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from engine.errors import BadCommand
from engine.market.batches import Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from engine.storage import packing
from engine.storage.journal import Draft
from engine.storage.names import USUAL, WHAT, RecordKind
from engine.storage.packing import Book, Gap
from engine.storage.pens import ROW_BYTES, Hole, Pen, Taken
from engine.storage.records import (
    BACKFILLED,
    DELIVERED,
    FETCHED,
    FILLED,
    KEYFRAME,
    NOT_RECORDED,
    OPEN,
    PARTLY_FILLED,
    STREAMED,
    Block,
    Stream,
)
from engine.storage.trade_numbers import LATE_NS
from engine.venues import Filled

SECOND_NS: Final = 1_000_000_000
LEVEL_BYTES: Final = 16
VENUES_MOST: Final = 64
OFF_MOST: Final = 16_384
ALL: Final = "all"
FETCHABLE: Final = ("trades", "candles", ALL, "")  # of a hole
INTERRUPTED: Final = "recording was interrupted"
UNWANTED: Final = "it was not being recorded"
QUIET_NS: Final = 15 * SECOND_NS  # without a trade behind a hole, it is filled by times alone
HOLES_MOST: Final = 8  # of a symbol, that wait for the first trade behind them
OF_VENUE: Final = ("latency", "counters", "events", "raw")  # of WHAT: recorded of a venue as a whole
FETCHED_SAYS: Final = "; fetched: "  # between why there is a hole and what was fetched for it

_TRADES, _QUOTES, _DELTAS = RecordKind.TRADES, RecordKind.QUOTES, RecordKind.DELTAS
_SNAPSHOTS, _CANDLES, _FUNDING = RecordKind.SNAPSHOTS, RecordKind.CANDLES, RecordKind.FUNDING
_KIND: Final = {
    Kind.TRADES: _TRADES,
    Kind.QUOTES: _QUOTES,
    Kind.DELTA: _DELTAS,
    Kind.SNAPSHOT: _SNAPSHOTS,
    Kind.CANDLES: _CANDLES,
    Kind.FUNDING: _FUNDING,
}


class Numbers(Protocol):
    """Where `seq` comes from: the journal. The recorder alone takes them."""

    next_seq: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be recorded of a venue."""

    symbols: frozenset[str]  # universal or the venue's own, upper case; empty = all that it follows
    what: tuple[str, ...]  # of WHAT
    since_ns: int

    @property
    def kinds(self) -> frozenset[RecordKind]:
        """The kinds it stands for."""
        return frozenset(kind for name in self.what for kind in WHAT[name])

    def has(self, symbol: str, instrument: Instrument | None) -> bool:
        """Whether a symbol is among them."""
        names = {symbol.upper(), instrument.native.upper() if instrument is not None else ""}
        return not self.symbols or not self.symbols.isdisjoint(names)


@dataclass(slots=True)
class _Venue:
    """A source that is open, recorded or not."""

    source: Source
    label: str
    rule: Rule
    instruments: dict[str, Instrument] = field(default_factory=dict)


class Recorder:
    """The intake's tap. Of replays nothing is taken: they were recorded before.

    `flush` gives what has come since the last call. Records carry ascending `seq` in the order of arrival.
    """

    def __init__(
        self,
        wall: Callable[[], int],
        *,
        keyframe_s: int = 10,
        depth: int = 500,
        on_hole: Callable[[Hole], None] | None = None,
        always: Sequence[str] = (),
    ) -> None:
        self._wall = wall
        self._always = always  # of WHAT: recorded of whatever opens
        self._keyframe_ns, self._depth = keyframe_s * SECOND_NS, depth
        self._on_hole = on_hole
        self._numbers: Numbers | None = None  # while there is a journal
        self._open: dict[str, _Venue] = {}
        self.wanted: dict[str, Wanted] = {}
        self.taken: dict[str, Taken] = {}
        self._pens: dict[Source, dict[str, Pen]] = {}
        self._raw: dict[Source, Pen] = {}
        self._whole: dict[str, frozenset[str]] = {}  # of OF_VENUE: what is recorded of a venue that is open
        # (venue, symbol, what): until when it was recorded, and why no longer.
        self._off: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._done: list[Draft] = []
        self._gaps: dict[Stream, tuple[int, list[tuple[int, Gap]]]] = {}

    # --- commands ----------------------------------------------------------------------------------------

    def use(self, numbers: Numbers) -> None:
        """From here on there is a journal; what is wanted is recorded."""
        self._numbers = numbers
        for venue in self.wanted:
            self._begin(venue)

    def release(self) -> list[Draft]:
        """What has come; from here on there is no journal, and nothing is taken until `use`: a hole in all of it."""
        for venue in self.wanted:
            self._end(venue, INTERRUPTED)
        drafts = self.flush()
        self._numbers = None
        return drafts

    def start(self, venue: str, symbols: Sequence[str] = (), what: Sequence[str] = USUAL) -> None:
        """Record a venue, in place of what was recorded of it before; it may connect later. BadCommand."""
        unknown = [name for name in what if name not in WHAT]
        if unknown or not what:
            named = repr(unknown[0][:40]) if unknown else "nothing"
            raise BadCommand(f"{named} cannot be recorded; choose of {', '.join(WHAT)}")
        if venue not in self.wanted and len(self.wanted) >= VENUES_MOST:
            raise BadCommand(f"{VENUES_MOST} venues are recorded, the most that may be")
        followed = self._open.get(venue)
        wanted = Wanted(frozenset(name.strip().upper() for name in symbols), tuple(what), self._wall())
        if followed is not None and wanted.symbols:
            names = {name.upper() for name in followed.instruments}
            names |= {unit.native.upper() for unit in followed.instruments.values()}
            missing = sorted(wanted.symbols - names)
            if missing:
                follows = ", ".join(sorted(followed.instruments)[:8])
                raise BadCommand(f"{followed.label} does not follow {missing[0][:40]}; it follows {follows}")
        self.wanted[venue] = wanted
        self.taken.setdefault(venue, Taken())
        if self._numbers is not None:
            self._begin(venue)

    def stop(self, venue: str) -> None:
        """Record a venue no more. BadCommand when it was not."""
        if venue not in self.wanted:
            raise BadCommand(f"{venue[:40]} is not being recorded")
        self._end(venue)
        del self.wanted[venue], self.taken[venue]

    @property
    def recordable(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(venue, its symbols) of what is open now."""
        return tuple((name, tuple(venue.instruments)) for name, venue in self._open.items())

    def recorded(self) -> list[tuple[Source, Stream, frozenset[RecordKind]]]:
        """What is recorded now: each source as a whole, with the kinds wanted of it."""
        found = []
        for name, wanted in self.wanted.items():
            venue = self._open.get(name)
            if venue is not None and self._numbers is not None:
                found.append((venue.source, Stream(name, label=venue.label), wanted.kinds))
        return found

    # --- what the intake tells ---------------------------------------------------------------------------

    def opened(self, source: Source, label: str, instruments: Sequence[Instrument], rule: Rule) -> None:
        """A source, or some more of its symbols, in these units from here on."""
        if source.run == "replay":
            return
        venue = self._open.setdefault(source.venue, _Venue(source, label, rule))
        venue.source, venue.label, venue.rule = source, label, rule
        venue.instruments.update((unit.symbol, unit) for unit in instruments)
        if self._always and source.venue not in self.wanted:
            self.start(source.venue, (), self._always)
        elif source.venue in self.wanted and self._numbers is not None:
            self._begin(source.venue)

    def closed(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """These symbols of the source end."""
        venue = self._open.get(source.venue)
        if venue is None or venue.source != source:
            return
        for symbol in symbols:
            pen = self._pens.get(source, {}).pop(symbol, None)
            if pen is not None:
                self._lay_down(pen, f"the source was closed: {reason}")
            venue.instruments.pop(symbol, None)
        if not venue.instruments:
            self._pens.pop(source, None)
            self._follow_whole(venue, (), f"the source was closed: {reason}")
            del self._open[source.venue]

    def on_batch(self, batch: Batch, outcome: Outcome, state: SymbolState) -> None:
        """A batch, what became of it, and its symbol's state after it."""
        pens = self._pens.get(batch.source)
        if pens is None:
            return
        pen = pens.get(batch.symbol)
        if pen is None:
            return
        kind, rows = _KIND[batch.kind], batch.rows
        is_book = kind is _DELTAS or kind is _SNAPSHOTS
        came_ns = batch.ts_recv_ns
        if kind is _TRADES or kind is _QUOTES:
            if not len(rows):
                return
            came_ns = int(rows["ts_recv_ns"][0])
        if pen.broken and kind not in (_CANDLES, _FUNDING):  # those come by REST as well, whatever is cut
            self._mend(pen, state, kind, came_ns)
        if is_book:
            pen.newest_ns = max(pen.newest_ns, came_ns)
        elif kind is _TRADES or kind is _QUOTES:
            pen.newest_ns = max(pen.newest_ns, int(rows["ts_recv_ns"][-1]))
        if kind is _TRADES:
            if pen.holes:
                self._tell_holes(pen, int(rows["trade_id"][0]))
            # A capture that is imported may have been thinned out, or put together: its numbers prove nothing.
            rule = pen.stream.rule if _TRADES in pen.kinds and not self._always else None
            pen.numbers.take(rows, rule is not None and rule.numbers_trades_densely)
        if kind in pen.kinds:
            if kind is _DELTAS:
                self._take(pen, kind, batch, 1, max(1, len(rows)))
            elif kind is _SNAPSHOTS:
                bids, asks = rows[: batch.bids], rows[batch.bids :]
                book = Book(batch.ts_event_ns, batch.ts_recv_ns, batch.last_sequence, DELIVERED, bids, asks)
                self._take(pen, kind, book, 1, 1, LEVEL_BYTES * len(rows))
            elif kind is _CANDLES:
                self._take(pen, kind, (self._wall(), batch.interval_ns, FETCHED, rows), len(rows), len(rows))
            else:
                self._take(pen, kind, rows, len(rows), len(rows))
        if is_book:
            if outcome is Outcome.GAP or outcome is Outcome.CROSSED:
                lost = "a sequence number is missing" if outcome is Outcome.GAP else "the book crossed"
                pen.broken.setdefault("book", (batch.ts_recv_ns, lost))
            elif pen.newest_ns >= pen.keyframe_ns and _SNAPSHOTS in pen.kinds:
                self._keyframe(pen, state)

    def on_candles(self, source: Source, symbol: str, rows: Rows) -> None:
        """Seconds that closed."""
        pen = self._pens.get(source, {}).get(symbol)
        if pen is not None and _CANDLES in pen.kinds and len(rows):
            self._take(pen, _CANDLES, (self._wall(), SECOND_NS, STREAMED, rows), len(rows), len(rows))

    def broke(
        self, source: Source, symbols: Sequence[str], reason: str, what: Sequence[str] = ("trades", "book")
    ) -> None:
        """Something of these symbols was missed, from the newest that came until what comes next."""
        for symbol in symbols:
            pen = self._pens.get(source, {}).get(symbol)
            if pen is not None:
                began = pen.newest_ns or self._wall()
                pen.trades_alone = pen.trades_alone or "book" not in what
                for name in pen.what:
                    if name in what:
                        pen.broken.setdefault(name, (began, reason))

    def wants_raw(self, source: Source) -> bool:
        """Whether the source's frames are recorded."""
        return source in self._raw

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        """Frames as they came."""
        pen = self._raw.get(source)
        if pen is not None and frames:
            item = (path, frames, recv_ns)
            self._take(pen, RecordKind.RAW, item, len(frames), len(frames), sum(map(len, frames)))

    # --- what the store calls ----------------------------------------------------------------------------

    def take_blocks(self, venue: str, make: Callable[[int], list[Block]]) -> None:
        """Record rows that are ready: `make(first seq)` gives them, `seq` counting on from one block to the next."""
        if self._numbers is None:
            return
        for block in make(self._numbers.next_seq):
            self._numbers.next_seq = block.last_seq + 1
            self._count(venue, len(block.rows), block.size_bytes)
            ready = partial(_itself, block)
            self._done.append(
                Draft(block.kind, block.stream, len(block.rows), block.size_bytes, block.first_seq, ready)
            )

    def fill(self, hole: Hole, found: Filled, new: Filled | None = None) -> None:
        """Record what was fetched for a hole, or what of it is `new`, and that it was."""
        new = new or found
        venue = self._open.get(hole.source.venue)
        if venue is None or self._numbers is None:
            return
        assert hole.what in FETCHABLE
        stream = Stream(hole.source.venue, hole.symbol, found.instrument, venue.rule, venue.label)
        wanted = self.wanted.get(hole.source.venue)
        kinds = wanted.kinds if wanted is not None else frozenset(RecordKind)
        count = 0
        if len(new.trades) and _TRADES in kinds:
            pack = partial(packing.trades, stream, origin=BACKFILLED)
            self._add(stream, _TRADES, pack, new.trades, len(new.trades))
            count += len(new.trades)
        if len(new.candles):
            item = (self._wall(), found.interval_ns, BACKFILLED, new.candles)
            self._add(stream, _CANDLES, partial(packing.candles, stream), item, len(new.candles))
            count += len(new.candles)
        if not hole.what:
            return
        filled = hole.filled + count
        state = PARTLY_FILLED if filled and hole.state != NOT_RECORDED else hole.state
        if (hole.what == "trades" and found.complete) or (hole.what == "candles" and _covers(found, hole)):
            state = FILLED
        ends, text = (hole.from_ns, hole.to_ns), f"{hole.reason}{FETCHED_SAYS}{found.detail}"
        self._gap(stream, Gap(*ends, hole.what, state, filled, text))
        if hole.what == ALL and found.complete:  # the book stays what it was
            self._gap(stream, Gap(*ends, "trades", FILLED, filled, text))

    def shed(
        self, venue: str, symbol: str, kind: RecordKind, from_ns: int, to_ns: int, rows: int, reason: str
    ) -> None:
        """Record that the journal gave up rows of a kind."""
        what = next(name for name, kinds in WHAT.items() if kind in kinds)
        pens = (pen for pens in self._pens.values() for pen in pens.values())
        held = (pen.stream for pen in pens if (pen.stream.venue, pen.stream.symbol) == (venue, symbol))
        stream = next(held, Stream(venue, symbol))
        text = f"{reason}: {rows:,} rows of {kind.value} were not kept"
        self._gap(stream, Gap(from_ns, to_ns, what, OPEN, 0, text))

    def flush(self) -> list[Draft]:
        """What has come since the last call, oldest first within each kind and stream."""
        for pens in self._pens.values():
            for pen in pens.values():
                if pen.items:
                    self._done.extend(pen.put_away())
        for pen in self._raw.values():
            if pen.items:
                self._done.extend(pen.put_away())
        for stream, (first, gaps) in self._gaps.items():
            size = sum(len(gap.reason) + ROW_BYTES[RecordKind.GAPS] for _, gap in gaps)
            pack = partial(packing.gaps, stream, gaps)
            self._done.append(Draft(RecordKind.GAPS, stream, len(gaps), size, first, pack))
        self._gaps = {}
        done, self._done = self._done, []
        return done

    def alive(self, now_ns: int) -> list[tuple[str, str, str, int]]:
        """(venue, symbol, what, now) of what goes on without a hole, whether or not something came. Once a second."""
        for pens in self._pens.values():
            for pen in pens.values():
                if pen.numbers.jumps:
                    self._tell_missing(pen, now_ns)
                if pen.holes and now_ns - pen.holes[-1].to_ns > QUIET_NS:
                    self._tell_holes(pen, 0)
        marks = [
            (pen.source.venue, symbol, what, now_ns)
            for pens in self._pens.values()
            for symbol, pen in pens.items()
            for what in pen.what
            if what in ("trades", "book") and pen.newest_ns and what not in pen.broken
        ]
        return marks

    def open_holes(self) -> list[tuple[str, str, str, int, str]]:
        """(venue, symbol, what, since, why) of what is being missed right now: recorded as gaps once it is over."""
        return [
            (pen.source.venue, symbol, what, from_ns, reason)
            for pens in self._pens.values()
            for symbol, pen in pens.items()
            for what, (from_ns, reason) in pen.broken.items()
        ]

    def second(self) -> None:
        """A second is over: rates."""
        for taken in self.taken.values():
            taken.rate, taken.last_rows = float(taken.rows - taken.last_rows), taken.rows

    # --- inside ------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        """Pens for what is wanted of a venue that is open, and for nothing else; what goes on, goes on in them."""
        wanted, venue = self.wanted[name], self._open.get(name)
        if venue is None:
            return
        pens = self._pens.setdefault(venue.source, {})
        taken = self.taken[name]
        for symbol, unit in venue.instruments.items():
            stream = Stream(name, symbol, unit, venue.rule, venue.label)
            held = pens.get(symbol)
            if not wanted.has(symbol, unit):
                if held is not None:
                    self._lay_down(pens.pop(symbol), UNWANTED)
                continue
            if held is not None and held.stream == stream and held.what == wanted.what:
                continue
            pen = pens[symbol] = Pen(venue.source, stream, wanted.kinds, wanted.what, taken)
            if held is not None:  # other units, or of other kinds
                self._hand_over(held, pen)
            begun = [what for what in wanted.what if held is None or what not in held.what]
            self._take_up(stream, [what for what in begun if what not in OF_VENUE], held is None)
        self._follow_whole(venue, wanted.what, UNWANTED)

    def _end(self, name: str, why: str = UNWANTED) -> None:
        venue = self._open.get(name)
        if venue is None:
            return
        for pen in self._pens.pop(venue.source, {}).values():
            self._lay_down(pen, why)
        self._follow_whole(venue, (), why)

    def _follow_whole(self, venue: _Venue, what: Sequence[str], why: str) -> None:
        """Of a venue as a whole this is recorded from here on, and nothing else."""
        name = venue.source.venue
        now, before = frozenset(what) & frozenset(OF_VENUE), self._whole.pop(name, frozenset())
        stream = Stream(name, label=venue.label)
        self._leave(name, "", before - now, self._wall(), why)
        if now:
            self._whole[name] = now
            self._take_up(stream, [each for each in OF_VENUE if each in now - before], not before)
        if "raw" not in now:
            raw = self._raw.pop(venue.source, None)
            if raw is not None:
                self._done.extend(raw.put_away())
        elif venue.source not in self._raw:
            kinds = frozenset((RecordKind.RAW,))
            self._raw[venue.source] = Pen(venue.source, stream, kinds, ("raw",), self.taken[name])

    def _hand_over(self, held: Pen, pen: Pen) -> None:
        """What a symbol's old pen knows, for its new one; what is recorded no more is left."""
        self._done.extend(held.put_away())
        self._lay_down(held, UNWANTED, [what for what in held.what if what not in pen.what])
        held.hand_over(pen)

    def _lay_down(self, pen: Pen, why: str, what: Sequence[str] | None = None) -> None:
        """A symbol, or this of it, is recorded no more. What is being missed of it is missed up to now."""
        self._done.extend(pen.put_away())
        gone = pen.what if what is None else what
        now_ns = self._wall()
        since_ns = dict.fromkeys(gone, pen.newest_ns)
        for name in gone:
            if name in pen.broken:
                since_ns[name] = max(now_ns, pen.broken[name][0])
                self._close_hole(pen, name, since_ns[name])
        if "trades" in gone:
            self._tell_holes(pen, 0)
            self._tell_missing(pen, now_ns + LATE_NS)
        for name in gone:
            if since_ns[name] and name not in OF_VENUE:
                self._leave(pen.source.venue, pen.stream.symbol, (name,), since_ns[name], why)

    def _leave(self, venue: str, symbol: str, what: Iterable[str], since_ns: int, why: str) -> None:
        """It was recorded until then: should it be again, the time between is told."""
        for name in what:
            self._off[venue, symbol, name] = (since_ns, why)
        while len(self._off) > OFF_MOST:
            self._off.pop(next(iter(self._off)))

    def _take_up(self, stream: Stream, what: Sequence[str], whole: bool) -> None:
        """It is recorded from here on, `whole`: and nothing else. Where it was before, the time between is told."""
        off = {name: self._off.pop((stream.venue, stream.symbol, name), (0, "")) for name in what}
        if whole and len(set(off.values())) == 1:
            off = {ALL: next(iter(off.values()))}
        for name, (since_ns, why) in off.items():
            if since_ns:
                state = OPEN if why == INTERRUPTED else NOT_RECORDED
                self._gap(stream, Gap(since_ns, max(self._wall(), since_ns), name, state, 0, why))

    def _take(self, pen: Pen, kind: RecordKind, item: Any, numbers: int, rows: int, heap: int = 0) -> None:
        """Remember one item, which takes so many numbers."""
        source = self._numbers
        assert source is not None
        seq = source.next_seq
        source.next_seq = seq + numbers
        pen.take(kind, seq, item, rows, heap)

    def _add(
        self, stream: Stream, kind: RecordKind, pack: Callable[[list[Any]], Block], item: Any, rows: int
    ) -> None:
        assert self._numbers is not None
        seq = self._numbers.next_seq
        self._numbers.next_seq = seq + rows
        self._count(stream.venue, rows, rows * ROW_BYTES[kind])
        self._done.append(
            Draft(kind, stream, rows, rows * ROW_BYTES[kind], seq, partial(pack, [(seq, item)]))
        )

    def _count(self, venue: str, rows: int, size_bytes: int) -> None:
        taken = self.taken.get(venue)
        if taken is not None:
            taken.rows += rows
            taken.size_bytes += size_bytes

    def _gap(self, stream: Stream, gap: Gap) -> None:
        if self._numbers is None:
            return
        seq = self._numbers.next_seq
        self._numbers.next_seq = seq + 1
        self._gaps.setdefault(stream, (seq, []))[1].append((seq, gap))

    def _mend(self, pen: Pen, state: SymbolState, kind: RecordKind, came_ns: int) -> None:
        """What came after a hole: where it ends. The book's ends with the book."""
        for what in list(pen.broken):
            if what == "book" and state.state is not BookState.SYNCED:
                continue
            if what == "trades" and pen.trades_alone and kind is not _TRADES:
                continue
            self._close_hole(pen, what, came_ns)
            if what == "book":
                pen.keyframe_ns = 0

    def _close_hole(self, pen: Pen, what: str, to_ns: int) -> None:
        from_ns, reason = pen.broken.pop(what)
        to_ns = max(to_ns, from_ns)
        self._gap(pen.stream, Gap(from_ns, to_ns, what, OPEN, 0, reason))
        if what == "trades":
            pen.trades_alone = False
            pen.numbers.interrupted()
            if len(pen.holes) >= HOLES_MOST:
                self._tell_holes(pen, 0)
            pen.holes.append(
                Hole(pen.source, pen.stream.symbol, from_ns, to_ns, reason, pen.numbers.newest_id)
            )

    def _tell_missing(self, pen: Pen, now_ns: int) -> None:
        """Trades whose numbers did not come are holes."""
        for jump in pen.numbers.missing(now_ns):
            ends = (jump.from_ns, jump.to_ns)
            self._gap(pen.stream, Gap(*ends, "trades", OPEN, 0, jump.reason))
            if self._on_hole is not None:
                edges = (jump.after_id, jump.before_id)
                self._on_hole(Hole(pen.source, pen.stream.symbol, *ends, jump.reason, *edges))

    def _tell_holes(self, pen: Pen, before_id: int) -> None:
        holes, pen.holes = pen.holes, []
        if self._on_hole is not None:
            for hole in holes:
                self._on_hole(replace(hole, before_id=before_id))

    def _keyframe(self, pen: Pen, state: SymbolState) -> None:
        """Our own book as it stands, where it can be trusted."""
        if state.state is not BookState.SYNCED:
            return
        pen.keyframe_ns = pen.newest_ns + self._keyframe_ns
        bids, asks = state.book.top(self._depth)
        book = Book(state.last_event_ns, pen.newest_ns, state.sync.sequence, KEYFRAME, bids, asks)
        self._take(pen, _SNAPSHOTS, book, 1, 1, LEVEL_BYTES * (len(bids) + len(asks)))


def _covers(found: Filled, hole: Hole) -> bool:
    """Whether every candle of the hole is there."""
    opens = found.candles["ts_open_ns"]
    if not len(opens) or opens[0] > hole.from_ns or opens[-1] + found.interval_ns < hole.to_ns:
        return False
    return int(opens[-1] - opens[0]) == (len(opens) - 1) * found.interval_ns


def _itself(block: Block) -> Block:
    return block
