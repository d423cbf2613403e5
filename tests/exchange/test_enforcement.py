"""The venue's own counting of limits: against a plain counter, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.enforcement import Enforcement
from engine.exchange.limit_windows import Counter, MessageRate, Rules, Window
from engine.exchange.venue_rules import BINANCE_SPOT, BINANCE_USDM, BYBIT, RULES

S = 1_000_000_000
NOON = 1_800_000_000 * S  # a whole minute
DEPTH = "GET /api/v3/depth"
TIME = "GET /api/v3/time"


def by_argument(_: str, arguments: Mapping[str, str]) -> int:
    return int(arguments.get("weight", "1"))


def rules(*windows: Window, **changes: object) -> Rules:
    base = Rules("binance", windows, by_argument, messages_per_s=5, refusals_before_ban=10**9)
    return replace(base, **changes)


CALLS = st.lists(
    st.tuples(st.integers(0, 2 * S), st.integers(1, 30), st.sampled_from(["a", "b"])), min_size=1, max_size=80
)


@given(calls=CALLS, limit=st.integers(1, 60), seconds=st.integers(1, 5), raw=st.integers(1, 20))
def test_fixed_windows_refuse_exactly_what_a_plain_sum_says(
    calls: list[tuple[int, int, str]], limit: int, seconds: int, raw: int
) -> None:
    enforcement = Enforcement(
        rules(Window("REQUEST_WEIGHT", seconds, limit), Window("RAW_REQUESTS", 2 * seconds, raw))
    )
    now, seen = NOON, []
    for wait, weight, address in calls:
        now += wait
        seen.append((now, weight, address))
        used = sum(w for t, w, a in seen if a == address and t // (seconds * S) == now // (seconds * S))
        requests = sum(
            1 for t, _, a in seen if a == address and t // (2 * seconds * S) == now // (2 * seconds * S)
        )
        verdict = enforcement.request(now, address, TIME, {"weight": str(weight)})
        assert verdict.served == (used <= limit and requests <= raw)
        assert verdict.status == (200 if verdict.served else 429)
        assert verdict.headers["X-MBX-USED-WEIGHT"] == str(used)


@given(calls=CALLS, limit=st.integers(1, 20), seconds=st.integers(1, 5))
def test_sliding_windows_refuse_exactly_what_a_plain_sum_says(
    calls: list[tuple[int, int, str]], limit: int, seconds: int
) -> None:
    enforcement = Enforcement(rules(Window("RAW_REQUESTS", seconds, limit, sliding=True)))
    now, seen = NOON, []
    for wait, _, address in calls:
        now += wait
        seen.append((now, address))
        held = sum(1 for t, a in seen if a == address and t > now - seconds * S)
        assert enforcement.request(now, address, TIME).served == (held <= limit)


def test_answers_carry_the_used_weight_under_the_intervals_own_letters() -> None:
    enforcement = Enforcement(BINANCE_SPOT)
    enforcement.request(NOON, "a", DEPTH, {"limit": "5000"})
    headers = enforcement.request(NOON + S, "a", TIME).headers
    assert headers["X-MBX-USED-WEIGHT-1M"] == "251"
    assert enforcement.request(NOON + 60 * S, "a", TIME).headers["X-MBX-USED-WEIGHT-1M"] == "1"
    short = Enforcement(BINANCE_SPOT.with_window("REQUEST_WEIGHT", 6, 100))
    assert short.request(NOON, "a", TIME).headers["X-MBX-USED-WEIGHT-6S"] == "1"


def test_one_too_many_is_429_until_the_minute_ends() -> None:
    enforcement = Enforcement(BINANCE_SPOT)
    for _ in range(24):
        assert enforcement.request(NOON, "a", DEPTH, {"limit": "5000"}).served
    refused = enforcement.request(NOON + 10 * S, "a", TIME)
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, -1003, "50")
    assert "6000 request weight per 1 MINUTE" in refused.message
    assert enforcement.request(NOON + 10 * S, "other", TIME).served
    assert enforcement.request(NOON + 60 * S, "a", TIME).served


def test_going_on_after_refusals_is_a_ban_and_the_next_one_is_twice_as_long() -> None:
    enforcement = Enforcement(
        replace(BINANCE_SPOT.with_window("REQUEST_WEIGHT", 60, 1), refusals_before_ban=3)
    )
    assert enforcement.request(NOON, "a", TIME).served
    assert [enforcement.request(NOON, "a", TIME).status for _ in range(5)] == [429, 429, 429, 418, 418]
    assert enforcement.request(NOON + 119 * S, "a", TIME).headers["Retry-After"] == "1"
    later = NOON + 120 * S
    assert enforcement.request(later, "a", TIME).served
    assert [enforcement.request(later, "a", TIME).status for _ in range(4)] == [429, 429, 429, 418]
    assert enforcement.request(later + 239 * S, "a", TIME).status == 418
    assert enforcement.request(later + 240 * S, "a", TIME).served
    assert enforcement.statistics()["bans"] == 2


def test_what_was_used_before_a_ban_still_counts_after_it() -> None:
    enforcement = Enforcement(
        replace(BINANCE_SPOT.with_window("REQUEST_WEIGHT", 600, 1), refusals_before_ban=0, first_ban_s=60)
    )
    enforcement.request(NOON, "a", TIME)
    assert enforcement.request(NOON, "a", TIME).status == 418
    assert enforcement.request(NOON + 60 * S, "a", TIME).status == 418
    assert enforcement.request(NOON + 600 * S, "a", TIME).served


def test_bans_never_pass_three_days() -> None:
    enforcement = Enforcement(
        replace(BINANCE_SPOT.with_window("REQUEST_WEIGHT", 60, 1), refusals_before_ban=0, bans_kept_s=10**9)
    )
    now = NOON
    for _ in range(20):
        enforcement.request(now, "a", DEPTH)
        banned = enforcement.request(now, "a", TIME)
        now += int(banned.headers["Retry-After"]) * S
    assert banned.headers["Retry-After"] == str(3 * 86_400)


def test_a_neighbour_shows_in_the_next_headers_only() -> None:
    enforcement = Enforcement(BINANCE_SPOT)
    enforcement.request(NOON, "a", TIME)
    assert enforcement.consume(NOON, "a", 2_000)
    assert enforcement.request(NOON, "a", TIME).headers["X-MBX-USED-WEIGHT-1M"] == "2002"
    assert not enforcement.consume(NOON, "a", 4_000)
    assert enforcement.request(NOON, "a", TIME).status == 429


def test_funding_calls_have_a_window_of_their_own_on_usdm() -> None:
    enforcement = Enforcement(BINANCE_USDM)
    for at in range(500):
        path = "GET /fapi/v1/fundingRate" if at % 2 else "GET /fapi/v1/fundingInfo"
        assert enforcement.request(NOON, "a", path).served
    assert enforcement.request(NOON, "a", "GET /fapi/v1/fundingRate").status == 429
    assert enforcement.request(NOON, "a", "GET /fapi/v1/time").served


def test_orders_are_counted_per_account_and_told_in_headers() -> None:
    enforcement = Enforcement(BINANCE_SPOT)
    for _ in range(100):
        assert enforcement.place(NOON, "a", "one", 1).served
    counts = {"X-MBX-ORDER-COUNT-10S": "100", "X-MBX-ORDER-COUNT-1D": "100"}
    assert enforcement.order_headers(NOON, "one") == counts
    assert set(enforcement.order_headers(NOON, "nobody").values()) == {"0"}
    refused = enforcement.place(NOON, "a", "one", 1)
    assert (refused.status, refused.code) == (429, -1015)
    assert counts.items() <= refused.headers.items()
    assert refused.headers["Retry-After"] == "10"
    assert enforcement.place(NOON, "a", "two", 1).served
    assert enforcement.place(NOON + 10 * S, "a", "one", 1).served


def test_answers_that_come_late_take_no_counts_of_the_window_that_has_begun() -> None:
    enforcement = Enforcement(BINANCE_SPOT)
    late = NOON + 10 * S - 1
    enforcement.place(late, "a", "one", 1)
    enforcement.place(NOON + 10 * S, "a", "one", 3)
    assert enforcement.order_headers(late, "one")["X-MBX-ORDER-COUNT-10S"] == "3"
    enforcement.give_back(late, "one")
    assert enforcement.orders_used(late, "one")[0][1] == 2


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "take", "make", "back"]),
        st.integers(0, 2 * S),
        st.integers(1, 4),
        st.sampled_from(["one", "two"]),
    ),
    max_size=80,
)


@given(steps=STEPS, limit=st.integers(1, 12), seconds=st.integers(1, 6))
def test_orders_count_while_they_are_placed_and_not_traded_as_a_plain_sum_says(
    steps: list[tuple[str, int, int, str]], limit: int, seconds: int
) -> None:
    enforcement = Enforcement(
        rules(Window("ORDERS", seconds, limit), Window("ORDERS", 3 * seconds, 2 * limit))
    )
    spans = {seconds: limit, 3 * seconds: 2 * limit}
    plain: dict[tuple[str, int], tuple[int, int]] = {}  # (which window, used)
    now = NOON
    for step, wait, orders, account in steps:
        now += wait
        for span in spans:
            at = now // (span * S)
            if plain.get((account, span), (at, 0))[0] != at:
                plain[account, span] = at, 0
        used = {span: plain.get((account, span), (0, 0))[1] for span in spans}
        if step == "place":
            fits = all(used[span] + orders <= most for span, most in spans.items())
            verdict = enforcement.place(now, "a", account, orders)
            assert verdict.served == fits
            assert verdict.status == (200 if fits else 429)
            change = orders if fits else 0
        elif step == "back":
            enforcement.give_back(now, account, orders)
            change = -orders
        else:
            enforcement.filled(now, account, maker=step == "make")
            change = -5 if step == "make" else -1
        for span in spans:
            plain[account, span] = now // (span * S), max(0, used[span] + change)
        told = {window.interval_s: count for window, count in enforcement.orders_used(now, account)}
        assert told == {span: plain[account, span][1] for span in spans}


@given(
    steps=st.lists(st.tuples(st.integers(0, S), st.integers(-6, 4)), max_size=60), seconds=st.integers(1, 4)
)
def test_what_is_taken_back_of_a_sliding_window_is_the_newest(
    steps: list[tuple[int, int]], seconds: int
) -> None:
    counter, held, now = Counter(Window("ORDERS", seconds, 9, sliding=True)), [], NOON
    for wait, amount in steps:
        now += wait
        held = [at for at in held if at > now - seconds * S]
        if amount > 0:
            held += [now] * amount
            assert counter.add(now, amount) == len(held)
        else:
            counter.take_back(now, -amount)
            held = held[: max(0, len(held) + amount)]
        assert counter.used(now) == len(held)


USER_CALLS = st.lists(
    st.tuples(
        st.integers(0, S), st.sampled_from(["/v5/a", "/v5/b", "/v5/c"]), st.sampled_from(["one", "two", ""]),
        st.sampled_from(["x", "y"]), st.integers(0, 3),
    ),
    max_size=80,
)  # fmt: skip


@given(calls=USER_CALLS, limit=st.integers(1, 6))
def test_a_users_calls_count_for_the_user_whatever_the_address(
    calls: list[tuple[int, str, str, str, int]], limit: int
) -> None:
    windows = (
        Window("RAW_REQUESTS", 5, 10**6, sliding=True),
        Window(
            *("ENDPOINT", 1, limit), sliding=True, by_account=True, name="a and b", weigh=by_argument,
            endpoints=frozenset({"GET /v5/a", "GET /v5/b"}),
        ),
    )  # fmt: skip
    enforcement = Enforcement(replace(BYBIT, windows=windows))
    now, seen = NOON, []
    for wait, path, account, address, weight in calls:
        now += wait
        verdict = enforcement.request(now, address, f"GET {path}", {"weight": str(weight)}, account=account)
        if path == "/v5/c" or not weight:
            assert verdict.served
            assert verdict.headers["X-Bapi-Limit"] == str(10**6)
            continue
        user = account or address
        seen.append((now, user, weight))
        held = sum(w for t, u, w in seen if u == user and t > now - S)
        assert verdict.code == (0 if held <= limit else 10006)
        assert verdict.headers["X-Bapi-Limit-Status"] == str(max(0, limit - held))
        assert verdict.headers["X-Bapi-Limit"] == str(limit)


def test_bybit_bans_an_address_for_ten_minutes_at_the_601st_call_in_five_seconds() -> None:
    enforcement = Enforcement(BYBIT)
    time = "GET /v5/market/time"
    for at in range(600):
        verdict = enforcement.request(NOON + at, "a", time)
        assert verdict.served
        assert verdict.headers["X-Bapi-Limit-Status"] == str(599 - at)
    refused = enforcement.request(NOON + 4 * S, "a", time)
    assert (refused.status, refused.message) == (403, "access too frequent")
    assert enforcement.request(NOON + 600 * S, "a", time).status == 403
    assert enforcement.request(NOON + 604 * S, "a", time).served


def test_a_bybit_endpoint_of_its_own_answers_200_with_10006() -> None:
    own = Window("ENDPOINT", 1, 10, sliding=True, endpoints=frozenset({"GET /v5/order/realtime"}))
    enforcement = Enforcement(replace(BYBIT, windows=(*BYBIT.windows, own)))
    for _ in range(10):
        assert enforcement.request(NOON, "a", "GET /v5/order/realtime").served
    refused = enforcement.request(NOON, "a", "GET /v5/order/realtime")
    assert (refused.status, refused.code) == (200, 10006)
    assert refused.headers["X-Bapi-Limit"] == "10"
    assert refused.headers["X-Bapi-Limit-Status"] == "0"
    assert refused.headers["X-Bapi-Limit-Reset-Timestamp"] == str(NOON // 1_000_000 + 1_000)


@pytest.mark.parametrize(("name", "most"), [("binance_spot", 300), ("binance_usdm", 300), ("bybit", 500)])
def test_connects_are_limited_over_any_five_minutes(name: str, most: int) -> None:
    enforcement = Enforcement(RULES[name])
    assert all(enforcement.connect(NOON + at, "a").served for at in range(most))
    assert not enforcement.connect(NOON + 299 * S, "a").served
    assert enforcement.statistics()["refusals"] == {"connect": 1}
    assert enforcement.connect(NOON + 601 * S, "a").served


@given(st.lists(st.integers(0, S // 2), max_size=60), st.integers(1, 10))
def test_messages_pass_exactly_while_no_second_has_more_than_allowed(waits: list[int], per_s: int) -> None:
    rate, now, times = MessageRate(per_s), NOON, []
    for wait in waits:
        now += wait
        times.append(now)
        assert rate.admit(now) == (sum(1 for t in times if t > now - S) <= per_s)


def test_forced_refusals_and_bans_have_the_venues_form() -> None:
    binance, bybit = Enforcement(BINANCE_SPOT), Enforcement(BYBIT)
    forced = binance.refuse(NOON, "a", retry_after_s=7)
    assert (forced.status, forced.code, forced.headers["Retry-After"]) == (429, -1003, "7")
    assert bybit.refuse(NOON, "a").code == 10006
    binance.ban(NOON, "a", 30)
    assert binance.request(NOON, "a", TIME).headers["Retry-After"] == "30"
    bybit.ban(NOON, "a", 30, status=403)
    assert bybit.request(NOON, "a", "GET /v5/market/time").status == 403
    binance.forget("a")
    assert binance.request(NOON, "a", TIME).served


def test_statistics_say_the_highest_use_that_was_served() -> None:
    enforcement = Enforcement(BINANCE_SPOT.with_window("REQUEST_WEIGHT", 6, 10))
    for _ in range(12):
        enforcement.request(NOON, "a", TIME)
    use = enforcement.statistics()
    assert use["windows"]["REQUEST_WEIGHT 6S"] == {"limit": 10, "interval_s": 6, "highest": 10, "refused": 2}
    assert (use["requests"], use["served"], use["weight"], use["refusals"]) == (12, 10, 10, {"429": 2})


def test_weights_follow_endpoint_and_arguments() -> None:
    spot, usdm = BINANCE_SPOT.weigh, BINANCE_USDM.weigh
    assert [spot(DEPTH, {"limit": limit}) for limit in ("5", "100", "101", "1000", "5000")] == [
        5,
        5,
        25,
        50,
        250,
    ]
    assert spot(DEPTH, {}) == 5
    assert spot("GET /api/v3/exchangeInfo", {}) == 20
    assert spot("GET /api/v3/ticker/24hr", {}) == 80
    assert [usdm("GET /fapi/v1/depth", {"limit": limit}) for limit in ("5", "100", "500", "1000")] == [
        2,
        5,
        10,
        20,
    ]
    klines = "GET /fapi/v1/klines"
    assert [usdm(klines, {"limit": limit}) for limit in ("99", "100", "500", "1000", "1500")] == [
        1,
        2,
        5,
        5,
        10,
    ]
