"""The Exchange page in a real browser: what is sent is what the button said, once; secrets stay in memory."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash.testing.wait import until
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboards.exchange_snippets import KINDS
from dashboards.shell import create_app
from engine.errors import BadCommand
from tests.browser.conftest import Page
from tests.browser.exchange_source import ExchangeSource

SEND = ".vs-btn.is-send"
SAID = '[data-host="ticket"] .vs-said'
ROWS = '[data-host="my-orders"] tbody tr'
CELLS = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
VIEWS = ("trade", "clients", "control", "profile")
CHOOSE = """const e = document.querySelector(arguments[0]);
  e.value = arguments[1];
  e.dispatchEvent(new Event('change'));"""
# Texts that are cut off though nothing tells the rest, in what is on screen.
CUT = """const seen = '.vs-facts b, .vs-ladder .p, .vs-tab td.n, .vs-btn, .vs-tag, .vs-form .vs-num';
  return [...document.querySelectorAll(seen)]
  .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible')
  .map((e) => e.textContent)"""


class ExchangePage(Page):
    """The page over a played exchange."""

    source: ExchangeSource  # type: ignore[assignment]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """Arguments of every command of that name."""
        return [args for each, args in list(self.source.commands) if each == name]

    def write(self, label: str, text: str) -> None:
        """Type into the field of that label, in place of what is in it."""
        field = self.duo.driver.find_element(By.CSS_SELECTOR, f'input[aria-label="{label}"]')
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys(text)

    def view(self, name: str) -> None:
        """Look at another view."""
        self.click(f'[data-key="exview"][data-value="{name}"]')
        self.until(lambda: self.js("return document.body.dataset.exview") == name)


@pytest.fixture
def page(dash_duo: Any) -> Iterator[ExchangePage]:
    """The trade view over a played exchange; no SEVERE line in the console at the end."""
    source = ExchangeSource(history_s=70)
    dash_duo.start_server(create_app(source))
    shown = ExchangePage(dash_duo, source)  # type: ignore[arg-type]
    shown.open("/exchange?window=60")
    shown.until(lambda: shown.text(SEND) == "Enter a size")
    yield shown
    assert shown.js("return venuescope.errors") == []
    assert dash_duo.get_logs() == []


def test_every_view_is_drawn_and_lives(page: ExchangePage) -> None:
    for view in VIEWS:
        page.view(view)
        shown = f'.vs-ex[data-view="{view}"] section[data-panel]'
        names = page.js(f"return [...document.querySelectorAll('{shown}')].map((e) => e.dataset.panel)")
        assert len(names) >= 2
        wanted = {"empty"} if view == "profile" else {"live"}
        page.until(lambda names=names, wanted=wanted: {page.state(name) for name in names} == wanted)
        visible = "return all('.vs-ex').flatMap((e) => (e.clientWidth ? [e.dataset.view] : []))"
        assert page.js(f"const all = (s) => [...document.querySelectorAll(s)]; {visible}") == [view]
    page.view("clients")
    drawn = (
        "const g = venuescope.graph(arguments[0]); return g && g.data && g.data[1] ? g.data[1].x.length : 0"
    )
    page.until(lambda: page.js(drawn, "exchange_rates") >= 55 and page.js(drawn, "exchange_latency") >= 55)
    assert len(page.js(CELLS, '[data-host="exchange-stages"] tr')) == 7
    assert page.js(CELLS, '[data-host="rejects"] .vs-num')[0] == "812"


def test_an_order_is_sent_once_as_its_button_said_and_the_answer_is_shown(page: ExchangePage) -> None:
    page.source.delay_s = 0.7
    page.write("Size", "0.125")
    page.click('[data-act="ex-best"][data-side="buy"]')
    price = page.js("return document.querySelector('input[aria-label=Price]').value")
    page.until(lambda: page.text(SEND) == f"Buy 0.125 BTC at {price}")
    field = page.duo.driver.find_element(By.CSS_SELECTOR, 'input[aria-label="Size"]')
    field.send_keys(Keys.ENTER)
    assert page.text(SEND) == "Sending"
    field.send_keys(Keys.ENTER)
    page.click(SEND)
    page.until(lambda: re.search(r": accepted, resting; order \d+$", page.text(SAID)))
    page.source.delay_s = 0.0
    (asked,) = page.sent("exchange_place")
    assert asked == {
        "account": "main",
        "symbol": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": price.replace(",", ""),
        "size": "0.125",
        "trigger": "",
        "tif": "gtc",
        "post_only": False,
    }
    page.until(lambda: len(page.js(CELLS, ROWS)) == 5)
    assert price in page.js(CELLS, ROWS)[0]
    page.until(lambda: page.text(SEND) == "Enter a size")  # the same order is not armed again
    page.write("Size", "0.125")
    page.until(lambda: not page.js("return document.querySelector(arguments[0]).disabled", SEND))
    twice = "const e = document.querySelector(arguments[0]); e.click(); e.click(); e.form.requestSubmit();"
    page.js(twice, SEND)
    page.until(lambda: len(page.js(CELLS, ROWS)) == 6)
    page.until(lambda: page.text(SEND) == "Enter a size")
    assert len(page.sent("exchange_place")) == 2


@pytest.mark.nightly
def test_a_refused_order_gives_the_engines_sentence_and_keeps_what_was_typed(page: ExchangePage) -> None:
    page.write("Size", "101")
    page.until(lambda: page.text(SEND).startswith("Buy 101 BTC"))
    page.click(SEND)
    page.until(lambda: page.text(SAID) == "The account has not enough of it free")
    assert page.js("return document.querySelector('input[aria-label=Size]').value") == "101"
    assert page.js("return document.querySelectorAll('.vs-toast').length") == 0


@pytest.mark.nightly
def test_a_price_far_through_the_market_is_asked_for_twice(page: ExchangePage) -> None:
    page.write("Size", "1")
    page.write("Price", "150000")
    page.until(lambda: page.text(SEND) == "Buy 1 BTC at 150,000")
    page.click(SEND)
    page.until(lambda: "% through the market" in page.text(SAID))
    assert page.sent("exchange_place") == []
    assert page.text(SEND) == "Send: Buy 1 BTC at 150,000"
    page.write("Price", "151000")  # something else: asked again
    page.click(SEND)
    page.until(lambda: "% through the market" in page.text(SAID))
    assert page.sent("exchange_place") == []
    page.click(SEND)
    page.until(lambda: len(page.sent("exchange_place")) == 1)
    assert page.sent("exchange_place")[0]["price"] == "151000"


@pytest.mark.nightly
def test_types_ask_for_what_they_need_and_send_nothing_else(page: ExchangePage) -> None:
    page.js(CHOOSE, "select[aria-label=Type]", "stop")
    page.write("Size", "0.5")
    page.until(lambda: page.text(SEND) == "Enter a trigger price")
    assert page.js("return document.querySelector('input[aria-label=Price]').offsetParent") is None
    page.write("Trigger price", "99000")
    page.click(".vs-seg .sell")
    page.until(lambda: page.text(SEND) == "Sell 0.5 BTC, from 99,000")
    page.click(SEND)
    page.until(lambda: len(page.sent("exchange_place")) == 1)
    asked = page.sent("exchange_place")[0]
    assert (asked["side"], asked["type"], asked["price"], asked["trigger"], asked["tif"]) == (
        "sell", "stop", "", "99000", "",
    )  # fmt: skip


@pytest.mark.nightly
def test_a_price_of_the_book_goes_into_the_ticket_and_stands_still(page: ExchangePage) -> None:
    page.click('[data-host="exbook:a"] button:nth-child(2)')
    price = page.js("return document.querySelector('input[aria-label=Price]').value")
    assert re.fullmatch(r"\d{3},\d{3}\.\d", price)
    assert page.js("return document.activeElement.getAttribute('aria-label')") == "Size"
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 4)
    assert page.js("return document.querySelector('input[aria-label=Price]').value") == price


@pytest.mark.nightly
def test_an_order_is_changed_in_its_row_and_refreshes_leave_what_is_typed(page: ExchangePage) -> None:
    order = page.js("return document.querySelector(arguments[0]).dataset.order", ROWS)
    page.click('[data-act="ex-edit"]')
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 2)
    assert (
        page.js("return [...document.querySelectorAll('.is-cell input')].map((e) => e.value)")[1] == "0.12000"
    )  # open
    page.write(f"Price of order {order}", "100000.5")
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 4)
    assert page.js("return document.querySelector('.is-cell input').value") == "100000.5"
    page.click('[data-act="ex-save"]')
    page.until(lambda: page.sent("exchange_replace") != [])
    assert page.sent("exchange_replace") == [
        {"account": "main", "order_id": order, "price": "100000.5", "size": "0.12000"}
    ]
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 0)
    page.until(lambda: "100,000.5" in page.js(CELLS, ROWS)[0])
    page.click('[data-act="ex-edit"]')
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 2)
    page.duo.driver.find_element(By.CSS_SELECTOR, ".is-cell input").send_keys(Keys.ESCAPE)
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 0)
    assert len(page.sent("exchange_replace")) == 1


@pytest.mark.nightly
def test_one_order_is_canceled_at_once_and_all_after_a_second_press(page: ExchangePage) -> None:
    order = page.js("return document.querySelector(arguments[0]).dataset.order", ROWS)
    page.click('[data-act="ex-cancel"]')
    page.until(lambda: page.sent("exchange_cancel") == [{"account": "main", "order_id": order}])
    page.until(lambda: len(page.js(CELLS, ROWS)) == 3)
    page.click('[data-act="ex-cancel-all"]')
    assert page.text('[data-act="ex-cancel-all"]') == "Cancel all 3?"
    assert page.sent("exchange_cancel_all") == []
    page.click('[data-act="ex-cancel-all"]')
    page.until(lambda: page.state("my-orders") == "empty")
    page.click('[data-key="exlist"][data-value="done"]')
    page.until(lambda: page.text('[data-key="exlist"][data-value="done"]') == "Done 45")
    page.click('[data-key="exlist"][data-value="fills"]')
    page.until(lambda: len(page.js(CELLS, ROWS)) == 24)


def test_a_secret_is_in_the_program_and_in_memory_alone(page: ExchangePage) -> None:
    page.click('[data-act="ex-first-key"]')
    page.until(lambda: page.sent("exchange_create_key") == [{"account": "main", "label": "", "trade": True}])
    made = page.source.answers[-1]
    assert made is not None
    page.until(lambda: made["secret"] in page.text(".vs-code"))
    assert made["api_key"] in page.text(".vs-code")
    for kind in KINDS:
        page.click(f'[data-key="snippet"][data-value="{kind.id}"]')
        text = kind.make("http://127.0.0.1:8051", "ws://127.0.0.1:8053", made["api_key"], made["secret"])
        page.until(lambda text=text: page.text(".vs-code") == text)
    kept = page.js(
        "return JSON.stringify([localStorage, sessionStorage, location.href, document.cookie, history.state])"
    )
    assert made["secret"] not in kept
    left = "const at = document.getElementById('react-entry-point'); return at.innerHTML.split(arguments[0]).length - 1"
    page.until(lambda: page.js(left, made["secret"]) == 1)  # in the program
    page.duo.driver.refresh()
    page.until(lambda: "SECRET" in page.text(".vs-code"), 20)
    assert page.js(left, made["secret"]) == 0
    assert "Fill in its secret" in page.text(".vs-note-text")


@pytest.mark.nightly
def test_a_new_key_is_shown_once_and_revoked_after_a_second_press(page: ExchangePage) -> None:
    page.view("control")
    page.write("Account", "robots")
    page.write("Label", "grid")
    page.click('[aria-label="May trade"]')
    page.click('[data-host="key-form"] [type="submit"]')
    page.until(
        lambda: page.sent("exchange_create_key") == [{"account": "robots", "label": "grid", "trade": False}]
    )
    made = page.source.answers[-1]
    assert made is not None
    page.until(lambda: page.text(".vs-secret code") == made["secret"])
    page.click('[data-act="ex-known"]')
    page.until(lambda: page.js("return document.querySelector('.vs-secret').hidden"))
    assert page.text(".vs-secret code") == ""
    row = f'[data-act="ex-revoke"][data-of="{made["api_key"]}"]'
    page.click(row)
    assert page.text(row) == "Revoke?"
    polls = page.js("return venuescope.polls")
    page.until(lambda: page.js("return venuescope.polls") > polls + 4)
    assert page.sent("exchange_revoke_key") == []
    page.click(row)
    page.until(lambda: page.sent("exchange_revoke_key") == [{"api_key": made["api_key"]}])
    page.until(lambda: page.js("return document.querySelector(arguments[0])", row) is None)


@pytest.mark.nightly
def test_a_key_that_cannot_be_says_why_beside_its_form(page: ExchangePage) -> None:
    page.view("control")
    page.write("Account", "x" * 40)
    page.click('[data-host="key-form"] [type="submit"]')
    said = '[data-host="key-form"] .vs-said'
    page.until(lambda: page.text(said) == "An account's name has 1 to 32 characters")


def test_faults_are_ordered_listed_and_stopped(page: ExchangePage) -> None:
    page.view("control")
    page.until(lambda: page.text('[data-kind="429"] b') == "1 on")
    page.click('[data-kind="slow_ack"]')
    page.write("Of the occasions", "12.5")
    page.write("Delay", "250")
    page.write("For", "20")
    page.click('[data-host="fault-form"] [type="submit"]')
    page.until(lambda: len(page.sent("exchange_fault")) == 1)
    assert page.sent("exchange_fault")[0] == {
        "kind": "slow_ack",
        "budget": "",
        "symbol": "",
        "rate": 0.125,
        "count": 0,
        "duration_s": 20,
        "delay_s": 0.25,
    }
    page.until(lambda: page.text('[data-kind="slow_ack"] b') == "1 on")
    rows = '[data-host="fault-list"] .rows > div'
    assert page.js(CELLS, f"{rows} b") == ["Duplicate market data", "Answer 429", "Delay acknowledgements"]
    page.until(lambda: re.fullmatch(r"0:1\d|0:20", page.js(CELLS, f"{rows} .vs-left")[2]))
    page.click(f"{rows}:nth-child(3) button")
    page.until(lambda: len(page.js(CELLS, rows)) == 2)
    page.write("Of the occasions", "0")
    page.click('[data-host="fault-form"] [type="submit"]')
    page.until(lambda: "above 0" in page.text('[data-host="fault-form"] .vs-said'))
    page.click('[data-host="fault-list"] .head button')
    page.until(lambda: page.text('[data-host="fault-list"] h3') == "Nothing is broken")
    assert page.sent("exchange_clear_fault")[-1] == {"id": 0}
    assert len(page.sent("exchange_fault")) == 1


@pytest.mark.nightly
def test_a_halted_symbol_takes_no_order_from_the_ticket_until_it_is_resumed(page: ExchangePage) -> None:
    page.write("Size", "1")
    page.view("control")
    page.click('[data-act="ex-halt"][data-symbol="BTC-USDT"]')
    page.until(lambda: page.text('[data-host="phases"] .vs-tag') == "halted")
    page.view("trade")
    page.until(lambda: page.text(SEND) == "BTC-USDT is halted")
    assert page.js("return document.querySelector(arguments[0]).disabled", SEND)
    page.view("control")
    page.click('[data-act="ex-halt"][data-symbol="BTC-USDT"]')
    page.view("trade")
    page.until(lambda: page.text(SEND).startswith("Buy 1 BTC"))


@pytest.mark.nightly
def test_another_account_and_symbol_are_shown_and_kept_in_the_address(page: ExchangePage) -> None:
    page.js(CHOOSE, '[data-host="ticket"] select[aria-label="Symbol"]', "ETH-USDT")
    page.until(lambda: page.text('[data-f="sub.exchange-book"]') == "ETH-USDT, matched here")
    page.until(
        lambda: page.js("return document.querySelector('input[aria-label=Price]').value").startswith("3,")
    )
    page.js(CHOOSE, '[data-host="ticket"] select[aria-label="Account"]', "grid")
    page.until(lambda: page.state("my-orders") == "empty")
    page.until(lambda: page.text('[data-f="sub.balances"]') == "Account grid")
    assert page.js("return location.search") == "?window=60&account=grid&ticket=ETH-USDT"
    page.write("Amount", "250")
    page.click(".vs-faucet button")
    page.until(
        lambda: page.sent("exchange_faucet") == [{"account": "grid", "asset": "USDT", "amount": "250"}]
    )
    page.until(lambda: "1,000,250.00" in page.text('[data-host="balances"] .rows'))


@pytest.mark.nightly
def test_what_was_typed_outlives_a_visit_to_another_page(page: ExchangePage) -> None:
    page.write("Size", "0.777")
    page.click("#rail-health")
    page.until(lambda: page.js("return document.querySelector('[data-page]').dataset.page") == "health")
    page.click("#rail-exchange")
    page.until(
        lambda: (
            page.js("const e = document.querySelector('input[aria-label=Size]'); return e && e.value")
            == "0.777"
        )
    )


@pytest.mark.nightly
def test_a_profile_is_taken_and_its_bars_can_be_looked_into(page: ExchangePage) -> None:
    page.view("profile")
    page.click('#panel-profile-flame .vs-state [data-act="ex-profile"]')
    page.until(lambda: page.sent("profile") == [{"seconds": 10}])
    page.until(lambda: "Profiling, " in page.text('[data-host="profile:act"]'))
    page.until(lambda: page.text("#panel-profile-flame .vs-state b") == "A profile is being taken")
    page.source._profile_ends_ns = 0  # not for ten seconds
    bars = '[data-host="flame"] .inner button'
    page.until(lambda: len(page.js(CELLS, bars)) > 10)
    assert page.js(CELLS, bars)[0] == "engine thread"
    assert page.text('[data-host="profile-table"] tr td') == "match"
    page.js(
        "[...document.querySelectorAll(arguments[0])].find((e) => e.textContent === 'place').click()", bars
    )
    page.until(lambda: page.js(CELLS, bars)[:3] == ["engine thread", "on_frames", "place"])
    wide = "return [...document.querySelectorAll(arguments[0])].slice(0, 3).map((e) => e.style.width)"
    assert page.js(wide, bars) == ["100%", "100%", "100%"]
    page.click(bars)
    page.until(lambda: len(page.js(CELLS, bars)) > 10)


@pytest.mark.parametrize(
    ("mode", "word", "said"),
    [
        ("off", "Off", "The exchange is off"),
        pytest.param("starting", "Starting", "The exchange is starting", marks=pytest.mark.nightly),
        ("failed", "Not serving", "The exchange is not serving"),
    ],
)
def test_an_exchange_that_does_not_serve_says_so_and_why(
    page: ExchangePage, mode: str, word: str, said: str
) -> None:
    page.source.switch(mode)
    page.until(lambda: page.text('[data-f="exchange.state"]') == word)
    page.until(lambda: said in page.text("#panel-connect .vs-state"))
    if mode == "failed":
        said = "Exchange port 8051 is in use; choose another with exchange_port."
        assert said in page.text("#panel-connect .vs-state")
        assert page.state("connect") == "error"
    assert page.text('[data-f="exchange.orders"]') == "–"
    page.source.switch("live")
    page.until(lambda: page.state("connect") == "live")


@pytest.mark.nightly
def test_figures_that_stop_are_marked_as_old(page: ExchangePage) -> None:
    page.source.shown = "silent"
    page.view("clients")
    page.until(lambda: page.state("clients") == "stale", 12)
    assert "No figures for" in page.text("#panel-clients .vs-note")


@pytest.mark.nightly
def test_a_first_visit_makes_a_key_with_one_press(page: ExchangePage) -> None:
    page.source.switch("fresh")
    page.until(lambda: page.text("#panel-ticket .vs-state b") == "No account yet")
    page.until(lambda: page.text('.vs-keyline [data-act="ex-first-key"]') == "Create a key")
    page.click('#panel-ticket .vs-state [data-act="ex-first-key"]')
    page.until(lambda: page.text(SEND) == "Enter a size")
    made = page.source.answers[-1]
    assert made is not None
    page.until(lambda: made["secret"] in page.text(".vs-code"))


MORE_COMMAS = [
    pytest.param(typed, marks=pytest.mark.nightly) for typed in ("1,00", "0,500", "1,2,3", "10,00.5")
]


@pytest.mark.nightly
@pytest.mark.parametrize("typed", ["0,5", *MORE_COMMAS])
def test_a_comma_that_parts_no_thousands_is_refused_in_the_ticket(page: ExchangePage, typed: str) -> None:
    page.write("Size", typed)
    page.until(lambda: page.text(SEND).endswith("with a point"))
    if typed == "0,5":
        assert page.text(SEND) == "Write 0.5 with a point"
    page.duo.driver.find_element(By.CSS_SELECTOR, 'input[aria-label="Size"]').send_keys(Keys.ENTER)
    page.js("document.querySelector(arguments[0]).form.requestSubmit()", SEND)
    assert page.sent("exchange_place") == []


@pytest.mark.nightly
def test_what_is_no_number_of_its_step_is_refused_in_words(page: ExchangePage) -> None:
    for typed, said in (
        ("abc", "Size is a plain number, as 0.5"),
        ("-1", "Size is a plain number, as 0.5"),
        ("1e3", "Size is a plain number, as 0.5"),
        ("0", "Size must be above 0"),
        ("0.000001", "Size goes in steps of 0.00001"),
        ("99999999999", "Size is too large"),
    ):
        page.write("Size", typed)
        page.until(lambda said=said: page.text(SEND) == said)
    page.write("Size", "1,000.500000")  # no finer than its step: zeros
    page.write("Price", "100000.05")
    page.until(lambda: page.text(SEND) == "Price goes in steps of 0.1")
    page.write("Price", "0100,000.")
    page.until(lambda: page.text(SEND) == "Write 0.5 with a point")
    page.write("Price", "90,000.")
    page.until(lambda: page.text(SEND) == "Buy 1,000.500000 BTC at 90,000")
    page.click(SEND)
    page.until(lambda: page.text(SAID) != "")
    assert [(one["size"], one["price"]) for one in page.sent("exchange_place")] == [("1000.500000", "90000")]


@pytest.mark.nightly
def test_a_comma_is_refused_in_a_row_and_at_the_faucet_beside_where_it_was_typed(page: ExchangePage) -> None:
    order = page.js("return document.querySelector(arguments[0]).dataset.order", ROWS)
    page.click('[data-act="ex-edit"]')
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 2)
    page.write(f"Open size of order {order}", "0,5")
    page.click('[data-act="ex-save"]')
    page.until(lambda: page.text(".vs-why") == "Write 0.5 with a point")
    page.write(f"Open size of order {order}", "0.1")
    page.write(f"Price of order {order}", "0.05")
    page.click('[data-act="ex-save"]')
    page.until(lambda: page.text(".vs-why") == "Price goes in steps of 0.1")
    assert page.sent("exchange_replace") == []
    page.write("Amount", "0,5")
    page.click(".vs-faucet button")
    page.until(lambda: page.text(".vs-faucet .vs-said") == "Write 0.5 with a point")
    for typed, said in (
        ("abc", "Amount is a plain number, as 0.5"),
        ("-5", "Amount is a plain number, as 0.5"),
        ("1e30", "Amount is a plain number, as 0.5"),
        ("9" * 30, "Amount is too large"),
        ("", "Enter an amount"),
    ):
        field = page.duo.driver.find_element(By.CSS_SELECTOR, 'input[aria-label="Amount"]')
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys(typed or Keys.DELETE)
        page.click(".vs-faucet button")
        page.until(lambda said=said: page.text(".vs-faucet .vs-said") == said)
    assert page.sent("exchange_faucet") == []
    page.write("Amount", "1,000")
    page.click(".vs-faucet button")
    page.until(lambda: page.text(".vs-faucet .vs-said") == "1,000 USDT deposited")
    assert page.sent("exchange_faucet") == [{"account": "main", "asset": "USDT", "amount": "1000"}]


@pytest.mark.nightly
def test_a_refused_change_is_told_in_its_row(page: ExchangePage) -> None:
    page.click('[data-act="ex-edit"]')
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 2)
    refuse = page.source._find

    def gone(account: str, order_id: str) -> Any:
        raise BadCommand("the order is not open any more")

    page.source._find = gone  # type: ignore[method-assign]
    page.click('[data-act="ex-save"]')
    page.until(lambda: page.text(".vs-why") == "The order is not open any more")
    assert page.js("return document.querySelectorAll('.vs-toast').length") == 0
    page.source._find = refuse  # type: ignore[method-assign]
    page.click('[data-act="ex-save"]')
    page.until(lambda: page.js("return document.querySelectorAll('.is-cell input').length") == 0)


@pytest.mark.nightly
def test_an_own_order_beyond_the_levels_shown_has_a_row_at_the_edge(page: ExchangePage) -> None:
    page.write("Price", "90000")
    page.write("Size", "0.001")
    page.until(lambda: page.text(SEND).startswith("Buy 0.001"))
    page.click(SEND)
    edge = '[data-host="exbook:b"] .is-edge'
    page.until(lambda: page.js(CELLS, f"{edge} span")[:1] == ["90,000.0"])
    assert page.js(CELLS, f"{edge} span") == ["90,000.0", "mine, below", "0.00100"]
    assert page.js(
        "return document.querySelector('[data-host=\"exbook:b\"]').lastElementChild.className"
    ) == ("l is-edge")


@pytest.mark.nightly
def test_a_market_order_beyond_what_is_free_is_asked_for_twice(page: ExchangePage) -> None:
    page.js(CHOOSE, "select[aria-label=Type]", "market")
    page.write("Size", "20")
    page.until(lambda: page.text(SEND) == "Buy 20 BTC at market")
    page.click(SEND)
    page.until(lambda: "USDT, of which 1,000,000.00 are free" in page.text(SAID))
    assert page.sent("exchange_place") == []
    page.click(SEND)
    page.until(lambda: len(page.sent("exchange_place")) == 1)


@pytest.mark.nightly
def test_what_the_ticket_said_goes_with_a_halt(page: ExchangePage) -> None:
    page.write("Size", "101")
    page.until(lambda: page.text(SEND).startswith("Buy 101 BTC"))
    page.click(SEND)
    page.until(lambda: page.text(SAID) != "")
    page.source.command("exchange_halt", {"symbol": "BTC-USDT", "halted": True})
    page.until(lambda: page.text(SAID) == "")
    page.until(lambda: page.text('[data-host="exbook:phase"]') == "halted")


@pytest.mark.nightly
def test_the_ladder_is_one_tab_stop_with_arrows_and_a_key_leads_to_the_ticket(page: ExchangePage) -> None:
    stops = "return document.querySelectorAll('.is-pick button[tabindex=\"0\"]').length"
    page.until(lambda: page.js(stops) == 1)
    focused = "return document.activeElement.dataset.price"
    page.js("document.querySelector('.is-pick button[tabindex=\"0\"]').focus()")
    first = page.js("return document.activeElement.parentElement.dataset.host")
    page.duo.driver.switch_to.active_element.send_keys(Keys.ARROW_UP)
    page.until(lambda: page.js("return document.activeElement.parentElement.dataset.host") == "exbook:a")
    assert (first, page.js(stops)) == ("exbook:b", 1)
    assert page.js(focused)
    page.duo.driver.switch_to.active_element.send_keys("o")
    page.until(lambda: page.js("return document.activeElement.getAttribute('aria-label')") == "Size")
    page.click("#rail-health")
    page.until(lambda: page.js("return document.querySelector('[data-page]').dataset.page") == "health")
    page.duo.driver.find_element(By.CSS_SELECTOR, "body").send_keys("o")
    page.until(lambda: page.js("return document.activeElement.getAttribute('aria-label')") == "Size")


@pytest.mark.nightly
def test_latencies_have_three_digits_and_one_unit_by_the_largest_that_is_shown(page: ExchangePage) -> None:
    three = "return [95684, 7686, 1499, 345.6, 12.34, 0.0057].map(venuescope.format.three)"
    assert page.js(three) == ["95,700", "7,690", "1,500", "346", "12.3", "0.006"]
    unit = "return arguments[0].map((us) => venuescope.format.unit('test', us, true))"
    assert page.js(unit, [635, 9_999, 10_000, 2_500, 1_999]) == ["µs", "µs", "ms", "ms", "µs"]


@pytest.mark.nightly
def test_a_page_without_its_server_dims_figures_and_sends_nothing(page: ExchangePage) -> None:
    page.write("Size", "1")
    page.until(lambda: page.text(SEND).startswith("Buy 1 BTC"))
    page.js("window.was = venuescope.link.gone; venuescope.link.gone = () => Date.now() - 5000")
    page.js("venuescope.panels.update()")
    page.until(lambda: page.js("return document.querySelector('.vs-ex-head').classList.contains('is-gone')"))
    page.until(lambda: page.text(SEND) == "Disconnected: nothing can be sent")
    assert page.js("return document.querySelector('[data-act=\"ex-cancel-all\"]').disabled")
    assert "is-error" in page.js("return document.querySelector('[data-host=\"exchange:dot\"]').className")
    page.js("venuescope.link.gone = window.was")
    page.until(lambda: not page.js("return document.querySelector('[data-act=\"ex-cancel-all\"]').disabled"))
    page.until(lambda: page.text(SEND).startswith("Buy 1 BTC"))


@pytest.mark.nightly
def test_clients_are_sorted_by_the_figure_whose_head_is_pressed(page: ExchangePage) -> None:
    page.view("clients")
    accounts = '[data-host="clients"] tr td:first-child'
    page.until(lambda: page.js(CELLS, accounts)[:2] == ["bots", "stress-1"])
    page.click('[data-key="exsort"][data-value="queue_bytes"]')
    page.until(lambda: page.js(CELLS, accounts)[0] == "main")
    assert page.js(CELLS, '[data-host="clients"] tr:first-child .vs-tag') == ["slow"]
    assert page.text('[data-host="rejects"] > div') == "binance -2010  new order refused812"


@pytest.mark.nightly
def test_an_exchange_that_is_off_names_the_setting_once_and_shows_its_book(page: ExchangePage) -> None:
    page.source.switch("off")
    page.until(lambda: "exchange = on" in page.text("#panel-connect .vs-state"))
    assert "VENUESCOPE_EXCHANGE" in page.text("#panel-connect .vs-state")
    assert page.text("#panel-ticket .vs-state") == "Off"
    page.until(lambda: page.state("exchange-book") == "live")
    assert page.text('[data-f="sub.exchange-book"]') == "BTC-USDT, matched here"
    assert page.js("return document.querySelector('[data-act=\"ex-cancel-all\"]').disabled")


@pytest.mark.nightly
def test_orders_are_exported_as_they_are_listed(page: ExchangePage) -> None:
    page.click('#panel-my-orders [data-act="csv"]')
    folder = Path(page.duo.download_path)
    until(lambda: list(folder.glob("*orders*.csv")), 10)
    (found,) = folder.glob("*orders*.csv")
    rows = list(csv.DictReader(found.open(encoding="utf-8")))
    assert [row["order_id"] for row in rows[:4]] == page.js(
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.dataset.order)", ROWS
    )
    assert len(rows) == 45


@pytest.mark.parametrize(
    "size",
    [(1280, 800), *(pytest.param(size, marks=pytest.mark.nightly) for size in ((1440, 900), (390, 844)))],
)
def test_nothing_is_cut_or_wider_than_the_window(page: ExchangePage, size: tuple[int, int]) -> None:
    page.duo.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 768},
    )
    page.write("Size", "0.12345")
    for view in VIEWS:
        page.js("venuescope.set({ exview: arguments[0] })", view)
        polls = page.js("return venuescope.polls")
        page.until(lambda polls=polls: page.js("return venuescope.polls") > polls + 2)
        assert page.js("return document.documentElement.scrollWidth - innerWidth") <= 0, view
        assert page.js(CUT) == [], view
        if size == (1440, 900):
            assert page.js("return document.documentElement.scrollHeight - innerHeight") <= 0, view
