"""What waits for the journal's next transaction: how much, what is given up when it is too much, and in which blocks
the rest is written. No lock of its own: whoever owns it has one."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile
from operator import attrgetter
from typing import Final

from engine.storage.names import SHED_ORDER, RecordKind
from engine.storage.records import Block, Stream, joined

BLOCK_ROWS: Final = 10_000  # what is waiting of one kind and stream is written as one block up to this
BLOCK_BYTES: Final = 4 << 20
APART_NS: Final = (
    90 * 10**9
)  # records further apart than this are not put in one block: history that was fetched
# What waits costs memory besides its rows; small drafts are mostly this.
DRAFT_BYTES: Final = 1_024
BLOCK_COST_BYTES: Final = 512
KEPT_BYTES: Final = 256 << 10  # blocks of one kind and stream are given up, or written, together up to this
TAKEN_MOST: Final = 250  # pieces that are looked at without letting go of the lock: less than a millisecond
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
    """Records of one kind and stream, and when they were put: they came between these times."""

    kind: RecordKind
    stream: Stream
    first_seq: int
    rows: int
    size_bytes: int  # with what it costs to have it wait
    ticket: int  # of the put
    from_ns: int
    to_ns: int
    pack: Callable[[], Block] | None  # None once packed
    blocks: list[Block] = field(default_factory=list)
    kept: bool = False  # put together while the disk refuses

    @classmethod
    def of(cls, draft: Draft, ticket: int, from_ns: int, to_ns: int) -> Waiting:
        """A draft as it was put."""
        size_bytes = draft.size_bytes + DRAFT_BYTES
        ends = (ticket, from_ns, to_ns)
        return cls(draft.kind, draft.stream, draft.first_seq, draft.rows, size_bytes, *ends, draft.pack)


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
    """What waits, in the order it was put, at most `limit_bytes` of it with what is being written.

    Numbers of a later put are above those of an earlier one. Nothing here takes longer for how much waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.rows = self.size_bytes = 0  # waiting or being written
        self.shed = dict.fromkeys(GIVEN_UP_IN_ORDER, 0)  # rows given up since the start
        self.stretches: dict[ShedKey, Stretch] = {}  # given up, and not yet reported
        self._loose: dict[RecordKind, deque[Waiting]] = {kind: deque() for kind in GIVEN_UP_IN_ORDER}
        self._kept: dict[RecordKind, deque[Waiting]] = {kind: deque() for kind in GIVEN_UP_IN_ORDER}
        self._growing: dict[
            tuple[RecordKind, int], Waiting
        ] = {}  # of the kept, by id of the stream: may get more
        self._grown_bytes = min(KEPT_BYTES, limit_bytes // 64)

    def put(self, drafts: Iterable[Draft], ticket: int, from_ns: int, to_ns: int) -> None:
        """They wait, behind all others."""
        for draft in drafts:
            waiting = Waiting.of(draft, ticket, from_ns, to_ns)
            self._loose[draft.kind].append(waiting)
            self.rows += waiting.rows
            self.size_bytes += waiting.size_bytes

    def refuse(self, drafts: Iterable[Draft], from_ns: int, to_ns: int, reason: str, now_s: float) -> None:
        """They are lost at once, and counted."""
        for draft in drafts:
            waiting = Waiting.of(draft, 0, from_ns, to_ns)
            self.rows += waiting.rows
            self.size_bytes += waiting.size_bytes
            self.give_up(waiting, reason, now_s)

    def take(self, limit_bytes: int) -> list[Waiting]:
        """The oldest, by ticket; about so much, of a ticket all or nothing. `done` or `put_back` must follow."""
        queues = (chain(self._kept[kind], loose) for kind, loose in self._loose.items())
        last = _last_ticket(queues, limit_bytes)
        return [*_up_to(self._kept.values(), last), *_up_to(self._loose.values(), last)]

    def take_loose(self) -> list[Waiting]:
        """The oldest that was not put together yet, a part of it; `keep` must follow."""
        return _up_to(self._loose.values(), _last_ticket(self._loose.values(), self.limit_bytes))

    def keep(self, taken: Sequence[Waiting], packed: Sequence[Packed]) -> None:
        """What was loose waits before all that is, as these blocks, by first_seq; little ones go together."""
        self.done(taken)
        parts = {waiting.first_seq: waiting for waiting in taken}
        to_ns = max((waiting.to_ns for waiting in taken), default=0)
        # What came before a hole is not written with what came after it.
        holes = any(each.block.kind is RecordKind.GAPS for each in packed)
        if holes:
            self._growing.clear()
        for each in packed:
            block, part = each.block, parts.get(each.block.first_seq, taken[0])
            rows, size_bytes = len(block.rows), block.size_bytes + BLOCK_COST_BYTES
            held = self._growing.get((block.kind, id(block.stream)))
            if held is not None and held.size_bytes + size_bytes <= self._grown_bytes:
                held.blocks.append(block)
                held.rows += rows
                held.size_bytes += size_bytes
                held.to_ns = to_ns
            else:
                size_bytes += DRAFT_BYTES
                held = Waiting(
                    block.kind,
                    block.stream,
                    block.first_seq,
                    rows,
                    size_bytes,
                    part.ticket,
                    part.from_ns,
                    to_ns,
                    pack=None,
                    blocks=[block],
                    kept=True,
                )
                self._kept[block.kind].append(held)
                if not holes:
                    self._growing[block.kind, id(block.stream)] = held
            self.rows += rows
            self.size_bytes += size_bytes

    def done(self, taken: Iterable[Waiting]) -> None:
        """They do not wait any more."""
        for waiting in taken:
            self.rows -= waiting.rows
            self.size_bytes -= waiting.size_bytes
            if waiting.kept and self._growing.get((waiting.kind, id(waiting.stream))) is waiting:
                del self._growing[waiting.kind, id(waiting.stream)]

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """They wait again, before all others."""
        for waiting in reversed(taken):
            (self._kept if waiting.kept else self._loose)[waiting.kind].appendleft(waiting)

    def give_up_excess(self, reason: str, now_s: float) -> None:
        """No more waits than may: the oldest of what is least wanted goes, so that what is lost is one stretch."""
        for kind, loose in self._loose.items():
            for queue in (self._kept[kind], loose):
                while queue and self.size_bytes > self.limit_bytes:
                    self.give_up(queue.popleft(), reason, now_s)
            if self.size_bytes <= self.limit_bytes:
                return

    def give_up(self, waiting: Waiting, reason: str, now_s: float) -> None:
        """It is lost, and counted; it has been taken out before."""
        self.done((waiting,))
        self.shed[waiting.kind] += waiting.rows
        key = (waiting.stream.venue, waiting.stream.symbol, waiting.kind)
        stretch = self.stretches.get(key)
        if stretch is None:
            self.stretches[key] = Stretch(waiting.from_ns, waiting.to_ns, waiting.rows, reason, now_s)
        else:
            stretch.from_ns = min(stretch.from_ns, waiting.from_ns)
            stretch.to_ns = max(stretch.to_ns, waiting.to_ns)
            stretch.rows += waiting.rows
            stretch.touched_s = now_s

    def give_up_some(self, reason: str) -> bool:
        """Whether something waited: some of it is lost, and counted."""
        given_up = 0
        for queue in (*self._kept.values(), *self._loose.values()):
            while queue and given_up < TAKEN_MOST:
                self.give_up(queue.popleft(), reason, 0.0)
                given_up += 1
        return given_up > 0

    def ended_stretches(self, before_s: float) -> dict[ShedKey, Stretch]:
        """Those of which nothing was given up since; they are not kept any longer."""
        ended = {key: stretch for key, stretch in self.stretches.items() if stretch.touched_s <= before_s}
        for key in ended:
            del self.stretches[key]
        return ended

    def oldest_ticket(self) -> int | None:
        """The least ticket of what waits and is not taken; None when nothing is."""
        return min((queue[0].ticket for queue in self._queues() if queue), default=None)

    def lowest_seq(self) -> int | None:
        """The least number of what waits and is not taken; None when nothing is."""
        first = chain.from_iterable(_first_put(queue) for queue in self._queues() if queue)
        return min((waiting.first_seq for waiting in first), default=None)

    def waiting(self) -> Iterator[Waiting]:
        """All that is not taken. As long as there is much of it: for a look, not for each transaction."""
        return chain.from_iterable(self._queues())

    def _queues(self) -> Iterator[deque[Waiting]]:
        return chain(self._kept.values(), self._loose.values())


def _first_put(queue: deque[Waiting]) -> Iterator[Waiting]:
    ticket = queue[0].ticket
    return takewhile(lambda waiting: waiting.ticket == ticket, queue)


def _last_ticket(queues: Iterable[Iterable[Waiting]], limit_bytes: int) -> int:
    """The ticket up to which about so much waits, and no more pieces than are taken at a time."""
    last, size_bytes = -1, 0
    for count, waiting in enumerate(heapq.merge(*queues, key=attrgetter("ticket"))):
        if (size_bytes >= limit_bytes or count >= TAKEN_MOST) and waiting.ticket != last:
            break
        last = waiting.ticket
        size_bytes += waiting.size_bytes
    return last


def _up_to(queues: Iterable[deque[Waiting]], ticket: int) -> list[Waiting]:
    """All of these up to the ticket; they are taken out."""
    taken = []
    for queue in queues:
        while queue and queue[0].ticket <= ticket:
            taken.append(queue.popleft())
    return taken


@dataclass(frozen=True, slots=True)
class Packed:
    """A block, and the ends of `filed_times` of its rows."""

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
        first_ns, last_ns = block.filed_ns
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
