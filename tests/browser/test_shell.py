"""The shell in a real browser: sources, rate, pause, pages, theme, connection."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.shell import create_app
from tests.browser.conftest import Page, boxes, policed
from tests.browser.exchange_source import ExchangeSource
from tests.browser.history_source import HistorySource
from tests.browser.venue_source import VenueSource

DRAWN = """const g = venuescope.graph(arguments[0]);
return g && g.data && g.data.some((t) => t.x && t.x.length > 2)"""
SERIES = "return venuescope.store.streams.throughput.series.map((s) => s.id)"


def test_a_venue_chip_hides_its_source_here_and_in_the_url(page: Any) -> None:
    page.until(lambda: "bybit_linear" in page.js(SERIES))
    page.click('[data-host="chips:bar"] [data-id="bybit_linear"]')
    page.until(lambda: "bybit_linear" not in page.js(SERIES))
    assert page.source.params["hidden"] == ["bybit_linear"]
    assert "off=bybit_linear" in page.js("return location.search")
    page.until(
        lambda: (
            page.js("return document.querySelector('[data-id=bybit_linear]').getAttribute('aria-pressed')")
            == "false"
        )
    )
    page.click('[data-host="chips:bar"] [data-id="bybit_linear"]')
    page.until(lambda: "bybit_linear" in page.js(SERIES))
    assert "off=" not in page.js("return location.search")


@pytest.mark.nightly
def test_hiding_every_source_says_how_to_switch_one_on(page: Any) -> None:
    page.open("/?off=binance_usdm,bybit_linear,okx_swap,builtin")
    page.until(lambda: page.state("depth") == "off")
    assert "Show Binance" in page.text("#panel-depth .vs-state")
    page.click("#panel-depth .vs-state button")
    page.until(lambda: page.state("depth") == "live")


def test_the_rate_reaches_the_engine_and_shows_what_the_engine_says(page: Any) -> None:
    field = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("25k", Keys.ENTER)
    page.until(lambda: ("set_rate", {"orders_per_s": 25_000}) in page.source.commands)
    page.until(lambda: field.get_property("value") == "25,000")
    page.source.rate = 300  # somebody else changed it
    page.until(lambda: field.get_property("value") == "300")


@pytest.mark.nightly
def test_a_rate_that_is_none_is_refused_before_it_is_sent(page: Any) -> None:
    field = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("fast", Keys.ENTER)
    page.until(lambda: "not a rate" in page.text(".vs-toast"))
    assert page.source.commands == []


@pytest.mark.nightly
def test_the_slider_is_logarithmic_and_has_a_zero(page: Any) -> None:
    move = """const s = document.querySelector('[data-host="rate:bar"] input[type=range]');
        s.value = arguments[0]; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change'));"""
    for place, rate in (("0", 0), ("1", 10), ("1000", 1_000_000)):
        page.js(move, place)
        page.until(lambda rate=rate: ("set_rate", {"orders_per_s": rate}) in page.source.commands)


def test_a_refused_command_becomes_a_toast(page: Any) -> None:
    page.js("venuescope.command('fly', {})")
    page.until(lambda: "there is no command" in page.text(".vs-toast"))


def test_paused_nothing_moves_and_resuming_catches_up(page: Any) -> None:
    body = page.duo.driver.find_element(By.TAG_NAME, "body")
    stood = boxes(page)
    body.send_keys("p")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
    assert "Paused at" in page.text('[data-host="banner"]')
    assert boxes(page) == stood
    page.js(
        """setTimeout(() => { window.before = [venuescope.polls,
          JSON.stringify(venuescope.graph('depth').data[0].y),
          document.querySelector('[data-f="quote.last"]').textContent]; }, 600);"""
    )
    page.until(lambda: page.js("return Boolean(window.before)"))
    polls, drawn, last = page.js("return window.before")
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 1500)")
    page.until(lambda: page.js("return window.later"))
    assert page.js("return venuescope.polls") == polls
    assert page.js("return JSON.stringify(venuescope.graph('depth').data[0].y)") == drawn
    assert page.text('[data-f="quote.last"]') == last
    assert page.state("depth") == "paused"
    newest = page.js("return venuescope.store.streams.candles.rows.t.at(-1)")
    body.send_keys("p")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Live")
    # A candle of this window is five seconds long: the next one may begin only some polls after resuming.
    page.until(lambda: page.js("return venuescope.store.streams.candles.rows.t.at(-1)") > newest)


