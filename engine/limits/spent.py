"""What a run spent in windows that no answer reports, told to the next run: a venue goes on counting over a restart.

Pure: plain values, as they lie on disk. They are written before the first call after a rest, each second while
calls go out, and as the budget comes to rest. A run that ends in between may have spent more than was written, for
a second at most: a short window is taken as full until that is over, in a longer one a second's calls are little.
Programs side by side write over each other: they need a `share` of the limits each.
"""

from __future__ import annotations

from typing import Any, Final

from engine.limits.limiter import Limiter
from engine.limits.rules import LIMIT_MOST

Nanos = int

SECOND_NS: Final = 1_000_000_000
EVERY_NS: Final = SECOND_NS  # between two writes while calls go out
SHORT_NS: Final = 10 * SECOND_NS  # a window that one second's calls can fill
PIECES_MOST: Final = 64  # of one window


def spent(limiter: Limiter, now: Nanos, wall: Nanos, *, at_rest: bool) -> list[Any]:
    """What unreported windows hold, as JSON values: [wall time, at rest, {label: [[free at, units]]}]."""
    windows = {}
    for window in limiter.windows.values():
        if window.account or window.reported:
            continue
        held = window.holdings(now, limiter.rules.lost_ns, PIECES_MOST)
        if held:
            windows[window.rule.label] = [[wall + free - now, units] for free, units in held]
    return [wall, at_rest, windows]


def resume(limiter: Limiter, found: object, now: Nanos, wall: Nanos) -> None:
    """Take over what an earlier run spent. What `spent` did not make is nothing."""
    match found:
        case [int(written), bool(at_rest), dict(windows)]:
            pass
        case _:
            return
    for window in limiter.windows.values():
        if window.account or window.reported:
            continue
        latest = now + window.hold + limiter.rules.lost_ns  # whatever the wall clock did
        pieces = windows.get(window.rule.label)
        for piece in pieces[: PIECES_MOST + 1] if isinstance(pieces, list) else ():
            match piece:
                case [int(free), int(units)] if free > wall and 0 < units <= LIMIT_MOST:
                    window.keep(units, min(now + free - wall, latest))
        free = written + EVERY_NS + window.hold
        left = window.own_limit - window.used
        if not at_rest and window.rule.window_ns <= SHORT_NS and free > wall and left > 0:
            window.keep(left, min(now + free - wall, latest))
