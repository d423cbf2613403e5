"""The engine as a whole: kernels, the built-in exchange, commands, replays, a stop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import KERNEL_GROUPS, KERNEL_MODULES
from engine import kernels
from engine.errors import BadCapture, BadCommand
from engine.replays import Replay
from engine.service import Engine
from engine.venues import LiveMarkets
from feeds import sample
from feeds.replay import ReplayFeed


def until(condition: Callable[[], object], timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("service") / "sample.gz"
    sample.write(path, seed=3, seconds=5)
    return path


class FakeMarkets:
    """Live venues and limits that only note what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.seconds: list[int] = []
        self.served: object = None

    async def run(self, sink: object) -> None:
        self.served = sink
        await asyncio.Event().wait()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def ask(*args: object) -> None:
            if args[0] == "nowhere":
                raise BadCommand("there is no market nowhere")
            self.asked.append((name, *args))

        return ask

    def views(self, now_ns: int) -> tuple[object, ...]:
        return ("view",)

    def close(self) -> None:
        self.served = None

    def close_second(self, telemetry: object, second_ns: int) -> None:
        self.seconds.append(second_ns)


MARKETS = FakeMarkets()


@pytest.fixture(scope="module")
def engine(capture: Path) -> Iterator[Engine]:
    async def open_sample() -> Replay:
        return ReplayFeed(capture, float("inf"))

    made = Engine(
        seed=1,
        rate=2_000,
        history_s=60,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
        open_sample=open_sample,
        open_markets=lambda _note: LiveMarkets(MARKETS, MARKETS),  # type: ignore[arg-type]
    )
    made.start()
    yield made
    assert made.stop()
    assert MARKETS.served is None  # closed with the engine


def source(engine: Engine, run: str):  # type: ignore[no-untyped-def]
    return next((s for s in engine.telemetry.board.sources if s.source.run == run), None)


def test_it_compiles_then_runs_and_the_built_in_exchange_goes_live_with_a_past(engine: Engine) -> None:
    until(lambda: engine.telemetry.board.engine.state == "running")
    until(lambda: (found := source(engine, "sim")) is not None and found.state == "live")
    assert engine.telemetry.board.engine.kernels_done == len(KERNEL_MODULES)
    assert kernels.is_warm(Path(os.environ["NUMBA_CACHE_DIR"]))
    candles = engine.telemetry.market("builtin:sim", "BTC-USDT").candles
    until(lambda: len(candles) >= 59)
    book = engine.telemetry.board.books["builtin:sim", "BTC-USDT"]
    assert book.state == "SYNCED"
    assert min(book.counts) >= 200
    assert any("kernels ready after" in event.text for event in engine.telemetry.events.since(0))


def test_the_rate_is_set_live_and_kept(engine: Engine) -> None:
    until(lambda: source(engine, "sim") is not None)
    for rate in (20_000, 0):
        engine.command("set_rate", {"orders_per_s": rate})
        assert engine.telemetry.board.engine.rate == rate
        until(lambda rate=rate: abs(engine.telemetry.board.engine.rate_actual - rate) <= rate * 0.2)
    engine.command("set_rate", {"orders_per_s": 2_000})


@pytest.mark.parametrize("rate", [-1, 1_000_001, 1.5, "9", None, True])
def test_a_rate_out_of_range_is_refused_and_changes_nothing(engine: Engine, rate: object) -> None:
    before = engine.telemetry.board.engine.rate
    with pytest.raises(BadCommand, match="0 to 1,000,000"):
        engine.command("set_rate", {"orders_per_s": rate})
    assert engine.telemetry.board.engine.rate == before


def test_unknown_commands_and_files_are_refused(engine: Engine) -> None:
    with pytest.raises(BadCommand, match="no command named 'reboot'"):
        engine.command("reboot", {})
    with pytest.raises(BadCommand, match="sample replay only"):
        engine.command("start_replay", {"file": "/etc/passwd"})


def test_the_sample_plays_to_its_end_and_again(engine: Engine) -> None:
    until(lambda: engine.telemetry.board.engine.state == "running")
    engine.command("start_replay", {"file": "sample"})
    until(lambda: (found := source(engine, "replay")) is not None and found.state == "ended")
    first = source(engine, "replay")
    replay = engine.telemetry.board.engine.replay
    assert replay is not None
    assert (replay.state, replay.progress) == ("ended", 1.0)
    assert first.agreement[0] == first.agreement[1] > 0
    engine.command("restart_replay", {})
    until(lambda: source(engine, "replay").opened_ns > first.opened_ns)
    until(lambda: source(engine, "replay").state == "ended")
    assert source(engine, "replay").frames == first.frames


