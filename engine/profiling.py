"""A profile of the engine's own thread, taken while it works: who spent the time, as a table and as a call tree.

`Profiler` switches cProfile on and off from the loop's own thread, so nothing is stopped; `view_of` makes what is
shown from what cProfile counted and is pure. cProfile slows what it measures, calls of small functions most: shares
are of use, times are longer than they are without it. Compiled kernels and the loop's own C code have no calls it
could see: their time belongs to the function that called them, waiting to none. Up to Python 3.11 it sees the
loop's thread alone, from 3.12 on all threads of the process.
"""

from __future__ import annotations

import asyncio
import cProfile
import heapq
import os
import re
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, cast

from engine.errors import BadCommand

Function = tuple[str, int, str]  # file, line, name: as cProfile names it
Counts = tuple[
    int, int, float, float
]  # calls that were no recursion, all calls, own seconds, seconds with calls
Stats = Mapping[Function, tuple[int, int, float, float, Mapping[Function, Counts]]]

SECONDS_MIN: Final = 1
SECONDS_MAX: Final = 60
ROWS_MAX: Final = 100
NODES_MAX: Final = 500
DEPTH_MAX: Final = 48
LEAST_SHARE: Final = 0.0005  # of all time: what is smaller is not drawn
BUILT_IN: Final = "~"  # cProfile's file of what is written in C
METHOD: Final = re.compile(r"<method '(.+)' of '(.+)' objects>")
WAITS: Final = ("select.epoll", "select.poll", "select.kqueue", "select.select", "time.sleep")

PROJECT: Final = str(Path(__file__).resolve().parents[1])
LIBRARY: Final = os.path.realpath(sysconfig.get_paths()["stdlib"])


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One function. Times are ms while it was profiled; `share` is its own time of all busy time, 0..1."""

    function: str
    where: str  # "engine/builtin.py:84"; "" = built in
    calls: int
    recursive: int  # of those, from within itself
    own_ms: float
    cumulative_ms: float  # with everything it called
    share: float


@dataclass(frozen=True, slots=True)
class ProfileNode:
    """One function called from its parent. `parent` is a place in the list before this one, -1 of the root."""

    label: str
    where: str
    parent: int
    value_ms: float  # with everything below it, drawn or not; never more than the parent's
    own_ms: float


@dataclass(frozen=True, slots=True)
class ProfileView:
    """One profile: running, or taken. Rows come with the most own time first, nodes with parents before children."""

    state: Literal["running", "done"]
    started_ns: int  # wall clock
    asked_s: float
    took_s: float = 0.0  # wall time it really ran; 0 while it runs
    busy_s: float = 0.0  # of that, in functions that did not wait
    calls: int = 0
    functions: int = 0  # that were called
    rows: tuple[ProfileRow, ...] = ()
    nodes: tuple[ProfileNode, ...] = ()
    hidden_ms: float = 0.0  # of the tree's time, in functions too small to be drawn

    @property
    def ends_ns(self) -> int:
        """Wall clock: when it ends, or ended."""
        return self.started_ns + round((self.took_s or self.asked_s) * 1e9)


class Profiler:
    """Profiles the thread of `loop`, one profile at a time. All methods are for that thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], int] = time.time_ns) -> None:
        self._loop, self._clock = loop, clock
        self._profile: cProfile.Profile | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began_s = 0.0
        self.view: ProfileView | None = None  # of the one that runs, or of the newest; None before the first

    def start(self, seconds: object, done: Callable[[ProfileView], None]) -> ProfileView:
        """Begin; the running view. `done` gets the result after `seconds`.

        BadCommand when `seconds` is no number from 1 to 60, when one runs already, or when another tool profiles.
        """
        asked_s = checked(seconds)
        if self._profile is not None and self.view is not None:
            left_s = max(0.0, (self.view.ends_ns - self._clock()) / 1e9)
            raise BadCommand(f"a profile is being taken; it is done in {left_s:.0f} s")
        profile = cProfile.Profile()
        try:
            profile.enable()
        except ValueError as error:  # from Python 3.12 on there is one place for such tools
            raise BadCommand("another tool profiles this process; try again when it has ended") from error
        self._profile, self._began_s = profile, self._loop.time()
        self.view = ProfileView("running", self._clock(), asked_s)
        self._timer = self._loop.call_later(asked_s, self._finish, done)
        return self.view

    def stop(self) -> None:
        """Give up the one that runs, for the end of the program; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
        if self._profile is not None:
            self._profile.disable()
        self._profile = self._timer = None

    def _finish(self, done: Callable[[ProfileView], None]) -> None:
        profile, running = self._profile, self.view
        if profile is None or running is None:
            return
        profile.disable()
        self._timer = None
        took_s = self._loop.time() - self._began_s

        def told(future: asyncio.Future[ProfileView]) -> None:
            if self._profile is not profile:  # given up meanwhile
                return
            self._profile = self.view = None
            if not future.cancelled():
                self.view = future.result()
                done(self.view)

        # Some 30 ms for a thousand functions: not on the loop.
        making = self._loop.run_in_executor(None, _taken, profile, running, took_s)
        making.add_done_callback(told)


def _taken(profile: cProfile.Profile, running: ProfileView, took_s: float) -> ProfileView:
    """What a profile that has ended counted."""
    profile.snapshot_stats()
    stats = cast(Stats, profile.stats)
    return view_of(stats, running.started_ns, running.asked_s, took_s)


def checked(seconds: object) -> float:
    """How long a profile takes, s; BadCommand when that is no number from 1 to 60."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not SECONDS_MIN <= cast(float, seconds) <= SECONDS_MAX:
        raise BadCommand(f"a profile takes {SECONDS_MIN} to {SECONDS_MAX} seconds, not {seconds!r:.40}")
    return float(cast(float, seconds))


