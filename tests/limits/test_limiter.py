"""The limiter against a plain twin and plain servers: what may be sent, in which order, and never too much."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QueueFull, TooHeavy
from engine.limits.foreign import NEVER
from engine.limits.limiter import Call, Limiter, Priority, Stop
from engine.limits.windows import GRAIN_BITS
from tests.limits.rig import MS, SECOND, ask, venue, window
from tests.reference.limiter_plain import PlainCall, PlainLimiter, fullest_fixed, fullest_sliding

LIMIT = 60
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 30), st.sampled_from(list(Priority))),
        st.tuples(st.just("answer"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("unsent"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 1_500), st.just(0)),
        st.tuples(st.just("clock back"), st.integers(0, 5_000), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, reserve=st.sampled_from([0.0, 0.25, 0.5]))
@settings(max_examples=300)
def test_it_sends_what_the_plain_limiter_sends_and_when(
    steps: list[tuple[str, int, int]], reserve: float
) -> None:
    limiter = Limiter(venue(window(LIMIT), reserve=reserve, lost_ns=SECOND // 2))
    plain = PlainLimiter(LIMIT, SECOND, max(1, SECOND >> GRAIN_BITS), SECOND // 2, reserve)
    clock = now = 10 * SECOND  # what is read off the clock, and the latest that was
    limiter.tidy(now)  # it has seen this time before the clock is set back
    flying: list[tuple[int, Call]] = []
    waiting: list[tuple[int, Call]] = []
    number = 0

    def compare() -> None:
        limiter.pump(clock)
        gone = plain.pump(now)
        newly = [(n, call) for n, call in waiting if call.granted]
        assert {n for n, _ in newly} == set(gone)
        waiting[:] = [(n, call) for n, call in waiting if not call.granted]
        flying.extend(newly)

    for kind, value, priority in steps:
        if kind == "ask":
            number += 1
            call = Call()
            if value > plain.room(priority):
                assert not limiter.take(call, f"GET /{value}", {}, priority, "", clock)
                with pytest.raises(TooHeavy):
                    limiter.enqueue(call, clock)
                continue
            plain.calls.append(PlainCall(number, value, priority))
            if not limiter.take(call, f"GET /{value}", {}, priority, "", clock):
                limiter.enqueue(call, clock)
            waiting.append((number, call))
        elif kind == "wait":
            clock += value * MS
            now = max(now, clock)
        elif kind == "clock back":
            clock -= value * MS
        elif kind == "cancel" and waiting:
            n, call = waiting.pop(value % len(waiting))
            limiter.cancel(call, clock)
            plain.gone(n)
        elif kind in ("answer", "lose", "unsent") and flying:
            n, call = flying.pop(value % len(flying))
            if kind == "unsent":
                limiter.unsent(call, clock)
                plain.gone(n)
            elif kind == "lose":
                limiter.lost(call, clock)
                plain.answered(n, now, lost=True)
            else:
                limiter.answered(call, 200, {}, 0, clock, 0)
                plain.answered(n, now)
        compare()
        only = next(iter(limiter.windows.values()))
        only.release(now)
        assert only.used == plain.used(now)
        assert limiter.waiting == len(waiting)


@given(
    seed=st.integers(0, 2**32 - 1),
    jitter_ms=st.sampled_from([0, 5, 300, 2_000]),
    phase=st.integers(0, SECOND - 1),
)
@settings(max_examples=60)
def test_no_stretch_of_a_window_at_the_venue_holds_more_than_the_limit(
    seed: int, jitter_ms: int, phase: int
) -> None:
    """Calls and answers take any time, overtake each other, get lost, are cancelled; the clock jumps."""
    chance = random.Random(seed)
    lost_ns = 2_000 * MS  # no lost call arrives later
    limiter = Limiter(venue(window(LIMIT), lost_ns=lost_ns))
    now = 10 * SECOND
    arrivals: list[tuple[int, int]] = []
    answers: list[tuple[int, Call]] = []
    calls: dict[int, int] = {}
    pending: list[Call] = []

    def send(call: Call) -> None:
        fate = chance.random()
        if fate < 0.1:
            limiter.unsent(call, now)
            return
        at = now + chance.randrange(jitter_ms * MS + 1)
        if fate < 0.2:  # given up at once, and yet it arrives
            limiter.lost(call, now)
            arrivals.append((now + chance.randrange(lost_ns + 1), calls[id(call)]))
            return
        arrivals.append((at, calls[id(call)]))
        answers.append((at + chance.randrange(jitter_ms * MS + 1), call))

    for _ in range(300):
        weight = chance.randrange(1, 40)
        call = Call()
        calls[id(call)] = weight
        pending.append(call)
        read = now - chance.randrange(3 * SECOND) if chance.random() < 0.1 else now  # the clock went back
        if limiter.take(call, f"GET /{weight}", {}, chance.choice(list(Priority)), "", read):
            send(call)
        else:
            limiter.enqueue(call, read)
        waiting = [call for call in pending if not call.granted and not call.cancelled]
        if waiting and chance.random() < 0.1:
            limiter.cancel(chance.choice(waiting), now)
        now += chance.randrange(60 * MS)
        for at, answered in sorted(answers, key=lambda pair: pair[0]):
            if at <= now and not answered.done:
                limiter.answered(answered, 200, {}, 0, max(at, now), 0)
        answers = [pair for pair in answers if not pair[1].done]
        for granted in limiter.pump(now):
            send(granted)
    assert fullest_sliding(arrivals, SECOND) <= LIMIT
    assert fullest_fixed(arrivals, SECOND, phase) <= LIMIT


def test_a_unit_is_free_one_window_after_the_answer_not_after_sending() -> None:
    limiter = Limiter(venue(window(10)))
    first = ask(limiter, 10, 0)
    second = ask(limiter, 10, 1)
    assert not limiter.pump(5 * SECOND)  # still in flight: nobody knows when it arrives
    limiter.answered(first, 200, {}, 0, 5 * SECOND, 0)
    assert not limiter.pump(6 * SECOND)
    assert limiter.pump(limiter.wake_at()) == [second]
    assert second.sent_ns - 6 * SECOND <= SECOND >> (GRAIN_BITS - 1)


def test_the_guard_is_added_to_the_window() -> None:
    limiter = Limiter(venue(window(10), guard_ns=50 * MS))
    first = ask(limiter, 10, 0)
    limiter.answered(first, 200, {}, 0, 0, 0)
    ask(limiter, 1, 1)
    assert not limiter.pump(SECOND + 49 * MS)
    assert limiter.pump(SECOND + 51 * MS)


def test_a_heavy_call_is_never_overtaken_by_light_ones_of_its_priority_or_below() -> None:
    limiter = Limiter(venue(window(10)))
    blocking = ask(limiter, 8, 0)
    heavy = ask(limiter, 9, 1)
    light = [ask(limiter, 1, 2, priority) for priority in (Priority.NORMAL, Priority.BULK)]
    assert not any(call.granted for call in light)
    limiter.answered(blocking, 200, {}, 0, 3, 0)
    assert limiter.pump(2 * SECOND) == [heavy, light[0]]


def test_orders_and_resyncs_go_first() -> None:
    limiter = Limiter(venue(window(10)))
    blocking = ask(limiter, 10, 0)
    waiting = [ask(limiter, 5, 1, priority) for priority in reversed(Priority)]
    limiter.answered(blocking, 200, {}, 0, 2, 0)
    assert limiter.pump(2 * SECOND) == [waiting[3], waiting[2]]


def test_the_reserve_is_for_orders_and_resyncs_only() -> None:
    limiter = Limiter(venue(window(100), reserve=0.2))
    assert ask(limiter, 80, 0).granted
    assert not ask(limiter, 1, 0).granted
    assert ask(limiter, 10, 0, Priority.RESYNC).granted
    assert ask(limiter, 10, 0, Priority.ORDER).granted
    assert not ask(limiter, 1, 0, Priority.ORDER).granted


@pytest.mark.parametrize(
    ("weight", "priority", "fits"), [(100, 0, True), (101, 0, False), (80, 2, True), (81, 3, False)]
)
def test_a_call_heavier_than_its_room_is_refused_at_once(weight: int, priority: int, fits: bool) -> None:
    limiter = Limiter(venue(window(100), reserve=0.2))
    if fits:
        assert ask(limiter, weight, 0, Priority(priority)).granted
        return
    with pytest.raises(TooHeavy, match=f"GET /{weight} weighs {weight}, more than Weight allows"):
        ask(limiter, weight, 0, Priority(priority))
    assert limiter.waiting == 0


def test_the_queue_is_bounded() -> None:
    limiter = Limiter(venue(window(10), queue=2))
    ask(limiter, 10, 0)
    ask(limiter, 1, 0)
    ask(limiter, 1, 0)
    with pytest.raises(QueueFull, match="2 calls wait already"):
        ask(limiter, 1, 0)


def test_a_call_that_needs_none_of_the_full_windows_passes() -> None:
    limiter = Limiter(
        venue(window(10), window(1, unit="orders", scope="order", label="Orders", type_="ORDERS"))
    )
    assert ask(limiter, "POST /only", 0).granted
    assert not ask(limiter, "POST /order", 0).granted  # no order is left
    assert ask(limiter, 5, 0).granted


def test_a_call_blocked_in_two_windows_by_turns_is_not_starved() -> None:
    """Once it claimed a window, others that use it wait, even while it waits for another."""
    limiter = Limiter(
        venue(window(10), window(1, unit="orders", scope="order", label="Orders", type_="ORDERS"))
    )
    order = ask(limiter, "POST /only", 0)
    weight = ask(limiter, 10, 0)
    both = ask(limiter, "POST /order", 0)
    limiter.answered(order, 200, {}, 0, 0, 0)
    assert not limiter.pump(2 * SECOND)  # an order is free, the weight is not
    assert not ask(limiter, "POST /only", 2 * SECOND).granted  # and stays free for the one that waits
    limiter.answered(weight, 200, {}, 0, 2 * SECOND, 0)
    assert limiter.pump(4 * SECOND)[0] is both


def test_accounts_have_windows_of_their_own() -> None:
    limiter = Limiter(
        venue(window(10), window(1, unit="orders", scope="order", label="Orders", type_="ORDERS"))
    )
    assert ask(limiter, "POST /order", 0, account="a").granted
    assert ask(limiter, "POST /order", 0, account="b").granted
    assert not ask(limiter, "POST /order", 0, account="a").granted


def test_many_accounts_are_forgotten_when_they_hold_nothing() -> None:
    limiter = Limiter(
        venue(window(10), window(1, unit="orders", scope="order", label="Orders", type_="ORDERS"))
    )
    for at in range(2_000):
        now = at * 10 * SECOND
        limiter.answered(ask(limiter, "POST /only", now, account=str(at)), 200, {}, 0, now, 0)
    assert len(limiter.windows) < 600


def test_an_endpoint_that_is_not_listed_costs_the_default() -> None:
    limiter = Limiter(venue(window(100)))
    assert ask(limiter, "GET /unknown", 0).granted
    assert next(iter(limiter.windows.values())).used == 50


def test_endpoints_beyond_the_table_share_a_row() -> None:
    limiter = Limiter(venue(window(10**6)))
    for at in range(1_000):
        ask(limiter, f"GET /other/{at}", 0)
    rows = limiter.endpoints()
    assert len(rows) < 300
    assert sum(row.calls for row in rows) == 1_000


def test_a_share_leaves_the_rest_of_the_limit_to_others() -> None:
    limiter = Limiter(venue(window(100, share=0.5)))
    assert ask(limiter, 50, 0).granted
    assert not ask(limiter, 1, 0).granted


def test_a_permit_nobody_told_of_is_counted_as_lost_in_the_end() -> None:
    limiter = Limiter(venue(window(10)))
    ask(limiter, 10, 0)
    waiting = ask(limiter, 1, 0)
    assert limiter.sweep(100 * SECOND) == 0
    assert limiter.sweep(400 * SECOND) == 1
    assert limiter.pump(402 * SECOND) == [waiting]


def test_the_venues_own_limits_are_adopted() -> None:
    limiter = Limiter(venue(window(100)))
    assert limiter.adopt([("REQUEST_WEIGHT", 1, 20), ("REQUEST_WEIGHT", 60, 5), ("RAW_REQUESTS", 1, 3)]) == [
        "Weight: the venue announces 20, not 100"
    ]
    assert ask(limiter, 20, 0).granted
    assert not ask(limiter, 1, 0).granted
    nonsense = [("REQUEST_WEIGHT", 1, 0), ("REQUEST_WEIGHT", 1, 10**12), ("REQUEST_WEIGHT", 1, 20)]
    assert limiter.adopt(nonsense) == []


def test_a_stop_holds_all_back_until_its_end_and_then_they_go_in_order() -> None:
    limiter = Limiter(venue(window(100)))
    limiter.stop(Stop("ip", "", 5 * SECOND, 418, "418"))
    calls = [ask(limiter, 1, 0), ask(limiter, 1, 0), ask(limiter, 1, 0, Priority.ORDER)]
    assert not limiter.pump(5 * SECOND - 1)
    assert limiter.wake_at() == 5 * SECOND
    assert limiter.pump(5 * SECOND) == [calls[2], calls[0], calls[1]]
    assert limiter.wake_at() == NEVER


def test_a_shorter_stop_does_not_end_a_longer_one() -> None:
    limiter = Limiter(venue())
    assert limiter.stop(Stop("ip", "", 9 * SECOND, 418, "418"))
    assert not limiter.stop(Stop("ip", "", 2 * SECOND, 429, "429"))
    assert not limiter.stop(Stop("ip", "", 2 * SECOND, 418, "418"))
    call = ask(limiter, 1, 0)
    assert not limiter.pump(8 * SECOND)
    assert limiter.pump(9 * SECOND) == [call]
