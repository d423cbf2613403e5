"""Recorded events told to a sink again, the way a live feed tells it, and what they were as one hash."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
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
from engine.storage.records import KEYFRAME, Block, RecordKind
from engine.storage.timeline import DELTAS, GAPS, SNAPSHOTS, TOLD, TRADES, Events, Part

CHANGES_AT_ONCE: Final = 32  # of a book, between two looks at the time
NEVER: Final = 1 << 62
_KIND: Final[Mapping[RecordKind, Kind]] = {
    RecordKind.TRADES: Kind.TRADES,
    RecordKind.QUOTES: Kind.QUOTES,
    RecordKind.FUNDING: Kind.FUNDING,
}
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
        self._hash = hashlib.blake2b(digest_size=16)
        self._last: tuple[RecordKind, str] | None = None

    @property
    def hash(self) -> str:
        """Of each event's kind, symbol and row, in order; 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def deliver(self, events: Events, first: int, end: int, until_ns: int = NEVER) -> int:
        """Tell events first to end, or fewer when `time.perf_counter_ns` passes `until_ns`; where it stopped."""
        at = first
        while at < end:
            part = events.parts[events.part[at]]
            stop = min(int(events.run_end[at]), end)
            if part.kind is DELTAS:
                stop = min(stop, at + CHANGES_AT_ONCE)
            elif part.kind is SNAPSHOTS:
                stop = at + 1
            self._count(events, part, at, stop)
            self._tell(events, part, at, stop)
            at = stop
            if time.perf_counter_ns() > until_ns:
                break
        return at

    def _tell(self, events: Events, part: Part, at: int, stop: int) -> None:
        kind, stream = part.kind, part.stream
        first, end = int(events.first[at]), int(events.end[stop - 1])
        if kind in TOLD:
            block = part.block
            self._sink.on_recorded(self._source, Block(kind, stream, block.rows[first:end], block.heap))
            return
        if kind is GAPS:
            for place in range(first, end):
                self._interrupt(stream.symbol, text_of(part.block, place).decode(errors="replace"))
            return
        symbol, scale = stream.symbol, self._scale(part)
        if kind is DELTAS:
            self._tell_changes(events, part, at, stop, scale)
        elif kind is SNAPSHOTS:
            self._tell_book(part, first, scale)
        elif kind is RecordKind.CANDLES:
            self._tell_candles(part, first, end, scale)
        else:
            rows = part.rows[first:end]
            batch = Batch(_KIND[kind], self._source, symbol, rows if scale is None else scale(rows))
            self._sink.on_batch(batch)

    def _tell_changes(
        self, events: Events, part: Part, at: int, stop: int, scale: Callable[[Rows], Rows] | None
    ) -> None:
        firsts = events.first[at:stop]
        heads = part.block.rows[firsts]
        levels, source, symbol, on_batch = part.rows, self._source, part.stream.symbol, self._sink.on_batch
        for first, end, bids, u_first, u_last, before, event_ns, recv_ns in zip(
            firsts.tolist(),
            events.end[at:stop].tolist(),
            events.bids[at:stop].tolist(),
            heads["first_sequence"].tolist(),
            heads["last_sequence"].tolist(),
            heads["previous_sequence"].tolist(),
            heads["ts_event_ns"].tolist(),
            heads["ts_recv_ns"].tolist(),
            strict=True,
        ):
            rows = levels[first:end] if bids >= 0 else _NO_LEVELS
            if scale is not None:
                rows = scale(rows)
            bids = max(bids, 0)
            outcome = on_batch(
                Batch(Kind.DELTA, source, symbol, rows, bids, u_first, u_last, before, event_ns, recv_ns)
            )
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

    def _count(self, events: Events, part: Part, at: int, stop: int) -> None:
        """Add what counts to the hash and the number of events."""
        counts = int(np.count_nonzero(events.counted[at:stop]))
        if not counts:
            return
        at = stop - counts  # those before the stretch come first
        self.events += counts
        key = (part.kind, part.stream.symbol)
        if key != self._last:
            self._last = key
            self._hash.update(f"{key[0]}\0{key[1]}\0".encode())
        first, end = int(events.first[at]), int(events.end[stop - 1])
        rows = part.block.rows[first:end]
        if part.kind is SNAPSHOTS or part.kind is GAPS:
            rows = rows.copy()
            rows["at"] = 0  # where its block has the rest
        self._hash.update(np.ascontiguousarray(rows).view(np.uint8).data)
        for place in range(first, end):
            if part.kind is SNAPSHOTS:
                for levels in levels_of(part.block, place):
                    self._hash.update(levels.tobytes())
            elif part.kind is GAPS:
                self._hash.update(text_of(part.block, place))
            else:
                break


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
