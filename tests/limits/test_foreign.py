"""Others on the same address: what headers tell of them, and room that is left for them. Time is simulated."""

from __future__ import annotations

import pytest

from engine.limits.foreign import NEVER, Boundary, Follower, Rate
from engine.limits.limiter import Limiter
from engine.limits.rules import Header
from tests.limits.rig import MS, SECOND, USED, Simulation, ask, venue, window

HEADER = Header(USED, "used")


@pytest.mark.parametrize("jitter_ms", [(2, 2), (100, 100)])
def test_alone_the_whole_limit_is_used_and_nothing_is_refused(jitter_ms: tuple[int, int]) -> None:
    found = Simulation(seed=1, jitter_ms=jitter_ms).run(60)
    assert found.refused == 0
    assert found.utilisation >= (0.98 if jitter_ms[0] < 10 else 0.95)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter_ms", [(200, 200), (200, 5), (5, 200)])
def test_beside_a_neighbour_the_rest_is_used_and_nobody_is_refused(
    seed: int, jitter_ms: tuple[int, int]
) -> None:
    found = Simulation(seed=seed, jitter_ms=jitter_ms, neighbour=1 / 3).run(60)
    assert found.utilisation >= 0.9
    assert found.refused <= 0.001 * found.served
    assert found.neighbour_refused <= 0.03 * found.neighbour_served


@pytest.mark.parametrize("seed", range(3))
def test_a_neighbour_with_heavy_calls_costs_room_not_refusals(seed: int) -> None:
    found = Simulation(seed=seed, jitter_ms=(200, 200), neighbour=1 / 3, sizes=(50, 10, 100)).run(60)
    assert found.utilisation >= 0.75
    assert found.refused <= 0.001 * found.served + 1


@pytest.mark.parametrize("neighbour", [0.0, 1 / 3])
def test_a_sliding_server_that_reports_its_count_is_followed_too(neighbour: float) -> None:
    found = Simulation(seed=1, jitter_ms=(50, 50), neighbour=neighbour, sliding=True).run(60)
    assert found.refused <= 0.001 * found.served
    assert found.utilisation >= 0.8


@pytest.mark.parametrize("neighbour", [0.0, 1 / 3])
@pytest.mark.parametrize(("loss", "headless"), [(0.02, 0.0), (0.0, 0.3), (0.02, 0.1)])
def test_lost_calls_and_answers_without_headers_stop_nothing_and_break_nothing(
    neighbour: float, loss: float, headless: float
) -> None:
    """A lost call holds its weight for 15 s and a window, so that much of the limit is not used."""
    simulation = Simulation(
        seed=5, jitter_ms=(100, 100), neighbour=neighbour, sizes=(2, 5), loss=loss, headless=headless
    )
    found = simulation.run(120)
    assert found.refused <= 0.001 * found.served
    assert found.utilisation >= 0.7


def test_use_from_before_a_restart_is_seen_with_the_first_answer() -> None:
    limiter = Limiter(venue(window(100, 60 * SECOND, header=HEADER)))
    first = ask(limiter, 1, 0)
    limiter.answered(first, 200, {USED: "90"}, 0, 10 * MS, 0)
    assert not ask(limiter, 20, 11 * MS).granted


def test_before_the_first_answer_only_a_part_of_the_limit_is_risked() -> None:
    limiter = Limiter(venue(window(100, 60 * SECOND, header=HEADER)))
    calls = [ask(limiter, 2, 0) for _ in range(50)]
    assert 1 <= sum(call.granted for call in calls) <= 10
    heavy = Limiter(venue(window(100, 60 * SECOND, header=HEADER)))
    assert ask(heavy, 90, 0).granted  # one call may always ask


def test_a_start_with_a_burst_waits_for_one_answer_only_up_to_half_the_limit() -> None:
    limiter = Limiter(venue(window(1_000, 60 * SECOND, header=HEADER)))
    calls = [ask(limiter, 10, 0) for _ in range(100)]
    limiter.answered(calls[0], 200, {USED: "10"}, 0, 10 * MS, 0)
    limiter.pump(10 * MS)
    granted = sum(call.granted for call in calls)
    assert 400 <= 10 * granted <= 500


def test_a_venue_that_reports_nothing_is_counted_for_alone() -> None:
    limiter = Limiter(venue(window(100, 60 * SECOND, header=HEADER)))
    for at in range(4):
        limiter.answered(ask(limiter, 1, at * MS), 200, {}, 0, at * MS, 0)
    assert all(ask(limiter, 2, 10 * MS).granted for _ in range(48))
    assert not ask(limiter, 1, 10 * MS).granted


@pytest.mark.parametrize("text", ["", "many", "-5", "1e3", "9" * 40, "٣"])
def test_a_header_that_is_no_number_says_nothing(text: str) -> None:
    limiter = Limiter(venue(window(100, 60 * SECOND, header=HEADER)))
    limiter.answered(ask(limiter, 1, 0), 200, {USED: text}, 0, MS, 0)
    follower = next(iter(limiter.windows.values())).follower
    assert follower is not None
    assert follower.reported is None


