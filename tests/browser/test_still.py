"""Nothing in the bar moves, nor does the page beneath it, whatever the words and figures in the bar are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from dashboards.shell import create_app
from tests.browser.alert_source import AlertSource
from tests.browser.conftest import Page, boxes
from tests.browser.venue_source import VenueSource

WORD = '[data-f="badge.word"]'
WIDTHS = (1440, 1280)


@contextmanager
def wide(page: Page, width: int, height: int = 900) -> Iterator[None]:
    """The window so wide and high; `boxes` wait until the page's layout follows."""
    driver = page.duo.driver
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 768}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.until(lambda: page.js("return innerWidth") == width)
    page.until(lambda: page.js("return document.documentElement.scrollWidth") == width)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.nightly
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_when_paused_resumed_slow_and_disconnected(page: Any, width: int) -> None:
    page.expects_errors = True
    with wide(page, width):
        body = page.duo.driver.find_element(By.TAG_NAME, "body")
        stood = boxes(page)
        assert len(stood) > 20
        body.send_keys("p")
        page.until(lambda: page.text(WORD) == "Paused")
        assert page.text('[data-f="pause.word"]') == "Resume"
        assert boxes(page) == stood
        body.send_keys("p")
        page.until(lambda: page.text(WORD) == "Live")
        assert boxes(page) == stood
        page.source.switch("broken")
        page.until(lambda: page.text(WORD) == "Slow")
        assert page.text('[data-host="banner"]') == ""
        assert page.state("depth") == "live"
        assert boxes(page) == stood
        page.until(lambda: page.text(WORD) == "Disconnected", 15)
        page.until(lambda: page.state("depth") == "disconnected")
        assert boxes(page) == stood
        page.source.switch("live")
        page.until(lambda: page.text(WORD) == "Live", 20)
        assert boxes(page) == stood


@pytest.mark.nightly
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_with_the_age_the_price_and_its_change(page: Any, width: int) -> None:
    with wide(page, width):
        stood = boxes(page)
        page.click("[data-act=pause]")
        page.until(lambda: page.text(WORD) == "Paused")
        for ago in (500, 61_000, 3_723_000):
            page.js("venuescope.pausedAt = Date.now() - arguments[0]", ago)
            page.js("venuescope.refresh()")
            assert boxes(page) == stood
        for change, share, words in ((123456, 1.24, "+1.24%"), (-1, -0.00001, "0.00%"), (0, 0, "0.00%")):
            page.js(
                """const [change, change_pct] = arguments;
                Object.assign(venuescope.store.answer.market, { change, change_pct, change_s: 1856 })""",
                change,
                share,
            )
            page.js("venuescope.refresh()")
            assert page.text('.vs-bar [data-f="quote.change"]').endswith(words)
            assert page.text('.vs-bar [data-f="quote.since"]') == "5 min"
            assert boxes(page) == stood
        # What is rounded to zero has neither arrow nor colour.
        assert page.text('.vs-bar [data-f="quote.change"]') == "0.00%"
        page.js("Object.assign(venuescope.store.answer.market, { change_s: 31, window: 300 })")
        page.js("venuescope.refresh()")
        assert page.text('.vs-bar [data-f="quote.since"]') == "31 s"
        assert boxes(page) == stood


@pytest.mark.nightly
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_when_an_alert_fires(dash_duo: Any, width: int) -> None:
    source = AlertSource(history_s=6)
    source.switch("calm")
    dash_duo.start_server(create_app(source))
    page = Page(dash_duo, source).open()  # type: ignore[arg-type]
    with wide(page, width):
        page.until(lambda: page.text('[data-f="alerts.count"]') == "")
        stood = boxes(page)
        source.switch("live")
        source.fire()
        page.until(lambda: page.js("return document.querySelector('.vs-alert-badge.is-firing') !== null"))
        page.until(lambda: page.text('[data-f="alerts.count"]') != "")
        assert boxes(page) == stood
        # What fired is told by the toast and the bell's title.
        assert page.js("return document.getElementById('shell-alerts').title") != ""


PLACES = """return [...document.querySelectorAll('section[data-panel]')].filter((p) => p.offsetParent)
  .map((p) => [p.id, p.offsetLeft, p.offsetTop, p.offsetWidth, p.offsetHeight])"""
# What the line of a ban or a lost market lies on, besides the ground of the page: nothing.
BENEATH = """const line = document.querySelector(':is([data-host=bans], [data-host=away]) > *').getBoundingClientRect();
const on = (e) => { const b = e.getBoundingClientRect(); return b.top < line.bottom && b.bottom > line.top; };
return [...document.querySelectorAll('section[data-panel] > :is(header, footer)')]
  .filter((e) => e.offsetParent && on(e)).map((e) => e.parentElement.id)"""


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["banned", "away"])
def test_nothing_moves_nor_is_covered_when_a_market_is_lost_or_bans_us(dash_duo: Any, mode: str) -> None:
    source = VenueSource(history_s=6)
    dash_duo.start_server(create_app(source))
    page = Page(dash_duo, source)  # type: ignore[arg-type]
    for path in ("/book", "/", "/market", "/latency"):
        source.switch("live")
        page.open(path)
        with wide(page, 1440):
            page.until(lambda: not page.loading())
            stood = page.js(PLACES)
            source.switch(mode)
            page.until(lambda: page.js("return document.querySelector('.vs-panel[data-foot]') !== null"))
            assert page.js(PLACES) == stood, path
            assert page.js(BENEATH) == [], path
            assert page.js("return document.documentElement.scrollHeight - innerHeight") <= 0
            source.switch("live")
            page.until(lambda: page.js("return document.querySelector('[data-foot]') === null"))
    source.switch(mode)
    with wide(page, 390, 844):
        host = "bans" if mode == "banned" else "away"
        page.until(lambda: page.text(f'[data-host="{host}"]') != "")
        page.until(lambda: page.js("return document.querySelector('#main[data-below]') !== null"))
        page.until(lambda: page.js(f"scrollTo(0, 1e6); {BENEATH}") == [])  # all of the page can be seen


@pytest.mark.nightly
def test_the_bar_fits_every_width_and_cuts_no_chip(dash_duo: Any) -> None:
    source = VenueSource(history_s=6)
    dash_duo.start_server(create_app(source))
    page = Page(dash_duo, source).open()  # type: ignore[arg-type]
    for theme in ("dark", "light"):
        page.js("venuescope.set({ theme: arguments[0] })", theme)
        for width in range(1024, 1921, 64):
            with wide(page, width):
                over = """return [...document.querySelectorAll('.vs-bar-row')]
                    .map((row) => row.scrollWidth - row.clientWidth)"""
                assert max(page.js(over)) == 0, (theme, width)
                slider = "return document.querySelector('.vs-bar .vs-range').checkVisibility()"
                assert page.js(slider) == (width >= 1380), width
    with wide(page, 1440):  # four markets, and two more that are off
        row = "const row = document.querySelector('.vs-chiprow'); return row.scrollWidth - row.clientWidth"
        assert page.js(row) == 0
