"""The whole engine on a local venue, and everything a venue or a network can do to it: it notices, and comes back.

The venue is a process of its own and counts what it refused: nothing may be, whatever happened.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import KERNEL_GROUPS
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.replays import Replay
from engine.service import Engine
from engine.telemetry.board import SourceView, VenueView
from engine.venues import LiveMarkets, Note
from feeds.live import LiveVenues
from feeds.stream import Timing
from feeds.venues import DIALECTS

ROOT = Path(__file__).resolve().parents[2]
MARKETS = ("binance_spot", "bybit_linear")
# Waits that are long in life are short here; what silence is too long stays as it is.
TIMING = Timing(healthy_s=0.5, backoff_s=0.05, quiet_s=1.0)
PATIENCE_S = 60.0


class Watched:
    """An engine with two live markets, and the venue they are on."""

    def __init__(self, engine: Engine, url: str) -> None:
        self.engine, self.url = engine, url
        self.board = engine.telemetry.board

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def venue(self, market: str) -> VenueView:
        return next(each for each in self.board.venues if each.venue == market)

    def source(self, market: str) -> SourceView:
        return next(each for each in self.board.sources if each.source.venue == market)

    def is_well(self, market: str) -> bool:
        source = next((each for each in self.board.sources if each.source.venue == market), None)
        return (
            source is not None
            and source.state == "live"
            and self.venue(market).state == "live"
            and all(symbol.state == "SYNCED" for symbol in self.venue(market).symbols)
        )

    def until(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end, f"{what}: did not happen in time; {self.board.venues}"
            time.sleep(0.02)

    def until_well(self, market: str) -> None:
        """All is well, and stays so for half a second: what pages see is up to a fifth of one old."""
        since = time.monotonic()

        def lasts() -> bool:
            nonlocal since
            if not self.is_well(market):
                since = time.monotonic()
            return time.monotonic() - since > 0.5

        self.until(lasts, f"{market} is well")

    def counts(self, market: str) -> dict[str, int]:
        streams, source = self.venue(market).streams, self.source(market)
        return {
            "reconnects": sum(stream.reconnects for stream in streams),
            "stalls": sum(stream.stalls for stream in streams),
            "rotations": sum(stream.rotations for stream in streams),
            "gaps": source.gaps,
            "resyncs": source.resyncs,
            "malformed": source.malformed,
            "frames": source.frames,
        }


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    async def no_sample() -> Replay:
        raise AssertionError

    def open_markets(note: Note) -> LiveMarkets:
        desk = LimitDesk(rules.load(), note=note)
        venues = LiveVenues(
            [DIALECTS[market] for market in MARKETS],
            desk,
            base=url,
            symbols={"binance_spot": ["BTC-USDT", "ETH-USDT"], "bybit_linear": ["BTC-USDT-PERP"]},
            random=Random(3),
            note=note,
            timing=TIMING,
        )
        for market in MARKETS:
            venues.connect(market)
        return LiveMarkets(venues, desk)

    command = [sys.executable, "-m", "engine.exchange.serve", "--port", "0", "--symbols", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        engine = Engine(
            seed=1,
            rate=500,
            history_s=0,
            kernel_groups=KERNEL_GROUPS,
            kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
            open_sample=no_sample,
            open_markets=open_markets,
        )
        engine.start()
        made = Watched(engine, url)
        try:
            made.until(lambda: made.board.engine.state == "running", "kernels", 170.0)
            for market in MARKETS:
                made.until_well(market)
            yield made
        finally:
            stopped = engine.stop()
            child.terminate()
        assert stopped


def suffer(watched: Watched, market: str, faults: list[dict[str, object]], effect: str) -> None:
    """Order the faults at one market; its count `effect` grows, then all is well, and nothing was refused."""
    for each in MARKETS:
        watched.until_well(each)
    before = watched.counts(market)
    restarts = [task.restarts for task in watched.board.tasks]
    for fault in faults:
        watched.ask("POST", "/faults", {"market": market, **fault})
    watched.until(lambda: watched.counts(market)[effect] > before[effect], effect)
    watched.until(lambda: not watched.ask("GET", "/faults")["active"], "faults used up")
    watched.until_well(market)
    frames = watched.counts(market)["frames"]
    watched.until(lambda: watched.counts(market)["frames"] > frames, "data goes on")
    assert [task.restarts for task in watched.board.tasks] == restarts
    other = next(each for each in MARKETS if each != market)
    assert watched.is_well(other)
    agreed, checked = watched.source(market).agreement
    assert agreed == checked
    for budget in watched.ask("GET", "/statistics")["budgets"].values():
        assert budget["refusals"] == {}
        assert budget["bans"] == 0


QUICK: list[tuple[str, list[dict[str, object]], str]] = [
    ("drop", [{"kind": "drop", "symbol": "BTCUSDT", "count": 3}], "gaps"),
    ("malformed", [{"kind": "malformed", "symbol": "BTCUSDT", "count": 3}], "malformed"),
    ("close", [{"kind": "close"}], "reconnects"),
]
# Binance tells of its end before, and the stream is replaced in time; Bybit closes.
SHUTDOWN = {"binance_spot": "rotations", "bybit_linear": "reconnects"}
REST: list[tuple[str, list[dict[str, object]], str]] = [
    ("end of service", [{"kind": "shutdown"}], ""),
    ("duplicate", [{"kind": "duplicate", "symbol": "BTCUSDT", "count": 5}], "frames"),
    ("reorder", [{"kind": "reorder", "symbol": "BTCUSDT", "count": 3}], "gaps"),
    ("huge frame", [{"kind": "huge", "bytes": 8 << 20}], "reconnects"),
    ("silent stall", [{"kind": "stall", "duration_s": 8}], "stalls"),
    ("refused connects", [{"kind": "refuse", "duration_s": 2}, {"kind": "close"}], "reconnects"),
    ("24-hour cut", [{"kind": "cut"}], "reconnects"),
    (
        "slow snapshot",
        [{"kind": "slow_snapshot", "delay_s": 3, "duration_s": 5}, {"kind": "close"}],
        "resyncs",
    ),
    ("old snapshot", [{"kind": "old_snapshot", "duration_s": 3}, {"kind": "close"}], "resyncs"),
    ("no answer to calls", [{"kind": "unreachable", "duration_s": 3}, {"kind": "close"}], "resyncs"),
    ("venue broken", [{"kind": "broken", "duration_s": 3}, {"kind": "close"}], "resyncs"),
    ("jitter", [{"kind": "jitter", "delay_s": 0.3, "duration_s": 3}, {"kind": "close"}], "resyncs"),
]


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(("faults", "effect"), [pytest.param(f, e, id=n) for n, f, e in QUICK])
def test_a_live_market_notices_and_comes_back(
    watched: Watched, market: str, faults: list[dict[str, object]], effect: str
) -> None:
    suffer(watched, market, faults, effect)


@pytest.mark.nightly
@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(("faults", "effect"), [pytest.param(f, e, id=n) for n, f, e in REST])
def test_a_live_market_comes_back_from_everything_else(
    watched: Watched, market: str, faults: list[dict[str, object]], effect: str
) -> None:
    suffer(watched, market, faults, effect or SHUTDOWN[market])


@pytest.mark.nightly
def test_a_book_that_falls_silent_alone_is_noticed_by_its_quotes(watched: Watched) -> None:
    market = "binance_spot"  # on Bybit quotes are the book's first level, and the fault takes both
    watched.until_well(market)
    before = watched.board.venues, watched.engine.telemetry.events.written
    watched.ask("POST", "/faults", {"kind": "drop", "market": market, "symbol": "BTCUSDT", "duration_s": 10})
    watched.until(
        lambda: any(
            event.what == "interrupted" and "stands still" in event.text
            for event in watched.engine.telemetry.events.since(before[1])
        ),
        "silence noticed",
    )
    watched.until(lambda: not watched.ask("GET", "/faults")["active"], "fault over")
    watched.until_well(market)
    reconnects = [sum(stream.reconnects for stream in venue.streams) for venue in watched.board.venues]
    assert reconnects == [sum(stream.reconnects for stream in venue.streams) for venue in before[0]]


def test_a_venue_that_is_not_there_says_when_it_tries_again_and_why(watched: Watched) -> None:
    watched.ask("POST", "/faults", {"kind": "refuse", "market": "binance_spot", "duration_s": 2})
    watched.ask("POST", "/faults", {"kind": "close", "market": "binance_spot"})
    watched.until(
        lambda: (
            (view := watched.venue("binance_spot")).state == "reconnecting"
            and view.next_try_ns > 0
            and view.detail
        ),
        "reconnecting",
    )
    assert watched.is_well("bybit_linear")
    watched.until(lambda: watched.is_well("binance_spot"), "back")