def test_a_header_counting_what_remains_is_turned_round_and_its_limit_adopted() -> None:
    header = Header("Left", "remaining", "Limit")
    limiter = Limiter(venue(window(100, SECOND, header=header, server="sliding")))
    limiter.answered(ask(limiter, 1, 0), 200, {"left": "3", "limit": "10"}, 0, MS, 0)
    only = next(iter(limiter.windows.values()))
    assert only.limit == 10
    assert only.follower is not None
    assert only.follower.reported == 7


def test_what_others_took_is_exact_once_all_in_between_is_answered() -> None:
    follower = Follower(1_000, SECOND, 0, fixed=True)
    follower.heard(0, 10 * MS, 5, 5, 10 * MS, 0)
    # Two calls overtake each other; 30 units in between are someone else's.
    follower.heard(100 * MS, 130 * MS, 45, 5, 110 * MS, 0)
    follower.heard(110 * MS, 140 * MS, 40, 5, 140 * MS, 0)
    assert follower.taken == 30


def test_the_boundary_lies_between_the_last_old_call_and_the_first_new_answer() -> None:
    boundary = Boundary(SECOND, 0)
    for at in range(10):
        boundary.learn(at * 90 * MS, at * 90 * MS + 20 * MS, 100 * (at + 1), 50)
    assert boundary.learn(900 * MS, 940 * MS, 10, 50)
    assert boundary.known
    assert (boundary.lo, boundary.hi) == (810 * MS + SECOND, 940 * MS + SECOND)
    # An answer that was late tells that the old window lasted longer.
    boundary.learn(880 * MS, 960 * MS, 1_050, 50)
    assert boundary.lo == 880 * MS + SECOND


def test_a_late_low_report_of_the_same_window_is_no_boundary() -> None:
    boundary = Boundary(SECOND, 0)
    boundary.learn(0, 10 * MS, 1_000, 50)
    assert not boundary.learn(5 * MS, 50 * MS, 100, 50)  # sent before the first was answered
    assert not boundary.known


def test_boundaries_widen_as_clocks_may_drift_and_are_given_up() -> None:
    boundary = Boundary(SECOND, 0)
    boundary.lo, boundary.hi = SECOND, SECOND + MS
    boundary.passed(2 * SECOND)
    assert boundary.hi - boundary.lo > MS
    boundary.passed(10_000 * SECOND)
    assert boundary.hi == NEVER


def test_nobody_there_keeps_nothing_free_and_somebody_keeps_more_than_his_mean() -> None:
    rate = Rate(SECOND)
    rate.add(0, SECOND, 5.0, 100.0, SECOND)
    assert rate.most_in(SECOND) == 0
    rate.add(100, SECOND, 5.0, 100.0, 2 * SECOND)
    assert rate.most_in(SECOND) > 100
    for at in range(3, 20):
        rate.add(0, SECOND, 5.0, 100.0, at * SECOND)
    assert rate.most_in(SECOND) == 0  # he left


@pytest.mark.parametrize("others", [4, 6, 9])
def test_a_sliding_window_that_others_filled_once_opens_again_when_the_report_is_a_window_old(
    others: int,
) -> None:
    limiter = Limiter(venue(window(10, SECOND, header=HEADER, server="sliding")))
    limiter.answered(ask(limiter, 1, 0), 200, {USED: str(1 + others)}, 0, 50 * MS, 0)
    call = ask(limiter, 2, 60 * MS)
    assert not call.granted
    at = limiter.wake_at()
    assert at <= 50 * MS + SECOND + 2 * MS
    assert limiter.pump(at) == [call]
    assert not ask(limiter, 2, at).granted  # what others do now is not known: one call asks


@pytest.mark.parametrize("between", [0, 1, 5])
def test_nothing_is_sent_against_a_report_of_a_full_window(between: int) -> None:
    """Others were never there, and then take all at once: the settled report and their rate say there is room."""
    limiter = Limiter(venue(window(1_000, 60 * SECOND, header=HEADER)))
    for at in range(20):
        now = at * SECOND
        limiter.answered(ask(limiter, 10, now), 200, {USED: str(10 * (at + 1))}, 0, now + 100 * MS, 0)
    now = 20 * SECOND
    calls = [ask(limiter, 10, now + n * MS) for n in range(1 + between)]
    assert all(call.granted for call in calls)
    limiter.answered(calls[0], 200, {USED: "995"}, 0, now + 200 * MS, 0)
    assert not any(ask(limiter, 10, now + 300 * MS + n * SECOND).granted for n in range(30))


def test_own_calls_sent_after_a_report_count_on_top_of_it() -> None:
    limiter = Limiter(venue(window(1_000, 60 * SECOND, header=HEADER)))
    for at in range(20):
        now = at * SECOND
        limiter.answered(ask(limiter, 10, now), 200, {USED: str(10 * (at + 1))}, 0, now + 100 * MS, 0)
    now = 20 * SECOND
    late, told = ask(limiter, 10, now), ask(limiter, 10, now)
    limiter.answered(told, 200, {USED: "900"}, 0, now + 200 * MS, 0)
    granted = sum(ask(limiter, 10, now + 210 * MS).granted for _ in range(20))
    assert 900 + 10 * granted <= 1_000
    limiter.answered(late, 200, {}, 0, now + 220 * MS, 0)
    assert 900 + 10 * (granted + ask(limiter, 10, now + 230 * MS).granted) <= 1_000
