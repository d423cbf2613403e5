"""The book by price: its best levels as they are now, joined to groups where that is asked for, and out to the span
that is drawn the levels that lie farther, in coarser groups.

What is frozen of a book at any time is its best 240 levels a side. What lies farther comes from the whole book as the
newest second left it (`WholeBook`), so those groups are up to a second older: each row knows which it is of. A group
stands at the price its size is surely had at, away from the mid: bids round down, asks up. Sums are exact.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dashboards.streams.common import Json, head, ms
from dashboards.streams.market import market_key
from dashboards.view import View
from engine.market import metrics as metrics_of
from engine.market.batches import Rows
from engine.telemetry.board import BookView, WholeBook
from engine.telemetry.book_frames import nice
from engine.telemetry.hub import IMBALANCE_LEVELS

LEVELS: Final = 240  # a side, or groups where levels are joined
FAR: Final = 240  # groups a side past those, at most one more
MARGIN: Final = 1.15  # times the span is told, since the middle of the chart follows the mid in steps

Ints = npt.NDArray[np.int64]


class Side(NamedTuple):
    """Levels of one side, best first, in price and size units."""

    prices: Ints
    sizes: Ints
    steps: Ints  # price units each row joins
    older: npt.NDArray[np.bool_]  # rows that hold what the newest second left
    reach: int  # the deepest price the book is known to


def levels_of(view: View) -> tuple[Side, Side] | None:
    """(bids, asks) as the page draws them; None without a book. About 0.3 ms for 5,000 levels a side."""
    book = view.book
    if book is None:
        return None
    whole = whole_of(book)
    edges: tuple[int | None, int | None] = (None, None)
    if view.params.span and len(book.bids) and len(book.asks):
        middle = (int(book.bids["price"][0]) + int(book.asks["price"][0])) / 2
        edge = view.params.span * MARGIN
        edges = (round(middle * (1 - edge)), round(middle * (1 + edge)))
    tick, group = book.instrument.tick_size, view.params.group
    more = whole if group > 1 or view.params.span else None
    return (
        side_of(book.bids, more.bids if more else None, -1, tick, group, edges[0]),
        side_of(book.asks, more.asks if more else None, 1, tick, group, edges[1]),
    )


def whole_of(book: BookView) -> WholeBook | None:
    """The whole book behind this one, where it is of the same units and not newer."""
    whole = book.whole
    same = whole is not None and whole.revision == book.instrument.revision
    return whole if same and whole is not None and whole.ts_recv_ns <= book.ts_recv_ns else None


def past(near: Rows, whole: Rows, sign: int) -> Rows:
    """What of one side's `whole` lies past `near`, which is not empty; `sign` is -1 for bids, 1 for asks."""
    return whole[np.searchsorted(sign * whole["price"], sign * near["price"][-1], side="right") :]


def side_of(near: Rows, whole: Rows | None, sign: int, tick: int, group: int, edge: int | None) -> Side:
    """One side of LEVEL rows, best first: `near` and what of `whole` lies past it, in groups of `group` ticks as long
    as there are at most 240; and out to the price `edge`, if there is one, in coarser groups past those.

    `sign` is -1 for bids, 1 for asks.
    """
    away, sizes, older = sign * near["price"], near["size"], np.zeros(len(near), np.bool_)
    if whole is not None and len(near):
        rest = past(near, whole, sign)
        away = np.concatenate((away, sign * rest["price"]))
        sizes = np.concatenate((sizes, rest["size"]))
        older = np.concatenate((older, np.ones(len(rest), np.bool_)))
    reach = int(sign * away[-1]) if len(away) else 0
    step = group * tick if group > 1 else 1
    parts = [_joined(away, sizes, older, step, LEVELS, max(step, tick))]
    taken = parts[0][-1]
    if edge is not None and taken < len(away) and sign * edge > parts[0][0][-1]:
        last = int(parts[0][0][-1])
        unit = max(step, tick)
        coarse = nice((sign * edge - last) / FAR / unit) * unit
        while coarse * FAR < sign * edge - last:
            coarse = nice(2 * coarse / unit) * unit
        end = np.searchsorted(away, -(-sign * edge // coarse) * coarse, side="right")
        parts.append(_joined(away[taken:end], sizes[taken:end], older[taken:end], coarse, FAR + 1, coarse))
    return Side(
        sign * np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
        reach,
    )


def _joined(
    away: Ints, sizes: Ints, older: Any, step: int, most: int, told: int
) -> tuple[Ints, Ints, Ints, Any, int]:
    """(prices, sizes, steps, whether one of a group is older; levels taken) of the first `most` groups of levels
    whose prices, times the side's sign, rise.
    """
    groups = -(-away // step) * step
    firsts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    taken = int(firsts[most]) if len(firsts) > most else len(away)
    firsts = firsts[:most]
    if not len(firsts):
        empty = np.zeros(0, np.int64)
        return empty, empty, empty, np.zeros(0, np.bool_), 0
    return (
        groups[firsts],
        np.add.reduceat(sizes[:taken], firsts),
        np.full(len(firsts), told, np.int64),
        np.logical_or.reduceat(older[:taken], firsts),
        taken,
    )


def depth(view: View, cursor: Json) -> tuple[Json, Json]:
    """Both sides, whole, as the page's span and group ask for them; without them when nothing changed."""
    key, book = market_key(view), view.book
    if book is None:
        return head(view, key, cursor, 0, 0) | {"state": "EMPTY", "levels": [0, 0]}, {"k": key}
    bids, asks = book.bids, book.asks
    unit, group, whole = book.instrument, view.params.group, whole_of(book)
    stream = head(view, key, cursor, book.ts_recv_ns, sum(book.counts)) | {
        "seq": book.sequence,
        "ts": ms(book.ts_recv_ns),
        "state": book.state,
        "levels": list(book.counts),
        "bid": int(bids["price"][0]) if len(bids) else None,
        "ask": int(asks["price"][0]) if len(asks) else None,
        "imbalance": rounded(metrics_of.imbalance(bids, asks, IMBALANCE_LEVELS)),
    }
    place = {"k": key, "q": book.sequence, "s": book.state, "r": unit.revision}
    place |= {"w": whole.sequence if whole is not None else None, "d": [view.params.span, group]}
    if place != cursor and (sides := levels_of(view)) is not None:
        stream |= {
            "b": coded(sides[0]),
            "a": coded(sides[1]),
            "tick": unit.tick_size,
            "step": group * unit.tick_size if group > 1 else 1,
            "near": LEVELS,
            "far": far_step(sides),
            "reach": [side.reach for side in sides],
            "span": view.params.span,
        }
    return stream, place


def far_step(sides: tuple[Side, Side]) -> int:
    """Price units that the levels past the best 240 are joined to; 0 where there are none."""
    return max((int(side.steps[-1]) for side in sides if len(side.steps) > LEVELS), default=0)


def rounded(value: float | None) -> float | None:
    """To four decimals, for the wire."""
    return None if value is None else round(value, 4)


def coded(side: Side) -> Json:
    """Levels for the wire: the first price, then differences; sizes as they are."""
    return {"p": np.diff(side.prices, prepend=0).tolist(), "q": side.sizes.tolist()}