CHARTS = """return [...document.querySelectorAll('[data-chart]')].filter((panel) => panel.offsetParent)
  .map((panel) => panel.dataset.chart).filter(Boolean)"""


def test_every_page_opens_draws_and_leaves_nothing_of_the_last_one(page: Any) -> None:
    charts = {
        "book": {"book_map", "depth", "metrics"},
        "market": {"candles", "mids"},
        "latency": {"latency_map", "latency", "distribution", "samples"},
        "throughput": {"messages", "orders", "trades"},
        "limits": {"limits"},
        "health": set(),
        "overview": {"depth", "candles", "latency", "throughput"},
    }
    for name, drawn in charts.items():
        page.click(f"#rail-{name}")
        page.until(
            lambda name=name: page.js("return document.querySelector('[data-page]').dataset.page") == name
        )
        page.until(
            lambda name=name: (
                set(
                    page.js(
                        """return [...document.querySelectorAll('section[data-panel]')]
                          .filter((p) => p.offsetParent).map((p) => p.dataset.state)"""
                    )
                )
                <= ({"live", "empty"} if name in ("health", "market") else {"live"})
                # no malformed frames, no venue, no funding
            ),
            15,
        )
        for chart in drawn:
            page.until(
                lambda chart=chart: page.js(
                    DRAWN,
                    chart,
                )
            )
        assert set(page.js(CHARTS)) == drawn
        assert page.js("return document.querySelectorAll('h1').length") == 1
        assert page.js("return document.querySelector('.vs-link[aria-current]').id") == f"rail-{name}"


def test_pages_are_reached_by_number_and_keep_the_window_in_the_url(page: Any) -> None:
    page.click('.vs-bar [data-key="window"][data-value="60"]')
    page.until(lambda: page.source.params.get("window") == 60)
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys("4")
    page.until(lambda: page.js("return document.querySelector('[data-page]').dataset.page") == "latency")
    page.until(lambda: "window=60" in page.js("return location.search"))
    assert page.source.params["window"] == 60


@pytest.mark.nightly
def test_following_a_link_to_the_page_one_is_on_redraws_it(page: Any) -> None:
    page.until(lambda: page.js("return venuescope.graph('depth').data.length") > 2)
    page.click("#rail-overview")
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 3)
    page.until(
        lambda: page.js(
            "const g = venuescope.graph('depth'); return g.data && g.data.length > 2 && g.data[0].x.length > 50"
        )
    )


def test_a_server_that_does_not_answer_is_said_and_comes_back(page: Any) -> None:
    page.expects_errors = True
    page.js(
        """venuescope.link.patience = 3000;
        window.words = [];
        const word = document.querySelector('[data-f="badge.word"]');
        new MutationObserver(() => window.words.push(word.textContent))
          .observe(word, { childList: true, characterData: true, subtree: true })"""
    )
    page.source.switch("broken")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Disconnected", 15)
    page.until(lambda: page.state("depth") == "disconnected")
    assert page.js("return window.words.indexOf('Slow')") == 0  # at first it may just be slow
    assert re.search(r"Disconnected since \d\d:\d\d:\d\d UTC", page.text('[data-host="banner"]'))
    page.source.switch("live")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Live", 15)
    page.until(lambda: page.state("depth") == "live")
    assert page.text('[data-host="banner"]') == ""


@pytest.mark.nightly
def test_a_restarted_server_starts_the_page_again(page: Any) -> None:
    page.until(lambda: page.js("return venuescope.polls") > 4)
    page.source.epoch = "fake-2"
    page.until(lambda: page.js("return venuescope.restarts") == 1)
    page.until(lambda: page.js("return venuescope.store.streams.candles.rows.t.length") > 50)
    assert page.js(
        "const t = venuescope.store.streams.candles.rows.t; return t.every((x, i) => !i || x > t[i - 1])"
    )


