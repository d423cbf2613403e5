"""The stream of rate limits: what each venue allows, what was spent, what was held back."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dashboards.streams.common import Json, head, ms
from dashboards.streams.venues import (
    MARKETS,
    budget_colour,
    connected_budgets,
    is_banned,
    moment,
)
from dashboards.view import NS_A_SECOND, View, start_of
from engine.telemetry.board import EndpointView, LimitsView, WindowView

STEPS_S: Final = {
    60: 1,
    300: 3,
    900: 10,
    3_600: 30,
    14_400: 120,
}  # by window: so many bars are still told apart
SUMMED: Final = ("allowed", "throttled", "refused")


def budgets(view: View) -> list[LimitsView]:
    """Budgets there is something to say about: of connected markets, and those that were called or are banned."""
    connected = connected_budgets(view.venues)
    return [
        limits
        for limits in view.limits
        if limits.venue in connected or limits.allowed or limits.waiting or is_banned(limits, view.wall_ns)
    ]


def chosen(view: View) -> list[LimitsView]:
    """Those of them the page looks at: the one asked for, else all."""
    found = budgets(view)
    asked = [limits for limits in found if limits.venue == view.params.budget]
    return asked or found


def shown_budgets(view: View) -> set[str]:
    """Budgets of the live sources shown in this browser."""
    live = (source.source.venue for source in view.shown if source.source.run == "live")
    return {MARKETS[venue].budget if venue in MARKETS else venue for venue in live}


def limit_rows(view: View, from_ns: int) -> dict[str, list[Any]]:
    """Columns `t` (start of each step, ns), `allowed`, `throttled`, `refused` (sums) and `waiting` (the most at
    once) over the chosen budgets: steps from `from_ns` (aligned) to the newest complete one; None where no budget
    had a row.
    """
    step_ns = STEPS_S[view.params.window_s] * NS_A_SECOND
    end_ns = view.closed_ns - view.closed_ns % step_ns
    count = max(0, (end_ns - from_ns) // step_ns)
    known = np.zeros(count, bool)
    sums = {name: np.zeros(count, np.int64) for name in SUMMED}
    seconds = count * step_ns // NS_A_SECOND
    waiting = np.zeros(seconds, np.int64)
    for limits in chosen(view):
        ring = view.limit_rings.get(limits.venue)
        if ring is None or not count:
            continue
        rows = view.last(ring, (view.wall_ns - from_ns) // NS_A_SECOND + 3)
        rows = rows[(rows["ts_ns"] >= from_ns) & (rows["ts_ns"] < end_ns)]
        place = (rows["ts_ns"] - from_ns) // step_ns
        known[place] = True
        for name in SUMMED:
            np.add.at(sums[name], place, rows[name])
        waiting[(rows["ts_ns"] - from_ns) // NS_A_SECOND] += rows["waiting"]
    most = waiting.reshape(count, -1).max(axis=1) if count else waiting
    columns: dict[str, list[Any]] = {"t": [from_ns + place * step_ns for place in range(count)]}
    for name, values in (*sums.items(), ("waiting", most)):
        columns[name] = [
            value if there else None for value, there in zip(values.tolist(), known.tolist(), strict=True)
        ]
    return columns


def limits_start(view: View) -> int:
    """Start of the first step of the window."""
    step_ns = STEPS_S[view.params.window_s] * NS_A_SECOND
    start_ns = start_of(view.wall_ns, view.params.window_s)
    return start_ns - start_ns % step_ns


def limits(view: View, cursor: Json) -> tuple[Json, Json]:
    """Budgets and endpoints, whole once a second and when they changed; new steps of what was held back."""
    found = chosen(view)
    key = "|".join((view.epoch, str(view.params.window_s), *(one.venue for one in found)))
    start_ns = limits_start(view)
    step_s = STEPS_S[view.params.window_s]
    from_ns = max(start_ns, int(cursor["t"])) if cursor.get("k") == key else start_ns
    columns = limit_rows(view, from_ns)
    times = columns.pop("t")
    calls = sum(one.allowed for one in found)
    stream = head(view, key, cursor, view.closed_ns if found else 0, calls, wall=True) | {
        "t": [at // 1_000_000 for at in times],
        **columns,
        "step": step_s,
        "keep": start_ns // 1_000_000,
    }
    moment_of = f"{view.wall_ns // NS_A_SECOND}|{hash(view.limits)}"
    if cursor.get("k") != key or cursor.get("s") != moment_of:
        stream |= {
            "venues": [budget_row(view, one) for one in budgets(view)],
            "endpoints": endpoint_rows(view),
            "totals": totals(found),
        }
    place = times[-1] + step_s * NS_A_SECOND if times else from_ns
    return stream, {"k": key, "t": place, "s": moment_of}


def totals(found: list[LimitsView]) -> Json:
    """What was sent, held back and refused since the start; the mean wait is that of the calls held back."""
    held = sum(one.throttled for one in found)
    mean_ns = round(sum(one.wait_mean_ns * one.throttled for one in found) / held) if held else None
    return {
        "allowed": sum(one.allowed for one in found),
        "throttled": held,
        "waiting": sum(one.waiting for one in found),
        "refused": sum(refusals(one) for one in found),
        "mean_wait_ms": ms(mean_ns) if mean_ns is not None else None,
        "max_wait_ms": ms(max(one.wait_max_ns for one in found)) if held else None,
    }


def refusals(limits: LimitsView) -> int:
    """Answers that said too many, of all kinds."""
    return limits.refused_429 + limits.refused_418 + limits.refused_403


def budget_row(view: View, limits: LimitsView) -> Json:
    """One budget with all its windows."""
    banned = is_banned(limits, view.wall_ns)
    return {
        "id": limits.venue,
        "label": limits.label,
        "colour": budget_colour(limits.venue),
        "shown": not shown_budgets(view) or limits.venue in shown_budgets(view),
        # A ban whose end has passed holds no more, and one that holds is told whatever else is.
        "state": "banned" if banned else "within limits" if limits.state == "banned" else limits.state,
        "until": moment(limits.banned_until_ns) if banned else None,
        "reason": limits.ban_reason if banned else "",
        "windows": [window_row(window) for window in limits.windows],
        "allowed": limits.allowed,
        "throttled": limits.throttled,
        "waiting": limits.waiting,
        "refused": [limits.refused_429, limits.refused_418, limits.refused_403],
    }


def window_row(window: WindowView) -> Json:
    """One window of a budget."""
    return {
        "name": window.name,
        "scope": window.scope,
        "window_s": window.window_ns / 1e9,
        "used": window.used,
        "limit": window.limit,
        "reserved": window.reserved,
        "foreign": window.foreign,
        "resets": moment(window.resets_ns),
        "note": window.note,
    }


def endpoint_rows(view: View) -> list[Json]:
    """Endpoints of the chosen budgets, most throttled first, then most called."""
    rows = [endpoint_row(limits, one) for limits in chosen(view) for one in limits.endpoints]
    return sorted(rows, key=lambda row: (-row["throttled"], -row["calls"], row["id"], row["endpoint"]))


def endpoint_row(limits: LimitsView, endpoint: EndpointView) -> Json:
    """One endpoint since the start; latencies null before the first answer."""
    answered = endpoint.max_ns > 0
    return {
        "id": limits.venue,
        "label": limits.label,
        "colour": budget_colour(limits.venue),
        "endpoint": endpoint.endpoint,
        "weight": endpoint.weight,
        "calls": endpoint.calls,
        "throttled": endpoint.throttled,
        "waiting": endpoint.waiting,
        "mean_ms": ms(endpoint.mean_ns) if answered else None,
        "p99_ms": ms(endpoint.p99_ns) if answered else None,
        "max_ms": ms(endpoint.max_ns) if answered else None,
        "refused": endpoint.refused,
        "status": endpoint.last_status or None,
    }


def throttled_tail(view: View, count: int) -> list[Any]:
    """Calls held back in each of the last `count` complete seconds at the venues shown; None where no row."""
    found: list[Any] = [None] * count
    start_ns = view.closed_ns - count * NS_A_SECOND
    for budget in shown_budgets(view):
        ring = view.limit_rings.get(budget)
        if ring is None:
            continue
        rows = view.last(ring, count + 3)
        rows = rows[(rows["ts_ns"] >= start_ns) & (rows["ts_ns"] < view.closed_ns)]
        for at_ns, throttled in rows[["ts_ns", "throttled"]].tolist():
            place = (at_ns - start_ns) // NS_A_SECOND
            found[place] = (found[place] or 0) + throttled
    return found


def tightness(window: Json) -> float:
    """Sorting key that puts the window with the least room first."""
    return -(window["used"] / window["limit"]) if window["limit"] else 0.0
