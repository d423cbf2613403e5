"""The stream of the History page: the recorder, what the store holds, its holes, exports and what is deleted.

What a poll saw is one frozen `Seen`, kept with its view, so that an export shows the same. Coverage is worked out once
a second for each stretch that is looked at, whoever looks.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from dashboards import history_coverage as coverage
from dashboards.history_coverage import Chosen, Row, Stretch
from dashboards.streams.common import Json, head, ms
from dashboards.streams.venues import venue_fields
from dashboards.view import NS_A_SECOND, View
from engine.storage.names import USUAL, WHAT
from engine.storage.views import GapView, JobView, RetentionView, StorageView
from engine.telemetry.board import ReplayView
from engine.telemetry.hub import Telemetry

NAME: Final = "history"
HOLES_MAX: Final = 300  # told to a page, the newest
BAR_HOLES_MAX: Final = 60  # drawn under a replay's scrubber
NAME_MAX: Final = 64
KEPT: Final = 16  # stretches whose coverage is held
MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The store as one poll saw it, and the stretch the page looks at."""

    storage: StorageView
    stretch: Stretch
    what: str  # one of `kinds`, "" = all
    kinds: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int
    chosen: Chosen | None  # the stretch that is to be looked at, replayed or exported


class Coverages:
    """Coverage of the stretches that pages look at, each worked out once a second at most. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def seen(self, telemetry: Telemetry, raw: Json, wall_ns: int) -> Seen:
        """What a page with these parameters (`histzoom`, `histat`, `histwhat`, `histof`, checked here) looks at."""
        storage = telemetry.board.storage
        at = raw.get("histat")
        at_ns = int(at) * MS if isinstance(at, int | float) and 0 < at < 4e12 else 0
        kinds = self._once(("kinds", storage.version), lambda: coverage.kinds_of(storage.spans))
        asked = str(raw.get("histwhat") or "")
        what = asked if asked in kinds else ""
        stretch = coverage.chosen(str(raw.get("histzoom") or ""), at_ns, storage.spans, wall_ns)
        second = wall_ns // NS_A_SECOND
        rows = self._once(
            ("rows", storage.version, second, stretch, what),
            lambda: coverage.coverage(storage.spans, storage.gaps, stretch, second * NS_A_SECOND, what),
        )
        most = coverage.ROWS_MAX
        return Seen(
            storage,
            stretch,
            what,
            kinds,
            rows[:most],
            max(0, len(rows) - most),
            self._chosen(storage, raw, second),
        )

    def _chosen(self, storage: StorageView, raw: Json, second: int) -> Chosen | None:
        """`histof` is [venue, symbol or "", from, to] in ms; None for anything else."""
        asked = raw.get("histof")
        if not isinstance(asked, list) or len(asked) != 4:
            return None
        venue, symbol, *times = asked
        if not all(isinstance(text, str) and len(text) <= NAME_MAX for text in (venue, symbol)):
            return None
        if not all(isinstance(at, int | float) and 0 <= at < 4e12 for at in times) or times[0] >= times[1]:
            return None
        between = (int(times[0] * MS), int(times[1] * MS))
        return self._once(  # type: ignore[no-any-return]
            ("chosen", storage.version, second, venue, symbol, between),
            lambda: coverage.looked_at(
                storage.spans, storage.gaps, (venue, symbol), between, second * NS_A_SECOND
            ),
        )

    def holes(self, storage: StorageView, replay: ReplayView) -> list[list[int]]:
        """Where the stretch that is replayed has nothing, in ms."""
        venue = replay.source.partition(":")[0]
        found = self._once(
            ("holes", storage.version, venue, replay.from_ns, replay.to_ns),
            lambda: coverage.uncovered(
                storage.spans, storage.gaps, venue, replay.from_ns, replay.to_ns, BAR_HOLES_MAX
            ),
        )
        return [[start // MS, end // MS] for start, end in found]

    def mark_of_gaps(self, storage: StorageView) -> int:
        """A number that changes with the holes; spans change their version every second while one is recorded."""
        return int(self._once(("gaps", storage.version), lambda: hash(storage.gaps)))

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What `make` made for this key; two that ask at the same moment may both make it, none waits for it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


def looked(coverages: Coverages, telemetry: Telemetry, raw: Json, wall_ns: int) -> Json:
    """What a view keeps for this stream."""
    found = coverages.seen(telemetry, raw, wall_ns)
    return {
        "seen": found,
        "gaps": coverages.mark_of_gaps(found.storage),
    }


def of(view: View) -> Seen:
    """What the poll of this view saw."""
    found: Seen = view.tables[NAME]["seen"]
    return found


def history(view: View, cursor: Json) -> tuple[Json, Json]:
    """Each part whole when it changed; of the calendar the rows that changed."""
    found = of(view)
    storage = found.storage
    key = f"{view.epoch}|history"
    again = cursor if cursor.get("k") == key else {}
    newest_ns = storage.journal.newest_ns if storage.journal is not None else 0
    count = sum(part.rows for part in (storage.journal, storage.archive) if part is not None)
    stream = head(view, key, cursor, newest_ns, count, wall=True)
    place: Json = {"k": key}
    second = view.wall_ns // NS_A_SECOND
    gaps = view.tables[NAME]["gaps"]
    parts: dict[str, tuple[Any, Callable[[], Any]]] = {
        "head": ((storage.state, storage.detail, second), lambda: head_fields(storage)),
        "names": (list(names(view).items()), lambda: names(view)),
        "newest": (
            [row.newest for row in found.rows],
            lambda: [[start // MS, end // MS] for start, end in (row.newest for row in found.rows)],
        ),
        "sessions": (
            [row.sessions for row in found.rows],
            lambda: [[[start // MS, end // MS] for start, end in row.sessions] for row in found.rows],
        ),
        "chosen": (found.chosen, lambda: chosen_fields(found.chosen)),
        "recorder": ((storage.recordings, storage.recordable), lambda: recorder_fields(storage)),
        "holes": (gaps, lambda: [hole_fields(gap) for gap in storage.gaps[-HOLES_MAX:][::-1]]),
        "holes_open": (gaps, lambda: sum(coverage.missed(gap) for gap in storage.gaps)),
        "jobs": (storage.jobs, lambda: [job_fields(job) for job in storage.jobs]),
        "retention": (storage.retention, lambda: retention_fields(storage.retention)),
    }
    for name, (made_of, make) in parts.items():
        place[name] = marked(made_of)
        if again.get(name) != place[name]:
            stream[name] = make()
    stretch = found.stretch
    whose = tuple((row.venue, row.symbol) for row in found.rows)
    shape = marked((stretch, found.what, found.kinds, found.left_out, whose))
    rows_now = [row_fields(row) for row in found.rows]
    marks = [marked(list(row.values())) for row in rows_now]
    place |= {"shape": shape, "marks": marks}
    old = again.get("marks") if again.get("shape") == shape else None
    if old is None:
        stream["calendar"] = calendar_fields(found)
    changed = [n for n, mark in enumerate(marks) if old is None or n >= len(old) or old[n] != mark]
    if changed or old is None:
        stream["rows"] = [[n, rows_now[n]] for n in changed]
    return stream, place


def marked(value: Any) -> int:
    """A number that changes with the value; small enough for a browser's own numbers."""
    return hash(repr(value) if isinstance(value, list) else value) & 0xFFFFFFFF


