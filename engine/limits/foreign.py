"""What a venue's own count says: how full its window is, and what others on the same address take of it.

The venue reports with each answer how much of a window is used, its caller's part and everybody else's in one
number U. From the times a call was sent and answered, this follower bounds what the venue's count can be when the
next call arrives there. Two bounds hold at once, and the lesser counts:

- the newest report, plus every call in flight (of which some may be in the report already);
- the newest *settled* report, plus what was answered with a higher U or is in flight; though never less than the
  newest report and what was sent after it, for within a window the venue's count only grows. A report is settled once
  every call sent before its answer came has been answered: which calls are in it is known exactly then, for within
  a server's window U grows with every call and so orders them as the server did. What U grew by more than our own
  calls between two settled reports, others took: exact, not estimated.

Others also take something between the report and our next arrival. Their rate and its variance are measured over
settled reports (a compound Poisson flow's variance grows as its mean does, with time), and `CAUTION` standard
deviations are kept free. Nobody else there: both are 0, and nothing is kept free.

A fixed window's reset is learned from certain drops of U (one call was sent after the other was answered, and
reports half or less): the boundary lies between the last call sent that was still counted in the old window and
the first answer that was counted in the new one. Until it is known, a report holds for one whole window.
While it is known, others are also left what they are expected to take in the rest of the window ("soft"): their
refusals would count against the same address. When nothing is in flight, one call may use that share, to learn.

Before the first report of a window an eighth of the limit is risked, and so it is between two settled reports while
others' rate is not known yet, once half of the limit is used: who starts with a burst would find out too late.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

Nanos = int

NEVER: Final = 1 << 62
CAUTION: Final = 2.7  # standard deviations of others' use that are kept free
DEAF_AFTER: Final = 3  # answers without the header, and never one with it: the venue does not report
SILENT_AFTER: Final = 200  # one after the other: it does not any more
DRIFT_PARTS: Final = 5_000  # two clocks part by at most one part in so many
FEELER_PARTS: Final = 8  # of a limit, what may be sent before the first report in a window
PACE_MOST: Final = 15 * 10**9  # a window may last a day
MEMORY_MOST: Final = 600 * 10**9
SETTLE_PARTS: Final = 16  # of a window, the least time between two settled reports


@dataclass(slots=True)
class _Report:
    """One answer's U."""

    used: int
    sent: Nanos
    answered: Nanos
    after: int = 0  # own units known to be answered that are not in it
    sum: int = 0  # own units sent before it was answered, ever
    whole: bool = True  # a real report; False: the empty count at a window's beginning


