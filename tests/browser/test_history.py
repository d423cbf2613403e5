"""The History page and the bar of a replay in a real browser: what is drawn, chosen, typed and sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash.testing.wait import until
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.shell import create_app
from tests.browser.conftest import Page
from tests.browser.history_source import HistorySource

CALENDAR = "return venuescope.history.stream().calendar"
SAID = '[data-host="stretch"] .vs-hist-said'
CELL = "#history-cell"
BAR = "#shell-past"
# How many of a row's pixels have a colour that is neither the ground's nor nothing's.
INKED = """const canvas = document.querySelector('.vs-cal .plot canvas'), k = devicePixelRatio;
  const h = canvas.height / venuescope.history.stream().calendar.order.length;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let n = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 200) n += 1;
  return n"""


class HistoryPage(Page):
    """The page over a played store."""

    source: HistorySource  # type: ignore[assignment]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """Arguments of every command of that name."""
        return [args for each, args in list(self.source.commands) if each == name]

    def write(self, label: str, text: str) -> None:
        """Type into the field of that label, in place of what is in it."""
        field = self.duo.driver.find_element(By.CSS_SELECTOR, f'input[aria-label="{label}"]')
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys(text + Keys.TAB)

    def press(self, *keys: str) -> None:
        """Keys to what has the focus."""
        ActionChains(self.duo.driver).send_keys(*keys).perform()

    def cell(self, line: int, place: float) -> tuple[int, int]:
        """Where a cell is in the window."""
        found = self.js(
            """const box = document.querySelector('.vs-cal .plot canvas').getBoundingClientRect();
            return [box.left + box.width * arguments[1], box.top + 22 * arguments[0] + 11]""",
            line,
            place,
        )
        return round(found[0]), round(found[1])

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Press, move, release."""
        actions = ActionChains(self.duo.driver)
        actions.w3c_actions.pointer_action.move_to_location(*start)
        actions.w3c_actions.pointer_action.pointer_down()
        actions.w3c_actions.pointer_action.move_to_location(*end)
        actions.w3c_actions.pointer_action.pointer_up()
        actions.perform()


@pytest.fixture
def page(dash_duo: Any) -> Iterator[HistoryPage]:
    """The page over a played store; no SEVERE line in the console at the end."""
    source = HistorySource(history_s=8)
    dash_duo.start_server(create_app(source))
    shown = HistoryPage(dash_duo, source)  # type: ignore[arg-type]
    shown.open("/history?zoom=day")
    shown.until(lambda: (shown.js(INKED) or 0) > 1_000)
    yield shown
    assert shown.js("return venuescope.errors") == []
    assert [line for line in dash_duo.get_logs() or [] if "404" not in line["message"]] == []


def test_a_stretch_is_chosen_by_dragging_and_opened_as_the_past_on_another_page(page: HistoryPage) -> None:
    names = page.js(
        "return [...document.querySelectorAll('section[data-panel]')].map((e) => e.dataset.panel)"
    )
    page.until(lambda: {page.state(name) for name in names} == {"live"})
    page.drag(page.cell(1, 0.30), page.cell(1, 0.40))
    page.until(lambda: " holes" in page.text(SAID) or " hole" in page.text(SAID))
    frame = page.js(CALENDAR)
    chosen = page.js("return venuescope.history.calendar.sel")
    assert (chosen["venue"], chosen["symbol"]) == ("binance_spot", "BTC-USDT")
    assert (chosen["from"] - frame["from"]) % frame["step"] == 0
    assert 9 <= (chosen["to"] - chosen["from"]) / frame["step"] <= 11
    page.click('[data-host="stretch"] .vs-btn.is-primary')
    page.until(lambda: page.js("return location.pathname") == "/book")
    (asked,) = page.sent("replay_open")
    assert asked == {
        "venue": "binance_spot",
        "symbols": ["BTC-USDT"],
        "from_ms": chosen["from"],
        "to_ms": chosen["to"],
        "at_ms": chosen["to"] - 1,
        "speed": 1,
        "paused": True,
    }
    page.until(lambda: page.js(f"return !document.querySelector('{BAR}').hidden"))
    page.until(lambda: "source=binance_spot%3Areplay" in page.js("return location.search"))
    page.until(lambda: page.text('[data-f="past.word"]') == "Past")
    page.until(lambda: page.text('[data-f="badge.word"]') == "Past")
    page.js("document.activeElement.blur()")
    page.press(" ")
    page.until(lambda: page.sent("replay_resume") == [{}])
    page.until(lambda: page.text('[data-f="past.word"]') == "Replay")
    page.click('[data-act="past-close"]')
    page.until(lambda: page.js(f"return document.querySelector('{BAR}').hidden"))
    page.until(lambda: page.text('[data-f="badge.word"]') == "Live")


