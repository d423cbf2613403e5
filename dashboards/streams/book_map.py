"""The liquidity heatmap: what rested in the book by time and price, with the mid and what was traded.

A column is made of the frames (`engine.telemetry.book_frames`) of one step: sizes and best prices as the newest of them
has them, trades of all of them added up, and nothing known where one of them knows nothing.

The rows it is drawn in are whole bins of the newest frame joined: as few as fit, or what comes nearest to what the page
asks for. Nothing finer than the frames' bins is kept, so nothing finer is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from dashboards.streams.common import LONG_WINDOW_S, Json, head, ms_list
from dashboards.streams.market import market_key, outages
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.telemetry.book_frames import BINS, COARSE_S, FRAME
from engine.telemetry.ring import Ring

STEP_S: Final = {60: 1, 300: 2, 900: 6, 3_600: 30, 14_400: 120}  # of a column by window: at most 150 columns
CODES: Final = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_", np.uint8)
MOST: Final = len(CODES) - 1
UNKNOWN: Final = ord(".")
DECADES: Final = 5  # below `most` that the codes tell apart, to 10 %
JOINS: Final = (1, 2, 5, 10, 20, 50, 100, 1_000)  # bins that may be one row
ROWS_MOST: Final = 150  # rows at most: past that, more bins are joined
ROWS_LEAST: Final = 8  # rows of a choice at least
PAD: Final = 24  # rows in sight above and below the way of the mid
STEADY: Final = 8  # rows by which the map's ends move, so that it stands still while the mid moves little


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of the map, oldest first; sizes and prices in the instrument's units."""

    starts_ns: npt.NDArray[np.int64]
    frames: Rows  # the newest FRAME row of each
    known: npt.NDArray[np.bool_]
    bought: list[tuple[int, int]]  # (size, mean price) of what takers bought; zeros = none
    sold: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Raster:
    """The prices that columns are drawn in, lowest first: `count` rows of `unit` price units each, of which the first
    begins at `first * unit`.
    """

    first: int
    count: int
    unit: int
    bin: int  # price units of the newest frame's bins: the finest there is
    offered: tuple[int, ...]  # units that can be chosen, finest first


def step_ns(view: View) -> int:
    """Length of a column, ns."""
    return STEP_S.get(view.params.window_s, 2) * NS_A_SECOND


def ring_of(view: View) -> Ring | None:
    """The frames that the window is drawn from."""
    if view.market is None:
        return None
    return view.market.frames.coarse if view.params.window_s > LONG_WINDOW_S else view.market.frames.fine


