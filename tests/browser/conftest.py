"""Browser tests: Chromium's options, an application over the fake source, a console that must stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dash.testing.composite import DashComposite
from dash.testing.wait import until
from selenium.webdriver import Chrome

from dashboards.shell import create_app
from tests.browser.chromium import browser
from tests.browser.fake_source import FakeSource

SIZE = (1440, 900)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests beside this file need a browser."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


class Composite(DashComposite):
    """dash[testing]'s browser over one that stays: starting Chromium takes longer than most tests."""

    def __init__(self, driver: Chrome, server: Any, downloads: str) -> None:
        self._given = driver
        super().__init__(server, browser="chrome", download_path=downloads, percy_run=False)

    def get_webdriver(self) -> Chrome:
        """The one that stays."""
        return self._given

    def start_server(self, app: Any, **options: Any) -> None:
        """Serve; the page is loaded by whoever wants it, once."""
        self.server(app, **options)
        self._url = self.server.url

    def __exit__(self, *_: object) -> None:
        """It stays."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """One headless Chromium for all tests."""
    with browser(*SIZE) as driver:
        yield driver


@pytest.fixture
def dash_duo(chromium: Chrome, dash_thread_server: Any, tmp_path: Any) -> Iterator[Composite]:
    """A new tab and an empty store of everything, as a browser that was never here; the old tabs are closed."""
    before = chromium.window_handles
    chromium.switch_to.new_window("tab")
    own = chromium.current_window_handle
    for handle in before:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(own)
    chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    downloads = tmp_path / "download"
    downloads.mkdir()
    kept = {"behavior": "allow", "downloadPath": str(downloads)}
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", kept)
    chromium.set_window_size(*SIZE)
    chromium.get_log("browser")
    with Composite(chromium, dash_thread_server, str(downloads)) as duo:
        yield duo
    chromium.get("about:blank")  # its polls end before its server does


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


def column(page: Page, grid: str, name: str) -> list[str]:
    """Texts of one column of a grid's rows that are drawn, from the top."""
    texts: list[str] = page.js(
        """const rows = [...document.querySelectorAll(`#grid-${arguments[0]} .ag-center-cols-container .ag-row`)];
        return rows.sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
          .map((row) => row.querySelector(`[col-id="${arguments[1]}"]`).textContent)""",
        grid,
        name,
    )
    return texts


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
