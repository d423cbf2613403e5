"""Browser tests: Chromium's options, an application over the fake source, a console that must stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dash.testing.composite import DashComposite
from dash.testing.wait import until
from selenium.webdriver import Chrome

from dashboards.server import guarded, script_hashes
from dashboards.shell import create_app
from tests.benchmarks.served import free_port
from tests.browser.chromium import browser
from tests.browser.fake_source import FakeSource
from tests.browser.serving import Serving

SIZE = (1440, 900)
PORT = free_port()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests beside this file need a browser."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


class Composite(DashComposite):
    """dash[testing]'s browser over one that stays: starting Chromium takes longer than most tests."""

    def __init__(self, driver: Chrome, downloads: str) -> None:
        self._given = driver
        super().__init__(None, browser="chrome", download_path=downloads, percy_run=False)

    def get_webdriver(self) -> Chrome:
        """The one that stays."""
        return self._given

    def start_server(self, app: Any) -> None:
        """Serve; the page is loaded by whoever wants it, once.

        Always on one port: scripts that Chromium keeps of an origin, compiled, serve the next test too.
        """
        self.server = Serving(app, PORT)
        self._url = f"http://localhost:{PORT}"

    def __exit__(self, *_: object) -> None:
        """The browser stays, its polls end before its server does."""
        self._given.get("about:blank")
        if self.server is not None:
            self.server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """One headless Chromium for all tests."""
    with browser(*SIZE) as driver:
        yield driver


@pytest.fixture
def dash_duo(chromium: Chrome, tmp_path: Any) -> Iterator[Composite]:
    """A new tab and an empty store of everything, as a browser that was never here; the old tabs are closed."""
    before = chromium.window_handles
    chromium.switch_to.new_window("tab")
    own = chromium.current_window_handle
    for handle in before:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(own)
    for host in ("localhost", "127.0.0.1"):
        kept_of = {"origin": f"http://{host}:{PORT}", "storageTypes": "all"}
        chromium.execute_cdp_cmd("Storage.clearDataForOrigin", kept_of)
    downloads = tmp_path / "download"
    downloads.mkdir()
    kept = {"behavior": "allow", "downloadPath": str(downloads)}
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", kept)
    chromium.set_window_size(*SIZE)
    chromium.get_log("browser")
    with Composite(chromium, str(downloads)) as duo:
        yield duo


class Page:
    """The served application as a test sees it: on its overview, unless it was opened elsewhere first."""

    def __init__(self, duo: Any, source: Any) -> None:
        self._duo, self._source = duo, source
        self.opened = self.expects_errors = False

    @property
    def duo(self) -> Any:
        """dash[testing]'s browser, the page loaded."""
        return (self if self.opened else self.open())._duo

    @property
    def source(self) -> Any:
        """What is served, once the page was loaded from it."""
        return (self if self.opened else self.open())._source

    def js(self, script: str, *args: Any) -> Any:
        """What a script returns in the page."""
        return self.duo.driver.execute_script(script, *args)

    def open(self, path: str = "/") -> Page:
        """Load a page and wait for its first painted refreshes."""
        self.opened = True
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

    def loading(self) -> list[str]:
        """Panels that wait for their first rows; those that are not shown ask for none."""
        found: list[str] = self.js(
            """return venuescope.panels.all().filter((p) => p.offsetParent && p.dataset.state === 'loading')
              .map((p) => p.id)"""
        )
        return found

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


def boxes(page: Page) -> list[list[Any]]:
    """Where each control of the bar and the first panel are: what it is, left, top, width, height."""
    found: list[list[Any]] = page.js(
        """const all = document.querySelectorAll(
          '.vs-bar :is(button, select, input, a, .vs-badge, .vs-clock, .vs-quote b), section[data-panel]');
        const seen = [...all].filter((one) => one.getClientRects().length);
        const bar = seen.filter((one) => one.closest('.vs-bar'));
        return [...bar, seen.find((one) => !one.closest('.vs-bar'))].map((one) => {
          const { x, y, width, height } = one.getBoundingClientRect();
          return [one.id || one.dataset.act || one.className || one.type, x, y, width, height];
        })"""
    )
    return found


def policed(app: Any) -> Any:
    """`app` sending the headers the program sends: what its content policy forbids, no test may rely on."""
    app.server.wsgi_app = guarded(app.server.wsgi_app, hashes=script_hashes(app))
    return app


@pytest.fixture
def page(dash_duo: Any) -> Iterator[Page]:
    """The application over a fake source, under its content policy.

    No SEVERE line in the console at the end, where a policy that was broken is told too.
    """
    source = FakeSource()
    dash_duo.start_server(policed(create_app(source)))
    shown = Page(dash_duo, source)
    yield shown
    assert shown.js("return venuescope.errors") == []
    if not shown.expects_errors:
        assert dash_duo.get_logs() == []
