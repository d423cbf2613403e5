"""The steady clock: follows the system forward, never back."""

from __future__ import annotations

from engine.clock import STEP_NS, SteadyClock

SECOND = 1_000_000_000


class System:
    """A system whose clocks are set by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000 * SECOND, 5 * SECOND

    def later(self, seconds: float, step: float = 0.0) -> None:
        self.monotonic += round(seconds * SECOND)
        self.wall += round((seconds + step) * SECOND)

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.monotonic)


def test_it_is_the_wall_clock_while_nothing_steps() -> None:
    system = System()
    clock = system.clock()
    system.later(7)
    assert clock() == system.wall
    assert clock.behind_ns == 0


def test_it_follows_a_step_forward() -> None:
    system = System()
    clock = system.clock()
    system.later(1, step=3_600)
    assert clock() == system.wall
    system.later(1)
    assert clock() == system.wall


def test_it_goes_on_when_the_system_is_set_back_and_says_how_far() -> None:
    system = System()
    clock = system.clock()
    before = clock()
    system.later(1, step=-600)
    assert clock() == before + SECOND
    assert clock.behind_ns == 600 * SECOND
    system.later(10, step=+600)
    assert clock() == before + 11 * SECOND
    assert clock.behind_ns == 0


def test_small_corrections_are_not_followed() -> None:
    system = System()
    clock = system.clock()
    before = clock()
    system.later(1, step=0.5 * STEP_NS / SECOND)
    assert clock() == before + SECOND
