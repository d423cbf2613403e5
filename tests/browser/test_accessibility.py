"""What a page is to those who do not see it, use no mouse, or are here for the first time; looked at by axe-core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.pages import PAGES
from dashboards.shell import create_app
from tests.browser.alert_source import AlertSource
from tests.browser.conftest import Page
from tests.browser.exchange_source import ExchangeSource
from tests.browser.fake_source import FakeSource
from tests.browser.history_source import HistorySource
from tests.browser.venue_source import VenueSource

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = """const done = arguments[1];
axe.run(document, {runOnly: {type: 'tag', values: arguments[0]}, resultTypes: ['violations']}).then(
  (found) => done(found.violations.flatMap((one) => one.nodes.map(
    (node) => `${one.id}: ${node.target.join(' ')}: ${node.failureSummary.replace(/\\s+/g, ' ')}`))),
  (error) => done([String(error)]))"""
SOURCES: dict[str, type] = {
    "exchange": ExchangeSource,
    "history": HistorySource,
    "alerts": AlertSource,
    "limits": VenueSource,
}
PLACES = [page.path for page in PAGES] + [
    "/exchange?view=clients",
    "/exchange?view=control",
    "/history?show=holes",
]
ZONE = "Emulation.setTimezoneOverride"
METRICS = "Emulation.setDeviceMetricsOverride"


@pytest.fixture
def served(dash_duo: Any, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An application over the source that the page named by the test's parameter is about."""
    place = getattr(request, "param", "/")
    made: Any = SOURCES.get(place.strip("/").partition("?")[0], FakeSource)
    source = made()
    dash_duo.start_server(create_app(source))
    shown = Page(dash_duo, source)
    yield shown
    dash_duo.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert shown.js("return venuescope.errors") == []


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong on the page as it is drawn now."""
    page.js(AXE)
    found: list[str] = page.duo.driver.execute_async_script(RUN, LEVELS)
    return found


def look(page: Page, place: str, theme: str, width: int = 1440) -> None:
    """Open a place in a theme at a width, and wait for its panels' rows."""
    page.duo.driver.execute_cdp_cmd(
        METRICS, {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 768}
    )
    page.open(f"{place}{'&' if '?' in place else '?'}theme={theme}")
    page.until(lambda: not page.loading())


@pytest.mark.parametrize("served", ["/"], indirect=True, ids=["overview"])
def test_axe_finds_nothing_wrong(served: Page) -> None:
    look(served, "/", "dark")
    assert violations(served) == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("served", "place"), [(place, place) for place in PLACES], indirect=["served"], ids=PLACES
)
def test_axe_finds_nothing_wrong_on_any_page(served: Page, place: str) -> None:
    for theme in ("dark", "light"):
        for width in (1440, 390):
            look(served, place, theme, width)
            assert violations(served) == [], (theme, width)


TIP = "const t = document.getElementById('shell-tip'); return t && !t.hidden ? t.textContent : ''"


def hover(page: Page, selector: str) -> None:
    ActionChains(page.duo.driver).move_to_element(
        page.duo.driver.find_element(By.CSS_SELECTOR, selector)
    ).perform()


def test_a_figure_tells_what_it_measures_to_pointer_and_keyboard(page: Any) -> None:
    hover(page, '[data-f="tile.gaps"]')
    page.until(lambda: page.js(TIP).startswith("Holes in venues' sequence numbers"))
    named = "return document.querySelector('[aria-describedby=shell-tip]').className"
    assert "vs-tile" in page.js(named)
    hover(page, "#shell-tip")  # it may be read with the pointer on it
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 400)")
    page.until(lambda: page.js("return window.later"))
    assert page.js(TIP)
    body = page.duo.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ESCAPE)
    assert page.js(TIP) == ""
    assert page.js("return document.querySelectorAll('[aria-describedby=shell-tip]').length") == 0
    # What lay under it is not explained until the pointer moves.
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 600)")
    page.until(lambda: page.js("return window.later"))
    assert page.js(TIP) == ""
    # A row of figures is one stop; arrows go through it.
    page.until(lambda: page.js("return document.querySelector('.vs-tile').tabIndex") == 0)
    page.js("document.querySelector('.vs-tile').focus()")
    page.duo.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.until(lambda: page.js(TIP).startswith("Simulated commands"))
    assert (
        page.js("return [...document.querySelectorAll('.vs-tile')].filter((e) => e.tabIndex === 0).length")
        == 1
    )


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("served", "place"), [(place, place) for place in PLACES], indirect=["served"], ids=PLACES
)
def test_every_figure_that_is_seen_tells_what_it_measures(served: Page, place: str) -> None:
    look(served, place, "dark")
    silent = served.js(
        """return [...document.querySelectorAll('.vs-read > span, .vs-tile, .vs-facts > div, .vs-pairs > div, th.n')]
        .filter((e) => e.offsetParent && e.textContent.trim() && !venuescope.tips.key(e)).map((e) => e.textContent)"""
    )
    assert silent == []


