"""Pages of a replay out of the store: its own seconds are drawn, and panels that are of now say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dashboards.shell import create_app
from dashboards.transport import Transport
from engine.market.sequencing import Rule
from tests.browser.conftest import Page
from tests.dashboards.test_past import played
from tests.dashboards.test_transport import FakeEngine
from tests.engine.markets import BTC, SIM, SPOT
from tests.engine.replays import events


@pytest.fixture
def past(dash_duo: Any) -> Iterator[Page]:
    """The application over a recorded replay that is paused 39.5 s into its stretch, and the built-in exchange."""
    desk = played(40)
    desk.intake.on_recorded(SPOT, events((30, "warn", "BTC-USDT: sequence gap at 1,234; resyncing")))
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.show("paused").wait(0.5)
    began, wall = time.time_ns(), desk.now
    source = Transport(FakeEngine(desk), lambda: wall + time.time_ns() - began)
    dash_duo.start_server(create_app(source))
    shown = Page(dash_duo, source)
    yield shown
    assert shown.js("return venuescope.errors") == []


def marked(page: Page) -> set[str]:
    """Panels that say they are of now."""
    return set(
        page.js(
            "return [...document.querySelectorAll('section[data-panel]')]"
            ".filter((one) => one.querySelector('header .vs-of-now')).map((one) => one.dataset.panel)"
        )
    )


@pytest.mark.nightly
def test_panels_of_now_say_so_while_the_page_looks_at_the_past(past: Page) -> None:
    past.open(f"/?source={SPOT.key}")
    past.until(lambda: past.js("return Boolean(venuescope.store.answer.past)"))
    of_now = marked(past)
    every = set(
        past.js(
            "return [...document.querySelectorAll('section[data-panel]')].map((one) => one.dataset.panel)"
        )
    )
    assert "depth" in every - of_now
    past.open(f"/limits?source={SPOT.key}")
    past.until(lambda: len(marked(past)) > 1)
    past.open(f"/throughput?source={SIM.key}")
    past.until(lambda: past.js("return venuescope.store.answer.past") is None)
    assert marked(past) == set()


@pytest.mark.nightly
def test_the_chip_of_a_paused_replay_says_that_it_is(past: Page) -> None:
    past.open(f"/?source={SPOT.key}")
    past.until(lambda: "paused" in past.text(f'[data-host="chips:bar"] [data-id="{SPOT.key}"]'))


def test_charts_of_the_past_are_of_its_own_seconds(past: Page) -> None:
    past.open(f"/throughput?source={SPOT.key}")
    past.until(
        lambda: past.js(
            "const s = venuescope.store.streams.throughput; return Boolean(s && s.rows && s.rows.t.length)"
        )
    )
    newest = past.js("return venuescope.store.streams.throughput.rows.t.at(-1)")
    assert newest == past.js("return venuescope.store.answer.past.at") - 39_500 + 38_000
