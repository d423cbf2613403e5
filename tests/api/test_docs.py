"""The page of the documentation in a real browser: nothing breaks its policy, and "Try" shows what came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from engine.api.replies import page
from tests.api.all_routes import access_side, market_side
from tests.api.server_rig import market, serving
from tests.browser.chromium import browser


@contextmanager
def shown(url: str, width: int, theme: str) -> Iterator[webdriver.Chrome]:
    """The page in a window of that width, under a system of that theme."""
    with browser(width, 900) as driver:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": theme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get(f"{url}/docs")
        yield driver
        assert driver.get_log("browser") == []


def tried(driver: webdriver.Chrome, route: str, **values: str) -> tuple[str, str]:
    """The outcome's line and the answer after a click on Try."""
    form = driver.find_element(By.CSS_SELECTOR, f"#{route} form")
    driver.execute_script("arguments[0].closest('details').open = true", form)
    for name, value in values.items():
        field = form.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)
    form.find_element(By.CSS_SELECTOR, "[type=submit]").click()
    outcome = form.find_element(By.CLASS_NAME, "outcome")
    WebDriverWait(driver, 10).until(lambda _: outcome.text not in ("", "…"))
    return outcome.text, form.find_element(By.CLASS_NAME, "answer").text


def wide(url: str) -> None:
    with shown(url, 1280, "dark") as driver:
        assert driver.execute_script("return document.documentElement.dataset.bsTheme") == "dark"
        said, answer = tried(driver, "get_tick_symbol")
        assert said.startswith("200 OK")
        assert "x-request-id" in said
        assert json.loads(answer)["symbol"] == "BTC-USDT"
        command = driver.find_element(By.CSS_SELECTOR, "#get_tick_symbol .curl code").text
        assert command == f"curl '{url}/v1/tick/BTC-USDT'" or command == f"curl {url}/v1/tick/BTC-USDT"
        driver.find_element(By.ID, "credential").send_keys("vsk_a_b")
        driver.find_element(By.ID, "accept").send_keys("CSV")
        command = driver.find_element(By.CSS_SELECTOR, "#get_tick_symbol .curl code").text
        assert command.startswith("curl -H 'Accept: text/csv' -H \"X-Api-Key: $VENUESCOPE_KEY\" ")
        driver.find_element(By.ID, "find").send_keys("tick")
        routes = driver.find_elements(By.CSS_SELECTOR, ".route")
        assert [each.get_attribute("id") for each in routes if each.is_displayed()] == ["get_tick_symbol"]

        fonts = driver.execute_async_script(
            "const done = arguments[0]; document.fonts.ready.then(() => "
            "done([...document.fonts].map((each) => [each.family.replaceAll('\"', ''), each.status])))"
        )
        assert fonts == [["Inter", "loaded"]]
        cut = (
            "return [...document.querySelectorAll('.contents li a')]"
            ".filter((each) => each.scrollWidth > each.clientWidth).length"
        )
        assert driver.execute_script(cut) == 0


def narrow(url: str) -> None:
    with shown(url, 390, "light") as driver:
        assert driver.execute_script("return document.documentElement.dataset.bsTheme") == "light"
        widths: Any = driver.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert widths[0] <= widths[1]
        driver.execute_script("document.querySelector('#get_tick_symbol').open = true")
        covered = driver.execute_script(
            "const [pre, copy] = ['pre', '.copy'].map((each) => "
            "document.querySelector(`#get_tick_symbol .curl ${each}`).getBoundingClientRect());"
            "return copy.top < pre.bottom"
        )
        assert not covered
        driver.find_element(By.ID, "theme").click()  # system, then dark
        driver.refresh()
        assert driver.execute_script("return document.documentElement.dataset.bsTheme") == "dark"
        _, answer = tried(driver, "get_healthz")
        assert json.loads(answer)["status"] == "ok"


def test_the_page_lives_under_its_policy_and_calls_routes(tmp_path: Path) -> None:
    desk = market()
    routes, _ = market_side(tmp_path, desk)

    async def main() -> None:
        async with serving(tmp_path, routes, desk=desk, access=access_side) as api:
            _, headers, _ = await api.ask("/docs")
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            await asyncio.to_thread(wide, api.server.url)
            await asyncio.to_thread(narrow, api.server.url)

    asyncio.run(main())


def test_pages_tell_what_they_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as api:
            for path, kind in (
                ("/docs", "text/html"),
                ("/v1/docs", "text/html"),
                ("/docs/docs.css", "text/css"),
                ("/docs/docs.js", "text/javascript"),
                ("/docs/tokens.css", "text/css"),
                ("/docs/inter.css", "text/css"),
                ("/docs/inter-latin-wght-normal.woff2", "font/woff2"),
                ("/v1/openapi.json", "application/json"),
            ):
                status, headers, body = await api.ask(path)
                assert (status, headers["Content-Type"].partition(";")[0]) == (200, kind)
                assert headers["X-Frame-Options"] == "DENY"
                assert headers["Cross-Origin-Opener-Policy"] == "same-origin"  # it is this machine's
                assert body

    asyncio.run(main())


def test_where_a_key_is_demanded_every_command_has_it_but_those_of_open_routes(tmp_path: Path) -> None:
    def seen(url: str) -> None:
        with shown(url, 1280, "dark") as driver:
            texts = {
                each.get_attribute("id"): each.find_element(By.CSS_SELECTOR, ".curl code").get_attribute(
                    "textContent"
                )
                for each in driver.find_elements(By.CSS_SELECTOR, ".route")
            }
            keyless = {name for name, text in texts.items() if "X-Api-Key: $VENUESCOPE_KEY" not in text}
            assert "get_healthz" in keyless
            assert "get_throughput" not in keyless

    async def main() -> None:
        desk = market()
        routes, _ = market_side(tmp_path, desk)
        async with serving(tmp_path, routes, desk=desk, demanded=True, access=access_side) as api:
            await asyncio.to_thread(seen, api.server.url)

    asyncio.run(main())


def test_the_opener_policy_is_only_said_where_browsers_take_it() -> None:
    assert "Cross-Origin-Opener-Policy" in page(b"", "text/html", trusted=True).headers
    assert "Cross-Origin-Opener-Policy" not in page(b"", "text/html", trusted=False).headers
