"""What every panel says about its data: age, count, what was lost or left out, units; and what is polled at all."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.pages import PAGES
from dashboards.streams.market import TAPE_ROWS

# Panels as they are seen: name, state, footer, strip, how dim the body is, corners.
SEEN = """return [...document.querySelectorAll('section[data-panel]')].filter((p) => p.clientWidth).map((p) => {
  const text = (selector) => (p.querySelector(':scope > ' + selector) || {textContent: ''}).textContent;
  const body = p.querySelector('.body > :is(.vs-plot, .vs-fill)');
  return {name: p.dataset.panel, state: p.dataset.state, stream: p.dataset.streams.split(' ')[0],
    timeless: p.dataset.timeless || '', chart: p.dataset.chart, age: text('footer .f-age'), n: text('footer .f-n'),
    lost: text('footer .f-lost'), note: text('footer .f-note'), strip: text('.vs-note-host'),
    opacity: body ? getComputedStyle(body).opacity : '1',
    units: [...p.querySelectorAll('.vs-unit')].map((e) => e.textContent)};
})"""
# In the fake source the exchange, the store and the alerts are off, and have sources and tests of their own.
OF_DATA = ("overview", "book", "market", "latency", "throughput", "limits", "health")
OF_ONE = {
    "depth", "impact", "candles", "trades", "metrics", "book_map", "latency", "stages", "distribution", "latency_map"
}  # fmt: skip
OF_ALL = {"throughput", "prices", "mids", "indexed"}


def seen(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.js(SEEN)
    return found


def settled(page: Any) -> None:
    """Wait until no panel waits for its first rows."""
    page.until(lambda: not [one for one in seen(page) if one["state"] in ("loading", "compiling")], 30)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_every_panel_tells_age_count_loss_and_units(page: Any, name: str) -> None:
    page.open(next(one.path for one in PAGES if one.name == name))
    settled(page)
    page.until(lambda: all(one["n"] for one in seen(page) if one["state"] == "live" and not one["timeless"]))
    for one in seen(page):
        if one["state"] == "off":
            assert one["age"] == "off", one
        elif one["timeless"]:
            assert (one["age"] in (one["timeless"], "watched"), one["lost"]) == (True, ""), one
        else:
            assert (
                one["age"].split()[-1] in ("ms", "s", "data") or ":" in one["age"] or one["age"] == "watched"
            ), one
            assert any(letter.isdigit() for letter in one["n"]), one
            assert one["lost"].endswith(" lost"), one
        if one["chart"] and one["state"] == "live":
            assert one["units"][0], one
    live = [one for one in seen(page) if one["state"] == "live"]
    assert bool(live) == (name not in ("exchange", "history"))


@pytest.mark.nightly
@pytest.mark.parametrize("name", OF_DATA)
def test_whatever_draws_a_stale_source_is_dimmed_and_says_since_when(page: Any, name: str) -> None:
    page.open(next(one.path for one in PAGES if one.name == name))
    settled(page)
    page.source.switch("stale")

    def told() -> bool:
        panels = seen(page)
        one = [x for x in panels if x["stream"] in OF_ONE]
        every = [
            x for x in panels if x["stream"] in OF_ALL and x["name"] != "orders"
        ]  # of the exchange alone
        return all(
            x["state"] == "stale"
            and x["opacity"] == "0.5"
            and "Stale since" in x["strip"]
            and "UTC" in x["strip"]
            for x in one
        ) and all("Binance stale since" in x["strip"] and "UTC" in x["strip"] for x in every)

    page.until(told, 20)
    drawn = [x for x in seen(page) if x["stream"] in OF_ONE]
    assert all(x["age"].startswith("stale ") for x in drawn)
    if name in ("overview", "throughput"):
        page.until(
            lambda: page.js("return venuescope.graph(document.querySelector('#panel-throughput, #panel-messages')"
                            ".dataset.chart).data.filter((t) => t.opacity === 0.4).map((t) => t.name)") == ["Binance"]
        )  # fmt: skip


# Parts of a remark that are seen, with the footer so wide; None among them: one that is seen in part.
PARTS = """const foot = document.querySelector(arguments[0] + ' > footer'), note = foot.lastElementChild;
  foot.style.width = `${arguments[1]}px`;
  const box = note.getBoundingClientRect();
  const seen = [...note.children].map((e) => [e.textContent, e.getBoundingClientRect()])
    .filter(([, one]) => one.top < box.bottom && one.bottom > box.top)
    .map(([text, one]) => (one.left >= box.left - 1 && one.right <= box.right + 1 ? text : null));
  foot.style.width = '';
  return seen"""


@pytest.mark.nightly
def test_a_remark_gives_way_in_whole_parts_from_its_end(page: Any) -> None:
    page.until(lambda: page.state("candles") == "live")
    page.click("[data-act=pause]")
    page.until(lambda: page.state("candles") == "paused")
    said = "5 s candles; hollow rises, filled falls"
    assert page.text("#panel-candles .f-note") == said
    assert page.js("return document.querySelector('#panel-candles .f-note').title") == said
    parts = ["5 s candles", "; hollow rises, filled falls"]
    counts = []
    for width in range(640, 200, -4):
        seen = page.js(PARTS, "#panel-candles", width)
        assert seen == parts[: len(seen)], width
        counts.append(len(seen))
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {2, 1, 0}
    # A number is there or is not.
    assert {tuple(page.js(PARTS, "#panel-depth", width)) for width in range(640, 200, -4)} == {
        (page.text("#panel-depth .f-note"),),
        (),
    }


@pytest.mark.nightly
def test_lost_left_out_and_thinned_rows_are_said_in_words(page: Any) -> None:
    page.source.flooded = 300
    page.open("/book?window=3600")
    settled(page)
    foot = {one["name"]: one for one in seen(page)}
    assert " of 2,392 levels" in foot["depth"]["n"]
    assert " of " in foot["metrics"]["n"]
    assert "last second of each 10" in foot["metrics"]["note"]
    assert "columns of" in foot["book_map"]["n"]
    left_out = f"not listed: more than {TAPE_ROWS} between two refreshes"
    page.until(lambda: left_out in page.text("#panel-tape .f-note"))
    page.open("/throughput?window=3600")
    settled(page)
    foot = {one["name"]: one for one in seen(page)}
    assert "means of 10 s" in foot["messages"]["note"]
    assert foot["messages"]["lost"] not in ("", "0 lost")
    page.open("/market?compare=indexed")
    settled(page)
    foot = {one["name"]: one for one in seen(page)}
    assert " s closes; " in foot["indexed"]["note"]
    assert "candles" in foot["candles"]["note"]


@pytest.mark.nightly
def test_what_is_not_drawn_is_not_asked_for(page: Any) -> None:
    asked = lambda: set(page.source.params.get("streams", []))  # noqa: E731
    page.open("/market")
    page.until(lambda: "mids" in asked() and "indexed" not in asked())
    page.click('#panel-mids [data-value="indexed"]')
    page.until(lambda: "indexed" in asked() and "mids" not in asked())
    page.js("venuescope.layout.hide('indexed', true)")
    page.until(lambda: "indexed" not in asked())
    page.js("venuescope.layout.hide('indexed', false)")
    page.until(lambda: "indexed" in asked())
    page.js("venuescope.layout.maximise('candles')")
    page.until(lambda: "candles" in asked() and not {"indexed", "prices", "trades"} & asked())
    page.js("venuescope.layout.maximise('candles')")
    page.until(lambda: {"indexed", "prices", "trades"} <= asked())
    page.open("/book")
    page.until(lambda: "book_map" in asked())
    page.js("venuescope.layout.hide('book_map', true)")
    page.until(lambda: "book_map" not in asked())
    page.js("venuescope.layout.reset()")
    page.until(lambda: "book_map" in asked() and page.state("book_map") == "live")


@pytest.mark.nightly
def test_what_is_far_off_the_screen_is_not_asked_for(page: Any) -> None:
    asked = lambda: set(page.source.params.get("streams", []))  # noqa: E731
    try:
        page.duo.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 700, "deviceScaleFactor": 1, "mobile": True},
        )
        page.open("/market")
        page.until(lambda: "mids" not in asked() and "candles" in asked(), 20)
        page.js("document.querySelector('#panel-mids').scrollIntoView()")
        page.until(lambda: "mids" in asked())
        page.until(lambda: page.state("mids") == "live")
    finally:
        page.duo.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
