"""What a run spent is known to the next one, where no answer reports it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from engine.exchange.enforcement import Enforcement
from engine.exchange.venue_rules import RULES
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.limits.limiter import Call, Limiter
from engine.limits.spent import EVERY_NS, PIECES_MOST, resume, spent
from engine.limits.store import BanStore
from engine.limits.windows import Window
from tests.limits.rig import MS, SECOND, ask, venue, window

KLINE = "GET /v5/market/kline"
START = 1_790_000_000 * SECOND


class Run:
    """One run of a program: its own monotonic clock, the common wall clock and store."""

    def __init__(self, store: BanStore, wall: int) -> None:
        self.wall, self.monotonic = wall, 77 * SECOND + wall % 1_000
        self.desk = LimitDesk(rules.load(), store, wall=lambda: self.wall, monotonic=lambda: self.monotonic)
        self.gate = self.desk.gate("bybit")
        self.window = next(w for w in self.gate.limiter.windows.values() if w.rule.window_ns == 5 * SECOND)

    def passes(self, ns: int) -> None:
        """Time passes."""
        self.wall += ns
        self.monotonic += ns

    async def spend(self, server: Enforcement, most: int) -> tuple[int, int]:
        """Calls as fast as the gate lets them go: (served, refused)."""
        served = refused = 0
        while served + refused < most:
            self.window.release(self.monotonic)
            if self.gate.limiter.stops or not self.window.fits(1, 3, self.monotonic):
                break
            permit = await self.gate.acquire(KLINE, {"category": "linear"})
            verdict = server.request(self.wall, "1.1.1.1", KLINE)
            self.passes(2 * MS)
            permit.answered(verdict.status, verdict.headers, verdict.code)
            served, refused = served + verdict.served, refused + (not verdict.served)
        return served, refused


@pytest.mark.parametrize("pause_ms", [0, 300, 2_500, 4_900])
@pytest.mark.parametrize("calls", [30, 570])
@pytest.mark.parametrize("closed", [False, True])
def test_a_run_that_is_broken_off_and_begun_again_is_not_refused(
    tmp_path: Path, pause_ms: int, calls: int, closed: bool
) -> None:
    async def work() -> None:
        server, store = Enforcement(RULES["bybit"]), BanStore(tmp_path)
        first = Run(store, START)
        assert await first.spend(server, calls) == (calls, 0)
        if closed:
            first.desk.close()
        second = Run(store, first.wall + pause_ms * MS)
        refused = 0
        for _ in range(40):
            refused += (await second.spend(server, 600))[1]
            second.passes(200 * MS)
        assert refused == 0
        assert second.gate.limiter.allowed >= 570  # it does not wait for ever either
        store.close()

    asyncio.run(work())


def test_a_run_that_closed_leaves_the_rest_of_the_window_to_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        server, store = Enforcement(RULES["bybit"]), BanStore(tmp_path)
        first = Run(store, START)
        await first.spend(server, 100)
        first.desk.close()
        assert Run(store, first.wall + SECOND).window.used == 100
        assert Run(store, first.wall + 6 * SECOND).window.used == 0
        store.close()

    asyncio.run(work())


def test_a_budget_at_rest_writes_so(tmp_path: Path) -> None:
    async def work() -> None:
        server, store = Enforcement(RULES["bybit"]), BanStore(tmp_path)
        first = Run(store, START)
        await first.spend(server, 10)
        first.passes(EVERY_NS)
        first.gate._look_for_rest()  # as its timer does
        assert Run(store, first.wall).window.used == 10
        await first.spend(server, 1)  # and before the next call is sent, that it is in use again
        assert Run(store, first.wall).window.used == 600
        first.desk.close()
        store.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    "found",
    [None, 5, [], "x", [1, 2], [START, True, []], [START, 1, {}], ["x", True, {}], [START, True, {"Weight": 5}],
     [START, True, {"Weight": [5, [1], ["x", 1], [START + 1, -5], [START + 1, 10**30], [START - 1, 5], {"a": 1}]}],
     [START, True, {"Elsewhere": [[START + SECOND, 5]]}]],
)  # fmt: skip
def test_what_was_not_written_by_a_run_counts_nothing(found: object) -> None:
    limiter = Limiter(venue(window(100)))
    resume(limiter, found, 5 * SECOND, START)
    assert ask(limiter, 100, 5 * SECOND).granted


def test_a_wall_clock_set_back_holds_nothing_for_longer_than_a_window_can() -> None:
    limiter = Limiter(venue(window(100), lost_ns=SECOND))
    resume(limiter, [START, False, {"Weight": [[START + SECOND, 50]]}], 0, START - 3_600 * SECOND)
    only = next(iter(limiter.windows.values()))
    assert only.used == 100
    only.release(2 * SECOND + 2 * MS)
    assert only.used == 0


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_is_never_free_sooner_than_it_was(seed: int) -> None:
    chance = random.Random(seed)
    limiter = Limiter(venue(window(100_000)))
    now = SECOND
    flying: list[Call] = []
    for _ in range(600):
        now += chance.randrange(MS)
        flying.append(ask(limiter, chance.randrange(1, 20), now))
        if chance.random() < 0.95:
            limiter.answered(flying.pop(chance.randrange(len(flying))), 200, {}, 0, now, 0)
    told = spent(limiter, now, START, at_rest=True)
    later = Limiter(venue(window(100_000)))
    resume(later, told, 7 * SECOND, START)
    old, new = _only(limiter), _only(later)
    assert new.used == old.used
    assert len(told[2]["Weight"]) <= PIECES_MOST + 1
    for ahead in range(0, 2_000 * MS, 20 * MS):
        old.release(now + ahead)
        new.release(7 * SECOND + ahead)
        assert new.answered >= old.answered
    assert new.used == 0


def test_reported_windows_are_not_told_of() -> None:
    limiter = Limiter(rules.load().venues["binance_spot"])
    call = Call()
    assert limiter.take(call, "GET /api/v3/depth", {}, 2, "", 0)
    assert set(spent(limiter, 0, START, at_rest=True)[2]) == {"Requests, 5 min"}


def _only(limiter: Limiter) -> Window:
    return next(iter(limiter.windows.values()))
