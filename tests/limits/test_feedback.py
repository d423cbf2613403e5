"""What refusals bring: stops, bans, for how long, and of what."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.limits.limiter import Limiter
from engine.limits.rules import Header
from tests.limits.rig import MS, SECOND, USED, ask, venue, window

ORDERS = window(5, unit="orders", scope="order", label="Orders", type_="ORDERS")


def refused(
    limiter: Limiter,
    status: int,
    headers: Mapping[str, str],
    code: int = 0,
    wall: int = 0,
    endpoint: str = "GET /1",
) -> int | None:
    """For how long the answer stops; None = not at all."""
    call = ask(limiter, endpoint, 0)
    assert call.granted
    stop = limiter.answered(call, status, headers, code, SECOND, wall)
    return None if stop is None else stop.until - SECOND


@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_says_for_how_long(status: int) -> None:
    limiter = Limiter(venue(window(100)))
    assert refused(limiter, status, {"Retry-After": "7"}) == 7 * SECOND
    call = ask(limiter, 1, 2 * SECOND)
    assert not limiter.pump(8 * SECOND - 1)
    assert limiter.pump(8 * SECOND) == [call]
    assert limiter.refused[status] == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1",
        "0",
        "nan",
        "inf",
        "Wed, 21 Oct 1926 07:28:00 GMT",
        "Wed, 99 Oct 9999999 99:28:00 GMT",
        "Wed, 21 Oct 2026 07:28:00 GMT" + " " * 100,
    ],
)
@pytest.mark.parametrize(("status", "seconds"), [(429, 1), (418, 300), (403, 600)])
def test_without_a_usable_retry_after_the_files_own_stop_counts(
    value: str, status: int, seconds: int
) -> None:
    assert refused(Limiter(venue(window(100))), status, {"Retry-After": value}) == seconds * SECOND


@pytest.mark.parametrize("value", ["1e12", "1e300", "9" * 400 + "e-100", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_beyond_reason_is_cut(value: str) -> None:
    assert refused(Limiter(venue(window(100))), 418, {"Retry-After": value}) == 7 * 86_400 * SECOND


def test_retry_after_may_be_a_date() -> None:
    wall = 1_792_567_680 * SECOND  # 2026-10-21 07:28:00 UTC
    headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}
    assert refused(Limiter(venue(window(100))), 429, headers, wall=wall) == 30 * SECOND


def test_a_report_beyond_reason_does_not_stop_a_days_window() -> None:
    limiter = Limiter(venue(window(100, 86_400 * SECOND, header=Header(USED, "used"))))
    limiter.answered(ask(limiter, 1, 0), 200, {USED: "1"}, 0, MS, 0)
    limiter.answered(ask(limiter, 1, 2 * MS), 200, {USED: "9" * 18}, 0, 3 * MS, 0)
    assert ask(limiter, 1, 4 * MS).granted


def test_bans_are_told_from_stops() -> None:
    for status, ban in ((429, False), (418, True), (403, True)):
        limiter = Limiter(venue(window(100)))
        refused(limiter, status, {})
        assert (limiter.banned() is not None) is ban


def test_a_stop_names_the_call_it_comes_from() -> None:
    limiter = Limiter(venue(window(100)))
    refused(limiter, 418, {})
    stop = limiter.banned()
    assert stop is not None
    assert stop.reason == "418 from GET /1"


def test_a_ban_stops_everything_connects_and_orders_too() -> None:
    connects = window(5, unit="connects", scope="connect", label="Connects", type_="")
    limiter = Limiter(venue(window(100), ORDERS, connects))
    refused(limiter, 418, {"Retry-After": "60"})
    assert not ask(limiter, "CONNECT", 2 * SECOND).granted
    assert not ask(limiter, "POST /order", 2 * SECOND, account="a").granted


def test_too_many_orders_stop_orders_of_that_account_only() -> None:
    limiter = Limiter(venue(window(100), ORDERS))
    call = ask(limiter, "POST /order", 0, account="a")
    limiter.answered(call, 429, {"Retry-After": "9"}, -1015, SECOND, 0)
    assert not ask(limiter, "POST /order", SECOND, account="a").granted
    assert ask(limiter, "POST /order", SECOND, account="b").granted
    assert ask(limiter, 1, SECOND).granted


def test_too_many_connects_stop_connects_only() -> None:
    connects = window(5, unit="connects", scope="connect", label="Connects", type_="")
    limiter = Limiter(venue(window(100), connects))
    assert refused(limiter, 429, {"Retry-After": "60"}, endpoint="CONNECT") == 60 * SECOND
    assert not ask(limiter, "CONNECT", 2 * SECOND).granted
    assert ask(limiter, 1, 2 * SECOND).granted


def test_bybits_reset_time_says_when_an_account_may_go_on() -> None:
    rule = window(10, unit="orders", scope="account", label="Orders", type_="")
    limiter = Limiter(venue(window(100), rule))
    call = ask(limiter, "POST /order", 0, account="a")
    wall = 1_700_000_000 * SECOND
    headers = {"X-Bapi-Limit-Reset-Timestamp": str(1_700_000_000_000 + 700)}
    stop = limiter.answered(call, 200, headers, 10006, SECOND, wall)
    assert stop is not None
    assert (stop.scope, stop.account, stop.until - SECOND) == ("account", "a", 700 * MS)
    assert not stop.ban


def test_a_code_of_another_kind_stops_nothing() -> None:
    assert refused(Limiter(venue(window(100))), 400, {}, code=-1121) is None


def test_without_retry_after_a_429_stops_to_the_end_of_a_window_that_is_known() -> None:
    limiter = Limiter(venue(window(1_000, 10 * SECOND, header=Header(USED, "used"))))
    now = 0
    for at in range(20):  # a window that fills, and then a new one
        now = at * SECOND // 2
        limiter.answered(ask(limiter, 40, now), 200, {USED: str(40 * (at + 1))}, 0, now + MS, 0)
    now += SECOND // 2
    limiter.answered(ask(limiter, 40, now), 200, {USED: "40"}, 0, now + MS, 0)
    call = ask(limiter, 1, now + 2 * MS)
    stop = limiter.answered(call, 429, {}, 0, now + 3 * MS, 0)
    assert stop is not None
    assert 9 * SECOND < stop.until - now < 11 * SECOND


def test_what_comes_after_the_first_word_on_a_permit_changes_nothing() -> None:
    limiter = Limiter(venue(window(100)))
    call = ask(limiter, 5, 0)
    limiter.answered(call, 200, {}, 0, 0, 0)
    limiter.unsent(call, 0)
    limiter.lost(call, 0)
    limiter.answered(call, 418, {}, 0, 0, 0)
    only = next(iter(limiter.windows.values()))
    assert (only.used, only.flying, limiter.banned()) == (5, 0, None)
