"""What share of each cell of the calendar was recorded: spans and holes of the store over a stretch of time.

Pure: frozen views and times in, whole numbers out. A cell is full only where book and trades were both recorded all
the time, or what is asked for; of a venue it is the mean of its symbols. A hole beats a span that claims to cover it.
Time in which nobody asked for recording is no hole, but empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
TOLD_LATER: Final = ("candles", "funding")
ALL: Final = ("", "all")  # a hole of everything that is recorded

MARKET: Final[tuple[str, ...]] = ("book", "trades")  # what a market is made of
JOINED: Final = 10 * MINUTE  # a shorter interruption is of the same recording
SESSIONS: Final = 2

Interval = tuple[int, int]
Run = tuple[int, int, int, int, int]


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

    `runs` are (cells, recorded, fetched later, hole, in part) with shares in thousandths; they sum to all cells. In
    part is what not all of `of`, but something was recorded in. `shares` are the same four of the whole stretch as
    far as it is over. What is neither nothing nor all is never written as either.
    """

    venue: str
    symbol: str
    kinds: tuple[str, ...]  # what is recorded of it, of this stretch
    of: tuple[str, ...]  # what of it is measured
    runs: tuple[Run, ...]
    shares: tuple[int, int, int, int]
    holes: int  # in the stretch, not filled
    newest: Interval  # the newest recording without a hole, wherever it lies
    sessions: tuple[Interval, ...]  # the newest recordings over short interruptions, newest first


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was recorded of a stretch of a symbol (`symbol` "" = of any symbol of the venue)."""

    venue: str
    symbol: str
    from_ns: int
    to_ns: int
    recorded_ns: int
    of: tuple[str, ...]  # book and trades, both where both are there; else whatever is
    holes: int
    lost_ns: int
    rows: tuple[
        tuple[str, int, int], ...
    ]  # (what, rows, bytes), estimated: a span's are spread over its time


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
    """A row for each venue and symbol recorded so far, sorted; `what` "" is book and trades together.

    Cells ahead of now are empty, and the running one is measured against what of it is over. Cost: some 30 us for
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
    edges = np.minimum(
        stretch.from_ns + np.arange(stretch.cells + 1, dtype=np.int64) * stretch.step_ns, now_ns
    )
    measures = {key: _measured(recorded[key], holes_of(lost, key), edges, what) for key in recorded}
    symbols: dict[str, list[_Measure]] = defaultdict(list)
    for (venue, symbol), measure in measures.items():
        if symbol and (what or set(measure.of) <= set(MARKET)):
            symbols[venue].append(measure)
    rows = []
    for key in sorted(recorded):
        own = measures[key]
        if not key[1] and symbols[key[0]]:
            of_each = symbols[key[0]]
            own = _Measure(
                own.kinds,
                tuple(sorted({kind for each in of_each for kind in each.of})),
                sum((each.sums for each in of_each), np.zeros_like(own.sums)),
                sum(each.holes for each in of_each),
                len(of_each),
            )
        rows.append(_row(key, own, recorded[key], newest[key], np.diff(edges)))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _Measure:
    kinds: tuple[str, ...]
    of: tuple[str, ...]
    sums: npt.NDArray[np.int64]  # (4, cells): ns recorded, fetched later, missed, in part
    holes: int
    symbols: int = 1


def holes_of(lost: dict[tuple[str, str], list[GapView]], key: tuple[str, str]) -> list[GapView]:
    """Holes of a symbol, with those of its whole venue."""
    venue, symbol = key
    return [*lost.get((venue, ""), ()), *(lost.get(key, ()) if symbol else ())]


def missed(gap: GapView) -> bool:
    """Whether it is a hole in what was to be recorded, and not filled."""
    return gap.state in ("open", "partly filled")


def _measured(
    recorded: dict[str, list[Interval]], gaps: list[GapView], edges: npt.NDArray[np.int64], what: str
) -> _Measure:
    kinds = tuple(
        sorted(
            kind for kind, found in recorded.items() if any(f < edges[-1] and t > edges[0] for f, t in found)
        )
    )
    of = (what,) if what else tuple(kind for kind in MARKET if kind in recorded) or kinds
    every = [_told(kind, recorded, gaps) for kind in of]
    holes = merged(each for _, _, lost in every for each in lost)
    both = common([merged((*whole, *filled)) for whole, filled, _ in every])
    whole = without(common([whole for whole, _, _ in every]), holes)
    filled = without(without(both, holes), whole)
    known = merged((*whole, *filled, *holes))
    some = without(merged(each for kind in {*kinds, *of} for each in _told(kind, recorded, gaps)[0]), known)
    sums = np.array([measured(part, edges) for part in (whole, filled, holes, some)])
    seen = sum(missed(gap) for kind in of for gap in gaps if gap.what in ALL or gap.what == kind)
    return _Measure(kinds or ((what,) if what else ()), of, sums, seen)


