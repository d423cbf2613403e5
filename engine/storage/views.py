"""What pages see of the store: frozen views, replaced whole (`Board.storage`). Times are wall clock ns, 0 = none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StoreState = Literal["off", "opening", "ready", "full", "read only", "failed"]
JobState = Literal["waiting", "running", "done", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class JournalView:
    """The journal: what is on the disk there, and what waits for it."""

    rows: int
    blocks: int
    size_bytes: int  # of the database and its write-ahead log
    durable_seq: int  # every record below it is on the disk
    pending_rows: int
    pending_bytes: int
    pending_limit_bytes: int
    commits: int
    commit_p50_ns: int  # over the newest 1,000
    commit_p99_ns: int
    rows_per_s: float  # on the disk, over the last whole second
    newest_ns: int  # when the newest commit ended
    shed: tuple[tuple[str, int], ...]  # (kind, rows) given up because the disk was full, or too much waited
    sqlite: str  # its version
    wal_bytes: int = 0  # of the write-ahead log alone: readers that stay keep it from being begun anew
    held_up: int = 0  # how often they did, when it was large


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """The Parquet files."""

    files: int
    rows: int
    size_bytes: int
    uri: str  # where they are; of a bucket, never with a secret
    remote: bool
    waiting: int  # files not yet verified at a remote place
    state: Literal["idle", "compacting", "uploading", "failing"]
    detail: str  # why it fails, and when it is tried again
    newest_ns: int  # when the newest file was added
    damaged: tuple[tuple[str, str], ...]  # (path, reason): skipped and kept; the first 50


@dataclass(frozen=True, slots=True)
class RecordingView:
    """One venue that is being recorded."""

    venue: str
    symbols: tuple[str, ...]  # asked for; () = all that it follows
    what: tuple[str, ...]  # of WHAT
    since_ns: int
    rows: int
    rows_per_s: float
    size_bytes: int
    state: Literal["recording", "waiting"]  # waiting: the venue is not connected
    detail: str


@dataclass(frozen=True, slots=True)
class SpanView:
    """A stretch without a hole in which something of a symbol was recorded."""

    venue: str
    symbol: str  # "" = of the venue as a whole
    what: str  # of WHAT
    from_ns: int
    to_ns: int
    rows: int
    size_bytes: int  # estimated: in the journal as it is, in the archive its share of the files


@dataclass(frozen=True, slots=True)
class GapView:
    """A hole."""

    venue: str
    symbol: str
    what: str
    from_ns: int
    to_ns: int
    reason: str
    state: Literal["open", "filled", "partly filled", "not recorded"]  # the last: nobody asked for it then
    filled: int  # records fetched for it
    id: int = 0  # of the recorded one; 0 = it goes on, and `to_ns` is now


@dataclass(frozen=True, slots=True)
class DeletionView:
    """What the retention rule deletes next: a day of a venue."""

    date: str  # "2026-11-20"
    venue: str
    files: int
    size_bytes: int
    due_ns: int  # 0 = at the next look: the budget is exceeded
    why: str  # "older than 30 days", "over the disk budget"


@dataclass(frozen=True, slots=True)
class RetentionView:
    """How much is kept, and what goes."""

    days: int  # 0 = for ever
    budget_bytes: int  # 0 = none
    used_bytes: int
    free_bytes: int  # of the disk
    full_ns: int  # when the budget is reached at the present rate; 0 = not in sight
    next: tuple[DeletionView, ...]  # soonest first, at most 20
    deleted_bytes: int  # since the start


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What a retention rule would delete at once, were it in force."""

    days: tuple[tuple[str, str, int, int], ...]  # (date, venue, bytes, rows), soonest first: all of them
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class JobView:
    """One export."""

    id: str
    name: str  # of its file
    kind: str
    venue: str
    symbol: str
    from_ns: int
    to_ns: int
    form: str  # "csv", "parquet", "feather"
    state: JobState
    detail: str
    rows: int  # written
    total: int  # expected; 0 = not known yet
    size_bytes: int
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class StorageView:
    """The store as it stands."""

    state: StoreState = "off"
    detail: str = ""
    folder: str = ""
    journal: JournalView | None = None
    archive: ArchiveView | None = None
    retention: RetentionView | None = None
    recordings: tuple[RecordingView, ...] = ()
    recordable: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (venue, symbols) of what is open now
    spans: tuple[SpanView, ...] = ()  # the newest 5,000, by venue, symbol, what, time
    spans_left_out: int = 0
    gaps: tuple[GapView, ...] = ()  # the newest 1,000, oldest first
    jobs: tuple[JobView, ...] = ()  # newest first, at most 50
    version: int = 0  # changes with spans, gaps or jobs
