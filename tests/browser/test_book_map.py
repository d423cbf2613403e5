"""The liquidity heatmap and the depth chart's controls in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.fake_source import MAP_LETTERS, MAP_STEPS, SYMBOLS
from tests.browser.test_charts import RANGE, ZOOMED, drag, refreshes

LAST = """
const gd = venuescope.graph('book_map'), heat = gd.data[0], rows = venuescope.store.streams.book_map.rows;
const at = heat.x.length - 1, t = heat.x[at] - venuescope.store.streams.book_map.step * 500;
return {t, y: heat.y, z: heat.z.map((line) => line[at]), text: heat.text.map((line) => line[at])};
"""


def book(page: Any, query: str = "") -> Any:
    """The Book page, its map drawn."""
    page.open(f"/book{query}")
    page.until(
        lambda: page.js("return Boolean(venuescope.drawn.book_map && venuescope.graph('book_map').data)")
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
    assert all(
        text.endswith("BTC")
        for y, text in zip(last["y"], last["text"], strict=True)
        if wanted.get(round(y, 3))
    )
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
