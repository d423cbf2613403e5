"""What waits for the journal's next transaction: how much, what is given up when it is too much, and in which blocks
the rest is written. No lock of its own: whoever owns it has one."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from engine.storage.records import SHED_ORDER, Block, RecordKind, Stream, joined

BLOCK_ROWS: Final = 10_000  # what is waiting of one kind and stream is written as one block up to this
BLOCK_BYTES: Final = 4 << 20
APART_NS: Final = (
    90 * 10**9
)  # records further apart than this are not put in one block: history that was fetched
# What is given up after SHED_ORDER: what is made anew each second, what a venue can be asked for again, the rest.
GIVEN_UP_IN_ORDER: Final = (
    *SHED_ORDER,
    RecordKind.LATENCY,
    RecordKind.COUNTERS,
    RecordKind.CANDLES,
    RecordKind.FUNDING,
    RecordKind.EVENTS,
    RecordKind.TRADES,
    RecordKind.GAPS,
)
assert set(GIVEN_UP_IN_ORDER) == set(RecordKind)


@dataclass(frozen=True, slots=True)
class Draft:
    """Records the recorder hands over. They are packed on the journal's thread."""

    kind: RecordKind
    stream: Stream
    rows: int
    size_bytes: int  # about what they hold in memory, > 0
    first_seq: int
    pack: Callable[[], Block]  # called once; rows by `seq`, ascending


@dataclass(slots=True, eq=False)
class Waiting:
    """A draft, and when it was put: its records came between these times."""

    draft: Draft
    ticket: int  # of the put
    from_ns: int
    to_ns: int
    block: Block | None = None  # packed for a transaction that the disk refused


@dataclass(slots=True)
class Stretch:
    """What was given up of one kind of one stream, one after another."""

    from_ns: int
    to_ns: int
    rows: int
    reason: str
    touched_s: float = 0.0  # monotonic: when the newest of it was given up


ShedKey = tuple[str, str, RecordKind]  # venue, symbol, kind


