"""Binary heaps of rows whose places are known, so that any row can be taken out.

A heap is `entries[0:count]`, numbers of rows of `rows`; `rows[n, key]` orders them, `rows[n, 0]` breaks ties, and
`rows[n, place]` is where n stands. The first entry is the least. O(log count) each.
"""

from __future__ import annotations

from typing import Any

from engine.matching.compiled import compiled
from engine.matching.orders import Matrix


@compiled
def _rise(entries: Any, at: int, rows: Matrix, key: int, place: int) -> None:
    """Move an entry up to where it belongs."""
    row = entries[at]
    while at > 0:
        above = (at - 1) >> 1
        other = entries[above]
        if rows[other, key] < rows[row, key] or (
            rows[other, key] == rows[row, key] and rows[other, 0] <= rows[row, 0]
        ):
            break
        entries[at] = other
        rows[other, place] = at
        at = above
    entries[at] = row
    rows[row, place] = at


@compiled
def _sink(entries: Any, at: int, count: int, rows: Matrix, key: int, place: int) -> None:
    """Move an entry down to where it belongs."""
    row = entries[at]
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        other = entries[below]
        if below + 1 < count:
            right = entries[below + 1]
            if rows[right, key] < rows[other, key] or (
                rows[right, key] == rows[other, key] and rows[right, 0] < rows[other, 0]
            ):
                below += 1
                other = right
        if rows[row, key] < rows[other, key] or (
            rows[row, key] == rows[other, key] and rows[row, 0] <= rows[other, 0]
        ):
            break
        entries[at] = other
        rows[other, place] = at
        at = below
    entries[at] = row
    rows[row, place] = at


@compiled
def push(entries: Any, count: int, row: int, rows: Matrix, key: int, place: int) -> None:
    """Add `row` to a heap of `count` entries."""
    entries[count] = row
    _rise(entries, count, rows, key, place)


@compiled
def remove(entries: Any, count: int, row: int, rows: Matrix, key: int, place: int) -> None:
    """Take `row` out of a heap of `count` entries."""
    at = rows[row, place]
    last = entries[count - 1]
    if last == row:
        return
    entries[at] = last
    rows[last, place] = at
    _sink(entries, at, count - 1, rows, key, place)
    _rise(entries, rows[last, place], rows, key, place)


@compiled
def reorder(entries: Any, count: int, row: int, rows: Matrix, key: int, place: int) -> None:
    """Put `row`, whose key has changed, where it belongs now."""
    _sink(entries, rows[row, place], count, rows, key, place)
    _rise(entries, rows[row, place], rows, key, place)
