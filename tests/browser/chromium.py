"""The browser as tests and screenshots start it."""

from __future__ import annotations

from selenium.webdriver.chrome.options import Options

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
    "--force-color-profile=srgb",
)


def options(width: int = 1440, height: int = 900, *, light: bool = False) -> Options:
    """Headless Chromium of a size, with the console kept."""
    chosen = Options()
    for flag in FLAGS:
        chosen.add_argument(flag)
    chosen.add_argument(f"--window-size={width},{height}")
    if light:
        chosen.add_argument("--blink-settings=preferredColorScheme=1")
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return chosen
