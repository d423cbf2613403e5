"""Rate limits as pages get them: budgets of what is connected, what was held back, bans while they hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dashboards.streams.limits import STEPS_S
from tests.dashboards.test_prices import CLOCK, SECOND, Tab


def limits(tab: Tab, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = tab.poll(**params)["limits"]
    return found


def added(values: list[int | None]) -> int:
    return sum(value or 0 for value in values)


def test_no_budget_is_told_before_a_market_is_connected() -> None:
    tab = Tab(["limits", "tiles"], "off")
    board = tab.source.telemetry.board
    stream = limits(tab)
    assert len(board.limits) == 4
    assert stream["venues"] == []
    assert stream["age_ms"] is None
    assert tab.answer["streams"]["tiles"]["figures"]["throttled"] is None


def test_budgets_are_those_of_connected_markets_with_every_window() -> None:
    stream = limits(Tab(["limits"], "throttling"))
    assert [venue["id"] for venue in stream["venues"]] == ["binance_spot", "binance_usdm", "bybit"]
    spot = stream["venues"][0]
    assert spot["state"] == "within limits"
    weight = spot["windows"][0]
    assert (weight["limit"], weight["reserved"], weight["foreign"]) == (6_000, 180, 1_220)
    assert weight["foreign"] < weight["used"]
    assert spot["windows"][-1]["resets"] is None  # nothing was used of it
    assert stream["venues"][2]["state"] == "throttling"


def test_steps_are_sums_of_seconds_and_the_most_that_waited() -> None:
    tab = Tab(["limits"], history_s=130, window=300)
    stream = limits(tab)
    rows = tab.source.telemetry.limits["bybit"].since(0).rows
    alone = limits(tab, budget="bybit")
    assert alone["reset"]
    assert [row["id"] for row in alone["endpoints"]] == ["bybit"] * 4
    for at, throttled, refused, waiting in zip(
        *(alone[name] for name in ("t", "throttled", "refused", "waiting")), strict=True
    ):
        if throttled is None:  # before the first row
            continue
        there = (rows["ts_ns"] >= at * 1_000_000) & (rows["ts_ns"] < at * 1_000_000 + 3 * SECOND)
        assert throttled == rows["throttled"][there].sum()
        assert refused == rows["refused"][there].sum()
        assert waiting == rows["waiting"][there].max()
    assert added(alone["throttled"]) == added(stream["throttled"]) > 0
    assert added(alone["allowed"]) < added(stream["allowed"])


def test_steps_come_once_when_they_are_complete() -> None:
    tab = Tab(["limits"], window=300)
    first = limits(tab)
    assert limits(tab)["t"] == []
    tab.now += 7
    second = limits(tab)
    times = first["t"] + second["t"]
    assert times == list(range(times[0], times[-1] + 1, STEPS_S[300] * 1_000))


def test_budgets_come_once_a_second_and_at_once_when_they_change() -> None:
    tab = Tab(["limits"])
    limits(tab)
    assert "venues" not in limits(tab)
    tab.source.switch("throttling")
    assert "venues" in limits(tab)
    tab.now += 1
    assert "venues" in limits(tab)


def test_endpoints_are_most_throttled_first_then_most_called() -> None:
    rows = limits(Tab(["limits"], "throttling"))["endpoints"]
    assert [row["throttled"] for row in rows][:3] == [21, 10, 6]
    rest = [row["calls"] for row in rows if not row["throttled"]]
    assert rest == sorted(rest, reverse=True)


def test_a_ban_is_told_on_every_page_until_its_end() -> None:
    tab = Tab([], "banned")
    tab.poll()
    (ban,) = tab.answer["bans"]
    assert (ban["id"], ban["waiting"]) == ("binance_spot", 9)
    assert ban["until"] == pytest.approx((CLOCK + 362) * 1_000)
    tab.params["streams"] = ["limits"]
    assert limits(tab)["venues"][0]["state"] == "banned"
    tab.source.started_ns -= 361 * SECOND  # from which the ban's end is counted
    tab.now += 1
    assert limits(tab)["venues"][0]["state"] == "within limits"
    assert tab.answer["bans"] == []


def test_a_banned_budget_is_told_though_nothing_is_connected() -> None:
    tab = Tab(["limits"], "banned")
    tab.source.switch("off")
    board = tab.source.telemetry.board
    views = tuple(
        replace(one, banned_until_ns=round((CLOCK + 9) * 1e9), state="banned")
        if one.venue == "bybit"
        else one
        for one in board.limits
    )
    tab.source.advance = lambda: setattr(board, "limits", views)  # type: ignore[method-assign]
    assert [venue["id"] for venue in limits(tab)["venues"]] == ["bybit"]


def test_the_tile_is_calls_held_back_in_the_newest_second_at_shown_venues() -> None:
    tab = Tab(["tiles"], history_s=60)
    rings = tab.source.telemetry.limits
    figures = tab.poll()["tiles"]["figures"]
    newest = [int(ring.last(1).rows["throttled"][0]) for ring in rings.values()]
    assert figures["throttled"] == sum(newest)
    series = tab.answer["streams"]["tiles"]["throttled"]
    bybit = rings["bybit"].last(60).rows["throttled"]
    assert series == np.sum([ring.last(60).rows["throttled"] for ring in rings.values()], axis=0).tolist()
    hidden = tab.poll(hidden=["bybit_spot:live", "bybit_linear:live"])["tiles"]["throttled"]
    assert [a - b for a, b in zip(series, hidden, strict=True)] == bybit.tolist()


def test_what_is_exported_is_what_each_panel_shows() -> None:
    tab = Tab(["limits", "events"], "throttling", history_s=130, window=300, budget="bybit")
    drawn = tab.poll()
    stream = drawn["limits"]
    windows = tab.table("limits", part="windows")
    shown = [(venue["id"], w["name"], w["used"]) for venue in stream["venues"] for w in venue["windows"]]
    assert [(row["venue"], row["window"], int(row["used"])) for row in windows] == shown
    tightest = tab.table("limits", part="tightest")
    assert [row["venue"] for row in tightest] == [venue["id"] for venue in stream["venues"]]
    assert tightest[0]["window"] == "Weight, 1 min"
    steps = tab.table("limits", part="series")
    known = [place for place, allowed in enumerate(stream["allowed"]) if allowed is not None]
    assert len(known) > 30
    assert [int(row["epoch_ms"]) for row in steps] == [stream["t"][place] for place in known]
    for name in ("allowed", "throttled", "refused", "waiting"):
        assert [int(row[name]) for row in steps] == [stream[name][place] for place in known]
    assert {row["venues"] for row in steps} == {"bybit"}
    endpoints = tab.table("limits", part="endpoints")
    assert [row["endpoint"] for row in endpoints] == [row["endpoint"] for row in stream["endpoints"]]
    for about in ("limits", "venue"):
        events = [row["text"] for row in drawn["events"]["rows"] if row["about"] == about]
        assert [row["text"] for row in tab.table("events", part=about)] == events
        assert events
