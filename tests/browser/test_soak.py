"""The real engine in a browser that is left open: it must go on moving, stay whole, lose nothing and not grow."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.service import Engine
from tests.browser.conftest import Page
from tests.browser.test_engine import engine, page  # noqa: F401  the fixtures

OVERFLOW = """return [...document.querySelectorAll('.fig, h2:not(.vs-vh), .vs-read b')].filter((e) => e.offsetParent
  && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible').map((e) => e.textContent)"""
LOST = "return Object.values(venuescope.store.streams).reduce((sum, one) => sum + (one.lost || 0), 0)"
TABS = 5


def heap_mb(page: Page) -> float:  # noqa: F811
    """JavaScript heap in use after a collection."""
    page.duo.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return float(page.duo.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]) / 1e6


def nodes(page: Page) -> int:  # noqa: F811
    """Elements of the page."""
    return int(page.js("return document.querySelectorAll('*').length"))


def left_open(page: Page, path: str, seconds: int, *, warm: int, width: int, zoomed: str) -> None:  # noqa: F811
    """Leave a page open; fail when it stands still, spills over, loses rows, grows, or forgets a zoom of `zoomed`."""
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 768},
    )
    page.open(f"{path}{'&' if '?' in path else '?'}window=60&hz=4")
    drawn = "const g = venuescope.graph(arguments[0]); return Boolean(g && g._fullLayout)"
    page.until(lambda: page.js(drawn, zoomed), 30)
    page.js(
        """const g = venuescope.graph(arguments[0]), x = g._fullLayout.yaxis.range;
        Plotly.relayout(g, {'yaxis.range': [x[0] - 1, x[1] + 1], 'yaxis.autorange': false})""",
        zoomed,
    )
    time.sleep(warm)  # rings in the browser fill to the window, and what is compiled late is compiled
    heights = "return venuescope.graph(arguments[0])._fullLayout.yaxis.range"
    before: list[Any] = page.js(heights, zoomed)
    heap, elements, painted, moves = heap_mb(page), nodes(page), page.js("return venuescope.painted"), set()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(10, seconds / 10))
        moves.add(page.js("return document.querySelector('[data-f=\"quote.last\"]').textContent"))
        assert page.text('[data-f="badge.word"]') == "Live"
        assert page.js(OVERFLOW) == []
    hertz = (page.js("return venuescope.painted") - painted) / seconds
    grown, more = (heap_mb(page) - heap) / heap, nodes(page) - elements
    print(
        f"{path} {width}: {hertz:.2f} refreshes/s, heap {grown:+.1%}, {more:+} elements, {len(moves)} prices"
    )
    assert hertz > 1
    assert grown < 0.1
    assert more < 0.02 * elements  # a row more or less in a table
    assert page.js(LOST) == 0
    assert len(moves) > 3
    assert page.js(heights, zoomed) == before


@pytest.mark.timeout(40 * 60)
@pytest.mark.parametrize(
    ("seconds", "warm", "width", "theme"),
    [
        (30, 20, 1280, "dark"),
        pytest.param(30 * 60, 120, 1280, "dark", marks=pytest.mark.nightly),
        pytest.param(5 * 60, 120, 390, "light", marks=pytest.mark.nightly),
    ],
)
def test_a_page_left_open_keeps_moving_and_does_not_grow(
    page: Page,  # noqa: F811
    seconds: int,
    warm: int,
    width: int,
    theme: str,
) -> None:
    left_open(page, f"/?theme={theme}", seconds, warm=warm, width=width, zoomed="candles")


@pytest.mark.nightly
@pytest.mark.timeout(20 * 60)
@pytest.mark.parametrize(
    ("path", "zoomed"),
    [
        ("/book", "book_map"),  # a heatmap, the ladder, a grid
        ("/market?studies=sma-20,ema-50,bb-20-2,vwap,profile&compare=indexed", "candles"),
        ("/latency?slo=100", "latency"),
    ],
)
@pytest.mark.parametrize(("seconds", "warm"), [(10 * 60, 120)])
def test_every_kind_of_panel_left_open_does_not_grow(
    page: Page,  # noqa: F811
    path: str,
    zoomed: str,
    seconds: int,
    warm: int,
) -> None:
    left_open(page, path, seconds, warm=warm, width=1280, zoomed=zoomed)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_five_windows_leave_the_engine_its_loop(page: Page, engine: Engine) -> None:  # noqa: F811
    driver, url = page.duo.driver, page.duo.server_url
    for path in ("/book", "/market", "/latency", "/health"):
        driver.switch_to.new_window("window")
        driver.get(f"{url}{path}?hz=4")
    page.until(lambda: page.js("return Boolean((venuescope.store.streams.health || {}).loop)"), 30)
    time.sleep(75)  # the lag that is told is of the last minute
    loop = page.js("return venuescope.store.streams.health.loop")
    painted = []
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        painted.append(page.js("return venuescope.painted"))
    print(f"loop lag p99 {loop['lag_p99_ms']} ms, painted {painted}")
    assert len(painted) == TABS
    assert min(painted) > 60
    assert loop["lag_p99_ms"] <= 20
