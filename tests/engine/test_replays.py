"""Commands to what is being replayed, and what pages see of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.arguments import MS, SYMBOLS_MAX
from engine.errors import BadCommand, BadQuery
from engine.replays import Replay, Replays
from engine.runtime import Runtime
from engine.storage.playback import Playback
from engine.storage.stretch import Stretch
from engine.telemetry.board import ReplayView
from feeds import sample
from feeds.replay import ReplayFeed
from tests.storage.recorded import Market, record_capture, stretch_of

SECOND = 10**9


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replays") / "sample.gz"
    sample.write(path, seed=9, seconds=8)
    return path


@pytest.fixture(scope="module")
def stretch(capture: Path) -> Stretch:
    found = stretch_of(record_capture(capture, keyframe_s=2, turn=8).blocks)
    whole_ms = (found.from_ns // MS * MS, (found.to_ns // MS + 1) * MS)
    return Stretch(found.venue, found.symbols, *whole_ms, found.pieces)


OTHER = "another"  # a venue of which the same is recorded


class Rig:
    """Replays on a running loop, with a sample and one recorded stretch to open."""

    def __init__(self, capture: Path, stretch: Stretch) -> None:
        self.market = Market()
        self.stretch = stretch
        self.asked: list[tuple[object, ...]] = []

        async def open_sample() -> Replay:
            return ReplayFeed(capture, math.inf)

        async def open_recorded(
            venue: str,
            symbols: tuple[str, ...],
            from_ns: int,
            to_ns: int,
            at_ns: int,
            speed: float,
            paused: bool,
        ) -> Replay:
            self.asked.append((venue, symbols, from_ns, to_ns, at_ns, speed, paused))
            if venue not in (stretch.venue, OTHER):
                raise BadQuery(f"venue {venue!r}", "nothing of it is recorded")
            found = Playback(
                *(Path("nowhere"), venue, symbols, from_ns, to_ns), at_ns=at_ns, speed=speed, paused=paused
            )
            found._find = lambda: stretch
            await found.check()
            return found

        self.runtime = Runtime()
        self.replays = Replays(self.runtime, self.market, open_sample, open_recorded)  # type: ignore[arg-type]

    async def tell(self, name: str, **args: Any) -> None:
        found = self.replays.commands[name](args)
        if asyncio.iscoroutine(found):
            await found

    async def open(self, **args: Any) -> None:
        usual = {
            "venue": self.stretch.venue,
            "from_ms": self.stretch.from_ns // MS,
            "to_ms": self.stretch.to_ns // MS,
            "paused": True,
        }
        await self.tell("replay_open", **{**usual, **args})

    @property
    def view(self) -> ReplayView:
        found = self.replays.view()
        assert found is not None
        return found

    async def reaches(self, *states: str) -> ReplayView:
        for _ in range(2_000):
            view = self.replays.view()
            if view is not None and view.state in states:
                return view
            await asyncio.sleep(0.002)
        raise AssertionError(f"{self.replays.view()} is never {states}")

    def drive(self, drive: Callable[[], Awaitable[None]]) -> None:
        async def both() -> None:
            try:
                await drive()
            finally:
                running = self.runtime.cancel("replay")
                if running is not None:
                    await asyncio.wait([running])

        asyncio.run(asyncio.wait_for(both(), 20))


@pytest.fixture
def rig(capture: Path, stretch: Stretch) -> Rig:
    return Rig(capture, stretch)


def test_a_recorded_stretch_is_opened_sought_in_stepped_through_and_closed(
    rig: Rig, stretch: Stretch
) -> None:
    async def drive() -> None:
        at_ms = stretch.from_ns // MS + 3_000
        await rig.open(at_ms=at_ms, speed=10, symbols=["BTC-USDT"])
        assert rig.asked == [
            (stretch.venue, ("BTC-USDT",), stretch.from_ns, stretch.to_ns, at_ms * MS, 10.0, True)
        ]
        view = await rig.reaches("paused")
        assert (view.source, view.recorded, view.speed) == (f"{stretch.venue}:replay", True, "10x")
        assert (view.from_ns, view.to_ns, view.at_ns) == (stretch.from_ns, stretch.to_ns, at_ms * MS)
        assert view.progress == pytest.approx(3 / 8, abs=0.05)
        before = view.events
        await rig.tell("replay_step", by="event")
        await asyncio.sleep(0.05)
        assert rig.view.events == before + 1
        await rig.tell("replay_seek", at_ms=at_ms + 2_000)
        await asyncio.sleep(0.02)
        assert (await rig.reaches("paused")).at_ns == (at_ms + 2_000) * MS
        await rig.tell("replay_speed", speed="max")
        await rig.tell("replay_resume")
        assert (await rig.reaches("ended")).progress == 1.0
        ended = rig.view.hash
        await rig.tell("replay_seek", at_ms=at_ms)
        assert (await rig.reaches("paused")).at_ns == at_ms * MS  # at that speed it would be over at once
        await rig.tell("replay_step", by="back")
        await asyncio.sleep(0.02)
        assert (await rig.reaches("paused")).at_ns == (at_ms * MS - 1) // SECOND * SECOND
        with pytest.raises(BadCommand, match="no hole ahead"):
            await rig.tell("replay_step", by="hole")
        await rig.tell("replay_resume")
        await rig.reaches("ended")
        await rig.tell("restart_replay")
        assert (await rig.reaches("ended")).hash == ended
        await rig.tell("replay_close")
        assert rig.replays.view() is None
        assert rig.market.said[-1] == "close closed"

    rig.drive(drive)


def test_an_error_in_the_program_is_not_shown_but_where_it_is_said(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any) -> None:
        raise KeyError("ts_event_ns")

    monkeypatch.setattr("engine.storage.delivery.Delivery.deliver", fail)

    async def drive() -> None:
        await rig.open(paused=False)
        failed = await rig.reaches("failed")
        assert failed.detail == "the replay failed: an error in the program; it is in the log"
        assert rig.market.said[-1] == "close an error in the program; it is in the log"

    rig.drive(drive)


def test_a_capture_takes_the_same_commands_but_for_seeking(rig: Rig) -> None:
    async def drive() -> None:
        await rig.tell("start_replay", file="sample")
        view = await rig.reaches("ended")
        assert (view.recorded, view.progress) == (False, 1.0)
        with pytest.raises(BadCommand, match="only what was recorded"):
            await rig.tell("replay_seek", at_ms=1)
        await rig.tell("restart_replay")
        await rig.reaches("playing", "ended")

    rig.drive(drive)


def test_closing_while_it_plays_closes_the_source_for_good(rig: Rig) -> None:
    async def drive() -> None:
        await rig.open()
        await rig.reaches("paused")
        await rig.tell("replay_close")
        assert rig.replays.view() is None
        await asyncio.sleep(0.05)
        assert rig.market.said[-1] == "close closed"
        for name in ("replay_close", "replay_pause", "replay_resume", "restart_replay"):
            with pytest.raises(BadCommand):
                await rig.tell(name)

    rig.drive(drive)


def test_what_is_opened_takes_the_place_of_what_played(rig: Rig) -> None:
    async def drive() -> None:
        await rig.open()
        await rig.reaches("paused")
        await rig.open(paused=False, speed="max")
        await rig.reaches("ended")
        assert [said.split()[0] for said in rig.market.said if said.split()[0] in ("open", "close")] == [
            "open", "close", "open", "close",
        ]  # fmt: skip

    rig.drive(drive)


@pytest.mark.parametrize("state", ["paused", "ended"])
def test_what_is_opened_of_another_venue_closes_what_was_open_for_good(rig: Rig, state: str) -> None:
    async def drive() -> None:
        await rig.open(paused=state == "paused", speed="max")
        await rig.reaches(state)
        await rig.open(venue=OTHER)
        await asyncio.sleep(0.05)
        assert (await rig.reaches("paused")).source == f"{OTHER}:replay"
        said = [each for each in rig.market.said if each.split()[0] in ("open", "close")]
        assert said[1:-1] == (["close closed"] if state == "paused" else ["close ended", "close closed"])

    rig.drive(drive)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"venue": "kraken"}, "nothing of it is recorded"),
        ({"venue": ""}, "needs venue"),
        ({"venue": 7}, "needs venue"),
        ({"symbols": "BTC"}, "list of at most 128 names"),
        ({"symbols": ["x" * 65]}, "each of symbols must be 1 to 64 characters"),
        ({"symbols": ["A"] * (SYMBOLS_MAX + 1)}, "list of at most 128 names"),
        ({"from_ms": 5, "to_ms": 5}, "begin before it ends"),
        ({"from_ms": -1}, "from_ms must be a whole number"),
        ({"from_ms": 1.5}, "from_ms must be a whole number"),
        ({"to_ms": True}, "to_ms must be a whole number"),
        ({"to_ms": 1 << 50}, "to_ms must be a whole number"),
        ({"at_ms": 1}, "at_ms must lie in the stretch"),
        ({"speed": 3}, "the speed is 1, 10, 100"),
        ({"speed": True}, "the speed is 1, 10, 100"),
        ({"speed": [1]}, "the speed is 1, 10, 100"),
        ({"paused": 1}, "paused must be true or false"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_what_plays_goes_on(
    rig: Rig, args: dict[str, Any], sentence: str
) -> None:
    async def drive() -> None:
        await rig.open()
        before = await rig.reaches("paused")
        with pytest.raises(BadCommand, match=sentence):
            await rig.open(**args)
        assert rig.view == before

    rig.drive(drive)


def test_orders_that_make_no_sense_are_refused(rig: Rig, stretch: Stretch) -> None:
    async def drive() -> None:
        await rig.open()
        await rig.reaches("paused")
        for name, args in (
            ("replay_step", {}),
            ("replay_step", {"by": "year"}),
            ("replay_seek", {"at_ms": stretch.to_ns // MS + 1}),
            ("replay_seek", {"at_ms": "now"}),
            ("replay_speed", {"speed": 2}),
            ("start_replay", {"file": "/etc/passwd"}),
        ):
            before = rig.view
            with pytest.raises(BadCommand):
                await rig.tell(name, **args)
            assert rig.view == before

    rig.drive(drive)
