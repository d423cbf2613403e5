"""The liquidity heatmap and the depth chart's controls in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.browser.fake_source import MAP_LETTERS, MAP_STEPS, SYMBOLS
from tests.browser.test_charts import RANGE, ZOOMED, drag, refreshes

LAST = """
const gd = venuescope.graph('book_map'), heat = gd.data[0], rows = venuescope.store.streams.book_map.rows;
const at = heat.x.length - 1, t = heat.x[at] - venuescope.store.streams.book_map.step * 500;
return {t, y: heat.y, z: heat.z.map((line) => line[at]), text: heat.text.map((line) => line[at])};
"""
# The line over the cells, and the best prices of its last column.
MID = """
const gd = venuescope.graph('book_map'), rows = venuescope.store.streams.book_map.rows;
const [heat, , line] = gd.data, x = line.x.at(-1);
const at = rows.t.indexOf(x - venuescope.store.streams.book_map.step * 500);
return [heat.type, line.name, x - heat.x.at(-1), line.y.at(-1), rows.bid[at], rows.ask[at]];
"""
# What rests no farther from the mid than a price, summed up level by level.
WITHIN = """
const s = venuescope.store.streams.depth, F = venuescope.format, mid = (s.bid + s.ask) / 2;
const {price_decimals: k, size_decimals} = s.market, z = 10 ** size_decimals, at = venuescope.charts.depth.at;
const far = Math.abs(at * 10 ** k - mid), part = (far / mid * 100).toFixed(3);
const sum = ({p, q}) => q.filter((_, i) => Math.abs(p[i] - mid) <= far).reduce((a, b) => a + b, 0) / z;
return at === null ? '' : `±${part}%  ${F.three(sum(s.b))} / ${F.three(sum(s.a))} BTC`;
"""

# Rows of the ladder from the best price on as they are told, then as they should be.
LADDER = """
const s = venuescope.store.streams.depth, F = venuescope.format;
const k = s.market.price_decimals, z = s.market.size_decimals;
const of = (host) => [...document.querySelectorAll(`[data-host="ladder:${host}"] .l`)]
  .map((row) => [...row.querySelectorAll('span')].map((el) => el.textContent));
const asks = of('a').reverse(), bids = of('b'), places = Math.max(0, k - Math.round(Math.log10(s.step)));
const told = (side, n) => Array.from({length: n}, (_, i) =>
  [F.group(side.p[i] / 10 ** k, places), F.scaled(side.q[i], z), F.scaled(side.c[i], z)]);
