"""Screenshots of every page: `uv run python tests/browser/shots.py FOLDER [--url URL]`.

Without `--url` the fake source is served, so that the pictures show the same market every time. Widths of phones
are set through the browser's own device emulation, since a window has a least width.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from selenium import webdriver

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from dashboards.pages import PAGES  # noqa: E402
from dashboards.shell import create_app  # noqa: E402
from tests.browser.serving import Serving  # noqa: E402

SIZES = ((1440, 900), (1280, 800), (1024, 768), (390, 844))


def load(name: str) -> ModuleType:
    """A module beside this one, wherever this one was started from."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def shot(
    driver: Any, url: str, path: Path, size: tuple[int, int], wait_s: float, script: str = ""
) -> dict[str, Any]:
    """One picture, and what was wrong on the page: console errors, texts cut off, sideways overflow."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 768},
    )
    driver.get(url)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if driver.execute_script("return (window.venuescope && window.venuescope.painted) || 0") > 2:
            break
        time.sleep(0.1)
    if script:
        driver.execute_script(script)
    time.sleep(wait_s)
    driver.save_screenshot(str(path))
    return {
        "errors": driver.execute_script("return (window.venuescope || {}).errors"),
        "console": [m["message"][:160] for m in driver.get_log("browser") if m["level"] == "SEVERE"][:3],
        "overflow": driver.execute_script("return document.documentElement.scrollWidth - innerWidth"),
        "height": driver.execute_script("return document.documentElement.scrollHeight - innerHeight"),
    }


def sized(text: str) -> tuple[int, int]:
    """Width and height of `1440x900`, or of `1440`, which is one of SIZES."""
    width, _, height = text.partition("x")
    return int(width), int(height) if height else dict(SIZES)[int(width)]


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="an application that is already serving")
    parser.add_argument("--mode", default="live", help="state of the fake source")
    parser.add_argument(
        "--source",
        default="fake",
        choices=("fake", "venues", "exchange", "history", "alerts"),
        help="what is served",
    )
    parser.add_argument("--script", default="", help="JavaScript run in the page before its picture")
    parser.add_argument("--name", default="", help="put behind the file's name")
    parser.add_argument("--pages", default="", help="names of pages, with commas; all without")
    parser.add_argument("--sizes", default="", help="1440x900 or 1440, several with commas; all without")
    parser.add_argument("--themes", default="dark,light")
    parser.add_argument("--query", default="")
    parser.add_argument("--wait", type=float, default=1.2)
    parser.add_argument("--before", default="", help="mode of the fake source while the page loads")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    source = None
    url = args.url
    if not url:
        made = {
            "venues": ("venue_source", "VenueSource"),
            "exchange": ("exchange_source", "ExchangeSource"),
            "history": ("history_source", "HistorySource"),
            "alerts": ("alert_source", "AlertSource"),
            "fake": ("fake_source", "FakeSource"),
        }[args.source]
        source = getattr(load(made[0]), made[1])()
        source.switch(args.before or args.mode)
        url = f"http://127.0.0.1:{Serving(create_app(source)).port}"
    sizes = [sized(one) for one in args.sizes.split(",") if one] or list(SIZES)
    driver = webdriver.Chrome(options=load("chromium").options())
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    try:
        for page in PAGES:
            if args.pages and page.name not in args.pages.split(","):
                continue
            for theme in args.themes.split(","):
                for size in sizes:
                    mode = f"-{args.mode}" if args.mode != "live" else ""
                    name = f"{page.name}-{theme}-{size[0]}{mode}{args.name}.png"
                    if source and args.before:
                        source.switch(args.before)
                        threading.Timer(2.5, source.switch, [args.mode]).start()
                    said = shot(
                        driver,
                        f"{url}{page.path}?theme={theme}{args.query}",
                        args.folder / name,
                        size,
                        args.wait,
                        args.script,
                    )
                    print(name, said)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