def view_of(stats: Stats, started_ns: int, asked_s: float, took_s: float) -> ProfileView:
    """What cProfile counted, as it is shown. Pure. Cost: about 20 ms for a thousand functions on one quiet core."""
    own = {function: counts[2] for function, counts in stats.items() if not is_own(function)}
    busy_s = sum(seconds for function, seconds in own.items() if not waits(function))
    rows = [
        ProfileRow(
            *named(function),
            calls=calls,
            recursive=calls - first,
            own_ms=round(own_s * 1e3, 3),
            cumulative_ms=round(all_s * 1e3, 3),
            share=round(own_s / busy_s, 5) if busy_s and not waits(function) else 0.0,
        )
        for function, (first, calls, own_s, all_s, _) in stats.items()
        if function in own
    ]
    rows.sort(key=lambda row: (-row.own_ms, row.function, row.where))
    nodes, hidden_s = tree(stats)
    return ProfileView(
        state="done",
        started_ns=started_ns,
        asked_s=asked_s,
        took_s=round(took_s, 3),
        busy_s=round(busy_s, 6),
        calls=sum(row.calls for row in rows),
        functions=len(rows),
        rows=tuple(rows[:ROWS_MAX]),
        nodes=nodes,
        hidden_ms=round(hidden_s * 1e3, 3),
    )


def tree(stats: Stats) -> tuple[tuple[ProfileNode, ...], float]:
    """(the call tree, at most 500 nodes; seconds in functions too small to be drawn).

    cProfile knows who called whom, not by which way: a function's calls are spread over its callers by the time
    it spent for each. A function below itself is not drawn again; that time stays with the one above. Waiting is
    left out. The nodes that took the longest are drawn first.
    """
    callees: dict[Function, list[tuple[Function, float]]] = {}
    roots: dict[Function, float] = {}
    for function, (_, _, _, all_s, callers) in stats.items():
        if waits(function) or is_own(function):
            continue
        known_s = 0.0
        for caller, (_, _, _, edge_s) in callers.items():
            if caller == function or caller not in stats or is_own(caller):
                known_s += edge_s if caller == function else 0.0
                continue
            callees.setdefault(caller, []).append((function, edge_s))
            known_s += edge_s
        if not callers:
            roots[function] = all_s
        elif all_s - known_s > 1e-6 and not any(caller == function for caller in callers):
            roots[function] = all_s - known_s  # called from where nothing was seen as well
    idle = waiting(stats)
    roots = {function: max(0.0, seconds - idle.get(function, 0.0)) for function, seconds in roots.items()}
    total_s = sum(roots.values())
    nodes: list[ProfileNode] = [ProfileNode("engine thread", "", -1, round(total_s * 1e3, 3), 0.0)]
    heap: list[tuple[float, int, int, Function, frozenset[Function]]] = []
    order, hidden_s, least_s = 0, 0.0, total_s * LEAST_SHARE

    def offer(function: Function, seconds: float, parent: int, path: frozenset[Function]) -> None:
        nonlocal order, hidden_s
        if seconds < least_s or seconds <= 0:
            hidden_s += max(0.0, seconds)
            return
        order += 1
        heapq.heappush(heap, (-seconds, order, parent, function, path))

    for function, seconds in roots.items():
        offer(function, seconds, 0, frozenset())
    while heap and len(nodes) < NODES_MAX:
        negative, _, parent, function, path = heapq.heappop(heap)
        seconds = -negative
        below = path | {function}
        children = [(child, edge) for child, edge in callees.get(function, ()) if child not in below]
        whole_s = stats[function][3]
        scale = seconds / whole_s if whole_s > 1e-9 else 0.0
        given = [(child, edge * scale) for child, edge in children]
        sum_s = sum(edge for _, edge in given)
        if sum_s > seconds:  # recursion counts some time twice
            given = [(child, edge * seconds / sum_s) for child, edge in given]
            sum_s = seconds
        place = len(nodes)
        label, where = named(function)
        nodes.append(
            ProfileNode(label, where, parent, round(seconds * 1e3, 3), round((seconds - sum_s) * 1e3, 3))
        )
        for child, edge in given:
            if len(below) < DEPTH_MAX:
                offer(child, edge, place, below)
            else:
                hidden_s += edge
    hidden_s += sum(-negative for negative, *_ in heap)
    return tuple(nodes), hidden_s


