"""When orders are meant to arrive: an open-loop schedule that does not wait for whoever is late.

Every second holds exactly the set number of orders (fractions carry over), unevenly spread: a product of
random weights over 100, 10 and 1 ms, so that arrivals come in bursts at every scale.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.flow.kernel import SLOTS

BLOCK_NS: Final = 1_000_000_000
SLOT_NS: Final = BLOCK_NS // SLOTS
# Gamma shapes of the weights per 100, 10 and 1 ms: relative deviations of 0.29, 0.35 and 0.5.
SHAPES: Final = ((SLOTS // 100, 12.0), (SLOTS // 10, 8.0), (SLOTS, 4.0))


class Schedule:
    """The orders of one second, `done` of which were taken; the next second follows when all are.

    `arrivals[i]` (float64, SLOTS + 1) is how many orders this second has up to `start_ns + i * SLOT_NS`; the
    n-th arrives where that passes n.
    """

    def __init__(self, seed: int, rate: float, start_ns: int) -> None:
        self._random = np.random.default_rng(seed)
        self.rate = rate
        self.done = 0
        self._begin(start_ns, 0.0)

    def _begin(self, start_ns: int, carry: float) -> None:
        self.start_ns = start_ns
        weights = np.ones(SLOTS)
        for count, shape in SHAPES:
            weights *= np.repeat(self._random.gamma(shape, size=count), SLOTS // count)
        self._weights = weights / weights.sum()
        self.arrivals: npt.NDArray[np.float64] = np.empty(SLOTS + 1)
        self.arrivals[0] = carry
        self._fill(0)
        self.done = 0

    def _fill(self, slot: int) -> None:
        self.arrivals[slot + 1 :] = self.arrivals[slot] + np.cumsum(self._weights[slot:]) * self.rate

    def restart(self, now_ns: int) -> None:
        """Begin a new second now, whatever is left of this one: for a clock that was set back."""
        self._begin(now_ns, 0.0)

    @property
    def end_ns(self) -> int:
        """When this second ends."""
        return self.start_ns + BLOCK_NS

    @property
    def total(self) -> int:
        """Orders in this second."""
        return int(self.arrivals[-1] + 1e-6)

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Orders per second from the next slot (1 ms) after `now_ns` on; what was due before stays due."""
        self.rate = rate
        slot = max(0, -(-(now_ns - self.start_ns) // SLOT_NS))
        if slot < SLOTS:
            self._fill(slot)

    def due(self, now_ns: int) -> int:
        """How many orders of this second were meant to arrive by `now_ns` and were not taken yet."""
        if now_ns >= self.end_ns:
            return self.total - self.done
        place = (now_ns - self.start_ns) / SLOT_NS
        if place < 0:
            return 0
        slot = int(place)
        before, after = self.arrivals[slot], self.arrivals[slot + 1]
        return max(0, int(before + (after - before) * (place - slot)) - self.done)

    def roll(self, now_ns: int) -> bool:
        """Go on to the next second if this one is over and done with."""
        if now_ns < self.end_ns or self.done < self.total:
            return False
        self._begin(self.end_ns, max(0.0, self.arrivals[-1] - self.total))
        return True

    def skip(self, before_ns: int) -> int:
        """Give up what was meant to arrive before `before_ns` and was not taken: how many orders."""
        skipped = 0
        if before_ns >= self.end_ns:
            seconds = (before_ns - self.end_ns) // BLOCK_NS
            skipped = self.total - self.done + int(seconds * self.rate)
            self._begin(self.end_ns + seconds * BLOCK_NS, 0.0)
        late = self.due(before_ns)
        self.done += late
        return skipped + late
