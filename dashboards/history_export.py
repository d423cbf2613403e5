"""CSV of what the History page shows, from the view the browser names; cells are guarded as in `export.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dashboards import history_streams as streams
from dashboards.history_coverage import FULL
from dashboards.sheet import TIMES, Table, csv_text, iso, when
from dashboards.streams.common import Json
from dashboards.view import View
from engine.errors import BadCommand


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of one panel; BadCommand when there is no such table."""
    part = str(request.get("part") or "")
    make = _PARTS.get(part)
    if make is None:
        raise BadCommand(f"there is no table named {part[:40]!r}")
    text = csv_text(*make(view))
    return file_name(view, part), text


def file_name(view: View, part: str) -> str:
    """What the file is, in any folder: which table, of the calendar its zoom too, and when."""
    found = streams.of(view)
    what = f"coverage-{found.stretch.zoom}-{found.what or 'all'}" if part == "coverage" else part
    at = iso(view.wall_ns)[:19].replace(":", "") + "Z"
    return f"venuescope_history_{what}_{at}.csv"


def _utc(at_ns: int) -> str:
    return iso(at_ns) if at_ns else ""


def _coverage(view: View) -> Table:
    """Neighbouring cells of the same shares as one row, from when to when."""
    found = streams.of(view)
    stretch = found.stretch
    rows = []
    for row in found.rows:
        place = 0
        for cells, *shares in row.runs:
            start = stretch.from_ns + place * stretch.step_ns
            place += cells
            rows.append(
                (
                    *when(start),
                    iso(stretch.from_ns + place * stretch.step_ns),
                    row.venue,
                    row.symbol,
                    "; ".join(row.of),
                    *(f"{share / FULL:.3f}" for share in shares),
                )
            )
    return (*TIMES, "to_utc", "venue", "symbol", "what", "recorded", "fetched_later", "hole", "in_part"), rows


def _holes(view: View) -> Table:
    names = ("venue", "symbol", "what", "reason", "state", "filled")
    return (*TIMES, "to_utc", "seconds", *names), [
        (
            *when(gap.from_ns),
            iso(gap.to_ns),
            f"{(gap.to_ns - gap.from_ns) / 1e9:.3f}",
            *(getattr(gap, name) for name in names),
        )
        for gap in streams.of(view).storage.gaps[-streams.HOLES_MAX :][::-1]
    ]


def _recorder(view: View) -> Table:
    names = ("venue", "state", "rows", "rows_per_s", "bytes")
    return (*TIMES, *names, "symbols", "what", "since_utc"), [
        (
            *when(view.wall_ns),
            *(row[name] for name in names),
            "; ".join(row["symbols"]) or "all",
            "; ".join(row["what"]),
            "" if row["since"] is None else iso(round(row["since"] * 1e6)),
        )
        for row in streams.recorder_fields(streams.of(view).storage)["rows"]
    ]


def _jobs(view: View) -> Table:
    names = (
        "id",
        "name",
        "kind",
        "venue",
        "symbol",
        "form",
        "state",
        "detail",
        "rows",
        "total",
        "size_bytes",
    )
    return (*TIMES, *names, "from_utc", "to_utc", "ended_utc"), [
        (
            *when(job.started_ns),
            *(getattr(job, name) for name in names),
            *(_utc(at_ns) for at_ns in (job.from_ns, job.to_ns, job.ended_ns)),
        )
        for job in streams.of(view).storage.jobs
    ]


def _retention(view: View) -> Table:
    kept = streams.of(view).storage.retention
    names = ("date", "venue", "files", "size_bytes", "why")
    return (*TIMES, *names, "due_utc"), [
        (*when(view.wall_ns), *(getattr(each, name) for name in names), _utc(each.due_ns))
        for each in (kept.next if kept is not None else ())
    ]


_PARTS: Final[dict[str, Callable[[View], Table]]] = {
    "coverage": _coverage,
    "holes": _holes,
    "recorder": _recorder,
    "jobs": _jobs,
    "retention": _retention,
}
