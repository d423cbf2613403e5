"""Access keys at the command line: when one ends, and how they are listed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from engine.access.keys import PREFIX, AccessKey
from engine.access.rates import SECOND_NS
from engine.errors import BadSetting
from engine.moments import UNITS_S, moment_of

_AHEAD: Final = re.compile(r"(\d{1,5})\s?([smhdw])")


def end_of(text: str, now_ns: int) -> int:
    """`30d`, `12h` from now, or a day or time (`2027-01-31`), UTC; ns. "" = 0, never. BadSetting otherwise."""
    if not text:
        return 0
    if ahead := _AHEAD.fullmatch(text.strip()):
        end = now_ns + int(ahead[1]) * UNITS_S[ahead[2]] * SECOND_NS
    else:
        try:
            end = moment_of("expires", text, now_ns)
        except BadSetting:
            end = 0
    if end <= now_ns:
        raise BadSetting(
            "expires", text, "how long from now (30d, 12h), or a day or time to come (2027-01-31)"
        )
    return end


def id_of(text: str) -> str:
    """The id in what a user took for it: the id, or the whole key."""
    parts = text.strip().split("_", 2)
    return parts[1] if parts[0] == PREFIX and len(parts) > 1 else text.strip()


def table(keys: Sequence[AccessKey], now_ns: int) -> list[str]:
    """Lines that list keys without their secrets."""
    lines = [f"{'key':<14}{'role':<7}{'made':<12}{'ends':<24}label"]
    for key in keys:
        ends = "never" if not key.expires_ns else _moment(key.expires_ns)
        if not key.good(now_ns):
            ends = f"ended {ends[:10]}"
        lines.append(
            f"{key.id:<14}{key.role:<7}{_moment(key.created_ns)[:10]:<12}{ends:<24}{key.label}".rstrip()
        )
    return lines


def _moment(moment_ns: int) -> str:
    return f"{datetime.fromtimestamp(moment_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S}Z"
