"""Bulk history as plain values: what to fetch, what is there already, and whether it is whole. Pure.

Ranges are [start, end) in nanoseconds, on steps of the interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.market.batches import Rows

SECOND_NS: Final = 1_000_000_000
GAPS_NAMED: Final = 1_000  # of one symbol; more are counted

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One call's worth: candles of a symbol that open in [start_ns, end_ns)."""

    symbol: str
    start_ns: int
    end_ns: int


def aligned(start_ns: int, end_ns: int, interval_ns: int) -> Range:
    """The range of candles that open in [start_ns, end_ns): both rounded up to the interval's steps."""
    return -(-start_ns // interval_ns) * interval_ns, -(-end_ns // interval_ns) * interval_ns


def missing(wanted: Range, held: Iterable[Range]) -> list[Range]:
    """What of a range is in none of those held, oldest first."""
    at, end = wanted
    out = []
    for first, last in sorted(held):
        if first > at:
            out.append((at, min(first, end)))
        at = max(at, last)
        if at >= end:
            break
    if at < end:
        out.append((at, end))
    return [(first, last) for first, last in out if first < last]


def plan(wanted: Sequence[tuple[str, Sequence[Range]]], interval_ns: int, batch: int) -> list[Chunk]:
    """Chunks of at most `batch` candles that cover each symbol's ranges, each instant once.

    The symbols take turns, each oldest first: so all grow alike, and what is asked for at the same time differs.
    """
    if batch < 1:
        raise ValueError(f"a chunk has at least one candle, not {batch}")
    step_ns = batch * interval_ns
    per_symbol = [
        [
            Chunk(symbol, at, min(at + step_ns, end_ns))
            for start_ns, end_ns in ranges
            for at in range(start_ns, end_ns, step_ns)
        ]
        for symbol, ranges in wanted
    ]
    longest = max(map(len, per_symbol), default=0)
    return [chunks[turn] for turn in range(longest) for chunks in per_symbol if turn < len(chunks)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a symbol's candles are worth over a range."""

    symbol: str
    candles: int
    expected: int  # one for each step of the range
    gaps: tuple[Range, ...]  # stretches without a candle, oldest first, at most GAPS_NAMED
    gap_count: int
    wrong: tuple[str, ...]  # what contradicts itself: sentences

    @property
    def complete(self) -> bool:
        """Whether every step has its candle, and each makes sense."""
        return not self.gap_count and not self.wrong


def examine(symbol: str, rows: Rows, wanted: Range, interval_ns: int) -> Verdict:
    """CANDLE rows judged against the range they should fill.

    A gap may be the venue's own: no trades, not listed yet, maintenance.
    """
    opened = rows["ts_open_ns"]
    wrong = []
    if np.any(opened[1:] < opened[:-1]):
        wrong.append("candles are out of order")
    if np.any(opened[1:] == opened[:-1]):
        wrong.append("candles repeat")
    if np.any(opened % interval_ns):
        wrong.append("candles do not open on the interval's steps")
    if len(opened) and (opened.min() < wanted[0] or opened.max() >= wanted[1]):
        wrong.append("candles lie outside the range")
    high, low = rows["high"], rows["low"]
    if np.any(
        (low > np.minimum(rows["open"], rows["close"])) | (high < np.maximum(rows["open"], rows["close"]))
    ):
        wrong.append("a candle's high or low is not its highest or lowest")
    if np.any(low < 0) or np.any(rows["volume"] < 0):
        wrong.append("a candle is negative")
    edges = np.concatenate(([wanted[0] - interval_ns], np.unique(opened), [wanted[1]]))
    holes = np.flatnonzero(np.diff(edges) > interval_ns)
    gaps = tuple((int(edges[at]) + interval_ns, int(edges[at + 1])) for at in holes[:GAPS_NAMED])
    expected = max(0, wanted[1] - wanted[0]) // interval_ns
    return Verdict(symbol, len(opened), expected, gaps, len(holes), tuple(wrong))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is. Counts since its start; what earlier runs left is in `chunks_total` no more."""

    chunks_done: int
    chunks_total: int
    chunks_failed: int
    candles: int
    weight: int  # spent of the venue's limits; 0 where it is not known
    elapsed_ns: int

    @property
    def candles_per_s(self) -> float:
        """Over the whole run."""
        return self.candles * SECOND_NS / self.elapsed_ns if self.elapsed_ns > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at the pace so far; None before the first chunk."""
        if not self.chunks_done:
            return None
        left = self.chunks_total - self.chunks_done - self.chunks_failed
        return self.elapsed_ns / SECOND_NS / self.chunks_done * left

    def __str__(self) -> str:
        left_s = self.left_s
        eta = "?" if left_s is None else clock_text(left_s)
        return (
            f"{self.chunks_done:,} of {self.chunks_total:,} chunks, {self.candles:,} candles, "
            f"{self.candles_per_s:,.0f} candles/s, weight {self.weight:,}, {eta} left"
        )


def clock_text(seconds: float) -> str:
    """`3:07`, `1:02:09`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
