"""Alerts' judge the slow way: every look is kept, and each state is worked out from all of them anew."""

from __future__ import annotations

import itertools
from fractions import Fraction

GONE_NS = 60 * 10**9
REST_NS = 5 * 10**9

Look = tuple[int, dict[str, Fraction | None]]


def fires(above: bool, threshold: Fraction, for_ns: int, looks: list[Look]) -> list[tuple[int, str, str]]:
    """(time, "fired" or "ended", source it fired at) of all looks, oldest first."""
    news: list[tuple[int, str, str]] = []
    for at in range(1, len(looks) + 1):
        past = looks[:at]
        now_ns = past[-1][0]
        firing = bool(news) and news[-1][1] == "fired"
        true = [source for source in _sources(past) if _last_known(source, past, above, threshold)]
        if firing and not true:
            news.append((now_ns, "ended", ""))
        elif not firing:
            rested = not news or now_ns >= news[-1][0] + REST_NS
            ripe = [
                source
                for source, value in past[-1][1].items()
                if value is not None
                and _holds(value, above, threshold)
                and _held_ns(source, past, above, threshold) >= for_ns
            ]
            if ripe and rested:
                news.append((now_ns, "fired", ripe[0]))
    return news


def _holds(value: Fraction, above: bool, threshold: Fraction) -> bool:
    return value > threshold if above else value < threshold


def _sources(past: list[Look]) -> list[str]:
    return sorted({source for _, readings in past for source in readings})


def _remembered(source: str, past: list[Look]) -> list[Look]:
    """The looks since the source was last forgotten: a minute without data from it while another had some."""
    start, seen_ns = 0, None
    for at, (now_ns, readings) in enumerate(past):
        if readings.get(source) is not None:
            seen_ns = now_ns
        elif seen_ns is not None and now_ns - seen_ns >= GONE_NS and any(readings.values()):
            start, seen_ns = at + 1, None
    return past[start:]


def _last_known(source: str, past: list[Look], above: bool, threshold: Fraction) -> bool:
    known = [r[source] for _, r in _remembered(source, past) if r.get(source) is not None]
    return bool(known) and _holds(known[-1], above, threshold)


def _held_ns(source: str, past: list[Look], above: bool, threshold: Fraction) -> int:
    """The sum of the steps between looks that follow one another and both hold, since it last did not."""
    looks = _remembered(source, past)
    held = 0
    for (before_ns, before), (now_ns, now) in itertools.pairwise(looks):
        value, earlier = now.get(source), before.get(source)
        if value is not None and not _holds(value, above, threshold):
            held = 0
        elif value is not None and earlier is not None and _holds(earlier, above, threshold):
            held += now_ns - before_ns
    return held
