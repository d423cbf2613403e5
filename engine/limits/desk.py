"""All budgets: gates for callers, views for pages, bans and what was spent kept over restarts.

Programs side by side on one address do not know of each other where the venue reports nothing (Bybit's calls in 5 s):
give each a `share` of such a window.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from engine.limits.gate import Gate
from engine.limits.limiter import Limiter, Stop
from engine.limits.rules import Rules
from engine.limits.spent import resume, spent
from engine.limits.store import Ban, BanStore
from engine.limits.windows import Window
from engine.telemetry.board import EndpointView, LimitState, LimitsView, WindowView
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry

SECOND_NS = 1_000_000_000


def nothing(level: Level, venue: str, what: str, text: str) -> None:
    """Takes no note."""
    del level, venue, what, text


class LimitDesk:
    """Every budget of the rules. Belongs to one asyncio loop; a ban in the store is honoured from the start, and
    what an earlier run spent is counted.
    """

    def __init__(
        self,
        rules: Rules,
        store: BanStore | None = None,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        note: Callable[[Level, str, str, str], None] = nothing,
    ) -> None:
        self.rules = rules
        self._store, self._wall, self._monotonic, self._note = store, wall, monotonic, note
        self._gates: dict[str, Gate] = {}
        self._unkept: set[str] = set()  # venues whose use could not be stored
        self._closed: dict[
            str, tuple[int, int, int]
        ] = {}  # allowed, throttled, refused at the last second's end
        for venue, own in rules.venues.items():
            gate = Gate(
                Limiter(own),
                wall=wall,
                monotonic=monotonic,
                on_stop=partial(self._stopped, venue),
                on_change=partial(note, "info", venue, "limits"),
                on_use=None if store is None else partial(self._used, venue),
            )
            self._gates[venue] = gate
            self._closed[venue] = (0, 0, 0)
            if store is None:
                continue
            resume(gate.limiter, store.find_spent(venue), monotonic(), wall())
            ban = store.find(venue, wall())
            if ban is not None:
                until = monotonic() + ban.until_ns - wall()
                gate.stop(Stop("ip", "", until, ban.status, ban.reason))
                left_s = (ban.until_ns - wall()) // SECOND_NS
                note(
                    "warn", venue, "ban", f"still banned for {left_s:,} s, since an earlier run: {ban.reason}"
                )

    def gate(self, venue: str) -> Gate:
        """The budget's gate. KeyError when there is no such budget."""
        return self._gates[venue]

    def views(self, wall_ns: int) -> tuple[LimitsView, ...]:
        """Every budget as it stands, in the file's order."""
        now = self._monotonic()
        return tuple(self._view(gate.limiter, now, wall_ns) for gate in self._gates.values())

    def close_second(self, telemetry: Telemetry, second_ns: int) -> None:
        """One LIMIT row per venue: what was counted since the last call."""
        for venue, gate in self._gates.items():
            limiter = gate.limiter
            if gate.sweep():
                self._note("error", venue, "limits", "a permit was never answered, lost or returned")
            totals = (limiter.allowed, limiter.throttled, sum(e.refused for e in limiter.endpoints()))
            before, self._closed[venue] = self._closed[venue], totals
            allowed, throttled, refused = (a - b for a, b in zip(totals, before, strict=True))
            telemetry.limit(venue).publish_one(
                (second_ns, max(allowed, 0), throttled, limiter.waiting, refused)
            )

    def close(self) -> None:
        """Cancel the timers, and store what was spent."""
        for venue, gate in self._gates.items():
            gate.close()
            if self._store is not None and gate.limiter.allowed:
                self._used(venue, not gate.limiter.flying)

    def _used(self, venue: str, at_rest: bool) -> None:
        assert self._store is not None
        found = spent(self._gates[venue].limiter, self._monotonic(), self._wall(), at_rest=at_rest)
        if not self._store.keep_spent(venue, found) and venue not in self._unkept:
            self._unkept.add(venue)
            self._note(
                "error", venue, "limits", "what is spent cannot be stored: a restart would not know of it"
            )

    def _stopped(self, venue: str, stop: Stop) -> None:
        left_ns = max(stop.until - self._monotonic(), 0)
        kept = True
        if stop.ban and self._store is not None:
            wall = self._wall()
            kept = self._store.keep(venue, Ban(wall + left_ns, stop.status, stop.reason), wall)
        what = "ban" if stop.ban else "limits"
        text = f"{stop.reason}: nothing is sent for {left_ns / SECOND_NS:,.0f} s"
        self._note("error" if stop.ban else "warn", venue, what, text)
        if not kept:
            self._note("error", venue, "ban", "the ban could not be stored: a restart would not know of it")

    def _view(self, limiter: Limiter, now: int, wall_ns: int) -> LimitsView:
        limiter.tidy(now)
        ban = limiter.banned()
        state: LimitState = "within limits"
        if ban is not None:
            state = "banned"
        elif limiter.waiting or limiter.stops:
            state = "throttling"
        return LimitsView(
            venue=limiter.rules.venue,
            label=limiter.rules.label,
            state=state,
            banned_until_ns=wall_ns + ban.until - now if ban is not None else 0,
            ban_reason=ban.reason if ban is not None else "",
            windows=tuple(_window_view(window, now, wall_ns) for window in limiter.windows.values()),
            endpoints=tuple(
                EndpointView(
                    endpoint=counts.endpoint,
                    weight=counts.weight,
                    calls=counts.calls,
                    throttled=counts.throttled,
                    waiting=counts.waiting,
                    mean_ns=counts.mean_ns,
                    p99_ns=counts.p99_ns,
                    max_ns=counts.max_ns,
                    refused=counts.refused,
                    last_status=counts.status,
                )
                for counts in limiter.endpoints()
            ),
            allowed=limiter.allowed,
            throttled=limiter.throttled,
            waiting=limiter.waiting,
            wait_mean_ns=limiter.wait_sum_ns // limiter.waited if limiter.waited else 0,
            wait_max_ns=limiter.wait_max_ns,
            refused_429=limiter.refused[429],
            refused_418=limiter.refused[418],
            refused_403=limiter.refused[403],
        )


def _window_view(window: Window, now: int, wall_ns: int) -> WindowView:
    window.release(now)
    follower = window.follower
    reported, foreign = None, 0
    if follower is not None:
        follower.roll(now)
        reported, foreign = follower.reported, follower.taken
    used = max(window.used, reported or 0)
    note = ""
    if reported is not None:
        note = "header agrees" if reported <= window.used else f"header says {reported:,}"
    clear = window.clear_at()
    if window.flying:
        clear = max(clear, now + window.rule.window_ns)
    if follower is not None and used > window.used:
        clear = max(clear, min(follower.relief(now), now + window.rule.window_ns))
    return WindowView(
        name=f"{window.rule.label} ({window.account})" if window.account else window.rule.label,
        scope=window.rule.scope,
        window_ns=window.rule.window_ns,
        limit=window.limit,
        used=used,
        reserved=window.waiting,
        foreign=foreign,
        resets_ns=wall_ns + clear - now if used and clear else 0,
        note=note,
    )