def test_the_calendar_is_gone_through_with_the_keyboard(page: HistoryPage) -> None:
    calendar = page.duo.driver.find_element(By.CSS_SELECTOR, ".vs-cal")
    calendar.send_keys(Keys.HOME)
    page.until(lambda: "Binance spot BTC-USDT" in page.text(CELL))
    calendar.send_keys(Keys.ARROW_DOWN)
    page.until(lambda: "ETH-USDT" in page.text(CELL))
    frame = page.js(CALENDAR)
    assert page.js("return venuescope.history.calendar.sel.from") == frame["from"]
    ActionChains(page.duo.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * 3).key_up(
        Keys.SHIFT
    ).perform()
    chosen = page.js("return venuescope.history.calendar.sel")
    assert (chosen["to"] - chosen["from"]) / frame["step"] == 4
    page.press(Keys.ENTER)
    page.until(lambda: page.js(CALENDAR)["zoom"] == "hour")
    page.press(Keys.BACKSPACE)
    page.until(lambda: page.js(CALENDAR)["zoom"] == "day")
    assert page.js("return document.activeElement.className") == "vs-cal"


@pytest.mark.nightly
def test_what_is_typed_is_checked_with_a_sentence(page: HistoryPage) -> None:
    frame = page.js(CALENDAR)
    day = page.js("return venuescope.format.day(arguments[0])", frame["from"])
    for text, said in (
        ("yesterday", "From is not a time such as 2026-11-20 14:00:00"),
        ("2026-02-30 10:00", "From is not a time such as 2026-11-20 14:00:00"),
        (f"{day} 25:00", "From is not a time such as 2026-11-20 14:00:00"),
        ("2999-01-01 00:00", "It ends before it begins"),
    ):
        page.write("From, UTC", text)
        page.until(lambda said=said: page.text(SAID) == said)
        assert page.js("return document.querySelector('[data-host=stretch] .vs-btn.is-primary').disabled")
    page.write("From, UTC", f"{day} 23:30")
    page.write("To, UTC", "23:45:30.5")
    page.until(lambda: " of 15 m 30 s" in page.text(SAID))
    page.write("At, UTC", "22:00")
    page.until(lambda: page.text(SAID) == "The moment is not in the stretch")
    page.write("At, UTC", "23:40")
    page.until(lambda: " of 15 m 30 s" in page.text(SAID))
    page.click('[data-host="stretch"] .vs-btn.is-primary')
    page.until(lambda: len(page.sent("replay_open")) == 1)
    (asked,) = page.sent("replay_open")
    assert asked["at_ms"] - asked["from_ms"] == 600_000
    assert asked["to_ms"] - asked["from_ms"] == 930_500


