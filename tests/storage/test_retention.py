"""What goes and when: by age, by budget, never the running day before all others, never what is not uploaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.storage.retention import DAY_NS, OVER_BUDGET, Kept, full_ns, plan

TODAY = 20_412  # 2025-11-20
NOW_NS = TODAY * DAY_NS + DAY_NS // 2
DATES = ["2025-11-17", "2025-11-18", "2025-11-19", "2025-11-20"]


def kept(place: int, date: str, venue: str = "a", size_bytes: int = 10, *, held: bool = False) -> Kept:
    return Kept(place, date, venue, 100 * place, size_bytes, NOW_NS - DAY_NS * 2, held)


def names(deletions: list) -> list[tuple[str, str, tuple[int, ...], int]]:
    return [(each.date, each.venue, tuple(file.id for file in each.files), each.due_ns) for each in deletions]


def test_without_a_rule_nothing_goes() -> None:
    assert plan([kept(1, "1999-01-01"), kept(2, DATES[3])], 0, 0, NOW_NS) == []


def test_a_day_goes_once_all_of_it_is_old_enough() -> None:
    files = [kept(1, DATES[0]), kept(2, DATES[0], "b"), kept(3, DATES[1]), kept(4, DATES[3])]
    found = plan(files, 2, 0, NOW_NS)
    assert names(found) == [
        (DATES[0], "a", (1,), TODAY * DAY_NS),
        (DATES[0], "b", (2,), TODAY * DAY_NS),
        (DATES[1], "a", (3,), (TODAY + 1) * DAY_NS),
        (DATES[3], "a", (4,), (TODAY + 3) * DAY_NS),
    ]
    assert [each.due_ns <= NOW_NS for each in found] == [True, True, False, False]
    assert {each.why for each in found} == {"older than 2 days"}
    assert plan(files, 1, 0, NOW_NS)[0].why == "older than 1 day"


def test_over_the_budget_the_oldest_days_go_as_far_as_it_takes() -> None:
    files = [kept(place, date) for place, date in enumerate(DATES)]
    assert plan(files, 0, 40, NOW_NS) == []
    found = plan(files, 0, 39, NOW_NS)
    assert names(found) == [(DATES[0], "a", (0,), 0)]
    assert found[0].why == OVER_BUDGET
    assert names(plan(files, 0, 25, NOW_NS)) == [(DATES[0], "a", (0,), 0), (DATES[1], "a", (1,), 0)]


def test_what_the_journal_takes_counts_for_the_budget() -> None:
    assert names(plan([kept(1, DATES[0])], 0, 50, NOW_NS, other_bytes=45)) == [(DATES[0], "a", (1,), 0)]


def test_what_goes_by_age_counts_before_the_budget_takes_more() -> None:
    files = [kept(place, date) for place, date in enumerate(DATES)]
    found = plan(files, 2, 30, NOW_NS)
    assert [each.why for each in found] == ["older than 2 days"] * 4
    assert [each.due_ns <= NOW_NS for each in found] == [True, False, False, False]


def test_the_running_day_goes_last_and_file_by_file() -> None:
    files = [kept(1, DATES[2]), kept(3, DATES[3], "b"), kept(2, DATES[3], "a"), kept(4, DATES[3], "a")]
    assert names(plan(files, 0, 25, NOW_NS)) == [(DATES[2], "a", (1,), 0), (DATES[3], "a", (2,), 0)]
    assert names(plan(files, 0, 15, NOW_NS)) == [
        (DATES[2], "a", (1,), 0),
        (DATES[3], "a", (2,), 0),
        (DATES[3], "b", (3,), 0),
    ]


def test_a_day_of_the_future_is_no_older_than_the_running_one() -> None:
    """A venue's clock may be ahead."""
    files = [kept(1, "2031-01-01"), kept(2, DATES[3])]
    assert names(plan(files, 0, 15, NOW_NS)) == [("2031-01-01", "a", (1,), 0)]  # what came first


def test_what_waits_for_its_upload_is_counted_and_never_gives_way() -> None:
    files = [kept(1, DATES[0], held=True), kept(2, DATES[0]), kept(3, DATES[1]), kept(4, DATES[3], held=True)]
    found = plan(files, 2, 0, NOW_NS)
    assert [(each.date, each.held, each.due_ns <= NOW_NS) for each in found] == [
        (DATES[0], 1, True),
        (DATES[1], 0, False),
        (DATES[3], 1, False),
    ]
    over = plan(files, 0, 1, NOW_NS)
    assert [(each.date, each.held) for each in over] == [(DATES[0], 1), (DATES[1], 0)]


@given(
    st.lists(
        st.builds(
            kept,
            st.integers(0, 10**6),
            st.sampled_from([*DATES, "2026-01-01"]),
            st.sampled_from("abc"),
            st.integers(1, 1_000),
            held=st.booleans(),
        ),
        unique_by=lambda file: file.id,
        max_size=30,
    ),
    st.integers(0, 4),
    st.integers(0, 5_000),
    st.integers(0, 1_000),
)
def test_a_plan_takes_no_more_than_it_must_and_each_file_once(
    files: list[Kept], days: int, budget_bytes: int, other_bytes: int
) -> None:
    found = plan(files, days, budget_bytes, NOW_NS, other_bytes)
    taken = [file.id for each in found for file in each.files]
    assert len(taken) == len(set(taken))
    assert [each.due_ns for each in found] == sorted(each.due_ns for each in found)
    going = [each for each in found if each.due_ns <= NOW_NS and not each.held]
    left = sum(file.size_bytes for file in files) - sum(each.size_bytes for each in going) + other_bytes
    by_budget = [each for each in going if each.why == OVER_BUDGET]
    running = [file for each in by_budget if each.date > DATES[2] for file in each.files]
    if running:  # one file less, and it would still be too much
        assert left + max(running, key=lambda file: (file.first_seq, file.id)).size_bytes > budget_bytes
    elif by_budget:  # one day of a venue less
        assert left + max(by_budget, key=lambda each: (each.date, each.venue)).size_bytes > budget_bytes
    if budget_bytes and left > budget_bytes:  # nothing else may go
        gone = {file.id for each in going for file in each.files}
        held = {(file.date, file.venue) for file in files if file.held}
        for file in files:
            held_back = file.held if file.date > DATES[2] else (file.date, file.venue) in held
            assert file.id in gone or held_back


def test_when_the_budget_is_reached_follows_from_the_last_day() -> None:
    hour = DAY_NS // 24
    files = [Kept(1, DATES[3], "a", 1, 100, NOW_NS - 2 * hour), Kept(2, DATES[3], "a", 2, 100, NOW_NS - hour)]
    assert full_ns(files, 200, 400, NOW_NS) == NOW_NS + 2 * hour  # 100 an hour
    older = [*files, Kept(3, DATES[0], "a", 0, 10**6, NOW_NS - 3 * DAY_NS)]
    assert full_ns(older, 200, 400, NOW_NS) == NOW_NS + DAY_NS  # 200 a day
    assert full_ns(files, 500, 400, NOW_NS) == NOW_NS
    assert full_ns(files, 200, 0, NOW_NS) == 0
    assert full_ns([], 0, 400, NOW_NS) == 0
    assert full_ns([Kept(1, DATES[3], "a", 1, 100, NOW_NS - 1)], 100, 400, NOW_NS) == 0  # too little to tell
    assert full_ns(files, 0, 2**70, NOW_NS) == 0
