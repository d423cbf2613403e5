"""Whether a rule is true, for how long, and when that is worth a word: quiet -> pending -> firing -> quiet. Pure.

Each source is judged apart; the first that holds for the rule's time makes it fire, and it fires once while it holds
at any source. Where a source gives no data nothing is learned: that neither fires nor clears, and the time of it does
not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from engine.alerts.rules import SECOND_NS

GONE_NS: Final = 60 * SECOND_NS  # without data from it: then others alone decide whether the rule still holds
REST_NS: Final = (
    5 * SECOND_NS
)  # from an end to the next firing: a value that swings about its threshold is one alert

State = Literal["no data", "quiet", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as `top / bottom`, exact; `bottom` above 0. `text` is what people see of it."""

    top: int
    bottom: int
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one look: the rule fired at `source`, or ended."""

    what: Literal["fired", "ended"]
    source: str
    value: str


@dataclass(slots=True)
class _Held:
    """One source: how long it has held, and what was last known of it."""

    holds: bool = False
    held_ns: int = 0
    seen_ns: int = 0  # when it last gave data
    present: bool = False  # it gave data at the look before


class Judge:
    """One rule's standing. A rule that is changed gets a new one; `fired_on` is where it fired before a restart."""

    def __init__(self, above: bool, threshold: Decimal, for_ns: int, now_ns: int, fired_on: str = "") -> None:
        self._above, self._for_ns = above, for_ns
        self._top, self._bottom = threshold.as_integer_ratio()
        self._held: dict[str, _Held] = {}
        self._looked_ns = now_ns
        self._rested_ns = 0  # from when on it may fire
        self.state: State = "no data"
        self.since_ns = now_ns
        self.value = ""  # of the source nearest to firing
        self.where = ""
        if fired_on:
            self._held[fired_on] = _Held(True, for_ns, now_ns)
            self.state = "firing"

    def look(self, now_ns: int, readings: Mapping[str, Reading | None]) -> Turn | None:
        """Take what each source says now, None where it gives no data; what that changed. Cost: 1 us a source."""
        passed_ns = max(0, now_ns - self._looked_ns)
        self._looked_ns = now_ns
        ripe, nearest = "", None
        for source, reading in readings.items():
            held = self._held.get(source)
            if reading is None:
                if held is not None:
                    held.present = False
                continue
            if held is None:
                held = self._held[source] = _Held()
            holds = self._holds(reading)
            went_on = holds and held.holds and held.present
            held.held_ns = (
                held.held_ns + passed_ns if went_on else (held.held_ns if holds and held.holds else 0)
            )
            held.holds, held.seen_ns, held.present = holds, now_ns, True
            if holds and not ripe and held.held_ns >= self._for_ns:
                ripe = source
            if nearest is None or self._nearer(reading, nearest[1]):
                nearest = source, reading
        self._forget(now_ns, readings, nearest is not None)
        if nearest is not None:
            self.where, self.value = nearest[0], nearest[1].text
        else:
            self.where = self.value = ""
        return self._turn(now_ns, ripe, readings)

    def _turn(self, now_ns: int, ripe: str, readings: Mapping[str, Reading | None]) -> Turn | None:
        holding = any(held.holds for held in self._held.values())
        if self.state == "firing":
            if holding:
                return None
            self._rested_ns = now_ns + REST_NS
            self._become("quiet" if self.where else "no data", now_ns)
            return Turn("ended", self.where, self.value)
        if ripe and now_ns >= self._rested_ns:
            self._become("firing", now_ns)
            reading = readings[ripe]
            assert reading is not None
            return Turn("fired", ripe, reading.text)
        if not self.where:
            self._become("no data", now_ns)
        else:
            self._become(
                "pending" if any(h.holds and h.present for h in self._held.values()) else "quiet", now_ns
            )
        return None

    def _forget(self, now_ns: int, readings: Mapping[str, Reading | None], known: bool) -> None:
        """Sources long without data say nothing any more, once another one does."""
        for source, held in list(self._held.items()):
            if source not in readings:
                held.present = False
            if known and not held.present and now_ns - held.seen_ns >= GONE_NS:
                del self._held[source]

    def _become(self, state: State, now_ns: int) -> None:
        if state != self.state:
            self.state, self.since_ns = state, now_ns

    def _holds(self, reading: Reading) -> bool:
        left, right = reading.top * self._bottom, self._top * reading.bottom
        return left > right if self._above else left < right

    def _nearer(self, one: Reading, other: Reading) -> bool:
        left, right = one.top * other.bottom, other.top * one.bottom
        return left > right if self._above else left < right
