"""Compiled parser of level arrays: the JSON text [["price","size"],...] straight to LEVEL rows, exactly.

Digits become scaled integers without passing through float or text objects. Only the compact form is taken,
as venues send it; anything else is MALFORMED here, and the caller may try a patient parser. `scan_decimal`
and `scan_levels` are for other kernels, `parse_levels` is for Python.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np

from engine.market.batches import LEVEL, Rows
from feeds.frames import as_text

OK: Final = 0
MALFORMED: Final = 1  # not compact JSON of that shape, or a negative number
TOO_FINE: Final = 2  # digits other than 0 behind the last decimal
TOO_BIG: Final = 3  # passes int64
TOO_MANY: Final = 4  # more levels than there is room for
REASONS: Final = {
    MALFORMED: "malformed levels",
    TOO_FINE: "more decimals than the instrument has",
    TOO_BIG: "a number that passes int64",
    TOO_MANY: "too many levels",
}

QUOTE: Final = 0x22
COMMA: Final = 0x2C
POINT: Final = 0x2E
ZERO: Final = 0x30
OPEN: Final = 0x5B
CLOSE: Final = 0x5D
MAX_DIGITS: Final = 18  # any 18 digits fit int64


@nb.njit(nogil=True, cache=True)
def scan_decimal(text: Any, at: int, end: int, decimals: int) -> tuple[int, int, int]:
    """Quoted decimal text at `at` -> (value in 10^-decimals, position behind it, error code)."""
    if at >= end or text[at] != QUOTE:
        return 0, at, MALFORMED
    at += 1
    first = at
    value: Any = 0
    while at < end:
        digit = np.int64(text[at]) - ZERO
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    whole = at - first
    if whole == 0 or at >= end:
        return 0, at, MALFORMED
    if whole + decimals > MAX_DIGITS and value != 0:
        return 0, at, TOO_BIG
    missing = decimals
    if text[at] == POINT:
        at += 1
        first = at
        while at < end:
            digit = np.int64(text[at]) - ZERO
            if digit < 0 or digit > 9:
                break
            if missing > 0:
                value = value * 10 + digit
                missing -= 1
            elif digit != 0:
                return 0, at, TOO_FINE
            at += 1
        if at == first or at >= end:
            return 0, at, MALFORMED
    if text[at] != QUOTE:
        return 0, at, MALFORMED
    while missing > 0:
        value *= 10
        missing -= 1
    return value, at + 1, OK


@nb.njit(nogil=True, cache=True)
def scan_levels(
    text: Any, at: int, end: int, price_decimals: int, size_decimals: int, out: Any, count: int
) -> tuple[int, int, int]:
    """A level array at `at`, written to LEVEL `out` from row `count` on -> (position behind, rows, error)."""
    if at + 1 >= end or text[at] != OPEN:
        return at, count, MALFORMED
    if text[at + 1] == CLOSE:
        return at + 2, count, OK
    while True:
        at += 1  # behind the opening bracket of all, or the comma between two
        if at >= end or text[at] != OPEN:
            return at, count, MALFORMED
        if count >= out.size:
            return at, count, TOO_MANY
        price, at, error = scan_decimal(text, at + 1, end, price_decimals)
        if error != OK:
            return at, count, error
        if at >= end or text[at] != COMMA:
            return at, count, MALFORMED
        size, at, error = scan_decimal(text, at + 1, end, size_decimals)
        if error != OK:
            return at, count, error
        if at + 1 >= end or text[at] != CLOSE:
            return at, count, MALFORMED
        out[count]["price"] = price
        out[count]["size"] = size
        count += 1
        at += 1
        if text[at] == CLOSE:
            return at + 1, count, OK
        if text[at] != COMMA:
            return at, count, MALFORMED


@nb.njit(nogil=True, cache=True)
def _scan_whole(text: Any, price_decimals: int, size_decimals: int, out: Any, start: int) -> int:
    at, count, error = scan_levels(text, 0, text.size, price_decimals, size_decimals, out, start)
    if error == OK and at != text.size:
        error = MALFORMED
    return -error if error != OK else count - start


def parse_levels(
    raw: bytes | bytearray | memoryview,
    price_decimals: int,
    size_decimals: int,
    out: Rows,
    start: int = 0,
) -> int:
    """Number of levels written to `out[start:]` (LEVEL rows), or minus an error code: see `REASONS`.

    About 20 ns a level. Rows behind `start` may be overwritten even when it fails.
    """
    if not 0 <= price_decimals <= MAX_DIGITS or not 0 <= size_decimals <= MAX_DIGITS:
        raise ValueError(f"decimals must be 0 to {MAX_DIGITS}")
    if not 0 <= start <= len(out):
        raise ValueError(f"row {start} is outside an array of {len(out)}")
    text = as_text(bytes(raw))
    return int(_scan_whole(text, price_decimals, size_decimals, out, start))


def warm_up() -> None:
    """Compile the level parser."""
    parse_levels(b'[["1.5","2"]]', 1, 0, np.empty(1, LEVEL))
