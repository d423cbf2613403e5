"""Studies, styles, scales and the comparison of the Market page, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from engine.market.studies import parse
from tests.browser.test_charts import RANGE, drag, refreshes

ALL = "sma-20,sma-50,ema-50,bb-20-2,vwap,profile"
NAMES = "return venuescope.graph('candles').data.slice(8).map((t) => t.name)"


def market(page: Any, query: str = "") -> None:
    """The Market page, its candles drawn."""
    page.open(f"/market{query}")
    page.until(lambda: page.js("return Boolean(venuescope.drawn.candles)"))


def test_studies_are_chosen_by_keyboard_drawn_and_kept_in_the_address(page: Any) -> None:
    market(page)
    page.js("document.querySelector('.vs-studies-open').focus()")
    keys = page.duo.driver.switch_to
    keys.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.js("return document.activeElement.id") == "study-0")
    keys.active_element.send_keys(Keys.SPACE)
    page.until(lambda: page.js(NAMES) == ["SMA 20"])
    page.js(
        """const box = document.querySelectorAll('#studies-menu [type=number]')[0];
        box.value = 35; box.dispatchEvent(new Event('change', {bubbles: true}))"""
    )
    page.until(lambda: page.js(NAMES) == ["SMA 35"])
    assert "studies=sma-35" in page.js("return location.search")
    assert page.source.params["studies"] == ["sma-35"]
    page.until(lambda: "SMA 35" in page.text("[data-host=studies]"))
    page.until(lambda: "SMA 35" in page.text("[data-over=candles]"))
    keys.active_element.send_keys(Keys.ESCAPE)
    assert not page.js("return document.querySelector('#studies-menu').matches(':popover-open')")


@pytest.mark.nightly
def test_a_zoom_outlives_style_scale_and_studies(page: Any) -> None:
    market(page, f"?studies={ALL}")
    page.until(lambda: len(page.js(NAMES)) == 11)
    drag(page, "candles")
    before = page.js(RANGE, "candles")
    page.until(lambda: "hollow rises" in page.text("#panel-candles footer"))
    for key, value, seen in (
        ("style", "bars", "venuescope.graph('candles').data[6].x.length > 9"),
        ("style", "line", "venuescope.graph('candles').data[7].x.length > 9"),
        ("scale", "log", "venuescope.graph('candles')._fullLayout.yaxis.type === 'log'"),
        ("scale", "percent", "venuescope.graph('candles')._fullLayout.yaxis.ticksuffix === '%'"),
        ("studies", ["vwap"], "venuescope.graph('candles').data.length === 9"),
    ):
        page.js("venuescope.set({[arguments[0]]: arguments[1]})", key, value)
        page.until(lambda seen=seen: page.js(f"return {seen}"))
        assert page.js(RANGE, "candles") == before
        page.until(lambda: "hollow" not in page.text("#panel-candles footer"))
    assert "%" in page.text("[data-over=candles] .vs-price")
    refreshes(page, 4)
    assert page.js(RANGE, "candles") == before


@pytest.mark.nightly
def test_the_overview_knows_no_studies(page: Any) -> None:
    page.open(f"/?studies={ALL}&style=line&scale=log")
    page.until(lambda: page.js("return Boolean(venuescope.drawn.candles)"))
    assert page.js(NAMES) == []
    assert page.js("return venuescope.graph('candles').data[0].x.length") > 9
    assert page.js("return venuescope.graph('candles')._fullLayout.yaxis.type") == "linear"
    assert "studies" not in page.source.params["streams"]


@pytest.mark.nightly
def test_the_comparison_is_indexed_or_apart(page: Any) -> None:
    market(page, "?compare=indexed")
    page.until(lambda: page.js("return Boolean(venuescope.drawn.indexed)"))
    assert page.js("return document.getElementById('panel-mids').offsetParent === null")
    lines = page.js("return venuescope.graph('indexed').data.slice(3).map((t) => [t.y[0], t.line.dash])")
    assert [first for first, _ in lines] == [100] * 4
    assert [dash for _, dash in lines][-1] != "solid"
    page.until(lambda: "Built-in" in page.text("[data-over=indexed]"))
    # An outage of one book breaks its line alone, and its band says whose it is.
    gap, band, breaks, word = page.js(
        """const chart = venuescope.charts.indexed, s = structuredClone(venuescope.store.streams.indexed), t = s.rows.t;
        const one = s.series[1], at = t.length - 20, gap = [t[at], t[at + 3]];
        one.gaps = [gap];
        for (let i = at; i < at + 3; i++) s.rows[one.id][i] = null;
        const drawn = Object.fromEntries(chart.data(s)), lines = s.series.map((_, i) => drawn[i + 3]);
        chart.after(venuescope.graph('indexed'));
        return [gap, drawn[2].x.slice(0, 5), lines.map(({ y }) => y.filter((v) => v === null).length),
          document.querySelector('[data-over=indexed] .is-gap').textContent]"""
    )
    assert band == [gap[0], gap[0], gap[1], gap[1], gap[0]]
    assert breaks == [0, 1, 0, 0]
    assert word == "Bybit gap"
    page.click('#panel-indexed [data-value="mids"]')
    page.until(lambda: page.js("return Boolean(venuescope.drawn.mids)"))
    assert page.js("return document.getElementById('panel-indexed').offsetParent === null")


@pytest.mark.nightly
def test_a_csv_click_asks_for_studies_and_for_the_profile(page: Any) -> None:
    market(page, f"?studies={ALL}")
    page.click("#panel-candles [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    page.click(".vs-studies-open")
    page.click("#studies-menu [data-act=studies-profile]")
    page.until(lambda: len(page.source.exports) == 2)
    asked = [(one["chart"], one["part"]) for one in page.source.exports]
    assert asked == [("studies", ""), ("studies", "profile")]


@pytest.mark.nightly
def test_refreshes_stay_small_with_all_studies(page: Any) -> None:
    market(page, f"?hz=4&studies={ALL}")
    refreshes(page, 4)
    page.js(
        """window.bodies = [];
        new PerformanceObserver((l) => l.getEntries().forEach((e) => {
          if (e.name.includes('_dash-update')) window.bodies.push(e.decodedBodySize);
        })).observe({entryTypes: ['resource']})"""
    )
    page.until(lambda: len(page.js("return window.bodies")) >= 8, 30)
    bodies = page.js("return window.bodies")
    assert sum(bodies) / len(bodies) < 15 * 1024


TYPE = """const [kind, at, value] = arguments;
    const el = document.querySelectorAll(`#studies-menu [data-kind=${kind}] [type=number]`)[at];
    el.value = value; el.dispatchEvent(new Event('change', {bubbles: true}));
    return el.getAttribute('aria-invalid')"""


@pytest.mark.nightly
def test_what_is_typed_for_a_study_is_drawn_or_marked_and_takes_nothing_away(page: Any) -> None:
    market(page, "?studies=bb-20-2")
    page.click(".vs-studies-open")

    def drawn(word: str) -> None:
        page.until(lambda: page.js("return (venuescope.store.streams.studies || {}).tokens") == [word])
        assert f"studies={word}" in page.js("return location.search")
        assert page.text(".vs-studies-open").strip() == "Studies 1"

    drawn("bb-20-2")
    for bad in (2.25, 5.1, 0.4, ""):
        assert page.js(TYPE, "bb", 1, bad) == "true"
        drawn("bb-20-2")
    assert page.js(TYPE, "bb", 1, 2.5) is None
    drawn("bb-20-2.5")
    for bad in (1, 201, 20.5):
        assert page.js(TYPE, "bb", 0, bad) == "true"
        drawn("bb-20-2.5")


@pytest.mark.nightly
def test_every_study_of_a_link_has_a_row_of_its_own(page: Any) -> None:
    market(page, "?studies=sma-10,sma-20,sma-30,sma-500,bb-20-9,ema-07")
    assert page.js("return venuescope.state.studies") == ["sma-10", "sma-20", "sma-30", "ema-7"]
    page.click(".vs-studies-open")
    assert page.js(TYPE, "ema", 0, 9) is None
    page.until(lambda: sorted(page.js(NAMES)) == ["EMA 9", "SMA 10", "SMA 20", "SMA 30"])
    page.js("document.querySelector('#studies-menu [data-kind=profile] [type=checkbox]').click()")
    page.js("document.querySelector('#studies-menu [data-kind=vwap] [type=checkbox]').click()")
    assert len(page.js("return venuescope.state.studies")) == 6
    page.js("document.querySelector('#studies-menu [data-kind=bb] [type=checkbox]').click()")
    assert len(page.js("return venuescope.state.studies")) == 6
    assert not page.js(
        "return document.querySelector('#studies-menu [data-kind=bb] [type=checkbox]').checked"
    )


@pytest.mark.nightly
def test_page_and_server_read_the_same_studies(page: Any) -> None:
    market(page)
    tokens = [
        f"{kind}-{n}" for kind in ("sma", "ema", "rsi", "bb") for n in (0, 1, 2, 20, 200, 201, "007", 2.5, "")
    ]
    tokens += [
        f"bb-{n}-{w}" for n in (1, 20, 200, 201) for w in (0, 0.4, 0.5, "2.0", 2, 2.25, 5, 5.1, "", "x")
    ]
    tokens += ["vwap", "profile", "sma-20-2", "", "VWAP", " sma-20"]
    told = page.js("return arguments[0].map((one) => venuescope.study(one) || null)", tokens)
    assert told == [study.token if (study := parse(token)) else None for token in tokens]