class Boundary:
    """When a server's fixed windows begin, as an interval that is certain to hold it, by our clock."""

    __slots__ = (
        "_high_sent", "_low_answered", "_low_sent", "_lower", "_old_peak", "_peak", "_peak_answered",
        "_refine_until", "_upper", "guard", "hi", "lo", "window",
    )  # fmt: skip

    def __init__(self, window: Nanos, guard: Nanos) -> None:
        self.window, self.guard = window, guard
        self.lo = self.hi = NEVER  # the next boundary is in [lo, hi]; NEVER: not known
        self._peak = self._old_peak = 0
        self._peak_answered = self._high_sent = self._refine_until = 0
        self._lower = self._upper = 0
        self._low_sent = self._low_answered = 0  # the first low report since the last high one; 0 = none

    @property
    def known(self) -> bool:
        """Whether boundaries can be told in advance."""
        return self.hi != NEVER

    def forget(self) -> None:
        """Start learning anew."""
        self.lo = self.hi = NEVER
        self._peak = self._old_peak = 0

    def passed(self, now: Nanos) -> Nanos:
        """Move on to the next boundary; the earliest moment that the one just passed can have been at."""
        steps = (now - self.hi) // self.window + 1
        last_lo = self.lo + (steps - 1) * self.window
        drift = steps * (self.window // DRIFT_PARTS)
        self.lo += steps * self.window - drift
        self.hi += steps * self.window + drift
        if self.hi - self.lo > self.window // 2:
            self.forget()
        return last_lo

    def learn(self, sent: Nanos, answered: Nanos, used: int, least: int) -> bool:
        """Take one report; whether it shows that a new window has begun. `least`: a peak below it tells nothing."""
        if answered - self._peak_answered > self.window:
            self._restart(sent, answered, used)
            return False
        low = used * 2 <= self._peak
        if low and self._peak >= least:
            if not self._low_answered:
                self._low_sent, self._low_answered = sent, answered
            if sent < self._peak_answered:
                return False  # it may have been counted before the peak, in the same window
            self._lower, self._upper, self._old_peak = self._high_sent, self._low_answered, self._peak
            self._refine_until = answered + self.window // 8
            self._restart(sent, answered, used)
            self._commit(answered)
            return True
        if answered < self._refine_until and sent < self._upper and used * 4 >= self._old_peak * 3:
            if sent > self._lower:
                self._lower = sent  # still counted in the old window
                self._commit(answered)
            return False
        if not low and sent >= self._low_sent:
            self._low_answered = 0  # the low one was only late
        if used > self._peak:
            self._peak, self._peak_answered = used, answered
        if sent > self._high_sent and used * 4 >= self._peak * 3:
            self._high_sent = sent
        return False

    def _restart(self, sent: Nanos, answered: Nanos, used: int) -> None:
        self._peak, self._peak_answered, self._high_sent = used, answered, sent
        self._low_answered = 0

    def _commit(self, now: Nanos) -> None:
        lower, upper = self._lower - self.guard, self._upper + self.guard
        if self.known:
            steps = round((lower + upper - self.lo - self.hi) / (2 * self.window))
            drift = abs(steps) * (self.window // DRIFT_PARTS)
            known_lo = self.lo + steps * self.window - drift
            known_hi = self.hi + steps * self.window + drift
            if max(lower, known_lo) < min(upper, known_hi):
                lower, upper = max(lower, known_lo), min(upper, known_hi)
        if upper - lower > self.window // 2:
            return
        steps = max(1, (now - upper) // self.window + 1)  # this one has passed
        self.lo, self.hi = lower + steps * self.window, upper + steps * self.window


class Rate:
    """How fast others take units, and how unevenly: mean and variance a nanosecond, over about one window."""

    __slots__ = ("_newest", "_seen", "mean", "memory", "variance")

    def __init__(self, memory: Nanos) -> None:
        self.memory = memory
        self._seen = 0  # how long it was measured, at most `memory`
        self._newest = 0
        self.mean = self.variance = 0.0

    def young(self, now: Nanos) -> bool:
        """Whether it was measured too briefly, or too long ago, to be relied on."""
        return self._seen < self.memory // (2 if self.mean else 4) or now - self._newest > self.memory

    @property
    def relied_until(self) -> Nanos:
        """When it is too old to be relied on."""
        return self._newest + self.memory

    def distrust(self) -> None:
        """It was wrong: measure anew."""
        self._seen = 0

    def add(self, units: int, took: Nanos, size: float, most: float, now: Nanos) -> None:
        """`units` were taken by others in `took`; one of their calls costs between `size` and `most`, on the whole."""
        if now - self._newest > self.memory:
            self._seen = 0
        self._newest = now
        first = self._seen == 0
        self._seen = min(self._seen + took, self.memory)
        part = min(1.0, took / self._seen)
        if not first:
            surprise = (units - self.mean * took) ** 2 / took
            # A few samples of a variance say little: until a window was seen, what is usual counts with them.
            self.variance += took / (self._seen + self.memory / 2) * (surprise - self.variance)
        self.mean += part * (units / took - self.mean)
        if self.mean * self.memory < 0.5:  # nobody, or one who left
            self.mean = self.variance = 0.0
        else:
            self.variance = min(max(self.variance, self.mean * size), self.mean * most)

    def most_in(self, horizon: Nanos) -> float:
        """Units to keep free for others over a stretch of time."""
        if self.mean == 0.0 or horizon <= 0:
            return 0.0
        return self.mean * horizon + CAUTION * math.sqrt(self.variance * horizon)


class Follower:
    """One reported window. Times never go back; `flying` is what own calls in flight cost."""

    __slots__ = (
        "_boundary", "_candidate", "_done", "_epoch_hi", "_fixed", "_lost", "_near", "_newest", "_pace", "_settled",
        "_silent", "_size", "_sum", "_surplus", "_trip", "_window", "calm_until", "committed",
        "limit", "rate", "taken",
    )  # fmt: skip

    def __init__(self, limit: int, window: Nanos, guard: Nanos, *, fixed: bool) -> None:
        self.limit = limit
        self._window, self._fixed = window, fixed
        self._pace = min(window // SETTLE_PARTS, PACE_MOST)
        self._boundary = Boundary(window, guard)
        self.rate = Rate(min(window, MEMORY_MOST))
        self._newest: _Report | None = None
        self._settled: _Report | None = None
        self._candidate: _Report | None = None
        self._epoch_hi = 0  # a call sent later is counted in the running window for certain
        self._near = 0  # own units answered since the next boundary may have passed
        self._lost: deque[tuple[Nanos, int]] = deque()  # (may arrive until, units)
        self.committed = 0  # what `room` last found taken, calls in flight apart
        self.calm_until = 0  # it holds until then, unless something is heard
        self._silent = 0
        self._done = 0  # own units answered or lost, ever
        self._sum = 0  # own units answered since the first report
        self._size = 1.0  # what an own call costs, smoothed
        self._trip = 0.0  # ns from sending to answer, smoothed
        self._surplus = 0.0  # sliding: U less what is held here, smoothed
        self.taken = 0  # by others in the running window, up to the newest settled report

    @property
    def deaf(self) -> bool:
        """The venue does not report this window."""
        return self._silent >= (SILENT_AFTER if self._trip else DEAF_AFTER)

    @property
    def reported(self) -> int | None:
        """The newest U of the running window."""
        return None if self._newest is None else self._newest.used

    def known(self) -> int | None:
        """What is settled, without calls in flight and without others' margin; None = nothing is."""
        return None if self._settled is None else self._settled.used + self._settled.after

    def heard(
        self, sent: Nanos, answered: Nanos, used: int, cost: int, oldest: Nanos, held: int, flying: int = 0
    ) -> None:
        """An answer reported U.

        `oldest` is when the oldest call still in flight was sent, or `answered`; `held` is what own answered calls
        hold, this one included; `flying` is what those in flight cost.
        """
        boundary = self._boundary
        if answered >= boundary.hi or boundary.hi == NEVER:
            self.roll(answered)
        self.calm_until = 0
        self._silent = 0
        self._done += cost
        self._sum += cost
        if cost != self._size:
            self._size += 0.02 * (cost - self._size)
        trip = self._trip
        self._trip = trip + 0.05 * (answered - sent - trip) if trip else float(answered - sent)
        if not self._fixed:
            self._slide(sent, answered, used, held)
            return
        if answered >= boundary.lo:
            self._near += cost
        self._count(used, cost)
        if self._order(sent, answered, used) or sent >= self._epoch_hi:
            self._report(sent, answered, used, self._done + flying)
        candidate = self._candidate
        if candidate is not None and oldest >= candidate.answered:
            self._settle(candidate)
        if self.rate.mean == 0.0 and boundary.hi != NEVER:
            self._calm(answered)

    def unheard(self, answered: Nanos, cost: int) -> None:
        """An answer came without a report; the call counts as not in any."""
        self.roll(answered)
        self._silent += 1
        self._done += cost
        if answered >= self._boundary.lo:
            self._near += cost
        self._count(NEVER, cost)

    def lost(self, now: Nanos, cost: int, until: Nanos) -> None:
        """A call without an answer: it was counted, or will be, until `until`."""
        self.roll(now)
        self._lost.append((until, cost))
        self._done += cost
        self._count(NEVER, cost)

    def roll(self, now: Nanos) -> None:
        """Bring reports up to date with the time alone: a window that is certainly over says nothing more."""
        self.calm_until = 0
        if now >= self._boundary.hi:
            began_hi = self._boundary.hi
            began = self._boundary.passed(now)
            near, self._near = (self._near if now - began_hi < self._window else 0), 0
            while self._lost and self._lost[0][0] <= began:
                self._lost.popleft()
            near += sum(cost for _, cost in self._lost)
            self._newest = self._candidate = None
            self._settled = _Report(0, began, began, near, whole=False)
            self._epoch_hi = now if now - began_hi >= self._window else began_hi
            self.taken = 0
        elif not self._boundary.known:
            if self._newest is not None and now - self._newest.answered > self._window:
                self._newest = self._candidate = None
                if not self._fixed:  # all that it counted is free again, and what others do now is not known
                    self._surplus = self.rate.mean = self.rate.variance = 0.0
                    self.taken = 0
            if self._settled is not None and now - self._settled.answered > self._window:
                self._settled = None

    def room(self, now: Nanos, flying: int, held: int, limit: int) -> tuple[int, int]:
        """(hard, soft) units that still fit under `limit`: for not being refused; for leaving others theirs.

        Cost: a few square roots.
        """
        self.roll(now)
        if not self._fixed:
            if self._newest is None:  # nothing was heard, or nothing for a window
                own = flying + held
                # One call may always ask when nothing is under way: without it nothing would ever be heard.
                asks = not own or (self._trip and not flying)
                feeler = limit - held if asks else max(self.limit // FEELER_PARTS - own, 0)
                return feeler, feeler
            # No reset gives others room again, so their swing over a whole window is left to them.
            margin = self.rate.mean * (now - self._newest.sent)
            margin += CAUTION * math.sqrt(self.rate.variance * self._window)
            spare = limit - held - flying - math.ceil(max(0.0, self._surplus) + margin)
            return spare, spare
        feeler, asks, young = limit, False, self.rate.young(now)
        unsure = self._newest is None and (self._settled is None or not self._settled.whole)
        if unsure or young:
            since = self._settled or self._candidate
            own = flying + (since.after if since is not None else 0)
            # One call, of any weight, may always ask when nothing else is under way.
            asks = not own or (not flying and (since is None or now - since.answered >= self._pace))
            if not asks:
                feeler = max(self.limit // FEELER_PARTS - own, 0)
            if unsure:
                return feeler, feeler
        hard = soft = math.inf
        for report in (self._newest, self._settled):
            if report is None:
                continue
            count = report.used + flying + report.after
            counted = (report.sent + report.answered) // 2  # at the venue, on the whole
            aged = now - counted + int(self._trip)
            rest = self._boundary.hi - counted
            hard = min(hard, count + self.rate.most_in(min(aged, rest)))
            soft = min(soft, count + self.rate.most_in(rest if self._boundary.known else self._window))
        least = self._least() + flying
        hard, soft = max(hard, least), max(soft, least)
        if not self._boundary.known:  # leave room to ask whether a new window has begun
            soft += self.limit // FEELER_PARTS // 2
        feeler = max(feeler, limit // 2 - math.ceil(soft))  # half the limit is nobody's harm
        newest = self._newest or self._settled
        assert newest is not None
        old = newest.sent + 2 * self._pace + int(self._trip)
        if now - newest.sent < self._pace:
            hard = max(hard, soft)  # news is fresh: no need to ask
        elif flying and now > old and hard * 2 > limit:
            feeler, asks = 0, True  # it is old, and much is used: the call in flight brings newer
        spare = min(feeler, limit - math.ceil(soft))
        if not asks:
            self.committed = limit - spare - flying
            calm = min(old, self._boundary.hi, newest.answered + self._window)
            self.calm_until = calm if young else min(calm, self.rate.relied_until)
        return min(feeler, limit - math.ceil(hard)), spare

    def relief(self, now: Nanos) -> Nanos:
        """When time alone makes room: the next boundary, or the end of the newest report; NEVER = not."""
        if not self._fixed:  # once it is a window old it counts no more
            return NEVER if self._newest is None else self._newest.answered + self._window + 1
        for report in (self._newest, self._settled, self._candidate):
            if report is not None and now < report.answered + self._pace:
                return report.answered + self._pace  # one call may ask then
        if self._boundary.known:
            return self._boundary.hi
        newest = max(
            (report.answered for report in (self._newest, self._settled) if report is not None), default=NEVER
        )
        return newest if newest == NEVER else newest + self._window + 1

    def refused(self) -> None:
        """The venue refused a call although it seemed to fit: go slowly until others' rate is known anew."""
        self.rate.distrust()
        self.calm_until = 0

    def ends(self) -> Nanos:
        """When the running window is certainly over; NEVER = not known."""
        return self._boundary.hi

    def _slide(self, sent: Nanos, answered: Nanos, used: int, held: int) -> None:
        """A sliding server's count falls as calls grow old, so it orders nothing. What it says beyond our own is
        others'; calls of ours that overtook each other make it too much as often as too little: the mean counts.
        """
        newest = self._newest
        part = 1.0 if newest is None else min(1.0, (answered - newest.answered) / (2 * self._pace))
        self._surplus += part * (used - held - self._surplus)
        self._newest = _Report(used, sent, answered)
        self.taken = max(0, round(self._surplus))
        self.rate.mean = self.taken / self._window
        self.rate.variance = self.rate.mean * self._size

    def _calm(self, now: Nanos) -> None:
        """Nobody else is there: what is settled is all there is. This spares `room` its work, call by call."""
        newest, settled = self._newest, self._settled
        if newest is None or settled is None or not settled.whole or self.rate.young(now):
            return
        sure, least = settled.used + settled.after, newest.used + self._done - newest.sum
        self.committed = sure if sure > least else least
        self.calm_until = min(newest.sent + 2 * self._pace, self._boundary.hi, self.rate.relied_until)

    def _least(self) -> int:
        """What the venue counts for certain: the newest report, and own calls sent after it, less those in flight."""
        return 0 if self._newest is None else self._newest.used + self._done - self._newest.sum

    def _count(self, used: int, cost: int) -> None:
        settled, candidate, newest = self._settled, self._candidate, self._newest
        if settled is not None and used > settled.used:
            settled.after += cost
        if candidate is not None and used > candidate.used:
            candidate.after += cost
        if newest is not None and used > newest.used:
            newest.after += cost

    def _order(self, sent: Nanos, answered: Nanos, used: int) -> bool:
        """Learn the boundary; whether this report is the first of a new window. A drop that no boundary explains
        makes it unknown.
        """
        newest = self._newest
        dropped = newest is not None and sent >= newest.answered and used < newest.used
        was_known, lo = self._boundary.known, self._boundary.lo
        began = self._boundary.learn(sent, answered, used, self.limit // 20)
        if not dropped or sent < self._epoch_hi:
            return False
        if not began:
            self._boundary.forget()
        self._newest = self._settled = self._candidate = None
        if began and was_known and self._boundary.known and answered >= lo:
            self._settled = _Report(0, lo, lo, self._near, whole=False)
        self._epoch_hi = self._boundary.hi - self._window if self._boundary.known else 0
        self._near = self._sum = self.taken = 0
        return began

    def _report(self, sent: Nanos, answered: Nanos, used: int, total: int) -> None:
        newest = self._newest
        if newest is None or sent >= newest.answered or used >= newest.used:
            if newest is None:
                self._newest = _Report(used, sent, answered, sum=total)
            else:  # it is nobody else's
                newest.used, newest.sent, newest.answered = used, sent, answered
                newest.after, newest.sum = 0, total
            settled = self._settled
            since = settled.answered if settled is not None else 0
            if self._candidate is None and answered - since >= self._pace:
                self._candidate = _Report(used, sent, answered)

    def _settle(self, candidate: _Report) -> None:
        settled = self._settled
        if settled is None:
            self.taken = max(0, candidate.used - self._sum + candidate.after)
        else:
            own = settled.after - candidate.after
            units = max(0, candidate.used - settled.used - own)
            took = (candidate.sent + candidate.answered - settled.sent - settled.answered) // 2
            if took > 0:
                self.rate.add(units, took, self._size, self.limit / FEELER_PARTS, candidate.answered)
            self.taken += units
        self._settled, self._candidate = candidate, None
