"""Browser tests: Chromium's options, an application over the fake source, a console that must stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dash.testing.wait import until
from selenium.webdriver.chrome.options import Options

from dashboards.shell import create_app
from tests.browser.chromium import options
from tests.browser.fake_source import FakeSource


def pytest_setup_options() -> Options:
    """What dash[testing] starts the browser with."""
    return options(1440, 900)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests beside this file need a browser."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


class Page:
    """The served application as a test sees it."""

    def __init__(self, duo: Any, source: FakeSource) -> None:
        self.duo, self.source = duo, source
        self.expects_errors = False

    def js(self, script: str, *args: Any) -> Any:
        """What a script returns in the page."""
        return self.duo.driver.execute_script(script, *args)

    def open(self, path: str = "/") -> Page:
        """Load a page and wait for its first painted refreshes."""
        self.duo.driver.get(self.duo.server_url + path)
        self.until(lambda: (self.js("return window.venuescope && venuescope.painted") or 0) >= 2, 30)
        return self

    def until(self, check: Callable[[], Any], timeout: float = 10) -> None:
        """Wait for something that stays true once it is."""
        until(check, timeout, poll=0.1)

    def text(self, selector: str) -> str:
        """The text of the first element, '' without one."""
        return self.js(
            "const e = document.querySelector(arguments[0]); return e ? e.textContent : ''", selector
        )

    def click(self, selector: str) -> None:
        """Press an element, wherever it is on the page."""
        self.js("document.querySelector(arguments[0]).click()", selector)

    def state(self, panel: str) -> str:
        """What a panel says about itself."""
        return self.js("return document.getElementById('panel-' + arguments[0]).dataset.state", panel)


@pytest.fixture
def page(dash_duo: Any) -> Iterator[Page]:
    """The application over a fake source, on its overview; no SEVERE line in the console at the end."""
    source = FakeSource()
    dash_duo.start_server(create_app(source), dev_tools_hot_reload=False)
    shown = Page(dash_duo, source).open()
    yield shown
    assert shown.js("return venuescope.errors") == []
    if not shown.expects_errors:
        assert dash_duo.get_logs() == []
