"""What an answer's headers say of limits. Anything that is not as documented says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from engine.limits.rules import LIMIT_MOST
from engine.limits.windows import Window

Nanos = int

SECOND_NS: Final = 1_000_000_000
STOP_MOST_NS: Final = 7 * 86_400 * SECOND_NS
RESET_MOST_NS: Final = 60 * SECOND_NS


def header_of(headers: Mapping[str, str], name: str) -> str | None:
    """A header's text, as written or in small letters."""
    found = headers.get(name)
    return headers.get(name.lower()) if found is None else found


def whole(text: str | None) -> int | None:
    """A header's whole number; None when it is none, or beyond reason."""
    if text is None or len(text) > 18:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def reported(window: Window, headers: Mapping[str, str]) -> int | None:
    """Units used in a window, as the answer's headers tell."""
    header = window.rule.header
    if header is None:
        return None
    value = whole(header_of(headers, header.name))
    if header.limit_name:
        limit = whole(header_of(headers, header.limit_name))
        if limit and limit != window.limit and limit <= LIMIT_MOST:
            window.adopt(limit)
    if value is None or header.counts == "used":
        return value
    return max(0, window.limit - value)


def retry_after(headers: Mapping[str, str]) -> Nanos | None:
    """Retry-After in seconds, a week at most; None when it is not there or no such number."""
    text = header_of(headers, "Retry-After")
    try:
        seconds = float(text) if text is not None else math.nan
    except ValueError:
        return None
    if not 0 < seconds < math.inf:
        return None
    return min(round(seconds * SECOND_NS), STOP_MOST_NS)


def reset_after(headers: Mapping[str, str], wall: Nanos) -> Nanos | None:
    """Until Bybit's reset time (ms UTC), a minute at most; None when it is not there or past."""
    reset = whole(header_of(headers, "X-Bapi-Limit-Reset-Timestamp"))
    if reset is None:
        return None
    left = reset * 1_000_000 - wall
    return min(left, RESET_MOST_NS) if left > 0 else None