@pytest.mark.nightly
def test_a_recorder_is_switched_for_every_browser_and_takes_what_was_chosen(page: HistoryPage) -> None:
    page.click('[data-act="hist-record"][data-venue="binance_usdm"]')
    page.until(lambda: len(page.sent("record_start")) == 1)
    assert page.sent("record_start")[0]["symbols"] == []
    assert "raw" not in page.sent("record_start")[0]["what"]
    on = "return document.querySelector('[data-act=hist-record][data-venue=binance_usdm]').getAttribute('aria-checked')"
    page.until(lambda: page.js(on) == "true")
    page.click('[data-act="hist-choose"][data-venue="binance_usdm"]')
    pick = '.vs-pick[data-value="{}"]'
    page.until(lambda: page.js("return document.querySelectorAll('.vs-pick').length") == 4 + 8)
    for value in ("ETH-USDT-PERP", "candles", "funding", "latency", "counters", "events"):
        page.click(pick.format(value))
    page.click('[data-act="hist-apply"]')
    page.until(lambda: len(page.sent("record_start")) == 2)
    assert page.sent("record_start")[1] == {
        "venue": "binance_usdm",
        "symbols": ["ETH-USDT-PERP"],
        "what": ["trades", "book"],
    }
    page.click('[data-act="hist-record"][data-venue="binance_usdm"]')
    page.until(lambda: page.sent("record_stop") == [{"venue": "binance_usdm"}])
    page.until(lambda: page.js(on) == "false")


@pytest.mark.nightly
def test_an_export_is_started_shown_canceled_downloaded_and_forgotten(page: HistoryPage) -> None:
    page.js("""const e = document.querySelector('select[aria-label="As"]');
      e.value = 'parquet';
      e.dispatchEvent(new Event('change'))""")
    page.click('[data-host="stretch"] .vs-hist-line:has(select[aria-label="As"]) .vs-btn')
    page.until(lambda: len(page.sent("export_start")) == 1)
    assert (
        page.sent("export_start")[0].items()
        >= {"kind": "trades", "form": "parquet", "symbol": "BTC-USDT"}.items()
    )
    page.until(lambda: page.js("return document.querySelectorAll('[data-host=jobs] .job').length") == 7)
    page.click('[data-host="jobs"] .job [data-what="export_cancel"]')
    page.until(lambda: page.text('[data-host="jobs"] .job .vs-tag') == "canceled")
    page.click('[data-host="jobs"] .job [data-what="export_forget"]')
    page.until(lambda: len(page.sent("export_forget")) == 1)
    page.click('[data-host="jobs"] a[href="/history/exports/j6"]')
    found = Path(page.duo.download_path)
    until(lambda: list(found.glob("candles_builtin_BTC-USDT*.csv")), 10)


@pytest.mark.nightly
def test_retention_that_deletes_says_what_and_asks_once_more(page: HistoryPage) -> None:
    said, send = '[data-host="retention"] .vs-hist-said', '[data-host="retention"] .vs-btn'
    page.until(lambda: "full in about 12 days" in page.text(said))
    page.write("Keep", "10")
    page.until(lambda: page.text(said).startswith("That deletes "))
    found = page.source._do_retention_preview(10, 50)
    for part in ("days (", "Binance spot", f"{found['rows']:,} rows"):
        assert part in page.text(said)
    assert page.sent("retention_preview")[-1] == {"days": 10, "budget_gb": 50}
    page.click(send)
    page.until(lambda: page.text(send) == "Delete")
    assert page.sent("retention_set") == []
    page.click(send)
    page.until(lambda: page.sent("retention_set") == [{"days": 10, "budget_gb": 50}])
    page.until(lambda: page.text('[data-f="sub.retention"]') == "10 days, 50 GB")
    page.write("Keep", "0")
    page.until(lambda: page.text(said) == "That deletes nothing now.")
    page.write("Keep", "many")
    page.until(lambda: page.text(said) == "Days is a whole number, 0 to keep for ever")


@pytest.mark.nightly
def test_a_hole_is_fetched_once_and_then_marked(page: HistoryPage) -> None:
    page.click('[data-key="hpart"][data-value="holes"]')
    button = "#panel-coverage [data-host=holes] button:not([hidden])"
    page.until(lambda: page.js(f"return Boolean(document.querySelector('{button}'))"))
    page.js(f"const e = document.querySelector('{button}'); e.click(); e.click()")
    page.until(lambda: len(page.sent("gap_backfill")) == 1)
    (sent,) = page.sent("gap_backfill")
    assert set(sent) == {"gap"}
    assert sent["gap"] > 0
    page.until(lambda: "was asked for what it still has" in page.text('[data-host="toasts"]'))
    assert len(page.sent("gap_backfill")) == 1