def names(view: View) -> dict[str, list[Any]]:
    """venue -> [label, colour, run]: how the whole application names and colours what is recorded."""
    found: dict[str, list[Any]] = {}
    for market in venue_fields(view):
        found[market["id"]] = [market["label"], market["colour"], "live"]
    for source in view.sources:
        if source.source.run != "replay":
            found[source.source.venue] = [source.label, source.colour, source.source.run]
    return found


def head_fields(storage: StorageView) -> Json:
    """State and sums."""
    journal, archive, retention = storage.journal, storage.archive, storage.retention
    return {
        "state": storage.state,
        "detail": storage.detail,
        "folder": storage.folder,
        "recording": sum(each.state == "recording" for each in storage.recordings),
        "spans_left_out": storage.spans_left_out,
        "journal": None
        if journal is None
        else {
            "rows": journal.rows,
            "bytes": journal.size_bytes,
            "rows_per_s": round(journal.rows_per_s, 1),
            "p50_ms": ms(journal.commit_p50_ns),
            "p99_ms": ms(journal.commit_p99_ns),
            "commits": journal.commits,
            "pending_rows": journal.pending_rows,
            "pending_bytes": journal.pending_bytes,
            "pending_limit": journal.pending_limit_bytes,
            "newest": time_of(journal.newest_ns),
            "shed": [[kind, rows] for kind, rows in journal.shed],
            "sqlite": journal.sqlite,
        },
        "archive": None
        if archive is None
        else {
            "files": archive.files,
            "rows": archive.rows,
            "bytes": archive.size_bytes,
            "uri": archive.uri,
            "remote": archive.remote,
            "waiting": archive.waiting,
            "state": archive.state,
            "detail": archive.detail,
            "newest": time_of(archive.newest_ns),
            "damaged": [[path, reason] for path, reason in archive.damaged],
        },
        "free": retention.free_bytes if retention is not None else free_below(storage.folder),
        "used": retention.used_bytes if retention is not None else None,
        "budget": retention.budget_bytes if retention is not None else None,
        "full": time_of(retention.full_ns) if retention is not None else None,
    }