def test_stale_resyncing_and_ended_are_drawn(page: Any) -> None:
    page.source.switch("stale")
    page.until(lambda: page.state("candles") == "stale")
    assert "Stale since" in page.text("#panel-candles .vs-note")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Stale")
    page.source.switch("resyncing")
    page.until(lambda: page.state("depth") == "resyncing")
    assert (
        page.js("return getComputedStyle(document.querySelector('#panel-depth .vs-plot')).visibility")
        == "hidden"
    )
    page.until(lambda: page.state("candles") == "live")  # the candles come with a later poll
    page.source.switch("ended")
    page.until(lambda: page.state("candles") == "ended")
    page.click("#panel-candles .vs-note button")
    page.until(lambda: ("restart_replay", {}) in page.source.commands)


def test_a_replay_that_failed_says_why_and_can_be_played_again(page: Any) -> None:
    page.source.switch("failed")
    page.until(lambda: page.state("candles") == "error")
    assert "The capture ends in the middle of a frame." in page.text("#panel-candles .vs-note")
    page.until(lambda: page.text('[data-id="replay_sample"] .val') == "failed")
    assert page.text(".vs-toast") == ""
    page.click("#panel-candles .vs-note button")
    page.until(lambda: ("restart_replay", {}) in page.source.commands)


@pytest.mark.nightly
def test_a_replay_that_could_not_be_opened_is_said_once(page: Any) -> None:
    page.source.switch("unopened")
    page.until(lambda: "no such file" in page.text(".vs-toast"))
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 4)
    assert page.js("return document.querySelectorAll('.vs-toast').length") == 1
    assert page.text('[data-act="start-replay"] .val') == "failed"
    page.click('[data-act="start-replay"]')
    page.until(lambda: ("start_replay", {"file": "sample"}) in page.source.commands)


@pytest.mark.nightly
def test_footers_say_no_more_than_the_state_allows(page: Any) -> None:
    foot = "#panel-depth > footer"
    page.until(lambda: "sequence" in page.text(foot))
    page.source.switch("compiling")
    page.until(lambda: page.text(foot + " .f-age") == "compiling")
    assert page.text(foot + " .f-note") == ""
    page.source.switch("bare")
    page.until(lambda: page.state("limits-strip") == "empty")
    page.until(lambda: page.text('[data-f="tile.throttled"]') == "–")
    page.open("/?off=builtin")
    page.until(lambda: page.text(foot + " .f-age") == "off")
    assert page.text(foot + " .f-note") == ""


@pytest.mark.nightly
def test_another_window_while_paused_moves_the_time_of_the_pause(page: Any) -> None:
    page.click("[data-act=pause]")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 2200)")
    page.until(lambda: page.js("return window.later"))
    before = page.js("return venuescope.pausedAt")
    page.click('.vs-bar [data-key="window"][data-value="60"]')
    page.until(lambda: page.js("return venuescope.pausedAt") >= before + 2000)
    page.until(lambda: page.js("return venuescope.pausedAt - venuescope.store.answer.now") < 1000)


@pytest.mark.nightly
def test_malformed_frames_are_listed(page: Any) -> None:
    page.open("/health")
    page.until(lambda: page.state("frames") == "empty")
    assert "No malformed frames" in page.text("#panel-frames .vs-state")
    assert page.text('[data-f="health.lost"]') == "214"
    assert page.text('[data-f="health.log"]') == "async"
    assert page.text('[data-f="health.log.side"]') == "1,988 behind"
    assert page.text('[data-f="health.log.unit"]') == "249.8 MB"
    at = 1_723_120_000_000
    page.source.bad_frames = [{"t": at, "source": "okx_swap", "field": "bids", "frame": '{"bids": 7}'}]
    page.until(lambda: '{"bids": 7}' in page.text("#panel-frames tbody"))
    assert "OKX" in page.text("#panel-frames tbody")


