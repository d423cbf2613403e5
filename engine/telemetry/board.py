"""The board: latest frozen views of what has no history, replaced whole by the engine's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from engine.market.batches import Rows, Source
from engine.market.instruments import Instrument
from engine.matching.statistics import EngineStatistics

if TYPE_CHECKING:
    from engine.matching.log import LogView

SourceState = Literal["loading", "live", "resyncing", "stale", "ended", "error"]
EngineState = Literal["compiling", "running", "failed"]


@dataclass(frozen=True, slots=True)
class BookView:
    """One symbol's book and running candle as they were at one moment; never changed once published."""

    instrument: Instrument
    state: str  # EMPTY, BUFFERING, SYNCED, STALE
    sequence: int
    ts_event_ns: int
    ts_recv_ns: int  # receipt of the newest depth event in it, by the source's clock
    bids: Rows  # LEVEL, best first
    asks: Rows
    counts: tuple[int, int]  # levels in the whole book
    candle: Rows | None  # CANDLE, one row: the running second, provisional
    last_price: int  # 0 = no trade yet
    last_trade_ns: int
    outages: tuple[
        tuple[int, int], ...
    ]  # newest 32 stretches without a synced book, (from, to) ns; to 0 = still


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source's condition."""

    source: Source
    label: str
    colour: int | Literal["sim"]
    opened_ns: int  # wall clock: tells one opening of a source from the next
    state: SourceState
    detail: str
    since_ns: int  # wall clock: when `state` began
    newest_ns: int  # receipt of the newest event, by the source's clock; 0 = none yet
    clock: Callable[[int], int]  # wall ns -> the source's ns; safe to call from any thread
    symbols: tuple[str, ...]
    stages: tuple[str, ...]
    books_synced: int
    frames: int
    gaps: int
    resyncs: int
    dropped: int
    malformed: int
    offset_ns: int | None  # estimated clock offset: running minimum of receive minus event
    agreement: tuple[int, int]  # tops of book that agreed with the venue's own, and compared
    unchecked: int  # tops with no quote to compare
    late: int  # trades too late for their candle
    levels_dropped: int  # far levels pushed out of a full book


@dataclass(frozen=True, slots=True)
class MatchingView:
    """A source's matching engine as it stood between two turns."""

    source: Source
    ts_ns: int  # wall clock
    statistics: EngineStatistics
    resident_bytes: (
        int | None
    )  # of its memory, what is in physical memory; None where the system does not tell
    batch: int  # commands of its newest turn that had some; 0 before the first
    batch_ns: int  # what that turn took: orders made, matched and published


@dataclass(frozen=True, slots=True)
class ReplayView:
    """What is being replayed, and how far it is; `state` is opening, waiting, playing, ended or failed."""

    file: str
    speed: str
    state: str
    progress: float
    detail: str = ""  # why it failed


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine's own state, the same for every browser."""

    state: EngineState = "compiling"
    detail: str = ""
    kernels_done: int = 0
    kernels_total: int = 0
    kernels_seconds: float = 0.0
    kernels_directory: str = ""
    rate: int = 0
    rate_actual: float = 0.0
    skipped: int = 0
    replay: ReplayView | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A supervised task: `restarts` after failures, `error` the last one's sentence."""

    name: str
    state: Literal["running", "backing off", "ended", "failed"]
    restarts: int
    error: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class ProcessView:
    """This process over the last second."""

    cpu_pct: float  # of one core
    rss_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class QueueView:
    """A bounded queue's fill."""

    name: str
    depth: int
    peak: int
    capacity: int
    dropped: int


@dataclass(slots=True)
class Board:
    """Latest views. One writer (the engine's thread); each attribute is replaced, never edited, so reading
    one gives a consistent picture without a lock. `books` gains keys but each value is replaced whole.
    """

    engine: EngineView = field(default_factory=EngineView)
    sources: tuple[SourceView, ...] = ()
    books: dict[tuple[str, str], BookView] = field(default_factory=dict)
    matching: MatchingView | None = None
    tasks: tuple[TaskView, ...] = ()
    queues: tuple[QueueView, ...] = ()
    command_log: LogView | None = None  # of the built-in exchange; None when it is off
    process: ProcessView | None = None
    closed_second_ns: int = 0  # wall clock: seconds that begin before this are complete in every counter ring
