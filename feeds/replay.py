"""Plays a capture as if it came from the venue: same decoder, same batches, at its own pace or faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import PurePath
from typing import Final, Literal

import numpy as np

from engine.errors import BadCommand, BadFrame, sentence_of
from engine.market.batches import Batch, Source
from engine.market.sink import Sink
from engine.pacing import Player
from feeds import capture
from feeds.frames import Frames
from feeds.venues import binance

State = Literal["waiting", "seeking", "playing", "paused", "ended", "failed"]


class ReplayFeed:
    """One capture, played through the venue's decoder into a sink. BadCapture when the file is no good.

    Making one without `info` reads the file through (see `capture.probe`), so that a bad one is refused
    before anything is drawn. `run` belongs to one loop, the properties and controls to the same; one feed plays once.
    It can be paused, stepped through frame by frame or second by second, and played at another speed; there is no
    way to a moment of it but by playing.
    """

    recorded: Final = False
    hash: Final = ""  # a file has its own

    def __init__(
        self,
        path: str | PurePath,
        speed: float = 1.0,
        info: capture.CaptureInfo | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.info = info or capture.probe(path)
        self.source = Source(self.info.market, "replay")
        self.name = PurePath(path).name
        self.label = f"{binance.LABELS[self.info.market]} replay"
        self.opened = False  # whether the sink shows its source
        self.events = 0  # frames played so far
        self.bad_frames = 0
        self._state: Literal["waiting", "running", "ended", "failed"] = "waiting"
        self._player = Player(speed, wall_ns=wall_ns)
        self._wall_ns = wall_ns
        self._closed = False

    @property
    def state(self) -> State:
        """What it does now; "waiting" before it runs."""
        return self._player.mode if self._state == "running" else self._state

    @property
    def progress(self) -> float:
        """How much has been played, 0.0 to 1.0, by frames."""
        return self.events / self.info.frames

    @property
    def detail(self) -> str:
        """What there is to say of it: that a hole was leapt over."""
        return self._player.note_at(self.at_ns) if self._state == "running" else ""

    @property
    def speed_label(self) -> str:
        """`1x`, `10x`, `max`."""
        return self._player.speed_label

    @property
    def from_ns(self) -> int:
        """When the first frame came."""
        return self.info.first_recv_ns

    @property
    def to_ns(self) -> int:
        """When the last frame came."""
        return self.info.last_recv_ns

    @property
    def at_ns(self) -> int:
        """Its clock, now."""
        return self.now_ns(self._wall_ns())

    @property
    def next_hole_ns(self) -> int:
        """None is known of a capture."""
        return 0

    def now_ns(self, wall_ns: int) -> int:
        """The source's own clock: capture time. It moves between frames when paced, and stops at the end."""
        if self._state == "waiting":
            return self.info.first_recv_ns
        if self._state == "ended":
            return self.info.last_recv_ns
        if self._state == "failed":
            return self._player.played_ns
        return min(self._player.now_ns(wall_ns), self.info.last_recv_ns)

    def pause(self) -> None:
        """Stop after what is due by now."""
        self._player.pause()

    def resume(self) -> None:
        """Go on."""
        self._player.resume()

    def step(self, by: Literal["event", "second"]) -> None:
        """Pause, and play the next frame, or up to the next whole second."""
        if by == "event":
            self._player.step()
        else:
            self._player.step_second()

    def set_speed(self, speed: float) -> None:
        """Another speed from here on; ValueError when it is not above 0."""
        self._player.set_speed(speed)

    def seek(self, at_ns: int) -> None:
        """BadCommand: a capture is read from its beginning."""
        del at_ns
        raise BadCommand("a capture has no index to seek by; record it, and play the recording")

    def close(self) -> None:
        """End it: `run` returns, and the source is closed for good."""
        self._closed = True
        self._player.give_up()

    async def run(self, sink: Sink) -> None:
        """Play to the end and return.

        The source is closed on the way out: "ended", "stopped" (cancelled), "closed", or the sentence of what failed.
        """
        self.info = await asyncio.to_thread(capture.measure, self.info)
        self._open(sink)
        reason = "stopped"
        try:
            await self._play(sink)
            reason = "ended"
        except Exception as error:
            self._state = "failed"
            reason = sentence_of(error)
            raise
        finally:
            sink.close_source(self.source, "closed" if self._closed else reason)
            self.opened = not self._closed

    def _open(self, sink: Sink) -> None:
        self._state = "running"
        self.events = 0
        self._player.begin(self.info.first_recv_ns)
        instruments = self.info.instruments()
        self._decoder = binance.BinanceDecoder(self.source, self.info.market, instruments)
        sink.open_source(self.source, self.label, instruments, binance.rule_of(self.info.market), self.now_ns)
        self.opened = True

    async def _play(self, sink: Sink) -> None:
        for frames in capture.chunks(self.info.path):

            def deliver(first: int, end: int, frames: Frames = frames) -> int:
                self._deliver(frames.between(first, end), sink)
                return end

            # Receive times jump back by microseconds, since a recorder writes several streams.
            if not await self._player.play(np.maximum.accumulate(frames.recv_ns), deliver):
                break
        self._state = "ended"

    def _deliver(self, frames: Frames, sink: Sink) -> None:
        """Decode and hand on one turn's frames."""
        started_ns = time.perf_counter_ns()
        decoded = self._decoder.decode(frames)
        decode_ns = time.perf_counter_ns() - started_ns
        for item in decoded:
            if isinstance(item, Batch):
                sink.on_batch(item)
            elif isinstance(item, BadFrame):
                self.bad_frames += 1
                sink.on_bad_frame(self.source, item)
            else:
                sink.revise(self.source, item)
        sizes = frames.sizes
        total = max(int(sizes.sum()), 1)
        # Frames are decoded together; each gets the share of its bytes.
        sink.on_frames(self.source, len(frames), total, (decode_ns * sizes) // total)
        self.events += len(frames)


def warm_up() -> None:
    """Compile every kernel a replay uses."""
    binance.warm_up()
