"""The login in a real browser, and that pages run nothing but what their policy names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash.testing.wait import until
from selenium.webdriver import Chrome

from dashboards.login import Login
from dashboards.pages import PAGES
from dashboards.server import guarded, script_hashes
from dashboards.shell import create_app
from engine.access.keys import KeyRing
from tests.browser.fake_source import FakeSource
from tests.dashboards.serving import Serving

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


class Tab:
    """A browser's tab before a served application that demands a login."""

    def __init__(self, driver: Chrome, login: Login, port: int) -> None:
        self.driver, self.login = driver, login
        self.url, self.elsewhere = f"http://localhost:{port}", f"http://127.0.0.1:{port}"

    def js(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(script, *args)

    def until(self, check: Any) -> None:
        until(check, 30, poll=0.1)

    def painted(self, path: str) -> None:
        """The page at `path` is shown, drawn by its scripts, and broke no rule."""
        self.until(lambda: self.js("return location.pathname") == path)
        self.until(lambda: (self.js("return window.venuescope && venuescope.painted") or 0) >= 2)
        assert self.js("return violations") == []
        assert self.js("return venuescope.errors") == []

    def submit(self, credential: str) -> None:
        self.driver.find_element("id", "credential").send_keys(credential)
        self.driver.find_element("css selector", "button").click()


@pytest.fixture
def tab(chromium: Chrome, tmp_path: Path) -> Iterator[Tab]:
    app = create_app(FakeSource())
    login = Login(KeyRing(tmp_path))
    before = chromium.window_handles
    chromium.switch_to.new_window("tab")
    own = chromium.current_window_handle
    for handle in before:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(own)
    chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    with Serving(guarded(app.server.wsgi_app, (), login, script_hashes(app))) as serving:
        yield Tab(chromium, login, serving.port)
        chromium.get("about:blank")
        chromium.delete_all_cookies()


def test_a_browser_logs_in_by_the_form_and_by_a_link_of_another_site(tab: Tab) -> None:
    tab.driver.get(f"{tab.url}/book")
    tab.submit("wrong")
    tab.until(lambda: tab.js("return !!document.querySelector('[role=alert]')"))
    tab.submit(tab.login.token)
    tab.painted("/book")
    tab.driver.get(f"{tab.url}/logout")
    tab.driver.get(f"{tab.elsewhere}/login")  # another site, to a browser
    tab.js("location.href = arguments[0]", tab.login.link(tab.url) + "&next=/health")
    tab.painted("/health")
    tab.driver.get(f"{tab.elsewhere}/login")
    tab.js("location.href = arguments[0]", f"{tab.url}/limits")
    tab.until(lambda: tab.driver.current_url == f"{tab.url}/limits")


@pytest.mark.nightly
def test_a_page_whose_session_has_ended_asks_for_a_login(tab: Tab) -> None:
    tab.driver.get(tab.login.link(tab.url) + "&next=/book")
    tab.painted("/book")
    tab.until(lambda: not tab.js("return document.getElementById('shell-session').hidden"))
    tab.driver.delete_all_cookies()
    tab.until(lambda: tab.driver.current_url.startswith(f"{tab.url}/login?next=%2Fbook"))
    tab.submit(tab.login.token)
    tab.painted("/book")
    tab.js("document.querySelector('#shell-session a').click()")
    tab.until(lambda: tab.js("return location.pathname") == "/logout")


@pytest.mark.nightly
def test_no_page_runs_or_loads_what_its_policy_does_not_name(tab: Tab) -> None:
    tab.driver.get(tab.login.link(tab.url))
    tab.painted("/")
    for page in PAGES:
        tab.driver.get(f"{tab.url}{page.path}")
        tab.painted(page.path)
