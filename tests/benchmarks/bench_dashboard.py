"""What a refresh of each page costs and how old what is painted is: the real app in headless Chromium, at 4 Hz.

The simulator runs at 200,000 orders/s beside two replays, captures, where those are there. The window is 15 minutes:
900 one-second candles, ten minutes of five percentiles in buckets of 5 s. The latency rows of the minutes before the
start are put into the rings by this benchmark, since they only load the page: nothing that is reported is derived
from them. KB are all response bodies as the browser received them; CPU is the request thread's own time, from the
answers' Server-Timing header; age is the time of the painted frame less the receipt of the newest event in it, both
by this machine's clock (pages that draw no event have none); the main thread is as busy as the browser says.

Beside Overview, in the same run, the usual way: a `go.Figure` per chart and callback (`dashboard_usual.py`).
At the end five windows at once, and the lag of the engine's loop meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app
from dashboards.pages import PAGES
from engine import settings
from tests.benchmarks.served import ROOT, free_port, served

HERTZ, RATE, SECONDS_OF_LATENCY = 4, 200_000, 600
WARM_S = {False: 8.0, True: 1.0}
MEASURE_S = {False: 20.0, True: 1.6}
TABS, TABS_S = 5, {False: 60.0, True: 4.0}
CAPTURES = tuple(
    ROOT.parent / "shared" / "data" / market / "hftbacktest_btcusdt_20240808.gz"
    for market in ("binance_usdm", "binance_spot")
)
QUERY = f"?source=builtin:sim&window=900&interval=1&hz={HERTZ}&tour=0"

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
POINTS = """
const points = (name) => {
  const gd = [...document.querySelectorAll(".js-plotly-plot")].find((g) => (g.parentElement.id || "").includes(name));
  return gd ? Math.max(0, ...gd.data.map((t) => (t.x || []).length)) : 0;
};
const content = {depth: points("depth"), candles: points("candles"), latency: points("latency")};
"""
READ = (
    POINTS
    + """
const b = window.bench, seconds = (performance.now() - b.at) / 1000;
return {bytes: b.bytes, bodies: b.bodies, cpu: b.cpu, polls: b.polls, seconds, ages: b.ages,
        painted: window.venuescope.painted - b.painted, errors: window.venuescope.errors,
        content,
        sources: venuescope.store.answer.sources.map((one) => [one.id, one.state])};
"""
)
LOOP = "return (venuescope.store.streams.health || {}).loop"
LEAST = {
    "depth": 200,
    "candles": 300,
    "latency": SECONDS_OF_LATENCY // 5 - 5,
}  # points Overview's charts are to hold
USUAL = """
window.usual = {bytes: 0, bodies: 0, cpu: [], at: performance.now()};
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) {
    if (!e.name.includes("_dash-update-component")) continue;
    window.usual.bytes += e.encodedBodySize;
    window.usual.bodies += 1;
    for (const t of e.serverTiming) if (t.name === "cpu") window.usual.cpu.push(t.duration);
  }
}).observe({type: "resource"});
"""
READ_USUAL = """
const u = window.usual;
const longest = (g) => Math.max(0, ...g.data.map((t) => (t.x || []).length));
return {...u, seconds: (performance.now() - u.at) / 1000,
        points: [...document.querySelectorAll(".js-plotly-plot")].map(longest)};
"""


def serve(port: int, usual_port: int, data_dir: str) -> None:
    """The application as `app.py` builds it, ten minutes of latency rows in its rings, two replays playing, and the
    usual page beside it.
    """
    chosen = settings.load(port=port, rate=RATE, data_dir=data_dir)
    build = app.build

    def build_filled(*arguments: Any, **named: Any) -> app.Application:
        made = build(*arguments, **named)
        fill(made)
        threading.Thread(target=play_and_compare, args=(made, usual_port, chosen), daemon=True).start()
        return made

    app.build = build_filled  # type: ignore[assignment]
    asyncio.run(app.run(chosen))


def play_and_compare(made: app.Application, usual_port: int, chosen: settings.Settings) -> None:
    """Once the engine is live: play two captures, again and again, and serve the usual page."""
    import logging

    from werkzeug.serving import make_server

    from dashboards.server import guarded, script_hashes
    from dashboards.transport import Transport
    from engine import addresses
    from tests.benchmarks.dashboard_usual import create_usual

    engine = made.engine
    while not any(source.state == "live" for source in engine.telemetry.board.sources):
        time.sleep(0.1)
    for path in CAPTURES if all(path.is_file() for path in CAPTURES) else ():
        replaying = partial(again, engine, path)
        engine.runtime.submit(partial(engine.runtime.supervise, f"replay of {path.parent.name}", replaying))
    params = {"source": "builtin:sim", "window": 900, "interval": 1}
    page = create_usual(Transport(engine), params, HERTZ)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    wsgi = guarded(page.server.wsgi_app, addresses.names(chosen), None, script_hashes(page))
    make_server("127.0.0.1", usual_port, wsgi, threaded=True).serve_forever()


async def again(engine: Any, path: Path) -> None:
    """Play a capture without end."""
    from feeds.replay import ReplayFeed

    info = None
    while True:
        feed = ReplayFeed(path, 1.0, info)
        info = feed.info
        await feed.run(engine.intake)


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


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def busy_s(driver: Any) -> float:
    """Seconds the main thread of the page has worked."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def measure_page(driver: Any, address: str, quick: bool) -> dict[str, Any]:
    """The figures of one page."""
    driver.get(address)
    wait_for_content(driver)
    time.sleep(WARM_S[quick])
    driver.execute_cdp_cmd("Performance.enable", {})
    driver.execute_script(OBSERVE)
    before = busy_s(driver)
    time.sleep(MEASURE_S[quick])
    read = driver.execute_script(READ)
    busy = busy_s(driver) - before
    severe = driver.get_log("browser")
    assert read["polls"] > 2, read
    return {
        "kb_per_refresh": round(read["bytes"] / read["polls"] / 1000, 2),
        "server_cpu_ms": round(statistics.fmean(read["cpu"]), 3),
        "data_age_p95_ms": round(percentile(read["ages"], 0.95), 1) if read["ages"] else None,
        "updates_per_s": round(read["painted"] / read["seconds"], 2),
        "main_thread_busy_pct": round(busy / read["seconds"] * 100, 1),
        "console_errors": len(severe) + len(read["errors"]),
        "content": read["content"],
        "sources": read["sources"],
    }


