"""Blocks of records as the events they were, in the order in which they are to be told again. Pure.

An event is one trade, quote, candle, funding rate, book, gap or row of telemetry, or one change of a book with all its
levels. Events follow their `seq`, the order in which they came, and are due when they came: at the greatest receive
time so far, since several connections jump back by microseconds. What was recorded later than it happened is placed by
its time instead: trades and candles that were fetched for a hole where they belong, before what came at that moment; a
gap where it begins, behind the last that came before it.

Such fetched trades say nothing of latency. They are told without a venue's time, as received when they happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.market.batches import BBO, CANDLE, FUNDING, LEVEL, TRADE, Rows
from engine.storage.names import RecordKind
from engine.storage.records import BACKFILLED, BID, FETCHED, KEYFRAME, NO_LEVEL, Block, Stream, joined

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TRADES, QUOTES, DELTAS = RecordKind.TRADES, RecordKind.QUOTES, RecordKind.DELTAS
SNAPSHOTS, CANDLES, FUNDINGS = RecordKind.SNAPSHOTS, RecordKind.CANDLES, RecordKind.FUNDING
GAPS: Final = RecordKind.GAPS
TOLD: Final = (RecordKind.LATENCY, RecordKind.COUNTERS, RecordKind.EVENTS)  # as they were recorded
MARKET: Final = (TRADES, QUOTES, DELTAS, SNAPSHOTS)
BOOK_GAPS: Final = (b"book", b"all")
CANDLES_BEFORE_NS: Final = 25 * 3_600 * 10**9
HEADS: Final = ("first_sequence", "last_sequence", "previous_sequence", "ts_event_ns", "ts_recv_ns")
_PLAIN: Final[Mapping[RecordKind, np.dtype[Any]]] = {
    TRADES: TRADE,
    QUOTES: BBO,
    CANDLES: CANDLE,
    FUNDINGS: FUNDING,
}


@dataclass(frozen=True, slots=True)
class Start:
    """Where the book of a symbol begins: at the snapshot with this `seq`, our own or the venue's.

    A venue's snapshot that was fetched lacks changes that came before it did: those of the seconds before, above its
    sequence, belong to it.
    """

    seq: int
    recv_ns: int
    last_sequence: int
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records belong to a replay: of [from_ns, to_ns) as received, and what its books begin with."""

    from_ns: int
    to_ns: int
    starts: Mapping[str, Start]
    before_ns: int = 0  # changes of books that begin with a fetched snapshot count from here on

    def of_stream(self, block: Block) -> Mask:
        """The rows that follow `seq`."""
        kind, rows = block.kind, block.rows
        if kind in TOLD:
            return _between(rows["ts_ns"], self.from_ns, self.to_ns)
        if kind is GAPS:
            return np.zeros(len(rows), np.bool_)
        received = rows["ts_recv_ns"]
        inside = _between(received, self.from_ns, self.to_ns)
        if kind is TRADES:
            return inside & _mask(rows["origin"] != BACKFILLED)
        if kind is CANDLES:
            return inside & _mask(rows["origin"] == FETCHED)
        start = self.starts.get(block.stream.symbol)
        if start is None or kind not in (DELTAS, SNAPSHOTS):
            return inside
        early = rows["seq"] >= start.seq
        if start.fetched and kind is DELTAS:
            early |= (received >= self.before_ns) & (rows["last_sequence"] >= start.last_sequence)
        return _mask(received < self.to_ns) & _mask(early)

    def of_time(self, block: Block) -> Mask:
        """The rows that are placed by their time."""
        kind, rows = block.kind, block.rows
        if kind is GAPS:
            earliest = min([start.recv_ns for start in self.starts.values()], default=self.from_ns)
            inside = _between(rows["from_ns"], min(earliest, self.from_ns), self.to_ns)
            return inside & _mask(np.isin(rows["what"], BOOK_GAPS))
        times = placed_times(kind, rows)
        late = _mask(rows["origin"] == BACKFILLED)
        if kind is CANDLES:  # of the venue's own, those of the day before are told first: charts have a past
            had = _mask(rows["origin"] == FETCHED) & _mask(rows["ts_recv_ns"] < self.from_ns)
            before = _between(times, self.from_ns - CANDLES_BEFORE_NS, self.from_ns + 1) & (had | late)
            return before | (late & _between(times, self.from_ns, self.to_ns))
        return late & _between(times, self.from_ns, self.to_ns)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one kind and stream, ready to be told: `rows` as batches have them (TRADE, BBO, LEVEL, ...), or, of kinds
    that are told as they are, the block's.
    """

    kind: RecordKind
    stream: Stream
    block: Block
    rows: Rows
    late: bool = False  # placed by time


@dataclass(frozen=True, slots=True)
class Events:
    """Some events in order. Event `i` is the rows first[i] to end[i] of parts[part[i]]."""

    parts: tuple[Part, ...]
    part: Integers
    first: Integers
    end: Integers
    bids: Integers  # of changes, how many of the levels are bids; -1 = there are none
    heads: Integers  # of changes, HEADS of each; shape (5, n)
    due_ns: Integers  # ascending
    run_end: Integers  # where the events end that follow in the same part
    counted: Mask  # whether it is an event of the market: not our own snapshot, not telemetry, not before the stretch
    stops: Mask  # where a step ends: counted, and the last of the candles of one answer

    def __len__(self) -> int:
        return len(self.part)


def placed_times(kind: RecordKind, rows: Rows) -> Integers:
    """When rows that are placed by time belong: a trade when it happened, a candle when it had ended."""
    if kind is GAPS:
        return np.ascontiguousarray(rows["from_ns"])
    if kind is CANDLES:
        return np.asarray(rows["ts_open_ns"] + rows["interval_ns"])
    return np.asarray(np.where(rows["ts_event_ns"] > 0, rows["ts_event_ns"], rows["ts_recv_ns"]))


def ascending(blocks: Iterable[Block]) -> list[Block]:
    """One block for each kind and stream, by `seq`."""
    groups: dict[tuple[RecordKind, Stream], list[Block]] = {}
    for block in blocks:
        if len(block.rows):
            groups.setdefault((block.kind, block.stream), []).append(block)
    return [_sorted(joined(sorted(group, key=lambda each: each.first_seq))) for group in groups.values()]


def arrange(
    stream: Sequence[Block], placed: Sequence[Block], from_ns: int, floor_ns: int
) -> tuple[Events, int]:
    """(the events of these blocks, the greatest time among them that followed `seq`).

    `stream` and `placed` as `ascending` gives them, rows already chosen. `floor_ns` is the greatest time before these.
    Events do not depend on how a stretch is divided into calls, if what is placed comes in the call that has the first
    event behind it.
    """
    parts = [_part(block, late=False) for block in stream] + [_part(block, late=True) for block in placed]
    spans = [_spans(part) for part in parts]
    counts = [len(first) for first, _, _ in spans]
    if not parts:
        return _nothing(), floor_ns
    part = np.repeat(np.arange(len(parts)), counts)
    first, end, bids = (np.concatenate([np.zeros(0, np.int64), *each]) for each in zip(*spans, strict=True))
    followed = sum(counts[: len(stream)])
    heads = [each.block.rows[at] for each, (at, _, _) in zip(parts, spans, strict=True)]
    order, due = _followed(parts[: len(stream)], heads, floor_ns)
    newest = int(due[-1]) if followed else floor_ns
    if len(placed):
        # Only of these: what follows `seq` has kinds without such times.
        late = [
            placed_times(each.kind, rows)
            for each, rows in zip(parts[len(stream) :], heads[len(stream) :], strict=True)
        ]
        times = np.maximum(np.concatenate(late), floor_ns)
        behind = np.repeat([each.kind is GAPS for each in parts[len(stream) :]], counts[len(stream) :])
        sequences = np.concatenate([rows["seq"] for rows in heads[len(stream) :]])
        by_time = np.lexsort((sequences, behind, times))
        places = np.where(behind, np.searchsorted(due, times, "right"), np.searchsorted(due, times, "left"))
        # Those that belong to the same place keep the order of their times.
        order = np.insert(order, places[by_time], followed + by_time)
        due = np.insert(due, places[by_time], times[by_time])
    part = part[order]
    counted, stops = _marks(parts, spans)
    counted = counted[order] & (due >= from_ns)
    return (
        Events(
            tuple(parts),
            part,
            first[order],
            end[order],
            bids[order],
            _heads(parts, heads)[:, order],
            due,
            _run_ends(part),
            counted,
            stops[order] & counted,
        ),
        newest,
    )


def _nothing() -> Events:
    none, never = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    heads = np.zeros((len(HEADS), 0), np.int64)
    return Events((), none, none, none, none, heads, none, none, never, never)


def _mask(found: Any) -> Mask:
    return np.asarray(found, np.bool_)


def _between(times: Rows, from_ns: int, to_ns: int) -> Mask:
    return _mask((times >= from_ns) & (times < to_ns))


def _sorted(block: Block) -> Block:
    """By `seq`: around midnight two files share a range of it."""
    sequences = block.rows["seq"]
    if np.all(sequences[1:] >= sequences[:-1]):
        return block
    return Block(block.kind, block.stream, block.rows[np.argsort(sequences, kind="stable")], block.heap)


def _part(block: Block, *, late: bool) -> Part:
    kind, rows = block.kind, block.rows
    if late:  # its rows are by time, so that those that follow one another lie together
        rows = rows[np.argsort(placed_times(kind, rows), kind="stable")]
        block = Block(kind, block.stream, rows, block.heap)
    if kind is DELTAS:
        levels = np.empty(len(rows), LEVEL)
        levels["price"], levels["size"] = rows["price"], rows["size"]
        return Part(kind, block.stream, block, levels)
    if kind not in _PLAIN:
        return Part(kind, block.stream, block, rows, late)
    plain = np.empty(len(rows), _PLAIN[kind])
    for name in plain.dtype.names or ():
        plain[name] = rows[name]
    if late and kind is TRADES:
        plain["ts_recv_ns"], plain["ts_event_ns"] = placed_times(kind, rows), 0
    return Part(kind, block.stream, block, plain, late)


def _spans(part: Part) -> tuple[Integers, Integers, Integers]:
    """(first, end, bids) of each event."""
    rows = part.block.rows
    if part.kind is not DELTAS:
        each = np.arange(len(rows))
        return each, each + 1, np.zeros(len(rows), np.int64)
    first = np.append(0, np.flatnonzero(np.diff(rows["seq"])) + 1)
    bids = np.add.reduceat((rows["side"] == BID).astype(np.int64), first)
    bids[rows["side"][first] == NO_LEVEL] = -1
    return first, np.append(first[1:], len(rows)), bids


def _heads(parts: Sequence[Part], heads: Sequence[Rows]) -> Integers:
    """HEADS of each event, in the order of parts; 0 for all that is no change."""
    found = np.zeros((len(HEADS), sum(map(len, heads))), np.int64)
    at = 0
    for part, rows in zip(parts, heads, strict=True):
        if part.kind is DELTAS:
            for place, name in enumerate(HEADS):
                found[place, at : at + len(rows)] = rows[name]
        at += len(rows)
    return found


def _followed(parts: Sequence[Part], heads: Sequence[Rows], floor_ns: int) -> tuple[Integers, Integers]:
    """(order by `seq`, when each is due) of what follows it. Telemetry has no arrival: it goes along."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    heads = heads[: len(parts)]
    times = [
        np.zeros(len(rows), np.int64) if part.kind in TOLD else rows["ts_recv_ns"]
        for part, rows in zip(parts, heads, strict=True)
    ]
    order = np.argsort(np.concatenate([rows["seq"] for rows in heads]), kind="stable")
    due = np.maximum.accumulate(np.concatenate(times)[order])
    return order, np.maximum(due, floor_ns)


def _marks(parts: Sequence[Part], spans: Sequence[tuple[Integers, ...]]) -> tuple[Mask, Mask]:
    """(whether each event counts, whether a step may end there), in the order of parts."""
    counted: list[Mask] = [np.zeros(0, np.bool_)]
    stops: list[Mask] = [np.zeros(0, np.bool_)]
    for part, (first, *_) in zip(parts, spans, strict=True):
        rows = part.block.rows
        own = np.full(len(first), part.kind not in TOLD)
        if part.kind is SNAPSHOTS:
            own &= rows["origin"] != KEYFRAME
        ends = own
        if part.kind is CANDLES:
            ends = own & np.append(np.diff(rows["ts_recv_ns"]) != 0, True)
        counted.append(own)
        stops.append(ends)
    return np.concatenate(counted), np.concatenate(stops)


def _run_ends(part: Integers) -> Integers:
    if not len(part):
        return part
    bounds = np.append(np.flatnonzero(np.diff(part)) + 1, len(part))
    return np.repeat(bounds, np.diff(bounds, prepend=0))
