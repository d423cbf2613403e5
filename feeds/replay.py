"""Plays a capture as if it came from the venue: same decoder, same batches, at its own pace or faster."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import PurePath
from typing import Final, Literal

import numpy as np

from engine.errors import BadFrame
from engine.market.batches import Batch, Source
from engine.market.sink import Sink
from feeds import capture
from feeds.frames import Frames
from feeds.venues import binance

TURN_NS: Final = 1_000_000  # aimed at between two awaits; 2 ms are allowed
MIN_CHUNK: Final = 8
MAX_CHUNK: Final = 1024
MIN_SLEEP_S: Final = 0.002  # frames closer together than this are played together
MAX_SLEEP_S: Final = 0.05

State = Literal["waiting", "playing", "ended", "failed"]


class Pacer:
    """Maps capture time to wall time: at `speed` times its own, or without waiting (infinite). Pure.

    Both times are nanoseconds. `start` pins a moment of the capture to a moment of the wall clock.
    """

    def __init__(self, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"a replay's speed must be above 0, not {speed}")
        self.speed = speed
        self._capture_ns = 0
        self._wall_ns = 0

    @property
    def waits(self) -> bool:
        """Whether frames have a time; at infinite speed all are due at once."""
        return math.isfinite(self.speed)

    def start(self, capture_ns: int, wall_ns: int) -> None:
        """From here on `capture_ns` falls on `wall_ns`."""
        self._capture_ns, self._wall_ns = capture_ns, wall_ns

    def capture_ns(self, wall_ns: int) -> int:
        """The capture's time at a wall time. Only for a finite speed."""
        return self._capture_ns + int((wall_ns - self._wall_ns) * self.speed)

    def delay_s(self, capture_ns: int, wall_ns: int) -> float:
        """Seconds until the capture gets to `capture_ns`; 0.0 when it has, or nothing waits."""
        if not self.waits:
            return 0.0
        ahead_ns = (capture_ns - self._capture_ns) / self.speed - (wall_ns - self._wall_ns)
        return max(0.0, ahead_ns / 1e9)


class ReplayFeed:
    """One capture, played through the venue's decoder into a sink. BadCapture when the file is no good.

    Making one without `info` reads the file through (see `capture.probe`), so that a bad one is refused
    before anything is drawn. `run` belongs to one loop, the properties to the same; one feed plays once.
    """

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
        self.pacer = Pacer(speed)
        self.state: State = "waiting"
        self.frames = 0  # played so far
        self.bad_frames = 0
        self._wall_ns = wall_ns
        self._played_ns = self.info.first_recv_ns
        self._seen_wall_ns = 0
        self._chunk = 64

    @property
    def progress(self) -> float:
        """How much has been played, 0.0 to 1.0, by frames."""
        return self.frames / self.info.frames

    @property
    def speed_label(self) -> str:
        """`1x`, `10x`, `max`."""
        return f"{self.pacer.speed:g}x" if self.pacer.waits else "max"

    def now_ns(self, wall_ns: int) -> int:
        """The source's own clock: capture time. It moves between frames when paced, and stops at the end."""
        if self.state == "waiting":
            return self.info.first_recv_ns
        if self.state == "ended":
            return self.info.last_recv_ns
        if self.state == "failed":
            return self._played_ns
        if not self.pacer.waits:
            return self._played_ns
        return min(max(self.pacer.capture_ns(wall_ns), self._played_ns), self.info.last_recv_ns)

    async def run(self, sink: Sink) -> None:
        """Play to the end and return.

        The source is closed on the way out: "ended", "stopped" (cancelled), or the sentence of what failed.
        """
        self.info = await asyncio.to_thread(capture.measure, self.info)
        self._open(sink)
        reason = "stopped"
        try:
            await self._play(sink)
            reason = "ended"
        except Exception as error:
            self.state = "failed"
            reason = str(error) or type(error).__name__
            raise
        finally:
            sink.close_source(self.source, reason)

    def _open(self, sink: Sink) -> None:
        self.state = "playing"
        self.frames = 0
        self._played_ns = self.info.first_recv_ns
        self._seen_wall_ns = self._wall_ns()
        self.pacer.start(self.info.first_recv_ns, self._seen_wall_ns)
        instruments = self.info.instruments()
        self._decoder = binance.BinanceDecoder(self.source, self.info.market, instruments)
        sink.open_source(self.source, self.label, instruments, binance.rule_of(self.info.market), self.now_ns)

    async def _play(self, sink: Sink) -> None:
        for frames in capture.chunks(self.info.path):
            # Receive times jump back by microseconds, since a recorder writes several streams.
            due_ns = np.maximum.accumulate(frames.recv_ns)
            at = 0
            while at < len(frames):
                end = self._due(due_ns, at)
                if end > at:
                    self._deliver(frames.between(at, end), sink)
                    at = end
                    await asyncio.sleep(0)
                else:
                    delay_s = self.pacer.delay_s(int(due_ns[at]), self._now())
                    await asyncio.sleep(min(max(delay_s, MIN_SLEEP_S), MAX_SLEEP_S))
        self.state = "ended"

    def _due(self, due_ns: np.ndarray[tuple[int], np.dtype[np.int64]], first: int) -> int:
        """The end of the frames that are due now, at most one turn's worth."""
        end = min(first + self._chunk, len(due_ns))
        if self.pacer.waits:
            now_ns = self.pacer.capture_ns(self._now())
            end = first + int(np.searchsorted(due_ns[first:end], now_ns, side="right"))
        return end

    def _deliver(self, frames: Frames, sink: Sink) -> None:
        """Decode and hand on one turn's frames; learn from the time taken how many fit the next."""
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
        self.frames += len(frames)
        self._played_ns = max(self._played_ns, int(frames.recv_ns.max()))
        if len(frames) == self._chunk:
            took_ns = time.perf_counter_ns() - started_ns
            fits = self._chunk * TURN_NS // max(took_ns, 1)
            self._chunk = max(MIN_CHUNK, min(fits, 2 * self._chunk, MAX_CHUNK))

    def _now(self) -> int:
        """Wall time; when that clock was set back, the pacer is pinned anew rather than wait it out."""
        wall_ns = self._wall_ns()
        if wall_ns < self._seen_wall_ns and self.pacer.waits:
            self.pacer.start(self.pacer.capture_ns(self._seen_wall_ns), wall_ns)
        self._seen_wall_ns = wall_ns
        return wall_ns


def warm_up() -> None:
    """Compile every kernel a replay uses."""
    binance.warm_up()
