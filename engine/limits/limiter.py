"""Which call may be sent when: one budget's windows, the queue before them, and what refusals tell. Pure.

Calls wait in order of arrival within their priority. A call that does not fit claims the windows that are too full
for it, and keeps the claim: nothing of the same or a lower priority takes from a claimed window before it, however
light, so a heavy call cannot starve. A call that needs none of the claimed windows passes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from engine.errors import QueueFull, TooHeavy
from engine.limits.calls import EndpointCounts
from engine.limits.feedback import reported, reset_after, retry_after
from engine.limits.foreign import NEVER
from engine.limits.rules import CONNECT, LIMIT_MOST, Cost, Scope, VenueRules, WindowRule
from engine.limits.windows import Window

Nanos = int

SECOND_NS: Final = 1_000_000_000
DROPPED_MOST: Final = 64  # cancelled calls that may lie in lanes, beside as many as wait
ACCOUNTS_MOST: Final = 256  # whose windows are kept
ENDPOINTS_MOST: Final = 256  # counted one by one; further ones share the default's weight and one row
VALUES_MOST: Final = 256  # of an argument, whose charges are kept at hand
KEPT: Final = (str, int)
NOT_KEPT: Final = object()
FORGOTTEN_NS: Final = 300 * SECOND_NS  # far beyond any timeout of a call
BANS: Final = (418, 403)
OTHERS: Final = "other endpoints"
EMPTY: Final[Mapping[str, object]] = {}


class Priority(IntEnum):
    """Who goes first. ORDER and RESYNC may use the reserve."""

    ORDER = 0
    RESYNC = 1
    NORMAL = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """No call of a scope until a time."""

    scope: Scope
    account: str
    until: Nanos
    status: int  # 429, 418, 403, or the venue's own code
    reason: str  # "418 from GET /api/v3/depth"

    @property
    def ban(self) -> bool:
        """Whether it outlives the process."""
        return self.status in BANS


class Charge:
    """What calls of one endpoint, account and weight take: shared by all of them."""

    __slots__ = ("account", "counts", "endpoint", "entries", "lane", "weight")

    def __init__(
        self, endpoint: str, account: str, entries: tuple[tuple[Window, int], ...], counts: EndpointCounts
    ) -> None:
        self.endpoint, self.account, self.entries, self.counts = endpoint, account, entries, counts
        self.lane = tuple(
            window for window, _ in entries
        )  # windows it needs: calls with the same wait in one line
        self.weight = entries[0][1] if entries else 0


class Call:
    """One call that may be sent, or waits for it."""

    __slots__ = (
        "cancelled", "charge", "claims", "done", "granted", "number", "priority", "sent_ns", "since_ns",
    )  # fmt: skip
    charge: Charge  # set as it is asked for
    priority: int
    number: int  # the order of arrival; set as it begins to wait, as the two below
    since_ns: Nanos
    claims: tuple[Window, ...]
    sent_ns: Nanos  # set as it is granted

    def __init__(self) -> None:
        self.granted = self.done = self.cancelled = False


class _Plan:
    """How an endpoint's calls are charged."""

    __slots__ = ("by", "charges", "costs", "counts", "endpoint", "given", "single")

    def __init__(self, endpoint: str, costs: tuple[tuple[str, Cost], ...], counts: EndpointCounts) -> None:
        self.endpoint, self.costs, self.counts = endpoint, costs, counts
        self.charges: dict[tuple[str, tuple[int, ...]], Charge] = {}
        self.single: Charge | None = None  # the only charge there is, whatever the arguments
        names = {cost.by for _, cost in costs if cost.fixed < 0}
        self.by = names.pop() if len(names) == 1 else ""  # the only argument that matters
        self.given: dict[object, Charge] = {}  # by its value


