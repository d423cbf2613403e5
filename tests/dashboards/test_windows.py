"""Windows: each has its steps everywhere, and the longest, all that is kept, stays small on the wire."""

from __future__ import annotations

import orjson
import pytest

from dashboards.controls import WINDOWS
from dashboards.streams.common import LONG_STEP_S, LONG_WINDOW_S
from dashboards.streams.limits import STEPS_S
from dashboards.view import AUTO_INTERVAL_S, INTERVALS_S, WINDOWS_S, Params
from engine.telemetry.counters import LONGEST_S
from tests.dashboards.test_prices import Tab

POINTS_MOST = 1_440


@pytest.mark.parametrize("window", WINDOWS_S)
def test_every_window_has_its_steps_and_its_button(window: int) -> None:
    params = Params.of({"window": window}, [])
    assert (params.window_s, params.interval_s) == (window, AUTO_INTERVAL_S[window])
    assert AUTO_INTERVAL_S[window] in (*INTERVALS_S, 15)
    assert window % STEPS_S[window] == 0
    assert str(window) in dict(WINDOWS)
    step = LONG_STEP_S if window > LONG_WINDOW_S else 1
    for points in (window // step, window // STEPS_S[window], window // AUTO_INTERVAL_S[window]):
        assert points <= POINTS_MOST


def test_all_is_as_far_back_as_is_kept() -> None:
    assert WINDOWS_S[-1] == LONGEST_S


def test_the_longest_window_is_drawn_whole_and_then_costs_no_more_than_its_news() -> None:
    tab = Tab(["candles", "metrics", "mids", "limits"], history_s=130, window=WINDOWS_S[-1])
    first = tab.poll()
    assert first["candles"]["interval"] == 300
    assert 12 < len(first["candles"]["t"]) <= WINDOWS_S[-1] // 300 + 1
    assert all(at % 10_000 == 9_000 for at in first["metrics"]["t"])
    again = tab.poll()
    assert not any(again[name]["reset"] for name in again)
    assert len(orjson.dumps(again)) < 15 * 1024
