"""Moments as a user writes them, to nanoseconds UTC. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.errors import BadSetting

UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"-?(\d{1,6})\s?([smhdw])(\s+ago)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED: Final = {13: 1_000_000, 16: 1_000, 19: 1}  # digits of ms, us and ns since 1970, of this century
_SECOND_NS: Final = 1_000_000_000
_MAX_NS: Final = 2**63 - 1


def moment_of(key: str, text: str, now_ns: int) -> int:
    """`2026-01-31`, `2026-01-31T12:00:00.5`, `now`, so long ago: `90d`, `-12h`, `10m ago`; ns UTC.

    Also a number as files have it: 13 digits are ms since 1970, 16 us, 19 ns. BadSetting, about `key`, otherwise.
    """
    if text == "now":
        return now_ns
    if text.isascii() and text.isdigit() and len(text) in _COUNTED:
        found = int(text) * _COUNTED[len(text)]
    elif ago := _AGO.fullmatch(text):
        found = now_ns - int(ago[1]) * UNITS_S[ago[2]] * _SECOND_NS
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise _wrong(key, text) from error
        found = (
            ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH)
            // timedelta(microseconds=1)
            * 1_000
        )
    if abs(found) > _MAX_NS:
        raise _wrong(key, text)
    return found


def _wrong(key: str, text: str) -> BadSetting:
    return BadSetting(key, text, "a day (2026-01-31), a time (2026-01-31T12:00), now, or ago (90d)")
