"""When a book may be trusted: venue sequence rules, and what to do with each delta and snapshot.

The synchroniser looks at sequence numbers only. It answers what the caller should do, and keeps the deltas
that must wait for a snapshot. Rules as the venues publish them (Binance, "How to manage a local order book
correctly"):

spot     start: drop u <= lastUpdateId; the first kept covers lastUpdateId + 1. Then U == previous u + 1.
futures  start: drop u < lastUpdateId; the first kept covers lastUpdateId. Then pu == previous u.

Bybit streams its snapshots in line with the deltas, at each subscription and whenever it likes: each replaces the
book, whatever its u (1 after a restart of the service). Then u == previous u + 1 for each topic, as all captures
show; the docs give no rule.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from engine.market.batches import Batch

MAX_WAITING: Final = 4096  # deltas; at 100 a second that is 40 s of waiting for a snapshot
MAX_STALE_RUN: Final = 256  # old deltas in a row after which the venue must have renumbered


class Rule(Enum):
    """How a venue's deltas follow one another."""

    BINANCE_SPOT = "binance_spot"  # U, u: first and last update in the delta
    BINANCE_FUTURES = "binance_futures"  # ... and pu: the u before; ids are shared by all symbols and jump
    BYBIT = "bybit"  # u: one more with each delta of a topic; snapshots come in the stream

    @property
    def streams_snapshots(self) -> bool:
        """Whether a snapshot comes in the stream, in line with the deltas: by subscribing again, not by REST."""
        return self is Rule.BYBIT

    @property
    def numbers_quotes(self) -> bool:
        """Whether the best prices' updates are numbered as the book's, so that one can be checked by the other."""
        return self is not Rule.BYBIT

    @property
    def numbers_trades_densely(self) -> bool:
        """Whether each trade of a symbol is streamed with the number after the last one's: a jump is a lost trade."""
        return self is Rule.BINANCE_SPOT


class BookState(IntEnum):
    """What the book is worth."""

    EMPTY = 0  # nothing has come
    BUFFERING = 1  # deltas wait for the first snapshot
    SYNCED = 2  # every change up to `sequence` is in the book
    STALE = 3  # something was missed or contradicts: the levels are old until the next snapshot


class Outcome(IntEnum):
    """What became of one delta or snapshot."""

    APPLIED = 0  # put it in the book
    STALE = 1  # older than the book: drop it
    BUFFERED = 2  # of no use before a snapshot; kept for it, unless snapshots are streamed: they hold it
    GAP = 3  # something before it was missed; kept likewise, the book is STALE now
    UNUSABLE = 4  # a snapshot older than the deltas that wait: ask for another
    CROSSED = 5  # applied, and the book crossed: it is STALE now (said by `SymbolState`, not by sequences)
    NOTED = 6  # not book data (trades, quotes, candles, funding): taken as it is


# Looking a member up on its class costs as much as the comparison, and every delta does it several times.
_SYNCED: Final = BookState.SYNCED
_APPLIED: Final = Outcome.APPLIED
_GAP: Final = Outcome.GAP


@dataclass(slots=True)
class SyncCounts:
    """How often each thing happened since the start."""

    applied: int = 0
    stale: int = 0  # deltas and snapshots older than the book
    buffered: int = 0  # came while the book waited for a snapshot
    dropped: int = 0  # deltas pushed out of the full waiting buffer
    gaps: int = 0
    unusable: int = 0
    snapshots: int = 0  # loaded into the book
    resyncs: int = 0  # snapshots that ended a STALE time
    invalidated: int = 0  # times the caller found the book wrong
    transitions: dict[tuple[BookState, BookState], int] = field(default_factory=dict)


