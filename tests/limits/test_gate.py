"""The awaiting shell, the desk over all budgets, and bans on disk. No network, no venue."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import QueueFull, TooHeavy
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.limits.gate import Gate, Permit
from engine.limits.limiter import Limiter, Priority
from engine.limits.store import Ban, BanStore
from engine.telemetry.events import Level
from engine.telemetry.hub import Telemetry
from tests.limits.rig import MS, SECOND, venue, window

ROOT = Path(__file__).resolve().parents[2]
SHORT = 40 * MS


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Within five seconds."""

    async def bounded() -> None:
        await asyncio.wait_for(work(), 5)

    asyncio.run(bounded())


def gate_of(limit: int = 10, window_ns: int = SHORT, **changes: object) -> Gate:
    return Gate(Limiter(venue(window(limit, window_ns), **changes)))


async def waiting(gate: Gate, weight: int, priority: Priority = Priority.NORMAL) -> asyncio.Task[Permit]:
    """A task that waits at the gate."""
    task = asyncio.create_task(gate.acquire(f"GET /{weight}", priority=priority))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_a_call_that_fits_passes_without_a_task_switch() -> None:
    async def work() -> None:
        gate = gate_of()
        switched: list[int] = []
        asyncio.get_running_loop().call_soon(switched.append, 1)
        await gate.acquire("GET /5")
        assert not switched

    run(work)


def test_one_timer_wakes_the_queue_in_order() -> None:
    async def work() -> None:
        gate = gate_of()
        (await gate.acquire("GET /10")).answered(200, {})
        order: list[int] = []

        async def one(weight: int) -> None:
            (await gate.acquire(f"GET /{weight}")).answered(200, {})
            order.append(weight)

        await asyncio.gather(*(one(weight) for weight in (9, 1, 8, 2)))
        assert order == [9, 1, 8, 2]
        assert gate.limiter.throttled == 4
        assert gate.limiter.wait_max_ns >= SHORT

    run(work)


def test_a_cancelled_wait_lets_the_next_go() -> None:
    async def work() -> None:
        gate = gate_of(window_ns=3_600 * SECOND)
        await gate.acquire("GET /5")
        heavy, light = await waiting(gate, 10), await waiting(gate, 5)
        heavy.cancel()
        assert (await light).granted
        assert gate.limiter.waiting == 0
        with pytest.raises(asyncio.CancelledError):
            await heavy

    run(work)


def test_who_comes_after_a_cancelled_wait_is_not_forgotten() -> None:
    async def work() -> None:
        gate = gate_of(window_ns=SHORT)
        (await gate.acquire("GET /10")).answered(200, {})
        task = await waiting(gate, 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await gate.acquire("GET /5")).granted

    run(work)


def test_a_wait_cancelled_as_it_is_granted_gives_back() -> None:
    async def work() -> None:
        gate = gate_of(window_ns=3_600 * SECOND)
        first = await gate.acquire("GET /10")
        task = await waiting(gate, 10)
        first.unsent()  # grants the waiting one, whose task has not run yet
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await gate.acquire("GET /10")).granted

    run(work)


def test_too_heavy_and_queue_full_are_raised_at_once() -> None:
    async def work() -> None:
        gate = gate_of(queue=1)
        with pytest.raises(TooHeavy):
            await gate.acquire("GET /11")
        await gate.acquire("GET /10")
        task = await waiting(gate, 1)
        with pytest.raises(QueueFull):
            await gate.acquire("GET /1")
        task.cancel()

    run(work)


def test_a_429_stops_the_gate_and_its_end_wakes_it() -> None:
    async def work() -> None:
        gate = gate_of(100, stops_ns={429: SHORT, 418: SECOND, 403: SECOND})
        (await gate.acquire("GET /1")).answered(429, {})
        began = time.monotonic_ns()
        await gate.acquire("GET /1", priority=Priority.ORDER)
        assert time.monotonic_ns() - began >= SHORT * 0.9

    run(work)


def test_a_ban_wakes_nobody_until_its_end() -> None:
    async def work() -> None:
        gate = gate_of(10)
        first = await gate.acquire("GET /10")
        task = await waiting(gate, 5)
        first.answered(418, {"Retry-After": "3600"})
        await asyncio.sleep(SHORT / SECOND * 3)
        assert not task.done()
        task.cancel()

    run(work)


