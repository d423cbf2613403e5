"""What is remembered of one symbol that is being recorded, until the journal takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from engine.market.batches import Source
from engine.storage import packing
from engine.storage.journal import Draft
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, OPEN, Stream
from engine.storage.trade_numbers import TradeNumbers

ITEM_BYTES: Final = 384  # what a batch holds in memory besides its rows
ROW_BYTES: Final = {kind: dtype.itemsize for kind, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Hole:
    """A gap that closed, of a symbol that can be fetched again; the recorded one is found by its `what` and times."""

    source: Source
    symbol: str
    from_ns: int
    to_ns: int
    reason: str
    after_id: int = 0  # of the last trade before it and the first one behind it; 0 = not known
    before_id: int = 0
    what: str = "trades"  # "" = a stretch of which no gap was recorded
    state: int = OPEN  # as it was recorded
    filled: int = 0  # records fetched for it before


@dataclass(slots=True)
class Taken:
    """What was recorded of a venue since recording began."""

    rows: int = 0
    size_bytes: int = 0
    last_rows: int = 0  # `rows` when the last whole second ended
    rate: float = 0.0


@dataclass(slots=True)
class Pen:
    """One symbol, in one revision."""

    source: Source
    stream: Stream
    kinds: frozenset[RecordKind]
    what: tuple[str, ...]
    taken: Taken
    items: dict[RecordKind, list[Any]] = field(default_factory=dict)
    first: dict[RecordKind, int] = field(default_factory=dict)
    rows: dict[RecordKind, int] = field(default_factory=dict)
    heap: dict[RecordKind, int] = field(default_factory=dict)
    newest_ns: int = 0
    numbers: TradeNumbers = field(default_factory=TradeNumbers)
    holes: list[Hole] = field(default_factory=list)  # that wait for the first trade behind them
    keyframe_ns: int = 0  # the next is due then
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)  # what: (from, reason), of open holes
    trades_alone: bool = False  # they have a stream of their own, and it broke: only a trade ends their hole

    def take(self, kind: RecordKind, seq: int, item: Any, rows: int, heap: int) -> None:
        """Remember one item, which is numbered from `seq` on."""
        held = self.items.get(kind)
        if held is None:
            self.items[kind] = [(seq, item)]
            self.first[kind], self.rows[kind], self.heap[kind] = seq, rows, heap
        else:
            held.append((seq, item))
            self.rows[kind] += rows
            self.heap[kind] += heap

    def put_away(self) -> Iterator[Draft]:
        """What it holds, as drafts; it holds nothing then."""
        held, self.items = self.items, {}
        for kind, items in held.items():
            rows = self.rows[kind]
            size = rows * ROW_BYTES[kind] + self.heap[kind]
            self.taken.rows += rows
            self.taken.size_bytes += size
            pack = partial(packing.PACK[kind], self.stream, items)
            yield Draft(kind, self.stream, rows, size + ITEM_BYTES * len(items), self.first[kind], pack)

    def hand_over(self, pen: Pen) -> None:
        """What it knows of the symbol is the other's from here on."""
        pen.newest_ns, pen.numbers, pen.holes = self.newest_ns, self.numbers, self.holes
        pen.broken, pen.trades_alone = self.broken, self.trades_alone
