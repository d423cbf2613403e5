from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine import pacing
from engine.errors import BadCapture, BadCommand, BadFrame
from engine.market.batches import Batch, Kind, Source
from engine.market.candles import SECOND_NS, notional, roll_up
from engine.market.instruments import Instrument, format_decimal
from engine.market.sequencing import BookState, Rule
from engine.market.state import SymbolState
from feeds.replay import ReplayFeed
from tests.reference.feed_plain import PlainFeed

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
START_NS = 1_723_161_253_000_000_000


class Recorder:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.states: dict[str, SymbolState] = {}
        self.closed: list[np.ndarray] = []
        self.batches: list[Batch] = []
        self.bad: list[BadFrame] = []
        self.said: list[str] = []
        self.frames = 0
        self.decode_ns = 0

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        self.said.append(f"open {label}")
        self.states = {one.symbol: SymbolState(source, one, rule) for one in instruments}
        self.clock = clock

    def revise(self, source: Source, instrument: Instrument) -> None:
        self.states[instrument.symbol].revise(instrument)

    def on_batch(self, batch: Batch) -> None:
        self.batches.append(batch)
        state = self.states[batch.symbol]
        state.on_batch(batch)
        if batch.kind is Kind.TRADES:
            self.closed.append(state.closed)

    def on_frames(self, source: Source, frames: int, size_bytes: int, decode_ns: np.ndarray) -> None:
        assert len(decode_ns) == frames
        self.frames += frames
        self.decode_ns += int(decode_ns.sum())

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        self.bad.append(error)

    def close_source(self, source: Source, reason: str) -> None:
        self.said.append(f"close {reason}")


def quote(sequence: int) -> bytes:
    body = {"u": sequence, "s": "BTCUSDT", "b": "1.5", "B": "3", "a": "1.75", "A": "0.125"}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": body}, separators=(",", ":")).encode()


def written(path: Path, frames: list[bytes], step_ns: int) -> Path:
    lines = [b"%d %s\n" % (START_NS + n * step_ns, frame) for n, frame in enumerate(frames)]
    path.write_bytes(gzip.compress(b"".join(lines)))
    return path


@pytest.mark.parametrize("name", ["spot", "usdm", "coinm"])
def test_a_recorded_market_plays_to_its_end(name: str) -> None:
    path = next(iter((DATA / f"binance_{name}").glob("hftbacktest_*.gz")), None)
    if path is None:
        pytest.skip(f"the recorded captures are not at {DATA}")
    feed, sink = ReplayFeed(path, math.inf), Recorder()
    asyncio.run(feed.run(sink))

    plain = PlainFeed(futures=name != "spot")
    with gzip.open(path) as lines:
        for line in lines:
            plain.on_frame(line.partition(b" ")[2].rstrip(b"\n"))
    plain.compare(math.inf)

    (state,) = sink.states.values()
    units = state.instrument
    assert units.revision == 0
    assert (feed.state, feed.progress, sink.bad) == ("ended", 1.0, [])
    assert sink.frames == feed.info.frames
    assert (state.state, state.sync.gaps, state.crossings, state.book.dropped) == (BookState.SYNCED, 0, 0, 0)
    assert state.sync.counts.applied == plain.applied
    for rows, levels in zip(state.book.top(state.book.capacity), (plain.bids, plain.asks), strict=True):
        assert {
            float(format_decimal(price, units.price_decimals)): float(
                format_decimal(size, units.size_decimals)
            )
            for price, size in rows.tolist()
        } == levels

    agreed, checked = state.settle()
    assert checked + state.check.unchecked == state.sync.counts.applied
    assert checked >= 0.999 * state.sync.counts.applied
    assert agreed >= checked * (0.999 if name == "spot" else 1)

    trades = np.concatenate([batch.rows for batch in sink.batches if batch.kind is Kind.TRADES])
    running = state.candles.running()
    assert running is not None
    candles = np.concatenate([*sink.closed, running])
    assert len(trades) == len(plain.trades)
    assert state.candles.late == 0
    for rows in (candles, roll_up(candles, 60 * SECOND_NS)):
        assert int(rows["trades"].sum()) == len(trades)
        assert int(rows["volume"].sum()) == int(trades["size"].sum())
        assert notional(rows) == sum(
            price * size
            for price, size in zip(trades["price"].tolist(), trades["size"].tolist(), strict=True)
        )
    assert candles["high"].max() == trades["price"].max()
    assert candles["low"].min() == trades["price"].min()


def test_a_malformed_frame_is_counted_and_the_feed_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "c", [quote(1), b'{"stream":"btcusdt@bookTicker","data":{"u"', quote(3)], 1)
    feed, sink = ReplayFeed(path, math.inf), Recorder()
    asyncio.run(feed.run(sink))
    assert (feed.bad_frames, [error.field for error in sink.bad]) == (1, ["json"])
    assert sum(len(batch.rows) for batch in sink.batches) == 2
    assert sink.said == ["open Binance spot replay", "close ended"]


def test_a_bad_file_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BadCapture):
        ReplayFeed(tmp_path / "none", 1)