def test_adopting_a_higher_limit_lets_waiting_calls_go() -> None:
    async def work() -> None:
        gate = gate_of(10, SECOND)
        await gate.acquire("GET /10")
        task = await waiting(gate, 10)
        gate.adopt([("REQUEST_WEIGHT", 1, 20)])
        assert (await task).granted

    run(work)


def test_a_limit_that_sinks_below_a_waiting_call_fails_it_and_stops_nobody_else() -> None:
    async def work() -> None:
        gate = gate_of(10, SHORT)
        (await gate.acquire("GET /5")).answered(200, {})
        heavy, light = await waiting(gate, 8), await waiting(gate, 2)
        behind = await waiting(gate, 9)
        gate.limiter.windows[next(iter(gate.limiter.windows))].adopt(6)  # as an answer's header does
        gate.adopt([])
        with pytest.raises(TooHeavy, match="weighs 8"):
            await heavy
        (await light).answered(200, {})
        with pytest.raises(TooHeavy, match="weighs 9"):
            await behind
        assert gate.limiter.waiting == 0
        assert next(iter(gate.limiter.windows.values())).waiting == 0

    run(work)


def test_calls_cancelled_behind_one_that_waits_are_let_go() -> None:
    async def work() -> None:
        gate = gate_of(10, 3_600 * SECOND)
        await gate.acquire("GET /10")
        head = await waiting(gate, 10)
        for _ in range(500):
            (await waiting(gate, 1)).cancel()
            await asyncio.sleep(0)
        assert sum(map(len, gate.limiter._lanes.values())) < 100
        assert gate.limiter.waiting == 1
        head.cancel()

    run(work)


# -- the desk ---------------------------------------------------------------------------------------------------------


class Notes(list[tuple[Level, str, str, str]]):
    """What was noted."""

    def __call__(self, level: Level, at: str, what: str, text: str) -> None:
        self.append((level, at, what, text))


def desk_of(clock: Clock, store: BanStore | None = None, note: Notes | None = None) -> LimitDesk:
    made = replace(rules.load(), venues={"test": venue(window(100), reserve=0.0)})
    return LimitDesk(made, store, wall=clock, monotonic=clock, note=Notes() if note is None else note)


def test_views_show_windows_endpoints_waits_and_refusals() -> None:
    async def work() -> None:
        clock = Clock()
        desk = desk_of(clock)
        gate = desk.gate("test")
        permit = await gate.acquire("GET /40")
        clock.now += 30 * MS
        permit.answered(200, {})
        task = await waiting(gate, 90)
        view = desk.views(clock.now)[0]
        assert (view.state, view.allowed, view.throttled, view.waiting) == ("throttling", 1, 1, 1)
        only = view.windows[0]
        assert (only.name, only.limit, only.used, only.reserved, only.foreign) == ("Weight", 100, 40, 90, 0)
        assert clock.now + SECOND <= only.resets_ns <= clock.now + SECOND + MS
        row = view.endpoints[0]
        assert (row.endpoint, row.weight, row.calls, row.last_status) == ("GET /40", 40, 1, 200)
        assert row.mean_ns == row.max_ns == 30 * MS
        assert 28 * MS <= row.p99_ns <= 30 * MS  # of a table within 6 %
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        quiet = desk.views(clock.now + 5 * SECOND)[0]
        assert (quiet.state, quiet.waiting) == ("within limits", 0)
        desk.close()

    run(work)


def test_every_budget_of_the_packaged_file_has_a_gate_and_a_view() -> None:
    desk = LimitDesk(rules.load())
    assert [view.venue for view in desk.views(0)] == [
        "binance_spot",
        "binance_usdm",
        "binance_coinm",
        "bybit",
    ]
    assert desk.gate("bybit").venue == "bybit"
    with pytest.raises(KeyError):
        desk.gate("nowhere")


def test_a_closed_second_has_what_was_counted_in_it() -> None:
    async def work() -> None:
        clock, telemetry = Clock(), Telemetry(0)
        desk = desk_of(clock)
        gate = desk.gate("test")
        for _ in range(3):
            (await gate.acquire("GET /20")).answered(200, {})
        desk.close_second(telemetry, 7 * SECOND)
        (await gate.acquire("GET /20")).answered(429, {"Retry-After": "1"})
        desk.close_second(telemetry, 8 * SECOND)
        rows = telemetry.limit("test").since(0).rows
        assert rows["ts_ns"].tolist() == [7 * SECOND, 8 * SECOND]
        assert rows["allowed"].tolist() == [3, 1]
        assert rows["refused"].tolist() == [0, 1]

    run(work)


