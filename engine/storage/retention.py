"""What of the archive is given up, and when: whole days of a venue, oldest first. Pure.

By age: a day goes once all of it is older than so many days; what was added much later, as an import is, counts from
then. By budget: while the store is larger, its oldest days go;
the day that runs only when nothing older is left, and of it the oldest files alone. A file that another place is to
have and has not yet stays, whatever the rule says, and so does its day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.storage.dates import DAY_NS, end_ns

RATE_OVER_NS: Final = DAY_NS  # the present rate is that of the last day,
RATE_LEAST_NS: Final = 600_000_000_000  # or of what there is of it, if at least that
LEAP_NS: Final = 60 * 10**9
BELIEVED_NS: Final = 3_600 * 10**9
OVER_BUDGET: Final = "over the disk budget"


@dataclass(frozen=True, slots=True)
class Day:
    """The archive's files of one venue and UTC date."""

    date: str  # "2026-11-20"
    venue: str
    files: int
    size_bytes: int
    held: int = 0  # files that wait to be uploaded
    added_ns: int = 0  # when, if that was long after the date; 0 = in its time
    ids: tuple[int, ...] = ()  # of the files, where there are others of the same venue and date; () = all


@dataclass(frozen=True, slots=True)
class Running:
    """One file of the day that runs, or of a later one, which is not held."""

    id: int
    date: str
    venue: str
    first_seq: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """Files of one venue and day that go together: those of `ids`, or all where that is empty."""

    date: str
    venue: str
    files: int
    size_bytes: int
    due_ns: int  # 0 = now: the budget is exceeded
    why: str
    held: int = 0  # of its files wait to be uploaded; until none does, nothing is deleted
    ids: tuple[int, ...] = ()


def plan(
    kept: Iterable[Day],
    days: int,
    budget_bytes: int,
    now_ns: int,
    other_bytes: int = 0,
    running: Sequence[Running] = (),
) -> list[Deletion]:
    """What goes, soonest first, also what goes only later. 0 days = of any age, a budget of 0 = none.

    `other_bytes` is what the store takes besides these files. `running` is needed where all the past days together
    cannot make room enough.
    """
    past = sorted(kept, key=lambda day: (day.date, day.venue, day.added_ns))
    used = other_bytes + sum(day.size_bytes for day in past)
    by_age = f"older than {days} day{'s' * (days != 1)}"
    found: list[Deletion] = []
    for day in past:
        over_ns = end_ns(day.date)
        due_ns, why = max(over_ns, day.added_ns) + days * DAY_NS, by_age
        going = bool(days) and due_ns <= now_ns
        if not going and budget_bytes and used > budget_bytes and over_ns <= now_ns:
            going, due_ns, why = True, 0, OVER_BUDGET
        if going and not day.held:
            used -= day.size_bytes
        if going or days:
            deletion = Deletion(
                day.date, day.venue, day.files, day.size_bytes, due_ns, why, day.held, day.ids
            )
            found.append(deletion)
    if budget_bytes:
        found += _of_the_running_day(running, used - budget_bytes)
    return sorted(found, key=lambda deletion: (deletion.due_ns, deletion.date, deletion.venue))


class AgeClock:
    """What time it is for what goes by age, since one wrong reading of the clock would delete all there is.

    It is never more than a day later than what is recorded. Where it leaps, it is believed an hour later.
    """

    def __init__(self) -> None:
        self._believed_ns = self._steady_ns = 0
        self._leapt_ns: int | None = None  # when, by the steady clock

    def now_ns(self, wall_ns: int, newest_ns: int, steady_ns: int) -> int:
        """`newest_ns`: until when there is something recorded, 0 = nothing; `steady_ns` is of a monotonic clock."""
        claimed_ns = min(wall_ns, newest_ns + DAY_NS) if newest_ns else wall_ns
        expected_ns = self._believed_ns + steady_ns - self._steady_ns
        if self._believed_ns and claimed_ns > expected_ns + LEAP_NS:
            if self._leapt_ns is None:
                self._leapt_ns = steady_ns
            if steady_ns - self._leapt_ns < BELIEVED_NS:
                claimed_ns = expected_ns
        else:
            self._leapt_ns = None
        self._believed_ns, self._steady_ns = claimed_ns, steady_ns
        return claimed_ns


def full_ns(used_bytes: int, budget_bytes: int, added_bytes: int, over_ns: int, now_ns: int) -> int:
    """When the budget is reached at the rate of `added_bytes` in `over_ns`; 0 = there is none, or not in sight."""
    if not budget_bytes:
        return 0
    if used_bytes >= budget_bytes:
        return now_ns
    if added_bytes <= 0 or over_ns < RATE_LEAST_NS:
        return 0
    reached = now_ns + (budget_bytes - used_bytes) * over_ns // added_bytes
    return reached if reached < 2**63 else 0


def _of_the_running_day(running: Sequence[Running], over_bytes: int) -> list[Deletion]:
    """At once, as many of the oldest files as it takes."""
    given: dict[tuple[str, str], list[Running]] = {}
    for file in sorted(running, key=lambda file: (file.first_seq, file.id)):
        if over_bytes <= 0:
            break
        given.setdefault((file.date, file.venue), []).append(file)
        over_bytes -= file.size_bytes
    return [
        Deletion(
            date, venue, len(files), sum(file.size_bytes for file in files), 0, OVER_BUDGET,
            ids=tuple(file.id for file in files),
        )
        for (date, venue), files in given.items()
    ]  # fmt: skip
