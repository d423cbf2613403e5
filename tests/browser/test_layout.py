"""Panels hidden, moved and filling the page; kiosk mode; the page as a picture; own colours; keys."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.pages import PAGES

# Names of the panels that are seen, as they are read: by rows, each from the left.
SEEN = """return [...document.querySelectorAll('section[data-panel]')].filter((p) => p.clientWidth)
.map((p) => [p.dataset.panel, p.getBoundingClientRect()])
.sort(([, a], [, b]) => Math.abs(a.top - b.top) > 8 ? a.top - b.top : a.left - b.left).map(([name]) => name)"""
# The panels of each row and the gaps between them are as wide as the page.
FILLS = """const rows = new Map();
for (const p of document.querySelectorAll('section[data-panel]')) {
  const b = p.getBoundingClientRect(), top = Math.round(b.top);
  if (b.width) rows.set(top, (rows.has(top) ? rows.get(top) + 8 : 0) + b.width);
}
const page = document.querySelector('[data-page]').clientWidth - 16;
return [...rows.values()].every((sum) => Math.abs(sum - page) < 3)"""
FOCUS = "return document.activeElement.dataset.act || document.activeElement.tagName"
CHARTS_FIT = """return [...document.querySelectorAll('.js-plotly-plot')].filter((g) => g._fullLayout && g.clientWidth)
.every((g) => Math.abs(g._fullLayout.width - g.clientWidth) < 2)"""
FIRST = ["depth", "candles", "latency", "throughput", "limits-strip"]

FONTS = "return performance.getEntriesByType('resource').filter((e) => e.name.endsWith('.woff2')).length"


def saved(page: Any, folder: Path) -> tuple[str, tuple[int, int]]:
    """Name and size in pixels of the picture that is saved."""
    page.until(lambda: list((folder / "download").glob("*.png")), 40)
    (file,) = (folder / "download").glob("*.png")
    head = file.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = struct.unpack(">II", head[16:24])
    return file.name, (wide, high)


def press(page: Any, *keys: str) -> None:
    """Keys as the user types them, wherever the focus is."""
    ActionChains(page.duo.driver).send_keys(*keys).perform()


def test_hidden_and_moved_panels_are_remembered_and_reset(page: Any) -> None:
    page.until(lambda: page.js(SEEN) == FIRST)
    page.click('#panel-depth [data-act="hide"]')
    page.until(lambda: page.js(SEEN) == FIRST[1:])
    assert page.js(FILLS)  # the others took its room
    assert "hide=depth" in page.js("return location.search")
    page.until(lambda: "depth" not in page.source.params["streams"])  # nobody else needs it
    page.js("venuescope.layout.move('throughput', -1)")
    moved = ["candles", "throughput", "latency", "limits-strip"]
    page.until(lambda: page.js(SEEN) == moved)
    page.until(lambda: page.js(CHARTS_FIT))
    page.click("#rail-health")
    page.until(lambda: page.js("return Boolean(document.getElementById('panel-tasks'))"))
    assert "hide=" not in page.js("return location.search")
    page.open("/")
    page.until(lambda: page.js(SEEN) == moved)
    page.js("venuescope.layout.reset()")
    page.until(lambda: page.js(SEEN) == FIRST)
    page.until(lambda: "depth" in page.source.params["streams"])
    assert page.js("return localStorage.getItem('venuescope.layout')") == "{}"
    assert "order=" not in page.js("return location.search")


@pytest.mark.nightly
def test_a_copied_link_shows_the_same_panels_in_the_same_order_elsewhere(page: Any) -> None:
    page.click('#panel-depth [data-act="hide"]')
    page.js("venuescope.layout.move('throughput', -1)")
    moved = ["candles", "throughput", "latency", "limits-strip"]
    page.until(lambda: page.js(SEEN) == moved)
    link = page.js("return venuescope.whole()").removeprefix(page.duo.server_url)
    assert "hide=depth" in link
    assert "order=" in link
    page.js("venuescope.layout.reset()")
    plain = page.js("return venuescope.whole()").removeprefix(page.duo.server_url)
    page.js("venuescope.layout.hide('latency', true)")  # as another browser may have kept it
    kept = "return localStorage.getItem('venuescope.layout')"
    before = page.js(kept)
    page.open(link)
    page.until(lambda: page.js(SEEN) == moved)
    page.click("#rail-health")  # what the link says is of its page alone
    page.until(lambda: page.js("return Boolean(document.getElementById('panel-tasks'))"))
    page.until(lambda: page.js("return [venuescope.state.hide, venuescope.state.order]") == [[], []])
    page.open(plain)  # nothing hidden, nothing moved: the link says that too
    page.until(lambda: page.js(SEEN) == FIRST)
    many = ",".join(f"p{i}" for i in range(99))
    page.open(
        f"/?hide=&order=throughput,nothing,throughput,<b>,depth,{many}"
    )  # unknown names are passed over
    page.until(lambda: page.js("return venuescope.state.order") == ["throughput", "depth"])
    page.until(lambda: page.js(SEEN)[0] == "throughput")
    assert sorted(page.js(SEEN)) == sorted(FIRST)
    assert page.js(kept) == before


@pytest.mark.nightly
def test_kiosk_mode_shows_the_panels_alone_and_escape_leaves_it(page: Any) -> None:
    rail = "const r = document.querySelector('.vs-rail'); return r.offsetWidth"
    assert page.js(rail) > 0
    page.open("/?kiosk=1")
    assert page.js(rail) == 0
    for what in (".vs-badge", '[data-f="quote.last"]', '[data-f="clock"]', '.vs-bar [data-select="symbol"]'):
        assert page.js("return document.querySelector(arguments[0]).offsetWidth", what) > 0
    assert page.js("return document.querySelector('.vs-bar').offsetHeight") < 48
    press(page, Keys.ESCAPE)
    page.until(lambda: page.js(rail) > 0)
    assert "kiosk" not in page.js("return location.search")


@pytest.mark.nightly
def test_a_link_with_hidden_and_maximised_panels_shows_the_same(page: Any) -> None:
    page.open("/?hide=depth,nothing&max=candles")
    page.until(lambda: page.js("return document.getElementById('panel-candles').dataset.max") == "1")
    assert page.js("return venuescope.state.hide") == ["depth"]
    press(page, Keys.ESCAPE)
    page.until(lambda: page.js(SEEN) == FIRST[1:])
    assert "max=" not in page.js("return location.search")
    page.open("/")  # what a link showed is not kept
    page.until(lambda: page.js(SEEN) == FIRST)


@pytest.mark.nightly
def test_a_panel_is_dragged_by_its_header(page: Any) -> None:
    driver = page.duo.driver
    title = driver.find_element(By.CSS_SELECTOR, "#panel-throughput h2")
    target = driver.find_element(By.CSS_SELECTOR, "#panel-depth h2")
    ActionChains(driver).click_and_hold(title).move_by_offset(12, 0).move_to_element(target).perform()
    page.until(lambda: page.js("return document.getElementById('panel-depth').dataset.drop") == "before")
    ActionChains(driver).release().perform()
    page.until(lambda: page.js(SEEN) == ["throughput", "depth", "candles", "latency", "limits-strip"])
    assert page.js("return document.querySelectorAll('[data-drop], [data-dragged]').length") == 0


@pytest.mark.nightly
def test_a_panel_is_moved_by_the_arrow_keys_on_its_handle(page: Any) -> None:
    page.js("document.querySelector('#panel-depth .vs-grip').focus()")
    press(page, Keys.ARROW_RIGHT)
    page.until(lambda: page.js(SEEN) == ["candles", "depth", *FIRST[2:]])
    assert page.js("return document.activeElement.dataset.grip") == "depth"
    press(page, Keys.ARROW_LEFT)
    page.until(lambda: page.js(SEEN) == FIRST)


@pytest.mark.nightly
def test_the_menu_hides_moves_and_gives_the_focus_back(page: Any) -> None:
    page.js("document.querySelector('.vs-rail [data-act=layout]').focus()")
    press(page, "l")
    page.until(lambda: not page.js("return document.getElementById('shell-layout').hidden"))
    page.click('#shell-layout [data-layout-panel="candles"]')
    page.until(lambda: "candles" not in page.js(SEEN))
    page.click('#shell-layout [data-of="latency"] button')
    page.until(lambda: page.js(SEEN)[:2] == ["latency", "depth"])
    assert page.text('[data-f="layout.hidden"]') == "1"
    press(page, Keys.ESCAPE)
    page.until(lambda: page.js("return document.getElementById('shell-layout').hidden"))
    assert page.js(FOCUS) == "layout"


@pytest.mark.nightly
def test_every_page_hides_and_moves_its_panels(page: Any) -> None:
    for name in [one.name for one in PAGES if one.name != "overview"]:
        page.open(f"/{name}")
        before = page.js(SEEN)
        page.js("venuescope.layout.hide(arguments[0], true)", before[0])
        page.until(lambda before=before: set(page.js(SEEN)) == set(before[1:]))
        assert page.js("return document.documentElement.scrollWidth - innerWidth") <= 0, name
        order = page.js("return venuescope.layout.order()")
        page.js("venuescope.layout.reset()")
        page.until(lambda before=before: page.js(SEEN) == before)
        assert order == before, name


@pytest.mark.nightly
def test_the_page_becomes_a_picture_with_a_line_above_it(page: Any, tmp_path: Path) -> None:
    size = "const p = document.querySelector('[data-page]'); return [p.offsetWidth, p.offsetHeight]"
    fetched = page.js(FONTS)
    wide, high = page.js(size)
    ActionChains(page.duo.driver).key_down(Keys.SHIFT).send_keys("e").key_up(Keys.SHIFT).perform()
    name, drawn = saved(page, tmp_path)
    assert "_BTC-USDT_overview_" in name
    assert drawn == (2 * wide, 2 * (high + 44))
    assert (
        page.js(FONTS) == fetched + 1
    )  # the font is in it, whatever the content policy says of the library's own way


@pytest.mark.nightly
def test_a_panel_becomes_a_picture_that_says_what_it_is(page: Any, tmp_path: Path) -> None:
    page.until(lambda: page.js("return venuescope.graph('latency').data.length") > 2)
    wide, high = page.js(
        """window.written = [];
        const pen = CanvasRenderingContext2D.prototype, was = pen.fillText;
        pen.fillText = function (text, ...at) { written.push(text); was.call(this, text, ...at) };
        const p = document.getElementById('panel-latency'); return [p.offsetWidth, p.offsetHeight]"""
    )
    page.click("#panel-latency [data-act=png]")
    name, drawn = saved(page, tmp_path)
    assert "_BTC-USDT_latency_" in name
    assert drawn == (2 * wide, 2 * (high + 66))  # narrow: two lines above it
    written = page.js("return written")
    assert written[:4] == ["Venuescope  Latency percentiles", "BTC-USDT", "Binance", "5 m"]
    assert written[-1].endswith(" UTC")
    page.js("written.length = 0")
    page.click("#panel-throughput [data-act=png]")  # of no single market: none is named
    page.until(lambda: page.js("return written.length") >= 3)
    assert page.js("return written.slice(0, 2)") == ["Venuescope  Throughput", "5 m"]
    page.until(lambda: len(list((tmp_path / "download").glob("*.png"))) == 2, 40)


@pytest.mark.nightly
def test_own_colours_are_drawn_kept_and_told_to_be_hard_to_see(page: Any) -> None:
    page.open("/?theme=dark&colours=own&up=00c8ff&down=%23ff9a00")
    fill = "return venuescope.graph('depth').data[0].line.color"
    page.until(lambda: page.js(fill) == "#00c8ff")
    assert page.text('[data-f="own.word"]') == ""
    page.js(
        """const well = document.querySelector('[data-own=up]'); well.value = '#202830';
        well.dispatchEvent(new Event('change', { bubbles: true }))"""
    )
    page.until(lambda: page.js(fill) == "#202830")
    assert "hard to see" in page.text('[data-f="own.word"]')
    page.js("venuescope.set({ up: 'ff8a00' })")
    page.until(lambda: "tell apart" in page.text('[data-f="own.word"]'))
    page.open("/")  # kept
    page.until(lambda: page.js(fill) == "#ff8a00")
    page.open("/?up=red")  # no colour: what was kept holds
    page.until(lambda: page.js(fill) == "#ff8a00")
    page.js("venuescope.set({ updown: 'safe' })")
    page.until(lambda: page.js(fill) == "#56b4e9")


@pytest.mark.nightly
def test_keys_do_what_the_list_says_and_nothing_in_a_field(page: Any) -> None:
    page.open("/?theme=dark")
    press(page, "t")
    page.until(lambda: page.js("return document.documentElement.dataset.bsTheme") == "light")
    press(page, "k")
    page.until(lambda: page.js("return venuescope.state.kiosk"))
    press(page, "k")
    page.until(lambda: not page.js("return venuescope.state.kiosk"))
    press(page, "2")
    page.until(lambda: page.js("return document.querySelector('[data-page]').dataset.page") == "book")
    field = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    field.send_keys("tkp1")
    assert page.js("return [venuescope.state.kiosk, venuescope.state.paused, venuescope.theme()]") == [
        False,
        False,
        "light",
    ]
    page.js("document.activeElement.blur(); document.querySelector('.vs-rail [data-act=keys]').focus()")
    press(page, "?")
    page.until(lambda: page.js("return Boolean(document.querySelector('.modal.show'))"))
    press(page, Keys.ESCAPE)
    page.until(lambda: not page.js("return Boolean(document.querySelector('.modal'))"))
    assert page.js(FOCUS) == "keys"
