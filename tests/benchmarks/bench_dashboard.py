"""What a refresh costs and how old what is painted is: the real app in headless Chromium, Overview, 4 Hz.

The simulator runs at 50,000 orders/s. Content: 240 levels a side, 900 one-second candles, 600 s of five
percentiles. The latency rows of the minutes before the start are put into the rings by this benchmark, since
they only load the page: nothing that is reported is derived from them. KB are all response bodies as the
browser received them; CPU is the request thread's own time, from the answers' Server-Timing header; age is the
time of the painted frame less the receipt of the newest event in it, both by this machine's clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app
from engine import settings
from tests.benchmarks.served import free_port, served

HERTZ, RATE, SECONDS_OF_LATENCY = 4, 50_000, 600
WARM_S = {False: 30, True: 8}
MEASURE_S = {False: 120, True: 15}

OBSERVE = """
window.bench = {bytes: 0, bodies: 0, cpu: [], polls: 0};
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) {
    window.bench.bytes += e.encodedBodySize;
    window.bench.bodies += 1;
    if (!e.name.includes("_dash-update-component")) continue;
    window.bench.polls += 1;
    for (const t of e.serverTiming) if (t.name === "cpu") window.bench.cpu.push(t.duration);
  }
}).observe({type: "resource"});
window.bench.painted = window.venuescope.painted;
window.bench.at = performance.now();
window.bench.ages = [];
const seen = {v: -1};
const sample = () => {
  const last = window.venuescope.last;
  if (last.v !== seen.v && window.venuescope.ages.length) {
    seen.v = last.v;
    window.bench.ages.push(window.venuescope.ages[window.venuescope.ages.length - 1]);
  }
  requestAnimationFrame(sample);
};
sample();
"""
READ = """
const b = window.bench, seconds = (performance.now() - b.at) / 1000;
const points = (name, trace) => {
  const gd = [...document.querySelectorAll(".js-plotly-plot")].find((g) => (g.parentElement.id || "").includes(name));
  return gd ? Math.max(...gd.data.map((t) => (t.x || []).length)) : 0;
};
return {bytes: b.bytes, bodies: b.bodies, cpu: b.cpu, polls: b.polls, seconds, ages: b.ages,
        painted: window.venuescope.painted - b.painted, errors: window.venuescope.errors,
        content: {depth: points("depth"), candles: points("candles"), latency: points("latency")}};
"""


def serve(port: int) -> None:
    """The application as `app.py` builds it, with ten minutes of latency rows in its rings."""
    chosen = settings.load(port=port, rate=RATE)
    built: list[app.Application] = []
    build = app.build

    def build_filled(*arguments: Any) -> app.Application:
        made = build(*arguments)
        built.append(made)
        fill(made)
        return made

    app.build = build_filled
    asyncio.run(app.run(chosen))


def fill(made: app.Application) -> None:
    """Ten minutes of seeded latency rows up to now."""
    import numpy as np

    from engine.telemetry.latency import SECOND_NS

    stage = made.engine.telemetry.stage("builtin:sim", "ack")
    random = np.random.default_rng(5)
    now = time.time_ns() // SECOND_NS * SECOND_NS
    for second in range(SECONDS_OF_LATENCY):
        for value in random.lognormal(14.5, 0.6, 60).astype(int).tolist():
            stage.record_one(now - (SECONDS_OF_LATENCY - second) * SECOND_NS, value)


def heap_bytes(driver: Any) -> int:
    """JavaScript heap in use after a collection."""
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return int(driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"])


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run."""
    from tests.browser.chromium import browser

    port = free_port()
    with served([__file__, "--serve", str(port)], port), browser(1440, 900) as driver:
        driver.get(f"http://127.0.0.1:{port}/?window=900&interval=1&hz={HERTZ}")
        wait_for_content(driver)
        time.sleep(WARM_S[quick])
        before = heap_bytes(driver)
        driver.execute_script(OBSERVE)
        time.sleep(MEASURE_S[quick])
        read = driver.execute_script(READ)
        after = heap_bytes(driver)
        severe = driver.get_log("browser")
    refreshes = read["polls"]
    content = read["content"]
    assert content["depth"] >= 200, content
    assert content["candles"] >= 300, content
    assert content["latency"] >= SECONDS_OF_LATENCY - 10, content
    return {
        "kb_per_refresh": round(read["bytes"] / refreshes / 1000, 2),
        "server_cpu_ms_per_refresh": round(sum(read["cpu"]) / refreshes, 3),
        "data_age_p50_ms": round(percentile(read["ages"], 0.5), 1),
        "data_age_p95_ms": round(percentile(read["ages"], 0.95), 1),
        "updates_per_s": round(read["painted"] / read["seconds"], 2),
        "console_texts": [str(each)[:300] for each in (*severe, *read["errors"])],
        "console_errors": len(severe) + len(read["errors"]),
        "heap_growth_pct": round((after - before) / before * 100, 1),
        "heap_mb": round(after / 1e6, 1),
        "refreshes": refreshes,
        "content": content,
        "seconds": round(read["seconds"], 1),
        "orders_per_s": RATE,
        "python": platform.python_version(),
        "dash": version("dash"),
    }


def wait_for_content(driver: Any, timeout_s: float = 60) -> None:
    """Until the page's charts hold what is to be measured."""
    until = time.monotonic() + timeout_s
    script = "return window.venuescope ? window.venuescope.painted : 0"
    while not driver.execute_script(script) > 4:
        if time.monotonic() > until:
            raise SystemExit("the page painted nothing within a minute")
        time.sleep(0.2)


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within 45 s")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    found = measure(chosen.quick)
    for name, value in found.items():
        print(f"{name:>28}  {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
