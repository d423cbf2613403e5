"""CSV of a page that stands still: all it shows, or a refusal once some of that is no longer kept."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from dashboards.view import WINDOWS_S
from engine.errors import BadCommand
from engine.market.batches import CANDLE, TRADE, Source
from engine.telemetry.board import LimitsView
from engine.telemetry.counters import COUNT, SECONDS_KEPT
from engine.telemetry.hub import LIMIT, METRIC
from engine.telemetry.latency_rows import STEP_BUCKET, SUMMARY
from tests.dashboards.test_transport import Page
from tests.engine.markets import SECOND, START, Desk

ALL_S = WINDOWS_S[-1]
LIMITS = LimitsView(
    *("binance_spot", "Binance Spot", "within limits", 0, "", (), ()),
    **dict.fromkeys(("allowed", "throttled", "waiting", "wait_mean_ns", "wait_max_ns"), 1),
    **dict.fromkeys(("refused_429", "refused_418", "refused_403"), 0),
)


def standing(to_s: int, desk: Desk | None = None, from_s: int = 2) -> Desk:
    """A row in each ring of seconds for each second, and a trade; not by way of the intake."""
    if desk is None:
        desk = Desk(Source("binance_spot", "live")).at(0).snapshot([(10_000, 5)], [(10_002, 2)])
        desk.trade(10_001, latency_ns=1_000).at(2)
        desk.telemetry.board.limits = (LIMITS,)
    key, telemetry = desk.source.key, desk.telemetry
    market, stage = telemetry.market(key, "BTC-USDT"), telemetry.stage(key, "receive")
    at_ns = START + np.arange(from_s, to_s) * SECOND
    for ring, dtype, times, values in (
        (
            market.metrics,
            METRIC,
            at_ns,
            {"bid_price": 10_000, "bid_size": 5, "ask_price": 10_002, "ask_size": 2},
        ),
        (
            market.candles,
            CANDLE,
            at_ns,
            dict.fromkeys(("open", "high", "low", "close", "volume", "trades"), 7),
        ),
        (market.trades, TRADE, at_ns, {"price": 10_001, "size": 1}),
        (telemetry.counter(key).ring, COUNT, at_ns, {"messages": 3, "trades": 1}),
        (telemetry.limit("binance_spot"), LIMIT, at_ns, {"allowed": 1}),
        (
            stage.long,
            SUMMARY,
            at_ns[at_ns % (10 * SECOND) == 9 * SECOND] - 9 * SECOND,
            {"count": 20, "p50": 5},
        ),
    ):
        rows = np.zeros(len(times), dtype)
        rows[dtype.names[0]] = times
        for name, value in values.items():
            rows[name] = value + (np.arange(len(rows)) + from_s) % 5
        ring.publish(rows)
    desk.now, telemetry.board.closed_second_ns = START + to_s * SECOND, START + to_s * SECOND
    return desk


def table(page: Page, chart: str, view: int, **more: Any) -> list[dict[str, str]]:
    _, text = page.transport.export({"chart": chart, "view": view, "client": "tab", "range": None, **more})
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("chart", "part", "step_s"),
    [
        ("metrics", "", 10),
        ("throughput", "messages", 10),
        ("limits", "series", 120),
        ("candles", "", 300),
        ("studies", "", 300),
        ("latency", "", 10),
        ("mids", "", 10),
    ],
)
def test_all_that_a_paused_page_shows_is_exported_or_it_is_said_that_it_is_no_longer_kept(
    chart: str, part: str, step_s: int
) -> None:
    begun_s = SECONDS_KEPT + 55
    desk = standing(begun_s)
    page = Page(desk, [chart], window=ALL_S, stage="receive")
    view = page.poll()["v"]
    shown = table(page, chart, view, part=part)
    if chart != "mids":  # of one venue there are none
        assert ALL_S // step_s - 1 <= len(shown) <= ALL_S // step_s + 1
    if chart == "throughput":  # also the first step has all of its seconds
        assert min(float(row["per_s"]) for row in shown) > 4
    standing(begun_s + 120, desk, begun_s)
    assert table(page, chart, view, part=part) == shown
    standing(begun_s + 900, desk, begun_s + 120)
    with pytest.raises(BadCommand, match="no longer kept; zoom in"):
        table(page, chart, view, part=part)
    newer = [(START + (begun_s - 7_200) * SECOND) // 1_000_000, 2**52]
    half = table(page, chart, view, part=part, range=newer)
    assert half == [row for row in shown if int(row["epoch_ms"]) + step_s * 1_000 > newer[0]]


def test_a_tape_whose_trades_are_gone_is_not_exported_as_if_there_were_none() -> None:
    desk = standing(500)
    page = Page(desk, ["trades"])
    view = page.poll()["v"]
    shown = table(page, "trades", view)
    assert len(shown) == 120
    standing(16_700, desk, 500)
    assert table(page, "trades", view) == shown
    standing(16_800, desk, 16_700)
    with pytest.raises(BadCommand, match="no longer kept"):
        table(page, "trades", view)


@pytest.mark.parametrize("interval", [900, 3_600])
def test_candles_longer_than_what_is_kept_before_the_window_are_exported_while_the_page_runs(
    interval: int,
) -> None:
    desk = standing(SECONDS_KEPT + 1_055)
    page = Page(desk, ["candles"], window=ALL_S, interval=interval)
    view = page.poll()["v"]
    shown = table(page, "candles", view)
    standing(SECONDS_KEPT + 1_056, desk, SECONDS_KEPT + 1_055)
    assert table(page, "candles", view)[1:] == shown[1:]


@pytest.mark.parametrize("left_s", [30, 0])
def test_columns_of_latency_that_are_gone_are_not_left_out_without_a_word(left_s: int) -> None:
    desk = standing(100)
    ring = desk.telemetry.stage(desk.source.key, "receive").eighths
    begun_s = START // SECOND

    def publish(from_s: int, to_s: int, a_second: int) -> None:
        rows = np.zeros((to_s - from_s) * a_second, STEP_BUCKET)
        rows["second"] = np.repeat(np.arange(begun_s + from_s, begun_s + to_s), a_second)
        rows["bucket"], rows["count"] = np.tile(np.arange(a_second) + 8, to_s - from_s), 3
        ring.publish(rows)

    publish(0, 100, 8)
    page = Page(desk, ["latency_map"], stage="receive")
    view = page.poll()["v"]
    shown = table(page, "latency_map", view)
    assert len({row["epoch_ms"] for row in shown}) == 60
    publish(100, 100 + (ring.capacity - left_s * 8) // 8, 8)
    with pytest.raises(BadCommand, match="no longer kept"):
        table(page, "latency_map", view)
    if left_s:
        newer = [(begun_s + 80) * 1_000, 2**52]
        half = table(page, "latency_map", view, range=newer)
        assert half == [row for row in shown if int(row["epoch_ms"]) >= newer[0]]
