"""Budgets of callers: the bucket beside its plain twin, what an address is counted as, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.access.rates import SECOND_NS, Connections, Rates, caller_of
from tests.reference.rates_plain import PlainRates

START_NS = 1_795_000_000 * SECOND_NS


@given(
    count=st.integers(1, 1_000),
    per_ns=st.sampled_from([SECOND_NS, 60 * SECOND_NS, 999_999_937]),
    burst=st.integers(1, 30),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-2, 12), st.integers(-3, 3), st.booleans()), max_size=60
    ),
)
def test_a_bucket_says_what_its_plain_twin_says(
    count: int, per_ns: int, burst: int, steps: list[tuple[int, int, int, bool]]
) -> None:
    rates, plain, now_ns = Rates(count, per_ns, burst), PlainRates(count, per_ns, burst), START_NS
    for caller, quarters, near_ns, looked in steps:  # moments on both sides of where a call becomes free
        now_ns += quarters * per_ns // count // 4 + near_ns
        before = rates.look(caller, now_ns) if looked else None
        told = rates.take(caller, now_ns)
        passes, wait_s, left, reset_s = plain.take(caller, now_ns)
        assert (told.ok, told.limit, told.remaining) == (passes, burst, left)
        assert told.retry_after_s == pytest.approx(float(wait_s))
        assert told.reset_s == pytest.approx(float(reset_s))
        if before is not None:
            assert (before.ok, before.remaining - before.ok) == (passes, left)


def test_a_refused_caller_passes_after_the_time_it_was_told() -> None:
    rates = Rates(10)
    assert [rates.take("a", START_NS).ok for _ in range(11)] == [True] * 10 + [False]
    told = rates.take("a", START_NS)
    assert told.retry_after_s == pytest.approx(0.1)
    assert not rates.take("a", START_NS + 99_999_999).ok
    assert rates.take("a", START_NS + 100_000_000).ok
    assert rates.take("b", START_NS).remaining == 9


def test_a_clock_that_went_back_an_hour_shuts_nobody_out_for_an_hour() -> None:
    rates = Rates(10)
    rates.take("a", START_NS)
    back_ns = START_NS - 3_600 * SECOND_NS
    assert rates.take("a", back_ns).retry_after_s == pytest.approx(0.1)
    assert rates.take("a", back_ns + SECOND_NS).remaining == 9


def test_the_table_is_bounded_and_forgets_who_was_seen_least_recently() -> None:
    rates = Rates(1, callers=3)
    for name in "abc":
        assert rates.take(name, START_NS).ok
    assert not rates.take("a", START_NS).ok  # refused, and seen
    assert rates.take("d", START_NS).ok
    assert (len(rates), rates.forgotten) == (3, 1)
    assert not rates.take("a", START_NS).ok
    assert rates.look("b", START_NS).ok
    for n in range(1_000):
        rates.take(n, START_NS)
    assert (len(rates), rates.forgotten) == (3, 1_001)


@pytest.mark.parametrize(
    ("addresses", "counted"),
    [
        (["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], "192.0.2.7"),
        (["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:0db8:0001:0002::"], "2001:db8:1:2::/64"),
        (["fe80::1%eth0", "fe80::2"], "fe80::/64"),
        (["::1"], "::1"),
        (["somewhere" * 20], ("somewhere" * 20)[:64]),
        ([""], ""),
    ],
)
def test_what_an_address_is_counted_as(addresses: list[str], counted: str) -> None:
    assert {caller_of(address) for address in addresses} == {counted}


def test_neighbours_are_counted_apart() -> None:
    near = ["192.0.2.7", "192.0.2.8", "2001:db8:1:2::1", "2001:db8:1:3::1", "::1", "127.0.0.1"]
    assert len({caller_of(address) for address in near}) == len(near)


def test_connections_are_counted_for_all_of_a_callers_names_or_for_none() -> None:
    held = Connections(2)
    assert held.open("a", "key")
    assert held.open("b", "key")
    assert not held.open("c", "key")
    assert (held.held("a"), held.held("c"), held.held("key")) == (1, 0, 2)
    held.close("a", "key")
    assert held.open("c", "key")
    for caller in ("b", "c"):
        held.close(caller, "key")
    assert len(held) == 0