def test_pacing_follows_the_captures_own_time(tmp_path: Path) -> None:
    path = written(tmp_path / "c", [quote(n) for n in range(1, 21)], 10_000_000)  # 190 ms

    async def played(speed: float) -> float:
        sink = Recorder()
        loop = asyncio.get_running_loop()
        feed = ReplayFeed(path, speed)
        started = loop.time()
        await feed.run(sink)
        assert sink.frames == 20
        return loop.time() - started

    assert 0.18 <= asyncio.run(played(1)) < 1
    assert asyncio.run(played(10)) >= 0.018


def test_the_clock_is_capture_time_and_stops_at_the_end(tmp_path: Path) -> None:
    wall = [500_000_000]
    path = written(tmp_path / "c", [quote(n) for n in range(1, 4)], SECOND_NS)
    feed, sink = ReplayFeed(path, 10, wall_ns=lambda: wall[0]), Recorder()
    assert feed.now_ns(wall[0]) == START_NS

    async def play() -> None:
        task = asyncio.create_task(feed.run(sink))
        while sink.frames < 1:
            await asyncio.sleep(0.001)
        assert sink.clock(wall[0]) == START_NS
        assert sink.clock(wall[0] + 50_000_000) == START_NS + SECOND_NS // 2
        wall[0] += 100_000_000
        while sink.frames < 2:
            await asyncio.sleep(0.001)
        wall[0] += 10 * SECOND_NS
        await task
        assert sink.clock(wall[0]) == sink.clock(wall[0] + SECOND_NS) == START_NS + 2 * SECOND_NS

    asyncio.run(asyncio.wait_for(play(), 10))


def test_a_wall_clock_set_back_does_not_stall_the_replay(tmp_path: Path) -> None:
    wall = [3600 * SECOND_NS]
    path = written(tmp_path / "c", [quote(n) for n in range(1, 4)], SECOND_NS)
    feed, sink = ReplayFeed(path, 10, wall_ns=lambda: wall[0]), Recorder()

    async def play() -> None:
        task = asyncio.create_task(feed.run(sink))
        while sink.frames < 1:
            await asyncio.sleep(0.001)
        wall[0] = 0
        while not task.done():
            await asyncio.sleep(0.001)
            wall[0] += 20_000_000

    asyncio.run(asyncio.wait_for(play(), 10))
    assert sink.frames == 3


def test_a_cancelled_replay_closes_its_source_as_stopped(tmp_path: Path) -> None:
    path = written(tmp_path / "c", [quote(n) for n in range(1, 101)], SECOND_NS)
    feed, sink = ReplayFeed(path, 1), Recorder()

    async def play() -> None:
        task = asyncio.create_task(feed.run(sink))
        while sink.frames < 1:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(play(), 10))
    assert sink.said == ["open Binance spot replay", "close stopped"]


def test_a_capture_that_goes_bad_while_it_plays_closes_with_the_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "c", [quote(n) for n in range(1, 101)], SECOND_NS)
    feed, sink = ReplayFeed(path, math.inf), Recorder()
    path.unlink()
    with pytest.raises(BadCapture):
        asyncio.run(feed.run(sink))
    assert feed.state in ("waiting", "failed")


def test_a_paused_capture_stands_still_is_stepped_frame_by_frame_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "MAX_SLEEP_S", pacing.MIN_SLEEP_S)  # the clock is the test's
    wall = [SECOND_NS]
    path = written(tmp_path / "c", [quote(n) for n in range(1, 41)], SECOND_NS // 4)
    feed, sink = ReplayFeed(path, 1, wall_ns=lambda: wall[0]), Recorder()

    async def turned() -> None:
        for _ in range(20):
            await asyncio.sleep(0.001)

    async def play() -> None:
        feed.pause()
        task = asyncio.create_task(feed.run(sink))
        await turned()
        assert (feed.state, feed.events, feed.recorded) == ("paused", 0, False)
        for count in (1, 2, 3):
            feed.step("event")
            await turned()
            assert (feed.state, feed.events) == ("paused", count)
        feed.step("second")
        await turned()
        assert (feed.events, feed.at_ns) == (5, START_NS + SECOND_NS)
        wall[0] += 5 * SECOND_NS
        await turned()
        assert (feed.events, feed.at_ns) == (5, START_NS + SECOND_NS)
        feed.set_speed(2)
        feed.resume()
        await turned()
        wall[0] += SECOND_NS
        await turned()
        assert (feed.state, feed.speed_label) == ("playing", "2x")
        assert (feed.events, feed.at_ns) == (13, START_NS + 3 * SECOND_NS)
        with pytest.raises(BadCommand, match="no index"):
            feed.seek(START_NS)
        feed.set_speed(math.inf)
        await task

    asyncio.run(asyncio.wait_for(play(), 10))
    assert (feed.state, feed.progress, sink.frames) == ("ended", 1.0, 40)


def test_a_hole_in_a_capture_is_leapt_over_and_named(tmp_path: Path) -> None:
    lines = [b"%d %s\n" % (START_NS + at * SECOND_NS, quote(at + 1)) for at in (0, 200, 201)]
    path = tmp_path / "c"
    path.write_bytes(b"".join(lines))
    feed, sink = ReplayFeed(path, 1), Recorder()

    async def play() -> None:
        task = asyncio.create_task(feed.run(sink))
        while sink.frames < 2:
            await asyncio.sleep(0.001)
        assert feed.detail == "skipped a hole of 3 min"
        feed.set_speed(math.inf)
        await task

    asyncio.run(asyncio.wait_for(play(), 10))
    assert feed.detail == ""
