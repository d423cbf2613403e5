"""What of the archive is given up, and when: whole days of a venue, oldest first. Pure.

By age: a day goes once all of it is older than so many days. By budget: while the store is larger, its oldest days go;
the day that runs only when nothing older is left, and of it the oldest files alone. A file that another place is to
have and has not yet stays, whatever the rule says, and so does its day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

DAY_NS: Final = 86_400_000_000_000
RATE_OVER_NS: Final = DAY_NS  # the present rate is that of the last day,
RATE_LEAST_NS: Final = 600_000_000_000  # or of what there is of it, if at least that
OVER_BUDGET: Final = "over the disk budget"


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of the archive."""

    id: int
    date: str  # "2026-11-20", UTC
    venue: str
    first_seq: int
    size_bytes: int
    added_ns: int
    held: bool = False  # it waits to be uploaded


@dataclass(frozen=True, slots=True)
class Deletion:
    """Files of one venue and day that go together."""

    date: str
    venue: str
    files: tuple[Kept, ...]
    due_ns: int  # 0 = now: the budget is exceeded
    why: str

    @property
    def size_bytes(self) -> int:
        """What it makes free."""
        return sum(file.size_bytes for file in self.files)

    @property
    def held(self) -> int:
        """How many of its files wait to be uploaded; until none does, nothing is deleted."""
        return sum(file.held for file in self.files)


def plan(
    files: Iterable[Kept], days: int, budget_bytes: int, now_ns: int, other_bytes: int = 0
) -> list[Deletion]:
    """What goes, soonest first, also what goes only later. 0 days = of any age, a budget of 0 = none.

    `other_bytes` is what the store takes besides these files. Cost: sorts them.
    """
    of_days: dict[tuple[str, str], list[Kept]] = {}
    for file in sorted(files, key=lambda file: (file.date, file.venue, file.first_seq)):
        of_days.setdefault((file.date, file.venue), []).append(file)
    used = other_bytes + sum(file.size_bytes for group in of_days.values() for file in group)
    found: list[Deletion] = []
    for (date, venue), group in of_days.items():
        due_ns = _end_ns(date) + days * DAY_NS
        deletion = Deletion(date, venue, tuple(group), due_ns, f"older than {days} day{'s' * (days != 1)}")
        if days and due_ns <= now_ns:
            found.append(deletion)
            used -= 0 if deletion.held else deletion.size_bytes
        elif budget_bytes and used > budget_bytes and _end_ns(date) <= now_ns:
            deletion = Deletion(date, venue, tuple(group), 0, OVER_BUDGET)
            found.append(deletion)
            used -= 0 if deletion.held else deletion.size_bytes
        elif days:
            found.append(deletion)
    if budget_bytes and used > budget_bytes:
        found = _of_the_running_day(found, of_days, used - budget_bytes, now_ns)
    return sorted(found, key=lambda deletion: (deletion.due_ns, deletion.date, deletion.venue))


def full_ns(files: Sequence[Kept], used_bytes: int, budget_bytes: int, now_ns: int) -> int:
    """When the budget is reached at the rate of the last day; 0 = there is none, or it is not in sight."""
    if not budget_bytes:
        return 0
    if used_bytes >= budget_bytes:
        return now_ns
    newer = [file for file in files if now_ns - RATE_OVER_NS < file.added_ns <= now_ns]
    over_ns = now_ns - min((file.added_ns for file in newer), default=now_ns)
    if len(newer) < len(files):
        over_ns = RATE_OVER_NS
    added = sum(file.size_bytes for file in newer)
    if not added or over_ns < RATE_LEAST_NS:
        return 0
    reached = now_ns + (budget_bytes - used_bytes) * over_ns // added
    return reached if reached < 2**63 else 0


def _of_the_running_day(
    found: list[Deletion], of_days: dict[tuple[str, str], list[Kept]], over_bytes: int, now_ns: int
) -> list[Deletion]:
    """The deletions with, at once, as many of the newest days' oldest files as it takes."""
    running = [file for (date, _), group in of_days.items() if _end_ns(date) > now_ns for file in group]
    given: dict[tuple[str, str], list[Kept]] = {}
    for file in sorted(running, key=lambda file: (file.first_seq, file.id)):
        if over_bytes <= 0:
            break
        if not file.held:
            given.setdefault((file.date, file.venue), []).append(file)
            over_bytes -= file.size_bytes
    gone = {file.id for group in given.values() for file in group}
    rest = []
    for deletion in found:
        left = tuple(file for file in deletion.files if file.id not in gone)
        if left:
            rest.append(Deletion(deletion.date, deletion.venue, left, deletion.due_ns, deletion.why))
    return [
        *(Deletion(date, venue, tuple(group), 0, OVER_BUDGET) for (date, venue), group in given.items()),
        *rest,
    ]


def _end_ns(date: str) -> int:
    return (int(np.datetime64(date, "D").astype(np.int64)) + 1) * DAY_NS
