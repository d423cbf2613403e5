"""Whole numbers as text, times in zones, limits as the API tells them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import answers
from engine.api.openapi import description
from engine.api.pair import quarter
from engine.api.problems import CODES, Problem
from engine.market.instruments import format_decimal
from engine.telemetry.board import EndpointView, LimitsView, WindowView
from tests.api.market_rig import SECOND, START, Rig, listed

BERLIN = ZoneInfo("Europe/Berlin")
times = st.integers(0, 4_000_000_000 * SECOND)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 18))
def test_many_decimals_are_as_one(values: list[int], decimals: int) -> None:
    assert answers.decimals_list(values, decimals) == [format_decimal(value, decimals) for value in values]


@given(st.integers(-(10**20), 10**20), st.integers(0, 18))
def test_halves_and_quarters_are_exact(value: int, decimals: int) -> None:
    assert Decimal(answers.half(value, decimals)) * 2 == Decimal(value).scaleb(-decimals)
    text = quarter(value, decimals)
    assert Decimal(text) * 4 == Decimal(value).scaleb(-decimals)
    assert len(text.partition(".")[2]) >= decimals
    assert not text.endswith(".")


@given(st.lists(times, max_size=5))
def test_many_times_are_as_one(moments: list[int]) -> None:
    rows = np.array(moments, np.int64)
    for zone in (UTC, BERLIN):
        assert answers.iso_list(rows, zone) == [answers.iso(at, zone) for at in moments]


@given(times)
def test_a_time_as_text_is_the_same_time_to_the_millisecond(at_ns: int) -> None:
    whole_ms = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ns // 10**6)
    for zone in (UTC, BERLIN):
        assert datetime.fromisoformat(answers.iso(at_ns, zone)) == whole_ms
    assert answers.iso(at_ns, UTC).endswith("Z")


def test_no_time_is_null() -> None:
    assert answers.moment(0, UTC) == (None, None)
    assert answers.moment(START, UTC) == ("2027-01-15T08:00:00.000Z", 1_800_000_000_000)


@given(st.integers(0, 10**30), st.integers(1, 10**18), st.integers(0, 8))
def test_a_vwap_is_rounded_half_up(notional: int, volume: int, decimals: int) -> None:
    with localcontext() as context:
        context.prec = 100
        exact = (Decimal(notional) / Decimal(volume)).scaleb(-decimals)
        step = Decimal(1).scaleb(-decimals - 2)
        text = answers.vwap(notional, volume, decimals)
        assert text is not None
        assert Decimal(text) == exact.quantize(step, ROUND_HALF_UP)


def test_without_volume_there_is_no_vwap() -> None:
    assert answers.vwap(0, 0, 2) is None


# --- limits -----------------------------------------------------------------------------------------------------


def budget(venue: str, state: str = "within limits", until_ns: int = 0) -> LimitsView:
    window = WindowView("Weight, 1 min", "ip", 60 * SECOND, 6_000, 120, 5, 20, START + 30 * SECOND, "")
    endpoint = EndpointView("GET /api/v3/depth", 250, 4, 1, 0, 2_500_000, 9_000_000, 10_000_000, 1, 429)
    return LimitsView(
        *(venue, venue.title(), state, until_ns, "418 from GET /api/v3/depth", (window,), (endpoint,)),  # type: ignore[arg-type]
        *(10, 3, 1, 5_000_000, 8_000_000, 2, 1, 1),
    )


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    board = made.telemetry.board
    board.limits = (budget("binance_spot"), budget("bybit", "banned", START + 10 * SECOND))
    bybit = listed("bybit_linear")
    object.__setattr__(bybit, "limits", "bybit")
    board.venues = (listed("binance_spot"), bybit)
    return made


def test_limits_tell_what_was_spent(rig: Rig) -> None:
    first, second = rig.call("GET /limits").budgets
    assert (first.venue, first.state, first.calls, first.throttled, first.refused) == (
        *("binance_spot", "within limits", 10, 3),
        4,
    )
    assert (first.wait_mean_ms, first.wait_max_ms, first.banned_until_ts, first.ban_reason) == (
        5.0,
        8.0,
        None,
        "",
    )
    window = first.windows[0]
    assert (window.window_s, window.limit, window.used, window.foreign) == (60.0, 6_000, 120, 20)
    assert window.resets_ts == "2027-01-15T08:00:30.000Z"
    endpoint = first.endpoints[0]
    assert (endpoint.mean_ms, endpoint.p99_ms, endpoint.last_status) == (2.5, 9.0, 429)
    assert (second.state, second.banned_until_ts_ms) == ("banned", 1_800_000_010_000)
    rig.now += 11 * SECOND
    assert rig.call("GET /limits").budgets[1].state == "within limits"


@pytest.mark.parametrize("venue", ["bybit", "bybit_linear", "BYBIT_LINEAR", "bybit_linear:live"])
def test_a_market_names_the_budget_it_spends(rig: Rig, venue: str) -> None:
    assert [one.venue for one in rig.call("GET /limits", f"venue={venue}").budgets] == ["bybit"]


def test_a_venue_without_limits_is_told_with_those_that_have(rig: Rig) -> None:
    with pytest.raises(Problem, match="there are binance_spot, bybit, bybit_linear") as caught:
        rig.call("GET /limits", "venue=builtin")
    assert caught.value.code == "unknown_venue"


# --- what the routes say of themselves --------------------------------------------------------------------------


def test_every_route_describes_itself(rig: Rig) -> None:
    routes = tuple(rig.routes.values())
    assert len(routes) == 13
    for route in routes:
        assert route.summary
        assert set(route.problems) <= set(CODES)
        assert route.role == ("read" if route.method == "GET" else "trade")
        for parameter in route.parameters:
            assert parameter.help
            assert parameter.where == "query" or f"{{{parameter.name}}}" in route.path
    assert description(routes)
