"""Recorded events told to a sink again, the way a live feed tells it, and what they were as one hash."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from engine.market.batches import LEVEL, Batch, Kind, Rows, Source
from engine.market.candles import rescale_candles
from engine.market.instruments import Instrument, rescale_factors
from engine.market.sequencing import Outcome
from engine.market.sink import Sink
from engine.market.state import rescale_funding
from engine.market.top_check import rescale_quotes
from engine.storage.arrow import levels_of, text_of
from engine.storage.names import RecordKind
from engine.storage.records import KEYFRAME, Block, Stream
from engine.storage.timeline import DELTAS, GAPS, SNAPSHOTS, TOLD, TRADES, Events, Part

AT_ONCE: Final = 4_096  # events, between two looks at what was told
CHANGES_AT_ONCE: Final = 32  # of a book, between two looks at the time
NEVER: Final = 1 << 62
_KIND: Final[Mapping[RecordKind, Kind]] = {
    RecordKind.TRADES: Kind.TRADES,
    RecordKind.QUOTES: Kind.QUOTES,
    RecordKind.FUNDING: Kind.FUNDING,
}
_DELTA: Final = Kind.DELTA
_APPLIED: Final = Outcome.APPLIED
_SPOILT: Final = (Outcome.GAP, Outcome.CROSSED)
_NO_LEVELS: Final = np.empty(0, LEVEL)


class Delivery:
    """Tells a sink what was recorded of one source, whose symbols are open there in the units of `instruments`.

    A snapshot of our own is told only where the book is not synced, as at the beginning or after a hole. `events` and
    `hash` are of all events of the market in the stretch so far: they do not depend on speed, pauses or chunks.
    """

    def __init__(self, sink: Sink, source: Source, instruments: Mapping[str, Instrument]) -> None:
        self.events = 0
        self._sink, self._source = sink, source
        self._units = dict(instruments)
        self._synced: set[str] = set()
        self._hashes: dict[tuple[RecordKind, Stream, bool], hashlib.blake2b] = {}
        self._hashed = (-1, "")  # the whole, as of so many events

    @property
    def hash(self) -> str:
        """Of each event's kind, symbol and row, whose `seq` is its place among all; 32 hexadecimal digits."""
        if self._hashed[0] != self.events:
            digests = sorted(one.digest() for one in self._hashes.values())
            self._hashed = (self.events, hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest())
        return self._hashed[1]

    def deliver(self, events: Events, first: int, end: int, until_ns: int = NEVER) -> int:
        """Tell events first to end, or fewer when `time.perf_counter_ns` passes `until_ns`; where it stopped."""
        at = first
        while at < end:
            stop = min(end, at + AT_ONCE)
            told = self._deliver(events, at, stop, until_ns)
            self._count(events, at, told)
            at = told
            if told < stop:
                break
        return at

    def _deliver(self, events: Events, begin: int, end: int, until_ns: int) -> int:
        # Lists, for looking a number up in an array costs as much as making it a number of Python's.
        parts, firsts, ends, bids, runs = (
            column[begin:end].tolist()
            for column in (events.part, events.first, events.end, events.bids, events.run_end)
        )
        heads = list(zip(*events.heads[:, begin:end].tolist(), strict=True))
        at, count = 0, end - begin
        while at < count:
            part = events.parts[parts[at]]
            stop = min(runs[at] - begin, count)
            if part.kind is DELTAS:
                stop = min(stop, at + CHANGES_AT_ONCE)
                spans = zip(firsts[at:stop], ends[at:stop], bids[at:stop], heads[at:stop], strict=True)
                self._tell_changes(part, spans)
            else:
                self._tell(part, firsts[at], ends[stop - 1])
            at = stop
            if time.perf_counter_ns() > until_ns:
                break
        return begin + at

    def _tell(self, part: Part, first: int, end: int) -> None:
        kind, stream = part.kind, part.stream
        if kind in TOLD:
            block = part.block
            self._sink.on_recorded(self._source, Block(kind, stream, block.rows[first:end], block.heap))
        elif kind is GAPS:
            for place in range(first, end):
                self._interrupt(stream.symbol, text_of(part.block, place).decode(errors="replace"))
        elif kind is SNAPSHOTS:
            for place in range(first, end):
                self._tell_book(part, place, self._scale(part))
        elif kind is RecordKind.CANDLES:
            self._tell_candles(part, first, end, self._scale(part))
        else:
            rows, scale = part.rows[first:end], self._scale(part)
            rows = rows if scale is None else scale(rows)
            self._sink.on_batch(Batch(_KIND[kind], self._source, stream.symbol, rows))

    def _tell_changes(self, part: Part, spans: Iterable[tuple[int, int, int, tuple[int, ...]]]) -> None:
        levels, source, symbol, on_batch = part.rows, self._source, part.stream.symbol, self._sink.on_batch
        scale = self._scale(part)
        for first, end, bids, head in spans:
            rows = levels[first:end] if bids >= 0 else _NO_LEVELS
            if scale is not None:
                rows = scale(rows)
            outcome = on_batch(Batch(_DELTA, source, symbol, rows, bids if bids > 0 else 0, *head))
            if outcome is not _APPLIED and outcome in _SPOILT:
                self._synced.discard(symbol)

    def _tell_book(self, part: Part, place: int, scale: Callable[[Rows], Rows] | None) -> None:
        row, symbol = part.block.rows[place], part.stream.symbol
        if row["origin"] == KEYFRAME and symbol in self._synced:
            return
        bids, asks = levels_of(part.block, place)
        rows = np.concatenate((bids, asks))
        outcome = self._sink.on_batch(
            Batch(
                Kind.SNAPSHOT,
                self._source,
                symbol,
                rows if scale is None else scale(rows),
                len(bids),
                last_sequence=int(row["last_sequence"]),
                ts_event_ns=int(row["ts_event_ns"]),
                ts_recv_ns=int(row["ts_recv_ns"]),
            )
        )
        if outcome is _APPLIED:
            self._synced.add(symbol)
        elif outcome in _SPOILT:
            self._synced.discard(symbol)

    def _tell_candles(self, part: Part, first: int, end: int, scale: Callable[[Rows], Rows] | None) -> None:
        """Each answer of the venue as one batch: one interval, ascending."""
        rows = part.block.rows[first:end]
        cuts = np.flatnonzero((np.diff(rows["interval_ns"]) != 0) | (np.diff(rows["ts_open_ns"]) <= 0)) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
            candles = part.rows[first + start : first + stop]
            interval_ns = int(rows["interval_ns"][start])
            batch = Batch(
                Kind.CANDLES,
                self._source,
                part.stream.symbol,
                candles if scale is None else scale(candles),
                ts_recv_ns=int(rows["ts_recv_ns"][start]),
                interval_ns=interval_ns,
            )
            self._sink.on_batch(batch)

    def _interrupt(self, symbol: str, reason: str) -> None:
        """A hole begins. Where the book is not synced, it knows of the hole, and what waits is needed after it."""
        named = [symbol] if symbol else sorted(self._units)
        broken = [each for each in named if each in self._synced]
        if broken:
            self._synced.difference_update(broken)
            self._sink.interrupted(self._source, broken, reason)

    def _scale(self, part: Part) -> Callable[[Rows], Rows] | None:
        """How to bring rows to the units in use; finer ones come into use first. None = they are in them."""
        unit = part.stream.instrument
        symbol = part.stream.symbol
        used = self._units[symbol]
        if unit is None or (unit.price_decimals, unit.size_decimals) == (
            used.price_decimals,
            used.size_decimals,
        ):
            return None
        if unit.price_decimals > used.price_decimals or unit.size_decimals > used.size_decimals:
            finer = replace(
                used.with_decimals(
                    max(unit.price_decimals, used.price_decimals), max(unit.size_decimals, used.size_decimals)
                ),
                tick_size=1,
                lot_size=1,
            )
            if (finer.price_decimals, finer.size_decimals) == (unit.price_decimals, unit.size_decimals):
                finer = replace(unit, revision=max(unit.revision, finer.revision))
            self._sink.revise(self._source, finer)
            self._units[symbol] = used = finer
        factors = rescale_factors(unit, used.price_decimals, used.size_decimals)
        return None if factors == (1, 1) else _scaler(part.kind, *factors)

    def _count(self, events: Events, first: int, end: int) -> None:
        """Add what counts to the hashes and the number of events."""
        counted = events.counted[first:end]
        count = int(np.count_nonzero(counted))
        if not count:
            return
        self.events += count
        parts = events.part[first:end]
        for number in np.unique(parts[counted]).tolist():
            part = events.parts[number]
            places = np.flatnonzero((parts == number) & counted) + first
            one = self._hash_of(part)
            if part.kind is SNAPSHOTS or part.kind is GAPS:
                for place in events.first[places].tolist():
                    one.update(_whole(part, place))
            else:  # those of a part follow one another in its rows
                rows = part.block.rows[int(events.first[places[0]]) : int(events.end[places[-1]])]
                one.update(np.ascontiguousarray(rows).view(np.uint8).data)

    def _hash_of(self, part: Part) -> hashlib.blake2b:
        """The running hash of all such rows: `seq` ascends in each, so that chunks make no difference."""
        key = (part.kind, part.stream, part.late)
        found = self._hashes.get(key)
        if found is None:
            named = f"{part.kind}\0{part.stream.symbol}\0".encode()
            found = self._hashes[key] = hashlib.blake2b(named, digest_size=16)
        return found


def _whole(part: Part, place: int) -> bytes:
    """A row with what lies in the heap; where it lies there is left out."""
    row = part.block.rows[place : place + 1].copy()
    row["at"] = 0
    if part.kind is GAPS:
        return row.tobytes() + text_of(part.block, place)
    bids, asks = levels_of(part.block, place)
    return row.tobytes() + bids.tobytes() + asks.tobytes()


def _scaler(kind: RecordKind, price_factor: int, size_factor: int) -> Callable[[Rows], Rows]:
    """Rows in finer units, exactly."""

    def pairs(rows: Rows) -> Rows:
        out = rows.copy()
        out["price"] *= price_factor
        out["size"] *= size_factor
        return out

    if kind is RecordKind.QUOTES:
        return lambda rows: rescale_quotes(rows, price_factor, size_factor)
    if kind is RecordKind.FUNDING:
        return lambda rows: rescale_funding(rows, price_factor)
    if kind is RecordKind.CANDLES:
        return lambda rows: rescale_candles(rows, price_factor, size_factor)
    assert kind in (TRADES, DELTAS, SNAPSHOTS), "the others have no units"
    return pairs