@pytest.mark.nightly
def test_the_matching_engine_is_told_by_symbol_and_its_silence_is_said(page: Any) -> None:
    page.open("/health")
    page.until(lambda: page.state("matching") == "live")
    symbols = page.js(
        "return [...document.querySelectorAll('#panel-matching tbody tr')].map((r) => r.firstElementChild.textContent)"
    )
    assert symbols == ["BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT", "All"]
    row = "return [...document.querySelectorAll('#panel-matching tbody tr')[3].children].map((c) => c.textContent)"
    assert page.js(row) == [
        *("BNB-USDT", "13,917", "0", "688", "684", "0"),
        *("", "84.9%", "16,384", "14,017", "continuous"),
    ]
    full = "return [...document.querySelectorAll('#panel-matching .is-warn')].length"
    assert page.js(full) == 1
    assert page.text('[data-f="matching.memory"]') == "50.8 MB of 144.8 MB"
    assert page.text("#panel-load tbody tr:last-child td") == "Command time, µs"
    assert page.text("#panel-load > footer .f-n") == "11,900 batches"
    page.source.rate = 0
    page.until(lambda: page.text("#panel-load tbody tr:last-child td:nth-child(3)") == "–")
    page.source.switch("silent")
    page.until(lambda: page.state("matching") == "stale")
    assert "No figures since" in page.text("#panel-load .vs-note")
    assert page.state("tasks") == "live"
    page.source.switch("live")
    page.until(lambda: page.state("load") == "live")


@pytest.mark.nightly
def test_compiling_is_counted_and_gives_way_to_data(page: Any) -> None:
    page.source.switch("compiling")
    page.until(lambda: page.state("depth") == "compiling")
    page.until(lambda: "Compiling kernels: 3 of 6" in page.text('[data-host="starting"]'))
    # Half of it took 31 s; told once, over skeletons.
    assert re.search(r"0:3\d so far, about \d0 s left", page.text('[data-host="starting"]'))
    assert page.text("#panel-depth .vs-state") == ""
    assert (
        page.js("return getComputedStyle(document.querySelector('#panel-depth .vs-skel')).display") == "flex"
    )
    page.source.switch("bare")
    page.until(lambda: page.state("depth") == "live")
    page.until(lambda: page.text('[data-host="starting"]') == "")
    page.until(lambda: page.state("limits-strip") == "empty")
    assert "No venue is connected, so nothing is throttled" in page.text("#panel-limits-strip .vs-state")


@pytest.mark.nightly
def test_the_replay_chip_starts_the_sample(page: Any) -> None:
    page.click('[data-act="start-replay"]')
    page.until(lambda: ("start_replay", {"file": "sample"}) in page.source.commands)
    page.until(lambda: page.js("return Boolean(document.querySelector('[data-id=replay_sample]'))"))