def frame_rows(view: View, since: int | None = None) -> tuple[Rows, int]:
    """(FRAME rows of every column that is new or changed after the ring cursor, of all of the window without one;
    rows of those that were overwritten before they were read). A column that lost some of its rows is left out.
    """
    ring, step = ring_of(view), step_ns(view)
    if ring is None:
        return np.empty(0, FRAME), 0
    start_ns, lost = view.start_ns - view.start_ns % step, 0
    frames_a_column = max(1, step // NS_A_SECOND // (COARSE_S if ring is view.market.frames.coarse else 1))  # type: ignore[union-attr]
    if since is None:
        back = frames_a_column * (view.params.window_s * NS_A_SECOND // step + 2)
        found = view.since(ring, max(0, view.heads.get(ring.name, 0) - back))
    else:
        fresh = view.since(ring, since)
        if not len(fresh.rows):
            return fresh.rows, fresh.lost
        first_ns, lost = int(fresh.rows["ts_ns"][0]), fresh.lost
        start_ns = max(start_ns, first_ns - first_ns % step)
        found = view.since(ring, max(0, since - frames_a_column))
    rows = found.rows
    if found.lost and len(rows):
        whole_ns = -(-int(rows["ts_ns"][0]) // step) * step
        if since is None and whole_ns > start_ns:
            lost = found.lost
        start_ns = max(start_ns, whole_ns)
    return rows[rows["ts_ns"] >= start_ns], lost


def columns(rows: Rows, step: int) -> Columns:
    """FRAME rows, oldest first, as columns of `step` ns."""
    starts = rows["ts_ns"] - rows["ts_ns"] % step
    firsts = np.flatnonzero(np.diff(starts, prepend=-1))
    lasts = np.append(firsts[1:], len(rows)) - 1
    if not len(rows):
        return Columns(starts, rows, np.zeros(0, np.bool_), [], [])
    return Columns(
        starts[firsts],
        rows[lasts],
        np.minimum.reduceat(rows["synced"], firsts) > 0,
        _traded(rows["bought"], rows["bought_price"], firsts),
        _traded(rows["sold"], rows["sold_price"], firsts),
    )


def _traded(sizes: Any, prices: Any, firsts: Any) -> list[tuple[int, int]]:
    totals = np.add.reduceat(sizes, firsts)
    notional = np.add.reduceat(sizes * prices.astype(np.float64), firsts)
    return list(
        zip(totals.tolist(), np.rint(notional / np.maximum(totals, 1)).astype(int).tolist(), strict=True)
    )


def raster_of(found: Columns, asked: int) -> Raster | None:
    """The rows that columns are drawn in where the page asks for rows of `asked` price units (0: it does not); None
    where nothing is known.
    """
    frames = found.frames[found.known]
    if not len(frames):
        return None
    low, high = int(frames["bid"].min()), int(frames["ask"].max())
    bottom = int((frames["first"] * frames["step"]).min())
    top = int(((frames["first"] + BINS) * frames["step"]).max())
    return raster(int(frames["step"][-1]), (low, high), (bottom, top), asked)


def raster(unit: int, way: tuple[int, int], held: tuple[int, int], asked: int) -> Raster:
    """Rows of bins of `unit` joined, for a mid whose way was within `way`, and of prices that are `held`: of those
    offered the one nearest by ratio to `asked`, without a choice (0) the finest.

    What is offered divides what is held into 8 rows at least and draws 150 at most; where even the most joined bins
    are more, those.
    """

    def rows_of(step: int) -> Raster:
        first = max((way[0] // step - PAD) // STEADY * STEADY, held[0] // step)
        last = min(-(-(-(-way[1] // step) + PAD) // STEADY) * STEADY, -(-held[1] // step))
        return Raster(first, last - first, step, unit, ())

    all_of = [rows_of(unit * join) for join in JOINS]
    fitting = [rows for rows in all_of if rows.count <= ROWS_MOST] or all_of[-1:]
    coarsest = (held[1] - held[0]) // ROWS_LEAST
    offered = [fitting[0], *(rows for rows in fitting[1:] if rows.unit <= coarsest)]
    chosen = min(offered, key=lambda rows: max(rows.unit / asked, asked / rows.unit)) if asked else offered[0]
    return replace(chosen, offered=tuple(rows.unit for rows in offered))


def asked_units(view: View) -> int:
    """Price units of the rows that the page asks for; 0 where it leaves that to us."""
    return view.params.rows * view.book.instrument.tick_size if view.book is not None else 0


def drawn(
    sizes: npt.NDArray[np.float32], step: int, first: int, rows: Raster
) -> list[tuple[int, int, float]]:
    """(from, below, size) of what is known of one frame's bins in the rows of `rows`, lowest price first.

    Sizes of finer bins are added up; coarser bins stay what they are. A row of which the frame holds only a part is
    left out: less would seem to rest there than does.
    """
    known = np.flatnonzero(~np.isnan(sizes))
    lows = (known + first) * step
    unit = max(rows.unit, step)
    places = lows // unit
    inside = (places * unit < (rows.first + rows.count) * rows.unit) & (
        (places + 1) * unit > rows.first * rows.unit
    )
    inside &= (places * unit >= first * step) & ((places + 1) * unit <= (first + len(sizes)) * step)
    known, places = known[inside], places[inside]
    starts = np.flatnonzero(np.diff(places, prepend=places[:1] - 1))
    if not len(starts):
        return []
    sums = np.add.reduceat(sizes[known].astype(np.float64), starts)
    return [
        (place * unit, (place + 1) * unit, size)
        for place, size in zip(places[starts].tolist(), sums.tolist(), strict=True)
    ]


def scale_of(rows: Rows) -> int:
    """The power of ten, in size units, that no bin of FRAME rows is above: the size of the highest code."""
    sizes = rows["sizes"]
    greatest = float(np.nanmax(sizes)) if len(rows) and not np.isnan(sizes).all() else 0.0
    return int(10 ** np.ceil(np.log10(max(greatest, 1.0))))


def coded(sizes: npt.NDArray[np.float32], most: int) -> str:
    """One column's sizes as text, a character a bin, lowest price first: 64 codes, of which 0 is nothing and the k-th
    is most * 10^(5 * ((k - 1) / 62 - 1)), smaller ones as the first; "." is not known.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        tenths = 1 + np.rint((MOST - 1) * (1 + np.log10(sizes / most) / DECADES))
    codes = np.where(sizes > 0, np.clip(np.nan_to_num(tenths, nan=0.0, neginf=1.0), 1, MOST), 0).astype(
        np.int64
    )
    return np.where(np.isnan(sizes), UNKNOWN, CODES[codes]).astype(np.uint8).tobytes().decode()


def book_map(view: View, cursor: Json) -> tuple[Json, Json]:
    """Columns that are new or changed; all of them again when one holds more than the scale tells. The rows they are
    drawn in where those are others than before.
    """
    key = f"{market_key(view)}|{view.params.window_s}"
    ring, step = ring_of(view), step_ns(view)
    same = cursor.get("k") == key
    rows, lost = frame_rows(view, int(cursor.get("n", 0)) if same else None)
    most = int(cursor.get("m", 0)) if same else scale_of(rows)
    if same and scale_of(rows) > most:
        rows, lost = frame_rows(view)[0], lost
        most = scale_of(rows)
    found = columns(rows, step)
    newest = view.book.ts_recv_ns if view.book is not None else 0
    frames = found.frames
    sides = [price.tolist() for price in (frames["bid"], frames["ask"])]
    stream = head(
        view, f"{key}|{most}", {"k": f"{key}|{cursor.get('m')}"} if same else {}, newest, len(rows)
    ) | {
        "t": ms_list(found.starts_ns),
        "bin": frames["step"].tolist(),
        "first": frames["first"].tolist(),
        "bid": [p if known else None for p, known in zip(sides[0], found.known.tolist(), strict=True)],
        "ask": [p if known else None for p, known in zip(sides[1], found.known.tolist(), strict=True)],
        "bought": [size for size, _ in found.bought],
        "bought_at": [price for _, price in found.bought],
        "sold": [size for size, _ in found.sold],
        "sold_at": [price for _, price in found.sold],
        "z": [
            coded(sizes, most) if known else ""
            for sizes, known in zip(frames["sizes"], found.known.tolist(), strict=True)
        ],
        "most": most,
        "step": step // NS_A_SECOND,
        "gaps": outages(view),
        "keep": (view.start_ns - view.start_ns % step) // 1_000_000,
        "lost": lost,
    }
    asked, told = asked_units(view), {} if stream["reset"] else cursor
    place = {"a": asked, "g": told.get("g")}  # what is asked for, and a sum over the rows that were told
    if len(rows) or place != {name: told.get(name) for name in place}:
        whole = found if stream["reset"] else columns(frame_rows(view)[0], step)
        fields = raster_fields(
            raster_of(whole, asked), asked, view.book.instrument.tick_size if view.book else 1
        )
        place["g"] = crc32(repr(fields).encode())
        if place["g"] != told.get("g"):
            stream["raster"] = fields
    end = view.heads.get(ring.name, 0) if ring is not None else 0
    return stream, {"k": key, "n": end, "m": most} | place


def raster_fields(rows: Raster | None, asked: int, tick: int) -> Json | None:
    """Rows for the wire."""
    if rows is None:
        return None
    offered = [
        unit // tick for unit in rows.offered if unit % tick == 0
    ]  # of an older tick, it may not be whole
    named = {"first": rows.first, "count": rows.count, "unit": rows.unit, "bin": rows.bin}
    return named | {"asked": asked, "offered": offered, "tick": tick}