def waiting(stats: Stats) -> dict[Function, float]:
    """Seconds each function spent in calls that wait, right below it."""
    found: dict[Function, float] = {}
    for function, (*_, callers) in stats.items():
        if waits(function):
            for caller, (_, _, _, edge_s) in callers.items():
                found[caller] = found.get(caller, 0.0) + edge_s
    return found


def waits(function: Function) -> bool:
    """Whether a function does nothing but wait for the next thing to do."""
    return function[0] == BUILT_IN and any(name in function[2] for name in WAITS)


def is_own(function: Function) -> bool:
    """Whether it is the profiler's own call, which ends the profile."""
    return function[0] == BUILT_IN and "_lsprof.Profiler" in function[2]


def named(function: Function) -> tuple[str, str]:
    """(name, "file:line" or "" of what is in C); never a folder outside the project, a package or the library."""
    path, line, name = function
    if path == BUILT_IN:
        method = METHOD.match(name)
        if method is not None:
            return f"{method[2]}.{method[1]}", ""
        return name.strip("<>").removeprefix("built-in method ").removeprefix("builtins."), ""
    return name, f"{shortened(path)}:{line}"


@lru_cache(maxsize=4_096)
def shortened(path: str) -> str:
    """A source file's path relative to the project, or as `site-packages/..`, `python/..`; else its name alone."""
    if path.startswith("<"):
        return path
    plain = path.replace("\\", "/")
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in plain:
            return "site-packages/" + plain.rsplit(mark, 1)[1]
    real = os.path.realpath(path)
    for folder, word in ((PROJECT, ""), (LIBRARY, "python/")):
        if real.startswith(folder + os.sep):
            return word + real[len(folder) + 1 :].replace(os.sep, "/")
    return plain.rsplit("/", 1)[-1]


def fields(view: ProfileView) -> dict[str, Any]:
    """The view as plain values, for JSON."""
    return {
        "state": view.state,
        "started_ns": view.started_ns,
        "ends_ns": view.ends_ns,
        "asked_s": view.asked_s,
        "took_s": view.took_s,
        "busy_s": view.busy_s,
        "calls": view.calls,
        "functions": view.functions,
        "hidden_ms": view.hidden_ms,
        "rows": [
            [row.function, row.where, row.calls, row.recursive, row.own_ms, row.cumulative_ms, row.share]
            for row in view.rows
        ],
        "nodes": [[node.label, node.where, node.parent, node.value_ms, node.own_ms] for node in view.nodes],
    }


def from_fields(values: Mapping[str, Any]) -> ProfileView:
    """The view `fields` were made of."""
    plain = {name: values[name] for name in ("state", "started_ns", "asked_s", "took_s", "busy_s", "calls")}
    return ProfileView(
        **plain,
        functions=values["functions"],
        hidden_ms=values["hidden_ms"],
        rows=tuple(ProfileRow(*row) for row in values["rows"]),
        nodes=tuple(ProfileNode(*node) for node in values["nodes"]),
    )


def report(view: ProfileView, rows: int = 30) -> str:
    """The table as plain text, for a terminal: the functions with the most own time, and what was left out."""
    if view.state == "running":
        return f"a profile of {view.asked_s:g} s is being taken\n"
    busy = view.busy_s / view.took_s * 100 if view.took_s else 0.0
    lines = [
        f"{view.took_s:.1f} s of the engine's thread: {view.busy_s:.2f} s busy ({busy:.0f} %), "
        f"{view.calls:,} calls of {view.functions:,} functions",
        "",
        f"{'own ms':>10} {'share':>7} {'with calls':>11} {'calls':>11}  function",
    ]
    for row in view.rows[:rows]:
        share = f"{row.share * 100:.1f} %" if row.share else "-"
        where = f"  {row.where}" if row.where else ""
        lines.append(
            f"{row.own_ms:>10,.1f} {share:>7} {row.cumulative_ms:>11,.1f} {row.calls:>11,}  {row.function}{where}"
        )
    left = view.functions - min(rows, len(view.rows))
    if left > 0:
        lines.append(f"{'':>10} {'':>7} {'':>11} {'':>11}  and {left:,} more")
    lines += [
        "",
        "Profiling slows the thread; compare shares, not times. Kernels count for their callers.",
        "",
    ]
    return "\n".join(lines)