def test_page_latencies_are_recorded_whatever_the_kernels_do(engine: Engine) -> None:
    engine.note_page("draw", [5_000_000, 7_000_000])
    engine.note_page("nonsense", [1])
    until(lambda: ("page", "draw") in engine.telemetry.stages)
    assert ("page", "nonsense") not in engine.telemetry.stages


def test_a_capture_that_goes_bad_is_told_and_spoils_nothing_else(capture: Path) -> None:
    async def open_bad() -> Replay:
        raise BadCapture("gone.gz", 0, "there is no such file")

    made = Engine(
        seed=1,
        rate=500,
        history_s=0,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
        open_sample=open_bad,
        open_replay=open_bad,
    )
    made.start()
    try:
        until(lambda: any("cannot replay gone.gz" in event.text for event in made.telemetry.events.since(0)))
        until(lambda: (found := source(made, "sim")) is not None and found.state == "live")
        until(lambda: any(t.name == "replay" and t.state == "failed" for t in made.telemetry.board.tasks))
        until(lambda: (r := made.telemetry.board.engine.replay) is not None and r.state == "failed")
        assert made.telemetry.board.engine.replay.detail == "cannot replay gone.gz: there is no such file"
    finally:
        assert made.stop()


def test_kernels_that_do_not_compile_are_told_and_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_none() -> Replay:
        raise AssertionError("not asked for")

    made = Engine(
        seed=1,
        rate=500,
        history_s=0,
        kernel_groups=[["tests.engine.no_such_kernel"]],
        kernel_directory=tmp_path,
        open_sample=open_none,
    )
    made.start()
    try:
        until(lambda: made.telemetry.board.engine.state == "failed")
        assert "no_such_kernel" in made.telemetry.board.engine.detail
        assert made.telemetry.board.sources == ()
        with pytest.raises(BadCommand, match="the engine is"):
            made.command("start_replay", {"file": "sample"})
    finally:
        assert made.stop()


def test_commands_for_venues_reach_them_checked(engine: Engine) -> None:
    until(lambda: engine.telemetry.board.engine.state == "running")
    until(lambda: MARKETS.served is engine.intake)
    MARKETS.asked.clear()
    engine.command("connect_venue", {"venue": "binance_spot"})
    engine.command("add_symbol", {"venue": "binance_spot", "symbol": "BTC-USDT"})
    engine.command("set_poll", {"venue": "binance_spot", "endpoint": "time", "interval_s": 30})
    engine.command("remove_symbol", {"venue": "binance_spot", "symbol": "BTC-USDT"})
    engine.command("disconnect_venue", {"venue": "binance_spot"})
    assert MARKETS.asked == [
        ("connect", "binance_spot"),
        ("add_symbol", "binance_spot", "BTC-USDT"),
        ("set_poll", "binance_spot", "time", 30),
        ("remove_symbol", "binance_spot", "BTC-USDT"),
        ("disconnect", "binance_spot"),
    ]


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("connect_venue", {}, "needs venue"),
        ("connect_venue", {"venue": "x" * 65}, "1 to 64 characters"),
        ("connect_venue", {"venue": "nowhere"}, "no market nowhere"),
        ("add_symbol", {"venue": "binance_spot", "symbol": 3}, "needs symbol"),
        ("set_poll", {"venue": "binance_spot", "endpoint": "time", "interval_s": "3"}, "whole number"),
        ("set_poll", {"venue": "binance_spot", "endpoint": "time", "interval_s": True}, "whole number"),
    ],
)
def test_a_command_for_a_venue_that_makes_no_sense_is_refused(
    engine: Engine, name: str, args: dict[str, object], says: str
) -> None:
    until(lambda: engine.telemetry.board.engine.state == "running")
    with pytest.raises(BadCommand, match=says):
        engine.command(name, args)


def test_venues_and_limits_are_looked_at_and_told_of_each_second(engine: Engine) -> None:
    until(lambda: engine.telemetry.board.venues == ("view",) and len(MARKETS.seconds) >= 2)
    assert engine.telemetry.board.limits == ("view",)
    first, second = MARKETS.seconds[-2:]
    assert second - first == 1_000_000_000