def measure_usual(driver: Any, address: str, quick: bool) -> dict[str, Any]:
    """The same four charts the usual way; bytes and CPU are those of all its callbacks of one refresh."""
    driver.get(address)
    time.sleep(WARM_S[quick] + 1)
    driver.execute_cdp_cmd("Performance.enable", {})
    driver.execute_script(USUAL)
    before = busy_s(driver)
    time.sleep(max(4.0, MEASURE_S[quick]))
    read = driver.execute_script(READ_USUAL)
    busy = busy_s(driver) - before
    assert read["bodies"] > 4, read
    assert min(read["points"]) > 100, read["points"]
    return {
        "kb_per_refresh": round(read["bytes"] / read["bodies"] * 4 / 1000, 2),
        "server_cpu_ms": round(statistics.fmean(read["cpu"]) * 4, 3),
        "updates_per_s": round(read["bodies"] / 4 / read["seconds"], 2),
        "main_thread_busy_pct": round(busy / read["seconds"] * 100, 1),
        "points": read["points"],
    }


def measure_tabs(driver: Any, address: str, quick: bool) -> dict[str, Any]:
    """The lag of the engine's loop while five windows are open; Health tells it, over its last minute."""
    first = driver.current_window_handle
    for page in PAGES[: TABS - 1]:
        driver.switch_to.new_window("window")
        driver.get(f"{address}{page.path}{QUERY}")
        wait_for_content(driver)
    driver.switch_to.window(first)
    driver.get(f"{address}/health{QUERY}")
    wait_for_content(driver)
    until(lambda: bool(driver.execute_script(LOOP)), "Health has told nothing")
    began, before = time.monotonic(), painted_of_all(driver)
    time.sleep(TABS_S[quick])
    driver.switch_to.window(first)
    loop = driver.execute_script(LOOP)
    seconds = time.monotonic() - began
    rates = [
        round((now - then) / seconds, 2) for then, now in zip(before, painted_of_all(driver), strict=True)
    ]
    assert len(rates) == TABS, rates
    assert min(rates) >= 1, rates  # a window the browser has put to rest would load nothing
    return {
        "tabs": TABS,
        "loop_lag_p99_ms": loop["lag_p99_ms"],
        "loop_lag_max_ms": loop["lag_max_ms"],
        "updates_per_s": rates,
    }


def painted_of_all(driver: Any) -> list[int]:
    """Refreshes each window has painted."""
    painted = []
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        painted.append(int(driver.execute_script("return venuescope.painted")))
    return painted


def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run."""
    import tempfile

    from tests.browser.chromium import browser

    port, usual_port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory() as folder,
        served([__file__, "--serve", str(port), str(usual_port), folder], port),
        browser(1440, 900) as driver,
    ):
        driver.get(f"{address}/{QUERY}")
        wait_for_content(driver)
        read = f"{POINTS} return content"
        until(
            lambda: full(driver.execute_script(read)),
            lambda: f"Overview's charts hold {driver.execute_script(read)}, not {LEAST}",
        )
        pages = {page.name: measure_page(driver, f"{address}{page.path}{QUERY}", quick) for page in PAGES}
        usual = measure_usual(driver, f"http://127.0.0.1:{usual_port}/", quick)
        tabs = measure_tabs(driver, address, quick)
    content = pages["overview"].pop("content")
    sources = pages["overview"]["sources"]
    for page in pages.values():
        page.pop("content", None)
        page.pop("sources", None)
    assert full(content), content
    ours = pages["overview"]
    return {
        "pages": pages,
        "usual": usual,
        "usual_bytes_ratio": round(usual["kb_per_refresh"] / ours["kb_per_refresh"], 1),
        "usual_cpu_ratio": round(usual["server_cpu_ms"] / ours["server_cpu_ms"], 1),
        "tabs": tabs,
        "content": content,
        "sources": sources,
        "orders_per_s": RATE,
        "python": platform.python_version(),
        "dash": version("dash"),
    }


def full(content: dict[str, int]) -> bool:
    """Whether Overview's charts hold as many points as a page that was left open has."""
    return all(content[name] >= least for name, least in LEAST.items())


def wait_for_content(driver: Any) -> None:
    """Until the page has painted a few refreshes."""
    script = "return window.venuescope ? window.venuescope.painted : 0"
    until(lambda: driver.execute_script(script) > 4, "the page painted nothing")


def until(check: Callable[[], bool], otherwise: str | Callable[[], str], timeout_s: float = 60) -> None:
    """Wait for something; the benchmark ends with `otherwise` where it does not come."""
    end = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > end:
            said = otherwise if isinstance(otherwise, str) else otherwise()
            raise SystemExit(f"{said} after {timeout_s:.0f} s")
        time.sleep(0.2)


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within some 45 s")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(int(chosen.serve[0]), int(chosen.serve[1]), chosen.serve[2])
        return
    found = measure(chosen.quick)
    for name, figures in found["pages"].items():
        print(f"{name:>12}  {figures}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
