"""One time axis over a page's charts: the line at the pointer, one range, following, and the link of it."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.browser.test_charts import refreshes

RANGES = """return [...document.querySelectorAll('[data-chart] .js-plotly-plot')]
    .filter((gd) => gd._fullLayout && gd._fullLayout.xaxis.type === 'date' && gd.layout.meta)
    .map((gd) => gd._fullLayout.xaxis.range.map((x) => Date.parse(String(x).replace(' ', 'T') + 'Z')))"""
LINES = """return [...document.querySelectorAll('[data-key=cross]')].filter((el) => !el.hidden).map((el) => {
    const host = el.closest('[data-over]'), gd = venuescope.graph(host.dataset.over);
    const left = new DOMMatrix(getComputedStyle(el).transform).m41;
    return gd._fullLayout.xaxis.p2c(left - gd._fullLayout.xaxis._offset);
})"""


def layer(page: Any, chart: str) -> Any:
    """Where Plotly takes the mouse over a chart."""
    return page.duo.driver.find_element(By.CSS_SELECTOR, f'[data-chart="{chart}"] .nsewdrag')


def sweep(page: Any, chart: str, start: float, end: float) -> None:
    """A zoom by dragging from one share of a chart's width to another."""
    on = layer(page, chart)
    wide = on.size["width"]
    actions = ActionChains(page.duo.driver)
    actions.move_to_element(on).move_by_offset(int(wide * (start - 0.5)), 0).click_and_hold()
    for _ in range(4):
        actions.move_by_offset(int(wide * (end - start) / 4), 0)
    actions.release().perform()
    page.until(lambda: page.js("return venuescope.time.range() !== null"))


def drawn(page: Any) -> None:
    """Wait until the overview's time charts have rows."""
    page.until(lambda: len(page.js(RANGES)) >= 3)


def alike(page: Any) -> bool:
    """Whether all time charts show the same stretch, to the pixel."""
    ranges = page.js(RANGES)
    spans = [high - low for low, high in ranges]
    near = max(spans) / 200
    return all(abs(low - ranges[0][0]) < near and abs(high - ranges[0][1]) < near for low, high in ranges)


def test_one_line_and_one_range_over_all_time_charts_of_a_page(page: Any) -> None:
    drawn(page)
    ActionChains(page.duo.driver).move_to_element(layer(page, "candles")).perform()
    page.until(lambda: len(page.js(LINES)) >= 3)
    times = page.js(LINES)
    assert max(times) - min(times) < 3_000
    label = page.text('[data-over="candles"] [data-key="crosstime"]')
    assert label.startswith(page.js("return venuescope.format.millis(venuescope.time.at)"))
    assert " UTC" in label
    sweep(page, "candles", 0.3, 0.6)
    page.until(lambda: alike(page))
    before = page.js(RANGES)
    page.until(lambda: page.text('.vs-bar [data-f="time.word"]') == "Held")
    assert "since=" in page.js("return location.search")
    refreshes(page, 6)
    assert page.js(RANGES) == before
    ActionChains(page.duo.driver).double_click(layer(page, "latency")).perform()
    page.until(lambda: page.js("return venuescope.time.range()") is None)
    page.until(lambda: not page.js("return venuescope.zoomed(venuescope.graph('candles'))"))
    assert "since=" not in page.js("return location.search")


@pytest.mark.nightly
def test_a_range_at_the_newest_data_goes_along_with_it(page: Any) -> None:
    drawn(page)
    sweep(page, "candles", 0.6, 1.1)
    assert page.js("return venuescope.time.following()")
    page.until(lambda: page.text('.vs-bar [data-f="time.word"]').startswith("Last "))
    page.until(lambda: alike(page))
    low, high = page.js(RANGES)[0]
    page.until(lambda: page.js(RANGES)[0][1] >= high + 2_000)
    page.until(lambda: alike(page))
    later = page.js(RANGES)[0]
    assert later[1] - later[0] == pytest.approx(high - low, abs=2)
    body = page.duo.driver.find_element(By.TAG_NAME, "body")
    body.send_keys("f")
    page.until(lambda: not page.js("return venuescope.time.following()"))
    still = page.js(RANGES)
    refreshes(page, 8)
    assert page.js(RANGES) == still
    body.send_keys("f")
    page.until(lambda: page.js("return venuescope.time.range()") is None)
    refreshes(page, 4)
    assert not page.js("return venuescope.zoomed(venuescope.graph('candles'))")


@pytest.mark.nightly
def test_a_range_outlives_a_page_a_theme_and_a_link(page: Any) -> None:
    drawn(page)
    sweep(page, "candles", 0.3, 0.6)
    chosen = page.js("return venuescope.time.range()")
    page.click('[data-act="theme"]')
    page.click("#rail-market")
    page.until(lambda: len(page.js(RANGES)) >= 2)
    page.until(lambda: alike(page))
    assert page.js(RANGES)[0] == pytest.approx(chosen, abs=2)
    address = page.js("return location.pathname + location.search")
    page.open("/health")
    page.open(address)
    page.until(lambda: len(page.js(RANGES)) >= 2)
    page.until(lambda: alike(page))
    assert page.js(RANGES)[0] == pytest.approx(chosen, abs=2)


@pytest.mark.nightly
def test_the_charts_of_another_time_are_left_alone(page: Any) -> None:
    page.source.switch("replay")
    page.until(lambda: page.text('[data-f="utc.candles"]') == "2024-08-08 UTC")
    drawn(page)
    sweep(page, "candles", 0.3, 0.6)
    refreshes(page, 4)
    assert page.js("return venuescope.zoomed(venuescope.graph('candles'))")
    assert not page.js("return venuescope.zoomed(venuescope.graph('throughput'))")


@pytest.mark.nightly
def test_the_link_is_copied_whole_or_put_in_a_field(page: Any) -> None:
    drawn(page)
    sweep(page, "candles", 0.3, 0.6)
    page.js(
        """Object.defineProperty(navigator, 'clipboard', {configurable: true,
        value: {writeText: (text) => { window.copied = text; return Promise.resolve(); }}})"""
    )
    page.click('.vs-bar [data-act="link"]')
    page.until(lambda: page.text("#shell-status") == "Link copied")
    copied = page.js("return window.copied")
    assert copied == page.js("return venuescope.whole()")
    for part in ("symbol=BTC-USDT", "window=300", "hz=4", "theme=", "off=", "since=", "until="):
        assert part in copied, part
    page.js("Object.defineProperty(navigator, 'clipboard', {configurable: true, value: undefined})")
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys("c")
    page.until(lambda: page.js("return document.activeElement.value") == copied)
    assert page.js("const e = document.activeElement; return e.selectionEnd - e.selectionStart") == len(
        copied
    )
    page.js("document.activeElement.blur()")
    page.until(lambda: not page.js("return document.querySelector('.vs-linkfield')"))
