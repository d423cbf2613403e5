"""What goes and when: by age, by budget, never the running day before all others, never what is not uploaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.storage.retention import DAY_NS, OVER_BUDGET, AgeClock, Day, Deletion, Running, full_ns, plan

TODAY = 20_412  # 2025-11-20
NOW_NS = TODAY * DAY_NS + DAY_NS // 2
DATES = ["2025-11-17", "2025-11-18", "2025-11-19", "2025-11-20"]


def day(date: str, venue: str = "a", size_bytes: int = 10, held: int = 0) -> Day:
    return Day(date, venue, 2, size_bytes, held)


def names(deletions: list[Deletion]) -> list[tuple[str, str, int]]:
    return [(each.date, each.venue, each.due_ns) for each in deletions]


def test_what_was_added_long_after_its_date_counts_from_then() -> None:
    late = Day(DATES[0], "a", 2, 10, 0, NOW_NS, (7, 8))
    in_time = Day(DATES[0], "a", 1, 10, 0, 0, (5,))
    found = plan([late, in_time], 2, 0, NOW_NS)
    assert [(each.ids, each.due_ns) for each in found] == [
        ((5,), TODAY * DAY_NS),
        ((7, 8), NOW_NS + 2 * DAY_NS),
    ]


HOUR_NS = 3_600 * 10**9
FAR_NS = 74 * 365 * DAY_NS


def test_a_clock_that_is_set_ahead_is_believed_an_hour_later() -> None:
    clock, newest_ns = AgeClock(), NOW_NS + FAR_NS
    assert clock.now_ns(NOW_NS, newest_ns, 0) == NOW_NS
    assert clock.now_ns(NOW_NS + HOUR_NS, newest_ns, HOUR_NS) == NOW_NS + HOUR_NS
    for minutes in range(60):
        steady_ns = HOUR_NS + minutes * HOUR_NS // 60
        assert clock.now_ns(FAR_NS + NOW_NS, newest_ns, steady_ns) == NOW_NS + steady_ns
    assert clock.now_ns(FAR_NS + NOW_NS, newest_ns, 2 * HOUR_NS) == NOW_NS + FAR_NS


def test_a_leap_that_is_taken_back_is_forgotten() -> None:
    clock, newest_ns = AgeClock(), NOW_NS + FAR_NS
    assert clock.now_ns(NOW_NS, newest_ns, 0) == NOW_NS
    assert clock.now_ns(NOW_NS + FAR_NS, newest_ns, 1) == NOW_NS + 1
    assert clock.now_ns(NOW_NS - 5, newest_ns, 2) == NOW_NS - 5
    assert clock.now_ns(NOW_NS + FAR_NS, newest_ns, HOUR_NS) == NOW_NS - 5 + HOUR_NS - 2


def test_it_is_never_much_later_than_what_is_recorded() -> None:
    assert AgeClock().now_ns(NOW_NS + FAR_NS, NOW_NS, 0) == NOW_NS + DAY_NS
    assert AgeClock().now_ns(NOW_NS, 0, 0) == NOW_NS


def test_without_a_rule_nothing_goes() -> None:
    assert plan([day("1999-01-01"), day(DATES[3])], 0, 0, NOW_NS) == []


def test_a_day_goes_once_all_of_it_is_old_enough() -> None:
    kept = [day(DATES[3]), day(DATES[0], "b"), day(DATES[1]), day(DATES[0])]
    found = plan(kept, 2, 0, NOW_NS)
    assert names(found) == [
        (DATES[0], "a", TODAY * DAY_NS),
        (DATES[0], "b", TODAY * DAY_NS),
        (DATES[1], "a", (TODAY + 1) * DAY_NS),
        (DATES[3], "a", (TODAY + 3) * DAY_NS),
    ]
    assert [each.due_ns <= NOW_NS for each in found] == [True, True, False, False]
    assert {each.why for each in found} == {"older than 2 days"}
    assert plan(kept, 1, 0, NOW_NS)[0].why == "older than 1 day"


def test_over_the_budget_the_oldest_days_go_as_far_as_it_takes() -> None:
    kept = [day(date) for date in DATES]
    assert plan(kept, 0, 40, NOW_NS) == []
    assert plan(kept, 0, 39, NOW_NS) == [Deletion(DATES[0], "a", 2, 10, 0, OVER_BUDGET)]
    assert names(plan(kept, 0, 25, NOW_NS)) == [(DATES[0], "a", 0), (DATES[1], "a", 0)]


def test_what_the_journal_takes_counts_for_the_budget() -> None:
    assert names(plan([day(DATES[0])], 0, 50, NOW_NS, other_bytes=45)) == [(DATES[0], "a", 0)]


def test_what_goes_by_age_counts_before_the_budget_takes_more() -> None:
    found = plan([day(date) for date in DATES], 2, 30, NOW_NS)
    assert [each.why for each in found] == ["older than 2 days"] * 4
    assert [each.due_ns <= NOW_NS for each in found] == [True, False, False, False]


def test_the_running_day_goes_last_and_file_by_file() -> None:
    kept = [day(DATES[2]), day(DATES[3], "a", 20), day(DATES[3], "b")]
    running = [
        Running(7, DATES[3], "b", 300, 10),
        Running(8, DATES[3], "a", 200, 10),
        Running(9, DATES[3], "a", 400, 10),
    ]
    found = plan(kept, 0, 25, NOW_NS, running=running)
    assert [(each.date, each.venue, each.ids, each.size_bytes) for each in found] == [
        (DATES[2], "a", (), 10),
        (DATES[3], "a", (8,), 10),
    ]
    found = plan(kept, 0, 15, NOW_NS, running=running)
    assert [each.ids for each in found] == [(), (8,), (7,)]
    assert plan(kept, 0, 40, NOW_NS, running=running) == []


def test_a_day_of_the_future_is_no_older_than_the_running_one() -> None:
    """A venue's clock may be ahead."""
    kept = [day("2031-01-01"), day(DATES[3])]
    assert plan(kept, 0, 15, NOW_NS) == []
    running = [Running(2, DATES[3], "a", 200, 10), Running(1, "2031-01-01", "a", 100, 10)]
    assert [each.ids for each in plan(kept, 0, 15, NOW_NS, running=running)] == [(1,)]  # what came first


