"""When each piece of a replay is due: at a speed times its own, or at once; with pauses, steps and leaps.

`Pacer` maps the data's time to the wall's and is pure. `Player` waits by it and takes orders: captures and recorded
stretches are both played by one, so that the same controls do the same for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

SECOND_NS: Final = 1_000_000_000
TURN_NS: Final = 1_000_000  # aimed at between two awaits; 2 ms are allowed
LEAST_TURN: Final = 8  # pieces
MOST_TURN: Final = 1024
MIN_SLEEP_S: Final = 0.002  # pieces closer together than this are played together
MAX_SLEEP_S: Final = 0.05
HOLE_NS: Final = 5 * SECOND_NS  # a longer time without anything is leapt over
HOLE_SHOWN_S: Final = 10

Times = npt.NDArray[np.int64]
Mode = Literal["seeking", "playing", "paused"]
# (first, end) of the pieces that are due -> the end of those that were delivered, if the turn was over before.
Deliver = Callable[[int, int], int]


class Pacer:
    """Maps data time to wall time: at `speed` times its own, or without waiting (infinite). Pure.

    Both times are nanoseconds. `start` pins a moment of the data to a moment of the wall clock. While paused, or at
    infinite speed, the data's time stands where it was pinned.
    """

    def __init__(self, speed: float, paused: bool = False) -> None:
        self.speed = _checked(speed)
        self.paused = paused
        self._data_ns = 0
        self._wall_ns = 0

    @property
    def waits(self) -> bool:
        """Whether pieces have a time; at infinite speed all are due at once."""
        return math.isfinite(self.speed)

    def start(self, data_ns: int, wall_ns: int) -> None:
        """From here on `data_ns` falls on `wall_ns`."""
        self._data_ns, self._wall_ns = data_ns, wall_ns

    def data_ns(self, wall_ns: int) -> int:
        """The data's time at a wall time."""
        if self.paused or not self.waits:
            return self._data_ns
        return self._data_ns + int((wall_ns - self._wall_ns) * self.speed)

    def delay_s(self, data_ns: int, wall_ns: int) -> float:
        """Seconds until the data gets to `data_ns`; 0.0 when it has, or nothing waits; infinite while paused."""
        if self.paused:
            return math.inf
        if not self.waits:
            return 0.0
        ahead_ns = (data_ns - self._data_ns) / self.speed - (wall_ns - self._wall_ns)
        return max(0.0, ahead_ns / 1e9)

    def pause(self, wall_ns: int) -> None:
        """The data's time stands still from `wall_ns` on."""
        self.start(self.data_ns(wall_ns), wall_ns)
        self.paused = True

    def resume(self, wall_ns: int) -> None:
        """It goes on from where it stands."""
        self.start(self.data_ns(wall_ns), wall_ns)
        self.paused = False

    def set_speed(self, speed: float, wall_ns: int) -> None:
        """Another speed from `wall_ns` on; ValueError when it is not above 0."""
        self.start(self.data_ns(wall_ns), wall_ns)
        self.speed = _checked(speed)


