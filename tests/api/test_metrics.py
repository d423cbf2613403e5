from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.api.metrics import KEPT_NS, Metrics
from engine.api.program_routes import iso, loop_lag_ns, program_version, why_not_ready
from engine.storage.views import StorageView
from engine.telemetry.board import EngineView, LimitsView, QueueView, TaskView, WindowView
from tests.api.server_rig import LIVE, market, serving
from tests.engine.markets import START, Desk

SECOND = 1_000_000_000


def figures(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_figures_are_those_of_telemetry() -> None:
    desk = market()
    board = desk.telemetry.board
    board.queues = (QueueView("exchange commands", 3, 9, 100, 2),)
    board.tasks = (TaskView("store", "running", 4, "", 0),)
    window = WindowView("Weight, 1 min", "ip", 60 * SECOND, 6_000, 1_234, 0, 0, 0, "")
    board.limits = (
        LimitsView("binance_spot", "B", "throttling", 0, "", (window,), (), 50, 7, 1, 0, 0, 3, 0, 1),
    )
    desk.delta([(10_000, 6)], [], skip=5).at(2.5)
    found = figures(Metrics(desk.telemetry).text(desk.now))
    source = ("source", LIVE.key)
    assert found["venuescope_engine_running", ()] == 1
    assert found["venuescope_feed_gaps_total", (source,)] == 1
    assert found["venuescope_source_trades_total", (source,)] == 2
    assert found["venuescope_ring_trades_total", (source,)] == 2
    assert found["venuescope_queue_depth", (("queue", "exchange commands"),)] == 3
    assert found["venuescope_queue_dropped_total", (("queue", "exchange commands"),)] == 2
    assert found["venuescope_task_restarts_total", (("task", "store"),)] == 4
    limit = (("scope", "ip"), ("venue", "binance_spot"), ("window", "Weight, 1 min"))
    assert found["venuescope_limit_used", limit] == 1_234
    assert found["venuescope_limit_size", limit] == 6_000
    assert found["venuescope_limiter_throttled_total", (("venue", "binance_spot"),)] == 7
    assert found["venuescope_limiter_refused_total", (("status", "429"), ("venue", "binance_spot"))] == 3
    assert found["venuescope_book_synced", (source, ("symbol", "BTC-USDT"))] == 0
    states = [value for (name, labels), value in found.items() if name == "venuescope_source_state"]
    assert sum(states) == 1


def test_every_figure_has_a_help_and_a_type_and_our_name() -> None:
    desk = market()
    text = Metrics(desk.telemetry, extra=lambda: [("api_listeners", "gauge", "Listeners", 5)]).text(desk.now)
    assert figures(text)["venuescope_api_listeners", ()] == 5
    for family in text_string_to_metric_families(text.decode()):
        assert family.name.startswith("venuescope_")
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram")


def test_a_text_is_handed_out_again_for_half_a_second() -> None:
    desk = market()
    metrics = Metrics(desk.telemetry)
    first = metrics.text(START)
    desk.telemetry.board.engine = EngineView(state="failed")
    assert metrics.text(START + KEPT_NS - 1) is first
    assert figures(metrics.text(START + KEPT_NS))["venuescope_engine_running", ()] == 0
    assert metrics.text(START) is not first  # the clock went back


def test_figures_of_the_api_count_its_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as api:
            await api.ask("/healthz")
            await api.ask("/v1/healthz")
            await api.ask("/nothing/here")
            status, headers, text = await api.ask("/metrics")
            assert status == 200
            assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
            found = figures(text)
            requests = "venuescope_api_requests_total"
            assert found[requests, (("method", "GET"), ("route", "/healthz"), ("status", "200"))] == 2
            assert found[requests, (("method", "GET"), ("route", "other"), ("status", "404"))] == 1
            assert found["venuescope_api_problems_total", (("code", "no_route"),)] == 1
            assert found["venuescope_api_answer_seconds_count", ()] == 3
            assert found["venuescope_api_connections", ()] == 1

    asyncio.run(main())


def test_health_is_told_whatever_happens(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as api:
            api.desk.telemetry.board.engine = EngineView(state="failed", detail="no compiler")
            api.desk.now = START + 90 * SECOND
            status, _, told = await api.ask("/healthz")
            assert (status, told["status"], told["uptime_s"]) == (200, "ok", 90.0)
            assert told["version"] == program_version() != "unknown"
            assert told["ts"] == iso(api.desk.now)
            assert (await api.ask("/"))[2]["status"] == "failed"
            status, headers, told = await api.ask("/readyz")
            assert (status, told["code"]) == (503, "not_ready")
            assert told["reasons"] == ["the engine has failed: no compiler"]
            assert headers["Retry-After"] == "2"

    asyncio.run(main())


def test_a_program_with_live_data_is_ready(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as api:
            status, _, told = await api.ask("/readyz")
            assert (status, told["ready"], told["live"]) == (200, True, [LIVE.key])
            status, _, told = await api.ask("/")
            assert told["message"] == "Venuescope is running with 1 source live; /docs tells what there is."
            for name in ("docs", "openapi", "health", "ready", "metrics"):
                assert (await api.ask(told[name]))[0] == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"engine": EngineView()}, "kernels are being compiled"),
        ({"engine": EngineView(detail="3 of 7")}, "kernels are being compiled: 3 of 7"),
        ({"sources": ()}, "no source is live"),
        (
            {"storage": StorageView(state="full", detail="no space")},
            "the journal cannot be written, it is full: no space",
        ),
        ({"storage": StorageView(state="read only")}, "the journal cannot be written, it is read only"),
    ],
)
def test_what_hinders_is_said(change: dict[str, Any], reason: str) -> None:
    desk = market()
    assert why_not_ready(desk.telemetry, desk.now) == []
    for name, value in change.items():
        setattr(desk.telemetry.board, name, value)
    assert why_not_ready(desk.telemetry, desk.now) == [reason]


def test_a_held_up_loop_is_not_ready_for_ten_seconds() -> None:
    desk = market()
    lag = desk.telemetry.stage("engine", "loop")
    for at, value in ((2, 5_000_000), (3, 1_400_000_000), (4, 5_000_000)):
        lag.record_one(START + at * SECOND, value)
    lag.advance(START + 5 * SECOND)
    assert loop_lag_ns(desk.telemetry, START + 5 * SECOND) == 1_400_000_000
    assert why_not_ready(desk.telemetry, START + 5 * SECOND) == ["the loop was held up for 1.4 s"]
    assert why_not_ready(desk.telemetry, START + 14 * SECOND) == []


def test_sources_that_are_not_live_do_not_count() -> None:
    desk: Desk = market()
    board = desk.telemetry.board
    board.sources = tuple(replace(source, state="stale") for source in board.sources)
    assert why_not_ready(desk.telemetry, desk.now) == ["no source is live"]


def test_a_moment_is_told_to_the_millisecond() -> None:
    assert iso(1_800_000_000 * SECOND + 7_999_999) == "2027-01-15T08:00:00.007Z"