def test_a_permit_nobody_told_of_holds_up_no_waiter_for_ever() -> None:
    async def work() -> None:
        clock, telemetry = Clock(), Telemetry(0)
        desk = desk_of(clock)
        gate = desk.gate("test")
        await gate.acquire("GET /100")
        task = await waiting(gate, 50)
        clock.now += 301 * SECOND
        desk.close_second(telemetry, clock.now)
        assert gate._timer is not None  # it knows now when the room comes back
        clock.now += 2 * SECOND
        assert (await task).granted

    run(work)


def test_a_ban_is_shown_noted_and_honoured_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        clock, notes = Clock(), Notes()
        store = BanStore(tmp_path / "bans")
        gate = (desk := desk_of(clock, store, notes)).gate("test")
        (await gate.acquire("GET /1")).answered(418, {"Retry-After": "120"})
        view = desk.views(clock.now)[0]
        assert (view.state, view.banned_until_ns, view.ban_reason) == (
            "banned",
            clock.now + 120 * SECOND,
            "418 from GET /1",
        )
        assert notes == [("error", "test", "ban", "418 from GET /1: nothing is sent for 120 s")]
        store.close()
        clock.now += 60 * SECOND
        later = Clock()  # another process: its own monotonic clock
        store = BanStore(tmp_path / "bans")
        notes = Notes()
        made = replace(rules.load(), venues={"test": venue(window(100))})
        desk = LimitDesk(made, store, wall=clock, monotonic=later, note=notes)
        assert notes == [
            ("warn", "test", "ban", "still banned for 60 s, since an earlier run: 418 from GET /1")
        ]
        assert desk.views(clock.now)[0].banned_until_ns == clock.now + 60 * SECOND
        task = await waiting(desk.gate("test"), 1)
        later.now += 61 * SECOND
        desk.gate("test").adopt([])  # looks at the queue, as the timer does when time really passes
        assert (await task).granted
        store.close()

    run(work)


def test_a_429_is_not_kept_over_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        clock, store = Clock(), BanStore(tmp_path)
        (await desk_of(clock, store).gate("test").acquire("GET /1")).answered(429, {"Retry-After": "60"})
        assert store.find("test", clock.now) is None
        store.close()

    run(work)


# -- the store --------------------------------------------------------------------------------------------------------


def test_the_bans_directory_is_private(tmp_path: Path) -> None:
    (tmp_path / "bans").mkdir(mode=0o755)
    store = BanStore(tmp_path / "bans")
    assert store.keep_spent("binance_spot", [1])
    assert stat.S_IMODE((tmp_path / "bans").stat().st_mode) == 0o700
    store.close()


def test_a_ban_is_found_until_it_is_over(tmp_path: Path) -> None:
    store = BanStore(tmp_path)
    now = time.time_ns()
    ban = Ban(now + 100 * SECOND, 418, "418 from GET /api/v3/depth")
    assert store.keep("binance_spot", ban, now)
    assert store.find("binance_spot", now) == ban
    assert store.find("binance_spot", ban.until_ns) is None
    assert store.find("bybit", now) is None
    store.lift("binance_spot")
    assert store.find("binance_spot", now) is None
    store.close()


@pytest.mark.parametrize("foreign", ["text", 5, [], [1], ["soon", 418, "x"], {"until": 1}])
def test_what_is_no_ban_is_not_taken_for_one(tmp_path: Path, foreign: object) -> None:
    store = BanStore(tmp_path)
    store._cache().set("test", foreign)
    assert store.find("test", 0) is None
    store.close()


def test_nothing_is_made_on_the_disk_before_something_is_kept(tmp_path: Path) -> None:
    store = BanStore(tmp_path / "bans")
    assert store.find("binance_spot", 0) is None
    assert store.find_spent("binance_spot") is None
    store.lift("binance_spot")
    store.close()
    assert not (tmp_path / "bans").exists()


def test_a_place_that_cannot_be_used_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = BanStore(tmp_path / "file")
    assert store.find("binance_spot", 0) is None
    assert not store.keep_spent("binance_spot", [1])
    assert not store.keep("binance_spot", Ban(10 * SECOND, 418, "x"), 0)


def test_the_limits_need_no_compiled_kernel() -> None:
    code = (
        "import sys; import engine.limits.gate, engine.limits.limiter, engine.limits.rules, engine.limits.store; "
        "assert 'numba' not in sys.modules, 'numba'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
