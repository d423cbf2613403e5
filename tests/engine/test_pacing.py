"""When pieces of a replay fall due, and what pauses, steps, leaps and changes of speed do to that."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from engine import pacing
from engine.pacing import SECOND_NS, Pacer, Player


@pytest.fixture(autouse=True)
def short_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's, so waiting for it is a matter of looking often."""
    monkeypatch.setattr(pacing, "MAX_SLEEP_S", pacing.MIN_SLEEP_S)


def test_the_pacer_maps_both_ways() -> None:
    pacer = Pacer(10)
    pacer.start(1000, 50)
    assert pacer.data_ns(51) == 1010
    assert pacer.delay_s(1000 + 10 * SECOND_NS, 50) == 1.0
    assert pacer.delay_s(900, 50) == 0.0
    assert Pacer(math.inf).delay_s(10**18, 0) == 0.0
    for speed in (0, -1, math.nan):
        with pytest.raises(ValueError, match="speed"):
            Pacer(speed)


def test_a_paused_pacer_stands_still_and_goes_on_from_there() -> None:
    pacer = Pacer(10)
    pacer.start(1000, 50)
    pacer.pause(60)
    assert pacer.data_ns(10**9) == 1100
    assert pacer.delay_s(0, 10**9) == math.inf
    pacer.resume(70)
    assert pacer.data_ns(71) == 1110
    pacer.set_speed(2, 80)
    assert (pacer.data_ns(80), pacer.data_ns(81)) == (1200, 1202)
    pacer.set_speed(math.inf, 90)
    assert pacer.data_ns(10**9) == 1220
    with pytest.raises(ValueError, match="speed"):
        pacer.set_speed(0, 90)


class Rig:
    """A player over pieces, on a clock that moves when told to."""

    def __init__(self, due_s: list[float], *, speed: float = 1, paused: bool = False) -> None:
        self.wall = [10**18]
        self.player = Player(speed, paused, wall_ns=lambda: self.wall[0])
        self.due = np.array([round(at * SECOND_NS) for at in due_s], np.int64)
        self.played: list[int] = []
        self.whole: bool | None = None
        self.most = 1 << 30  # pieces that a turn has time for
        self.stops: np.ndarray | None = None

    def deliver(self, first: int, end: int) -> int:
        end = min(end, first + self.most)
        self.played += range(first, end)
        return end

    async def play(self) -> None:
        self.whole = await self.player.play(self.due, self.deliver, self.stops)

    async def turned(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0.001)

    async def passes(self, seconds: float) -> int:
        self.wall[0] += round(seconds * SECOND_NS)
        await self.turned()
        return len(self.played)

    @property
    def clock_s(self) -> float:
        return self.player.now_ns(self.wall[0]) / SECOND_NS