@pytest.mark.nightly
def test_time_axes_are_utc_wherever_the_browser_is(page: Any) -> None:
    page.duo.driver.execute_cdp_cmd(ZONE, {"timezoneId": "Asia/Kolkata"})
    try:
        for place, charts in (("/", ("candles", "latency", "throughput")), ("/book", ("metrics",))):
            page.open(place)
            for name in charts:
                ends = f"""const g = venuescope.graph('{name}'), r = g && g._fullLayout && g._fullLayout.xaxis.range;
                    return r ? Math.abs(Date.parse(String(r[1]).replace(' ', 'T') + 'Z') - Date.now()) : 1e9"""
                page.until(lambda ends=ends: page.js(ends) < 60_000)
    finally:
        page.duo.driver.execute_cdp_cmd(ZONE, {"timezoneId": ""})


@pytest.mark.nightly
def test_the_clock_tells_the_local_time(page: Any) -> None:
    page.duo.driver.execute_cdp_cmd(ZONE, {"timezoneId": "Asia/Kolkata"})
    try:
        page.open("/")
        page.until(lambda: page.text('[data-f="clock.local"]').endswith(" local"))
        hover(page, ".vs-clock")
        page.until(lambda: "UTC+5:30" in page.js(TIP))
        page.until(lambda: page.js(TIP).startswith("Time of the server, UTC."))
    finally:
        page.duo.driver.execute_cdp_cmd(ZONE, {"timezoneId": ""})


def test_the_tour_is_offered_walked_and_not_offered_again(page: Any) -> None:
    assert page.js("return document.querySelector('.vs-offer')") is None  # nobody reads it here
    page.open("/?tour=1")
    page.until(lambda: "New here?" in page.text(".vs-offer"))
    assert page.js("return document.activeElement === document.body")  # it takes no focus
    page.click('.vs-offer [data-act="tour"]')
    title = "return (document.getElementById('tour-title') || {}).textContent"
    page.until(lambda: page.js(title) == "Is it live?")
    assert page.js("return document.querySelector('.vs-offer')") is None
    keys = page.duo.driver.switch_to.active_element
    assert keys.get_attribute("id") == "tour-title"
    for _ in range(5):  # Tab goes round inside
        page.duo.driver.switch_to.active_element.send_keys(Keys.TAB)
        assert page.js("return Boolean(document.activeElement.closest('.vs-tour'))")
    for at in range(2, page.js("return venuescope.tour.steps") + 1):
        page.click('[data-act="tour-next"]')
        assert page.text(".vs-tour .at").startswith(f"{at} of")
        box = page.js(
            """const b = document.querySelector('.vs-tour').getBoundingClientRect();
            return [b.left, b.top, innerWidth - b.right, innerHeight - b.bottom]"""
        )
        assert min(box) >= 0
    page.duo.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert page.js("return document.querySelector('.vs-tour')") is None
    assert page.js("return JSON.parse(localStorage.getItem('venuescope')).toured") is True


@pytest.mark.nightly
def test_the_first_stop_of_the_tab_key_leads_past_the_bar(page: Any) -> None:
    body = page.duo.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    skip = page.duo.driver.switch_to.active_element
    assert skip.text == "Skip to the content"
    skip.send_keys(Keys.ENTER)
    assert page.js("return document.activeElement.id") == "main"
    assert page.js("return location.hash") == ""


@pytest.mark.nightly
def test_every_control_is_reached_in_reading_order(page: Any) -> None:
    """The Tab key visits each control that is seen once, and what is lower on the page later."""
    page.js("document.body.focus()")
    count = """return [...document.querySelectorAll('a[href], button, input, select, textarea, [tabindex]')]
        .filter((e) => e.tabIndex >= 0 && !e.disabled && e.getClientRects().length)
        .filter((e) => getComputedStyle(e).visibility !== 'hidden').length"""
    wanted = page.js(count)
    page.js("window.visited = []; document.addEventListener('focusin', (e) => visited.push(e.target))")
    for _ in range(wanted + 2):
        page.duo.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.js("return new Set(visited).size") >= wanted - 1
    # Panels in the order of the page, each visited once.
    order = page.js(
        """const panels = visited.map((e) => e.closest('section[data-panel]')).filter(Boolean);
        const names = panels.map((e) => e.dataset.panel);
        return names.filter((name, i) => name !== names[i - 1])"""
    )
    assert order[: len(set(order))] == page.js(
        "return [...document.querySelectorAll('section[data-panel]')].map((e) => e.dataset.panel)"
    )
    rings = page.js(
        """const e = document.querySelector('.vs-bar [data-act=pause]'); e.focus();
        return [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"""
    )
    assert rings == ["solid", "2px"]