class Synchroniser:
    """Sequence state of one book. Costs O(1) a delta; a snapshot costs the deltas that waited."""

    def __init__(self, rule: Rule, max_waiting: int = MAX_WAITING) -> None:
        self.rule = rule
        self._futures = rule is Rule.BINANCE_FUTURES
        self._streamed = rule.streams_snapshots
        self.state = BookState.EMPTY
        self.sequence = 0  # last update in the book
        self.counts = SyncCounts()
        self._max_waiting = max_waiting
        self._waiting: deque[Batch] = deque()
        self._bridging = False  # a snapshot is loaded, the delta covering it has not come
        self._event_ns = 0  # the venue's time of what was put into the book last
        self._stale_run = 0

    @property
    def gaps(self) -> int:
        """Deltas that showed something before them was missed."""
        return self.counts.gaps

    @property
    def resyncs(self) -> int:
        """Times a snapshot made a STALE book right again."""
        return self.counts.resyncs

    @property
    def dropped(self) -> int:
        """Deltas lost to the bounded waiting buffer."""
        return self.counts.dropped

    @property
    def waiting(self) -> int:
        """Deltas that wait for a snapshot now."""
        return len(self._waiting)

    @property
    def wants_snapshot(self) -> bool:
        """Whether the caller should fetch one: deltas wait, or the book is wrong."""
        return self.state in (BookState.BUFFERING, BookState.STALE)

    def on_delta(self, delta: Batch) -> Outcome:
        """APPLIED, STALE, BUFFERED or GAP. `delta` is kept (not copied) when it is BUFFERED or a GAP, see `Outcome`."""
        if self.state is not _SYNCED:
            self._wait(delta)
            if self.state is BookState.EMPTY:
                self._enter(BookState.BUFFERING)
            return Outcome.BUFFERED
        outcome = self._judge(delta)
        if outcome is _GAP:
            self.counts.gaps += 1
            self._enter(BookState.STALE)
            self._wait(delta)
        return outcome

    def on_snapshot(self, last_sequence: int, event_ns: int = 0) -> tuple[Outcome, list[Batch]]:
        """APPLIED with the waiting deltas to apply after it, oldest first; or STALE or UNUSABLE with none. `event_ns`
        is the venue's time of it, 0 = not given.

        STALE: the book already holds more. UNUSABLE: it does not reach the oldest waiting delta, which stays.
        A gap among the waiting deltas leaves the book STALE with the rest waiting; what precedes it is
        returned. A streamed snapshot is always APPLIED, and nothing waits for it.
        """
        if self._streamed:
            return self._restart(last_sequence, event_ns), []
        if self.state is BookState.SYNCED and last_sequence < self.sequence:
            self.counts.stale += 1
            return Outcome.STALE, []
        ready = self._ready_after(last_sequence)
        if ready is None:
            self.counts.unusable += 1
            return Outcome.UNUSABLE, []
        self._restart(last_sequence, event_ns)
        self._bridging = True
        applied: list[Batch] = []
        while ready:
            outcome = self._judge(ready[0])
            if outcome is Outcome.GAP:
                self.counts.gaps += 1
                self._enter(BookState.STALE)
                self._waiting = ready
                break
            delta = ready.popleft()
            if outcome is Outcome.APPLIED:
                applied.append(delta)
        return Outcome.APPLIED, applied

    def invalidate(self) -> None:
        """Call when the book itself is wrong (crossed): STALE until a snapshot."""
        if self.state is BookState.SYNCED:
            self.counts.invalidated += 1
            self._enter(BookState.STALE)

    def disconnect(self) -> None:
        """Call when the stream broke: what waits is useless, a book that was there is STALE."""
        self._waiting.clear()
        if self.state is BookState.SYNCED:
            self._enter(BookState.STALE)
        elif self.state is BookState.BUFFERING:
            self._enter(BookState.EMPTY)

    def waiting_deltas(self) -> list[Batch]:
        """The deltas that wait, oldest first: a revision rescales them in place of the old ones."""
        return list(self._waiting)

    def replace_waiting(self, deltas: list[Batch]) -> None:
        """Take the same deltas in other units."""
        assert len(deltas) == len(self._waiting)
        self._waiting = deque(deltas)

    def _restart(self, last_sequence: int, event_ns: int) -> Outcome:
        """A snapshot is in the book."""
        if self.state is BookState.STALE:
            self.counts.resyncs += 1
        self.counts.snapshots += 1
        self.sequence, self._stale_run, self._event_ns = last_sequence, 0, event_ns
        self._enter(BookState.SYNCED)
        return _APPLIED

    def _judge(self, delta: Batch) -> Outcome:
        last = delta.last_sequence
        if not self._futures:
            old = last <= self.sequence
            # U <= id + 1 rather than ==: sizes are absolute, so an overlap costs nothing, and the delta that
            # bridges a snapshot usually starts before it. Bybit's deltas have one number: U is u.
            follows = delta.first_sequence <= self.sequence + 1
        elif self._bridging:
            # The docs say U <= lastUpdateId <= u, but ids jump: a snapshot may lie between two deltas of its
            # symbol. Nothing of the symbol happened between pu and U, so pu <= lastUpdateId is what matters.
            old = last < self.sequence
            follows = min(delta.previous_sequence, delta.first_sequence) <= self.sequence
        else:
            follows = delta.previous_sequence == self.sequence
            old = not follows and last <= self.sequence
        if old:
            self.counts.stale += 1
            self._stale_run += 1
            # A venue that restarts its numbering would otherwise look like a quiet market for ever. Where snapshots are
            # streamed, an old number with a new time is a restart whose snapshot was lost: the book is wrong now.
            renumbered = self._stale_run > MAX_STALE_RUN or (
                self._streamed and delta.ts_event_ns > self._event_ns
            )
            return _GAP if renumbered else Outcome.STALE
        if not follows:
            return _GAP
        self.sequence, self._bridging, self._stale_run = last, False, 0
        self._event_ns = delta.ts_event_ns
        self.counts.applied += 1
        return _APPLIED

    def _ready_after(self, last_sequence: int) -> deque[Batch] | None:
        """The waiting deltas a snapshot at `last_sequence` lacks; None when it ends before them."""
        futures = self._futures
        kept = deque(
            delta
            for delta in self._waiting
            if delta.last_sequence > last_sequence or (futures and delta.last_sequence == last_sequence)
        )
        if kept:
            first = kept[0]
            reached = (
                min(first.previous_sequence, first.first_sequence) <= last_sequence
                if futures
                else first.first_sequence <= last_sequence + 1
            )
            if not reached:
                return None
        self.counts.stale += len(self._waiting) - len(kept)
        self._waiting = deque()
        return kept

    def _wait(self, delta: Batch) -> None:
        self.counts.buffered += 1
        if self._streamed:
            return  # whatever came before a streamed snapshot is in it
        if len(self._waiting) >= self._max_waiting:
            self._waiting.popleft()  # the oldest: a snapshot that comes later will hold it
            self.counts.dropped += 1
        self._waiting.append(delta)

    def _enter(self, state: BookState) -> None:
        if state is not self.state:
            change = (self.state, state)
            self.counts.transitions[change] = self.counts.transitions.get(change, 0) + 1
            self.state = state
