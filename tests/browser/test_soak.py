"""Five minutes of the real engine in a real browser, twice: it must go on moving, stay whole and not grow."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.service import Engine
from tests.browser.conftest import Page
from tests.browser.test_engine import engine, page  # noqa: F401  the fixtures

MINUTES = 5
OVERFLOW = """return [...document.querySelectorAll('.fig, h2, .vs-read b')].filter((e) => e.offsetParent
  && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible').map((e) => e.textContent)"""


def heap_mb(page: Page) -> float:  # noqa: F811
    page.duo.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return float(page.duo.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]) / 1e6


@pytest.mark.nightly
@pytest.mark.timeout(MINUTES * 60 + 120)
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_a_page_left_open_keeps_moving_and_does_not_grow(
    page: Page,  # noqa: F811
    engine: Engine,  # noqa: F811
    width: int,
    theme: str,
) -> None:
    engine.command("set_rate", {"orders_per_s": 20_000})
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 768},
    )
    page.open(f"/?theme={theme}&window=300&hz=4")
    time.sleep(45)  # rings in the browser fill to the window
    page.js("""const g = venuescope.graph('candles'), x = g._fullLayout.xaxis.range.map((t) => +new Date(t + 'Z'));
        Plotly.relayout(g, {'xaxis.range': [x[0] + 60000, x[0] + 120000], 'xaxis.autorange': false})""")
    zoomed: list[Any] = page.js("return venuescope.graph('candles')._fullLayout.xaxis.range")
    before, painted, moves = heap_mb(page), page.js("return venuescope.painted"), set()
    until = time.monotonic() + MINUTES * 60
    while time.monotonic() < until:
        time.sleep(10)
        moves.add(page.js("return document.querySelector('[data-f=\"quote.last\"]').textContent"))
        assert page.text('[data-f="badge.word"]') == "Live"
        assert page.js(OVERFLOW) == []
    hertz = (page.js("return venuescope.painted") - painted) / (MINUTES * 60)
    growth = (heap_mb(page) - before) / before
    print(f"{width} {theme}: {hertz:.2f} refreshes/s, heap {growth:+.1%}, {len(moves)} prices seen")
    assert hertz > 2
    assert growth < 0.5
    assert len(moves) > 5
    assert page.js("return venuescope.graph('candles')._fullLayout.xaxis.range") == zoomed
    engine.command("set_rate", {"orders_per_s": 5_000})