# Controls in the off-canvas that can be seen, and those of them that leave a thumb less than 44 px: of a field or
# a choice its frame counts, of a switch what it stands in.
STOPS = """const stops = [...document.querySelectorAll('#shell-off :is(a[href], button, input, select, textarea)')]
  .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true}))"""
SMALL = f"""{STOPS};
return stops.map((e) => e.closest('.vs-inp, label, .vs-seg') || e)
  .filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.outerHTML.slice(0, 160))"""


@pytest.mark.nightly
@pytest.mark.parametrize("served", ["/", "/limits"], indirect=True, ids=["fake", "venues"])
def test_on_a_phone_the_controls_keep_the_focus_and_have_room_for_a_thumb(served: Page) -> None:
    look(served, "/?colours=own", "dark", 390)
    driver = served.duo.driver
    opener = ".vs-bar [data-act=controls]"
    for part in ("controls", "venues"):
        driver.find_element(By.CSS_SELECTOR, opener).send_keys(Keys.ENTER)
        served.until(lambda: served.js("return document.activeElement.closest('#shell-off') !== null"))
        served.click(f'#shell-off [data-key="off"][data-value="{part}"]')
        served.until(lambda part=part: served.js(f"{STOPS}; return stops.length") > 2)
        assert served.js(SMALL) == [], part
        served.js(
            """window.visited = [];
            document.addEventListener('focusin', (e) => visited.push(Boolean(e.target.closest('#shell-off'))))"""
        )
        driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)  # from the first to the last
        assert served.js(f"{STOPS}; return document.activeElement === stops.at(-1)"), part
        round_and_on = served.js(f"{STOPS}; return stops.length") + 1
        ActionChains(driver).send_keys(Keys.TAB * round_and_on).perform()
        assert served.js("return visited.length > 2 && visited.every(Boolean)"), part
        if served.js(TIP):  # what explains a control is closed first
            driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert not served.js("return document.body.classList.contains('is-off-open')")
        assert served.js("return document.activeElement.matches(arguments[0])", opener), part
        seen = "return document.getElementById('shell-off').checkVisibility({visibilityProperty: true})"
        served.until(lambda seen=seen: not served.js(seen))  # nothing in it can be reached


MOVING = """return [...document.querySelectorAll('*')].flatMap((e) => [null, '::before', '::after'].map((part) => {
  const style = getComputedStyle(e, part), long = (list) => list.split(',').some((one) => parseFloat(one) > 0);
  const moves = style.animationName !== 'none' || long(style.transitionDuration);
  return moves ? `${e.tagName}.${e.className}${part || ''}` : '';
})).filter(Boolean)"""


@pytest.mark.nightly
def test_nothing_moves_where_the_system_asks_for_less_motion(page: Any) -> None:
    driver = page.duo.driver
    assert page.js(MOVING) != []
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": calm})
    try:
        page.open("/book?hz=10&flash=on")  # a link's wish for more is none of this browser's
        assert page.js("return [venuescope.state.hz, venuescope.state.flash]") == [1, "off"]
        pressed = '.vs-bar [data-key="hz"][aria-pressed="true"]'
        page.until(lambda: page.text(pressed) == "1")
        assert page.js(MOVING) == []
        page.js(
            """window.flashed = 0;
            const size = '[data-flash^=more], [data-flash^=less]';
            new MutationObserver(() => { flashed += document.querySelectorAll(size).length })
              .observe(document.body, {subtree: true, childList: true, attributes: true});"""
        )
        asked, since = page.source.polls, page.js("return venuescope.store.answer.now")
        page.until(lambda: page.source.polls >= asked + 3, 20)
        assert page.js("return venuescope.store.answer.now") - since >= 1_800
        assert page.js("return flashed") == 0
        hover(page, pressed)
        page.until(lambda: "Your system asks for less motion" in page.js(TIP))
        page.click('.vs-bar [data-key="hz"][data-value="2"]')  # one's own choice holds, and is kept
        page.open("/")
        assert page.js("return venuescope.state.hz") == 2
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
