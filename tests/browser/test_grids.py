"""Grids and the ladder in a browser: their rows are the source's, sort, narrow down, and stay where they are read."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import Page, column

# The newest trades as the page should word them, from what it was sent.
NEWEST = """const s = venuescope.store.streams.trades, r = s.rows, F = venuescope.format, n = r.t.length;
  return Array.from({length: arguments[0]}, (_, i) => n - 1 - i).map((i) => [
    (r.side[i] > 0 ? '▲ ' : '▼ ') + F.scaled(r.p[i], s.market.price_decimals),
    F.scaled(r.q[i], s.market.size_decimals), F.millis(r.t[i])])"""
IDS = """const ids = []; dash_ag_grid.getApi(`grid-${arguments[0]}-table`)
  .forEachNodeAfterFilterAndSort((node) => ids.push(node.data.id)); return ids"""
FLASHES = "return document.querySelectorAll('#panel-ladder [data-flash]').length"


def shown(page: Page, grid: str) -> None:
    """Wait for a grid's first rows."""
    page.until(lambda: len(column(page, grid, "t" if grid != "endpoints" else "label")) > 0, 20)


def ids(page: Page, grid: str) -> list[str]:
    """Rows of a grid, all of them, as they are filtered and sorted."""
    found: list[str] = page.js(IDS, grid)
    return found


def pause(page: Page) -> None:
    """Pause, and wait for what was under way."""
    page.js("venuescope.set({paused: true})")
    page.until(
        lambda: page.js(
            "const n = venuescope.polls; return new Promise((r) => setTimeout(() => r(n === venuescope.polls), 400))"
        )
    )


def test_the_tapes_rows_are_the_newest_trades_and_narrow_down(page: Any) -> None:
    page.open("/market?hz=10")
    shown(page, "tape")
    first = ids(page, "tape")[0]
    page.until(lambda: int(ids(page, "tape")[0]) > int(first) + 3)
    pause(page)
    rows = zip(*(column(page, "tape", name)[:8] for name in ("p", "q", "t")), strict=True)
    assert [list(row) for row in rows] == page.js(NEWEST, 8)
    held = [int(one) for one in ids(page, "tape")]
    assert held == list(range(held[0], held[0] - len(held), -1))
    assert len(held) == page.js("return venuescope.store.streams.trades.rows.t.length") <= 400
    page.click('#panel-tape [data-key="tside"][data-value="sell"]')
    page.until(lambda: all(text.startswith("▼") for text in column(page, "tape", "p")))
    page.duo.driver.find_element(By.CSS_SELECTOR, '[data-host="tape:least"] input').send_keys("0.5")
    page.until(lambda: all(float(text) >= 0.5 for text in column(page, "tape", "q")))
    rows = page.js("""const s = venuescope.store.streams.trades, r = s.rows;
        return r.q.filter((q, i) => r.side[i] < 0 && q / 10 ** s.market.size_decimals >= 0.5).length""")
    assert len(ids(page, "tape")) == rows > 0
    assert "tape=sell" in page.js("return location.search")


@pytest.mark.nightly
def test_sizes_that_change_flash_unless_told_not_to(page: Any) -> None:
    page.open("/book?hz=10")
    page.until(lambda: page.js(FLASHES) > 0)
    page.click('#panel-ladder [data-key="flash"][data-value="off"]')
    page.until(lambda: page.js(FLASHES) == 0)
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 5)
    assert page.js(FLASHES) == 0
    assert page.js("return JSON.parse(localStorage.getItem('venuescope')).flash") == "off"


@pytest.mark.nightly
def test_endpoints_sort_and_filter_and_keep_it(page: Any) -> None:
    page.open("/limits")
    shown(page, "endpoints")
    before = column(page, "endpoints", "label")
    page.click('#grid-endpoints .ag-header-cell[col-id="endpoint"] .ag-header-cell-label')
    page.until(lambda: column(page, "endpoints", "endpoint") == sorted(column(page, "endpoints", "endpoint")))
    page.js(
        """const api = dash_ag_grid.getApi('grid-endpoints-table');
        api.setFilterModel({label: {filterType: 'text', type: 'contains', filter: arguments[0]}});
        api.setColumnWidths([{key: 'calls', newWidth: 133}], true, 'uiColumnResized')""",
        before[0],
    )
    page.until(lambda: set(column(page, "endpoints", "label")) == {before[0]})
    page.open("/limits")
    shown(page, "endpoints")
    page.until(lambda: set(column(page, "endpoints", "label")) == {before[0]})
    kept = page.js("return dash_ag_grid.getApi('grid-endpoints-table').getColumnState()")
    state = {one["colId"]: one for one in kept}
    assert (state["endpoint"]["sort"], state["calls"]["width"]) == ("asc", 133)


@pytest.mark.nightly
def test_the_tape_stays_where_it_is_read(page: Any) -> None:
    page.open("/market?hz=10")
    shown(page, "tape")
    read = """const v = document.querySelector('#grid-tape .ag-body-viewport');
      const api = dash_ag_grid.getApi('grid-tape-table');
      const at = api.getDisplayedRowAtIndex(Math.floor(v.scrollTop / 21)); return [at.data.id, v.scrollTop]"""
    page.js("document.querySelector('#grid-tape .ag-body-viewport').scrollTop = 840")
    page.until(
        lambda: page.js("return dash_ag_grid.getApi('grid-tape-table').getVerticalPixelRange().top") >= 800
    )
    row, top = page.js(read)
    newest = int(ids(page, "tape")[0])
    page.until(lambda: int(ids(page, "tape")[0]) > newest + 5)
    now, moved = page.js(read)
    assert now == row
    assert moved > top


@pytest.mark.nightly
def test_a_hidden_page_puts_no_rows_into_its_grid(page: Any) -> None:
    page.open("/market?hz=10")
    shown(page, "tape")
    page.js("document.getElementById('panel-tape').style.display = 'none'")
    page.until(lambda: not page.js("return venuescope.grids.of.get('tape').seen"))
    newest = ids(page, "tape")[0]
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 8)
    assert ids(page, "tape")[0] == newest
    page.js("document.getElementById('panel-tape').style.display = ''")
    page.until(lambda: ids(page, "tape")[0] != newest)


@pytest.mark.nightly
def test_events_are_newest_first_and_each_once(page: Any) -> None:
    page.open("/limits")
    shown(page, "limit-events")
    listed = ids(page, "limit-events")
    assert len(set(listed)) == len(listed)
    times = page.js(
        "return venuescope.live.events('limit-events', venuescope.store.streams.events).map((e) => e.t)"
    )
    assert [float(one.split("|")[0]) for one in listed] == sorted(times, reverse=True)
    said = "return [...document.querySelectorAll('#panel-limit-events .ag-cell[col-id=text]')]"
    assert page.js(f"{said}.length") > 0
    assert page.js(f"{said}.filter((e) => e.scrollWidth > e.clientWidth).length") == 0  # told whole


@pytest.mark.nightly
def test_pages_without_a_grid_do_not_load_its_code(page: Any) -> None:
    page.open("/")
    loaded = (
        "return performance.getEntriesByType('resource').filter((r) => r.name.includes('ag_grid')).length"
    )
    assert page.js(loaded) == 0
    page.js("document.getElementById('rail-market').click()")
    shown(page, "tape")
    assert page.js(loaded) == 2
