"""What share of each cell of the calendar was recorded: spans and holes of the store over a stretch of time.

Pure: frozen views and times in, whole numbers out. A cell is full only where everything its row records was recorded
all the time; a hole beats a span that claims to cover it. Time in which nobody asked for recording is no hole, but
empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.storage.views import GapView, SpanView

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
# zoom -> (cells, length of one)
ZOOMS: Final = {"90d": (90, DAY), "30d": (30, DAY), "day": (96, 15 * MINUTE), "hour": (60, MINUTE)}
FULL: Final = 1_000  # a whole cell, in the units of `Row.runs`
NEWEST: Final = 5 * SECOND  # a span that ended within this goes on: the store writes in turns
ROWS_MAX: Final = 200
DAYS_MAX: Final = 400
TOLD_LATER: Final = ("candles", "funding")
ALL: Final = ("", "all")  # a hole of everything that is recorded

Interval = tuple[int, int]
Run = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time that a calendar shows: `cells` of `step_ns` from `from_ns` on."""

    zoom: str
    from_ns: int
    cells: int
    step_ns: int

    @property
    def to_ns(self) -> int:
        """Its end."""
        return self.from_ns + self.cells * self.step_ns


@dataclass(frozen=True, slots=True)
class Row:
    """One symbol of a venue (`symbol` "" = the venue as a whole).

    `runs` are (cells, recorded, fetched later, hole) with shares in thousandths; they sum to all cells. `shares` are
    the same three of the whole stretch as far as it is over. What is neither nothing nor all is never written as
    either.
    """

    venue: str
    symbol: str
    kinds: tuple[str, ...]  # what is recorded of it, of this stretch
    runs: tuple[Run, ...]
    shares: tuple[int, int, int]
    holes: int  # in the stretch, not filled
    newest: Interval  # the newest recording without a hole, wherever it lies


def chosen(zoom: str, at_ns: int, spans: Sequence[SpanView], now_ns: int) -> Stretch:
    """The stretch of a zoom that holds `at_ns`: a whole hour or day, or so many days that end with its own.

    0 is the newest data: hours and days then end with them, wherever in an hour or day that is. An unknown zoom fits
    what was recorded as it happened; candles and funding that came with it tell of the time before.
    """
    first = min(
        (span.from_ns for span in spans if span.what not in TOLD_LATER),
        default=min((span.from_ns for span in spans), default=now_ns),
    )
    newest = max((span.to_ns for span in spans), default=now_ns)
    if zoom not in ZOOMS:
        long = newest - first
        zoom = "hour" if long < HOUR else "day" if long < DAY else "30d"
    cells, step_ns = ZOOMS[zoom]
    found_ns = min(at_ns or newest, now_ns)
    if step_ns == DAY or not at_ns:
        return Stretch(zoom, found_ns - found_ns % step_ns - (cells - 1) * step_ns, cells, step_ns)
    return Stretch(zoom, found_ns - found_ns % (cells * step_ns), cells, step_ns)


def kinds_of(spans: Iterable[SpanView]) -> tuple[str, ...]:
    """What was ever recorded, sorted."""
    return tuple(sorted({span.what for span in spans}))