class Player:
    """Plays pieces of data as they fall due, in turns of a millisecond, and does as it is told meanwhile.

    A piece is whatever `deliver` takes one of: a frame of a capture, an event of a recording. Everything is called on
    one loop. The clock is the data's: it moves smoothly while playing, stands still while paused, stands at what was
    played last while seeking or at infinite speed, and leaps over holes.
    """

    def __init__(
        self,
        speed: float,
        paused: bool = False,
        wall_ns: Callable[[], int] = time.time_ns,
        most_turn: int = MOST_TURN,
    ) -> None:
        self.pacer = Pacer(speed, paused)
        self.played_ns = 0  # when the newest piece that was delivered was due
        self.hole_ns = 0  # how long the hole was that was leapt over last, and where it ended
        self.hole_end_ns = 0
        self._wall_ns = wall_ns
        self._seen_wall_ns = 0
        self._goal_ns: int | None = None  # up to here as fast as it goes
        self._seeking = False
        self._steps = 0
        self._given_up = False
        self._wake = asyncio.Event()
        self._turn = 64
        self._most_turn = most_turn

    @property
    def mode(self) -> Mode:
        """What it does now."""
        if self._seeking:
            return "seeking"
        return "paused" if self.pacer.paused else "playing"

    @property
    def speed_label(self) -> str:
        """`1x`, `10x`, `max`."""
        return f"{self.pacer.speed:g}x" if self.pacer.waits else "max"

    def now_ns(self, wall_ns: int) -> int:
        """The data's time at a wall time."""
        if self._seeking or not self.pacer.waits:
            return self.played_ns
        return max(self.pacer.data_ns(wall_ns), self.played_ns)

    def note_at(self, data_ns: int) -> str:
        """That a hole was leapt over, for the first seconds behind it; else nothing."""
        shown = self.hole_ns and data_ns < self.hole_end_ns + int(HOLE_SHOWN_S * SECOND_NS * self._pace())
        return f"skipped a hole of {_length(self.hole_ns)}" if shown else ""

    def _pace(self) -> float:
        return self.pacer.speed if self.pacer.waits else 1.0

    # --- orders ------------------------------------------------------------------------------------------

    def begin(self, data_ns: int, goal_ns: int | None = None) -> None:
        """The data begins at `data_ns`; with a goal, the way there is played as fast as it goes."""
        self.played_ns = data_ns
        self.hole_ns = self.hole_end_ns = self._steps = 0
        self._given_up = False
        self._seen_wall_ns = self._wall_ns()
        self.pacer.start(data_ns, self._seen_wall_ns)
        self._goal_ns, self._seeking = goal_ns, goal_ns is not None
        self._wake.set()

    def pause(self) -> None:
        """Stop after what is due by now; while seeking, stop there."""
        if self.pacer.paused:
            return
        now_ns = self.now_ns(self._now())
        self.pacer.pause(self._seen_wall_ns)
        if self._goal_ns is None:
            self._goal_ns = now_ns  # what the clock has passed is still played
        self._wake.set()

    def resume(self) -> None:
        """Go on at the speed it had."""
        self.pacer.resume(self._now())
        self._steps = 0
        self._wake.set()

    def set_speed(self, speed: float) -> None:
        """Another speed, now or when it goes on. ValueError when it is not above 0."""
        now_ns = self.now_ns(self._now())
        self.pacer.set_speed(speed, self._seen_wall_ns)
        self.pacer.start(now_ns, self._seen_wall_ns)
        self._wake.set()

    def step(self) -> None:
        """Pause, and play exactly the next piece."""
        self.pause()
        self._steps += 1
        self._wake.set()

    def step_second(self) -> None:
        """Pause, and play up to the next whole second of the data's time."""
        self.pause()
        now_ns = self._goal_ns if self._goal_ns is not None else self.now_ns(self._now())
        self._goal_ns = (now_ns // SECOND_NS + 1) * SECOND_NS
        self._wake.set()

    def seek(self, data_ns: int) -> None:
        """Play up to `data_ns`, which must not lie behind, as fast as it goes; then be as before."""
        self._goal_ns, self._seeking, self._steps = data_ns, True, 0
        self._wake.set()

    def give_up(self) -> None:
        """End `play` where it is."""
        self._given_up = True
        self._wake.set()

    # --- playing -----------------------------------------------------------------------------------------

    async def play(self, due_ns: Times, deliver: Deliver, stops: npt.NDArray[np.bool_] | None = None) -> bool:
        """Play pieces that fall due at `due_ns`, ascending; False when it was given up before their end.

        `stops` says of each piece whether a step ends with it; what does not count goes along with the next that does.
        """
        at, count = 0, len(due_ns)
        while at < count:
            if self._given_up:
                return False
            end = self._due(due_ns, at, stops)
            if end > at:
                end = self._deliver(deliver, at, end, due_ns, stops)
                at = end
                await asyncio.sleep(0)
            elif self._goal_ns is not None:
                self._arrive()
            else:
                await self._wait(int(due_ns[at]))
        return not self._given_up

    def _due(self, due_ns: Times, at: int, stops: npt.NDArray[np.bool_] | None) -> int:
        """The end of the pieces that are due now, at most one turn's worth."""
        end = min(at + self._turn, len(due_ns))
        until_ns: int | None = None
        if self._goal_ns is not None:
            until_ns = self._goal_ns
        elif self.pacer.paused:
            if not self._steps:
                return at
            if stops is None:
                return at + 1
            further = np.flatnonzero(stops[at:end])
            return at + int(further[0]) + 1 if len(further) else end
        elif self.pacer.waits:
            until_ns = self.pacer.data_ns(self._now())
        if until_ns is None:
            return end
        return at + int(np.searchsorted(due_ns[at:end], until_ns, side="right"))

    def _deliver(
        self,
        deliver: Deliver,
        at: int,
        end: int,
        due_ns: Times,
        stops: npt.NDArray[np.bool_] | None,
    ) -> int:
        """Hand on one turn's pieces; learn from the time taken how many fit the next."""
        asked = end - at
        stepping = self._goal_ns is None and self.pacer.paused
        started_ns = time.perf_counter_ns()
        end = deliver(at, end)
        took_ns = time.perf_counter_ns() - started_ns
        self.played_ns = max(self.played_ns, int(due_ns[end - 1]))
        if stepping and self._steps and (stops is None or stops[end - 1]):
            self._steps -= 1
        if self.pacer.paused or not self.pacer.waits:
            now_ns = self._now()
            self.pacer.start(max(self.pacer.data_ns(now_ns), self.played_ns), now_ns)
        if asked == self._turn:
            fits = (end - at) * TURN_NS // max(took_ns, 1)
            self._turn = max(LEAST_TURN, min(fits, 2 * self._turn, self._most_turn))
        return end

    def _arrive(self) -> None:
        """All up to the goal was played."""
        assert self._goal_ns is not None
        now_ns, at_ns = self._now(), max(self._goal_ns, self.played_ns)
        self.played_ns = at_ns
        # One that was paused may have gone on before all was played that its clock had passed: no step back.
        self.pacer.start(at_ns if self._seeking else max(at_ns, self.pacer.data_ns(now_ns)), now_ns)
        self._goal_ns, self._seeking = None, False

    async def _wait(self, next_ns: int) -> None:
        wall_ns = self._now()
        if not self.pacer.paused:
            now_ns = self.now_ns(wall_ns)
            if next_ns - now_ns > HOLE_NS:
                self.hole_ns, self.hole_end_ns = next_ns - now_ns, next_ns
                self.pacer.start(next_ns, wall_ns)
                return
        delay_s = self.pacer.delay_s(next_ns, wall_ns)
        self._wake.clear()
        if delay_s == math.inf:
            await self._wake.wait()
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(delay_s, MIN_SLEEP_S), MAX_SLEEP_S)):
                    await self._wake.wait()

    def _now(self) -> int:
        """Wall time; when that clock was set back, the pacer is pinned anew rather than wait it out."""
        wall_ns = self._wall_ns()
        if wall_ns < self._seen_wall_ns:
            self.pacer.start(self.pacer.data_ns(self._seen_wall_ns), wall_ns)
        self._seen_wall_ns = wall_ns
        return wall_ns


def _checked(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"a replay's speed must be above 0, not {speed}")
    return speed


def _length(span_ns: int) -> str:
    """A length of time as words: 7 s, 3 min, 2 h 5 min."""
    seconds = round(span_ns / SECOND_NS)
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