def test_no_two_elements_share_an_id_and_every_button_has_a_name(page: Any) -> None:
    ids = page.js("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    nameless = page.js(
        """return [...document.querySelectorAll('button, select, input')]
        .filter((e) => ![e, ...(e.labels || [])].some((one) => one.textContent.trim() || one.ariaLabel))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []


OWN = """const {symbol, hidden, window, hz, theme, paused} = venuescope.state;
return {symbol, hidden, window, hz, theme, paused}"""


def test_the_url_beats_what_was_kept_which_beats_the_default(page: Any) -> None:
    standard = {"symbol": "", "hidden": [], "window": 300, "hz": 4, "theme": "system", "paused": False}
    assert page.js(OWN) == standard
    page.click('.vs-off [data-key="theme"][data-value="light"]')
    page.click('.vs-bar [data-key="hz"][data-value="2"]')
    page.click('.vs-bar [data-key="window"][data-value="900"]')
    page.click('[data-host="chips:bar"] [data-id="bybit_linear"]')
    page.js("venuescope.setText('symbol', 'ETH-USDT')")
    page.click("[data-act=pause]")  # of this visit only
    page.open("/")
    kept = {"symbol": "ETH-USDT", "hidden": ["bybit_linear"], "window": 900, "hz": 2, "theme": "light"}
    assert page.js(OWN) == {**kept, "paused": False}
    assert page.js("return document.documentElement.dataset.bsTheme") == "light"
    page.open("/market?symbol=BTC-USDT&off=okx_swap&window=60&hz=10&theme=dark&since=-30000")
    asked = {"symbol": "BTC-USDT", "hidden": ["okx_swap"], "window": 60, "hz": 10, "theme": "dark"}
    assert page.js(OWN) == {**asked, "paused": False}
    assert page.js("return [venuescope.state.at0, venuescope.theme()]") == [-30_000, "dark"]
    query = page.js("return location.search")
    page.click("#rail-book")
    page.until(lambda: page.js("return location.pathname") == "/book")
    page.until(lambda: page.js("return location.search") == query)
    page.open("/?window=nonsense&hz=7&theme=blue&since=x")
    assert page.js(OWN) == {**kept, "paused": False}
    page.duo.driver.get(page.duo.server_url + "/?paused=1")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")


def test_two_tabs_differ_in_what_is_theirs_and_agree_on_the_engine(page: Any) -> None:
    page.js("window.open('/?symbol=ETH-USDT&window=60&theme=dark&off=okx_swap', '_blank')")
    driver = page.duo.driver
    first = driver.current_window_handle
    other = next(h for h in driver.window_handles if h != first)
    own = page.js(OWN)
    driver.switch_to.window(other)
    page.until(lambda: page.js("return Boolean(window.venuescope && venuescope.painted)"), 20)
    page.until(lambda: page.text('[data-f="quote.symbol"]') == "ETH-USDT")
    page.click("[data-act=pause]")
    page.js("venuescope.command('set_rate', {orders_per_s: 4321})")
    page.until(lambda: page.source.rate == 4_321)
    theirs = page.js(OWN)
    driver.switch_to.window(first)
    assert page.js(OWN) == own
    assert page.js("return document.documentElement.dataset.bsTheme") != theirs["theme"]
    assert page.text('[data-f="badge.word"]') == "Live"
    assert page.text('[data-f="quote.symbol"]') == "BTC-USDT"
    field = driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    page.until(lambda: field.get_property("value") == "4,321")
    driver.switch_to.window(other)
    assert page.js(OWN) == theirs
    assert theirs == {
        "symbol": "ETH-USDT",
        "hidden": ["okx_swap"],
        "window": 60,
        "hz": 4,
        "theme": "dark",
        "paused": True,
    }
    # A paused page asks once, so that it shows what became of its command.
    field = driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    page.until(lambda: field.get_property("value") == "4,321")
    driver.close()
    driver.switch_to.window(first)


# What is the engine's, of a page about it: (source, page, what it is now, how it is changed, what it is then).
ALIKE: list[tuple[type[VenueSource], str, str, str, tuple[Any, Any]]] = [
    (
        VenueSource,
        "/",
        """const e = document.querySelector('[data-host="chips:venues"] [data-venue="binance_coinm"]');
        return e ? e.getAttribute('aria-pressed') : ''""",
        """document.querySelector('[data-host="chips:venues"] [data-venue="binance_coinm"]').click()""",
        ("false", "true"),
    ),
    (
        ExchangeSource,
        "/exchange?view=control",
        """return [...document.querySelectorAll('[data-host="fault-list"] .rows > div b')].map((e) => e.textContent)
        .includes('Delay acknowledgements')""",
        """venuescope.command('exchange_fault', {kind: 'slow_ack', budget: '', symbol: '', rate: 0.1, count: 0,
        duration_s: 600, delay_s: 0.25})""",
        (False, True),
    ),
    (
        HistorySource,
        "/history",
        """const e = document.querySelector('[data-act=hist-record][data-venue=binance_usdm]');
        return e ? e.getAttribute('aria-checked') : ''""",
        "document.querySelector('[data-act=hist-record][data-venue=binance_usdm]').click()",
        ("false", "true"),
    ),
]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("made", "place", "told", "change", "states"), ALIKE, ids=["connections", "faults", "recorder"]
)
def test_two_tabs_show_the_same_connections_faults_and_recorder(
    dash_duo: Any, made: type[VenueSource], place: str, told: str, change: str, states: tuple[Any, Any]
) -> None:
    before, after = states
    dash_duo.start_server(policed(create_app(made())))
    page = Page(dash_duo, made)  # type: ignore[arg-type]
    page.open(place)
    page.until(lambda: page.js(told) == before)
    own = page.js(OWN)
    driver = dash_duo.driver
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    page.open(place + ("&" if "?" in place else "?") + "window=900&hz=2&theme=light&off=bybit_linear:live")
    page.until(lambda: page.js(told) == before)
    theirs = page.js(OWN)
    page.js(change)
    page.until(lambda: page.js(told) == after)
    other = driver.current_window_handle
    driver.switch_to.window(first)
    page.until(lambda: page.js(told) == after)
    assert page.js(OWN) == own
    assert page.js("return venuescope.errors") == []
    driver.switch_to.window(other)
    assert page.js(OWN) == theirs
    assert {key for key in own if own[key] != theirs[key]} == {"hidden", "window", "hz", "theme"}
    driver.close()
    driver.switch_to.window(first)


@pytest.mark.nightly
def test_paused_ages_stand_still_and_no_second_is_lost(page: Any) -> None:
    page.until(lambda: page.js(DRAWN, "throughput"))
    page.click("[data-act=pause]")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 700)")
    page.until(lambda: page.js("return window.later"))  # an answer may have been under way
    seen = """return [...document.querySelectorAll('section[data-panel]')].map((el) => el.innerText)"""
    before = page.js(seen)
    page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 3000)")
    page.until(lambda: page.js("return window.later"))
    assert page.js(seen) == before
    assert "The engine goes on" in page.text('[data-host="banner"]')
    newest = page.js("return venuescope.store.streams.throughput.rows.t.at(-1)")
    page.click("[data-act=pause]")
    page.until(lambda: page.js("return venuescope.store.streams.throughput.rows.t.at(-1)") >= newest + 3_000)
    times = page.js("return venuescope.store.streams.throughput.rows.t")
    assert {b - a for a, b in pairwise(times)} == {1_000}
    candles = page.js("return venuescope.store.streams.candles.rows.t")
    assert candles == sorted(set(candles))


# As a browser does it when another tab comes to the front, or this one does.
HIDE = """const hidden = arguments[0];
Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
document.dispatchEvent(new Event('visibilitychange'))"""


@pytest.mark.nightly
def test_a_hidden_tab_asks_for_nothing_and_catches_up(page: Any) -> None:
    page.until(lambda: page.js(DRAWN, "throughput"))

    def waited(ms: int) -> None:
        page.js("window.later = 0; setTimeout(() => { window.later = 1 }, arguments[0])", ms)
        page.until(lambda: page.js("return window.later"))

    page.js(HIDE, True)
    waited(700)  # an answer may have been under way
    asked, painted = page.source.polls, page.js("return venuescope.painted")
    newest = page.js("return venuescope.store.streams.throughput.rows.t.at(-1)")
    waited(3_000)
    assert page.source.polls == asked
    assert page.js("return venuescope.painted") == painted
    page.js(HIDE, False)
    page.until(lambda: page.js("return venuescope.store.streams.throughput.rows.t.at(-1)") >= newest + 3_000)
    times = page.js("return venuescope.store.streams.throughput.rows.t")
    assert {b - a for a, b in pairwise(times)} == {1_000}
    page.until(lambda: page.text('[data-f="badge.word"]') == "Live")


@pytest.mark.nightly
def test_the_systems_wish_for_light_or_dark_is_followed_until_one_is_chosen(page: Any) -> None:
    theme = "return document.documentElement.dataset.bsTheme"

    def wished(scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}] if scheme else []
        page.duo.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    try:
        for scheme in ("light", "dark"):  # while the page is open
            wished(scheme)
            page.until(lambda scheme=scheme: page.js(theme) == scheme)
        wished("light")  # and before it is
        page.open()
        assert page.js(theme) == "light"
        page.open("/?theme=dark")
        assert page.js(theme) == "dark"
    finally:
        wished("")


def test_keys_are_left_alone_while_typing(page: Any) -> None:
    field = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-host="rate:bar"] input[type=text]')
    field.send_keys("p5")
    assert page.text('[data-f="badge.word"]') != "Paused"
    assert page.js("return document.querySelector('[data-page]').dataset.page") == "overview"
    field.send_keys(Keys.ESCAPE)
