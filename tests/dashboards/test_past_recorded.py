"""From a live market through the journal and a replay back to the page: the past looks as it did then."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.intake import Intake
from engine.market.batches import Source
from engine.market.sequencing import Rule
from engine.storage.journal import Journal
from engine.storage.playback import Playback
from engine.storage.recorder import Recorder
from engine.storage.records import Stream
from engine.storage.telemetry_records import KINDS, Tail
from engine.telemetry.board import ReplayView
from engine.telemetry.hub import Telemetry
from tests.dashboards.test_transport import Page
from tests.engine.markets import BTC, SECOND, START, Desk

LIVE = Source("binance_spot", "live")
THEN = Source("binance_spot", "replay")
NOW = START + 100_000 * SECOND
SECONDS = 70
LOOKED = 45  # the second at which a page looked
SAME = ("count", "p50", "p90", "p95", "p99", "p999", "max")


@dataclass
class Recorded:
    """A minute of a market in a store, and what a page showed in the middle of it."""

    folder: Path
    answer: dict[str, Any]
    bids: list[tuple[int, int]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("store")
    journal = Journal.open(folder)
    desk = Desk(LIVE)
    pen = Recorder(lambda: desk.now)
    pen.use(journal)
    pen.start("binance_spot")
    desk.intake.tap = pen
    desk.intake.open_source(LIVE, "Binance Spot", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    tail = Tail(desk.telemetry, Stream("binance_spot", label="Binance Spot"), LIVE.key)
    rng = np.random.default_rng(6)
    page = Page(desk, ["depth", "throughput", "latency", "stages", "candles", "events"])
    answer: dict[str, Any] = {}
    bids: list[tuple[int, int]] = []
    desk.at(0).snapshot([(100, 5)], [(110, 2)])
    for step in range(SECONDS * 10):
        desk.now = START + step * SECOND // 10 + SECOND // 20
        desk.intake.on_frames(LIVE, 3, 100, rng.integers(1_000, 90_000, 3))
        desk.delta([(100 - step % 7, 1 + step)], [])
        for latency in rng.integers(10_000, 9_000_000, step % 4):
            desk.trade(101 + step % 9, 10, latency_ns=int(latency))
        if step == 333:
            desk.intake.note("warn", LIVE, "gap", "BTC-USDT: sequence gap at 7; resyncing")
        desk.intake.publish()
        if step % 10 == 2:
            pen.take_blocks("binance_spot", partial(tail.blocks, KINDS))
            journal.put(pen.flush())
        if step == LOOKED * 10:
            answer = page.poll()
            bids = desk.telemetry.board.books[LIVE.key, "BTC-USDT"].bids.tolist()
    journal.put(pen.flush())
    assert journal.close()
    return Recorded(folder, answer, bids)


class Player:
    """A fresh engine that replays: an intake that is published now and then, and a page."""

    def __init__(self, playback: Playback) -> None:
        self.playback = playback
        self.now = NOW
        self.telemetry = Telemetry(NOW)
        self.intake = Intake(self.telemetry, lambda: self.now)
        self.page = Page(self, [*("depth", "throughput", "latency", "stages", "candles", "events")])  # type: ignore[arg-type]

    async def until(self, state: str) -> None:
        async with asyncio.timeout(20):
            while self.playback.state != state:
                await asyncio.sleep(0.005)
                self.publish()
        await asyncio.sleep(0.02)
        self.publish()

    def publish(self) -> None:
        self.now += SECOND // 20
        play = self.playback
        board = self.telemetry.board
        view = ReplayView(
            *(play.name, play.speed_label, play.state, play.progress),
            **{"source": play.source.key, "recorded": True, "at_ns": play.at_ns},
        )
        board.engine = replace(board.engine, state="running", replay=view)
        self.intake.publish()


@asynccontextmanager
async def playing(recorded: Recorded, at_s: float, **options: Any) -> AsyncIterator[Player]:
    playback = Playback(
        *(recorded.folder, "binance_spot", (), START, START + SECONDS * SECOND),
        at_ns=START + round(at_s * SECOND),
        paused=True,
        **options,
    )
    player = Player(playback)
    task = asyncio.create_task(playback.run(player.intake))
    try:
        yield player
    finally:
        playback.close()
        await task


def rows(stream: dict[str, Any], names: tuple[str, ...]) -> dict[int, tuple[Any, ...]]:
    return {t: row for t, *row in zip(stream["t"], *(stream[name] for name in names), strict=True)}  # type: ignore[misc]


def of(answer: dict[str, Any], rate: str) -> dict[int, float]:
    (series,) = answer["streams"]["throughput"]["series"]
    return {
        t: v for t, v in zip(answer["streams"]["throughput"]["t"], series[rate], strict=True) if v is not None
    }


def test_the_past_looks_as_it_did(recorded: Recorded) -> None:
    async def look() -> tuple[dict[str, Any], list[tuple[int, int]]]:
        async with playing(recorded, LOOKED + 0.06) as player:
            await player.until("paused")
            return player.page.poll(), player.telemetry.board.books[THEN.key, "BTC-USDT"].bids.tolist()

    answer, bids = asyncio.run(look())
    then = recorded.answer
    assert answer["past"]["source"] == THEN.key
    assert answer["past"]["recorded"] == ["counters", "events", "latency"]
    assert bids == recorded.bids
    ours, theirs = answer["streams"], then["streams"]
    for rate in ("messages", "trades"):
        shown, was = of(answer, rate), of(then, rate)
        assert {t: shown[t] for t in shown if t in was} == {t: was[t] for t in was if t in shown}
        assert len(shown.keys() & was.keys()) > LOOKED - 5
    shown, was = rows(ours["latency"], SAME), rows(theirs["latency"], SAME)
    assert {t: shown[t] for t in was if t in shown} == {t: was[t] for t in was if t in shown}
    assert len(shown.keys() & was.keys()) > LOOKED - 5
    assert {row["stage"] for row in ours["stages"]["rows"]} == {"receive", "decode", "sequence", "publish"}
    assert ours["candles"]["c"][:-2] == theirs["candles"]["c"][:-2]
    assert ours["candles"]["t"][:-2] == theirs["candles"]["t"][:-2]
    assert [row["text"] for row in ours["events"]["rows"] if row["what"] == "gap"] == [
        "BTC-USDT: sequence gap at 7; resyncing"
    ]


def test_a_seek_back_and_forward_shows_each_time_what_a_fresh_page_shows(recorded: Recorded) -> None:
    async def look() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        seen = []
        async with playing(recorded, 50, speed=math.inf) as player:
            await player.until("paused")
            player.page.poll()
            for at in (20, 60, 33.5):
                player.playback.seek(START + round(at * SECOND))
                await asyncio.sleep(0)
                await player.until("paused")
                fresh = Page(player, player.page.params["streams"])  # type: ignore[arg-type]
                seen.append((player.page.poll(), fresh.poll()))
        return seen

    for moved, fresh in asyncio.run(look()):
        assert moved["past"]["at"] == fresh["past"]["at"]
        assert moved["streams"]["depth"]["seq"] == fresh["streams"]["depth"]["seq"]
        for name in ("throughput", "latency", "candles"):
            if moved["streams"][name]["reset"]:
                assert moved["streams"][name]["t"] == fresh["streams"][name]["t"], name
            newest = max(fresh["streams"][name]["t"])
            assert newest <= moved["past"]["at"]
            assert newest >= moved["past"]["at"] - 4_000


def test_a_replay_that_is_closed_leaves_nothing_behind(recorded: Recorded) -> None:
    async def look() -> Telemetry:
        async with playing(recorded, 10) as player:
            await player.until("paused")
        player.intake.publish()
        return player.telemetry

    telemetry = asyncio.run(look())
    assert telemetry.board.sources == ()
    assert telemetry.pasts == {}
    assert telemetry.rings() == []
