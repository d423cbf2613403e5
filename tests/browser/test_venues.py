"""Live venues in a real browser: toggles, the off-canvas, limits and bans, prices, what is away."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.shell import create_app
from tests.browser.conftest import Page, column
from tests.browser.venue_source import VenueSource

CHIP = '[data-host="chips:venues"] [data-venue="{}"]'
CARD = '.vs-venue[data-id="{}"]'
CELLS = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
# Texts that are wider than their box and cut off, in what is on screen.
CUT = """return [...document.querySelectorAll('.vs-card b, .vs-card h3 span, .vs-chip .val, .vs-read b')]
  .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible')
  .map((e) => e.textContent)"""


@pytest.fixture
def venues(dash_duo: Any) -> Iterator[Page]:
    """The application over made-up live venues; no SEVERE line in the console at the end."""
    source = VenueSource(history_s=40)
    dash_duo.start_server(create_app(source))
    shown = Page(dash_duo, source).open("/?window=60")  # type: ignore[arg-type]
    yield shown
    assert shown.js("return venuescope.errors") == []
    assert dash_duo.get_logs() == []


def attribute(page: Page, selector: str, name: str) -> str | None:
    found: str | None = page.js(
        "return document.querySelector(arguments[0]).getAttribute(arguments[1])", selector, name
    )
    return found


def test_a_chip_connects_its_market_and_disconnects_it(venues: Page) -> None:
    chip = CHIP.format("binance_coinm")
    venues.until(lambda: attribute(venues, chip, "aria-pressed") == "false")
    assert "every browser" in (attribute(venues, chip, "title") or "")
    venues.click(chip)
    venues.until(lambda: ("connect_venue", {"venue": "binance_coinm"}) in venues.source.commands)
    venues.until(lambda: re.fullmatch(r"\d+ ms", venues.text(f"{chip} .val")) is not None)
    assert attribute(venues, chip, "aria-pressed") == "true"
    venues.click(chip)
    venues.until(lambda: ("disconnect_venue", {"venue": "binance_coinm"}) in venues.source.commands)
    venues.until(lambda: attribute(venues, chip, "aria-pressed") == "false")
    venues.until(lambda: venues.js("return document.querySelector(arguments[0]).hidden", f"{chip} .val"))


@pytest.mark.nightly
def test_a_connected_market_has_one_chip_in_the_bar_and_can_be_hidden_in_this_browser(venues: Page) -> None:
    venues.until(
        lambda: "binance_spot:live" in venues.js("return venuescope.store.answer.sources.map((s) => s.id)")
    )
    bar = venues.js(CELLS, '[data-host="chips:bar"] .name')
    assert bar == ["Built-in", "Replay"]
    assert venues.js(CELLS, '[data-host="chips:venues"] > *:not(button)') == ["Binance", "Bybit"]
    venues.click('[data-host="chips:off"] [data-id="bybit_spot:live"]')
    venues.until(lambda: "is-hidden" in (attribute(venues, CHIP.format("bybit_spot"), "class") or ""))
    assert venues.source.commands == []
    assert "off=bybit_spot" in venues.js("return location.search")


def test_a_market_that_is_away_counts_down_says_why_and_moves_nothing(venues: Page) -> None:
    venues.source.switch("away")  # type: ignore[attr-defined]
    chip = CHIP.format("binance_spot")
    venues.until(lambda: re.fullmatch(r"in \d s", venues.text(f"{chip} .val")) is not None)
    assert "cannot resolve api.binance.com" in (attribute(venues, chip, "title") or "")
    line = '[data-host="away"] .vs-note'
    venues.until(lambda: "next try in" in venues.text(line))
    assert "Binance spot and Binance COIN-M: reconnecting" in venues.text(line)
    place = """const b = (s) => {
          const r = document.querySelector(s).getBoundingClientRect();
          return [r.x, r.y, r.width];
        };
        return [b('[data-host="away"] .vs-sec'), b('#panel-depth'), b(arguments[0])]"""
    said, where = venues.text(f"{line} .vs-next"), venues.js(place, chip)
    venues.until(lambda: venues.text(f"{line} .vs-next") != said)
    assert venues.js(place, chip) == where
    venues.until(lambda: venues.text('[data-f="badge.word"]') == "Retrying")
    assert venues.state("candles") == "stale"
    assert "Reconnecting since" in venues.text("#panel-candles .vs-note")
    assert venues.js("return document.documentElement.scrollWidth - innerWidth") == 0
    venues.source.switch("live")  # type: ignore[attr-defined]
    venues.until(lambda: venues.text('[data-host="away"]') == "")
    venues.until(lambda: venues.state("candles") == "live")


@pytest.mark.nightly
def test_the_engines_refusal_is_a_toast(venues: Page) -> None:
    venues.js("venuescope.command('add_symbol', {venue: 'binance_spot', symbol: 'NO-SUCH'})")
    venues.until(lambda: "lists no 'NO-SUCH'" in venues.text(".vs-toast"))


def test_symbols_are_added_from_the_venues_list_and_removed(venues: Page) -> None:
    assert venues.source.params["streams"].count("listing") == 0
    venues.duo.driver.find_element(By.TAG_NAME, "body").send_keys("v")
    venues.until(lambda: "listing" in venues.source.params["streams"])
    card = CARD.format("bybit_linear")
    venues.until(lambda: venues.js(CELLS, f"{card} .syms b") == ["BTC-USDT-PERP", "ETH-USDT-PERP"])
    field = venues.duo.driver.find_element(By.CSS_SELECTOR, f"{card} input")
    venues.js("arguments[0].scrollIntoView({block: 'center'})", field)
    field.send_keys("sol")
    offered = f"return [...document.querySelectorAll('{card} datalist option')].map((o) => o.value)"
    venues.until(lambda: venues.js(offered) == ["SOL-USDT-PERP"])
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("no-such", Keys.ENTER)
    venues.until(lambda: "lists no 'NO-SUCH'" in venues.text(f"{card} .add .error"))
    assert not venues.js("return document.querySelectorAll('.vs-toast').length")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("sol-usdt-perp", Keys.ENTER)
    venues.until(lambda: venues.text(f"{card} .add .error") == "")
    wanted = {"venue": "bybit_linear", "symbol": "SOL-USDT-PERP"}
    venues.until(lambda: ("add_symbol", wanted) in venues.source.commands)
    venues.until(lambda: len(venues.js(CELLS, f"{card} .syms b")) == 3)
    venues.until(lambda: field.get_property("value") == "")
    venues.js(
        "arguments[0].click()",
        venues.duo.driver.find_element(By.CSS_SELECTOR, f"{card} .syms li:last-child button"),
    )
    venues.until(lambda: ("remove_symbol", wanted) in venues.source.commands)
    venues.until(lambda: len(venues.js(CELLS, f"{card} .syms b")) == 2)
    venues.duo.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    venues.until(lambda: "listing" not in venues.source.params["streams"])


def test_a_switch_turns_a_market_on_and_a_poll_takes_another_interval(venues: Page) -> None:
    venues.click(".vs-bar [data-act=venues]")
    card = CARD.format("bybit_inverse")
    venues.until(lambda: attribute(venues, f"{card} [role=switch]", "aria-checked") == "false")
    assert "Off" in venues.text(f"{card} .say")
    venues.click(f"{card} [role=switch]")
    venues.until(lambda: attribute(venues, f"{card} [role=switch]", "aria-checked") == "true")
    venues.until(lambda: "connections open" in venues.text(f"{card} .say"))
    choose = """const s = document.querySelector(arguments[0]); s.value = '300';
        s.dispatchEvent(new Event('change', {bubbles: true}))"""
    venues.js(choose, f'{card} select[data-poll="funding"]')
    wanted = {"venue": "bybit_inverse", "endpoint": "funding", "interval_s": 300}
    venues.until(lambda: ("set_poll", wanted) in venues.source.commands)


def test_limits_show_windows_endpoints_and_what_was_held_back(venues: Page) -> None:
    venues.source.switch("throttling")  # type: ignore[attr-defined]
    venues.open("/limits?window=60")
    venues.until(lambda: venues.state("windows") == "live")
    assert venues.js(CELLS, ".vs-card h3 > span:first-of-type") == ["Binance spot", "Binance USD-M", "Bybit"]
    meter = ".vs-card:first-child .win:first-child .vs-meter"
    assert "1,220 by others on this address" in (attribute(venues, meter, "title") or "")
    assert attribute(venues, meter, "aria-valuemax") == "6000"
    widths = venues.js(
        "return [...document.querySelector(arguments[0]).children].map((e) => e.style.width)", meter
    )
    assert all(width not in ("", "0%", "0.0%") for width in widths[:3])
    resets = ".vs-card:first-child .win:first-child .l > span:last-child"
    said = venues.text(resets)
    assert re.fullmatch(r"resets \d:\d\d", said)
    venues.until(lambda: venues.text(resets) != said)
    venues.until(lambda: column(venues, "endpoints", "throttled")[:3] == ["21", "10", "6"])
    venues.js(
        """const s = document.querySelector('#panel-endpoints [data-select=budget]'); s.value = 'binance_usdm';
        s.dispatchEvent(new Event('change', {bubbles: true}))"""
    )
    venues.until(lambda: set(column(venues, "endpoints", "label")) == {"Binance USD-M"})
    assert "budget=binance_usdm" in venues.js("return location.search")
    assert venues.js(CUT) == []
    # The figures, with the chart's key, are whole at every width.
    for width in (1440, 1280, 1024, 390):
        venues.duo.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )
        venues.until(lambda width=width: venues.js("return innerWidth") == width)
        shown = venues.js(
            """const read = document.querySelector('#panel-limits .vs-read'), box = read.getBoundingClientRect();
            return [...read.children].filter((e) => { const b = e.getBoundingClientRect();
              return b.width && b.left >= box.left && b.right <= box.right && b.bottom <= box.bottom + 1; })
              .map((e) => [...e.childNodes].map((x) => ({ I: '*', B: '' })[x.nodeName] ?? x.nodeValue).join(''))"""
        )
        assert shown == ["Calls", "*Throttled", "*Refused", "*Waiting", "Mean wait", "Longest"], width


@pytest.mark.nightly
def test_the_limits_exported_are_those_on_screen(venues: Page) -> None:
    venues.source.switch("throttling")  # type: ignore[attr-defined]
    venues.open("/limits?window=60&budget=bybit")
    venues.until(lambda: venues.js("return (venuescope.graph('limits').data[0].x || []).length") > 20)
    venues.click("[data-act=pause]")
    venues.until(lambda: venues.state("limits") == "paused")
    time.sleep(1)  # an answer may have been under way
    folder = Path(venues.duo.download_path)
    before = set(folder.iterdir())
    venues.click("#panel-limits [data-act=csv]")
    venues.until(lambda: [path for path in set(folder.iterdir()) - before if path.suffix == ".csv"])
    (path,) = set(folder.iterdir()) - before
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    bars = venues.js("return venuescope.graph('limits').data[0].y.filter((y) => y !== null)")
    assert [int(row["throttled"]) for row in rows] == list(bars)


def test_a_ban_is_on_every_page_with_its_countdown(venues: Page) -> None:
    venues.source.switch("banned")  # type: ignore[attr-defined]
    for path in ("/book", "/limits"):
        venues.open(path)
        venues.until(
            lambda: "Binance spot has banned this address until" in venues.text('[data-host="bans"]')
        )
        left = venues.text('[data-host="bans"] .big')
        assert re.fullmatch(r"\d:\d\d", left)
        venues.until(lambda left=left: venues.text('[data-host="bans"] .big') != left)
    assert re.match(r"banned\d:\d\d", venues.text(".vs-card:first-child .vs-tag"))
    venues.open("/book")
    venues.until(lambda: venues.text('[data-host="bans"] .big') != "")
    venues.click('[data-host="bans"] button')
    venues.until(lambda: venues.js("return document.querySelector('[data-page]').dataset.page") == "limits")


@pytest.mark.nightly
def test_a_market_that_waits_for_the_end_of_a_ban_says_so_once(venues: Page) -> None:
    venues.source.switch("banned")  # type: ignore[attr-defined]
    venues.source.lose("binance_spot", "418: banned")  # type: ignore[attr-defined]
    venues.until(lambda: venues.text(f"{CHIP.format('binance_spot')} .val") == "banned")
    venues.until(lambda: "has banned this address" in venues.text('[data-host="bans"]'))
    assert venues.text('[data-host="away"]') == ""


def test_prices_name_the_best_anywhere_and_leave_out_what_is_not_live(venues: Page) -> None:
    venues.open("/market?window=60")
    venues.until(lambda: venues.state("prices") == "live")
    names = "#panel-prices tbody tr {} .vs-named > span:first-of-type"
    assert venues.js(CELLS, names.format("td:first-child"))[:3] == ["Binance spot", "Bybit spot", "Built-in"]
    out = "return [...document.querySelectorAll('#panel-prices tbody tr')].map((r) => r.className)"
    assert venues.js(out) == ["", "", "is-out is-sim", "is-out", "is-out"]
    assert re.search(r"[\d,.]+ (Binance|Bybit) spot", venues.text('[data-f="prices.bid"]'))
    assert venues.js("return document.querySelectorAll('#panel-prices td.best').length") == 2
    venues.until(lambda: venues.state("mids") == "live")
    assert venues.js("return document.getElementById('panel-funding').hidden")
    venues.source.switch("stale")  # type: ignore[attr-defined]
    venues.until(lambda: venues.js(out)[1] == "is-out is-old")
    assert "Binance spot" in venues.text('[data-f="prices.bid"]')


@pytest.mark.nightly
def test_a_symbol_that_this_source_lacks_is_looked_at_elsewhere(venues: Page) -> None:
    venues.until(lambda: venues.js("return venuescope.store.answer.market.source") == "binance_spot:live")
    choose = """const s = document.querySelector('.vs-bar [data-select=symbol]'); s.value = 'BTC-USDT-PERP';
        s.dispatchEvent(new Event('change', {bubbles: true}))"""
    venues.until(lambda: "BTC-USDT-PERP" in venues.js(CELLS, ".vs-bar [data-select=symbol] option"))
    venues.js(choose)
    venues.until(lambda: venues.js("return venuescope.store.answer.market.source") == "binance_usdm:live")
    assert venues.js("return venuescope.store.answer.market.symbol") == "BTC-USDT-PERP"


@pytest.mark.nightly
def test_funding_stands_beside_a_perpetual(venues: Page) -> None:
    venues.open("/market?window=60&symbol=BTC-USDT-PERP&source=bybit_linear:live")
    venues.until(lambda: not venues.js("return document.getElementById('panel-funding').hidden"))
    assert venues.text('[data-f="funding.rate"]') == "+0.0103%"
    assert venues.text('[data-f="funding.apr"]') == "+11.32%"
    assert re.fullmatch(r"in \d+:\d\d(:\d\d)?", venues.text('[data-f="funding.next"]'))


@pytest.mark.nightly
def test_health_tells_connections_once_a_venue_is_on_and_the_engine_on_request(venues: Page) -> None:
    venues.open("/health")
    seen = """return [...document.querySelectorAll('section[data-panel]')]
        .filter((p) => p.offsetParent).map((p) => p.dataset.panel)"""
    venues.until(lambda: venues.js(seen) == ["streams", "clocks", "venue-events"])
    venues.until(lambda: len(venues.js(CELLS, "#panel-streams tbody tr")) == 5)
    assert venues.js("return document.documentElement.scrollHeight - innerHeight") <= 0
    venues.click('[data-key=health][data-value="engine"]')
    venues.until(lambda: "matching" in venues.js(seen))
    assert "streams" not in venues.js(seen)


@pytest.mark.nightly
def test_with_no_venue_on_every_panel_says_how_to_connect_one(venues: Page) -> None:
    venues.source.switch("off")  # type: ignore[attr-defined]
    venues.open("/limits")
    venues.until(lambda: venues.state("windows") == "empty")
    assert "No venue is connected" in venues.text("#panel-windows .vs-state")
    room = "const r = document.querySelector('#panel-windows .body').getBoundingClientRect(); return r.height"
    assert venues.js(room) >= 150
    venues.click("#panel-windows .vs-state button")
    venues.until(lambda: venues.js("return document.body.classList.contains('is-off-open')"))
    venues.until(lambda: venues.js("return document.querySelectorAll('.vs-venue').length") == 6)


def test_on_a_phone_venues_live_in_the_off_canvas_with_room_for_a_thumb(venues: Page) -> None:
    venues.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    for path in ("/", "/market", "/limits", "/health"):
        venues.open(path)
        assert venues.js("return document.documentElement.scrollWidth - innerWidth") == 0, path
    venues.js("document.querySelector('.vs-bar [data-act=controls]').click()")
    venues.click('.vs-off [data-key="off"][data-value="venues"]')
    venues.until(lambda: len(venues.js(CELLS, f"{CARD.format('binance_spot')} .syms b")) == 2)
    small = venues.js(
        """return [...document.querySelectorAll('.vs-off :is(button, select, .vs-inp)')]
        .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 28).map((e) => e.outerHTML)"""
    )
    assert small == []