class Pending:
    """Drafts in the order they were put, at most `limit_bytes` of them with those that are being written."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.rows = self.size_bytes = 0  # waiting or being written
        self.shed = dict.fromkeys(GIVEN_UP_IN_ORDER, 0)  # rows given up since the start
        self.stretches: dict[ShedKey, Stretch] = {}  # given up, and not yet reported
        self._queues: dict[RecordKind, deque[Waiting]] = {kind: deque() for kind in GIVEN_UP_IN_ORDER}

    def put(self, drafts: Iterable[Draft], ticket: int, from_ns: int, to_ns: int) -> None:
        """They wait, behind all others."""
        for draft in drafts:
            self._queues[draft.kind].append(Waiting(draft, ticket, from_ns, to_ns))
            self.rows += draft.rows
            self.size_bytes += draft.size_bytes

    def take(self, limit_bytes: int) -> list[Waiting]:
        """The oldest, by ticket; about so much, of a ticket all or nothing. `done` or `put_back` must follow."""
        last = -1
        size_bytes = 0
        for waiting in heapq.merge(*self._queues.values(), key=attrgetter("ticket")):
            if size_bytes >= limit_bytes and waiting.ticket != last:
                break
            last = waiting.ticket
            size_bytes += waiting.draft.size_bytes
        taken: list[Waiting] = []
        for queue in self._queues.values():
            while queue and queue[0].ticket <= last:
                taken.append(queue.popleft())
        return taken

    def done(self, taken: Iterable[Waiting]) -> None:
        """They do not wait any more."""
        for waiting in taken:
            self.rows -= waiting.draft.rows
            self.size_bytes -= waiting.draft.size_bytes

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """They wait again, before all others."""
        for waiting in reversed(taken):
            self._queues[waiting.draft.kind].appendleft(waiting)

    def give_up_excess(self, reason: str, now_s: float) -> None:
        """No more waits than may: the oldest of what is least wanted goes, so that what is lost is one stretch."""
        for queue in self._queues.values():
            while queue and self.size_bytes > self.limit_bytes:
                self.give_up(queue.popleft(), reason, now_s)
            if self.size_bytes <= self.limit_bytes:
                return

    def give_up(self, waiting: Waiting, reason: str, now_s: float) -> None:
        """It is lost, and counted; it has been taken out before."""
        draft = waiting.draft
        self.done((waiting,))
        self.shed[draft.kind] += draft.rows
        key = (draft.stream.venue, draft.stream.symbol, draft.kind)
        stretch = self.stretches.get(key)
        if stretch is None:
            self.stretches[key] = Stretch(waiting.from_ns, waiting.to_ns, draft.rows, reason, now_s)
        else:
            stretch.from_ns = min(stretch.from_ns, waiting.from_ns)
            stretch.to_ns = max(stretch.to_ns, waiting.to_ns)
            stretch.rows += draft.rows
            stretch.touched_s = now_s

    def give_up_all(self, reason: str) -> None:
        """Nothing waits."""
        for queue in self._queues.values():
            while queue:
                self.give_up(queue.popleft(), reason, 0.0)

    def ended_stretches(self, before_s: float) -> dict[ShedKey, Stretch]:
        """Those of which nothing was given up since; they are not kept any longer."""
        ended = {key: stretch for key, stretch in self.stretches.items() if stretch.touched_s <= before_s}
        for key in ended:
            del self.stretches[key]
        return ended

    def oldest_ticket(self) -> int | None:
        """The least ticket of what waits and is not taken; None when nothing is."""
        return min((queue[0].ticket for queue in self._queues.values() if queue), default=None)

    def waiting(self) -> list[Waiting]:
        """All that is not taken."""
        return [waiting for queue in self._queues.values() for waiting in queue]


@dataclass(frozen=True, slots=True)
class Packed:
    """A block, and the ends of `times_of` its rows."""

    block: Block
    first_ns: int
    last_ns: int


def merged(blocks: Sequence[Block]) -> list[Packed]:
    """As few blocks as may be with the same rows, by first_seq.

    A hole that is recorded separates what was before it from what came after it. Empty blocks are left out.
    """
    groups: dict[tuple[RecordKind, int], _Group] = {}
    found: list[Packed] = []
    for block in sorted((block for block in blocks if len(block.rows)), key=attrgetter("first_seq")):
        if block.kind is RecordKind.GAPS:
            found.extend(_packed(groups))
        key = (block.kind, id(block.stream))
        group = groups.get(key)
        first_ns, last_ns = block.times_ns
        if group is not None and not group.takes(block, first_ns, last_ns):
            found.append(group.packed())
            group = None
        if group is None:
            groups[key] = _Group([block], len(block.rows), block.size_bytes, first_ns, last_ns)
        else:
            group.add(block, first_ns, last_ns)
        if block.kind is RecordKind.GAPS:
            found.extend(_packed(groups))
    found.extend(_packed(groups))
    found.sort(key=lambda packed: packed.block.first_seq)
    return found


@dataclass(slots=True)
class _Group:
    blocks: list[Block]
    rows: int
    size_bytes: int
    first_ns: int
    last_ns: int

    def takes(self, block: Block, first_ns: int, last_ns: int) -> bool:
        return (
            self.rows + len(block.rows) <= BLOCK_ROWS
            and self.size_bytes + block.size_bytes <= BLOCK_BYTES
            and first_ns <= self.last_ns + APART_NS
            and last_ns >= self.first_ns - APART_NS
            and block.first_seq >= self.blocks[-1].last_seq
        )

    def add(self, block: Block, first_ns: int, last_ns: int) -> None:
        self.blocks.append(block)
        self.rows += len(block.rows)
        self.size_bytes += block.size_bytes
        self.first_ns, self.last_ns = min(self.first_ns, first_ns), max(self.last_ns, last_ns)

    def packed(self) -> Packed:
        return Packed(joined(self.blocks), self.first_ns, self.last_ns)


def _packed(groups: dict[tuple[RecordKind, int], _Group]) -> Iterator[Packed]:
    for group in groups.values():
        yield group.packed()
    groups.clear()
