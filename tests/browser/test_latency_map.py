"""The latency heatmap and the threshold in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.test_charts import drag, refreshes

Z = "return venuescope.graph('latency_map').data[0].z"
LINE = "return venuescope.graph(arguments[0]).data[arguments[1]].y"
FIELD = '[data-host="slo:form"] input'
LINES = (("latency_map", 6), ("latency", 6), ("distribution", 3))


def opened(page: Any, query: str = "") -> None:
    page.open("/latency" + query)
    page.until(lambda: page.state("latency_map") == "live")
    page.until(
        lambda: page.js("return Boolean(venuescope.drawn.latency_map && venuescope.graph('latency_map'))")
    )
    page.until(lambda: page.js("return venuescope.graph('latency_map').data.length") == 8)


def asked(page: Any, text: str) -> None:
    """Type a threshold and leave the field."""
    field = page.duo.driver.find_element(By.CSS_SELECTOR, FIELD)
    field.send_keys(Keys.CONTROL + "a")
    field.send_keys(text or Keys.DELETE)
    field.send_keys(Keys.ENTER)


def test_the_map_is_what_came_and_a_threshold_is_drawn_on_every_chart_of_latency(page: Any) -> None:
    opened(page)
    # Each shade is the share of its column's samples, on a log scale.
    wrong = """const s = venuescope.store.streams.latency_map, d = venuescope.graph('latency_map').data[0];
        const low = Math.min(...s.rows.c.map((c) => c[0])), t0 = Number(d.x0) - d.dx / 2, wrong = [];
        s.rows.t.forEach((t, i) => {
          const [first, ...counts] = s.rows.c[i], total = counts.reduce((a, b) => a + b, 0), k = (t - t0) / d.dx;
          if (d.z[0][k] === undefined) return;  // came after the draw
          counts.forEach((n, j) => {
            const shade = d.z[first + j - low][k];
            const share = n ? Math.max(-4, Math.log10(n / total)) : -4.35;
            if (Math.abs(shade - share) > 1e-9) wrong.push([k, j, shade, share]);
          });
        });
        return wrong;"""
    assert page.js(wrong) == []
    assert len(page.js(Z)) > 20
    assert page.js("return document.querySelector('#panel-latency_map .vs-read').hidden")
    asked(page, "100")
    page.until(lambda: "slo=100000" in page.js("return location.search"))
    for name, place in LINES:
        page.until(lambda name=name, place=place: page.js(LINE, name, place) == [100, 100])
        label = f'[data-over="{name}"] [data-key="slo"]'
        page.until(lambda label=label: page.text(label) == "threshold 100 ms")
    page.until(lambda: page.source.params.get("slo") == "100000")
    page.until(lambda: page.text('[data-f="fact.slo"]') == "0.084")
    page.until(lambda: page.text('[data-f="slo.share"]') == "1,212 of 1,442,806 (0.084 %)")
    asked(page, "")
    for name, place in LINES:
        page.until(lambda name=name, place=place: page.js(LINE, name, place) == [])
    assert "slo" not in page.js("return location.search")


@pytest.mark.nightly
def test_a_zoom_of_the_map_survives_updates_and_a_threshold(page: Any) -> None:
    opened(page)
    drag(page, "latency_map")
    span = "return venuescope.graph('latency_map')._fullLayout.xaxis.range"
    before = page.js(span)
    asked(page, "80 ms")
    page.until(lambda: page.js(LINE, "latency_map", 6) == [80, 80])
    refreshes(page, 8)
    assert page.js(span) == before
    page.click("#panel-latency_map [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    request = page.source.exports[0]
    assert (request["chart"], request["part"]) == ("latency_map", "8")
    assert request["range"] is not None


@pytest.mark.nightly
def test_a_threshold_of_a_link_is_shown_and_what_is_none_is_marked(page: Any) -> None:
    opened(page, "?slo=250.5")
    page.until(lambda: page.js("return document.querySelector(arguments[0]).value", FIELD) == "250.5")
    # Far below what is drawn: its name stays at the edge, and the chart is not pressed flat.
    page.until(lambda: page.text('[data-over="latency_map"] [data-key="slo"]') == "threshold 250.5 µs ↓")
    assert page.js(LINE, "latency_map", 6) == []
    asked(page, "soon")
    page.until(
        lambda: page.js("return document.querySelector(arguments[0]).getAttribute('aria-invalid')", FIELD)
    )
    assert page.js("return venuescope.state.slo") == "250.5"
    for text, us in (("1.5ms", "1500"), ("2 s", "2000000"), ("900 us", "900")):
        asked(page, text)
        page.until(lambda us=us: page.js("return venuescope.state.slo") == us)


@pytest.mark.nightly
def test_hovering_says_time_range_count_and_share(page: Any) -> None:
    opened(page)
    over = """const gd = venuescope.graph('latency_map'), d = gd.data[0];
        return d.text.flat().filter((t) => /[1-9][0-9]* of/.test(t))[0];"""
    said = page.js(over)
    when, between, share = said.split("<br>")
    assert when.endswith("UTC, 2 s")
    assert between.endswith("ms")
    assert "samples, " in share
    assert share.endswith("%")


@pytest.mark.nightly
def test_what_is_before_the_start_is_a_quiet_band_that_changes_nothing_of_the_chart(page: Any) -> None:
    opened(page)
    band = 'return document.querySelector(\'[data-over="latency"] [data-key="began"]\')'
    assert page.js(band) is None
    # The rows of the newest third alone, of a program that was started with them.
    shift = """const s = venuescope.store.streams.latency, gd = venuescope.graph('latency');
        const from = s.rows.t[Math.floor(s.rows.t.length * 2 / 3)];
        const axis = gd._fullLayout.xaxis, a = venuescope.store.answer;
        Object.assign(a, { epoch: 'begun', engine: { ...a.engine, uptime_s: (a.now - from) / 1000 } });
        const fake = { _fullLayout: gd._fullLayout, data: [{ name: 'p50', x: [s.rows.t[0], from], y: [null, 1] }] };
        const range = axis.range.join();
        venuescope.began('latency', fake);
        const el = document.querySelector('[data-over="latency"] [data-key="began"]');
        const far = Math.abs(parseFloat(el.style.width) - axis.l2p(from));
        return [el.textContent, el.hidden, far < 1, axis.range.join() === range, venuescope.format.time(from)];"""
    text, hidden, placed, same, at = page.js(shift)
    assert (text, hidden, placed, same) == (f"started {at} UTC", False, True, True)


BAND = """const el = document.querySelector('[data-over="latency"] [data-key="began"]');
    return el && !el.hidden ? [el.textContent, parseFloat(el.style.width)] : null;"""


@pytest.mark.nightly
def test_a_range_before_all_that_was_seen_says_since_when_there_is_something(page: Any) -> None:
    opened(page)
    later = """const gd = venuescope.graph('latency'), axis = gd._fullLayout.xaxis;
        const to = Date.parse(axis.range[1] + 'Z');
        venuescope.began('latency', { _fullLayout: gd._fullLayout, data: [{ name: 'p50', x: [to + 30000], y: [1] }] });
        return [venuescope.format.time(to + 30000), axis._length];"""
    page.js("venuescope.set({ paused: true })")
    at, whole = page.js(later)
    text, wide = page.js(BAND)
    assert text == f"first data {at} UTC"
    assert abs(wide - whole) < 1


@pytest.mark.nightly
def test_what_a_held_range_has_from_before_the_window_is_not_said_to_be_before_the_first_data(
    page: Any,
) -> None:
    opened(page)
    page.js(
        """const { keep } = venuescope.store.streams.latency;
        venuescope.set({ at0: keep - 60000, at1: keep + 60000 });"""
    )
    page.until(lambda: page.js(BAND))
    assert page.js(BAND)[0] == "before the 5 m window"
