"""UTC dates as days since 1970 and as text."""

from __future__ import annotations

from typing import Final

import numpy as np

DAY_NS: Final = 86_400_000_000_000


def date_text(day: int) -> str:
    """Days since 1970 as "2026-11-20"."""
    return str(np.datetime64(day, "D"))


def day_of(date: str) -> int:
    """The days since 1970 of "2026-11-20"."""
    return int(np.datetime64(date, "D").astype(np.int64))


def end_ns(date: str) -> int:
    """When the date is over, in ns UTC."""
    return (day_of(date) + 1) * DAY_NS
