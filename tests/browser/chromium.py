"""Headless Chromium as tests, benchmarks and screenshots use it: one set of flags, one way to open it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# Without the background-networking flags Chromium looks up hosts at every start, which offline machines refuse.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def options(width: int = 1400, height: int = 900) -> webdriver.ChromeOptions:
    """Chromium's options with its console kept for `get_log`."""
    made = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--window-size={width},{height}"):
        made.add_argument(flag)
    made.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    return made


@contextmanager
def browser(width: int = 1400, height: int = 900) -> Iterator[webdriver.Chrome]:
    """A new headless Chromium with an empty profile, closed on the way out."""
    driver = webdriver.Chrome(
        service=Service(shutil.which("chromedriver") or "chromedriver"), options=options(width, height)
    )
    try:
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()