def coverage(
    spans: Iterable[SpanView], gaps: Iterable[GapView], stretch: Stretch, now_ns: int, what: str = ""
) -> tuple[Row, ...]:
    """A row for each venue and symbol recorded so far, sorted; `what` "" is everything it recorded in the stretch.

    Cells ahead of now are empty, and the running one is measured against what of it is over. Cost: some 20 us for
    each row and kind, and 1 us a span.
    """
    recorded: dict[tuple[str, str], dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    newest: dict[tuple[str, str], Interval] = {}
    for span in spans:
        if what and span.what != what:
            continue
        key = (span.venue, span.symbol)
        to_ns = now_ns if 0 <= now_ns - span.to_ns <= NEWEST else span.to_ns
        recorded[key][span.what].append((span.from_ns, to_ns))
        if key not in newest or (span.to_ns, -span.from_ns) > (newest[key][1], -newest[key][0]):
            newest[key] = (span.from_ns, span.to_ns)
    lost: dict[tuple[str, str], list[GapView]] = defaultdict(list)
    for gap in gaps:
        if gap.from_ns < stretch.to_ns and gap.to_ns > stretch.from_ns:
            lost[gap.venue, gap.symbol].append(gap)
    return tuple(
        _row(key, recorded[key], holes_of(lost, key), newest[key], stretch, now_ns, what)
        for key in sorted(recorded)
    )


def holes_of(lost: dict[tuple[str, str], list[GapView]], key: tuple[str, str]) -> list[GapView]:
    """Holes of a symbol, with those of its whole venue."""
    venue, symbol = key
    return [*lost.get((venue, ""), ()), *(lost.get(key, ()) if symbol else ())]


def missed(gap: GapView) -> bool:
    """Whether it is a hole in what was to be recorded, and not filled."""
    return gap.state in ("open", "partly filled")


def _row(
    key: tuple[str, str],
    recorded: dict[str, list[Interval]],
    gaps: list[GapView],
    newest: Interval,
    stretch: Stretch,
    now_ns: int,
    what: str,
) -> Row:
    edges = np.minimum(
        stretch.from_ns + np.arange(stretch.cells + 1, dtype=np.int64) * stretch.step_ns, now_ns
    )
    kinds = tuple(
        sorted(
            kind for kind, found in recorded.items() if any(f < edges[-1] and t > edges[0] for f, t in found)
        )
    ) or ((what,) if what else ())
    sums = np.zeros((3, stretch.cells), np.int64)
    seen = 0
    for kind in kinds:
        mine = [gap for gap in gaps if gap.what in ALL or gap.what == kind]
        seen += sum(missed(gap) for gap in mine)
        holes = merged((gap.from_ns, gap.to_ns) for gap in mine if missed(gap))
        filled = without(merged((gap.from_ns, gap.to_ns) for gap in mine if gap.state == "filled"), holes)
        whole = without(merged(recorded.get(kind, ())), merged((gap.from_ns, gap.to_ns) for gap in mine))
        for place, intervals in enumerate((whole, filled, holes)):
            sums[place] += measured(intervals, edges)
    lengths = np.diff(edges) * max(1, len(kinds))
    shares = np.array([_shares(line, lengths) for line in sums])
    over = _shares(sums.sum(axis=1), np.full(3, lengths.sum()))
    return Row(
        *key, kinds, tuple(runs(shares.T.tolist())), (int(over[0]), int(over[1]), int(over[2])), seen, newest
    )


def _shares(line: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Thousandths of each length; 1 to 999 where it is neither nothing nor all."""
    shares = (line * FULL) // np.maximum(lengths, 1)
    shares[(line > 0) & (shares == 0)] = 1
    found: npt.NDArray[np.int64] = np.where(
        line >= lengths, np.where(line > 0, FULL, 0), np.minimum(shares, FULL - 1)
    )
    return found


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as sorted intervals that do not touch; empty ones are left out."""
    out: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def without(intervals: Sequence[Interval], taken: Sequence[Interval]) -> list[Interval]:
    """What is left of merged intervals when merged others are taken out."""
    out: list[Interval] = []
    place = 0
    for start, end in intervals:
        while place < len(taken) and taken[place][1] <= start:
            place += 1
        at, k = start, place
        while k < len(taken) and taken[k][0] < end:
            if taken[k][0] > at:
                out.append((at, taken[k][0]))
            at = max(at, taken[k][1])
            k += 1
        if at < end:
            out.append((at, end))
    return out


def measured(intervals: Sequence[Interval], edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How much of merged intervals lies between each two edges, ns."""
    if not intervals:
        return np.zeros(len(edges) - 1, np.int64)
    starts, ends = np.array(intervals, np.int64).T
    lengths = ends - starts
    before = np.concatenate(([0], np.cumsum(lengths)))
    place = np.searchsorted(starts, edges, "right") - 1
    k = np.maximum(place, 0)
    upto = np.where(place < 0, 0, before[k] + np.clip(edges - starts[k], 0, lengths[k]))
    found: npt.NDArray[np.int64] = np.diff(upto)
    return found


def runs(cells: Iterable[Sequence[int]]) -> list[Run]:
    """Equal neighbours as one, with their number before them."""
    out: list[Run] = []
    for recorded, filled, hole in cells:
        if out and out[-1][1:] == (recorded, filled, hole):
            out[-1] = (out[-1][0] + 1, recorded, filled, hole)
        else:
            out.append((1, recorded, filled, hole))
    return out


def uncovered(
    spans: Iterable[SpanView], gaps: Iterable[GapView], venue: str, from_ns: int, to_ns: int, most: int
) -> tuple[Interval, ...]:
    """Where nothing of a venue's market was recorded in a stretch, the longest `most` of them, by time.

    Fetched candles and trades do not make a book: a hole counts until its own kind is filled.
    """
    mine = merged(
        (s.from_ns, s.to_ns) for s in spans if s.venue == venue and s.to_ns > from_ns and s.from_ns < to_ns
    )
    lost = merged(
        (g.from_ns, g.to_ns)
        for g in gaps
        if g.venue == venue and g.state != "filled" and g.what in (*ALL, "book", "trades")
    )
    empty = without([(from_ns, to_ns)], mine)
    found = merged(
        (*empty, *((max(f, from_ns), min(t, to_ns)) for f, t in lost if t > from_ns and f < to_ns))
    )
    return tuple(sorted(sorted(found, key=lambda one: one[0] - one[1])[:most]))


def day_sizes(spans: Iterable[SpanView]) -> list[tuple[str, int]]:
    """(UTC date, bytes) of the newest 400 days recorded, oldest first; a span's bytes are spread over its time."""
    sizes: dict[int, float] = defaultdict(float)
    for span in spans:
        first, last = span.from_ns // DAY, max(span.from_ns, span.to_ns - 1) // DAY
        length = max(1, span.to_ns - span.from_ns)
        for day in range(first, last + 1):
            part = min(span.to_ns, (day + 1) * DAY) - max(span.from_ns, day * DAY)
            sizes[day] += span.size_bytes * (part / length if last > first else 1.0)
    return [(date_of(day * DAY), round(sizes[day])) for day in sorted(sizes)[-DAYS_MAX:]]


def date_of(at_ns: int) -> str:
    """The UTC date of a time."""
    return datetime.fromtimestamp(at_ns // SECOND, UTC).strftime("%Y-%m-%d")
