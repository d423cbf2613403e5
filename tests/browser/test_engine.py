"""The real engine behind the page: what is exported is what is drawn is what the rings hold."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dash.testing.wait import until

from app import KERNEL_GROUPS
from dashboards.shell import create_app
from dashboards.transport import Transport
from engine.replays import Replay
from engine.service import Engine
from feeds import sample
from feeds.replay import ReplayFeed
from tests.browser.conftest import Page


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("engine") / "sample.gz"

    async def open_sample() -> Replay:
        if not path.exists():
            sample.write(path, seed=3, seconds=6)
        return ReplayFeed(path, float("inf"))

    made = Engine(
        seed=1,
        rate=5_000,
        history_s=300,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
        open_sample=open_sample,
    )
    made.start()
    until(lambda: any(s.state == "live" for s in made.telemetry.board.sources), 90)
    yield made
    assert made.stop()


@pytest.fixture
def page(dash_duo: Any, engine: Engine) -> Iterator[Page]:
    dash_duo.start_server(create_app(Transport(engine)))
    shown = Page(dash_duo, engine).open("/?window=300&interval=1")
    yield shown
    assert shown.js("return venuescope.errors") == []
    assert dash_duo.get_logs() == []


def pause(page: Page) -> None:
    """Stop the page and let what is under way be drawn."""
    page.js("document.body.focus()")
    page.click("[data-act=pause]")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
    time.sleep(0.7)


def exported(page: Page, panel: str) -> list[dict[str, str]]:
    """The rows of the file that a click on a panel's CSV brings."""
    folder = Path(page.duo.download_path)
    before = set(folder.iterdir())
    page.click(f"#panel-{panel} [data-act=csv]")

    def arrived() -> list[Path]:
        return [path for path in set(folder.iterdir()) - before if path.suffix == ".csv"]

    page.until(lambda: arrived())
    with arrived()[0].open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trace(page: Page, chart: str, index: int, key: str) -> list[Any]:
    found: list[Any] = page.js(
        "return Array.from(venuescope.graph(arguments[0]).data[arguments[1]][arguments[2]])",
        chart,
        index,
        key,
    )
    return found


def test_candles_exported_while_paused_are_those_drawn_and_those_in_the_ring(
    page: Page, engine: Engine
) -> None:
    page.until(lambda: len(trace(page, "candles", 0, "close")) > 200)
    pause(page)
    drawn = {
        key: [round(value, 1) for value in trace(page, "candles", 0, key)]
        for key in ("open", "high", "low", "close")
    }
    times = [int(x - 500) for x in trace(page, "candles", 0, "x")]  # drawn in the middle of their second
    time.sleep(2)  # the engine goes on; what is drawn must not follow
    rows = exported(page, "candles")
    assert [int(row["epoch_ms"]) for row in rows] == times
    for key, values in drawn.items():
        assert [float(row[key]) for row in rows] == values
    ring = engine.telemetry.market("builtin:sim", "BTC-USDT").candles.since(0).rows
    closed = {int(row["ts_open_ns"]) // 1_000_000: row for row in ring}
    for row in rows:
        if row["provisional"] == "0":
            kept = closed[int(row["epoch_ms"])]
            assert float(row["close"]) == int(kept["close"]) / 10
            assert int(row["trades"]) == int(kept["trades"])
            assert float(row["volume"]) == pytest.approx(int(kept["volume"]) / 1e5)


@pytest.mark.nightly
def test_depth_exported_while_paused_is_the_book_drawn(page: Page) -> None:
    page.until(lambda: len(trace(page, "depth", 0, "x")) > 50)
    pause(page)
    drawn = dict(zip(trace(page, "depth", 0, "x"), trace(page, "depth", 0, "y"), strict=True))
    rows = exported(page, "depth")
    bids = [row for row in rows if row["side"] == "bid"]
    assert len(bids) > 50
    for row in bids:
        assert drawn[float(row["price"])] == pytest.approx(float(row["cumulative_size"]))


@pytest.mark.nightly
def test_latency_exported_is_drawn_and_in_the_ring(page: Page, engine: Engine) -> None:
    page.until(lambda: len(trace(page, "latency", 0, "x")) >= 3)
    pause(page)
    times = trace(page, "latency", 0, "x")
    rows = exported(page, "latency")
    assert [int(row["epoch_ms"]) for row in rows] == [t for t in times if t is not None]
    ring = engine.telemetry.stages["builtin:sim", "ack"].short[2].since(0).rows
    kept = dict(zip((ring["ts_ns"] // 1_000_000).tolist(), ring["p90"].tolist(), strict=True))
    assert [int(row["p90_ns"]) for row in rows] == [kept[int(row["epoch_ms"])] for row in rows]


def settle(check: Callable[[], bool], page: Page) -> None:
    page.until(check, 15)


def test_the_rate_set_on_the_page_is_the_rate_of_the_market(page: Page, engine: Engine) -> None:
    page.js("venuescope.command('set_rate', {orders_per_s: 40000})")
    settle(lambda: abs(engine.telemetry.board.engine.rate_actual - 40_000) < 6_000, page)
    shown = '[data-host="rate:bar"] input[type=text]'
    settle(lambda: page.js("return document.querySelector(arguments[0]).value", shown) == "40,000", page)
    page.js("venuescope.command('set_rate', {orders_per_s: 5000})")


@pytest.mark.nightly
def test_a_hidden_source_is_out_of_the_charts_and_the_other_takes_over(page: Page, engine: Engine) -> None:
    engine.command("start_replay", {"file": "sample"})
    settle(lambda: any(s.state == "ended" for s in engine.telemetry.board.sources), page)
    settle(lambda: page.js("return venuescope.store.answer.market.source") == "binance_spot:replay", page)
    page.click('[data-host="chips:bar"] [data-id="binance_spot:replay"]')
    settle(lambda: page.js("return venuescope.store.answer.market.source") == "builtin:sim", page)
    ids = "return venuescope.store.streams.throughput.series.map((s) => s.id)"
    settle(lambda: page.js(ids) == ["builtin:sim"], page)
    page.click('[data-host="chips:bar"] [data-id="binance_spot:replay"]')
    settle(lambda: page.js(ids) == ["binance_spot:replay", "builtin:sim"], page)


@pytest.mark.nightly
def test_the_matching_engine_on_the_health_page_is_the_real_one(page: Page, engine: Engine) -> None:
    page.open("/health")
    row = "return [...document.querySelectorAll('#panel-matching tbody tr')[0].children].map((c) => c.textContent)"
    page.until(lambda: page.state("load") == "live")
    page.until(lambda: len(page.js("return venuescope.store.streams.matching.symbols")) == 5)
    found = engine.telemetry.board.matching
    assert found is not None
    first = found.statistics.symbols[0]
    shown = page.js(row)
    assert (shown[0], shown[8], shown[10]) == (first.symbol, f"{first.slots:,}", "continuous")
    assert abs(int(shown[1].replace(",", "")) - first.resting) < 500
    rates = "return venuescope.store.streams.matching.figures.map((f) => f.max)"
    settle(lambda: all(value is not None and value > 0 for value in page.js(rates)[:3]), page)


def test_every_page_draws_the_real_engine(page: Page, engine: Engine) -> None:
    for path in ("/book", "/market", "/latency", "/throughput", "/limits", "/health", "/"):
        page.open(path + "?window=60")
        page.until(lambda: page.js("return venuescope.panels.all().length") > 0)
        page.until(lambda: not page.loading(), 15)
    book = engine.telemetry.board.books["builtin:sim", "BTC-USDT"]
    assert (np.diff(book.asks["price"]) > 0).all()
