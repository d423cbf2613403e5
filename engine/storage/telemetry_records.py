"""What the telemetry of a source measured, as records; and such records as the rows they were.

Pure, and without Arrow: the recorder calls it on the engine's loop, once a second for each source, and a replay hands
blocks back there. Numbers of rows are bounded by the rings they come from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from engine.market.batches import Rows
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block, Stream
from engine.telemetry.counters import COUNT
from engine.telemetry.events import EventLog, Level
from engine.telemetry.histogram_kernel import BUCKETS
from engine.telemetry.hub import Telemetry
from engine.telemetry.latency import BUCKET, SUMMARY, StageLatency
from engine.telemetry.ring import Ring

KINDS: Final = (RecordKind.LATENCY, RecordKind.COUNTERS, RecordKind.EVENTS)
BUILT_IN: Final = "builtin:sim"
CLIENTS: Final = "exchange"  # whose stages are those of the built-in exchange's clients
TEXT_MAX_BYTES: Final = 2_000  # of an event's sentence
LEVELS: Final[Mapping[bytes, Level]] = {b"info": "info", b"warn": "warn", b"error": "error"}
_PAIR: Final = np.dtype([("bucket", np.int32), ("count", np.int32)])

Cursors = tuple[int, int]  # of a stage: in its ring of seconds, in that of its buckets


# --- to records -----------------------------------------------------------------------------------------------


def latency_block(
    stream: Stream, stages: Mapping[str, StageLatency], cursors: Mapping[str, Cursors], first_seq: int
) -> tuple[Block | None, dict[str, Cursors]]:
    """(a LATENCY block of the seconds closed since the cursors, None without any; the next cursors).

    Stages are named as the record is to name them, ASCII, at most 16 bytes; one without a cursor is read from its
    beginning. `seq` counts on from `first_seq`, second by second. Cost: some 15 us a stage.
    """
    parts: list[Rows] = []
    heaps: list[Rows] = []
    at = 0
    places: dict[str, Cursors] = {}
    for name, stage in stages.items():
        seconds_from, buckets_from = cursors.get(name, (0, 0))
        seconds = stage.seconds.since(seconds_from)
        buckets = stage.buckets.since(buckets_from)
        places[name] = (seconds.cursor, buckets.cursor)
        if not len(seconds.rows):
            continue
        ends = np.searchsorted(buckets.rows["ts_ns"], seconds.rows["ts_ns"], "right")
        starts = np.searchsorted(buckets.rows["ts_ns"], seconds.rows["ts_ns"], "left")
        rows = np.zeros(len(seconds.rows), DTYPES[RecordKind.LATENCY])
        _copy(rows, seconds.rows, SUMMARY)
        rows["stage"] = name.encode("ascii")
        rows["buckets"] = ends - starts
        rows["at"] = at + starts * _PAIR.itemsize
        pairs = np.empty(len(buckets.rows), _PAIR)
        _copy(pairs, buckets.rows, _PAIR)
        parts.append(rows)
        heaps.append(pairs)
        at += pairs.nbytes
    if not parts:
        return None, places
    rows = np.concatenate(parts)
    if len(parts) < len(rows):  # more than one second of a stage
        rows = rows[np.argsort(rows["ts_ns"], kind="stable")]
    rows["seq"] = np.arange(first_seq, first_seq + len(rows))
    return Block(RecordKind.LATENCY, stream, rows, b"".join(pairs.tobytes() for pairs in heaps)), places


def counters_block(stream: Stream, ring: Ring, cursor: int, first_seq: int) -> tuple[Block | None, int]:
    """(a COUNTERS block of the seconds of a ring of COUNT rows since the cursor, None without any; the next cursor)."""
    found = ring.since(cursor)
    if not len(found.rows):
        return None, found.cursor
    rows = np.zeros(len(found.rows), DTYPES[RecordKind.COUNTERS])
    _copy(rows, found.rows, COUNT)
    rows["seq"] = np.arange(first_seq, first_seq + len(rows))
    return Block(RecordKind.COUNTERS, stream, rows), found.cursor


def events_block(
    stream: Stream, log: EventLog, cursor: int, sources: Collection[str], first_seq: int
) -> tuple[Block | None, int]:
    """(an EVENTS block of what was said of `sources` after event number `cursor`, None without any; the next cursor).

    Sentences are cut at 2,000 bytes.
    """
    written = log.written
    if written == cursor:
        return None, cursor
    found = [event for event in log.since(cursor) if event.number <= written and event.source in sources]
    if not found:
        return None, written
    texts = [event.text.encode()[:TEXT_MAX_BYTES] for event in found]
    lengths = np.array([len(text) for text in texts])
    rows = np.zeros(len(found), DTYPES[RecordKind.EVENTS])
    rows["seq"] = np.arange(first_seq, first_seq + len(found))
    rows["ts_ns"] = [event.ts_ns for event in found]
    rows["level"] = [event.level.encode() for event in found]
    rows["what"] = [event.what.encode("ascii", "replace") for event in found]
    rows["at"], rows["length"] = np.cumsum(lengths) - lengths, lengths
    return Block(RecordKind.EVENTS, stream, rows, b"".join(texts)), written


@dataclass(slots=True)
class Tail:
    """Where the recording of one source's telemetry stands. It begins at what is there when it is made.

    `source` is the source's key; its events are those of `names`, which are the key and its venue where none are given.
    A source that was opened again is read from its new beginning. With the built-in exchange's own stages come those
    of its clients, as "client.socket", "client.ack", ...
    """

    telemetry: Telemetry
    stream: Stream
    source: str
    names: frozenset[str] = frozenset()
    lost: int = 0  # seconds that were overwritten before they were read
    _stages: dict[str, tuple[StageLatency, Cursors]] = field(default_factory=dict)
    _counts: tuple[Ring, int] | None = None
    _event: int = 0

    def __post_init__(self) -> None:
        self.names = self.names or frozenset((self.source, self.source.partition(":")[0]))
        self._event = self.telemetry.events.written
        for name, stage in self._found().items():
            self._stages[name] = (stage, (stage.seconds.head, stage.buckets.head))
        counters = self.telemetry.counters.get(self.source)
        if counters is not None:
            self._counts = (counters.ring, counters.ring.head)

    def blocks(self, kinds: Collection[RecordKind], first_seq: int) -> list[Block]:
        """What is new of these kinds, in blocks; `seq` counts on from one to the next. On the engine's loop."""
        made: list[Block] = []

        def add(block: Block | None) -> None:
            nonlocal first_seq
            if block is not None:
                made.append(block)
                first_seq += len(block.rows)

        if RecordKind.LATENCY in kinds:
            add(self._latency(first_seq))
        counters = self.telemetry.counters.get(self.source)
        if RecordKind.COUNTERS in kinds and counters is not None:
            ring = counters.ring
            cursor = self._counts[1] if self._counts is not None and self._counts[0] is ring else 0
            self.lost += ring.since(cursor).lost if ring.head - cursor > ring.capacity else 0
            block, cursor = counters_block(self.stream, ring, cursor, first_seq)
            self._counts = (ring, cursor)
            add(block)
        if RecordKind.EVENTS in kinds:
            log = self.telemetry.events
            block, self._event = events_block(self.stream, log, self._event, self.names, first_seq)
            add(block)
        return made

    def _latency(self, first_seq: int) -> Block | None:
        stages = self._found()
        cursors = {
            name: held[1] for name, held in self._stages.items() if name in stages and held[0] is stages[name]
        }
        for name, stage in stages.items():
            waiting = stage.seconds.head - cursors.get(name, (0, 0))[0]
            self.lost += max(0, waiting - stage.seconds.capacity)
        block, places = latency_block(self.stream, stages, cursors, first_seq)
        self._stages = {name: (stage, places[name]) for name, stage in stages.items()}
        return block

    def _found(self) -> dict[str, StageLatency]:
        known = self.telemetry.stages.items()
        found = {name: stage for (source, name), stage in known if source == self.source}
        if self.source == BUILT_IN:
            found |= {f"client.{name}": stage for (source, name), stage in known if source == CLIENTS}
        return found