def driven(rig: Rig, drive: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        task = asyncio.create_task(rig.play())
        await rig.turned()
        await drive()
        rig.player.give_up()
        await task

    asyncio.run(asyncio.wait_for(both(), 10))
    assert rig.played == list(range(len(rig.played)))


def test_pieces_come_when_they_are_due_and_the_clock_moves_between() -> None:
    rig = Rig([0, 1, 2, 3], speed=10)
    rig.player.begin(0)

    async def drive() -> None:
        assert len(rig.played) == 1
        assert await rig.passes(0.05) == 1
        assert rig.clock_s == 0.5
        assert await rig.passes(0.05) == 2
        assert await rig.passes(0.2) == 4

    driven(rig, drive)
    assert rig.whole is True


def test_a_pause_plays_what_the_clock_has_passed_and_no_more() -> None:
    rig = Rig([0, 1, 2, 3])
    rig.player.begin(0)

    async def drive() -> None:
        rig.wall[0] += 1_500_000_000
        rig.player.pause()
        assert rig.player.mode == "paused"
        await rig.turned()
        assert (len(rig.played), rig.clock_s) == (2, 1.5)
        assert await rig.passes(100) == 2
        assert rig.clock_s == 1.5
        rig.player.resume()
        assert await rig.passes(0.5) == 3

    driven(rig, drive)
    assert rig.whole is False


def test_going_on_before_all_was_played_that_a_pause_left_takes_no_step_back() -> None:
    rig = Rig([at / 10 for at in range(100)], speed=10)
    rig.most = 1
    rig.player.begin(0)

    async def drive() -> None:
        rig.wall[0] += 200_000_000
        rig.player.pause()
        await asyncio.sleep(0)
        rig.player.resume()
        assert len(rig.played) < 20
        rig.wall[0] += 100_000_000
        assert rig.clock_s == 3.0
        seen = []
        for _ in range(60):
            await asyncio.sleep(0)
            seen.append(rig.clock_s)
        await rig.turned()
        assert set(seen) == {rig.clock_s} == {3.0}
        assert len(rig.played) == 31

    driven(rig, drive)


def test_a_step_plays_exactly_one_piece_even_of_several_at_the_same_moment() -> None:
    rig = Rig([0, 1, 1, 1, 2], paused=True)
    rig.player.begin(0)

    async def drive() -> None:
        for count in range(1, 5):
            rig.player.step()
            await rig.turned()
            assert len(rig.played) == count
        assert rig.clock_s == 1.0
        rig.player.step()

    driven(rig, drive)


def test_what_does_not_count_goes_along_with_the_next_step() -> None:
    rig = Rig([0, 0, 0, 1, 1], paused=True)
    rig.stops = np.array([False, False, True, False, True])
    rig.most = 2
    rig.player.begin(0)

    async def drive() -> None:
        rig.player.step()
        assert await rig.passes(0) == 3
        rig.player.step()
        assert await rig.passes(0) == 5

    driven(rig, drive)


def test_a_step_of_a_second_ends_at_the_whole_second() -> None:
    rig = Rig([0.2, 0.9, 1.0, 1.1, 2.5, 9.0])
    rig.player.begin(0)

    async def drive() -> None:
        rig.player.step_second()
        await rig.turned()
        assert (len(rig.played), rig.clock_s, rig.player.mode) == (3, 1.0, "paused")
        for _ in range(2):
            rig.player.step_second()
        await rig.turned()
        assert (len(rig.played), rig.clock_s) == (5, 3.0)

    driven(rig, drive)


@pytest.mark.parametrize("paused", [False, True])
def test_after_a_leap_it_is_as_it_was_before(paused: bool) -> None:
    rig = Rig([at / 10 for at in range(100)], paused=paused)
    rig.most = 7
    rig.player.begin(0, 2 * SECOND_NS)

    async def drive() -> None:
        assert (len(rig.played), rig.clock_s) == (21, 2.0)
        rig.player.seek(4 * SECOND_NS)
        assert rig.player.mode == "seeking"
        await rig.turned()
        assert (len(rig.played), rig.clock_s) == (41, 4.0)
        assert rig.player.mode == ("paused" if paused else "playing")
        assert await rig.passes(1) == (41 if paused else 51)

    driven(rig, drive)


def test_the_speed_changes_on_the_way_and_the_clock_does_not_leap() -> None:
    rig = Rig([float(at) for at in range(100)], speed=1)
    rig.player.begin(0)

    async def drive() -> None:
        await rig.passes(2)
        rig.player.set_speed(10)
        assert rig.clock_s == 2.0
        assert await rig.passes(1) == 13
        rig.player.set_speed(math.inf)
        rig.player.pause()
        assert await rig.passes(1) == 13
        rig.player.resume()
        assert await rig.passes(0) == 100
        assert (rig.clock_s, rig.player.speed_label) == (99.0, "max")

    driven(rig, drive)


def test_a_long_hole_is_leapt_over_and_named_for_a_while() -> None:
    rig = Rig([0, 4, 184, 188], speed=10)
    rig.player.begin(0)

    async def drive() -> None:
        assert await rig.passes(0.1) == 1
        assert await rig.passes(0.3) == 3
        assert rig.player.note_at(rig.player.now_ns(rig.wall[0])) == "skipped a hole of 3 min"
        assert rig.player.note_at(10**18) == ""

    driven(rig, drive)


def test_a_leap_may_end_inside_a_hole() -> None:
    rig = Rig([0, 100, 101], paused=True)
    rig.player.begin(0)

    async def drive() -> None:
        rig.player.step()
        await rig.turned()
        rig.player.seek(50 * SECOND_NS)
        await rig.turned()
        assert (len(rig.played), rig.clock_s) == (1, 50.0)
        rig.player.resume()
        assert await rig.passes(0) == 2

    driven(rig, drive)


def test_a_wall_clock_set_back_does_not_stall() -> None:
    rig = Rig([0, 1, 2])
    rig.player.begin(0)

    async def drive() -> None:
        await rig.passes(0.5)
        await rig.passes(-1000)
        assert await rig.passes(0.5) == 2

    driven(rig, drive)