def free_below(folder: str) -> int | None:
    """Bytes free on the disk where `folder` is, or will be made; None where that is not told. One look at the disk."""
    if not folder:
        return None
    path = Path(folder)
    try:
        return shutil.disk_usage(next(p for p in (path, *path.parents) if p.is_dir())).free
    except (OSError, StopIteration):
        return None


def alarm_of(storage: StorageView) -> Json | None:
    """What every page has to say of the store: that it does not write; None when all is well."""
    if storage.state not in ("full", "failed"):
        return None
    return {"state": storage.state, "detail": storage.detail}


def time_of(at_ns: int) -> float | None:
    """A time for the wire, None where there is none."""
    return ms(at_ns) if at_ns else None


def recorder_fields(storage: StorageView) -> Json:
    """Every venue that is recorded or could be, and what there is to choose of."""
    offered = dict(storage.recordable)
    running = {each.venue: each for each in storage.recordings}
    rows = []
    for venue in sorted({*offered, *running}):
        one = running.get(venue)
        rows.append(
            {
                "venue": venue,
                "open": venue in offered,
                "offered": list(offered.get(venue, ())),
                "state": one.state if one is not None else "off",
                "detail": one.detail if one is not None else "",
                "symbols": list(one.symbols) if one is not None else [],
                "what": list(one.what) if one is not None else list(USUAL),
                "since": time_of(one.since_ns) if one is not None else None,
                "rows": one.rows if one is not None else 0,
                "rows_per_s": round(one.rows_per_s, 1) if one is not None else None,
                "bytes": one.size_bytes if one is not None else 0,
            }
        )
    return {"rows": rows, "what": list(WHAT)}


def calendar_fields(found: Seen) -> Json:
    """The frame of the calendar: its stretch, and whose rows it has."""
    stretch = found.stretch
    return {
        "zoom": stretch.zoom,
        "from": stretch.from_ns // MS,
        "step": stretch.step_ns // MS,
        "cells": stretch.cells,
        "what": found.what,
        "kinds": list(found.kinds),
        "order": [[row.venue, row.symbol] for row in found.rows],
        "left_out": found.left_out,
    }


def row_fields(row: Row) -> Json:
    """What of a row is drawn and told."""
    return {
        "runs": [list(run) for run in row.runs],
        "kinds": list(row.kinds),
        "of": list(row.of),
        "shares": list(row.shares),
        "holes": row.holes,
    }


def chosen_fields(chosen: Chosen | None) -> Json | None:
    """What was recorded of the chosen stretch."""
    if chosen is None:
        return None
    return {
        "venue": chosen.venue,
        "symbol": chosen.symbol,
        "from": chosen.from_ns // MS,
        "to": chosen.to_ns // MS,
        "recorded": chosen.recorded_ns // MS,
        "of": list(chosen.of),
        "holes": chosen.holes,
        "lost": chosen.lost_ns // MS,
        "rows": [list(each) for each in chosen.rows],
    }


def hole_fields(gap: GapView) -> Json:
    """One hole."""
    return {
        "id": gap.id,
        "venue": gap.venue,
        "symbol": gap.symbol,
        "what": gap.what,
        "from": gap.from_ns // MS,
        "to": -(-gap.to_ns // MS),
        "reason": gap.reason,
        "state": gap.state,
        "filled": gap.filled,
    }


def job_fields(job: JobView) -> Json:
    """One export."""
    plain = asdict(job)
    return plain | {name.removesuffix("_ns"): time_of(plain.pop(name)) for name in JOB_TIMES}


JOB_TIMES: Final = ("from_ns", "to_ns", "started_ns", "ended_ns")


def retention_fields(kept: RetentionView | None) -> Json | None:
    """How much is kept, and what goes next."""
    if kept is None:
        return None
    return {
        "days": kept.days,
        "budget": kept.budget_bytes,
        "used": kept.used_bytes,
        "free": kept.free_bytes,
        "full": time_of(kept.full_ns),
        "deleted": kept.deleted_bytes,
        "next": [
            {
                "date": each.date,
                "venue": each.venue,
                "files": each.files,
                "bytes": each.size_bytes,
                "due": time_of(each.due_ns),
                "why": each.why,
            }
            for each in kept.next
        ],
    }


def replay_fields(telemetry: Telemetry, coverages: Coverages) -> Json | None:
    """What is replayed, for the bar over every page; None when nothing is."""
    replay = telemetry.board.engine.replay
    if replay is None:
        return None
    return {
        "file": replay.file,
        "speed": replay.speed,
        "state": replay.state,
        "progress": round(replay.progress, 4),
        "detail": replay.detail,
        "source": replay.source,
        "recorded": replay.recorded,
        "from": time_of(replay.from_ns),
        "to": time_of(replay.to_ns),
        "at": time_of(replay.at_ns),
        "events": replay.events,
        "hash": replay.hash,
        "holes": coverages.holes(telemetry.board.storage, replay) if replay.recorded and replay.to_ns else [],
    }