class Limiter:
    """One budget. Times are monotonic nanoseconds; one that goes back is taken as no time having passed."""

    def __init__(self, rules: VenueRules) -> None:
        self.rules = rules
        self.windows: dict[tuple[WindowRule, str], Window] = {}
        for rule in rules.windows:
            self._window(rule, "")
        self._now = 0
        self._plans: dict[str, _Plan] = {}
        self._limits: dict[WindowRule, int] = {}  # announced by the venue, where it differs from the file
        self._lanes: dict[tuple[int, tuple[Window, ...]], deque[Call]] = {}
        self._flying: deque[Call] = deque()  # in order of sending; answered ones go as the oldest does
        self._arrivals = 0
        self._wake = NEVER
        self.listening = (
            False  # an answer may let a waiting call go, or tell when it can; else only time does
        )
        self.stops: dict[tuple[Scope, str], Stop] = {}
        self._dropped = 0  # calls cancelled since the lanes were last cleared of them
        self.failed: list[
            tuple[Call, TooHeavy]
        ] = []  # waited when a limit sank below them; who pumps tells them
        self.waiting = 0
        self.allowed = self.throttled = 0
        self.wait_sum_ns = self.wait_max_ns = self.waited = 0
        self.refused = {429: 0, 418: 0, 403: 0}

    # -- asking ---------------------------------------------------------------------------------------------------

    def take(
        self,
        call: Call,
        endpoint: str,
        arguments: Mapping[str, object],
        priority: int,
        account: str,
        now: Nanos,
    ) -> bool:
        """Whether the call may be sent at once; it is counted then. TooHeavy when it never can."""
        plan = self._plans.get(endpoint)
        charge = plan.single if plan is not None else None
        if charge is None or account:
            charge = self._charge(endpoint, arguments, account)
        call.charge, call.priority = charge, priority
        if now < self._now:
            now = self._now
        else:
            self._now = now
        if self.waiting or self.stops:
            return False
        entries = charge.entries
        for window, cost in entries:
            if not window.fits(cost, priority, now):
                return False
        for window, cost in entries:
            window.flying += cost
        call.sent_ns = now
        call.granted = True
        self.allowed += 1
        charge.counts.calls += 1
        self._flying.append(call)
        return True

    def enqueue(self, call: Call, now: Nanos) -> bool:
        """The call, which `take` refused, waits its turn. TooHeavy, QueueFull at once.

        True: `pump` must follow. False: others wait in the same line, and it goes after them whatever happens.
        """
        now = self._at(now)
        fault = self._too_heavy(call)
        if fault is not None:
            raise fault
        if self.waiting >= self.rules.queue:
            raise QueueFull(self.rules.venue, self.waiting)
        self._arrivals += 1
        call.number, call.since_ns = self._arrivals, now
        call.claims = ()
        lane = (call.priority, call.charge.lane)
        queue = self._lanes.get(lane)
        if queue is None:
            queue = self._lanes[lane] = deque()
        queue.append(call)
        self.waiting += 1
        call.charge.counts.waiting += 1
        for window, cost in call.charge.entries:
            window.waiting += cost
        return len(queue) == 1 or queue[0].cancelled

    def held_back(self, call: Call) -> None:
        """The call was not granted at once: count it as throttled."""
        self.throttled += 1
        call.charge.counts.throttled += 1

    def cancel(self, call: Call, now: Nanos) -> None:
        """The call is not wanted any more: it leaves the queue, or gives back what it was granted."""
        if call.granted:
            self.unsent(call, now)
        elif not call.cancelled:
            call.cancelled = True
            self._leave(call)
            self._dropped += 1
            if self._dropped > self.waiting + DROPPED_MOST:
                self._clear_lanes()

    def pump(self, now: Nanos) -> list[Call]:
        """The waiting calls that may be sent now, in order; each is counted as sent. Those that never can be, for
        a limit is lower now, leave the queue for `failed`.
        """
        granted: list[Call] = []
        self._wake, self.listening = NEVER, False
        now = self._at(now)
        self._end_stops(now)
        if not self.waiting:
            self._lanes.clear()
            return granted
        heads = []
        for (priority, lane), queue in list(self._lanes.items()):
            if _trim(queue):
                heads.append((priority, queue[0].number, queue))
            else:
                del self._lanes[priority, lane]
        heapq.heapify(heads)
        claimed: set[Window] = set()
        while heads:
            priority, _, queue = heads[0]
            call = queue[0]
            if self._blocked(call, claimed, now):
                if not call.cancelled:
                    heapq.heappop(heads)
                    continue
            else:
                queue.popleft()
                self._grant(call, now)
                granted.append(call)
            if _trim(queue):
                heapq.heapreplace(heads, (priority, queue[0].number, queue))
            else:
                heapq.heappop(heads)
        return granted

    def wake_at(self) -> Nanos:
        """When `pump` may grant something by time alone, as the last `pump` saw it; NEVER = not before an event."""
        return self._wake

    # -- telling --------------------------------------------------------------------------------------------------

    def unsent(self, call: Call, now: Nanos) -> None:
        """It was never sent: all it held is free."""
        if call.done:
            return
        self._at(now)
        self._land(call)
        self.allowed -= 1
        call.charge.counts.calls -= 1
        for window, cost in call.charge.entries:
            window.give_back(cost)

    def lost(self, call: Call, now: Nanos) -> None:
        """It was sent and no answer came: it holds what it took until it can no longer arrive, and a window on."""
        if call.done:
            return
        now = self._at(now)
        self._land(call)
        call.charge.counts.status = 0
        for window, cost in call.charge.entries:
            window.lose(cost, now, self.rules.lost_ns)
            if window.follower is not None:
                window.follower.lost(now, cost, now + self.rules.lost_ns)

    def answered(
        self, call: Call, status: int, headers: Mapping[str, str], code: int, now: Nanos, wall: Nanos
    ) -> Stop | None:
        """It was answered: what the headers say is taken over. The stop that the answer demands, if any."""
        if call.done:
            return None
        if now < self._now:
            now = self._now
        else:
            self._now = now
        oldest = self._land(call, now)
        charge, sent = call.charge, call.sent_ns
        counts = charge.counts
        counts.answered(status, now - sent)
        counts.weight = charge.weight
        for window, cost in charge.entries:
            window.settle(cost, now)
            follower = window.follower
            if follower is None:
                continue
            used = reported(window, headers)
            if used is None:
                follower.unheard(now, cost)
            else:
                follower.heard(sent, now, used, cost, oldest, window.answered, window.flying)
        if status in self.refused or code in self.rules.codes:
            return self._refusal(call, status, headers, code, now, wall)
        return None

    def adopt(self, announced: Sequence[tuple[str, int, int]]) -> list[str]:
        """Take the venue's own limits, (type, window in seconds, limit); sentences on those that differ."""
        changed = []
        for type_, window_s, limit in announced:
            if not 1 <= limit <= LIMIT_MOST:
                continue
            for window in list(self.windows.values()):
                rule = window.rule
                if rule.type != type_ or rule.window_ns != window_s * SECOND_NS or window.limit == limit:
                    continue
                changed.append(f"{rule.label}: the venue announces {limit:,}, not {window.limit:,}")
                window.adopt(limit)
                self._limits[rule] = limit
        return changed

    def stop(self, found: Stop) -> bool:
        """Send nothing of a scope for a time; False when it is stopped for longer already."""
        key = (found.scope, found.account)
        known = self.stops.get(key)
        if known is not None and known.until >= found.until and (known.ban or not found.ban):
            return False
        if known is not None and known.until > found.until:
            found = Stop(found.scope, found.account, known.until, found.status, found.reason)
        self.stops[key] = found
        return True

    @property
    def flying(self) -> bool:
        """Whether calls are in flight."""
        return any(window.flying for window in self.windows.values())

    def tidy(self, now: Nanos) -> None:
        """Bring what is shown up to date: a stop that is over is gone."""
        self._end_stops(self._at(now))

    def sweep(self, now: Nanos) -> int:
        """Count as lost what was sent long ago and never told of, so that a forgotten permit holds nothing for
        ever; how many there were.
        """
        found = 0
        while self._flying and now - self._flying[0].sent_ns > FORGOTTEN_NS:
            self.lost(self._flying[0], now)
            found += 1
        return found

    def banned(self) -> Stop | None:
        """The ban that is on."""
        return next((stop for stop in self.stops.values() if stop.ban), None)

    def endpoints(self) -> list[EndpointCounts]:
        """Every endpoint that was called, in order of first use."""
        seen = {id(plan.counts): plan.counts for plan in self._plans.values()}
        return list(seen.values())

    # -- inside ---------------------------------------------------------------------------------------------------

    def _at(self, now: Nanos) -> Nanos:
        self._now = max(self._now, now)
        return self._now

    def _window(self, rule: WindowRule, account: str) -> Window:
        found = self.windows.get((rule, account))
        if found is None:
            found = Window(rule, account, self.rules.guard_ns, self.rules.reserve)
            self.windows[rule, account] = found
        return found

    def _charge(self, endpoint: str, arguments: Mapping[str, object], account: str) -> Charge:
        plan = self._plans.get(endpoint)
        if plan is None:
            plan = self._plan(endpoint)
        value = arguments.get(plan.by) if plan.by and not account else NOT_KEPT
        if isinstance(value, KEPT):
            charge = plan.given.get(value)
            if charge is not None:
                return charge
        costs = tuple(cost.of(arguments) for _, cost in plan.costs)
        charge = plan.charges.get((account, costs))
        if charge is None:
            charge = self._new_charge(plan, account, costs)
        if isinstance(value, KEPT) and len(plan.given) < VALUES_MOST:
            plan.given[value] = charge
        return charge

    def _plan(self, endpoint: str) -> _Plan:
        listed = endpoint in self.rules.endpoints
        if not listed and len(self._plans) >= ENDPOINTS_MOST:
            endpoint = OTHERS
            if endpoint in self._plans:
                return self._plans[endpoint]
        plan = self._plans[endpoint] = _Plan(endpoint, self.rules.costs(endpoint), EndpointCounts(endpoint))
        return plan

    def _new_charge(self, plan: _Plan, account: str, costs: tuple[int, ...]) -> Charge:
        if len(self.windows) > ACCOUNTS_MOST:
            self._forget_accounts()
        spent = {unit: cost for (unit, _), cost in zip(plan.costs, costs, strict=True) if cost}
        entries = []
        personal = False
        for rule in self.rules.windows:
            if rule.unit not in spent:
                continue
            own = account if rule.scope in ("account", "order") else ""
            personal |= rule.scope in ("account", "order")
            window = self._window(rule, own)
            if rule in self._limits and window.limit != self._limits[rule]:
                window.adopt(self._limits[rule])
            entries.append((window, spent[rule.unit]))
        charge = Charge(plan.endpoint, account if personal else "", tuple(entries), plan.counts)
        plan.charges[account, costs] = charge
        if not account and all(cost.fixed >= 0 for _, cost in plan.costs):
            plan.single = charge
        return charge

    def _forget_accounts(self) -> None:
        """Drop the windows of accounts that hold nothing, and every charge, which may name them."""
        for key, window in list(self.windows.items()):
            window.release(self._now)
            if key[1] and not window.used and not window.waiting:
                del self.windows[key]
        for plan in self._plans.values():
            plan.charges.clear()
            plan.given.clear()
            plan.single = None

    def _blocked(self, call: Call, claimed: set[Window], now: Nanos) -> bool:
        if self.stops:
            stop = self._stopping(call)
            if stop is not None:
                self._wake = min(self._wake, stop.until)
                return True
        priority = call.priority
        full = None
        for window, cost in call.charge.entries:
            if window in claimed or not window.fits(cost, priority, now):
                if full is None:
                    full = [window]
                else:
                    full.append(window)
        if full is None:
            return False
        fault = self._too_heavy(call)
        if fault is not None:
            call.cancelled = True
            self._leave(call)
            self.failed.append((call, fault))
            return True
        own = [window for window in full if window not in claimed]
        if len(own) == len(full):  # otherwise it goes after the one that claims, whenever that is
            at = now
            for window, cost in call.charge.entries:
                if window in own:
                    at = max(at, window.when(cost, call.priority, now))
                    self.listening |= not window.full(cost, call.priority) or at > now + window.hold
            self._wake = min(self._wake, at)
        call.claims = tuple({*call.claims, *own})
        claimed.update(call.claims)
        return True

    def _too_heavy(self, call: Call) -> TooHeavy | None:
        for window, cost in call.charge.entries:
            room = window.rooms[call.priority]
            if cost > room:
                return TooHeavy(self.rules.venue, call.charge.endpoint, cost, room, window.rule.label)
        return None

    def _clear_lanes(self) -> None:
        """Let go of cancelled calls that lie behind one that waits."""
        self._dropped = 0
        for lane, queue in list(self._lanes.items()):
            left = deque(call for call in queue if not call.cancelled)
            if left:
                self._lanes[lane] = left
            else:
                del self._lanes[lane]

    def _stopping(self, call: Call) -> Stop | None:
        found = self.stops.get(("ip", ""))
        if found is not None:
            return found
        for window, _ in call.charge.entries:
            scope = window.rule.scope
            found = self.stops.get((scope, window.account))
            if found is not None:
                return found
        return None

    def _end_stops(self, now: Nanos) -> None:
        for key in [key for key, stop in self.stops.items() if stop.until <= now]:
            del self.stops[key]

    def _grant(self, call: Call, now: Nanos) -> None:
        charge = call.charge
        self.waiting -= 1
        for window, cost in charge.entries:
            window.waiting -= cost
            window.flying += cost
        call.sent_ns = now
        call.granted = True
        self.allowed += 1
        charge.counts.waiting -= 1
        charge.counts.calls += 1
        self._flying.append(call)
        waited = now - call.since_ns
        if waited > 0:
            self.waited += 1
            self.wait_sum_ns += waited
            self.wait_max_ns = max(self.wait_max_ns, waited)

    def _leave(self, call: Call) -> None:
        self.waiting -= 1
        call.charge.counts.waiting -= 1
        for window, cost in call.charge.entries:
            window.waiting -= cost

    def _land(self, call: Call, now: Nanos = 0) -> Nanos:
        """The call is in flight no more; when the oldest that still is was sent, `now` when there is none."""
        call.done = True
        flying = self._flying
        while flying and flying[0].done:
            flying.popleft()
        return flying[0].sent_ns if flying else now

    def _refusal(
        self, call: Call, status: int, headers: Mapping[str, str], code: int, now: Nanos, wall: Nanos
    ) -> Stop | None:
        counts = call.charge.counts
        counts.refused += 1
        if status in self.refused:
            self.refused[status] += 1
        for window, _ in call.charge.entries:
            if window.follower is not None:
                window.follower.refused()
        told = retry_after(headers, wall)
        scope: Scope = "ip" if status in BANS else self.rules.codes.get(code, "ip")
        account = call.charge.account
        scopes = {window.rule.scope for window, _ in call.charge.entries}
        if scope not in scopes:  # the venue means something that this call has no window for
            scope = "connect" if scopes == {"connect"} and status not in BANS else "ip"
        if scope in ("ip", "connect"):
            account = ""
        if told is None and status not in BANS:
            told = reset_after(headers, wall)
        if told is None and status not in BANS:
            told = self._window_left(call, scope, now)
        if told is None:
            told = self.rules.stops_ns[status if status in self.refused else 429]
        number = status if status in self.refused else code
        found = Stop(scope, account, now + told, number, f"{number} from {call.charge.endpoint}")
        return self.stops[scope, account] if self.stop(found) else None

    def _window_left(self, call: Call, scope: Scope, now: Nanos) -> Nanos | None:
        """Until the end of the running window of the scope, where that is known."""
        ends = [
            window.follower.ends()
            for window, _ in call.charge.entries
            if window.rule.scope == scope and window.follower is not None
        ]
        known = [at - now for at in ends if at != NEVER and at > now]
        return max(known) if known else None


def _trim(queue: deque[Call]) -> bool:
    """Whether a call waits, once cancelled ones at the head are dropped."""
    while queue and queue[0].cancelled:
        queue.popleft()
    return bool(queue)


__all__ = ["CONNECT", "EMPTY", "Call", "Charge", "Limiter", "Priority", "Stop"]
