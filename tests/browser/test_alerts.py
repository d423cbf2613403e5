"""Alerts in a real browser: the bell, the page's form, lists and webhooks, and the panel of impact on the Book page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.shell import ONLY_LOOK, ROLE, create_app
from tests.browser.alert_source import RULES, AlertSource
from tests.browser.conftest import Page

ROWS = '[data-host="alert:rules"] tr'
FIRINGS = '[data-host="alert:firings"] tr'
READS = RULES[0][0].replace("104000", "104,000")  # as it is shown
SAYS, SAID = ".vs-alert-says", ".vs-form.is-alert .vs-said"
MAKE = '.vs-form.is-alert button[type="submit"]'


class AlertPage(Page):
    """The page over alerts that are played."""

    source: AlertSource  # type: ignore[assignment]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """Arguments of every command of that name."""
        return [args for each, args in list(self.source.commands) if each == name]

    def count(self, selector: str) -> int:
        """How many there are."""
        return int(self.js("return document.querySelectorAll(arguments[0]).length", selector))

    def write(self, selector: str, text: str) -> None:
        """Type into a field, in place of what is in it."""
        field = self.duo.driver.find_element(By.CSS_SELECTOR, selector)
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys(text)

    def field(self, label: str, text: str) -> None:
        """Type into the field of that label."""
        self.write(f'#page-alerts input[aria-label="{label}"]', text)


@pytest.fixture
def role() -> list[str]:
    """The role of the session, to be changed."""
    return ["admin"]


@pytest.fixture
def page(dash_duo: Any, role: list[str]) -> Iterator[AlertPage]:
    """The page over alerts that are played; no SEVERE line in the console at the end."""
    source = AlertSource(history_s=6)
    app = create_app(source)
    inner = app.server.wsgi_app

    def with_role(environ: dict[str, Any], start: Any) -> Any:
        environ[ROLE] = role[0]
        return inner(environ, start)

    app.server.wsgi_app = with_role  # type: ignore[method-assign]
    dash_duo.start_server(app)
    shown = AlertPage(dash_duo, source)  # type: ignore[arg-type]
    shown.open("/alerts")
    shown.until(lambda: shown.count(ROWS) == len(RULES))
    yield shown
    assert shown.js("return venuescope.errors") == []
    assert dash_duo.get_logs() == []


def test_a_rule_is_made_fires_on_every_page_and_is_acknowledged(page: AlertPage) -> None:
    assert page.text('[data-f="alerts.count"]') == "2"
    assert page.js("return document.title").startswith("(2) ")
    assert page.js("return document.querySelectorAll('.vs-toast').length") == 0  # what is old is not news
    page.field("Threshold", "7.5")
    page.until(lambda: page.text(SAYS) == "BTC/USDT spread on any venue above 7.5 bp for 5 s")
    page.click('.vs-chip.is-hook[data-name="desk"]')
    page.click(MAKE)
    page.until(lambda: page.count(ROWS) == len(RULES) + 1)
    made = page.sent("alert_add")[-1]
    assert made == {
        "metric": "spread_bp",
        "symbol": "BTC-USDT",
        "venue": "",
        "above": True,
        "threshold": "7.5",
        "for_s": 5,
        "webhooks": ["desk"],
    }
    assert page.source.alerts.rules[-1].text == "BTC/USDT spread on any venue above 7.5 bp for 5 s"
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    page.js("document.activeElement.blur()")
    page.duo.driver.find_element(By.TAG_NAME, "body").send_keys("0")
    page.until(lambda: page.js("return document.querySelector('[data-page]').dataset.page") == "health")
    page.source.fire()
    page.until(lambda: READS in page.text(".vs-toast"))
    page.until(lambda: page.js("return document.title").startswith("(3) "))
    page.click("#shell-alerts")
    page.until(lambda: page.count(FIRINGS) == 6)
    assert READS in page.text(f"{ROWS}:first-child .vs-rule")
    page.click(".is-ack-all")
    page.until(lambda: page.text('[data-f="alerts.count"]') == "0")  # some are true still
    page.until(lambda: not page.js("return document.title").startswith("("))
    assert page.sent("alert_acknowledge") == [{"id": 0}]


# A browser that counts what it is asked to play and to show; what it has of either is told by the test.
STUBS = """
window.heard = 0; window.shown = [];
window.AudioContext = class {
  constructor() { this.currentTime = 0; this.destination = {}; }
  resume() {}
  createGain() { return {gain: {setValueAtTime() {}, exponentialRampToValueAtTime() {}}, connect: (to) => to}; }
  createOscillator() { return {frequency: {}, connect: (to) => to, start() { heard += 0.5 }, stop() {}}; }
};
window.Notification = class {
  constructor(title, more) { shown.push([title, more.tag]); }
  static get permission() { return sessionStorage.permission || 'default'; }
  static requestPermission() {
    sessionStorage.permission = sessionStorage.wanted;
    return Promise.resolve(sessionStorage.wanted);
  }
};
"""
TOLD = "return [heard, shown.length]"
PRESS = """document.querySelector(`[data-host="alert:told"] [data-way="${arguments[0]}"]`).click()"""
ON = """return [...document.querySelectorAll('[data-host="alert:told"] [data-way]')]
.map((e) => e.getAttribute('aria-checked'))"""


@pytest.mark.nightly
def test_sound_and_notification_are_asked_for_and_tell_new_firings_alone(page: AlertPage) -> None:
    driver = page.duo.driver
    stubs = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STUBS})
    try:
        page.open("/alerts")
        page.until(lambda: page.js(ON) == ["false", "false"])  # off until somebody wants them
        page.source.fire()
        page.until(lambda: page.text(".vs-toast.is-alert") != "")
        assert page.js(TOLD) == [0, 0]
        page.js("sessionStorage.wanted = 'denied'")
        page.js(PRESS, "notify")
        page.until(lambda: "blocked for this address" in page.text("body"))
        page.until(lambda: page.js(ON) == ["false", "false"])
        page.js("sessionStorage.wanted = 'granted'")
        page.js(PRESS, "notify")
        page.js(PRESS, "sound")
        page.until(lambda: page.js(ON) == ["true", "true"])
        assert page.js(TOLD) == [1, 0]  # it is heard once when it is switched on
        page.source.fire()
        page.until(lambda: page.js(TOLD) == [2, 1])
        newest = page.source.alerts.firings[0]
        assert page.js("return shown[0]") == [
            newest.text.replace("104000", "104,000"),
            f"venuescope-{newest.id}",
        ]
        polls = page.js("return venuescope.polls")
        page.until(lambda: page.js("return venuescope.polls") > polls + 3)
        assert page.js(TOLD) == [2, 1]  # once
        page.open("/book")  # what is old is not news on a page that is loaded
        page.until(lambda: page.js("return venuescope.polls") > 4)
        assert page.js(TOLD) == [0, 0]
        page.click("[data-act=pause]")
        page.until(lambda: page.text('[data-f="badge.word"]') == "Paused")
        page.source.fire()
        page.source.fire()
        page.js("window.later = 0; setTimeout(() => { window.later = 1 }, 1200)")
        page.until(lambda: page.js("return window.later"))
        assert page.js(TOLD) == [0, 0]  # a view that is frozen is silent
        page.click("[data-act=pause]")
        page.until(lambda: page.js(TOLD) == [1, 1])  # and says so once when it goes on
        assert "1 more" in page.text(".vs-toast.is-alert")
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", stubs)


@pytest.mark.nightly
def test_what_the_engine_says_of_a_typed_sentence_stands_beside_it(page: AlertPage) -> None:
    page.click('[data-by="type"]')
    page.write(".vs-form.is-alert textarea", "BTC/USDT sprd on any venue above 5 bp")
    page.click(MAKE)
    page.until(lambda: "nothing to watch" in page.text(SAID))
    assert page.count(ROWS) == len(RULES)
    page.write(".vs-form.is-alert textarea", "eth/usdt bid on bybit_spot under 3000.5 for 2 m")
    page.click(MAKE)
    page.until(lambda: page.count(ROWS) == len(RULES) + 1)
    assert page.source.alerts.rules[-1].text == "ETH/USDT bid on bybit_spot below 3000.5 for 2 m"


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("metric", "venue", "above", "threshold", "seconds"),
    [
        ("mid", "binance_spot", True, "70000.5", "0"),
        ("p99_ms", "", True, "250", "60"),
        ("p99_ms", "builtin", True, "1.5", "90"),
        ("throttled", "", True, "10", "2.5"),
        ("stale_s", "bybit_spot", False, "3", "120"),
        ("gaps", "", True, "3", "5"),
    ],
)
def test_the_sentence_shown_is_the_one_the_engine_makes(
    page: AlertPage, metric: str, venue: str, above: bool, threshold: str, seconds: str
) -> None:
    page.js(
        """const set = (label, value) => {
        const el = document.querySelector(`#page-alerts select[aria-label="${label}"]`);
        el.value = value; el.dispatchEvent(new Event('change', { bubbles: true })); };
        set('What', arguments[0]); set('Venue', arguments[1]);""",
        metric,
        venue,
    )
    if not above:
        page.js("[...document.querySelectorAll('.is-alert .vs-seg button')].at(-1).click()")
    page.field("Threshold", threshold)
    page.field("For at least", seconds)
    page.until(lambda: threshold in page.text(SAYS).replace(",", ""))
    shown = page.text(SAYS).replace(",", "")  # digits are grouped to be read alone
    page.click(MAKE)
    page.until(lambda: len(page.source.alerts.rules) == len(RULES) + 1)
    assert page.source.alerts.rules[-1].text == shown


@pytest.mark.nightly
def test_a_rule_is_switched_edited_and_removed_at_the_second_press(page: AlertPage) -> None:
    page.click(f"{ROWS}:nth-child(3) .vs-switch")
    page.until(lambda: page.source.alerts.rules[2].enabled is False)
    assert page.sent("alert_change") == [{"id": page.source.alerts.rules[2].id, "enabled": False}]
    page.click(f'{ROWS}:nth-child(1) [data-act="alert-edit"]')
    page.until(lambda: page.text(SAYS) == READS)
    page.field("Threshold", "105000")
    page.click(MAKE)
    page.until(lambda: page.source.alerts.rules[0].threshold == "105000")
    assert page.source.alerts.rules[0].webhooks == ("desk", "phone")
    remove = f'{ROWS}:nth-child(2) [data-act="alert-remove"]'
    page.click(remove)
    page.until(lambda: page.text(remove) == "Sure?")
    assert page.sent("alert_remove") == []
    page.click(remove)
    page.until(lambda: page.count(ROWS) == len(RULES) - 1)
    assert page.text(remove) == "Remove"  # the row is the next rule's now, and nobody asked for that one
    assert page.count(".is-sure") == 0
    page.click(remove)
    page.until(lambda: page.text(remove) == "Sure?")
    assert len(page.sent("alert_remove")) == 1


@pytest.mark.nightly
def test_escape_leaves_an_edit_and_changes_nothing(page: AlertPage) -> None:
    title = ".is-alert-form h2"
    page.click(f'{ROWS}:nth-child(1) [data-act="alert-edit"]')
    page.until(lambda: page.text(title) == "Edit rule")
    page.field("Threshold", "5" + Keys.ESCAPE)
    page.until(lambda: page.text(title) == "New rule")
    assert page.text(MAKE) == "Make this rule"
    assert page.sent("alert_change") == []


@pytest.mark.nightly
def test_values_are_shown_with_one_unit_and_how_far_is_left(page: AlertPage) -> None:
    cell = f"{ROWS}:nth-child({{}}) td:nth-child({{}})"
    assert page.text(cell.format(2, 3)) == "5.4 bp"
    assert page.text(cell.format(2, 4)) == "0.4 bp past"
    assert page.text(cell.format(3, 3)) == "61.3 ms"
    assert page.text(cell.format(3, 4)) == "188.7 ms"
    page.write(".vs-form.is-alert input[aria-label='Symbol']", "FOO-BAR")
    page.field("Threshold", "5")
    page.until(lambda: "FOO/BAR" in page.text(SAYS))
    page.click(MAKE)
    page.until(lambda: page.count(ROWS) == len(RULES) + 1)
    title = "return document.querySelector(arguments[0]).title"
    page.until(
        lambda: "No open venue follows FOO-BAR" in page.js(title, f"{ROWS}:last-child .vs-tag.is-alert")
    )


@pytest.mark.nightly
def test_no_rule_yet_offers_three(page: AlertPage) -> None:
    page.source.switch("fresh")
    page.until(lambda: page.count('[data-act="alert-example"]') == 3)
    said = page.text('[data-act="alert-example"]')
    page.click('[data-act="alert-example"]')
    page.until(lambda: page.count(ROWS) == 1)
    assert page.source.alerts.rules[0].text == said


@pytest.mark.nightly
def test_a_webhook_is_added_and_its_secret_shown_once(page: AlertPage) -> None:
    page.click(".vs-hooks > .vs-btn")
    page.field("Name", "ops")
    page.field("Address", "ftp://somewhere")
    page.click(".vs-form.is-hook button[type=submit]")
    page.until(lambda: "begins with https" in page.text(".vs-form.is-hook .vs-said"))
    page.field("Address", "https://hooks.example.org/ops")
    page.click(".vs-form.is-hook button[type=submit]")
    page.until(lambda: page.text(".vs-secret code").startswith("whs_"))
    assert page.sent("webhook_add")[-1] == {
        "name": "ops",
        "template": "json",
        "url": "https://hooks.example.org/ops",
    }
    assert "whs_" not in page.js("return JSON.stringify({...localStorage}) + location.href")
    page.js("[...document.querySelectorAll('.vs-secret button')].at(-1).click()")
    page.until(lambda: page.text(".vs-secret") == "")
    page.click('.hook [data-act="hook-test"]')
    page.until(lambda: "HTTP 200" in page.text(".vs-toast.is-done"))
    page.click('.hook [data-act="hook-test"][data-name="phone"]')
    page.until(lambda: "HTTP 404" in page.text(".vs-toast.is-warn"))


@pytest.mark.nightly
def test_a_session_that_may_look_finds_nothing_to_press(page: AlertPage, role: list[str]) -> None:
    role[0] = "read"
    page.until(lambda: page.text(SAID) == ONLY_LOOK)
    page.until(lambda: page.js("return document.querySelector('.is-ack-all').disabled"))
    open_ones = page.js(
        """return [...document.querySelectorAll('#page-alerts [data-act^=alert-], #page-alerts [data-act^=hook-]')]
        .filter((el) => !el.disabled).length"""
    )
    assert open_ones == 0
    page.js("venuescope.command('alert_acknowledge', { id: 0 })")
    page.until(lambda: ONLY_LOOK in page.text(".vs-toast"))
    assert page.source.alerts.unacknowledged == 2


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("off", {"off"}),
        ("failed", {"error", "live"}),
        ("fresh", {"empty", "live"}),
        ("calm", {"live"}),
    ],
)
def test_every_state_is_drawn(page: AlertPage, mode: str, states: set[str]) -> None:
    page.source.switch(mode)
    script = "return [...document.querySelectorAll('section[data-panel]')].map((el) => el.dataset.state)"
    page.until(lambda: set(page.js(script)) == states)
    assert page.js("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.nightly
def test_impact_follows_side_and_amount(page: AlertPage) -> None:
    page.open("/book")
    page.until(lambda: page.count('[data-host="impact:rows"] tr') == 4)
    page.write('#page-book input[aria-label="Amount"]', "2.5m" + Keys.ENTER)
    page.until(lambda: page.count('[data-host="impact:rows"] tr') == 5)
    assert page.text('[data-host="impact:rows"] tr:last-child td') == "2,500,000"
    assert page.source.params["amount"] == "2500000"
    page.until(lambda: "amount=2500000" in page.js("return location.search"))
    bought = page.text('[data-f="impact.average"]')
    page.click('[data-key="side"][data-value="sell"]')
    page.until(lambda: page.text('[data-f="impact.average"]') not in ("–", bought))
    page.write('#page-book input[aria-label="Amount"]', "900m" + Keys.ENTER)
    page.until(lambda: ">" in page.text('[data-f="impact.bp"]'))
    page.until(lambda: "the known book ends" in page.text("#panel-impact footer"))
    page.write('#page-book input[aria-label="Amount"]', "nonsense" + Keys.ENTER)
    page.until(lambda: page.count('#page-book input[aria-invalid="true"]') == 1)
