"""A server that is really away: its port refuses, then somebody listens there again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dashboards.shell import create_app
from tests.browser.conftest import Page
from tests.browser.fake_source import FakeSource
from tests.browser.serving import Serving


@pytest.mark.nightly
def test_a_page_goes_on_by_itself_when_its_server_was_away(dash_duo: Any) -> None:
    source = FakeSource()
    server = Serving(create_app(source))
    try:
        dash_duo.server_url = f"http://127.0.0.1:{server.port}"
        page = Page(dash_duo, source).open()
        page.js("window.mine = 'not loaded again'")
        for epoch in ("fake-2", "fake-3"):
            server.stop()
            page.until(lambda: page.text('[data-f="badge.word"]') == "Disconnected", 15)
            time.sleep(2)  # some refused requests
            source.epoch = epoch
            server.start(create_app(source))
            page.until(lambda: page.text('[data-f="badge.word"]') == "Live", 10)
            page.until(lambda: page.state("depth") == "live")
            polls, at = page.js("return [venuescope.polls, performance.now()]")
            page.until(lambda polls=polls: page.js("return venuescope.polls") >= polls + 8)
            seconds = (page.js("return performance.now()") - at) / 1000
            # One poll at a time again: four a second, not two chains of them.
            assert (page.js("return venuescope.polls") - polls) / seconds < 5
        assert page.js("return window.mine") == "not loaded again"
        assert page.js("return venuescope.restarts") == 2
    finally:
        server.stop()
