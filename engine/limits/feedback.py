"""What an answer's headers say of limits. Anything that is not as documented says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Final

from engine.limits.rules import LIMIT_MOST
from engine.limits.windows import Window

Nanos = int

SECOND_NS: Final = 1_000_000_000
STOP_MOST_NS: Final = 7 * 86_400 * SECOND_NS
RESET_MOST_NS: Final = 60 * SECOND_NS
DATE_MOST_CHARS: Final = 64
USED_MOST_PARTS: Final = (
    100  # of a limit; who reports more reports nonsense, which would stop a whole day's window
)


def header_of(headers: Mapping[str, str], name: str) -> str | None:
    """A header's text, as written or in small letters."""
    found = headers.get(name)
    return headers.get(name.lower()) if found is None else found


def whole(text: str | None) -> int | None:
    """A header's whole number; None when it is none, or beyond reason."""
    if text is None or len(text) > 18:
        return None
    if not text.isdecimal():
        text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def reported(window: Window, headers: Mapping[str, str]) -> int | None:
    """Units used in a window, as the answer's headers tell."""
    header = window.rule.header
    if header is None:
        return None
    text = headers.get(header.name)
    value = whole(header_of(headers, header.name) if text is None else text)
    if header.limit_name:
        limit = whole(header_of(headers, header.limit_name))
        if limit and limit != window.limit and limit <= LIMIT_MOST:
            window.adopt(limit)
    if value is None:
        return None
    if header.counts == "used":
        return value if value <= USED_MOST_PARTS * window.limit else None
    return max(0, window.limit - value)


def retry_after(headers: Mapping[str, str], wall: Nanos) -> Nanos | None:
    """Retry-After, seconds or a date, as time from now, a week at most; None when it is neither, or past."""
    text = header_of(headers, "Retry-After")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _until_date(text, wall)
    if not 0 < seconds < math.inf:
        return None
    return round(min(seconds, STOP_MOST_NS / SECOND_NS) * SECOND_NS)


def _until_date(text: str, wall: Nanos) -> Nanos | None:
    """Until an HTTP date ("Wed, 21 Oct 2026 07:28:00 GMT")."""
    if len(text) > DATE_MOST_CHARS:
        return None
    try:
        parts = parsedate_tz(text)
        left = mktime_tz(parts) * SECOND_NS - wall if parts is not None else 0
    except (ValueError, OverflowError, TypeError, IndexError):
        return None  # a month or year that is none
    return min(left, STOP_MOST_NS) if left > 0 else None


def reset_after(headers: Mapping[str, str], wall: Nanos) -> Nanos | None:
    """Until Bybit's reset time (ms UTC), a minute at most; None when it is not there or past."""
    reset = whole(header_of(headers, "X-Bapi-Limit-Reset-Timestamp"))
    if reset is None:
        return None
    left = reset * 1_000_000 - wall
    return min(left, RESET_MOST_NS) if left > 0 else None
