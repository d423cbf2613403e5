"""A recorded stretch played: at any speed, with pauses, steps and leaps, the same events to the same book."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import pacing
from engine.errors import BadCommand, BadQuery
from engine.intake import Intake
from engine.market.batches import Source
from engine.market.sequencing import BookState
from engine.storage import playback as module
from engine.storage.delivery import Delivery
from engine.storage.names import RecordKind
from engine.storage.playback import Playback, play_stretch
from engine.storage.reader import Reader
from engine.storage.records import DTYPES, Block, Stream
from engine.storage.stretch import Piece, Stretch, gap_block
from engine.telemetry.hub import Telemetry
from feeds import sample
from tests.storage.recorded import Market, record_capture, stretch_of

SECOND_NS = 10**9


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Market:
    path = tmp_path_factory.mktemp("playback") / "sample.gz"
    sample.write(path, seed=5, seconds=20)
    return record_capture(path, keyframe_s=3, turn=8)


@pytest.fixture
def stretch(simulated: Market, monkeypatch: pytest.MonkeyPatch) -> Stretch:
    monkeypatch.setattr(pacing, "MAX_SLEEP_S", pacing.MIN_SLEEP_S)  # the clock is the test's
    return stretch_of(simulated.blocks)


class Rig:
    """A playback of a stretch on a clock that moves when told to."""

    def __init__(self, stretch: Stretch, *, speed: float = 1, paused: bool = False, at_ns: int = 0,
                 chunk_rows: int | None = None, market: Market | None = None) -> None:  # fmt: skip
        self.wall = [10**18]
        self.market = market or Market()
        self.stretch = stretch
        self.playback = Playback(
            *(Path("nowhere"), stretch.venue, (), stretch.from_ns, stretch.to_ns),
            at_ns=at_ns, speed=speed, paused=paused, wall=lambda: self.wall[0], chunk_rows=chunk_rows,
        )  # fmt: skip
        self.playback._find = lambda: stretch

    async def settled(self) -> None:
        """Until nothing happens any more while the clock stands."""
        before, still = -1, 0
        while still < 12:
            await asyncio.sleep(0.002)
            now = (self.playback.events, self.playback.state)
            still = still + 1 if now == before and now[1] not in ("opening", "seeking") else 0
            before = now  # type: ignore[assignment]

    async def passes(self, seconds: float) -> None:
        self.wall[0] += round(seconds * SECOND_NS)
        await self.settled()

    @property
    def at_s(self) -> float:
        return (self.playback.at_ns - self.stretch.from_ns) / SECOND_NS

    def drive(self, drive: Callable[[], Awaitable[None]] | None = None) -> None:
        async def both() -> None:
            task = asyncio.create_task(self.playback.run(self.market))  # type: ignore[arg-type]
            if drive is not None:
                await self.settled()
                await drive()
            await task

        asyncio.run(asyncio.wait_for(both(), 20))


def straight(stretch: Stretch, at_ns: int) -> Market:
    """What has been told by then, at once."""
    market, reader, source = Market(), Reader(stretch), Source(stretch.venue, "replay")
    units = reader.instruments
    market.open_source(source, "", list(units.values()), stretch.rule, lambda wall_ns: wall_ns)
    delivery = Delivery(market, source, units)  # type: ignore[arg-type]
    for events in reader.chunks():
        delivery.deliver(events, 0, int(np.searchsorted(events.due_ns, at_ns, "right")))
    return market


def books(market: Market) -> list[object]:
    return [(state.state, market.book(symbol), state.trades) for symbol, state in market.states.items()]


@pytest.mark.parametrize("chunk_rows", [None, 700])
@pytest.mark.parametrize("speed", [1000.0, math.inf])
def test_every_speed_tells_the_same(
    simulated: Market, stretch: Stretch, speed: float, chunk_rows: int | None
) -> None:
    expected = play_stretch(stretch, Market())  # type: ignore[arg-type]
    rig = Rig(stretch, speed=speed, chunk_rows=chunk_rows)

    async def drive() -> None:
        while rig.playback.state != "ended":
            rig.wall[0] += 700_000
            await asyncio.sleep(0)

    rig.drive(drive)
    assert (rig.playback.events, rig.playback.hash) == (expected.events, expected.hash)
    assert rig.market.picture() == simulated.picture()
    assert (rig.playback.state, rig.playback.progress, rig.at_s) == ("ended", 1.0, rig.at_s)
    assert rig.market.said[-1] == "close ended"


def test_events_come_in_their_own_time(stretch: Stretch) -> None:
    rig = Rig(stretch, speed=10)
    asked = [0.05, 0.2, 0.31, 1.0]

    async def drive() -> None:
        at = 0.0
        for seconds in asked:
            await rig.passes(seconds - at)
            at = seconds
            assert rig.at_s == pytest.approx(10 * at)
            assert books(rig.market) == books(straight(stretch, rig.playback.at_ns))
        assert 0.4 < rig.playback.progress < 0.6
        rig.playback.close()

    rig.drive(drive)
    assert rig.market.said[-1] == "close closed"
    assert not rig.playback.opened


def test_pauses_steps_and_changes_of_speed_change_no_event(simulated: Market, stretch: Stretch) -> None:
    expected = play_stretch(stretch, Market())  # type: ignore[arg-type]
    rig = Rig(stretch, paused=True, chunk_rows=900)

    async def drive() -> None:
        playback = rig.playback
        assert (playback.state, rig.at_s) == ("paused", 0.0)
        await rig.passes(100)
        before = playback.events
        for count in range(1, 40):
            playback.step("event")
            await rig.settled()
            assert playback.events == before + count
        stood = playback.at_ns
        playback.step("second")
        await rig.settled()
        assert playback.at_ns == (stood // SECOND_NS + 1) * SECOND_NS
        assert books(rig.market) == books(straight(stretch, playback.at_ns))
        playback.set_speed(10)
        playback.resume()
        await rig.passes(0.3)
        playback.pause()
        stood = playback.at_ns
        await rig.passes(3)
        assert playback.at_ns == stood
        playback.set_speed(math.inf)
        playback.resume()

    rig.drive(drive)
    assert (rig.playback.events, rig.playback.hash) == (expected.events, expected.hash)
    assert rig.market.picture() == simulated.picture()


@pytest.mark.parametrize("chunk_rows", [None, 700])
def test_sought_back_and_forth_the_book_is_that_of_playing_straight(
    stretch: Stretch, chunk_rows: int | None
) -> None:
    rig = Rig(stretch, paused=True, chunk_rows=chunk_rows)
    expected = play_stretch(stretch, Market())  # type: ignore[arg-type]

    async def drive() -> None:
        for seconds in (3.0, 12.5, 12.7, 1.25, 15.0, 0.0, 7.0):
            at_ns = stretch.from_ns + round(seconds * SECOND_NS)
            rig.playback.seek(at_ns)
            await rig.settled()
            assert (rig.playback.state, rig.at_s) == ("paused", seconds)
            assert books(rig.market) == books(straight(stretch, at_ns))
        with pytest.raises(BadCommand, match="not in the stretch"):
            rig.playback.seek(stretch.to_ns + 1)
        rig.playback.set_speed(math.inf)
        rig.playback.resume()

    rig.drive(drive)
    assert (rig.playback.events, rig.playback.hash) == (expected.events, expected.hash)


@pytest.mark.parametrize("seed", range(4))
def test_any_orders_on_the_way_change_no_event(simulated: Market, stretch: Stretch, seed: int) -> None:
    expected = play_stretch(stretch, Market())  # type: ignore[arg-type]
    random = np.random.default_rng(seed)
    rig = Rig(stretch, speed=10, chunk_rows=int(random.choice([300, 5_000])))

    async def drive() -> None:
        playback = rig.playback
        for _ in range(80):
            match random.integers(0, 7):
                case 0:
                    playback.pause()
                case 1:
                    playback.resume()
                case 2:
                    playback.step("event")
                case 3:
                    playback.step("second")
                case 4:
                    playback.set_speed(float(random.choice([1, 10, 100])))
                case 5:
                    at_ns = playback.at_ns + int(random.integers(0, SECOND_NS // 2))
                    if playback.state != "opening":
                        playback.seek(min(at_ns, stretch.to_ns - SECOND_NS))
                case _:
                    rig.wall[0] += int(random.integers(0, 40_000_000))
            for _ in range(int(random.integers(0, 4))):
                await asyncio.sleep(0)
            if playback.state == "ended":
                return
        playback.set_speed(math.inf)
        playback.resume()

    rig.drive(drive)
    if [said.split()[0] for said in rig.market.said].count("open") == 1:  # else it was sought backward
        assert (rig.playback.events, rig.playback.hash) == (expected.events, expected.hash)
    assert books(rig.market) == books(simulated)


def test_it_opens_at_a_past_moment_with_a_past(stretch: Stretch, monkeypatch: pytest.MonkeyPatch) -> None:
    at_ns = stretch.from_ns + 10 * SECOND_NS
    for past_s, least_s in ((900, 0), (4, 6)):
        monkeypatch.setattr(module, "PAST_NS", past_s * SECOND_NS)
        rig = Rig(stretch, paused=True, at_ns=at_ns)

        async def drive(rig: Rig = rig, least_s: int = least_s) -> None:
            assert (rig.playback.state, rig.at_s) == ("paused", 10.0)
            (symbol,) = rig.market.states
            tape = rig.market.tape(symbol)
            assert stretch.from_ns + least_s * SECOND_NS <= tape["ts_recv_ns"][0]
            assert tape["ts_recv_ns"][0] < stretch.from_ns + (least_s + 1) * SECOND_NS
            assert rig.market.book(symbol) == straight(stretch, at_ns).book(symbol)
            rig.playback.close()

        rig.drive(drive)


def test_a_leap_far_ahead_begins_anew_nearer_to_it(stretch: Stretch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAST_NS", 2 * SECOND_NS)
    rig = Rig(stretch, paused=True)

    async def drive() -> None:
        rig.playback.seek(stretch.from_ns + 12 * SECOND_NS)
        await rig.settled()
        (symbol,) = rig.market.states
        assert rig.market.tape(symbol)["ts_recv_ns"][0] >= stretch.from_ns + 10 * SECOND_NS
        assert rig.market.book(symbol) == straight(stretch, rig.playback.at_ns).book(symbol)
        rig.playback.close()

    rig.drive(drive)
    assert [said.split()[0] for said in rig.market.said].count("open") == 2


def test_it_runs_again_after_its_end(stretch: Stretch) -> None:
    rig = Rig(stretch, speed=math.inf)
    rig.drive()
    first = (rig.playback.events, rig.playback.hash)
    rig.drive()
    assert (rig.playback.events, rig.playback.hash) == first
    rig.playback.seek(stretch.from_ns + SECOND_NS)
    rig.playback.pause()

    async def drive() -> None:
        assert (rig.playback.state, rig.at_s) == ("paused", 1.0)
        rig.playback.close()

    rig.drive(drive)


def test_its_clock_never_goes_back_while_it_plays_and_stands_while_it_is_paused(stretch: Stretch) -> None:
    rig = Rig(stretch, speed=10, at_ns=stretch.from_ns + 3 * SECOND_NS)
    seen: list[int] = []

    async def drive() -> None:
        for turn in range(60):
            rig.wall[0] += 20_000_000
            await asyncio.sleep(0)
            seen.append(rig.market.clock(rig.wall[0]))
            if turn == 20:
                rig.playback.pause()
            if turn == 40:
                rig.playback.resume()
        rig.playback.close()

    rig.drive(drive)
    assert np.all(np.diff(seen) >= 0)
    assert seen[22] == seen[39]
    assert seen[41] > seen[39]
    assert seen[0] >= stretch.from_ns + 3 * SECOND_NS


def test_a_turn_is_short_whatever_the_sink_costs(stretch: Stretch) -> None:
    class Slow(Market):
        def on_batch(self, batch):  # type: ignore[no-untyped-def]
            end = module.time.perf_counter() + 0.0002
            while module.time.perf_counter() < end:
                pass
            return super().on_batch(batch)

    rig = Rig(stretch, speed=math.inf, market=Slow())
    longest = [0.0]

    async def drive() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            before = loop.time()
            await asyncio.sleep(0)
            longest[0] = max(longest[0], loop.time() - before)
        rig.playback.close()

    async def both() -> None:
        task = asyncio.create_task(rig.playback.run(rig.market))  # type: ignore[arg-type]
        while rig.playback.state in ("waiting", "opening"):
            await asyncio.sleep(0.001)
        await drive()
        await task

    asyncio.run(asyncio.wait_for(both(), 20))
    assert longest[0] < 0.03  # 32 changes of 0.2 ms at most, on a machine that others use too


def test_a_stretch_that_is_not_there_fails_with_the_sentence(tmp_path: Path) -> None:
    playback = Playback(tmp_path, "binance_spot", (), 1, 2)
    with pytest.raises(BadQuery, match="nothing is recorded yet"):
        asyncio.run(playback.run(Market()))  # type: ignore[arg-type]
    assert (playback.state, playback.opened) == ("failed", False)
    assert playback.name == "binance_spot, 1970-01-01 00:00:00 to 00:00:00 UTC"


def test_a_moment_outside_the_stretch_is_refused_before_anything_begins(stretch: Stretch) -> None:
    for at_ns in (stretch.from_ns - 1, stretch.to_ns + 1):
        rig = Rig(stretch, at_ns=at_ns)
        with pytest.raises(BadQuery, match=r"at: .* is not in the stretch, which is from .* to .* UTC"):
            asyncio.run(rig.playback.check())
        assert rig.playback.state == "waiting"
    for at_ns in (0, stretch.from_ns, stretch.to_ns):
        asyncio.run(Rig(stretch, at_ns=at_ns).playback.check())


def hole_at(simulated: Market, from_ns: int) -> Piece:
    stream = next(block.stream for block in simulated.blocks if block.kind is RecordKind.DELTAS)
    return Piece.of_block(gap_block(stream, 0, from_ns, from_ns + SECOND_NS, "it was not being recorded"))


def test_a_book_stays_as_it_was_where_the_recording_ends(simulated: Market, stretch: Stretch) -> None:
    ended = hole_at(simulated, stretch.to_ns - 1_000_000)
    rig = Rig(replace(stretch, pieces=(*stretch.pieces, ended)), speed=math.inf)
    rig.drive()
    assert rig.playback.state == "ended"
    assert rig.market.picture() == simulated.picture()
    assert {state.state for state in rig.market.states.values()} == {BookState.SYNCED}


def test_what_came_before_the_stretch_makes_its_books_and_draws_nothing(
    simulated: Market, stretch: Stretch
) -> None:
    (symbol,) = simulated.states
    from_ns = stretch.from_ns + 8 * SECOND_NS  # own books are 1.4 s before and 1.7 s behind
    pieces = (*stretch.pieces, hole_at(simulated, from_ns - SECOND_NS // 2))
    telemetry = Telemetry(1)
    intake = Intake(telemetry)
    rig = Rig(replace(stretch, pieces=pieces, from_ns=from_ns), speed=math.inf)

    async def both() -> None:
        task = asyncio.create_task(rig.playback.run(intake))
        while not task.done():
            intake.publish()
            await asyncio.sleep(0)

    asyncio.run(both())
    intake.publish()
    key = f"{stretch.venue}:replay"
    assert telemetry.board.books[key, symbol].outages == ()
    assert telemetry.board.books[key, symbol].state == "SYNCED"
    drawn = telemetry.market(key, symbol).metrics.since(0).rows["ts_ns"]
    assert len(drawn)
    assert drawn.min() >= from_ns - from_ns % SECOND_NS


def test_where_the_next_hole_is(simulated: Market, stretch: Stretch) -> None:
    holes_ns = [stretch.from_ns + seconds * SECOND_NS for seconds in (5, 9)]
    pieces = (*stretch.pieces, *(hole_at(simulated, each) for each in holes_ns))
    rig = Rig(replace(stretch, pieces=pieces), paused=True)

    async def drive() -> None:
        for each in holes_ns:
            assert rig.playback.next_hole_ns == each
            rig.playback.seek(each)
            await rig.settled()
            assert (rig.playback.state, rig.playback.at_ns) == ("paused", each)
        assert rig.playback.next_hole_ns == 0
        rig.playback.close()

    rig.drive(drive)


def test_a_hole_between_two_recordings_is_crossed_with_its_telemetry(
    simulated: Market, stretch: Stretch
) -> None:
    (symbol,) = simulated.states
    middle_ns = (stretch.from_ns + stretch.to_ns) // 2
    hole = hole_at(simulated, middle_ns)
    told = np.zeros(3, DTYPES[RecordKind.COUNTERS])
    told["seq"] = [1, 50, 200]
    told["ts_ns"] = middle_ns + np.arange(3) * SECOND_NS
    counters = Block(RecordKind.COUNTERS, Stream(stretch.venue), told)
    pieces = (*stretch.pieces, hole, Piece.of_block(counters))
    telemetry = Telemetry(1)
    intake = Intake(telemetry)
    rig = Rig(replace(stretch, pieces=pieces), speed=math.inf, chunk_rows=900)
    asyncio.run(rig.playback.run(intake))
    intake.publish()
    assert rig.playback.state == "ended"
    (view,) = telemetry.board.sources
    ((from_ns, to_ns),) = telemetry.board.books[view.source.key, symbol].outages
    assert from_ns < middle_ns < to_ns  # told with others of its turn, at which the clock stood still


def test_a_replay_shows_in_the_engine_as_a_source_of_its_own(simulated: Market, stretch: Stretch) -> None:
    telemetry = Telemetry(1)
    intake = Intake(telemetry)
    rig = Rig(stretch, speed=math.inf)
    asyncio.run(rig.playback.run(intake))
    intake.publish()
    (view,) = telemetry.board.sources
    (symbol,) = simulated.states
    assert (view.source.key, view.state, view.gaps) == (f"{stretch.venue}:replay", "ended", 0)
    book = telemetry.board.books[view.source.key, symbol]
    shown = [tuple(row) for row in book.bids.tolist()]
    assert shown == simulated.book(symbol, len(shown))[0]
    trades = telemetry.market(view.source.key, symbol).trades
    assert trades.last(1).rows.tolist() == simulated.tape(symbol)[-1:].tolist()