def _told(
    kind: str, recorded: dict[str, list[Interval]], gaps: list[GapView]
) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """When a kind was recorded, fetched later, and missed: merged, apart from each other."""
    mine = [gap for gap in gaps if gap.what in ALL or gap.what == kind]
    holes = merged((gap.from_ns, gap.to_ns) for gap in mine if missed(gap))
    filled = without(merged((gap.from_ns, gap.to_ns) for gap in mine if gap.state == "filled"), holes)
    whole = without(merged(recorded.get(kind, ())), merged((gap.from_ns, gap.to_ns) for gap in mine))
    return whole, filled, holes


def _row(
    key: tuple[str, str],
    measure: _Measure,
    recorded: dict[str, list[Interval]],
    newest: Interval,
    steps: npt.NDArray[np.int64],
) -> Row:
    lengths = steps * measure.symbols
    shares = np.array([_shares(line, lengths) for line in measure.sums])
    over = [int(share) for share in _shares(measure.sums.sum(axis=1), np.full(len(shares), lengths.sum()))]
    market = [found for kind, found in recorded.items() if kind in MARKET] or list(recorded.values())
    return Row(
        *key,
        measure.kinds,
        measure.of,
        tuple(runs(shares.T.tolist())),
        (over[0], over[1], over[2], over[3]),
        measure.holes,
        newest,
        sessions(each for found in market for each in found),
    )


def sessions(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The newest recordings, newest first: intervals with less than ten minutes between them are one."""
    out: list[Interval] = []
    for start, end in merged(intervals):
        if out and start - out[-1][1] < JOINED:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return tuple(out[: -SESSIONS - 1 : -1])


def looked_at(
    spans: Iterable[SpanView],
    gaps: Iterable[GapView],
    whose: tuple[str, str],
    between: Interval,
    now_ns: int,
) -> Chosen:
    """What is there of a stretch that somebody chose; `whose` is (venue, symbol or "" for all)."""
    venue, symbol = whose
    start, end = between
    recorded: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, list[float]] = {}
    for span in spans:
        if span.venue != venue or (symbol and span.symbol not in ("", symbol)):
            continue
        to_ns = now_ns if 0 <= now_ns - span.to_ns <= NEWEST else span.to_ns
        length = min(to_ns, end) - max(span.from_ns, start)
        if length <= 0:
            continue
        if span.symbol or not symbol:
            recorded[span.symbol][span.what].append((max(span.from_ns, start), min(to_ns, end)))
        if span.symbol == symbol or not symbol:
            part = min(1.0, length / max(1, span.to_ns - span.from_ns))
            count = counts.setdefault(span.what, [0.0, 0.0])
            count[0] += span.rows * part
            count[1] += span.size_bytes * part
    if any(recorded.keys() - {""}):
        recorded.pop("", None)
    mine = [
        gap
        for gap in gaps
        if gap.venue == venue
        and (not symbol or gap.symbol in ("", symbol))
        and gap.from_ns < end
        and gap.to_ns > start
    ]
    kinds = {kind for each in recorded.values() for kind in each}
    of = tuple(kind for kind in MARKET if kind in kinds) or tuple(sorted(kinds))
    lost = [gap for gap in mine if missed(gap) and gap.what in (*ALL, *(of or MARKET))]
    found: list[Interval] = []
    for name, each in recorded.items():
        about = [gap for gap in mine if gap.symbol in ("", name)]
        own = tuple(kind for kind in of if kind in each)
        told = [_told(kind, each, about) for kind in own]
        holes = merged(one for _, _, lost_of in told for one in lost_of)
        found += without(common([merged((*whole, *filled)) for whole, filled, _ in told]), holes)
    holes = merged((max(gap.from_ns, start), min(gap.to_ns, end)) for gap in lost)
    return Chosen(
        venue,
        symbol,
        start,
        end,
        sum(t - f for f, t in merged((max(f, start), min(t, end)) for f, t in found)),
        of,
        len(holes),
        sum(t - f for f, t in holes),
        tuple((kind, round(count[0]), round(count[1])) for kind, count in sorted(counts.items())),
    )


def common(parts: Sequence[Sequence[Interval]]) -> list[Interval]:
    """The time that is in all of some merged intervals; nothing where there are none."""
    if not parts:
        return []
    out = list(parts[0])
    for part in parts[1:]:
        out = without(out, without(out, part))
    return out


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
    for recorded, filled, hole, some in cells:
        if out and out[-1][1:] == (recorded, filled, hole, some):
            out[-1] = (out[-1][0] + 1, recorded, filled, hole, some)
        else:
            out.append((1, recorded, filled, hole, some))
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
