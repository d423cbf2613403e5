"""Charts in a real browser: zoom, theme, what a CSV click asks for, pace."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.browser.fake_source import noise

RANGE = """return venuescope.graph(arguments[0])._fullLayout.xaxis.range
    .map((x) => (typeof x === 'number' ? x : Date.parse(x.replace(' ', 'T') + 'Z')))"""  # ms, or prices
ZOOMED = "return venuescope.zoomed(venuescope.graph(arguments[0]))"


def drag(page: Any, chart: str) -> None:
    """A zoom by dragging over the middle of a chart."""
    layer = page.duo.driver.find_element(By.CSS_SELECTOR, f'[data-chart="{chart}"] .nsewdrag')
    width = layer.size["width"]
    actions = ActionChains(page.duo.driver)
    actions.move_to_element(layer).move_by_offset(-int(width * 0.2), 0).click_and_hold()
    for _ in range(4):
        actions.move_by_offset(int(width * 0.08), 0)
    actions.release().perform()
    page.until(lambda: page.js(ZOOMED, chart))


def refreshes(page: Any, n: int) -> None:
    """Wait for that many more polls."""
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") >= polls + n)


@pytest.mark.nightly
def test_zoom_survives_updates_a_theme_switch_and_ends_with_a_double_click(page: Any) -> None:
    page.open("/?interval=1")  # a candle a second
    page.until(lambda: page.js("return venuescope.graph('candles').data.length") > 3)
    drag(page, "candles")
    before = page.js(RANGE, "candles")
    count = page.js("return venuescope.graph('candles').data[0].x.at(-1)")
    refreshes(page, 10)
    assert page.js(RANGE, "candles") == before
    assert page.js("return venuescope.graph('candles').data[0].x.at(-1)") > count
    page.until(lambda: page.text('[data-f="candles.follow"]') == "off")
    paper = page.js("return venuescope.graph('candles')._fullLayout.paper_bgcolor")
    page.click('[data-act="theme"]')
    page.until(lambda: page.js("return venuescope.graph('candles')._fullLayout.paper_bgcolor") != paper)
    refreshes(page, 4)
    assert page.js(RANGE, "candles") == before
    layer = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-chart="candles"] .nsewdrag')
    ActionChains(page.duo.driver).double_click(layer).perform()
    page.until(lambda: not page.js(ZOOMED, "candles"))
    refreshes(page, 4)
    assert not page.js(ZOOMED, "candles")


def test_a_csv_click_sends_chart_view_and_range_and_the_file_lands(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.candles)"))
    page.click("#panel-candles [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    request = page.source.exports[0]
    assert request["chart"] == "candles"
    assert request["range"] is None
    assert request["client"] == page.js("return venuescope.client")
    assert 0 < request["view"] <= page.source.polls
    landed = Path(page.duo.download_path) / "venuescope_binance_BTC-USDT_candles.csv"
    page.until(landed.exists)
    assert landed.read_text().startswith("time_utc,epoch_ms,value")
    drag(page, "candles")
    page.click("#panel-candles [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 2)
    low, high = page.source.exports[1]["range"]
    assert page.source.clock() * 1000 - 400_000 < low < high < page.source.clock() * 1000 + 10_000


@pytest.mark.nightly
def test_depth_exports_the_prices_on_screen(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.depth)"))
    page.click("#panel-depth [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    low, high = page.source.exports[0]["range"]
    shown = page.js("return venuescope.graph('depth')._fullLayout.xaxis.range")
    assert abs(low - shown[0]) < (high - low)
    assert low < high


@pytest.mark.nightly
def test_an_export_that_is_gone_becomes_a_toast(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.candles)"))
    page.source.polls += 1000
    page.click("#panel-candles [data-act=csv]")
    page.until(lambda: "that view is gone" in page.text(".vs-toast") or len(page.source.exports) > 0)
    page.js(
        """dash_clientside.set_props('shell-export',
        {data: {id: 'x', chart: 'depth', view: 1, range: null, client: 'c'}})"""
    )
    page.until(lambda: "that view is gone" in page.text(".vs-toasts"))


@pytest.mark.nightly
def test_refreshes_keep_their_pace_and_stay_small(page: Any) -> None:
    page.until(lambda: page.js("return venuescope.polls") > 12, 20)
    page.js(
        """window.bodies = [];
        new PerformanceObserver((l) => l.getEntries().forEach((e) => {
          if (e.name.includes('_dash-update')) window.bodies.push(e.decodedBodySize);
        })).observe({entryTypes: ['resource']});
        window.from = [performance.now(), venuescope.polls, venuescope.painted]; venuescope.ages.length = 0;"""
    )
    page.until(lambda: page.js("return performance.now() - window.from[0]") > 8000, 15)
    seconds, polls, painted = page.js(
        "return [(performance.now() - from[0]) / 1000, venuescope.polls - from[1], venuescope.painted - from[2]]"
    )
    bodies = page.js("return window.bodies")
    assert polls / seconds > 2.5
    assert painted / seconds > 2.5
    assert sum(bodies) / len(bodies) < 15 * 1024
    ages = sorted(page.js("return venuescope.ages"))
    assert ages[int(len(ages) * 0.95)] < 1000


@pytest.mark.nightly
def test_painted_samples_go_back_with_the_polls(page: Any) -> None:
    samples: list[list[float | None]] = []

    def seen() -> list[list[float | None]]:
        samples.extend(page.source.params.get("painted") or [])
        return [pair for pair in samples if pair[1] is not None]

    page.until(seen)
    for to_frame, age in seen():
        assert 0 <= to_frame < 10_000
        assert age >= to_frame - 1


@pytest.mark.nightly
def test_ages_are_measured_only_where_events_of_a_live_source_are_drawn(page: Any) -> None:
    for path in ("/health", "/throughput", "/limits", "/latency"):
        page.open(path + "?hz=10")
        refreshes(page, 6)
        assert page.js("return venuescope.ages") == [], path
        page.until(lambda: page.source.params.get("painted"))
        assert {age for _, age in page.source.params["painted"]} == {None}
    page.open("/market")
    page.until(lambda: len(page.js("return venuescope.ages")) > 3)
    page.source.switch("replay")
    page.until(lambda: page.js("return venuescope.store.primary().run") == "replay")
    page.js("venuescope.ages.length = 0")
    refreshes(page, 8)
    assert page.js("return venuescope.ages") == []


@pytest.mark.nightly
def test_sizes_carry_the_unit_of_the_market(page: Any) -> None:
    page.source.size_unit = "contracts"
    page.open("/book")
    page.until(lambda: page.text('[data-f="ladder.size"]') == "Size, contracts")
    page.until(lambda: page.text('[data-f="unit.size"]') == "contracts")
    assert page.text('[data-f="ladder.sum"]') == "Sum, contracts"
    page.until(lambda: page.js("return venuescope.graph('depth').data[0].meta") == "contracts")
    page.open("/market")
    page.until(lambda: page.text('#grid-tape [col-id="q"] .ag-header-cell-text') == "Size, contracts")
    page.until(lambda: page.text('[data-f="candles.v"]').endswith(" contracts"))
    page.until(lambda: page.text('[data-over="candles"] .is-second') == "contracts")


@pytest.mark.nightly
def test_the_read_out_and_the_price_tag_are_of_the_candle_that_is_drawn(page: Any) -> None:
    page.open("/market?hz=10")
    page.until(lambda: page.text('[data-f="candles.c"]') != "–")
    together = """const d = venuescope.graph('candles').data[0], k = venuescope.store.answer.market.price_decimals;
        const f = (n) => document.querySelector(`[data-f="candles.${n}"]`).textContent;
        const w = (x) => x.toLocaleString('en-US', {minimumFractionDigits: k, maximumFractionDigits: k});
        return [[f('o'), f('h'), f('l'), f('c'), document.querySelector('[data-over=candles] .vs-price').textContent],
          [d.open, d.high, d.low, d.close, d.close].map((a) => w(a.at(-1)))]"""
    for _ in range(12):
        refreshes(page, 1)
        written, drawn = page.js(together)
        assert written == drawn


# Pointers as the browser sends them, at a time (null: wherever the mouse is) and a share of the prices' height.
POINT = """const [t, high, type] = arguments, gd = venuescope.graph('candles'), { xaxis, yaxis } = gd._fullLayout;
    const box = gd.getBoundingClientRect(), layer = gd.querySelector('.nsewdrag');
    const at = { bubbles: true, isPrimary: true, pointerType: type, pointerId: 7,
      clientX: box.x + xaxis._offset + xaxis.c2p(t), clientY: box.y + yaxis._offset + yaxis._length * high };
    for (const name of type === 'touch' ? ['pointerdown', 'pointerup'] : ['pointermove'])
      layer.dispatchEvent(new PointerEvent(name, at));
    if (type === 'touch') document.documentElement.dispatchEvent(new PointerEvent('pointerleave', at))"""
# [what the read-out says, the candle at the line as it came, null for none, the time of the newest drawn, places of the
# figures].
READ_OUT = """const all = ['t', 'o', 'h', 'l', 'c', 'change', 'v'].map((key) =>
      document.querySelector(`[data-f="candles.${key}"]`));
    const { rows, interval } = venuescope.store.streams.candles, at = venuescope.time.at, step = interval * 1000;
    const i = rows.t.lastIndexOf(Math.floor(at / step) * step);
    return [all.map((el) => el.textContent), i < 0 ? null : ['t', 'o', 'h', 'l', 'c', 'v'].map((key) => rows[key][i]),
      venuescope.format.time(venuescope.charts.candles.drawn.rows.t.at(-1)),
      all.map((el) => el.getBoundingClientRect().x)]"""


def read_as(candle: list[float], market: dict[str, Any]) -> list[str]:
    """What the read-out says of a candle."""
    opened, *prices, volume = candle
    change = round((prices[3] / prices[0] - 1) * 100, 2)
    sign = "" if not change else "+" if change > 0 else "\N{MINUS SIGN}"
    told = [f"{price / 10 ** market['price_decimals']:,.{market['price_decimals']}f}" for price in prices]
    size = f"{volume / 10 ** market['size_decimals']:,.{market['size_decimals']}f} {market['base']}"
    return [
        f"{datetime.fromtimestamp(opened / 1000, UTC):%H:%M:%S}",
        *told,
        f"{sign}{abs(change):.2f}%",
        size,
    ]


@pytest.mark.nightly
def test_the_read_out_tells_the_candle_under_the_pointer(page: Any) -> None:
    page.open("/market?hz=10&window=900&interval=5&studies=sma-20")
    page.until(lambda: page.js("return venuescope.drawn.candles && venuescope.drawn.studies !== 0"))
    market = page.js("return venuescope.store.streams.candles.market")

    def pointed() -> list[float]:
        """The candle at the line, which the read-out tells; nothing in it has moved."""
        told, candle, _, places = page.js(READ_OUT)
        assert told == read_as(candle, market)
        assert places == pytest.approx(before, abs=0.5)
        return candle

    page.until(lambda: page.js(READ_OUT)[0][0] == page.js(READ_OUT)[2])
    before = page.js(READ_OUT)[3]
    layer = page.duo.driver.find_element(By.CSS_SELECTOR, '[data-chart="candles"] .nsewdrag')
    ActionChains(page.duo.driver).move_to_element(layer).move_by_offset(0, -60).perform()
    page.until(lambda: page.js("return Boolean(venuescope.time.at)"))
    page.until(lambda: page.js(READ_OUT)[0][0] != page.js(READ_OUT)[2])
    for _ in range(4):
        refreshes(page, 2)
        pointed()
    written, average = page.js(
        """const { rows } = venuescope.store.streams.studies, at = Math.floor(venuescope.time.at / 5000) * 5000;
        return [document.querySelector('[data-host=studies] b').textContent, rows['sma-20'][rows.t.indexOf(at)]]"""
    )
    average /= 10 ** market["price_decimals"]
    assert float(written.replace(",", "")) == pytest.approx(average, abs=0.051)
    # Its price on the axis, and no box of the library's over the candles.
    tag, price = page.js(
        """const gd = venuescope.graph('candles'), { yaxis } = gd._fullLayout, tag = gd.closest('.vs-plot')
          .querySelector('.vs-pointer'), y = new DOMMatrix(getComputedStyle(tag).transform).m42 - yaxis._offset;
        return [tag.textContent, yaxis.p2d(y)]"""
    )
    assert float(tag.replace(",", "")) == pytest.approx(price, rel=1e-4)
    boxes = (
        "return venuescope.graph('candles').querySelectorAll('.hoverlayer :is(.hovertext, .legend)').length"
    )
    assert page.js(boxes) == 0
    # Paused it is the same; a hole has no candle.
    page.js("venuescope.set({paused: true})")
    hole = sum(page.js("return venuescope.store.streams.candles.gaps.at(-1)")) / 2
    page.js(POINT, hole, 0.5, "mouse")
    page.until(lambda: page.js(READ_OUT)[0][1:] == ["\N{EN DASH}"] * 6)
    assert page.js(READ_OUT)[3] == pytest.approx(before, abs=0.5)
    page.js(POINT, hole - 60_000, 0.5, "mouse")
    page.until(lambda: page.js(READ_OUT)[0][1] != "\N{EN DASH}")
    pointed()
    page.js("document.body.dispatchEvent(new PointerEvent('pointermove', { bubbles: true }))")
    page.until(lambda: page.js(READ_OUT)[0][0] == page.js(READ_OUT)[2])
    assert page.js("return document.querySelector('.vs-pointer').hidden")
    # A finger that taps leaves it there, until it taps elsewhere or the candle is out of the window.
    page.js(POINT, hole - 60_000, 0.5, "touch")
    page.until(lambda: page.js("return Boolean(venuescope.time.at)"))
    page.until(lambda: page.js(READ_OUT)[0][0] != page.js(READ_OUT)[2])
    tapped = pointed()
    page.js("venuescope.set({paused: false})")
    refreshes(page, 4)
    assert pointed() == tapped
    page.js("venuescope.set({at0: -60000, at1: 0})")
    page.until(lambda: page.js("return venuescope.time.at") is None)
    page.until(lambda: page.js(READ_OUT)[0][0] == page.js(READ_OUT)[2])


@pytest.mark.nightly
def test_an_outage_is_a_band_over_latencies_only_where_nothing_came(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.latency)"))
    first, silent, still, bands = page.js(
        """const chart = venuescope.charts.latency, s = structuredClone(venuescope.store.streams.latency), r = s.rows;
        const at = r.t.length - 40, drawn = () => chart.data(s).find(([i]) => i === 7)[1].x;
        const first = r.t[at];
        for (const key of Object.keys(r)) r[key].splice(at, 10);
        const silent = (s.gaps = [], drawn()), still = (s.gaps = [[first + 15000, first + 18000]], drawn());
        s.gaps = [[first - 300, first + 15000]];
        return [first, silent, still, drawn()]"""
    )
    # Without samples alone it is none, nor where samples came all the same; of what is both, the part without them.
    assert silent == still == []
    assert bands == [first, first, first + 10_000, first + 10_000, first, None]


@pytest.mark.nightly
def test_a_chart_drawn_long_ago_is_drawn_again_before_it_is_exported(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.latency)"))
    page.js("const d = venuescope.drawn.latency; d.v = 1; d.polls = -20; d.at = 1e15;")
    polls = page.source.polls
    page.click("#panel-latency [data-act=csv]")
    page.until(lambda: len(page.source.exports) == 1)
    assert page.source.exports[0]["view"] >= polls - 2


@pytest.mark.nightly
def test_a_chart_of_another_day_says_which(page: Any) -> None:
    assert page.text('[data-f="utc.candles"]') == "UTC"
    page.source.switch("replay")
    page.until(lambda: page.text('[data-f="utc.candles"]') == "2024-08-08 UTC")
    assert page.text('[data-f="utc.throughput"]') == "UTC"
    chip = "return document.querySelector('[data-id=replay_sample]').title"
    page.until(lambda: "data of 2024-08-08 UTC" in page.js(chip))


def test_a_maximised_panel_fills_the_page_and_goes_back(page: Any) -> None:
    page.click("#panel-depth [data-act=max]")
    page.until(lambda: page.js("return document.querySelector('#panel-depth').clientWidth") > 1200)
    page.until(lambda: page.js("return venuescope.graph('depth').clientWidth") > 1200)
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys("\ue00c")
    page.until(lambda: page.js("return document.querySelector('#panel-depth').clientWidth") < 800)


@pytest.mark.nightly
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (1440, 900), (1024, 768)])
def test_nothing_overflows_sideways_at_any_width(page: Any, width: int, height: int) -> None:
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 768},
    )
    page.open("/?hz=10")
    for name in ("overview", "book", "market", "latency", "throughput", "limits", "health"):
        path = f"/{name}"
        painted = page.js(
            "document.getElementById('rail-' + arguments[0]).click(); return venuescope.painted", name
        )
        page.until(
            lambda name=name, painted=painted: (
                page.js(
                    """return document.querySelector('[data-page]').dataset.page === arguments[0]
                      && venuescope.painted > arguments[1] + 2""",
                    name,
                    painted,
                )
                and not page.loading()
            )
        )
        assert page.js("return document.documentElement.scrollWidth") <= width, f"{path} at {width}"
        cut = page.js(
            """return [...document.querySelectorAll('.vs-tile .fig, .vs-badge, .vs-panel header h2, .vs-facts b'
              + (innerWidth >= 1200 ? ', .vs-inp input, .vs-scroll' : ''))]
            .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
            .filter((e) => getComputedStyle(e).display !== 'inline').map((e) => e.textContent)"""
        )
        assert cut == [], f"{path} at {width}"


@pytest.mark.nightly
def test_a_png_of_a_chart_lands(page: Any) -> None:
    page.until(lambda: page.js("return Boolean(venuescope.drawn.latency)"))
    page.click("#panel-latency [data-act=png]")
    folder = Path(page.duo.download_path)
    page.until(lambda: list(folder.glob("venuescope_binance_usdm_BTC-USDT_latency_*.png")))
    assert next(folder.glob("*.png")).read_bytes().startswith(b"\x89PNG")


OVERTAKE = """window.burst = 0;
    const once = () => {
      if (window.burst % 12 === 0) venuescope.set({symbol: window.burst ? 'SOL-USDT' : 'ETH-USDT'});
      else venuescope.link.ask(true);
      const end = performance.now() + 30;
      while (performance.now() < end);
      if (++window.burst < 24) setTimeout(once, 0);
    };
    once();"""


@pytest.mark.nightly
def test_an_answer_that_is_overtaken_before_it_is_drawn_loses_no_rows(page: Any) -> None:
    for path in ("/?hz=10&interval=1", "/market?hz=10&interval=1"):
        page.open(path)
        asked, seen = page.source.polls, page.js("return venuescope.polls")
        page.js(OVERTAKE)
        page.until(lambda: page.js("return window.burst") == 24)
        refreshes(page, 5)
        assert (
            page.source.polls - asked > page.js("return venuescope.polls") - seen + 3
        )  # some were overtaken
        page.until(lambda: page.js("return venuescope.store.answer.market.symbol") == "SOL-USDT")
        times = page.js("return venuescope.store.streams.candles.rows.t")
        assert times == sorted(set(times))
        assert len(times) > 250
        missing = set(range(int(times[0]), int(times[-1]), 1000)) - set(times)
        assert len(missing) <= 12  # the gap of the fake market
    ids = page.js("return venuescope.store.streams.trades.rows.id")
    assert len(ids) > 50
    assert ids == [b for b in range(ids[0], ids[-1] + 1) if noise(page.source.seed, b, 13) < 0.5]


LATE = """const space = dash_clientside.venuescope, render = space.render;
    window.late = 0;
    space.render = (answer, ...rest) => {
      const out = render(answer, ...rest);
      if (!window.late && answer && answer.streams.trades && answer.streams.trades.t.length) {
        window.late = 1;
        dash_clientside.set_props('shell-answer', {data: {...answer, v: answer.v + 0.5}});
      }
      return out;
    };"""


def test_an_answer_made_from_older_cursors_than_those_held_doubles_no_rows(page: Any) -> None:
    page.open("/market")
    page.js(LATE)
    page.until(lambda: page.js("return window.late"))
    refreshes(page, 4)
    ids = page.js("return venuescope.store.streams.trades.rows.id")
    assert ids == sorted(set(ids))
    times = page.js("return venuescope.store.streams.candles.rows.t")
    assert times == sorted(set(times))


def test_what_a_phone_is_touched_on_is_large_enough(page: Any) -> None:
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    page.open("/")
    page.click(".vs-bar [data-act=controls]")
    page.js("venuescope.command('fly', {})")
    page.until(lambda: "there is no command" in page.text(".vs-toast"))
    small = page.js(
        """return [...document.querySelectorAll(
          '.vs-off :is(button, select, .vs-inp), .vs-act button, .vs-toast button, .vs-rail nav > a, .vs-bar button')]
        .map((e) => [e, e.getBoundingClientRect()])
        .filter(([e, box]) => e.offsetParent && box.width && (box.width < 44 || box.height < 44))
        .filter(([e]) => !e.closest(".vs-bar .vs-chips"))
        .map(([e, box]) => `${e.outerHTML.slice(0, 120)} ${box.width} x ${box.height}`)"""
    )
    assert small == []