# --- from records ---------------------------------------------------------------------------------------------


def latency_rows(block: Block) -> Iterator[tuple[str, Rows, Rows]]:
    """(stage, SUMMARY rows, BUCKET rows of those seconds) of a LATENCY block, by stage, in the order of its rows.

    What a heap that is not ours has beyond its end, or beyond the last bucket, is left out.
    """
    rows = block.rows
    heap = np.frombuffer(block.heap, _PAIR, len(block.heap) // _PAIR.itemsize)
    for name in np.unique(rows["stage"]).tolist():
        own = rows[rows["stage"] == name]
        seconds = np.empty(len(own), SUMMARY)
        _copy(seconds, own, SUMMARY)
        counts, starts = own["buckets"].astype(np.int64), own["at"] // _PAIR.itemsize
        good = (counts > 0) & (starts >= 0) & (starts + counts <= len(heap))
        counts = np.where(good, counts, 0)
        first = np.cumsum(counts) - counts
        places = np.repeat(starts - first, counts) + np.arange(int(counts.sum()))
        buckets = np.empty(len(places), BUCKET)
        buckets["ts_ns"] = np.repeat(own["ts_ns"], counts)
        pairs = heap[places]
        buckets["bucket"], buckets["count"] = pairs["bucket"], pairs["count"]
        known = (pairs["bucket"] >= 0) & (pairs["bucket"] < BUCKETS) & (pairs["count"] > 0)
        yield name.decode("ascii", "replace"), seconds, buckets[known]


def count_rows(block: Block) -> Rows:
    """COUNT rows of a COUNTERS block."""
    rows = np.empty(len(block.rows), COUNT)
    _copy(rows, block.rows, COUNT)
    return rows


def event_rows(block: Block) -> Iterator[tuple[int, Level, str, str]]:
    """(time ns, level, what, sentence) of each row of an EVENTS block."""
    for ts_ns, level, what, at, length in block.rows[["ts_ns", "level", "what", "at", "length"]].tolist():
        text = block.heap[at : at + length].decode("utf-8", "replace")
        yield ts_ns, LEVELS.get(level, "info"), what.decode("ascii", "replace"), text


def _copy(to: Rows, rows: Rows, fields: np.dtype[Any]) -> None:
    for name in cast(tuple[str, ...], fields.names):
        to[name] = rows[name]