@pytest.mark.nightly
def test_the_scrubber_seeks_by_key_and_by_mouse_and_speed_is_the_engines(page: HistoryPage) -> None:
    page.click('[aria-label="10x: replay at that speed"]')
    page.until(lambda: page.js(f"return !document.querySelector('{BAR}').hidden"))
    (opened,) = page.sent("replay_open")
    assert (opened["speed"], opened["paused"], opened["at_ms"]) == (10, False, opened["from_ms"])
    page.click('[data-act="past-play"]')
    page.until(lambda: page.text('[data-f="past.word"]') == "Past")
    page.js("document.querySelector('.vs-past-track').focus()")
    page.press(Keys.END)
    page.until(lambda: page.sent("replay_seek")[-1:] == [{"at_ms": opened["to_ms"]}])
    page.press(Keys.HOME)
    page.until(lambda: page.sent("replay_seek")[-1:] == [{"at_ms": opened["from_ms"]}])
    box = page.js("""const b = document.querySelector('.vs-past-track').getBoundingClientRect();
      return [b.left, b.top + b.height / 2, b.width]""")
    page.drag((round(box[0] + 4), round(box[1])), (round(box[0] + box[2] / 2), round(box[1])))
    page.until(lambda: len(page.sent("replay_seek")) == 3)
    share = (page.sent("replay_seek")[2]["at_ms"] - opened["from_ms"]) / (opened["to_ms"] - opened["from_ms"])
    assert share == pytest.approx(0.5, abs=0.01)
    page.click('[data-act="past-speed"][data-speed="max"]')
    page.until(lambda: page.sent("replay_speed") == [{"speed": "max"}])
    for by in ("event", "second", "back"):
        page.click(f'[data-act="past-step"][data-by="{by}"]')
    page.until(lambda: page.sent("replay_step") == [{"by": "event"}, {"by": "second"}, {"by": "back"}])


@pytest.mark.nightly
def test_a_link_opens_its_past_once_and_never_in_place_of_another(page: HistoryPage) -> None:
    start = page.js(CALENDAR)["from"] - 86_400_000
    link = f"past=binance_spot&from={start}&to={start + 600_000}&at={start + 61_000}"
    page.open(f"/book?{link}")
    page.until(lambda: page.text('[data-f="past.word"]') == "Past")
    (asked,) = page.sent("replay_open")
    assert (asked["at_ms"], asked["paused"]) == (start + 61_000, True)
    page.until(lambda: "is open, for every browser" in page.text('[data-host="toasts"]'))
    page.until(lambda: "source=binance_spot%3Areplay" in page.js("return location.search"))
    page.until(lambda: f"at={start + 61_000}" in page.js("return location.search"))
    page.open(f"/book{page.js('return location.search')}")
    page.until(lambda: page.text('[data-f="past.word"]') == "Past")
    page.open(f"/book?past=bybit_linear&from={start}&to={start + 600_000}")
    page.until(lambda: page.js("return !document.querySelector('[data-act=past-wanted]').hidden"))
    assert len(page.sent("replay_open")) == 1
    page.click('[data-act="past-wanted"]')
    page.until(lambda: len(page.sent("replay_open")) == 2)
    assert page.sent("replay_open")[1]["venue"] == "bybit_linear"
    page.click('[data-act="past-close"]')
    page.until(lambda: "past=" not in page.js("return location.search"))


