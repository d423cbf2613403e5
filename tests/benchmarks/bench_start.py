"""From process start to the first moving chart, with a cold and with a warm compile cache.

"Moving": the depth chart of the Overview page has been drawn and then drawn again with other data. Chromium is
open on an empty page before the clock starts; the process is `app.py` itself. The loop lag while compiling
is the 99th percentile of how late the engine's loop woke, every 10 ms, from its start until kernels were ready.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.served import free_port, served
from tests.browser.chromium import browser

TIMEOUT_S = 90.0
WARM_RUNS = {False: 5, True: 2}
DRAWN = """
if (!window.venuescope || !venuescope.last.v) return null;
const gd = [...document.querySelectorAll(".js-plotly-plot")].find((g) => (g.parentElement.id || "").includes("depth"));
if (!gd || !gd.data || !gd.data[0] || !(gd.data[0].x || []).length) return null;
return JSON.stringify([gd.data[0].x.slice(0, 9), gd.data[0].y.slice(0, 9)]);
"""


def first_move_s(driver: Any, cache: Path) -> tuple[float, float]:
    """(seconds from process start to the second different drawing, loop lag p99 in ms until kernels were ready)."""
    port = free_port()
    driver.get("about:blank")
    started = time.monotonic()
    with served(
        ["app.py", "--port", str(port)], port, VENUESCOPE_CACHE_DIR=str(cache), VENUESCOPE_LOG_LEVEL="info"
    ) as process:
        driver.get(f"http://127.0.0.1:{port}/")
        first = None
        while True:
            if time.monotonic() - started > TIMEOUT_S:
                raise SystemExit("no chart moved within 90 s")
            drawn = driver.execute_script(DRAWN)
            if drawn is not None and first is not None and drawn != first:
                break
            first = first or drawn
            time.sleep(0.02)
        took = time.monotonic() - started
        process.terminate()
        _, said = process.communicate(timeout=10)
    found = re.search(r"loop_lag_p99_ms=([\d.]+)", said)
    if found is None:
        raise SystemExit(f"the application did not tell its loop lag: {said[-500:]}")
    return took, float(found.group(1))


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within 45 s")
    chosen = parser.parse_args()
    warm: list[float] = []
    with browser(1440, 900) as driver, tempfile.TemporaryDirectory() as folder:
        cold, lag = first_move_s(driver, Path(folder))
        print(f"cold: {cold:.2f} s, loop lag p99 {lag:.2f} ms while compiling")
        for _ in range(WARM_RUNS[chosen.quick]):
            took, warm_lag = first_move_s(driver, Path(folder))
            warm.append(took)
            print(f"warm: {took:.2f} s, loop lag p99 {warm_lag:.2f} ms while loading")
    print(
        json.dumps(
            {"cold_s": round(cold, 2), "warm_s": round(median(warm), 2), "compile_loop_lag_p99_ms": lag}
        )
    )


if __name__ == "__main__":
    main()