return [asks, bids, told(s.a, asks.length), told(s.b, bids.length)];
"""
CHOOSE = """const el = document.querySelector(arguments[0]); el.value = arguments[1];
el.dispatchEvent(new Event('change', {bubbles: true}))"""


def book(page: Any, query: str = "") -> Any:
    """The Book page, its map drawn."""
    page.open(f"/book{query}")
    page.until(
        lambda: page.js("return Boolean(venuescope.drawn.book_map && venuescope.graph('book_map').data)"), 30
    )
    return page


def test_the_last_column_is_the_sources_and_a_zoom_survives_updates(page: Any) -> None:
    book(page)
    last = page.js(LAST)
    row = page.source.map_column("BTC-USDT", int(last["t"]) // 1000, MAP_STEPS[300])
    scale, unit = 10 ** SYMBOLS["BTC-USDT"][1], int(row["bin"])
    wanted = {
        round((row["first"] + i + 0.5) * unit / scale, 3): MAP_LETTERS.index(letter)
        for i, letter in enumerate(row["z"])
        if letter != "."
    }
    drawn = {round(y, 3): z for y, z in zip(last["y"], last["z"], strict=True) if z is not None}
    both = wanted.keys() & drawn.keys()
    assert len(both) > 60
    assert {y: round(drawn[y]) for y in both} == {y: wanted[y] for y in both}
    below, over, short, mid, bid, ask = page.js(MID)
    assert (below, over, short) == ("heatmap", "Mid", 0)  # it is drawn over the cells, to their end
    assert mid == pytest.approx((bid + ask) / 2 / scale)
    assert all(
        text.endswith("BTC")
        for y, text in zip(last["y"], last["text"], strict=True)
        if wanted.get(round(y, 3))
    )
    # Rows as they are chosen, and what is finer than what is kept is said not to be.
    choice = "#panel-book_map [data-select=rows]"
    offered = page.js(
        "return [...document.querySelector(arguments[0]).options].map((one) => one.value)", choice
    )
    wide = "const {y} = venuescope.graph('book_map').data[0]; return y[1] - y[0]"
    assert offered[0] == ""
    assert page.js(wide) == pytest.approx(int(offered[1]) / scale)
    page.js(CHOOSE, choice, offered[-1])
    page.until(lambda: page.js(wide) == pytest.approx(int(offered[-1]) / scale))
    assert f"rows={offered[-1]}" in page.js("return location.search")
    told = "return document.querySelector('#panel-book_map footer .f-n').textContent"
    page.until(lambda: page.js(told).endswith(f"rows of {int(offered[-1]) / scale:.1f} USDT"))
    page.js("venuescope.set({rows: '1'})")
    page.until(lambda: page.js(told).endswith(f"rows of {unit / scale:.1f} USDT: no finer ones are kept"))
    assert (
        page.js("return document.querySelector(arguments[0]).selectedOptions[0].text", choice) == "Rows: 0.1"
    )
    page.js(CHOOSE, choice, "")
    page.until(lambda: page.js(wide) == pytest.approx(int(offered[1]) / scale))
    drag(page, "book_map")
    before = page.js(RANGE, "book_map")
    page.until(lambda: page.js(LAST)["t"] > last["t"])
    refreshes(page, 2)
    assert page.js(RANGE, "book_map") == before
    assert page.js(ZOOMED, "book_map")


def test_depth_is_drawn_as_its_controls_say_and_the_link_holds_it(page: Any) -> None:
    book(page, "?span=0.1&logy=log&group=10")
    page.until(lambda: page.js("return Boolean(venuescope.drawn.depth)"))
    page.until(lambda: page.js("return venuescope.graph('depth')._fullLayout.yaxis.type") == "log")
    prices = page.js("return venuescope.graph('depth').data[0].x.slice(0, 8)")
    assert all(abs(price - round(price)) < 1e-6 for price in prices)  # ten ticks of 0.1
    low, high = page.js("return venuescope.charts.depth.range")
    assert (high - low) / (high + low) == pytest.approx(0.001, rel=0.01)
    assert page.js("return document.querySelector('#panel-depth [data-select=span]').value") == "0.1"
    page.click('#panel-depth [data-key="logy"][data-value="lin"]')
    page.until(lambda: page.js("return venuescope.graph('depth')._fullLayout.yaxis.type") == "linear")
    assert "logy" not in page.js("return location.search")
    assert "BTC" in page.text('[data-f="depth.within"]')


@pytest.mark.nightly
def test_what_rests_within_the_pointers_distance_is_told(page: Any) -> None:
    book(page)
    page.until(lambda: page.js("return Boolean(venuescope.drawn.depth)"))
    page.click("[data-act=pause]")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
    drawn = page.text('[data-f="depth.within"]')
    layer = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-chart="depth"] .nsewdrag')
    told = set()
    for share in (0.1, 0.25, -0.2):
        actions = ActionChains(page.duo.driver).move_to_element(layer)
        actions.move_by_offset(int(layer.size["width"] * share), 0).perform()
        page.until(lambda: page.text('[data-f="depth.within"]').replace("≥ ", "") == page.js(WITHIN))
        told.add(page.text('[data-f="depth.within"]'))
    assert len(told) == 3
    ActionChains(page.duo.driver).move_to_element(
        page.duo.driver.find_element(By.CSS_SELECTOR, "#panel-depth h2")
    ).perform()
    page.until(lambda: page.text('[data-f="depth.within"]') == drawn)


@pytest.mark.nightly
def test_the_ladder_joins_levels_as_the_chart_does(page: Any) -> None:
    book(page, "?hz=10")
    page.until(lambda: page.js(LADDER)[0])
    assert "." in page.js(LADDER)[0][-1][0]
    page.js(CHOOSE, "#panel-ladder [data-select=group]", "100")
    page.until(lambda: page.js("return venuescope.store.streams.depth.step") == 100)
    page.until(lambda: "." not in page.js(LADDER)[0][-1][0])
    page.js("venuescope.set({paused: true})")
    asks, bids, wanted_asks, wanted_bids = page.js(LADDER)
    assert len(asks) > 5
    assert asks == wanted_asks
    assert bids == wanted_bids
    assert all(int(row[0].replace(",", "")) % 10 == 0 for row in asks + bids)
    assert page.js("return document.querySelector('#panel-depth [data-select=group]').value") == "100"
    first = "document.querySelector('[data-host=\"ladder:b\"] .l')"
    page.js(f"{first}.dispatchEvent(new MouseEvent('mouseover', {{bubbles: true}}))")
    assert page.js(f"return {first}.title").startswith(f"Bids from {bids[0][0]}.0 up to, not with, ")


@pytest.mark.nightly
def test_a_span_past_what_is_known_says_so(page: Any) -> None:
    book(page, "?span=5")
    page.until(lambda: page.js("return venuescope.store.streams.depth.span") == 0.05)
    page.until(lambda: "not known past" in page.text('[data-over="depth"] [data-key="dark0"]'))
    low, high = page.js("return venuescope.charts.depth.range")
    band, bids, asks = page.js("const d = venuescope.graph('depth').data; return [d[4].x, d[0].x, d[1].x]")
    assert (min(x for x in band if x), max(x for x in band if x)) == pytest.approx((low, high))
    assert min(bids) in band
    assert max(asks) in band
    assert "≥" in page.text('[data-f="depth.within"]')
    page.js(CHOOSE, "#panel-depth [data-select=span]", "1")
    page.until(lambda: page.js("return venuescope.graph('depth').data[4].x.length") == 0)
    page.until(lambda: "≥" not in page.text('[data-f="depth.within"]'))
    low, high = page.js("return venuescope.charts.depth.range")
    ends = "const d = venuescope.graph('depth').data; return [d[0].x.at(-1), d[1].x.at(-1)]"
    assert page.js(ends) == pytest.approx([low, high], rel=1e-3)


@pytest.mark.nightly
@pytest.mark.parametrize("window", [60, 900, 3600, 14400])
def test_every_window_is_drawn(page: Any, window: int) -> None:
    book(page, f"?window={window}")
    page.until(lambda: page.js("return venuescope.store.streams.book_map.step") == MAP_STEPS[window])
    page.until(lambda: page.js(LAST)["t"] % (MAP_STEPS[window] * 1000) == 0)
    columns, rows = page.js(
        "const heat = venuescope.graph('book_map').data[0]; return [heat.x.length, heat.y.length]"
    )
    assert window / MAP_STEPS[window] - 2 <= columns <= 151
    assert rows <= 150


@pytest.mark.nightly
def test_a_gap_is_empty_named_and_no_line_crosses_it(page: Any) -> None:
    book(page)
    broken = page.js(
        "const [heat, , mid] = venuescope.graph('book_map').data;"
        "const out = mid.y.map((y, i) => [y === null, heat.z.every((line) => line[i] === null)]);"
        "return out.filter(([a, b]) => a || b)"
    )
    assert broken
    assert all(mid and empty for mid, empty in broken)
    assert "gap 4 s" in page.text('[data-over="book_map"]')


@pytest.mark.nightly
def test_the_maps_csv_names_its_view_and_range(page: Any) -> None:
    book(page)
    page.click("#panel-book_map [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    assert page.source.exports[0]["chart"] == "book_map"
    assert page.source.exports[0]["range"] is None