@pytest.mark.nightly
def test_nothing_is_opened_of_a_stretch_without_records_and_a_row_leads_to_its_newest(
    page: HistoryPage,
) -> None:
    page.write("From, UTC", "2020-01-01 00:00:00")
    page.write("To, UTC", "2020-01-01 00:02:00")
    page.until(lambda: page.text(SAID) == "Recorded 0 of 2 m 00 s")
    stopped = """return [...document.querySelectorAll('[data-host=stretch] :is(.vs-btn, .vs-seg button)')]
      .map((e) => e.disabled)"""
    page.until(lambda: page.js(stopped) == [True] * 6)
    page.js("""const e = document.querySelector('select[aria-label="Recorded of"]');
      e.value = 'bybit_inverse|BTC-USD-PERP';
      e.dispatchEvent(new Event('change'))""")
    page.until(lambda: page.text(SAID).startswith("Recorded 1 h 00 m of 1 h 00 m"))
    chosen = page.js("return venuescope.history.calendar.sel")
    page.until(lambda: page.js(CALENDAR)["from"] <= chosen["from"])
    assert page.js(stopped) == [False] * 6
    page.js("venuescope.history.acts['hist-newest']()")
    page.until(lambda: page.js("return Boolean(document.querySelector('.vs-cal .is-last'))"))
    page.click(".vs-cal .is-last")
    page.until(lambda: page.js(CALENDAR)["from"] <= chosen["from"])


@pytest.mark.nightly
def test_a_store_that_does_not_write_is_said_on_every_page(page: HistoryPage) -> None:
    page.source.switch("full")
    page.open("/book")
    page.until(lambda: page.text("#shell-store") == "Disk full")
    page.source.switch("live")
    page.until(lambda: not page.js("return document.querySelector('#shell-store').offsetParent"))


@pytest.mark.nightly
def test_a_venue_that_is_away_is_not_said_to_be_recorded(page: HistoryPage) -> None:
    told = """return venuescope.history.recording({venue: 'a', state: 'recording', detail: ''},
      [{venue: 'a', run: 'replay', state: 'live'}, {venue: 'a', run: 'live', state: arguments[0],
        age_ms: 12000, detail: 'code 1006'}])"""
    assert page.js(told, "live") == ["is-ok", "recording", ""]
    assert page.js(told, "reconnecting") == [
        "is-warn",
        "no data",
        "no data for 12.0 s: reconnecting: code 1006",
    ]


@pytest.mark.nightly
def test_a_capture_has_the_bar_without_what_it_cannot_do(page: HistoryPage) -> None:
    page.source.capture()
    page.until(lambda: page.js(f"return !document.querySelector('{BAR}').hidden"))
    assert page.js("return document.querySelector('.vs-past-track').getAttribute('role')") == "progressbar"
    hidden = "return getComputedStyle(document.querySelector('.vs-past-keys')).display"
    assert page.js(hidden) == "none"
    page.until(lambda: page.text('[data-f="past.time"]').startswith("10:01:"))
    assert page.text('[data-f="past.date"]') != ""


@pytest.mark.nightly
@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_nothing_is_cut_off_or_moves_sideways(page: HistoryPage, width: int) -> None:
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": width,
            "height": 900 if width > 400 else 844,
            "deviceScaleFactor": 1,
            "mobile": width < 768,
        },
    )
    page.click('[aria-label="10x: replay at that speed"]')
    page.until(lambda: page.js(f"return !document.querySelector('{BAR}').hidden"))
    page.until(lambda: page.js("return document.documentElement.scrollWidth <= innerWidth"))
    assert page.js("return visualViewport.width") == width
    cut = page.js("""const seen = '.vs-facts b, .vs-past b, .vs-past .vs-btn, .vs-form .vs-btn, .vs-tag';
      return [...document.querySelectorAll(seen)]
        .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
        .filter((e) => getComputedStyle(e).overflow !== 'visible')
        .map((e) => e.textContent)""")
    assert cut == []
    ends = page.js("""const bar = document.querySelector('#shell-past').getBoundingClientRect();
      return [...document.querySelectorAll('#shell-past > *')].filter((e) => e.offsetParent)
        .map((e) => [e.className, e.getBoundingClientRect()])
        .filter(([, box]) => box.right > bar.right + 1 || box.bottom > bar.bottom + 1)
        .map(([name]) => name)""")
    assert ends == []