def test_what_waits_for_its_upload_is_counted_and_never_gives_way() -> None:
    kept = [day(DATES[0], held=1), day(DATES[1]), day(DATES[3], held=1)]
    found = plan(kept, 2, 0, NOW_NS)
    assert [(each.date, each.held, each.due_ns <= NOW_NS) for each in found] == [
        (DATES[0], 1, True),
        (DATES[1], 0, False),
        (DATES[3], 1, False),
    ]
    assert [(each.date, each.held) for each in plan(kept, 0, 1, NOW_NS)] == [(DATES[0], 1), (DATES[1], 0)]


@given(
    st.lists(
        st.builds(
            day,
            st.sampled_from([*DATES, "2026-01-01"]),
            st.sampled_from("abc"),
            st.integers(1, 1_000),
            st.integers(0, 1),
        ),
        unique_by=lambda day: (day.date, day.venue),
        max_size=15,
    ),
    st.integers(0, 4),
    st.integers(0, 5_000),
    st.integers(0, 1_000),
)
def test_a_plan_takes_no_more_than_it_must(
    kept: list[Day], days: int, budget_bytes: int, other_bytes: int
) -> None:
    running = [
        Running(place, each.date, each.venue, 1_000 - place, each.size_bytes)
        for place, each in enumerate(kept)
        if each.date > DATES[2] and not each.held
    ]
    found = plan(kept, days, budget_bytes, NOW_NS, other_bytes, running)
    assert [each.due_ns for each in found] == sorted(each.due_ns for each in found)
    going = [each for each in found if each.due_ns <= NOW_NS and not each.held]
    left = other_bytes + sum(each.size_bytes for each in kept) - sum(each.size_bytes for each in going)
    by_budget = [each for each in going if each.why == OVER_BUDGET]
    ids = {number for each in by_budget for number in each.ids}
    if ids:  # one file less, and it would still be too much
        last = max((file for file in running if file.id in ids), key=lambda file: (file.first_seq, file.id))
        assert left + last.size_bytes > budget_bytes
    elif by_budget:  # one day of a venue less
        assert left + max(by_budget, key=lambda each: (each.date, each.venue)).size_bytes > budget_bytes
    if budget_bytes and left > budget_bytes:  # nothing else may go
        gone = {(each.date, each.venue) for each in going}
        assert all(each.held for each in kept if (each.date, each.venue) not in gone)


def test_when_the_budget_is_reached_follows_from_the_present_rate() -> None:
    hour = DAY_NS // 24
    assert full_ns(200, 400, 100, hour, NOW_NS) == NOW_NS + 2 * hour
    assert full_ns(500, 400, 100, hour, NOW_NS) == NOW_NS
    assert full_ns(200, 0, 100, hour, NOW_NS) == 0
    assert full_ns(200, 400, 0, hour, NOW_NS) == 0
    assert full_ns(200, 400, 100, hour // 60, NOW_NS) == 0  # too little to tell
    assert full_ns(0, 2**70, 1, hour, NOW_NS) == 0
