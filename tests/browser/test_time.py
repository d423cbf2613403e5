"""One time axis over a page's charts: the line at the pointer, one range, following, and the link of it."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.test_charts import refreshes

RANGES = """return [...document.querySelectorAll('[data-chart] .js-plotly-plot')]
    .filter((gd) => gd._fullLayout && gd._fullLayout.xaxis.type === 'date' && gd.layout.meta)
    .map((gd) => gd._fullLayout.xaxis.range.map((x) => Date.parse(String(x).replace(' ', 'T') + 'Z')))"""
LINES = """return [...document.querySelectorAll('[data-key=cross]')].filter((el) => !el.hidden).map((el) => {
    const host = el.closest('[data-over]'), gd = venuescope.graph(host.dataset.over);
    const left = new DOMMatrix(getComputedStyle(el).transform).m41;
    return gd._fullLayout.xaxis.p2c(left - gd._fullLayout.xaxis._offset);
})"""

VALUES = """return Object.fromEntries([...document.querySelectorAll('.vs-cross-values')].map((el) =>
    [el.closest('[data-over]').dataset.over,
     [...el.children].map((one) => [one.firstChild.data.trim(), one.lastChild.textContent])]))"""
# The percentiles of the second the line is at, found in what the page was sent, one by one.
PERCENTILES = """return (() => {
    const { rows } = venuescope.store.streams.latency;
    let at = -1;
    rows.t.forEach((t, i) => { if (t <= venuescope.time.at) at = i; });
    return ['p50', 'p90', 'p95', 'p99', 'p999'].map((key) => rows[key][at] / 1000);
})()"""


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


def let_go(page: Any, chart: str) -> bool:
    """Whether the whole window is shown; else a double click asks for it, which a busy machine may send too slowly."""
    if page.js("return venuescope.time.range()") is None:
        return True
    ActionChains(page.duo.driver).double_click(layer(page, chart)).perform()
    return bool(page.js("return venuescope.time.range()") is None)


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
    label, at = page.js(
        """return [document.querySelector('[data-over="candles"] [data-key="crosstime"]').textContent,
        venuescope.format.millis(venuescope.time.at)]"""
    )
    assert label.startswith(f"{at} UTC")
    # What each other chart says at that time: its own values, in its unit; the pointer's chart has its hover.
    page.until(lambda: page.js(VALUES).keys() == {"latency", "throughput"})
    told, plain = page.js(f"return [{VALUES.removeprefix('return ')}, {PERCENTILES.removeprefix('return ')}]")
    assert [name for name, _ in told["latency"]] == ["p50", "p90", "p95", "p99", "p99.9"]
    assert told["latency"][-1][1].endswith(" ms")
    assert [float(value.removesuffix(" ms")) for _, value in told["latency"]] == pytest.approx(
        plain, rel=0.006
    )
    assert told["throughput"][0][0] == "Binance"
    assert all(value.endswith("/s") for _, value in told["throughput"])
    ActionChains(page.duo.driver).move_to_element(page.duo.driver.find_element(By.ID, "rail-book")).perform()
    page.until(lambda: page.js("return document.querySelectorAll('.vs-cross-values').length") == 0)
    sweep(page, "candles", 0.3, 0.6)
    page.until(lambda: alike(page))
    before = page.js(RANGES)
    page.until(lambda: page.text('.vs-bar [data-f="time.word"]') == "Held")
    assert "since=" in page.js("return location.search")
    refreshes(page, 6)
    assert page.js(RANGES) == before
    page.until(lambda: let_go(page, "latency"))
    page.until(lambda: not page.js("return venuescope.zoomed(venuescope.graph('candles'))"))
    assert "since=" not in page.js("return location.search")


@pytest.mark.nightly
def test_what_the_other_charts_say_is_a_dash_in_holes_and_goes_with_the_pointer(page: Any) -> None:
    drawn(page)
    of = """return venuescope.readout.of(venuescope.graph(arguments[0]), ...arguments).map(([n, v]) => [n, v])"""
    s = page.js("return venuescope.store.streams.candles")
    # Each candle as it came, at both ends of its time; before the first of them there is nothing.
    market, rows, step = s["market"], s["rows"], s["interval"] * 1_000
    place = len(rows["t"]) // 2
    for moment in (rows["t"][place], rows["t"][place] + step - 1):
        told = dict(page.js(of, "candles", moment))
        for letter, key in (("O", "o"), ("H", "h"), ("L", "l"), ("C", "c")):
            assert float(told[letter].replace(",", "")) * 10 ** market["price_decimals"] == pytest.approx(
                rows[key][place]
            )
        size, unit = told["V"].split()
        assert float(size.replace(",", "")) * 10 ** market["size_decimals"] == pytest.approx(rows["v"][place])
        assert unit == market["base"]
    assert {value for _, value in page.js(of, "candles", rows["t"][0] - 3_600_000)} == {"–"}
    # A hole in a line: nothing is told for what is not known, and nothing past the newest.
    told, past = page.js(
        """const gd = venuescope.graph('latency'), t = gd.data[0].x, i = t.length >> 1;
        const of = (at) => venuescope.readout.of(gd, 'latency', at).map(([n, v]) => [n, v]);
        gd.data[0].y = gd.data[0].y.slice();
        gd.data[0].y[i] = null;
        return [of(t[i] + 400), of(t.at(-1) + 60_000)]"""
    )
    assert dict(told)["p50"] == "–"
    assert dict(told)["p99.9"].endswith(" ms")
    assert {value for _, value in past} == {"–"}


# [the bucket of the line, the newest and the oldest in sight, of the chart in focus].
BUCKETS = """const name = document.activeElement.closest('section').dataset.chart;
    const s = venuescope.store.streams[venuescope.charts[name].stream], step = venuescope.time.step(s);
    const [low, high] = venuescope.graph(name)._fullLayout.xaxis.range.map(venuescope.chart.ms);
    const seen = s.rows.t.filter((t) => t + step / 2 >= low && t + step / 2 <= high), at = venuescope.time.at;
    return [at && at - step / 2, seen.at(-1), seen[0], step]"""


@pytest.mark.nightly
def test_the_line_of_a_chart_in_focus_is_moved_by_key(page: Any) -> None:
    page.open("/?hz=4&max=latency")
    page.until(lambda: page.js("return Boolean(venuescope.drawn.latency)"))
    page.js("venuescope.set({paused: true})")
    page.js("document.querySelector('#panel-latency .vs-plot').focus()")

    def pressed(*keys: str) -> list[float]:
        """What the line is at once it has been moved."""
        page.duo.driver.switch_to.active_element.send_keys(*keys)
        page.js("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found: list[float] = page.js(BUCKETS)
        return found

    at, newest, oldest, step = pressed(Keys.ARROW_LEFT)
    assert at == newest  # it comes in at the newest
    assert pressed(Keys.ARROW_LEFT)[0] == newest - step
    assert pressed(Keys.SHIFT, Keys.ARROW_LEFT, Keys.NULL)[0] == newest - 11 * step
    assert pressed(Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)[0] == newest - 10 * step
    assert pressed(Keys.HOME)[0] == oldest
    assert pressed(Keys.ARROW_LEFT)[0] == oldest
    assert pressed(Keys.END)[0] == newest
    # What is there is told over the line, and once, when it rests, to who listens.
    told = page.js(VALUES)["latency"]
    plain = page.js(PERCENTILES)
    assert [float(value.removesuffix(" ms")) for _, value in told] == pytest.approx(plain, rel=0.006)
    time = page.js("return venuescope.format.time(arguments[0])", newest)
    assert page.text('[data-over="latency"] [data-key="crosstime"]').startswith(f"{time} UTC")
    page.until(lambda: page.text("#shell-status").startswith(f"{time} UTC"))
    assert page.text("#shell-status").endswith(", ".join(f"{name} {value}" for name, value in told))
    # Escape takes the line away first, then leaves what is behind; so does going on to something else.
    assert pressed(Keys.ESCAPE)[0] is None
    assert page.js("return [venuescope.state.max, document.querySelectorAll('.vs-cross-values').length]") == [
        "latency",
        0,
    ]
    pressed(Keys.HOME)
    page.js("document.querySelector('[data-act=pause]').focus()")
    page.until(lambda: page.js("return venuescope.time.at") is None)
    # The candles tell it in their read-out.
    page.js("venuescope.set({max: '', paused: false})")
    drawn(page)
    refreshes(page, 3)
    page.js("document.querySelector('#panel-candles .vs-plot').focus()")
    pressed(Keys.HOME)
    at = pressed(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.NULL)[0]
    assert page.text('[data-f="candles.t"]') == page.js("return venuescope.format.time(arguments[0])", at)
    pressed(Keys.ESCAPE)
    page.until(
        lambda: (
            page.text('[data-f="candles.t"]') != page.js("return venuescope.format.time(arguments[0])", at)
        )
    )


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


def given_up(page: Any) -> None:
    """Wait until the page follows the newest again, and says why."""
    page.until(lambda: page.js("return venuescope.time.range()") is None, 20)
    page.until(lambda: page.text('.vs-bar [data-f="time.word"]') == "Follow live")
    assert "they follow the newest again" in page.text(".vs-toast")
    assert "since=" not in page.js("return location.search")


@pytest.mark.nightly
def test_what_no_chart_has_is_not_called_held(page: Any) -> None:
    now = int(page.js("return venuescope.store.answer.now"))
    page.open(f"/?since={now - 7_200_000}&until={now - 7_080_000}")
    given_up(page)
    drawn(page)
    assert not page.js("return venuescope.zoomed(venuescope.graph('candles'))")


@pytest.mark.nightly
def test_what_was_held_is_given_up_when_the_window_has_passed_it(page: Any) -> None:
    page.open("/?window=60")
    drawn(page)
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys("f")
    page.until(lambda: page.text('.vs-bar [data-f="time.word"]') == "Held")
    refreshes(page, 4)
    assert page.text('.vs-bar [data-f="time.word"]') == "Held"
    clock = page.source.clock
    page.source.clock = lambda: clock() + 90
    given_up(page)


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
